/**
 * Ending what steps started, also in sessions of their own: by a mark in the environment, which children inherit, and by the
 * process group of the step, for those that threw their environment away.
 */
import { readFileSync } from "node:fs";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";
import { processesMarked } from "../process/marked.ts";

export interface Descendants {
  /** The variable in their environment, and its value. */
  mark: readonly [name: string, value: string];
  /** The file with the number of their process group, where they have one. */
  groupFile?: string;
}

/** A look costs a few milliseconds of CPU. */
const lookMs = 100;

/**
 * SIGTERM, and SIGKILL to those that are left after the grace time; new ones are found as they appear.
 * @returns false when some could not be ended within {@link limits.stepKillMs} after that.
 */
export async function endDescendants(of: Descendants, graceMs: number, signal?: AbortSignal): Promise<boolean> {
  const told = new Set<string>();
  const startedAt = performance.now();
  let group = groupIn(of.groupFile);
  let isFirst = true;
  for (;;) {
    const isLate = performance.now() - startedAt >= graceMs;
    const found = processesMarked(...of.mark);
    for (const { identity } of found) {
      const id = `${identity.pid} ${identity.startTime}`;
      if (isLate || !told.has(id)) send(identity.pid, isLate ? "SIGKILL" : "SIGTERM");
      told.add(id);
    }
    // Once it is gone its number may become somebody else's.
    if (group !== undefined && !send(-group, isLate ? "SIGKILL" : isFirst ? "SIGTERM" : 0)) group = undefined;
    isFirst = false;
    if (found.length === 0 && group === undefined) return true;
    if (performance.now() - startedAt > graceMs + limits.stepKillMs) return false;
    await pause(lookMs, signal);
  }
}

function groupIn(file: string | undefined): number | undefined {
  if (file === undefined) return undefined;
  try {
    const group = Number.parseInt(readFileSync(file, "utf8"), 10);
    return group > 1 ? group : undefined;
  } catch {
    return undefined; // The step had not begun.
  }
}

/** False when there is none. One that belongs to another user is there, and cannot be told. */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

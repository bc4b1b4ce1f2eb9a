/**
 * The lock file of actions, `.seatrial/actions.lock` in the repository: which commit each `owner/repo@ref` is. Lines, sorted,
 * so that two branches that add different ones merge; made by `seatrial actions lock`, read by the server at each job.
 *
 * ```
 * # Made by `seatrial actions lock`.
 * actions/setup-go@v5 d35c59abb061a4a6fb18e82ac0862c26744d6ab5
 * ```
 */
import { InvalidError, type Problem } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { isCommitId, parseUses, pinOf, usesMistake } from "./uses.ts";

/** Where it is in a repository. */
export const lockPath = ".seatrial/actions.lock";

/** Commits by `owner/repo@ref`. */
export type ActionsLock = ReadonlyMap<string, string>;

/** @throws InvalidError with each line that is wrong. */
export function readLock(text: string, file: string = lockPath): ActionsLock {
  const lock = new Map<string, string>();
  const problems: Problem[] = [];
  const report = (line: number, message: string) => problems.push({ place: { file, line, column: 1 }, path: "", message });
  const lines = text.split("\n");
  if (lines.length > limits.lockedActions) report(1, `has ${lines.length} lines, and can have at most ${limits.lockedActions}`);
  for (const [index, line] of lines.slice(0, limits.lockedActions).entries()) {
    const content = line.replace(/(^|\s)#.*$/, "").trim();
    if (content === "") continue;
    const [name = "", commit = "", ...rest] = content.split(/\s+/);
    const mistake = usesMistake(name);
    const uses = mistake === undefined ? parseUses(name) : undefined;
    if (mistake !== undefined) report(index + 1, `${name}: ${mistake}`);
    else if (uses?.kind !== "repository" || uses.path !== "") report(index + 1, `${name} must be owner/repo@ref`);
    else if (!isCommitId(commit) || rest.length > 0) report(index + 1, `${name} must be followed by a commit, 40 digits`);
    else if (lock.has(name)) report(index + 1, `${name} is there twice`);
    else lock.set(pinOf(uses), commit);
  }
  if (problems.length > 0) throw new InvalidError(problems);
  return lock;
}

export function writeLock(lock: ActionsLock): string {
  const lines = [...lock].map(([name, commit]) => `${name} ${commit}`).sort();
  return ["# Which commit each action is. Made by `seatrial actions lock`; `seatrial actions check` compares it.", ...lines, ""].join("\n");
}

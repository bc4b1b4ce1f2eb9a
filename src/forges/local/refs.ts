/**
 * The refs of a repository on disk, and what became of them since they were last seen: the local forge's events. No hook is put into
 * the user's repository: refs are compared with a state that the caller stores together with the events, so that a
 * restart loses and repeats none.
 */
import { type FSWatcher, watch } from "node:fs";
import { join } from "node:path";
import { SeatrialError } from "../../base/errors.ts";
import type { Environment } from "../../base/environment.ts";
import { limits } from "../../base/limits.ts";
import { git } from "../../git/git.ts";

/** Commits by ref: branches, tags, and `refs/pull/N/head`. */
export type Refs = Readonly<Record<string, string>>;

/** What the caller stores between two looks. */
export interface SeenRefs {
  /** Changes told so far: the deliveries' ids are made of it. */
  counter: number;
  refs: Refs;
}

export interface RefChange {
  ref: string;
  before: string | undefined;
  after: string | undefined;
}

/** @throws SeatrialError `refused` when there are more than {@link limits.forgeHeads}. */
export async function readRefs(environment: Environment, folder: string, signal?: AbortSignal): Promise<Refs> {
  // A tag with a message is an object of its own: the second field is its commit then.
  const format = "%(refname) %(objectname) %(*objectname) %(objecttype) %(*objecttype)";
  const kinds = ["refs/heads", "refs/tags", "refs/pull"];
  const { stdout } = await git(environment, ["for-each-ref", `--format=${format}`, ...kinds], { folder, signal });
  const lines = stdout.split("\n").filter(Boolean);
  if (lines.length > limits.forgeHeads) {
    throw new SeatrialError("refused", `${folder} has ${lines.length} branches, tags and pull requests; ${limits.forgeHeads} are followed`);
  }
  return Object.fromEntries(
    lines.flatMap((line) => {
      const [ref, id, peeled, ...types] = line.split(" ") as [string, string, string, string];
      if (!types.includes("commit")) return [];
      return /^refs\/(heads|tags)\/|^refs\/pull\/[1-9]\d{0,8}\/head$/.test(ref) ? [[ref, peeled || id]] : [];
    }),
  );
}

/** What differs, by name of the ref. Pure. */
export function changesBetween(before: Refs, after: Refs): RefChange[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names]
    .filter((ref) => before[ref] !== after[ref])
    .toSorted()
    .map((ref) => ({ ref, before: before[ref], after: after[ref] }));
}

/**
 * Calls `wake` soon after refs may have changed, and once in {@link limits.localForgePollMs} in any case: the file system's own
 * news are quick but not sure. Never called twice at once for one change; whoever is woken looks.
 */
export function watchRefs(folder: string, wake: () => void): Disposable {
  const watchers: FSWatcher[] = [];
  let settling: NodeJS.Timeout | undefined;
  const soon = () => {
    settling ??= setTimeout(() => {
      settling = undefined;
      wake();
    }, limits.localForgeSettleMs);
  };
  for (const [path, recursive] of [
    [folder, false],
    [join(folder, "refs"), true],
  ] as const) {
    try {
      // A folder that goes, or too many watches on this machine: then the poll alone tells.
      watchers.push(watch(path, { recursive, persistent: false }, soon).on("error", () => {}));
    } catch {
      continue;
    }
  }
  const poll = setInterval(wake, limits.localForgePollMs);
  return {
    [Symbol.dispose]: () => {
      clearInterval(poll);
      clearTimeout(settling);
      for (const watcher of watchers) watcher.close();
    },
  };
}

/**
 * Which paths differ between two commits, for the `paths` of a workflow: level by level, as `git diff-tree -r` looks into all folders
 * before it says anything. A tree that names itself is a few kilobytes, and a million million folders.
 */
import type { Environment } from "../base/environment.ts";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { CommandFailedError } from "../process/run.ts";
import { git } from "./git.ts";
import { treesOf } from "./trees.ts";

export interface ChangedPaths {
  /** No more than {@link limits.gitChangedPaths}. */
  paths: string[];
  isComplete: boolean;
}

/** A folder that may differ: its trees before and after. */
interface Folder {
  /** With a slash at the end; empty for the root. */
  path: string;
  trees: string;
}

interface Entry {
  path: string;
  before: Side;
  after: Side;
}

interface Side {
  /** As a tree has it; zeros when there is nothing. */
  mode: string;
  id: string;
}

const noMode = "000000";
const folderMode = "040000";

/**
 * Paths that differ, a renamed file as two.
 * @param folder a bare repository. @throws SeatrialError `not-found` when a commit is not there; what git throws.
 */
export async function changedPaths(
  environment: Environment,
  folder: string,
  commits: readonly [from: string, to: string],
  signal?: AbortSignal,
): Promise<ChangedPaths> {
  const trees = await treesOf(environment, folder, commits);
  const missing = commits.filter((_, index) => trees[index] === undefined);
  if (missing.length > 0) throw new SeatrialError("not-found", `${folder} has no commit ${missing.join(", ")}`);
  const paths = new Set<string>();
  let level: Folder[] = [{ path: "", trees: trees.join(" ") }];
  let looked = 0;
  while (level.length > 0 && paths.size <= limits.gitChangedPaths) {
    looked += level.length;
    const entries = looked > limits.gitChangedFolders ? undefined : await entriesOf(environment, folder, level, signal);
    if (!entries) return { paths: firstOf(paths), isComplete: false };
    level = [];
    for (const { path, before, after } of entries) {
      const sides = [before, after];
      if (sides.some(({ mode }) => mode !== noMode && mode !== folderMode)) paths.add(path);
      if (sides.some(({ mode }) => mode === folderMode)) level.push({ path: `${path}/`, trees: sides.map(treeOf).join(" ") });
    }
  }
  return { paths: firstOf(paths), isComplete: level.length === 0 && paths.size <= limits.gitChangedPaths };
}

function firstOf(paths: ReadonlySet<string>): string[] {
  return [...paths].toSorted().slice(0, limits.gitChangedPaths);
}

/** What is no folder has nothing in it; git knows the tree without entries by heart. */
function treeOf({ mode, id }: Side): string {
  if (mode === folderMode) return id;
  return id.length === 40 ? "4b825dc642cb6eb9a060e54bf8d69288fbee4904" : "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321";
}

/** What differs in the folders, not below them; undefined when it is more than is taken of a command's output. */
async function entriesOf(
  environment: Environment,
  folder: string,
  folders: readonly Folder[],
  signal: AbortSignal | undefined,
): Promise<Entry[] | undefined> {
  const args = ["diff-tree", "--stdin", "--raw", "-z", "--no-abbrev", "--no-renames"];
  const input = folders.map(({ trees }) => `${trees}\n`).join("");
  const output = await git(environment, args, { folder, input, signal }).catch((error: unknown) => {
    if (error instanceof CommandFailedError && error.exitCode === undefined) return undefined;
    throw error;
  });
  return output && readEntries(output.stdout, folders);
}

/** For each folder a line with its trees, then `:MODE MODE ID ID STATUS NUL NAME NUL` for each entry (git-diff-tree, "Raw output format"). */
function readEntries(text: string, folders: readonly Folder[]): Entry[] {
  const found: Entry[] = [];
  let next = 0;
  for (let at = 0; at < text.length;) {
    if (text[at] !== ":") {
      at = endOf(text, "\n", at) + 1;
      next++;
      continue;
    }
    const afterMeta = endOf(text, "\0", at);
    const end = endOf(text, "\0", afterMeta + 1);
    const [modeBefore, modeAfter, before, after] = text.slice(at + 1, afterMeta).split(" ") as [string, string, string, string];
    const path = folders[next - 1]!.path + text.slice(afterMeta + 1, end);
    found.push({ path, before: { mode: modeBefore, id: before }, after: { mode: modeAfter, id: after } });
    at = end + 1;
  }
  return found;
}

function endOf(text: string, mark: string, from: number): number {
  const found = text.indexOf(mark, from);
  return found < 0 ? text.length : found;
}

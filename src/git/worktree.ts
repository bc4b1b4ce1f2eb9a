/**
 * A working tree as a commit: what `seatrial run` runs on, with everything that is not committed yet.
 *
 * It is the user's own repository on the user's own machine, so the user's settings count: what is ignored, line ends, and
 * filters such as that of Git LFS, so that its files stay pointers. Like `git stash create` it only adds objects: no
 * index, ref, stash or file of the user's is touched. Nothing refers to the commit: git keeps it for two weeks.
 */
import { copyFile, mkdtemp, rm, stat, utimes } from "node:fs/promises";
import { devNull } from "node:os";
import { isAbsolute, join } from "node:path";
import type { Environment } from "../base/environment.ts";
import { SeatrialError, systemCodeOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { CommandFailedError, run } from "../process/run.ts";
import { type GitSetting, settingsInEnvironment } from "./git.ts";
import { mergeIdentity } from "./mirror.ts";

export interface Snapshot {
  /** The root of the working tree. */
  folder: string;
  /** What is checked out; undefined before the first commit. */
  head: string | undefined;
  /** `head` itself when nothing differs from it, else a commit upon it. The same content upon the same head has the same id. */
  commit: string;
}

/** Nothing of the user's runs beside filters, and nothing is said about what we do on purpose. */
const settings: readonly GitSetting[] = [
  ["core.hooksPath", devNull],
  ["core.fsmonitor", "false"],
  ["core.safecrlf", "false"],
  ["advice.addEmbeddedRepo", "false"],
  ["i18n.commitEncoding", "UTF-8"],
  ["gc.auto", "0"],
];

/**
 * Commits what is in a working tree: tracked files as they are, and new ones that are not ignored. Submodules are recorded by
 * the commit that they are at.
 * @param folder any folder of it.
 * @param options.tempDir for the index that is thrown away; must exist.
 * @throws SeatrialError `not-found` when there is no working tree; what {@link run} throws.
 */
export async function snapshotWorktree(
  environment: Environment,
  folder: string,
  options: { tempDir: string; signal?: AbortSignal | undefined },
): Promise<Snapshot> {
  const variables = Object.fromEntries(Object.entries(environment.variables).filter(([name]) => !name.startsWith("GIT_")));
  const base = { ...variables, ...settingsInEnvironment(settings), GIT_TERMINAL_PROMPT: "0", GIT_OPTIONAL_LOCKS: "0", LC_ALL: "C" };
  const git = async (
    cwd: string,
    args: readonly string[],
    more: { env?: Record<string, string>; input?: string; okCodes?: number[] } = {},
  ) => await run("git", args, { cwd, timeoutMs: limits.gitCommandMs, signal: options.signal, ...more, env: { ...base, ...more.env } });

  const [root, indexPath] = await rootOf(git, folder);
  const asked = await git(root, ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], { okCodes: [0, 1] });
  const head = asked.exitCode === 0 ? asked.stdout : undefined;
  const scratch = await mkdtemp(join(options.tempDir, "index-"));
  try {
    const env = { GIT_INDEX_FILE: join(scratch, "index") };
    const index = isAbsolute(indexPath) ? indexPath : join(root, indexPath);
    if (!(await copyIndex(index, env.GIT_INDEX_FILE)) && head !== undefined) await git(root, ["read-tree", head], { env });
    await git(root, ["add", "--all"], { env });
    const tree = (await git(root, ["write-tree"], { env })).stdout;
    if (head === undefined) return { folder: root, head, commit: await commit(tree, [], 0) };
    const [headTree, time] = (await git(root, ["log", "-1", "--no-show-signature", "--format=%T %ct", head, "--"])).stdout.split(" ");
    return { folder: root, head, commit: tree === headTree ? head : await commit(tree, ["-p", head], Number(time)) };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }

  async function commit(tree: string, parents: readonly string[], time: number): Promise<string> {
    return (await git(root, ["commit-tree", tree, ...parents], { env: mergeIdentity(time), input: "The working tree\n" })).stdout;
  }
}

async function rootOf(
  git: (cwd: string, args: readonly string[]) => Promise<{ stdout: string }>,
  folder: string,
): Promise<[string, string]> {
  try {
    const root = (await git(folder, ["rev-parse", "--show-toplevel"])).stdout;
    return [root, (await git(root, ["rev-parse", "--git-path", "index"])).stdout];
  } catch (error) {
    if (!(error instanceof CommandFailedError)) throw error;
    const said = error.stderr.split("\n")[0];
    throw new SeatrialError("not-found", `${folder} is not in a working tree of git: ${said}`, {
      hint: "run the command in a repository, or make one with git init",
      cause: error,
    });
  }
}

/** The index says which files are unchanged, so that only the others are read. False when there is none. */
async function copyIndex(from: string, to: string): Promise<boolean> {
  try {
    const before = await stat(from);
    await copyFile(from, to);
    // git distrusts entries as young as the index itself; a copy that looked younger would hide a change of that moment.
    const seconds = Math.floor(before.mtimeMs / 1000);
    await utimes(to, seconds, seconds);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return false;
    throw error;
  }
}

/**
 * Mirrors: a bare repository in our data folder for each repository of a forge. Workflow files are read from it, base and
 * heads are merged in it, and runners check out from it (upload-pack.ts), so that the forge is asked once for each commit.
 *
 * Everything that was fetched or made is held by a ref, `refs/seatrial/kept/DAY/COMMIT`, by the day on which it was: `maintain` drops
 * the old days, and git's own collection does the rest.
 */
import { join } from "node:path";
import type { Environment } from "../base/environment.ts";
import { SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { lock } from "../process/lock.ts";
import { CommandFailedError, type RunResult } from "../process/run.ts";
import { checkCommit, checkPath, checkRef, git, type GitOptions, gitRemote, type GitSource, settingsOf } from "./git.ts";

const keptPrefix = "refs/seatrial/kept/";

/** A merge that git could not make by itself. */
export class MergeConflictError extends SeatrialError {
  /** Paths that conflict; empty when the histories have nothing in common. */
  readonly files: readonly string[];

  constructor(base: string, head: string, files: readonly string[]) {
    const shown = files.slice(0, limits.errorTailLines);
    const rest = files.length > shown.length ? `, and ${files.length - shown.length} more` : "";
    const why = files.length > 0 ? `conflicts in ${shown.join(", ")}${rest}` : "their histories have nothing in common";
    super("conflict", `${head} cannot be merged into ${base}: ${why}`, { hint: "merge or rebase the branch by hand" });
    this.name = "MergeConflictError";
    this.files = files;
  }
}

/** A file of a commit. */
export interface MirrorFile {
  /** From the root of the repository. */
  path: string;
  bytes: number;
}

export interface Wanted {
  /** Commits by their id; those that are there already cost nothing. */
  commits?: readonly string[];
  /** Refs by name, or all that match a pattern with one `*`. They get the same name here; those that are gone there go here. */
  refs?: readonly string[];
  /** Whether commits come without their history: for files of theirs it is not needed. */
  isShallow?: boolean;
}

/** All mirrors of one data folder. */
export class Mirrors implements AsyncDisposable {
  readonly #environment: Environment;
  readonly #folder: string;
  readonly #now: () => Date;
  readonly #abort = new AbortController();
  readonly #mirrors = new Map<string, Mirror>();

  constructor(options: { environment: Environment; folder: string; now: () => Date }) {
    this.#environment = options.environment;
    this.#folder = options.folder;
    this.#now = options.now;
  }

  /**
   * The mirror of a repository, by the forge's name in the configuration and the forge's id of the repository: a name can move.
   * The same object for the same repository; nothing is made yet.
   */
  of(forge: string, repositoryId: string): Mirror {
    for (const part of [forge, repositoryId]) {
      if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/.test(part)) {
        throw new SeatrialError("invalid", `${JSON.stringify(part.slice(0, 140))} cannot name a mirror`);
      }
    }
    const folder = join(this.#folder, forge, `${repositoryId}.git`);
    let mirror = this.#mirrors.get(folder);
    if (!mirror) {
      mirror = new Mirror(this.#environment, folder, this.#now, this.#abort.signal);
      this.#mirrors.set(folder, mirror);
    }
    return mirror;
  }

  /** Ends every git command that still runs. */
  async close(): Promise<void> {
    this.#abort.abort(new SeatrialError("aborted", "the mirrors were closed"));
    await Promise.all([...this.#mirrors.values()].map(async (mirror) => await mirror.idle()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * One mirror. All calls may be made at once: fetches take turns, and one that finds its commits fetched by another is done.
 * A caller's signal ends its waiting, not a fetch that others share.
 */
export class Mirror {
  readonly folder: string;
  readonly #environment: Environment;
  readonly #now: () => Date;
  readonly #signal: AbortSignal;
  #made: Promise<void> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  /** Fetches that wait or run, by what they want. */
  readonly #fetches = new Map<string, Promise<void>>();

  constructor(environment: Environment, folder: string, now: () => Date, signal: AbortSignal) {
    this.#environment = environment;
    this.folder = folder;
    this.#now = now;
    this.#signal = signal;
  }

  /**
   * Makes the commits and refs be here.
   * @throws SeatrialError `not-found` when the repository or a commit is not there; `refused` when the credentials do not do;
   * `unreachable` or `timeout`, retryable, when the forge did not answer.
   */
  async fetch(source: GitSource, wanted: Wanted, signal?: AbortSignal): Promise<void> {
    const commits = [...new Set(wanted.commits)].map(checkCommit);
    const refs = [...new Set(wanted.refs)].map(checkRef);
    const settings = settingsOf(source);
    signal?.throwIfAborted();
    if (refs.length === 0 && (await this.#missing(commits)).length === 0) return;
    const key = JSON.stringify([source.url, commits, refs, wanted.isShallow]);
    let fetch = this.#fetches.get(key);
    if (!fetch) {
      fetch = this.#turn.then(async () => {
        const missing = await this.#missing(commits);
        if (missing.length > 0)
          await this.#fetch(
            source,
            settings,
            missing.map((id) => `+${id}:${this.#keptRef(id)}`),
            wanted.isShallow ? ["--depth=1"] : [],
          );
        if (refs.length > 0)
          await this.#fetch(
            source,
            settings,
            refs.map((ref) => `+${ref}:${ref}`),
            ["--prune"],
          );
      });
      this.#fetches.set(key, fetch);
      this.#turn = fetch.catch(() => {}).finally(() => this.#fetches.delete(key));
    }
    await untilAborted(fetch, signal);
  }

  /** Whether a commit is here, with everything that it needs. */
  async hasCommit(id: string): Promise<boolean> {
    return (await this.#missing([checkCommit(id)])).length === 0;
  }

  /**
   * A text file of a commit; undefined when there is none at this path.
   * @throws SeatrialError `invalid` when it is no regular file (a link is not followed), or has more than `maxBytes`.
   */
  async readFile(commit: string, path: string, maxBytes: number = limits.gitFileBytes): Promise<string | undefined> {
    const [entry] = await this.#entries(checkCommit(commit), checkPath(path));
    if (!entry) return undefined;
    if (!entry.isFile) throw new SeatrialError("invalid", `${path} at ${commit} is not a regular file`);
    if (entry.bytes > maxBytes)
      throw new SeatrialError("invalid", `${path} at ${commit} has ${entry.bytes} bytes; ${maxBytes} are allowed`);
    const { stdout } = await this.#git(["cat-file", "--batch"], { input: `${entry.id}\n` });
    return stdout.slice(stdout.indexOf("\n") + 1);
  }

  /** The regular files in a folder of a commit, not those in folders below it, by name; none when there is no such folder. */
  async listFiles(commit: string, folder: string): Promise<MirrorFile[]> {
    const entries = await this.#entries(checkCommit(commit), `${checkPath(folder)}/`);
    return entries.filter(({ isFile }) => isFile).map(({ path, bytes }) => ({ path, bytes }));
  }

  /** Whether the second commit has the first in its history. A commit is its own ancestor. */
  async isAncestor(ancestor: string, of: string): Promise<boolean> {
    const args = ["merge-base", "--is-ancestor", checkCommit(ancestor), checkCommit(of)];
    return (await this.#git(args, { okCodes: [0, 1] })).exitCode === 0;
  }

  /** The commit from which two went apart; undefined when they have nothing in common. */
  async mergeBase(one: string, other: string): Promise<string | undefined> {
    const { stdout, exitCode } = await this.#git(["merge-base", checkCommit(one), checkCommit(other)], { okCodes: [0, 1] });
    return exitCode === 0 ? stdout : undefined;
  }

  /**
   * Paths that differ between two commits, a renamed file as two. For what a pull request changes, `from` is the merge base.
   * No more than {@link limits.gitChangedPaths}: then `isComplete` is false.
   */
  async changedPaths(from: string, to: string): Promise<{ paths: string[]; isComplete: boolean }> {
    const args = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", checkCommit(from), checkCommit(to)];
    const all = (await this.#git(args)).stdout.split("\0").filter(Boolean);
    return { paths: all.slice(0, limits.gitChangedPaths), isComplete: all.length <= limits.gitChangedPaths };
  }

  /** The message of a commit, whole. */
  async messageOf(commit: string): Promise<string> {
    return (await this.#git(["log", "-1", "--no-show-signature", "--format=%B", checkCommit(commit), "--"])).stdout;
  }

  /**
   * The merge of heads into a base, in order, as one commit: the base itself without heads. The same commits give the same id
   * on every machine: author, dates and message follow from them, and no attributes or settings count.
   * @throws {@link MergeConflictError}; SeatrialError `not-found` when a commit is not here.
   */
  async mergeOf(base: string, heads: readonly string[]): Promise<string> {
    const commits = [base, ...heads].map(checkCommit);
    const missing = await this.#missing(commits);
    if (missing.length > 0) throw new SeatrialError("not-found", `the mirror ${this.folder} has no commit ${missing.join(", ")}`);
    if (heads.length === 0) return base;
    const times = (await this.#git(["log", "--no-walk=unsorted", "--format=%ct", ...commits, "--"])).stdout.split("\n").map(Number);
    const env = mergeIdentity(Math.max(...times));
    const commitTree = async (tree: string, parents: readonly string[]) => {
      const args = ["commit-tree", tree, ...parents.flatMap((parent) => ["-p", parent])];
      const message = `Merge ${parents.slice(1).join(", ")} into ${parents[0]}\n`;
      return (await this.#git(args, { env, input: message, settings: [["i18n.commitEncoding", "UTF-8"]] })).stdout;
    };
    let current = base;
    let tree = "";
    for (const [index, head] of heads.entries()) {
      tree = await this.#mergeTrees(current, head);
      if (index < heads.length - 1) current = await commitTree(tree, [current, head]);
    }
    const merge = await commitTree(tree, commits);
    await this.keep(merge);
    return merge;
  }

  /** Holds a commit, and all that it needs, from today on for as long as {@link maintain} is told to. */
  async keep(commit: string): Promise<void> {
    await this.#git(["update-ref", this.#keptRef(checkCommit(commit)), commit]);
  }

  /** Lets go of what was not used for so many days, and packs what is left when it is worth the work. */
  async maintain(keptDays: number): Promise<void> {
    const oldest = dayOf(new Date(this.#now().getTime() - keptDays * 86_400_000));
    const refs = (await this.#git(["for-each-ref", "--format=%(refname)", keptPrefix])).stdout.split("\n").filter(Boolean);
    const old = refs.filter((ref) => ref.slice(keptPrefix.length) < oldest);
    if (old.length > 0) await this.#git(["update-ref", "--stdin"], { input: old.map((ref) => `delete ${ref}\n`).join("") });
    await this.#git(["gc", "--auto", "--quiet"], {
      settings: [
        ["gc.auto", "6700"],
        ["gc.autoDetach", "false"],
      ],
      timeoutMs: limits.gitFetchMs,
    });
  }

  /** Resolves when no fetch runs. */
  async idle(): Promise<void> {
    await this.#turn;
  }

  async #mergeTrees(ours: string, theirs: string): Promise<string> {
    let merged: RunResult;
    try {
      const args = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs];
      merged = await this.#git(args, { okCodes: [0, 1] });
    } catch (error) {
      if (error instanceof CommandFailedError && /unrelated histories/.test(error.stderr)) throw new MergeConflictError(ours, theirs, []);
      throw error;
    }
    const [tree, ...files] = merged.stdout.split("\0").filter(Boolean);
    if (merged.exitCode === 1) throw new MergeConflictError(ours, theirs, files);
    return tree!;
  }

  async #entries(commit: string, path: string): Promise<{ id: string; path: string; bytes: number; isFile: boolean }[]> {
    const { stdout } = await this.#git(["ls-tree", "-z", "-l", "--full-tree", commit, "--", path]);
    return stdout
      .split("\0")
      .filter(Boolean)
      .map((line) => {
        const [, mode, id, bytes, name] = /^(\d+) \w+ ([0-9a-f]+) +(\S+)\t([^]*)$/.exec(line)!;
        return { id: id!, path: name!, bytes: Number(bytes), isFile: mode === "100644" || mode === "100755" };
      });
  }

  async #missing(commits: readonly string[]): Promise<string[]> {
    if (commits.length === 0) return [];
    const { stdout } = await this.#git(["cat-file", "--batch-check=%(objectname) %(objecttype)"], { input: `${commits.join("\n")}\n` });
    const present = new Set(stdout.split("\n").filter((line) => line.endsWith(" commit")));
    return commits.filter((id) => !present.has(`${id} commit`));
  }

  async #fetch(
    source: GitSource,
    settings: ReturnType<typeof settingsOf>,
    refspecs: readonly string[],
    flags: readonly string[],
  ): Promise<void> {
    const quiet = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-show-forced-updates"];
    try {
      await this.#ready();
      const options = { folder: this.folder, settings, timeoutMs: limits.gitFetchMs, signal: this.#signal };
      await gitRemote(this.#environment, ["fetch", ...quiet, ...flags, "--", source.url, ...refspecs], options);
    } catch (error) {
      throw fetchError(source, error);
    }
  }

  #keptRef(commit: string): string {
    return `${keptPrefix}${dayOf(this.#now())}/${commit}`;
  }

  async #ready(): Promise<void> {
    this.#made ??= this.#make();
    try {
      await this.#made;
    } catch (error) {
      this.#made = undefined; // The next call tries again.
      throw error;
    }
  }

  async #git(args: readonly string[], options: GitOptions = {}): Promise<RunResult> {
    await this.#ready();
    return await git(this.#environment, args, { folder: this.folder, signal: this.#signal, ...options });
  }

  /** What is there already is left as it is; what a kill left half-made is completed. */
  async #make(): Promise<void> {
    makeFolder(this.folder, 0o700);
    using _lock = await lock(join(this.folder, "seatrial.lock"), `mirror ${this.folder}`, this.#signal);
    await git(this.#environment, ["init", "--quiet", "--bare", "--template=", "--", this.folder], { signal: this.#signal });
    // Newer versions of git take attributes, and with them ways to merge, from HEAD: it names nothing.
    await git(this.#environment, ["symbolic-ref", "HEAD", "refs/seatrial/none"], { folder: this.folder, signal: this.#signal });
  }
}

/** Author, committer and dates of a merge: what it is made of decides, not when or where. */
export function mergeIdentity(time: number): Record<string, string> {
  const who = { NAME: "Seatrial", EMAIL: "merge@seatrial.invalid", DATE: `@${time} +0000` };
  return Object.fromEntries(
    ["AUTHOR", "COMMITTER"].flatMap((role) => Object.entries(who).map(([name, value]) => [`GIT_${role}_${name}`, value])),
  );
}

function dayOf(time: Date): string {
  return time.toISOString().slice(0, 10);
}

function fetchError(source: GitSource, error: unknown): unknown {
  const what = `cannot fetch from ${source.url}`;
  if (error instanceof CommandFailedError) {
    const said = error.stderr.trim().split("\n").slice(0, limits.errorTailLines).join("; ");
    if (/not our ref|couldn't find remote ref|unadvertised object|does not appear to be a git|repository '.*' not found/i.test(said)) {
      return new SeatrialError("not-found", `${what}: ${said}`, { cause: error });
    }
    if (/Authentication failed|could not read (Username|Password)|returned error: 40[13]|dubious ownership/i.test(said)) {
      return new SeatrialError("refused", `${what}: ${said}`, { cause: error, hint: "check the forge's token and what it may read" });
    }
    return new SeatrialError("unreachable", `${what}: ${said}`, { cause: error, retryable: true });
  }
  if (error instanceof SeatrialError && error.code === "timeout") {
    return new SeatrialError("timeout", `${what}: ${error.message}`, { cause: error, retryable: true });
  }
  return error;
}

/** The promise, or the signal's reason when that comes first; the work goes on. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return await work;
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

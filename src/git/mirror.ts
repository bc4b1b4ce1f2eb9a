/**
 * A mirror: a bare repository in our data folder for a repository of a forge. Workflow files are read from it, base and
 * heads are merged in it, and runners check out from it (upload-pack.ts), so that the forge is asked once for each commit.
 *
 * Everything that was fetched, made or used is held by a ref, `refs/seatrial/kept/DAY/COMMIT`, of the last day on which it was.
 * {@link Mirror.maintain} packs what is held, and only then lets go of the old days: what nothing holds is then younger than the pack, and
 * git keeps it for {@link limits.gitGraceMs}. Somebody may find it there meanwhile, and hold it again.
 *
 * A fetch brings its pack to a folder of its own, `incoming/`, and only one that is whole comes from there to the others. What a kill
 * leaves there is removed when it is older than any fetch can be.
 */
import { rename, rm, utimes, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Environment } from "../base/environment.ts";
import { SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { lock, tryLock } from "../process/lock.ts";
import { CommandFailedError, type RunResult } from "../process/run.ts";
import { type ChangedPaths, changedPaths } from "./changed-paths.ts";
import { fetchCommits } from "./fetch.ts";
import { checkCommit, checkPath, git, type GitOptions, gitRemote, type GitSetting, type GitSource, settingsOf } from "./git.ts";
import { bytesIn, changedMsOf, gonePrefix, hasManyFiles, keptRefs, packs, sweep } from "./mirror-folder.ts";

/** In the folder of a mirror, beside what git has there. */
const openLock = "seatrial.lock";
const collectedFile = "seatrial.collected";

/** Jobs run on this machine too. */
const packSettings: readonly GitSetting[] = [
  ["pack.threads", "1"],
  ["pack.windowMemory", "256m"],
];

/** A merge that git could not make by itself. */
export class MergeConflictError extends SeatrialError {
  /** In words; paths that conflict are among them. */
  readonly why: string;
  /** Whether another base may help. */
  readonly mayPass: boolean;

  /** @param cause paths that conflict, none when the histories have nothing in common; or what git could not do. */
  constructor(base: string, head: string, cause: readonly string[] | SeatrialError) {
    const why = cause instanceof SeatrialError ? cause.message : whyOf(cause);
    super("conflict", `${head} cannot be merged into ${base}: ${why}`, { hint: "merge or rebase the branch by hand", cause });
    this.name = "MergeConflictError";
    this.why = why;
    this.mayPass = !(cause instanceof SeatrialError);
  }
}

function whyOf(files: readonly string[]): string {
  if (files.length === 0) return "their histories have nothing in common";
  const shown = files.slice(0, limits.errorTailLines);
  const rest = files.length > shown.length ? `, and ${files.length - shown.length} more` : "";
  return `conflicts in ${shown.join(", ")}${rest}`;
}

/** A file of a commit. */
export interface MirrorFile {
  /** From the root of the repository. */
  path: string;
  bytes: number;
}

export interface Wanted {
  /** Commits by their id; those that are there already are not fetched again. */
  commits: readonly string[];
  /** Whether commits come without their history: for files of theirs it is not needed. */
  isShallow?: boolean;
  /** Most that may come. Default: {@link limits.gitFetchBytes}. */
  maxBytes?: number;
}

/** A ref that holds a commit. */
interface Held {
  day: string;
  commit: string;
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
  /** Commits that this process has held today. */
  #kept = { day: "", commits: new Set<string>() };
  /** How many hold, or make, what was perhaps let go of: no collection begins meanwhile. */
  #holding = 0;
  #collecting: Promise<unknown> | undefined;

  constructor(environment: Environment, folder: string, now: () => Date, signal: AbortSignal) {
    this.#environment = environment;
    this.folder = folder;
    this.#now = now;
    this.#signal = signal;
  }

  /**
   * Makes the commits be here, and holds them.
   * @throws SeatrialError `not-found` when the repository or a commit is not there; `refused` when the credentials do not do;
   * `invalid` when it is too large, or bad; `unreachable` or `timeout`, retryable, when the forge did not answer.
   */
  async fetch(source: GitSource, wanted: Wanted, signal?: AbortSignal): Promise<void> {
    const commits = [...new Set(wanted.commits)].map(checkCommit);
    settingsOf(source); // Whether it may be fetched from.
    signal?.throwIfAborted();
    if ((await untilAborted(this.keep(commits), signal)).length === 0) return;
    const key = JSON.stringify([source.url, commits, wanted.isShallow]);
    let fetch = this.#fetches.get(key);
    if (!fetch) {
      fetch = this.#turn.then(async () => {
        const missing = await this.keep(commits);
        if (missing.length === 0) return;
        await this.#ready();
        const { isShallow = false, maxBytes = limits.gitFetchBytes } = wanted;
        const { folder } = this;
        const given = { environment: this.#environment, folder, commits: missing, isShallow, maxBytes, signal: this.#signal };
        await fetchCommits(source, given);
        await this.#holdFast(missing);
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
  async changedPaths(from: string, to: string): Promise<ChangedPaths> {
    await this.#ready();
    return await changedPaths(this.#environment, this.folder, [from, to], this.#signal);
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
    return await this.#hold(async () => await this.#mergeOf(base, heads));
  }

  async #mergeOf(base: string, heads: readonly string[]): Promise<string> {
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
    await this.#holdFast([merge]);
    return merge;
  }

  /**
   * Holds commits, and all that they need, from today on for as long as {@link maintain} is told to. Once a day it costs something.
   * @returns those that are not here.
   */
  async keep(commits: readonly string[]): Promise<string[]> {
    const today = this.#keptToday();
    const others = commits.map(checkCommit).filter((commit) => !today.has(commit));
    if (others.length === 0) return [];
    // What is not here is nobody's to remove.
    if (this.#collecting && (await this.#missing(others)).length === others.length) return others;
    return await this.#hold(async () => {
      const missing = await this.#missing(others);
      await this.#holdFast(others.filter((commit) => !missing.includes(commit)));
      return missing;
    });
  }

  /**
   * Makes one pack of many, as soon as there are many; from time to time packs all that is held and lets go of what was not kept for so
   * many days. A process of git that takes too long is ended, and leaves all as it was.
   * @param held commits that stay, however old; they are kept anew. @returns whether it was removed, as nothing is held in it any more.
   */
  async maintain(
    keptDays: number,
    held: () => Promise<ReadonlySet<string>> = async () => await Promise.resolve(new Set()),
    signal?: AbortSignal,
  ): Promise<boolean> {
    const openedMs = await changedMsOf(join(this.folder, "HEAD")); // What follows opens it too.
    using collects = tryLock(join(this.folder, "seatrial.collect"));
    if (!collects) return false; // Another process is at it.
    await sweep(this.folder, this.#now());
    const ageMs = this.#now().getTime() - (await changedMsOf(join(this.folder, collectedFile)));
    if (ageMs >= limits.gitCollectEveryMs) {
      await this.#collect(keptDays, await held(), signal);
      return this.#now().getTime() - openedMs >= limits.gitMirrorUnusedMs && (await this.remove("when-empty"));
    }
    if (await hasManyFiles(this.folder)) await this.#pack(["--geometric=2"], signal);
    return false;
  }

  /** Removes the mirror unless somebody is at work in it; the next use makes it anew. @returns whether it did. */
  async remove(when: "always" | "when-empty" = "always"): Promise<boolean> {
    if (this.#fetches.size > 0) return false;
    return await this.#alone(async () => {
      using opens = tryLock(join(this.folder, openLock));
      if (!opens || (when === "when-empty" && (await this.#refs()).length > 0)) return false;
      // One step, whatever comes: what is half removed is no mirror any more.
      const gone = join(dirname(this.folder), `${gonePrefix}${basename(this.folder)}`);
      await rm(gone, { recursive: true, force: true });
      await rename(this.folder, gone);
      this.#made = undefined;
      this.#kept = { day: "", commits: new Set() };
      await rm(gone, { recursive: true, force: true });
      return true;
    });
  }

  /** What its packs take. */
  async bytes(): Promise<number> {
    return await bytesIn(join(this.folder, packs));
  }

  /** The last day on which something was fetched, made or kept; empty when there was none. */
  async usedDay(): Promise<string> {
    return (await this.#refs()).at(-1)?.day ?? "";
  }

  /** Resolves when no fetch runs. */
  async idle(): Promise<void> {
    await this.#turn;
  }

  /** Packs what is held, lets go of what is old, and removes what nothing has held for some time. */
  async #collect(keptDays: number, held: ReadonlySet<string>, signal: AbortSignal | undefined): Promise<void> {
    await this.keep([...held]);
    const refs = await this.#refs();
    const missing = new Set(await this.#missing([...new Set(refs.map(({ commit }) => commit))]));
    // One that a disk lost would keep git from everything.
    await this.#drop(refs.filter(({ commit }) => missing.has(commit)));
    const marker = join(this.folder, collectedFile);
    await this.#mark(marker);
    const expires = Math.floor((this.#now().getTime() - limits.gitGraceMs) / 1000);
    const isDone = await this.#alone(async () => {
      await this.#pack(["-a", "--cruft", `--cruft-expiration=@${expires} +0000`], signal);
      return true;
    }).catch(async (error: unknown) => {
      // What took too long, or cannot be done, is not begun again soon.
      if (signal?.aborted || this.#signal.aborted) await rm(marker, { force: true });
      throw error;
    });
    if (!isDone) {
      await rm(marker, { force: true });
      return;
    }
    const oldest = dayOf(new Date(this.#now().getTime() - keptDays * 86_400_000));
    // The last day alone counts; and what another needs, which is held for as long, needs no ref: git looks at all of them for each fetch.
    const newest = new Map(refs.filter(({ commit }) => !missing.has(commit)).map(({ commit, day }) => [commit, day]));
    const needed = await this.#neededIn(newest);
    const isOver = ({ commit, day }: Held) => day < oldest || day < newest.get(commit)! || needed.has(commit);
    await this.#drop(refs.filter((ref) => !missing.has(ref.commit) && isOver(ref)));
  }

  /** Those that are a parent of one that is held for as long. */
  async #neededIn(days: ReadonlyMap<string, string>): Promise<Set<string>> {
    const input = [...days.keys()].map((commit) => `${commit}\n`).join("");
    const options = { input, outputBytes: limits.gitHeldBytes };
    const { stdout } = await this.#git(["rev-list", "--no-walk=unsorted", "--parents", "--stdin"], options);
    const families = stdout.split("\n").map((line) => line.split(" "));
    return new Set(
      families.flatMap(([child, ...parents]) => parents.filter((parent) => days.has(parent) && days.get(parent)! <= days.get(child!)!)),
    );
  }

  /** Says when it was collected last. */
  async #mark(path: string): Promise<void> {
    await writeFile(path, "");
    await utimes(path, this.#now(), this.#now());
  }

  async #pack(flags: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    const signals = signal ? AbortSignal.any([this.#signal, signal]) : this.#signal;
    const options = { folder: this.folder, timeoutMs: limits.gitCollectMs, signal: signals, settings: packSettings };
    await git(this.#environment, ["pack-refs", "--all", "--prune"], options);
    await gitRemote(this.#environment, ["repack", "-d", "-l", "-q", ...flags], options);
  }

  /** Refs that hold commits, by day. */
  async #refs(): Promise<Held[]> {
    const args = ["for-each-ref", "--format=%(refname:lstrip=3)", keptRefs];
    const { stdout } = await this.#git(args, { outputBytes: limits.gitHeldBytes });
    return stdout
      .split("\n")
      .filter(Boolean)
      .map((name) => {
        const [day, commit] = name.split("/") as [string, string];
        return { day, commit };
      });
  }

  async #drop(refs: readonly Held[]): Promise<void> {
    if (refs.length === 0) return;
    const input = refs.map(({ day, commit }) => `delete ${keptRefs}/${day}/${commit}\n`).join("");
    await this.#git(["update-ref", "--stdin"], { input });
  }

  async #holdFast(commits: readonly string[]): Promise<void> {
    if (commits.length === 0) return;
    const today = this.#keptToday();
    const refs = commits.map((id) => this.#keptRef(id));
    const input = refs.map((ref, index) => `update ${ref} ${commits[index]}\n`).join("");
    const settings: GitSetting[] = [["core.filesRefLockTimeout", String(limits.gitRefLockMs)]];
    const update = async () => await this.#git(["update-ref", "--stdin"], { input, settings });
    await update().catch(async (error: unknown) => {
      if (!(error instanceof CommandFailedError) || !/\.lock': File exists/.test(error.stderr)) throw error;
      // Whoever has had it for so long was killed.
      for (const ref of refs) await rm(join(this.folder, `${ref}.lock`), { force: true });
      await update();
    });
    for (const commit of commits) today.add(commit);
  }

  /** What may rely on objects that nothing holds waits for a collection, which may be removing them. */
  async #hold<T>(work: () => Promise<T>): Promise<T> {
    while (this.#collecting) await this.#collecting;
    this.#holding++;
    try {
      return await work();
    } finally {
      this.#holding--;
    }
  }

  /** Work beside which nothing that {@link #hold} has is done. @returns false, with nothing done, when something is being done. */
  async #alone(work: () => Promise<boolean>): Promise<boolean> {
    if (this.#holding > 0 || this.#collecting) return false;
    const done = work();
    this.#collecting = done.catch(() => {}).finally(() => (this.#collecting = undefined));
    return await done;
  }

  async #mergeTrees(ours: string, theirs: string): Promise<string> {
    let merged: RunResult;
    try {
      const args = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs];
      merged = await this.#git(args, { okCodes: [0, 1] });
    } catch (error) {
      if (error instanceof CommandFailedError && /unrelated histories/.test(error.stderr)) throw new MergeConflictError(ours, theirs, []);
      if (error instanceof SeatrialError && error.code === "invalid") throw new MergeConflictError(ours, theirs, error);
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
    const options = { input: `${commits.join("\n")}\n`, outputBytes: limits.gitHeldBytes };
    const { stdout } = await this.#git(["cat-file", "--batch-check=%(objectname) %(objecttype)"], options);
    const present = new Set(stdout.split("\n").filter((line) => line.endsWith(" commit")));
    return commits.filter((id) => !present.has(`${id} commit`));
  }

  #keptToday(): Set<string> {
    const day = dayOf(this.#now());
    if (this.#kept.day !== day) this.#kept = { day, commits: new Set() };
    return this.#kept.commits;
  }

  #keptRef(commit: string): string {
    return `${keptRefs}/${dayOf(this.#now())}/${commit}`;
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
    using _lock = await lock(join(this.folder, openLock), `mirror ${this.folder}`, this.#signal);
    await sweep(this.folder, this.#now());
    const marker = join(this.folder, collectedFile);
    if ((await changedMsOf(marker)) === 0) await this.#mark(marker);
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

/**
 * One fetch into a mirror. Its pack comes to a folder of its own, which is looked at while it grows, and goes to the others when it is
 * whole: one that is ended, for whatever reason, leaves nothing.
 */
import { mkdir, mkdtemp, rename, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Environment } from "../base/environment.ts";
import { SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";
import { CommandFailedError } from "../process/run.ts";
import { gitRemote, type GitSource, isRedirect, settingsOf } from "./git.ts";
import { bytesIn, incoming, namesIn, packs } from "./mirror-folder.ts";

export interface FetchOptions {
  environment: Environment;
  /** A bare repository; one fetch at a time. */
  folder: string;
  commits: readonly string[];
  /** Whether they come without their history. */
  isShallow: boolean;
  maxBytes: number;
  signal: AbortSignal;
}

/** Brings commits, which nothing holds yet. @throws as `Mirror.fetch` has it. */
export async function fetchCommits(source: GitSource, options: FetchOptions): Promise<void> {
  const { environment, folder, commits, isShallow, maxBytes, signal } = options;
  const flags = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-show-forced-updates"];
  makeFolder(join(folder, incoming), 0o700);
  const arrived = await mkdtemp(join(folder, incoming, "fetch-"));
  const watch = new FetchWatch(arrived, maxBytes);
  try {
    await mkdir(join(arrived, "info"));
    await writeFile(join(arrived, "info", "alternates"), "../../objects\n");
    await gitRemote(environment, ["fetch", ...flags, ...(isShallow ? ["--depth=1"] : []), "--", source.url, ...commits], {
      folder,
      settings: settingsOf(source),
      env: { GIT_OBJECT_DIRECTORY: arrived },
      timeoutMs: limits.gitFetchMs,
      signal: AbortSignal.any([signal, watch.signal]),
    });
    await watch.check();
    // The index comes last: what it names is there then.
    const files = (await namesIn(join(arrived, "pack"))).toSorted((a, b) => Number(a.endsWith(".idx")) - Number(b.endsWith(".idx")));
    for (const name of files) await rename(join(arrived, "pack", name), join(folder, packs, name));
  } catch (error) {
    // A git that was killed leaves its lock.
    if (isShallow && !(error instanceof CommandFailedError)) await rm(join(folder, "shallow.lock"), { force: true });
    throw fetchError(source, error);
  } finally {
    await watch[Symbol.asyncDispose]();
    await rm(arrived, { recursive: true, force: true });
  }
}

/** Looks at what a fetch brings while it does, and ends it when that is too much. */
class FetchWatch implements AsyncDisposable {
  readonly #folder: string;
  readonly #maxBytes: number;
  readonly #over = new AbortController();
  readonly #ended = new AbortController();
  readonly #looking: Promise<void>;

  constructor(folder: string, maxBytes: number) {
    this.#folder = folder;
    this.#maxBytes = maxBytes;
    this.#looking = this.#look();
  }

  /** Aborted with the reason when it is too much. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#looking;
  }

  /** Looks once. @throws the reason. */
  async check(): Promise<void> {
    const reason = await this.#reason();
    if (reason) this.#over.abort(reason);
    this.#over.signal.throwIfAborted();
  }

  async #look(): Promise<void> {
    while (!this.#ended.signal.aborted && !this.#over.signal.aborted) {
      await this.check().catch(() => {}); // The signal tells.
      await pause(limits.gitFetchLookMs, this.#ended.signal).catch(() => {});
    }
  }

  async #reason(): Promise<SeatrialError | undefined> {
    const bytes = await bytesIn(join(this.#folder, "pack"));
    if (bytes > this.#maxBytes)
      return new SeatrialError("invalid", `it has more than ${this.#maxBytes / 1024 ** 2} MiB, which is all that one fetch may bring`);
    if (bytes < limits.gitSmallFetchBytes) return undefined;
    const { bavail, bsize } = await statfs(this.#folder);
    if (bavail * bsize >= limits.diskUploadsBytes) return undefined;
    return new SeatrialError("unreachable", `the disk of ${this.#folder} is full`, { retryable: true });
  }
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
    const hint = isRedirect(error) ? "it is elsewhere now: git is not sent on, so its address has to be the new one" : undefined;
    return new SeatrialError("unreachable", `${what}: ${said}`, { cause: error, retryable: true, hint });
  }
  if (!(error instanceof SeatrialError) || error.code === "aborted") return error;
  const { code, message, retryable } = error;
  return new SeatrialError(code, `${what}: ${message}`, { cause: error, retryable: retryable || code === "timeout" });
}

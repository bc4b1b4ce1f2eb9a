/**
 * The disk that the data folder is on: etcd, the databases, logs, artifacts, mirrors and what jobs on this machine make.
 *
 * ```
 * open ──below jobsBytes──▶ no new jobs ──below uploadsBytes──▶ no uploads
 * ```
 * Each state ends with its cause, when a quarter more than the bound is free: a disk at the bound does not flutter. Jobs that run go
 * on while there is room for what they say; one that has more to store when there is none ends with the error of its host.
 */
import { statfs } from "node:fs/promises";
import { messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";

export interface DiskBounds {
  /** Below so much free space no job is started. */
  jobsBytes: number;
  /** Below so much no log and no artifact is taken. */
  uploadsBytes: number;
}

export interface DiskBudgetOptions extends DiskBounds {
  /** Any path on it. */
  path: string;
  /** Told once of each state that is entered, as a sentence. */
  tell(line: string): void;
  /** For tests. Default: what the file system says is free for us. */
  freeBytesOf?: ((path: string) => Promise<number>) | undefined;
}

type State = "open" | "no-jobs" | "no-uploads";

export const defaultDiskBounds: DiskBounds = { jobsBytes: limits.diskJobsBytes, uploadsBytes: limits.diskUploadsBytes };

export class DiskBudget {
  readonly #options: DiskBudgetOptions;
  readonly #onChanged = new Set<() => void>();
  #state: State = "open";
  #why: string | undefined;
  #freeBytes: number | undefined;

  constructor(options: DiskBudgetOptions) {
    this.#options = options;
  }

  /** As it was seen last. */
  get freeBytes(): number | undefined {
    return this.#freeBytes;
  }

  /** Why no job may be started now; undefined when it may. The sentence stays the same for as long as the state does. */
  get whyNoJobs(): string | undefined {
    return this.#why;
  }

  /** Why nothing large may be stored now; undefined when it may. */
  get whyNoUploads(): string | undefined {
    return this.#state === "no-uploads" ? this.#why : undefined;
  }

  /** Calls the listener when the state is another. */
  onChanged(listener: () => void): () => void {
    this.#onChanged.add(listener);
    return () => void this.#onChanged.delete(listener);
  }

  /** Looks once. A file system that does not say changes nothing. */
  async look(): Promise<void> {
    const { path, tell, freeBytesOf = freeBytesOn } = this.#options;
    try {
      this.#freeBytes = await freeBytesOf(path);
    } catch (error) {
      tell(`cannot see how much of the disk of ${path} is free: ${messageOf(error)}`);
      return;
    }
    const state = nextState(this.#state, this.#freeBytes, this.#options);
    if (state === this.#state) return;
    this.#state = state;
    this.#why = this.#sentence(this.#freeBytes);
    tell(this.#why ?? `the disk of ${path} has ${shownBytes(this.#freeBytes)} free: jobs are started again`);
    for (const listener of this.#onChanged) listener();
  }

  /** Looks again and again, until what it returns is disposed of. */
  watch(): AsyncDisposable {
    const ended = new AbortController();
    const working = this.#work(ended.signal);
    return {
      [Symbol.asyncDispose]: async () => {
        ended.abort();
        await working;
      },
    };
  }

  async #work(ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      await this.look();
      await pause(limits.diskLookMs, ended).catch(() => {});
    }
  }

  #sentence(freeBytes: number): string | undefined {
    const { path, jobsBytes, uploadsBytes } = this.#options;
    const has = `the disk of ${path} has ${shownBytes(freeBytes)} free`;
    switch (this.#state) {
      case "open":
        return undefined;
      case "no-jobs":
        return `${has}: no job is started below ${shownBytes(jobsBytes)}`;
      case "no-uploads":
        return `${has}: no job is started, and no log or artifact is taken, below ${shownBytes(uploadsBytes)}`;
    }
  }
}

/** A state is entered at its bound, and left a quarter above it. */
export function nextState(before: State, freeBytes: number, { jobsBytes, uploadsBytes }: DiskBounds): State {
  const isBelow = (bytes: number, isEntered: boolean) => freeBytes < (isEntered ? bytes * 1.25 : bytes);
  if (isBelow(uploadsBytes, before === "no-uploads")) return "no-uploads";
  return isBelow(jobsBytes, before !== "open") ? "no-jobs" : "open";
}

async function freeBytesOn(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

/** `1.5 GiB`, `12 MiB`. */
function shownBytes(bytes: number): string {
  const [unit, size] = bytes >= 1024 ** 3 ? (["GiB", 1024 ** 3] as const) : (["MiB", 1024 ** 2] as const);
  return `${Number((bytes / size).toFixed(1))} ${unit}`;
}

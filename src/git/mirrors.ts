/**
 * The mirrors of one data folder: a bare repository for each repository of a forge that anything was fetched from, and their upkeep.
 */
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Environment } from "../base/environment.ts";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { Mirror } from "./mirror.ts";
import { gonePrefix, namesIn } from "./mirror-folder.ts";

const namePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/;

export interface Upkept {
  /** How long a commit is held after the last day on which it was fetched, made or kept. */
  keptDays(forge: string): number;
  /** Commits that are held however old they are, by {@link placeOf} their repository; asked for once, if at all. Default: none. */
  held?(): Promise<ReadonlyMap<string, ReadonlySet<string>>>;
  /** All mirrors together; beyond, those that were not used for the longest time go. Default: no bound. */
  maxBytes?: number;
  signal: AbortSignal;
  /** Told of a mirror that could not be looked after; the others are. */
  tell(line: string): void;
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
      if (!namePattern.test(part)) {
        throw new SeatrialError("invalid", `${JSON.stringify(part.slice(0, 140))} cannot name a mirror`);
      }
    }
    const folder = join(this.#folder, placeOf(forge, repositoryId));
    let mirror = this.#mirrors.get(folder);
    if (!mirror) {
      mirror = new Mirror(this.#environment, folder, this.#now, this.#abort.signal);
      this.#mirrors.set(folder, mirror);
    }
    return mirror;
  }

  /** Whether there is a mirror of it: {@link of} names one in any case. */
  async has(forge: string, repositoryId: string): Promise<boolean> {
    if (!namePattern.test(forge) || !namePattern.test(repositoryId)) return false;
    return await stat(join(this.#folder, placeOf(forge, repositoryId))).then(
      () => true,
      () => false,
    );
  }

  /**
   * Looks after all mirrors of the folder, one after the other, and removes those of which nothing is held any more. One call at a time;
   * all else goes on meanwhile. What a kill left half done is done by the next.
   */
  async maintain({ keptDays, held, maxBytes = Infinity, signal, tell }: Upkept): Promise<void> {
    const found: { mirror: Mirror; bytes: number }[] = [];
    let asked: ReturnType<NonNullable<typeof held>> | undefined;
    for (const forge of await namesIn(this.#folder)) {
      for (const name of await namesIn(join(this.#folder, forge))) {
        if (signal.aborted) return;
        const path = join(this.#folder, forge, name);
        if (name.startsWith(gonePrefix)) await rm(path, { recursive: true, force: true });
        if (name.startsWith(gonePrefix) || !name.endsWith(".git")) continue;
        try {
          const mirror = this.of(forge, name.slice(0, -".git".length));
          const heldIn = async () => (await (asked ??= held?.()))?.get(join(forge, name)) ?? new Set<string>();
          const isGone = await mirror.maintain(keptDays(forge), heldIn, signal);
          if (!isGone) found.push({ mirror, bytes: await mirror.bytes() });
        } catch (error) {
          if (!signal.aborted) tell(`mirror ${path}: ${messageOf(error)}`);
        }
      }
    }
    let bytes = found.reduce((sum, each) => sum + each.bytes, 0);
    if (bytes <= maxBytes) return;
    const used: { mirror: Mirror; bytes: number; day: string }[] = [];
    for (const each of found) used.push({ ...each, day: await each.mirror.usedDay() });
    for (const each of used.toSorted((a, b) => a.day.localeCompare(b.day) || b.bytes - a.bytes)) {
      if (bytes <= maxBytes) break;
      if (await each.mirror.remove()) bytes -= each.bytes;
    }
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

/** The folder of a mirror below that of all; also how {@link Upkept.held} names it. */
export function placeOf(forge: string, repositoryId: string): string {
  return join(forge, `${repositoryId}.git`);
}

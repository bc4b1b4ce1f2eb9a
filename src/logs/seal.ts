/**
 * Sealing: the oldest chunk of a log's tail becomes an object, and its rows leave. In the background, a few logs at once;
 * when a log's chunks come faster than they can be sealed, its appends wait.
 */
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { attemptPrefix, type ObjectStore } from "../artifacts/object-store.ts";
import type { Database } from "../history/database.ts";
import { ChunkIndexer, encodeIndex } from "./chunk-index.ts";
import type { LogRow, LogTables } from "./schema.ts";

export function chunkKey(attempt: string, number: number): string {
  return `${attemptPrefix(attempt)}/log/${String(number).padStart(6, "0")}`;
}

/** One log that is being sealed, or waits for its turn. */
interface Sealing {
  done: Promise<void>;
  /** It has changed since it was looked at. */
  hasChanged: boolean;
}

export class Sealer {
  readonly #database: Database<LogTables>;
  readonly #objects: ObjectStore;
  readonly #sealings = new Map<string, Sealing>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(database: Database<LogTables>, objects: ObjectStore) {
    this.#database = database;
    this.#objects = objects;
  }

  /** A log has changed: seals what is due of it. A failure is told by `untilThereIsRoom` and `idle`, and mended by the next change. */
  notice(row: LogRow): void {
    const running = this.#sealings.get(row.attempt);
    if (running) running.hasChanged = true;
    if (running || dueChunks(row) === 0) return;
    const sealing: Sealing = { hasChanged: true, done: Promise.resolve() };
    this.#sealings.set(row.attempt, sealing);
    sealing.done = this.#sealAll(row.attempt, sealing);
    sealing.done.catch(() => {}); // Who waits is told.
  }

  /** Resolves when a log of which too much waited has been sealed. @throws what kept it from that. */
  async untilThereIsRoom(attempt: string): Promise<void> {
    await this.#sealings.get(attempt)?.done;
  }

  /** Resolves when nothing of this log, or of any, is being sealed. */
  async idle(attempt?: string): Promise<void> {
    for (;;) {
      const sealings = attempt === undefined ? [...this.#sealings.values()] : [this.#sealings.get(attempt)];
      const [first] = sealings;
      if (!first) return;
      await first.done;
    }
  }

  async #sealAll(attempt: string, sealing: Sealing): Promise<void> {
    if (this.#running >= limits.logSealsAtOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      while (sealing.hasChanged) {
        sealing.hasChanged = false;
        const row = await this.#database.read.selectFrom("logs").selectAll().where("attempt", "=", attempt).executeTakeFirst();
        if (!row || dueChunks(row) === 0) continue;
        await this.#seal(row);
        sealing.hasChanged = true;
      }
    } finally {
      // In the same turn as the last look at it: a change from now on begins anew.
      this.#sealings.delete(attempt);
      // Its place goes to the next in line.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }

  /** Seals the first chunk that is not. */
  async #seal({ attempt, sealed: number, chunk_bytes, size }: LogRow): Promise<void> {
    const start = number * chunk_bytes;
    const bytes = Math.min(chunk_bytes, size - start);
    const indexer = new ChunkIndexer();
    let feedsBefore = 0;
    const body = this.#tailOf(attempt, start, start + bytes, indexer, (feeds) => (feedsBefore = feeds));
    try {
      await this.#objects.put(chunkKey(attempt, number), body, { size: bytes });
    } catch (error) {
      // Its rows were gone in the middle: another process was faster.
      if (error instanceof SeatrialError && error.code === "invalid" && (await this.#isSealed(attempt, number))) return;
      throw error;
    }
    const chunk = { attempt, number, size: bytes, feeds_before: feedsBefore, feeds: indexer.feeds, ...encodeIndex(indexer.finish()) };
    await this.#database.commit(async (transaction) => {
      const updated = await transaction
        .updateTable("logs")
        .set({ sealed: number + 1 })
        .where("attempt", "=", attempt)
        .where("sealed", "=", number)
        .executeTakeFirst();
      if (updated.numUpdatedRows === 0n) return; // Sealed by another process, or removed.
      await transaction.insertInto("log_chunks").values(chunk).execute();
      await transaction
        .deleteFrom("log_tail")
        .where("attempt", "=", attempt)
        .where("start", ">=", start)
        .where("start", "<", start + bytes)
        .execute();
    });
  }

  async *#tailOf(
    attempt: string,
    from: number,
    to: number,
    indexer: ChunkIndexer,
    onStart: (feedsBefore: number) => void,
  ): AsyncGenerator<Uint8Array> {
    for (let at = from; at < to;) {
      const rows = await this.#database.read
        .selectFrom("log_tail")
        .select(["start", "bytes", "feeds_before", "time_ms"])
        .where("attempt", "=", attempt)
        .where("start", ">=", at)
        .where("start", "<", to)
        .orderBy("start")
        .limit(limits.logTailRows)
        .execute();
      if (rows[0]?.start !== at) return;
      if (at === from) onStart(rows[0].feeds_before);
      for (const { bytes, time_ms } of rows) {
        indexer.add(bytes, time_ms);
        yield bytes;
        at += bytes.length;
      }
    }
  }

  async #isSealed(attempt: string, number: number): Promise<boolean> {
    const row = await this.#database.read.selectFrom("logs").select("sealed").where("attempt", "=", attempt).executeTakeFirst();
    return row === undefined || row.sealed > number;
  }
}

/** Chunks that can be sealed: whole ones; of a closed log also the last. */
export function dueChunks({ size, chunk_bytes, sealed, closed_ms }: LogRow): number {
  return (closed_ms === null ? Math.floor(size / chunk_bytes) : Math.ceil(size / chunk_bytes)) - sealed;
}

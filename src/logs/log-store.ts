/**
 * The logs of attempts: one log each, a sequence of bytes that only grows, kept exactly as it came (it was masked before).
 *
 * ```
 * append ──▶ tail (rows in SQL; on the disk before it is acknowledged) ──seal──▶ chunks (objects, with an index in SQL)
 *                    └──────────────── read, lines, follow ─────────────────────────┘
 * ```
 * Bytes are numbered from 0; chunk N is the bytes from N × chunkBytes on, whoever seals it and whenever: its key and content
 * are determined, so that a seal that was cut short, or made by two, is made again with the same result. The rows of the
 * tail leave in the transaction in which the chunk's row comes, after its object is there: at each moment each byte is in
 * one of the two.
 *
 * Several processes may append, read and seal; within one, everything may be called at once.
 */
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { attemptPrefix, checkKey, type ObjectStore } from "../artifacts/object-store.ts";
import { type Database, type DatabaseSettings, openDatabase } from "../history/database.ts";
import { blockOfFeed, countFeeds, decodeBlocks, decodeTimes, placeOfFeed, timeAt } from "./chunk-index.ts";
import { type LogLine, LineCollector } from "./lines.ts";
import { logMigrations, type LogRow, type LogTables, type TailRow } from "./schema.ts";
import { chunkKey, dueChunks, Sealer } from "./seal.ts";

export interface LogStoreOptions {
  settings: DatabaseSettings;
  objects: ObjectStore;
  /** Of new logs. Default: {@link limits.logChunkBytes}. */
  chunkBytes?: number;
}

export interface LogInfo {
  /** In bytes. */
  size: number;
  /** The last one counts also when no line feed ends it. */
  lines: number;
  /** Nothing more comes. */
  isClosed: boolean;
}

export interface LogPiece {
  /** Of its first byte. */
  offset: number;
  bytes: Buffer;
}

export interface LogLines {
  lines: LogLine[];
  /** Line to ask for next, when the answer's bound ended it before the range did. */
  next?: number;
  info: LogInfo;
}

/** Some bytes and how to tell when each came. */
interface Piece extends LogPiece {
  timeAt(offset: number): number;
}

/** An append came after a gap: bytes from `expected` on were never stored. */
export class LogGapError extends SeatrialError {
  readonly expected: number;

  constructor(attempt: string, offset: number, expected: number) {
    super("conflict", `cannot append to the log of attempt ${attempt} at byte ${offset}: it has ${expected} bytes`, {
      hint: `go on from byte ${expected}`,
    });
    this.name = "LogGapError";
    this.expected = expected;
  }
}

/**
 * Opens the logs: `logs.db` in the folder, apart from the history so that a flood of log delays no webhook; or tables of
 * the Postgres database.
 */
export async function openLogStore({ settings, objects, chunkBytes = limits.logChunkBytes }: LogStoreOptions): Promise<LogStore> {
  const sizes = { pageBytes: limits.logPageBytes, checkpointBytes: limits.logCheckpointBytes };
  const database = await openDatabase<LogTables>({ settings, part: "logs", migrations: logMigrations, sizes });
  return new LogStore(database, objects, chunkBytes);
}

export class LogStore {
  readonly #database: Database<LogTables>;
  readonly #objects: ObjectStore;
  readonly #chunkBytes: number;
  readonly #sealer: Sealer;
  readonly #followers = new Map<string, Set<() => void>>();

  constructor(database: Database<LogTables>, objects: ObjectStore, chunkBytes: number) {
    this.#database = database;
    this.#objects = objects;
    this.#chunkBytes = chunkBytes;
    this.#sealer = new Sealer(database, objects);
  }

  /**
   * Adds bytes that begin at `offset`; those that are there already are skipped. Resolves when they are on the disk.
   * @param time when they were received; kept to the second, and never before those that came earlier.
   * @returns how many bytes the log has.
   * @throws LogGapError when bytes before them are missing; SeatrialError `conflict` when the log is closed and they are new;
   * `invalid` above {@link limits.logAppendBytes}; what sealing throws, when too much waits for it.
   */
  async append(attempt: string, offset: number, bytes: Uint8Array, time: Date): Promise<number> {
    checkKey(attemptPrefix(attempt));
    if (bytes.length > limits.logAppendBytes || !Number.isSafeInteger(offset) || offset < 0) {
      throw new SeatrialError(
        "invalid",
        `an append of ${bytes.length} bytes at ${offset} is over the bound of ${limits.logAppendBytes} bytes`,
      );
    }
    for (;;) {
      const { row, refused } = await this.#append(attempt, offset, bytes, time);
      if (refused === "gap") throw new LogGapError(attempt, offset, row.size);
      if (refused === "closed") throw new SeatrialError("conflict", `cannot append to the log of attempt ${attempt}: it is closed`);
      this.#sealer.notice(row);
      if (refused === undefined) {
        this.#wake(attempt);
        return row.size;
      }
      await this.#sealer.untilThereIsRoom(attempt);
    }
  }

  async #append(
    attempt: string,
    offset: number,
    bytes: Uint8Array,
    time: Date,
  ): Promise<{ row: LogRow; refused?: "gap" | "closed" | "full" }> {
    return await this.#database.commit(async (transaction) => {
      // Makes it when it is not there, and keeps others from it until the end of the transaction.
      const before = await transaction
        .insertInto("logs")
        .values({ attempt, chunk_bytes: this.#chunkBytes, size: 0, feeds: 0, line_start: 0, sealed: 0, last_ms: 0, closed_ms: null })
        .onConflict((conflict) => conflict.column("attempt").doUpdateSet((value) => ({ attempt: value.ref("excluded.attempt") })))
        .returningAll()
        .executeTakeFirstOrThrow();
      if (offset > before.size) return { row: before, refused: "gap" };
      const fresh = bytes.subarray(before.size - offset);
      if (fresh.length === 0) return { row: before };
      if (before.closed_ms !== null) return { row: before, refused: "closed" };
      if (dueChunks(before) >= limits.logUnsealedChunks) return { row: before, refused: "full" };
      const { rows, after } = tailRows(before, fresh, time.getTime());
      await transaction.insertInto("log_tail").values(rows).execute();
      await transaction.updateTable("logs").set(after).where("attempt", "=", attempt).execute();
      return { row: { ...before, ...after } };
    });
  }

  /** Nothing more comes: followers end, and the rest is sealed. Closing it again is success; one without bytes becomes an empty log. */
  async close(attempt: string, time: Date): Promise<void> {
    checkKey(attemptPrefix(attempt));
    const row = await this.#database.commit(
      async (transaction) =>
        await transaction
          .insertInto("logs")
          .values({
            attempt,
            chunk_bytes: this.#chunkBytes,
            size: 0,
            feeds: 0,
            line_start: 0,
            sealed: 0,
            last_ms: 0,
            closed_ms: time.getTime(),
          })
          .onConflict((conflict) =>
            conflict
              .column("attempt")
              .doUpdateSet((value) => ({ closed_ms: value.fn.coalesce("logs.closed_ms", value.ref("excluded.closed_ms")) })),
          )
          .returningAll()
          .executeTakeFirstOrThrow(),
    );
    this.#wake(attempt);
    this.#sealer.notice(row);
  }

  /** Undefined: nothing was ever said, or it was removed. */
  async info(attempt: string): Promise<LogInfo | undefined> {
    const row = await this.#row(attempt);
    return row && infoOf(row);
  }

  /**
   * Lines from `from` to `to`, both counted from 1 and both included, as far as there are any; at most
   * {@link limits.logLinesShown} and {@link limits.logShownBytes}.
   * @throws SeatrialError `not-found` when there is no log.
   */
  async lines(attempt: string, from: number, to: number): Promise<LogLines> {
    const row = await this.#rowOrThrow(attempt);
    const info = infoOf(row);
    const first = Math.max(1, Math.trunc(from));
    const last = Math.min(Math.trunc(to), info.lines);
    const collector = new LineCollector(first, Math.min(last, first + limits.logLinesShown - 1));
    for (let at = first > last ? undefined : await this.#startOf(row, first); at !== undefined && !collector.isFull;) {
      at = await this.#collect(row, at, collector);
    }
    const lines = collector.finish(row.size);
    const next = first + lines.length;
    return { lines, info, ...(next <= last ? { next } : {}) };
  }

  /**
   * The bytes from an offset on, up to where the log ends now.
   * @throws SeatrialError `not-found` when there is no log.
   */
  async read(attempt: string, from = 0): Promise<AsyncIterable<Buffer>> {
    const row = await this.#rowOrThrow(attempt);
    const pieces = this.#pieces(row, from, row.size);
    return (async function* () {
      for await (const { bytes } of pieces) yield bytes;
    })();
  }

  /**
   * The bytes from an offset on as they come; ends when the log is closed, or removed. One that nothing was appended to yet
   * is waited for: who follows knows that the attempt exists, and ends it by the signal (without an error) or `break`.
   */
  async *follow(attempt: string, from = 0, signal?: AbortSignal): AsyncGenerator<LogPiece> {
    let isKnown = false;
    const isOver = () => signal?.aborted === true;
    for (let at = from; !isOver();) {
      // Listens before it looks: what comes in between wakes it.
      using change = this.#change(attempt, signal);
      const row = await this.#row(attempt);
      if (!row && isKnown) return;
      isKnown ||= row !== undefined;
      if (row && at < row.size) {
        for await (const { offset, bytes } of this.#pieces(row, at, row.size)) {
          yield { offset, bytes };
          if (isOver()) return;
        }
        at = row.size;
      } else if (row && row.closed_ms !== null) {
        return;
      } else {
        await change.happened;
      }
    }
  }

  /** Removes the log: its objects first, so that a crash in between leaves what names them. No error when there is none. */
  async remove(attempt: string): Promise<void> {
    await this.#sealer.idle(attempt);
    const row = await this.#row(attempt);
    if (!row) return;
    // Also those whose seal was cut short.
    for (let number = 0; number * row.chunk_bytes < row.size; number++) await this.#objects.delete(chunkKey(attempt, number));
    await this.#database.commit(async (transaction) => {
      for (const table of ["log_tail", "log_chunks", "logs"] as const) {
        await transaction.deleteFrom(table).where("attempt", "=", attempt).execute();
      }
    });
    this.#wake(attempt);
  }

  /**
   * Seals what is due, {@link limits.pageItemsMost} logs at most: for the start of a server, after one that was killed, and its
   * upkeep, for closed logs whose seal had failed.
   */
  async sealDue(): Promise<void> {
    const rows = await this.#database.read
      .selectFrom("logs")
      .selectAll()
      .where((value) =>
        value.or([
          value("size", ">=", value("chunk_bytes", "*", value("sealed", "+", 1))),
          value.and([value("closed_ms", "is not", null), value("size", ">", value("chunk_bytes", "*", value.ref("sealed")))]),
        ]),
      )
      .limit(limits.pageItemsMost)
      .execute();
    for (const row of rows) this.#sealer.notice(row);
    await this.settled();
  }

  /** Waits until nothing is being sealed. @throws what the last seal that failed threw. */
  async settled(): Promise<void> {
    await this.#sealer.idle();
  }

  /** Finishes what was asked for, and closes the database. */
  async shutdown(): Promise<void> {
    await this.#sealer.idle().catch(() => {}); // What is left is due at the next start.
    await this.#database.close();
  }

  async #row(attempt: string): Promise<LogRow | undefined> {
    return await this.#database.read.selectFrom("logs").selectAll().where("attempt", "=", attempt).executeTakeFirst();
  }

  async #rowOrThrow(attempt: string): Promise<LogRow> {
    const row = await this.#row(attempt);
    if (!row) throw notFound(attempt);
    return row;
  }

  /** Feeds the collector from a line's start on. @returns where to go on: after a line that is too long to be read to its end. */
  async #collect(row: LogRow, start: number, collector: LineCollector): Promise<number | undefined> {
    for await (const { offset, bytes, timeAt: timeOf } of this.#pieces(row, start, row.size)) {
      collector.add(offset, bytes, timeOf);
      if (collector.isFull) return undefined;
      if (!collector.isLineCut) continue;
      const next = await this.#startOf(row, collector.number + 1);
      if (next === undefined || next > row.size) return undefined;
      collector.skipTo(next);
      return next;
    }
    return undefined;
  }

  /** Where a line begins: after the line feed before it. Undefined when there is no such line feed. */
  async #startOf({ attempt, chunk_bytes }: LogRow, line: number): Promise<number | undefined> {
    const feed = line - 1;
    if (feed === 0) return 0;
    const { read } = this.#database;
    const tail = await read
      .selectFrom("log_tail")
      .select(["start", "bytes", "feeds_before"])
      .where("attempt", "=", attempt)
      .where("feeds_before", "<", feed)
      .orderBy("start", "desc")
      .limit(1)
      .executeTakeFirst();
    if (tail) {
      const place = placeOfFeed(tail.bytes, feed - tail.feeds_before);
      if (place !== -1) return tail.start + place + 1;
    }
    const chunk = await read
      .selectFrom("log_chunks")
      .select(["number", "feeds_before", "blocks"])
      .where("attempt", "=", attempt)
      .where("feeds_before", "<", feed)
      .orderBy("number", "desc")
      .limit(1)
      .executeTakeFirst();
    if (!chunk) return undefined;
    const inChunk = feed - chunk.feeds_before;
    const { block, feedsBefore } = blockOfFeed(decodeBlocks(chunk.blocks), inChunk);
    const start = block * limits.logBlockBytes;
    const bytes: Buffer[] = [];
    const range = { start, end: start + limits.logBlockBytes };
    for await (const piece of await this.#objects.get(chunkKey(attempt, chunk.number), range)) bytes.push(piece);
    const place = placeOfFeed(Buffer.concat(bytes), inChunk - feedsBefore);
    return place === -1 ? undefined : chunk.number * chunk_bytes + start + place + 1;
  }

  /** The bytes from one offset up to another, wherever they are; what is sealed meanwhile is found there. */
  async *#pieces({ attempt, chunk_bytes }: LogRow, from: number, to: number): AsyncGenerator<Piece> {
    for (let at = from; at < to;) {
      // The tail first: what has left it is in a chunk by then.
      const number = Math.floor(at / chunk_bytes);
      const rows = await this.#tailFrom(attempt, at, (number + 1) * chunk_bytes);
      if (rows[0] && rows[0].start <= at) {
        for (const { start, bytes, time_ms } of rows) {
          const part = bufferOf(bytes).subarray(at - start, to - start);
          if (part.length === 0) return;
          yield { offset: at, bytes: part, timeAt: () => time_ms };
          at += part.length;
        }
        continue;
      }
      const chunk = await this.#database.read
        .selectFrom("log_chunks")
        .select(["size", "times"])
        .where("attempt", "=", attempt)
        .where("number", "=", number)
        .executeTakeFirst();
      const chunkStart = number * chunk_bytes;
      if (!chunk || at >= chunkStart + chunk.size) throw notFound(attempt);
      const times = decodeTimes(chunk.times);
      const timeOf = (offset: number) => timeAt(times, offset - chunkStart);
      const end = Math.min(to, chunkStart + chunk.size);
      for await (const bytes of await this.#objects.get(chunkKey(attempt, number), { start: at - chunkStart, end: end - chunkStart })) {
        yield { offset: at, bytes, timeAt: timeOf };
        at += bytes.length;
      }
      if (at < end)
        throw new SeatrialError("internal", `chunk ${number} of the log of attempt ${attempt} is cut short in the object store`);
    }
  }

  /** Rows of the tail from the one that holds the offset on, up to the end of its chunk. */
  async #tailFrom(attempt: string, offset: number, end: number): Promise<Pick<TailRow, "start" | "bytes" | "time_ms">[]> {
    return await this.#database.read
      .selectFrom("log_tail")
      .select(["start", "bytes", "time_ms"])
      .where("attempt", "=", attempt)
      .where("start", ">=", (value) =>
        value
          .selectFrom("log_tail as t")
          .select((each) => each.fn.coalesce(each.fn.max("t.start"), each.val(offset)).as("first"))
          .where("t.attempt", "=", attempt)
          .where("t.start", "<=", offset),
      )
      .where("start", "<", end)
      .orderBy("start")
      .limit(limits.logTailRows)
      .execute();
  }

  #wake(attempt: string): void {
    for (const wake of this.#followers.get(attempt) ?? []) wake();
  }

  /** The next change of a log: told by this process, or time to look for what another one did. */
  #change(attempt: string, signal: AbortSignal | undefined): { happened: Promise<void> } & Disposable {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, limits.logFollowPollMs);
    const followers = this.#followers.get(attempt) ?? new Set();
    this.#followers.set(attempt, followers.add(resolve));
    const wake = () => resolve();
    signal?.addEventListener("abort", wake);
    return {
      happened: promise,
      [Symbol.dispose]: () => {
        signal?.removeEventListener("abort", wake);
        clearTimeout(timer);
        followers.delete(resolve);
        if (followers.size === 0 && this.#followers.get(attempt) === followers) this.#followers.delete(attempt);
      },
    };
  }
}

/** The rows of an append, and what the log is after it. */
function tailRows(
  log: LogRow,
  bytes: Uint8Array,
  nowMs: number,
): { rows: TailRow[]; after: Pick<LogRow, "size" | "feeds" | "line_start" | "last_ms"> } {
  const time_ms = nowMs - log.last_ms < limits.logTimeStepMs ? log.last_ms : nowMs;
  const rows: TailRow[] = [];
  let { size, feeds, line_start } = log;
  for (let from = 0; from < bytes.length;) {
    const left = log.chunk_bytes - (size % log.chunk_bytes);
    const part = bytes.subarray(from, from + Math.min(left, limits.logRowBytes));
    const inPart = countFeeds(part);
    rows.push({ attempt: log.attempt, start: size, bytes: part, feeds_before: feeds, feeds: inPart, time_ms });
    if (inPart > 0) line_start = size + part.lastIndexOf(10) + 1;
    feeds += inPart;
    size += part.length;
    from += part.length;
  }
  return { rows, after: { size, feeds, line_start, last_ms: time_ms } };
}

function infoOf({ size, feeds, line_start, closed_ms }: LogRow): LogInfo {
  return { size, lines: feeds + (line_start < size ? 1 : 0), isClosed: closed_ms !== null };
}

function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}

function notFound(attempt: string): SeatrialError {
  return new SeatrialError("not-found", `attempt ${attempt} has no log`, { hint: "it may have been removed: logs are kept for a while" });
}

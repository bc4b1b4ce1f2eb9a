/**
 * SQLite for kysely: a connection in a thread of its own (sqlite-worker.ts), and the dialect that sends queries there.
 *
 * Several processes may have the file open: a write that meets another's waits for it, up to {@link limits.databaseBusyMs}.
 */
import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { SQLInputValue } from "node:sqlite";
import type { CompiledQuery, DatabaseConnection, Dialect, Driver, QueryResult } from "kysely";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { WorkerAnswer, WorkerRequest } from "./sqlite-worker.ts";

export interface SqliteOptions {
  path: string;
  isReadOnly: boolean;
  sizes: SqliteSizes;
}

/** Of a file's parts. */
export interface SqliteSizes {
  /** Of the pages of a new file: large ones for large values. */
  pageBytes: number;
  /** How much is written ahead before it is carried over into the file: what is deleted until then is never carried. */
  checkpointBytes: number;
}

type WithoutId<T> = T extends unknown ? Omit<T, "id"> : never;

interface Waiting {
  resolve(answer: WorkerAnswer): void;
  reject(error: Error): void;
}

let program: URL | undefined;

/**
 * The thread's program: in the published package its file. The source is freed of its types here, once: a thread that does so
 * by itself loads Node's compiler for it, 10 MB and 40 ms each.
 */
function workerProgram(): URL {
  if (program) return program;
  const extension = extname(import.meta.url);
  const file = new URL(`./sqlite-worker${extension}`, import.meta.url);
  if (extension !== ".ts") return (program = file);
  const source = stripTypeScriptTypes(readFileSync(file, "utf8"));
  return (program = new URL(`data:text/javascript;base64,${Buffer.from(source).toString("base64")}`));
}

/** One connection. It keeps the process alive only while a question is open. */
class SqliteThread {
  readonly #options: SqliteOptions;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #gone: Error | undefined;

  constructor(options: SqliteOptions) {
    this.#options = options;
    this.#worker = new Worker(workerProgram(), { name: options.path });
    this.#worker.unref();
    this.#worker.on("message", (answer: WorkerAnswer) => this.#take(answer.id)?.resolve(answer));
    this.#worker.on("error", (error) => this.#fail(error));
    this.#worker.on("exit", () => this.#fail(new Error("its thread has ended")));
  }

  async open(): Promise<void> {
    const { path, isReadOnly, sizes } = this.#options;
    await this.#ask({ open: { path, isReadOnly, ...sizes, busyMs: limits.databaseBusyMs, statements: limits.databaseStatements } });
  }

  async query(sql: string, parameters: readonly unknown[]): Promise<WorkerAnswer> {
    const values = parameters.map(toSqlite);
    // Blobs were copied, so that they can be handed over: the caller may go on using its own.
    const blobs = values.flatMap((value) => (value instanceof Uint8Array ? [value.buffer as ArrayBuffer] : []));
    return await this.#ask({ sql, parameters: values }, blobs);
  }

  async close(): Promise<void> {
    if (this.#gone) return;
    await this.#ask({ close: true });
    await this.#worker.terminate();
  }

  async #ask(request: WithoutId<WorkerRequest>, transfer: ArrayBuffer[] = []): Promise<WorkerAnswer> {
    const answer = await new Promise<WorkerAnswer>((resolve, reject) => {
      if (this.#gone) throw this.#gone;
      const id = ++this.#lastId;
      if (this.#waiting.size === 0) this.#worker.ref();
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...request, id }, transfer);
    });
    if (answer.error) throw sqliteError(this.#options.path, answer.error);
    return answer;
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref();
    return waiting;
  }

  #fail(error: Error): void {
    this.#gone ??= new SeatrialError("internal", `the database ${this.#options.path} cannot be used any more: ${error.message}`, {
      cause: error,
    });
    for (const id of this.#waiting.keys()) this.#take(id)?.reject(this.#gone);
  }
}

/** SQLite knows no booleans and no undefined; a view into a larger buffer would be sent with all of that buffer. */
function toSqlite(value: unknown): SQLInputValue {
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value === "string") return withoutNul(value);
  return (value ?? null) as SQLInputValue;
}

/** Postgres knows no NUL in a text, so neither database is given one. */
export function withoutNul(text: string): string {
  return text.includes("\0") ? text.replaceAll("\0", "\uFFFD") : text;
}

/** SQLite's primary result codes: https://www.sqlite.org/rescode.html */
function sqliteError(path: string, { message, code }: NonNullable<WorkerAnswer["error"]>): SeatrialError {
  const cause = new Error(message);
  switch (code === undefined ? undefined : code & 0xff) {
    case 5: // BUSY
    case 6: // LOCKED
      return new SeatrialError("timeout", `another process has been writing to ${path} for ${limits.databaseBusyMs / 1000} s`, {
        retryable: true,
        cause,
      });
    case 10: // IOERR
    case 13: // FULL
      return new SeatrialError("internal", `cannot write to ${path}: ${message}`, {
        hint: "see that its disk is not full; nothing that was acknowledged is lost",
        retryable: true,
        // The system's own name for it, as a file's error has it.
        cause: code === 13 ? Object.assign(cause, { code: "ENOSPC" }) : cause,
      });
    case 11: // CORRUPT
    case 26: // NOTADB
      return new SeatrialError("invalid", `${path} is damaged, or no database: ${message}`, {
        hint: "restore it from a backup, or move it away and start with an empty one",
        cause,
      });
    default:
      return new SeatrialError("internal", `${path}: ${message}`, { cause });
  }
}

/**
 * The dialect of one connection. The thread of one that writes starts at once, while kysely is loaded; of one that reads, with
 * its first query: many commands ask nothing.
 */
export async function sqliteDialect(options: SqliteOptions): Promise<Dialect> {
  const started = options.isReadOnly ? undefined : new SqliteThread(options);
  const { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } = await import("kysely");
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new SqliteThreadDriver(options, started),
    createIntrospector: (database) => new SqliteIntrospector(database),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

/**
 * Kysely lets one caller at a time have the connection, so that transactions do not mix. A thread holds 13 MB: one that reads ends when
 * nothing was asked for a while, and another begins with the next query.
 */
class SqliteThreadDriver implements Driver {
  readonly #options: SqliteOptions;
  readonly #connection: DatabaseConnection;
  #started: SqliteThread | undefined;
  #thread: Promise<SqliteThread> | undefined;
  #asked = 0;
  #rest: NodeJS.Timeout | undefined;
  /** The last thread that was not needed any more. */
  #ended: Promise<void> = Promise.resolve();

  constructor(options: SqliteOptions, started: SqliteThread | undefined) {
    this.#options = options;
    this.#started = started;
    this.#connection = {
      executeQuery: async <R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> => {
        const { rows, changes } = await this.#query(sql, parameters);
        return { rows: (rows ?? []) as R[], ...(changes === undefined ? {} : { numAffectedRows: BigInt(changes) }) };
      },
      streamQuery: () => {
        throw new SeatrialError("internal", "rows are read in pages, not streamed");
      },
    };
  }

  /** The first query opens it. */
  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    return await Promise.resolve(this.#connection);
  }

  async releaseConnection(): Promise<void> {}

  /** IMMEDIATE: whoever will write waits here, where nothing has been read yet, and not in the middle. */
  async beginTransaction(): Promise<void> {
    await this.#query("begin immediate");
  }

  async commitTransaction(): Promise<void> {
    await this.#query("commit");
  }

  /** A full disk has rolled it back already: then that is the error to be told, not this one. */
  async rollbackTransaction(): Promise<void> {
    await this.#query("rollback").catch((error: unknown) => {
      if (!/no transaction is active/.test(messageOf(error))) throw error;
    });
  }

  async destroy(): Promise<void> {
    clearTimeout(this.#rest);
    await this.#ended;
    await (await (this.#thread ?? this.#started))?.close();
  }

  async #query(sql: string, parameters: readonly unknown[] = []): Promise<WorkerAnswer> {
    clearTimeout(this.#rest);
    this.#asked++;
    try {
      return await (await (this.#thread ??= this.#open())).query(sql, parameters);
    } finally {
      this.#asked--;
      if (this.#options.isReadOnly && this.#asked === 0) this.#rest = setTimeout(() => this.#end(), limits.databaseIdleMs).unref();
    }
  }

  async #open(): Promise<SqliteThread> {
    const thread = this.#started ?? new SqliteThread(this.#options);
    this.#started = undefined;
    try {
      await thread.open();
      return thread;
    } catch (error) {
      this.#thread = undefined;
      await thread.close();
      throw error;
    }
  }

  #end(): void {
    const thread = this.#thread;
    this.#thread = undefined;
    // One that fails at its end has nothing that anybody waits for.
    this.#ended = this.#ended.then(async () => await (await thread)?.close()).catch(() => {});
  }
}

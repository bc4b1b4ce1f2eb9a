/**
 * The thread that a SQLite connection lives in: it does what it is sent, in order, and answers each request by its number.
 * A query that takes long, or waits for the disk, holds up this thread alone and never the program's event loop.
 *
 * Started by sqlite.ts, and by nothing else; the messages between the two are defined here.
 */
import { chmodSync } from "node:fs";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { parentPort } from "node:worker_threads";

export type WorkerRequest =
  | {
      id: number;
      open: { path: string; isReadOnly: boolean; busyMs: number; pageBytes: number; checkpointBytes: number; statements: number };
    }
  | { id: number; sql: string; parameters: readonly SQLInputValue[] }
  | { id: number; close: true };

export interface WorkerAnswer {
  id: number;
  rows?: Record<string, unknown>[];
  changes?: number;
  /** `code` is SQLite's own number; absent when the error is not SQLite's. */
  error?: { message: string; code: number | undefined };
}

/** Blobs of that size are handed over; smaller ones are copied faster than that. */
const transferBytes = 4096;
/** Pause between two attempts to turn a new file to WAL, for which SQLite itself does not wait. */
const retryPauseMs = 20;

let database: DatabaseSync | undefined;
let statementsKept = 0;
/** Prepared statements, the one that was used last at the end. */
const prepared = new Map<string, StatementSync>();

function answer(request: WorkerRequest): Omit<WorkerAnswer, "id"> {
  if ("open" in request) {
    open(request.open);
    return {};
  }
  if ("close" in request) {
    prepared.clear();
    database?.close();
    database = undefined;
    return {};
  }
  const statement = prepare(request.sql);
  if (statement.columns().length > 0) return { rows: statement.all(...request.parameters) };
  return { rows: [], changes: Number(statement.run(...request.parameters).changes) };
}

function open({
  path,
  isReadOnly,
  busyMs,
  pageBytes,
  checkpointBytes,
  statements,
}: Extract<WorkerRequest, { open: unknown }>["open"]): void {
  statementsKept = statements;
  database = new DatabaseSync(path, { timeout: busyMs });
  if (isReadOnly) {
    database.exec("PRAGMA query_only = ON");
    return;
  }
  chmodSync(path, 0o600);
  database.exec(`PRAGMA page_size = ${pageBytes}`);
  const deadline = performance.now() + busyMs;
  for (;;) {
    try {
      database.exec("PRAGMA journal_mode = WAL");
      break;
    } catch (error) {
      if ((error as { errcode?: number }).errcode !== 5 || performance.now() > deadline) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryPauseMs);
    }
  }
  // FULL: what has been acknowledged outlives a power cut.
  database.exec(
    `PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = ${Math.ceil(checkpointBytes / pageBytes)};
     PRAGMA journal_size_limit = ${checkpointBytes}`,
  );
}

function prepare(sql: string): StatementSync {
  if (!database) throw new Error("the database is not open");
  const known = prepared.get(sql);
  const statement = known ?? database.prepare(sql);
  prepared.delete(sql);
  prepared.set(sql, statement);
  if (prepared.size > statementsKept) prepared.delete(prepared.keys().next().value!);
  return statement;
}

function blobsOf(rows: Record<string, unknown>[] | undefined): ArrayBuffer[] {
  const found: ArrayBuffer[] = [];
  for (const row of rows ?? []) {
    for (const value of Object.values(row)) {
      if (!(value instanceof Uint8Array) || value.byteLength < transferBytes) continue;
      if (value.byteLength === value.buffer.byteLength && value.buffer instanceof ArrayBuffer) found.push(value.buffer);
    }
  }
  return found;
}

parentPort?.on("message", (request: WorkerRequest) => {
  let answered: WorkerAnswer;
  try {
    answered = { id: request.id, ...answer(request) };
  } catch (error) {
    const { message, errcode } = error as Error & { errcode?: number };
    answered = { id: request.id, error: { message, code: errcode } };
  }
  parentPort!.postMessage(answered, blobsOf(answered.rows));
  if ("close" in request) parentPort!.close();
});

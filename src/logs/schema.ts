/** Tables of the logs. Positions and counts are of the whole log; times are milliseconds since 1970. */
import type { Migration } from "../history/database.ts";

export interface LogTables {
  logs: LogRow;
  log_tail: TailRow;
  log_chunks: ChunkRow;
}

export interface LogRow {
  attempt: string;
  /** Of its chunks: chunk N holds the bytes from N × chunk_bytes on. */
  chunk_bytes: number;
  size: number;
  /** Line feeds. */
  feeds: number;
  /** Where the last line begins: after the last line feed. */
  line_start: number;
  /** Chunks that are sealed, from 0 on. */
  sealed: number;
  last_ms: number;
  closed_ms: number | null;
}

/** Bytes that are not sealed yet; no row crosses the border of a chunk. */
export interface TailRow {
  attempt: string;
  start: number;
  bytes: Uint8Array;
  /** Line feeds before it, and in it. */
  feeds_before: number;
  feeds: number;
  time_ms: number;
}

/** A sealed chunk; its bytes are in the object store. */
export interface ChunkRow {
  attempt: string;
  number: number;
  size: number;
  feeds_before: number;
  feeds: number;
  /** {@link ChunkIndex}, encoded. */
  blocks: Uint8Array;
  times: Uint8Array;
}

export const logMigrations: readonly Migration[] = [
  ({ text, bytes, integer }) => [
    `create table logs (attempt ${text} primary key, chunk_bytes ${integer} not null, size ${integer} not null, feeds ${integer} not null,
      line_start ${integer} not null, sealed ${integer} not null, last_ms ${integer} not null, closed_ms ${integer})`,
    `create table log_tail (attempt ${text} not null, start ${integer} not null, bytes ${bytes} not null, feeds_before ${integer} not null,
      feeds ${integer} not null, time_ms ${integer} not null, primary key (attempt, start))`,
    `create table log_chunks (attempt ${text} not null, number ${integer} not null, size ${integer} not null,
      feeds_before ${integer} not null, feeds ${integer} not null, blocks ${bytes} not null, times ${bytes} not null,
      primary key (attempt, number))`,
  ],
];

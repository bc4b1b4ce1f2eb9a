/**
 * A database of what happened, SQLite in the data folder or Postgres: the same queries run on both.
 *
 * Reads and writes go separate ways. Reads are plain kysely. Writes are given to `commit`, which puts those that are asked
 * for at the same time into one transaction: on a disk a commit costs milliseconds whatever is in it.
 * kysely and pg are loaded when a database is opened.
 */
import { join } from "node:path";
import type { Dialect, Kysely, Sql, Transaction } from "kysely";
import { SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { postgresDialect } from "./postgres.ts";
import { sqliteDialect, type SqliteSizes } from "./sqlite.ts";

/** Where the databases are: a folder for SQLite's files, or one Postgres database. */
export type DatabaseSettings = { sqlite: { directory: string } } | { postgres: { url: string } };

export interface Database<S> {
  readonly kind: "sqlite" | "postgres";
  /** For reading. On SQLite a connection of its own: a long query holds up no write. It sees every commit that was acknowledged. */
  readonly read: Kysely<S>;
  /**
   * For a row by its key that is asked for now and then: on SQLite by the connection that writes, so that the other one's thread can end
   * while nobody looks at anything. It waits for the commits that were asked for before.
   */
  readonly lookup: Kysely<S>;
  /** kysely's tag for what its builder cannot say; here, so that nobody needs to import it. */
  readonly sql: Sql;
  /**
   * Does the work in a transaction, and resolves when it is on the disk. The work may be done again after a roll-back, and
   * others' writes may be rolled back with it: its only effect is on the transaction, and what can go wrong in everyday life
   * is a value that it gives, not an error that it throws.
   * @throws SeatrialError `timeout` (retryable) when too much is waiting, or another process keeps the file; what the work throws.
   */
  commit<T>(work: (transaction: Transaction<S>) => Promise<T>): Promise<T>;
  /**
   * Called first by a work that writes what follows from what it reads: of those with the same key one is done at a time, until its
   * transaction ends. SQLite does no others in any case.
   */
  alone(transaction: Transaction<S>, key: string): Promise<void>;
  /** Finishes what was asked for, and ends. */
  close(): Promise<void>;
}

/** Names of column types that differ between the two. */
export interface ColumnTypes {
  /** Compared byte by byte: prefixes and pages rely on it. */
  text: string;
  bytes: string;
  /** 64 bits; numbers of ours stay below 2^53. */
  integer: string;
  /** Primary key that counts up. */
  sequence: string;
}

/** One step of a schema; its place in the list is its version. A released one is never changed. */
export type Migration = (types: ColumnTypes) => readonly string[];

const columnTypes: Record<Database<unknown>["kind"], ColumnTypes> = {
  sqlite: { text: "text", bytes: "blob", integer: "integer", sequence: "integer primary key autoincrement" },
  postgres: { text: 'text collate "C"', bytes: "bytea", integer: "bigint", sequence: "bigint generated always as identity primary key" },
};

interface SchemaTable {
  seatrial_schema: { part: string; version: number };
}

export interface DatabaseOptions {
  settings: DatabaseSettings;
  /** Which of our databases: on SQLite the name of its file; on Postgres all parts share one database. */
  part: string;
  migrations: readonly Migration[];
  /** Of SQLite's file. Default: its own, which fit small rows. */
  sizes?: SqliteSizes;
}

/**
 * Opens a database, makes it when there is none, and brings its schema up to date. Several processes may do so at once.
 * @throws SeatrialError `refused` when its schema is newer than this program; `unreachable`, `invalid` (damaged).
 */
export async function openDatabase<S>(options: DatabaseOptions): Promise<Database<S>> {
  const { kind, place, dialects } = await placeOf(options);
  const { Kysely, sql } = await import("kysely");
  const write = new Kysely<S>({ dialect: dialects[0] });
  const read = dialects[1] ? new Kysely<S>({ dialect: dialects[1] }) : write;
  const end = async () => {
    await read.destroy();
    await write.destroy();
  };
  try {
    await migrate(write as unknown as Kysely<SchemaTable>, sql, kind, place, options);
  } catch (error) {
    await end();
    throw error;
  }
  const commits = new Commits(write, kind === "sqlite" ? limits.commitGroup : 1);
  return {
    kind,
    read,
    lookup: write,
    sql,
    commit: async (work) => await commits.add(work),
    alone: async (transaction, key) => {
      if (kind === "postgres") await sql`select pg_advisory_xact_lock(hashtextextended(${key}, 0))`.execute(transaction);
    },
    close: async () => {
      await commits.close();
      await end();
    },
  };
}

/** Where a database is, in words, and the dialects to write to it and, if that is another, to read from it. */
async function placeOf({
  settings,
  part,
  sizes = { pageBytes: 4096, checkpointBytes: 4096 * 1000 },
}: DatabaseOptions): Promise<{ kind: Database<unknown>["kind"]; place: string; dialects: [write: Dialect, read?: Dialect] }> {
  if ("postgres" in settings) {
    return { kind: "postgres", place: `the Postgres database (${part})`, dialects: [await postgresDialect(settings.postgres.url)] };
  }
  const { directory } = settings.sqlite;
  makeFolder(directory, 0o700);
  const path = join(directory, `${part}.db`);
  const write = await sqliteDialect({ path, sizes, isReadOnly: false });
  return { kind: "sqlite", place: path, dialects: [write, await sqliteDialect({ path, sizes, isReadOnly: true })] };
}

async function migrate(
  database: Kysely<SchemaTable>,
  sql: Sql,
  kind: Database<unknown>["kind"],
  place: string,
  { part, migrations }: DatabaseOptions,
): Promise<void> {
  const types = columnTypes[kind];
  const makeTable = sql`create table if not exists seatrial_schema (part ${sql.raw(types.text)} primary key, version integer not null)`;
  const versionIn = async (from: Kysely<SchemaTable>) => {
    const row = await from.selectFrom("seatrial_schema").select("version").where("part", "=", part).executeTakeFirst();
    const version = row?.version ?? 0;
    if (version > migrations.length) {
      throw new SeatrialError("refused", `${place} has schema ${version}, and this Seatrial knows up to ${migrations.length}`, {
        hint: "it was written by a newer version: use that one, or restore the backup made before the upgrade",
      });
    }
    return version;
  };
  if (kind === "sqlite") {
    // The usual case needs no turn at writing.
    await makeTable.execute(database);
    if ((await versionIn(database)) === migrations.length) return;
  }
  await database.transaction().execute(async (transaction) => {
    // One process at a time; "create if not exists" alone fails when two do so at once.
    if (kind === "postgres") await sql`select pg_advisory_xact_lock(hashtext('seatrial_schema'))`.execute(transaction);
    await makeTable.execute(transaction);
    const version = await versionIn(transaction);
    if (version === migrations.length) return;
    for (const migration of migrations.slice(version)) {
      for (const statement of migration(types)) await sql.raw(statement).execute(transaction);
    }
    await transaction
      .insertInto("seatrial_schema")
      .values({ part, version: migrations.length })
      .onConflict((conflict) => conflict.column("part").doUpdateSet({ version: migrations.length }))
      .execute();
  });
}

interface Commit<S> {
  work(transaction: Transaction<S>): Promise<unknown>;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/**
 * Group commit: while one transaction is on its way to the disk, the next group gathers. With groups of one (Postgres, which
 * does the same by itself) transactions run side by side.
 */
class Commits<S> {
  readonly #database: Kysely<S>;
  readonly #groupSize: number;
  readonly #queue: Commit<S>[] = [];
  #running = 0;
  #isClosed = false;
  #idle: (() => void) | undefined;

  constructor(database: Kysely<S>, groupSize: number) {
    this.#database = database;
    this.#groupSize = groupSize;
  }

  async add<T>(work: (transaction: Transaction<S>) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new SeatrialError("internal", "the database was closed before this write");
    if (this.#queue.length >= limits.commitQueue) {
      throw new SeatrialError("timeout", `${limits.commitQueue} writes wait for the database: it cannot keep up`, { retryable: true });
    }
    return await new Promise<T>((resolve, reject) => {
      this.#queue.push({ work, resolve: resolve as (value: unknown) => void, reject });
      this.#next();
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#running > 0 || this.#queue.length > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  #next(): void {
    const most = this.#groupSize === 1 ? limits.databaseConnections : 1;
    while (this.#running < most && this.#queue.length > 0) {
      this.#running++;
      void this.#run(this.#queue.splice(0, this.#groupSize));
    }
    if (this.#running === 0) this.#idle?.();
  }

  async #run(group: Commit<S>[]): Promise<void> {
    try {
      const values = await this.#transaction(group);
      for (const [index, { resolve }] of group.entries()) resolve(values[index]);
    } catch (error) {
      if (group.length === 1) group[0]!.reject(error);
      // One of them failed, or all did: each by itself shows which.
      else for (const commit of group) await this.#transaction([commit]).then(([value]) => commit.resolve(value), commit.reject);
    } finally {
      this.#running--;
      this.#next();
    }
  }

  async #transaction(group: readonly Commit<S>[]): Promise<unknown[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#database.transaction().execute(async (transaction) => {
          const values: unknown[] = [];
          for (const { work } of group) values.push(await work(transaction));
          return values;
        });
      } catch (error) {
        // Postgres ended it for another's sake.
        const mayRepeat = error instanceof SeatrialError && error.code === "conflict" && error.retryable;
        if (!mayRepeat || attempt === limits.commitAttempts) throw error;
      }
    }
  }
}

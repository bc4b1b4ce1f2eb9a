/**
 * Artifacts that a job gave a name (`actions/upload-artifact`), for other jobs of its run. Their files are artifacts of the attempt,
 * below {@link uploadFolder}; here is which names there are, and whose they are.
 *
 * ```
 * begin ─▶ files, one by one ─▶ finish: from now on it is seen, and does not change
 * ```
 * A name is given once in one attempt of a run. A rerun gives it again: then the newest counts.
 */
import { createHash } from "node:crypto";
import type { Transaction } from "kysely";
import type { Database } from "./database.ts";
import type { HistoryTables, UploadRow } from "./schema.ts";

/** Whose it is. */
export interface UploadOwner {
  /** Uid of the Run. */
  run: string;
  /** The attempt of the Run that the job was decided in. */
  runAttempt: number;
  /** Name of the JobRun. */
  jobRun: string;
  /** Uid of the attempt. */
  attempt: string;
}

export interface Upload {
  id: number;
  name: string;
  attempt: string;
  size: number;
  /** Of the paths and digests of all its files. */
  digest: string;
  files: { path: string; size: number; digest: string; key: string }[];
}

/** Where the files of an upload are among the artifacts of its attempt, with `/` at its end. */
export function uploadFolder(name: string): string {
  return `uploads/${name}/`;
}

/** Where the objects of an upload are, below the prefix of its attempt. Not by its name: what removes those of one before it would remove them, too. */
export function uploadObjects(id: number): string {
  return `uploads/${id}`;
}

/** `begun`: and the objects of these keys were of one that it replaces; `taken`: the name is given, by that JobRun; `full`: the attempt has as many as it may. */
export type UploadBegun = { state: "begun"; id: number; replaced: string[] } | { state: "taken"; by: string } | { state: "full" };

export class Uploads {
  readonly #database: Database<HistoryTables>;

  constructor(database: Database<HistoryTables>) {
    this.#database = database;
  }

  /**
   * Takes a name. What an attempt before left of the same job is replaced, and what this one has not finished.
   * @param options.mayReplace also one that is finished, whosever it is in this run. @param options.request what tells this request from others: the same
   * again changes nothing, and has the same answer. @param options.most how many the attempt may have. Default: no bound.
   */
  async begin(
    { run, runAttempt, jobRun, attempt }: UploadOwner,
    name: string,
    options: { mayReplace: boolean; expiresAt?: Date | undefined; request?: string | undefined; most?: number },
    now: Date,
  ): Promise<UploadBegun> {
    return await this.#database.commit(async (transaction): Promise<UploadBegun> => {
      await this.#database.alone(transaction, `upload ${run} ${name}`);
      const before = await transaction
        .selectFrom("uploads")
        .selectAll()
        .where("run", "=", run)
        .where("name", "=", name)
        .where("run_attempt", "=", runAttempt)
        .executeTakeFirst();
      if (before?.attempt === attempt && before.request !== null && before.request === options.request)
        return { state: "begun", id: Number(before.id), replaced: [] };
      if ((await countOf(transaction, attempt)) >= (options.most ?? Infinity)) return { state: "full" };
      const isOwn = before?.job_run === jobRun && (before.attempt !== attempt || before.finished_ms === null);
      if (before && !isOwn && !options.mayReplace) return { state: "taken", by: before.job_run };
      const replaced = before ? await removeUpload(transaction, before) : [];
      const { id } = await transaction
        .insertInto("uploads")
        .values({
          run,
          name,
          run_attempt: runAttempt,
          job_run: jobRun,
          attempt,
          size: 0,
          digest: "",
          created_ms: now.getTime(),
          finished_ms: null,
          expires_ms: options.expiresAt?.getTime() ?? null,
          request: options.request ?? null,
        })
        .returning("id")
        .executeTakeFirstOrThrow();
      return { state: "begun", id: Number(id), replaced };
    });
  }

  /** The upload of an attempt that is under way. */
  async open(attempt: string, id: number): Promise<{ name: string } | undefined> {
    return await this.#database.read
      .selectFrom("uploads")
      .select("name")
      .where("id", "=", id)
      .where("attempt", "=", attempt)
      .where("finished_ms", "is", null)
      .executeTakeFirst();
  }

  /** Shows it to others. May be called again. @returns undefined when the attempt has no such upload. */
  async finish(attempt: string, id: number, now: Date): Promise<Upload | undefined> {
    return await this.#database.commit(async (transaction) => {
      const row = await transaction
        .selectFrom("uploads")
        .selectAll()
        .where("id", "=", id)
        .where("attempt", "=", attempt)
        .executeTakeFirst();
      if (!row) return undefined;
      const files = await filesOf(transaction, row);
      const hash = createHash("sha256");
      for (const { path, digest } of files) hash.update(`${path}\0${digest}\n`);
      const digest = row.finished_ms === null ? hash.digest("hex") : row.digest;
      const size = files.reduce((sum, file) => sum + file.size, 0);
      if (row.finished_ms === null)
        await transaction.updateTable("uploads").set({ finished_ms: now.getTime(), digest, size }).where("id", "=", id).execute();
      return { id, name: row.name, attempt, size, digest, files };
    });
  }

  /** Those of a run that are finished, of each name the newest, by name; without their files. */
  async list(run: string): Promise<Omit<Upload, "files">[]> {
    const rows = await this.#database.read
      .selectFrom("uploads")
      .select(["id", "name", "attempt", "size", "digest"])
      .where("run", "=", run)
      .where("finished_ms", "is not", null)
      .orderBy("name")
      .orderBy("run_attempt")
      .execute();
    return [...new Map(rows.map((row) => [row.name, { ...row, id: Number(row.id), size: Number(row.size) }])).values()];
  }

  /** A finished one of a run, with its files in the order of their paths. */
  async get(run: string, id: number): Promise<Upload | undefined> {
    const { read } = this.#database;
    const row = await read
      .selectFrom("uploads")
      .selectAll()
      .where("id", "=", id)
      .where("run", "=", run)
      .where("finished_ms", "is not", null)
      .executeTakeFirst();
    if (!row) return undefined;
    const { name, attempt, digest } = row;
    return { id, name, attempt, size: Number(row.size), digest, files: await filesOf(read, row) };
  }

  /** Removes those whose time is over, with their files' rows. @returns the keys of their objects. */
  async removeExpired(now: Date, limit: number): Promise<string[]> {
    return await this.#database.commit(async (transaction) => {
      const rows = await transaction.selectFrom("uploads").selectAll().where("expires_ms", "<=", now.getTime()).limit(limit).execute();
      const keys: string[] = [];
      for (const row of rows) keys.push(...(await removeUpload(transaction, row)));
      return keys;
    });
  }
}

type Reader = Pick<Transaction<HistoryTables>, "selectFrom">;

/** Also those that were never finished. */
async function countOf(reader: Reader, attempt: string): Promise<number> {
  const { count } = await reader
    .selectFrom("uploads")
    .select((value) => value.fn.countAll<number | string>().as("count"))
    .where("attempt", "=", attempt)
    .executeTakeFirstOrThrow();
  return Number(count);
}

async function filesOf(reader: Reader, { attempt, name }: Pick<UploadRow, "attempt" | "name">): Promise<Upload["files"]> {
  const folder = uploadFolder(name);
  const [from, to] = rangeOf(name);
  const rows = await reader
    .selectFrom("artifacts")
    .select(["path", "size", "digest", "key"])
    .where("attempt", "=", attempt)
    .where("path", ">=", from)
    .where("path", "<", to)
    .orderBy("path")
    .execute();
  return rows.map((row) => ({ ...row, path: row.path.slice(folder.length), size: Number(row.size) }));
}

/** Paths below its folder; `0` is the character after `/`. */
function rangeOf(name: string): [string, string] {
  const folder = uploadFolder(name);
  return [folder, `${folder.slice(0, -1)}0`];
}

/** @returns the keys of its objects. */
async function removeUpload(transaction: Transaction<HistoryTables>, row: Pick<UploadRow, "attempt" | "name"> & { id: unknown }) {
  const files = await filesOf(transaction, row);
  const [from, to] = rangeOf(row.name);
  await transaction.deleteFrom("artifacts").where("attempt", "=", row.attempt).where("path", ">=", from).where("path", "<", to).execute();
  await transaction.deleteFrom("uploads").where("id", "=", Number(row.id)).execute();
  return files.map(({ key }) => key);
}

/**
 * Retention: what is old enough leaves, in small batches, while the server works. What has not ended stays.
 *
 * SQLite keeps the space for what comes next: its file is as large as what was kept at the busiest time. Giving it back
 * (auto_vacuum) would move most pages a second time, to win what the next weeks need again.
 *
 * What is outside the database, logs and objects, is removed first and its rows afterwards: after a crash in between the rows
 * still name what is to be removed, and removing what is gone is success.
 */
import { limits } from "../base/limits.ts";
import type { RawBuilder } from "kysely";
import type { Database } from "./database.ts";
import type { HistoryTables } from "./schema.ts";

export interface RetentionPolicy {
  /** Runs that ended before leave with all that is theirs. Absent: none does. */
  runsBefore?: Date | undefined;
  logsBefore?: Date | undefined;
  artifactsBefore?: Date | undefined;
  /** Deliveries that were handled before. */
  deliveriesBefore?: Date | undefined;
  /** For only this repository, by its forge and the forge's id of it; deliveries and documents are then left alone. Default: all. */
  repository?: { forge: string; id: string } | undefined;
  /** Of each job, cell for cell, so many stay whole, however old. */
  keepNewestPerJob: number;
}

/** How things outside the database are removed. May be called again for what is gone already. */
export interface Removal {
  log(attempt: PrunedAttempt): Promise<void>;
  /** The objects of these keys, and all objects below `archivePrefix`. */
  artifacts(attempt: PrunedAttempt, keys: readonly string[]): Promise<void>;
}

export interface PrunedAttempt {
  uid: string;
  archivePrefix?: string;
}

export interface Pruned {
  runs: number;
  logs: number;
  artifacts: number;
  deliveries: number;
  documents: number;
  /** Something reached the limit: call again. */
  isMore: boolean;
}

export class Retention {
  readonly #database: Database<HistoryTables>;

  constructor(database: Database<HistoryTables>) {
    this.#database = database;
  }

  /** One batch: no more than `limit` of each sort. @throws what the removal throws; what was done until then stays done. */
  async prune(policy: RetentionPolicy, limit: number, now: Date, removal: Removal): Promise<Pruned> {
    const runs = policy.runsBefore ? await this.#pruneRuns(policy, policy.runsBefore, limit, removal) : 0;
    const logs = policy.logsBefore ? await this.#pruneLogs(policy, policy.logsBefore, limit, now, removal) : 0;
    const artifacts = policy.artifactsBefore ? await this.#pruneArtifacts(policy, policy.artifactsBefore, limit, now, removal) : 0;
    const isForAll = policy.repository === undefined;
    const deliveries = isForAll && policy.deliveriesBefore ? await this.#pruneDeliveries(policy.deliveriesBefore, limit) : 0;
    const documents = isForAll && policy.runsBefore ? await this.#pruneDocuments(policy.runsBefore, limit) : 0;
    const isMore = [runs, logs, artifacts, deliveries, documents].includes(limit);
    return { runs, logs, artifacts, deliveries, documents, isMore };
  }

  async #pruneRuns(policy: RetentionPolicy, before: Date, limit: number, removal: Removal): Promise<number> {
    const { read, sql } = this.#database;
    let query = read
      .selectFrom("runs as r")
      .select(["r.uid", "r.name"])
      .where((value) => value.or([value("r.phase", "=", "Finished"), value("r.gone_ms", "is not", null)]))
      // It was made before it ended; only this has an index.
      .where("r.created_ms", "<", before.getTime())
      .where((value) => value(value.fn.coalesce("r.finished_ms", "r.gone_ms", "r.created_ms"), "<", before.getTime()))
      .where(({ not, exists, selectFrom }) =>
        not(
          exists(
            selectFrom("job_runs as j")
              .select("j.uid")
              .whereRef("j.run", "=", "r.name")
              // Also those of a later run that was given the same name.
              .where((value) =>
                value.or([
                  value("j.phase", "<>", "Finished"),
                  value(value.fn.coalesce("j.finished_ms", "j.gone_ms", "j.created_ms"), ">=", before.getTime()),
                  sql<boolean>`not ${this.#isOld(policy)}`,
                ]),
              ),
          ),
        ),
      )
      .orderBy("r.created_ms")
      .limit(limit);
    const { forge, id } = policy.repository ?? {};
    if (forge !== undefined && id !== undefined) query = query.where("r.forge", "=", forge).where("r.repository_id", "=", id);
    const runs = await query.execute();
    for (const run of runs) await this.#pruneRun(run, removal);
    return runs.length;
  }

  async #pruneRun(run: { uid: string; name: string }, removal: Removal): Promise<void> {
    const { read } = this.#database;
    const attempts = await read
      .selectFrom("attempts")
      .innerJoin("job_runs", "job_runs.uid", "attempts.job_run_uid")
      .select(["attempts.uid", "attempts.archive_prefix"])
      .where("job_runs.run", "=", run.name)
      .execute();
    for (const row of attempts) {
      const attempt = prunedAttempt(row);
      await removal.log(attempt);
      await this.#removeArtifacts(attempt, removal);
      for (const [table, key] of partsOfAttempts) await this.#deleteRows(table, "attempt", row.uid, key);
      await this.#deleteRows("attempts", "uid", row.uid, "uid");
    }
    await this.#deleteRows("job_runs", "run", run.name, "uid");
    await this.#deleteRows("runs", "uid", run.uid, "uid");
  }

  /** Deletes the rows that have a value, {@link limits.pruneRows} in each transaction. @param key tells them apart. */
  async #deleteRows(table: string, column: string, value: string, key: string): Promise<void> {
    const { sql, commit } = this.#database;
    const [from, which, each] = [sql.table(table), sql.ref(column), sql.ref(key)];
    const some = sql`select ${each} from ${from} where ${which} = ${value} limit ${sql.lit(limits.pruneRows)}`;
    for (;;) {
      const { numAffectedRows = 0n } = await commit(
        async (transaction) => await sql`delete from ${from} where ${which} = ${value} and ${each} in (${some})`.execute(transaction),
      );
      if (numAffectedRows < limits.pruneRows) return;
    }
  }

  async #pruneLogs(policy: RetentionPolicy, before: Date, limit: number, now: Date, removal: Removal): Promise<number> {
    const attempts = await this.#oldAttempts("log_pruned_ms", policy, before, limit);
    for (const attempt of attempts) {
      await removal.log(attempt);
      await this.#markPruned(attempt.uid, { log_pruned_ms: now.getTime() });
    }
    return attempts.length;
  }

  async #pruneArtifacts(policy: RetentionPolicy, before: Date, limit: number, now: Date, removal: Removal): Promise<number> {
    const attempts = await this.#oldAttempts("artifacts_pruned_ms", policy, before, limit);
    for (const attempt of attempts) {
      await this.#removeArtifacts(attempt, removal);
      await this.#deleteRows("artifacts", "attempt", attempt.uid, "path");
      await this.#deleteRows("uploads", "attempt", attempt.uid, "id");
      await this.#markPruned(attempt.uid, { artifacts_pruned_ms: now.getTime() });
    }
    return attempts.length;
  }

  /** In pieces: an attempt may have thousands. */
  async #removeArtifacts(attempt: PrunedAttempt, removal: Removal): Promise<void> {
    const rows = await this.#database.read.selectFrom("artifacts").select("key").where("attempt", "=", attempt.uid).execute();
    const keys = rows.map(({ key }) => key);
    for (let from = 0; from === 0 || from < keys.length; from += limits.pageItemsMost) {
      await removal.artifacts(attempt, keys.slice(from, from + limits.pageItemsMost));
    }
  }

  async #markPruned(attempt: string, columns: { log_pruned_ms: number } | { artifacts_pruned_ms: number }): Promise<void> {
    await this.#database.commit(
      async (transaction) => await transaction.updateTable("attempts").set(columns).where("uid", "=", attempt).execute(),
    );
  }

  async #oldAttempts(
    mark: "log_pruned_ms" | "artifacts_pruned_ms",
    policy: RetentionPolicy,
    before: Date,
    limit: number,
  ): Promise<PrunedAttempt[]> {
    let query = this.#database.read
      .selectFrom("attempts as a")
      .innerJoin("job_runs as j", "j.uid", "a.job_run_uid")
      .innerJoin("runs as r", "r.name", "j.run")
      .select(["a.uid", "a.archive_prefix"])
      .where(`a.${mark}`, "is", null)
      .where("a.ended_ms", "<", before.getTime())
      .where(this.#isOld(policy))
      .orderBy("a.ended_ms")
      .limit(limit);
    const { forge, id } = policy.repository ?? {};
    if (forge !== undefined && id !== undefined) query = query.where("r.forge", "=", forge).where("r.repository_id", "=", id);
    return (await query.execute()).map(prunedAttempt);
  }

  async #pruneDeliveries(before: Date, limit: number): Promise<number> {
    const result = await this.#database.commit(
      async (transaction) =>
        await transaction
          .deleteFrom("deliveries")
          .where("id", "in", (value) =>
            value
              .selectFrom("deliveries")
              .select("id")
              .where("state", "<>", "waiting")
              .where("ended_ms", "<", before.getTime())
              .orderBy("ended_ms")
              .limit(limit),
          )
          .executeTakeFirst(),
    );
    return Number(result.numDeletedRows);
  }

  /** Those that no run names; one that was put a moment ago is about to be named. */
  async #pruneDocuments(before: Date, limit: number): Promise<number> {
    const result = await this.#database.commit(
      async (transaction) =>
        await transaction
          .deleteFrom("documents")
          .where("digest", "in", (value) =>
            value
              .selectFrom("documents as d")
              .select("d.digest")
              .where("d.created_ms", "<", before.getTime())
              .where(({ not, exists, selectFrom }) =>
                not(exists(selectFrom("runs").select("uid").whereRef("workflow_digest", "=", "d.digest"))),
              )
              .where(({ not, exists, selectFrom }) =>
                not(exists(selectFrom("runs").select("uid").whereRef("event_digest", "=", "d.digest"))),
              )
              .where(({ not, exists, selectFrom }) =>
                not(exists(selectFrom("runs").select("uid").whereRef("calls_digest", "=", "d.digest"))),
              )
              .limit(limit),
          )
          .executeTakeFirst(),
    );
    return Number(result.numDeletedRows);
  }

  /** Of a job run `j` of the run `r`: there are as many newer ones of the same job as shall be kept. */
  #isOld({ keepNewestPerJob }: RetentionPolicy): RawBuilder<boolean> {
    const { sql } = this.#database;
    if (keepNewestPerJob <= 0) return sql<boolean>`(1 = 1)`;
    return sql<boolean>`exists (
      select 1 from job_runs n join runs nr on nr.name = n.run
      where n.repository = j.repository and n.job_name = j.job_name and nr.workflow_path = r.workflow_path
        and (n.created_ms, n.uid) > (j.created_ms, j.uid)
      order by n.created_ms limit 1 offset ${sql.lit(Math.trunc(keepNewestPerJob) - 1)})`;
  }
}

/** Tables of what belongs to an attempt, and what tells the rows of one attempt apart; of several that share it all go at once. */
const partsOfAttempts = [
  ["steps", "position"],
  ["annotations", "digest"],
  ["tests", "position"],
  ["artifacts", "path"],
  ["uploads", "id"],
  ["cluster_events", "uid"],
  ["locks", "attempt"],
] as const;

function prunedAttempt({ uid, archive_prefix }: { uid: string; archive_prefix: string | null }): PrunedAttempt {
  return { uid, ...(archive_prefix === null ? {} : { archivePrefix: archive_prefix }) };
}

/**
 * The projection: what Runs and JobRuns say, written down before they may leave the API.
 *
 * The project reconciler calls it, as often and in whatever order it likes: rows are by uid, and an older state never
 * replaces a newer one. Which is newer, the resourceVersion says. Kubernetes promises since 1.35 that those of one kind
 * compare as whole numbers (KEP-5504), and our in-memory API counts too; anything else is refused. Two states of one uid are
 * all that is ever compared, so that resources of several API servers may share a history. An etcd that was set back to a
 * backup must have its revision raised (`etcdutl snapshot restore --bump-revision`), or states wait until they are newer.
 */
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { JobRun } from "../resources/job-run.ts";
import type { Stored } from "../resources/object.ts";
import { hasEnded, type Run } from "../resources/run.ts";
import type { Database } from "./database.ts";
import { msOf } from "./page.ts";
import type { HistoryTables, JobRunRow, RunRow } from "./schema.ts";

export class Projection {
  readonly #database: Database<HistoryTables>;

  constructor(database: Database<HistoryTables>) {
    this.#database = database;
  }

  /** Resolves when all are on the disk. @throws SeatrialError `invalid` for a resourceVersion that is no number. */
  async projectRuns(runs: readonly Stored<Run>[]): Promise<void> {
    await this.#upsert("runs", runs, runRow);
  }

  /** As {@link projectRuns}. */
  async projectJobRuns(jobRuns: readonly Stored<JobRun>[]): Promise<void> {
    await this.#upsert("job_runs", jobRuns, jobRunRow);
  }

  /**
   * The resource is no longer there. One that had not ended is written down as aborted, because it was deleted; nothing that
   * is projected afterwards changes it.
   * @returns false when the history never heard of it.
   */
  async markGone(kind: "Run" | "JobRun", uid: string, at: Date): Promise<boolean> {
    const table = kind === "Run" ? "runs" : "job_runs";
    return await this.#database.commit(async (transaction) => {
      const row = await transaction.selectFrom(table).select(["phase", "resource", "gone_ms"]).where("uid", "=", uid).executeTakeFirst();
      if (!row || row.gone_ms !== null) return row !== undefined;
      const gone = { gone_ms: at.getTime() };
      const ended = {
        phase: "Finished",
        verdict: "aborted",
        cause: "deleted",
        message: `the ${kind} was deleted before it had ended`,
      } as const;
      const resource = JSON.parse(row.resource) as Stored<Run> | Stored<JobRun>;
      const status = { ...resource.status, ...ended, finishedAt: at.toISOString() };
      await transaction
        .updateTable(table)
        .set(
          row.phase === "Finished"
            ? gone
            : { ...gone, ...ended, finished_ms: at.getTime(), resource: JSON.stringify({ ...resource, status }) },
        )
        .where("uid", "=", uid)
        .execute();
      return true;
    });
  }

  /** Whether the history has the run and these JobRuns of it as they are here: then they may leave the API. */
  async hasSeen(run: Stored<Run>, jobRuns: readonly Stored<JobRun>[]): Promise<boolean> {
    const { read } = this.#database;
    const { uid, name } = run.metadata;
    const rows = [
      ...(await read.selectFrom("runs").select(["uid", "version"]).where("uid", "=", uid).execute()),
      ...(await read.selectFrom("job_runs").select(["uid", "version"]).where("run", "=", name).execute()),
    ];
    const seen = new Map(rows.map((row) => [row.uid, row.version]));
    return [run, ...jobRuns].every((each) => seen.get(each.metadata.uid) === versionOf(each));
  }

  async #upsert<R extends Stored<Run> | Stored<JobRun>>(
    table: "runs" | "job_runs",
    resources: readonly R[],
    rowOf: (resource: R) => RunRow | JobRunRow,
  ): Promise<void> {
    // One statement cannot meet a row twice.
    const newest = new Map<string, R>();
    for (const each of resources) {
      const known = newest.get(each.metadata.uid);
      if (!known || versionOf(each) > versionOf(known)) newest.set(each.metadata.uid, each);
    }
    const unique = [...newest.values()];
    // One piece after the other, so that what comes between, a webhook, is not behind all of them.
    for (let from = 0; from < unique.length; from += limits.projectionRows) {
      const piece = unique.slice(from, from + limits.projectionRows).map(rowOf);
      const columns = Object.keys(piece[0]!).filter((column) => column !== "uid" && column !== "gone_ms") as (keyof RunRow &
        keyof JobRunRow)[];
      await this.#database.commit(
        async (transaction) =>
          await transaction
            .insertInto(table)
            .values(piece as never)
            .onConflict((conflict) =>
              conflict
                .column("uid")
                .doUpdateSet((value) => Object.fromEntries(columns.map((column) => [column, value.ref(`excluded.${column}`)])) as never)
                .where((value) => value(`${table}.version`, "<", value.ref("excluded.version")))
                .where(`${table}.gone_ms`, "is", null),
            )
            .execute(),
      );
    }
  }
}

function runRow(run: Stored<Run>): RunRow {
  const { metadata, spec } = run;
  const { source, workflow } = spec;
  const sha = source.heads?.[0]?.sha ?? source.base.sha;
  return {
    uid: metadata.uid,
    name: metadata.name,
    version: versionOf(run),
    created_ms: Date.parse(metadata.creationTimestamp),
    forge: source.forge,
    repository_id: source.repository.id,
    repository: source.repository.name,
    workflow_path: workflow.path,
    workflow_name: workflow.name,
    workflow_digest: workflow.digest,
    event_digest: source.eventDigest ?? null,
    calls_digest: workflow.calls ?? null,
    event: source.event,
    ref: source.ref,
    branch: source.base.ref,
    sha,
    lane: source.lane,
    ...stateRow(run, "Pending"),
    gone_ms: null,
    search: [metadata.name, source.repository.name, workflow.name, source.ref, source.heads?.[0]?.ref, sha, source.sender?.login]
      .filter((word) => word !== undefined)
      .join("\n")
      .toLowerCase(),
    resource: JSON.stringify(run),
  };
}

function jobRunRow(jobRun: Stored<JobRun>): JobRunRow {
  const { metadata, spec } = jobRun;
  return {
    uid: metadata.uid,
    name: metadata.name,
    version: versionOf(jobRun),
    created_ms: Date.parse(metadata.creationTimestamp),
    run: spec.run,
    repository: spec.repository,
    job: spec.job,
    job_name: spec.name,
    lane: spec.lane,
    ...stateRow(jobRun, "Waiting"),
    gone_ms: null,
    resource: JSON.stringify(jobRun),
  };
}

/** What the status says; one that nobody has written yet, or that is of an attempt before the rerun, says nothing. */
function stateRow(resource: Stored<Run> | Stored<JobRun>, first: string) {
  const isOfBefore = resource.status?.phase === "Finished" && !hasEnded(resource);
  const status = isOfBefore ? undefined : resource.status;
  return {
    phase: status?.phase ?? first,
    verdict: status?.verdict ?? null,
    cause: status?.cause ?? null,
    message: status?.message ?? null,
    started_ms: msOf(status?.startedAt),
    finished_ms: msOf(status?.finishedAt),
  };
}

function versionOf({ kind, metadata }: Stored<Run> | Stored<JobRun>): number {
  const version = /^\d+$/.test(metadata.resourceVersion) ? Number(metadata.resourceVersion) : NaN;
  if (Number.isSafeInteger(version)) return version;
  throw new SeatrialError(
    "invalid",
    `cannot write down ${kind} ${metadata.name}: its resourceVersion ${metadata.resourceVersion} is no number`,
    {
      hint: "the history needs an API server whose resource versions can be compared: Kubernetes 1.35 or newer",
    },
  );
}

/** What pages, the API and commands ask the history. Only reads; every list is paged. */
import type { JobRun } from "../resources/job-run.ts";
import type { Stored } from "../resources/object.ts";
import type { Run } from "../resources/run.ts";
import type { Verdict } from "../resources/verdict.ts";
import {
  type Annotation,
  type Artifact,
  type AttemptRecord,
  type ClusterEvent,
  resultOf,
  type StepReport,
  type TestResult,
} from "./attempts.ts";
import type { Database } from "./database.ts";
import { dateOf, limitOf, type Page, pageOf, type PageRequest, positionOf } from "./page.ts";
import type { HistoryTables, JobRunRow, RunRow } from "./schema.ts";
import { limits } from "../base/limits.ts";

export interface RunFilter {
  /** Name, as in `owner/project`. */
  repository?: string | undefined;
  /** Path of the workflow, or its name. */
  workflow?: string | undefined;
  /** `refs/…`, or a branch: the one that was pushed to, or that a pull request is for. */
  ref?: string | undefined;
  verdict?: Verdict | undefined;
  phase?: string | undefined;
  event?: string | undefined;
  /** In the names of run, repository, workflow, refs, commit, sender; upper and lower case are the same. */
  text?: string | undefined;
}

interface Summary {
  uid: string;
  name: string;
  phase: string;
  verdict?: Verdict;
  cause?: string;
  message?: string;
  createdAt: Date;
  startedAt?: Date;
  finishedAt?: Date;
  /** The resource has left the API. */
  isGone: boolean;
}

export interface RunSummary extends Summary {
  /** The workflow's `run-name`, where one run is asked for. */
  title?: string;
  forge: string;
  repository: string;
  workflow: { path: string; name: string };
  event: string;
  ref: string;
  branch: string;
  sha: string;
  lane: string;
}

export interface JobRunSummary extends Summary {
  run: string;
  repository: string;
  job: string;
  /** With the matrix cell. */
  jobName: string;
  lane: string;
}

export interface AttemptDetails extends Omit<AttemptRecord, "tokenHash"> {
  steps: StepReport[];
  /** Of all its tests. */
  testCounts: Partial<Record<Verdict, number>>;
  /** False when retention took it. */
  hasLog: boolean;
  hasArtifacts: boolean;
}

const runColumns = [
  "uid", "name", "phase", "verdict", "cause", "message", "created_ms", "started_ms", "finished_ms", "gone_ms", "forge", "repository",
  "workflow_path", "workflow_name", "event", "ref", "branch", "sha", "lane",
] as const satisfies (keyof RunRow)[]; // prettier-ignore
const jobRunColumns = [
  "uid", "name", "phase", "verdict", "cause", "message", "created_ms", "started_ms", "finished_ms", "gone_ms", "run", "repository", "job",
  "job_name", "lane",
] as const satisfies (keyof JobRunRow)[]; // prettier-ignore

export class Queries {
  readonly #database: Database<HistoryTables>;

  constructor(database: Database<HistoryTables>) {
    this.#database = database;
  }

  /** Runs, the newest first. */
  async runs(request: PageRequest & RunFilter = {}): Promise<Page<RunSummary>> {
    const { repository, workflow, ref, verdict, phase, event, text } = request;
    const from = positionOf<[number, string]>(request, ["number", "string"]);
    let query = this.#database.read
      .selectFrom("runs")
      .select(runColumns)
      .orderBy("created_ms", "desc")
      .orderBy("uid", "desc")
      .limit(limitOf(request) + 1);
    if (from) query = query.where((value) => value(value.refTuple("created_ms", "uid"), "<", value.tuple(from[0], from[1])));
    if (repository !== undefined) query = query.where("repository", "=", repository);
    if (workflow !== undefined)
      query = query.where((value) => value.or([value("workflow_path", "=", workflow), value("workflow_name", "=", workflow)]));
    if (ref !== undefined) query = query.where((value) => value.or([value("ref", "=", ref), value("branch", "=", ref)]));
    if (verdict !== undefined) query = query.where("verdict", "=", verdict);
    if (phase !== undefined) query = query.where("phase", "=", phase);
    if (event !== undefined) query = query.where("event", "=", event);
    if (text !== undefined && text !== "") {
      const pattern = `%${text.toLowerCase().replaceAll(/[\\%_]/g, "\\$&")}%`;
      query = query.where(this.#database.sql<boolean>`search like ${pattern} escape '\\'`);
    }
    return pageOf(await query.execute(), request, runSummary, ({ created_ms, uid }) => [created_ms, uid]);
  }

  /** What runs that were made before are of. */
  async *sourcesBefore(before: Date): AsyncGenerator<Run["spec"]["source"]> {
    let from: [number, string] = [-1, ""];
    for (;;) {
      const rows = await this.#database.read
        .selectFrom("runs")
        .select(["created_ms", "uid", "resource"])
        .where("created_ms", "<", before.getTime())
        .where((value) => value(value.refTuple("created_ms", "uid"), ">", value.tuple(from[0], from[1])))
        .orderBy("created_ms")
        .orderBy("uid")
        .limit(limits.pageItemsMost)
        .execute();
      for (const { resource } of rows) yield (JSON.parse(resource) as Stored<Run>).spec.source;
      const last = rows.at(-1);
      if (!last) return;
      from = [last.created_ms, last.uid];
    }
  }

  /** The run of that name, the newest if a name came twice, as it was projected last; and the first page of its jobs. */
  async run(name: string): Promise<{ summary: RunSummary; run: Stored<Run>; jobs: Page<JobRunSummary> } | undefined> {
    const row = await this.#database.read
      .selectFrom("runs")
      .select([...runColumns, "resource"])
      .where("name", "=", name)
      .orderBy("created_ms", "desc")
      .limit(1)
      .executeTakeFirst();
    if (!row) return undefined;
    const run = JSON.parse(row.resource) as Stored<Run>;
    const title = run.status?.title;
    return { summary: { ...runSummary(row), ...(title === undefined ? {} : { title }) }, run, jobs: await this.jobsOf(name) };
  }

  /** A forge's id of a repository that has had runs; the last, should the name have been another's before. */
  async repositoryId(forge: string, name: string): Promise<string | undefined> {
    const row = await this.#database.read
      .selectFrom("runs")
      .select("repository_id")
      .where("forge", "=", forge)
      .where("repository", "=", name)
      .orderBy("created_ms", "desc")
      .limit(1)
      .executeTakeFirst();
    return row?.repository_id;
  }

  /** Jobs of a run, in the order in which they were made. */
  async jobsOf(run: string, request: PageRequest = { limit: limits.pageItemsMost }): Promise<Page<JobRunSummary>> {
    const from = positionOf<[number, string]>(request, ["number", "string"]);
    let query = this.#database.read
      .selectFrom("job_runs")
      .select(jobRunColumns)
      .where("run", "=", run)
      .orderBy("created_ms")
      .orderBy("uid")
      .limit(limitOf(request) + 1);
    if (from) query = query.where((value) => value(value.refTuple("created_ms", "uid"), ">", value.tuple(from[0], from[1])));
    return pageOf(await query.execute(), request, jobRunSummary, ({ created_ms, uid }) => [created_ms, uid]);
  }

  /** The job run of that name with its attempts, the first at first. */
  async jobRun(name: string): Promise<{ summary: JobRunSummary; jobRun: Stored<JobRun>; attempts: AttemptDetails[] } | undefined> {
    const { read } = this.#database;
    const row = await read
      .selectFrom("job_runs")
      .select([...jobRunColumns, "resource"])
      .where("name", "=", name)
      .orderBy("created_ms", "desc")
      .limit(1)
      .executeTakeFirst();
    if (!row) return undefined;
    return { summary: jobRunSummary(row), jobRun: JSON.parse(row.resource) as Stored<JobRun>, attempts: await this.attemptsOf(row.uid) };
  }

  /** Attempts of a job run by its uid; the resource bounds their number. */
  async attemptsOf(jobRunUid: string): Promise<AttemptDetails[]> {
    const { read } = this.#database;
    const attempts = await read
      .selectFrom("attempts")
      .selectAll()
      .where("job_run_uid", "=", jobRunUid)
      .orderBy("number")
      .orderBy("uid")
      .execute();
    if (attempts.length === 0) return [];
    const uids = attempts.map(({ uid }) => uid);
    const steps = await read.selectFrom("steps").selectAll().where("attempt", "in", uids).orderBy("position").execute();
    const counts = await read
      .selectFrom("tests")
      .select(["attempt", "verdict", (value) => value.fn.countAll<number>().as("count")])
      .where("attempt", "in", uids)
      .groupBy(["attempt", "verdict"])
      .execute();
    return attempts.map((row) => ({
      uid: row.uid,
      jobRun: { name: row.job_run, uid: row.job_run_uid },
      number: row.number,
      executor: row.executor as AttemptDetails["executor"],
      host: row.host,
      createdAt: new Date(row.created_ms),
      heardAt: new Date(row.heartbeat_ms),
      ...(row.abort === null ? {} : { abort: row.abort }),
      ...resultOf(row),
      steps: steps
        .filter(({ attempt }) => attempt === row.uid)
        .map((step) => ({
          index: step.position,
          name: step.name,
          state: step.state,
          startedAt: step.started_at,
          firstLine: step.first_line,
          ...present({
            verdict: step.verdict,
            conclusion: step.conclusion,
            exitCode: step.exit_code,
            message: step.message,
            finishedAt: step.finished_at,
          }),
        })),
      testCounts: Object.fromEntries(
        counts.filter(({ attempt }) => attempt === row.uid).map(({ verdict, count }) => [verdict, Number(count)]),
      ),
      hasLog: row.log_pruned_ms === null,
      hasArtifacts: row.artifacts_pruned_ms === null,
    }));
  }

  /** Tests of an attempt, those that did not pass first, else in the order of the report. */
  async tests(attempt: string, request: PageRequest = {}): Promise<Page<TestResult>> {
    const from = positionOf<[number, number]>(request, ["number", "number"]);
    let query = this.#database.read
      .selectFrom("tests")
      .selectAll()
      .where("attempt", "=", attempt)
      .orderBy("rank")
      .orderBy("position")
      .limit(limitOf(request) + 1);
    if (from) query = query.where((value) => value(value.refTuple("rank", "position"), ">", value.tuple(from[0], from[1])));
    const item = (row: Awaited<ReturnType<typeof query.execute>>[number]): TestResult => ({
      suite: row.suite,
      className: row.class_name,
      name: row.name,
      verdict: row.verdict,
      ...present({ file: row.file, durationMs: row.duration_ms, message: row.message, details: row.details, logLine: row.log_line }),
    });
    return pageOf(await query.execute(), request, item, ({ rank, position }) => [rank, position]);
  }

  /** Annotations of an attempt in the order of the log; as many as there may be. */
  async annotations(attempt: string): Promise<Annotation[]> {
    const rows = await this.#database.read
      .selectFrom("annotations")
      .select("annotation")
      .where("attempt", "=", attempt)
      .orderBy("position")
      .orderBy("digest")
      .execute();
    return rows.map(({ annotation }) => JSON.parse(annotation) as Annotation);
  }

  /** Artifacts of an attempt by path. */
  async artifacts(attempt: string, request: PageRequest = {}): Promise<Page<Artifact>> {
    const from = positionOf<[string]>(request, ["string"]);
    let query = this.#database.read
      .selectFrom("artifacts")
      .selectAll()
      .where("attempt", "=", attempt)
      .orderBy("path")
      .limit(limitOf(request) + 1);
    if (from) query = query.where("path", ">", from[0]);
    return pageOf(
      await query.execute(),
      request,
      ({ path, size, digest, content_type, key }) => ({ path, size, digest, contentType: content_type, key }),
      ({ path }) => [path],
    );
  }

  async artifact(attempt: string, path: string): Promise<Artifact | undefined> {
    const row = await this.#database.read
      .selectFrom("artifacts")
      .selectAll()
      .where("attempt", "=", attempt)
      .where("path", "=", path)
      .executeTakeFirst();
    return row && { path, size: row.size, digest: row.digest, contentType: row.content_type, key: row.key };
  }

  /** Events of an attempt's clusters, the oldest first. */
  async clusterEvents(attempt: string, request: PageRequest = {}): Promise<Page<ClusterEvent>> {
    const from = positionOf<[number, string, string]>(request, ["number", "string", "string"]);
    let query = this.#database.read
      .selectFrom("cluster_events")
      .selectAll()
      .where("attempt", "=", attempt)
      .orderBy("time_ms")
      .orderBy("cluster")
      .orderBy("uid")
      .limit(limitOf(request) + 1);
    if (from) query = query.where((value) => value(value.refTuple("time_ms", "cluster", "uid"), ">", value.tuple(...from)));
    return pageOf(
      await query.execute(),
      request,
      ({ attempt: _attempt, time_ms, ...event }) => ({ ...event, time: new Date(time_ms) }),
      ({ time_ms, cluster, uid }) => [time_ms, cluster, uid],
    );
  }

  /** The same job, cell for cell, in the runs of one workflow, the newest first. */
  async jobHistory(
    of: { repository: string; workflowPath: string; jobName: string },
    request: PageRequest = {},
  ): Promise<Page<JobRunSummary>> {
    const from = positionOf<[number, string]>(request, ["number", "string"]);
    let query = this.#database.read
      .selectFrom("job_runs")
      .select(jobRunColumns)
      .where("repository", "=", of.repository)
      .where("job_name", "=", of.jobName)
      .where((value) =>
        value.exists(
          value
            .selectFrom("runs")
            .select("runs.uid")
            .whereRef("runs.name", "=", "job_runs.run")
            .where("runs.workflow_path", "=", of.workflowPath),
        ),
      )
      .orderBy("created_ms", "desc")
      .orderBy("uid", "desc")
      .limit(limitOf(request) + 1);
    if (from) query = query.where((value) => value(value.refTuple("created_ms", "uid"), "<", value.tuple(from[0], from[1])));
    return pageOf(await query.execute(), request, jobRunSummary, ({ created_ms, uid }) => [created_ms, uid]);
  }

  /** Names of runs and job runs that begin so, in order: what a person meant by the part of a name. */
  async namesWith(prefix: string, limit: number): Promise<{ kind: "Run" | "JobRun"; name: string }[]> {
    const names = async (kind: "Run" | "JobRun") => {
      const rows = await this.#database.read
        .selectFrom(kind === "Run" ? "runs" : "job_runs")
        .select("name")
        .distinct()
        .where("name", ">=", prefix)
        .where("name", "<", `${prefix}\u{10FFFF}`)
        .orderBy("name")
        .limit(limitOf({ limit }))
        .execute();
      return rows.map(({ name }) => ({ kind, name }));
    };
    return [...(await names("Run")), ...(await names("JobRun"))].slice(0, limitOf({ limit }));
  }
}

type SummaryRow = Pick<
  RunRow,
  "uid" | "name" | "phase" | "verdict" | "cause" | "message" | "created_ms" | "started_ms" | "finished_ms" | "gone_ms"
>;

function summaryOf(row: SummaryRow): Summary {
  return {
    uid: row.uid,
    name: row.name,
    phase: row.phase,
    createdAt: new Date(row.created_ms),
    isGone: row.gone_ms !== null,
    ...present({
      verdict: row.verdict,
      cause: row.cause,
      message: row.message,
      startedAt: dateOf(row.started_ms) ?? null,
      finishedAt: dateOf(row.finished_ms) ?? null,
    }),
  };
}

function runSummary(row: Pick<RunRow, (typeof runColumns)[number]>): RunSummary {
  const { forge, repository, event, ref, branch, sha, lane } = row;
  return {
    ...summaryOf(row),
    forge,
    repository,
    workflow: { path: row.workflow_path, name: row.workflow_name },
    event,
    ref,
    branch,
    sha,
    lane,
  };
}

function jobRunSummary(row: Pick<JobRunRow, (typeof jobRunColumns)[number]>): JobRunSummary {
  const { run, repository, job, job_name, lane } = row;
  return { ...summaryOf(row), run, repository, job, jobName: job_name, lane };
}

/** The fields that are not null. */
function present<T extends Record<string, unknown>>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)) as { [K in keyof T]?: NonNullable<T[K]> };
}

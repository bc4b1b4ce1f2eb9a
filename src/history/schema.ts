/**
 * Tables of the history. Times are milliseconds since 1970, lists and maps are JSON text, a resource is kept whole beside
 * the columns that it is found by.
 */
import type { Generated } from "kysely";
import type { Lane } from "../resources/run.ts";
import type { Verdict } from "../resources/verdict.ts";
import type { Migration } from "./database.ts";

export interface HistoryTables {
  documents: { digest: string; text: string; created_ms: number };
  runs: RunRow;
  job_runs: JobRunRow;
  attempts: AttemptRow;
  steps: StepRow;
  annotations: { attempt: string; digest: string; position: number; annotation: string };
  tests: TestRow;
  artifacts: ArtifactRow;
  cluster_events: ClusterEventRow;
  uploads: UploadRow;
  caches: CacheRow;
  deliveries: DeliveryRow;
  state: { key: string; value: string; updated_ms: number };
  locks: { attempt: string; document: string };
}

export interface RunRow {
  uid: string;
  name: string;
  /** The resourceVersion that the row is of. */
  version: number;
  created_ms: number;
  forge: string;
  repository_id: string;
  repository: string;
  workflow_path: string;
  workflow_name: string;
  workflow_digest: string;
  event_digest: string | null;
  /** Of the workflows that it calls. */
  calls_digest: string | null;
  event: string;
  ref: string;
  branch: string;
  sha: string;
  lane: string;
  phase: string;
  verdict: Verdict | null;
  cause: string | null;
  message: string | null;
  started_ms: number | null;
  finished_ms: number | null;
  gone_ms: number | null;
  /** What a text is searched in, in lower case. */
  search: string;
  resource: string;
}

export interface JobRunRow {
  uid: string;
  name: string;
  version: number;
  created_ms: number;
  run: string;
  repository: string;
  job: string;
  job_name: string;
  lane: string;
  phase: string;
  verdict: Verdict | null;
  cause: string | null;
  message: string | null;
  started_ms: number | null;
  finished_ms: number | null;
  gone_ms: number | null;
  resource: string;
}

export interface AttemptRow {
  uid: string;
  job_run: string;
  job_run_uid: string;
  number: number;
  token_hash: string;
  executor: string;
  host: string;
  created_ms: number;
  heartbeat_ms: number;
  endpoint: string | null;
  abort: string | null;
  ended_ms: number | null;
  verdict: Verdict | null;
  cause: string | null;
  message: string | null;
  outputs: string | null;
  log_bytes: number | null;
  /** Folder of keys that its archived files are below. */
  archive_prefix: string | null;
  /** When retention took its log, its artifacts. */
  log_pruned_ms: number | null;
  artifacts_pruned_ms: number | null;
}

export interface StepRow {
  attempt: string;
  position: number;
  name: string;
  state: "running" | "finished";
  verdict: Verdict | null;
  conclusion: Verdict | null;
  exit_code: number | null;
  message: string | null;
  started_at: string;
  finished_at: string | null;
  first_line: number;
}

export interface TestRow {
  attempt: string;
  position: number;
  /** 0 for those that did not pass: they come first. */
  rank: number;
  suite: string;
  class_name: string;
  name: string;
  file: string | null;
  verdict: Verdict;
  duration_ms: number | null;
  message: string | null;
  details: string | null;
  log_line: number | null;
}

export interface ArtifactRow {
  attempt: string;
  path: string;
  size: number;
  digest: string;
  content_type: string;
  key: string;
}

/** An artifact with a name, for other jobs of its run; its files are rows of artifacts. */
export interface UploadRow {
  id: Generated<number>;
  run: string;
  name: string;
  run_attempt: number;
  job_run: string;
  attempt: string;
  size: number;
  digest: string;
  created_ms: number;
  /** Null while its files come. */
  finished_ms: number | null;
  expires_ms: number | null;
  /** What whoever began it called the request; null where it did not. */
  request: string | null;
}

export interface CacheRow {
  id: string;
  repository: string;
  lane: Lane;
  ref: string;
  version: string;
  key: string;
  size: number;
  digest: string;
  object: string;
  created_ms: number;
  used_ms: number;
}

export interface ClusterEventRow {
  attempt: string;
  cluster: string;
  uid: string;
  time_ms: number;
  type: string;
  reason: string;
  object: string;
  message: string;
  count: number;
}

export interface DeliveryRow {
  id: Generated<number>;
  forge: string;
  delivery: string;
  event: string;
  headers: string;
  body: Uint8Array;
  received_ms: number;
  state: "waiting" | "done" | "failed";
  attempts: number;
  /** Nobody else takes it before then. */
  not_before_ms: number;
  error: string | null;
  ended_ms: number | null;
}

export const historyMigrations: readonly Migration[] = [
  ({ text, bytes, integer, sequence }) => [
    `create table documents (digest ${text} primary key, text ${text} not null, created_ms ${integer} not null)`,

    `create table runs (uid ${text} primary key, name ${text} not null, version ${integer} not null, created_ms ${integer} not null,
      forge ${text} not null, repository_id ${text} not null, repository ${text} not null, workflow_path ${text} not null,
      workflow_name ${text} not null, workflow_digest ${text} not null, event_digest ${text}, event ${text} not null, ref ${text} not null,
      branch ${text} not null, sha ${text} not null, lane ${text} not null, phase ${text} not null, verdict ${text}, cause ${text},
      message ${text}, started_ms ${integer}, finished_ms ${integer}, gone_ms ${integer}, search ${text} not null, resource ${text} not null)`,
    "create index runs_newest on runs (created_ms, uid)",
    "create index runs_of_repository on runs (repository, created_ms, uid)",
    "create index runs_by_name on runs (name)",
    "create index runs_by_workflow_text on runs (workflow_digest)",
    "create index runs_by_event_text on runs (event_digest)",

    `create table job_runs (uid ${text} primary key, name ${text} not null, version ${integer} not null, created_ms ${integer} not null,
      run ${text} not null, repository ${text} not null, job ${text} not null, job_name ${text} not null, lane ${text} not null,
      phase ${text} not null, verdict ${text}, cause ${text}, message ${text}, started_ms ${integer}, finished_ms ${integer},
      gone_ms ${integer}, resource ${text} not null)`,
    "create index job_runs_by_name on job_runs (name)",
    "create index job_runs_of_run on job_runs (run, created_ms, uid)",
    "create index job_runs_of_job on job_runs (repository, job_name, created_ms, uid)",

    `create table attempts (uid ${text} primary key, job_run ${text} not null, job_run_uid ${text} not null, number ${integer} not null,
      token_hash ${text} not null, executor ${text} not null, host ${text} not null, created_ms ${integer} not null,
      heartbeat_ms ${integer} not null, abort ${text}, ended_ms ${integer}, verdict ${text}, cause ${text}, message ${text},
      outputs ${text}, log_bytes ${integer}, archive_prefix ${text}, log_pruned_ms ${integer}, artifacts_pruned_ms ${integer})`,
    "create index attempts_of_job_run on attempts (job_run_uid, number)",
    "create index attempts_alive on attempts (heartbeat_ms) where ended_ms is null",
    "create index attempts_with_log on attempts (ended_ms) where log_pruned_ms is null",
    "create index attempts_with_artifacts on attempts (ended_ms) where artifacts_pruned_ms is null",

    `create table steps (attempt ${text} not null, position ${integer} not null, name ${text} not null, state ${text} not null,
      verdict ${text}, conclusion ${text}, exit_code ${integer}, message ${text}, started_at ${text} not null, finished_at ${text},
      first_line ${integer} not null, primary key (attempt, position))`,
    `create table annotations (attempt ${text} not null, digest ${text} not null, position ${integer} not null,
      annotation ${text} not null, primary key (attempt, digest))`,
    `create table tests (attempt ${text} not null, position ${integer} not null, rank ${integer} not null, suite ${text} not null,
      class_name ${text} not null, name ${text} not null, file ${text}, verdict ${text} not null, duration_ms ${integer}, message ${text},
      details ${text}, log_line ${integer}, primary key (attempt, rank, position))`,
    `create table artifacts (attempt ${text} not null, path ${text} not null, size ${integer} not null, digest ${text} not null,
      content_type ${text} not null, key ${text} not null, primary key (attempt, path))`,
    `create table cluster_events (attempt ${text} not null, cluster ${text} not null, uid ${text} not null, time_ms ${integer} not null,
      type ${text} not null, reason ${text} not null, object ${text} not null, message ${text} not null, count ${integer} not null,
      primary key (attempt, cluster, uid))`,
    "create index cluster_events_in_order on cluster_events (attempt, time_ms, cluster, uid)",

    `create table deliveries (id ${sequence}, forge ${text} not null, delivery ${text} not null, event ${text} not null,
      headers ${text} not null, body ${bytes} not null, received_ms ${integer} not null, state ${text} not null,
      attempts ${integer} not null, not_before_ms ${integer} not null, error ${text}, ended_ms ${integer}, unique (forge, delivery))`,
    "create index deliveries_waiting on deliveries (id) where state = 'waiting'",

    `create table state (key ${text} primary key, value ${text} not null, updated_ms ${integer} not null)`,
  ],
  // Retention looks for the old ones by these; their rows are large, and not read for it.
  () => [
    "create index deliveries_handled on deliveries (ended_ms) where state <> 'waiting'",
    "create index documents_by_age on documents (created_ms)",
  ],
  // Nobody looks for the silent: each job's own reconciler does. An attempt is looked for where it was begun.
  ({ text }) => ["drop index attempts_alive", `alter table attempts add column endpoint ${text}`],
  ({ text }) => [`create table locks (attempt ${text} primary key, document ${text} not null)`],
  ({ text }) => [`alter table runs add column calls_digest ${text}`, "create index runs_by_calls_text on runs (calls_digest)"],
  ({ text, integer, sequence }) => [
    `create table uploads (id ${sequence}, run ${text} not null, name ${text} not null, run_attempt ${integer} not null,
      job_run ${text} not null, attempt ${text} not null, size ${integer} not null, digest ${text} not null, created_ms ${integer} not null,
      finished_ms ${integer}, expires_ms ${integer}, unique (run, name, run_attempt))`,
    "create index uploads_of_attempt on uploads (attempt)",
    "create index uploads_by_expiry on uploads (expires_ms) where expires_ms is not null",
    `create table caches (id ${text} primary key, repository ${text} not null, lane ${text} not null, ref ${text} not null,
      version ${text} not null, key ${text} not null, size ${integer} not null, digest ${text} not null, object ${text} not null,
      created_ms ${integer} not null, used_ms ${integer} not null, unique (repository, lane, ref, version, key))`,
  ],
  ({ text }) => [`alter table uploads add column request ${text}`],
];

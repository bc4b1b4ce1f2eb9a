/**
 * Attempts: what the runner of each has said so far.
 *
 * The job-run reconciler opens an attempt before it starts the runner, reads here what the runner reported, and ends it when
 * the runner is gone. The server hands in what runners report: all of it can come twice, late, or out of order. An attempt
 * ends once; what comes afterwards changes nothing.
 */
import { createHash } from "node:crypto";
import { limits } from "../base/limits.ts";
import type { ExecutorName } from "../resources/job-run.ts";
import type { Cause, Verdict } from "../resources/verdict.ts";
import type { Transaction } from "kysely";
import type { Database } from "./database.ts";
import { dateOf } from "./page.ts";
import type { AttemptRow, HistoryTables, StepRow } from "./schema.ts";

export interface NewAttempt {
  uid: string;
  jobRun: { name: string; uid: string };
  number: number;
  /** SHA-256 of the runner's token, in hexadecimal; the token itself is kept nowhere. */
  tokenHash: string;
  executor: ExecutorName;
  host: string;
  /** How its Docker host was reached. */
  endpoint?: string | undefined;
}

export interface AttemptRecord extends NewAttempt {
  createdAt: Date;
  /** When its runner was heard last; at first, when it was opened. */
  heardAt: Date;
  /** Why it shall end, when somebody wants that. */
  abort?: string;
  /** How it ended. */
  result?: AttemptResult & { endedAt: Date };
}

/** Structurally the runner's `result` (runner/protocol.ts), which is above this folder. */
export interface AttemptResult {
  verdict: Verdict;
  cause?: Cause | undefined;
  message?: string | undefined;
  outputs?: Record<string, string>;
  logBytes?: number;
}

/** Structurally the runner's ReportMessage. */
export interface AttemptReport {
  steps: readonly StepReport[];
  annotations: readonly Annotation[];
  result?: AttemptResult | undefined;
}

export interface StepReport {
  /** From 0. */
  index: number;
  name: string;
  state: "running" | "finished";
  verdict?: Verdict | undefined;
  /** What it counts as, after `continue-on-error`. */
  conclusion?: Verdict | undefined;
  exitCode?: number | undefined;
  message?: string | undefined;
  startedAt: string;
  finishedAt?: string | undefined;
  /** First line of the log that is its, from 1. */
  firstLine: number;
}

export interface Annotation {
  level: "error" | "warning" | "notice";
  message: string;
  title?: string | undefined;
  file?: string | undefined;
  line?: number | undefined;
  endLine?: number | undefined;
  column?: number | undefined;
  endColumn?: number | undefined;
  step: number;
  /** Line of the log that it was said in, from 1. */
  logLine: number;
}

/** One test of a report file. */
export interface TestResult {
  suite: string;
  className: string;
  name: string;
  file?: string | undefined;
  verdict: Verdict;
  durationMs?: number | undefined;
  message?: string | undefined;
  /** Stack, diff; cut at {@link limits.testDetailsBytes}. */
  details?: string | undefined;
  /** Line of the log that shows the failure, from 1. */
  logLine?: number | undefined;
}

export interface Artifact {
  /** Relative to the artifacts folder. */
  path: string;
  size: number;
  digest: string;
  contentType: string;
  /** In the object store. */
  key: string;
}

/** An event of one of the attempt's clusters. */
export interface ClusterEvent {
  cluster: string;
  /** The event's own: its count goes up, it is no second event. */
  uid: string;
  time: Date;
  type: string;
  reason: string;
  /** Example: `Pod/default/web-0`. */
  object: string;
  message: string;
  count: number;
}

/** `absent`: no such attempt; `ended`: it has ended for us, and the report changed nothing. */
export type ReportOutcome = { state: "absent" } | { state: "ended" } | { state: "recorded"; abort?: string };

export class Attempts {
  readonly #database: Database<HistoryTables>;
  readonly #listeners = new Set<(attempt: string, jobRun: string) => void>();

  constructor(database: Database<HistoryTables>) {
    this.#database = database;
  }

  /**
   * Opens an attempt. One of that uid that is there stays as it is, its token too: whoever opens it again after a crash must
   * come to the same token, as the runner may run already.
   * @param ending of one that has ended before it could be started, and that has left something all the same.
   */
  async open({ jobRun, tokenHash, ...attempt }: NewAttempt, now: Date, ending?: AttemptResult): Promise<void> {
    const row = { ...attempt, job_run: jobRun.name, job_run_uid: jobRun.uid, token_hash: tokenHash };
    await this.#database.commit(
      async (transaction) =>
        await transaction
          .insertInto("attempts")
          .values({ ...row, created_ms: now.getTime(), heartbeat_ms: now.getTime(), ...(ending ? resultColumns(ending, now) : {}) })
          .onConflict((conflict) => conflict.column("uid").doNothing())
          .execute(),
    );
  }

  async get(uid: string): Promise<AttemptRecord | undefined> {
    const row = await this.#database.read.selectFrom("attempts").selectAll().where("uid", "=", uid).executeTakeFirst();
    return row && recordOf(row);
  }

  /** Takes a heartbeat and what happened since the last. */
  async recordReport(uid: string, report: AttemptReport, now: Date): Promise<ReportOutcome> {
    const { outcome, jobRun } = await this.#database.commit(async (transaction) => {
      const row = await transaction
        .updateTable("attempts")
        .set({ heartbeat_ms: now.getTime(), ...(report.result ? resultColumns(report.result, now) : {}) })
        .where("uid", "=", uid)
        .where("ended_ms", "is", null)
        .returning(["abort", "job_run"])
        .executeTakeFirst();
      if (!row) {
        const isThere = await transaction.selectFrom("attempts").select("uid").where("uid", "=", uid).executeTakeFirst();
        return { outcome: { state: isThere ? "ended" : "absent" } as ReportOutcome, jobRun: "" };
      }
      await recordSteps(transaction, uid, report.steps);
      await recordAnnotations(transaction, uid, report.annotations);
      return { outcome: { state: "recorded", ...(row.abort === null ? {} : { abort: row.abort }) } as ReportOutcome, jobRun: row.job_run };
    });
    if (outcome.state === "recorded" && (report.result || report.steps.length > 0)) this.#tell(uid, jobRun);
    return outcome;
  }

  /** Notes that the attempt shall end; its runner is told with the answer to its next report. The first reason stays. */
  async wishAbort(uid: string, reason: string): Promise<void> {
    await this.#database.commit(
      async (transaction) =>
        await transaction.updateTable("attempts").set({ abort: reason }).where("uid", "=", uid).where("abort", "is", null).execute(),
    );
  }

  /** Ends an attempt without its runner, unless it has ended. @returns how it ended: by this call, or before. */
  async end(uid: string, result: AttemptResult, now: Date): Promise<AttemptRecord | undefined> {
    const row = await this.#database.commit(async (transaction) => {
      await transaction
        .updateTable("attempts")
        .set(resultColumns(result, now))
        .where("uid", "=", uid)
        .where("ended_ms", "is", null)
        .execute();
      return await transaction.selectFrom("attempts").selectAll().where("uid", "=", uid).executeTakeFirst();
    });
    if (!row) return undefined;
    this.#tell(uid, row.job_run);
    return recordOf(row);
  }

  /**
   * Calls the listener when a step or the end of an attempt was written down by this process. A hint, and no more: what
   * another replica wrote is found by looking.
   * @returns what ends it.
   */
  onChange(listener: (attempt: string, jobRun: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Sets the tests of an attempt, in place of those that were set before.
   * @returns how many were kept: {@link limits.attemptTests}, those that did not pass first.
   */
  async setTests(uid: string, tests: readonly TestResult[]): Promise<number> {
    const ranked = tests.map((test) => ({ test, rank: test.verdict === "passed" || test.verdict === "skipped" ? 1 : 0 }));
    const rows = ranked
      .sort((a, b) => a.rank - b.rank)
      .slice(0, limits.attemptTests)
      .map(({ test, rank }, position) => ({
        attempt: uid,
        position,
        rank,
        suite: test.suite,
        class_name: test.className,
        name: test.name,
        file: test.file ?? null,
        verdict: test.verdict,
        duration_ms: test.durationMs === undefined ? null : Math.round(test.durationMs),
        message: cut(test.message, limits.testMessageBytes),
        details: cut(test.details, limits.testDetailsBytes),
        log_line: test.logLine ?? null,
      }));
    await this.#database.commit(async (transaction) => {
      await transaction.deleteFrom("tests").where("attempt", "=", uid).execute();
      for (const piece of piecesOf(rows)) await transaction.insertInto("tests").values(piece).execute();
    });
    return rows.length;
  }

  /** Notes an artifact that is in the object store; one of the same path is replaced. @returns false over the bound. */
  async recordArtifact(uid: string, { contentType, ...artifact }: Artifact): Promise<boolean> {
    const row = { ...artifact, attempt: uid, content_type: contentType };
    return await this.#database.commit(async (transaction) => {
      if ((await countOf(transaction, "artifacts", uid)) >= limits.attemptArtifacts) return false;
      await transaction
        .insertInto("artifacts")
        .values(row)
        .onConflict((conflict) => conflict.columns(["attempt", "path"]).doUpdateSet(row))
        .execute();
      return true;
    });
  }

  /** Of all artifacts of an attempt. */
  async artifactBytes(uid: string): Promise<number> {
    const { bytes } = await this.#database.read
      .selectFrom("artifacts")
      .select((value) => value.fn.sum<number | string | null>("size").as("bytes"))
      .where("attempt", "=", uid)
      .executeTakeFirstOrThrow();
    return Number(bytes ?? 0);
  }

  /** Notes events; one that is known is updated when its count has grown. @returns how many found room. */
  async recordClusterEvents(uid: string, events: readonly ClusterEvent[]): Promise<number> {
    return await this.#database.commit(async (transaction) => {
      const room = Math.max(0, limits.attemptEvents - (await countOf(transaction, "cluster_events", uid)));
      const rows = byKey(events, ({ cluster, uid: event }) => `${cluster}/${event}`)
        .slice(0, room)
        .map(({ time, ...event }) => ({ ...event, attempt: uid, time_ms: time.getTime() }));
      for (const piece of piecesOf(rows)) {
        await transaction
          .insertInto("cluster_events")
          .values(piece)
          .onConflict((conflict) =>
            conflict
              .columns(["attempt", "cluster", "uid"])
              .doUpdateSet((value) => ({
                time_ms: value.ref("excluded.time_ms"),
                message: value.ref("excluded.message"),
                count: value.ref("excluded.count"),
              }))
              .where((value) => value("cluster_events.count", "<", value.ref("excluded.count"))),
          )
          .execute();
      }
      return rows.length;
    });
  }

  /** Notes below which keys the attempt's files were archived, so that retention finds them. Before the first is written. */
  async setArchivePrefix(uid: string, prefix: string): Promise<void> {
    await this.#database.commit(
      async (transaction) => await transaction.updateTable("attempts").set({ archive_prefix: prefix }).where("uid", "=", uid).execute(),
    );
  }

  #tell(uid: string, jobRun: string): void {
    for (const listener of this.#listeners) listener(uid, jobRun);
  }
}

async function recordSteps(transaction: Transaction<HistoryTables>, attempt: string, steps: readonly StepReport[]): Promise<void> {
  const rows = byKey(steps, ({ index }) => String(index)).map((step): StepRow => ({
    attempt,
    position: step.index,
    name: step.name,
    state: step.state,
    verdict: step.verdict ?? null,
    conclusion: step.conclusion ?? null,
    exit_code: step.exitCode ?? null,
    message: step.message ?? null,
    started_at: step.startedAt,
    finished_at: step.finishedAt ?? null,
    first_line: step.firstLine,
  }));
  for (const piece of piecesOf(rows)) {
    await transaction
      .insertInto("steps")
      .values(piece)
      .onConflict((conflict) =>
        conflict
          .columns(["attempt", "position"])
          .doUpdateSet((value) => ({
            name: value.ref("excluded.name"),
            state: value.ref("excluded.state"),
            verdict: value.ref("excluded.verdict"),
            conclusion: value.ref("excluded.conclusion"),
            exit_code: value.ref("excluded.exit_code"),
            message: value.ref("excluded.message"),
            finished_at: value.ref("excluded.finished_at"),
          }))
          .where("steps.state", "<>", "finished"),
      )
      .execute();
  }
}

async function recordAnnotations(
  transaction: Transaction<HistoryTables>,
  attempt: string,
  annotations: readonly Annotation[],
): Promise<void> {
  if (annotations.length === 0) return;
  const room = Math.max(0, limits.attemptAnnotations - (await countOf(transaction, "annotations", attempt)));
  const rows = annotations.slice(0, room).map((annotation) => {
    const text = JSON.stringify(annotation, Object.keys(annotation).toSorted());
    return { attempt, position: annotation.logLine, annotation: text, digest: createHash("sha256").update(text).digest("hex") };
  });
  for (const piece of piecesOf(rows)) {
    await transaction
      .insertInto("annotations")
      .values(piece)
      .onConflict((conflict) => conflict.columns(["attempt", "digest"]).doNothing())
      .execute();
  }
}

async function countOf(
  transaction: Transaction<HistoryTables>,
  table: "annotations" | "artifacts" | "cluster_events",
  attempt: string,
): Promise<number> {
  const { count } = await transaction
    .selectFrom(table)
    .select((value) => value.fn.countAll<number>().as("count"))
    .where("attempt", "=", attempt)
    .executeTakeFirstOrThrow();
  return Number(count);
}

function resultColumns(result: AttemptResult, now: Date): Partial<AttemptRow> {
  return {
    ended_ms: now.getTime(),
    verdict: result.verdict,
    cause: result.cause ?? null,
    message: result.message ?? null,
    outputs: result.outputs ? JSON.stringify(result.outputs) : null,
    log_bytes: result.logBytes ?? null,
  };
}

function recordOf(row: AttemptRow): AttemptRecord {
  return {
    uid: row.uid,
    jobRun: { name: row.job_run, uid: row.job_run_uid },
    number: row.number,
    tokenHash: row.token_hash,
    executor: row.executor as ExecutorName,
    host: row.host,
    ...(row.endpoint === null ? {} : { endpoint: row.endpoint }),
    createdAt: new Date(row.created_ms),
    heardAt: new Date(row.heartbeat_ms),
    ...(row.abort === null ? {} : { abort: row.abort }),
    ...resultOf(row),
  };
}

/** How an attempt ended, for whoever shows it. */
export function resultOf(row: AttemptRow): Pick<AttemptRecord, "result"> {
  const endedAt = dateOf(row.ended_ms);
  if (!endedAt || row.verdict === null) return {};
  return {
    result: {
      endedAt,
      verdict: row.verdict,
      ...(row.cause === null ? {} : { cause: row.cause as Cause }),
      ...(row.message === null ? {} : { message: row.message }),
      ...(row.outputs === null ? {} : { outputs: JSON.parse(row.outputs) as Record<string, string> }),
      ...(row.log_bytes === null ? {} : { logBytes: row.log_bytes }),
    },
  };
}

/** The last of each key, as one statement cannot meet a row twice. */
function byKey<T>(items: readonly T[], key: (item: T) => string): T[] {
  return [...new Map(items.map((item) => [key(item), item])).values()];
}

function piecesOf<T>(rows: readonly T[]): T[][] {
  const pieces: T[][] = [];
  for (let from = 0; from < rows.length; from += limits.projectionRows) pieces.push(rows.slice(from, from + limits.projectionRows));
  return pieces;
}

/** The first bytes of a text, without a character that was cut in half. */
function cut(text: string | undefined, bytes: number): string | null {
  if (text === undefined) return null;
  const encoded = Buffer.from(text);
  if (encoded.length <= bytes) return text;
  return `${encoded
    .subarray(0, bytes)
    .toString()
    .replace(/\uFFFD$/, "")}…`;
}

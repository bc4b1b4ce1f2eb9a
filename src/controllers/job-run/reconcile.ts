/**
 * JobRuns: gives each its place, its clusters and its runner, and its verdict when that has ended. The key is the JobRun's name.
 *
 * What is made outside has names that follow from the attempt: a pass that was cut short is simply made again. The runner's
 * reports are in the history; what is written here is the resource's status, once for each thing that happens.
 */
import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { AttemptRecord } from "../../history/attempts.ts";
import type { History } from "../../history/history.ts";
import { ApiError } from "../../kube/api-error.ts";
import type { Store } from "../../kube/store.ts";
import { type AttemptStatus, type JobRun, jobRunKind, type JobRunStatus } from "../../resources/job-run.ts";
import type { Stored } from "../../resources/object.ts";
import { clusterKind, type ClusterResource } from "../../resources/kinds.ts";
import { hasEnded, runLabels } from "../../resources/run.ts";
import type { Verdict } from "../../resources/verdict.ts";
import type { Executor } from "../../runner/executor.ts";
import type { Lister } from "../lister.ts";
import { notDecided, type Places } from "./places.ts";
import { type AttemptView, type ClusterView, type Ending, planJobRun } from "./plan.ts";
import type { Contender } from "./schedule.ts";

export interface JobRunReconcilerOptions {
  store: Store;
  jobRuns: Lister<JobRun>;
  clusters: Lister<ClusterResource>;
  history: History;
  places: Places;
  /** The executor of that name on that host. */
  executor(name: Executor["name"], host: string): Executor;
  /** Docker networks of an attempt's clusters, where they have any. */
  networksOf(clusters: readonly string[]): Promise<string[]>;
  /** The token of an attempt: always the same for the same. */
  tokenOf(attempt: string): string;
  /**
   * Called before a verdict is written: the log is closed, tests are read. What is wrong with the reports, and what it throws, is
   * told in the job's message, and changes no verdict.
   */
  settle(attempt: string): Promise<readonly string[]>;
  /** Called before that, while the job's clusters are there: what they tell is kept. Its answer counts as that of `settle`. */
  keepEvidence(attempt: string, clusters: readonly { name: string; cluster: string }[], verdict: Verdict): Promise<readonly string[]>;
  now(): Date;
}

export type Requeue = { requeueAfterMs?: number };

/** Finalizer of a Cluster that is made for a job: its parts go before it. */
const clusterFinalizer = "seatrial.dev/cluster";

export class JobRunReconciler {
  readonly #options: JobRunReconcilerOptions;
  /** When an abort was seen first. */
  readonly #aborts = new Map<string, Date>();
  /** The attempt of which nothing is left outside, by JobRun. */
  readonly #clean = new Map<string, string>();

  constructor(options: JobRunReconcilerOptions) {
    this.#options = options;
  }

  async reconcile(name: string): Promise<Requeue> {
    const jobRun = this.#options.jobRuns.get(name);
    if (!jobRun) {
      this.#forget(name);
      return {};
    }
    const attempt = attemptUid(jobRun);
    const record = await this.#options.history.attempts.get(attempt);
    const clusters = this.#clustersOf(jobRun, attempt);
    const asked = this.#askForPlace(jobRun, record);
    const view: AttemptView | undefined = record && {
      startedAt: record.createdAt,
      heardAt: record.heardAt,
      result: record.result && { ...record.result, outputs: record.result.outputs ?? {} },
    };
    const input = {
      spec: jobRun.spec,
      status: jobRun.status ?? {},
      attempt: view,
      life: undefined,
      clusters,
      place: "host" in asked ? { granted: true as const } : { granted: false as const, why: asked.why },
      now: this.#options.now(),
      silenceMs: limits.runnerSilenceMs,
      longestMs: (jobRun.spec.timeoutMinutes ?? limits.jobMinutes) * 60_000 + limits.runnerEndMs,
      abortGraceMs: limits.runnerEndMs,
      abortedAt: this.#abortedAt(jobRun),
    };
    let plan = planJobRun(input);
    const host = "host" in asked ? asked.host : (jobRun.status?.attempts?.at(-1)?.host ?? "");
    if (plan.action === "look") {
      const life = await this.#executorOf(jobRun, host).observe(attempt);
      plan = planJobRun({ ...input, life });
    }
    switch (plan.action) {
      case "wait":
        if (plan.why !== notDecided) await this.#writeStatus(jobRun, { phase: "Waiting", message: plan.why });
        return {};
      case "boot":
        await this.#boot(jobRun, attempt, host, clusters);
        return {};
      case "start":
        return await this.#start(jobRun, attempt, host);
      case "watch":
        return { requeueAfterMs: plan.afterMs };
      case "look":
        return { requeueAfterMs: limits.runnerSilenceMs };
      case "tell-abort":
        await this.#options.history.attempts.wishAbort(attempt, plan.why);
        return { requeueAfterMs: plan.afterMs };
      case "finish":
        return await this.#finish(jobRun, attempt, host, record, plan.ending);
      case "clean-up":
        return await this.#cleanUp(jobRun, attempt, host);
    }
  }

  #askForPlace(jobRun: Stored<JobRun>, record: AttemptRecord | undefined): { host: string } | { why: string } {
    const { places } = this.#options;
    const { spec, status } = jobRun;
    const isDone = status?.phase === "Finished" && status.attempt === (spec.attempt ?? 1);
    if (isDone || spec.skip !== undefined || spec.invalid !== undefined) return { why: "" };
    const contender = contenderOf(jobRun);
    if (!record) return places.ask(contender);
    // What was opened there may run there.
    places.readmit({ ...contender, host: record.host });
    return { host: record.host };
  }

  #abortedAt(jobRun: Stored<JobRun>): Date | undefined {
    const { name, uid } = jobRun.metadata;
    const key = `${name} ${uid}`;
    if (jobRun.spec.abort === undefined) {
      this.#aborts.delete(key); // A rerun forgets the abort of the attempt before.
      return undefined;
    }
    const seen = this.#aborts.get(key) ?? this.#options.now();
    this.#aborts.set(key, seen);
    return seen;
  }

  #clustersOf({ spec }: Stored<JobRun>, attempt: string): ClusterView[] {
    return (spec.clusters ?? []).map(({ name }, index) => {
      const cluster = this.#options.clusters.get(clusterName(attempt, index));
      if (!cluster) return { name, state: "absent" };
      const { phase, error } = cluster.status ?? {};
      return { name, state: phase === "Ready" ? "ready" : phase === "Failed" ? "failed" : "booting", message: error };
    });
  }

  async #boot(jobRun: Stored<JobRun>, attempt: string, host: string, clusters: readonly ClusterView[]): Promise<void> {
    const { store } = this.#options;
    // The status first: a place that was given is found again after a crash.
    await this.#writeStatus(jobRun, {
      phase: "Booting",
      message: waitingFor(clusters),
      clusters: clusters.map(({ name }, index) => ({ name, cluster: clusterName(attempt, index) })),
      ...this.#withAttempt(jobRun, attempt, host, {}),
    });
    for (const [index, { spec }] of (jobRun.spec.clusters ?? []).entries()) {
      if (clusters[index]?.state !== "absent") continue;
      const name = clusterName(attempt, index);
      const labels = { [runLabels.jobRun]: jobRun.metadata.name, [runLabels.attempt]: attempt, [runLabels.host]: host };
      await store.create(clusterKind, { metadata: { name, labels, finalizers: [clusterFinalizer] }, spec }).catch(unlessThere);
    }
  }

  async #start(jobRun: Stored<JobRun>, attempt: string, host: string): Promise<Requeue> {
    const { history, now } = this.#options;
    const token = this.#options.tokenOf(attempt);
    const { name, uid } = jobRun.metadata;
    const executor = this.#executorOf(jobRun, host);
    await history.attempts.open(
      {
        uid: attempt,
        jobRun: { name, uid },
        number: jobRun.spec.attempt ?? 1,
        tokenHash: createHash("sha256").update(token).digest("hex"),
        executor: executor.name,
        host,
      },
      now(),
    );
    try {
      const { lane, clusters = [], runsOn } = jobRun.spec;
      const names = clusters.map((_cluster, index) => clusterName(attempt, index));
      const networks = executor.name === "docker" ? await this.#options.networksOf(names) : [];
      await executor.start({ attempt, token, image: runsOn.image, networks, isIsolated: lane === "untrusted" });
    } catch (error) {
      // The same call may be made again; a runner may even run already.
      const opened = (await history.attempts.get(attempt))?.createdAt ?? now();
      const isNew = now().getTime() - opened.getTime() < limits.runnerStartMs;
      if (error instanceof SeatrialError && error.retryable && isNew) throw error;
      const cause = "runner-start";
      await history.attempts.end(
        attempt,
        { verdict: "error", cause, message: `its runner could not be started: ${messageOf(error)}` },
        now(),
      );
      return { requeueAfterMs: 0 };
    }
    const startedAt = now().toISOString();
    await this.#writeStatus(jobRun, { phase: "Running", startedAt, ...this.#withAttempt(jobRun, attempt, host, { startedAt }) });
    return { requeueAfterMs: limits.runnerSilenceMs };
  }

  async #finish(
    jobRun: Stored<JobRun>,
    attempt: string,
    host: string,
    record: AttemptRecord | undefined,
    ending: Ending,
  ): Promise<Requeue> {
    let { message } = ending;
    if (record) {
      const { outputs: _none, ...result } = ending;
      // The runner may have delivered its result while we looked: the first one counts.
      const ended = record.result ? undefined : await this.#options.history.attempts.end(attempt, result, this.#options.now());
      if (ended?.result && ended.result.verdict !== ending.verdict) return { requeueAfterMs: 0 };
      // Its processes end before its verdict is given: no two attempts of a job ever overlap.
      const left = await this.#stop(jobRun, attempt, host, record);
      message = [message, left].filter(Boolean).join("\n") || undefined;
      const clusters = (jobRun.spec.clusters ?? []).map(({ name }, index) => ({ name, cluster: clusterName(attempt, index) }));
      const told = async (work: Promise<readonly string[]>) => await work.catch((error: unknown) => [messageOf(error)]);
      const problems = [
        ...(await told(this.#options.keepEvidence(attempt, clusters, ending.verdict))),
        ...(await told(this.#options.settle(attempt))),
      ];
      message = [message, ...problems].filter(Boolean).join("\n") || undefined;
    }
    const finishedAt = this.#options.now().toISOString();
    const { verdict, cause, outputs } = ending;
    const ended = { verdict, ...(cause ? { cause } : {}), ...(message ? { message: message.slice(0, 4096) } : {}) };
    const isHeld = jobRun.spec.hold !== undefined && ["failed", "error", "timed-out"].includes(verdict);
    const wasBegun = jobRun.status?.attempts?.some(({ number }) => number === (jobRun.spec.attempt ?? 1)) === true;
    await this.#writeStatus(jobRun, {
      phase: "Finished",
      attempt: jobRun.spec.attempt ?? 1,
      ...ended,
      finishedAt,
      ...(outputs && Object.keys(outputs).length > 0 ? { outputs } : {}),
      ...(isHeld ? { heldUntil: heldUntil(jobRun.spec, finishedAt) } : {}),
      ...(record || wasBegun ? this.#withAttempt(jobRun, attempt, host, { ...ended, finishedAt }) : {}),
    });
    return {};
  }

  /**
   * Ends its processes. @returns what is left of it, for people: a host that has been away for longer than a runner goes on by itself
   * keeps nobody from a verdict; upkeep removes what is there when it is back.
   */
  async #stop(jobRun: Stored<JobRun>, attempt: string, host: string, record: AttemptRecord): Promise<string | undefined> {
    try {
      await this.#executorOf(jobRun, host).stop(attempt);
      return undefined;
    } catch (error) {
      const awayMs = this.#options.now().getTime() - (record.result?.endedAt ?? record.heardAt).getTime();
      const isAway = error instanceof SeatrialError && error.code === "unreachable" && awayMs > limits.runnerServerAwayMs;
      if (!isAway) throw error;
      return `what is left of it goes when its host answers: ${error.message}`;
    }
  }

  /** What it left outside goes; a cluster that is held stays until its time. */
  async #cleanUp(jobRun: Stored<JobRun>, attempt: string, host: string): Promise<Requeue> {
    if (this.#clean.get(jobRun.metadata.name) === attempt) return {};
    const { store, places, now } = this.#options;
    if (host !== "") await this.#executorOf(jobRun, host).remove(attempt);
    const { heldUntil: until, finishedAt, ...status } = jobRun.status!;
    if (until !== undefined && finishedAt !== undefined) {
      // Whoever holds it may wish for more time, or for none.
      const wished = jobRun.spec.hold && heldUntil(jobRun.spec, finishedAt);
      if (wished !== until) {
        await store.writeStatus(jobRunKind, jobRun, { ...status, finishedAt, ...(wished === undefined ? {} : { heldUntil: wished }) });
        return {};
      }
      const heldMs = Date.parse(until) - now().getTime();
      if (heldMs > 0) return { requeueAfterMs: heldMs };
    }
    const left = this.#options.clusters.labelled(runLabels.attempt, attempt);
    for (const { metadata } of left) await store.delete(clusterKind, metadata.name, { uid: metadata.uid });
    if (left.length > 0) return {}; // Their end wakes us.
    places.release(jobRun.metadata.name);
    this.#aborts.delete(`${jobRun.metadata.name} ${jobRun.metadata.uid}`);
    this.#clean.set(jobRun.metadata.name, attempt);
    return {};
  }

  #executorOf({ spec }: Stored<JobRun>, host: string): Executor {
    return this.#options.executor(spec.runsOn.executor, host);
  }

  #withAttempt({ spec, status }: Stored<JobRun>, uid: string, host: string, more: Partial<AttemptStatus>): Pick<JobRunStatus, "attempts"> {
    const number = spec.attempt ?? 1;
    const others = (status?.attempts ?? []).filter((each) => each.number !== number).slice(-limits.attemptsShown);
    const before = status?.attempts?.find((each) => each.number === number);
    return { attempts: [...others, { number, uid, executor: spec.runsOn.executor, host, ...before, ...more }] };
  }

  async #writeStatus(jobRun: Stored<JobRun>, change: JobRunStatus): Promise<void> {
    const { status } = jobRun;
    // A rerun begins with nothing but the attempts before it.
    const isRerun = status?.phase === "Finished" && !hasEnded(jobRun);
    const kept = isRerun ? { attempts: status.attempts } : status;
    const { message: _old, epoch: _epoch, ...rest } = kept ?? ({} as JobRunStatus);
    const { epoch: _known, ...known } = status ?? ({} as JobRunStatus);
    const next = { ...rest, ...change } as JobRunStatus;
    if (isDeepStrictEqual(next, known)) return;
    await this.#options.store.writeStatus(jobRunKind, jobRun, next);
  }

  #forget(name: string): void {
    this.#options.places.release(name);
    this.#clean.delete(name);
    for (const key of this.#aborts.keys()) if (key.startsWith(`${name} `)) this.#aborts.delete(key);
  }
}

/** Names everything outside that is made for an attempt: its runner, log, artifacts, clusters. */
export function attemptUid({ metadata, spec }: Stored<JobRun>): string {
  return `${metadata.uid.replaceAll("-", "").slice(0, 16)}-${spec.attempt ?? 1}`;
}

/** Until when the clusters of a job that failed are kept. */
function heldUntil({ hold }: JobRun["spec"], finishedAt: string): string {
  return new Date(Date.parse(finishedAt) + (hold?.forSeconds ?? 0) * 1000).toISOString();
}

export function clusterName(attempt: string, index: number): string {
  return `st-${attempt}-${index}`;
}

export function contenderOf({ metadata, spec }: Stored<JobRun>): Contender {
  return {
    name: metadata.name,
    repository: spec.repository,
    run: spec.run,
    job: spec.job,
    executor: spec.runsOn.executor,
    lane: spec.lane,
    priority: 1,
    createdAt: Date.parse(metadata.creationTimestamp),
    clusters: (spec.clusters ?? []).map((cluster) => cluster.spec.provider),
    maxParallel: spec.maxParallel,
  };
}

function waitingFor(clusters: readonly ClusterView[]): string {
  return `boots ${clusters
    .filter(({ state }) => state !== "ready")
    .map(({ name, message }) => (message ? `${name}: ${message}` : name))
    .join(", ")}`;
}

function unlessThere(error: unknown): void {
  if (!(error instanceof ApiError && error.reason === "already-exists")) throw error;
}

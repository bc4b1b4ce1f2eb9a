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
import { seconds } from "../../base/output.ts";
import type { AttemptRecord, AttemptResult } from "../../history/attempts.ts";
import type { History } from "../../history/history.ts";
import { ApiError } from "../../kube/api-error.ts";
import type { Store } from "../../kube/store.ts";
import { type AttemptStatus, type JobRun, jobRunKind, type JobRunStatus } from "../../resources/job-run.ts";
import type { Stored } from "../../resources/object.ts";
import { clusterKind, type ClusterResource } from "../../resources/kinds.ts";
import { hasEnded, runLabels } from "../../resources/run.ts";
import type { Verdict } from "../../resources/verdict.ts";
import type { Executor } from "../../runner/executors/executor.ts";
import { claimOfJobRun, endHolder, type Groups } from "../concurrency/groups.ts";
import type { Lister } from "../lister.ts";
import { refusedEnding } from "../refused.ts";
import { type NoPlace, notDecided, type Places } from "./places.ts";
import { type AttemptView, type ClusterView, type Ending, type Plan, type PlanInput, planJobRun } from "./plan.ts";
import type { Contender, Place, Placed } from "./schedule.ts";

export interface JobRunReconcilerOptions {
  store: Store;
  jobRuns: Lister<JobRun>;
  clusters: Lister<ClusterResource>;
  history: History;
  places: Places;
  groups: Pick<Groups, "ask">;
  /** The executor of that name at that place. @throws SeatrialError `unreachable` when its host does not answer. */
  executor(name: Executor["name"], place: Place): Executor;
  /** How long a job waits that no host can ever hold. Unit: milliseconds. */
  fitsNowhereMs: number;
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
  keepEvidence(
    attempt: string,
    clusters: readonly { name: string; cluster: string }[],
    verdict: Verdict,
    signal: AbortSignal,
  ): Promise<readonly string[]>;
  /** Called when nothing of the attempt is collected any more: what was kept for that goes. May be called again. */
  forget(attempt: string): Promise<void>;
  /** A host that has not answered for so long, and whose runner was not heard, has lost its jobs. */
  hostAwayMs: number;
  now(): Date;
}

export type Requeue = { requeueAfterMs?: number };

/** Finalizer of a Cluster that is made for a job: its parts go before it. */
const clusterFinalizer = "seatrial.dev/cluster";

export class JobRunReconciler {
  readonly #options: JobRunReconcilerOptions;
  /** When an abort was seen first. */
  readonly #aborts = new Map<string, Date>();
  /** Since when the host of an attempt does not answer, for those that it was asked about. */
  readonly #awaySince = new Map<string, number>();
  /** The attempt of which nothing is left outside, by JobRun. */
  readonly #clean = new Map<string, string>();

  constructor(options: JobRunReconcilerOptions) {
    this.#options = options;
  }

  /** @param signal is aborted when the server stops: what was interrupted is done again by the next. */
  async reconcile(name: string, signal: AbortSignal): Promise<Requeue> {
    const jobRun = this.#options.jobRuns.get(name);
    if (!jobRun) {
      this.#forget(name);
      return {};
    }
    const attempt = attemptUid(jobRun);
    const record = await this.#options.history.attempts.get(attempt);
    const waits = await this.#askForGroup(jobRun, record);
    if (waits) return waits;
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
      place: "host" in asked ? { granted: true as const } : { granted: false as const, ...asked },
      fitsNowhereMs: this.#options.fitsNowhereMs,
      now: this.#options.now(),
      silenceMs: limits.runnerSilenceMs,
      longestMs: (jobRun.spec.timeoutMinutes ?? limits.jobMinutes) * 60_000 + limits.runnerEndMs,
      abortGraceMs: limits.runnerEndMs,
      abortedAt: this.#abortedAt(jobRun),
    };
    let plan = planJobRun(input);
    const place = "host" in asked ? asked : placeOf(jobRun);
    if (plan.action === "look") {
      const life = await this.#lifeOf(jobRun, attempt, place, record!, signal);
      plan = planJobRun({ ...input, life });
    }
    try {
      return await this.#act(plan, jobRun, attempt, place, record, clusters, signal);
    } catch (error) {
      if (!(error instanceof RefusedStatus)) throw error;
      return await this.#giveUp(jobRun, attempt, place, error.ending, signal);
    }
  }

  async #act(
    plan: Plan,
    jobRun: Stored<JobRun>,
    attempt: string,
    place: Place,
    record: AttemptRecord | undefined,
    clusters: readonly ClusterView[],
    signal: AbortSignal,
  ): Promise<Requeue> {
    switch (plan.action) {
      case "wait":
        return await this.#wait(jobRun, plan);
      case "boot":
        await this.#boot(jobRun, attempt, place, clusters);
        return {};
      case "start":
        return await this.#start(jobRun, attempt, place, signal);
      case "watch":
        return { requeueAfterMs: plan.afterMs };
      case "look":
        return { requeueAfterMs: limits.runnerSilenceMs };
      case "tell-abort":
        await this.#options.history.attempts.wishAbort(attempt, plan.why);
        return { requeueAfterMs: plan.afterMs };
      case "finish":
        return await this.#finish(jobRun, attempt, place, record, plan.ending, signal);
      case "clean-up":
        return await this.#cleanUp(jobRun, attempt, place, signal);
    }
  }

  /** A job has its concurrency group before it asks for a place, and that is written down before. @returns undefined when it has it, or is in none. */
  async #askForGroup(jobRun: Stored<JobRun>, record: AttemptRecord | undefined): Promise<Requeue | undefined> {
    const known = claimOfJobRun(jobRun);
    if (!known || record || known.isHeld || hasEnded(jobRun) || jobRun.spec.abort !== undefined) return undefined;
    const { store, groups, now } = this.#options;
    const claim = { ...known, since: now().getTime() };
    const answer = groups.ask(claim);
    if (answer.state === "replaced") await store.patch(jobRunKind, claim.name, { spec: { abort: answer.why.slice(0, 1024) } });
    else if (answer.state === "held") await this.#writeStatus(jobRun, { phase: "Waiting", groupSince: now().toISOString() });
    else {
      if (answer.ends) await endHolder(store, answer.ends, claim);
      await this.#writeStatus(jobRun, { phase: "Waiting", message: answer.why });
    }
    return {};
  }

  #askForPlace(jobRun: Stored<JobRun>, record: AttemptRecord | undefined): Place | NoPlace {
    const { places } = this.#options;
    const { spec, status, metadata } = jobRun;
    const contender = contenderOf(jobRun);
    if (status?.phase === "Finished" && status.attempt === (spec.attempt ?? 1)) {
      const place = placeOf(jobRun);
      // Until it is clean its clusters take their place.
      const isClean = place.host === "" || this.#clean.get(metadata.name) === attemptUid(jobRun);
      if (!isClean) places.readmit({ ...contender, ...place, hasEnded: true });
      return place;
    }
    if (spec.skip !== undefined || spec.invalid !== undefined) return { why: "", fitsNowhere: false };
    if (!record) return places.ask(contender, status?.phase === "Booting");
    // What was opened there may run there.
    const place = pickPlace(record);
    places.readmit({ ...contender, ...place });
    return place;
  }

  async #wait(jobRun: Stored<JobRun>, plan: Extract<Plan, { action: "wait" }>): Promise<Requeue> {
    if (plan.why === notDecided) return {};
    const since = "fitsNowhereSince" in plan ? { fitsNowhereSince: plan.fitsNowhereSince.toISOString() } : {};
    await this.#writeStatus(jobRun, { phase: "Waiting", message: plan.why, ...since });
    return "afterMs" in plan ? { requeueAfterMs: plan.afterMs } : {};
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

  async #boot(jobRun: Stored<JobRun>, attempt: string, place: Place, clusters: readonly ClusterView[]): Promise<void> {
    const { store } = this.#options;
    // The status first: a place that was given is found again after a crash.
    await this.#writeStatus(jobRun, {
      phase: "Booting",
      message: waitingFor(clusters),
      clusters: clusters.map(({ name }, index) => ({ name, cluster: clusterName(attempt, index) })),
      ...this.#withAttempt(jobRun, attempt, place, {}),
    });
    const isSeveral = (jobRun.spec.clusters ?? []).filter(({ spec }) => spec.provider === "kind").length > 1;
    for (const [index, { spec }] of (jobRun.spec.clusters ?? []).entries()) {
      if (clusters[index]?.state !== "absent") continue;
      const name = clusterName(attempt, index);
      const labels = {
        [runLabels.jobRun]: jobRun.metadata.name,
        [runLabels.attempt]: attempt,
        [runLabels.host]: place.host,
        ...(spec.provider === "kind" && isSeveral ? { [runLabels.network]: `seatrial-${attempt}` } : {}),
      };
      await store.create(clusterKind, { metadata: { name, labels, finalizers: [clusterFinalizer] }, spec }).catch(unlessThere);
    }
  }

  async #start(jobRun: Stored<JobRun>, attempt: string, place: Place, signal: AbortSignal): Promise<Requeue> {
    const { history, now } = this.#options;
    const token = this.#options.tokenOf(attempt);
    const { name, uid } = jobRun.metadata;
    const executor = this.#executorOf(jobRun, place);
    const last = jobRun.status?.attempts?.findLast((each) => each.number < (jobRun.spec.attempt ?? 1));
    if (last) await this.#endBefore(last, place, signal);
    await history.attempts.open(
      {
        uid: attempt,
        jobRun: { name, uid },
        number: jobRun.spec.attempt ?? 1,
        tokenHash: createHash("sha256").update(token).digest("hex"),
        executor: executor.name,
        ...pickPlace(place),
      },
      now(),
    );
    try {
      const { lane, clusters = [], runsOn } = jobRun.spec;
      const names = clusters.map((_cluster, index) => clusterName(attempt, index));
      const networks = executor.name === "docker" ? await this.#options.networksOf(names) : [];
      await executor.start({ attempt, token, image: runsOn.image, networks, isIsolated: lane === "untrusted", signal });
    } catch (error) {
      signal.throwIfAborted();
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
    await this.#writeStatus(jobRun, { phase: "Running", startedAt, ...this.#withAttempt(jobRun, attempt, place, { startedAt }) });
    return { requeueAfterMs: limits.runnerSilenceMs };
  }

  /** A host that was away, and is back, may have the attempt before still: no two attempts of a job overlap. */
  async #endBefore(last: AttemptStatus, place: Place, signal: AbortSignal): Promise<void> {
    const isHere = last.host === place.host;
    try {
      await this.#options.executor(last.executor, isHere ? place : pickPlace(last)).remove(last.uid, signal);
    } catch (error) {
      // Of a host that is still away nobody can tell; whoever has a job run elsewhere meanwhile knows that.
      if (isHere || !(error instanceof SeatrialError) || error.code !== "unreachable") throw error;
    }
  }

  async #finish(
    jobRun: Stored<JobRun>,
    attempt: string,
    place: Place,
    record: AttemptRecord | undefined,
    ending: Ending,
    signal: AbortSignal,
  ): Promise<Requeue> {
    let { message } = ending;
    const wasBegun = jobRun.status?.attempts?.some(({ number }) => number === (jobRun.spec.attempt ?? 1)) === true;
    const { outputs: _none, ...result } = ending;
    if (record) {
      // The runner may have delivered its result while we looked: the first one counts.
      const ended = record.result ? undefined : await this.#options.history.attempts.end(attempt, result, this.#options.now());
      if (ended?.result && ended.result.verdict !== ending.verdict) return { requeueAfterMs: 0 };
      // Its processes end before its verdict is given: no two attempts of a job ever overlap.
      const left = await this.#stop(jobRun, attempt, place, record, signal);
      message = [message, left].filter(Boolean).join("\n") || undefined;
    } else if (wasBegun) await this.#openEnded(jobRun, attempt, place, result);
    if (record || wasBegun) {
      const clusters = (jobRun.spec.clusters ?? []).map(({ name }, index) => ({ name, cluster: clusterName(attempt, index) }));
      const told = async (work: Promise<readonly string[]>) =>
        await work.catch((error: unknown) => {
          signal.throwIfAborted(); // The next server tells it, whole.
          return [messageOf(error)];
        });
      const problems = [
        ...(await told(this.#options.keepEvidence(attempt, clusters, ending.verdict, signal))),
        ...(await told(this.#options.settle(attempt))),
      ];
      message = [message, ...problems].filter(Boolean).join("\n") || undefined;
    }
    const finishedAt = this.#options.now().toISOString();
    const { verdict, cause, outputs } = ending;
    const ended = { verdict, ...(cause ? { cause } : {}), ...(message ? { message: message.slice(0, 4096) } : {}) };
    const isHeld = jobRun.spec.hold !== undefined && ["failed", "error", "timed-out"].includes(verdict);
    await this.#writeStatus(jobRun, {
      phase: "Finished",
      attempt: jobRun.spec.attempt ?? 1,
      ...ended,
      finishedAt,
      ...(outputs && Object.keys(outputs).length > 0 ? { outputs } : {}),
      ...(isHeld ? { heldUntil: heldUntil(jobRun.spec, finishedAt) } : {}),
      ...(record || wasBegun ? this.#withAttempt(jobRun, attempt, place, { ...ended, finishedAt }) : {}),
    });
    return {};
  }

  /** One that never got its runner: its clusters have left logs, which are found, and in time removed, by what the history has of it. */
  async #openEnded({ metadata, spec }: Stored<JobRun>, uid: string, place: Place, result: AttemptResult): Promise<void> {
    const { history, now } = this.#options;
    const { name, uid: jobRunUid } = metadata;
    const { executor } = spec.runsOn;
    await history.attempts.open(
      { uid, jobRun: { name, uid: jobRunUid }, number: spec.attempt ?? 1, tokenHash: "", executor, ...pickPlace(place) },
      now(),
      result,
    );
  }

  /**
   * Ends its processes. @returns what is left of it, for people: a host that has been away for too long keeps nobody from a verdict;
   * what is there goes when it is back.
   */
  async #stop(
    jobRun: Stored<JobRun>,
    attempt: string,
    place: Place,
    record: AttemptRecord,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    try {
      await this.#executorOf(jobRun, place).stop(attempt, signal);
      return undefined;
    } catch (error) {
      if (!this.#isAway(error, record)) throw error;
      return `what is left of it goes when its host answers: ${messageOf(error)}`;
    }
  }

  /** What its host says of the runner; of a host that is away for too long nobody knows what becomes of its jobs. */
  async #lifeOf(
    jobRun: Stored<JobRun>,
    attempt: string,
    place: Place,
    record: AttemptRecord,
    signal: AbortSignal,
  ): Promise<PlanInput["life"]> {
    try {
      return await this.#executorOf(jobRun, place).observe(attempt, signal);
    } catch (error) {
      if (!this.#isAway(error, record)) throw error;
      const silentMs = this.#options.now().getTime() - record.heardAt.getTime();
      return { state: "unknown", message: `its runner was not heard for ${seconds(silentMs)}: ${messageOf(error)}` };
    }
  }

  /** Counted from when this process saw it first: a server that was away itself has not waited yet. */
  #isAway(error: unknown, { uid, heardAt }: AttemptRecord): boolean {
    if (!(error instanceof SeatrialError) || error.code !== "unreachable") return false;
    const now = this.#options.now().getTime();
    const since = this.#awaySince.get(uid) ?? now;
    this.#awaySince.set(uid, since);
    return now - Math.max(since, heardAt.getTime()) >= this.#options.hostAwayMs;
  }

  /** What it left outside goes; a cluster that is held stays until its time. */
  async #cleanUp(jobRun: Stored<JobRun>, attempt: string, place: Place, signal: AbortSignal): Promise<Requeue> {
    if (this.#clean.get(jobRun.metadata.name) === attempt) return {};
    const { store, places, now } = this.#options;
    if (place.host !== "") await this.#executorOf(jobRun, place).remove(attempt, signal);
    await this.#options.forget(attempt);
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
    this.#awaySince.delete(attempt);
    this.#clean.set(jobRun.metadata.name, attempt);
    return {};
  }

  #executorOf({ spec }: Stored<JobRun>, place: Place): Executor {
    return this.#options.executor(spec.runsOn.executor, place);
  }

  #withAttempt({ spec, status }: Stored<JobRun>, uid: string, place: Place, more: Partial<AttemptStatus>): Pick<JobRunStatus, "attempts"> {
    const number = spec.attempt ?? 1;
    const others = (status?.attempts ?? []).filter((each) => each.number !== number).slice(-limits.attemptsShown);
    const before = status?.attempts?.find((each) => each.number === number);
    return { attempts: [...others, { number, uid, executor: spec.runsOn.executor, ...pickPlace(place), ...before, ...more }] };
  }

  async #writeStatus(jobRun: Stored<JobRun>, change: JobRunStatus): Promise<void> {
    const { status } = jobRun;
    // A rerun begins with nothing but the attempts before it.
    const isRerun = status?.phase === "Finished" && !hasEnded(jobRun);
    const kept = isRerun ? { attempts: status.attempts } : status;
    const { message: _old, fitsNowhereSince: _since, epoch: _epoch, ...rest } = kept ?? ({} as JobRunStatus);
    const { epoch: _known, ...known } = status ?? ({} as JobRunStatus);
    const next = { ...rest, ...change } as JobRunStatus;
    if (isDeepStrictEqual(next, known)) return;
    await this.#options.store.writeStatus(jobRunKind, jobRun, next).catch((error: unknown) => {
      const ending = refusedEnding(error);
      throw ending ? new RefusedStatus(ending, error) : error;
    });
  }

  /** Its status was refused, and so would be any other that is made of the same: it ends with no more than why, and where it ran. */
  async #giveUp(
    jobRun: Stored<JobRun>,
    attempt: string,
    place: Place,
    ending: RefusedStatus["ending"],
    signal: AbortSignal,
  ): Promise<Requeue> {
    const { history, store, now } = this.#options;
    const number = jobRun.spec.attempt ?? 1;
    const record = await history.attempts.get(attempt);
    if (record) {
      if (!record.result) await history.attempts.end(attempt, ending, now());
      await this.#stop(jobRun, attempt, place, record, signal);
      await this.#options.settle(attempt).catch(() => {}); // There is one message, and it is taken.
    }
    const finishedAt = now().toISOString();
    const ran = { number, uid: attempt, executor: jobRun.spec.runsOn.executor, ...pickPlace(place), ...ending, finishedAt };
    const attempts = place.host === "" ? {} : { attempts: [ran] };
    await store.writeStatus(jobRunKind, jobRun, { phase: "Finished", attempt: number, ...ending, finishedAt, ...attempts });
    return {};
  }

  #forget(name: string): void {
    this.#options.places.release(name);
    this.#clean.delete(name);
    for (const key of this.#aborts.keys()) if (key.startsWith(`${name} `)) this.#aborts.delete(key);
  }
}

/** Thrown in place of what the API said about a status of ours. */
class RefusedStatus extends Error {
  readonly ending: NonNullable<ReturnType<typeof refusedEnding>>;

  constructor(ending: NonNullable<ReturnType<typeof refusedEnding>>, cause: unknown) {
    super(ending.message, { cause });
    this.ending = ending;
  }
}

/** Names everything outside that is made for an attempt: its runner, log, artifacts, clusters. */
export function attemptUid({ metadata, spec }: Stored<JobRun>): string {
  return `${metadata.uid.replaceAll("-", "").slice(0, 16)}-${spec.attempt ?? 1}`;
}

/** Where the last attempt of a JobRun is, or was; without a host when there was none. */
export function placeOf({ status }: Stored<JobRun>): Place {
  return pickPlace(status?.attempts?.at(-1) ?? { host: "" });
}

/** What a JobRun takes of its host as its status has it: of one that has ended what is held. Undefined when it has no place. */
export function placedOf(jobRun: Stored<JobRun>, now: Date): Placed | undefined {
  const { phase, heldUntil: until } = jobRun.status ?? {};
  const place = placeOf(jobRun);
  if (place.host === "") return undefined;
  if (phase === "Booting" || phase === "Running") return { ...contenderOf(jobRun), ...place };
  const isHeld = phase === "Finished" && until !== undefined && Date.parse(until) > now.getTime();
  return isHeld ? { ...contenderOf(jobRun), ...place, hasEnded: true } : undefined;
}

function pickPlace({ host, endpoint }: Place): Place {
  return { host, ...(endpoint === undefined ? {} : { endpoint }) };
}

/** Until when the clusters of a job that failed are kept. */
function heldUntil({ hold }: JobRun["spec"], finishedAt: string): string {
  return new Date(Date.parse(finishedAt) + (hold?.forSeconds ?? 0) * 1000).toISOString();
}

export function clusterName(attempt: string, index: number): string {
  return `st-${attempt}-${index}`;
}

function contenderOf({ metadata, spec }: Stored<JobRun>): Contender {
  return {
    name: metadata.name,
    repository: metadata.labels?.[runLabels.repository] ?? spec.repository,
    run: spec.run,
    job: spec.job,
    executor: spec.runsOn.executor,
    lane: spec.lane,
    priority: spec.priority ?? "branch",
    createdAt: Date.parse(metadata.creationTimestamp),
    clusters: (spec.clusters ?? []).map((cluster) => cluster.spec.provider),
    maxParallel: spec.maxParallel,
    hosts: spec.runsOn.hosts,
    architecture: spec.runsOn.architecture,
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

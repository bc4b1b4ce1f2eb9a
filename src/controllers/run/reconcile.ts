/**
 * Runs: makes the JobRuns that plan.ts asks for, passes an abort on, and says how the Run stands. The key is the Run's name.
 *
 * JobRuns have deterministic names: one that is there already was made by an earlier pass that did not get to its end.
 *
 * A rerun raises `spec.attempt`: the Run is then live again, its status that of the new attempt, until that has its verdict.
 */
import { isDeepStrictEqual } from "node:util";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { ApiError } from "../../kube/api-error.ts";
import type { Store } from "../../kube/store.ts";
import { type JobRun, jobRunKind, type JobRunSpec } from "../../resources/job-run.ts";
import type { LockDocument } from "../../resources/lock-document.ts";
import type { Stored } from "../../resources/object.ts";
import { repositoryName } from "../../resources/repository.ts";
import { hasEnded, priorityOf, type Run, runKind, runLabels, type RunStatus } from "../../resources/run.ts";
import { hasContainers } from "../../workflows/containers.ts";
import { interpolate, type Json } from "../../workflows/expressions/expressions.ts";
import type { JobPolicy, PlannedJobRun } from "../../workflows/plan/decide.ts";
import { type GroupState, invalidRun, planRun, type RunPlan, type WantedGroup } from "../../workflows/plan/plan.ts";
import { parseCalls } from "../../workflows/read/read-calls.ts";
import { readWorkflow } from "../../workflows/read/read.ts";
import { planReproduction } from "../../workflows/plan/reproduction.ts";
import type { Workflow } from "../../workflows/workflow.ts";
import { type Claim, claimOfRun, endHolder, type Groups } from "../concurrency/groups.ts";
import type { Lister } from "../lister.ts";
import { refusedEnding } from "../refused.ts";
import { githubContext, type Surroundings } from "./github-context.ts";

export interface RunReconcilerOptions {
  store: Store;
  runs: Lister<Run>;
  jobRuns: Lister<JobRun>;
  /** A text by its digest; undefined when it is gone. */
  document(digest: string): Promise<string | undefined>;
  /** Values of the `vars` context. */
  varsOf(run: Stored<Run>): Promise<Readonly<Record<string, string>>>;
  /**
   * What the server's policy makes of a job's labels. @param image that jobs of the run with these labels have already.
   * @throws SeatrialError, retryable when the image's digest cannot be found out now.
   */
  runsOn(labels: readonly string[], run: Stored<Run>, image: string | undefined, signal?: AbortSignal): Promise<JobRunSpec["runsOn"]>;
  /** What its jobs may ask for. */
  policyOf(run: Stored<Run>): JobPolicy;
  /** What `github` has of the server and of the forge. */
  surroundingsOf(run: Stored<Run>): Surroundings;
  groups: Pick<Groups, "ask" | "keep">;
  now(): Date;
}

export class RunReconciler {
  readonly #options: RunReconcilerOptions;
  /** Workflows by digest: the text of a digest never changes. */
  readonly #workflows = new Map<string, Workflow>();
  /** Events by digest, but for large ones. */
  readonly #events = new Map<string, Json>();
  /** JobRuns that were made and that the cache has not shown yet, and when. */
  readonly #made = new Map<string, number>();
  /** When the counts of a Run that is live were written last. */
  readonly #counted = new Map<string, number>();

  constructor(options: RunReconcilerOptions) {
    this.#options = options;
  }

  /** @param signal is aborted when the server stops: what was interrupted is done again by the next. */
  async reconcile(name: string, signal?: AbortSignal): Promise<{ requeueAfterMs?: number }> {
    const run = this.#options.runs.get(name);
    if (!run || run.metadata.deletionTimestamp !== undefined || hasEnded(run)) {
      this.#counted.delete(name);
      return {};
    }
    const plan = await this.#plan(run);
    if (plan.replaced !== undefined) {
      await this.#options.store.patch(runKind, name, { spec: { abort: plan.replaced.slice(0, 1024) } });
      return {};
    }
    this.#options.groups.keep(
      name,
      (plan.groups ?? []).map(({ of }) => of),
    );
    if (await this.#noteGroups(run, plan)) return {}; // Its own event wakes us.
    for (const { metadata } of this.#options.jobRuns.labelled(runLabels.run, name)) this.#made.delete(metadata.name);
    const isBehind = plan.create.some((planned) => this.#made.has(planned.name));
    await Promise.all(
      plan.abort.map(async ({ name: jobRun, reason }) => {
        await this.#options.store.patch(jobRunKind, jobRun, { spec: { abort: reason } });
      }),
    );
    const places = await this.#placesOf(run, plan, signal);
    if ("why" in places) {
      await this.#writeStatus(run, { ...plan, status: { ...plan.status, message: places.why } });
      return { requeueAfterMs: limits.hostEveryMs };
    }
    await Promise.all(plan.create.map(async (planned) => await this.#create(run, planned, places)));
    await Promise.all(plan.again.map(async (planned) => await this.#runAgain(run, planned, places)));
    const { requeueAfterMs } = await this.#writeStatus(run, plan);
    const afterMs = requeueAfterMs ?? (isBehind ? limits.cacheBehindMs : undefined);
    return afterMs === undefined ? {} : { requeueAfterMs: afterMs };
  }

  async #plan(run: Stored<Run>): Promise<Planned> {
    try {
      const { spec, metadata } = run;
      if (spec.reproduces !== undefined) return await this.#planReproduction(run, spec.reproduces);
      const [workflow, event, vars] = await Promise.all([this.#workflowOf(run), this.#eventOf(run), this.#options.varsOf(run)]);
      const inputs = JSON.parse(spec.inputs ?? "{}") as Json;
      const contexts = { github: githubContext(run, event, this.#options.surroundingsOf(run)), vars, inputs };
      const ending: { holder: Claim; by: Claim }[] = [];
      const plan = planRun({
        run: metadata.name,
        workflow,
        contexts,
        jobRuns: this.#options.jobRuns.labelled(runLabels.run, metadata.name),
        selected: spec.jobs,
        matrix: spec.matrix,
        attempt: spec.attempt,
        rerun: spec.rerun,
        policy: this.#options.policyOf(run),
        ask: (wanted) => this.#ask(run, wanted, ending),
        isAborted: spec.abort !== undefined,
        abortReason: spec.abort,
      });
      for (const { holder, by } of ending) await endHolder(this.#options.store, holder, by);
      return { ...plan, title: titleOf(workflow, contexts) };
    } catch (error) {
      if (!(error instanceof SeatrialError) || error.retryable) throw error;
      return invalidRun(error.message.slice(0, 4096));
    }
  }

  #ask(run: Stored<Run>, { isBegun, of, group, cancelInProgress, queue }: WantedGroup, ending: { holder: Claim; by: Claim }[]): GroupState {
    const since = this.#options.now().getTime();
    const claim = claimOfRun(run, { of, group, cancelInProgress, queue, isHeld: isBegun, since });
    const answer = this.#options.groups.ask(claim);
    if (answer.state === "waiting" && answer.ends) ending.push({ holder: answer.ends, by: claim });
    return answer;
  }

  /** Which groups it has is written down before anything of them begins. @returns whether that was not so. */
  async #noteGroups(run: Stored<Run>, plan: Planned): Promise<boolean> {
    const known = (run.status?.attempt ?? 1) === (run.spec.attempt ?? 1) ? run.status?.groups : undefined;
    const isKnown = (group: WantedGroup) =>
      known?.some(({ of, state, group: name }) => of === group.of && name === group.group && state === "held");
    if (!(plan.groups ?? []).some((group) => group.state === "held" && !group.isBegun && !isKnown(group))) return false;
    await this.#writeStatus(run, plan);
    return true;
  }

  async #planReproduction({ metadata: { name }, spec }: Stored<Run>, digest: string): Promise<RunPlan> {
    const lock = JSON.parse(await this.#textOf(digest, "the lock document")) as LockDocument;
    return planReproduction({ run: name, lock, jobRuns: this.#options.jobRuns.labelled(runLabels.run, name), abort: spec.abort });
  }

  async #workflowOf(run: Stored<Run>): Promise<Workflow> {
    const { digest, path, calls } = run.spec.workflow;
    const key = `${digest} ${path} ${calls ?? ""}`;
    let workflow = this.#workflows.get(key);
    if (!workflow) {
      const [text, called] = await Promise.all([
        this.#textOf(digest, `workflow ${path}`),
        calls === undefined ? "{}" : this.#textOf(calls, `what workflow ${path} calls`),
      ]);
      workflow = readWorkflow(text, path, this.#options.policyOf(run).rules, parseCalls(called));
      if (this.#workflows.size >= keptWorkflows) this.#workflows.clear();
      this.#workflows.set(key, workflow);
    }
    return workflow;
  }

  async #eventOf({ spec }: Stored<Run>): Promise<Json> {
    const { eventDigest } = spec.source;
    if (eventDigest === undefined) return {};
    const known = this.#events.get(eventDigest);
    if (known !== undefined) return known;
    const text = await this.#textOf(eventDigest, "the event's payload");
    const event = JSON.parse(text) as Json;
    if (this.#events.size >= keptEvents) this.#events.clear();
    if (text.length <= keptEventCharacters) this.#events.set(eventDigest, event);
    return event;
  }

  async #textOf(digest: string, what: string): Promise<string> {
    const text = await this.#options.document(digest);
    if (text === undefined) throw new SeatrialError("not-found", `${what} (${digest}) is no longer in the history`);
    return text;
  }

  /** What the labels of all jobs that are to be made mean; or why that cannot be said yet. */
  async #placesOf(run: Stored<Run>, { create, again }: RunPlan, signal: AbortSignal | undefined): Promise<Places | { why: string }> {
    const places: Places = new Map();
    const known = this.#options.jobRuns.labelled(runLabels.run, run.metadata.name);
    for (const { labels } of [...create, ...again].map(({ spec }) => spec)) {
      if (places.has(keyOf(labels))) continue;
      const before = known.find(({ spec }) => spec.runsOn.image !== undefined && keyOf(spec.runsOn.labels) === keyOf(labels));
      try {
        places.set(keyOf(labels), { runsOn: await this.#options.runsOn(labels, run, before?.spec.runsOn.image, signal) });
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof SeatrialError)) throw error;
        const why = error.message.slice(0, 4096);
        if (error.retryable) return { why };
        places.set(keyOf(labels), { runsOn: { labels: [...labels], executor: "docker" }, invalid: why });
      }
    }
    return places;
  }

  async #create(run: Stored<Run>, { name, spec }: { name: string; spec: PlannedJobRun }, places: Places): Promise<void> {
    const now = this.#options.now().getTime();
    for (const [made, at] of this.#made) {
      if (now - at < limits.cacheBehindMs) break; // They are in the order of their times.
      this.#made.delete(made);
    }
    // Made a moment ago: the cache is behind, and its event will wake us.
    if (this.#made.has(name)) return;
    this.#made.set(name, now);
    try {
      const { forge, repository } = run.spec.source;
      const labels = { [runLabels.run]: run.metadata.name, [runLabels.repository]: repositoryName({ forge, id: repository.id }) };
      await this.#options.store.create(jobRunKind, { metadata: { name, labels }, spec: this.#specOf(run, spec, places) });
    } catch (error) {
      if (error instanceof ApiError && error.reason === "already-exists") return;
      this.#made.delete(name);
      throw error;
    }
  }

  /** Another attempt of a JobRun that is there; what was said of the one before, an abort, is not said of this one. */
  async #runAgain(run: Stored<Run>, { name, spec }: { name: string; spec: PlannedJobRun }, places: Places): Promise<void> {
    const jobRun = this.#options.jobRuns.get(name);
    if (jobRun) await this.#options.store.replace(jobRunKind, { ...jobRun, spec: this.#specOf(run, spec, places) });
  }

  #specOf(run: Stored<Run>, { labels, ...planned }: PlannedJobRun, places: Places): JobRunSpec {
    const { source, attempt, hold } = run.spec;
    const notices = [...(run.spec.notices ?? []), ...(planned.notices ?? [])].slice(0, limits.jobNotices);
    return {
      ...planned,
      ...(notices.length === 0 ? {} : { notices }),
      run: run.metadata.name,
      repository: source.repository.name,
      lane: source.lane,
      priority: priorityOf(run.spec),
      ...withDocker(planned, places.get(keyOf(labels))!),
      ...(attempt === undefined ? {} : { attempt }),
      ...(hold === undefined ? {} : { hold }),
    };
  }

  async #writeStatus(
    run: Stored<Run>,
    { groups, title, status: planned }: Pick<Planned, "groups" | "title" | "status">,
  ): Promise<{ requeueAfterMs?: number }> {
    const now = this.#options.now().toISOString();
    const before = run.status;
    const attempt = run.spec.attempt ?? 1;
    const isAnother = (before?.attempt ?? 1) < attempt;
    // Only what is planned now: a message of before is no longer true.
    const status: RunStatus = {
      ...planned,
      ...(title === undefined ? {} : { title }),
      ...(groups && planned.phase !== "Finished" ? { groups: this.#groupsOf(run, groups) } : {}),
      ...(attempt > 1 ? { attempt } : {}),
      startedAt: (isAnother ? undefined : before?.startedAt) ?? now,
      ...(planned.phase === "Finished" ? { finishedAt: now } : {}),
    };
    const { epoch: _epoch, ...known } = before ?? {};
    if (isDeepStrictEqual(status, known)) return {};
    if (isDeepStrictEqual({ ...status, counts: {}, total: 0 }, { ...known, counts: {}, total: 0 })) {
      // Each of its jobs changes the counts several times: a write for each would be as many as the jobs' own.
      const waitMs = (this.#counted.get(run.metadata.name) ?? 0) + limits.runCountsMs - this.#options.now().getTime();
      if (waitMs > 0) return { requeueAfterMs: waitMs };
    }
    this.#counted.set(run.metadata.name, this.#options.now().getTime());
    try {
      await this.#options.store.writeStatus(runKind, run, status);
    } catch (error) {
      const ending = refusedEnding(error);
      if (!ending) throw error;
      await this.#giveUp(run, ending, now);
    }
    return {};
  }

  #groupsOf({ status }: Stored<Run>, groups: NonNullable<RunPlan["groups"]>): NonNullable<RunStatus["groups"]> {
    const now = this.#options.now().toISOString();
    return groups.map(({ of, group, state, cancelInProgress, queue }) => {
      const since = status?.groups?.find((known) => known.of === of && known.group === group)?.since ?? now;
      return { of, group, state, since, ...(cancelInProgress && { cancelInProgress }), ...(queue === "max" && { queue }) };
    });
  }

  /** Its jobs end with it. */
  async #giveUp(run: Stored<Run>, ending: NonNullable<ReturnType<typeof refusedEnding>>, finishedAt: string): Promise<void> {
    const { store, jobRuns } = this.#options;
    for (const jobRun of jobRuns.labelled(runLabels.run, run.metadata.name)) {
      if (hasEnded(jobRun) || jobRun.spec.abort !== undefined) continue;
      await store.patch(jobRunKind, jobRun.metadata.name, { spec: { abort: "its run has ended: its status was refused" } });
    }
    const { attempt = 1 } = run.spec;
    await store.writeStatus(runKind, run, { phase: "Finished", ...ending, ...(attempt > 1 ? { attempt } : {}), finishedAt });
  }
}

/** What is to be done, and the workflow's `run-name`. */
type Planned = RunPlan & { title?: string | undefined };

/** A name that cannot be made is none: nothing depends on it. */
function titleOf({ runName }: Workflow, contexts: Readonly<Record<string, Json>>): string | undefined {
  if (!runName) return undefined;
  try {
    return interpolate(runName.text, { contexts }).trim().slice(0, 1024) || undefined;
  } catch (error) {
    if (error instanceof SeatrialError) return undefined;
    throw error;
  }
}

/** By {@link keyOf}; where it cannot be had, why. */
type Places = Map<string, Pick<JobRunSpec, "runsOn" | "invalid">>;

function withDocker(planned: Omit<PlannedJobRun, "labels">, place: Pick<JobRunSpec, "runsOn" | "invalid">) {
  return hasContainers(planned) && place.runsOn.executor === "host" ? { ...place, invalid: needsDocker } : place;
}

const needsDocker =
  "it has a container, services or Docker actions, which need a Docker host, and it would run as a process of this machine: a Docker that answers, and --executor docker";

function keyOf(labels: readonly string[]): string {
  return labels.join("\n");
}

/** Workflows of different runs that are read at the same time are few; each is some KB. */
const keptWorkflows = 500;
/** Events of runs that are live at the same time; a push has 10 KB. */
const keptEvents = 200;
const keptEventCharacters = 128 * 1024;

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
import type { ForgeUrls } from "../../forges/forge.ts";
import { ApiError } from "../../kube/api-error.ts";
import type { Store } from "../../kube/store.ts";
import { type JobRun, jobRunKind, type JobRunSpec } from "../../resources/job-run.ts";
import type { Stored } from "../../resources/object.ts";
import { repositoryName } from "../../resources/repository.ts";
import { hasEnded, priorityOf, type Run, runKind, runLabels, type RunStatus } from "../../resources/run.ts";
import type { Json } from "../../workflows/expressions.ts";
import type { JobPolicy, PlannedJobRun } from "../../workflows/decide.ts";
import { invalidRun, planRun, type RunPlan } from "../../workflows/plan.ts";
import { readWorkflow } from "../../workflows/read.ts";
import type { Workflow } from "../../workflows/workflow.ts";
import type { Lister } from "../lister.ts";
import { refusedEnding } from "../refused.ts";
import { githubContext } from "./github-context.ts";

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
  /** Of its forge; undefined where that has none. */
  urlsOf(run: Stored<Run>): ForgeUrls | undefined;
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
    for (const { metadata } of this.#options.jobRuns.labelled(runLabels.run, name)) this.#made.delete(metadata.name);
    const isBehind = plan.create.some((planned) => this.#made.has(planned.name));
    await Promise.all(
      plan.abort.map(async ({ name: jobRun, reason }) => {
        await this.#options.store.patch(jobRunKind, jobRun, { spec: { abort: reason } });
      }),
    );
    const places = await this.#placesOf(run, plan, signal);
    if ("why" in places) {
      await this.#writeStatus(run, { ...plan.status, message: places.why });
      return { requeueAfterMs: limits.hostEveryMs };
    }
    await Promise.all(plan.create.map(async (planned) => await this.#create(run, planned, places)));
    await Promise.all(plan.again.map(async (planned) => await this.#runAgain(run, planned, places)));
    const { requeueAfterMs } = await this.#writeStatus(run, plan.status);
    const afterMs = requeueAfterMs ?? (isBehind ? limits.cacheBehindMs : undefined);
    return afterMs === undefined ? {} : { requeueAfterMs: afterMs };
  }

  async #plan(run: Stored<Run>): Promise<RunPlan> {
    try {
      const { spec, metadata } = run;
      const [workflow, event, vars] = await Promise.all([this.#workflowOf(run), this.#eventOf(run), this.#options.varsOf(run)]);
      return planRun({
        run: metadata.name,
        workflow,
        contexts: { github: githubContext(run, event, this.#options.urlsOf(run)), vars },
        jobRuns: this.#options.jobRuns.labelled(runLabels.run, metadata.name),
        selected: spec.jobs,
        matrix: spec.matrix,
        attempt: spec.attempt,
        rerun: spec.rerun,
        policy: this.#options.policyOf(run),
        isAborted: spec.abort !== undefined,
        abortReason: spec.abort,
      });
    } catch (error) {
      if (!(error instanceof SeatrialError) || error.retryable) throw error;
      return invalidRun(error.message.slice(0, 4096));
    }
  }

  async #workflowOf(run: Stored<Run>): Promise<Workflow> {
    const { digest, path } = run.spec.workflow;
    const key = `${digest} ${path}`;
    let workflow = this.#workflows.get(key);
    if (!workflow) {
      workflow = readWorkflow(await this.#textOf(digest, `workflow ${path}`), path, this.#options.policyOf(run).rules);
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
    return {
      ...planned,
      run: run.metadata.name,
      repository: source.repository.name,
      lane: source.lane,
      priority: priorityOf(run.spec),
      ...places.get(keyOf(labels))!,
      ...(attempt === undefined ? {} : { attempt }),
      ...(hold === undefined ? {} : { hold }),
    };
  }

  async #writeStatus(run: Stored<Run>, planned: RunPlan["status"]): Promise<{ requeueAfterMs?: number }> {
    const now = this.#options.now().toISOString();
    const before = run.status;
    const attempt = run.spec.attempt ?? 1;
    const isAnother = (before?.attempt ?? 1) < attempt;
    // Only what is planned now: a message of before is no longer true.
    const status: RunStatus = {
      ...planned,
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

/** By {@link keyOf}; where it cannot be had, why. */
type Places = Map<string, Pick<JobRunSpec, "runsOn" | "invalid">>;

function keyOf(labels: readonly string[]): string {
  return labels.join("\n");
}

/** Workflows of different runs that are read at the same time are few; each is some KB. */
const keptWorkflows = 500;
/** Events of runs that are live at the same time; a push has 10 KB. */
const keptEvents = 200;
const keptEventCharacters = 128 * 1024;

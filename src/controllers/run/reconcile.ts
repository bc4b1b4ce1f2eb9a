/**
 * Runs: makes the JobRuns that plan.ts asks for, passes an abort on, and says how the Run stands. The key is the Run's name.
 *
 * JobRuns have deterministic names: one that is there already was made by an earlier pass that did not get to its end.
 */
import { isDeepStrictEqual } from "node:util";
import { SeatrialError } from "../../base/errors.ts";
import { ApiError } from "../../kube/api-error.ts";
import type { Store } from "../../kube/store.ts";
import { type JobRun, jobRunKind, type JobRunSpec } from "../../resources/job-run.ts";
import type { Stored } from "../../resources/object.ts";
import { type Run, runKind, runLabels, type RunStatus } from "../../resources/run.ts";
import type { Json } from "../../workflows/expressions.ts";
import { type PlannedJobRun } from "../../workflows/decide.ts";
import { planRun, type RunPlan } from "../../workflows/plan.ts";
import { readWorkflow } from "../../workflows/read.ts";
import type { Workflow } from "../../workflows/workflow.ts";
import type { Lister } from "../lister.ts";
import { githubContext } from "./github-context.ts";

export interface RunReconcilerOptions {
  store: Store;
  runs: Lister<Run>;
  jobRuns: Lister<JobRun>;
  /** A text by its digest; undefined when it is gone. */
  document(digest: string): Promise<string | undefined>;
  /** Values of the `vars` context. */
  varsOf(run: Stored<Run>): Promise<Readonly<Record<string, string>>>;
  /** What the server's policy makes of a job's labels. */
  runsOn(labels: readonly string[], run: Stored<Run>): JobRunSpec["runsOn"];
  /** Of the forge's pages. */
  serverUrlOf(run: Stored<Run>): string;
  now(): Date;
}

export class RunReconciler {
  readonly #options: RunReconcilerOptions;
  /** Workflows by digest: the text of a digest never changes. */
  readonly #workflows = new Map<string, Workflow>();

  constructor(options: RunReconcilerOptions) {
    this.#options = options;
  }

  async reconcile(name: string): Promise<void> {
    const run = this.#options.runs.get(name);
    if (!run || run.metadata.deletionTimestamp !== undefined || run.status?.phase === "Finished") return;
    const plan = await this.#plan(run);
    await Promise.all(plan.create.map(async (planned) => await this.#create(run, planned)));
    await Promise.all(
      plan.abort.map(async ({ name: jobRun, reason }) => {
        await this.#options.store.patch(jobRunKind, jobRun, { spec: { abort: reason } });
      }),
    );
    await this.#writeStatus(run, plan.status);
  }

  async #plan(run: Stored<Run>): Promise<RunPlan> {
    try {
      const { spec, metadata } = run;
      const [workflow, event, vars] = await Promise.all([this.#workflowOf(run), this.#eventOf(run), this.#options.varsOf(run)]);
      return planRun({
        run: metadata.name,
        workflow,
        contexts: { github: githubContext(run, event, this.#options.serverUrlOf(run)), vars },
        jobRuns: this.#options.jobRuns.labelled(runLabels.run, metadata.name),
        selected: spec.jobs,
        isAborted: spec.abort !== undefined,
      });
    } catch (error) {
      if (!(error instanceof SeatrialError) || error.retryable) throw error;
      const message = error.message.slice(0, 4096);
      return {
        create: [],
        abort: [],
        status: { phase: "Finished", verdict: "error", cause: "invalid-workflow", message, counts: {}, total: 0 },
      };
    }
  }

  async #workflowOf({ spec }: Stored<Run>): Promise<Workflow> {
    const { digest, path } = spec.workflow;
    const key = `${digest} ${path}`;
    let workflow = this.#workflows.get(key);
    if (!workflow) {
      workflow = readWorkflow(await this.#textOf(digest, `workflow ${path}`), path);
      if (this.#workflows.size >= keptWorkflows) this.#workflows.clear();
      this.#workflows.set(key, workflow);
    }
    return workflow;
  }

  async #eventOf({ spec }: Stored<Run>): Promise<Json> {
    const { eventDigest } = spec.source;
    return eventDigest === undefined ? {} : (JSON.parse(await this.#textOf(eventDigest, "the event's payload")) as Json);
  }

  async #textOf(digest: string, what: string): Promise<string> {
    const text = await this.#options.document(digest);
    if (text === undefined) throw new SeatrialError("not-found", `${what} (${digest}) is no longer in the history`);
    return text;
  }

  async #create(run: Stored<Run>, { name, spec }: { name: string; spec: PlannedJobRun }): Promise<void> {
    const { labels, ...planned } = spec;
    const { source, attempt, hold } = run.spec;
    try {
      await this.#options.store.create(jobRunKind, {
        metadata: { name, labels: { [runLabels.run]: run.metadata.name } },
        spec: {
          ...planned,
          run: run.metadata.name,
          repository: source.repository.name,
          lane: source.lane,
          runsOn: this.#options.runsOn(labels, run),
          ...(attempt === undefined ? {} : { attempt }),
          ...(hold === undefined ? {} : { hold }),
        },
      });
    } catch (error) {
      if (!(error instanceof ApiError && error.reason === "already-exists")) throw error;
    }
  }

  async #writeStatus(run: Stored<Run>, planned: RunPlan["status"]): Promise<void> {
    const now = this.#options.now().toISOString();
    const before = run.status;
    // Only what is planned now: a message of before is no longer true.
    const status: RunStatus = {
      ...planned,
      startedAt: before?.startedAt ?? now,
      ...(planned.phase === "Finished" ? { finishedAt: now } : {}),
    };
    const { epoch: _epoch, ...known } = before ?? {};
    if (isDeepStrictEqual(status, known)) return;
    await this.#options.store.writeStatus(runKind, run, status);
  }
}

/** Workflows of different runs that are read at the same time are few; each is some KB. */
const keptWorkflows = 500;

/** The controllers of one leader: made when leadership begins, run until it ends, and not used again. */
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { JobClusters } from "../controllers/cluster/job-clusters.ts";
import { Places } from "../controllers/job-run/places.ts";
import { contenderOf, JobRunReconciler } from "../controllers/job-run/reconcile.ts";
import { Projector } from "../controllers/project/project.ts";
import { Reporter, type ReporterOptions } from "../controllers/report/report.ts";
import { RunReconciler } from "../controllers/run/reconcile.ts";
import { realClock } from "../controllers/runtime/clock.ts";
import { Controller, type Failure, watching } from "../controllers/runtime/controller.ts";
import { type Leadership, withEpoch } from "../controllers/runtime/epochs.ts";
import { runControllers } from "../controllers/runtime/manager.ts";
import type { Workspace } from "../controllers/workspace.ts";
import type { Store } from "../kube/store.ts";
import { Informer } from "../kube/watch.ts";
import { type JobRun, jobRunKind } from "../resources/job-run.ts";
import { clusterKind, type ClusterResource } from "../resources/kinds.ts";
import { type Run, runKind, runLabels } from "../resources/run.ts";
import type { Executor } from "../runner/executor.ts";
import type { Policy } from "./policy.ts";
import type { RunnerTokens } from "./runner-api.ts";
import { settleAttempt, type SettleStores } from "./settle.ts";

export interface ControllersOptions {
  workspace: Workspace;
  store: Store;
  stores: SettleStores;
  tokens: RunnerTokens;
  policy: Policy;
  executor(name: Executor["name"], host: string): Executor;
  /** Told of each run of which the history knows more now. */
  onChanged(run: string): void;
  report?: ReportOptions | undefined;
  leadership: Leadership;
}

/** Where checks are shown. */
export type ReportOptions = Pick<ReporterOptions, "forgeOf" | "origin">;

type ControllerName = "run" | "job-run" | "cluster" | "project" | "report-run" | "report-job-run";

export class Controllers {
  readonly #runs: Informer<Run>;
  readonly #jobRuns: Informer<JobRun>;
  readonly #clusters: Informer<ClusterResource>;
  readonly #all: Record<ControllerName, Controller>;
  readonly #places: Places;
  readonly #jobClusters: JobClusters;
  readonly #options: ControllersOptions;

  constructor(options: ControllersOptions) {
    const { workspace, stores, tokens, policy } = options;
    this.#options = options;
    const now = () => new Date();
    const store = withEpoch(options.store, options.leadership);
    const runs = (this.#runs = new Informer({ store, kind: runKind }));
    const jobRuns = (this.#jobRuns = new Informer({ store, kind: jobRunKind, indexes: [runLabels.run] }));
    const clusters = (this.#clusters = new Informer({ store, kind: clusterKind, indexes: [runLabels.attempt] }));
    const wake = (controller: ControllerName) => (name: string) => this.#all[controller].queue.add(name);
    const places = (this.#places = new Places({ hosts: () => policy.hosts(), onGranted: wake("job-run") }));
    this.#jobClusters = new JobClusters({
      store,
      clusters,
      workspace,
      ownershipOf: (attempt) => policy.ownershipOf(attempt),
      failuresDirOf: (attempt) => join(workspace.failuresDir, attempt),
      wake: wake("cluster"),
      now,
    });
    const runReconciler = new RunReconciler({
      store,
      runs,
      jobRuns,
      document: async (digest) => await stores.history.documents.get(digest),
      varsOf: async (run) => await policy.varsOf(run),
      runsOn: (labels, run) => policy.runsOn(labels, run),
      serverUrlOf: (run) => policy.serverUrlOf(run),
      now,
    });
    const jobRunReconciler = new JobRunReconciler({
      store,
      jobRuns,
      clusters,
      history: stores.history,
      places,
      executor: options.executor,
      tokenOf: (attempt) => tokens.of(attempt),
      settle: async (attempt) => await settleAttempt(stores, attempt, now()),
      now,
    });
    const reporter = options.report && new Reporter({ ...options.report, runs, jobRuns, history: stores.history, now });
    const projector = new Projector(stores.history, options.onChanged);
    const common = { clock: realClock, onError: (failure: Failure) => this.#tell(failure), workers: limits.reconcileWorkers };
    this.#all = {
      run: new Controller({
        ...common,
        name: "run",
        sources: [watching(runs), watching(jobRuns, ({ now: jobRun, before }) => [(jobRun ?? before)?.spec.run])],
        reconcile: async (name) => await runReconciler.reconcile(name),
      }),
      "job-run": new Controller({
        ...common,
        name: "job-run",
        sources: [
          watching(jobRuns),
          watching(clusters, ({ now: cluster, before }) => [(cluster ?? before)?.metadata.labels?.[runLabels.jobRun]]),
        ],
        reconcile: async (name) => await jobRunReconciler.reconcile(name),
      }),
      cluster: new Controller({
        ...common,
        name: "cluster",
        sources: [watching(clusters)],
        reconcile: async (name) => await this.#jobClusters.reconcile(name),
      }),
      project: new Controller({
        ...common,
        name: "project",
        workers: 1,
        // One key: what changed while it works is written down together.
        sources: [watching(runs, projector.noticeRun), watching(jobRuns, projector.noticeJobRun)],
        reconcile: async () => await projector.project(),
      }),
      "report-run": new Controller({
        ...common,
        name: "report-run",
        sources: [watching(runs)],
        reconcile: async (name) => await reporter?.reportRun(name),
      }),
      "report-job-run": new Controller({
        ...common,
        name: "report-job-run",
        sources: [watching(jobRuns)],
        reconcile: async (name) => await reporter?.reportJobRun(name),
      }),
    };
  }

  /** Works until `stop` is aborted, or leadership is lost. */
  async run(stop: AbortSignal): Promise<void> {
    const { stores, leadership } = this.#options;
    const unlisten = stores.history.attempts.onChange((_attempt, jobRun) => {
      this.#all["job-run"].queue.add(jobRun);
      const run = this.#jobRuns.get(jobRun)?.spec.run;
      if (run !== undefined) this.#options.onChanged(run);
    });
    // Jobs that had their place before this leader keep it: nothing is placed before they are known.
    this.#jobRuns.onChange(({ now }) => {
      const host = now?.status?.attempts?.at(-1)?.host;
      const phase = now?.status?.phase;
      if (now && host !== undefined && (phase === "Booting" || phase === "Running")) this.#places.readmit({ ...contenderOf(now), host });
    });
    try {
      await runControllers({ controllers: Object.values(this.#all), clock: realClock }, stop, leadership.lost);
    } finally {
      unlisten();
      await this.#jobClusters.close();
    }
  }

  /** Resolves when the caches are filled. */
  async synced(): Promise<void> {
    await Promise.all([this.#runs.synced, this.#jobRuns.synced, this.#clusters.synced]);
  }

  /** Whether nothing of what has ended is left outside, but for clusters that are held. */
  isSettled(): boolean {
    return (
      [...this.#jobRuns.all()].every(({ status }) => status?.phase === "Finished") &&
      [...this.#clusters.all()].every(({ metadata }) => this.#jobRuns.get(metadata.labels?.[runLabels.jobRun] ?? "")?.status?.heldUntil) &&
      Object.values(this.#all).every(({ queue }) => queue.waiting === 0 && queue.running === 0)
    );
  }

  /** Failures are retried without end; one that lasts is told. */
  #tell({ controller, key, error, failures }: Failure): void {
    if (failures > 2) this.#options.workspace.output.err(`${controller} ${key}: ${messageOf(error)}`);
  }
}

/** The controllers of one leader: made when leadership begins, run until it ends, and not used again. */
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { JobClusters } from "../controllers/cluster/job-clusters.ts";
import { Places } from "../controllers/job-run/places.ts";
import { contenderOf, JobRunReconciler } from "../controllers/job-run/reconcile.ts";
import { Projector } from "../controllers/project/project.ts";
import { Commenter } from "../controllers/report/comment.ts";
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
import type { Resource, Stored } from "../resources/object.ts";
import { type Run, runKind, runLabels } from "../resources/run.ts";
import type { Executor } from "../runner/executor.ts";
import type { DiskBudget } from "./disk.ts";
import { keepEvidence } from "./evidence.ts";
import type { Hosts } from "./hosts.ts";
import { AttemptDurations, type ControllerCounts } from "./metrics.ts";
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
  hosts: Hosts;
  /** Of the data folder. Default: no bound. */
  disk?: DiskBudget | undefined;
  /** Told of each run of which the history knows more now. */
  onChanged(run: string): void;
  report?: ReportOptions | undefined;
  leadership: Leadership;
}

/** Where checks are shown. */
export type ReportOptions = Pick<ReporterOptions, "forgeOf" | "origin">;

type ControllerName = "run" | "job-run" | "cluster" | "project" | "report-run" | "report-job-run" | "comment";

export class Controllers {
  readonly #runs: Informer<Run>;
  readonly #jobRuns: Informer<JobRun>;
  readonly #clusters: Informer<ClusterResource>;
  readonly #all: Record<ControllerName, Controller>;
  readonly #places: Places;
  readonly #unlisten: ((() => void) | undefined)[];
  readonly #jobClusters: JobClusters;
  readonly #options: ControllersOptions;
  readonly #attempts = new AttemptDurations();

  constructor(options: ControllersOptions) {
    const { workspace, stores, tokens, policy } = options;
    this.#options = options;
    const now = () => new Date();
    const followed = withEpoch(options.store, options.leadership);
    const runs = (this.#runs = new Informer({ store: followed, kind: runKind, indexes: [runLabels.pullRequest] }));
    const jobRuns = (this.#jobRuns = new Informer({ store: followed, kind: jobRunKind, indexes: [runLabels.run] }));
    const clusters = (this.#clusters = new Informer({ store: followed, kind: clusterKind, indexes: [runLabels.attempt] }));
    const store = teaching(followed, [runs, jobRuns, clusters] as unknown as Informer<Resource>[]);
    const wake = (controller: ControllerName) => (name: string) => this.#all[controller].queue.add(name);
    const places = (this.#places = new Places({
      hosts: () => policy.hosts(),
      whyNone: () => options.disk?.whyNoJobs,
      onDecided: wake("job-run"),
    }));
    this.#unlisten = [options.disk?.onChanged(() => places.decideAgain()), options.hosts.onChanged(() => places.decideAgain())];
    this.#jobClusters = new JobClusters({
      store,
      clusters,
      workspace,
      isIsolated: (jobRun) => jobRuns.get(jobRun ?? "")?.spec.lane !== "trusted",
      workspaceOf: async (host) => await options.hosts.workspaceOf(host),
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
      networksOf: async (names) => {
        const records = await Promise.all(names.map(async (name) => await workspace.records.read(name)));
        const inside = await Promise.all(records.map(async (record) => record && (await options.hosts.insideOf(record))));
        return inside.flatMap((each) => each?.network ?? []);
      },
      tokenOf: (attempt) => tokens.of(attempt),
      keepEvidence: async (attempt, wanted, verdict) => {
        const up = wanted.flatMap(({ name, cluster }) => {
          const kubeconfig = clusters.get(cluster)?.status?.kubeconfig;
          return kubeconfig === undefined ? [] : [{ name, cluster, kubeconfig }];
        });
        return await keepEvidence(workspace, stores, attempt, up, verdict === "failed" || verdict === "timed-out");
      },
      settle: async (attempt) => await settleAttempt(stores, attempt, now()),
      now,
    });
    const report = options.report && { ...options.report, runs, jobRuns, history: stores.history, now };
    const reporter = report && new Reporter(report);
    const commenter = report && new Commenter(report);
    const projector = new Projector(stores.history, (run) => {
      options.onChanged(run);
      // A comment is made of what the history says.
      const pullRequest = runs.get(run)?.metadata.labels?.[runLabels.pullRequest];
      if (pullRequest !== undefined) this.#all.comment.queue.add(pullRequest);
    });
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
      comment: new Controller({
        ...common,
        name: "comment",
        sources: [watching(runs, ({ now: run }) => [run?.metadata.labels?.[runLabels.pullRequest]])],
        reconcile: async (pullRequest) => await commenter?.reconcile(pullRequest),
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
    this.#jobRuns.onChange(({ now, before }) => {
      if (now?.status?.phase === "Finished" && before && before.status?.phase !== "Finished") this.#observe(now);
      const host = now?.status?.attempts?.at(-1)?.host;
      const phase = now?.status?.phase;
      if (now && host !== undefined && (phase === "Booting" || phase === "Running")) this.#places.readmit({ ...contenderOf(now), host });
    });
    try {
      await runControllers({ controllers: Object.values(this.#all), clock: realClock }, stop, leadership.lost);
    } finally {
      unlisten();
      for (const end of this.#unlisten) end?.();
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

  /** What was counted, and what is there now. */
  counts(): ControllerCounts {
    const byPhase = (resources: Iterable<{ status?: { phase?: string | undefined } }>, first: string) => {
      const counts = new Map<string, number>();
      for (const { status } of resources) counts.set(status?.phase ?? first, (counts.get(status?.phase ?? first) ?? 0) + 1);
      return counts;
    };
    return {
      controllers: Object.values(this.#all),
      runs: byPhase(this.#runs.all(), "Pending"),
      jobRuns: byPhase(this.#jobRuns.all(), "Waiting"),
      attempts: this.#attempts.byVerdict,
    };
  }

  #observe({ status }: Stored<JobRun>): void {
    const { startedAt, finishedAt, verdict } = status ?? {};
    if (startedAt !== undefined && finishedAt !== undefined && verdict !== undefined)
      this.#attempts.observe(verdict, Date.parse(finishedAt) - Date.parse(startedAt));
  }

  /** Failures are retried without end; one that lasts is told. */
  #tell({ controller, key, error, failures }: Failure): void {
    if (failures > 2) this.#options.workspace.output.err(`${controller} ${key}: ${messageOf(error)}`);
  }
}

/** The same store, whose status writes are in the caches at once: what is decided next is not decided on what was before. */
function teaching(store: Store, caches: readonly Informer<Resource>[]): Store {
  return {
    ...store,
    writeStatus: async (kind, read, status, signal) => {
      const written = await store.writeStatus(kind, read, status, signal);
      caches.find((cache) => cache.kind.kind === kind.kind)?.learn(written);
      return written;
    },
  };
}

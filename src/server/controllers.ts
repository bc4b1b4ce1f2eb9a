/** The controllers of one leader: made when leadership begins, run until it ends, and not used again. */
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { JobClusters } from "../controllers/cluster/job-clusters.ts";
import { Groups } from "../controllers/concurrency/groups.ts";
import { Places } from "../controllers/job-run/places.ts";
import { JobRunReconciler, placedOf, placeOf } from "../controllers/job-run/reconcile.ts";
import type { Place, RepositoryPolicy } from "../controllers/job-run/schedule.ts";
import { Projector } from "../controllers/project/project.ts";
import { Repositories } from "../controllers/repository/repositories.ts";
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
import { hasItsName, type Repository, repositoryKind, repositoryName } from "../resources/repository.ts";
import { type Run, runKind, runLabels } from "../resources/run.ts";
import type { Executor } from "../runner/executors/executor.ts";
import type { AttemptMasks } from "./runners/attempt-masks.ts";
import type { DiskBudget } from "./disk.ts";
import { keepEvidence, keepFailedBoots } from "./runners/evidence.ts";
import type { Hosts } from "./hosts.ts";
import { AttemptDurations, type ControllerCounts } from "./metrics.ts";
import type { Policy } from "./policy.ts";
import type { RunnerTokens } from "./runners/runner-api.ts";
import { settleAttempt, type SettleStores } from "./runners/settle.ts";
import type { Waits } from "./waits.ts";

export interface ControllersOptions {
  workspace: Workspace;
  store: Store;
  stores: SettleStores;
  tokens: RunnerTokens;
  masks: AttemptMasks;
  policy: Policy;
  executor(name: Executor["name"], place: Place): Executor;
  hosts: Hosts;
  /** Of the data folder. Default: no bound. */
  disk?: DiskBudget | undefined;
  waits: Waits;
  /** Told of each run of which the history knows more now. */
  onChanged(run: string): void;
  report?: ReportOptions | undefined;
  leadership: Leadership;
}

/** Where checks are shown. */
export type ReportOptions = Pick<ReporterOptions, "forgeOf" | "origin">;

type ControllerName = "run" | "job-run" | "cluster" | "project" | "report-run" | "report-job-run" | "comment" | "repository";

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
    const { workspace, stores, tokens, masks, policy } = options;
    this.#options = options;
    const now = () => new Date();
    const followed = withEpoch(options.store, options.leadership);
    const runs = (this.#runs = new Informer({ store: followed, kind: runKind, indexes: [runLabels.pullRequest] }));
    const jobRuns = (this.#jobRuns = new Informer({ store: followed, kind: jobRunKind, indexes: [runLabels.run] }));
    const clusters = (this.#clusters = new Informer({ store: followed, kind: clusterKind, indexes: [runLabels.attempt] }));
    const store = teaching(followed, [runs, jobRuns, clusters] as unknown as Informer<Resource>[]);
    const repositories = new Informer({ store: followed, kind: repositoryKind });
    repositories.onChange(({ now: after, before }) => {
      if (!isDeepStrictEqual(after?.spec, before?.spec)) places.decideAgain();
    });
    const known = new Repositories({ store: followed, now });
    const wake = (controller: ControllerName) => (name: string) => this.#all[controller].queue.add(name);
    const places = (this.#places = new Places({
      hosts: () => policy.hosts(),
      whyNone: () => options.disk?.whyNoJobs,
      policies: () => policiesOf(repositories),
      onDecided: wake("job-run"),
    }));
    const groups = new Groups((kind, name) => wake(kind)(name));
    runs.onChange(({ now: after, before }) => groups.noticeRun((after ?? before)!.metadata.name, after));
    jobRuns.onChange(({ now: after, before }) => groups.noticeJobRun((after ?? before)!.metadata.name, after));
    this.#unlisten = [
      options.disk?.onChanged(() => places.decideAgain()),
      options.hosts.onChanged(() => places.decideAgain()),
      options.hosts.keepInReach(() => places.inUse()),
    ];
    this.#jobClusters = new JobClusters({
      store,
      clusters,
      workspace,
      isIsolated: (jobRun) => jobRuns.get(jobRun ?? "")?.spec.lane !== "trusted",
      workspaceOf: async (name) => {
        const jobRun = jobRuns.get(name);
        if (!jobRun) throw new SeatrialError("not-found", `job run ${name} is gone`);
        return await options.hosts.workspaceOf(placeOf(jobRun));
      },
      ownershipOf: (attempt) => policy.ownershipOf(attempt),
      failuresDirOf: (attempt) => join(workspace.failuresDir, attempt),
      readyTimeoutMs: options.waits.clusterReadyMs,
      wake: wake("cluster"),
      now,
    });
    const repositoryOf = ({ spec: { source } }: Stored<Run>) => {
      const found = repositories.get(repositoryName({ forge: source.forge, id: source.repository.id }));
      return found && hasItsName(found) ? found : undefined;
    };
    const runReconciler = new RunReconciler({
      store,
      runs,
      jobRuns,
      document: async (digest) => await stores.history.documents.get(digest),
      varsOf: async (run) => await policy.varsOf(run, repositoryOf(run)),
      runsOn: async (labels, run, image, signal) => await policy.runsOn(labels, run, image, signal),
      policyOf: (run) => ({
        rules: policy.rules,
        providers: repositoryOf(run)?.spec.providers,
        whose: `repository ${run.spec.source.repository.name}`,
      }),
      surroundingsOf: (run) => policy.surroundingsOf(run),
      groups,
      now,
    });
    const jobRunReconciler = new JobRunReconciler({
      store,
      jobRuns,
      clusters,
      history: stores.history,
      places,
      groups,
      executor: options.executor,
      fitsNowhereMs: policy.fitsNowhereMs,
      networksOf: async (names) => {
        const records = await Promise.all(names.map(async (name) => await workspace.records.read(name)));
        const inside = await Promise.all(records.map(async (record) => record && (await options.hosts.insideOf(record))));
        return [...new Set(inside.flatMap((each) => each?.network ?? []))]; // Those of one job may share theirs.
      },
      tokenOf: (attempt) => tokens.of(attempt),
      keepEvidence: async (attempt, wanted, verdict, signal) => {
        const up = wanted.flatMap(({ name, cluster }) => {
          const kubeconfig = clusters.get(cluster)?.status?.kubeconfig;
          return kubeconfig === undefined ? [] : [{ name, cluster, kubeconfig }];
        });
        const isWhole = verdict === "failed" || verdict === "timed-out";
        const secrets = async () => await secretsOf(attempt);
        return [
          ...(await keepEvidence(workspace, stores, { attempt, clusters: up, isWhole, secrets, signal })),
          ...(await keepFailedBoots(stores, attempt, join(workspace.failuresDir, attempt), secrets)),
        ];
      },
      settle: async (attempt) => await settleAttempt(stores, attempt, now(), async () => await secretsOf(attempt)),
      forget: async (attempt) => await masks.forget(attempt),
      hostAwayMs: options.waits.hostAwayMs,
      now,
    });
    const secretsOf = async (attempt: string) => {
      const record = await stores.history.attempts.get(attempt);
      const run = runs.get(jobRuns.get(record?.jobRun.name ?? "")?.spec.run ?? "");
      if (!run) throw new SeatrialError("not-found", "its run is gone, and so is what must be masked of its clusters");
      return [...Object.values(await policy.secretsOf(run)), tokens.ofSteps(attempt), ...(await masks.of(attempt))];
    };
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
        reconcile: async (name, signal) => await runReconciler.reconcile(name, signal),
      }),
      "job-run": new Controller({
        ...common,
        name: "job-run",
        sources: [
          watching(jobRuns),
          watching(clusters, ({ now: cluster, before }) => [(cluster ?? before)?.metadata.labels?.[runLabels.jobRun]]),
        ],
        reconcile: async (name, signal) => await jobRunReconciler.reconcile(name, signal),
      }),
      cluster: new Controller({
        ...common,
        name: "cluster",
        sources: [watching(clusters)],
        reconcile: async (name, signal) => await this.#jobClusters.reconcile(name, signal),
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
        reconcile: async (name, signal) => await reporter?.reportRun(name, signal),
      }),
      "report-job-run": new Controller({
        ...common,
        name: "report-job-run",
        sources: [watching(jobRuns)],
        reconcile: async (name, signal) => await reporter?.reportJobRun(name, signal),
      }),
      repository: new Controller({
        ...common,
        name: "repository",
        workers: 1,
        sources: [watching(repositories)],
        reconcile: async (name) => {
          const repository = repositories.get(name);
          if (repository) await known.check(repository);
        },
      }),
      comment: new Controller({
        ...common,
        name: "comment",
        sources: [watching(runs, ({ now: run }) => [run?.metadata.labels?.[runLabels.pullRequest]])],
        reconcile: async (pullRequest, signal) => await commenter?.reconcile(pullRequest, signal),
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
      const placed = now && placedOf(now, new Date());
      // What is held was noted by the process that gave it its place, and is released by that.
      if (placed && (before === undefined || !placed.hasEnded)) this.#places.readmit(placed);
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

/** What those that have the name of their forge and id say of their jobs. */
function policiesOf(repositories: Informer<Repository>): Map<string, RepositoryPolicy> {
  const policies = new Map<string, RepositoryPolicy>();
  for (const repository of repositories.all()) {
    if (!hasItsName(repository)) continue;
    const { metadata, spec, status } = repository;
    policies.set(metadata.name, { name: status?.name ?? metadata.name, maxJobs: spec.maxJobs, hosts: spec.hosts });
  }
  return policies;
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

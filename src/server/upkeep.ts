/**
 * What nobody shall have to look after: finished resources leave the API, what no job holds any more is removed; more slowly, what is
 * old leaves the history, the logs, the object store and the mirrors, and what was left half done there is mended.
 */
import { messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";
import { removeOldFailures } from "../clusters/failures.ts";
import { attemptUid } from "../controllers/job-run/reconcile.ts";
import { deleteRecorded } from "../controllers/reap/reap.ts";
import { forgetReports } from "../controllers/report/report.ts";
import type { Workspace } from "../controllers/workspace.ts";
import { parseOwner } from "../docker/ownership.ts";
import type { Store } from "../kube/store.ts";
import { type JobRun, jobRunKind } from "../resources/job-run.ts";
import { clusterKind } from "../resources/kinds.ts";
import type { Stored } from "../resources/object.ts";
import { hasItsName, repositoryKind } from "../resources/repository.ts";
import { hasEnded, type Run, runKind, runLabels } from "../resources/run.ts";
import type { MirrorUpkeep } from "./mirror-upkeep.ts";
import { removeExpired, removeOld, type RepositoryRetention, type RetentionTimes } from "./retention.ts";
import type { SettleStores } from "./runners/settle.ts";

export interface UpkeepOptions {
  workspace: Workspace;
  store: Store;
  stores: SettleStores;
  /** Attempts of which something is left on the hosts. */
  attemptsOf(signal: AbortSignal): Promise<string[]>;
  removeAttempt(attempt: string, signal: AbortSignal): Promise<void>;
  /** Whether the forge shows how a run ended; true where it has none. */
  isReported(run: Stored<Run>, jobRuns: readonly Stored<JobRun>[]): Promise<boolean>;
  /** How long what is kept. */
  retention: RetentionTimes;
  mirrors: Pick<MirrorUpkeep, "keep" | "maintain">;
  /** Of actions. */
  maintainActions(signal: AbortSignal): Promise<void>;
}

type Task = () => Promise<void>;

export class Upkeep {
  readonly #options: UpkeepOptions;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  /** Until the signal is aborted. */
  async work(signal: AbortSignal): Promise<void> {
    const { stores, retention, workspace, mirrors } = this.#options;
    const now = () => new Date();
    await Promise.all([
      this.#every(limits.upkeepEveryMs, signal, [
        async () => await this.#removeFinished(signal),
        async () => await this.#removeOrphans(signal),
        async () => await mirrors.keep(signal),
      ]),
      this.#every(limits.upkeepSlowlyEveryMs, signal, [
        async () => await removeOld(stores, retention, now, signal, await this.#retentions(signal)),
        async () => await removeExpired(stores, now()),
        async () => await stores.logs.sealDue(),
        async () => await stores.objects.removeAbandoned(now()),
        async () => await removeOldFailures(workspace.failuresDir, now(), { days: retention.artifactsDays }),
      ]),
      // One may take its half hour.
      this.#every(limits.upkeepSlowlyEveryMs, signal, [
        async () => await mirrors.maintain(signal),
        async () => await this.#options.maintainActions(signal),
      ]),
    ]);
  }

  /** Of the repositories that have their own. */
  async #retentions(signal: AbortSignal): Promise<RepositoryRetention[]> {
    return (await this.#options.store.list(repositoryKind, { signal })).items.flatMap((repository) => {
      const { forge, id, retentionDays: days } = repository.spec;
      return days === undefined || !hasItsName(repository) ? [] : [{ forge, id, days }];
    });
  }

  /** One task after the other; one that fails is told, and does not keep the others from their turn. */
  async #every(ms: number, signal: AbortSignal, tasks: readonly Task[]): Promise<void> {
    while (!signal.aborted) {
      for (const task of tasks) {
        try {
          await task();
        } catch (error) {
          if (!signal.aborted) this.#options.workspace.output.err(`upkeep: ${messageOf(error)}`);
        }
      }
      await pause(ms, signal).catch(() => {});
    }
  }

  /** Runs that ended some time ago, with their JobRuns; what the history or the forge has not yet seen of them stays. */
  async #removeFinished(signal: AbortSignal): Promise<void> {
    const { store, stores } = this.#options;
    const before = Date.now() - limits.finishedRunMs;
    const due = (await store.list(runKind, { signal })).items.filter(
      (run) => hasEnded(run) && Date.parse(run.status?.finishedAt ?? "") <= before,
    );
    if (due.length === 0) return;
    const ofRuns = Map.groupBy((await store.list(jobRunKind, { signal })).items, ({ spec }) => spec.run);
    for (const run of due) {
      const jobRuns = ofRuns.get(run.metadata.name) ?? [];
      if (jobRuns.some(({ status }) => status?.phase !== "Finished" || Date.parse(status.heldUntil ?? "") > Date.now())) continue;
      if (!(await stores.history.projection.hasSeen(run, jobRuns))) continue;
      const isOverdue = Date.parse(run.status?.finishedAt ?? "") < Date.now() - limits.unreportedRunMs;
      if (!isOverdue && !(await this.#options.isReported(run, jobRuns))) continue;
      for (const { metadata } of jobRuns)
        await store.delete(jobRunKind, metadata.name, { uid: metadata.uid, resourceVersion: metadata.resourceVersion });
      await store.delete(runKind, run.metadata.name, { uid: run.metadata.uid, resourceVersion: run.metadata.resourceVersion });
      await forgetReports(stores.history, run, jobRuns);
    }
  }

  /** JobRuns whose Run was deleted by somebody end, and leave in their time. */
  async #removeOrphanJobRuns(jobRuns: readonly Stored<JobRun>[], signal: AbortSignal): Promise<void> {
    const { store } = this.#options;
    // After the JobRuns: each was made after its Run.
    const runs = new Set((await store.list(runKind, { signal })).items.map(({ metadata }) => metadata.name));
    for (const jobRun of jobRuns) {
      const { metadata, spec, status } = jobRun;
      if (runs.has(spec.run)) continue;
      if (!hasEnded(jobRun)) {
        if (spec.abort === undefined) await store.patch(jobRunKind, metadata.name, { spec: { abort: "its run was deleted" } });
      } else if (Date.parse(status?.finishedAt ?? "") <= Date.now() - limits.finishedRunMs)
        await store.delete(jobRunKind, metadata.name, { uid: metadata.uid, resourceVersion: metadata.resourceVersion });
    }
  }

  /** What belongs to attempts of JobRuns that are gone: the hosts' side first, then clusters. */
  async #removeOrphans(signal: AbortSignal): Promise<void> {
    const { store, workspace } = this.#options;
    // Before the JobRuns: what is made while we look belongs to one that we see.
    const [onHosts, records] = [await this.#options.attemptsOf(signal), await workspace.records.all()];
    const clusters = (await store.list(clusterKind, { signal })).items;
    const jobRuns = (await store.list(jobRunKind, { signal })).items;
    await this.#removeOrphanJobRuns(jobRuns, signal);
    const live = new Set(jobRuns.map((jobRun) => attemptUid(jobRun)));
    for (const attempt of onHosts) if (!live.has(attempt)) await this.#tell(this.#options.removeAttempt(attempt, signal));
    const isOrphan = (attempt: string | undefined) => attempt !== undefined && !live.has(attempt);
    for (const { metadata } of clusters) {
      if (isOrphan(metadata.labels?.[runLabels.attempt])) await store.delete(clusterKind, metadata.name, { uid: metadata.uid });
    }
    const known = new Set(clusters.map(({ metadata }) => metadata.name));
    for (const record of records) {
      const owner = parseOwner(record.owner);
      const attempt = typeof owner === "object" && "attempt" in owner ? owner.attempt : undefined;
      if (isOrphan(attempt) && !known.has(record.name)) await this.#tell(deleteRecorded(workspace, record, signal));
    }
  }

  /** One host that does not answer keeps nothing of the others: it is asked again the next time. */
  async #tell(work: Promise<void>): Promise<void> {
    await work.catch((error: unknown) => this.#options.workspace.output.err(`upkeep: ${messageOf(error)}`));
  }
}

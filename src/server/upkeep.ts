/** What nobody shall have to look after: finished resources leave the API, and what no job holds any more is removed. */
import { messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";
import { attemptUid } from "../controllers/job-run/reconcile.ts";
import { deleteRecorded } from "../controllers/reap/reap.ts";
import type { Workspace } from "../controllers/workspace.ts";
import { parseOwner } from "../docker/ownership.ts";
import type { Store } from "../kube/store.ts";
import { jobRunKind } from "../resources/job-run.ts";
import { clusterKind } from "../resources/kinds.ts";
import { runKind, runLabels } from "../resources/run.ts";
import type { SettleStores } from "./settle.ts";

export interface UpkeepOptions {
  workspace: Workspace;
  store: Store;
  stores: SettleStores;
  /** Attempts of which something is left on the hosts. */
  attemptsOf(): Promise<string[]>;
  removeAttempt(attempt: string): Promise<void>;
}

export class Upkeep {
  readonly #options: UpkeepOptions;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  /** Until the signal is aborted. */
  async work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const task of [async () => await this.#removeFinished(signal), async () => await this.#removeOrphans(signal)]) {
        try {
          await task();
        } catch (error) {
          if (!signal.aborted) this.#options.workspace.output.err(`upkeep: ${messageOf(error)}`);
        }
      }
      await pause(limits.upkeepEveryMs, signal).catch(() => {});
    }
  }

  /** Runs that ended some time ago, with their JobRuns; what the history has not yet seen of them stays. */
  async #removeFinished(signal: AbortSignal): Promise<void> {
    const { store, stores } = this.#options;
    const before = Date.now() - limits.finishedRunMs;
    for (const run of (await store.list(runKind, { signal })).items) {
      if (run.status?.phase !== "Finished" || Date.parse(run.status.finishedAt ?? "") > before) continue;
      const jobRuns = (await store.list(jobRunKind, { selector: { [runLabels.run]: run.metadata.name }, signal })).items;
      if (jobRuns.some(({ status }) => status?.phase !== "Finished" || Date.parse(status.heldUntil ?? "") > Date.now())) continue;
      const known = await stores.history.queries.run(run.metadata.name);
      if (known?.run.metadata.resourceVersion !== run.metadata.resourceVersion) continue;
      for (const { metadata } of jobRuns)
        await store.delete(jobRunKind, metadata.name, { uid: metadata.uid, resourceVersion: metadata.resourceVersion });
      await store.delete(runKind, run.metadata.name, { uid: run.metadata.uid, resourceVersion: run.metadata.resourceVersion });
    }
  }

  /** What belongs to attempts of JobRuns that are gone: the hosts' side first, then clusters. */
  async #removeOrphans(signal: AbortSignal): Promise<void> {
    const { store, workspace } = this.#options;
    // Before the JobRuns: what is made while we look belongs to one that we see.
    const [onHosts, records] = [await this.#options.attemptsOf(), await workspace.records.all()];
    const clusters = (await store.list(clusterKind, { signal })).items;
    const live = new Set((await store.list(jobRunKind, { signal })).items.map((jobRun) => attemptUid(jobRun)));
    for (const attempt of onHosts) if (!live.has(attempt)) await this.#options.removeAttempt(attempt);
    const isOrphan = (attempt: string | undefined) => attempt !== undefined && !live.has(attempt);
    for (const { metadata } of clusters) {
      if (isOrphan(metadata.labels?.[runLabels.attempt])) await store.delete(clusterKind, metadata.name, { uid: metadata.uid });
    }
    const known = new Set(clusters.map(({ metadata }) => metadata.name));
    for (const record of records) {
      const owner = parseOwner(record.owner);
      const attempt = typeof owner === "object" && "attempt" in owner ? owner.attempt : undefined;
      if (isOrphan(attempt) && !known.has(record.name)) await deleteRecorded(workspace, record, signal);
    }
  }
}

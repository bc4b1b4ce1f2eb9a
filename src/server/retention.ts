/** Retention as upkeep calls it: how long what is kept, and how it is removed from the stores beside the database. */
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";
import { deleteBelow } from "../artifacts/object-store.ts";
import type { Removal } from "../history/retention.ts";
import type { SettleStores } from "./settle.ts";

export interface RetentionTimes {
  /** What ran, with all that is known of it, its log and its artifacts. */
  runsDays: number;
  logsDays: number;
  artifactsDays: number;
  /** Deliveries that were handled. */
  deliveriesDays: number;
  /** Of each job, cell for cell, so many stay whole, however old. Jobs whose names never come again stay for ever then. */
  keepNewestPerJob: number;
}

export const defaultRetention: RetentionTimes = {
  runsDays: limits.retainRunsDays,
  logsDays: limits.retainLogsDays,
  artifactsDays: limits.retainArtifactsDays,
  deliveriesDays: limits.retainDeliveriesDays,
  keepNewestPerJob: 0,
};

/**
 * Removes all that is old enough, step by step. Between two steps others have the databases for as long as the last one took.
 * @throws what a store throws; what was removed until then stays removed, and the next call goes on.
 */
export async function removeOld(stores: SettleStores, times: RetentionTimes, now: () => Date, signal: AbortSignal): Promise<void> {
  const { history, logs, objects } = stores;
  const removal: Removal = {
    log: async ({ uid }) => await logs.remove(uid),
    artifacts: async ({ archivePrefix }, keys) => {
      for (const key of keys) await objects.delete(key);
      if (archivePrefix !== undefined) await deleteBelow(objects, `${archivePrefix}/`);
    },
  };
  for (let isMore = true; isMore && !signal.aborted;) {
    const at = now();
    const before = (days: number) => new Date(at.getTime() - days * 86_400_000);
    const policy = {
      runsBefore: before(times.runsDays),
      logsBefore: before(times.logsDays),
      artifactsBefore: before(times.artifactsDays),
      deliveriesBefore: before(times.deliveriesDays),
      keepNewestPerJob: times.keepNewestPerJob,
    };
    const startedMs = performance.now();
    ({ isMore } = await history.retention.prune(policy, limits.pruneAtOnce, at, removal));
    if (isMore) await pause(performance.now() - startedMs, signal).catch(() => {});
  }
}

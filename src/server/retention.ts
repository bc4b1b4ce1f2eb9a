/** Retention as upkeep calls it: how long what is kept, and how it is removed from the stores beside the database. */
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";
import type { Surroundings } from "../controllers/run/github-context.ts";
import { deleteBelow } from "../artifacts/object-store.ts";
import type { Removal } from "../history/retention.ts";
import type { SettleStores } from "./runners/settle.ts";

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

/** What `github` has of a run without a server: no forge, and what is kept for as long as a server would. */
export const surroundingsHere: Surroundings = { urls: undefined, retentionDays: defaultRetention.logsDays };

/** A repository of which nothing is kept for longer than so many days. */
export interface RepositoryRetention {
  forge: string;
  id: string;
  days: number;
}

/**
 * Removes all that is old enough, step by step. Between two steps others have the databases for as long as the last one took.
 * @throws what a store throws; what was removed until then stays removed, and the next call goes on.
 */
export async function removeOld(
  stores: SettleStores,
  times: RetentionTimes,
  now: () => Date,
  signal: AbortSignal,
  repositories: readonly RepositoryRetention[] = [],
): Promise<void> {
  const { history, logs, objects } = stores;
  const removal: Removal = {
    log: async ({ uid }) => await logs.remove(uid),
    artifacts: async ({ archivePrefix }, keys) => {
      for (const key of keys) await objects.delete(key);
      if (archivePrefix !== undefined) await deleteBelow(objects, `${archivePrefix}/`);
    },
  };
  const daysBefore = (at: Date, days: number) => new Date(at.getTime() - days * 86_400_000);
  const { keepNewestPerJob } = times;
  const policies = [
    ...repositories.map(({ forge, id, days }) => (at: Date) => ({
      repository: { forge, id },
      runsBefore: daysBefore(at, days),
      logsBefore: daysBefore(at, days),
      artifactsBefore: daysBefore(at, days),
      keepNewestPerJob,
    })),
    (at: Date) => ({
      runsBefore: daysBefore(at, times.runsDays),
      logsBefore: daysBefore(at, times.logsDays),
      artifactsBefore: daysBefore(at, times.artifactsDays),
      deliveriesBefore: daysBefore(at, times.deliveriesDays),
      keepNewestPerJob,
    }),
  ];
  for (const policyAt of policies) {
    for (let isMore = true; isMore && !signal.aborted;) {
      const at = now();
      const startedMs = performance.now();
      ({ isMore } = await history.retention.prune(policyAt(at), limits.pruneAtOnce, at, removal));
      if (isMore) await pause(performance.now() - startedMs, signal).catch(() => {});
    }
  }
}

/** Removes artifacts whose own time is over, and caches that nobody uses. Objects last: what is left of a crash is removed by nobody, and seen by nobody. */
export async function removeExpired({ history, objects }: SettleStores, now: Date): Promise<void> {
  for (;;) {
    const keys = await history.uploads.removeExpired(now, limits.pruneAtOnce);
    for (const key of keys) await objects.delete(key);
    if (keys.length === 0) break;
  }
  for (const key of await history.caches.evict(now)) await objects.delete(key);
}

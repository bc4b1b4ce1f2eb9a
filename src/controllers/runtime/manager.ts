/** Runs the controllers of one leader: caches first, then workers; at the end the other way round. */
import { limits } from "../../base/limits.ts";
import { type Clock, sleep } from "./clock.ts";
import type { Controller } from "./controller.ts";

export interface ManagerOptions {
  controllers: readonly Controller[];
  clock: Clock;
}

/**
 * Fills the caches, starts the workers, and has every key looked at each {@link limits.resyncMs}; ends when `stop` is aborted and
 * all that ran has ended. Once `abandon` is aborted (leadership was lost) nobody is waited for: every reconcile is told to end.
 * Controllers and informers are good for one run.
 */
export async function runControllers({ controllers, clock }: ManagerOptions, stop: AbortSignal, abandon: AbortSignal): Promise<void> {
  const ends = AbortSignal.any([stop, abandon]);
  const caches = new AbortController();
  const informers = new Set(controllers.flatMap(({ sources }) => sources.map(({ informer }) => informer)));
  const following = [...informers].map(async (informer) => await informer.run(caches.signal));
  const aborted = Promise.withResolvers<void>();
  const onAbort = () => aborted.resolve();
  ends.addEventListener("abort", onAbort);
  try {
    if (ends.aborted) return;
    // A reconcile that saw half of the world would make the other half again.
    await Promise.race([Promise.all([...informers].map(async ({ synced }) => await synced)), aborted.promise]);
    if (ends.aborted) return;
    await Promise.all([...controllers.map(async (controller) => await controller.run(stop, abandon)), resyncing(controllers, clock, ends)]);
  } finally {
    ends.removeEventListener("abort", onAbort);
    caches.abort();
    await Promise.all(following);
  }
}

async function resyncing(controllers: readonly Controller[], clock: Clock, ends: AbortSignal): Promise<void> {
  while (!ends.aborted) {
    await sleep(clock, limits.resyncMs, ends);
    if (!ends.aborted) for (const controller of controllers) controller.resync();
  }
}

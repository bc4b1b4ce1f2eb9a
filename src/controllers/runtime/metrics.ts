/** Numbers that a controller counts, in the form that a metrics page prints: no library, nothing global. */

/** How often something took how long. */
export class Histogram {
  /** Upper ends of the buckets, rising; what is above the last is counted in the total alone. */
  readonly bounds: readonly number[];
  /** In each bucket, not added up. */
  readonly counts: number[];
  count = 0;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    this.count++;
    this.sum += value;
    const bucket = this.bounds.findIndex((bound) => value <= bound);
    if (bucket >= 0) this.counts[bucket]!++;
  }
}

/** How a reconcile ended: `requeued` asked to be called again, `conflict` met a newer version, `failed` is any other error. */
export const outcomes = ["done", "requeued", "conflict", "failed"] as const;
export type Outcome = (typeof outcomes)[number];

/** From a look at the cache to a call that waits for Docker. Unit: milliseconds. */
const durationsMs = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000];

export class ControllerMetrics {
  readonly reconciles: Record<Outcome, number> = { done: 0, requeued: 0, conflict: 0, failed: 0 };
  /** From the add to the worker. */
  readonly waitMs = new Histogram(durationsMs);
  readonly reconcileMs = new Histogram(durationsMs);
}

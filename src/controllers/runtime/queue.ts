/**
 * The keys that wait to be reconciled. What makes a controller level-based lives here:
 *
 * - a key waits at most once, however often it is added, and is handed to one worker at a time;
 * - a key that is added while a worker has it is handed out again afterwards, never lost;
 * - keys are handed out in the order in which they came; a failed one comes back later each time.
 *
 * ```
 *            add                take                 done
 * (unknown) ─────▶ waiting ───────────▶ running ───────────▶ (unknown)
 *     │ addAfter      ▲                    │ add     done
 *     └──▶ delayed ───┘ in time            └──────▶ dirty ──▶ waiting
 * ```
 * Delayed is apart from the others: a key may be delayed and running. It is bounded by the number of keys there are.
 */
import { limits } from "../../base/limits.ts";
import { backoffMs } from "../../kube/backoff.ts";
import type { Clock } from "./clock.ts";

export interface Taken {
  key: string;
  waitedMs: number;
}

export class WorkQueue {
  readonly #clock: Clock;
  /** In their order, each with the time since when. */
  readonly #waiting = new Map<string, number>();
  readonly #running = new Set<string>();
  /** Added while they run. */
  readonly #dirty = new Set<string>();
  readonly #delayed = new Map<string, { atMs: number; timer: Disposable }>();
  readonly #failures = new Map<string, number>();
  /** Workers that wait for a key, in their order. */
  readonly #takers: ((taken: Taken | undefined) => void)[] = [];
  #idle: PromiseWithResolvers<void> | undefined;
  #isClosed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Keys that wait for a worker, not counting those that are delayed. */
  get waiting(): number {
    return this.#waiting.size + this.#dirty.size;
  }

  get running(): number {
    return this.#running.size;
  }

  get delayed(): number {
    return this.#delayed.size;
  }

  /** For how long the oldest key has waited, 0 when none does. */
  get oldestWaitMs(): number {
    const [oldest] = this.#waiting.values();
    return oldest === undefined ? 0 : this.#clock.monotonicMs() - oldest;
  }

  /** Hands the key to the next worker that asks. */
  add(key: string): void {
    if (this.#isClosed) return;
    if (this.#running.has(key)) this.#dirty.add(key);
    else if (!this.#waiting.has(key)) {
      this.#waiting.set(key, this.#clock.monotonicMs());
      this.#serve();
    }
  }

  /** Adds the key in so many milliseconds; of several wishes the earliest counts. */
  addAfter(key: string, ms: number): void {
    if (ms <= 0) this.add(key);
    if (this.#isClosed || ms <= 0) return;
    const atMs = this.#clock.monotonicMs() + ms;
    const earlier = this.#delayed.get(key);
    if (earlier && earlier.atMs <= atMs) return;
    earlier?.timer[Symbol.dispose]();
    const timer = this.#clock.after(ms, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { atMs, timer });
  }

  /**
   * Adds a key that failed, later with each failure in a row. Gives the delay.
   * @param leastMs that whoever refused has asked for.
   */
  retry(key: string, leastMs = 0): number {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    const ms = Math.max(leastMs, backoffMs(failures, limits.reconcileRetryFirstMs, limits.reconcileRetryMostMs));
    this.addAfter(key, ms);
    return ms;
  }

  /** The key did not fail: its next failure is the first. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The next key; whoever takes one says {@link done}. Undefined when the queue is closed. */
  async take(): Promise<Taken | undefined> {
    if (this.#isClosed) return undefined;
    const taken = Promise.withResolvers<Taken | undefined>();
    this.#takers.push(taken.resolve);
    this.#serve();
    return await taken.promise;
  }

  /** The worker has ended with the key. */
  done(key: string): void {
    this.#running.delete(key);
    if (this.#dirty.delete(key)) this.add(key);
    if (this.#running.size === 0) this.#idle?.resolve();
  }

  /** Brings together the first key and the first worker. Each add and each take is followed by this: no pair is left over. */
  #serve(): void {
    const [first] = this.#waiting;
    const taker = first && this.#takers.shift();
    if (!taker) return;
    const [key, sinceMs] = first;
    this.#waiting.delete(key);
    this.#running.add(key);
    taker({ key, waitedMs: this.#clock.monotonicMs() - sinceMs });
  }

  /** Hands out nothing more, and waits until all that was handed out is done. What waits is found again by the next start. */
  async drain(): Promise<void> {
    this.#isClosed = true;
    for (const { timer } of this.#delayed.values()) timer[Symbol.dispose]();
    for (const taker of this.#takers.splice(0)) taker(undefined);
    this.#delayed.clear();
    this.#waiting.clear();
    this.#dirty.clear();
    this.#idle ??= Promise.withResolvers();
    if (this.#running.size === 0) this.#idle.resolve();
    await this.#idle.promise;
  }
}

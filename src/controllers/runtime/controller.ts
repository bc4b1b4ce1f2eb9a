/**
 * A controller: workers that take keys from a queue and reconcile them, one worker for one key at a time.
 *
 * The key is all that a reconcile is told. It reads the world, plans, acts, and says when it wants to be called again; every
 * error brings the key back after a pause. Why it was called it does not know, and need not: a missed event is only late.
 */
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { ApiError, reasonOf } from "../../kube/api-error.ts";
import type { Change, Informer } from "../../kube/watch.ts";
import type { Resource } from "../../resources/object.ts";
import type { Clock } from "./clock.ts";
import { ControllerMetrics, type Outcome } from "./metrics.ts";
import { WorkQueue } from "./queue.ts";

export interface Result {
  /** Look again in so many milliseconds, unless something happens earlier. Default: only when something happens. */
  requeueAfterMs?: number | undefined;
}

/**
 * Brings one key nearer to what it shall be. Called concurrently for different keys, never for the same one. May be called at
 * any time and any number of times: all that it does is idempotent. It ends soon; it waits for nothing that an event would tell.
 * @param signal is aborted when the process cannot wait any longer, or may not write any more.
 */
export type Reconcile = (key: string, signal: AbortSignal) => Promise<Result | void>;

export interface ControllerOptions {
  /** In logs and metrics. Example: `job-run`. */
  name: string;
  reconcile: Reconcile;
  /** How many keys at once. */
  workers: number;
  sources: readonly Source[];
  clock: Clock;
  /** Told of each failure but conflicts, which are routine. */
  onError?: (failure: Failure) => void;
}

export interface Failure {
  controller: string;
  key: string;
  error: unknown;
  /** How often in a row, with this one. */
  failures: number;
  retryInMs: number;
}

/** Where keys come from. */
export interface Source {
  readonly informer: Informer<Resource>;
  /** Has the controller told of the keys that a change concerns. */
  connect(add: (key: string) => void): void;
  /** Every key that there is now. */
  keys(): Iterable<string>;
}

/** The keys that each change of a resource concerns; by default its own name. */
export function watching<R extends Resource>(
  informer: Informer<R>,
  keysOf: (change: Change<R>) => Iterable<string | undefined> = ({ now, before }) => [(now ?? before)?.metadata.name],
): Source {
  const defined = (change: Change<R>) => [...keysOf(change)].filter((key) => key !== undefined);
  return {
    informer: informer as unknown as Informer<Resource>,
    connect: (add) => informer.onChange((change) => defined(change).forEach(add)),
    keys: () => [...informer.all()].flatMap((now) => defined({ now, before: now })),
  };
}

export class Controller {
  readonly name: string;
  readonly metrics = new ControllerMetrics();
  readonly sources: readonly Source[];
  readonly queue: WorkQueue;
  /** The last error of each key that fails now, at most {@link limits.reconcileErrors}. */
  readonly failing = new Map<string, Failure>();
  readonly #options: ControllerOptions;

  constructor(options: ControllerOptions) {
    this.name = options.name;
    this.sources = options.sources;
    this.queue = new WorkQueue(options.clock);
    this.#options = options;
    for (const source of options.sources) source.connect((key) => this.queue.add(key));
  }

  /** Has every key looked at that there is. */
  resync(): void {
    for (const source of this.sources) for (const key of source.keys()) this.queue.add(key);
  }

  /**
   * Works until `stop` is aborted, and returns when the last reconcile has ended: those that run have {@link limits.drainMs},
   * then their signal is aborted. `abandon` aborts it at once. Called once.
   */
  async run(stop: AbortSignal, abandon: AbortSignal): Promise<void> {
    const { clock, workers } = this.#options;
    const late = new AbortController();
    const signal = AbortSignal.any([late.signal, abandon]);
    const working = Array.from({ length: workers }, async () => await this.#work(signal));
    const stopped = Promise.withResolvers<void>();
    const onStop = () => stopped.resolve();
    for (const each of [stop, abandon]) each.addEventListener("abort", onStop);
    if (!stop.aborted && !abandon.aborted) await stopped.promise;
    for (const each of [stop, abandon]) each.removeEventListener("abort", onStop);
    using _timer = clock.after(limits.drainMs, () => late.abort(new SeatrialError("aborted", "the server stops")));
    await this.queue.drain();
    await Promise.all(working);
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (let taken = await this.queue.take(); taken; taken = await this.queue.take()) {
      this.metrics.waitMs.observe(taken.waitedMs);
      await this.#reconcile(taken.key, signal);
      this.queue.done(taken.key);
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { reconcile, clock } = this.#options;
    const startedMs = clock.monotonicMs();
    let outcome: Outcome = "done";
    try {
      const { requeueAfterMs } = (await reconcile(key, signal)) ?? {};
      this.queue.forget(key);
      this.failing.delete(key);
      if (requeueAfterMs !== undefined) {
        outcome = "requeued";
        this.queue.addAfter(key, requeueAfterMs);
      }
    } catch (error) {
      outcome = reasonOf(error) === "conflict" ? "conflict" : "failed";
      if (!signal.aborted) this.#retry(key, error, outcome);
    }
    this.metrics.reconciles[outcome]++;
    this.metrics.reconcileMs.observe(clock.monotonicMs() - startedMs);
  }

  #retry(key: string, error: unknown, outcome: Outcome): void {
    const retryInMs = this.queue.retry(key, error instanceof ApiError ? error.retryAfterMs : undefined);
    if (outcome === "conflict") return;
    const failure: Failure = { controller: this.name, key, error, failures: (this.failing.get(key)?.failures ?? 0) + 1, retryInMs };
    if (this.failing.has(key) || this.failing.size < limits.reconcileErrors) this.failing.set(key, failure);
    this.#options.onError?.(failure);
  }
}

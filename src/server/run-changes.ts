/** Who waits for the next change of a run, in this process: streams of the API. Nothing is kept for a run that nobody waits for. */
import { limits } from "../base/limits.ts";

export class RunChanges {
  readonly #changes = new Map<string, PromiseWithResolvers<void>>();

  /** Runs that somebody waits for. */
  get waitedFor(): number {
    return this.#changes.size;
  }

  /** Something of the run has changed. */
  tell(run: string): void {
    this.#changes.get(run)?.resolve();
    this.#changes.delete(run);
  }

  /**
   * Resolves with the next change of a run, or after a while: another process may have changed it. Never rejects.
   * @param signal ends the wait. @param mostMs default: {@link limits.streamPollMs}.
   */
  async next(run: string, signal: AbortSignal, mostMs: number = limits.streamPollMs): Promise<void> {
    if (signal.aborted) return;
    let change = this.#changes.get(run);
    if (!change) this.#changes.set(run, (change = Promise.withResolvers<void>()));
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const end = () => resolve();
    const timer = setTimeout(end, mostMs);
    signal.addEventListener("abort", end, { once: true });
    await Promise.race([change.promise, over]);
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
    // Nobody need be left who waits for it: each look makes it anew.
    change.resolve();
    if (this.#changes.get(run) === change) this.#changes.delete(run);
  }
}

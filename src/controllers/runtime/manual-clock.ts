/** Time for tests: nothing passes but what a test lets pass. */
import type { Clock } from "./clock.ts";

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  readonly #timers = new Set<{ atMs: number; call: () => void }>();
  #ms = 0;

  now(): Date {
    return new Date(Date.UTC(2026, 0, 1) + this.#ms);
  }

  monotonicMs(): number {
    return this.#ms;
  }

  after(ms: number, call: () => void): Disposable {
    const timer = { atMs: this.#ms + ms, call };
    this.#timers.add(timer);
    return { [Symbol.dispose]: () => void this.#timers.delete(timer) };
  }

  /** Milliseconds until the next timer; undefined when there is none. */
  get nextMs(): number | undefined {
    return this.#timers.size === 0 ? undefined : Math.min(...[...this.#timers].map(({ atMs }) => atMs)) - this.#ms;
  }

  /** Goes on by so much. What is due is called in order, and has had its consequences before the next. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#ms + ms;
    for (;;) {
      await settled();
      const [next] = [...this.#timers].filter(({ atMs }) => atMs <= untilMs).toSorted((a, b) => a.atMs - b.atMs);
      if (!next) break;
      this.#timers.delete(next);
      this.#ms = Math.max(this.#ms, next.atMs);
      next.call();
    }
    this.#ms = untilMs;
    await settled();
  }

  /** Time passes and nothing runs, as for a process that is stopped and resumed: what was due is called by the next advance. */
  leap(ms: number): void {
    this.#ms += ms;
  }
}

/** All that follows from what has happened, without new timers or input, has run. */
export async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

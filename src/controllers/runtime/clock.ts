/** Time as the runtime sees it: handed in, so that tests turn the hands themselves. */

export interface Clock {
  /** The time of day, for what is written down. */
  now(): Date;
  /** Milliseconds that only ever go forward, for what is measured. They go on while the process is stopped. */
  monotonicMs(): number;
  /** Calls once, after so many milliseconds; disposing of it earlier prevents that. */
  after(ms: number, call: () => void): Disposable;
}

export const realClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/** Waits, or returns early when the signal is aborted: whoever waits looks at it next. */
export async function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const done = Promise.withResolvers<void>();
  using _timer = clock.after(ms, done.resolve);
  const onAbort = () => done.resolve();
  signal.addEventListener("abort", onAbort);
  await done.promise;
  signal.removeEventListener("abort", onAbort);
}

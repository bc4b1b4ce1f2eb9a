/** Waiting for a state, with a deadline and an abort signal: the only sleep of the project. */
import { setTimeout as delay } from "node:timers/promises";
import { SeatrialError } from "./errors.ts";

export interface WaitOptions {
  timeoutMs: number;
  pollMs: number;
  signal?: AbortSignal | undefined;
}

/**
 * Asks `look` until it returns something other than undefined.
 * @param what completes "waiting for …", for the error.
 * @throws SeatrialError `timeout`, with `lastSeen()` as what was seen last; the signal's reason when aborted; whatever `look` throws.
 */
export async function waitFor<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  options: WaitOptions,
  lastSeen: () => string = () => "nothing yet",
): Promise<T> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const seen = await look();
    if (seen !== undefined) return seen;
    if (performance.now() + options.pollMs > deadline) {
      throw new SeatrialError("timeout", `waited ${options.timeoutMs / 1000} s for ${what}; last seen: ${lastSeen()}`, {
        retryable: true,
      });
    }
    await pause(options.pollMs, options.signal);
  }
}

/** Sleeps, or throws the signal's reason as soon as it is aborted. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, signal ? { signal } : {});
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

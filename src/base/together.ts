/**
 * Several things at once that succeed or fail as one: when one fails the others are told to stop, and nobody goes on before
 * all of them have. What cleans up afterwards then finds a world that nobody changes any more.
 */
import { SeatrialError } from "./errors.ts";

/**
 * Starts the work with a signal of its own and waits for all of it.
 * @throws the first failure, after everything has ended.
 */
export async function together<T extends readonly unknown[]>(
  outer: AbortSignal | undefined,
  start: (signal: AbortSignal) => { readonly [K in keyof T]: Promise<T[K]> },
): Promise<T> {
  const abort = new AbortController();
  const signal = outer ? AbortSignal.any([outer, abort.signal]) : abort.signal;
  let first: { error: unknown } | undefined;
  const started = start(signal).map(async (work) => {
    try {
      return await work;
    } catch (error) {
      first ??= { error };
      abort.abort(new SeatrialError("aborted", "stopped: something that it goes with has failed"));
      return undefined;
    }
  });
  const results = await Promise.all(started);
  if (first) throw (first as { error: unknown }).error;
  return results as unknown as T;
}

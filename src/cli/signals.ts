/** SIGINT, SIGTERM and SIGHUP (the terminal was closed) as one abort signal, and each of them for whoever passes them on. */
import { SeatrialError } from "../base/errors.ts";
import type { SignalSource } from "../runner/with.ts";

const handled = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export function listenForSignals(): SignalSource & Disposable {
  const abort = new AbortController();
  const listeners = new Set<(signal: NodeJS.Signals) => void>();
  let received: NodeJS.Signals | undefined;
  let count = 0;
  const on = (signal: NodeJS.Signals) => {
    received ??= signal;
    // Who asks for the third time wants to go now; what is left is recorded, and the next command deletes it.
    if (++count >= 3) {
      for (const each of handled) process.off(each, on);
      process.kill(process.pid, signal);
    }
    abort.abort(new SeatrialError("aborted", `ended by ${received}`));
    for (const listener of listeners) listener(signal);
  };
  for (const signal of handled) process.on(signal, on);
  return {
    signal: abort.signal,
    get received() {
      return received;
    },
    onSignal(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    [Symbol.dispose]() {
      for (const signal of handled) process.off(signal, on);
    },
  };
}

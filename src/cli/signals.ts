/** SIGINT and SIGTERM as one abort signal, and each of them for whoever passes them on. */
import { SeatrialError } from "../base/errors.ts";
import type { SignalSource } from "../runner/with.ts";

export function listenForSignals(): SignalSource & Disposable {
  const abort = new AbortController();
  const listeners = new Set<(signal: NodeJS.Signals) => void>();
  let received: NodeJS.Signals | undefined;
  const on = (signal: NodeJS.Signals) => {
    received ??= signal;
    abort.abort(new SeatrialError("aborted", `ended by ${received}`));
    for (const listener of listeners) listener(signal);
  };
  process.on("SIGINT", on);
  process.on("SIGTERM", on);
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
      process.off("SIGINT", on);
      process.off("SIGTERM", on);
    },
  };
}

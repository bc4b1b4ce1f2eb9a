/** Whether a server is well while much is asked of it: how long it took to answer, and how long it heard nothing of a runner. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { pause } from "../../src/base/wait.ts";
import type { TestServer } from "./server.ts";

export interface Felt {
  /** The longest that an answer took. */
  answerMs: number;
  /** The longest that the history heard nothing of an attempt that had not ended. */
  silenceMs: number;
}

/** Feels it in a thread of its own: a test that is busy would take its own pauses for the server's. */
export class Pulse implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #felt: Promise<Felt>;

  constructor({ url, home }: TestServer) {
    this.#worker = new Worker(new URL(import.meta.url), { workerData: { url, database: join(home.data, "history.db") } });
    this.#felt = new Promise((resolve, reject) => this.#worker.once("message", resolve).once("error", reject));
    this.#felt.catch(() => {}); // Whoever ends it sees the error.
  }

  async end(): Promise<Felt> {
    this.#worker.postMessage("end");
    return await this.#felt;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

async function feel(url: string, database: string, signal: AbortSignal): Promise<Felt> {
  using history = new DatabaseSync(database, { readOnly: true });
  const oldest = history.prepare("SELECT min(heartbeat_ms) AS ms FROM attempts WHERE ended_ms IS NULL");
  const felt = { answerMs: 0, silenceMs: 0 };
  while (!signal.aborted) {
    const askedAt = performance.now();
    await (await fetch(`${url}/healthz`)).text();
    felt.answerMs = Math.max(felt.answerMs, performance.now() - askedAt);
    const { ms } = oldest.get() as { ms: number | null };
    if (ms !== null) felt.silenceMs = Math.max(felt.silenceMs, Date.now() - ms);
    await pause(100, signal).catch(() => {});
  }
  return felt;
}

if (!isMainThread && (workerData as { database?: string } | null)?.database !== undefined) {
  const { url, database } = workerData as { url: string; database: string };
  const stop = new AbortController();
  parentPort!.once("message", () => stop.abort());
  parentPort!.postMessage(await feel(url, database, stop.signal));
}

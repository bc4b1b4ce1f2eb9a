/**
 * Brings the spool to the server: one call at a time, from the byte that it has acknowledged. The first bytes after a silence
 * go out at once, or nearly; while more keep coming, calls are few and large.
 */
import { setTimeout as delay } from "node:timers/promises";
import { limits } from "../base/limits.ts";
import type { LogAnswer } from "./server-link.ts";
import type { Spool } from "./spool.ts";

export interface LogServer {
  /** Repeats itself until it is answered. @throws what cannot be mended. */
  log(offset: number, bytes: Buffer): Promise<LogAnswer>;
}

export class LogUpload {
  readonly #spool: Spool;
  readonly #server: LogServer;
  readonly #ended: Promise<void>;
  #wake: () => void = () => {};
  #hurry = new AbortController();
  #isEnding = false;

  /** Begins at once. @param onBroken called once when no more can be sent; `finish` throws the same. */
  constructor(spool: Spool, server: LogServer, onBroken: (error: unknown) => void) {
    this.#spool = spool;
    this.#server = server;
    spool.onAdded(() => this.#wake());
    this.#ended = this.#run();
    this.#ended.catch(onBroken);
  }

  /** Sends what is left without waiting for more. @throws what broke the upload. */
  async finish(): Promise<void> {
    this.#isEnding = true;
    this.#hurry.abort();
    this.#wake();
    await this.#ended;
  }

  async #run(): Promise<void> {
    let sentAt = Number.NEGATIVE_INFINITY;
    for (;;) {
      if (this.#spool.acknowledged === this.#spool.end) {
        if (this.#isEnding) return;
        await new Promise<void>((wake) => (this.#wake = wake));
        continue;
      }
      const isBusy = performance.now() - sentAt < 2 * limits.runnerLogBatchMs;
      if (this.#spool.end - this.#spool.acknowledged < limits.runnerLogChunkBytes) {
        await delay(isBusy ? limits.runnerLogBatchMs : limits.runnerLogQuickMs, undefined, { signal: this.#hurry.signal }).catch(() => {});
      }
      const offset = this.#spool.acknowledged;
      const answer = await this.#server.log(offset, this.#spool.read(offset, limits.runnerLogChunkBytes));
      this.#spool.acknowledge(answer.offset);
      sentAt = performance.now();
    }
  }
}

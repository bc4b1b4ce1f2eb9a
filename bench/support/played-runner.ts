/** A runner that is only played: it says to the server what a real one says about a long step, without a process. */
import { Agent, request } from "node:http";
import { limits } from "../../src/base/limits.ts";
import type { ReportMessage } from "../../src/runner/protocol.ts";
import type { Held } from "./server.ts";

/** A step that prints something prints it about so often. */
const lineEveryMs = 1_000;

const agent = new Agent({ keepAlive: true, maxSockets: 50 });

export class PlayedRunner {
  /** Resolved when its step runs. */
  readonly begun: Promise<void>;
  readonly #held: Held;
  readonly #timers: NodeJS.Timeout[] = [];
  #offset = 0;
  #isClosed = false;

  constructor(held: Held) {
    this.#held = held;
    this.begun = this.#begin();
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers) clearInterval(timer);
  }

  async #begin(): Promise<void> {
    await this.#call("GET", "assignment");
    const startedAt = new Date().toISOString();
    await this.#report({ steps: [{ index: 0, name: "Run sleep 60", state: "running", startedAt, firstLine: 1 }], annotations: [] });
    this.#every(limits.runnerHeartbeatMs, async () => await this.#report({ steps: [], annotations: [] }));
    this.#every(lineEveryMs, async () => {
      const bytes = Buffer.from(`still at it, ${new Date().toISOString()}\n`);
      await this.#call("POST", `log?offset=${this.#offset}`, bytes);
      this.#offset += bytes.length;
    });
  }

  /** Begins at a random time, so that not all speak at once. */
  #every(ms: number, work: () => Promise<void>): void {
    const act = () => void work().catch((error: unknown) => this.#isClosed || process.stderr.write(`a played runner: ${String(error)}\n`));
    this.#timers.push(setTimeout(() => void this.#timers.push(setInterval(act, ms)), Math.random() * ms));
  }

  async #report(message: ReportMessage): Promise<void> {
    await this.#call("POST", "report", Buffer.from(JSON.stringify(message)));
  }

  async #call(method: string, path: string, body?: Buffer): Promise<void> {
    if (this.#isClosed) return;
    const { attempt, token, server } = this.#held;
    const headers = {
      authorization: `Bearer ${token}`,
      ...(body ? { "content-type": "application/json", "content-length": body.length } : {}),
    };
    await new Promise<void>((resolve, reject) => {
      const sent = request(`${server}/runner/v1/attempts/${attempt}/${path}`, { method, agent, headers }, (answer) => {
        answer.resume();
        answer.once("end", () => (answer.statusCode === 200 ? resolve() : reject(new Error(`${method} ${path}: ${answer.statusCode}`))));
      });
      sent.once("error", reject);
      sent.end(body);
    });
  }
}

/**
 * The server that a benchmark measures, as a process of its own: `runServer` as `seatrial up` calls it, with an executor of the
 * benchmark's where it asks for one. Started by server.ts with its options as the one argument; answers questions by IPC.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { messageOf } from "../../src/base/errors.ts";
import { scriptEnvironment } from "../../scripts/docker-choice.ts";
import type { AttemptLife, Executor, ExecutorRequest } from "../../src/runner/executors/executor.ts";
import { readConfig } from "../../src/server/config.ts";
import type { MakeExecutors } from "../../src/server/engine.ts";
import type { SettleStores } from "../../src/server/runners/settle.ts";
import { runServer } from "../../src/server/server.ts";
import { CommandWorkspace } from "../../src/server/start.ts";

export interface ServerProcessOptions {
  /**
   * `host`: the real one. `ending`: ends an attempt as passed when it starts, without a process. `held`: tells the parent of each
   * attempt, which plays its runner.
   */
  executor: "host" | "ending" | "held";
  repositories?: readonly string[];
  /** File with forges. */
  config?: string;
  /** How many jobs the host takes. Default: its own. */
  jobsAtOnce?: number;
}

/** A question of the parent. `reset` begins the measurement of the event loop anew. */
export type Question = { id: number; ask: "use" | "reset" } | { id: number; ask: "heard"; attempt: string };

export type Message =
  | { ready: { url: string; kubeconfig: string } }
  | { held: { attempt: string; token: string; server: string } }
  | { id: number; answer: Use | number };

/** Of the server's own process. */
export interface Use {
  cpuMs: number;
  residentBytes: number;
  /** Since the last `reset`. */
  delayP99Ms: number;
  delayMostMs: number;
}

const delay = monitorEventLoopDelay({ resolution: 1 });
let stores: SettleStores | undefined;

async function main(options: ServerProcessOptions): Promise<void> {
  const abort = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => abort.abort());
  process.on("disconnect", () => abort.abort()); // Whoever measures is gone.
  process.on("message", (question: Question) => void answer(question));
  const say = (line: string) => void process.stderr.write(`${line.trimEnd()}\n`);
  await using workspace = new CommandWorkspace(scriptEnvironment(), { out: say, write: say, err: say }, abort.signal);
  delay.enable();
  await runServer(workspace, {
    programs: workspace.programs,
    listen: { hostname: "127.0.0.1", port: 0 },
    repositories: options.repositories ?? [],
    ...(options.config === undefined ? { forges: [] } : await readConfig(options.config)),
    version: "bench",
    signal: abort.signal,
    executor: "host",
    executors: (given) => {
      ({ stores } = given);
      return executorsOf(options.executor)(given);
    },
    onReady: ({ url, kubeconfig }) => tell({ ready: { url, kubeconfig } }),
  });
}

function tell(message: Message): void {
  if (process.connected) process.send!(message);
}

async function answer(question: Question): Promise<void> {
  if (question.ask === "heard") {
    const record = await stores?.history.attempts.get(question.attempt);
    tell({ id: question.id, answer: record?.heardAt.getTime() ?? 0 });
    return;
  }
  if (question.ask === "reset") delay.reset();
  const { user, system } = process.cpuUsage();
  const residentBytes = process.memoryUsage.rss();
  const [delayP99Ms, delayMostMs] = [delay.percentile(99) / 1e6, delay.max / 1e6];
  tell({ id: question.id, answer: { cpuMs: (user + system) / 1000, residentBytes, delayP99Ms, delayMostMs } });
}

function executorsOf(name: ServerProcessOptions["executor"]): MakeExecutors {
  switch (name) {
    case "host":
      return () => [];
    case "ending":
      return ({ stores: { history } }) => [
        new NoProcess(({ attempt }) => {
          setImmediate(() => void history.attempts.end(attempt, { verdict: "passed" }, new Date()));
        }),
      ];
    case "held":
      return ({ server }) => [new NoProcess(({ attempt, token }) => tell({ held: { attempt, token, server } }))];
  }
}

/** Attempts that are only told of. */
class NoProcess implements Executor {
  readonly name = "host";
  readonly #running = new Set<string>();
  readonly #onStart: (request: ExecutorRequest) => void;

  constructor(onStart: (request: ExecutorRequest) => void) {
    this.#onStart = onStart;
  }

  async start(request: ExecutorRequest): Promise<void> {
    this.#running.add(request.attempt);
    this.#onStart(request);
    await Promise.resolve();
  }

  async observe(attempt: string): Promise<AttemptLife> {
    return await Promise.resolve({ state: this.#running.has(attempt) ? "running" : "absent" });
  }

  async stop(attempt: string): Promise<void> {
    this.#running.delete(attempt);
    await Promise.resolve();
  }

  async remove(attempt: string): Promise<void> {
    await this.stop(attempt);
  }

  async list(): Promise<string[]> {
    return await Promise.resolve([...this.#running]);
  }
}

try {
  await main(JSON.parse(process.argv[2]!) as ServerProcessOptions);
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
} finally {
  if (process.connected) process.disconnect();
}

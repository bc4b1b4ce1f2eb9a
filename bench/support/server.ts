/** A server for one benchmark, with a control plane and a data folder of its own, and what the benchmark asks it. */
import { type ChildProcess, fork } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { limits } from "../../src/base/limits.ts";
import { pause, waitFor } from "../../src/base/wait.ts";
import { ApiServerStore } from "../../src/kube/api-server.ts";
import { hostKind } from "../../src/resources/host.ts";
import type { JobView, NewRun, RunBody, RunView } from "../../src/server/api/schemas.ts";
import { KubeClient, parseKubeconfig } from "../../src/kube/client.ts";
import { type BenchContext, say } from "./context.ts";
import type { Message, Question, ServerProcessOptions, Use } from "./server-process.ts";

export type Held = Extract<Message, { held: object }>["held"];

export class BenchServer implements AsyncDisposable {
  /** SEATRIAL_HOME. */
  readonly home: string;
  url = "";
  #kubeconfig = "";
  readonly #context: BenchContext;
  readonly #child: ChildProcess;
  readonly #answers = new Map<number, (answer: Use | number) => void>();
  readonly #onHeld: (held: Held) => void;
  #token: string | undefined;
  #count = 0;

  /** Starts it; the caller closes it. @param onHeld told of each attempt of executor `held`. */
  static async start(context: BenchContext, options: ServerProcessOptions, onHeld: (held: Held) => void = () => {}): Promise<BenchServer> {
    const home = join(context.directory, context.newName("server"));
    await mkdir(home, { mode: 0o700 });
    const server = new BenchServer(context, home, options, onHeld);
    try {
      await waitFor("the server to be ready", () => server.#isReady(), { timeoutMs: 60_000, pollMs: 20, signal: context.signal });
      if (options.jobsAtOnce !== undefined) await server.#widen(options.jobsAtOnce);
      return server;
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  private constructor(context: BenchContext, home: string, options: ServerProcessOptions, onHeld: (held: Held) => void) {
    this.#context = context;
    this.home = home;
    this.#onHeld = onHeld;
    this.#child = fork(join(import.meta.dirname, "server-process.ts"), [JSON.stringify(options)], {
      // As src/cli/main.ts has it: without the cache Node's compiler for TypeScript is loaded, which takes 100 MB.
      env: { ...(context.variables as NodeJS.ProcessEnv), SEATRIAL_HOME: home, NODE_COMPILE_CACHE: join(tmpdir(), "node-compile-cache") },
      // As bin/seatrial has it.
      execArgv: ["--max-semi-space-size=2", "--disable-warning=ExperimentalWarning"],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    for (const stream of [this.#child.stdout!, this.#child.stderr!])
      stream.on("data", (text: Buffer) => say(`server: ${text.toString().trimEnd()}`));
    this.#child.on("message", (message: Message) => this.#take(message));
  }

  get pid(): number {
    return this.#child.pid!;
  }

  #isReady(): true | undefined {
    if (this.#child.exitCode !== null) throw new Error("the server ended");
    return this.url === "" ? undefined : true;
  }

  /** Has the host take more jobs, and waits until the server has seen it. */
  async #widen(jobs: number): Promise<void> {
    await using kube = await this.kube();
    const store = new ApiServerStore(kube);
    await waitFor("the host", async () => await store.get(hostKind, "local"), { timeoutMs: 30_000, pollMs: 50 });
    await store.patch(hostKind, "local", { spec: { capacity: { jobs } } });
    await pause(limits.hostEveryMs + 1_000, this.#context.signal);
  }

  #take(message: Message): void {
    if ("ready" in message) ({ url: this.url, kubeconfig: this.#kubeconfig } = message.ready);
    else if ("held" in message) this.#onHeld(message.held);
    else this.#answers.get(message.id)?.(message.answer);
  }

  async #ask(question: { ask: "use" | "reset" } | { ask: "heard"; attempt: string }): Promise<Use | number> {
    const id = ++this.#count;
    const { promise, resolve } = Promise.withResolvers<Use | number>();
    this.#answers.set(id, resolve);
    this.#child.send({ id, ...question } satisfies Question);
    return await promise;
  }

  /** What the server's process has used so far. */
  async use(): Promise<Use> {
    return (await this.#ask({ ask: "use" })) as Use;
  }

  /** As {@link use}, and the event loop's delay is measured from now on. */
  async reset(): Promise<Use> {
    return (await this.#ask({ ask: "reset" })) as Use;
  }

  /** When the runner of an attempt was heard last, in milliseconds since 1970. */
  async heardMs(attempt: string): Promise<number> {
    return (await this.#ask({ ask: "heard", attempt })) as number;
  }

  /** CPU time that etcd and kube-apiserver have used so far. */
  controlPlaneCpuMs(): number {
    return controlPlaneOf(this.home).reduce((sum, pid) => sum + cpuMsOf(pid), 0);
  }

  /** A client of its API server; the caller closes it. */
  async kube(): Promise<KubeClient> {
    return new KubeClient(parseKubeconfig(await readFile(this.#kubeconfig, "utf8"), this.#kubeconfig));
  }

  async get<T>(path: string): Promise<T> {
    const answer = await fetch(this.url + path);
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  async text(path: string): Promise<string> {
    return await (await fetch(this.url + path)).text();
  }

  /** Starts a workflow for a change that needs no repository. @returns the run's name. */
  async createRun(workflow: string): Promise<string> {
    this.#token ??= (await readFile(join(this.home, "api-token"), "utf8")).trim();
    const sha = "0".repeat(40);
    const body: NewRun = {
      source: {
        forge: "bench",
        repository: { id: "bench", name: "bench" },
        event: "push",
        ref: `refs/heads/b${++this.#count}`,
        base: { ref: "main", sha },
        commit: sha,
        lane: "trusted",
      },
      workflow: { path: ".seatrial/bench.yml", text: workflow },
      event: {},
    };
    const answer = await fetch(`${this.url}/api/v1/runs`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${this.#token}` },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`a run could not be made: ${answer.status} ${await answer.text()}`);
    return ((await answer.json()) as { name: string }).name;
  }

  /** Waits until so many runs have ended. */
  async ended(count: number, timeoutMs = 300_000): Promise<RunBody[]> {
    return await this.#runs(`${count} runs to end`, count, ({ phase }) => phase === "Finished", timeoutMs);
  }

  async #runs(what: string, count: number, fits: (run: RunBody) => boolean, timeoutMs: number): Promise<RunBody[]> {
    const look = async () => {
      const { items } = await this.get<{ items: RunBody[] }>("/api/v1/runs?limit=500");
      const found = items.filter(fits);
      return found.length >= count ? found : undefined;
    };
    return await waitFor(what, look, { timeoutMs, pollMs: 250, signal: this.#context.signal });
  }

  /** Waits until the run of a commit is there. */
  async runOf(sha: string): Promise<RunBody> {
    const look = async () => (await this.get<{ items: RunBody[] }>("/api/v1/runs")).items.find((each) => each.sha === sha);
    return await waitFor(`the run of ${sha}`, look, { timeoutMs: 30_000, pollMs: 10, signal: this.#context.signal });
  }

  async run(name: string): Promise<RunView> {
    return await this.get<RunView>(`/api/v1/runs/${name}`);
  }

  async job(name: string): Promise<JobView> {
    return await this.get<JobView>(`/api/v1/jobs/${name}`);
  }

  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = new Promise((resolve) => this.#child.once("exit", resolve));
      this.#child.kill("SIGTERM");
      const timer = setTimeout(() => this.#child.kill("SIGKILL"), limits.stopGraceMs);
      await gone;
      clearTimeout(timer);
    }
    await this.#context.seatrial(["down"], { SEATRIAL_HOME: this.home }, new AbortController().signal);
    await rm(this.home, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Processes of a data folder's own control plane: etcd and kube-apiserver. */
export function controlPlaneOf(home: string): number[] {
  const folder = join(home, "control-plane");
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && linkOf(`/proc/${entry}/cwd`).startsWith(folder))
    .map(Number);
}

/**
 * CPU time of a process; 0 when it is gone. Linux counts it in hundredths of a second.
 * @param withChildren with that of the children that it has waited for.
 */
export function cpuMsOf(pid: number, withChildren = false): number {
  const fields = readProc(`/proc/${pid}/stat`)
    .replace(/^.*\) /s, "")
    .split(" ");
  if (fields.length < 15) return 0;
  return fields.slice(11, withChildren ? 15 : 13).reduce((sum, field) => sum + Number(field) * 10, 0);
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function readProc(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

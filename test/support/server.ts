/** A server of a home of its own, with a local repository that tests push to. */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import { freePort } from "../../src/docker/ports.ts";
import { parseIdentity } from "../../src/process/identity.ts";
import { run } from "../../src/process/run.ts";
import type { JobView, RunBody, RunView } from "../../src/server/api/schemas.ts";
import type { ServerFile } from "../../src/server/server-file.ts";
import { type Home, kubectlPath, openHome, type Owner, type Running, seatrial, startSeatrial } from "./e2e.ts";
import { commit, git } from "./repository.ts";

export class TestServer {
  readonly home: Home;
  readonly #port: number;
  /** The bare repository that it watches, and a clone to push from. */
  readonly bare: string;
  readonly clone: string;

  /** A server that runs, over a repository with these files on its branch `main`; gone when the test ends. */
  static async open(context: Owner, files: Record<string, string>): Promise<TestServer> {
    const server = await TestServer.prepare(context, files);
    await server.up();
    return server;
  }

  /** The same, and nothing runs yet. @param variables added to the environment of its commands. */
  static async prepare(
    context: Owner,
    files: Record<string, string> | ((home: Home) => Record<string, string>),
    variables: Record<string, string> = {},
  ): Promise<TestServer> {
    const home = await openHome(context, variables);
    const server = new TestServer(home, await freePort());
    await commit(server.clone, typeof files === "function" ? files(home) : files, "first");
    await mkdir(server.bare);
    await git(server.bare, "init", "--quiet", "--bare", "--initial-branch=main");
    await git(server.clone, "remote", "add", "origin", server.bare);
    await git(server.clone, "push", "--quiet", "origin", "HEAD:main");
    context.onTestFinished(async () => void (await seatrial(home, ["down"])), 60_000);
    return server;
  }

  private constructor(home: Home, port: number) {
    this.home = home;
    this.#port = port;
    this.bare = join(home.cwd, "project.git");
    this.clone = join(home.cwd, "clone");
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async up(): Promise<string> {
    const ran = await seatrial(this.home, ["up", "--detach", ...this.#arguments()]);
    expect(ran, ran.stderr + (await this.log())).toMatchObject({ code: 0 });
    return ran.stdout.trim();
  }

  /** Starts it as a child of the test, which may kill it at any moment. */
  start(args: readonly string[] = ["up"]): Running {
    return startSeatrial(this.home, [...args, ...this.#arguments()]);
  }

  #arguments(): string[] {
    return ["--listen", `127.0.0.1:${this.#port}`, "--repository", this.bare];
  }

  /** What a detached server has said. */
  async log(): Promise<string> {
    return await readFile(join(this.home.data, "server.log"), "utf8").catch(() => "");
  }

  async pid(): Promise<number> {
    const file = JSON.parse(await readFile(join(this.home.data, "server.json"), "utf8")) as ServerFile;
    return parseIdentity(file.owner)!.pid;
  }

  /** Kills the server itself; its control plane and its runners go on. */
  async kill(): Promise<void> {
    process.kill(await this.pid(), "SIGKILL");
  }

  async push(files: Record<string, string>, branch = "main"): Promise<string> {
    const sha = (await commit(this.clone, files)).trim();
    await git(this.clone, "push", "--quiet", "origin", `HEAD:${branch}`);
    return sha;
  }

  async get<T>(path: string): Promise<T> {
    const answer = await fetch(this.url + path);
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  async page(path: string): Promise<string> {
    return await (await fetch(this.url + path)).text();
  }

  /** The lines of an answer as they come. */
  async *lines(path: string): AsyncGenerator<string> {
    const answer = await fetch(this.url + path);
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of answer.body!) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop()!;
      yield* lines;
    }
    yield rest;
  }

  /** @param workflow its path. Default: any. */
  async runOf(sha: string, workflow?: string): Promise<RunBody> {
    const fits = (run: RunBody) => run.sha === sha && (workflow === undefined || run.workflow.path === workflow);
    return await waitFor(`a run of ${sha}`, async () => (await this.get<{ items: RunBody[] }>("/api/v1/runs")).items.find(fits), {
      timeoutMs: 30_000,
      pollMs: 50,
    });
  }

  async ended(run: string, timeoutMs = 90_000): Promise<RunView> {
    return await waitFor(
      `run ${run} to end`,
      async () => {
        const view = await this.get<RunView>(`/api/v1/runs/${run}`);
        return view.run.phase === "Finished" ? view : undefined;
      },
      { timeoutMs, pollMs: 100 },
    );
  }

  /** A job of a run as it is now; undefined before it was made. */
  async job(run: string, name: string): Promise<JobView | undefined> {
    return (await this.get<RunView>(`/api/v1/runs/${run}`)).jobs.find(({ jobName }) => jobName === name);
  }

  async jobEnded(run: string, name: string, timeoutMs = 90_000): Promise<JobView> {
    let seen: JobView | undefined;
    const look = async () => ((seen = await this.job(run, name))?.phase === "Finished" ? seen : undefined);
    return await waitFor(`job ${name} to end`, look, { timeoutMs, pollMs: 100 }, () => `${seen?.phase}: ${seen?.message}`);
  }

  /** Waits until the log of the job's last attempt has it. */
  async logSays(run: string, name: string, what: string, timeoutMs = 60_000): Promise<void> {
    let seen: JobView | undefined;
    const look = async () => {
      seen = await this.job(run, name);
      if (seen?.phase === "Finished") throw new Error(`job ${name} has ended without saying ${what}: ${seen.verdict}: ${seen.message}`);
      return seen && (await this.page(`/api/v1/jobs/${seen.name}/log`)).includes(what) ? true : undefined;
    };
    await waitFor(`job ${name} to say ${JSON.stringify(what)}`, look, { timeoutMs, pollMs: 100 }, () => `${seen?.phase}: ${seen?.message}`);
  }

  /** Waits until nothing of the jobs that ended is left: a verdict comes before that. */
  async clean(): Promise<void> {
    const attempts = join(this.home.data, "attempts");
    await waitFor("attempts to be removed", async () => ((await readdir(attempts).catch(() => [])).length === 0 ? true : undefined), {
      timeoutMs: 30_000,
      pollMs: 50,
    });
  }

  async kubectl(...args: string[]): Promise<string> {
    const config = join(this.home.data, "control-plane", "admin.kubeconfig");
    return (await run(await kubectlPath(), ["--kubeconfig", config, ...args], { env: this.home.variables, timeoutMs: 60_000 })).stdout;
  }
}

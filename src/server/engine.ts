/**
 * What runs workflows: the stores, the API, the listener for runners, and the controllers of whoever leads. A server has one over
 * its API server; a one-shot `run` has one over memory, in its own process. Both write the same history.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Hono } from "hono";
import { parse } from "yaml";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import { FolderStore } from "../artifacts/folder.ts";
import { writeFileWhole } from "../clusters/kubeconfig.ts";
import { clusterName } from "../controllers/job-run/reconcile.ts";
import type { Leadership } from "../controllers/runtime/epochs.ts";
import { githubContext } from "../controllers/run/github-context.ts";
import type { Workspace } from "../controllers/workspace.ts";
import { UploadPack } from "../git/upload-pack.ts";
import type { AttemptRecord } from "../history/attempts.ts";
import { openHistory } from "../history/history.ts";
import type { Store } from "../kube/store.ts";
import { openLogStore } from "../logs/log-store.ts";
import { type JobRun, jobRunKind } from "../resources/job-run.ts";
import { clusterKind } from "../resources/kinds.ts";
import type { Stored } from "../resources/object.ts";
import { type Run, runKind } from "../resources/run.ts";
import { runnerBundle } from "../runner/bundle.ts";
import type { Executor } from "../runner/executor.ts";
import { HostExecutor } from "../runner/host.ts";
import type { AssignmentMessage } from "../runner/protocol.ts";
import type { Json } from "../workflows/expressions.ts";
import { ApiClient } from "./api/client.ts";
import { apiApp } from "./api/app.ts";
import { type ApiOptions, apiRoutes } from "./api/routes.ts";
import { Controllers, type ReportOptions } from "./controllers.ts";
import { Listener } from "./listener.ts";
import type { Policy } from "./policy.ts";
import { runnerApi, RunnerTokens } from "./runner-api.ts";
import type { SettleStores } from "./settle.ts";

export interface EngineOptions {
  store: Store;
  policy: Policy;
  version: string;
  /** Holds a folder for each attempt of executor host. */
  attemptsDir: string;
  /** File that keeps the port of the door for runners: those that run now must find it again after a restart. Default: any port. */
  runnerPortFile?: string | undefined;
  checksOf?: ApiOptions["checksOf"];
  /** Called with the name of a run before it is made. */
  noteRun?: ((name: string) => Promise<void>) | undefined;
}

export async function openEngine(workspace: Workspace, options: EngineOptions): Promise<Engine> {
  const { dataDir, cacheDir } = workspace.environment;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const settings = { sqlite: { directory: dataDir } };
  const objects = new FolderStore(join(dataDir, "objects"));
  const [history, logs, key, bundle] = await Promise.all([
    openHistory(settings),
    openLogStore({ settings, objects }),
    runnerKey(dataDir),
    runnerBundle(cacheDir),
  ]);
  const engine = new Engine(workspace, options, { history, logs, objects }, new RunnerTokens(key), bundle);
  await engine.listen();
  return engine;
}

export class Engine implements AsyncDisposable {
  readonly stores: SettleStores;
  /** The public API in this process: nothing is asked for a token. */
  readonly api: ApiClient;
  readonly #workspace: Workspace;
  readonly #options: EngineOptions;
  readonly #tokens: RunnerTokens;
  readonly #bundle: string;
  readonly #uploadPack: UploadPack;
  readonly #executors = new Map<Executor["name"], Executor>();
  readonly #changes = new Map<string, PromiseWithResolvers<void>>();
  readonly #runners = new Listener();
  #controllers: Controllers | undefined;

  constructor(workspace: Workspace, options: EngineOptions, stores: SettleStores, tokens: RunnerTokens, bundle: string) {
    this.stores = stores;
    this.#workspace = workspace;
    this.#options = options;
    this.#tokens = tokens;
    this.#bundle = bundle;
    this.#uploadPack = new UploadPack(workspace.environment);
    const app = this.apiApp(undefined);
    this.api = new ApiClient(async (request) => await app.fetch(request));
  }

  /** The public API. @param token that protected routes ask for; undefined where the caller is this process. */
  apiApp(token: string | undefined): Hono {
    const { store, noteRun, checksOf, version } = this.#options;
    const changeOf = async (run: string, signal: AbortSignal) => await this.#change(run, signal);
    const routes = apiRoutes({ ...this.stores, store, noteRun, checksOf, changeOf, now: () => new Date() });
    return apiApp({ routes, token, version });
  }

  /** Opens the door for runners of this machine. */
  async listen(): Promise<void> {
    const app = runnerApi({
      ...this.stores,
      uploadPack: this.#uploadPack,
      tokens: this.#tokens,
      assign: async (attempt) => await this.#assign(attempt),
      sourceOf: async (attempt) => await this.#sourceOf(attempt),
      now: () => new Date(),
    });
    const server = await this.#listenForRunners(app);
    const { variables } = this.#workspace.environment;
    const directory = this.#options.attemptsDir;
    this.#executors.set("host", new HostExecutor({ directory, node: process.execPath, bundle: this.#bundle, server, variables }));
  }

  async #listenForRunners(app: ReturnType<typeof runnerApi>): Promise<string> {
    const file = this.#options.runnerPortFile;
    const before = file === undefined ? 0 : Number(await readFile(file, "utf8").catch(() => "0"));
    const hostname = "127.0.0.1";
    const origin = await this.#runners.listen(app, { hostname, port: before }).catch(async (error: unknown) => {
      // Somebody took it meanwhile: the runners of before are lost, those of now are not.
      if (before !== 0 && error instanceof SeatrialError && error.code === "conflict")
        return await this.#runners.listen(app, { hostname, port: 0 });
      throw error;
    });
    if (file !== undefined) await writeFileWhole(file, new URL(origin).port);
    return origin;
  }

  /** Attempts of which something is left on a host. */
  async attemptsOnHosts(): Promise<string[]> {
    return (await Promise.all([...this.#executors.values()].map(async (executor) => await executor.list()))).flat();
  }

  async removeAttempt(attempt: string): Promise<void> {
    for (const executor of this.#executors.values()) await executor.remove(attempt);
  }

  /**
   * Runs the controllers until `stop` is aborted or leadership is lost. One call at a time.
   * @param report where checks are shown, and what their links begin with; without it nowhere.
   */
  async lead(leadership: Leadership, stop: AbortSignal, report?: ReportOptions): Promise<void> {
    const { store, policy } = this.#options;
    this.#controllers = new Controllers({
      workspace: this.#workspace,
      store,
      stores: this.stores,
      tokens: this.#tokens,
      policy,
      executor: (name) => this.#executorNamed(name),
      onChanged: (run) => this.#changed(run),
      report,
      leadership,
    });
    await this.#controllers.run(stop);
  }

  /** Waits until the controllers of this process have seen all that there is. Only after {@link lead} was called. */
  async synced(): Promise<void> {
    await this.#controllers?.synced();
  }

  /** Waits until nothing of what has ended is left outside, but for clusters that are held. */
  async settled(): Promise<void> {
    const isSettled = () => (this.#controllers?.isSettled() === false ? undefined : true);
    await waitFor("what the jobs left to be removed", isSettled, { timeoutMs: limits.clusterReadyMs, pollMs: 10 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#runners.close();
    await this.#uploadPack.close();
    await Promise.all([this.stores.logs.shutdown(), this.stores.history.close()]);
  }

  #executorNamed(name: Executor["name"]): Executor {
    const executor = this.#executors.get(name);
    if (!executor) throw new SeatrialError("internal", `there is no executor ${name}`);
    return executor;
  }

  async #assign(attempt: AttemptRecord): Promise<AssignmentMessage> {
    const { store, policy } = this.#options;
    const { jobRun, run } = await this.#resourcesOf(attempt);
    const { spec } = jobRun;
    const { eventDigest, commit, ref } = run.spec.source;
    const [event, vars, secrets] = await Promise.all([this.#eventOf(eventDigest), policy.varsOf(run), policy.secretsOf(run)]);
    const clusters = await Promise.all(
      (spec.clusters ?? []).map(async ({ name }, index) => {
        const status = (await store.get(clusterKind, clusterName(attempt.uid, index)))?.status;
        if (status?.kubeconfig === undefined) throw new SeatrialError("conflict", `cluster ${name} of ${spec.name} is gone`);
        const { host, hostFromClusterNetwork } = status.localRegistryHosting ?? {};
        return {
          name,
          // The runner reads JSON alone.
          kubeconfig: JSON.stringify(parse(await readFile(status.kubeconfig, "utf8"))),
          ...(host === undefined ? {} : { registry: host }),
          ...(hostFromClusterNetwork === undefined ? {} : { registryInCluster: hostFromClusterNetwork }),
        };
      }),
    );
    const contexts = {
      github: { ...githubContext(run, event, policy.serverUrlOf(run)), job: spec.job },
      needs: parsed(spec.needsContext),
      strategy: parsed(spec.strategyContext),
      matrix: parsed(spec.cell),
      vars,
      inputs: {},
    } as AssignmentMessage["contexts"];
    const from = policy.repositoryOf(run);
    return {
      attempt: attempt.uid,
      steps: spec.steps,
      env: spec.env ?? {},
      outputs: spec.outputs ?? {},
      timeoutMinutes: spec.timeoutMinutes ?? limits.jobMinutes,
      contexts,
      secrets,
      masks: [],
      checkout: { sha: commit, ref, ...(from === undefined ? {} : { from }) },
      clusters,
    };
  }

  async #sourceOf(attempt: AttemptRecord): Promise<{ folder: string; commit: string } | undefined> {
    const { run } = await this.#resourcesOf(attempt);
    const folder = this.#options.policy.repositoryOf(run);
    return folder === undefined ? undefined : { folder, commit: run.spec.source.commit };
  }

  async #resourcesOf(attempt: AttemptRecord): Promise<{ jobRun: Stored<JobRun>; run: Stored<Run> }> {
    const { store } = this.#options;
    const jobRun = await store.get(jobRunKind, attempt.jobRun.name);
    const run = jobRun && (await store.get(runKind, jobRun.spec.run));
    if (!run) throw new SeatrialError("not-found", `the job run of attempt ${attempt.uid} is gone`);
    return { jobRun, run };
  }

  async #eventOf(digest: string | undefined): Promise<Json> {
    const text = digest === undefined ? undefined : await this.stores.history.documents.get(digest);
    return text === undefined ? {} : (JSON.parse(text) as Json);
  }

  #changed(run: string): void {
    this.#changes.get(run)?.resolve();
    this.#changes.delete(run);
  }

  /** Resolves with the next change of a run, or after a while: another process may have changed it. */
  async #change(run: string, signal: AbortSignal): Promise<void> {
    let change = this.#changes.get(run);
    if (!change) this.#changes.set(run, (change = Promise.withResolvers<void>()));
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, limits.streamPollMs);
    signal.addEventListener("abort", () => resolve(), { once: true });
    await Promise.race([change.promise, over]);
    clearTimeout(timer);
  }
}

function parsed(text: string | undefined): Json {
  return text === undefined ? null : (JSON.parse(text) as Json);
}

/** The key that tokens of runners are made from; made once for a data folder. */
async function runnerKey(dataDir: string): Promise<Buffer> {
  const path = join(dataDir, "runner-key");
  const text = await readFile(path, "utf8").catch(() => "");
  if (text !== "") return Buffer.from(text.trim(), "base64");
  const key = randomBytes(32);
  await writeFileWhole(path, `${key.toString("base64")}\n`);
  return key;
}

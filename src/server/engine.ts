/**
 * What runs workflows: the stores, the API, the listener for runners, and the controllers of whoever leads. A server has one over
 * its API server; a one-shot `run` has one over memory, in its own process. Both write the same history.
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { Hono } from "hono";
import { parse } from "yaml";
import { SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import { FolderStore } from "../artifacts/folder.ts";
import { secretsInKubeconfig } from "../clusters/kubeconfig.ts";
import { writeFileWhole } from "../process/whole-file.ts";
import { clusterName } from "../controllers/job-run/reconcile.ts";
import type { Leadership } from "../controllers/runtime/epochs.ts";
import { githubContext, workflowOfJob } from "../controllers/run/github-context.ts";
import type { Workspace } from "../controllers/workspace.ts";
import { UploadPack } from "../git/upload-pack.ts";
import type { AttemptRecord } from "../history/attempts.ts";
import { openHistory } from "../history/history.ts";
import type { Store } from "../kube/store.ts";
import { openLogStore } from "../logs/log-store.ts";
import { ToolVersions } from "../programs/tool-versions.ts";
import { type JobRun, jobRunKind } from "../resources/job-run.ts";
import { clusterKind } from "../resources/kinds.ts";
import { repositoryFor } from "../controllers/repository/repositories.ts";
import type { Stored } from "../resources/object.ts";
import { type Run, runKind } from "../resources/run.ts";
import { runnerBundle } from "../runner/bundle.ts";
import type { Executor } from "../runner/executors/executor.ts";
import type { AssignmentMessage } from "../runner/protocol.ts";
import { passSecrets } from "../workflows/plan/calls.ts";
import type { Json } from "../workflows/expressions/expressions.ts";
import type { ActionsLock } from "../workflows/actions/actions-lock.ts";
import { pinOf, type RepositoryUses } from "../workflows/actions/uses.ts";
import { type ActionMirror, type ActionPlace, ActionStore, type FoundCommit } from "./runners/action-store.ts";
import { ApiClient } from "./api/client.ts";
import { apiApp } from "./api/app.ts";
import { AttemptMasks } from "./runners/attempt-masks.ts";
import { type ApiOptions, apiRoutes } from "./api/routes.ts";
import { uploadsFor } from "./runners/brought-uploads.ts";
import { clusterFacts } from "./runners/cluster-facts.ts";
import { dialCluster } from "./cluster-tunnel.ts";
import { ContainerDesk } from "./runners/container-desk.ts";
import { Controllers, type ReportOptions } from "./controllers.ts";
import type { DiskBudget } from "./disk.ts";
import type { Hosts } from "./hosts.ts";
import { HttpListener } from "./http-listener.ts";
import { downloadsArtifacts, type LockInput, LockWriter, noteAction } from "./runners/lock-writer.ts";
import type { ControllerCounts } from "./metrics.ts";
import type { Policy } from "./policy.ts";
import { jobPath } from "./pages/runs.ts";
import { RunChanges } from "./run-changes.ts";
import { runnerApi, RunnerTokens } from "./runners/runner-api.ts";
import { broughtCaches } from "./runners/brought-uploads.ts";
import { cachePlaceOf, type StoragePlace } from "./runners/runner-storage.ts";
import type { SettleStores } from "./runners/settle.ts";
import { defaultWaits, type Waits } from "./waits.ts";

export interface EngineOptions {
  store: Store;
  policy: Policy;
  /** Closed by the engine. */
  hosts: Hosts;
  /** Of the data folder. Default: no bound. */
  disk?: DiskBudget | undefined;
  /** Default: {@link defaultWaits}. */
  waits?: Waits | undefined;
  version: string;
  /** Holds a folder for each attempt of executor host. */
  attemptsDir: string;
  /** File that keeps the port of the door for runners: those that run now must find it again after a restart. Default: any port. */
  runnerPortFile?: string | undefined;
  checksOf?: ApiOptions["checksOf"];
  /** Where the actions of steps are. Default: nowhere. */
  actions?: ActionsFrom | undefined;
  /** Called with the name of a run before it is made. */
  noteRun?: ((name: string) => Promise<void>) | undefined;
  /** Executors in place of ours of the same name: benchmarks measure the server without its runners. */
  executors?: MakeExecutors | undefined;
}

export interface ActionsFrom {
  mirrors: readonly ActionMirror[];
  /** Where a repository is beside them. */
  placesOf?(run: Stored<Run>, repository: string): Promise<readonly ActionPlace[]>;
  /** Default: the lock file of the run's tree. */
  lock?: ActionsLock | undefined;
}

/** @param given what executors need: the stores, and the origin of the door for runners. */
export type MakeExecutors = (given: { stores: SettleStores; server: string }) => Iterable<Executor>;

export async function openEngine(workspace: Workspace, options: EngineOptions): Promise<Engine> {
  const { dataDir, cacheDir } = workspace.environment;
  makeFolder(dataDir, 0o700);
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
  readonly #masks: AttemptMasks;
  readonly #bundle: string;
  readonly #uploadPack: UploadPack;
  readonly #lockWriter: LockWriter;
  readonly #actions: ActionStore;
  /** Those that take the place of ours. */
  readonly #executors = new Map<Executor["name"], Executor>();
  readonly #changes = new RunChanges();
  readonly #runners = new HttpListener();
  #controllers: Controllers | undefined;
  #isLeading = false;
  /** Where people reach the pages; empty where nobody does. */
  #origin = "";

  constructor(workspace: Workspace, options: EngineOptions, stores: SettleStores, tokens: RunnerTokens, bundle: string) {
    this.stores = stores;
    this.#workspace = workspace;
    this.#options = options;
    this.#tokens = tokens;
    this.#masks = new AttemptMasks(stores.objects, (attempt) => tokens.keyOfMasks(attempt));
    this.#bundle = bundle;
    this.#uploadPack = new UploadPack(workspace.environment);
    this.#actions = new ActionStore({
      environment: workspace.environment,
      mirrors: options.actions?.mirrors ?? [],
      now: () => new Date(),
    });
    this.#lockWriter = new LockWriter(workspace.environment, stores.history.locks, new ToolVersions(workspace.environment));
    const app = this.apiApp(undefined);
    this.api = new ApiClient(async (request) => await app.fetch(request));
  }

  /**
   * The public API.
   * @param token that protected routes ask for; undefined where the caller is this process.
   * @param more what only a server has.
   */
  apiApp(token: string | undefined, more: Pick<ApiOptions, "secrets" | "repositoryId" | "onReplay" | "dispatches"> = {}): Hono {
    const { store, noteRun, checksOf, version, policy } = this.#options;
    const changeOf = async (run: string, signal: AbortSignal) => await this.#changes.next(run, signal);
    const source = { repositoryOf: (run: Stored<Run>) => policy.repositoryOf(run), uploadPack: this.#uploadPack };
    const routes = apiRoutes({
      ...this.stores,
      ...more,
      store,
      noteRun,
      checksOf,
      changeOf,
      rules: policy.rules,
      now: () => new Date(),
      ...source,
    });
    return apiApp({ routes, token, version });
  }

  /** Opens the door for runners of this machine. */
  async listen(): Promise<void> {
    const app = runnerApi({
      ...this.stores,
      uploadPack: this.#uploadPack,
      tokens: this.#tokens,
      masks: this.#masks,
      assign: async (attempt) => await this.#assign(attempt),
      sourceOf: async (attempt) => await this.#sourceOf(attempt),
      actions: { actions: this.#actions, actionOf: async (attempt, uses) => await this.#actionOf(attempt, uses) },
      placeOf: async (attempt) => await this.#placeOf(attempt),
      containers: new ContainerDesk({
        store: this.#options.store,
        executorOf: ({ executor, host, endpoint }) =>
          this.#executors.get(executor) ?? this.#options.hosts.executor(executor, { host, endpoint }),
        servesTrusted: ({ host, endpoint }) => this.#options.hosts.servesTrusted({ host, endpoint }),
      }),
      whyNoUploads: () => this.#options.disk?.whyNoUploads,
      now: () => new Date(),
    });
    const server = await this.#listenForRunners(app);
    this.#options.hosts.open({ server, bundle: this.#bundle, attemptsDir: this.#options.attemptsDir });
    for (const executor of this.#options.executors?.({ stores: this.stores, server }) ?? []) this.#executors.set(executor.name, executor);
  }

  async #listenForRunners(app: ReturnType<typeof runnerApi>): Promise<string> {
    const file = this.#options.runnerPortFile;
    const before = file === undefined ? 0 : Number(await readFile(file, "utf8").catch(() => "0"));
    const hostname = "127.0.0.1";
    this.#runners.onUpgrade(async (url, authorization) => await this.#dialCluster(url, authorization));
    const listen = async (port: number) => await this.#runners.listen(app, { hostname, port });
    const again = async () =>
      await listen(before).catch((error: unknown) => {
        if (error instanceof SeatrialError && error.code === "conflict") return undefined;
        throw error;
      });
    // A connection of somebody's may have taken it meanwhile, and goes. When it stays, the runners of before are lost, those of now are not.
    const origin =
      (before === 0
        ? undefined
        : await waitFor("the runners' port", again, { timeoutMs: limits.runnerPortMs, pollMs: 100 }).catch(() => undefined)) ??
      (await listen(0));
    if (file !== undefined) await writeFileWhole(file, new URL(origin).port);
    return origin;
  }

  /** Attempts of which something is left on a host. */
  async attemptsOnHosts(signal: AbortSignal): Promise<string[]> {
    // A host that does not answer now is asked again the next time.
    const lists = await Promise.all(this.#allExecutors().map(async (executor) => await executor.list(signal).catch(() => [])));
    return lists.flat();
  }

  async removeAttempt(attempt: string, signal: AbortSignal): Promise<void> {
    for (const executor of this.#allExecutors()) await executor.remove(attempt, signal);
  }

  /** As {@link ActionStore.maintain}. */
  async maintainActions(signal: AbortSignal, tell: (line: string) => void): Promise<void> {
    await this.#actions.maintain(signal, tell);
  }

  /**
   * Runs the controllers until `stop` is aborted or leadership is lost. One call at a time.
   * @param report where checks are shown, and what their links begin with; without it nowhere.
   */
  async lead(leadership: Leadership, stop: AbortSignal, report?: ReportOptions): Promise<void> {
    const { store, policy } = this.#options;
    this.#origin = report?.origin ?? "";
    this.#controllers = new Controllers({
      workspace: this.#workspace,
      store,
      stores: this.stores,
      tokens: this.#tokens,
      masks: this.#masks,
      policy,
      executor: (name, place) => this.#executors.get(name) ?? this.#options.hosts.executor(name, place),
      hosts: this.#options.hosts,
      disk: this.#options.disk,
      waits: this.#options.waits ?? defaultWaits,
      onChanged: (run) => this.#changes.tell(run),
      report,
      leadership,
    });
    this.#isLeading = true;
    try {
      await this.#controllers.run(stop);
    } finally {
      this.#isLeading = false;
    }
  }

  /** Of the controllers that run; undefined when none do. */
  counts(): ControllerCounts | undefined {
    return this.#isLeading ? this.#controllers?.counts() : undefined;
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
    await this.#options.hosts[Symbol.asyncDispose]();
    await this.#runners.close();
    await this.#uploadPack.close();
    await this.#actions[Symbol.asyncDispose]();
    await Promise.all([this.stores.logs.shutdown(), this.stores.history.close()]);
  }

  #allExecutors(): Executor[] {
    return [...this.#executors.values(), ...this.#options.hosts.executors().filter(({ name }) => !this.#executors.has(name))];
  }

  /** One connection to the API of a cluster of an attempt that runs. */
  async #dialCluster(url: string, authorization: string): Promise<Duplex | undefined> {
    const [, attempt = "", name = ""] = /^\/runner\/v1\/attempts\/([^/]+)\/clusters\/([^/]+)$/.exec(url) ?? [];
    const record = this.#tokens.isRight(attempt, /^Bearer (\S+)$/.exec(authorization)?.[1] ?? "")
      ? await this.stores.history.attempts.get(attempt)
      : undefined;
    if (!record || record.result) return undefined;
    const { jobRun } = await this.#resourcesOf(record);
    const index = (jobRun.spec.clusters ?? []).findIndex((cluster) => cluster.name === decodeURIComponent(name));
    const status = index < 0 ? undefined : (await this.#options.store.get(clusterKind, clusterName(attempt, index)))?.status;
    return status?.kubeconfig === undefined ? undefined : await dialCluster(status.kubeconfig);
  }

  async #assign(attempt: AttemptRecord): Promise<AssignmentMessage> {
    const { policy, store } = this.#options;
    const { jobRun, run } = await this.#resourcesOf(attempt);
    const { spec } = jobRun;
    const { eventDigest, commit, ref } = run.spec.source;
    const [event, vars, secrets] = await Promise.all([
      this.#eventOf(eventDigest),
      repositoryFor(store, run.spec.source).then(async (repository) => await policy.varsOf(run, repository)),
      policy.secretsOf(run),
    ]);
    const token = this.#tokens.ofSteps(attempt.uid);
    const github = { ...githubContext(run, event, policy.surroundingsOf(run)), job: spec.job.slice(spec.job.lastIndexOf("/") + 1), token };
    const passed = passSecrets({ ...secrets, GITHUB_TOKEN: token }, spec.secrets ?? [], { github, vars });
    const clusters = await Promise.all(
      (spec.clusters ?? []).map(async ({ name }, index) => await this.#accessOf(attempt, name, clusterName(attempt.uid, index))),
    );
    const contexts = {
      github,
      needs: parsed(spec.needsContext),
      strategy: parsed(spec.strategyContext),
      matrix: parsed(spec.cell),
      vars,
      job: workflowOfJob(run, spec.workflowPath),
      inputs: parsed(spec.inputsContext ?? run.spec.inputs) ?? {},
    } as AssignmentMessage["contexts"];
    const folder = policy.repositoryOf(run);
    const isHere = attempt.executor === "host";
    await this.#lock({ run, jobRun, attempt, folder, vars, secrets: Object.keys(secrets) });
    const from = folder === undefined || isHere ? folder : `server:/runner/v1/attempts/${attempt.uid}/git`;
    return {
      attempt: attempt.uid,
      steps: spec.steps,
      env: spec.env ?? {},
      outputs: spec.outputs ?? {},
      timeoutMinutes: spec.timeoutMinutes ?? limits.jobMinutes,
      ...(spec.container && { container: spec.container }),
      ...(spec.services && { services: spec.services }),
      contexts,
      secrets: { ...passed, GITHUB_TOKEN: token },
      ...(spec.notices && { notices: spec.notices }),
      masks: clusters.flatMap(({ kubeconfig }) => secretsInKubeconfig(kubeconfig)),
      checkout: { sha: commit, ref, ...(from === undefined ? {} : { from }) },
      clusters,
    };
  }

  /** Writes down what the attempt was given. */
  async #lock(given: Omit<LockInput, "artifacts" | "clusters" | "container" | "version">): Promise<void> {
    const { hosts, version } = this.#options;
    const { attempt, jobRun, run } = given;
    const place = { uid: run.metadata.uid, reproduces: run.spec.reproduces };
    const uploads = downloadsArtifacts(jobRun.spec) ? await uploadsFor(this.stores.history, place) : [];
    const artifacts = Object.fromEntries(uploads.map(({ name, digest }) => [name, digest]));
    const facts = (jobRun.spec.clusters ?? []).map(async ({ spec }, index) => {
      return await clusterFacts(this.#workspace, clusterName(attempt.uid, index), spec.provider);
    });
    const there = attempt.executor === "docker" ? hosts.containersAt(attempt) : undefined;
    const container = there && { ...there, image: jobRun.spec.runsOn.image ?? there.image };
    await this.#lockWriter.write({ ...given, artifacts, clusters: await Promise.all(facts), container, version });
  }

  /** A cluster as the job reaches it: from this machine, or from a container beside the nodes, or through the server. */
  async #accessOf({ executor }: AttemptRecord, name: string, resource: string): Promise<AssignmentMessage["clusters"][number]> {
    const status = (await this.#options.store.get(clusterKind, resource))?.status;
    if (status?.kubeconfig === undefined) throw new SeatrialError("conflict", `cluster ${name} is gone`);
    const { host, hostFromClusterNetwork: inside } = status.localRegistryHosting ?? {};
    const isHere = executor === "host";
    const record = isHere ? undefined : await this.#workspace.records.read(resource);
    const way = record && (await this.#options.hosts.insideOf(record));
    const text = await readFile(status.kubeconfig, "utf8");
    const registry = isHere ? host : inside;
    return {
      name,
      // The runner reads JSON alone.
      kubeconfig: JSON.stringify(parse(way ? text.replace(/server: .*/, `server: ${way.server}`) : text)),
      ...(isHere || way ? {} : { isBehindServer: true }),
      ...(registry === undefined ? {} : { registry }),
      ...(inside === undefined ? {} : { registryInCluster: inside }),
    };
  }

  async #sourceOf(attempt: AttemptRecord): Promise<{ folder: string; commit: string } | undefined> {
    const { run } = await this.#resourcesOf(attempt);
    const folder = this.#options.policy.repositoryOf(run);
    return folder === undefined ? undefined : { folder, commit: run.spec.source.commit };
  }

  /** An action that the attempt uses; its commit is written down. */
  async #actionOf(attempt: AttemptRecord, uses: RepositoryUses): Promise<FoundCommit> {
    const { run } = await this.#resourcesOf(attempt);
    const { policy, actions } = this.#options;
    const lock = actions?.lock ?? (await this.#actions.lockOf(policy.repositoryOf(run), run.spec.source.commit));
    const found = await this.#actions.find(uses, lock, async () => (await actions?.placesOf?.(run, uses.repository)) ?? []);
    await noteAction(this.stores.history.locks, attempt.uid, pinOf(uses), found.commit);
    return found;
  }

  /**
   * The text of a workflow of another repository, which one of a commit calls: found as actions are.
   * @param more where it is looked for behind the mirrors. @throws SeatrialError that says why it cannot be had.
   */
  async calledWorkflow(
    text: string,
    by: { folder: string; commit: string },
    more: (repository: string) => Promise<readonly ActionPlace[]>,
  ): Promise<string> {
    const lock = this.#options.actions?.lock ?? (await this.#actions.lockOf(by.folder, by.commit));
    return await this.#actions.readWorkflow(text, lock, more);
  }

  /** Whose its named artifacts and caches are. */
  async #placeOf(attempt: AttemptRecord): Promise<StoragePlace> {
    const { jobRun, run } = await this.#resourcesOf(attempt);
    const event = await this.#eventOf(run.spec.source.eventDigest);
    return {
      owner: { run: run.metadata.uid, runAttempt: jobRun.spec.attempt ?? 1, jobRun: jobRun.metadata.name },
      caches: run.spec.reproduces === undefined ? cachePlaceOf(run, event) : broughtCaches(run.spec.reproduces),
      reproduces: run.spec.reproduces,
      page: this.#origin === "" ? "" : `${this.#origin}${jobPath(jobRun.metadata.name)}`,
    };
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

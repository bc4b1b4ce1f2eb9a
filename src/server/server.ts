/**
 * The server: the control plane, the engine over it, the doors for people, forges and runners, and who leads. One for a data folder.
 *
 * Order of events: the lock of the data folder; etcd and kube-apiserver (or somebody's cluster); our kinds; the stores; the doors;
 * then, for as long as this server leads, the controllers, the trigger and the forges that must be watched.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { Hono } from "hono";
import type { Environment } from "../base/environment.ts";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { pause, waitFor } from "../base/wait.ts";
import { writeFileWhole } from "../process/whole-file.ts";
import { Repositories } from "../controllers/repository/repositories.ts";
import { isReported } from "../controllers/report/report.ts";
import { realClock } from "../controllers/runtime/clock.ts";
import { type Leadership, withEpoch } from "../controllers/runtime/epochs.ts";
import { apiLease, runAsLeader } from "../controllers/runtime/lease.ts";
import { Schedules } from "../controllers/schedule/schedules.ts";
import { Dispatcher } from "../controllers/trigger/dispatch.ts";
import { Trigger, type TriggerOptions } from "../controllers/trigger/trigger.ts";
import type { Workspace } from "../controllers/workspace.ts";
import { EmbeddedControlPlane, embeddedEtcdSocket } from "../controlplane/embedded.ts";
import { Etcd } from "../controlplane/etcd.ts";
import type { Forge } from "../forges/forge.ts";
import { LocalForge } from "../forges/local/local.ts";
import { Mirrors } from "../git/mirrors.ts";
import { ApiServerStore } from "../kube/api-server.ts";
import { KubeClient, parseKubeconfig } from "../kube/client.ts";
import { installCrds } from "../kube/install-crds.ts";
import type { Store } from "../kube/store.ts";
import { currentProcess, formatIdentity } from "../process/identity.ts";
import { tryLock } from "../process/lock.ts";
import type { Programs } from "../programs/programs.ts";
import { allKinds } from "../resources/kinds.ts";
import type { Stored } from "../resources/object.ts";
import type { Run } from "../resources/run.ts";
import type { RunsOnRule } from "../workflows/runs-on.ts";
import { openSecrets } from "../secrets/file.ts";
import { keyAt, type KeyPlaces } from "../secrets/key.ts";
import type { SecretStore } from "../secrets/store.ts";
import type { ConfiguredForge, ReadConfig } from "./config.ts";
import { type Engine, type EngineOptions, openEngine } from "./engine.ts";
import { type ActionMirror, defaultMirrors, placesAt } from "./runners/action-store.ts";
import { DiskBudget, defaultDiskBounds, type DiskBounds } from "./disk.ts";
import { healthApp } from "./health.ts";
import { defaultRetention, type RetentionTimes } from "./retention.ts";
import { declaredHosts, Hosts, type HostsOptions } from "./hosts.ts";
import { HttpListener } from "./http-listener.ts";
import { Inbox } from "./inbox.ts";
import { claimNamespace } from "./installation.ts";
import { ApiWrites, EventLoopDelay, metricsText } from "./metrics.ts";
import { MirrorUpkeep } from "./mirror-upkeep.ts";
import { ownNamesOnly } from "./names.ts";
import { pagesApp } from "./pages/app.ts";
import { prowFilesApp } from "./prow-files.ts";
import { runsOnBy } from "./runs-on.ts";
import { apiTokenPath, readServerFile, type ServerFile, serverFilePath } from "./server-file.ts";
import { Upkeep } from "./upkeep.ts";

export interface ServerOptions {
  programs: Programs;
  /** Where people reach it. */
  listen: { hostname: string; port: number };
  /** Repositories on this machine's disk. */
  repositories: readonly string[];
  /** Further forges. */
  forges: readonly ConfiguredForge[];
  /** What links of checks and comments begin with. Default: where it listens. */
  publicUrl?: string | undefined;
  /** A cluster that keeps the resources, instead of a control plane of our own. */
  kubeconfig?: string | undefined;
  version: string;
  signal: AbortSignal;
  /** Which executor jobs of the trusted lane get. Default: `auto`, docker where a Docker host answers, else host. */
  executor?: HostsOptions["executor"] | undefined;
  /** How long what is kept. Default: {@link defaultRetention}. */
  retention?: RetentionTimes | undefined;
  /** What is to stay free on the data folder's disk. Default: {@link defaultDiskBounds}. */
  disk?: DiskBounds | undefined;
  /** As {@link EngineOptions.waits} has it. */
  waits?: EngineOptions["waits"];
  /** What labels of one's own mean. Default: nothing. */
  rules?: readonly RunsOnRule[] | undefined;
  /** Where the actions of steps are, before the run's own forge. Default: {@link defaultMirrors}. */
  actionMirrors?: readonly ActionMirror[] | undefined;
  /** Where the key of the secret store is. Default: in the data folder. */
  secretKeys?: ReadConfig["secretKeys"];
  /** Called once it can be used. */
  onReady(server: ServerFile): void;
  /** As {@link EngineOptions.executors} has it. */
  executors?: EngineOptions["executors"];
}

/**
 * Runs until the signal is aborted.
 * @throws SeatrialError `already-exists` when a server runs on this data folder; its address is in the message.
 */
export async function runServer(workspace: Workspace, options: ServerOptions): Promise<void> {
  // Buffers of a flood of log count with the heap: else V8 looks through all of the heap for each 5 MB of log, twice the log's own work.
  setFlagsFromString("--external-memory-accounted-in-global-limit");
  const { environment, output } = workspace;
  const { dataDir } = environment;
  makeFolder(dataDir, 0o700);
  using lock = tryLock(join(dataDir, "server.lock"));
  if (!lock) throw await alreadyRuns(environment);
  const { signal, rules = [] } = options;
  const instance = await workspace.instance();
  const onTrouble = (error: unknown) => output.err(`control plane: ${messageOf(error)}`);
  await using embedded =
    options.kubeconfig === undefined
      ? await EmbeddedControlPlane.start({ programs: options.programs, environment, instance, signal, onTrouble })
      : undefined;
  const kubeconfig = options.kubeconfig ?? embedded!.kubeconfig;
  await using client = new KubeClient(parseKubeconfig(await readFile(kubeconfig, "utf8"), kubeconfig));
  await untilReady(client, signal);
  await using etcd = embedded && new Etcd(await embeddedEtcdSocket(environment, instance));
  await etcd?.maintain(signal); // One that is full takes no writes, and the next are ours.
  await using _etcdWatch = etcd?.watch((line) => output.err(line));
  await installCrds(client, allKinds, { signal });
  const writes = new ApiWrites();
  const store = writes.counted(new ApiServerStore(client));
  await claimNamespace(client, store.namespace, instance, signal);
  const now = () => new Date();
  const disk = new DiskBudget({ path: dataDir, ...(options.disk ?? defaultDiskBounds), tell: (line) => output.err(line) });
  await disk.look();
  await using _watch = disk.watch();
  using delay = new EventLoopDelay();
  await using mirrors = new Mirrors({ environment, folder: join(dataDir, "mirrors"), now });
  const local = await LocalForge.open({
    name: "local",
    environment,
    repositories: options.repositories,
    folder: join(dataDir, "local-forge"),
    user: { id: "local", login: "local" },
    now,
  });
  const forges = new Map<string, Forge>([local, ...options.forges.map(({ forge }) => forge)].map((forge) => [forge.name, forge]));
  const { retention = defaultRetention } = options;
  const secrets = await openServerSecrets(environment, options, client, store.namespace);
  const ownershipOf = (attempt: string) => ({ instance, owner: { attempt }, notAfter: new Date(Date.now() + limits.jobClusterMs) });
  const hosts = new Hosts({
    workspace,
    declared: async () => await declaredHosts(store),
    executor: options.executor ?? "auto",
    ownershipOf,
    doorKey: "server",
    kubectl: async (inTime) => (await options.programs.find({ name: "kubectl" }, inTime)).path,
  });
  await using engine = await openEngine(workspace, {
    store,
    policy: {
      varsOf: async ({ spec: { source } }, repository) =>
        await Promise.resolve((source.lane === "trusted" ? repository?.spec.vars : undefined) ?? {}),
      secretsOf: async ({ spec: { source } }) =>
        (await secrets.forJob({ forge: source.forge, repositoryId: source.repository.id }, source.lane, signal)).reveal(),
      surroundingsOf: ({ spec: { source } }) => ({ urls: forges.get(source.forge)?.urls, retentionDays: retention.logsDays }),
      rules,
      runsOn: runsOnBy(rules, hosts),
      repositoryOf: ({ spec: { source } }) => mirrors.of(source.forge, source.repository.id).folder,
      hosts: () => hosts.views(),
      fitsNowhereMs: limits.fitsNowhereMs,
      ownershipOf,
    },
    hosts,
    disk,
    waits: options.waits,
    checksOf: async ({ spec: { source } }) => {
      const sha = source.heads?.[0]?.sha ?? source.base.sha;
      return (await forges.get(source.forge)?.checks(source.repository.id, sha)) ?? [];
    },
    actions: {
      mirrors: options.actionMirrors ?? defaultMirrors,
      placesOf: async ({ spec: { source } }, repository) => await placesAt(forges.get(source.forge), source.repository, repository),
    },
    version: options.version,
    attemptsDir: join(dataDir, "attempts"),
    runnerPortFile: join(dataDir, "runner-port"),
    executors: options.executors,
  });
  const token = await apiToken(dataDir);
  const inbox = new Inbox({ history: engine.stores.history, forges, now });
  const doors = new Hono();
  doors.use(ownNamesOnly(options.listen.hostname, options.publicUrl));
  doors.route("/", inbox.app());
  const askControlPlane = async () => await client.text("/readyz", signal);
  const metrics = () => metricsText({ counts: engine.counts(), writes, delay, diskFreeBytes: disk.freeBytes });
  doors.route("/", healthApp({ history: engine.stores.history, disk, askControlPlane, metrics }));
  const triggerOf = (over: Store) => {
    const repositories = new Repositories({ store: over, now });
    const mirrorOf = (forge: string, id: string) => mirrors.of(forge, id);
    const called: TriggerOptions["called"] = async (uses, by) =>
      await engine.calledWorkflow(uses, by, async (repository) => await placesAt(by.forge, by.repository, repository));
    return new Trigger({ store: over, history: engine.stores.history, mirrorOf, repositories, rules, called, now });
  };
  const api = engine.apiApp(token, {
    dispatches: { forges, dispatcher: new Dispatcher(triggerOf(store)) },
    secrets,
    repositoryId: async (forge, name) => (await forges.get(forge)?.repositoryNamed(name))?.id,
    onReplay: () => inbox.replay(),
  });
  doors.all("/api/*", async (context) => await api.fetch(context.req.raw));
  doors.route("/", prowFilesApp({ ...engine.stores, origin: options.publicUrl }));
  const pages = pagesApp({
    ...engine.stores,
    jobView: async (name) => await engine.api.job(name),
    runView: async (name) => await engine.api.run(name),
  });
  doors.all("*", async (context) => await pages.fetch(context.req.raw));
  const listener = new HttpListener();
  try {
    const url = await listener.listen(doors, options.listen);
    const file: ServerFile = { url, owner: formatIdentity(currentProcess()), kubeconfig, startedAt: now().toISOString() };
    await writeFileWhole(serverFilePath(environment), `${JSON.stringify(file)}\n`);
    options.onReady(file);
    const lead = async (leadership: Leadership) =>
      await whileLeading(
        {
          engine,
          hosts,
          retention,
          mirrors,
          inbox,
          trigger: triggerOf(withEpoch(store, leadership)),
          local,
          forges,
          configured: options.forges,
          store,
          workspace,
          origin: options.publicUrl ?? url,
        },
        leadership,
        signal,
      );
    const onLeaseTrouble = (error: unknown) => output.err(`leader: ${messageOf(error)}`);
    const lease = apiLease(client, store.namespace);
    // Whoever held it for this installation has ended: we have the lock of its data folder.
    const isDead = (holder: string) => holder.startsWith(`${instance}/`);
    await runAsLeader(
      { lease, identity: `${instance}/${randomUUID()}`, clock: realClock, isDead, onTrouble: onLeaseTrouble },
      lead,
      signal,
    );
  } finally {
    await rm(serverFilePath(environment), { force: true });
    await listener.close();
    for (const forge of forges.values()) await forge[Symbol.asyncDispose]();
  }
}

interface Led {
  engine: Engine;
  hosts: Hosts;
  retention: RetentionTimes;
  mirrors: Mirrors;
  inbox: Inbox;
  trigger: Trigger;
  local: LocalForge;
  forges: ReadonlyMap<string, Forge>;
  configured: readonly ConfiguredForge[];
  store: Store;
  workspace: Workspace;
  origin: string;
}

/** All that one leader does; ends when leadership is lost or the server stops. */
async function whileLeading(led: Led, leadership: Leadership, stop: AbortSignal): Promise<void> {
  const { engine, hosts, inbox, trigger, local, forges, workspace, store } = led;
  const ends = AbortSignal.any([stop, leadership.lost]);
  const tell = (line: string) => workspace.output.err(line);
  const schedules = new Schedules({ store, history: engine.stores.history, forges, trigger, now: () => new Date(), tell });
  const watches = local.repositories().map(({ id }) => local.watch(id, () => inbox.wake()));
  const upkeep = new Upkeep({
    workspace,
    store,
    stores: engine.stores,
    attemptsOf: async (inTime) => await engine.attemptsOnHosts(inTime),
    removeAttempt: async (attempt, inTime) => await engine.removeAttempt(attempt, inTime),
    retention: led.retention,
    mirrors: new MirrorUpkeep({
      mirrors: led.mirrors,
      store,
      history: engine.stores.history,
      runsDays: led.retention.runsDays,
      now: () => new Date(),
      tell: (line) => tell(`upkeep: ${line}`),
    }),
    maintainActions: async (inTime) => await engine.maintainActions(inTime, (line) => tell(`upkeep: ${line}`)),
    isReported: async (run, jobRuns) => !forges.has(run.spec.source.forge) || (await isReported(engine.stores.history, run, jobRuns)),
  });
  try {
    await hosts.lookSoon(ends);
    await Promise.all([
      engine.lead(leadership, stop, { origin: led.origin, forgeOf: (run: Stored<Run>) => forges.get(run.spec.source.forge) }),
      inbox.work({ local, configured: led.configured, trigger }, ends, tell),
      schedules.work(ends),
      upkeep.work(ends),
      hosts.work(ends),
    ]);
  } finally {
    for (const watch of watches) watch[Symbol.dispose]();
  }
}

async function untilReady(client: KubeClient, signal: AbortSignal): Promise<void> {
  const isReady = async () =>
    await client.text("/readyz", signal).then(
      () => true,
      () => undefined,
    );
  await waitFor("the control plane to be ready", isReady, { timeoutMs: limits.clusterReadyMs, pollMs: limits.readyPollMs, signal });
}

async function alreadyRuns(environment: Environment): Promise<SeatrialError> {
  // It may have taken the lock just now, and not be ready.
  for (let waited = 0; waited < limits.clusterReadyMs; waited += limits.readyPollMs) {
    const file = await readServerFile(environment);
    if (file) return new SeatrialError("already-exists", `a server runs already: ${file.url}`);
    await pause(limits.readyPollMs);
  }
  return new SeatrialError("conflict", `another process holds ${environment.dataDir}, and is no server that can be reached`);
}

/** @throws SeatrialError when the key is not where the configuration says: no job would get its secrets. */
async function openServerSecrets(
  { dataDir, variables }: Environment,
  { secretKeys, signal }: Pick<ServerOptions, "secretKeys" | "signal">,
  client: KubeClient,
  namespace: string,
): Promise<SecretStore> {
  if (!secretKeys) return openSecrets(dataDir);
  const readSecret: KeyPlaces["readSecret"] = async (of, name, inTime) =>
    (await client.get<{ data?: Record<string, string> }>(`/api/v1/namespaces/${of}/secrets/${name}`, inTime))?.data;
  const places: KeyPlaces = { variables, namespace, readSecret };
  const key = keyAt(secretKeys.key, places);
  await key(signal);
  const oldKeys = secretKeys.oldKeys.map((place) => keyAt(place, places, true));
  if (oldKeys.length > 0) await openSecrets(dataDir, { key, oldKeys }).rotate(signal);
  return openSecrets(dataDir, { key, oldKeys: [] });
}

/** What protected routes ask for; made once for a data folder. */
async function apiToken(dataDir: string): Promise<string> {
  const path = apiTokenPath(dataDir);
  const text = (await readFile(path, "utf8").catch(() => "")).trim();
  if (text !== "") return text;
  const token = randomBytes(32).toString("base64url");
  await writeFileWhole(path, `${token}\n`);
  return token;
}

/**
 * The one-shot `run`, with no server, and what it leaves when it is killed: runners that have nobody to report to, and a history that says they run. Each has
 * a folder with its owner and the names of its runs; the next command that finds the owner dead ends the rest.
 */
import { randomUUID } from "node:crypto";
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Environment } from "../base/environment.ts";
import { systemCodeOf } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { FolderStore } from "../artifacts/folder.ts";
import { soleLeadership } from "../controllers/runtime/epochs.ts";
import type { Workspace } from "../controllers/workspace.ts";
import { openHistory } from "../history/history.ts";
import { MemoryStore } from "../kube/memory.ts";
import { openLogStore } from "../logs/log-store.ts";
import { jobRunKind } from "../resources/job-run.ts";
import { currentProcess, formatIdentity, lifeOf, parseIdentity } from "../process/identity.ts";
import { HostExecutor } from "../runner/executors/host.ts";
import type { ActionsLock } from "../workflows/actions/actions-lock.ts";
import type { RunsOnRule } from "../workflows/runs-on.ts";
import type { ActionMirror } from "./runners/action-store.ts";
import type { ApiClient } from "./api/client.ts";
import { masksObject } from "./runners/attempt-masks.ts";
import { bringCache, bringUpload, type BroughtCache, type BroughtFile } from "./runners/brought-uploads.ts";
import { openEngine } from "./engine.ts";
import { Hosts, type HostsOptions } from "./hosts.ts";
import { surroundingsHere } from "./retention.ts";
import { runsOnBy } from "./runs-on.ts";

/** One run, over memory: it lives as long as the command. */
export async function openOneShot(workspace: Workspace, options: OneShotOptions): Promise<OneShot> {
  const instance = await workspace.instance();
  let folder: string | undefined;
  options.folder.then(
    (path) => (folder = path),
    () => {}, // Whoever looks for it tells why there is none.
  );
  const place = await OneShotFolder.make(workspace.environment);
  const ownershipOf = () => ({ instance, owner: currentProcess(), notAfter: new Date(Date.now() + limits.throwawayMs) });
  const hosts = new Hosts({
    workspace,
    declared: async () => await Promise.resolve([]),
    executor: options.executor,
    ownershipOf,
    doorKey: place.directory,
    kubectl: options.kubectl,
  });
  const values = async (of: ReadonlyMap<string, string>) => await Promise.resolve(Object.fromEntries(of));
  const store = new MemoryStore({ now: () => new Date(), newUid: randomUUID });
  const engine = await openEngine(workspace, {
    store,
    policy: {
      varsOf: async () => await values(options.vars),
      secretsOf: async () => await values(options.secrets),
      surroundingsOf: () => surroundingsHere,
      rules: options.rules,
      runsOn: runsOnBy(options.rules, hosts),
      repositoryOf: () => folder,
      hosts: () => hosts.views(),
      fitsNowhereMs: 0, // Nobody declares another.
      ownershipOf,
    },
    hosts,
    actions: { mirrors: options.actionMirrors, lock: options.actionsLock },
    version: options.version,
    attemptsDir: place.attempts,
    noteRun: async (name) => await place.noteRun(name),
  });
  const abort = new AbortController();
  const mayNeedDocker =
    options.executor !== "host" || options.rules.some(({ executor, image }) => executor === "docker" || image !== undefined);
  if (mayNeedDocker) await hosts.lookSoon(abort.signal);
  const looking = mayNeedDocker ? hosts.work(abort.signal) : undefined;
  const leading = engine.lead(soleLeadership(), abort.signal);
  await engine.synced();
  return {
    api: engine.api,
    bring: async (lock, name, files) => await bringUpload(engine.stores, lock, name, files, new Date()),
    bringCaches: async (lock, caches) => {
      const now = Date.now();
      // Of two the later is the newer, however soon it is there.
      for (const [index, cache] of caches.entries()) await bringCache(engine.stores, lock, cache, new Date(now + index));
    },
    settled: async () => await engine.settled(),
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await leading;
      await looking;
      await keepHeld(workspace, store);
      await engine[Symbol.asyncDispose]();
      await place[Symbol.asyncDispose]();
    },
  };
}

/** Clusters that are held outlive the command: from now on they are a person's, until their time is up. */
async function keepHeld({ records }: Workspace, store: MemoryStore): Promise<void> {
  for (const { status } of (await store.list(jobRunKind)).items) {
    for (const { cluster } of status?.heldUntil === undefined ? [] : (status.clusters ?? [])) {
      using _lock = await records.lock(cluster);
      const record = await records.read(cluster);
      if (record) await records.write({ ...record, owner: "held", notAfter: status!.heldUntil! });
    }
  }
}

export interface OneShotOptions {
  /** The repository that jobs check out from, known before a run is made; undefined when they have none. */
  folder: Promise<string | undefined>;
  secrets: ReadonlyMap<string, string>;
  vars: ReadonlyMap<string, string>;
  version: string;
  /** What labels of one's own mean. */
  rules: readonly RunsOnRule[];
  /** Where the actions of steps are. */
  actionMirrors: readonly ActionMirror[];
  /** Commits of actions by `owner/repo@ref`. Default: those of the lock file in the tree. */
  actionsLock?: ActionsLock;
  /** Which executor jobs get. */
  executor: HostsOptions["executor"];
  /** As {@link HostsOptions.kubectl} has it. */
  kubectl: HostsOptions["kubectl"];
}

export interface OneShot extends AsyncDisposable {
  readonly api: ApiClient;
  /** Makes a named artifact of another run be there for jobs that reproduce a lock document. @param lock its digest. */
  bring(lock: string, name: string, files: readonly BroughtFile[]): Promise<void>;
  /** The same of caches, the oldest first: of several that begin alike the last is found. */
  bringCaches(lock: string, caches: readonly BroughtCache[]): Promise<void>;
  /** Waits until nothing of what has ended is left outside, but for clusters that are held. */
  settled(): Promise<void>;
}

class OneShotFolder implements AsyncDisposable {
  readonly directory: string;

  static async make(environment: Environment): Promise<OneShotFolder> {
    const all = folderOf(environment);
    makeFolder(all, 0o700);
    const folder = new OneShotFolder(await mkdtemp(join(all, "run-")));
    await writeFile(join(folder.directory, "owner"), formatIdentity(currentProcess()));
    return folder;
  }

  private constructor(directory: string) {
    this.directory = directory;
  }

  get attempts(): string {
    return attemptsIn(this.directory);
  }

  /** Before the run is made. */
  async noteRun(name: string): Promise<void> {
    await appendFile(join(this.directory, "runs"), `${name}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

export interface ReapedOneShots {
  /** Names of the runs that were ended. */
  runs: string[];
  /** Whether some of their jobs ran in containers, which are there yet: the reaper knows them by their owner. */
  hadContainers: boolean;
}

/** Ends the processes that killed commands left running, and writes down that they were ended. */
export async function reapOneShots(environment: Environment, now: Date): Promise<ReapedOneShots> {
  const all = folderOf(environment);
  const names = await readdir(all).catch((error: unknown) => {
    if (systemCodeOf(error) === "ENOENT") return [];
    throw error;
  });
  const reaped: ReapedOneShots = { runs: [], hadContainers: false };
  for (const name of names) {
    const directory = join(all, name);
    const owner = parseIdentity(await readFile(join(directory, "owner"), "utf8").catch(() => ""));
    // One without an owner is being made by a command, or was when that was killed: it has nothing yet.
    if (owner && lifeOf(owner) === "alive") continue;
    const executor = new HostExecutor({
      directory: attemptsIn(directory),
      node: "",
      bundle: "",
      server: "",
      variables: environment.variables,
    });
    for (const attempt of await executor.list()) await executor.remove(attempt);
    const runs = (await readFile(join(directory, "runs"), "utf8").catch(() => "")).split("\n").filter(Boolean);
    if (runs.length > 0 && (await writeDown(environment, runs, now)).includes("docker")) reaped.hadContainers = true;
    if (owner) await rm(directory, { recursive: true, force: true });
    reaped.runs.push(...runs);
  }
  return reaped;
}

/** Whatever of the runs has not ended in the history ends there as what became of it: its runner is gone. @returns its executors. */
async function writeDown({ dataDir }: Environment, runs: readonly string[], now: Date): Promise<string[]> {
  const executors: string[] = [];
  const settings = { sqlite: { directory: dataDir } };
  const history = await openHistory(settings);
  const objects = new FolderStore(join(dataDir, "objects"));
  const logs = await openLogStore({ settings, objects });
  try {
    const message = "the command that ran it was killed";
    for (const run of runs) {
      const found = await history.queries.run(run);
      for (const job of found?.jobs.items ?? []) {
        if (job.phase === "Finished") continue;
        for (const attempt of await history.queries.attemptsOf(job.uid)) {
          if (attempt.result) continue;
          executors.push(attempt.executor);
          await history.attempts.end(attempt.uid, { verdict: "error", cause: "lost-runner", message }, now);
          await logs.close(attempt.uid, now);
          await objects.delete(masksObject(attempt.uid));
        }
        await history.projection.markGone("JobRun", job.uid, now);
      }
      if (found) await history.projection.markGone("Run", found.summary.uid, now);
    }
    return executors;
  } finally {
    await logs.shutdown();
    await history.close();
  }
}

function folderOf({ dataDir }: Environment): string {
  return join(dataDir, "one-shot");
}

function attemptsIn(directory: string): string {
  return join(directory, "attempts");
}

/**
 * The hosts that jobs and their clusters are placed on: this machine, and whatever Docker hosts are declared. Each is asked again
 * and again whether it answers, and has its workspace (for clusters) and its executors (for runners).
 *
 * `local` is the Docker host that the server's environment names; executor `host`, a process of the server's own machine, is
 * there alone.
 */
import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { isDeepStrictEqual } from "node:util";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";
import type { ClusterRecord } from "../clusters/records.ts";
import type { HostView } from "../controllers/job-run/schedule.ts";
import type { OpenDocker, Workspace } from "../controllers/workspace.ts";
import type { Ownership } from "../docker/ownership.ts";
import type { Door } from "../hosts/docker-host.ts";
import { ApiError } from "../kube/api-error.ts";
import type { Store } from "../kube/store.ts";
import { hostKind, type HostSpec, type HostStatus } from "../resources/host.ts";
import type { ExecutorName } from "../resources/job-run.ts";
import { DockerExecutor } from "../runner/docker.ts";
import type { Executor } from "../runner/executor.ts";
import { HostExecutor } from "../runner/host.ts";
import { ensureRunnerImage } from "../runner/runner-image.ts";

/** The host that is always there. */
const localHost = "local";

export interface HostsOptions {
  workspace: Workspace;
  /** Hosts beside `local`, or what `local` shall be. */
  declared(): Promise<readonly DeclaredHost[]>;
  /** Which executor jobs of the trusted lane get. `auto`: docker where a host for them has it, else host. */
  executor: ExecutorName | "auto";
  ownershipOf(attempt: string): Ownership;
  /** What tells the doors of this process from those of others of the installation: the same after a restart of the same. */
  doorKey: string;
  /** Path of a kubectl for the runner's image; undefined when there is none to be had. */
  kubectl(): Promise<string | undefined>;
}

export interface DeclaredHost {
  name: string;
  spec: HostSpec;
  /** Writes down what became known of it. */
  tell?(status: HostStatus): Promise<void>;
}

/** What runners need to be started, and to find the server. */
export interface RunnerDoor {
  /** Its origin on this machine. */
  server: string;
  /** Path of the runner's bundle. */
  bundle: string;
  /** Holds a folder for each attempt of executor host. */
  attemptsDir: string;
}

export class Hosts implements AsyncDisposable {
  readonly #options: HostsOptions;
  readonly #hosts = new Map<string, PlaceOfJobs>();
  readonly #listeners = new Set<() => void>();
  #runners: RunnerDoor | undefined;
  #onHost: HostExecutor | undefined;
  #looking: Promise<void> | undefined;

  constructor(options: HostsOptions) {
    this.#options = options;
  }

  /** Before anything else: runners can come. `local` is there from now on, with executor host alone until it was asked. */
  open(runners: RunnerDoor): void {
    this.#hosts.set(localHost, this.#newPlace(localHost));
    this.#runners = runners;
    const { variables } = this.#options.workspace.environment;
    const { attemptsDir: directory, bundle, server } = runners;
    this.#onHost = new HostExecutor({ directory, node: process.execPath, bundle, server, variables });
  }

  /** Calls the listener when the views are others than before. @returns ends that. */
  onChanged(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  views(): HostView[] {
    return [...this.#hosts.values()].map((host) => host.view(host.name === localHost));
  }

  /** What a job of the lane runs on where it does not say. */
  executorFor(lane: "trusted" | "untrusted"): ExecutorName {
    const { executor } = this.#options;
    if (lane === "untrusted") return "docker";
    if (executor !== "auto") return executor;
    return [...this.#hosts.values()].some((host) => host.lanes.includes(lane) && host.answers) ? "docker" : "host";
  }

  /** @throws SeatrialError `unreachable` (retryable) when the host does not answer, or was taken away. */
  executor(name: ExecutorName, host: string): Executor {
    if (name === "host" && this.#onHost) return this.#onHost;
    const found = this.#hosts.get(host);
    if (found?.executor && found.answers) return found.executor;
    throw new SeatrialError("unreachable", `host ${host} ${found ? `does not answer: ${found.trouble}` : "is not declared"}`, {
      retryable: true,
    });
  }

  /** All that can be asked now. */
  executors(): Executor[] {
    return [this.#onHost, ...[...this.#hosts.values()].map(({ executor }) => executor)].filter((each) => each !== undefined);
  }

  /** Where the clusters of a host's jobs are made. */
  async workspaceOf(host: string): Promise<Workspace> {
    const found = this.#hosts.get(host);
    // Not this machine in its place: what is not trusted must not come here.
    if (!found) throw new SeatrialError("unreachable", `host ${host} is not declared`, { retryable: true });
    return await this.#options.workspace.onHost(found.spec.endpoint);
  }

  /** How a container in the network of a cluster with nodes reaches it; undefined for others. */
  async insideOf(record: ClusterRecord): Promise<{ server: string; network: string } | undefined> {
    const there = await this.#options.workspace.onHost(record.dockerHost);
    return await (await there.provider(record.provider)).inside?.(this.#options.workspace.records.targetOf(record));
  }

  /** Asks all hosts once. */
  async look(signal: AbortSignal): Promise<void> {
    this.#looking ??= this.#lookAtAll(signal).finally(() => (this.#looking = undefined));
    await this.#looking;
  }

  /** Asks all hosts once, and waits for those that answer in time. */
  async lookSoon(signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const looked = this.look(signal).catch(() => {}); // The next look tells of it.
    await Promise.race([looked, pause(limits.hostAnswerMs, AbortSignal.any([over.signal, signal])).catch(() => {})]);
    over.abort();
  }

  /** Until the signal is aborted. */
  async work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look(signal).catch((error: unknown) => {
        if (!signal.aborted) this.#options.workspace.output.err(`hosts: ${messageOf(error)}`);
      });
      await pause(limits.hostEveryMs, signal).catch(() => {});
    }
  }

  async #lookAtAll(signal: AbortSignal): Promise<void> {
    const declared = await this.#options.declared();
    const all = declared.some(({ name }) => name === localHost) ? declared : [{ name: localHost, spec: {} }, ...declared];
    const before = this.views();
    for (const [name, host] of this.#hosts) {
      if (all.some((each) => each.name === name && each.spec.endpoint === host.spec.endpoint)) continue;
      this.#hosts.delete(name);
      await host[Symbol.asyncDispose]();
    }
    await Promise.all(
      all.map(async ({ name, spec, tell }) => {
        let host = this.#hosts.get(name);
        if (!host) this.#hosts.set(name, (host = this.#newPlace(name)));
        host.spec = spec;
        // One that is slow holds up nobody; it goes on, and is asked no second time meanwhile.
        await host.lookWithin(limits.hostAnswerMs, this.#runners!, signal);
        await tell?.(host.status);
      }),
    );
    if (!isDeepStrictEqual(before, this.views())) this.#changed();
  }

  #newPlace(name: string): PlaceOfJobs {
    return new PlaceOfJobs(name, this.#options, () => this.#changed());
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#looking?.catch(() => {});
    await Promise.all([...this.#hosts.values()].map(async (host) => await host[Symbol.asyncDispose]()));
    this.#hosts.clear();
  }
}

/** One host, as it was when it was asked last. */
class PlaceOfJobs implements AsyncDisposable {
  readonly name: string;
  spec: HostSpec = {};
  /** Why it cannot be used. */
  trouble = "it was not asked yet";
  /** Whether its Docker answered. */
  answers = false;
  executor: DockerExecutor | undefined;
  status: HostStatus = {};
  readonly #options: HostsOptions;
  readonly #onChanged: () => void;
  #door: Door | undefined;
  #preparing: Promise<void> | undefined;
  #looking: Promise<void> | undefined;

  constructor(name: string, options: HostsOptions, onChanged: () => void) {
    this.name = name;
    this.#options = options;
    this.#onChanged = onChanged;
  }

  get lanes(): readonly string[] {
    return this.spec.lanes ?? ["trusted"];
  }

  view(isLocal: boolean): HostView {
    const { capacity } = this.spec;
    const { cpus, memoryBytes } = this.status;
    const isReachable = isLocal || this.answers;
    const hasDocker = this.answers && this.executor !== undefined;
    return {
      name: this.name,
      lanes: this.lanes,
      maxJobs: capacity?.jobs ?? Math.max(limits.hostJobsLeast, limits.hostJobsPerCpu * (cpus ?? availableParallelism())),
      maxClusters:
        capacity?.clusters ?? (memoryBytes === undefined ? undefined : Math.max(1, Math.floor(memoryBytes / limits.clusterMemoryBytes))),
      isReachable,
      executors: [...(isLocal ? ["host"] : []), ...(hasDocker ? ["docker"] : [])],
      ...(hasDocker ? {} : { message: this.trouble }),
    };
  }

  async lookWithin(ms: number, runners: RunnerDoor, signal: AbortSignal): Promise<void> {
    this.#looking ??= this.#look(runners, signal)
      .catch(() => {}) // The signal's reason: it is over.
      .finally(() => {
        this.#looking = undefined;
        if (!signal.aborted) this.#onChanged();
      });
    const over = new AbortController();
    await Promise.race([this.#looking, pause(ms, over.signal).catch(() => {})]);
    over.abort();
  }

  async #look(runners: RunnerDoor, signal: AbortSignal): Promise<void> {
    const timely = AbortSignal.any([signal, AbortSignal.timeout(limits.hostAnswerMs)]);
    let docker: OpenDocker;
    try {
      const workspace = await this.#options.workspace.onHost(this.spec.endpoint);
      docker = await workspace.docker();
      const [{ Version, Os, Arch }, { NCPU, MemTotal }] = await Promise.all([docker.client.version(timely), docker.client.info(timely)]);
      this.status = { reachable: true, dockerVersion: Version, platform: `${Os}/${Arch}`, cpus: NCPU, memoryBytes: MemTotal };
      this.answers = true;
    } catch (error) {
      signal.throwIfAborted();
      this.answers = false;
      this.trouble = messageOf(error).split("\n")[0]!;
      this.status = { ...this.status, reachable: false, message: this.trouble };
      return;
    }
    if (!this.executor) {
      this.#preparing ??= this.#prepare(docker, runners, signal).finally(() => (this.#preparing = undefined));
      if (this.trouble !== "") this.status = { ...this.status, message: this.trouble };
    }
  }

  /** An image that must be pulled takes its time: the other hosts do not wait for it. Never rejects. */
  async #prepare(docker: OpenDocker, runners: RunnerDoor, signal: AbortSignal): Promise<void> {
    this.trouble = "its image for runners is being made";
    try {
      this.executor = await this.#makeExecutor(docker, runners, signal);
      this.trouble = "";
    } catch (error) {
      this.trouble = messageOf(error).split("\n")[0]!;
    }
    if (!signal.aborted) this.#onChanged();
  }

  async #makeExecutor({ client, host }: OpenDocker, { server, bundle }: RunnerDoor, signal: AbortSignal): Promise<DockerExecutor> {
    const { workspace, ownershipOf } = this.#options;
    const [instance, kubectl] = await Promise.all([workspace.instance(), this.#options.kubectl()]);
    const image = await ensureRunnerImage(client, {
      programs: kubectl === undefined ? [] : [{ name: "kubectl", path: kubectl }],
      onProgress: (line) => workspace.output.err(`host ${this.name}: ${line}`),
      signal,
    });
    // One for each host and each who starts runners: a server, and commands beside it.
    const key = createHash("sha256").update([instance, this.#options.doorKey, this.name].join("\n")).digest("hex").slice(0, 12);
    this.#door ??= await host.openDoor(`door-${key}`, Number(new URL(server).port));
    const { maxJobs = 1 } = this.view(false);
    const isolatedMemoryBytes = Math.max(limits.isolatedMemoryLeast, Math.floor((this.status.memoryBytes ?? 0) / maxJobs));
    return new DockerExecutor({ docker: client, instance, bundle, image, door: this.#door.directory, ownershipOf, isolatedMemoryBytes });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#preparing;
    // Containers that run on keep the folder, and with it their way to the next server.
    const left = await this.executor?.list(AbortSignal.timeout(limits.hostAnswerMs)).catch(() => undefined);
    await this.#door?.close(left?.length === 0);
  }
}

/** The Host resources; `local` is made when it is not there, so that it can be edited. */
export async function declaredHosts(store: Store): Promise<DeclaredHost[]> {
  const { items } = await store.list(hostKind);
  if (!items.some(({ metadata }) => metadata.name === localHost))
    items.push(await store.create(hostKind, { metadata: { name: localHost }, spec: { lanes: ["trusted"] } }));
  return items.map((host) => ({
    name: host.metadata.name,
    spec: host.spec,
    tell: async (status) => {
      const { epoch: _epoch, lastSeenAt: _seen, ...before } = host.status ?? {};
      if (isDeepStrictEqual(before, status)) return;
      await store.writeStatus(hostKind, host, { ...status, lastSeenAt: new Date().toISOString() }).catch((error: unknown) => {
        // Somebody edits it: the next look tells it.
        if (!(error instanceof ApiError)) throw error;
      });
    },
  }));
}

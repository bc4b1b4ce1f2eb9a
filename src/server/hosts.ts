/**
 * The hosts that jobs and their clusters are placed on: this machine, and whatever Docker hosts are declared. Each is asked again
 * and again whether it answers, and has its workspace (for clusters) and its executors (for runners).
 *
 * A host that was taken away, or is reached in another way now, is retired: no job comes to it, and it is kept in reach as it was for as
 * long as there is something of a job. Which those are, each JobRun knows itself: so a restart of the server changes nothing.
 *
 * `local` is the Docker host that the server's environment names; executor `host`, a process of the server's own machine, is
 * there alone.
 */
import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { isDeepStrictEqual } from "node:util";
import { isRetryable, messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";
import type { ClusterRecord } from "../clusters/records.ts";
import { type HostView, isAt, localHost, type Place, takesTrusted } from "../controllers/job-run/schedule.ts";
import type { OpenDocker, Workspace } from "../controllers/workspace.ts";
import type { Ownership } from "../docker/ownership.ts";
import type { Door } from "../hosts/docker-host.ts";
import { ApiError } from "../kube/api-error.ts";
import type { Store } from "../kube/store.ts";
import { platform } from "../programs/cache.ts";
import { type HostChoice, hostKind, type HostSpec, type HostStatus, isChosen } from "../resources/host.ts";
import type { ExecutorName } from "../resources/job-run.ts";
import type { ContainerBounds } from "../runner/containers/attempt-containers.ts";
import { DockerExecutor } from "../runner/executors/docker.ts";
import type { Executor } from "../runner/executors/executor.ts";
import { HostExecutor } from "../runner/executors/host.ts";
import { ensureRunnerImage, imageDigest } from "../runner/executors/runner-image.ts";

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
  kubectl(signal: AbortSignal): Promise<string | undefined>;
}

export interface DeclaredHost {
  name: string;
  /** Default: none. */
  labels?: Readonly<Record<string, string>> | undefined;
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
  readonly #retired = new Set<PlaceOfJobs>();
  /** Where there are jobs; unknown while nobody leads. */
  #inUse: (() => Iterable<Place>) | undefined;
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

  /** Keeps the hosts of these places in reach, whatever becomes of their declarations. @returns ends that. */
  keepInReach(inUse: () => Iterable<Place>): () => void {
    this.#inUse = inUse;
    return () => {
      if (this.#inUse === inUse) this.#inUse = undefined;
    };
  }

  /** Those that jobs may be placed on. */
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

  /** @throws SeatrialError `unreachable` (retryable) when the host does not answer, or was taken away and not yet asked. */
  executor(name: ExecutorName, place: Place): Executor {
    if (name === "host" && this.#onHost) return this.#onHost;
    const found = this.#all().find((host) => isAt(host, place));
    if (found?.executor && found.answers) return found.executor;
    const trouble = found ? `does not answer: ${found.trouble}` : "is not declared";
    throw new SeatrialError("unreachable", `host ${place.host} ${trouble}`, { retryable: true });
  }

  /** What containers there get that name no image, and what they run on; as it was when the host answered last. */
  containersAt(place: Place): { image?: string | undefined; platform?: string | undefined } {
    const found = this.#all().find((host) => isAt(host, place));
    return { image: found?.executor?.image, platform: found?.status.platform };
  }

  /** Whether what is on the Docker host of a place may be of the trusted lane; also where that is not known. */
  servesTrusted(place: Place): boolean {
    const found = this.#all().find((host) => isAt(host, place));
    return !found || takesTrusted(found, [...this.#hosts.values()]);
  }

  /** All that can be asked now. */
  executors(): Executor[] {
    return [this.#onHost, ...this.#all().map(({ executor }) => executor)].filter((each) => each !== undefined);
  }

  /** Where the clusters of a place's jobs are made. */
  async workspaceOf({ host, endpoint }: Place): Promise<Workspace> {
    // A run without containers asks no Docker before a cluster wants it.
    if (host === localHost && this.#hosts.get(localHost)?.endpoint === undefined) return this.#options.workspace;
    // Not this machine in another's place: what is not trusted must not come here.
    if (endpoint === undefined) throw new SeatrialError("unreachable", `host ${host} has never answered`, { retryable: true });
    return await this.#options.workspace.onHost(endpoint);
  }

  /** How a container in the network of a cluster with nodes reaches it; undefined for others. */
  async insideOf(record: ClusterRecord): Promise<{ server: string; network: string } | undefined> {
    const there = await this.#options.workspace.onHost(record.dockerHost);
    return await (await there.provider(record.provider)).inside?.(this.#options.workspace.records.targetOf(record));
  }

  /**
   * An image by its digest, as it is now: what its registry says, else what a host has. @param choice hosts that may be asked.
   * @throws SeatrialError `not-found` when none of them can have it; `unreachable` (retryable) when nobody can tell now.
   */
  async digestOf(image: string, choice: HostChoice | undefined, signal?: AbortSignal): Promise<string> {
    const asked = [...this.#hosts.values()].filter((host) => host.answers && isChosen(host, choice));
    const troubles: string[] = [];
    let retryable = asked.length === 0;
    for (const { name, spec } of asked) {
      try {
        const { client } = await (await this.#options.workspace.onHost(spec.endpoint)).docker();
        const timely = AbortSignal.timeout(limits.imageDigestMs);
        return await imageDigest(client, image, signal ? AbortSignal.any([signal, timely]) : timely);
      } catch (error) {
        signal?.throwIfAborted();
        retryable ||= isRetryable(error);
        troubles.push(`host ${name}: ${messageOf(error).split("\n")[0]}`);
      }
    }
    const why = troubles.join("; ") || "no Docker host answers that could tell";
    throw new SeatrialError(retryable ? "unreachable" : "not-found", `image ${image} is not to be had: ${why}`, { retryable });
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
    const all: readonly DeclaredHost[] = declared.some(({ name }) => name === localHost)
      ? declared
      : [{ name: localHost, spec: {} }, ...declared];
    const before = this.views();
    for (const [name, host] of this.#hosts) {
      if (all.some((each) => each.name === name && each.spec.endpoint === host.spec.endpoint)) continue;
      this.#hosts.delete(name);
      this.#retired.add(host);
    }
    await this.#dropUnused();
    await Promise.all([
      ...[...this.#retired].map(async (host) => await host.lookWithin(limits.hostAnswerMs, this.#runners!, signal)),
      ...all.map(async ({ name, labels, spec, tell }) => {
        let host = this.#hosts.get(name);
        if (!host) {
          // It may be as it was before.
          host = [...this.#retired].find((each) => each.name === name && each.endpoint === spec.endpoint) ?? this.#newPlace(name);
          this.#retired.delete(host);
          this.#hosts.set(name, host);
        }
        host.spec = spec;
        host.labels = labels;
        // One that is slow holds up nobody; it goes on, and is asked no second time meanwhile.
        await host.lookWithin(limits.hostAnswerMs, this.#runners!, signal);
        await tell?.(host.status);
      }),
    ]);
    if (!isDeepStrictEqual(before, this.views())) this.#changed();
  }

  /** Retired hosts go when nothing of a job is left there; those that a process before this one had retired come. */
  async #dropUnused(): Promise<void> {
    if (!this.#inUse) return;
    const places = [...this.#inUse()];
    for (const host of this.#retired) {
      if (places.some((place) => isAt(host, place))) continue;
      this.#retired.delete(host);
      await host[Symbol.asyncDispose]();
    }
    for (const { host: name, endpoint } of places) {
      if (endpoint === undefined || this.#all().some((host) => isAt(host, { host: name, endpoint }))) continue;
      const host = this.#newPlace(name);
      host.spec = { endpoint };
      this.#retired.add(host);
    }
  }

  #all(): PlaceOfJobs[] {
    return [...this.#hosts.values(), ...this.#retired];
  }

  #newPlace(name: string): PlaceOfJobs {
    return new PlaceOfJobs(name, this.#options, () => this.#changed());
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#looking?.catch(() => {});
    await Promise.all(this.#all().map(async (host) => await host[Symbol.asyncDispose]()));
    this.#hosts.clear();
    this.#retired.clear();
  }
}

/** One host, as it was when it was asked last. */
class PlaceOfJobs implements AsyncDisposable {
  readonly name: string;
  labels: DeclaredHost["labels"];
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
  #address: string | undefined;
  readonly #over = new AbortController();
  #preparing: Promise<void> | undefined;
  #looking: Promise<void> | undefined;

  constructor(name: string, options: HostsOptions, onChanged: () => void) {
    this.name = name;
    this.#options = options;
    this.#onChanged = onChanged;
  }

  /** As DOCKER_HOST has it; unknown while nothing is declared and its Docker never answered. */
  get endpoint(): string | undefined {
    return this.spec.endpoint ?? this.#address;
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
      labels: this.labels,
      endpoint: this.endpoint,
      lanes: this.lanes,
      maxJobs: capacity?.jobs ?? Math.max(limits.hostJobsLeast, limits.hostJobsPerCpu * (cpus ?? availableParallelism())),
      maxClusters:
        capacity?.clusters ?? (memoryBytes === undefined ? undefined : Math.max(1, Math.floor(memoryBytes / limits.clusterMemoryBytes))),
      isReachable,
      executors: [...(isLocal ? ["host"] : []), ...(hasDocker ? ["docker"] : [])],
      architectures: {
        ...(isLocal ? { host: platform().arch } : {}),
        ...(this.status.platform === undefined ? {} : { docker: this.status.platform.split("/")[1]! }),
      },
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
      this.#address = docker.address;
      const [{ Version, Os, Arch }, { NCPU, MemTotal }] = await Promise.all([docker.client.version(timely), docker.client.info(timely)]);
      await this.#door?.mend(); // Jobs that start now need it.
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
      const inTime = AbortSignal.any([signal, this.#over.signal]);
      this.#preparing ??= this.#prepare(docker, runners, inTime).finally(() => (this.#preparing = undefined));
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
    const [instance, kubectl] = await Promise.all([workspace.instance(), this.#options.kubectl(signal)]);
    const makeImage = async (inTime: AbortSignal | undefined) =>
      await ensureRunnerImage(client, {
        programs: kubectl === undefined ? [] : [{ name: "kubectl", path: kubectl }],
        onProgress: (line) => workspace.output.err(`host ${this.name}: ${line}`),
        signal: inTime,
      });
    const image = await makeImage(signal);
    // One for each host, as it is reached, and each who starts runners: a server, and commands beside it.
    const whose = [instance, this.#options.doorKey, this.name, this.endpoint].join("\n");
    const key = createHash("sha256").update(whose).digest("hex").slice(0, 12);
    this.#door ??= await host.openDoor(`door-${key}`, Number(new URL(server).port));
    const door = this.#door.directory;
    const bounds = (isIsolated: boolean) => this.#bounds(isIsolated);
    return new DockerExecutor({ docker: client, instance, bundle, image, remakeImage: makeImage, door, ownershipOf, bounds });
  }

  /** What one container of a job may take, as the Host says it now. */
  #bounds(isIsolated: boolean): ContainerBounds {
    const { memoryPercent = limits.containerMemoryPercent, processes: pids = limits.containerProcesses } = this.spec.container ?? {};
    const { memoryBytes: all } = this.status;
    if (all === undefined) return { pids };
    const most = Math.floor((all * memoryPercent) / 100);
    const fair = Math.max(limits.isolatedMemoryLeast, Math.floor(all / (this.view(false).maxJobs ?? 1)));
    return { pids, memoryBytes: isIsolated ? Math.min(most, fair) : most };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new SeatrialError("aborted", `host ${this.name} is not used any more`));
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
    labels: host.metadata.labels,
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

/**
 * Clusters that are a control plane alone: etcd and kube-apiserver as processes of this machine, in about three seconds.
 * For CRDs, operators and charts; no nodes, no pods that run.
 */
import { createReadStream, existsSync } from "node:fs";
import { copyFile, readdir, readFile, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Environment } from "../base/environment.ts";
import { SeatrialError, type Problem } from "../base/errors.ts";
import {
  controlPlaneProcesses,
  type ControlPlaneOptions,
  killControlPlane,
  startControlPlane,
  stopControlPlane,
} from "../controlplane/control-plane.ts";
import { addKwokNodes } from "../controlplane/kwok.ts";
import type { ProgramName, Programs } from "../programs/programs.ts";
import { type Cluster, contextNameOf } from "../resources/cluster.ts";
import { type KeepFile, keepPart } from "./keep.ts";
import { writeFileWhole } from "../process/whole-file.ts";
import type { ClusterParts, ClusterProvider, CreateRequest, Expectations, ObservedCluster, Target } from "./provider.ts";
import { type ClusterRecords, type ClusterRecord, ownershipOf } from "./records.ts";

/** Older ones neither know our flags nor build with the Go toolchains of today. */
const oldestMinor = 30;

export interface BareOptions {
  programs: Programs;
  environment: Environment;
  records: ClusterRecords;
}

export class BareProvider implements ClusterProvider {
  readonly name = "bare";
  readonly capabilities = { hasNodes: false, needsDocker: false };
  readonly #options: BareOptions;

  constructor(options: BareOptions) {
    this.#options = options;
  }

  validate({ metadata, spec }: Cluster): Problem[] {
    const minor = Number(/^v1\.(\d+)/.exec(spec.kubernetesVersion ?? "")?.[1] ?? Infinity);
    if (minor >= oldestMinor) return [];
    return [
      {
        path: "spec.kubernetesVersion",
        message: `cluster ${metadata.name}: provider bare runs Kubernetes v1.${oldestMinor} and newer, and ${spec.kubernetesVersion} was asked for`,
      },
    ];
  }

  async create(request: CreateRequest): Promise<void> {
    await this.#start({ ...request, isDurable: request.ownership.owner === "declared", port: request.apiServerPort });
    await copyFile(join(controlPlaneDirectory(request.directory), "admin.kubeconfig"), request.kubeconfig);
  }

  expectations(cluster: Cluster): Expectations {
    const components = cluster.spec.bare?.components ?? [];
    return {
      nodes: components.includes("kwok") ? (cluster.spec.nodes ?? 1) : 0,
      hasControllerManager: components.includes("controller-manager"),
      clusterDomain: cluster.spec.clusterDomain ?? "cluster.local",
    };
  }

  async trouble(target: Target): Promise<string | undefined> {
    const running = controlPlaneProcesses(target.uid).map(({ program }) => basename(program));
    const wanted = ["etcd", "kube-apiserver"];
    const ended = wanted.find((program) => !running.includes(program));
    if (!ended) return undefined;
    const log = await readFile(join(controlPlaneDirectory(target.directory), `${ended}.log`), "utf8").catch(() => "");
    return `${ended} has ended; its last words: ${log.trimEnd().split("\n").at(-1) || "none"}`;
  }

  /** The folders of this installation are the list: processes without a folder are found by their mark when it is reaped. */
  async list(): Promise<ObservedCluster[]> {
    const records = (await this.#options.records.all()).filter(({ provider }) => provider === this.name);
    return records.map((record) => {
      const running = controlPlaneProcesses(record.uid);
      const names = running.map(({ program }) => basename(program));
      const isWhole = names.includes("etcd") && names.includes("kube-apiserver");
      return {
        provider: this.name,
        name: record.name,
        uid: record.uid,
        ownership: ownershipOf(record),
        resource: record.resource,
        state: isWhole ? "running" : names.length > 0 ? "partial" : "stopped",
        createdAt: new Date(record.createdAt),
        parts: running.map(({ identity }) => `${identity.pid}/${identity.startTime}`),
      };
    });
  }

  async start(target: Target, signal?: AbortSignal): Promise<void> {
    const record = await this.#record(target);
    const port = portIn(await readFile(join(controlPlaneDirectory(target.directory), "admin.kubeconfig"), "utf8").catch(() => ""));
    const isDeclared = record.owner === "declared";
    await this.#start({ ...target, cluster: record.resource, isDurable: isDeclared, port, isPortFixed: isDeclared, signal });
  }

  async writeKubeconfig(target: Target, path: string): Promise<void> {
    await writeFileWhole(path, await readFile(join(controlPlaneDirectory(target.directory), "admin.kubeconfig"), "utf8"));
  }

  async parts(target: Target): Promise<ClusterParts> {
    const programs = controlPlaneProcesses(target.uid).map(({ program }) => [basename(program), program]);
    return await Promise.resolve({ programs: Object.fromEntries(programs) as Record<string, string>, images: {} });
  }

  async collectLogs(target: Target, keep: KeepFile): Promise<void> {
    const from = controlPlaneDirectory(target.directory);
    if (!existsSync(from)) return;
    for (const file of await readdir(from)) {
      if (file.endsWith(".log")) await keepPart(keep, file, async () => await Promise.resolve(bytesOf(join(from, file))));
    }
  }

  async delete(target: Target): Promise<void> {
    await killControlPlane(target.uid);
    await rm(controlPlaneDirectory(target.directory), { recursive: true, force: true });
  }

  /** Ends the processes and keeps the data, as a shutdown of the machine does. */
  async stop(target: Target): Promise<void> {
    await stopControlPlane(target.uid);
  }

  async #record(target: Target): Promise<ClusterRecord> {
    const record = await this.#options.records.read(target.name);
    if (record?.uid !== target.uid) throw new SeatrialError("not-found", `there is no bare cluster ${target.name}`);
    return record;
  }

  async #start(start: StartOptions): Promise<void> {
    const { cluster, uid, isDurable, port, isPortFixed = false, isIsolated, signal } = start;
    const { spec } = cluster;
    const components = spec.bare?.components ?? [];
    const directory = controlPlaneDirectory(start.directory);
    const serviceSubnet = spec.serviceSubnet ?? "10.96.0.0/16";
    const programs = await this.#findPrograms(cluster, signal);
    start.onPrepared?.();
    const options: ControlPlaneOptions = {
      directory,
      uid,
      context: contextNameOf(cluster),
      programs,
      components,
      env: { PATH: this.#options.environment.variables["PATH"], HOME: this.#options.environment.homeDir },
      serviceSubnet,
      podSubnet: spec.podSubnet ?? "10.244.0.0/16",
      clusterDomain: spec.clusterDomain ?? "cluster.local",
      featureGates: spec.featureGates ?? {},
      apiServerFlags: spec.bare?.apiServerFlags ?? [],
      isDurable,
      port,
      isPortFixed,
      isIsolated,
      signal,
    };
    await startControlPlane(options);
    if (components.includes("kwok")) await addKwokNodes(join(directory, "admin.kubeconfig"), spec.nodes ?? 1, signal);
  }

  async #findPrograms(cluster: Cluster, signal: AbortSignal | undefined): Promise<ControlPlaneOptions["programs"]> {
    const version = cluster.spec.kubernetesVersion;
    const find = async (name: ProgramName, hasKubernetesVersion: boolean) =>
      (await this.#options.programs.find({ name, ...(version && hasKubernetesVersion ? { version } : {}) }, signal)).path;
    const components = cluster.spec.bare?.components ?? [];
    const [etcd, apiServer, controllerManager, scheduler, kwok] = await Promise.all([
      find("etcd", false),
      find("kube-apiserver", true),
      components.includes("controller-manager") ? find("kube-controller-manager", true) : undefined,
      components.includes("scheduler") ? find("kube-scheduler", true) : undefined,
      components.includes("kwok") ? find("kwok", false) : undefined,
    ]);
    return {
      etcd,
      "kube-apiserver": apiServer,
      ...(controllerManager ? { "kube-controller-manager": controllerManager } : {}),
      ...(scheduler ? { "kube-scheduler": scheduler } : {}),
      ...(kwok ? { kwok } : {}),
    };
  }
}

interface StartOptions {
  cluster: Cluster;
  uid: string;
  /** The cluster's own. */
  directory: string;
  isDurable: boolean;
  /** The port of the API, or the one that it had. Default: any. */
  port?: number | undefined;
  isPortFixed?: boolean;
  isIsolated?: boolean | undefined;
  onPrepared?(): void;
  signal?: AbortSignal | undefined;
}

function controlPlaneDirectory(clusterDirectory: string): string {
  return join(clusterDirectory, "control-plane");
}

/** Opened when it is read. */
async function* bytesOf(path: string): AsyncIterable<Uint8Array> {
  yield* createReadStream(path) as AsyncIterable<Uint8Array>;
}

function portIn(kubeconfig: string): number | undefined {
  return Number(/https:\/\/127\.0\.0\.1:(\d+)/.exec(kubeconfig)?.[1]) || undefined;
}

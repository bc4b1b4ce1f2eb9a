/**
 * A cluster that exists for one command or one job, with the registry that its images come from. Whoever holds it boots it
 * once, uses it, and deletes or keeps it; what a kill leaves is found by the record, which is written before anything else.
 */
import { readFile } from "node:fs/promises";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { seconds } from "../../base/output.ts";
import { together } from "../../base/together.ts";
import { bootCluster } from "../../clusters/boot.ts";
import { collectCluster } from "../../clusters/collect.ts";
import { keepIn } from "../../clusters/keep.ts";
import type { ClusterProvider, RegistryForNodes } from "../../clusters/provider.ts";
import { type ClusterRecord, recordOf } from "../../clusters/records.ts";
import { registryPort } from "../../clusters/registry-wiring.ts";
import type { Ownership } from "../../docker/ownership.ts";
import { KubeClient, parseKubeconfig } from "../../kube/client.ts";
import { waitForRegistry } from "../../registries/registries.ts";
import type { Cluster } from "../../resources/cluster.ts";
import type { Registry } from "../../resources/registry.ts";
import { deleteRecorded } from "../reap/reap.ts";
import type { Workspace } from "../workspace.ts";

/** The name by which nodes and pods of a throwaway cluster reach their registry; on a network with others each has its container's. */
const registryAlias = "seatrial-registry";

export interface ThrowawayOptions {
  /** What to boot, under this very name. */
  cluster: Cluster;
  uid: string;
  ownership: Ownership;
  /** Docker network that it shares with the other clusters of its job. Default: one of its own. */
  network?: string | undefined;
  /** The registry's settings. Default: ctlptl's. */
  registry?: Registry | undefined;
  /** Whether it is for a change that is not trusted. Default: false. */
  isIsolated?: boolean | undefined;
  /** Registries that images are named by: the nodes ask the cluster's own first. */
  mirrors?: string[];
  /** Called when the registry answers, beside the boot: with its port on the Docker host. */
  fillRegistry?: (hostPort: number, signal: AbortSignal) => Promise<void>;
  /** Folder under which the logs of a failed boot are kept. */
  failuresDir: string;
  failuresShownAs?: string | undefined;
  /** As the boot has it. */
  readyTimeoutMs?: number | undefined;
  /** A line for people. */
  onProgress(line: string): void;
}

/** What a user of the cluster needs. */
export interface ThrowawayAccess {
  kubeconfig: string;
  /** The registry as this machine pushes to it, and as nodes and pods name it; where the cluster has nodes. */
  registry: { address: string; inCluster: string } | undefined;
}

export class ThrowawayCluster {
  readonly #workspace: Workspace;
  readonly #options: ThrowawayOptions;
  readonly #provider: ClusterProvider;
  #record: ClusterRecord | undefined;
  #access: ThrowawayAccess | undefined;
  /** True from the moment on at which something outside may have been made. */
  #hasParts = false;

  static async prepare(workspace: Workspace, options: ThrowawayOptions): Promise<ThrowawayCluster> {
    return new ThrowawayCluster(workspace, options, await workspace.provider(options.cluster.spec.provider));
  }

  private constructor(workspace: Workspace, options: ThrowawayOptions, provider: ClusterProvider) {
    this.#workspace = workspace;
    this.#options = options;
    this.#provider = provider;
  }

  get name(): string {
    return this.#options.cluster.metadata.name;
  }

  get hasNodes(): boolean {
    return this.#provider.capabilities.hasNodes;
  }

  get #registryAlias(): string {
    return this.#options.network === undefined ? registryAlias : registryNameOf(this.name);
  }

  /** Undefined until it is up. */
  get access(): ThrowawayAccess | undefined {
    return this.#access;
  }

  async boot(signal: AbortSignal): Promise<ThrowawayAccess> {
    const { cluster, ownership, uid, onProgress } = this.#options;
    const workspace = this.#workspace;
    const docker = this.#provider.capabilities.needsDocker ? await workspace.docker() : undefined;
    await docker?.client.version(signal); // Silence is told before anything is made.
    const record = {
      ...(docker ? { dockerHost: docker.address } : {}),
      ...(this.hasNodes ? { registry: registryNameOf(this.name) } : {}),
      ...(this.#options.network && this.hasNodes ? { network: this.#options.network } : {}),
    };
    // Before the first effect outside, which may be the registry's: the boot writes it again.
    await workspace.records.write({ ...recordOf(cluster, ownership, uid, new Date()), ...record });
    this.#hasParts = true;
    const throttle = await workspace.throttle(cluster.spec.provider);
    const [booted, registryAccess] = await together(signal, (both) => {
      const registry = this.hasNodes ? this.#bootRegistry(both) : undefined;
      return [
        bootCluster({
          provider: this.#provider,
          records: workspace.records,
          throttle,
          cluster,
          ownership,
          uid,
          registry,
          isIsolated: this.#options.isIsolated,
          record,
          failuresDir: this.#options.failuresDir,
          failuresShownAs: this.#options.failuresShownAs,
          readyTimeoutMs: this.#options.readyTimeoutMs,
          onPhase: (phase, ms) => ms >= 100 && onProgress(`${phase} ${seconds(ms)}`),
          onProgress,
          signal: both,
        }),
        registry
          ? registry.ready.then(async ({ hostPort, clientPort }) => await this.#useRegistry(hostPort, clientPort ?? hostPort, both))
          : Promise.resolve(undefined),
      ];
    });
    this.#record = booted.record;
    this.#access = { kubeconfig: booted.kubeconfig, registry: registryAccess };
    return this.#access;
  }

  #bootRegistry(signal: AbortSignal): RegistryForNodes {
    const name = registryNameOf(this.name);
    const { uid, ownership, onProgress } = this.#options;
    const ready = this.#workspace.docker().then(async ({ registries, host }) => {
      const registry: Registry = {
        apiVersion: "seatrial.dev/v1alpha1",
        kind: "Registry",
        metadata: { name },
        spec: { ...this.#options.registry?.spec, port: 0 },
      };
      const made = await registries.ensure(registry, { ownership, uid, isDurable: false, onProgress, signal });
      const provider = this.#provider;
      const target = this.#workspace.records.targetOf({ name: this.name, uid });
      const { localPort } = await host.forward(made.hostPort, {
        dial: async () => await provider.dial!(target, this.#registryAlias, registryPort),
      });
      return { ...made, clientPort: localPort };
    });
    ready.catch(() => {}); // Whoever uses it sees the error.
    return { name: this.#registryAlias, ready, mirrors: this.#options.mirrors ?? [] };
  }

  async #useRegistry(hostPort: number, clientPort: number, signal: AbortSignal): Promise<ThrowawayAccess["registry"]> {
    // Where its port can be had by way of a node alone, it answers no sooner than that runs; a boot that fails ends the wait.
    await waitForRegistry(clientPort, signal, limits.lockMs + limits.clusterReadyMs);
    await this.#options.fillRegistry?.(hostPort, signal);
    return { address: `localhost:${clientPort}`, inCluster: `${this.#registryAlias}:${registryPort}` };
  }

  /** Events, pod logs and node logs into the folder. Only when it is up. */
  async keepEvidence(directory: string): Promise<void> {
    if (!this.#record || !this.#access) throw new SeatrialError("internal", `cluster ${this.name} was never up: it has no evidence`);
    const { kubeconfig } = this.#access;
    await using client = new KubeClient(parseKubeconfig(await readFile(kubeconfig, "utf8"), kubeconfig));
    await collectCluster(this.#provider, this.#workspace.records.targetOf(this.#record), keepIn(directory), client);
  }

  /** Leaves the cluster to the user: from now on nobody reaps it. */
  async keep(): Promise<void> {
    const { notAfter: _none, ...record } = this.#record!;
    await this.#workspace.records.write({ ...record, owner: "declared" });
  }

  /** Deletes everything of it. No error when nothing is there. */
  async delete(): Promise<void> {
    const record = await this.#workspace.records.read(this.name);
    if (record) await deleteRecorded(this.#workspace, record);
    else if (this.#hasParts && this.hasNodes)
      await (await this.#workspace.docker()).registries.delete(registryNameOf(this.name), this.#options.ownership.instance);
  }
}

function registryNameOf(cluster: string): string {
  return `${cluster}-registry`;
}

/**
 * Clusters of jobs: Cluster resources that carry an attempt's uid. Each is booted once with its registry, and its parts are gone
 * before the resource is. The key is the Cluster's name.
 *
 * A boot takes longer than a reconcile may: it runs beside, and its end wakes the key. After a kill -9 of this process the record
 * says that a boot had begun: its half-made parts are deleted, and it begins anew.
 */
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { seconds } from "../../base/output.ts";
import { whyNotIsolated } from "../../clusters/isolation.ts";
import type { Ownership } from "../../docker/ownership.ts";
import type { Store } from "../../kube/store.ts";
import { clusterKind, type ClusterResource } from "../../resources/kinds.ts";
import { apiVersion } from "../../resources/metadata.ts";
import type { Stored } from "../../resources/object.ts";
import { runLabels } from "../../resources/run.ts";
import { deleteRecorded } from "../reap/reap.ts";
import type { Lister } from "../lister.ts";
import type { Workspace } from "../workspace.ts";
import { ThrowawayCluster } from "./throwaway.ts";

export interface JobClustersOptions {
  store: Store;
  clusters: Lister<ClusterResource>;
  /** Of this machine: the records, and where clusters without nodes run. */
  workspace: Workspace;
  /** Of the place that a JobRun was given. */
  workspaceOf(jobRun: string): Promise<Workspace>;
  /** Whether a JobRun is of a change that is not trusted. */
  isIsolated(jobRun: string | undefined): boolean;
  ownershipOf(attempt: string): Ownership;
  /** Folder for the logs of an attempt's clusters. */
  failuresDirOf(attempt: string): string;
  /** For each half of a boot. Default: as the boot has it. */
  readyTimeoutMs?: number | undefined;
  /** For all tries of a cluster's boot together. Default: {@link limits.jobClusterBootMs}. */
  bootMs?: number | undefined;
  /** A boot has ended, or there is something new to tell of it: the key shall be reconciled. */
  wake(name: string): void;
  now(): Date;
}

interface Boot {
  uid: string;
  cluster: ThrowawayCluster | undefined;
  /** It is Ready, and may not be joined with the others of its job yet. */
  isUp: boolean;
  abort: AbortController;
  /** Resolves when nothing of the boot runs any more; never rejects. */
  ended: Promise<void>;
  outcome: { ok: true } | { ok: false; error: string } | undefined;
}

export class JobClusters {
  readonly #options: JobClustersOptions;
  readonly #boots = new Map<string, Boot>();

  constructor(options: JobClustersOptions) {
    this.#options = options;
  }

  /** @param signal is aborted when the server stops: what was interrupted is done again by the next. */
  async reconcile(name: string, signal: AbortSignal): Promise<void> {
    const cluster = this.#options.clusters.get(name);
    const attempt = cluster?.metadata.labels?.[runLabels.attempt];
    if (!cluster || attempt === undefined) return;
    if (cluster.metadata.deletionTimestamp !== undefined) return await this.#remove(cluster, signal);
    const boot = this.#boots.get(name);
    if (boot?.uid === cluster.metadata.uid) return await this.#tell(cluster, boot);
    const record = await this.#options.workspace.records.read(name);
    // Another process booted it: it is Ready, or half made by one that is dead.
    if (record?.phase === "Ready" && cluster.status?.phase === "Ready") return;
    if (record) await deleteRecorded(this.#options.workspace, record, signal);
    await this.#begin(cluster, attempt);
  }

  /** Ends the boots that run; what they made is deleted by themselves. */
  async close(): Promise<void> {
    for (const { abort } of this.#boots.values()) abort.abort();
    await Promise.all([...this.#boots.values()].map(async ({ ended }) => await ended));
  }

  async #begin(cluster: Stored<ClusterResource>, attempt: string): Promise<void> {
    const { metadata, spec } = cluster;
    const { wake } = this.#options;
    const abort = new AbortController();
    const boot: Boot = { uid: metadata.uid, cluster: undefined, isUp: false, abort, ended: Promise.resolve(), outcome: undefined };
    this.#boots.set(metadata.name, boot);
    const isIsolated = this.#options.isIsolated(metadata.labels?.[runLabels.jobRun]);
    const refused = isIsolated ? whyNotIsolated(spec) : undefined;
    if (refused !== undefined) {
      boot.outcome = { ok: false, error: refused };
      return await this.#tell(cluster, boot);
    }
    // One that hangs must not keep its place of the boot throttle for ever.
    const { bootMs = limits.jobClusterBootMs } = this.#options;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new SeatrialError("timeout", `it was not up within ${seconds(bootMs)}`)), bootMs);
    const signal = AbortSignal.any([abort.signal, late.signal]);
    boot.ended = (async () => {
      for (let number = 1; ; number++) {
        try {
          boot.cluster = await ThrowawayCluster.prepare(await this.#workspaceOf(cluster), {
            cluster: { apiVersion, kind: "Cluster", metadata: { name: metadata.name }, spec },
            uid: `${metadata.uid.replaceAll("-", "").slice(0, 14)}${String(number).padStart(2, "0")}`,
            ownership: this.#options.ownershipOf(attempt),
            network: metadata.labels?.[runLabels.network],
            isIsolated,
            failuresDir: this.#options.failuresDirOf(attempt),
            failuresShownAs: "the job's artifacts",
            readyTimeoutMs: this.#options.readyTimeoutMs,
            onProgress: () => {}, // Nobody watches: the job says that it boots, and if that fails, why.
          });
          await boot.cluster.boot(signal);
          boot.isUp = true;
          await this.#joinOthers(cluster, signal);
          boot.outcome = { ok: true };
          break;
        } catch (error) {
          if (boot.isUp) await boot.cluster?.delete().catch(() => {}); // It could not be joined; what is left is found by its record.
          boot.isUp = false;
          boot.outcome = { ok: false, error: messageOf(error) };
          if (signal.aborted || number >= limits.clusterBoots) break;
        }
      }
      clearTimeout(timer);
      wake(metadata.name);
    })();
    await this.#tell(cluster, boot);
  }

  /** The last of the clusters that share a network to be up joins them all; two that end at once both do. */
  async #joinOthers(cluster: Stored<ClusterResource>, signal: AbortSignal): Promise<void> {
    const { [runLabels.network]: network, [runLabels.attempt]: attempt = "" } = cluster.metadata.labels ?? {};
    if (network === undefined) return;
    const together = this.#options.clusters
      .labelled(runLabels.attempt, attempt)
      .filter(({ metadata }) => metadata.labels?.[runLabels.network] === network);
    const isUp = ({ metadata, status }: Stored<ClusterResource>) => {
      const boot = this.#boots.get(metadata.name);
      return boot?.uid === metadata.uid ? boot.isUp : status?.phase === "Ready";
    };
    if (together.length < 2 || !together.every(isUp)) return;
    const workspace = await this.#workspaceOf(cluster);
    const provider = await workspace.provider(cluster.spec.provider);
    const found = await Promise.all(together.map(async ({ metadata }) => await workspace.records.read(metadata.name)));
    const targets = found.flatMap((record) => (record ? [workspace.records.targetOf(record)] : []));
    await provider.join?.(targets, signal);
  }

  async #workspaceOf({ metadata, spec }: Stored<ClusterResource>): Promise<Workspace> {
    const jobRun = metadata.labels?.[runLabels.jobRun];
    return spec.provider === "bare" || jobRun === undefined ? this.#options.workspace : await this.#options.workspaceOf(jobRun);
  }

  async #tell(cluster: Stored<ClusterResource>, boot: Boot): Promise<void> {
    const { store } = this.#options;
    const phase = boot.outcome === undefined ? "Booting" : boot.outcome.ok ? "Ready" : "Failed";
    if (cluster.status?.phase === phase) return;
    const access = boot.cluster?.access;
    await store.writeStatus(clusterKind, cluster, {
      phase,
      owner: `job ${cluster.metadata.labels?.[runLabels.attempt]}`,
      ...(access ? { kubeconfig: access.kubeconfig } : {}),
      ...(access?.registry
        ? { localRegistryHosting: { host: access.registry.address, hostFromClusterNetwork: access.registry.inCluster } }
        : {}),
      ...(boot.outcome?.ok === false ? { error: boot.outcome.error.slice(0, 4096) } : {}),
    });
  }

  async #remove(cluster: Stored<ClusterResource>, signal: AbortSignal): Promise<void> {
    const { name } = cluster.metadata;
    const { store, workspace } = this.#options;
    const boot = this.#boots.get(name);
    boot?.abort.abort();
    await boot?.ended;
    const record = await workspace.records.read(name);
    if (record) await deleteRecorded(workspace, record, signal);
    this.#boots.delete(name);
    await store.patch(clusterKind, name, { metadata: { finalizers: null } });
  }
}

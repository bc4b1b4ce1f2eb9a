/**
 * The contract between Seatrial and what makes clusters.
 *
 * The reconciler (controllers/cluster) and `with` (runner) call it, always under the lock of the cluster's name, so one
 * name never has two calls at once; different names do. A provider keeps no state in memory: it reads the world.
 * conformance.ts holds every provider to what is written here. k3d, minikube, an existing cluster and clouds are to fit
 * in without a change above this line.
 */
import type { Duplex } from "node:stream";
import type { Problem } from "../base/errors.ts";
import type { Ownership } from "../docker/ownership.ts";
import type { Cluster, Provider } from "../resources/cluster.ts";
import type { KeepFile } from "./keep.ts";

export interface ClusterProvider {
  readonly name: Provider;
  readonly capabilities: ProviderCapabilities;

  /** What of this spec the provider, with the programs and images at hand, cannot do. Pure; called before anything is made. */
  validate(cluster: Cluster): Problem[];

  /**
   * Makes the cluster's parts up to an API that may be asked; not yet Ready. Writes `request.kubeconfig`.
   * A half-made cluster of the same uid is not repaired: the caller deletes it first. On failure the parts stay, so that
   * their logs can be read; the caller deletes.
   * @throws SeatrialError with the provider's own last words.
   */
  create(request: CreateRequest): Promise<void>;

  /**
   * A port for the API of a declared cluster, free on its host now; noted, it is the same after every restart. Absent where
   * the provider keeps its port by itself.
   */
  choosePort?(cluster: Cluster, signal?: AbortSignal): Promise<number | undefined>;

  /** Puts into a running cluster what can be changed in place: names of registries and their credentials. */
  configure?(target: Target, cluster: Cluster, registry: RegistryForNodes | undefined, signal?: AbortSignal): Promise<void>;

  /** What there must be before the cluster is Ready. */
  expectations(cluster: Cluster): Expectations;

  /** Why the cluster can not become Ready any more, as a sentence (a node exited, a process ended); undefined while it can. */
  trouble(target: Target): Promise<string | undefined>;

  /** Runs one DNS query inside the cluster, over TCP to the address; the answer's bytes, or undefined when none came. */
  askDns?(target: Target, address: string, query: Buffer, signal?: AbortSignal): Promise<Buffer | undefined>;

  /** Every cluster of this kind that can be seen, ours or not. */
  list(signal?: AbortSignal): Promise<ObservedCluster[]>;

  /** Starts what stopped (the host was booted, Docker was restarted). The cluster is not Ready yet afterwards. */
  start(target: Target, signal?: AbortSignal): Promise<void>;

  /** Writes the kubeconfig anew from what the cluster itself knows. */
  writeKubeconfig(target: Target, path: string, signal?: AbortSignal): Promise<void>;

  /**
   * Makes the address in a kubeconfig that `create` or `writeKubeconfig` wrote lead to the API for as long as this process
   * lives. Absent where it always does.
   */
  reach?(target: Target, kubeconfig: string, signal?: AbortSignal): Promise<void>;

  /**
   * One connection to an address as the cluster's nodes reach it: the way to a registry on a Docker host whose ports cannot
   * be had (`tcp://`). Called for each connection. Only with `capabilities.hasNodes`.
   * @throws SeatrialError `unreachable` while there is no node.
   */
  dial?(target: Target, address: string, port: number): Promise<Duplex>;

  /**
   * The address of the API, and the Docker network in which it is good: for containers beside the nodes. Only with
   * `capabilities.hasNodes`.
   */
  inside?(target: Target, signal?: AbortSignal): Promise<{ server: string; network: string }>;

  /**
   * Lets pods of clusters on one network reach each other by their own addresses, where those differ. Called when all of them are
   * Ready, maybe twice at once.
   */
  join?(targets: readonly Target[], signal?: AbortSignal): Promise<void>;

  /** What a running cluster is made of, as far as a test in it can tell the difference. Called once for each job that it is for. */
  parts(target: Target, signal?: AbortSignal): Promise<ClusterParts>;

  /** The provider's own logs (nodes, journal, processes). Collects what it can; never throws for a part. */
  collectLogs(target: Target, keep: KeepFile, signal?: AbortSignal): Promise<void>;

  /** Puts images of the Docker host into every node, skipping those that are there. Only with `capabilities.hasNodes`. */
  loadImages?(target: Target, references: readonly string[], signal?: AbortSignal): Promise<LoadedImage[]>;

  /** Removes every part, also of a half-made cluster. Deleting what is not there is success. */
  delete(target: Target, signal?: AbortSignal): Promise<void>;
}

export interface ProviderCapabilities {
  /** Nodes with kubelets and a container runtime: images, registries and `loadImages` make sense. */
  hasNodes: boolean;
  /** Its parts live on a Docker host, maybe a remote one. */
  needsDocker: boolean;
}

export interface CreateRequest {
  cluster: Cluster;
  uid: string;
  ownership: Ownership;
  /** The cluster's own folder, for what the provider keeps on this machine. */
  directory: string;
  /** Where the kubeconfig goes. */
  kubeconfig: string;
  /** The registry whose names the nodes must know, if there is one. */
  registry?: RegistryForNodes | undefined;
  /**
   * Whether it is for a change that is not trusted: what of it runs on this machine must then reach nothing, and no setting of it may
   * be one that reads or writes files here.
   */
  isIsolated?: boolean | undefined;
  /** Docker network that it shares with the clusters of the same job; absent: one of its own. */
  network?: string | undefined;
  /** A port of the API that survives restarts, chosen before; absent for throwaways. */
  apiServerPort?: number | undefined;
  /** Called when programs and images are at hand, which may take a download: from here on the time of the boot counts. */
  onPrepared?(): void;
  onProgress(line: string): void;
  signal?: AbortSignal | undefined;
}

/** Resolved when the registry runs; provider and registry start side by side. */
export interface RegistryForNodes {
  /** Name of its container, and its alias on the cluster's network. */
  name: string;
  ready: Promise<{ containerId: string; hostPort: number; clientPort?: number | undefined }>;
  /** Registries of images that are put in by their own name: their pulls ask this registry first. */
  mirrors: readonly string[];
}

export interface Expectations {
  /** Number of nodes that must be Ready. */
  nodes: number;
  hasControllerManager: boolean;
  clusterDomain: string;
}

export interface ClusterParts {
  /** Paths of programs on this machine, by name: those that it runs, or that made it. */
  programs: Readonly<Record<string, string>>;
  /** Of its nodes, by name: a digest of the image's layers, which labels do not change. */
  images: Readonly<Record<string, string>>;
}

/** A cluster by what identifies it; the provider finds its parts. */
export interface Target {
  name: string;
  uid: string;
  directory: string;
  /** As {@link CreateRequest.network} has it. */
  network?: string | undefined;
}

export interface ObservedCluster {
  provider: Provider;
  name: string;
  /** Undefined when it was not made by us. */
  uid: string | undefined;
  ownership: Ownership | undefined;
  /** The resource as it was applied; undefined when it was not made by us. */
  resource: Cluster | undefined;
  state: "running" | "paused" | "stopped" | "partial";
  createdAt: Date;
  network?: string | undefined;
  /** Ids of its parts outside (containers): what proves that it is the same cluster. */
  parts: readonly string[];
}

export interface LoadedImage {
  reference: string;
  node: string;
  /** False when it was there already. */
  wasCopied: boolean;
}

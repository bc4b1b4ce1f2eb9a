/**
 * The server's own control plane: etcd with fsync and kube-apiserver over one folder, for the server's resources alone.
 *
 * Its processes are nobody's children: after a kill -9 of the server they go on, and the next start finds them. What ends while
 * a server runs is started again over the same data.
 */
import { readFile, rm, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Environment } from "../base/environment.ts";
import { SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";
import { backoffMs } from "../kube/backoff.ts";
import { lifeOf } from "../process/identity.ts";
import type { Programs } from "../programs/programs.ts";
import { controlPlaneProcesses, etcdSocket, startControlPlane, stopControlPlane } from "./control-plane.ts";

/**
 * Resources of the API groups below that nothing of ours uses. A cache of each costs CPU while nothing happens; without it a request
 * goes to etcd.
 */
const unusedResources: Readonly<Record<string, string>> = {
  "": "configmaps endpoints events limitranges nodes persistentvolumeclaims persistentvolumes pods podtemplates replicationcontrollers resourcequotas secrets serviceaccounts services",
  ".networking.k8s.io": "ingressclasses ingresses networkpolicies",
  ".storage.k8s.io": "csidrivers csinodes csistoragecapacities storageclasses volumeattachments",
  ".discovery.k8s.io": "endpointslices",
  ".resource.k8s.io": "deviceclasses resourceclaims resourceclaimtemplates resourceslices",
};

/** For several API servers beside each other: each writes a Lease every ten seconds. */
const featureGates = { APIServerIdentity: false, UnknownVersionInteroperabilityProxy: false };

/**
 * Our resources alone: what a cluster with nodes and users needs besides takes 50 MB, and CPU while nothing happens. The API groups
 * are those of Leases, CRDs, roles and logins, and those whose caches kube-apiserver waits for before it is ready; of the admission
 * plugins the one is left that keeps resources out of namespaces that are not there. Nobody reads the counts of its metrics.
 */
const apiServerFlags: readonly string[] = [
  `--runtime-config=${[
    "api/all=false",
    "v1=true",
    ...["coordination", "rbac.authorization", "authentication", "authorization", "networking", "storage", "discovery", "resource"].map(
      (group) => `${group}.k8s.io/v1=true`,
    ),
    "apiextensions.k8s.io/v1=true",
    "apiregistration.k8s.io/v1=true",
  ].join(",")}`,
  "--enable-priority-and-fairness=false",
  `--watch-cache-sizes=${Object.entries(unusedResources)
    .flatMap(([group, resources]) => resources.split(" ").map((resource) => `${resource}${group}#0`))
    .join(",")}`,
  "--etcd-count-metric-poll-period=0",
  "--etcd-db-metric-poll-interval=0",
  `--disable-admission-plugins=${[
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "ClusterTrustBundleAttest",
    "DefaultIngressClass",
    "DefaultStorageClass",
    "DefaultTolerationSeconds",
    "LimitRanger",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "PersistentVolumeClaimResize",
    "PodSecurity",
    "Priority",
    "ResourceQuota",
    "RuntimeClass",
    "ServiceAccount",
    "StorageObjectInUseProtection",
    "TaintNodesByCondition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
  ].join(",")}`,
];

const etcdFlags: readonly string[] = [
  // As much as kube-apiserver takes: outputs of jobs, and what they needed of others, are in one resource.
  "--max-request-bytes=4194304",
  `--quota-backend-bytes=${limits.etcdQuotaBytes}`,
  // Nobody is there to hear a heartbeat; it is a fifth of the time of an election at most.
  "--heartbeat-interval=200",
  "--election-timeout=1000",
];

export interface EmbeddedOptions {
  programs: Programs;
  environment: Environment;
  /** Id of the installation: the mark of the processes is made from it. */
  instance: string;
  signal: AbortSignal;
  /** Told of what has ended, and of each try to start it again that did not succeed; the next follows. */
  onTrouble(error: unknown): void;
}

/** The control plane of a server that runs; disposing of it leaves it as it is, and nobody starts it again. */
export class EmbeddedControlPlane implements AsyncDisposable {
  /** Path of the administrator's. */
  readonly kubeconfig: string;
  readonly #options: EmbeddedOptions;
  readonly #released = new AbortController();
  readonly #keeping: Promise<void>;

  /** Starts what does not run. The API may need a moment until it is ready. */
  static async start(options: EmbeddedOptions): Promise<EmbeddedControlPlane> {
    await startEmbedded(options, false);
    return new EmbeddedControlPlane(options);
  }

  private constructor(options: EmbeddedOptions) {
    this.#options = options;
    this.kubeconfig = kubeconfigOf(options.environment);
    this.#keeping = this.#keep(AbortSignal.any([options.signal, this.#released.signal]));
  }

  async #keep(signal: AbortSignal): Promise<void> {
    const { instance, environment, onTrouble } = this.#options;
    let processes = controlPlaneProcesses(uidOf(instance));
    for (let restarts = 0; !signal.aborted;) {
      await pause(backoffMs(restarts + 1, limits.controlPlaneLookMs, limits.controlPlaneRestartMs), signal).catch(() => {});
      const alive = processes.filter(({ identity }) => lifeOf(identity) === "alive").map(({ program }) => basename(program));
      const ended = ["etcd", "kube-apiserver"].filter((program) => !alive.includes(program));
      restarts = ended.length === 0 ? 0 : restarts + 1;
      if (signal.aborted || ended.length === 0) continue;
      const logs = ended.map((program) => join(embeddedDirectory(environment), `${program}.log`));
      onTrouble(new SeatrialError("command-failed", `${ended.join(" and ")} ended, and is started again; why is in ${logs.join(", ")}`));
      try {
        await startEmbedded({ ...this.#options, signal }, true);
      } catch (error) {
        if (!signal.aborted) onTrouble(error);
      }
      processes = controlPlaneProcesses(uidOf(instance));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#released.abort();
    await this.#keeping;
  }
}

/** @param isPortFixed whether clients know its port: then it waits until that is free. */
async function startEmbedded({ programs, environment, instance, signal }: EmbeddedOptions, isPortFixed: boolean): Promise<void> {
  const directory = embeddedDirectory(environment);
  const kubeconfig = kubeconfigOf(environment);
  const [etcd, apiServer] = await Promise.all([programs.find({ name: "etcd" }, signal), programs.find({ name: "kube-apiserver" }, signal)]);
  const before = /https:\/\/127\.0\.0\.1:(\d+)/.exec(await readFile(kubeconfig, "utf8").catch(() => ""))?.[1];
  await startControlPlane({
    directory,
    uid: uidOf(instance),
    context: "seatrial",
    namespace: "seatrial",
    programs: { etcd: etcd.path, "kube-apiserver": apiServer.path },
    components: [],
    env: { PATH: environment.variables["PATH"], HOME: environment.homeDir },
    serviceSubnet: "10.96.0.0/16",
    podSubnet: "10.244.0.0/16",
    clusterDomain: "cluster.local",
    featureGates,
    apiServerFlags,
    etcdFlags,
    isDurable: true,
    port: before === undefined ? undefined : Number(before),
    isPortFixed,
    signal,
  });
}

/** Ends its processes; the data stays. No error when none runs. */
export async function stopEmbedded(instance: string): Promise<void> {
  await stopControlPlane(uidOf(instance));
}

/**
 * Path of the socket that its etcd answers on, as {@link Etcd} wants it. Paths of sockets have 103 bytes at most, and a data folder
 * may lie deeper: then it is reached by a link in the runtime folder.
 */
export async function embeddedEtcdSocket(environment: Environment, instance: string): Promise<string> {
  const path = join(embeddedDirectory(environment), etcdSocket);
  if (Buffer.byteLength(path) <= limits.socketPathBytes) return path;
  const link = join(environment.runtimeDir, `etcd-${instance}`);
  makeFolder(environment.runtimeDir, 0o700);
  await rm(link, { force: true });
  await symlink(path, link);
  return link;
}

function uidOf(instance: string): string {
  return `server-${instance}`;
}

function kubeconfigOf(environment: Environment): string {
  return join(embeddedDirectory(environment), "admin.kubeconfig");
}

function embeddedDirectory(environment: Environment): string {
  return join(environment.dataDir, "control-plane");
}

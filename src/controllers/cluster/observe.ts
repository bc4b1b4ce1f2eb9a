/** Every cluster that can be seen, as resources with their status: what `get` shows. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { currentContext, userKubeconfigPath } from "../../clusters/kubeconfig.ts";
import type { ClusterProvider, ObservedCluster } from "../../clusters/provider.ts";
import type { ClusterRecord } from "../../clusters/records.ts";
import { describeOwner, parseOwner } from "../../docker/ownership.ts";
import { KubeClient, type KubeObject, parseKubeconfig } from "../../kube/client.ts";
import { type Cluster, type ClusterPhase, type ClusterStatus, contextNameOf } from "../../resources/cluster.ts";
import type { Workspace } from "../workspace.ts";
import { isSame } from "./plan.ts";

/** An API that does not answer by then is shown as Unreachable: a list must not take longer. */
const askMs = 3_000;

export async function listClusters(workspace: Workspace, signal?: AbortSignal): Promise<Cluster[]> {
  const [bare, kind, records, current] = await Promise.all([
    workspace.provider("bare").then(async (bare) => await bare.list(signal)),
    listKind(workspace, signal),
    workspace.records.all(),
    currentContext(userKubeconfigPath(workspace.environment)),
  ]);
  const clusters = await Promise.all(
    [...bare, ...kind].map(async (observed) => await describe(workspace, observed, records, current, signal)),
  );
  return clusters.sort((a, b) => a.metadata.name.localeCompare(b.metadata.name));
}

/** Where there is no Docker there still are the clusters of this machine. */
async function listKind(workspace: Workspace, signal: AbortSignal | undefined): Promise<ObservedCluster[]> {
  try {
    return await (await workspace.provider("kind")).list(signal);
  } catch (error) {
    // Where nobody has named a Docker host, one that does not answer means that there is none.
    const { DOCKER_HOST, DOCKER_CONTEXT } = workspace.environment.variables;
    if (!(error instanceof SeatrialError) || error.code !== "unreachable" || DOCKER_HOST || DOCKER_CONTEXT) throw error;
    return [];
  }
}

async function describe(
  workspace: Workspace,
  observed: ObservedCluster,
  records: ClusterRecord[],
  current: string | undefined,
  signal: AbortSignal | undefined,
): Promise<Cluster> {
  const record = records.find((each) => each.name === observed.name && isSame(observed, each));
  const resource: Cluster = record?.resource ??
    observed.resource ?? {
      apiVersion: "seatrial.dev/v1alpha1",
      kind: "Cluster",
      metadata: { name: observed.name },
      spec: { provider: observed.provider },
    };
  const kubeconfig = workspace.records.kubeconfigOf(observed.name);
  const context = contextNameOf({ ...resource, metadata: { ...resource.metadata, name: observed.name } });
  const provider = await workspace.provider(observed.provider);
  const asked = record?.phase === "Ready" && observed.state === "running" ? await askRecorded(workspace, provider, record, signal) : {};
  const owner = record && parseOwner(record.owner);
  const status: ClusterStatus = {
    phase: phaseOf(observed, record, asked.error),
    creationTimestamp: observed.createdAt.toISOString().replace(/\.\d+Z$/, "Z"),
    context,
    current: context === current,
    ...(asked.version ? { kubernetesVersion: asked.version } : {}),
    ...(asked.endpoint ? { endpoint: asked.endpoint } : {}),
    ...(record ? { kubeconfig } : {}),
    ...(observed.network ? { network: observed.network } : {}),
    owner: owner ? describeOwner(owner) : (record?.owner ?? (observed.ownership ? "another installation" : "not Seatrial")),
    ...(record?.notAfter ? { notAfter: record.notAfter } : {}),
    ...(record?.adopted ? { adopted: true } : {}),
    ...(asked.hosting ? { localRegistryHosting: asked.hosting } : {}),
    ...(asked.cpus ? { cpus: asked.cpus } : {}),
    ...(asked.error ? { error: asked.error } : {}),
  };
  return { ...resource, status };
}

function phaseOf(observed: ObservedCluster, record: ClusterRecord | undefined, error: string | undefined): ClusterPhase {
  if (record && record.phase !== "Ready") return record.phase;
  if (observed.state === "paused") return "Paused";
  if (observed.state !== "running") return "Stopped";
  return error ? "Unreachable" : record ? "Ready" : "Running";
}

/** What its API says; a cluster that cannot be asked is not said to be Ready. */
async function askRecorded(
  workspace: Workspace,
  provider: ClusterProvider,
  record: ClusterRecord,
  signal: AbortSignal | undefined,
): Promise<Asked> {
  const kubeconfig = workspace.records.kubeconfigOf(record.name);
  if (!existsSync(kubeconfig)) return { error: `${kubeconfig} is gone; seatrial kubeconfig ${record.name} writes it anew` };
  return await ask(kubeconfig, async () => await provider.reach?.(workspace.records.targetOf(record), kubeconfig, signal), signal);
}

interface Asked {
  version?: string;
  endpoint?: string;
  hosting?: ClusterStatus["localRegistryHosting"];
  cpus?: number;
  error?: string;
}

async function ask(kubeconfig: string, reach: () => Promise<void>, signal: AbortSignal | undefined): Promise<Asked> {
  const timeout = AbortSignal.timeout(askMs);
  const both = signal ? AbortSignal.any([signal, timeout]) : timeout;
  let endpoint: string | undefined;
  try {
    await reach();
    const config = parseKubeconfig(await readFile(kubeconfig, "utf8"), kubeconfig);
    endpoint = config.server;
    await using client = new KubeClient(config);
    const [version, hosting, nodes] = await Promise.all([
      client.get<{ gitVersion: string }>("/version", both),
      client.get<{ data?: Record<string, string> }>("/api/v1/namespaces/kube-public/configmaps/local-registry-hosting", both),
      client.list("/api/v1/nodes", both),
    ]);
    const published = hosting?.data?.["localRegistryHosting.v1"];
    // Each node of kind sees all CPUs of its host.
    const cpus = Math.max(
      0,
      ...nodes.map((node) => Number((node as KubeObject & { status?: { capacity?: { cpu?: string } } }).status?.capacity?.cpu) || 0),
    );
    return {
      endpoint,
      ...(version ? { version: version.gitVersion } : {}),
      ...(published ? { hosting: parse(published) as ClusterStatus["localRegistryHosting"] } : {}),
      ...(cpus ? { cpus } : {}),
    };
  } catch (error) {
    signal?.throwIfAborted();
    // A timeout's own words are about an operation of ours.
    const isLate = error instanceof Error && error.name === "TimeoutError";
    return {
      ...(endpoint ? { endpoint } : {}),
      error: isLate ? `the API server at ${endpoint} did not answer within ${askMs / 1000} s` : messageOf(error),
    };
  }
}

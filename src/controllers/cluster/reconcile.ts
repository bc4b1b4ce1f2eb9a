/**
 * Declared clusters: made, left alone, started, taken over or refused, as plan.ts says. One call at a time for each name;
 * different names at once.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { seconds } from "../../base/output.ts";
import { bootCluster, newUid } from "../../clusters/boot.ts";
import { isMergeable, isUsableKubeconfig, userKubeconfigPath, mergeKubeconfig, unmergeKubeconfig } from "../../clusters/kubeconfig.ts";
import type { ObservedCluster, RegistryForNodes } from "../../clusters/provider.ts";
import { waitUntilReady } from "../../clusters/ready.ts";
import { type ClusterRecord, recordOf } from "../../clusters/records.ts";
import { publishedRegistry, publishRegistry, registryHosting } from "../../clusters/registry-wiring.ts";
import { KubeClient, parseKubeconfig } from "../../kube/client.ts";
import { type Cluster, contextNameOf, type Provider, providers } from "../../resources/cluster.ts";
import { diffCluster, formatDiff } from "../../resources/diff.ts";
import { loadDocuments } from "../../resources/documents.ts";
import type { Workspace } from "../workspace.ts";
import { deleteParts } from "../reap/reap.ts";
import { isSame, type Plan, planCluster } from "./plan.ts";

export interface ApplyClusterOptions {
  mayRecreate: boolean;
  mayAdopt: boolean;
  /** Is it an error when it is there already? */
  mustCreate: boolean;
  /** Put the cluster's context into the user's own kubeconfig, and make it current. */
  mergesKubeconfig: boolean;
  /** The registry that the cluster names, on its way to be there. */
  registry?: Promise<{ containerId: string; hostPort: number }> | undefined;
  signal?: AbortSignal | undefined;
}

export type ClusterChange = "created" | "recreated" | "adopted" | "started" | "configured" | "unchanged";

/** Makes the world as the document says. @throws SeatrialError when it is refused or fails. */
export async function applyCluster(workspace: Workspace, desired: Cluster, options: ApplyClusterOptions): Promise<ClusterChange> {
  const name = desired.metadata.name;
  const userFile = options.mergesKubeconfig ? userKubeconfigPath(workspace.environment) : undefined;
  const isMerged = userFile !== undefined && (await isMergeable(userFile));
  if (userFile && !isMerged) workspace.output.err(`cluster ${name}: merged into no kubeconfig, for KUBECONFIG is ${userFile}`);
  using _lock = await workspace.records.lock(name, options.signal);
  const [observed, record, instance] = await Promise.all([
    observeCluster(workspace, name, desired),
    workspace.records.read(name),
    workspace.instance(),
  ]);
  if (options.mustCreate && (observed || record)) {
    throw new SeatrialError("already-exists", `cluster ${name} is there already`, {
      hint: "seatrial apply changes what is there; seatrial delete removes it",
    });
  }
  const elsewhere = record && (await findElsewhere(workspace, record, observed, options.signal));
  const { mayRecreate, mayAdopt } = options;
  const plan = planCluster({ desired, observed, record, elsewhere, instance, mayRecreate, mayAdopt });
  const change = await carryOut(workspace, desired, plan, observed, record, options);
  if (isMerged) await mergeKubeconfig(workspace.records.kubeconfigOf(name), userFile, options.signal);
  return change;
}

async function carryOut(
  workspace: Workspace,
  desired: Cluster,
  plan: Plan,
  observed: ObservedCluster | undefined,
  record: ClusterRecord | undefined,
  options: ApplyClusterOptions,
): Promise<ClusterChange> {
  const { output } = workspace;
  const name = desired.metadata.name;
  switch (plan.action) {
    case "refuse":
      throw new SeatrialError(plan.code, [plan.message, ...formatDiff(plan.differences ?? [])].join("\n"), { hint: plan.hint });
    case "create":
      if (plan.deletesFirst && record) {
        output.err(`cluster ${name}: made anew, for ${plan.deletesFirst.why}`);
        await deleteParts(workspace, record, options.signal);
      }
      await bootDeclared(workspace, desired, options, record?.apiServerPort);
      return "created";
    case "recreate":
      output.err(`cluster ${name}: deleted and made anew, for it is not as asked for:\n${formatDiff(plan.differences).join("\n")}`);
      await deleteParts(workspace, record ?? recordFor(observed!, desired, await workspace.instance()), options.signal);
      await bootDeclared(workspace, desired, options, desired.spec.provider === record?.provider ? record.apiServerPort : undefined);
      return "recreated";
    case "adopt":
      await adoptCluster(workspace, desired, observed!, options);
      return "adopted";
    case "keep": {
      const known = {
        ...(record && isSame(observed!, record) ? record : recordFor(observed!, observed!.resource ?? desired, await workspace.instance())),
        ...(await hostOf(workspace, observed!.provider)),
      };
      const isConfigured = await keepCluster(workspace, desired, known, observed!, plan.mustStart, options, plan.differences.length > 0);
      return plan.mustStart ? "started" : isConfigured ? "configured" : "unchanged";
    }
  }
}

/** What is there under a name: the desired provider is asked first; the other only when that has none and can be asked. */
async function observeCluster(workspace: Workspace, name: string, desired: Cluster): Promise<ObservedCluster | undefined> {
  const order = [desired.spec.provider, ...providers.filter((provider) => provider !== desired.spec.provider)];
  for (const each of order) {
    const isNeeded = each === desired.spec.provider || (await workspace.records.read(name))?.provider === each;
    if (!isNeeded) continue;
    const found = (await (await workspace.provider(each)).list()).find((cluster) => cluster.name === name);
    if (found) return found;
  }
  return undefined;
}

/**
 * Where a recorded cluster is that cannot be seen here: on the host of its record, when that is another one. One daemon may have
 * two addresses, so nothing is concluded from those: a cluster that its own host does not show either is gone. A host that
 * does not answer may have it still.
 */
async function findElsewhere(
  workspace: Workspace,
  record: ClusterRecord,
  observed: ObservedCluster | undefined,
  signal: AbortSignal | undefined,
): Promise<{ there: string; here: string } | undefined> {
  if (!record.dockerHost || (observed && isSame(observed, record))) return undefined;
  const there = await workspace.onHost(record.dockerHost);
  if (there === workspace) return undefined;
  try {
    const seen = await (await there.provider(record.provider)).list(signal);
    if (!seen.some((cluster) => isSame(cluster, record))) return undefined;
  } catch {
    signal?.throwIfAborted();
  }
  return { there: record.dockerHost, here: (await workspace.docker()).address };
}

/** What a record keeps of where its cluster is. */
async function hostOf(workspace: Workspace, provider: Provider): Promise<Pick<ClusterRecord, "dockerHost">> {
  const { needsDocker } = (await workspace.provider(provider)).capabilities;
  return needsDocker ? { dockerHost: (await workspace.docker()).address } : {};
}

async function bootDeclared(workspace: Workspace, desired: Cluster, options: ApplyClusterOptions, port: number | undefined): Promise<void> {
  const { output, records } = workspace;
  const name = desired.metadata.name;
  const provider = await workspace.provider(desired.spec.provider);
  await checkCpus(workspace, desired);
  const apiServerPort = provider.choosePort ? (port ?? (await provider.choosePort(desired, options.signal))) : undefined;
  await bootCluster({
    provider,
    records,
    throttle: await workspace.throttle(desired.spec.provider),
    cluster: desired,
    ownership: { instance: await workspace.instance(), owner: "declared" },
    uid: newUid(),
    registry: registryForNodes(desired, options),
    record: { ...(await hostOf(workspace, desired.spec.provider)), ...(apiServerPort ? { apiServerPort } : {}) },
    failuresDir: workspace.failuresDir,
    onPhase: (phase, ms) => ms >= 100 && output.err(`cluster ${name}: ${phase} ${seconds(ms)}`),
    onProgress: (line) => output.err(`cluster ${name}: ${line}`),
    signal: options.signal,
  });
}

function registryForNodes(desired: Cluster, options: ApplyClusterOptions): RegistryForNodes | undefined {
  if (!desired.spec.registry || !options.registry) return undefined;
  return { name: desired.spec.registry, ready: options.registry, mirrors: [] };
}

async function checkCpus(workspace: Workspace, desired: Cluster): Promise<void> {
  const wanted = desired.spec.minCPUs ?? 0;
  if (wanted === 0 || desired.spec.provider !== "kind") return;
  const { NCPU } = await (await workspace.docker()).client.info();
  if (NCPU < wanted) {
    throw new SeatrialError("refused", `cluster ${desired.metadata.name} asks for ${wanted} CPUs, and its Docker host has ${NCPU}`, {
      hint: "lower minCPUs, or give the host more",
    });
  }
}

/** Takes over a cluster that another tool made, if it is as the document says: it is asked, not believed. */
async function adoptCluster(
  workspace: Workspace,
  desired: Cluster,
  observed: ObservedCluster,
  options: ApplyClusterOptions,
): Promise<void> {
  const { name } = desired.metadata;
  const provider = await workspace.provider(observed.provider);
  const record: ClusterRecord = {
    ...recordFor(observed, desired, await workspace.instance()),
    ...(await hostOf(workspace, observed.provider)),
    adopted: true,
  };
  const kubeconfig = workspace.records.kubeconfigOf(name);
  try {
    await provider.writeKubeconfig(workspace.records.targetOf(record), kubeconfig, options.signal);
    await using client = new KubeClient(parseKubeconfig(await readFile(kubeconfig, "utf8"), kubeconfig));
    await expectAnswer(client, name, observed);
    const differences = diffCluster(await currentOf(client, desired, observed), desired).filter(({ change }) => change === "recreate");
    if (differences.length > 0) {
      throw new SeatrialError(
        "refused",
        [`cluster ${name} is not as asked for; it was not taken over`, ...formatDiff(differences)].join("\n"),
        {
          hint: "let the document say what the cluster is; after apply --adopt it can be changed with --recreate",
        },
      );
    }
  } catch (error) {
    await workspace.records.remove(name);
    throw error;
  }
  await keepCluster(workspace, desired, record, observed, false, options);
}

/** What a foreign cluster is, as far as it tells: ctlptl leaves its document in a ConfigMap, kind the number of nodes. */
async function currentOf(client: KubeClient, desired: Cluster, observed: ObservedCluster): Promise<Cluster> {
  const version = await client.get<{ gitVersion: string }>("/version");
  const stored = await client.get<{ data?: Record<string, string> }>("/api/v1/namespaces/kube-public/configmaps/ctlptl-cluster-spec");
  const text = stored?.data?.["cluster.v1alpha1"];
  const fromCtlptl =
    text === undefined ? undefined : (loadDocuments(withApiVersion(text), "ctlptl-cluster-spec")[0]?.resource as Cluster | undefined);
  const spec = fromCtlptl?.spec ?? { ...desired.spec, nodes: observed.parts.length };
  return { ...desired, spec, status: version ? { kubernetesVersion: version.gitVersion } : {} };
}

/** ctlptl writes the document without saying what it is. */
function withApiVersion(text: string): string {
  return /^apiVersion:/m.test(text) ? text : `apiVersion: ctlptl.dev/v1alpha1\nkind: Cluster\n${text}`;
}

/**
 * A cluster that stays: its kubeconfig is there, its API answers, what can be changed in place is as asked for.
 * @returns whether something was changed in place.
 */
async function keepCluster(
  workspace: Workspace,
  desired: Cluster,
  record: ClusterRecord,
  observed: ObservedCluster,
  mustStart: boolean,
  options: ApplyClusterOptions,
  hasChanged = false,
): Promise<boolean> {
  const { records } = workspace;
  const provider = await workspace.provider(record.provider);
  const target = records.targetOf(record);
  const kubeconfig = records.kubeconfigOf(record.name);
  const known = await records.read(record.name);
  const isNew = known?.uid !== record.uid || known.phase !== "Ready" || hasChanged;
  if (mustStart) await provider.start(target, options.signal);
  if (isNew || known.dockerHost !== record.dockerHost) await records.write({ ...record, phase: "Ready", resource: desired });
  if (mustStart || !(await isUsableKubeconfig(kubeconfig, contextNameOf(record.resource))))
    await provider.writeKubeconfig(target, kubeconfig, options.signal);
  await provider.reach?.(target, kubeconfig, options.signal);
  await using client = new KubeClient(parseKubeconfig(await readFile(kubeconfig, "utf8"), kubeconfig));
  if (mustStart) await waitUntilReady(provider, target, provider.expectations(desired), client, { signal: options.signal });
  else await expectAnswer(client, record.name, observed);
  const registry = registryForNodes(desired, options);
  const isWired = !registry || (await isRegistryWired(workspace, client, registry, observed));
  const isConfigured =
    provider.configure !== undefined && (isNew || !isWired) && (registry !== undefined || desired.spec.registryAuths !== undefined);
  if (isConfigured) await provider.configure!(target, desired, registry, options.signal);
  // Published last: as long as it is not, the next apply wires again.
  if (registry && !isWired) await publishRegistry(client, registry.name, (await registry.ready).hostPort, options.signal);
  return isConfigured || hasChanged;
}

/** Whether the cluster knows its registry as it is now: one that was made anew has other networks, and maybe another port. */
async function isRegistryWired(
  workspace: Workspace,
  client: KubeClient,
  { name, ready }: RegistryForNodes,
  observed: ObservedCluster,
): Promise<boolean> {
  await ready;
  // Asked now: another apply may have wired it while this one waited for the cluster's lock.
  const registry = await (await workspace.docker()).registries.find(name);
  if (observed.network && !registry?.status?.networks?.includes(observed.network)) return false;
  return (await publishedRegistry(client))?.host === registryHosting(name, registry?.status?.hostPort ?? 0).host;
}

/** One question. Silence is an error, and nothing is done about it. */
async function expectAnswer(client: KubeClient, name: string, observed: ObservedCluster): Promise<void> {
  try {
    await client.text("/readyz", AbortSignal.timeout(limits.apiRequestMs));
  } catch (error) {
    throw new SeatrialError(
      "unreachable",
      `cluster ${name} is ${observed.state}, and its API at ${client.config.server} does not answer; it was not touched`,
      {
        hint: "look at its containers or processes (seatrial get cluster); apply --recreate makes a new one only if the document differs, seatrial delete cluster deletes it",
        cause: error,
        retryable: true,
      },
    );
  }
}

/** A record for a cluster that has none here: adopted, or its record was lost. */
function recordFor(observed: ObservedCluster, resource: Cluster, instance: string): ClusterRecord {
  const made = recordOf(
    { ...resource, spec: { ...resource.spec, provider: observed.provider } },
    { instance, owner: "declared" },
    observed.uid ?? observed.parts[0] ?? "",
    observed.createdAt,
  );
  return { ...made, phase: "Ready" };
}

/** Deletes a cluster by name. @returns false when there is none. */
export async function deleteCluster(workspace: Workspace, name: string, signal?: AbortSignal): Promise<boolean> {
  // Looked at first, since a lock's file stays: a name that was mistyped shall leave nothing.
  if (!(await workspace.records.read(name)) && !(await findAnywhere(workspace, name, undefined))) return false;
  using _lock = await workspace.records.lock(name, signal);
  const record = await workspace.records.read(name);
  const observed = await findAnywhere(workspace, name, record);
  if (!record && !observed) return false;
  const instance = await workspace.instance();
  if (!record && observed && observed.ownership?.instance !== instance) {
    throw new SeatrialError(
      "refused",
      `cluster ${name} was made by ${observed.ownership ? "another installation of Seatrial" : "kind or another tool"}; it was not touched`,
      {
        hint: `kind delete cluster --name ${name} deletes it; apply --adopt takes it over`,
      },
    );
  }
  const known = record ?? recordFor(observed!, observed!.resource!, instance);
  await unmerge(workspace, known, signal);
  await deleteParts(workspace, known, signal);
  return true;
}

/** Out of the user's own kubeconfig. Whatever state that file is in, the cluster can be deleted. */
async function unmerge(workspace: Workspace, { name, resource }: ClusterRecord, signal: AbortSignal | undefined): Promise<void> {
  const kubeconfig = workspace.records.kubeconfigOf(name);
  if (!existsSync(kubeconfig)) return;
  const userFile = userKubeconfigPath(workspace.environment);
  try {
    await unmergeKubeconfig(contextNameOf(resource), kubeconfig, userFile, signal);
  } catch (error) {
    signal?.throwIfAborted();
    workspace.output.err(`cluster ${name}: its entries in ${userFile}, if there are any, stay there: ${messageOf(error)}`);
  }
}

/**
 * The path of a recorded cluster's own kubeconfig; one that was deleted or damaged is written anew from the cluster.
 * @throws SeatrialError `conflict` while the cluster is being made or deleted; what the provider throws.
 */
export async function kubeconfigOf(workspace: Workspace, known: ClusterRecord, signal?: AbortSignal): Promise<string> {
  const { records } = workspace;
  const { name } = known;
  const path = records.kubeconfigOf(name);
  const isUsable = async () => await isUsableKubeconfig(path, contextNameOf(known.resource));
  if (await isUsable()) return path;
  expectMade(name, known); // Before its lock, which whoever makes it holds.
  using _lock = await records.lock(name, signal);
  const record = await records.read(name);
  expectMade(name, record);
  try {
    const there = await workspace.onHost(record.dockerHost);
    if (!(await isUsable())) await (await there.provider(record.provider)).writeKubeconfig(records.targetOf(record), path, signal);
    return path;
  } catch (error) {
    signal?.throwIfAborted();
    const code = error instanceof SeatrialError ? error.code : "internal";
    throw new SeatrialError(code, `the kubeconfig of cluster ${name} is gone, and was not written anew: ${messageOf(error)}`, {
      hint: "seatrial apply starts what has stopped, and writes it",
      cause: error,
    });
  }
}

function expectMade(name: string, record: ClusterRecord | undefined): asserts record {
  if (record?.phase === "Ready") return;
  throw new SeatrialError("conflict", `cluster ${name} is ${record?.phase ?? "gone"}: it has no kubeconfig`, {
    hint: "seatrial get clusters shows what becomes of it; seatrial apply makes it whole",
  });
}

async function findAnywhere(workspace: Workspace, name: string, record: ClusterRecord | undefined): Promise<ObservedCluster | undefined> {
  if (record) return undefined; // The record says all that deleting needs, also where its parts are.
  const docker = await (await workspace.provider("kind")).list();
  return docker.find((cluster) => cluster.name === name);
}

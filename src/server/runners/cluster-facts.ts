/** What a job's cluster is made of, for the job's lock document. What cannot be told keeps no job from running. */
import { readFile } from "node:fs/promises";
import { limits } from "../../base/limits.ts";
import type { ClusterParts } from "../../clusters/provider.ts";
import type { Workspace } from "../../controllers/workspace.ts";
import { KubeClient, parseKubeconfig } from "../../kube/client.ts";
import type { Provider } from "../../resources/cluster.ts";

export interface ClusterFacts {
  /** As its API says: `v1.36.3`. Undefined when it did not answer. */
  kubernetes?: string | undefined;
  /** A program whose path is empty is one that nothing is known of. */
  parts: ClusterParts;
}

/** @param name of a cluster of this installation. */
export async function clusterFacts(workspace: Workspace, name: string, provider: Provider): Promise<ClusterFacts> {
  const unknown: ClusterParts = { programs: { [provider]: "" }, images: {} };
  const signal = AbortSignal.timeout(limits.apiRequestMs);
  const [kubernetes, parts] = await Promise.all([
    versionOf(workspace.records.kubeconfigOf(name), signal).catch(() => undefined),
    partsOf(workspace, name, signal).catch(() => undefined),
  ]);
  return { kubernetes, parts: parts ?? unknown };
}

async function versionOf(path: string, signal: AbortSignal): Promise<string | undefined> {
  await using client = new KubeClient(parseKubeconfig(await readFile(path, "utf8"), path));
  return (await client.get<{ gitVersion: string }>("/version", signal))?.gitVersion;
}

async function partsOf(workspace: Workspace, name: string, signal: AbortSignal): Promise<ClusterParts | undefined> {
  const { records } = workspace;
  const record = await records.read(name);
  if (!record) return undefined;
  const there = await workspace.onHost(record.dockerHost);
  return await (await there.provider(record.provider)).parts(records.targetOf(record), signal);
}

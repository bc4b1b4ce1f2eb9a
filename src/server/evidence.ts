/**
 * What a job's clusters tell before they go: their events, and of a job that did not pass all that can be collected (pods, their
 * logs, the nodes' own), as artifacts under `clusters/NAME/`. It is what a person would have looked at.
 */
import { createReadStream } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { attemptPrefix } from "../artifacts/object-store.ts";
import { collectCluster } from "../clusters/collect.ts";
import type { Workspace } from "../controllers/workspace.ts";
import type { ClusterEvent } from "../history/attempts.ts";
import { KubeClient, type KubeObject, parseKubeconfig } from "../kube/client.ts";
import type { SettleStores } from "./settle.ts";

/** A cluster of an attempt. */
export interface ClusterOfJob {
  /** Key in the workflow. */
  name: string;
  /** Name of its record. */
  cluster: string;
  kubeconfig: string;
}

/** @param isWhole whether more than the events is kept. @returns what could not be kept, for people. May be called again. */
export async function keepEvidence(
  workspace: Workspace,
  stores: SettleStores,
  attempt: string,
  clusters: readonly ClusterOfJob[],
  isWhole: boolean,
): Promise<string[]> {
  const kept = await Promise.all(
    clusters.map(async (cluster) => {
      try {
        await using client = new KubeClient(parseKubeconfig(await readFile(cluster.kubeconfig, "utf8"), cluster.kubeconfig));
        await keepEvents(stores, attempt, cluster.name, client);
        if (isWhole) await keepFiles(workspace, stores, attempt, cluster, client);
        return [];
      } catch (error) {
        return [`of cluster ${cluster.name} not all could be kept: ${messageOf(error)}`];
      }
    }),
  );
  return kept.flat();
}

/** https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/, in its older form, which lists all. */
type Event = KubeObject & {
  lastTimestamp?: string | null;
  eventTime?: string | null;
  type?: string;
  reason?: string;
  message?: string;
  count?: number;
  involvedObject?: { kind?: string; namespace?: string; name?: string };
};

async function keepEvents({ history }: SettleStores, attempt: string, cluster: string, client: KubeClient): Promise<void> {
  const events = await client.list<Event>("/api/v1/events", AbortSignal.timeout(limits.apiRequestMs), limits.collectEvents);
  const read = events.map(({ metadata, involvedObject: { kind, namespace, name } = {}, ...event }): ClusterEvent => {
    const time = event.lastTimestamp ?? event.eventTime ?? metadata.creationTimestamp ?? 0;
    return {
      cluster,
      uid: metadata.uid ?? metadata.name,
      time: new Date(time),
      type: event.type ?? "",
      reason: event.reason ?? "",
      object: [kind, namespace, name].filter(Boolean).join("/"),
      message: (event.message ?? "").slice(0, limits.eventMessageLength),
      count: event.count ?? 1,
    };
  });
  await history.attempts.recordClusterEvents(attempt, read);
}

async function keepFiles(
  workspace: Workspace,
  { history, objects }: SettleStores,
  attempt: string,
  { name, cluster }: ClusterOfJob,
  client: KubeClient,
): Promise<void> {
  const record = await workspace.records.read(cluster);
  if (!record) return;
  const there = await workspace.onHost(record.dockerHost);
  const folder = await mkdtemp(join(workspace.environment.dataDir, "evidence-"));
  try {
    await collectCluster(await there.provider(record.provider), workspace.records.targetOf(record), folder, client);
    let room: number = limits.evidenceBytes;
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const file = join(entry.parentPath, entry.name);
      const path = ["clusters", name, ...relative(folder, file).split(sep)].join("/");
      const key = `${attemptPrefix(attempt)}/artifacts/${path}`;
      const { size } = await stat(file);
      if ((room -= size) < 0) break;
      const { digest } = await objects.put(key, createReadStream(file) as AsyncIterable<Uint8Array>, { most: limits.artifactBytes });
      const hasRoom = await history.attempts.recordArtifact(attempt, { path, size, digest, contentType: "application/octet-stream", key });
      if (hasRoom) continue;
      await objects.delete(key);
      break;
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

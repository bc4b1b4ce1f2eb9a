/**
 * What a job's clusters tell before they go: their events, and of a job that did not pass all that can be collected (pods, their
 * logs, the nodes' own), as artifacts under `clusters/NAME/`. It is what a person would have looked at.
 *
 * A cluster has what the job put there: the job's secrets, and the keys of its clusters, are masked before a byte is stored.
 */
import { createReadStream } from "node:fs";
import { readdir, readFile, rm } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { messageOf } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { attemptPrefix, whyNotKey } from "../../artifacts/object-store.ts";
import { collectCluster } from "../../clusters/collect.ts";
import type { Content, KeepFile } from "../../clusters/keep.ts";
import { secretsInKubeconfig } from "../../clusters/kubeconfig.ts";
import type { Workspace } from "../../controllers/workspace.ts";
import type { ClusterEvent } from "../../history/attempts.ts";
import { KubeClient, type KubeObject, parseKubeconfig } from "../../kube/client.ts";
import { createMask, type Mask } from "../../logs/masking.ts";
import type { SettleStores } from "./settle.ts";

/** A cluster of an attempt. */
export interface ClusterOfJob {
  /** Key in the workflow. */
  name: string;
  /** Name of its record. */
  cluster: string;
  kubeconfig: string;
}

export interface EvidenceOptions {
  attempt: string;
  clusters: readonly ClusterOfJob[];
  /** Whether more than the events is kept. */
  isWhole: boolean;
  /** Of each cluster. Default: {@link limits.evidenceBytes}. */
  mostBytes?: number | undefined;
  /** Ends it: what was kept by then is kept again by the next call. Default: nothing does. */
  signal?: AbortSignal | undefined;
  /** The secrets of the job. What it throws keeps all from being kept: what cannot be masked is not stored. */
  secrets(): Promise<Iterable<string>>;
}

/** @returns what could not be kept, for people. May be called again. @throws the signal's reason. */
export async function keepEvidence(workspace: Workspace, stores: SettleStores, options: EvidenceOptions): Promise<string[]> {
  const { attempt, clusters, isWhole, signal } = options;
  if (clusters.length === 0) return [];
  const kubeconfigs = await Promise.all(clusters.map(async ({ kubeconfig }) => await readFile(kubeconfig, "utf8").catch(() => "")));
  const mask = createMask([...(await options.secrets()), ...kubeconfigs.flatMap(secretsInKubeconfig)]);
  const kept = await Promise.all(
    clusters.map(async (cluster, index) => {
      try {
        await using client = new KubeClient(parseKubeconfig(kubeconfigs[index]!, cluster.kubeconfig));
        await keepEvents(stores, attempt, cluster.name, client, mask);
        return isWhole ? await keepFiles(workspace, stores, options, cluster, client, mask) : [];
      } catch (error) {
        return [`of cluster ${cluster.name} not all could be kept: ${messageOf(error)}`];
      }
    }),
  );
  signal?.throwIfAborted();
  return kept.flat().map((problem) => mask.text(problem));
}

/**
 * The logs of boots that failed, from the folder where they were kept to the attempt's artifacts. May be called again.
 * @returns what could not be kept; the folder then stays.
 */
export async function keepFailedBoots(
  stores: SettleStores,
  attempt: string,
  directory: string,
  secrets: EvidenceOptions["secrets"],
): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  if (entries.length === 0) return [];
  const mask = createMask(await secrets());
  const files = new EvidenceFiles(stores, attempt, "clusters", mask);
  const problems: string[] = [];
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const name = relative(directory, path).split(sep).join("/");
    await files.keep(name, createReadStream(path)).catch((error: unknown) => problems.push(`${name}: ${messageOf(error)}`));
  }
  if (problems.length === 0) await rm(directory, { recursive: true, force: true });
  return [...problems, ...files.leftOut].map((why) => mask.text(`of its failed boots not all could be kept: ${why}`));
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

async function keepEvents({ history }: SettleStores, attempt: string, cluster: string, client: KubeClient, mask: Mask): Promise<void> {
  const events = await client.list<Event>("/api/v1/events", AbortSignal.timeout(limits.apiRequestMs), limits.collectEvents);
  const read = events.map(({ metadata, involvedObject: { kind, namespace, name } = {}, ...event }): ClusterEvent => {
    const time = event.lastTimestamp ?? event.eventTime ?? metadata.creationTimestamp ?? 0;
    return {
      cluster,
      uid: metadata.uid ?? metadata.name,
      time: new Date(time),
      type: mask.text(event.type ?? ""),
      reason: mask.text(event.reason ?? ""),
      object: mask.text([kind, namespace, name].filter(Boolean).join("/")),
      message: mask.text(event.message ?? "").slice(0, limits.eventMessageLength),
      count: event.count ?? 1,
    };
  });
  await history.attempts.recordClusterEvents(attempt, read);
}

/** @returns what of it could not be kept. */
async function keepFiles(
  workspace: Workspace,
  stores: SettleStores,
  { attempt, signal, mostBytes }: EvidenceOptions,
  { name, cluster }: ClusterOfJob,
  client: KubeClient,
  mask: Mask,
): Promise<string[]> {
  const record = await workspace.records.read(cluster);
  if (!record) return [];
  const there = await workspace.onHost(record.dockerHost);
  const files = new EvidenceFiles(stores, attempt, `clusters/${name}`, mask, mostBytes);
  const keep: KeepFile = async (path, content) => {
    signal?.throwIfAborted(); // That it was ended is no finding about the cluster.
    await files.keep(path, content);
  };
  await collectCluster(await there.provider(record.provider), workspace.records.targetOf(record), keep, client, signal);
  return files.leftOut.map((why) => `of cluster ${name} not all could be kept: ${why}`);
}

/** Files of one cluster as artifacts: masked, text alone (what is packed cannot be masked), and no more than is bounded. */
class EvidenceFiles {
  readonly #stores: SettleStores;
  readonly #attempt: string;
  readonly #folder: string;
  readonly #mask: Mask;
  readonly #leftOut = new Set<string>();
  readonly #tooMuch: string;
  #room: number;

  constructor(stores: SettleStores, attempt: string, folder: string, mask: Mask, mostBytes: number = limits.evidenceBytes) {
    this.#stores = stores;
    this.#attempt = attempt;
    this.#folder = folder;
    this.#mask = mask;
    this.#tooMuch = `it has more than ${mostBytes} bytes`;
    this.#room = mostBytes;
  }

  /** Why something is not there, each reason once. */
  get leftOut(): string[] {
    return [...this.#leftOut];
  }

  readonly keep: KeepFile = async (name, content) => {
    const { history, objects } = this.#stores;
    const path = this.#mask.text(`${this.#folder}/${name}`);
    const key = `${attemptPrefix(this.#attempt)}/artifacts/${path}`;
    const chunks = chunksOf(content);
    const first = await chunks.next();
    const isText = first.done || !first.value.subarray(0, limits.textHeadBytes).includes(0);
    const why = this.#room <= 0 ? this.#tooMuch : whyNotKey(key) && "a file has a name that cannot be kept";
    if (why !== undefined || !isText) {
      if (why !== undefined) this.#leftOut.add(why);
      for await (const _rest of chunks); // An archive goes on after it.
      return;
    }
    const { size, digest } = await objects.put(key, this.#masked(first, chunks), { most: limits.artifactBytes });
    const artifact = { path, size, digest, contentType: "application/octet-stream", key };
    if (await history.attempts.recordArtifact(this.#attempt, artifact)) return;
    await objects.delete(key);
    this.#leftOut.add(`an attempt may have ${limits.attemptArtifacts} artifacts`);
  };

  async *#masked(first: IteratorResult<Uint8Array, void>, chunks: AsyncGenerator<Uint8Array, void>): AsyncIterable<Uint8Array> {
    const stream = this.#mask.stream();
    try {
      for (let next = first; ; next = await chunks.next()) {
        const bytes = next.done ? stream.flush() : stream.push(next.value);
        const kept = bytes.subarray(0, Math.max(0, this.#room));
        if (kept.length < bytes.length) this.#leftOut.add(this.#tooMuch);
        this.#room -= bytes.length;
        yield kept;
        if (next.done) return;
      }
    } finally {
      await chunks.return(); // Where it could not be stored, what it comes from is closed.
    }
  }
}

/** In pieces that hold up nobody while they are masked. */
async function* chunksOf(content: Content): AsyncGenerator<Uint8Array, void> {
  if (typeof content !== "string" && !(content instanceof Uint8Array)) return yield* content;
  const bytes = Buffer.from(content);
  for (let at = 0; at < bytes.length; at += limits.maskPieceBytes) yield bytes.subarray(at, at + limits.maskPieceBytes);
}

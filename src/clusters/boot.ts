/**
 * One cluster from nothing to Ready, and back to nothing when that fails: the part that declared and throwaway clusters share.
 */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { InvalidError, messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { together } from "../base/together.ts";
import { waitFor } from "../base/wait.ts";
import type { Ownership } from "../docker/ownership.ts";
import { KubeClient, parseKubeconfig } from "../kube/client.ts";
import type { Cluster } from "../resources/cluster.ts";
import type { BootThrottle } from "./boot-throttle.ts";
import { collectCluster } from "./collect.ts";
import { keepIn } from "./keep.ts";
import type { ClusterProvider, CreateRequest, RegistryForNodes, Target } from "./provider.ts";
import { waitUntilReady } from "./ready.ts";
import { type ClusterRecord, type ClusterRecords, recordOf } from "./records.ts";
import { quickenDns } from "./quick-dns.ts";
import { publishRegistry } from "./registry-wiring.ts";

export interface BootOptions {
  provider: ClusterProvider;
  records: ClusterRecords;
  throttle: BootThrottle;
  cluster: Cluster;
  ownership: Ownership;
  uid: string;
  registry?: RegistryForNodes | undefined;
  /** As {@link CreateRequest.isIsolated} has it. */
  isIsolated?: CreateRequest["isIsolated"];
  /** More of the record: the Docker host, a pinned port. */
  record?: Partial<ClusterRecord>;
  /** Folder under which the logs of a failed boot are kept. */
  failuresDir: string;
  /** What the error says of where those are. Default: the folder. */
  failuresShownAs?: string | undefined;
  /** For each half of it: from when its images are there until it is made, and until it is Ready. Default: {@link limits.clusterReadyMs}. */
  readyTimeoutMs?: number | undefined;
  onPhase(phase: string, ms: number): void;
  onProgress(line: string): void;
  signal?: AbortSignal | undefined;
}

export interface BootedCluster {
  record: ClusterRecord;
  target: Target;
  kubeconfig: string;
}

/** A new id for one creation. */
export function newUid(): string {
  return randomBytes(8).toString("hex");
}

/**
 * Boots a cluster; the caller holds the lock of its name. When it fails or is aborted, its logs are kept in a folder that
 * the error names, and nothing else of it is left, but the record of one that has a registry beside it.
 */
export async function bootCluster(options: BootOptions): Promise<BootedCluster> {
  const { provider, records, cluster, uid, signal } = options;
  const problems = provider.validate(cluster);
  if (problems.length > 0) throw new InvalidError(problems);
  const name = cluster.metadata.name;
  const record: ClusterRecord = { ...recordOf(cluster, options.ownership, uid, new Date()), ...options.record };
  const target = records.targetOf(record);
  const kubeconfig = records.kubeconfigOf(name);
  const phase = stopwatch(options.onPhase);
  await records.write(record);
  let client: KubeClient | undefined;
  try {
    using slot = await options.throttle.slot(signal);
    phase("wait for a place");
    await within(options.readyTimeoutMs ?? limits.clusterReadyMs, `cluster ${name} was not made`, signal, async (inTime, onPrepared) => {
      await provider.create({
        cluster,
        uid,
        ownership: options.ownership,
        directory: target.directory,
        kubeconfig,
        registry: options.registry,
        network: record.network,
        isIsolated: options.isIsolated,
        apiServerPort: record.apiServerPort,
        onPrepared,
        onProgress: options.onProgress,
        signal: inTime,
      });
    });
    slot.release(); // What follows is mostly waiting: the next boot uses the time.
    phase("create");
    client = new KubeClient(parseKubeconfig(await readFile(kubeconfig, "utf8"), kubeconfig));
    const { registry } = options;
    const api = client;
    await together(signal, (both) => [
      waitUntilReady(provider, target, provider.expectations(cluster), api, {
        timeoutMs: options.readyTimeoutMs,
        signal: both,
        onStep: phase,
        onWait: (missing) => options.onProgress(`still waiting for ${missing}`),
      }),
      registry ? publishWhenUp(api, registry, both) : Promise.resolve(),
      provider.capabilities.hasNodes ? quickenDns(api, both).catch(() => {}) : Promise.resolve(), // Without it, it takes longer.
    ]);
    record.phase = "Ready";
    await records.write(record);
    return { record, target, kubeconfig };
  } catch (error) {
    throw await cleanUpAfter(error, options, target, client);
  } finally {
    await client?.close();
  }
}

/** Ends the work when it takes longer, from when it says that it begins: what hangs in the middle of it (a node, an API server that never listens) must not hold its place. */
async function within(
  ms: number,
  what: string,
  signal: AbortSignal | undefined,
  work: (inTime: AbortSignal, onBegin: () => void) => Promise<void>,
): Promise<void> {
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const begin = () => {
    timer ??= setTimeout(() => late.abort(new SeatrialError("timeout", `${what} in ${ms / 1000} s`, { retryable: true })), ms);
  };
  try {
    await work(signal ? AbortSignal.any([signal, late.signal]) : late.signal, begin);
  } finally {
    clearTimeout(timer);
  }
}

/** The ConfigMap's namespace is among the first things of a new cluster; the API may not answer at all yet. */
async function publishWhenUp(client: KubeClient, registry: RegistryForNodes, signal: AbortSignal): Promise<void> {
  const { hostPort } = await registry.ready;
  const publish = async () =>
    await publishRegistry(client, registry.name, hostPort, signal).then(
      () => true,
      () => undefined,
    );
  await waitFor("the API to take the registry's ConfigMap", publish, {
    timeoutMs: limits.clusterReadyMs,
    pollMs: limits.readyPollMs,
    signal,
  });
}

/** Keeps the logs, deletes what is there, and gives the error to throw. */
async function cleanUpAfter(error: unknown, options: BootOptions, target: Target, client: KubeClient | undefined): Promise<unknown> {
  const { provider, records } = options;
  const logs = join(options.failuresDir, `${target.name}-${target.uid.slice(0, 8)}`);
  const wasAborted = options.signal?.aborted ?? false;
  if (!wasAborted) await collectCluster(provider, target, keepIn(logs), client);
  try {
    await provider.delete(target);
    // A registry beside it is for whoever made that to remove, and is found by the record.
    if (options.record?.registry === undefined) await records.remove(target.name);
  } catch (second) {
    // The record stays: the next command, or `seatrial reap`, finds what could not be deleted.
    return new SeatrialError(
      "command-failed",
      `${whyNotMade(target, messageOf(error))}\nand what was made of it could not be deleted: ${messageOf(second)}`,
      {
        hint: "seatrial reap deletes it when Docker answers again",
        cause: error,
      },
    );
  }
  if (wasAborted || !(error instanceof SeatrialError)) return error;
  const kept = existsSync(logs) ? `\nits logs are in ${options.failuresShownAs ?? logs}` : "";
  return new SeatrialError(error.code, `${whyNotMade(target, error.message)}${kept}`, {
    hint: error.hint,
    cause: error,
    retryable: error.retryable,
  });
}

/** Whatever went wrong at whatever step, whoever reads it asks first for which cluster. */
function whyNotMade({ name }: Target, message: string): string {
  return message.startsWith(`cluster ${name} `) ? message : `cluster ${name} was not made: ${message}`;
}

/** Reports the time since the last call, as the duration of the phase that has just ended. */
function stopwatch(onPhase: (phase: string, ms: number) => void): (phase: string) => void {
  let last = performance.now();
  return (phase) => {
    const now = performance.now();
    onPhase(phase, now - last);
    last = now;
  };
}

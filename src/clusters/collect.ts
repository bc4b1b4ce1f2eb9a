/** What is kept of a cluster that failed: events, pods and their logs, as its API still tells them, and the provider's logs. */
import { createHash } from "node:crypto";
import { limits } from "../base/limits.ts";
import type { KubeClient, KubeObject } from "../kube/client.ts";
import { keepBelow, keepError, type KeepFile, keepPart } from "./keep.ts";
import type { ClusterProvider, Target } from "./provider.ts";

interface PodParts {
  spec: { containers: { name: string }[]; initContainers?: { name: string }[] };
  status?: { phase?: string };
}

/**
 * Collects `events.txt`, `pods.txt`, `pods/NAMESPACE_POD_CONTAINER.log`, and below `nodes` what the provider has. Keeps what it
 * can get within {@link limits.collectLogsMs}, and never throws: it runs while something else has failed.
 * @param client undefined when there never was an API. @param stop ends it early, with what there is by then.
 */
export async function collectCluster(
  provider: ClusterProvider,
  target: Target,
  keep: KeepFile,
  client: KubeClient | undefined,
  stop?: AbortSignal,
): Promise<void> {
  const timeout = AbortSignal.timeout(limits.collectLogsMs);
  const signal = stop ? AbortSignal.any([stop, timeout]) : timeout;
  await Promise.all([
    provider.collectLogs(target, keepBelow(keep, "nodes"), signal).catch(async (error: unknown) => await keepError(keep, "nodes", error)),
    ...(client
      ? [
          keepPart(keep, "events.txt", async () => formatEvents(await client.list("/api/v1/events", signal, limits.collectEvents))),
          collectPods(client, keep, signal).catch(async (error: unknown) => await keepError(keep, "pods.txt", error)),
        ]
      : []),
  ]);
}

async function collectPods(client: KubeClient, keep: KeepFile, signal: AbortSignal): Promise<void> {
  const pods = await client.list<KubeObject & PodParts>("/api/v1/pods", signal, limits.collectPods);
  if (pods.length === 0) return;
  const lines = pods.map((pod) => `${pod.metadata.namespace}/${pod.metadata.name} ${pod.status?.phase ?? ""}`);
  await keep("pods.txt", `${lines.join("\n")}\n`);
  for (const pod of pods) {
    const { namespace = "", name: podName } = pod.metadata;
    for (const { name } of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
      const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(podName)}/log?container=${encodeURIComponent(name)}&limitBytes=${limits.collectLogBytes}&timestamps=true`;
      // The API may be a job's own: a name need not be one.
      const file = fileName([namespace, podName, name].join("_"));
      await keepPart(keep, `pods/${file}.log`, async () => await client.text(path, signal));
    }
  }
}

/** A long one is cut, and ends with a digest of all of it: no two are the same. */
function fileName(text: string): string {
  const encoded = encodeURIComponent(text.toWellFormed());
  if (encoded.length <= limits.archiveNameLength) return encoded;
  const digest = createHash("sha256").update(text).digest("hex").slice(0, 12);
  return `${encoded.slice(0, limits.archiveNameLength - digest.length - 1)}~${digest}`;
}

function formatEvents(events: KubeObject[]): string {
  type Event = KubeObject & {
    lastTimestamp?: string;
    eventTime?: string;
    type?: string;
    reason?: string;
    message?: string;
    involvedObject?: { kind?: string; name?: string; namespace?: string };
  };
  const time = (event: Event) => event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? "";
  return (events as Event[])
    .sort((a, b) => time(a).localeCompare(time(b)))
    .map((event) => {
      const { kind, namespace, name } = event.involvedObject ?? {};
      return `${time(event)} ${event.type ?? ""} ${event.reason ?? ""} ${kind}/${namespace ? `${namespace}/` : ""}${name}: ${event.message ?? ""}\n`;
    })
    .join("");
}

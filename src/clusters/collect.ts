/** What is kept of a cluster that failed: events, pods and their logs, as its API still tells them, and the provider's logs. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { KubeClient, KubeObject } from "../kube/client.ts";
import type { ClusterProvider, Target } from "./provider.ts";

interface PodParts {
  spec: { containers: { name: string }[]; initContainers?: { name: string }[] };
  status?: { phase?: string };
}

/**
 * Collects into `directory`: `events.txt`, `pods.txt`, `pods/NAMESPACE_POD_CONTAINER.log`, and what the provider has. Keeps
 * what it can get within {@link limits.collectLogsMs}, and never throws: it runs while something else has failed.
 * @param client undefined when there never was an API.
 */
export async function collectCluster(
  provider: ClusterProvider,
  target: Target,
  directory: string,
  client: KubeClient | undefined,
): Promise<void> {
  const signal = AbortSignal.timeout(limits.collectLogsMs);
  await mkdir(directory, { recursive: true });
  const keep = async (file: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      await writeFile(join(directory, `${file}.error`), `${messageOf(error)}\n`).catch(() => {});
    }
  };
  await Promise.all([
    keep("nodes", async () => await provider.collectLogs(target, join(directory, "nodes"), signal)),
    ...(client
      ? [
          keep(
            "events.txt",
            async () =>
              await writeFile(
                join(directory, "events.txt"),
                formatEvents(await client.list("/api/v1/events", signal, limits.collectEvents)),
              ),
          ),
          keep("pods.txt", async () => await collectPods(client, directory, signal)),
        ]
      : []),
  ]);
}

async function collectPods(client: KubeClient, directory: string, signal: AbortSignal): Promise<void> {
  const pods = await client.list<KubeObject & PodParts>("/api/v1/pods", signal, limits.collectPods);
  if (pods.length === 0) return;
  const lines = pods.map((pod) => `${pod.metadata.namespace}/${pod.metadata.name} ${pod.status?.phase ?? ""}`);
  await writeFile(join(directory, "pods.txt"), `${lines.join("\n")}\n`);
  await mkdir(join(directory, "pods"), { recursive: true });
  for (const pod of pods) {
    const { namespace = "", name: podName } = pod.metadata;
    for (const { name } of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
      const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(podName)}/log?container=${encodeURIComponent(name)}&limitBytes=${limits.collectLogBytes}&timestamps=true`;
      const text = await client.text(path, signal).catch((error: unknown) => `(no log: ${messageOf(error)})\n`);
      // The API may be a job's own: a name need not be one.
      const file = encodeURIComponent([namespace, podName, name].join("_")).slice(0, limits.archiveNameLength);
      await writeFile(join(directory, "pods", `${file}.log`), text);
    }
  }
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

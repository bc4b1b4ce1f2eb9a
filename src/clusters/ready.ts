/**
 * Ready, as the design defines it: `/readyz`; where nodes are expected, all of them Ready; where a controller-manager runs,
 * the default ServiceAccount; where DNS is deployed, an answer from it. Each is asked in turn, and none is taken on trust.
 */
import { randomInt } from "node:crypto";
import { SeatrialError, messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";
import type { KubeClient, KubeObject } from "../kube/client.ts";
import type { ClusterProvider, Expectations, Target } from "./provider.ts";

export interface ReadyOptions {
  timeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called when one of the steps has been seen. */
  onStep?: ((step: string) => void) | undefined;
  /** Called every {@link limits.explainWaitMs} with what is still missing. */
  onWait?: ((missing: string) => void) | undefined;
}

/**
 * Waits until the cluster is Ready.
 * @throws SeatrialError `timeout` that names the step and what was seen last; `command-failed` at once when the cluster
 * cannot become Ready any more.
 */
export async function waitUntilReady(
  provider: ClusterProvider,
  target: Target,
  expected: Expectations,
  client: KubeClient,
  options: ReadyOptions = {},
): Promise<void> {
  const timeoutMs = options.timeoutMs ?? limits.clusterReadyMs;
  const deadline = performance.now() + timeoutMs;
  let nextTroubleCheck = 0;
  let nextExplanation = performance.now() + limits.explainWaitMs;
  for (const step of steps(provider, target, expected, client, options.signal)) {
    for (;;) {
      options.signal?.throwIfAborted();
      const missing = await step.missing().catch((error: unknown) => {
        options.signal?.throwIfAborted();
        return messageOf(error);
      });
      if (missing === undefined) break;
      const now = performance.now();
      if (now > nextTroubleCheck) {
        nextTroubleCheck = now + 1_000; // Costs a call to Docker or a look at /proc: rarely, beside the polls.
        const trouble = await provider.trouble(target);
        if (trouble) throw new SeatrialError("command-failed", `cluster ${target.name} will not become Ready: ${trouble}`);
      }
      if (now > nextExplanation) {
        nextExplanation = now + limits.explainWaitMs;
        options.onWait?.(`${step.name}: ${missing}`);
      }
      if (now > deadline) {
        throw new SeatrialError(
          "timeout",
          `cluster ${target.name} was not Ready after ${timeoutMs / 1000} s; still missing: ${step.name} (${missing})`,
          { retryable: true },
        );
      }
      await pause(limits.readyPollMs, options.signal);
    }
    options.onStep?.(step.name);
  }
}

interface Step {
  name: string;
  /** What is missing, as a phrase; undefined when nothing is. */
  missing(): Promise<string | undefined>;
}

function steps(
  provider: ClusterProvider,
  target: Target,
  expected: Expectations,
  client: KubeClient,
  signal: AbortSignal | undefined,
): Step[] {
  const all: Step[] = [
    {
      name: "API",
      missing: async () => {
        await client.text("/readyz", signal);
        return undefined;
      },
    },
  ];
  if (expected.nodes > 0)
    all.push({ name: "nodes", missing: async () => unreadyNodes(await client.list("/api/v1/nodes", signal), expected.nodes) });
  if (expected.hasControllerManager) {
    all.push({
      name: "default ServiceAccount",
      missing: async () =>
        (await client.get("/api/v1/namespaces/default/serviceaccounts/default", signal)) ? undefined : "it is not there",
    });
  }
  if (expected.nodes > 0 && provider.askDns) {
    all.push({ name: "DNS", missing: async () => await missingDns(provider, target, expected, client, signal) });
  }
  return all;
}

function unreadyNodes(nodes: KubeObject[], expected: number): string | undefined {
  type Condition = { type: string; status: string; message?: string };
  const ready = (node: KubeObject) => (node["status"] as { conditions?: Condition[] }).conditions?.find(({ type }) => type === "Ready");
  const waiting = nodes.filter((node) => ready(node)?.status !== "True");
  if (nodes.length < expected) return `${nodes.length} of ${expected} have registered`;
  if (waiting.length === 0) return undefined;
  return waiting.map((node) => `${node.metadata.name}: ${ready(node)?.message ?? "no Ready condition yet"}`).join("; ");
}

async function missingDns(
  provider: ClusterProvider,
  target: Target,
  expected: Expectations,
  client: KubeClient,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const service = await client.get("/api/v1/namespaces/kube-system/services/kube-dns", signal);
  if (!service) return undefined; // No DNS is deployed: none is expected.
  const slices = await client.list(
    "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dkube-dns",
    signal,
  );
  const hasEndpoint = slices.some((slice) =>
    (slice["endpoints"] as { conditions?: { ready?: boolean } }[] | null)?.some(({ conditions }) => conditions?.ready),
  );
  if (!hasEndpoint) return "no pod of kube-dns is ready";
  const address = (service["spec"] as { clusterIP: string }).clusterIP;
  const { id, query } = dnsQuery(`kubernetes.default.svc.${expected.clusterDomain}`);
  const answer = await provider.askDns!(target, address, query, signal);
  return answer ? wrongAnswer(answer, id) : `no answer from ${address}:53`;
}

/** A DNS query for an A record, in the framing of DNS over TCP (RFC 1035, 4.1 and 4.2.2). */
export function dnsQuery(name: string): { id: number; query: Buffer } {
  const id = randomInt(1, 0xffff);
  const labels = name.split(".").flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, "ascii")]);
  const header = Buffer.from([id >> 8, id & 0xff, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]); // Recursion desired, one question.
  const message = Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]); // Type A, class IN.
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return { id, query: Buffer.concat([length, message]) };
}

/** What is wrong with a framed answer; undefined when it has at least one record. */
export function wrongAnswer(framed: Buffer, id: number): string | undefined {
  const message = framed.subarray(2);
  if (message.length < 12 || message.readUInt16BE(0) !== id) return "the answer was to another question";
  const code = message[3]! & 0x0f;
  if (code !== 0) return `the answer was error ${code}`;
  return message.readUInt16BE(6) > 0 ? undefined : "the answer was empty";
}

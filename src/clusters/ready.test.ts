import { describe, expect, test } from "vitest";
import { SeatrialError } from "../base/errors.ts";
import type { KubeClient } from "../kube/client.ts";
import type { ClusterProvider, Expectations, Target } from "./provider.ts";
import { dnsQuery, waitUntilReady, wrongAnswer } from "./ready.ts";

const target: Target = { name: "demo", uid: "u", directory: "/nowhere" };
const all: Expectations = { nodes: 2, hasControllerManager: true, clusterDomain: "cluster.local" };

interface World {
  isUp: boolean;
  /** For each node whether it is Ready. */
  nodes: boolean[];
  hasServiceAccount: boolean;
  dns: "absent" | "starting" | "silent" | "wrong" | "answers";
  trouble?: string;
}

const ready: World = { isUp: true, nodes: [true, true], hasServiceAccount: true, dns: "answers" };

function worldOf(world: World) {
  const asked: string[] = [];
  const up = <T>(value: T): Promise<T> =>
    world.isUp ? Promise.resolve(value) : Promise.reject(new SeatrialError("unreachable", "nothing listens there"));
  const client = {
    text: async (path: string) => await up((asked.push(path), "ok")),
    get: async (path: string) =>
      await up(
        path.includes("serviceaccounts")
          ? world.hasServiceAccount
            ? {}
            : undefined
          : world.dns === "absent"
            ? undefined
            : { spec: { clusterIP: "10.96.0.10" } },
      ),
    list: async (path: string) =>
      await up(
        path.endsWith("/nodes")
          ? world.nodes.map((isReady, i) => ({
              metadata: { name: `n${i}` },
              status: { conditions: [{ type: "Ready", status: isReady ? "True" : "False", message: "cni is not initialized" }] },
            }))
          : [{ endpoints: world.dns === "starting" ? null : [{ conditions: { ready: true } }] }],
      ),
  } as unknown as KubeClient;
  const provider = {
    trouble: async () => await Promise.resolve(world.trouble),
    askDns: async (_: Target, address: string, query: Buffer) => {
      asked.push(address);
      const answer = Buffer.alloc(14);
      query.copy(answer, 2, 2, 4);
      if (world.dns === "answers") answer.writeUInt16BE(1, 8);
      return await Promise.resolve(world.dns === "silent" ? undefined : answer);
    },
  } as unknown as ClusterProvider;
  return { client, provider, asked };
}

async function outcome(
  world: World,
  expected = all,
  timeoutMs = 400,
): Promise<{ steps: string[]; error?: SeatrialError; asked: string[] }> {
  const { client, provider, asked } = worldOf(world);
  const steps: string[] = [];
  try {
    await waitUntilReady(provider, target, expected, client, { timeoutMs, onStep: (step) => steps.push(step) });
    return { steps, asked };
  } catch (error) {
    return { steps, asked, error: error as SeatrialError };
  }
}

describe("a cluster is Ready", () => {
  test("when each step was seen, in this order", async () => {
    const { steps, error, asked } = await outcome(ready);
    expect(error).toBeUndefined();
    expect(steps).toEqual(["API", "nodes", "default ServiceAccount", "DNS"]);
    expect(asked).toEqual(["/readyz", "10.96.0.10"]);
  });

  test.each<[string, Partial<Expectations>, string[]]>([
    ["no nodes", { nodes: 0 }, ["API", "default ServiceAccount"]],
    ["no controller-manager", { hasControllerManager: false }, ["API", "nodes", "DNS"]],
    ["the API alone", { nodes: 0, hasControllerManager: false }, ["API"]],
  ])("with what is expected of it: %s", async (_, expected, steps) => {
    expect((await outcome(ready, { ...all, ...expected })).steps).toEqual(steps);
  });

  test("without DNS, when none is deployed", async () => {
    expect(await outcome({ ...ready, dns: "absent" })).toMatchObject({ steps: expect.arrayContaining(["DNS"]), asked: ["/readyz"] });
  });

  test.each<[string, Partial<World>, string]>([
    ["the API is silent", { isUp: false }, "API (nothing listens there)"],
    ["a node has not registered", { nodes: [true] }, "nodes (1 of 2 have registered)"],
    ["a node is not Ready", { nodes: [true, false] }, "nodes (n1: cni is not initialized)"],
    ["no ServiceAccount", { hasServiceAccount: false }, "default ServiceAccount (it is not there)"],
    ["no DNS pod is ready", { dns: "starting" }, "DNS (no pod of kube-dns is ready)"],
    ["DNS is silent", { dns: "silent" }, "DNS (no answer from 10.96.0.10:53)"],
    ["DNS knows no answer", { dns: "wrong" }, "DNS (the answer was empty)"],
  ])("not as long as %s; the error says so", async (_, world, missing) => {
    const { error } = await outcome({ ...ready, ...world });
    expect(error).toMatchObject({
      code: "timeout",
      retryable: true,
      message: `cluster demo was not Ready after 0.4 s; still missing: ${missing}`,
    });
  });

  test("never again when a part has ended: no waiting then", async () => {
    const from = performance.now();
    const { error } = await outcome({ ...ready, isUp: false, trouble: "node demo-control-plane is exited" }, all, 60_000);
    expect(error).toMatchObject({
      code: "command-failed",
      message: "cluster demo will not become Ready: node demo-control-plane is exited",
    });
    expect(performance.now() - from).toBeLessThan(10_000);
  });

  test("the wait ends with the signal", async () => {
    const { client, provider } = worldOf({ ...ready, isUp: false });
    const signal = AbortSignal.timeout(50);
    await expect(waitUntilReady(provider, target, all, client, { signal })).rejects.toBe(
      await new Promise((resolve) => signal.addEventListener("abort", () => resolve(signal.reason))),
    );
  });
});

describe("DNS over TCP", () => {
  test("a query, framed", () => {
    const { id, query } = dnsQuery("a.bc");
    expect(query.readUInt16BE(0)).toBe(query.length - 2);
    expect(query.readUInt16BE(2)).toBe(id);
    expect(query.subarray(14)).toEqual(Buffer.from([1, 0x61, 2, 0x62, 0x63, 0, 0, 1, 0, 1]));
  });

  const answer = (id: number, code: number, answers: number) =>
    Buffer.from([0, 12, id >> 8, id & 255, 0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
  test.each<[string, Buffer, string | undefined]>([
    ["an answer", answer(7, 0, 1), undefined],
    ["to another question", answer(8, 0, 1), "the answer was to another question"],
    ["NXDOMAIN", answer(7, 3, 0), "the answer was error 3"],
    ["SERVFAIL", answer(7, 2, 0), "the answer was error 2"],
    ["no records", answer(7, 0, 0), "the answer was empty"],
    ["cut off", answer(7, 0, 1).subarray(0, 8), "the answer was to another question"],
    ["nothing", Buffer.alloc(0), "the answer was to another question"],
  ])("%s", (_, framed, expected) => {
    expect(wrongAnswer(framed, 7)).toBe(expected);
  });
});

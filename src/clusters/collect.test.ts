/** What is collected of a cluster whose API says what a job likes: a stand-in, since no real one lies. */
import { expect, test } from "vitest";
import { limits } from "../base/limits.ts";
import { KubeClient, parseKubeconfig } from "../kube/client.ts";
import { collectCluster } from "./collect.ts";
import type { KeepFile } from "./keep.ts";
import type { ClusterProvider } from "./provider.ts";
import { type ClusterApiContent, serveClusterApi } from "./testdata/cluster-api.ts";

const target = { name: "c", uid: "1", directory: "/nowhere" };

async function collected(content: ClusterApiContent, collectLogs: ClusterProvider["collectLogs"] = async () => {}) {
  await using api = await serveClusterApi(content);
  await using client = new KubeClient(parseKubeconfig(api.kubeconfig, "test"));
  const files: Record<string, string> = {};
  const keep: KeepFile = async (path, text) => void (await Promise.resolve((files[path] = text as string)));
  await collectCluster({ collectLogs } as ClusterProvider, target, keep, client);
  return { files, requests: api.requests.map(({ pathname, search }) => pathname + search) };
}

const pod = (name: string, ...containers: string[]) => ({
  metadata: { namespace: "default", name },
  spec: { containers: containers.map((each) => ({ name: each })) },
});

test("events, pods, their logs, and what the provider has", async () => {
  const event = {
    metadata: { name: "e" },
    type: "Warning",
    reason: "Sinking",
    message: "water",
    involvedObject: { kind: "Pod", name: "a" },
  };
  const { files } = await collected(
    { events: [event], pods: [pod("boat", "main", "side")], logs: { main: "said\n" } },
    async (_target, keep) => await keep("a/journal.log", "node\n"),
  );
  expect(files).toEqual({
    "events.txt": " Warning Sinking Pod/a: water\n",
    "pods.txt": "default/boat \n",
    "pods/default_boat_main.log": "said\n",
    "pods/default_boat_side.log.error": expect.stringContaining("there is no"),
    "nodes/a/journal.log": "node\n",
  });
});

test("of lists without end the first ones, in pages that memory bears", async () => {
  const { files, requests } = await collected({
    events: [{ metadata: { name: "e" } }],
    pods: [pod("p", "c")],
    logs: { c: "x" },
    isEndless: true,
  });
  expect(files["events.txt"]!.trim().split("\n")).toHaveLength(limits.collectEvents);
  expect(files["pods.txt"]!.trim().split("\n")).toHaveLength(limits.collectPods);
  expect(requests.filter((each) => each.startsWith("/api/v1/events"))).toEqual([`/api/v1/events?limit=${limits.collectEvents}`]);
});

test.each<[string, string, string]>([
  ["leads out", "../../../etc/passwd", "pods/default_p_..%2F..%2F..%2Fetc%2Fpasswd.log"],
  ["has a question", "c&previous=true", "pods/default_p_c%26previous%3Dtrue.log"],
])("a container's name that %s is a name and no more", async (_name, container, file) => {
  const { files, requests } = await collected({ pods: [pod("p", container)], logs: { [container]: "said" } });
  expect(files[file]).toBe("said");
  expect(new Set(requests.map((each) => each.split("?")[0]))).toEqual(
    new Set(["/api/v1/events", "/api/v1/pods", "/api/v1/namespaces/default/pods/p/log"]),
  );
});

test("names that are too long are cut, and stay different", async () => {
  const containers = ["a", "b"].map((end) => "c".repeat(5_000) + end);
  const logs = Object.fromEntries(containers.map((name) => [name, `of ${name.at(-1)}`]));
  const { files } = await collected({ pods: [pod("p", ...containers)], logs });
  const names = Object.keys(files).filter((name) => name.startsWith("pods/"));
  expect(new Set(names.map((name) => files[name]))).toEqual(new Set(["of a", "of b"]));
  for (const name of names) {
    expect(name).toMatch(/^pods\/default_p_c+~[0-9a-f]{12}\.log$/);
    expect(name.length).toBe("pods/.log".length + limits.archiveNameLength);
  }
});

test("a part that cannot be had says why, and the others are there", async () => {
  const { files } = await collected({ events: [] }, async () => await Promise.reject(new Error("Docker is away")));
  expect(files).toEqual({ "events.txt": "", "nodes.error": "Docker is away\n" });
});

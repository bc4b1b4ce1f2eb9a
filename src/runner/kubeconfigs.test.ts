import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { mergeKubeconfigs, writeKubeconfigs } from "./kubeconfigs.ts";

/** As kind writes it: the same names in every one would collide. */
function kubeconfig(server: string, more: object = {}): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "kind",
    contexts: [
      { name: "other", context: { cluster: "x", user: "x" } },
      { name: "kind", context: { cluster: "kind", user: "admin", namespace: "a" } },
    ],
    clusters: [{ name: "kind", cluster: { server } }],
    users: [{ name: "admin", user: { token: server } }],
    ...more,
  });
}

test("several become one, with a context for each by the cluster's name; the first is current", () => {
  expect(
    mergeKubeconfigs([
      { name: "east", kubeconfig: kubeconfig("https://1") },
      { name: "west", kubeconfig: kubeconfig("https://2") },
    ]),
  ).toEqual({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "east",
    contexts: [
      { name: "east", context: { cluster: "east", user: "east", namespace: "a" } },
      { name: "west", context: { cluster: "west", user: "west", namespace: "a" } },
    ],
    clusters: [
      { name: "east", cluster: { server: "https://1" } },
      { name: "west", cluster: { server: "https://2" } },
    ],
    users: [
      { name: "east", user: { token: "https://1" } },
      { name: "west", user: { token: "https://2" } },
    ],
  });
});

test("one without a current context is refused by name", () => {
  expect(() => mergeKubeconfigs([{ name: "east", kubeconfig: kubeconfig("https://1", { "current-context": "none" }) }])).toThrow(
    "the kubeconfig of cluster east has no current context",
  );
});

test("files and variables", async () => {
  const folder = await mkdtemp(join(tmpdir(), "kube-"));
  onTestFinished(async () => await rm(folder, { recursive: true }));
  const directory = join(folder, "kube");
  const clusters = [
    { name: "a-b", kubeconfig: kubeconfig("https://1"), registry: "localhost:5000", registryInCluster: "registry:5000" },
    { name: "c", kubeconfig: kubeconfig("https://2") },
  ];
  expect(writeKubeconfigs(clusters, directory)).toEqual({
    KUBECONFIG: join(directory, "kubeconfig"),
    KUBECONFIG_A_B: join(directory, "a-b.kubeconfig"),
    KUBECONFIG_C: join(directory, "c.kubeconfig"),
    REGISTRY: "localhost:5000",
    REGISTRY_IN_CLUSTER: "registry:5000",
    REGISTRY_A_B: "localhost:5000",
    REGISTRY_IN_CLUSTER_A_B: "registry:5000",
  });
  expect(await readFile(join(directory, "c.kubeconfig"), "utf8")).toBe(clusters[1]!.kubeconfig);
  expect((await stat(directory)).mode & 0o777).toBe(0o700);
  expect((await stat(join(directory, "kubeconfig"))).mode & 0o777).toBe(0o600);
  expect(writeKubeconfigs([], directory)).toEqual({});
});

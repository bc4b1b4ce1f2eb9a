import { describe, expect, test } from "vitest";
import type { Cluster, ClusterSpec } from "../resources/cluster.ts";
import { kindConfigOf, type KindConfigOptions } from "./kind-config.ts";

const config = (spec: Partial<ClusterSpec>, options: Partial<KindConfigOptions> = {}) => {
  const cluster: Cluster = {
    apiVersion: "seatrial.dev/v1alpha1",
    kind: "Cluster",
    metadata: { name: "demo" },
    spec: { provider: "kind", ...spec },
  };
  return kindConfigOf(cluster, { images: new Map([["", "node:labelled"]]), isCgroupV1: false, ...options });
};

describe("kind's configuration", () => {
  test("of a cluster that asks for nothing", () => {
    expect(config({})).toEqual({
      kind: "Cluster",
      apiVersion: "kind.x-k8s.io/v1alpha4",
      name: "demo",
      nodes: [{ role: "control-plane", image: "node:labelled" }],
      networking: { apiServerPort: -1 },
    });
  });

  test.each<[string, Partial<ClusterSpec>, object]>([
    ["nodes: the first is the control plane", { nodes: 3 }, { nodes: [{ role: "control-plane" }, { role: "worker" }, { role: "worker" }] }],
    [
      "kind's own nodes",
      { kind: { config: { nodes: [{ role: "worker" }, { role: "control-plane" }] } } },
      { nodes: [{ role: "worker" }, { role: "control-plane" }] },
    ],
    ["an empty list of nodes is none", { kind: { config: { nodes: [] } } }, { nodes: [{ role: "control-plane" }] }],
    [
      "subnets",
      { podSubnet: "10.1.0.0/16", serviceSubnet: "10.2.0.0/16" },
      { networking: { podSubnet: "10.1.0.0/16", serviceSubnet: "10.2.0.0/16", apiServerPort: -1 } },
    ],
    [
      "kind's own networking",
      { kind: { config: { networking: { ipFamily: "dual", podSubnet: "10.3.0.0/16" } } } },
      { networking: { ipFamily: "dual", podSubnet: "10.3.0.0/16" } },
    ],
    [
      "feature gates of both",
      { featureGates: { A: true }, kind: { config: { featureGates: { B: false } } } },
      { featureGates: { A: true, B: false } },
    ],
    [
      "a domain",
      { clusterDomain: "corp.local" },
      {
        kubeadmConfigPatches: [expect.stringContaining('dnsDomain: "corp.local"'), expect.stringContaining('clusterDomain: "corp.local"')],
      },
    ],
    [
      "patches of the user come first",
      { clusterDomain: "x.y", kind: { config: { kubeadmConfigPatches: ["mine"] } } },
      { kubeadmConfigPatches: ["mine", expect.any(String), expect.any(String)] },
    ],
    [
      "the rest of kind's block",
      { kind: { config: { runtimeConfig: { "api/alpha": "true" } } } },
      { runtimeConfig: { "api/alpha": "true" } },
    ],
  ])("%s", (_, spec, expected) => {
    expect(config(spec)).toMatchObject(expected);
  });

  test.each<[string, Partial<ClusterSpec>, number | undefined, number]>([
    ["chosen by the daemon at each start", {}, undefined, -1],
    ["pinned", {}, 4711, 4711],
    ["the user's own", { kind: { config: { networking: { apiServerPort: 6443 } } } }, 4711, 6443],
    ["0 is no choice", { kind: { config: { networking: { apiServerPort: 0 } } } }, undefined, -1],
  ])("the API's port: %s", (_, spec, apiServerPort, expected) => {
    expect(config(spec, { apiServerPort }).networking?.apiServerPort).toBe(expected);
  });

  test.each<[string | undefined, boolean]>([
    ["v1.31.2", true],
    ["v1.32", false],
    ["v1.36.3", false],
    [undefined, false],
  ])("containerd of %s is told of certs.d: %s", (kubernetesVersion, isTold) => {
    const patches = config({ registry: "reg", kubernetesVersion }).containerdConfigPatches;
    expect(patches?.some((patch) => patch.includes("certs.d")) ?? false).toBe(isTold);
    expect(config({ kubernetesVersion }).containerdConfigPatches).toBeUndefined();
  });

  test.each<[string | undefined, boolean, boolean]>([
    ["v1.36", true, true],
    [undefined, true, true],
    ["v1.35.4", true, true],
    ["v1.34", true, false],
    ["v1.36", false, false],
  ])("kubelet %s on cgroup v1 (%s) is told to start: %s", (kubernetesVersion, isCgroupV1, isTold) => {
    expect(JSON.stringify(config({ kubernetesVersion }, { isCgroupV1 })).includes("failCgroupV1")).toBe(isTold);
  });

  test("images that the user named are replaced by those that carry our labels", () => {
    const images = new Map([
      ["", "plain:labelled"],
      ["mine:1", "mine:labelled"],
    ]);
    const nodes = config(
      { kind: { config: { nodes: [{ role: "control-plane", image: "mine:1" }, { role: "worker" }] } } },
      { images },
    ).nodes;
    expect(nodes?.map(({ image }) => image)).toEqual(["mine:labelled", "plain:labelled"]);
  });
});

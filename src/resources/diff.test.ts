import { expect, test } from "vitest";
import type { Cluster, ClusterSpec, ClusterStatus } from "./cluster.ts";
import { diffCluster, formatDiff } from "./diff.ts";

const cluster = (spec: Partial<ClusterSpec>, status?: ClusterStatus): Cluster => ({
  apiVersion: "seatrial.dev/v1alpha1",
  kind: "Cluster",
  metadata: { name: "demo" },
  spec: { provider: "kind", ...spec },
  ...(status ? { status } : {}),
});

type Row = [name: string, current: Cluster, desired: Cluster, lines: string[]];
const running = { kubernetesVersion: "v1.36.3" };
const auth = { host: "docker.io", endpoint: "https://registry-1.docker.io" };

const same: Row[] = [
  ["nothing said", cluster({}), cluster({}), []],
  ["the newest patch of the minor that runs", cluster({}, running), cluster({ kubernetesVersion: "v1.36" }), []],
  ["no version asked for", cluster({}, running), cluster({}), []],
  ["a version that is not known", cluster({}), cluster({ kubernetesVersion: "v1.35" }), []],
  ["the default, said aloud", cluster({}), cluster({ nodes: 1, clusterDomain: "cluster.local", podSubnet: "10.244.0.0/16" }), []],
  ["nodes said natively, now portably", cluster({ kind: { config: { nodes: [{}, { role: "worker" }] } } }), cluster({ nodes: 2 }), []],
  ["kind's block left out, as in ctlptl", cluster({ kind: { config: { nodes: [{}, {}] } } }), cluster({}), []],
  [
    "empty fields in kind's block",
    cluster({ kind: { config: { nodes: [{}] } } }),
    cluster({ kind: { config: { name: "demo", nodes: [{ image: "", labels: {} }], networking: {} } } }),
    [],
  ],
  ["the registry left out, as in ctlptl", cluster({ registry: "a" }), cluster({}), []],
  ["registry auths left out, as in ctlptl", cluster({ registryAuths: [auth] }), cluster({}), []],
  [
    "components in another order",
    cluster({ provider: "bare", bare: { components: ["kwok", "scheduler"] } }),
    cluster({ provider: "bare", bare: { components: ["scheduler", "kwok"] } }),
    [],
  ],
  [
    "arguments of creation, minimum of CPUs",
    cluster({ minCPUs: 1 }),
    cluster({ minCPUs: 2, kind: { extraCreateArguments: ["--retain"] } }),
    [],
  ],
];
const recreated: Row[] = [
  [
    "another provider says it all",
    cluster({ nodes: 2 }),
    cluster({ provider: "bare" }),
    ["- spec.provider: kind", "+ spec.provider: bare"],
  ],
  [
    "another minor",
    cluster({}, running),
    cluster({ kubernetesVersion: "v1.35" }),
    ["- spec.kubernetesVersion: v1.36.3", "+ spec.kubernetesVersion: v1.35"],
  ],
  [
    "another exact patch",
    cluster({}, running),
    cluster({ kubernetesVersion: "v1.36.2" }),
    ["- spec.kubernetesVersion: v1.36.3", "+ spec.kubernetesVersion: v1.36.2"],
  ],
  ["more nodes", cluster({}), cluster({ nodes: 2 }), ["- spec.nodes: 1", "+ spec.nodes: 2"]],
  ["nodes taken out", cluster({ nodes: 3 }), cluster({}), ["- spec.nodes: 3", "+ spec.nodes: 1"]],
  ["another domain", cluster({}), cluster({ clusterDomain: "a.b" }), ["- spec.clusterDomain: cluster.local", "+ spec.clusterDomain: a.b"]],
  [
    "one gate of two",
    cluster({ featureGates: { A: true, B: true } }),
    cluster({ featureGates: { A: true, B: false } }),
    ["- spec.featureGates.B: true", "+ spec.featureGates.B: false"],
  ],
  [
    "a node in kind's block",
    cluster({ kind: { config: { nodes: [{}] } } }),
    cluster({ kind: { config: { nodes: [{}, { role: "worker" }] } } }),
    ['+ spec.kind.config.nodes[1]: {"role":"worker"}'],
  ],
  ["a first registry", cluster({}), cluster({ registry: "r" }), ["+ spec.registry: r"]],
  [
    "a component more",
    cluster({ provider: "bare" }),
    cluster({ provider: "bare", bare: { components: ["kwok"] } }),
    ["- spec.bare.components: []", '+ spec.bare.components: ["kwok"]'],
  ],
];
const inPlace: Row[] = [
  ["a registry auth", cluster({}), cluster({ registryAuths: [auth] }), [`+ spec.registryAuths: [${JSON.stringify(auth)}]`]],
  [
    "a password, which is not shown",
    cluster({ registryAuths: [{ ...auth, password: "old" }] }),
    cluster({ registryAuths: [{ ...auth, password: "new" }] }),
    [`- spec.registryAuths: [${JSON.stringify(auth)}]`, `+ spec.registryAuths: [${JSON.stringify(auth)}]`, "  (its credentials differ)"],
  ],
];

test.each(same)("no difference: %s", (_, current, desired) => {
  expect(diffCluster(current, desired)).toEqual([]);
});

test.each([...recreated.map((row) => ["recreate", ...row] as const), ...inPlace.map((row) => ["in-place", ...row] as const)])(
  "%s: %s",
  (change, _, current, desired, lines) => {
    const differences = diffCluster(current, desired);
    expect(formatDiff(differences)).toEqual(lines);
    expect(new Set(differences.map((difference) => difference.change))).toEqual(new Set([change]));
  },
);

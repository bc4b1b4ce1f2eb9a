import { expect, test } from "vitest";
import { defaultKubernetesVersion } from "../programs/versions.ts";
import type { Cluster } from "../resources/cluster.ts";
import { whyNotIsolated } from "./isolation.ts";

test.each<[string, Cluster["spec"], string | undefined]>([
  ["addresses of services in nodes", { provider: "kind", serviceSubnet: "10.97.0.0/16" }, undefined],
  ["kind as it is", { provider: "kind", kubernetesVersion: "v1.35", nodes: 3 }, undefined],
  ["bare with kwok", { provider: "bare", bare: { components: ["kwok"] }, nodes: 5 }, undefined],
  ["bare of the version that is there", { provider: "bare", kubernetesVersion: defaultKubernetesVersion }, undefined],
  ["flags", { provider: "bare", bare: { apiServerFlags: ["--audit-log-path=/x"] } }, "may not set bare.apiServerFlags"],
  ["mounts of the host", { provider: "kind", kind: { config: {} } }, "may not set kind"],
  [
    "passwords from the server's environment",
    { provider: "kind", registryAuths: [{ host: "a", endpoint: "https://a" }] },
    "may not set registryAuths",
  ],
  ["feature gates", { provider: "bare", featureGates: { A: true } }, "may not set featureGates"],
  ["a range of the server's network", { provider: "bare", serviceSubnet: "192.168.0.0/24" }, "may not set serviceSubnet"],
  ["many nodes", { provider: "kind", nodes: 6 }, "may have 5 nodes, and asks for 6"],
  ["an old API server", { provider: "bare", kubernetesVersion: "v1.30.0" }, `gets Kubernetes ${defaultKubernetesVersion} on bare`],
])("%s", (_, spec, why) => {
  const found = whyNotIsolated(spec);
  if (why === undefined) expect(found).toBeUndefined();
  else expect(found).toContain(why);
});

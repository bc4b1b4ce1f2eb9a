/** The record of a declared kind cluster `demo` that is Ready. */
import type { ClusterRecord } from "../../../clusters/records.ts";
import type { Cluster } from "../../../resources/cluster.ts";

export function demoRecord(spec: Partial<Cluster["spec"]> = {}, more: Partial<ClusterRecord> = {}): ClusterRecord {
  return {
    name: "demo",
    provider: "kind",
    uid: "u1",
    instance: "me",
    owner: "declared",
    phase: "Ready",
    createdAt: "2026-01-01T00:00:00Z",
    resource: { apiVersion: "seatrial.dev/v1alpha1", kind: "Cluster", metadata: { name: "demo" }, spec: { provider: "kind", ...spec } },
    ...more,
  };
}

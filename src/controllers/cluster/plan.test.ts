import { describe, expect, test } from "vitest";
import type { ObservedCluster } from "../../clusters/provider.ts";
import type { Cluster } from "../../resources/cluster.ts";
import { type PlanInput, planCluster } from "./plan.ts";
import { demoRecord } from "./testdata/record.ts";

const desired: Cluster = {
  apiVersion: "seatrial.dev/v1alpha1",
  kind: "Cluster",
  metadata: { name: "demo" },
  spec: { provider: "kind", nodes: 1 },
};
const larger: Cluster = { ...desired, spec: { ...desired.spec, nodes: 2 } };
const ours = { instance: "me", owner: "declared" } as const;
const record = demoRecord({}, { resource: desired });
const observed: ObservedCluster = {
  provider: "kind",
  name: "demo",
  uid: "u1",
  ownership: ours,
  resource: desired,
  state: "running",
  createdAt: new Date(0),
  parts: ["c1"],
};
const byKind: ObservedCluster = { ...observed, uid: undefined, ownership: undefined, resource: undefined };
const byOthers: ObservedCluster = { ...observed, uid: "u2", ownership: { instance: "they", owner: "declared" } };
const heldByOthers: ObservedCluster = {
  ...byOthers,
  ownership: { instance: "they", owner: { hostId: "h", bootId: "b", pid: 1, startTime: "s" } },
};

const elsewhere = { there: "ssh://far", here: "unix:///var/run/docker.sock" };
const onAnotherHost = {
  action: "refuse",
  code: "conflict",
  message: "cluster demo is on ssh://far, and this command speaks to unix:///var/run/docker.sock; nothing was touched",
  hint: expect.stringContaining("DOCKER_HOST=ssh://far"),
};

interface Row {
  name: string;
  given: Partial<PlanInput>;
  plan: object;
}

const rows: Row[] = [
  { name: "nothing there", given: {}, plan: { action: "create" } },
  {
    name: "a record whose parts are gone",
    given: { record },
    plan: { action: "create", deletesFirst: { why: "nothing of it is there any more" } },
  },
  { name: "on another host", given: { record, elsewhere }, plan: onAnotherHost },
  { name: "on another host, half made", given: { record: { ...record, phase: "Booting" }, elsewhere }, plan: onAnotherHost },
  {
    name: "on another host, and here another one of this installation: recreate would delete the other",
    given: { record, elsewhere, observed: { ...observed, uid: "u2" }, desired: larger, mayRecreate: true },
    plan: onAnotherHost,
  },
  { name: "as asked for", given: { observed, record }, plan: { action: "keep", differences: [], mustStart: false } },
  { name: "ours by its labels, its record lost", given: { observed }, plan: { action: "keep", differences: [], mustStart: false } },
  { name: "stopped", given: { observed: { ...observed, state: "stopped" }, record }, plan: { action: "keep", mustStart: true } },
  {
    name: "one of two nodes stopped",
    given: { observed: { ...observed, state: "partial" }, record },
    plan: { action: "keep", mustStart: true },
  },
  {
    name: "paused is never destroyed",
    given: { observed: { ...observed, state: "paused" }, record, mayRecreate: true },
    plan: { action: "refuse", code: "conflict" },
  },
  {
    name: "half made",
    given: { observed, record: { ...record, phase: "Booting" } },
    plan: { action: "create", deletesFirst: { why: "it was only half made" } },
  },
  {
    name: "half made and paused",
    given: { observed: { ...observed, state: "paused" }, record: { ...record, phase: "Booting" } },
    plan: { action: "create", deletesFirst: {} },
  },
  {
    name: "half deleted",
    given: { observed, record: { ...record, phase: "Deleting" } },
    plan: { action: "create", deletesFirst: { why: "it was only half deleted" } },
  },
  {
    name: "a difference, not allowed",
    given: { observed, record, desired: larger },
    plan: { action: "refuse", code: "refused", differences: [{ path: "spec.nodes", from: 1, to: 2 }] },
  },
  {
    name: "a difference, allowed",
    given: { observed, record, desired: larger, mayRecreate: true },
    plan: { action: "recreate", differences: [{ path: "spec.nodes" }] },
  },
  {
    name: "a difference that can be made in place",
    given: {
      observed,
      record,
      desired: { ...desired, spec: { ...desired.spec, registryAuths: [{ host: "docker.io", endpoint: "https://mirror" }] } },
    },
    plan: { action: "keep", differences: [{ path: "spec.registryAuths", change: "in-place" }] },
  },
  {
    name: "made by kind",
    given: { observed: byKind },
    plan: { action: "refuse", code: "refused", message: expect.stringContaining("made by kind or another tool") },
  },
  {
    name: "made by kind, and a record of another cluster of that name",
    given: { observed: byKind, record, mayAdopt: true },
    plan: { action: "refuse", code: "conflict" },
  },
  {
    name: "made by kind, recreate is no permission",
    given: { observed: byKind, mayRecreate: true, desired: larger },
    plan: { action: "refuse", code: "refused" },
  },
  { name: "made by kind, to adopt", given: { observed: byKind, mayAdopt: true }, plan: { action: "adopt" } },
  {
    name: "adopted before",
    given: { observed: byKind, record: { ...record, uid: "c1", adopted: true } },
    plan: { action: "keep", mustStart: false },
  },
  {
    name: "declared by another installation",
    given: { observed: byOthers },
    plan: { action: "refuse", message: expect.stringContaining("another installation of Seatrial") },
  },
  { name: "declared by another installation, to adopt", given: { observed: byOthers, mayAdopt: true }, plan: { action: "adopt" } },
  {
    name: "held by another installation's command",
    given: { observed: heldByOthers, mayAdopt: true },
    plan: { action: "refuse", message: expect.stringContaining("held by a command") },
  },
];

describe("planCluster", () => {
  test.each(rows)("$name", ({ given, plan }) => {
    expect(
      planCluster({ desired, observed: undefined, record: undefined, instance: "me", mayRecreate: false, mayAdopt: false, ...given }),
    ).toMatchObject(plan);
  });
});

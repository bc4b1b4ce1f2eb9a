import { expect, test } from "vitest";
import { MemoryStore } from "../../kube/memory.ts";
import { clusterKind } from "../../resources/kinds.ts";
import { runLabels } from "../../resources/run.ts";
import type { Workspace } from "../workspace.ts";
import { JobClusters } from "./job-clusters.ts";

/** The status of a cluster that a job asks for, once it was looked at. Nothing here can boot one. */
async function statusOf(isIsolated: boolean) {
  const store = new MemoryStore({ now: () => new Date("2026-11-21T12:00:00Z"), newUid: () => "uid-1" });
  const labels = { [runLabels.attempt]: "attempt-1", [runLabels.jobRun]: "job-1" };
  const spec = { provider: "bare", bare: { apiServerFlags: ["--audit-log-path=/tmp/written"] } } as const;
  const cluster = await store.create(clusterKind, {
    metadata: { name: "st-1", labels },
    spec: { ...spec, bare: { apiServerFlags: [...spec.bare.apiServerFlags] } },
  });
  const asked: string[] = [];
  const workspace = {
    records: { read: async () => await Promise.resolve(undefined) },
    provider: async (name: string) => await Promise.reject(new Error(`asked for ${asked[asked.push(name) - 1]}`)),
  } as unknown as Workspace;
  const clusters = new JobClusters({
    store,
    clusters: { get: () => cluster, labelled: () => [], all: () => [] },
    workspace,
    workspaceOf: async () => await Promise.resolve(workspace),
    isIsolated: (jobRun) => jobRun === "job-1" && isIsolated,
    ownershipOf: (attempt) => ({ instance: "i", owner: { attempt }, notAfter: new Date() }),
    failuresDirOf: () => "/nowhere",
    wake: () => {},
    now: () => new Date(),
  });
  await clusters.reconcile("st-1", new AbortController().signal);
  await clusters.close();
  return { asked, status: (await store.get(clusterKind, "st-1"))?.status };
}

test("what a change that is not trusted may not ask for fails before anything of it is made", async () => {
  const { asked, status } = await statusOf(true);
  expect(status).toMatchObject({ phase: "Failed", error: "a change that is not trusted may not set bare.apiServerFlags" });
  expect(asked).toEqual([]);
});

test("for a trusted change the same is booted", async () => {
  const { asked, status } = await statusOf(false);
  expect(status).toMatchObject({ phase: "Booting" });
  expect(asked).toContain("bare");
});

test("a boot that hangs is ended when its time is up, is not begun again, and the job is told why", async () => {
  const store = new MemoryStore({ now: () => new Date(), newUid: () => "uid-1" });
  const labels = { [runLabels.attempt]: "attempt-1", [runLabels.jobRun]: "job-1" };
  const made = await store.create(clusterKind, { metadata: { name: "st-1", labels }, spec: { provider: "kind" } });
  let cluster: typeof made | undefined = made;
  let begun = 0;
  const hangs = async (signal: AbortSignal) =>
    await new Promise<never>((_resolve, reject) => {
      begun++;
      signal.addEventListener("abort", () => reject(signal.reason as Error));
    });
  const workspace = {
    records: { read: async () => await Promise.resolve(undefined) },
    provider: async () => await Promise.resolve({ capabilities: { hasNodes: true, needsDocker: true } }),
    docker: async () => await Promise.resolve({ client: { version: hangs } }),
  } as unknown as Workspace;
  const woken = Promise.withResolvers<string>();
  const clusters = new JobClusters({
    store,
    clusters: { get: () => cluster, labelled: () => [], all: () => [] },
    workspace,
    workspaceOf: async () => await Promise.resolve(workspace),
    isIsolated: () => false,
    ownershipOf: (attempt) => ({ instance: "i", owner: { attempt }, notAfter: new Date() }),
    failuresDirOf: () => "/nowhere",
    bootMs: 20,
    wake: (name) => woken.resolve(name),
    now: () => new Date(),
  });
  await clusters.reconcile("st-1", new AbortController().signal);
  expect(await woken.promise).toBe("st-1");
  cluster = await store.get(clusterKind, "st-1");
  await clusters.reconcile("st-1", new AbortController().signal);
  expect((await store.get(clusterKind, "st-1"))?.status).toMatchObject({ phase: "Failed", error: "it was not up within 0.0 s" });
  expect(begun).toBe(1);
  await clusters.close();
});

import { describe, expect, test } from "vitest";
import { limits } from "../../base/limits.ts";
import { MemoryStore } from "../../kube/memory.ts";
import { type JobRun, jobRunKind } from "../../resources/job-run.ts";
import type { Stored } from "../../resources/object.ts";
import { type Run, runKind } from "../../resources/run.ts";
import { RunReconciler } from "./reconcile.ts";

const workflow = "name: ci\non: push\njobs: {unit: {strategy: {matrix: {cell: [1, 2]}}, steps: [{run: 'true'}]}}\n";
const sha = "1".repeat(40);

/** A reconciler whose caches are what the test makes of them. */
async function project() {
  let time = new Date("2026-11-21T12:00:00Z");
  let uids = 0;
  const store = new MemoryStore({ now: () => time, newUid: () => `uid-${++uids}` });
  const cached = { run: undefined as Stored<Run> | undefined, jobRuns: [] as Stored<JobRun>[] };
  cached.run = await store.create(runKind, {
    metadata: { name: "run-1" },
    spec: {
      source: {
        forge: "local",
        repository: { id: "1", name: "project" },
        event: "push",
        ref: "refs/heads/main",
        base: { ref: "main", sha },
        commit: sha,
        lane: "trusted",
      },
      workflow: { path: ".seatrial/ci.yml", name: "ci", digest: `sha256:${"a".repeat(64)}` },
    },
  });
  const reconciler = new RunReconciler({
    store,
    runs: { get: () => cached.run, labelled: () => [], all: () => [] },
    jobRuns: {
      get: (name) => cached.jobRuns.find(({ metadata }) => metadata.name === name),
      labelled: () => cached.jobRuns,
      all: () => cached.jobRuns,
    },
    document: async () => await Promise.resolve(workflow),
    varsOf: async () => await Promise.resolve({}),
    runsOn: (labels) => ({ labels: [...labels], executor: "host" }),
    serverUrlOf: () => "",
    now: () => time,
  });
  return {
    store,
    cached,
    pass: (ms: number) => (time = new Date(time.getTime() + ms)),
    reconcile: async () => await reconciler.reconcile("run-1"),
    /** The caches see all that is there. */
    catchUp: async () => {
      cached.run = await store.get(runKind, "run-1");
      cached.jobRuns = (await store.list(jobRunKind)).items;
    },
    finish: async (index: number) => {
      const { items } = await store.list(jobRunKind);
      await store.writeStatus(jobRunKind, items[index]!, { phase: "Finished", attempt: 1, verdict: "passed" });
    },
  };
}

describe("JobRuns that were made a moment ago, and that the cache does not show", () => {
  test("are not made again; the key comes back, should they be gone", async () => {
    const { store, cached, reconcile } = await project();
    await reconcile();
    cached.run = await store.get(runKind, "run-1");
    const made = (await store.list(jobRunKind)).items;
    expect(made).toHaveLength(2);
    for (const { metadata } of made) await store.delete(jobRunKind, metadata.name);
    expect(await reconcile()).toMatchObject({ requeueAfterMs: limits.cacheBehindMs });
    expect((await store.list(jobRunKind)).items).toEqual([]);
  });

  test("are made again when they are still not there after that time, and at once when they were seen", async () => {
    const { store, cached, catchUp, pass, reconcile } = await project();
    const removeAll = async () => {
      for (const { metadata } of (await store.list(jobRunKind)).items) await store.delete(jobRunKind, metadata.name);
      cached.jobRuns = [];
    };
    await reconcile();
    await removeAll();
    cached.run = await store.get(runKind, "run-1");
    pass(limits.cacheBehindMs);
    await reconcile();
    expect((await store.list(jobRunKind)).items).toHaveLength(2);
    await catchUp();
    await reconcile();
    await removeAll();
    cached.run = await store.get(runKind, "run-1");
    await reconcile();
    expect((await store.list(jobRunKind)).items).toHaveLength(2);
  });
});

describe("the counts of a Run that goes on", () => {
  test("are written once in a while; its end at once", async () => {
    const { store, catchUp, finish, pass, reconcile } = await project();
    const status = async () => (await store.get(runKind, "run-1"))?.status;
    await reconcile();
    await catchUp();
    pass(limits.runCountsMs);
    await reconcile();
    expect(await status()).toMatchObject({ counts: { waiting: 2 }, total: 2 });

    pass(100);
    await finish(0);
    await catchUp();
    expect(await reconcile()).toEqual({ requeueAfterMs: limits.runCountsMs - 100 });
    expect(await status()).not.toHaveProperty("counts.passed");
    pass(limits.runCountsMs - 100);
    await reconcile();
    expect(await status()).toMatchObject({ counts: { passed: 1, waiting: 1 } });

    await finish(1);
    await catchUp();
    await reconcile();
    expect(await status()).toMatchObject({ phase: "Finished", verdict: "passed", counts: { passed: 2 } });
  });
});

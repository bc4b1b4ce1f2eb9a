import { describe, expect, test } from "vitest";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { ApiError } from "../../kube/api-error.ts";
import { MemoryStore } from "../../kube/memory.ts";
import { type JobRun, jobRunKind } from "../../resources/job-run.ts";
import type { Stored } from "../../resources/object.ts";
import { type Run, runKind, type RunStatus } from "../../resources/run.ts";
import type { JobPolicy } from "../../workflows/plan/decide.ts";
import { Groups } from "../concurrency/groups.ts";
import { RunReconciler, type RunReconcilerOptions } from "./reconcile.ts";

const workflow = "name: ci\non: push\njobs: {unit: {strategy: {matrix: {cell: [1, 2]}}, steps: [{run: 'true'}]}}\n";
const sha = "1".repeat(40);

/** A reconciler whose caches are what the test makes of them. */
async function project(given: { text?: string; runsOn?: RunReconcilerOptions["runsOn"]; policy?: JobPolicy } = {}) {
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
    document: async () => await Promise.resolve(given.text ?? workflow),
    varsOf: async () => await Promise.resolve({}),
    runsOn: given.runsOn ?? (async (labels) => await Promise.resolve({ labels: [...labels], executor: "host" })),
    policyOf: () => given.policy ?? {},
    surroundingsOf: () => ({ urls: undefined, retentionDays: 90 }),
    groups: new Groups(() => {}),
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

test("what is noted of the run is noted of each of its jobs, before what is noted of the job", async () => {
  const { store, catchUp, reconcile } = await project({ text: workflow.replace("unit: {", "unit: {environment: prod, ") });
  await store.patch(runKind, "run-1", { spec: { notices: ["on.release: no releases"] } });
  await catchUp();
  await reconcile();
  const notices = (await store.list(jobRunKind)).items.map(({ spec }) => spec.notices);
  expect(notices).toEqual(Array(2).fill(["on.release: no releases", expect.stringMatching(/^jobs\.unit\.environment: /)]));
});

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

describe("labels with an image", () => {
  const text = `on: push
jobs:
  first: {runs-on: ci, strategy: {matrix: {cell: [1, 2]}}, steps: [{run: 'true'}]}
  plain: {steps: [{run: 'true'}]}
  second: {needs: first, runs-on: ci, steps: [{run: 'true'}]}
`;
  const policy = { rules: [{ labels: ["ci"], image: "ci:1" }] };
  const imagesOf = (jobRuns: readonly Stored<JobRun>[]) => Object.fromEntries(jobRuns.map(({ spec }) => [spec.name, spec.runsOn.image]));

  test("all jobs of a run get the digest that the first one got, whatever the tag is by then", async () => {
    let digest = "ci@sha256:1";
    const runsOn: RunReconcilerOptions["runsOn"] = async (labels, _run, known) => {
      const image = labels.length === 0 ? {} : { image: known ?? digest };
      return await Promise.resolve({ labels: [...labels], executor: "docker", ...image });
    };
    const { store, reconcile, catchUp, finish } = await project({ text, policy, runsOn });
    await reconcile();
    digest = "ci@sha256:2";
    for (const index of [0, 1, 2]) await finish(index);
    await catchUp();
    await reconcile();
    const jobRuns = (await store.list(jobRunKind)).items;
    expect(imagesOf(jobRuns)).toEqual({
      "first (1)": "ci@sha256:1",
      "first (2)": "ci@sha256:1",
      plain: undefined,
      second: "ci@sha256:1",
    });
    expect(jobRuns[0]!.metadata.labels).toMatchObject({ "seatrial.dev/repository": "local-1" });
  });

  test("the run says that its image cannot be found out yet, and goes on when it can", async () => {
    let isDown = true;
    const runsOn: RunReconcilerOptions["runsOn"] = async (labels) => {
      if (isDown) throw new SeatrialError("unreachable", "no Docker host answers that could tell of image ci:1", { retryable: true });
      return await Promise.resolve({ labels: [...labels], executor: "docker" });
    };
    const { store, reconcile, catchUp } = await project({ text, policy, runsOn });
    expect(await reconcile()).toEqual({ requeueAfterMs: limits.hostEveryMs });
    expect((await store.get(runKind, "run-1"))!.status).toMatchObject({
      phase: "Pending",
      message: "no Docker host answers that could tell of image ci:1",
    });
    expect((await store.list(jobRunKind)).items).toEqual([]);
    isDown = false;
    await catchUp();
    await reconcile();
    expect((await store.list(jobRunKind)).items).toHaveLength(3);
    expect((await store.get(runKind, "run-1"))!.status).not.toHaveProperty("message");
  });

  test("an image that is not to be had is the end of the jobs that want it, and of no others", async () => {
    const runsOn: RunReconcilerOptions["runsOn"] = async (labels) => {
      if (labels.length > 0) throw new SeatrialError("not-found", "image ci:1 is not to be had");
      return await Promise.resolve({ labels: [], executor: "host" });
    };
    const { store, reconcile } = await project({ text, policy, runsOn });
    await reconcile();
    const invalid = Object.fromEntries((await store.list(jobRunKind)).items.map(({ spec }) => [spec.name, spec.invalid]));
    expect(invalid).toEqual({ "first (1)": "image ci:1 is not to be had", "first (2)": "image ci:1 is not to be had", plain: undefined });
  });
});

test("a status that the API refuses ends the run, and its jobs, with nothing in it but that", async () => {
  const { store, catchUp, pass, reconcile } = await project();
  await reconcile();
  await catchUp();
  const write = store.writeStatus.bind(store);
  let refusals = 0;
  store.writeStatus = async (kind, read, status, signal) => {
    if ((status as RunStatus).total === undefined) return await write(kind, read, status, signal);
    refusals++;
    throw new ApiError("invalid", 'Run "run-1" is invalid: status.total: Invalid value: "with a \\"s3cret\\"": must be less');
  };
  pass(limits.runCountsMs);
  await reconcile();
  const { epoch: _epoch, ...status } = (await store.get(runKind, "run-1"))!.status!;
  expect(status).toEqual({
    phase: "Finished",
    verdict: "error",
    cause: "internal",
    message: 'its status was refused, a defect of Seatrial: Run "…" is invalid: status.total: Invalid value: "…": must be less',
    finishedAt: expect.any(String),
  });
  expect((await store.list(jobRunKind)).items.map(({ spec }) => spec.abort)).toEqual(
    Array.from({ length: 2 }, () => "its run has ended: its status was refused"),
  );
  await catchUp();
  expect(await reconcile(), "it is over").toEqual({});
  expect(refusals).toBe(1);
});

test.each<[string, "push" | "pull_request", Run["spec"]["priority"], JobRun["spec"]["priority"]]>([
  ["a push", "push", undefined, "branch"],
  ["a pull request", "pull_request", undefined, "pull-request"],
  ["a run that says so itself", "push", "periodic", "periodic"],
])("jobs have the priority of what their run was made of: %s", async (_, event, priority, expected) => {
  const { store, cached, reconcile } = await project();
  const { spec } = cached.run!;
  cached.run = { ...cached.run!, spec: { ...spec, source: { ...spec.source, event }, ...(priority ? { priority } : {}) } };
  await reconcile();
  expect((await store.list(jobRunKind)).items.map((jobRun) => jobRun.spec.priority)).toEqual([expected, expected]);
});

describe("concurrency of runs", () => {
  const text =
    "on: push\nrun-name: of ${{ github.ref_name }}\nconcurrency: {group: deploy, cancel-in-progress: \"${{ vars.CANCEL == 'yes' }}\"}\njobs: {a: {steps: [{run: x}]}}\n";

  /** Servers, one after the other, over the same store; each knows what is written down. */
  async function world(vars: Record<string, string> = {}) {
    let time = Date.parse("2026-11-21T12:00:00Z");
    let uids = 0;
    const store = new MemoryStore({ now: () => new Date(time), newUid: () => `uid-${++uids}` });
    const runs = new Map<string, Stored<Run>>();
    const jobRuns = new Map<string, Stored<JobRun>>();
    const serve = async () => {
      const woken = new Set<string>();
      const groups = new Groups((_kind, name) => woken.add(name));
      const catchUp = async () => {
        for (const run of (await store.list(runKind)).items) {
          runs.set(run.metadata.name, run);
          groups.noticeRun(run.metadata.name, run);
        }
        for (const jobRun of (await store.list(jobRunKind)).items) jobRuns.set(jobRun.metadata.name, jobRun);
      };
      const reconciler = new RunReconciler({
        store,
        runs: { get: (name) => runs.get(name), labelled: () => [], all: () => [] },
        jobRuns: {
          get: (name) => jobRuns.get(name),
          labelled: (_label, run) => [...jobRuns.values()].filter(({ spec }) => spec.run === run),
          all: () => [],
        },
        document: async () => await Promise.resolve(text),
        varsOf: async () => await Promise.resolve(vars),
        runsOn: async (labels) => await Promise.resolve({ labels: [...labels], executor: "host" }),
        policyOf: () => ({}),
        surroundingsOf: () => ({ urls: undefined, retentionDays: 90 }),
        groups,
        now: () => new Date(++time),
      });
      await catchUp();
      return {
        woken: () => [...woken].toSorted(),
        reconcile: async (name: string) => {
          for (let pass = 0; pass < 3; pass++) {
            await reconciler.reconcile(name);
            await catchUp();
          }
          return (await store.get(runKind, name))!;
        },
      };
    };
    const make = async (name: string) => {
      const spec: Run["spec"] = {
        ...(await project()).cached.run!.spec,
        workflow: { path: "ci.yml", name, digest: `sha256:${"a".repeat(64)}` },
      };
      await store.create(runKind, { metadata: { name }, spec });
    };
    const jobsOf = async (name: string) => (await store.list(jobRunKind)).items.filter(({ spec }) => spec.run === name).length;
    const finish = async (name: string) => {
      const run = (await store.get(runKind, name))!;
      await store.writeStatus(runKind, run, { ...run.status, phase: "Finished", verdict: "passed" });
    };
    return { store, serve, make, jobsOf, finish };
  }

  test("one runs, the newest waits and says for whom, one before it is ended without a job", async () => {
    const { make, serve, jobsOf, finish } = await world();
    for (const name of ["r1", "r2", "r3"]) await make(name);
    const server = await serve();
    expect((await server.reconcile("r1")).status).toMatchObject({ title: "of main", groups: [{ of: "", group: "deploy", state: "held" }] });
    expect((await server.reconcile("r2")).status).toMatchObject({ phase: "Pending", message: "waits for group deploy: r1 (r1)" });
    await server.reconcile("r3");
    expect(server.woken()).toContain("r2");
    expect((await server.reconcile("r2")).status).toMatchObject({
      phase: "Finished",
      verdict: "aborted",
      message: "group deploy: r3 (r3) came after it, and takes its place",
    });
    expect([await jobsOf("r1"), await jobsOf("r2"), await jobsOf("r3")]).toEqual([1, 0, 0]);
    await finish("r1");
    await server.reconcile("r1");
    await server.reconcile("r3");
    expect(await jobsOf("r3")).toBe(1);
  });

  test("the next server knows who has the group, and who waits, whoever it looks at first", async () => {
    const { make, serve, jobsOf } = await world();
    for (const name of ["r1", "r2"]) await make(name);
    const first = await serve();
    await first.reconcile("r1");
    await first.reconcile("r2");
    await make("r3");
    const next = await serve();
    expect((await next.reconcile("r3")).status).toMatchObject({ phase: "Pending", message: "waits for group deploy: r1 (r1)" });
    expect((await next.reconcile("r2")).status).toMatchObject({ phase: "Finished", verdict: "aborted" });
    expect(await jobsOf("r3")).toBe(0);
  });

  test("a server that was killed between being given the group and the first job", async () => {
    const { store, make, serve, jobsOf } = await world();
    for (const name of ["r1", "r2"]) await make(name);
    const run = (await store.get(runKind, "r1"))!;
    const since = "2026-11-21T12:00:00.000Z";
    await store.writeStatus(runKind, run, { phase: "Pending", groups: [{ of: "", group: "deploy", state: "held", since }] });
    const next = await serve();
    await next.reconcile("r2");
    await next.reconcile("r1");
    expect([await jobsOf("r1"), await jobsOf("r2")]).toEqual([1, 0]);
  });

  test("cancel-in-progress, by an expression: the one that runs is told to end", async () => {
    const { make, serve, store } = await world({ CANCEL: "yes" });
    for (const name of ["r1", "r2"]) await make(name);
    const server = await serve();
    await server.reconcile("r1");
    await server.reconcile("r2");
    expect((await store.get(runKind, "r1"))!.spec.abort).toBe("group deploy: r2 (r2) came after it, and cancels what is in progress");
  });
});

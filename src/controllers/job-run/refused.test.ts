/** A status that the API refuses: an end, not a loop. */
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { openHistory } from "../../history/history.ts";
import { jobRunNamed } from "../../history/testdata/resources.ts";
import { ApiError } from "../../kube/api-error.ts";
import { MemoryStore } from "../../kube/memory.ts";
import { jobRunKind, type JobRunStatus } from "../../resources/job-run.ts";
import type { Executor } from "../../runner/executors/executor.ts";
import { Groups } from "../concurrency/groups.ts";
import { Places } from "./places.ts";
import { attemptUid, JobRunReconciler } from "./reconcile.ts";

/** A job on a host with room, and an API that refuses some of its statuses. */
async function job(isRefused: (status: JobRunStatus) => boolean) {
  const directory = await mkdtemp(join(tmpdir(), "refused-"));
  onTestFinished(async () => await rm(directory, { recursive: true, force: true }));
  const history = await openHistory({ sqlite: { directory } });
  onTestFinished(async () => await history.close());
  const store = new MemoryStore({ now: () => new Date(), newUid: randomUUID });
  await store.create(jobRunKind, { metadata: { name: "job" }, spec: jobRunNamed("job").spec });
  let cached = await store.get(jobRunKind, "job");
  let refusals = 0;
  const write = store.writeStatus.bind(store);
  store.writeStatus = async (kind, read, status, signal) => {
    if (!isRefused(status as JobRunStatus)) return await write(kind, read, status, signal);
    refusals++;
    throw new ApiError("invalid", 'JobRun "job" is invalid: status.outputs.token: Invalid value: "s3cret": should match');
  };
  const did: string[] = [];
  const executor: Executor = {
    name: "host",
    start: async () => await Promise.resolve(void did.push("start")),
    observe: async () => await Promise.resolve({ state: "running" }),
    stop: async () => await Promise.resolve(void did.push("stop")),
    remove: async () => await Promise.resolve(void did.push("remove")),
    list: async () => await Promise.resolve([]),
  };
  const host = { name: "local", lanes: ["trusted"], maxJobs: 1, maxClusters: 1, isReachable: true, executors: ["host", "docker"] };
  const reconciler = new JobRunReconciler({
    store,
    jobRuns: { get: () => cached, labelled: () => [], all: () => [] },
    clusters: { get: () => undefined, labelled: () => [], all: () => [] },
    history,
    places: new Places({ hosts: () => [host], onDecided: () => {} }),
    groups: new Groups(() => {}),
    executor: () => executor,
    fitsNowhereMs: 1_000,
    hostAwayMs: 1_000,
    networksOf: async () => await Promise.resolve([]),
    tokenOf: () => "token",
    settle: async () => await Promise.resolve([]),
    forget: async () => {},
    keepEvidence: async () => await Promise.resolve([]),
    now: () => new Date(),
  });
  return {
    history,
    did,
    attempt: attemptUid(cached!),
    refusals: () => refusals,
    status: async () => (await store.get(jobRunKind, "job"))!.status,
    /** Looks at it so often as something happens. */
    reconcile: async (times: number) => {
      for (let i = 0; i < times; i++) {
        await reconciler.reconcile("job", new AbortController().signal);
        await turn();
        cached = await store.get(jobRunKind, "job");
      }
    },
  };
}

const ending = {
  verdict: "error",
  cause: "internal",
  message: 'its status was refused, a defect of Seatrial: JobRun "…" is invalid: status.outputs.token: Invalid value: "…": should match',
} as const;

test("while it begins to run: its runner is ended, and nothing of it stays", async () => {
  const { reconcile, refusals, status, did, history, attempt } = await job(({ phase }) => phase === "Running");
  await reconcile(5);
  expect(await status()).toMatchObject({
    phase: "Finished",
    attempt: 1,
    ...ending,
    attempts: [{ number: 1, uid: attempt, host: "local" }],
  });
  expect(did).toEqual(["start", "stop", "remove"]);
  expect((await history.attempts.get(attempt))!.result).toMatchObject({ verdict: "error", cause: "internal" });
  expect(refusals()).toBe(1);
});

test("with what it has put out: it ends without that", async () => {
  const { reconcile, refusals, status, history, attempt } = await job(({ outputs }) => outputs !== undefined);
  await reconcile(2);
  await history.attempts.end(attempt, { verdict: "passed", outputs: { token: "s3cret" } }, new Date());
  await reconcile(3);
  const { epoch: _epoch, ...known } = (await status())!;
  expect(known).toMatchObject({ phase: "Finished", ...ending });
  expect(JSON.stringify(known)).not.toContain("s3cret");
  expect(refusals()).toBe(1);
});

test("another error is none of this: the same is tried again", async () => {
  const { reconcile, status } = await job(() => {
    throw new ApiError("unreachable", "the API server is away");
  });
  await reconcile(1); // It asks for its place.
  await expect(reconcile(1)).rejects.toMatchObject({ reason: "unreachable" });
  expect(await status()).toBeUndefined();
});

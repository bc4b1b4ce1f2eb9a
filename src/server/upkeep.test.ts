import { randomUUID } from "node:crypto";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { attemptPrefix } from "../artifacts/object-store.ts";
import { FolderStore } from "../artifacts/folder.ts";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import type { Workspace } from "../controllers/workspace.ts";
import { openHistory } from "../history/history.ts";
import { jobRunNamed, runNamed } from "../history/testdata/resources.ts";
import { MemoryStore } from "../kube/memory.ts";
import { openLogStore } from "../logs/log-store.ts";
import { type JobRun, type JobRunStatus, jobRunKind } from "../resources/job-run.ts";
import type { Stored } from "../resources/object.ts";
import { type Run, type RunStatus, runKind } from "../resources/run.ts";
import { defaultRetention, removeOld } from "./retention.ts";
import { Upkeep } from "./upkeep.ts";

const dayMs = 86_400_000;
const soon = { timeoutMs: 10_000, pollMs: 10 };

async function openStores() {
  const directory = await mkdtemp(join(tmpdir(), "upkeep-"));
  onTestFinished(async () => await rm(directory, { recursive: true, force: true }));
  const settings = { sqlite: { directory } };
  const objects = new FolderStore(join(directory, "objects"));
  const [history, logs] = [await openHistory(settings), await openLogStore({ settings, objects })];
  onTestFinished(async () => {
    await logs.shutdown();
    await history.close();
  });
  return { directory, stores: { history, logs, objects } };
}

type Stores = Awaited<ReturnType<typeof openStores>>["stores"];

/** Upkeep that works until the test ends, over a store in memory. */
async function working(stores: Stores, store: MemoryStore) {
  const told: string[] = [];
  const removed: string[] = [];
  const workspace = { output: { err: (line: string) => told.push(line) }, records: { all: async () => await Promise.resolve([]) } };
  const abort = new AbortController();
  const done = new Upkeep({
    workspace: workspace as unknown as Workspace,
    store,
    stores,
    attemptsOf: async () => await Promise.resolve(["of-nobody-1"]),
    removeAttempt: async (attempt) => void (await Promise.resolve(removed.push(attempt))),
    isReported: async ({ metadata }) => await Promise.resolve(metadata.name !== "not-reported"),
    retention: defaultRetention,
  }).work(abort.signal);
  onTestFinished(async () => {
    abort.abort();
    await done;
  });
  return { told, removed };
}

async function made(store: MemoryStore, name: string, run: RunStatus, job: JobRunStatus): Promise<[Stored<Run>, Stored<JobRun>]> {
  const [{ spec: ofRun }, { spec: ofJob }] = [runNamed(name), jobRunNamed(`${name}-job`, { run: name })];
  return [
    await store.writeStatus(runKind, await store.create(runKind, { metadata: { name }, spec: ofRun }), run),
    await store.writeStatus(jobRunKind, await store.create(jobRunKind, { metadata: { name: `${name}-job` }, spec: ofJob }), job),
  ];
}

test("runs leave the API some time after their end, with their jobs, when the history and the forge know of it", async () => {
  const { stores } = await openStores();
  const store = new MemoryStore({ now: () => new Date(), newUid: randomUUID });
  const at = (agoMs: number) => new Date(Date.now() - agoMs).toISOString();
  const ended = (agoMs: number) => ({ phase: "Finished", verdict: "passed", startedAt: at(agoMs + 5), finishedAt: at(agoMs) }) as const;
  const long = ended(limits.finishedRunMs + 60_000);
  const all = {
    gone: await made(store, "gone", long, long),
    young: await made(store, "young", ended(1_000), ended(1_000)),
    live: await made(store, "live", { phase: "Running" }, { phase: "Running" }),
    held: await made(store, "held", long, { ...long, heldUntil: at(-60_000) }),
    "not-reported": await made(store, "not-reported", long, long),
    "not-seen": await made(store, "not-seen", long, long),
    "job-not-seen": await made(store, "job-not-seen", long, long),
  };
  const seen = Object.entries(all).filter(([name]) => name !== "not-seen");
  await stores.history.projection.projectJobRuns(seen.filter(([name]) => name !== "job-not-seen").map(([, [, jobRun]]) => jobRun));
  await stores.history.projection.projectRuns(seen.map(([, [run]]) => run));
  // Runs that somebody deleted.
  await made(store, "deleted-ended", long, long);
  await made(store, "deleted-live", { phase: "Running" }, { phase: "Running" });
  for (const name of ["deleted-ended", "deleted-live"]) await store.delete(runKind, name);

  const { told, removed } = await working(stores, store);
  const stay = ["held", "job-not-seen", "live", "not-reported", "not-seen", "young"];
  const namesOf = async (kind: typeof runKind | typeof jobRunKind) =>
    (await store.list(kind as typeof runKind)).items.map(({ metadata }) => metadata.name);
  await waitFor("upkeep", async () => (await store.get(jobRunKind, "deleted-live-job"))?.spec.abort, soon);
  await waitFor("upkeep", () => removed[0], soon);
  expect(await namesOf(runKind)).toEqual(stay);
  expect(await namesOf(jobRunKind)).toEqual([...stay, "deleted-live"].toSorted().map((name) => `${name}-job`));
  expect(removed).toEqual(["of-nobody-1"]);
  expect(told).toEqual([]);
});

test("what is old leaves the history, the logs and the object store; what is young, and what runs, stays", async () => {
  const { stores } = await openStores();
  const { history, logs, objects } = stores;
  const now = new Date();
  const names = { old: 500, "log-only": 100, "artifacts-only": 40, young: 1, live: 500 };
  for (const [name, days] of Object.entries(names)) {
    const time = new Date(now.getTime() - days * dayMs);
    const status = {
      phase: name === "live" ? "Running" : "Finished",
      startedAt: time.toISOString(),
      finishedAt: time.toISOString(),
    } as const;
    const seconds = (time.getTime() - Date.parse(runNamed("x").metadata.creationTimestamp)) / 1000;
    await history.projection.projectRuns([runNamed(name, { seconds, status })]);
    await history.projection.projectJobRuns([jobRunNamed(`${name}-job`, { run: name, seconds, status })]);
    const attempt = {
      uid: name,
      jobRun: { name: `${name}-job`, uid: `uid-${name}-job` },
      number: 1,
      tokenHash: "",
      executor: "host",
      host: "",
    } as const;
    await history.attempts.open(attempt, time);
    await logs.append(name, 0, Buffer.from("said\n"), time);
    const key = `${attemptPrefix(name)}/artifacts/a`;
    const { size, digest } = await objects.put(key, Buffer.from("left"));
    await history.attempts.recordArtifact(name, { path: "a", size, digest, contentType: "text/plain", key });
    if (name === "live") continue;
    await history.attempts.end(name, { verdict: "passed" }, time);
    await logs.close(name, time);
  }
  await logs.settled();
  await removeOld(stores, defaultRetention, () => now, new AbortController().signal);
  const found: Record<string, [string, boolean, boolean]> = {};
  for (const name of Object.keys(names)) {
    found[name] = [
      (await history.queries.run(name)) ? "run" : "",
      (await logs.info(name)) !== undefined,
      (await objects.head(`${attemptPrefix(name)}/artifacts/a`)) !== undefined,
    ];
  }
  expect(found).toEqual({
    old: ["", false, false],
    "log-only": ["run", false, false],
    "artifacts-only": ["run", true, false],
    young: ["run", true, true],
    live: ["run", true, true],
  });
  expect((await objects.list({ prefix: attemptPrefix("old"), limit: 9 })).objects).toEqual([]);
});

test("SQLite's file grows to what is kept at once, and what is written ahead, and no further", async () => {
  const { directory, stores } = await openStores();
  const round = async (number: number) => {
    const time = new Date(number * 1000 * dayMs);
    for (let index = 0; index < 40; index++) await stores.history.documents.put(`${number}/${index} ${"x".repeat(200_000)}`, time);
    const sizes = await Promise.all(["", "-wal"].map(async (part) => (await stat(join(directory, `history.db${part}`))).size));
    await removeOld(stores, defaultRetention, () => new Date(time.getTime() + 500 * dayMs), new AbortController().signal);
    return sizes[0]! + sizes[1]!;
  };
  await round(1);
  const second = await round(2);
  for (let number = 3; number < 6; number++) await round(number);
  expect(await round(6)).toBeLessThan(second * 1.3);
});

import { randomUUID } from "node:crypto";
import { mkdir, readdir, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { attemptPrefix } from "../artifacts/object-store.ts";
import { limits } from "../base/limits.ts";
import { pause, waitFor } from "../base/wait.ts";
import type { Workspace } from "../controllers/workspace.ts";
import { jobRunNamed, runNamed } from "../history/testdata/resources.ts";
import { MemoryStore } from "../kube/memory.ts";
import { type JobRun, type JobRunStatus, jobRunKind } from "../resources/job-run.ts";
import type { Stored } from "../resources/object.ts";
import { repositoryKind } from "../resources/repository.ts";
import { type Run, type RunStatus, runKind } from "../resources/run.ts";
import { defaultRetention, removeOld } from "./retention.ts";
import type { SettleStores } from "./runners/settle.ts";
import { openTestStores } from "./testdata/stores.ts";
import { Upkeep } from "./upkeep.ts";

const dayMs = 86_400_000;
const soon = { timeoutMs: 10_000, pollMs: 10 };

/** Upkeep that works until the test ends, over a store in memory. */
async function working(stores: SettleStores, store: MemoryStore, given: { failuresDir?: string; attempts?: string[] } = {}) {
  const { failuresDir = "/nowhere", attempts = ["of-nobody-1"] } = given;
  const told: string[] = [];
  const removed: string[] = [];
  const kept: string[] = [];
  const records = { all: async () => await Promise.resolve([]) };
  const workspace = { output: { err: (line: string) => told.push(line) }, records, failuresDir };
  const abort = new AbortController();
  const done = new Upkeep({
    workspace: workspace as unknown as Workspace,
    store,
    stores,
    attemptsOf: async () => await Promise.resolve(attempts),
    removeAttempt: async (attempt) => {
      if (attempt === "on-a-host-that-is-away") throw new Error("host far does not answer");
      await Promise.resolve(removed.push(attempt));
    },
    isReported: async ({ metadata }) => await Promise.resolve(metadata.name !== "not-reported"),
    retention: defaultRetention,
    mirrors: {
      keep: async () => await Promise.resolve(void kept.push("mirrors")),
      // One that takes long keeps nothing else waiting.
      maintain: async (signal) => await pause(limits.gitCollectMs, signal),
    },
    maintainActions: async () => await Promise.resolve(),
  }).work(abort.signal);
  onTestFinished(async () => {
    abort.abort();
    await done;
  });
  return { told, removed, kept };
}

async function made(store: MemoryStore, name: string, run: RunStatus, job: JobRunStatus): Promise<[Stored<Run>, Stored<JobRun>]> {
  const [{ spec: ofRun }, { spec: ofJob }] = [runNamed(name), jobRunNamed(`${name}-job`, { run: name })];
  return [
    await store.writeStatus(runKind, await store.create(runKind, { metadata: { name }, spec: ofRun }), run),
    await store.writeStatus(jobRunKind, await store.create(jobRunKind, { metadata: { name: `${name}-job` }, spec: ofJob }), job),
  ];
}

test("runs leave the API some time after their end, with their jobs, when the history and the forge know of it", async () => {
  const { stores } = await openTestStores();
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

  const { told, removed, kept } = await working(stores, store);
  const stay = ["held", "job-not-seen", "live", "not-reported", "not-seen", "young"];
  const namesOf = async (kind: typeof runKind | typeof jobRunKind) =>
    (await store.list(kind as typeof runKind)).items.map(({ metadata }) => metadata.name);
  await waitFor("upkeep", async () => (await store.get(jobRunKind, "deleted-live-job"))?.spec.abort, soon);
  await waitFor("upkeep", () => removed[0], soon);
  expect(await namesOf(runKind)).toEqual(stay);
  expect(await namesOf(jobRunKind)).toEqual([...stay, "deleted-live"].toSorted().map((name) => `${name}-job`));
  expect(removed).toEqual(["of-nobody-1"]);
  await waitFor("upkeep of mirrors", () => kept[0], soon);
  expect(told).toEqual([]);
});

test("a host that is away keeps nothing of the others from being removed, and is told of", async () => {
  const { stores } = await openTestStores();
  const store = new MemoryStore({ now: () => new Date(), newUid: randomUUID });
  const { told, removed } = await working(stores, store, { attempts: ["on-a-host-that-is-away", "of-nobody-1", "of-nobody-2"] });
  await waitFor("upkeep", () => removed[1], soon);
  expect(removed).toEqual(["of-nobody-1", "of-nobody-2"]);
  expect(told).toEqual(["upkeep: host far does not answer"]);
});

test("logs of boots that failed leave when artifacts do", async () => {
  const { stores, directory } = await openTestStores();
  const store = new MemoryStore({ now: () => new Date(), newUid: randomUUID });
  const failuresDir = join(directory, "failures");
  for (const [name, days] of [
    ["old", defaultRetention.artifactsDays + 1],
    ["young", defaultRetention.artifactsDays - 1],
  ] as const) {
    await mkdir(join(failuresDir, name), { recursive: true });
    const at = new Date(Date.now() - days * dayMs);
    await utimes(join(failuresDir, name), at, at);
  }
  await working(stores, store, { failuresDir });
  await waitFor("upkeep", async () => ((await readdir(failuresDir)).length === 1 ? true : undefined), soon);
  expect(await readdir(failuresDir)).toEqual(["young"]);
});

test("what is old leaves the history, the logs and the object store; what is young, and what runs, stays", async () => {
  const { stores } = await openTestStores();
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

test("a repository with a bound of its own keeps nothing for longer; one of that id at another forge does", async () => {
  const { stores } = await openTestStores();
  const { history } = stores;
  const store = new MemoryStore({ now: () => new Date(), newUid: randomUUID });
  const finishedAt = new Date(Date.now() - 20 * dayMs).toISOString();
  const seconds = (Date.parse(finishedAt) - Date.parse(runNamed("x").metadata.creationTimestamp)) / 1000;
  const status = { phase: "Finished", verdict: "passed", startedAt: finishedAt, finishedAt } as const;
  for (const forge of ["local", "other"])
    await history.projection.projectRuns([runNamed(`of-${forge}`, { seconds, status, source: { forge } })]);
  const spec = { id: "1", retentionDays: 10 };
  await store.create(repositoryKind, { metadata: { name: "other-1" }, spec: { ...spec, forge: "other" } });
  await store.create(repositoryKind, { metadata: { name: "misnamed" }, spec: { ...spec, forge: "local" } });
  const { told } = await working(stores, store, { attempts: [] });
  await waitFor("upkeep", async () => ((await history.queries.run("of-other")) ? undefined : true), soon);
  expect(await history.queries.run("of-local")).toBeDefined();
  expect(told).toEqual([]);
});

test("SQLite's file grows to what is kept at once, and what is written ahead, and no further", async () => {
  const { directory, stores } = await openTestStores();
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

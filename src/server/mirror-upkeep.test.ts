import { randomUUID } from "node:crypto";
import { expect, onTestFinished, test } from "vitest";
import { Mirrors } from "../git/mirrors.ts";
import { scratchFolder, testEnvironment, testRepository } from "../git/testdata/repository.ts";
import { runNamed } from "../history/testdata/resources.ts";
import { MemoryStore } from "../kube/memory.ts";
import { runKind } from "../resources/run.ts";
import { MirrorUpkeep } from "./mirror-upkeep.ts";
import { openTestStores } from "./testdata/stores.ts";

const dayMs = 86_400_000;

/** Upkeep of the mirror of a repository with some commits that have nothing in common; runs are in the history for ten days. */
async function bench() {
  const folder = await scratchFolder();
  const upstream = await testRepository();
  const { stores } = await openTestStores();
  const start = Date.now();
  let now = new Date(start);
  const mirrors = new Mirrors({ environment: testEnvironment, folder: folder.path, now: () => now });
  onTestFinished(async () => {
    await mirrors.close();
    await upstream[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });
  const store = new MemoryStore({ now: () => now, newUid: randomUUID });
  const told: string[] = [];
  const upkeep = new MirrorUpkeep({
    mirrors,
    store,
    history: stores.history,
    runsDays: 10,
    now: () => now,
    tell: (line) => told.push(line),
  });
  const commitAlone = async (name: string) => {
    await upstream.git("checkout", "-q", "--orphan", name);
    const commit = await upstream.commit({ [name]: name });
    await mirrors.of("local", "1").fetch({ url: upstream.folder }, { commits: [commit] });
    return commit;
  };
  return {
    store,
    stores,
    mirrors,
    upkeep,
    told,
    commitAlone,
    setDay: (day: number) => (now = new Date(start + day * dayMs)),
    runOf: (name: string, commit: string) => runNamed(name, { source: { repository: { id: "1", name: "o/r" }, commit } }),
    signal: new AbortController().signal,
  };
}

test("commits of runs in the API, and of runs that stay in the history, are never lost; others go", async () => {
  const { store, stores, mirrors, upkeep, told, commitAlone, setDay, runOf, signal } = await bench();
  const [waiting, kept, gone] = [await commitAlone("waiting"), await commitAlone("kept"), await commitAlone("gone")];
  const { metadata, spec } = runOf("waits", waiting);
  await store.create(runKind, { metadata: { name: metadata.name }, spec });
  await stores.history.projection.projectRuns([runOf("stays", kept)]);
  for (const day of [5, 12, 20, 28, 36]) {
    setDay(day);
    await upkeep.keep(signal);
    await upkeep.maintain(signal);
  }
  const mirror = mirrors.of("local", "1");
  const here = await Promise.all([waiting, kept, gone].map(async (commit) => await mirror.hasCommit(commit)));
  expect(here).toEqual([true, true, false]);
  expect(told).toEqual([]);
});

test("a run of a repository without a mirror makes none", async () => {
  const { store, mirrors, upkeep, runOf, signal } = await bench();
  const { spec } = runOf("elsewhere", "a".repeat(40));
  for (const [name, forge, id] of [
    ["other", "other", "1"],
    ["odd", "local", "../x"],
  ] as const)
    await store.create(runKind, { metadata: { name }, spec: { ...spec, source: { ...spec.source, forge, repository: { id, name } } } });
  await upkeep.keep(signal);
  expect(await mirrors.has("other", "1")).toBe(false);
});

import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { limits } from "../../base/limits.ts";
import { LocalForge } from "../../forges/local/local.ts";
import type { PullRequestChange } from "../../forges/forge.ts";
import { Mirrors } from "../../git/mirror.ts";
import { scratchFolder, testEnvironment, testRepository } from "../../git/testdata/repository.ts";
import { openHistory } from "../../history/history.ts";
import { MemoryStore } from "../../kube/memory.ts";
import { type Run, runKind } from "../../resources/run.ts";
import type { Stored } from "../../resources/object.ts";
import { repositoryKind } from "../../resources/repository.ts";
import { Repositories } from "../repository/repositories.ts";
import { Trigger } from "./trigger.ts";

const workflow = "name: ci\non: [push, pull_request]\njobs: {unit: {steps: [{run: 'true'}]}}\n";

/** A local forge with a repository, and a trigger over a store in memory. */
async function bench(files: Record<string, string>) {
  const scratch = await scratchFolder();
  const work = await testRepository();
  onTestFinished(async () => {
    await work[Symbol.asyncDispose]();
    await scratch[Symbol.asyncDispose]();
  });
  const main = await work.commit(files);
  const bare = join(scratch.path, "project.git");
  await work.git("clone", "-q", "--bare", work.folder, bare);
  const now = () => new Date();
  const folder = join(scratch.path, "forge");
  const forge = await LocalForge.open({
    name: "local",
    environment: testEnvironment,
    repositories: [bare],
    folder,
    user: { id: "0", login: "me" },
    now,
  });
  const history = await openHistory({ sqlite: { directory: join(scratch.path, "history") } });
  onTestFinished(async () => await history.close());
  const mirrors = new Mirrors({ environment: testEnvironment, folder: join(scratch.path, "mirrors"), now });
  onTestFinished(async () => await mirrors.close());
  let uids = 0;
  const store = new MemoryStore({ now, newUid: () => `uid-${++uids}` });
  const { id } = forge.repositories()[0]!;
  const runs = async () => (await store.list(runKind)).items;
  return {
    forge,
    id,
    main,
    store,
    history,
    trigger: new Trigger({
      store,
      history,
      mirrorOf: (name, repository) => mirrors.of(name, repository),
      repositories: new Repositories({ store, now }),
      rules: [{ labels: ["gpu"] }],
      now,
    }),
    /** The forge takes pull requests for those of a stranger's fork. */
    distrust: () => (forge.laneOf = async () => await Promise.resolve({ lane: "untrusted", reason: "a fork" })),
    runs,
    /** Pull request 1 gets a commit; gives it as the forge has it then. */
    push: async (more: Record<string, string>): Promise<PullRequestChange> => {
      await work.commit(more);
      await work.git("push", "-q", bare, "+HEAD:refs/pull/1/head");
      return (await forge.pullRequest(id, 1))!;
    },
    /** The first commit of main gets another upon it, and main is that one. */
    moveMain: async (more: Record<string, string>) => {
      await work.git("checkout", "-q", "-B", "other", main);
      await work.commit(more);
      await work.git("push", "-q", bare, "+HEAD:main");
      await work.git("checkout", "-q", "main");
    },
  };
}

function aborts(runs: readonly Stored<Run>[]): Record<string, string | undefined> {
  return Object.fromEntries(runs.map(({ spec }) => [spec.source.heads?.[0]?.sha ?? spec.source.commit, spec.abort]));
}

test("a newer head of a pull request aborts the runs of the older one, and those of nobody else", async () => {
  const { trigger, forge, id, main, push, runs } = await bench({ ".seatrial/ci.yml": workflow });
  const onMain = { event: "push", repository: { id, name: "project" }, ref: "refs/heads/main", after: main } as const;
  await trigger.trigger(forge, onMain, { delivery: "0", payload: {} });
  const first = await push({ "a.txt": "1\n" });
  await trigger.trigger(forge, first, { delivery: "1", payload: {} });
  expect(aborts(await runs())).toEqual({ [main]: undefined, [first.head.sha]: undefined });
  const second = await push({ "a.txt": "2\n" });
  await trigger.trigger(forge, second, { delivery: "2", payload: {} });
  const reason = `pull request 1 has a newer commit, ${second.head.sha.slice(0, 10)}`;
  expect(aborts(await runs())).toEqual({ [main]: undefined, [first.head.sha]: reason, [second.head.sha]: undefined });
});

test("a delivery that is handled late ends itself, not the newer head", async () => {
  const { trigger, forge, push, runs } = await bench({ ".seatrial/ci.yml": workflow });
  const first = await push({ "a.txt": "1\n" });
  const second = await push({ "a.txt": "2\n" });
  await trigger.trigger(forge, second, { delivery: "2", payload: {} });
  await trigger.trigger(forge, first, { delivery: "1", payload: {} });
  const all = aborts(await runs());
  expect(all[second.head.sha]).toBeUndefined();
  expect(all[first.head.sha]).toContain("has a newer commit");
});

test("a delivery that is handled when all of the newer head has ended ends itself, too", async () => {
  const { trigger, forge, push, runs, store } = await bench({ ".seatrial/ci.yml": workflow });
  const first = await push({ "a.txt": "1\n" });
  const second = await push({ "a.txt": "2\n" });
  const [name] = await trigger.trigger(forge, second, { delivery: "2", payload: {} });
  const run = (await store.get(runKind, name!))!;
  await store.writeStatus(runKind, run, { phase: "Finished", verdict: "passed" });
  await trigger.trigger(forge, first, { delivery: "1", payload: {} });
  expect(aborts(await runs())).toEqual({ [first.head.sha]: expect.stringContaining("newer commit"), [second.head.sha]: undefined });
});

test("several changes of one pull request at once leave the newest head alone", async () => {
  const { trigger, forge, push, runs } = await bench({ ".seatrial/ci.yml": workflow });
  const all: PullRequestChange[] = [];
  for (let i = 0; i < 4; i++) all.push(await push({ "a.txt": `${i}\n` }));
  await Promise.all(all.map(async (change, i) => await trigger.trigger(forge, change, { delivery: `${i}`, payload: {} })));
  const live = Object.entries(aborts(await runs())).flatMap(([sha, abort]) => (abort === undefined ? [sha] : []));
  expect(live).toEqual([all.at(-1)!.head.sha]);
});

test("a newer head that cannot be merged ends the older one, too, and says at the forge why there is no run of it", async () => {
  const { trigger, forge, id, push, moveMain, runs } = await bench({ ".seatrial/ci.yml": workflow, "a.txt": "0\n" });
  const first = await push({ "b.txt": "1\n" });
  await trigger.trigger(forge, first, { delivery: "1", payload: {} });
  await moveMain({ "a.txt": "main\n" });
  const second = await push({ "a.txt": "branch\n" });
  for (const cause of [{ delivery: "2", payload: {} }, { payload: undefined }]) {
    await expect(trigger.trigger(forge, second, cause)).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("conflicts in a.txt"),
    });
  }
  expect(aborts(await runs())).toEqual({ [first.head.sha]: expect.stringContaining("newer commit") });
  const checks = async () =>
    (await forge.checks(id, second.head.sha)).map(({ context, state, description }) => `${context}: ${state}, ${description}`);
  expect(await checks()).toEqual(["merge (pull_request): error, cannot be merged into main: conflicts in a.txt"]);
  // The base moves on, and all is well.
  await moveMain({ "c.txt": "main\n" });
  const again = (await forge.pullRequest(id, 1))!;
  expect(await trigger.trigger(forge, again, { payload: undefined })).toHaveLength(1);
  expect(await checks()).toEqual(["merge (pull_request): success, can be merged into main"]);
});

test("a head that was found is looked at once; a delivery about it always", async () => {
  const { trigger, forge, push, runs, store } = await bench({ ".seatrial/ci.yml": workflow });
  const change = await push({ "a.txt": "1\n" });
  const [name] = await trigger.trigger(forge, change, { payload: undefined });
  expect(await trigger.trigger(forge, change, { payload: undefined })).toEqual([]);
  expect(await trigger.trigger(forge, change, { delivery: "1", payload: {} })).toEqual([name]);
  expect(await runs()).toHaveLength(1);
  // Its run is gone, and so is the pull request: opened again it gets another.
  await store.delete(runKind, name!);
  expect(await trigger.trigger(forge, { ...change, action: "closed" }, { delivery: "2", payload: {} })).toEqual([]);
  expect(await trigger.trigger(forge, change, { payload: undefined })).toEqual([name]);
});

test("workflows of one name are told apart by their files, and one that is not valid has a run that says so", async () => {
  const { trigger, forge, id, main, runs } = await bench({
    ".seatrial/a.yml": workflow,
    ".seatrial/b.yml": workflow,
    ".seatrial/c.yml": workflow.replace("name: ci", "name: other"),
    ".seatrial/d.yml": "jobs: [",
    ".seatrial/e.yml": workflow.replace("[push, pull_request]", "pull_request"),
  });
  await trigger.trigger(
    forge,
    { event: "push", repository: { id, name: "project" }, ref: "refs/heads/main", after: main },
    { payload: undefined },
  );
  const names = (await runs()).map(({ spec }) => spec.workflow.name).toSorted();
  expect(names).toEqual([".seatrial/d.yml", "ci (.seatrial/a.yml)", "ci (.seatrial/b.yml)", "other"]);
});

test("a commit with more workflow files than are read is refused as a whole", async () => {
  const most = limits.workflowFiles;
  const files = Object.fromEntries(Array.from({ length: most + 1 }, (_, i) => [`.seatrial/${i}.yml`, workflow]));
  const { trigger, forge, id, main, runs } = await bench(files);
  const onMain = { event: "push", repository: { id, name: "project" }, ref: "refs/heads/main", after: main } as const;
  await expect(trigger.trigger(forge, onMain, { payload: undefined })).rejects.toThrow(
    `commit ${main} has ${most + 1} workflow files, and ${most} are possible`,
  );
  expect(await runs()).toEqual([]);
});

test("labels of one's own do not make a workflow one that is not valid", async () => {
  const gpu = "name: gpu\non: pull_request\njobs: {unit: {runs-on: gpu, steps: [{run: 'true'}]}}\n";
  const { trigger, forge, id, main, runs } = await bench({ ".seatrial/gpu.yml": gpu });
  await trigger.trigger(
    forge,
    { event: "push", repository: { id, name: "project" }, ref: "refs/heads/main", after: main },
    { payload: {} },
  );
  expect(await runs()).toEqual([]);
});

describe("the Repository of a change", () => {
  test("is made with the first, and named by all runs", async () => {
    const { trigger, forge, id, push, store, runs } = await bench({ ".seatrial/ci.yml": workflow });
    await trigger.trigger(forge, await push({ "a.txt": "1\n" }), { delivery: "1", payload: {} });
    expect((await store.list(repositoryKind)).items).toMatchObject([
      { metadata: { name: `local-${id}` }, spec: { forge: "local", id }, status: { name: "project", defaultBranch: "main" } },
    ]);
    expect((await runs()).map(({ metadata }) => metadata.labels?.["seatrial.dev/repository"])).toEqual([`local-${id}`]);
  });

  test("is suspended: nothing is started, until it is no more; then what was told meanwhile has its runs", async () => {
    const { trigger, forge, id, push, store, runs } = await bench({ ".seatrial/ci.yml": workflow });
    const name = `local-${id}`;
    await store.create(repositoryKind, { metadata: { name }, spec: { forge: "local", id, suspended: true } });
    const change = await push({ "a.txt": "1\n" });
    expect(await trigger.trigger(forge, change, { delivery: "1", payload: {} })).toEqual([]);
    expect(await runs()).toEqual([]);
    await store.patch(repositoryKind, name, { spec: { suspended: null } });
    expect(await trigger.trigger(forge, change, { payload: undefined })).toHaveLength(1);
    expect(await forge.checks(id, change.head.sha), "nobody was told").toEqual([]);
  });

  test("has no forks: a stranger's pull request says why it is not run, a push and a trusted one are run", async () => {
    const { trigger, forge, id, main, push, store, runs, distrust } = await bench({ ".seatrial/ci.yml": workflow });
    const name = `local-${id}`;
    await store.create(repositoryKind, { metadata: { name }, spec: { forge: "local", id, forks: "none" } });
    await trigger.trigger(
      forge,
      { event: "push", repository: { id, name: "project" }, ref: "refs/heads/main", after: main },
      { payload: {} },
    );
    const trusted = await push({ "a.txt": "1\n" });
    expect(await trigger.trigger(forge, trusted, { delivery: "1", payload: {} })).toHaveLength(1);
    distrust();
    const stranger = await push({ "a.txt": "2\n" });
    expect(await trigger.trigger(forge, stranger, { delivery: "2", payload: {} })).toEqual([]);
    expect(await runs()).toHaveLength(2);
    const checks = async () =>
      (await forge.checks(id, stranger.head.sha)).map(({ context, state, description }) => `${context}: ${state}, ${description}`);
    expect(await checks()).toEqual([`forks (pull_request): pending, not run: Repository ${name} runs no pull requests from forks`]);
    await store.patch(repositoryKind, name, { spec: { forks: "untrusted" } });
    expect(await trigger.trigger(forge, stranger, { payload: undefined })).toHaveLength(1);
    expect(await checks()).toEqual(["forks (pull_request): success, it is run"]);
    expect((await runs()).map(({ spec }) => spec.source.lane).toSorted()).toEqual(["trusted", "trusted", "untrusted"]);
  });
});

import { describe, expect, test } from "vitest";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { PullRequestChange } from "../../forges/forge.ts";
import { MergeConflictError } from "../../git/mirror.ts";
import { type Run, runKind } from "../../resources/run.ts";
import type { Stored } from "../../resources/object.ts";
import { repositoryKind } from "../../resources/repository.ts";
import { bench } from "./testdata/bench.ts";

const workflow = "name: ci\non: [push, pull_request]\njobs: {unit: {steps: [{run: 'true'}]}}\n";

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

/** What was started, as `event of path`. */
function started(runs: readonly Stored<Run>[]): string[] {
  return runs.map(({ spec }) => `${spec.source.event} ${spec.workflow.path.replace(".seatrial/", "")}`).toSorted();
}
const onlyOn = (on: string) => `on: ${on}\njobs: {unit: {steps: [{run: 'true'}]}}\n`;

describe("what makes no head", () => {
  test("runs once for each delivery, beside what the head has", async () => {
    const { trigger, forge, push, runs } = await bench({
      ".seatrial/head.yml": onlyOn("pull_request"),
      ".seatrial/label.yml": onlyOn("{pull_request: {types: [labeled]}}"),
      ".seatrial/close.yml": onlyOn("{pull_request: {types: [closed]}}"),
    });
    const change = await push({ "a.txt": "1\n" });
    await trigger.trigger(forge, change, { delivery: "1", payload: {} });
    const labeled = { ...change, action: "labeled" } as const;
    for (const delivery of ["2", "2", "3"]) await trigger.trigger(forge, labeled, { delivery, payload: { action: "label_updated" } });
    await trigger.trigger(forge, { ...change, action: "edited" }, { delivery: "4", payload: {} });
    await trigger.trigger(forge, { ...change, action: "closed" }, { delivery: "5", payload: {} });
    expect(started(await runs())).toEqual([
      "pull_request close.yml",
      "pull_request head.yml",
      "pull_request label.yml",
      "pull_request label.yml",
    ]);
  });

  test("says what happened in GitHub's words", async () => {
    const { trigger, forge, push, runs, history } = await bench({ ".seatrial/label.yml": onlyOn("{pull_request: {types: [labeled]}}") });
    await trigger.trigger(
      forge,
      { ...(await push({})), action: "labeled" },
      { delivery: "2", payload: { action: "label_updated", number: 1 } },
    );
    const [run] = await runs();
    expect(JSON.parse((await history.documents.get(run!.spec.source.eventDigest!))!)).toEqual({ action: "labeled", number: 1 });
  });

  test("and cannot be merged has no run, and is not tried again", async () => {
    const { trigger, forge, push, moveMain, runs } = await bench({
      ".seatrial/label.yml": onlyOn("{pull_request: {types: [labeled]}}"),
      "a.txt": "0\n",
    });
    await moveMain({ "a.txt": "main\n" });
    const change = await push({ "a.txt": "branch\n" });
    expect(await trigger.trigger(forge, { ...change, action: "labeled" }, { delivery: "1", payload: {} })).toEqual([]);
    expect(await runs()).toEqual([]);
  });

  test("a new branch is a create, one that is gone a delete on the default branch", async () => {
    const { trigger, forge, repository, main, pushTo, runs, history } = await bench({
      ".seatrial/create.yml": onlyOn("create"),
      ".seatrial/delete.yml": onlyOn("delete"),
    });
    const after = await pushTo("topic", { "a.txt": "1\n" });
    const ref = "refs/heads/topic";
    const from = { repository: { default_branch: "main" } };
    const push = { event: "push", repository, ref } as const;
    await trigger.trigger(forge, { ...push, after }, { payload: undefined });
    expect(await runs(), "nobody said that it is new").toEqual([]);
    await trigger.trigger(forge, { ...push, after }, { delivery: "1", payload: { ref, before: "0", sender: { login: "me" } } });
    await trigger.trigger(forge, { ...push, before: main, after }, { delivery: "2", payload: { ref } });
    await trigger.trigger(forge, { ...push, before: after }, { delivery: "3", payload: { ref, ...from } });
    expect(started(await runs()), "the default branch was not told of").toEqual(["create create.yml"]);
    await trigger.trigger(forge, { ...push, ref: "refs/heads/main", after: main }, { payload: undefined });
    await trigger.trigger(forge, { ...push, before: after }, { delivery: "4", payload: { ref, ...from } });
    const all = await runs();
    expect(started(all)).toEqual(["create create.yml", "delete delete.yml"]);
    const events = await Promise.all(
      all.map(async ({ spec }) => JSON.parse((await history.documents.get(spec.source.eventDigest!))!) as object),
    );
    expect(Object.fromEntries(all.map(({ spec }, i) => [spec.source.event, [spec.source.ref, spec.source.commit, events[i]]]))).toEqual({
      create: [ref, after, { ref: "topic", ref_type: "branch", master_branch: "main", sender: { login: "me" } }],
      delete: ["refs/heads/main", main, { ref: "topic", ref_type: "branch", ...from }],
    });
  });

  test("a release runs its tag, in the trusted lane; without its tag it runs nothing", async () => {
    const { trigger, forge, repository, main, runs } = await bench({ ".seatrial/release.yml": onlyOn("{release: {types: [published]}}") });
    forge.commitOf = async (_, ref) => await Promise.resolve(ref === "refs/tags/v1" ? main : undefined);
    const release = { event: "release", repository, ref: "refs/tags/v1", actions: ["published", "created"] } as const;
    await trigger.trigger(forge, { ...release, ref: "refs/tags/v2" }, { delivery: "1", payload: {} });
    await trigger.trigger(forge, { ...release, actions: ["deleted"] }, { delivery: "2", payload: {} });
    await trigger.trigger(forge, release, { delivery: "3", payload: {} });
    expect((await runs()).map(({ spec }) => spec.source)).toMatchObject([
      { event: "release", ref: "refs/tags/v1", base: { ref: "v1", sha: main }, commit: main, lane: "trusted", delivery: "3" },
    ]);
  });
});

describe("paths", () => {
  const files = {
    ".seatrial/docs.yml": onlyOn('{push: {paths: ["docs/**"]}, pull_request: {paths: ["docs/**"]}}'),
    ".seatrial/code.yml": onlyOn('{push: {paths-ignore: ["docs/**"]}, pull_request: {paths-ignore: ["docs/**"]}}'),
  };
  const both = ["push code.yml", "push docs.yml"];

  test("of a push are those between before and after, not those of its last commit", async () => {
    const { trigger, forge, repository, main, pushTo, runs } = await bench(files);
    await pushTo("main", { "docs/a.md": "1\n" });
    const after = await pushTo("main", { "docs/b.md": "1\n" });
    await trigger.trigger(
      forge,
      { event: "push", repository, ref: "refs/heads/main", before: main, after },
      { delivery: "1", payload: {} },
    );
    expect(started(await runs())).toEqual(["push docs.yml"]);
  });

  test("of a new branch are those since it left the default branch", async () => {
    const { trigger, forge, repository, pushTo, moveMain, runs } = await bench(files);
    await moveMain({ "code.txt": "main\n" });
    const after = await pushTo("topic", { "docs/a.md": "1\n" });
    await trigger.trigger(forge, { event: "push", repository, ref: "refs/heads/topic", after }, { delivery: "1", payload: {} });
    expect(started(await runs())).toEqual(["push docs.yml"]);
  });

  test.each([
    ["the default branch is new", "refs/heads/main", undefined],
    ["what was before is gone", "refs/heads/main", "1".repeat(40)],
    ["it is a tag", "refs/tags/v1", undefined],
  ])("leave nothing out when %s", async (_, ref, before) => {
    const { trigger, forge, repository, main, runs } = await bench(files);
    const change = { event: "push", repository, ref, after: main, ...(before ? { before } : {}) } as const;
    await trigger.trigger(forge, change, { delivery: "1", payload: {} });
    expect(started(await runs())).toEqual(both);
  });

  test("of a head that was found are those since it was known last", async () => {
    const { trigger, forge, repository, main, pushTo, runs } = await bench(files);
    const on = { event: "push", repository, ref: "refs/heads/main" } as const;
    await trigger.trigger(forge, { ...on, after: main }, { payload: undefined });
    expect(started(await runs())).toEqual(both);
    const after = await pushTo("main", { "docs/a.md": "1\n" });
    await trigger.trigger(forge, { ...on, after }, { payload: undefined });
    expect(started(await runs())).toEqual([...both, "push docs.yml"]);
  });

  test("of a pull request are those that its head changed, not those of its base", async () => {
    const { trigger, forge, push, moveMain, runs } = await bench(files);
    const first = await push({ "docs/a.md": "1\n" });
    await moveMain({ "code.txt": "main\n" });
    const change = (await forge.pullRequest(first.repository.id, 1))!;
    expect(change.base.sha).not.toBe(first.base.sha);
    await trigger.trigger(forge, change, { delivery: "1", payload: {} });
    expect(started(await runs())).toEqual(["pull_request docs.yml"]);
  });
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

test("a head whose merge needs more than it may have says so, and the next looks leave it alone", async () => {
  const { trigger, forge, id, mirror, push, runs } = await bench({ ".seatrial/ci.yml": workflow });
  const change = await push({ "a.txt": "1\n" });
  // A stand-in for a tree that names itself ten thousand million times: git takes a minute to find that out.
  const tooMuch = new SeatrialError("invalid", "git merge-tree needs more than 1024 MiB of memory, and may not have it");
  let merges = 0;
  mirror.mergeOf = async (base) => {
    merges++;
    return await Promise.reject(new MergeConflictError(base, change.head.sha, tooMuch));
  };
  await expect(trigger.trigger(forge, change, { payload: undefined })).rejects.toMatchObject({ code: "conflict" });
  expect(await trigger.trigger(forge, change, { payload: undefined })).toEqual([]);
  expect(merges).toBe(1);
  expect((await forge.checks(id, change.head.sha)).map(({ state, description }) => `${state}: ${description}`)).toEqual([
    `error: cannot be merged into main: ${tooMuch.message}`,
  ]);
  expect(await runs()).toEqual([]);
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

test("what the forge never tells of a workflow's triggers is noted in its runs", async () => {
  const { trigger, forge, repository, main, runs } = await bench({
    ".seatrial/a.yml": onlyOn("{push: , release: }"),
    ".seatrial/b.yml": onlyOn("push"),
  });
  await trigger.trigger(forge, { event: "push", repository, ref: "refs/heads/main", after: main }, { payload: undefined });
  expect(Object.fromEntries((await runs()).map(({ spec }) => [spec.workflow.path, spec.notices]))).toEqual({
    ".seatrial/a.yml": ["on.release: a repository on this disk has no releases"],
    ".seatrial/b.yml": undefined,
  });
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

import { expect, test } from "vitest";
import { limits } from "../../base/limits.ts";
import { repositoryKind } from "../../resources/repository.ts";
import { Dispatcher } from "./dispatch.ts";
import { bench } from "./testdata/bench.ts";

const files = {
  ".seatrial/deploy.yml": `name: Deploy
on: {workflow_dispatch: {inputs: {level: {type: choice, options: [low, high], default: low}, dry: {type: boolean}, who: {required: true}}}}
jobs: {a: {steps: [{run: x}]}}
`,
  ".seatrial/push.yml": "on: push\njobs: {a: {steps: [{run: x}]}}\n",
  ".seatrial/told.yml": "on: {repository_dispatch: {types: [built]}}\njobs: {a: {steps: [{run: x}]}}\n",
  ".seatrial/broken.yml": "on: push\njobs: {}\n",
};

async function dispatcherBench() {
  const all = await bench(files);
  return { ...all, dispatcher: new Dispatcher(all.trigger), repositoryId: all.id };
}

test("a dispatch runs the one workflow, at the branch that is asked for, with typed inputs; another dispatch runs it again", async () => {
  const { dispatcher, forge, repositoryId, main, pushTo, runs, history } = await dispatcherBench();
  const topic = await pushTo("topic", { "a.txt": "1\n" });
  const first = await dispatcher.dispatch(forge, { repositoryId, workflow: "Deploy", inputs: { who: "me" } });
  const second = await dispatcher.dispatch(forge, {
    repositoryId,
    workflow: "deploy.yml",
    ref: "topic",
    inputs: { who: "me", dry: "true" },
  });
  const all = await runs();
  expect(all.map(({ metadata }) => metadata.name).toSorted()).toEqual([first, second].toSorted());
  const specs = [first, second].map((name) => all.find(({ metadata }) => metadata.name === name)!.spec);
  expect(specs).toMatchObject([
    { source: { event: "workflow_dispatch", ref: "refs/heads/main", commit: main, lane: "trusted" }, workflow: { name: "Deploy" } },
    { source: { event: "workflow_dispatch", ref: "refs/heads/topic", commit: topic, lane: "trusted" } },
  ]);
  expect(specs.map(({ inputs }) => JSON.parse(inputs!) as object)).toEqual([
    { level: "low", dry: false, who: "me" },
    { level: "low", dry: true, who: "me" },
  ]);
  expect(JSON.parse((await history.documents.get(specs[1]!.source.eventDigest!))!)).toMatchObject({
    inputs: { level: "low", dry: "true", who: "me" },
    ref: "refs/heads/topic",
    workflow: ".seatrial/deploy.yml",
    repository: { full_name: "project", default_branch: "main" },
  });
});

test.each<[what: string, workflow: string, ref: string | undefined, inputs: Record<string, string>, expected: object]>([
  [
    "no such workflow",
    "depoly.yml",
    undefined,
    {},
    { code: "not-found", message: "there is no workflow depoly.yml at refs/heads/main, did you mean deploy.yml?" },
  ],
  ["no such branch", "deploy.yml", "nowhere", {}, { code: "not-found", message: "repository project has no branch and no tag nowhere" }],
  [
    "a workflow that is not for it",
    "push.yml",
    undefined,
    {},
    { code: "conflict", message: ".seatrial/push.yml has no workflow_dispatch in its `on`" },
  ],
  [
    "a workflow that is wrong",
    "broken.yml",
    undefined,
    {},
    { code: "invalid", message: ".seatrial/broken.yml:2:1: jobs: must have at least one job" },
  ],
  ["an input that is lacking", "deploy.yml", undefined, {}, { code: "invalid", message: "input who of .seatrial/deploy.yml is required" }],
])("%s is told, and starts nothing", async (_, workflow, ref, inputs, expected) => {
  const { dispatcher, forge, repositoryId, runs } = await dispatcherBench();
  await expect(dispatcher.dispatch(forge, { repositoryId, workflow, ref, inputs })).rejects.toMatchObject(expected);
  expect(await runs()).toEqual([]);
});

test("an event of one's own runs the workflows that have its type, with its payload", async () => {
  const { dispatcher, forge, repositoryId, runs, history } = await dispatcherBench();
  expect(await dispatcher.tell(forge, { repositoryId, type: "other" })).toEqual([]);
  const names = await dispatcher.tell(forge, { repositoryId, type: "built", payload: { image: { tag: "v1" } } });
  const [run] = await runs();
  expect(names).toEqual([run!.metadata.name]);
  expect(run!.spec).toMatchObject({
    source: { event: "repository_dispatch", ref: "refs/heads/main" },
    workflow: { path: ".seatrial/told.yml" },
  });
  expect(JSON.parse((await history.documents.get(run!.spec.source.eventDigest!))!)).toMatchObject({
    action: "built",
    branch: "main",
    client_payload: { image: { tag: "v1" } },
  });
});

test("a payload that GitHub would not take is refused", async () => {
  const { dispatcher, forge, repositoryId } = await dispatcherBench();
  const keys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, "x"]));
  const tell = async (payload: Record<string, string>, type = "other") => await dispatcher.tell(forge, { repositoryId, type, payload });
  expect(await tell(keys(limits.dispatchPayloadKeys))).toEqual([]);
  await expect(tell(keys(11))).rejects.toMatchObject({ code: "invalid", message: "the payload has 11 keys, and can have at most 10" });
  await expect(tell({ a: "x".repeat(64 * 1024) })).rejects.toMatchObject({
    message: "the payload has 65544 bytes, and can have at most 65536",
  });
  await expect(tell({}, "x".repeat(101))).rejects.toMatchObject({ message: "the type must have from 1 to 100 characters" });
});

test("a repository that is suspended takes none, and says so", async () => {
  const { dispatcher, forge, repositoryId, store, runs } = await dispatcherBench();
  await store.create(repositoryKind, {
    metadata: { name: `local-${repositoryId}` },
    spec: { forge: "local", id: repositoryId, suspended: true },
  });
  for (const ask of [
    async () => await dispatcher.dispatch(forge, { repositoryId, workflow: "deploy.yml", inputs: { who: "me" } }),
    async () => await dispatcher.tell(forge, { repositoryId, type: "built" }),
  ]) {
    await expect(ask()).rejects.toMatchObject({ code: "conflict", message: "repository project is suspended" });
  }
  expect(await runs()).toEqual([]);
});

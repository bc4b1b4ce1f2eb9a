import { expect, test } from "vitest";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { AttemptRecord } from "../../history/attempts.ts";
import { MemoryStore } from "../../kube/memory.ts";
import { type JobRun, jobRunKind } from "../../resources/job-run.ts";
import { runLabels } from "../../resources/run.ts";
import type { ContainerView } from "../../runner/containers/attempt-containers.ts";
import type { ContainerRequest } from "../../runner/containers/container-protocol.ts";
import type { Executor } from "../../runner/executors/executor.ts";
import { ContainerDesk } from "./container-desk.ts";

const request: ContainerRequest = { role: "service", name: "db", image: "postgres:18", env: {} };

/** A desk, and a host with images. @param digests what the registry says of a reference, one after the other. */
async function openDesk(
  digests: (string | Error)[] = ["postgres@sha256:1"],
  lane: JobRun["spec"]["lane"] = "trusted",
  servesTrusted = true,
) {
  let uid = 0;
  const store = new MemoryStore({ now: () => new Date(0), newUid: () => `uid-${uid++}` });
  const addJobRun = async (name: string) => {
    const spec: JobRun["spec"] = {
      run: "run-1",
      repository: "r",
      lane,
      job: name,
      name,
      steps: [],
      runsOn: { labels: [], executor: "docker" },
    };
    await store.create(jobRunKind, { metadata: { name, labels: { [runLabels.run]: "run-1" } }, spec });
    const record: AttemptRecord = {
      uid: `${name}-1`,
      jobRun: { name, uid: "u" },
      number: 1,
      tokenHash: "",
      executor: "docker",
      host: "local",
      createdAt: new Date(0),
      heardAt: new Date(0),
    };
    return record;
  };
  const running = new Map<string, string>();
  const pulled: { image: string; credentials: unknown }[] = [];
  const state = { startError: undefined as Error | undefined };
  const containers = {
    observe: async (attempt: string, name: string): Promise<Partial<ContainerView> | undefined> => {
      const image = running.get(`${attempt} ${name}`);
      return await Promise.resolve(image === undefined ? undefined : { state: "running", id: "id", image, env: [] });
    },
    logOf: async () => await Promise.resolve("log"),
    digestOf: async () => {
      await Promise.resolve();
      const digest = digests.shift() ?? "postgres@sha256:another";
      if (digest instanceof Error) throw digest;
      return digest;
    },
    publicDigestOf: async (reference: string) => {
      await Promise.resolve();
      if (!reference.startsWith("postgres")) throw new SeatrialError("refused", `image ${reference} is not one that everybody can have`);
      return "postgres@sha256:public";
    },
    build: async () => await Promise.resolve("sha256:built"),
    hasImage: async (image: string) => await Promise.resolve(image.startsWith("sha256:") || pulled.some((each) => each.image === image)),
    pull: async (image: string, credentials: unknown) => await Promise.resolve(pulled.push({ image, credentials })),
    start: async (attempt: string, { name }: ContainerRequest, image: string) => {
      await Promise.resolve();
      if (state.startError) throw state.startError;
      running.set(`${attempt} service-${name}`, image);
    },
  };
  const executor = { name: "docker", containers } as unknown as Executor;
  const desk = new ContainerDesk({
    store,
    executorOf: ({ executor: name }) => (name === "docker" ? executor : ({ name: "host" } as Executor)),
    servesTrusted: () => servesTrusted,
  });
  const statusOf = async (name: string) => (await store.get(jobRunKind, name))?.status;
  return { desk, store, addJobRun, pulled, statusOf, running, state, containers, first: await addJobRun("a") };
}

test("an image is resolved once for a run, pulled by its digest, and written down", async () => {
  const { desk, addJobRun, pulled, statusOf, first } = await openDesk();
  const credentials = { username: "u", password: "hunter22" };
  expect(await desk.ask(first, { ...request, credentials })).toMatchObject({ state: "running", image: "postgres@sha256:1" });
  // Its registry has another one by now.
  expect(await desk.ask(await addJobRun("b"), { ...request, image: "docker://postgres:18" })).toMatchObject({ image: "postgres@sha256:1" });
  expect(pulled).toEqual([{ image: "postgres@sha256:1", credentials }]);
  const [a, b] = [await statusOf("a"), await statusOf("b")];
  const images = [{ reference: "postgres:18", digest: "postgres@sha256:1" }];
  expect([a?.attempts, b?.attempts]).toEqual([
    [{ number: 1, uid: "a-1", executor: "docker", host: "local", images }],
    [{ number: 1, uid: "b-1", executor: "docker", host: "local", images }],
  ]);
  expect(JSON.stringify([a, b])).not.toContain("hunter22");
});

test("a job that asks for many at once is given some at a time, and all in the end", async () => {
  const { desk, first, containers } = await openDesk();
  const { promise: pulled, resolve: release } = Promise.withResolvers<number>();
  let pulls = 0;
  containers.pull = async () => {
    pulls++;
    return await pulled;
  };
  containers.hasImage = async () => await Promise.resolve(false);
  const requests = Array.from({ length: 8 }, (_, index) => ({ ...request, name: `db${index}`, image: `image${index}` }));
  const answers = await Promise.all(requests.map(async (each) => await desk.ask(first, each)));
  expect([answers.map(({ state }) => state), pulls]).toEqual([requests.map(() => "busy"), limits.containersAtOnce]);
  release(1);
  for (const each of requests) expect(await desk.ask(first, each)).toMatchObject({ state: "running" });
});

test("jobs that ask at the same time get the same image", async () => {
  const { desk, addJobRun, first } = await openDesk(["postgres@sha256:1", "postgres@sha256:2"]);
  const second = await addJobRun("b");
  const answers = await Promise.all([first, second].map(async (attempt) => await desk.ask(attempt, request)));
  expect(answers.map((answer) => (answer.state === "running" ? answer.image : answer.state))).toEqual([
    "postgres@sha256:1",
    "postgres@sha256:1",
  ]);
});

test("what an attempt's status said before stays", async () => {
  const { desk, store, statusOf, first } = await openDesk();
  const jobRun = (await store.get(jobRunKind, "a"))!;
  const attempt = { number: 1, uid: "a-1", executor: "docker", host: "local", startedAt: "2026-01-01T00:00:00Z" } as const;
  await store.writeStatus(jobRunKind, jobRun, { phase: "Running", startedAt: "2026-01-01T00:00:00Z", attempts: [attempt] });
  await desk.ask(first, request);
  expect(await statusOf("a")).toMatchObject({ phase: "Running", attempts: [{ ...attempt, images: [{ reference: "postgres:18" }] }] });
});

test.each<[string, Parameters<typeof openDesk>, Partial<ContainerRequest>, object]>([
  [
    "no registry has it",
    [[new SeatrialError("not-found", "no registry has postgres:18")]],
    {},
    { state: "failed", cause: "image", message: "no registry has postgres:18" },
  ],
  [
    "credentials of a change that is not trusted",
    [[], "untrusted"],
    { credentials: { username: "u", password: "p" } },
    { state: "failed", cause: "image", message: "credentials for an image are not used for changes that are not trusted" },
  ],
])("an image that cannot be had: %s", async (_name, options, more, answer) => {
  const { desk, first, pulled } = await openDesk(...options);
  expect(await desk.ask(first, { ...request, ...more })).toEqual(answer);
  expect(pulled).toEqual([]);
});

const build = { image: undefined, build: { folder: "/seatrial/attempt/actions/own", file: "Dockerfile" } };

test.each<[string, Partial<ContainerRequest>, object]>([
  ["what everybody has is what its registry says, whatever the host has", {}, { state: "running", image: "postgres@sha256:public" }],
  [
    "a name of the host",
    { image: "private:1" },
    { state: "failed", cause: "image", message: expect.stringContaining("image private:1 is not") },
  ],
  ["an id", { image: "sha256:1" }, { state: "failed", cause: "image", message: expect.stringContaining("image sha256:1 is not") }],
  ["a Dockerfile", build, { state: "failed", cause: "image", message: expect.stringContaining("host local serves trusted ones, too") }],
])("a change that is not trusted, on a host for both lanes: %s", async (_name, more, answer) => {
  const { desk, first, running } = await openDesk(["private@sha256:of-the-host"], "untrusted");
  const asked = await desk.ask(first, { ...request, ...more } as ContainerRequest);
  expect(asked).toMatchObject(answer);
  expect([...running.values()]).toEqual(asked.state === "running" ? [asked.image] : []);
});

test("what a job of the run had on a host for its lane alone is asked of the registry again on one for both", async () => {
  const { desk, first, store } = await openDesk([], "untrusted");
  const jobRun = (await store.get(jobRunKind, "a"))!;
  const image = { reference: "postgres:18", digest: "private@sha256:1" };
  await store.writeStatus(jobRunKind, jobRun, { attempts: [{ number: 1, uid: "b-1", executor: "docker", host: "far", images: [image] }] });
  expect(await desk.ask(first, request)).toMatchObject({
    state: "failed",
    message: expect.stringContaining("image private@sha256:1 is not"),
  });
});

test.each<[string, Partial<ContainerRequest>, string]>([
  ["an image of the host", { image: "private:1" }, "private@sha256:of-the-host"],
  ["a Dockerfile", build, "sha256:built"],
])("a change that is not trusted, on a host for such ones alone: %s", async (_name, more, image) => {
  const { desk, first } = await openDesk(["private@sha256:of-the-host"], "untrusted", false);
  expect(await desk.ask(first, { ...request, ...more } as ContainerRequest)).toMatchObject({ state: "running", image });
});

test("a container that does not start says why, and can be asked for again", async () => {
  const { desk, first, state } = await openDesk();
  state.startError = new SeatrialError("refused", "it may not");
  expect(await desk.ask(first, request)).toEqual({ state: "failed", cause: "container", message: "it may not" });
  state.startError = undefined;
  expect(await desk.ask(first, request)).toMatchObject({ state: "running" });
});

test("a Docker that does not answer is no reason to give up: the runner asks again", async () => {
  const { desk, first } = await openDesk([
    new SeatrialError("unreachable", "Docker did not answer", { retryable: true }),
    "postgres@sha256:1",
  ]);
  await expect(desk.ask(first, request)).rejects.toMatchObject({ code: "unreachable" });
  expect(await desk.ask(first, request)).toMatchObject({ state: "running" });
});

test("another server finds what this one made", async () => {
  const { desk, store, first, running } = await openDesk();
  running.set("a-1 service-db", "postgres@sha256:9");
  expect(await desk.ask(first, request)).toMatchObject({ state: "running", image: "postgres@sha256:9" });
  expect((await store.get(jobRunKind, "a"))?.status).toBeUndefined();
});

test("a job that runs as a process is told that it needs a Docker host", async () => {
  const { desk, first } = await openDesk();
  expect(await desk.ask({ ...first, executor: "host" }, request)).toMatchObject({
    state: "failed",
    cause: "container",
    message: expect.stringContaining("needs executor docker"),
  });
});

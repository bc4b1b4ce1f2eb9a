/** The API as its clients see it, over a history in a folder and resources in memory: what it answers is what its description says. */
import { createHash, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { environmentFrom } from "../../base/environment.ts";
import { FolderStore } from "../../artifacts/folder.ts";
import { UploadPack } from "../../git/upload-pack.ts";
import type { Forge } from "../../forges/forge.ts";
import { openHistory } from "../../history/history.ts";
import { runNamed } from "../../history/testdata/resources.ts";
import { MemoryStore } from "../../kube/memory.ts";
import { openLogStore } from "../../logs/log-store.ts";
import { type JobRun, jobRunKind, type JobRunStatus } from "../../resources/job-run.ts";
import { type Run, runKind, runLabels, type RunSpec, type RunStatus } from "../../resources/run.ts";
import { exampleLock } from "../../resources/testdata/lock.ts";
import { openSecrets } from "../../secrets/file.ts";
import { bringCache, bringUpload } from "../runners/brought-uploads.ts";
import { apiApp } from "./app.ts";
import { ApiClient } from "./client.ts";
import { type Route } from "./route.ts";
import { type ApiOptions, apiRoutes } from "./routes.ts";

const now = new Date("2026-11-01T12:10:00Z");
const finishedAt = "2026-11-01T12:00:00.000Z";
const workflow = "on: push\njobs: {unit: {steps: [{run: x}]}}\n";

class TestApi {
  readonly store = new MemoryStore({ now: () => now, newUid: randomUUID });
  readonly routes: Route[];
  readonly options: ApiOptions;
  readonly client: ApiClient;
  readonly replayed: true[] = [];
  readonly dispatched: object[] = [];
  readonly #app: ReturnType<typeof apiApp>;

  static async open(more: Partial<ApiOptions> = {}): Promise<TestApi> {
    const directory = await mkdtemp(join(tmpdir(), "api-"));
    onTestFinished(async () => await rm(directory, { recursive: true, force: true }));
    const objects = new FolderStore(join(directory, "objects"));
    const [history, logs] = await Promise.all([
      openHistory({ sqlite: { directory } }),
      openLogStore({ settings: { sqlite: { directory } }, objects }),
    ]);
    onTestFinished(async () => {
      await logs.shutdown();
      await history.close();
    });
    return new TestApi({ history, logs, objects, secrets: openSecrets(directory) }, more);
  }

  private constructor(stores: Pick<ApiOptions, "history" | "logs" | "objects" | "secrets">, more: Partial<ApiOptions>) {
    this.options = {
      ...stores,
      store: this.store,
      changeOf: async () => await Promise.resolve(),
      checksOf: async () => await Promise.resolve([]),
      repositoryOf: () => "/nowhere",
      uploadPack: uploadPack(),
      dispatches: {
        forges: new Map([["local", { repositoryNamed: async () => await Promise.resolve({ id: "1" }) } as unknown as Forge]]),
        dispatcher: {
          dispatch: async (_, { repositoryId, workflow: file, inputs }) => {
            this.dispatched.push({ repositoryId, file, inputs });
            return await Promise.resolve("live");
          },
          tell: async (_, { repositoryId, type, payload }) => {
            this.dispatched.push({ repositoryId, type, payload });
            return await Promise.resolve(["live"]);
          },
        },
      },
      onReplay: () => void this.replayed.push(true),
      now: () => now,
      ...more,
    };
    this.routes = apiRoutes(this.options);
    this.#app = apiApp({ routes: this.routes, token: "right", version: "1.2.3" });
    this.client = new ApiClient(async (request) => await this.#app.fetch(request), undefined, "right");
  }

  async call(method: string, path: string, body?: unknown, token: string | undefined = "right"): Promise<Response> {
    return await this.#app.request(path, {
      method,
      headers: { "content-type": "application/json", ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  async run(name: string, status: RunStatus, spec: Partial<RunSpec> = {}): Promise<void> {
    const digest = await this.options.history.documents.put(workflow, now);
    const base = runNamed(name, { workflow: { digest } }).spec;
    const made = await this.store.create(runKind, { metadata: { name }, spec: { ...base, ...spec } });
    await this.options.history.projection.projectRuns([await this.store.writeStatus(runKind, made, status)]);
  }

  async jobRun(run: string, job: string, status: JobRunStatus, spec: Partial<JobRun["spec"]> = {}): Promise<string> {
    const name = `${run}-${job}-0`;
    const made = await this.store.create(jobRunKind, {
      metadata: { name, labels: { [runLabels.run]: run } },
      spec: {
        run,
        repository: "owner/project",
        lane: "trusted",
        job,
        name: job,
        steps: [{ run: "x" }],
        runsOn: { labels: [], executor: "host" },
        ...spec,
      },
    });
    const written = await this.store.writeStatus(jobRunKind, made, status);
    await this.options.history.projection.projectJobRuns([written]);
    return written.metadata.uid;
  }

  /** As upkeep does it with what has ended. */
  async forget(run: string): Promise<void> {
    for (const { metadata } of (await this.store.list(jobRunKind)).items) await this.store.delete(jobRunKind, metadata.name);
    await this.store.delete(runKind, run);
  }

  async spec(name: string): Promise<Run["spec"]> {
    return (await this.store.get(runKind, name))!.spec;
  }

  async jobSpec(name: string): Promise<JobRun["spec"]> {
    return (await this.store.get(jobRunKind, name))!.spec;
  }
}

/** Of a machine that has git and nothing else. */
function uploadPack(): UploadPack {
  const { PATH } = process.env;
  const served = new UploadPack(environmentFrom({ variables: { PATH }, homeDir: "/", tempDir: tmpdir(), uid: 0, cwd: "/" }));
  onTestFinished(async () => await served.close());
  return served;
}

const failed: JobRunStatus = { phase: "Finished", verdict: "failed", attempt: 1, finishedAt };
const clusters: JobRun["spec"]["clusters"] = [{ name: "cluster", spec: { provider: "bare" } as never }];
const held: JobRunStatus = { ...failed, heldUntil: "2026-11-01T13:00:00.000Z", clusters: [{ name: "cluster", cluster: "st-1" }] };

const reproduces = `sha256:${"7".repeat(64)}`;

async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Buffer.from(text));
}

/** A run that failed, with all that there can be of it. */
async function furnished(): Promise<TestApi> {
  const api = await TestApi.open();
  await api.run("ended", { phase: "Finished", verdict: "failed", finishedAt }, { reproduces });
  const uid = await api.jobRun("ended", "unit", held, { clusters, hold: { forSeconds: 3600 } });
  await api.run("live", { phase: "Running" });
  await api.jobRun("live", "unit", { phase: "Running" }, { clusters });
  const { history, logs, objects, secrets } = api.options;
  const jobRun = { name: "ended-unit-0", uid };
  await history.attempts.open({ uid: "a-1", jobRun, number: 1, tokenHash: "h", executor: "host", host: "local" }, now);
  await logs.append("a-1", 0, Buffer.from("one\ntwo\n"), now);
  await logs.close("a-1", now);
  await objects.put("a-1/artifacts/x", Buffer.from("x"), { size: 1, most: 10 });
  await history.attempts.recordArtifact("a-1", {
    path: "x",
    size: 1,
    digest: `sha256:${"0".repeat(64)}`,
    contentType: "text/plain",
    key: "a-1/artifacts/x",
  });
  await history.attempts.setTests("a-1", [{ suite: "s", className: "c", name: "t", verdict: "failed", logLine: 2 }]);
  await bringUpload(
    { history, objects },
    reproduces,
    "n",
    [{ path: "x", size: 1, content: async () => await Promise.resolve(bytesOf("x")) }],
    now,
  );
  const cache = { key: "k", version: "v", digest: digestOfX };
  await bringCache({ history, objects }, reproduces, { ...cache, size: 1, content: async () => await Promise.resolve(bytesOf("x")) }, now);
  await history.locks.put("a-1", JSON.stringify({ ...exampleLock, caches: [cache] }));
  await history.attempts.end("a-1", { verdict: "failed" }, now);
  await secrets!.set("server", "TOKEN", "correct horse");
  await history.deliveries.put({ forge: "gitea", delivery: "d", event: "push", headers: {}, body: Buffer.from("{}") }, now);
  return api;
}

const digestOfX = `sha256:${createHash("sha256").update("x").digest("hex")}`;

const source = runNamed("x").spec.source;

/** One good call of each operation. */
const calls: Record<string, [path: string, body?: object]> = {
  listRuns: ["/api/v1/runs?limit=1"],
  dispatchWorkflow: ["/api/v1/dispatches", { repository: "project", workflow: "w.yml", inputs: { dry: true } }],
  dispatchRepository: ["/api/v1/repository-dispatches", { repository: "project", type: "built", payload: { tag: "v1" } }],
  createRun: ["/api/v1/runs", { source, workflow: { path: "w.yml", text: workflow }, event: {}, matrix: { k: ["v"] } }],
  getRun: ["/api/v1/runs/ended"],
  streamRun: ["/api/v1/runs/ended/stream"],
  listChecks: ["/api/v1/runs/ended/checks"],
  abortRun: ["/api/v1/runs/live/abort", { reason: "enough" }],
  rerunRun: ["/api/v1/runs/ended/rerun", { failed: true }],
  holdRun: ["/api/v1/runs/live/hold", { forSeconds: 60 }],
  getJob: ["/api/v1/jobs/ended-unit-0"],
  getLines: ["/api/v1/jobs/ended-unit-0/lines?from=2"],
  getLog: ["/api/v1/jobs/ended-unit-0/log"],
  getLock: ["/api/v1/jobs/ended-unit-0/lock?attempt=1"],
  listUploads: ["/api/v1/jobs/ended-unit-0/uploads"],
  listCaches: ["/api/v1/jobs/ended-unit-0/caches"],
  getCache: [`/api/v1/jobs/ended-unit-0/cache?digest=${digestOfX}`],
  getUpload: ["/api/v1/jobs/ended-unit-0/upload?name=n&path=x"],
  getEvent: ["/api/v1/jobs/ended-unit-0/event"],
  listGitRefs: ["/api/v1/jobs/ended-unit-0/git/info/refs?service=git-upload-pack"],
  fetchGit: ["/api/v1/jobs/ended-unit-0/git/git-upload-pack"],
  createReproduction: ["/api/v1/reproductions", { lock: exampleLock, event: "{}" }],
  listTests: ["/api/v1/jobs/ended-unit-0/tests"],
  listArtifacts: ["/api/v1/jobs/ended-unit-0/artifacts"],
  getArtifact: ["/api/v1/jobs/ended-unit-0/artifact?path=x"],
  listSecrets: ["/api/v1/secrets"],
  setSecret: ["/api/v1/secrets/OTHER", { value: "v" }],
  removeSecret: ["/api/v1/secrets/TOKEN"],
  listDeliveries: ["/api/v1/deliveries?state=waiting"],
  getDelivery: ["/api/v1/deliveries/1"],
  replayDelivery: ["/api/v1/deliveries/1/replay"],
};

describe("the description", () => {
  test("every route is in it, and answers as it says", async () => {
    const api = await furnished();
    expect(api.routes.map(({ operation }) => operation).toSorted()).toEqual(Object.keys(calls).toSorted());
    for (const route of api.routes) {
      const [path, body] = calls[route.operation]!;
      const answer = await api.call(route.method.toUpperCase(), path, body);
      const text = await answer.text();
      expect(answer.status, `${route.operation}: ${text}`).toBe(200);
      if (route.answer instanceof z.ZodType) expect(route.answer.parse(JSON.parse(text)), route.operation).toEqual(JSON.parse(text));
      else expect(answer.headers.get("content-type"), route.operation).toContain(route.answer.contentType);
    }
  });

  test("is OpenAPI 3.1: each operation once, with its parameters, its body, and what it needs", async () => {
    const api = await TestApi.open();
    type Operation = { operationId: string; parameters?: { name: string; in: string }[]; requestBody?: object; security?: object[] };
    const document = (await (await api.call("GET", "/api/v1/openapi.json")).json()) as {
      openapi: string;
      info: { version: string };
      paths: Record<string, Record<string, Operation>>;
    };
    expect(document).toMatchObject({ openapi: "3.1.0", info: { version: "1.2.3" } });
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    );
    expect(operations.map(({ operation }) => operation.operationId).toSorted()).toEqual(Object.keys(calls).toSorted());
    for (const { path, method, operation } of operations) {
      const inPath = (operation.parameters ?? []).filter((each) => each.in === "path").map(({ name }) => `{${name}}`);
      expect(path.match(/\{\w+\}/g) ?? [], path).toEqual(inPath);
      expect(operation.requestBody !== undefined, `${method} ${path}`).toBe(calls[operation.operationId]![1] !== undefined);
      if (method !== "get") expect(operation.security, `${method} ${path} changes something`).toEqual([{ token: [] }]);
    }
    const references = JSON.stringify(document).match(/"\$ref":"[^"]*"/g) ?? [];
    expect(new Set(references), "none that leads nowhere").toEqual(new Set(['"$ref":"#/components/schemas/Error"']));
  });

  test("who has no token changes nothing, and sees no secret and no delivery", async () => {
    const api = await furnished();
    for (const route of api.routes) {
      const [path, body] = calls[route.operation]!;
      for (const token of [undefined, "wrong"]) {
        const answer = await api.call(route.method.toUpperCase(), path, body, token ?? "");
        await answer.arrayBuffer(); // What is not read stays open.
        expect(answer.status, route.operation).toBe(route.isProtected ? 401 : 200);
      }
    }
    expect((await api.spec("live")).abort).toBeUndefined();
  });
});

test.each<[string, string, string, unknown, RegExp]>([
  ["a limit that is no number", "GET", "/api/v1/runs?limit=many", undefined, /the query\.limit/],
  ["no body", "POST", "/api/v1/runs/live/abort", undefined, /the body is not JSON/],
  ["an abort without a reason", "POST", "/api/v1/runs/live/abort", {}, /the body\.reason/],
  ["a hold for too long", "POST", "/api/v1/runs/live/hold", { forSeconds: 90_000 }, /the body\.forSeconds/],
  ["a rerun of two things", "POST", "/api/v1/runs/ended/rerun", { failed: true, job: "unit" }, /either the jobs that failed or one/],
  ["a delivery that is no number", "GET", "/api/v1/deliveries/x", undefined, /is no number of a delivery/],
  ["a bad name of a secret", "PUT", "/api/v1/secrets/GITHUB_X", { value: "hidden" }, /must not begin with GITHUB_/],
  ["an empty secret", "PUT", "/api/v1/secrets/X", { value: "" }, /is empty/],
])("bad input: %s", async (_, method, path, body, message) => {
  const api = await furnished();
  const answer = await api.call(method, path, body);
  expect(answer.status).toBe(400);
  const text = await answer.text();
  expect(text).toMatch(message);
  expect(text).not.toContain("hidden");
});

describe("abort", () => {
  test("a run, one of its jobs, what is held", async () => {
    const api = await furnished();
    expect(await api.client.abort("live", "enough", "unit")).toEqual(["live-unit-0"]);
    expect((await api.jobSpec("live-unit-0")).abort).toBe("enough");
    expect((await api.spec("live")).abort).toBeUndefined();
    await api.client.abort("live", "all of it");
    expect((await api.spec("live")).abort).toBe("all of it");
    expect(await api.client.abort("ended", "no more")).toEqual(["ended-unit-0"]);
    expect((await api.jobSpec("ended-unit-0")).hold).toBeUndefined();
  });

  test("what cannot be ended says why", async () => {
    const api = await furnished();
    await api.run("over", { phase: "Finished", verdict: "passed" });
    await expect(api.client.abort("over", "x")).rejects.toMatchObject({ code: "conflict", message: "over has ended: passed" });
    await expect(api.client.abort("live", "x", "other")).rejects.toMatchObject({ code: "not-found", hint: "its jobs are unit" });
    await expect(api.client.abort("none", "x")).rejects.toMatchObject({ code: "not-found" });
    await api.run("here", { phase: "Running" }, { source: { ...source, forge: "working-tree" } });
    await api.forget("here");
    await expect(api.client.abort("here", "x")).rejects.toMatchObject({ code: "conflict", hint: "Ctrl-C ends it there" });
  });
});

describe("rerun", () => {
  test("raises the attempt, says what of it, and forgets an abort", async () => {
    const api = await TestApi.open();
    await api.run("r", { phase: "Finished", verdict: "aborted" }, { abort: "enough" });
    await api.jobRun("r", "unit", failed);
    expect(await api.client.rerun("r", { failed: true })).toEqual({ name: "r", attempt: 2 });
    expect(await api.spec("r")).toMatchObject({ attempt: 2, rerun: { failed: true } });
    expect((await api.spec("r")).abort).toBeUndefined();
    expect((await api.client.run("r")).run).toMatchObject({ phase: "Pending" });
    await expect(api.client.rerun("r", {})).rejects.toMatchObject({ code: "conflict", message: "r has not ended" });
  });

  test("one job, after one that was of what failed", async () => {
    const api = await TestApi.open();
    await api.run("r", { phase: "Finished", verdict: "failed" }, { rerun: { failed: true } });
    await api.jobRun("r", "unit", failed);
    await api.client.rerun("r", { job: "unit" });
    expect((await api.spec("r")).rerun).toEqual({ jobs: ["r-unit-0"] });
  });

  test("of a run that has left the server: another run of what is asked for, and of what needs that", async () => {
    const api = await TestApi.open();
    await api.run("r", { phase: "Finished", verdict: "failed" });
    await api.jobRun("r", "first", { ...failed, verdict: "passed" });
    await api.jobRun("r", "broken", failed);
    await api.jobRun("r", "after", { ...failed, verdict: "passed" }, { needs: ["broken"] });
    await api.forget("r");
    const { name, attempt } = await api.client.rerun("r", { failed: true });
    expect(attempt).toBe(1);
    expect(name).not.toBe("r");
    expect(await api.spec(name)).toMatchObject({ source, jobs: ["broken", "after"] });
  });

  test("what cannot be run again says why", async () => {
    const api = await TestApi.open();
    await api.run("good", { phase: "Finished", verdict: "passed" });
    await expect(api.client.rerun("good", { failed: true })).rejects.toMatchObject({ code: "conflict", message: "nothing of good failed" });
    await api.run("here", { phase: "Finished", verdict: "failed" }, { source: { ...source, forge: "working-tree" } });
    await expect(api.client.rerun("here", { job: "unit" })).rejects.toMatchObject({ code: "conflict", hint: /seatrial run .*--job unit/ });
    await expect(api.client.rerun("none", {})).rejects.toMatchObject({ code: "not-found" });
  });
});

describe("hold", () => {
  test("a job that runs: if it fails; one that is held: from now on, and not at all", async () => {
    const api = await furnished();
    expect(await api.client.hold("live", 60, "unit")).toEqual(["live-unit-0"]);
    expect((await api.jobSpec("live-unit-0")).hold).toEqual({ forSeconds: 60 });
    await api.client.hold("ended", 60);
    expect((await api.jobSpec("ended-unit-0")).hold, "ten minutes after it ended").toEqual({ forSeconds: 660 });
    await api.client.hold("ended", 0);
    expect((await api.jobSpec("ended-unit-0")).hold).toBeUndefined();
  });

  test("a run whose jobs are still to come takes it for all of them", async () => {
    const api = await furnished();
    await api.client.hold("live", 60);
    expect((await api.spec("live")).hold).toEqual({ forSeconds: 60 });
  });

  test("nothing to hold says so", async () => {
    const api = await TestApi.open();
    await api.run("r", { phase: "Finished", verdict: "failed" });
    await api.jobRun("r", "unit", failed, { clusters });
    await expect(api.client.hold("r", 60)).rejects.toMatchObject({ code: "conflict", message: /no clusters that could be held/ });
  });
});

describe("secrets and deliveries", () => {
  test("a secret of a repository is by the forge's id of it, and its value never comes back", async () => {
    const api = await furnished();
    const of = { repository: "owner/project" };
    await api.client.setSecret("Password", "battery staple", of);
    expect((await api.client.secrets(of)).map(({ name }) => name)).toEqual(["PASSWORD"]);
    expect((await api.client.secrets({})).map(({ name }) => name)).toEqual(["TOKEN"]);
    const forJob = await api.options.secrets!.forJob({ forge: "local", repositoryId: "1" }, "trusted");
    expect(forJob.reveal()).toEqual({ TOKEN: "correct horse", PASSWORD: "battery staple" });
    await api.client.removeSecret("password", of);
    await expect(api.client.removeSecret("password", of)).rejects.toMatchObject({ code: "not-found" });
    await expect(api.client.secrets({ repository: "owner/other" })).rejects.toMatchObject({ code: "not-found" });
  });

  test("a forge's own answer comes first", async () => {
    const api = await TestApi.open({ repositoryId: async (forge, name) => await Promise.resolve(`${forge}:${name}`) });
    await api.client.setSecret("A", "value", { forge: "gitea", repository: "o/p" });
    expect((await api.options.secrets!.list({ forge: "gitea", repositoryId: "gitea:o/p" })).map(({ name }) => name)).toEqual(["A"]);
  });

  test("a delivery is given out once more", async () => {
    const api = await furnished();
    const { deliveries } = api.options.history;
    await deliveries.claim(1_000, now);
    await deliveries.failed(1, "no such repository", now);
    expect(await api.client.delivery("1")).toMatchObject({ state: "failed", error: "no such repository", payload: "{}" });
    await api.client.replayDelivery("1");
    expect(api.replayed).toEqual([true]);
    expect((await deliveries.get(1))?.state).toBe("waiting");
    await expect(api.client.replayDelivery("2")).rejects.toMatchObject({ code: "not-found" });
  });
});

test("dispatches go to the repository that has the name at its forge, and no further where there is none", async () => {
  const api = await furnished();
  expect(await api.client.dispatch({ repository: "project", workflow: "w.yml", inputs: { n: 1 } })).toBe("live");
  expect(await api.client.dispatchRepository({ repository: "project", type: "built" })).toEqual(["live"]);
  expect(api.dispatched).toEqual([
    { repositoryId: "1", file: "w.yml", inputs: { n: 1 } },
    { repositoryId: "1", type: "built", payload: undefined },
  ]);
  await expect(api.client.dispatch({ forge: "gitea", repository: "project", workflow: "w.yml" })).rejects.toMatchObject({
    code: "not-found",
    message: "there is no forge gitea",
    hint: "there are local",
  });
  const none = await TestApi.open({ dispatches: undefined });
  await expect(none.client.dispatch({ repository: "project", workflow: "w.yml" })).rejects.toMatchObject({ code: "conflict" });
});

test("without a server nothing is run, and it says so", async () => {
  const api = await TestApi.open({ store: undefined });
  await expect(api.client.createRun({ source, workflow: { path: "w.yml", text: workflow }, event: {} })).rejects.toMatchObject({
    code: "conflict",
    hint: "seatrial up starts one",
  });
});

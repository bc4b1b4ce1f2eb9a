/** What a runner may ask and send, and a step that has found its token: bounds, and no second look at the secrets. */
import { serve } from "@hono/node-server";
import { request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { attemptPrefix } from "../../artifacts/object-store.ts";
import { limits } from "../../base/limits.ts";
import type { UploadPack } from "../../git/upload-pack.ts";
import type { AssignmentMessage } from "../../runner/protocol.ts";
import { AttemptMasks } from "./attempt-masks.ts";
import type { RunnerActionsOptions } from "./runner-actions.ts";
import { runnerApi, RunnerTokens } from "./runner-api.ts";
import type { SettleStores } from "./settle.ts";
import { openTestStores } from "../testdata/stores.ts";

const attempt = "attempt-1";
const tokens = new RunnerTokens(Buffer.from("a key of the server"));
const assignment = { attempt, secrets: { TOKEN: "hunter22" } } as unknown as AssignmentMessage;

let stores: SettleStores;
let now: Date;
let app: ReturnType<typeof runnerApi>;

beforeEach(async () => {
  ({ stores } = await openTestStores());
  const { history } = stores;
  now = new Date("2026-11-21T12:00:00Z");
  for (const uid of [attempt, "attempt-2"])
    await history.attempts.open(
      { uid, jobRun: { name: "job", uid: "uid-job" }, number: 1, tokenHash: "", executor: "host", host: "" },
      now,
    );
  app = runnerApi({
    ...stores,
    uploadPack: {} as UploadPack,
    tokens,
    masks: new AttemptMasks(stores.objects, (uid) => tokens.keyOfMasks(uid)),
    assign: async () => await Promise.resolve(assignment),
    sourceOf: async () => await Promise.resolve(undefined),
    actions: {} as RunnerActionsOptions,
    now: () => now,
  });
});

interface Asked {
  method?: string;
  body?: string | Buffer;
  headers?: Record<string, string>;
  of?: string;
  token?: string;
}

async function ask(path: string, { method = "GET", body, headers = {}, of = attempt, token = tokens.of(of) }: Asked = {}) {
  const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
  const answer = await app.request(`/runner/v1/attempts/${of}/${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...length, ...headers },
    ...(body === undefined ? {} : { body }),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

const report = (change: object = {}) => ({ method: "POST", body: JSON.stringify({ steps: [], annotations: [], ...change }) });
const result = { verdict: "passed", outputs: {}, logBytes: 0 };

test.each<[string, Asked, number]>([
  ["its own", {}, 200],
  ["another attempt's", { token: tokens.of("attempt-2") }, 401],
  ["none", { token: "" }, 401],
  ["one of an attempt that is not there", { of: "attempt-3" }, 401],
  ["one that a server with another key made", { token: new RunnerTokens(Buffer.from("another key")).of(attempt) }, 401],
])("the token: %s", async (_name, asked, status) => {
  expect((await ask("assignment", asked)).status).toBe(status);
});

test.each<[string, string, string, number]>([
  ["reads the repository", `Bearer ${tokens.ofSteps(attempt)}`, "git/info/refs", 404], // Known, and there is no repository here.
  ["as git sends it", `Basic ${Buffer.from(`x-access-token:${tokens.ofSteps(attempt)}`).toString("base64")}`, "git/info/refs", 404],
  ["takes no assignment", `Bearer ${tokens.ofSteps(attempt)}`, "assignment", 401],
  ["reports nothing", `Bearer ${tokens.ofSteps(attempt)}`, "report", 401],
  ["with a path that only looks like git's", `Bearer ${tokens.ofSteps(attempt)}`, "artifacts/git/x", 401],
  ["of another attempt", `Bearer ${tokens.ofSteps("attempt-2")}`, "git/info/refs", 401],
])("the token of steps: %s", async (_name, authorization, path, status) => {
  const method = path === "report" ? "POST" : path.startsWith("artifacts") ? "PUT" : "GET";
  expect((await ask(path, { method, headers: { authorization } })).status).toBe(status);
});

test("the assignment is given until the runner has reported: it holds the secrets, and a step may find the token", async () => {
  for (let i = 0; i < 2; i++) expect(await ask("assignment")).toEqual({ status: 200, body: assignment }); // The first answer may be lost.
  now = new Date(now.getTime() + 1);
  expect((await ask("report", report())).status).toBe(200);
  expect(await ask("assignment")).toEqual({ status: 403, body: { error: "the assignment was given" } });
  expect((await ask("assignment", { of: "attempt-2" })).status).toBe(200);
});

test.each<[string, object, number, string]>([
  ["all that may be", { result: { ...result, outputs: { a: "x".repeat(limits.jobOutputBytes - 1) } } }, 200, ""],
  [
    "outputs that the resource does not hold",
    { result: { ...result, outputs: { a: "x".repeat(limits.jobOutputBytes) } } },
    400,
    "too many bytes",
  ],
  [
    "outputs of many small parts",
    { result: { ...result, outputs: Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`${i}`.padEnd(6_000), ""])) } },
    400,
    "too many bytes",
  ],
  ["a message without end", { result: { ...result, message: "x".repeat(70_000) } }, 400, "message"],
])("a report with %s", async (_name, change, status, why) => {
  const answer = await ask("report", report(change));
  expect(answer.status).toBe(status);
  expect(answer.body).toEqual(status === 200 ? {} : { error: expect.stringContaining(why) });
  expect((await stores.history.attempts.get(attempt))?.result !== undefined).toBe(status === 200);
});

test("values that steps asked to mask are kept for what the server collects; more than can be masked are refused", async () => {
  const masks = new AttemptMasks(stores.objects, (uid) => tokens.keyOfMasks(uid));
  expect((await ask("report", report({ masks: ["open-sesame"] }))).status).toBe(200);
  expect((await ask("report", report({ masks: ["second"], result }))).status).toBe(200);
  expect(await masks.of(attempt)).toEqual(["open-sesame", "second"]);
  expect(tokens.keyOfMasks(attempt)).not.toEqual(tokens.keyOfMasks("attempt-2"));
  const statuses: number[] = [];
  for (const value of ["0", "1", "2"]) {
    const many = [value.repeat(limits.maskFormsBytes / 2.5)];
    statuses.push((await ask("report", { ...report({ masks: many }), of: "attempt-2" })).status);
  }
  expect(statuses).toEqual([200, 200, 400]);
});

const bodies: [string, string, number][] = [
  ["report", "report", limits.reportBytes],
  ["a piece of the log", "log?offset=0", limits.logAppendBytes],
  ["metadata of an action", "actions", limits.reportBytes],
];

test.each(bodies)(
  "%s that is too long is refused before it is read, and so is one that does not say how long it is",
  async (_name, path, most) => {
    const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" });
    onTestFinished(async () => void (await new Promise((done) => server.close(done))));
    await new Promise<void>((done) => (server.listening ? done() : server.once("listening", done)));
    const send = async (headers: Record<string, string>, body: string) =>
      await new Promise<number | undefined>((answered) => {
        const asked = httpRequest({
          port: (server.address() as AddressInfo).port,
          method: "POST",
          path: `/runner/v1/attempts/${attempt}/${path}`,
          headers: { authorization: `Bearer ${tokens.of(attempt)}`, ...headers },
          agent: false,
        });
        asked.on("response", (response) => {
          answered(response.statusCode);
          response.resume();
          asked.destroy();
        });
        asked.on("error", () => {});
        asked.write(body);
      });
    expect(await send({ "content-length": String(most + 1) }, "x")).toBe(413);
    expect(await send({ "transfer-encoding": "chunked" }, "x")).toBe(413);
    expect(await send({ "content-length": "2" }, "{}")).toBe(path.startsWith("log") ? 200 : 400);
  },
);

test("a log is taken up to the bound of one call", async () => {
  const whole = Buffer.alloc(limits.logAppendBytes, "x");
  expect(await ask("log?offset=0", { method: "POST", body: whole })).toEqual({ status: 200, body: { offset: whole.length } });
});

test("an attempt leaves so many bytes and no more, however many files they are in", async () => {
  const { attempts } = stores.history;
  const left = { size: limits.attemptArtifactBytes - 3, digest: "", contentType: "", key: "k" };
  await attempts.recordArtifact(attempt, { path: "much", ...left });
  const put = async (path: string, body: string, headers?: Record<string, string>) =>
    (await ask(`artifacts/${path}`, { method: "PUT", body, ...(headers ? { headers } : {}) })).status;
  expect(await put("over", "four")).toBe(413);
  expect(await put("fits", "two")).toBe(200);
  expect(await put("one-more", "1")).toBe(413);
  expect(await put("empty", "")).toBe(413);
  const prefix = `${attemptPrefix(attempt)}/artifacts/`;
  expect((await stores.objects.list({ prefix, limit: 9 })).objects).toEqual([{ key: `${prefix}fits`, size: 3 }]);
});

test("what is being sent counts: many files at once leave no more than one after the other", async () => {
  const left = { size: limits.attemptArtifactBytes - 5, digest: "", contentType: "", key: "k" };
  await stores.history.attempts.recordArtifact(attempt, { path: "much", ...left });
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const body = async function* () {
    begin();
    await held;
    yield Buffer.from("four");
  };
  const init = { method: "PUT", headers: { authorization: `Bearer ${tokens.of(attempt)}`, "content-length": "4" }, duplex: "half" };
  const one = app.request(`/runner/v1/attempts/${attempt}/artifacts/one`, { ...init, body: ReadableStream.from(body()) } as RequestInit);
  await begun;
  expect((await ask("artifacts/other", { method: "PUT", body: "four" })).status).toBe(413);
  release();
  expect((await one).status).toBe(200);
  expect((await ask("artifacts/last", { method: "PUT", body: "x" })).status).toBe(200);
});

test("a file that says nothing of its length is refused", async () => {
  const left = { size: limits.attemptArtifactBytes - 3, digest: "", contentType: "", key: "k" };
  await stores.history.attempts.recordArtifact(attempt, { path: "much", ...left });
  const body = new ReadableStream({
    start(controller) {
      for (const piece of ["fo", "ur"]) controller.enqueue(Buffer.from(piece));
      controller.close();
    },
  });
  const init = { method: "PUT", headers: { authorization: `Bearer ${tokens.of(attempt)}` }, body, duplex: "half" };
  const answer = await app.request(`/runner/v1/attempts/${attempt}/artifacts/over`, init as RequestInit);
  expect(answer.status).toBe(400);
  expect((await stores.objects.list({ prefix: "", limit: 9 })).objects).toEqual([]);
});

test.each(["..%2Fescape", "uploads%2Fa%2Fb", "uploads", "a%2F..%2F..%2Fescape", "%2Fetc%2Fpasswd", "a//b", "%00"])(
  "artifact %s is no path",
  async (path) => {
    expect((await ask(`artifacts/${path}`, { method: "PUT", body: "x" })).status).toBe(400);
    expect((await stores.objects.list({ prefix: "", limit: 9 })).objects).toEqual([]);
  },
);

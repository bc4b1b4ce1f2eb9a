import { Hono } from "hono";
import { expect, test } from "vitest";
import { InvalidError, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { AttemptRecord } from "../../history/attempts.ts";
import type { ActionStore } from "./action-store.ts";
import { actionRoutes } from "./runner-actions.ts";

const commit = "c".repeat(40);

type Found = { commit: string; folder: string; notice: string | undefined };

function open(find: () => Found | Promise<Found>) {
  const app = new Hono<{ Variables: { attempt: AttemptRecord } }>();
  app.use(async (context, next) => {
    context.set("attempt", { uid: "a" } as AttemptRecord);
    await next();
  });
  const body = () => new Blob(["archive"]).stream();
  const actions = { archive: async () => await Promise.resolve({ body: body(), bytes: 7 }) } as unknown as ActionStore;
  actionRoutes(app, { actions, actionOf: async () => await Promise.resolve(find()) }, async (_, next) => await next());
  app.onError((error, context) => context.json({ error: error.message }, 503));
  return async (path: string, init?: RequestInit) => await app.request(`/runner/v1/attempts/a/${path}`, init);
}

test("an archive, its commit, and what there is to say of it in any letters", async () => {
  const ask = open(() => ({ commit, folder: "/f", notice: "v1 “moved”" }));
  const answer = await ask("actions?uses=o%2Fr%40v1");
  expect(answer.status).toBe(200);
  expect(Object.fromEntries(answer.headers)).toMatchObject({
    "content-length": "7",
    "seatrial-action-commit": commit,
    "seatrial-action-notice": encodeURIComponent("v1 “moved”"),
  });
  expect(await answer.text()).toBe("archive");
});

test.each([
  { error: new SeatrialError("not-found", "nowhere", { hint: "look" }), status: 404, body: { error: "nowhere", hint: "look" } },
  { error: new SeatrialError("unreachable", "no answer"), status: 424, body: { error: "no answer" } },
  { error: new SeatrialError("refused", "a password"), status: 424, body: { error: "a password" } },
  { error: new InvalidError([{ path: "", message: "a lock that is wrong" }]), status: 422, body: { error: "a lock that is wrong" } },
  { error: new SeatrialError("internal", "ours"), status: 503, body: { error: "ours" } },
])("$error.code is $status", async ({ error, status, body }) => {
  const ask = open(() => {
    throw error;
  });
  const answer = await ask("actions?uses=o%2Fr%40v1");
  expect(answer.status).toBe(status);
  expect(await answer.json()).toEqual(body);
});

test("an attempt that asks for many at once is told to come again", async () => {
  const { promise, resolve } = Promise.withResolvers<Found>();
  const ask = open(async () => await promise);
  const first = Array.from({ length: limits.actionsAtOnce }, async () => await ask("actions?uses=o%2Fr%40v1"));
  expect((await ask("actions?uses=o%2Fr%40v1")).status).toBe(503);
  resolve({ commit, folder: "/f", notice: undefined });
  for (const answer of await Promise.all(first)) expect(answer.status).toBe(200);
  expect((await ask("actions?uses=o%2Fr%40v1")).status).toBe(200);
});

test.each(["", "./local", "docker://a", "o/r"])("%s is nothing that is fetched", async (uses) => {
  const ask = open(() => ({ commit, folder: "/f", notice: undefined }));
  expect((await ask(`actions?uses=${encodeURIComponent(uses)}`)).status).toBe(422);
});

test("metadata is read, or all that is wrong with it told", async () => {
  const ask = open(() => ({ commit, folder: "/f", notice: undefined }));
  const send = async (body: unknown) => await ask("actions", { method: "POST", body: JSON.stringify(body) });
  const read = await send({ file: "action.yml", text: "runs: {using: composite, steps: []}" });
  expect(await read.json()).toMatchObject({ runs: { using: "composite", steps: [] } });
  const wrong = await send({ file: "a/action.yml", text: "name: x" });
  expect(wrong.status).toBe(422);
  expect(await wrong.json()).toEqual({ error: "a/action.yml:1:1: runs: is required: how the action is run" });
  expect((await send({ file: 1 })).status).toBe(400);
});

import { openSync, closeSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { waitFor } from "../base/wait.ts";
import { ServerLink } from "./server-link.ts";

type Handler = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;

/** A link to a server that does to each call what the test says; the last handler goes on for ever. */
async function open(...handlers: Handler[]) {
  return await openWith({}, ...handlers);
}

async function openWith(more: { awayMs?: number }, ...handlers: Handler[]) {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    void request.toArray().then((chunks) => {
      const body = Buffer.concat(chunks as Buffer[]);
      seen.push(`${request.method} ${request.url} ${request.headers.authorization} ${body.toString()}`);
      (handlers[seen.length - 1] ?? handlers.at(-1)!)(request, response, body);
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const link = new ServerLink({
    server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    attempt: "uid",
    token: "t",
    random: () => 0,
    ...more,
  });
  onTestFinished(async () => {
    await link.close();
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  });
  return { link, seen };
}

const answer =
  (status: number, body: unknown = {}): Handler =>
  (_request, response) =>
    response.writeHead(status).end(JSON.stringify(body));
const cut: Handler = (request) => request.socket.destroy();

test("calls are as the protocol has them", async () => {
  const { link, seen } = await open(answer(200, { steps: [] }), answer(200, { abort: "x" }), answer(200, { offset: 8 }));
  expect(await link.assignment()).toEqual({ steps: [] });
  expect(await link.report({ steps: [], annotations: [] })).toEqual({ abort: "x" });
  expect(await link.log(3, Buffer.from("hello"))).toEqual({ offset: 8 });
  expect(seen).toEqual([
    "GET /runner/v1/attempts/uid/assignment Bearer t ",
    'POST /runner/v1/attempts/uid/report Bearer t {"steps":[],"annotations":[]}',
    "POST /runner/v1/attempts/uid/log?offset=3 Bearer t hello",
  ]);
});

test("a file is sent whole, again after a failure, by a path that cannot lead elsewhere", async () => {
  const folder = await mkdtemp(join(tmpdir(), "link-"));
  await writeFile(join(folder, "f"), "content");
  const fd = openSync(join(folder, "f"), "r");
  onTestFinished(async () => {
    closeSync(fd);
    await rm(folder, { recursive: true });
  });
  const { link, seen } = await open(answer(503), answer(201));
  await link.artifact("a b/c?#%.txt", fd, 7);
  const call = "PUT /runner/v1/attempts/uid/artifacts/a%20b/c%3F%23%25.txt Bearer t content";
  expect(seen).toEqual([call, call]);
});

test.each([
  ["500", answer(500)],
  ["503", answer(503)],
  ["429", answer(429)],
  ["a cut connection", cut],
])("after %s it tries again", async (_, trouble) => {
  const { link, seen } = await open(trouble, trouble, answer(200, { offset: 1 }));
  expect(await link.log(0, Buffer.from("x"))).toEqual({ offset: 1 });
  expect(seen).toHaveLength(3);
});

test("409 is an answer to log, and a reason to wait for a report", async () => {
  const log = await open(answer(409, { offset: 5 }));
  expect(await log.link.log(0, Buffer.from("x"))).toEqual({ offset: 5 });
  const report = await open(answer(409), answer(200));
  expect(await report.link.report({ steps: [], annotations: [] })).toEqual({});
});

test("401 ends the attempt: no call is made any more", async () => {
  const { link, seen } = await open(answer(401));
  await expect(link.assignment()).rejects.toMatchObject({ code: "aborted", message: "the server has ended this attempt" });
  expect(link.dismissed.aborted).toBe(true);
  await expect(link.report({ steps: [], annotations: [] })).rejects.toMatchObject({ code: "aborted" });
  expect(seen).toHaveLength(1);
});

test("what no further try can change is told", async () => {
  const { link } = await open(answer(400, "what was that"));
  await expect(link.assignment()).rejects.toMatchObject({
    code: "internal",
    message: 'the server refused GET assignment: it answered 400: "what was that"',
  });
});

test("a server that is silent is given up, but not while somebody is patient", async () => {
  const { link, seen } = await openWith({ awayMs: 200 }, cut);
  await expect(link.assignment()).rejects.toMatchObject({
    code: "unreachable",
    message: expect.stringMatching(/^the server did not take GET assignment for 0 s: /),
  });
  link.isPatient = true;
  const before = seen.length;
  const waiting = link.report({ steps: [], annotations: [] });
  await waitFor("more tries than fit into the time", () => (seen.length >= before + 4 ? true : undefined), {
    timeoutMs: 5_000,
    pollMs: 10,
  });
  link.isPatient = false;
  await expect(waiting).rejects.toMatchObject({ code: "unreachable" });
});

test("closing ends a call that waits", async () => {
  const { link } = await open(() => {});
  const calling = link.assignment();
  await link.close();
  await expect(calling).rejects.toMatchObject({ code: "aborted" });
});

import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { ForgeApi } from "./api.ts";

const token = "canary-token";
const now = new Date("2026-03-01T12:00:00Z");

/** A forge that answers as the test wants. */
async function forge(answer: RequestListener): Promise<ForgeApi> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const api = new ForgeApi({
    name: "lab",
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/`,
    token,
    now: () => now,
  });
  onTestFinished(async () => {
    await api.close();
    server.closeAllConnections();
    server.close();
  });
  return api;
}

const busy = { retryable: true, code: "unreachable" };

describe("an answer that is an error", () => {
  test.each([
    ["bad gateway", 502, {}, busy],
    ["too many requests", 429, { "retry-after": "7" }, { ...busy, retryAfterMs: 7_000 }],
    ["too many requests, until a time", 429, { "retry-after": "Sun, 01 Mar 2026 12:00:30 GMT" }, { ...busy, retryAfterMs: 30_000 }],
    ["too many requests, until long ago", 429, { "retry-after": "Sun, 01 Mar 2020 12:00:30 GMT" }, { ...busy, retryAfterMs: 0 }],
    ["too many requests, for ever", 429, { "retry-after": "999999999" }, { ...busy, retryAfterMs: 3_600_000 }],
    ["too many requests, in words", 429, { "retry-after": "soon" }, { ...busy, retryAfterMs: undefined }],
    ["a second limit, in GitHub's way", 403, { "retry-after": "60" }, { ...busy, retryAfterMs: 60_000 }],
    ["not allowed", 403, {}, { retryable: false, code: "refused", hint: expect.stringContaining("token") }],
    ["not known", 401, {}, { retryable: false, code: "refused" }],
    ["not there", 404, {}, { retryable: false, code: "not-found" }],
    ["a conflict", 409, {}, { retryable: false, code: "conflict" }],
    ["elsewhere", 302, { location: "http://127.0.0.1:1/" }, { retryable: false, code: "command-failed" }],
  ])("%s", async (_, status, headers, expected) => {
    const api = await forge((_request, response) =>
      response.writeHead(status, headers as Record<string, string>).end(`said: ${token}\n twice`),
    );
    const error = await api.call("GET", "/thing?secret=1").catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: "ForgeError", status, message: `GET /thing at forge lab: ${status} said: *** twice`, ...expected });
  });

  test("that is no JSON, or too long, or never comes, is none of ours", async () => {
    const page = await forge((_, response) => response.end("<html>"));
    await expect(page.call("GET", "/a")).rejects.toMatchObject({ message: expect.stringContaining("not JSON"), retryable: true });
    const long = await forge((_, response) => response.end(Buffer.alloc(20 * 1024 * 1024, " ")));
    await expect(long.call("GET", "/a")).rejects.toMatchObject({ message: expect.stringContaining("more than"), retryable: false });
    const cut = await forge((_, response) => response.writeHead(200, { "content-length": "10" }).write("{", () => response.destroy()));
    await expect(cut.call("GET", "/a")).rejects.toMatchObject({ retryable: true });
    const gone = new ForgeApi({ name: "lab", url: "http://127.0.0.1:1", token, now: () => now });
    await expect(gone.call("GET", "/a")).rejects.toMatchObject({ message: "GET /a at forge lab: ECONNREFUSED", retryable: true });
    await gone.close();
  });
});

test("the token goes in a header, and a call that is given up throws the reason", async () => {
  const seen: string[] = [];
  const api = await forge((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    if (request.url !== "/api/v1/slow") response.writeHead(201).end();
  });
  expect(await api.call("POST", "/a?b=c", { d: 1 })).toBeUndefined();
  expect(seen).toEqual([`POST /api/v1/a?b=c token ${token}`]);
  const abort = new AbortController();
  const slow = api.call("GET", "/slow", undefined, abort.signal);
  const reason = new Error("enough");
  abort.abort(reason);
  await expect(slow).rejects.toBe(reason);
});

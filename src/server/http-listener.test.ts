/** Tunnels through the listener: who is let in, and what is left when one side goes. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Hono } from "hono";
import { expect, onTestFinished, test } from "vitest";
import { waitFor } from "../base/wait.ts";
import { HttpListener } from "./http-listener.ts";

const soon = { timeoutMs: 10_000, pollMs: 5 };

/** A server that says what it hears, and a connection to it. */
async function echo(): Promise<() => Promise<Socket>> {
  const server = createServer((socket) => void socket.on("error", () => {}).pipe(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => void (await new Promise((done) => server.close(done))));
  return async () => {
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    await once(socket, "connect");
    return socket;
  };
}

async function listening(dial: (url: string, authorization: string) => Promise<Duplex | undefined>) {
  const listener = new HttpListener();
  listener.onUpgrade(dial);
  const origin = await listener.listen(new Hono(), { hostname: "127.0.0.1", port: 0 });
  onTestFinished(async () => await listener.close());
  return (upgrade: string) => {
    const socket = connect(Number(new URL(origin).port), "127.0.0.1");
    socket.on("error", () => {});
    socket.write(`GET /tunnel HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t\r\nconnection: Upgrade\r\nupgrade: ${upgrade}\r\n\r\n`);
    return socket;
  };
}

test("a tunnel leads to what was dialled, by its path and token", async () => {
  const dialEcho = await echo();
  const asked: string[] = [];
  const ask = await listening(async (url, authorization) => {
    asked.push(`${url} ${authorization}`);
    return await dialEcho();
  });
  const socket = ask("tcp");
  let heard = "";
  socket.on("data", (bytes: Buffer) => (heard += bytes.toString()));
  await waitFor("the tunnel", () => (heard.includes("\r\n\r\n") ? true : undefined), soon);
  socket.write("hello");
  await waitFor("the echo", () => (heard.endsWith("hello") ? true : undefined), soon);
  expect(heard).toMatch(/^HTTP\/1\.1 101 /);
  expect(asked).toEqual(["/tunnel Bearer t"]);
  socket.destroy();
});

test.each(["websocket", "h2c"])("an upgrade to %s is refused", async (upgrade) => {
  const ask = await listening(async () => await Promise.reject(new Error("nobody dials")));
  const [answer] = (await once(ask(upgrade), "data")) as [Buffer];
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 401 /);
});

test("what is dialled for somebody who has gone is not left open", async () => {
  const dialEcho = await echo();
  const dialled = Promise.withResolvers<Socket>();
  const begun = Promise.withResolvers<void>();
  const hasGone = Promise.withResolvers<void>();
  const ask = await listening(async () => {
    begun.resolve();
    await hasGone.promise;
    const socket = await dialEcho();
    dialled.resolve(socket);
    return socket;
  });
  const socket = ask("tcp");
  await begun.promise;
  socket.resetAndDestroy();
  await once(socket, "close");
  setImmediate(() => setImmediate(() => hasGone.resolve())); // The other side has seen it by then.
  const other = await dialled.promise;
  await waitFor("it to be closed", () => (other.destroyed ? true : undefined), soon);
});

test("a connection on which nothing is asked is kept for longer than proxies keep theirs, and ends with the server", async () => {
  const listener = new HttpListener();
  onTestFinished(async () => await listener.close());
  const app = new Hono();
  app.get("/", (context) => context.text("here"));
  const origin = await listener.listen(app, { hostname: "127.0.0.1", port: 0 });
  const socket = connect(Number(new URL(origin).port), "127.0.0.1");
  let answer = "";
  socket.on("data", (chunk) => void (answer += String(chunk)));
  socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  await waitFor("the answer", () => (answer.endsWith("here") ? true : undefined), soon);
  const [, seconds] = /keep-alive: timeout=(\d+)/i.exec(answer) ?? [];
  expect(Number(seconds)).toBeGreaterThan(60);
  const ended = once(socket, "close");
  await listener.close();
  await ended;
});

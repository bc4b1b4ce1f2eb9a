import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { ApiClient } from "./client.ts";

/** A server that answers each call as the next of these says. */
async function serve(answers: ((path: string, response: ServerResponse) => void)[]): Promise<{ client: ApiClient; paths: string[] }> {
  const paths: string[] = [];
  const server = createServer((request, response) => {
    paths.push(request.url!);
    (answers.shift() ?? ((_path, late) => late.destroy()))(request.url!, response);
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => void server.close(() => resolve()));
  });
  return { client: ApiClient.over(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, "token"), paths };
}

/** Sends a part of a body, and cuts the connection when it is on its way. */
const cutAfter = (part: string) => (_path: string, response: ServerResponse) => void response.write(part, () => response.destroy());
const whole = (body: string) => (_path: string, response: ServerResponse) => void response.end(body);

async function textOf(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  let text = "";
  for await (const each of bytes) text += Buffer.from(each).toString();
  return text;
}

test("a log that is followed goes on where it was cut, also when the server is away for a moment", async () => {
  const { client, paths } = await serve([cutAfter("one\ntw"), (_path, response) => response.destroy(), cutAfter("o\nthr"), whole("ee\n")]);
  expect(await textOf(client.followLog("job", "1"))).toBe("one\ntwo\nthree\n");
  expect(paths.map((path) => new URL(path, "http://x").searchParams.get("offset"))).toEqual(["0", "6", "6", "11"]);
});

test("a run that is followed is told anew after a cut, and half a view is none", async () => {
  const view = (phase: string) => `${JSON.stringify({ run: { phase }, jobs: [] })}\n`;
  const { client } = await serve([cutAfter(`${view("Running")}{"run": {"pha`), whole(view("Running") + view("Finished"))]);
  const phases: string[] = [];
  for await (const { run } of client.stream("run")) phases.push(run.phase);
  expect(phases).toEqual(["Running", "Running", "Finished"]);
});

test("what the server refuses is not asked again, and keeps its words", async () => {
  const { client, paths } = await serve([
    (_path, response) => {
      response.writeHead(404, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { code: "not-found", message: "there is no job run job", hint: "look" } }));
    },
  ]);
  await expect(textOf(client.followLog("job", "1"))).rejects.toMatchObject({
    code: "not-found",
    message: "there is no job run job",
    hint: "look",
  });
  expect(paths).toHaveLength(1);
});

test("an answer that is none of ours is told as such", async () => {
  const { client } = await serve([(_path, response) => void response.writeHead(502).end("<html>bad gateway</html>")]);
  await expect(client.run("run")).rejects.toMatchObject({ code: "internal", message: "the server answered 502 to GET /api/v1/runs/run" });
});

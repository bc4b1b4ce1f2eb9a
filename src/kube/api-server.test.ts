/** The store against a server that misbehaves; what a well-behaved one does is in test/e2e/kube.e2e.ts. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { limits } from "../base/limits.ts";
import { repositoryKind } from "../resources/repository.ts";
import { ApiServerStore } from "./api-server.ts";
import { KubeClient, parseKubeconfig } from "./client.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server that gives these answers, one for each request, and a store on it. */
async function serving(...answers: Answer[]) {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    const answer = answers[requests.length - 1];
    if (answer) answer(request, response);
    else response.writeHead(500).end("no more answers");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = new KubeClient({ server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, context: "test" });
  return {
    client,
    store: new ApiServerStore(client, "ns"),
    requests,
    async [Symbol.asyncDispose]() {
      await client.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const status =
  (code: number, body: object | string, headers: Record<string, string> = {}): Answer =>
  (_, response) =>
    response.writeHead(code, headers).end(typeof body === "string" ? body : JSON.stringify(body));

const cut: Answer = (request) => request.socket.destroy();

const event = (type: string, resourceVersion: string) =>
  JSON.stringify({ type, object: { metadata: { name: `at-${resourceVersion}`, resourceVersion, managedFields: [{}] } } });

test.for<{ name: string; answer: Answer; error: object }>([
  {
    name: "patience is asked for",
    answer: status(429, { message: "too many", reason: "TooManyRequests" }, { "retry-after": "3" }),
    error: {
      reason: "too-many-requests",
      retryAfterMs: 3000,
      retryable: true,
      message: "the API server refused POST /apis/seatrial.dev/v1alpha1/namespaces/ns/repositories: too many",
    },
  },
  {
    name: "a name is taken",
    answer: status(409, { reason: "AlreadyExists" }),
    error: { reason: "already-exists", code: "already-exists" },
  },
  {
    name: "a version is old",
    answer: status(409, { reason: "Conflict" }),
    error: { reason: "conflict", code: "conflict", retryable: false },
  },
  {
    name: "the server errs",
    answer: status(500, "panic\n"),
    error: { reason: "failed", retryable: true, message: expect.stringMatching(/: panic$/) },
  },
  { name: "the server starts", answer: status(503, {}), error: { reason: "unreachable", retryable: true } },
  { name: "there is no permission", answer: status(403, { message: "no" }), error: { reason: "failed", retryable: false } },
  { name: "the connection is cut", answer: cut, error: { reason: "unreachable", code: "unreachable", retryable: true } },
  {
    name: "the answer is cut",
    answer: (_, response) => {
      response.writeHead(200, { "content-length": "1000" }).write("{", () => response.destroy());
    },
    error: { reason: "unreachable" },
  },
])("a write when $name", async ({ answer, error }) => {
  await using on = await serving(answer);
  const write = on.store.create(repositoryKind, { metadata: { name: "a" }, spec: { forge: "local", id: "1" } });
  await expect(write).rejects.toMatchObject(error);
  expect(on.requests).toHaveLength(1); // Nothing is tried again behind the caller's back.
});

test("a watch goes on where it was cut, where it ended, and after errors of the server", async () => {
  await using on = await serving(
    (_, response) => {
      // In pieces that end nowhere in particular.
      const text = `${event("ADDED", "11")}\n${event("BOOKMARK", "12")}\n${event("MODIFIED", "13")}\n{"type":"ADD`;
      for (const part of text.match(/.{1,7}/gs)!) response.write(part);
      setImmediate(() => response.destroy());
    },
    status(500, "not yet"),
    status(429, "later"),
    (_, response) => response.end(`${event("DELETED", "14")}\n`),
    status(410, { message: "too old resource version" }),
  );
  const seen: string[] = [];
  const follow = async () => {
    for await (const each of on.store.watch(repositoryKind, {
      resourceVersion: "10",
      selector: { a: "b" },
      signal: AbortSignal.timeout(20_000),
    })) {
      seen.push(each.type === "bookmark" ? `bookmark ${each.resourceVersion}` : `${each.type} ${each.resource.metadata.name}`);
      if (each.type !== "bookmark") expect(each.resource.metadata).not.toHaveProperty("managedFields");
    }
  };
  await expect(follow()).rejects.toMatchObject({ reason: "expired" });
  expect(seen).toEqual(["added at-11", "bookmark 12", "modified at-13", "deleted at-14"]);
  const watch = "GET /apis/seatrial.dev/v1alpha1/namespaces/ns/repositories?watch=true&allowWatchBookmarks=true&resourceVersion=";
  expect(on.requests).toEqual(["10", "13", "13", "13", "14"].map((version) => `${watch}${version}&labelSelector=a%3Db`));
});

test.for<{ name: string; line: string; error: object }>([
  {
    name: "that its version is expired",
    line: JSON.stringify({ type: "ERROR", object: { code: 410, reason: "Expired", message: "too old" } }),
    error: { reason: "expired", message: "the API server ended the watch of repositories: too old" },
  },
  {
    name: "an event without end",
    line: "x".repeat(limits.watchEventBytes + 1),
    error: { reason: "failed", message: `the watch of repositories sent an event of more than ${limits.watchEventBytes} bytes` },
  },
])("a watch is told $name", async ({ line, error }) => {
  await using on = await serving((_, response) => void response.write(`${line}\n`));
  const watch = on.store.watch(repositoryKind, { resourceVersion: "1", signal: AbortSignal.timeout(20_000) });
  await expect(watch[Symbol.asyncIterator]().next()).rejects.toMatchObject(error);
});

test("whoever stops listening closes the connection", async () => {
  const closed = Promise.withResolvers<void>();
  await using on = await serving((_, response) => {
    response.on("close", closed.resolve);
    response.write(`${event("ADDED", "11")}\n`);
  });
  for await (const each of on.store.watch(repositoryKind, { resourceVersion: "1", signal: AbortSignal.timeout(20_000) })) {
    expect(each.type).toBe("added");
    break;
  }
  await closed.promise;
});

test("a kubeconfig that logs in by a program is refused with what to do", () => {
  const text = `
current-context: gke
contexts: [{name: gke, context: {cluster: gke, user: me}}]
clusters: [{name: gke, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: me, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: gke-gcloud-auth-plugin}}}]
`;
  const read = () => parseKubeconfig(text, "/home/me/.kube/config");
  expect(read).toThrow(
    '/home/me/.kube/config is not a usable kubeconfig: user me logs in by a program ("gke-gcloud-auth-plugin"), which Seatrial does not run yet',
  );
  expect(() => parseKubeconfig(text.replace(/exec.*/, "auth-provider: {name: gcp}}}]"), "x")).toThrow("logs in by a program");
});

test("a slow server is asked no more at once than there are connections, and what is urgent does not wait", async () => {
  const held: ServerResponse[] = [];
  const hold: Answer = (_, response) => void held.push(response);
  const found = { metadata: { name: "found" } };
  await using server = await serving(
    ...Array.from({ length: limits.apiConnections + 1 }, () => hold),
    ...[1, 2, 3].map(() => status(200, found)),
  );
  const asked = Array.from({ length: limits.apiConnections + 3 }, async () => await server.store.get(repositoryKind, "found"));
  await expect.poll(() => server.requests.length).toBe(limits.apiConnections);
  const urgent = server.client.send("PUT", "/lease", { body: {}, isUrgent: true });
  await expect.poll(() => server.requests.at(-1)).toBe("PUT /lease");
  expect(server.requests).toHaveLength(limits.apiConnections + 1);
  for (const response of held) response.end(JSON.stringify(found));
  expect(await urgent).toEqual(found);
  expect((await Promise.all(asked)).map((each) => each?.metadata.name)).toEqual(asked.map(() => "found"));
});

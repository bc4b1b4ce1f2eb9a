import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import type { ContainerAnswer, ContainerRequest } from "./container-protocol.ts";
import { type ContainersOptions, openContainers } from "./containers.ts";

type Assignment = ContainersOptions["assignment"];

/** Asks a server that answers each container's requests with these, the last one again and again. */
function open(assignment: Partial<Assignment>, answers: Record<string, ContainerAnswer[]>) {
  const asked: ContainerRequest[] = [];
  const [said, printed]: [string[], string[]] = [[], []];
  const abort = new AbortController();
  const ways = new AsyncDisposableStack();
  onTestFinished(async () => await ways.disposeAsync());
  const ask = async (_method: string, _path: string, request: ContainerRequest) => {
    await Promise.resolve();
    asked.push(request);
    const left = answers[request.name]!;
    return { status: 200, body: left.length > 1 ? left.shift() : left[0] };
  };
  const options = {
    assignment: { steps: [], env: {}, contexts: {}, secrets: {}, ...assignment },
    folders: { temp: "/temp", tools: "/tools" },
    link: { ask },
    say: (line: string) => said.push(line),
    print: (text: string) => printed.push(text),
    signal: abort.signal,
  } as unknown as ContainersOptions;
  return { opening: openContainers(options, ways), asked, said, printed, abort, ways };
}

const running = { state: "running", id: "c1", image: "img@sha256:1", env: [], address: "127.0.0.1", network: "n1" } as const;

test("a job without containers asks nothing", async () => {
  const { opening, asked } = open({}, {});
  expect(await opening).toEqual({ context: {} });
  expect(asked).toEqual([]);
});

test("a service is waited for until it is healthy, and its port is on localhost until the job has ended", async () => {
  const service = createServer((socket) => socket.end("hello"));
  service.listen(0, "127.0.0.1");
  await once(service, "listening");
  onTestFinished(() => void service.close());
  const { port } = service.address() as AddressInfo;
  const { opening, asked, ways } = open(
    {
      services: [{ name: "db", image: "img", ports: [String(port)], env: { A: "${{ env.B }} ${{ secrets.S }}" }, command: 'a "b c"' }],
      env: { B: "${{ matrix.x }}" },
      contexts: { matrix: { x: 1 } },
      secrets: { S: "secret" },
    },
    { db: [{ state: "busy" }, { ...running, health: "starting" }, { ...running, health: "healthy" }] },
  );
  const { context } = await opening;
  const [reached] = Object.values((context["services"] as { db: { ports: Record<string, string> } }).db.ports);
  expect(context).toEqual({ services: { db: { id: "c1", network: "n1", ports: { [port]: reached } } } });
  expect(asked).toHaveLength(3);
  expect(asked[0]).toEqual({ role: "service", name: "db", image: "img", env: { A: "1 secret" }, command: ["a", "b c"] });
  const socket = connect(Number(reached), "127.0.0.1");
  const [text] = (await once(socket, "data")) as [Buffer];
  expect(text.toString()).toBe("hello");
  socket.destroy();
  await ways.disposeAsync();
  const late = connect(Number(reached), "127.0.0.1");
  await expect(once(late, "connect")).rejects.toMatchObject({ code: "ECONNREFUSED" });
});

test.each<[string, ContainerAnswer, string, string]>([
  ["its image", { state: "failed", cause: "image", message: "no registry has it" }, "image", "service db: no registry has it"],
  ["its health", { ...running, health: "unhealthy", log: "one\ntwo" }, "container", "service db is unhealthy"],
  [
    "its end",
    { state: "ended", exitCode: 7, isOutOfMemory: false, log: "one\ntwo" },
    "container",
    "service db ended before the first step: exit code 7",
  ],
])("why there is no service: %s", async (_name, answer, verdictCause, message) => {
  // Another one that would be waited for is given up.
  const services = ["db", "slow"].map((name) => ({ name, image: "img" }));
  const { opening, printed } = open({ services }, { db: [answer], slow: [{ ...running, health: "starting" }] });
  await expect(opening).rejects.toMatchObject({ verdictCause, message: expect.stringContaining(message) });
  if ("log" in answer) expect(printed).toEqual(["::group::Log of service db\n  one\n  two\n::endgroup::\n"]);
});

test("whoever waits is told at once when the job shall end", async () => {
  const { opening, abort } = open({ services: [{ name: "db", image: "img" }] }, { db: [{ ...running, health: "starting" }] });
  abort.abort(new Error("enough"));
  await expect(opening).rejects.toThrow("enough");
});

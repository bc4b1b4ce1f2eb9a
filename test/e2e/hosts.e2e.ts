/** Docker hosts that change under what runs there, and a server that is told to stop. */
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { expect, test, type TestContext } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import { freePort } from "../../src/docker/ports.ts";
import { identityOf, lifeOf } from "../../src/process/identity.ts";
import type { JobView, RunView } from "../../src/server/api/schemas.ts";
import { needDocker, seatrial } from "../support/e2e.ts";
import { TestServer } from "../support/server.ts";

const ci = ".seatrial/ci.yml";
const passing = `on: push\njobs: {unit: {steps: [{run: 'true'}]}}\n`;
const lines = 120;
const counting = `on: push\njobs: {count: {steps: [{run: 'for i in $(seq 1 ${lines}); do echo "count $i"; sleep 0.2; done'}]}}\n`;

/** A server whose jobs run in containers. */
async function openServer(context: TestContext): Promise<TestServer> {
  const server = await TestServer.prepare(context, { [ci]: passing }, { SEATRIAL_EXECUTOR: "docker" });
  await server.up();
  return server;
}

async function declare(server: TestServer, name: string, spec: object): Promise<void> {
  const path = join(server.home.cwd, `${name}.json`);
  await writeFile(path, JSON.stringify({ apiVersion: "seatrial.dev/v1alpha1", kind: "Host", metadata: { name }, spec }));
  await server.kubectl("apply", "-f", path);
}

/** A server makes `local` when it first looks: whoever declares it at the same moment is refused. */
async function untilLocal(server: TestServer): Promise<void> {
  const isThere = async () => ((await server.kubectl("get", "hosts", "-o", "name")).includes("/local") ? true : undefined);
  await waitFor("host local to be there", isThere, { timeoutMs: 60_000, pollMs: 100 });
}

test("a host that is deleted under a running job, and a kill -9 of the server: the job goes on to its verdict, and nothing is left", async (context) => {
  const { client: docker } = await needDocker(context);
  const server = await openServer(context);
  await untilLocal(server);
  await declare(server, "local", { lanes: ["trusted"], capacity: { jobs: 0 } });
  await declare(server, "spare", { endpoint: server.home.variables["DOCKER_HOST"], lanes: ["trusted"] });
  const isUsed = async () => (/spare .*true/.test(await server.kubectl("get", "hosts")) ? true : undefined);
  await waitFor("the hosts to be looked at", isUsed, { timeoutMs: 60_000, pollMs: 200 });
  const { name } = await server.runOf(await server.push({ [ci]: counting }));
  const job = async () => (await server.get<RunView>(`/api/v1/runs/${name}`)).jobs[0];
  const log = async () => await server.page(`/api/v1/jobs/${(await job())?.name}/log`);
  const says = async (text: string) =>
    await waitFor(`the log to say ${text}`, async () => ((await log()).includes(text) ? true : undefined), {
      timeoutMs: 60_000,
      pollMs: 100,
    });
  await says("count 3\n");
  expect(await job()).toMatchObject({ attempts: [{ host: "spare", executor: "docker" }] });

  const label = `seatrial.dev/instance=${await server.home.instance()}`;
  const [{ Id, Image: image } = { Id: "", Image: "" }] = await docker.containers([label]);
  expect(image).toMatch(/^seatrial\/runner:/);
  const door = (await docker.container(Id))!.Mounts.find(({ Destination }) => Destination === "/seatrial-door")!.Source;
  expect(existsSync(door)).toBe(true);

  await server.kubectl("delete", "host", "spare");
  await server.kill();
  await server.up();
  const view = await server.ended(name, 120_000);
  expect(view.jobs[0] satisfies JobView | undefined).toMatchObject({ verdict: "passed", attempts: [{ host: "spare" }] });
  expect((await log()).split("\n").filter((line) => line.startsWith("count "))).toEqual(
    Array.from({ length: lines }, (_, i) => `count ${i + 1}`),
  );
  expect(await server.kubectl("get", "hosts", "-o", "name")).toBe("host.seatrial.dev/local");
  const clean = async () =>
    await waitFor("its container to go", async () => ((await docker.containers([label])).length === 0 ? true : undefined), {
      timeoutMs: 30_000,
      pollMs: 100,
    });
  await clean();

  // `docker image prune -a` between two jobs; its layers stay, by another name: others may be using them.
  const kept = `st-kept:${await server.home.instance()}`;
  await docker.tagImage(image, kept);
  context.onTestFinished(async () => await docker.removeImage(kept));
  await docker.removeImage(image);
  expect(await docker.image(image)).toBeUndefined();
  await declare(server, "local", { lanes: ["trusted"] });
  const next = await server.ended((await server.runOf(await server.push({ [ci]: passing }))).name);
  expect(next.jobs[0], next.jobs[0]?.message).toMatchObject({ verdict: "passed", attempts: [{ host: "local", executor: "docker" }] });

  await clean();
  expect(await seatrial(server.home, ["down"])).toMatchObject({ code: 0 });
  await waitFor("the door to be gone", () => (existsSync(door) ? undefined : true), { timeoutMs: 20_000, pollMs: 100 });
}, 300_000);

test("a server that is told to stop while an image is pulled ends within seconds, and the job is the next one's", async (context) => {
  await needDocker(context);
  // A registry that takes connections and never answers.
  let asked = 0;
  const sockets = new Set<Socket>();
  const registry = createServer((socket) => {
    asked++;
    sockets.add(socket.on("error", () => {}).resume());
  });
  const port = await freePort();
  await new Promise<void>((resolve) => void registry.listen(port, "127.0.0.1", resolve));
  context.onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    registry.close();
  });
  const server = await openServer(context);
  const { items } = await server.get<{ items: { name: string }[] }>("/api/v1/runs");
  const runName = items[0]?.name ?? (await server.runOf(await server.push({ [ci]: `${passing}# again\n` }))).name;
  await server.ended(runName);
  const path = join(server.home.cwd, "job.json");
  const runsOn = { labels: [], executor: "docker", image: `localhost:${port}/hang:1` };
  const spec = { run: runName, repository: "project", lane: "trusted", job: "hang", name: "hang", steps: [], runsOn };
  await writeFile(path, JSON.stringify({ apiVersion: "seatrial.dev/v1alpha1", kind: "JobRun", metadata: { name: "hang" }, spec }));
  await server.kubectl("apply", "-f", path);
  await waitFor("the image to be pulled", () => (asked > 0 ? true : undefined), { timeoutMs: 30_000, pollMs: 20 });

  const identity = identityOf(await server.pid())!;
  const toldAt = performance.now();
  process.kill(identity.pid, "SIGTERM");
  const hasEnded = () => (lifeOf(identity) === "dead" ? true : undefined);
  await waitFor("the server to end", hasEnded, { timeoutMs: 60_000, pollMs: 20 });
  expect(performance.now() - toldAt).toBeLessThan(8_000);
  const before = asked;
  await server.up();
  await waitFor("the image to be pulled again", () => (asked > before ? true : undefined), { timeoutMs: 30_000, pollMs: 20 });
  expect(await server.kubectl("get", "jobrun", "hang", "-o", "jsonpath={.status.verdict}")).toBe("");
  await server.kubectl("delete", "jobrun", "hang");
}, 200_000);

/** What a server and a user configure: Repositories, labels of runs-on, where the key of secrets is. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import type { DockerClient } from "../../src/docker/client.ts";
import { archiveOf } from "../../src/runner/containers/archive.ts";
import { labBaseImage } from "../../src/runner/executors/runner-image.ts";
import type { RunView } from "../../src/server/api/schemas.ts";
import { type Home, needDocker, needImage, openHome, seatrial } from "../support/e2e.ts";
import { commit } from "../support/repository.ts";
import { TestServer } from "../support/server.ts";

const noDocker = { DOCKER_HOST: "unix:///nowhere/docker.sock" };
const patience = { timeoutMs: 30_000, pollMs: 50 };

describe("a Repository", () => {
  test("is there before anybody made it; what kubectl applies to it counts for the next push", async (context) => {
    const server = await TestServer.prepare(context, { "README.md": "nothing\n" }, noDocker);
    await server.up();
    const { name, spec } = await waitFor("its Repository", async () => await knownRepository(server), patience);
    await apply(server, name, { ...spec, maxJobs: 1, providers: ["bare"], vars: { WHO: "crew" } });
    await apply(server, "misnamed", spec);

    const go = join(server.home.cwd, "go");
    const wait = `{steps: [{run: 'until test -e ${go}; do sleep 0.05; done'}]}`;
    const named = `{if: "vars.WHO == 'crew'", env: {WHO: "\${{ vars.WHO }}"}, steps: [{run: 'test $WHO = crew'}]}`;
    const jobs = `{one: ${wait}, two: ${wait}, named: ${named},\n  kind: {cluster: {provider: kind}, steps: [{run: 'true'}]}}`;
    const { name: run } = await server.runOf(await server.push({ ".seatrial/ci.yml": `on: push\njobs: ${jobs}\n` }));
    const why = await waitFor("the other job to wait", async () => await waitingIn(server, run), patience);
    expect(why).toBe("1 of 1 jobs of repository project run");
    await writeFile(go, "");
    const ended = await server.ended(run);
    expect(Object.fromEntries(ended.jobs.map(({ jobName, verdict }) => [jobName, verdict]))).toEqual({
      one: "passed",
      two: "passed",
      named: "passed",
      kind: "error",
    });
    expect(ended.jobs.find(({ jobName }) => jobName === "kind")!.message).toBe(
      ".seatrial/ci.yml:3:30: jobs.kind.cluster.provider: kind is not allowed for repository project, which may have bare",
    );
    const misnamed = async () => (await server.kubectl("get", "repository", "misnamed", "-o", "jsonpath={.status.message}")) || undefined;
    expect(await waitFor("its message", misnamed, patience)).toContain(`has the name ${name}`);
    expect(await server.kubectl("get", "repositories", "--no-headers")).toMatch(new RegExp(`${name} +local +project +1 `));
    expect(await server.kubectl("get", "jobruns", "-l", `seatrial.dev/repository=${name}`, "-o", "name")).toContain("jobrun");
    await server.clean();
  });
});

async function apply(server: TestServer, name: string, spec: object): Promise<void> {
  const file = join(server.home.cwd, `${name}.json`);
  await writeFile(file, JSON.stringify({ apiVersion: "seatrial.dev/v1alpha1", kind: "Repository", metadata: { name }, spec }));
  await server.kubectl("apply", "-f", file);
}

/** The name and spec of the Repository that the server made. */
async function knownRepository(server: TestServer): Promise<{ name: string; spec: object } | undefined> {
  const { items } = JSON.parse(await server.kubectl("get", "repositories", "-o", "json")) as {
    items: { metadata: { name: string }; spec: object; status?: { heads?: number } }[];
  };
  const [found] = items.filter(({ status }) => status?.heads !== undefined);
  return found && { name: found.metadata.name, spec: found.spec };
}

async function waitingIn(server: TestServer, run: string): Promise<string | undefined> {
  const { jobs } = await server.get<RunView>(`/api/v1/runs/${run}`);
  return jobs.find(({ phase, message }) => phase === "Waiting" && message !== undefined)?.message;
}

describe("the key of secrets in a Secret of the cluster of server --kubeconfig", () => {
  test("encrypts what is set and what was under the key before it, is asked for by jobs, and is missed at the start", async (context) => {
    const server = await TestServer.prepare(context, { "README.md": "nothing\n" }, noDocker);
    await server.up();
    const set = async (name: string) => await seatrial(server.home, ["secret", "set", name], { input: "hunter2" });
    expect(await set("OLD")).toMatchObject({ code: 0 });
    await server.kill(); // What is there now is a cluster alone.
    const kubeconfig = join(server.home.data, "control-plane", "admin.kubeconfig");
    const config = join(server.home.cwd, "server.yaml");
    const old = join(server.home.data, "secrets.key");
    await writeFile(config, `secrets: {key: {secret: {name: keys}}, oldKeys: [{file: ${old}}]}\n`);
    const started = ["server", "--kubeconfig", kubeconfig, "--config", config];

    const refused = await server.start(started).ended;
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain("the key of the secret store was looked for in Secret seatrial/keys, which has no key");

    const key = Buffer.alloc(32, 7).toString("base64");
    await server.kubectl("create", "secret", "generic", "keys", "--namespace", "seatrial", `--from-literal=key=${key}`);
    const running = server.start(started);
    context.onTestFailed(() => console.error(running.output().stderr));
    await running.says("serving");
    await rm(old); // Nothing is under it any more.
    expect(await set("TOKEN")).toMatchObject({ code: 0 });
    const both = `BOTH: "\${{ secrets.OLD }} \${{ secrets.TOKEN }}"`;
    const job = `{env: {${both}}, steps: [{run: 'test "$BOTH" = "hunter2 hunter2"'}]}`;
    const { name } = await server.runOf(await server.push({ ".seatrial/ci.yml": `on: push\njobs: {unit: ${job}}\n` }));
    expect((await server.ended(name)).run.verdict).toBe("passed");

    // The one beside it knows that its key is elsewhere.
    running.child.kill("SIGTERM");
    await running.ended;
    const alone = await set("OTHER");
    expect(alone.stderr).toContain("secrets.key, their key, is not there");
    expect(alone.code).not.toBe(0);
  });
});

describe("labels of one's own", () => {
  test("without a meaning are refused by check; by the user's configuration they say what runs a job", async (context) => {
    const home = await openHome(context, { ...noDocker, SEATRIAL_EXECUTOR: "docker" });
    home.variables["XDG_CONFIG_HOME"] = join(home.directory, "config");
    await commit(home.cwd, {
      ".seatrial/ci.yml": "on: push\njobs:\n  unit:\n    runs-on: [tools, linux]\n    steps: [{run: 'echo \"$RUNNER_ARCH\"'}]\n",
    });
    const unknown = await seatrial(home, ["check"]);
    expect(unknown.code).not.toBe(0);
    expect(unknown.stderr).toContain('.seatrial/ci.yml:4:15: jobs.unit.runs-on: "tools" is not a label that is known here');

    await configure(home, "runsOn: [{labels: [tools], executor: host}]\n");
    expect(await seatrial(home, ["check"])).toMatchObject({ code: 0 });
    expect((await seatrial(home, ["plan"])).stdout).toContain("unit");
    const ran = await seatrial(home, ["run", "-o", "json"]);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    const [view] = JSON.parse(ran.stdout) as [RunView];
    expect(view.jobs.map(({ attempts }) => attempts[0]!.executor)).toEqual(["host"]);

    await configure(home, "runsOn: [{labels: [tools], hosts: {names: [far]}}]\n");
    const wrong = await seatrial(home, ["check"]);
    expect(wrong.stderr).toContain("config.yaml: runsOn[0].hosts: is not a known field");
  });

  test("choose an image, which all jobs of a run have by one digest; one without node says so", async (context) => {
    await needImage(context, labBaseImage);
    const { client } = await needDocker(context);
    const home = await openHome(context);
    home.variables["XDG_CONFIG_HOME"] = join(home.directory, "config");
    const images = { tools: `seatrial-test/tools:${process.pid}`, bad: `seatrial-test/bad:${process.pid}` };
    context.onTestFinished(async () => {
      for (const image of Object.values(images)) await waitFor(`${image} to go`, async () => await gone(client, image), patience);
    }, 60_000);
    await build(client, images.tools, "ENV OF_IMAGE=yes");
    await build(client, images.bad, "ENV PATH=/nowhere:/bin");
    const rules = `[{labels: [tools], image: '${images.tools}'}, {labels: [bad], image: '${images.bad}'}]`;
    await configure(home, `runsOn: ${rules}\n`);
    await commit(home.cwd, {
      ".seatrial/ci.yml": `on: push
jobs:
  one: {runs-on: tools, steps: [{uses: actions/checkout@v4}, {run: 'test "$OF_IMAGE" = yes && test -e .seatrial/ci.yml'}]}
  two: {runs-on: [tools, linux], needs: one, steps: [{run: 'test "$OF_IMAGE" = yes'}]}
  bad: {runs-on: bad, steps: [{run: 'true'}]}
`,
    });
    const ran = await seatrial(home, ["run", "-o", "json"], { timeoutMs: 180_000 });
    expect(ran, ran.stderr).toMatchObject({ code: 4 });
    const [view] = JSON.parse(ran.stdout) as [RunView];
    const ended = view.jobs.map(({ jobName, verdict, attempts }) => [jobName, `${verdict} on ${attempts[0]!.executor}`]);
    expect(Object.fromEntries(ended)).toEqual({ one: "passed on docker", two: "passed on docker", bad: "error on docker" });
    expect(view.jobs.find(({ jobName }) => jobName === "bad")!.message).toContain(
      "the image has no node in its PATH: an image for jobs has sh, Node 24 and git",
    );
  });
});

/** A daemon that removes other images at the same time may refuse it for a moment. */
async function gone(client: DockerClient, image: string): Promise<true | undefined> {
  await client.removeImage(image).catch(() => {});
  return (await client.image(image)) ? undefined : true;
}

async function configure(home: Home, text: string): Promise<void> {
  const folder = join(home.directory, "config", "seatrial");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.yaml"), text);
}

async function build(client: DockerClient, tag: string, line: string): Promise<void> {
  await client.buildImage(tag, await archiveOf([{ name: "Dockerfile", content: `FROM ${labBaseImage}\n${line}\n` }]));
}

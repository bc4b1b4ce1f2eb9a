/**
 * What jobs run on, while it fails: Docker restarted under them, the way to their host cut, clusters that hang, the server killed while
 * it has containers and clusters. Afterwards each job has one verdict, no log has lost or doubled a line, and nothing is left.
 */
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, type TestContext } from "vitest";
import { cutRemote, remoteDown, type RemoteHost, remoteUp, restoreRemote, startRemoteDocker, stopRemoteDocker } from "../../lab/remote.ts";
import { hasLabImages, scriptEnvironment } from "../../scripts/docker-choice.ts";
import { waitFor } from "../../src/base/wait.ts";
import { DockerClient } from "../../src/docker/client.ts";
import { labels } from "../../src/docker/ownership.ts";
import { run } from "../../src/process/run.ts";
import { Programs } from "../../src/programs/programs.ts";
import { ApiClient } from "../../src/server/api/client.ts";
import { needDocker, type Running, seatrial } from "../support/e2e.ts";
import { expectInvariants, VerdictWatch, witnessInContainer, type World } from "../support/invariants.ts";
import { leakedLink, leakedObjects, removeLeaks } from "../support/leaks.ts";
import { TestServer } from "../support/server.ts";

const ci = ".seatrial/ci.yml";

function workflow(jobs: Record<string, { cluster?: object; run: string }>): string {
  const all = Object.entries(jobs).map(([name, { cluster, run: script }]) => [
    name,
    { "runs-on": "self-hosted", ...(cluster ? { cluster } : {}), steps: [{ run: script }] },
  ]);
  return JSON.stringify({ name: "ci", on: "push", jobs: Object.fromEntries(all) as object });
}

/** Pushes it. @returns the name of its run. */
async function pushed(server: TestServer, text: string): Promise<string> {
  return (await server.runOf(await server.push({ [ci]: text }))).name;
}

async function down({ server }: World): Promise<void> {
  const ran = await seatrial(server.home, ["down"]);
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  expect(await server.home.leaks()).toEqual([]);
}

describe("a host behind ssh", () => {
  let remote: RemoteHost | undefined;
  let docker: DockerClient | undefined;
  let reason = "";
  let isOurs = false;
  let folder = "";

  beforeAll(async () => {
    if (process.platform !== "linux" || process.getuid?.() !== 0) reason = "the lab's remote host needs root on Linux";
    else if (!(await hasLabImages())) reason = "the lab's images are not there: make lab builds them";
    if (reason !== "") return;
    isOurs = leakedLink() === undefined;
    remote = await remoteUp();
    docker = new DockerClient({ socketPath: remote.daemonSocket }, "the remote daemon");
    folder = await mkdtemp(join(tmpdir(), "st-far-"));
    const settings = [
      `IdentityFile ${remote.identityFile}`,
      "IdentitiesOnly yes",
      `UserKnownHostsFile ${remote.knownHosts}`,
      "GlobalKnownHostsFile /dev/null",
    ];
    await writeFile(join(folder, "ssh-config"), `Host *\n${settings.map((line) => `  ${line}\n`).join("")}`);
  });

  afterAll(async () => {
    await docker?.close();
    if (isOurs) await remoteDown();
    if (folder !== "") await rm(folder, { recursive: true, force: true });
  });

  /** A server whose jobs run in containers of that host, and nowhere else. */
  async function openFar(context: TestContext, config = ""): Promise<World & { running: Running }> {
    if (!remote) context.skip(reason);
    const variables = {
      SEATRIAL_EXECUTOR: "docker",
      SEATRIAL_SSH_CONFIG: join(folder, "ssh-config"),
      DOCKER_HOST: "unix:///nowhere/docker.sock",
    };
    const server = await TestServer.prepare(context, { "README.md": "nothing\n" }, variables);
    context.onTestFinished(async () => {
      await restoreRemote();
      await seatrial(server.home, ["down"]);
      const left = await removeLeaks(await leakedObjects(docker!, [(await server.home.instance())!]));
      expect(left).toEqual([]);
    }, 60_000);
    const path = (name: string) => join(server.home.cwd, name);
    await writeFile(path("server.yaml"), config);
    const running = server.start(["up", "--config", path("server.yaml")]);
    context.onTestFailed(() => console.error(running.output().stderr));
    await running.says("serving");
    const host = { endpoint: remote!.dockerHost, lanes: ["trusted"] };
    await writeFile(
      path("host.yaml"),
      JSON.stringify({ apiVersion: "seatrial.dev/v1alpha1", kind: "Host", metadata: { name: "far" }, spec: host }),
    );
    await server.kubectl("apply", "-f", path("host.yaml"));
    return { server, workflows: [ci], docker: [docker!], running };
  }

  test(
    "Docker there is restarted under jobs, one of them with a cluster: each is an error of its host, once; the next passes",
    { timeout: 300_000 },
    async (context) => {
      const world = await openFar(context);
      const { server } = world;
      await using verdicts = new VerdictWatch(server);
      const long = witnessInContainer(3_000, 0.1);
      const name = await pushed(
        server,
        workflow({ plain: { run: long }, kind: { cluster: { provider: "kind" }, run: `kubectl get nodes -o name; ${long}` } }),
      );
      await server.logSays(name, "plain", "line 5\n");
      await server.logSays(name, "kind", "line 5\n", 120_000);
      try {
        await stopRemoteDocker();
      } finally {
        await startRemoteDocker();
      }
      for (const job of ["plain", "kind"])
        expect(await server.jobEnded(name, job, 120_000)).toMatchObject({
          verdict: "error",
          cause: expect.stringMatching(/^(host|lost-runner)$/),
          message: expect.stringMatching(/the runner was told to end|the runner ended without a result/),
          attempts: [{ number: 1, host: "far", executor: "docker" }],
        });
      const next = await pushed(server, workflow({ plain: { run: witnessInContainer(5) } }));
      expect((await server.ended(next)).run.verdict).toBe("passed");
      await expectInvariants(world, verdicts);
      await down(world);
    },
  );

  test(
    "the way there is cut: what comes back in time has lost nothing; what does not is an error of its host, and what is left of it ends before its rerun begins",
    { timeout: 300_000 },
    async (context) => {
      const world = await openFar(context, "waits: {hostAwaySeconds: 5}\n");
      const { server, running } = world;
      await using verdicts = new VerdictWatch(server);
      const short = await pushed(server, workflow({ job: { run: witnessInContainer(200, 0.1) } }));
      await server.logSays(short, "job", "line 5\n");
      await cutRemote();
      await running.says("the connection to ssh://root@10.99.0.2 was lost");
      await restoreRemote();
      expect((await server.ended(short)).run.verdict).toBe("passed");

      const first = witnessInContainer(3_000, 0.1);
      const long = await pushed(
        server,
        workflow({ job: { run: `if [ \${{ github.run_attempt }} = 1 ]; then ${first}; else ${witnessInContainer(5)}; fi` } }),
      );
      await server.logSays(long, "job", "line 5\n");
      await cutRemote();
      expect(await server.jobEnded(long, "job")).toMatchObject({
        verdict: "error",
        cause: "host",
        message: expect.stringMatching(
          /^its runner was not heard for \d+\.\d s: .*\nwhat is left of it goes when its host answers: host far does not answer: /,
        ),
      });
      await server.ended(long);
      verdicts.awaitAttempt((await server.job(long, "job"))!.name, 2);
      const token = (await readFile(join(server.home.data, "api-token"), "utf8")).trim();
      expect(await ApiClient.over(server.url, token).rerun(long, {})).toMatchObject({ attempt: 2 });
      await waitFor(
        "the rerun to wait for the host",
        async () => ((await server.job(long, "job"))?.message?.includes("host far does not answer") ? true : undefined),
        { timeoutMs: 30_000, pollMs: 100 },
      );
      const runners = async () => {
        const found = await docker!.containers([`${labels.instance}=${await server.home.instance()}`, "seatrial.dev/runner"]);
        return found.filter(({ State }) => State === "running").map(({ Names }) => Names[0]);
      };
      expect(await runners(), "the first attempt runs on").toHaveLength(1);
      await restoreRemote();
      const rerun = async () => {
        const running = await runners();
        if (running.length > 1) throw new Error(`two attempts at once: ${running.join(", ")}`);
        const view = await server.job(long, "job");
        return view?.phase === "Finished" && view.attempts.length === 2 ? view : undefined;
      };
      const ended = await waitFor("the rerun to end", rerun, { timeoutMs: 120_000, pollMs: 50 });
      expect(ended.attempts.map(({ number, verdict }) => [number, verdict])).toEqual([
        [1, "error"],
        [2, "passed"],
      ]);
      await expectInvariants(world, verdicts);
      await down(world);
    },
  );
});

test("clusters that hang while they are made: given up in time, an error of the boot, with their logs as artifacts; nothing is left", async (context) => {
  const docker = await needDocker(context);
  const server = await TestServer.prepare(context, { "README.md": "nothing\n" });
  const path = (name: string) => join(server.home.cwd, name);
  const programs = new Programs({ environment: scriptEnvironment() });
  context.onTestFinished(async () => await programs.close());
  const { path: real } = await programs.find({ name: "kube-apiserver" });
  // The control plane's own runs; those of jobs hang before they listen.
  const lines = ["#!/bin/sh", 'case "$1 $PWD" in --version*) ;; */clusters/*) echo hanging; exec sleep 1000 ;; esac', `exec ${real} "$@"`];
  await writeFile(path("kube-apiserver"), `${lines.join("\n")}\n`);
  await chmod(path("kube-apiserver"), 0o755);
  server.home.variables["SEATRIAL_KUBE_APISERVER"] = path("kube-apiserver");
  await writeFile(path("server.yaml"), "waits: {clusterReadySeconds: 10}\n");
  const running = server.start(["up", "--config", path("server.yaml")]);
  context.onTestFailed(() => console.error(running.output().stderr));
  await running.says("serving");
  const world: World = { server, workflows: [ci], docker: [docker.client] };
  await using verdicts = new VerdictWatch(server);
  const providers = ["bare", "kind"];
  const jobs = providers.map((provider) => [provider, { cluster: { provider }, run: "echo never" }] as const);
  const name = await pushed(server, workflow(Object.fromEntries(jobs)));
  const stopped = new Set<string>();
  const look = async () => {
    const containers = await docker.client.containers([`${labels.instance}=${await server.home.instance()}`]);
    for (const { Id, Names, State } of containers) {
      if (State !== "running" || !Names[0]?.endsWith("-control-plane") || stopped.has(Id)) continue;
      // Its first process stands still. Pausing it all would hang Docker, too: what is just being executed there never begins.
      await run("docker", ["kill", "--signal=STOP", Id], { env: { PATH: process.env["PATH"], ...docker.variables }, okCodes: [0, 1] });
      stopped.add(Id);
    }
    return (await server.get<{ run: { phase: string } }>(`/api/v1/runs/${name}`)).run.phase === "Finished" ? true : undefined;
  };
  await waitFor("both to be given up", look, { timeoutMs: 180_000, pollMs: 20 }, () => running.output().stderr);
  expect(stopped.size, "each boot has hung").toBeGreaterThan(0);
  for (const [provider, file] of [
    ["bare", "kube-apiserver.log"],
    ["kind", "inspect.json"],
  ] as const) {
    const job = (await server.job(name, provider))!;
    expect(job).toMatchObject({
      verdict: "error",
      cause: "cluster-boot",
      message: expect.stringMatching(/^cluster cluster: cluster st-\S+ was not made in 10 s\nits logs are in the job's artifacts$/),
    });
    const { items } = await server.get<{ items: { path: string }[] }>(`/api/v1/jobs/${job.name}/artifacts`);
    const artifact = items.find((each) => each.path.endsWith(file))?.path;
    expect(artifact, JSON.stringify(items)).toMatch(/^clusters\/st-/);
    const query = `path=${encodeURIComponent(artifact!)}`;
    expect(await server.page(`/api/v1/jobs/${job.name}/artifact?${query}`)).toContain(
      provider === "bare" ? "hanging\n" : job.attempts[0]!.uid,
    );
    expect(await server.page(`/jobs/${job.name}`)).toContain(artifact);
  }
  await expectInvariants(world, verdicts);
  await down(world);
}, 240_000);

test("kill -9 of the server while a cluster boots, while jobs run in containers, while the cluster goes: every job passes, once; nothing is left", async (context) => {
  const docker = await needDocker(context);
  const server = await TestServer.prepare(context, { "README.md": "nothing\n" }, { SEATRIAL_EXECUTOR: "docker" });
  const world: World = { server, workflows: [ci], docker: [docker.client] };
  let running: Running | undefined;
  const start = async () => {
    running = server.start();
    await running.says("serving");
  };
  const kill = async () => {
    running!.child.kill("SIGKILL");
    await running!.ended;
    await start();
  };
  context.onTestFailed(() => console.error(running?.output().stderr));
  await start();
  await using verdicts = new VerdictWatch(server);
  const name = await pushed(
    server,
    workflow({
      plain: { run: witnessInContainer(300, 0.1) },
      kind: { cluster: { provider: "kind" }, run: `kubectl get nodes -o name && ${witnessInContainer(60, 0.1)}` },
    }),
  );
  const node = async () => {
    const containers = await docker.client.containers([`${labels.instance}=${await server.home.instance()}`]);
    return containers.some(({ Names, State }) => Names[0]?.endsWith("-control-plane") && State === "running") || undefined;
  };
  await waitFor("the node's container", node, { timeoutMs: 90_000, pollMs: 50 });
  await kill();
  await server.logSays(name, "kind", "line 5\n", 180_000);
  await kill();
  expect(await server.jobEnded(name, "kind")).toMatchObject({ verdict: "passed", attempts: [{ number: 1, executor: "docker" }] });
  const goes = async () => {
    const { items } = JSON.parse(await server.kubectl("get", "clusters", "-o", "json")) as {
      items: { metadata: { deletionTimestamp?: string } }[];
    };
    return items.every(({ metadata }) => metadata.deletionTimestamp !== undefined) || undefined;
  };
  await waitFor("the cluster to go", goes, { timeoutMs: 30_000, pollMs: 10 });
  await kill();
  expect((await server.ended(name)).jobs.map(({ verdict }) => verdict)).toEqual(["passed", "passed"]);
  await expectInvariants(world, verdicts);
  await down(world);
}, 300_000);

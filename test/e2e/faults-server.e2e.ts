/**
 * The server while its parts are killed, stopped, cut off: afterwards everything is as if nothing had happened, or an error says
 * what did. What is random here is seeded: SEED=N repeats it, SOAK=1 does ten times as much.
 */
import { spawn } from "node:child_process";
import { appendFile, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, type TestContext } from "vitest";
import { limits } from "../../src/base/limits.ts";
import { pause, waitFor } from "../../src/base/wait.ts";
import { lifeOf } from "../../src/process/identity.ts";
import { processesMarked } from "../../src/process/marked.ts";
import { attemptMark } from "../../src/runner/executors/executor.ts";
import type { JobView, RunView } from "../../src/server/api/schemas.ts";
import { allFaults, ApiProxy } from "../support/api-proxy.ts";
import { Disk } from "../support/disk.ts";
import { type Home, isSoak, openHome, seatrial } from "../support/e2e.ts";
import { expectInvariants, VerdictWatch, viewsOf, violations, witness, type World } from "../support/invariants.ts";
import { withSeed } from "../support/seed.ts";
import { TestServer } from "../support/server.ts";

const ci = ".seatrial/ci.yml";

/** Five jobs: three cells, one that needs them and takes an output, one in a cluster. */
const workflow = (stamps: string, lines: number) => `name: ci
on: push
jobs:
  cells:
    runs-on: self-hosted
    strategy: {matrix: {n: [1, 2, 3]}, fail-fast: false}
    outputs: {seen: "\${{ steps.last.outputs.seen }}"}
    steps:
      - run: '${witness(stamps, lines, 0.1)}'
      - {id: last, run: 'echo seen=yes >> "$GITHUB_OUTPUT"'}
  after:
    needs: cells
    runs-on: self-hosted
    steps: [{run: 'test "\${{ needs.cells.outputs.seen }}" = yes && ${witness(stamps, 5)}'}]
  cluster:
    runs-on: self-hosted
    cluster: {provider: bare}
    steps: [{run: 'test -s "$KUBECONFIG"; ${witness(stamps, lines, 0.1)}'}]
`;

/** A server that is not started yet, with witnesses on its branch `main`; its jobs run on this machine, whatever Docker it has. */
async function openWorld(context: TestContext, lines: number): Promise<Required<Pick<World, "stamps">> & World> {
  const files = ({ cwd }: Home) => ({ [ci]: workflow(join(cwd, "stamps"), lines) });
  const server = await TestServer.prepare(context, files, { DOCKER_HOST: "unix:///nowhere/docker.sock" });
  const stamps = join(server.home.cwd, "stamps");
  await mkdir(stamps);
  return { server, stamps, workflows: [ci] };
}

/** Jobs that did not end so, with what they say. */
async function endings(server: TestServer, but: string): Promise<string[]> {
  const jobs = (await viewsOf(server)).flatMap((view) => view.jobs);
  return jobs.filter(({ verdict }) => verdict !== but).map(({ jobName, verdict, message }) => `${jobName}: ${verdict}: ${message}`);
}

/** Afterwards nothing of the home runs any more. */
async function down({ server }: World): Promise<void> {
  const ran = await seatrial(server.home, ["down"]);
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  expect(await server.home.leaks()).toEqual([]);
}

describe("kill -9 of the server", () => {
  const kills = isSoak ? 100 : 10;
  test(
    `at ${kills} moments while runs are under way: every job ends well, once, and its log is whole`,
    { timeout: kills * 60_000 },
    async (context) => {
      await withSeed(isSoak, async (random) => {
        const world = await openWorld(context, 20);
        const { server } = world;
        await using verdicts = new VerdictWatch(server);
        for (let kill = 1; kill <= kills; kill++) {
          const running = server.start();
          // A start takes one second, the first four: half of the kills come before it can be used.
          await pause(random.between(0, random.next() < 0.5 ? 1_500 : 5_000));
          if (random.next() < 0.4) await server.push({ change: String(kill) }, random.pick(["main", "one", "two"]));
          running.child.kill("SIGKILL");
          await running.ended;
        }
        await server.up();
        await expectInvariants(world, verdicts, 180_000);
        expect(await endings(server, "passed")).toEqual([]);
        await down(world);
      });
    },
  );
});

describe("its parts", () => {
  test(
    "kill -9 of a runner, of etcd, of kube-apiserver; the server stopped for longer than its lease, another in its place: only the runner's job is lost, and told",
    { timeout: 300_000 },
    async (context) => {
      const world = await openWorld(context, 100);
      const { server } = world;
      await server.up();
      await using verdicts = new VerdictWatch(server);
      await waitFor("the witnesses to begin", async () => ((await readdir(world.stamps)).length >= 3 ? true : undefined), {
        timeoutMs: 60_000,
        pollMs: 100,
      });
      const [lost] = await cellsOf(server);
      process.kill(runnerOf(lost!.attempts[0]!.uid), "SIGKILL");

      const instance = await server.home.instance();
      for (const program of ["etcd", "kube-apiserver"]) {
        const find = () => processesMarked("SEATRIAL_CONTROL_PLANE", `server-${instance}`).find((each) => each.program.endsWith(program));
        const before = find()!.identity;
        process.kill(before.pid, "SIGKILL");
        await waitFor(`another ${program}`, () => (lifeOf(find()?.identity ?? before) === "alive" ? true : undefined), {
          timeoutMs: 30_000,
          pollMs: 50,
        });
        // One that comes while it is away waits, and is not lost.
        await server.push({ change: program }, program);
      }
      await waitFor("the API to answer", async () => await server.kubectl("get", "runs").catch(() => undefined), {
        timeoutMs: 60_000,
        pollMs: 500,
      });
      const pid = await server.pid();
      process.kill(pid, "SIGSTOP");
      const stoppedAt = performance.now();
      await expectRefused(await openHome(context), server);
      await pause(limits.leaseMs + 2_000 - (performance.now() - stoppedAt));
      process.kill(pid, "SIGCONT");

      await expectInvariants(world, verdicts, 120_000);
      expect((await endings(server, "passed")).toSorted()).toEqual([
        expect.stringMatching(/^after: skipped: it needs cells/),
        expect.stringMatching(/^cells \(\d\): error: the runner ended without a result/),
      ]);
      await down(world);
    },
  );
});

describe("the API of its control plane", () => {
  const rounds = isSoak ? 10 : 1;
  test(
    "answers 409, 410, 429, 500, late or not at all, and cuts its watches: every job ends well, once",
    { timeout: rounds * 300_000 },
    async (context) => {
      await withSeed(isSoak, async (random) => {
        const world = await openWorld(context, 20);
        const { server } = world;
        await server.up();
        await server.kill(); // What is there now is a control plane alone.
        const proxy = await ApiProxy.start(join(server.home.data, "control-plane", "admin.kubeconfig"), random);
        context.onTestFinished(async () => await proxy.close());
        const kubeconfig = join(server.home.cwd, "proxy.kubeconfig");
        await proxy.writeKubeconfig(kubeconfig);
        const running = server.start(["server", "--kubeconfig", kubeconfig]);
        context.onTestFailed(() => console.error(running.output().stderr));
        await running.says("serving");
        await using verdicts = new VerdictWatch(server);
        await expectInvariants(world, verdicts); // It leads, and has done what it found.
        proxy.begin();
        for (let round = 1; round <= rounds; round++) {
          for (const branch of ["main", "one"]) {
            const { name } = await server.runOf(await server.push({ change: `${round} ${branch}` }, branch));
            await server.ended(name, 120_000);
          }
        }
        expect(Object.keys(proxy.faults).toSorted()).toEqual(allFaults.toSorted());
        proxy.end();
        await expectInvariants(world, verdicts);
        expect(await endings(server, "passed")).toEqual([]);
        await expectPlantedFound(world);
        running.child.kill("SIGTERM");
        await running.ended;
        await down(world);
      });
    },
  );
});

describe("its disk", () => {
  test("is full while a job floods its log and another is pushed: it says so and goes on; with room again all ends, once", async (context) => {
    let disk: Disk | undefined;
    const prepare = (home: Home) => {
      disk = Disk.mount(context, home.data, 512);
      return { "README.md": "nothing\n" };
    };
    const server = await TestServer.prepare(context, prepare, { DOCKER_HOST: "unix:///nowhere/docker.sock" });
    const stamps = join(server.home.cwd, "stamps");
    await mkdir(stamps);
    const world: World = { server, stamps, workflows: [ci] };
    const config = join(server.home.cwd, "server.yaml");
    await writeFile(config, "disk: {jobsMiB: 60, uploadsMiB: 30}\n");
    const running = server.start(["up", "--config", config]);
    context.onTestFailed(() => console.error(running.output().stderr));
    await running.says("serving");
    await using verdicts = new VerdictWatch(server);
    const pushed = async (script: string, branch: string) => {
      const jobs = { job: { "runs-on": "self-hosted", steps: [{ run: script }] } };
      return await server.push({ [ci]: JSON.stringify({ name: "ci", on: "push", jobs }) }, branch);
    };
    const flood = `from=1; while :; do seq -f "line %.0f" $from $((from += 4999)); from=$((from + 1)); sleep 0.02; done`;
    const flooded = await server.runOf(await pushed(`echo "begin $(date +%s%N) 0" >> "${stamps}/$${attemptMark}"; ${flood}`, "main"));
    await server.logSays(flooded.name, "job", "line 20000\n");

    const parts = new Set<string>();
    const look = async () => {
      for (const each of processesMarked("SEATRIAL_CONTROL_PLANE", `server-${await server.home.instance()}`))
        parts.add(`${each.program} ${each.identity.pid}`);
    };
    await look();
    const before = parts.size;
    await disk!.fill();
    const waiting = await pushed(witness(stamps, 20), "two");
    const ready = async () => {
      await look();
      const answer = await fetch(`${server.url}/readyz`);
      const text = await answer.text();
      return answer.status === 503 &&
        /disk: the disk of \S+ has \S+ MiB free: no job is started, and no log or artifact is taken/.test(text)
        ? true
        : undefined;
    };
    await waitFor("the server to say that it has no room", ready, { timeoutMs: 30_000, pollMs: 200 });
    await running.says(/ENOSPC|No space left|disk is full/i, 30_000);
    expect((await server.get<RunView>(`/api/v1/runs/${flooded.name}`)).run.name, "what there is can be read").toBe(flooded.name);
    await disk!.free();

    expect(await server.jobEnded(flooded.name, "job")).toMatchObject({
      verdict: "error",
      cause: "host",
      message: expect.stringMatching(/its log and artifacts cannot be stored: the disk|the log could not be written: ENOSPC/),
    });
    const second = await server.runOf(waiting);
    expect((await server.ended(second.name)).run.verdict).toBe("passed");
    await look();
    // One that could not write may have ended, and is started again; none does so again and again.
    expect(parts.size - before, [...parts].join(", ")).toBeLessThanOrEqual(2);
    expect(running.child.exitCode).toBeNull();
    await expectInvariants(world, verdicts);
    await down(world);
  }, 180_000);
});

/** Nobody takes the leader's place who does not know its history, not even when it is dead. */
async function expectRefused(other: Home, { home }: TestServer): Promise<void> {
  const kubeconfig = join(home.data, "control-plane", "admin.kubeconfig");
  const ran = await seatrial(other, ["server", "--kubeconfig", kubeconfig, "--listen", "127.0.0.1:0"], { timeoutMs: 60_000 });
  expect(ran, ran.stdout + ran.stderr).toMatchObject({ code: 1, stdout: "" });
  expect(ran.stderr).toContain(`are those of installation ${await home.instance()}, whose history is elsewhere`);
  expect(ran.stderr).toContain("hint: if that installation is gone: kubectl delete configmap");
}

/** What is wrong is told: else the rest of this file would prove nothing. */
async function expectPlantedFound(world: Awaited<ReturnType<typeof openWorld>>): Promise<void> {
  const { server, stamps } = world;
  const [first, second, third] = (await cellsOf(server)).map(({ attempts }) => attempts[0]!.uid);
  const left = join(server.home.data, "attempts", "left-1");
  const sleeper = spawn("sleep", ["1000"], { env: { ...process.env, [attemptMark]: third! } });
  try {
    await appendFile(join(stamps, first!), "begin 1 20\n");
    await writeFile(join(stamps, second!), "begin 1 21\nend 2 21\n");
    await writeFile(join(stamps, "nobody-1"), "begin 1 20\n");
    await mkdir(left, { recursive: true });
    const found = (await violations({ ...world, workflows: [ci, ".seatrial/other.yml"] })).join("\n");
    for (const each of [
      `attempt ${first} of .* is passed, and its witness says: begin end begin`,
      `the log of attempt ${second} of .* has 20 of 21 lines`,
      "attempt nobody-1 ran, and the history knows nothing of it",
      "the folder of attempt left-1 is left",
      `process ${sleeper.pid} \\(sleep\\) of attempt ${third} is left`,
      "head .* refs/heads/main has 0 runs of .seatrial/other.yml",
    ])
      expect(found).toMatch(new RegExp(`^${each}$`, "m"));
  } finally {
    sleeper.kill("SIGKILL");
    await rm(left, { recursive: true, force: true });
  }
}

async function cellsOf(server: TestServer): Promise<JobView[]> {
  return (await viewsOf(server)).flatMap(({ jobs }) => jobs.filter(({ job }) => job === "cells"));
}

/** Pid of the runner of an attempt on this machine. */
function runnerOf(attempt: string): number {
  const found = processesMarked(attemptMark, attempt).find(({ args }) => args.length === 1 && /runner/.test(args[0]!));
  if (!found) throw new Error(`attempt ${attempt} has no runner`);
  return found.identity.pid;
}

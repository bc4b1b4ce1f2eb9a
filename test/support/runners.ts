/** Places for tests of the runner: an executor, the server's half of the protocol, and what every such test asks. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, type TestContext } from "vitest";
import { scriptEnvironment } from "../../scripts/docker-choice.ts";
import { limits } from "../../src/base/limits.ts";
import { waitFor } from "../../src/base/wait.ts";
import { processesMarked } from "../../src/process/marked.ts";
import { run } from "../../src/process/run.ts";
import { runnerBundle } from "../../src/runner/bundle.ts";
import { DockerExecutor } from "../../src/runner/executors/docker.ts";
import { attemptMark, type Executor } from "../../src/runner/executors/executor.ts";
import { HostExecutor } from "../../src/runner/executors/host.ts";
import type { AssignmentMessage } from "../../src/runner/protocol.ts";
import { ensureRunnerImage } from "../../src/runner/executors/runner-image.ts";
import { type Home, needDocker, openHome } from "./e2e.ts";
import { type AttemptOnServer, RunnerServer } from "./runner-server.ts";

/** The runner that is tested. */
const bundle = await runnerBundle(scriptEnvironment().cacheDir);

export interface RunnerPlace {
  home: Home;
  server: RunnerServer;
  executor: Executor;
  /** Registers an attempt and starts its runner; `prepare` is called between. */
  start(assignment: Partial<AssignmentMessage>, prepare?: (attempt: AttemptOnServer) => unknown): Promise<AttemptOnServer>;
  /** Waits until nothing of it runs any more. */
  gone(attempt: AttemptOnServer, timeoutMs?: number): Promise<void>;
}

/** A place to run attempts in, removed with all of them when the test ends. */
export async function openPlace(context: TestContext, name: "host" | "docker" = "host", memoryBytes?: number): Promise<RunnerPlace> {
  const home = await openHome(context);
  await mkdir(home.data, { recursive: true });
  const attempts: AttemptOnServer[] = [];
  let server: RunnerServer;
  let executor: Executor;
  if (name === "host") {
    server = await RunnerServer.start();
    executor = new HostExecutor({
      directory: join(home.data, "attempts"),
      node: process.execPath,
      bundle,
      server: server.url,
      variables: { ...process.env, SERVER_SECRET: "hunter22" },
    });
  } else {
    const docker = await needDocker(context);
    const instance = `runner-test-${home.directory.slice(-6)}`;
    await writeFile(join(home.data, "instance"), instance);
    const image = await ensureRunnerImage(docker.client, { onProgress: () => {} });
    server = await RunnerServer.start();
    const door = await docker.host.openDoor(`door-${instance}`, Number(new URL(server.url).port));
    context.onTestFinished(async () => await door.close(true));
    executor = new DockerExecutor({
      docker: docker.client,
      instance,
      bundle,
      image,
      door: door.directory,
      bounds: () => ({ memoryBytes, pids: limits.containerProcesses }),
      ownershipOf: (attempt) => ({ instance, owner: { attempt }, notAfter: new Date(Date.now() + 3_600_000) }),
    });
  }
  context.onTestFinished(async () => {
    for (const { uid } of attempts) await executor.remove(uid);
    expect(await executor.list()).toEqual([]);
    await server.stop();
  }, 120_000);
  return {
    home,
    server,
    executor,
    start: async (assignment, prepare) => {
      const attempt = server.add(assignment);
      attempts.push(attempt);
      prepare?.(attempt);
      await executor.start({ attempt: attempt.uid, token: attempt.token });
      return attempt;
    },
    gone: async ({ uid }, timeoutMs = 20_000) => {
      await waitFor("the attempt to end", async () => ((await executor.observe(uid)).state === "running" ? undefined : true), {
        timeoutMs,
        pollMs: 20,
      });
    },
  };
}

/** How its steps ended; in parentheses what one counts as, where that differs. */
export const verdictsOf = ({ steps }: AttemptOnServer) =>
  [...steps.values()]
    .toSorted((a, b) => a.index - b.index)
    .map(({ verdict, conclusion }) => (verdict === conclusion ? verdict : `${verdict} (${conclusion})`));

/** A repository of two commits. */
export async function makeRepository(home: Home): Promise<{ directory: string; sha: string }> {
  const directory = join(home.cwd, "origin");
  await mkdir(directory);
  const identity = { GIT_AUTHOR_NAME: "a", GIT_AUTHOR_EMAIL: "a@b", GIT_COMMITTER_NAME: "a", GIT_COMMITTER_EMAIL: "a@b" };
  const env = { PATH: process.env["PATH"], HOME: home.cwd, ...identity };
  const script = "git init -q -b main && echo hello >file && git add . && git commit -q -m one && echo more >>file && git commit -qam two";
  await run("sh", ["-c", script], { cwd: directory, env });
  return { directory, sha: (await run("git", ["rev-parse", "HEAD"], { cwd: directory, env })).stdout };
}

/** The process of a runner on this machine. */
export async function runnerOf({ uid }: AttemptOnServer): Promise<number> {
  return await waitFor("the runner", () => processesMarked(attemptMark, uid).find(({ args }) => args[0] === bundle)?.identity.pid, {
    timeoutMs: 10_000,
    pollMs: 5,
  });
}

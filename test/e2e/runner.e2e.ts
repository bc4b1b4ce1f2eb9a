/**
 * The runner, as the process and as the container that executors start, against the protocol's other half: what steps mean, that
 * no line of the log is lost or doubled whatever happens to the server, and that nothing outlives an attempt.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, type TestContext } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import { processesMarked } from "../../src/process/marked.ts";
import { run } from "../../src/process/run.ts";
import { runnerBundle } from "../../src/runner/bundle.ts";
import { DockerExecutor } from "../../src/runner/docker.ts";
import { attemptMark, type Executor } from "../../src/runner/executor.ts";
import { HostExecutor } from "../../src/runner/host.ts";
import type { AssignmentMessage } from "../../src/runner/protocol.ts";
import { ensureRunnerImage } from "../../src/runner/runner-image.ts";
import { scriptEnvironment } from "../../scripts/docker-choice.ts";
import { type Home, needDocker, openHome } from "../support/e2e.ts";
import { type AttemptOnServer, RunnerServer } from "../support/runner-server.ts";

const bundle = await runnerBundle(scriptEnvironment().cacheDir);

interface Place {
  home: Home;
  server: RunnerServer;
  executor: Executor;
  /** Registers an attempt and starts its runner; `prepare` is called between. */
  start(assignment: Partial<AssignmentMessage>, prepare?: (attempt: AttemptOnServer) => void): Promise<AttemptOnServer>;
  /** Waits until nothing of it runs any more. */
  gone(attempt: AttemptOnServer, timeoutMs?: number): Promise<void>;
}

/** A place to run attempts in, removed with all of them when the test ends. */
async function openPlace(context: TestContext, name: "host" | "docker" = "host", memoryBytes?: number): Promise<Place> {
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
    const gateway = (await docker.client.network("bridge"))?.IPAM.Config?.[0]?.Gateway ?? "";
    const listening = await RunnerServer.start(gateway).catch(() => undefined);
    if (!listening) context.skip(`the gateway of Docker's network, ${gateway}, is no address of this machine`);
    server = listening!;
    executor = new DockerExecutor({
      docker: docker.client,
      instance,
      bundle,
      image,
      server: server.url,
      memoryBytes,
      now: () => new Date(),
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

const verdicts = ({ steps }: AttemptOnServer) =>
  [...steps.values()]
    .toSorted((a, b) => a.index - b.index)
    .map(({ verdict, conclusion }) => (verdict === conclusion ? verdict : `${verdict} (${conclusion})`));

/** Lines of a step that counts, and whether each is there once, in order. */
const counting = (count: number, pauseSeconds = 0) =>
  `i=0; while [ $i -lt ${count} ]; do echo "line $i"; i=$((i+1)); ${pauseSeconds ? `sleep ${pauseSeconds};` : ""} done`;
const counted = ({ log }: AttemptOnServer) => log.split("\n").filter((line) => /^line \d+$/.test(line));
const expected = (count: number) => Array.from({ length: count }, (_, i) => `line ${i}`);

describe.for([{ name: "host" }, { name: "docker" }] as const)("on executor $name", ({ name }) => {
  test("a job: environment, files of commands, outputs, masks, annotations, artifacts", async (context) => {
    const { start, executor, gone, server } = await openPlace(context, name);
    const attempt = await start({
      env: { LEVEL: "job", FROM_SECRET: "${{ secrets.KEY }}", WHERE: "${{ runner.temp }}" },
      contexts: {
        github: { sha: "abc", repository: "a/b", event: { number: 7 } },
        runner: {},
        needs: {},
        matrix: { k8s: "v1.36" },
        strategy: {},
        vars: {},
        inputs: {},
      },
      secrets: { KEY: "s3cret-value" },
      masks: ["other-token"],
      clusters: [
        {
          name: "east",
          kubeconfig: JSON.stringify({
            "current-context": "c",
            contexts: [{ name: "c", context: { cluster: "x", user: "x" } }],
            clusters: [{ name: "x", cluster: { server: "https://1" } }],
            users: [{ name: "x", user: {} }],
          }),
          registry: "localhost:5000",
          registryInCluster: "registry:5000",
        },
      ],
      outputs: { result: "${{ steps.make.outputs.value }}", leaked: "${{ secrets.KEY }}" },
      steps: [
        {
          id: "make",
          name: "Make for ${{ matrix.k8s }}",
          env: { LEVEL: "step", OWN: "${{ env.LEVEL }}" },
          run: [
            'echo "level $LEVEL own $OWN sha $GITHUB_SHA ci $CI os $RUNNER_OS where $WHERE"',
            'test "$WHERE" = "$RUNNER_TEMP" && test -d "$RUNNER_TEMP" && test "$PWD" = "$GITHUB_WORKSPACE" && test -z "$(ls)"',
            'grep -q \'"number":7\' "$GITHUB_EVENT_PATH" && echo summary >>"$GITHUB_STEP_SUMMARY"',
            'echo "secret $FROM_SECRET $(printf %s "$FROM_SECRET" | base64) other-token ${SERVER_SECRET-unset}"',
            'printf "value=first\\nvalue=4${{ 1 }}\\n" >>"$GITHUB_OUTPUT"',
            'printf "ADDED<<END\\ntwo\\nlines\\nEND\\n" >>"$GITHUB_ENV"',
            'mkdir bin && printf "#!/bin/sh\\necho own program" >bin/own && chmod +x bin/own && echo "$PWD/bin" >>"$GITHUB_PATH"',
            'echo "::add-mask::late-secret"; echo late-secret',
            'echo "::error file=$GITHUB_WORKSPACE/a.go,line=3,title=T::it broke: $FROM_SECRET"',
            'mkdir "$ARTIFACTS/deep"; echo "<x/>" >"$ARTIFACTS/deep/junit.xml"; ln -s /etc/passwd "$ARTIFACTS/link"',
            'grep -q east "$KUBECONFIG" && test -s "$KUBECONFIG_EAST" && echo "$REGISTRY $REGISTRY_IN_CLUSTER"',
          ].join("\n"),
        },
        {
          run: 'own; echo "$ADDED"; echo "${{ steps.make.outputs.value }} ${{ steps.make.outcome }} ${{ hashFiles(\'bin/*\') }}"; echo "level $LEVEL"',
        },
        { if: "matrix.k8s == 'v1.35'", run: "echo never" },
        { shell: "sh", workingDirectory: "bin", run: "pwd; cat" },
        { shell: "bash", run: "false | true; echo never" },
      ],
    });
    expect(await attempt.ended()).toEqual({
      verdict: "failed",
      message: "Run false | true; echo never: exit code 1",
      outputs: { result: "41" },
      logBytes: attempt.logBytes,
    });
    const { log } = attempt;
    expect(log).toMatch(/^» Make for v1\.36\nlevel step own job sha abc ci true os Linux where \/\S+\nsecret \*\*\* \*\*\* \*\*\* unset\n/);
    expect(log).toContain("::add-mask::***\n***\n::error file=");
    expect(log).toContain("localhost:5000 registry:5000\n");
    expect(log).toMatch(/own program\ntwo\nlines\n41 success [0-9a-f]{64}\nlevel job\n/);
    expect(log).toMatch(/\/workspace\/bin\n» Run false/);
    expect(log).toContain("» output leaked is left out: it may hold a secret");
    expect(log).toContain("» artifact link is left out: it is a link");
    expect(log).not.toMatch(/never\n(?!» exit)|s3cret|late-secret|other-token/);
    expect(verdicts(attempt)).toEqual(["passed", "passed", "skipped", "passed", "failed"]);
    const lines = log.split("\n");
    for (const step of attempt.steps.values()) if (step.verdict !== "skipped") expect(lines[step.firstLine - 1]).toBe(`» ${step.name}`);
    const [annotation, ...others] = attempt.annotations;
    expect(others).toEqual([]);
    expect(annotation).toEqual({
      level: "error",
      file: "a.go",
      line: 3,
      title: "T",
      message: "it broke: ***",
      step: 0,
      logLine: annotation!.logLine,
    });
    expect(lines[annotation!.logLine - 1]).toContain("it broke: ***");
    expect([...attempt.artifacts].map(([path, bytes]) => [path, bytes.toString()])).toEqual([["deep/junit.xml", "<x/>\n"]]);
    await gone(attempt);
    expect(await executor.observe(attempt.uid)).toMatchObject({ state: "ended", isOutOfMemory: false });
    // An attempt begins once, whoever asks how often.
    await executor.start({ attempt: attempt.uid, token: attempt.token });
    expect(await executor.observe(attempt.uid)).toMatchObject({ state: "ended" });
    expect(await executor.list()).toEqual([attempt.uid]);
    await executor.remove(attempt.uid);
    expect(await executor.observe(attempt.uid)).toEqual({ state: "absent" });
    await server.stop();
  });

  test("conditions, continue-on-error, a step's timeout", async (context) => {
    const { start } = await openPlace(context, name);
    const attempt = await start({
      steps: [
        { id: "a", run: "exit 3", continueOnError: "true" },
        { run: 'test "${{ steps.a.outcome }} ${{ steps.a.conclusion }}" = "failure success"' },
        { id: "slow", run: "echo begun; trap 'echo told; exit 1' TERM; while :; do sleep 0.1; done", timeoutMinutes: "0.01" },
        { run: "echo never" },
        { if: "failure()", run: "echo after ${{ job.status }} ${{ steps.slow.outcome }}" },
        { if: "always() && steps.slow.outcome == 'failure'", run: "echo always" },
        { if: "cancelled()", run: "echo never" },
      ],
    });
    expect(await attempt.ended()).toMatchObject({
      verdict: "failed",
      message: expect.stringMatching(/: it has run for its 0\.01 minutes$/),
    });
    expect(verdicts(attempt)).toEqual(["failed (passed)", "passed", "timed-out", "skipped", "passed", "passed", "skipped"]);
    expect(attempt.log).toMatch(/begun\n(Terminated\n)?told\n» it has run for its 0\.01 minutes\n/);
    expect(attempt.log).toContain("after failure failure\n");
    expect([...attempt.steps.values()].find(({ index }) => index === 0)).toMatchObject({ exitCode: 3, message: "exit code 3" });
  });

  test("an abort ends the step with all that it started, in sessions of their own too; always() steps still run", async (context) => {
    const { start, gone, executor } = await openPlace(context, name);
    // Without environment and session nobody knows whose it is; only a container ends with all that is in it.
    const stray = name === "docker" ? "setsid env -i /bin/sleep 1001 &" : "";
    const attempt = await start({
      steps: [
        { run: `setsid sleep 1000 & ${stray} trap '' TERM; echo begun; while :; do sleep 0.1; done` },
        { run: "echo never" },
        { if: "always()", run: "ps -e -o args | grep -c '[s]leep 1000' || echo clean ${{ job.status }}" },
      ],
    });
    await attempt.says("begun\n");
    attempt.abort = "somebody pressed the button";
    expect(await attempt.ended()).toMatchObject({ verdict: "aborted", message: "somebody pressed the button" });
    expect(verdicts(attempt)).toEqual(["aborted", "skipped", "passed"]);
    expect(attempt.log).toMatch(/» somebody pressed the button\n(Killed\n)?» Run ps[^]*clean cancelled\n/);
    await gone(attempt);
    expect((await executor.observe(attempt.uid)).state).toBe("ended");
  });

  test("the job's timeout; a step with always() that runs goes on", async (context) => {
    const { start } = await openPlace(context, name);
    const attempt = await start({
      timeoutMinutes: 0.02,
      steps: [{ run: "sleep 100" }, { if: "always()", run: "echo kept; sleep 0.3; echo whole" }],
    });
    expect(await attempt.ended()).toMatchObject({ verdict: "timed-out", message: "the job has run for its 0.02 minutes" });
    expect(verdicts(attempt)).toEqual(["timed-out", "passed"]);
    expect(attempt.log).toMatch(/kept\nwhole\n/);
  });

  test("a flood, binary, a line of 10 MB: every byte arrives", async (context) => {
    const { start } = await openPlace(context, name);
    const attempt = await start({
      steps: [
        { run: "yes | head -c 50000000" },
        { run: 'i=0; while [ $i -lt 256 ]; do printf "\\\\$(printf %03o $i)"; i=$((i+1)); done; echo' },
        { run: "head -c 10000000 /dev/zero | tr '\\0' x; echo; echo end" },
      ],
    });
    expect(await attempt.ended()).toMatchObject({ verdict: "passed" });
    const log = Buffer.concat(attempt.chunks);
    const bytes = Buffer.concat([
      Buffer.from("» Run yes | head -c 50000000\n"),
      Buffer.from("y\n".repeat(25_000_000)),
      Buffer.from(`» ${attempt.steps.get(1)!.name}\n`),
      Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
      Buffer.from("\n"),
      Buffer.from(`» ${attempt.steps.get(2)!.name}\n`),
      Buffer.alloc(10_000_000, "x"),
      Buffer.from("\nend\n"),
    ]);
    expect(log.length).toBe(bytes.length);
    expect(createHash("sha256").update(log).digest("hex")).toBe(createHash("sha256").update(bytes).digest("hex"));
  });

  test("the commit over git's HTTP, with the attempt's token", async (context) => {
    const { start, home, server } = await openPlace(context, name);
    const repository = await makeRepository(home);
    const attempt = await start(
      {
        steps: [
          { uses: "actions/checkout@v4", id: "checkout" },
          { run: "cat file; git rev-list --count HEAD; git config --list | grep -ci bearer || echo ${{ steps.checkout.outputs.commit }}" },
          { uses: "actions/checkout@v4", with: { submodules: "true" } },
        ],
      },
      (made) => {
        made.repository = join(repository.directory, ".git");
        made.assignment.checkout = {
          sha: repository.sha,
          ref: "refs/heads/main",
          from: `${server.url}/runner/v1/attempts/${made.uid}/git`,
        };
      },
    );
    expect(await attempt.ended()).toMatchObject({
      verdict: "error",
      cause: "invalid-workflow",
      message: expect.stringContaining("submodules is not supported yet"),
    });
    expect(attempt.log).toContain(`hello\nmore\n1\n0\n${repository.sha}\n`);
    expect(attempt.log).not.toContain(attempt.token);
    const elsewhere = await start({ steps: [{ uses: "actions/checkout@v4" }] }, (made) => {
      made.assignment.checkout = { ...attempt.assignment.checkout };
    });
    // The token of one attempt opens nothing of another.
    expect(await elsewhere.ended()).toMatchObject({
      verdict: "error",
      cause: "checkout",
      message: expect.stringMatching(/git failed, exit code \d+/),
    });
  });
});

/** A repository of two commits. */
async function makeRepository(home: Home): Promise<{ directory: string; sha: string }> {
  const directory = join(home.cwd, "origin");
  await mkdir(directory);
  const identity = { GIT_AUTHOR_NAME: "a", GIT_AUTHOR_EMAIL: "a@b", GIT_COMMITTER_NAME: "a", GIT_COMMITTER_EMAIL: "a@b" };
  const env = { PATH: process.env["PATH"], HOME: home.cwd, ...identity };
  const script = "git init -q -b main && echo hello >file && git add . && git commit -q -m one && echo more >>file && git commit -qam two";
  await run("sh", ["-c", script], { cwd: directory, env });
  return { directory, sha: (await run("git", ["rev-parse", "HEAD"], { cwd: directory, env })).stdout };
}

/** The process of a runner on this machine. */
async function runnerOf({ uid }: AttemptOnServer): Promise<number> {
  return await waitFor("the runner", () => processesMarked(attemptMark, uid).find(({ args }) => args[0] === bundle)?.identity.pid, {
    timeoutMs: 10_000,
    pollMs: 5,
  });
}

describe("when it goes wrong", () => {
  test.for([
    { moment: "before its first step", steps: [{ run: "sleep 1000" }], when: async () => {} },
    {
      moment: "while a step runs, with a child in a session of its own and one that does not listen",
      steps: [{ run: "setsid sleep 1000 & (trap '' TERM; while :; do sleep 0.2; done) & echo begun; sleep 1000" }],
      when: async (attempt: AttemptOnServer) => await attempt.says("begun"),
    },
    {
      moment: "while a step without its environment prints",
      steps: [{ run: "echo begun; exec env -i /usr/bin/yes" }],
      when: async (attempt: AttemptOnServer) => await attempt.says("begun"),
    },
    {
      moment: "between steps",
      steps: Array.from({ length: 200 }, () => ({ run: "true" })),
      when: async (attempt: AttemptOnServer) =>
        void (await waitFor("the tenth step", () => attempt.steps.get(10), { timeoutMs: 20_000, pollMs: 1 })),
    },
  ])("kill -9 of the runner $moment: the loop ends itself and the steps", async ({ steps, when }, context) => {
    const { start, gone, executor } = await openPlace(context);
    const attempt = await start({ steps });
    const pid = await runnerOf(attempt);
    await when(attempt);
    process.kill(pid, "SIGKILL");
    await gone(attempt, 20_000);
    expect(await executor.observe(attempt.uid)).toMatchObject({ state: expect.stringMatching(/ended|absent/) });
    expect(processesMarked(attemptMark, attempt.uid)).toEqual([]);
    await waitFor(
      "no yes to be left",
      async () =>
        (await run("pgrep", ["-fx", "/usr/bin/yes"], { env: { PATH: process.env["PATH"] }, okCodes: [0, 1] })).stdout === ""
          ? true
          : undefined,
      { timeoutMs: 10_000, pollMs: 50 },
    );
    expect(attempt.result).toBeUndefined();
  });

  test("a step that kills the loop is an error of ours, told as such", async (context) => {
    const { start } = await openPlace(context);
    const attempt = await start({
      steps: [{ run: "setsid sleep 1000 & kill -9 $PPID; sleep 1000" }, { if: "always()", run: "echo never" }],
    });
    expect(await attempt.ended()).toMatchObject({
      verdict: "error",
      cause: "lost-runner",
      message: expect.stringContaining("it left no exit code"),
    });
    expect(verdicts(attempt)).toEqual(["error", "skipped"]);
  });

  test("the server is away for 10 s: every line is there once and in order", async (context) => {
    const { start, server } = await openPlace(context);
    const attempt = await start({ steps: [{ run: counting(300, 0.05) }, { run: "echo done" }] });
    await attempt.says("line 20\n");
    await server.stop();
    await new Promise((done) => setTimeout(done, 10_000));
    expect(counted(attempt).length).toBeLessThan(100);
    await server.start();
    expect(await attempt.ended()).toMatchObject({ verdict: "passed" });
    expect(counted(attempt)).toEqual(expected(300));
    expect(verdicts(attempt)).toEqual(["passed", "passed"]);
  });

  test("the server is away at the end, and comes back", async (context) => {
    const { start, server, gone } = await openPlace(context);
    const attempt = await start({ steps: [{ run: `${counting(50)}; echo x >"$ARTIFACTS/x"` }, { run: "touch done; sleep 0.5" }] });
    await attempt.says("line 49\n");
    await server.stop();
    await waitFor("the steps to end", () => (processesMarked("SEATRIAL_STEPS", attempt.uid).length === 0 ? true : undefined), {
      timeoutMs: 20_000,
      pollMs: 50,
    });
    expect(attempt.result).toBeUndefined();
    await server.start();
    expect(await attempt.ended()).toMatchObject({ verdict: "passed" });
    expect(counted(attempt)).toEqual(expected(50));
    expect([...attempt.artifacts.keys()]).toEqual(["x"]);
    await gone(attempt);
  });

  test("answers that fail, are lost, come late, and offsets that differ: every line once and in order", async (context) => {
    const { start, server } = await openPlace(context);
    let state = 20_26;
    const random = () => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;
    server.fault = () => {
      const dice = random();
      server.delayMs = dice < 0.5 ? 0 : 20;
      return dice < 0.1 ? 500 : dice < 0.2 ? "cut-before" : dice < 0.35 ? "cut-after" : dice < 0.4 ? 429 : undefined;
    };
    const attempt = await start({
      steps: [{ run: counting(200, 0.02) }, { run: `${counting(3)}; echo a >"$ARTIFACTS/a"; echo b >"$ARTIFACTS/b"` }],
    });
    expect(await attempt.ended()).toMatchObject({ verdict: "passed" });
    expect(counted(attempt)).toEqual([...expected(200), ...expected(3)]);
    expect(verdicts(attempt)).toEqual(["passed", "passed"]);
    expect([...attempt.artifacts.keys()].toSorted()).toEqual(["a", "b"]);
  });

  test("a step that floods while the server is away waits, and loses nothing", async (context) => {
    const { start, server, home } = await openPlace(context);
    const attempt = await start({
      steps: [{ run: "echo begun; sleep 0.5; yes 0123456789012345678901234567890 | head -c 100000000; touch whole" }],
    });
    await attempt.says("begun");
    await server.stop();
    const spool = join(home.data, "attempts", attempt.uid, "log");
    const size = () => (existsSync(spool) ? readFileSync(spool).length : 0);
    await waitFor("the spool to be full", () => (size() >= 64 * 1024 * 1024 ? true : undefined), { timeoutMs: 30_000, pollMs: 100 });
    expect(size()).toBeLessThan(66 * 1024 * 1024);
    expect(existsSync(join(home.data, "attempts", attempt.uid, "workspace", "whole"))).toBe(false);
    await server.start();
    expect(await attempt.ended()).toMatchObject({ verdict: "passed" });
    expect(attempt.logBytes).toBe(`» ${attempt.steps.get(0)!.name}\nbegun\n`.length + 1 + 100_000_000);
  });

  test("a token that is wrong from the start, and one that is not good any more: nothing is left", async (context) => {
    const { start, gone, executor, server } = await openPlace(context);
    const wrong = await start({ steps: [{ run: "echo never" }] }, (attempt) => {
      queueMicrotask(() => (attempt.token = `not ${attempt.token}`));
    });
    await gone(wrong);
    expect(await executor.observe(wrong.uid)).toMatchObject({
      state: "ended",
      message: "seatrial runner: the server has ended this attempt",
    });
    const later = await start({ steps: [{ run: "setsid sleep 1000 & echo begun; sleep 1000" }, { if: "always()", run: "echo never" }] });
    await later.says("begun");
    later.token = "another";
    await gone(later);
    expect(await executor.observe(later.uid)).toMatchObject({ state: "ended" });
    expect(later.log).not.toContain("never\n");
    expect(server.url).toBeTruthy();
  });

  test("SIGTERM to the runner is an abort; stop ends one that does not listen, and is good for nothing twice", async (context) => {
    const { start, executor, gone } = await openPlace(context);
    const attempt = await start({ steps: [{ run: "trap 'echo told; exit 1' TERM; echo begun; while :; do sleep 0.1; done" }] });
    await attempt.says("begun");
    await executor.stop(attempt.uid);
    expect(await attempt.ended(1_000)).toMatchObject({ verdict: "aborted", message: "the runner was told to end" });
    expect(attempt.log).toContain("told\n");
    await gone(attempt);
    await executor.stop(attempt.uid);
    await executor.stop("never-started");
    await executor.remove("never-started");
    expect(await executor.observe("never-started")).toEqual({ state: "absent" });
  });

  test("stop while the result is being delivered holds nothing up", async (context) => {
    const { start, executor, server } = await openPlace(context);
    server.fault = ({ path, attempt }) =>
      path === "report" && attempt.steps.get(0)?.state === "finished" && !attempt.result ? "cut-after" : undefined;
    const attempt = await start({ steps: [{ run: "true" }] });
    await attempt.ended();
    const startedAt = performance.now();
    await executor.stop(attempt.uid);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(attempt.result).toMatchObject({ verdict: "passed" });
  });

  test("outputs over their bound, an expression that is wrong, a secret that cannot be masked", async (context) => {
    const { start } = await openPlace(context);
    const big = await start({
      steps: [{ id: "a", run: 'printf "x=%s\\n" "$(head -c 600000 /dev/zero | tr "\\0" x)" >>"$GITHUB_OUTPUT"' }],
      outputs: { one: "${{ steps.a.outputs.x }}", two: "${{ steps.a.outputs.x }}" },
    });
    expect(await big.ended()).toMatchObject({
      verdict: "error",
      cause: "outputs",
      outputs: {},
      message: expect.stringContaining("the outputs have 1200006 bytes"),
    });
    const wrong = await start({ steps: [{ run: "echo ${{ fromJSON('{') }}" }, { if: "always()", run: "echo on" }] });
    expect(await wrong.ended()).toMatchObject({
      verdict: "error",
      cause: "invalid-workflow",
      message: expect.stringContaining("fromJSON"),
    });
    expect(verdicts(wrong)).toEqual(["error", "passed"]);
    const secret = await start({ steps: [{ run: "echo never" }], secrets: { HUGE: "x".repeat(3_000_000) } });
    expect(await secret.ended()).toMatchObject({ verdict: "error", cause: "secrets" });
    expect(secret.steps.size).toBe(0);
  });

  test("a folder of this machine is checked out without a copy", async (context) => {
    const { start, home } = await openPlace(context);
    const { directory, sha } = await makeRepository(home);
    const attempt = await start({
      steps: [{ uses: "actions/checkout@v4" }, { run: "cat file; git status --short; git log --format=%s; git count-objects" }],
      checkout: { sha, ref: "refs/pull/1/merge", from: directory },
    });
    expect(await attempt.ended()).toMatchObject({ verdict: "passed" });
    expect(attempt.log).toContain(`${sha} two\n`);
    expect(attempt.log).toMatch(/hello\nmore\ntwo\n0 objects/);
  });
});

describe("how much it takes", () => {
  test("a runner is small and quick to its first step", async (context) => {
    const { start } = await openPlace(context);
    const attempt = await start({ steps: [{ run: "echo begun; sleep 1" }] });
    await attempt.says("begun");
    const pid = await runnerOf(attempt);
    const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1]!.split(" ");
    const cpuMs = (Number(fields[11]) + Number(fields[12])) * 10;
    const residentKb = Number(/^VmHWM:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/status`, "utf8"))![1]);
    expect(cpuMs).toBeLessThanOrEqual(150);
    expect(residentKb).toBeLessThanOrEqual(60 * 1024);
    expect(await attempt.ended()).toMatchObject({ verdict: "passed" });
  });

  test("out of memory: the step is the job's fault", async (context) => {
    const { start, gone, executor } = await openPlace(context, "docker", 256 * 1024 * 1024);
    const attempt = await start({ steps: [{ run: "echo begun; tail /dev/zero" }] });
    expect(await attempt.ended()).toMatchObject({ verdict: "failed", message: expect.stringContaining("exit code 137") });
    await gone(attempt);
    expect(await executor.observe(attempt.uid)).toEqual({ state: "ended", message: "exit code 0", isOutOfMemory: false });
  });
});

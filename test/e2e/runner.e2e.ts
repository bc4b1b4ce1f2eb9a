/**
 * The runner, as the process and as the container that executors start, against the protocol's other half: what steps mean, that
 * every byte of the log arrives, and that nothing outlives an attempt.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { makeRepository, openPlace, runnerOf, verdictsOf } from "../support/runners.ts";

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
    expect(verdictsOf(attempt)).toEqual(["passed", "passed", "skipped", "passed", "failed"]);
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
    expect([...attempt.artifacts].map(([path, bytes]) => [path, bytes.toString()])).toEqual([
      ["step-summaries/0001.md", "summary\n"],
      ["deep/junit.xml", "<x/>\n"],
    ]);
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
        { id: "slow", run: "echo begun; trap 'echo told; exit 1' TERM; while :; do sleep 0.1; done", timeoutMinutes: "0.05" },
        { run: "echo never" },
        { if: "failure()", run: "echo after ${{ job.status }} ${{ steps.slow.outcome }}" },
        { if: "always() && steps.slow.outcome == 'failure'", run: "echo always" },
        { if: "cancelled()", run: "echo never" },
      ],
    });
    expect(await attempt.ended()).toMatchObject({
      verdict: "failed",
      message: expect.stringMatching(/: it has run for its 0\.05 minutes$/),
    });
    expect(verdictsOf(attempt)).toEqual(["failed (passed)", "passed", "timed-out", "skipped", "passed", "passed", "skipped"]);
    expect(attempt.log).toMatch(/begun\n(Terminated\n)?told\n» it has run for its 0\.05 minutes\n/);
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
    expect(verdictsOf(attempt)).toEqual(["aborted", "skipped", "passed"]);
    expect(attempt.log).toMatch(/» somebody pressed the button\n(Killed\n)?» Run ps[^]*clean cancelled\n/);
    await gone(attempt);
    expect((await executor.observe(attempt.uid)).state).toBe("ended");
  });

  test("the job's timeout; a step with always() that runs goes on", async (context) => {
    const { start } = await openPlace(context, name);
    const attempt = await start({
      timeoutMinutes: 0.05,
      steps: [{ run: "sleep 100" }, { if: "always()", run: "echo kept; sleep 0.3; echo whole" }],
    });
    expect(await attempt.ended()).toMatchObject({ verdict: "timed-out", message: "the job has run for its 0.05 minutes" });
    expect(verdictsOf(attempt)).toEqual(["timed-out", "passed"]);
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
    const { start, home } = await openPlace(context, name);
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
          from: `server:/runner/v1/attempts/${made.uid}/git`,
        };
      },
    );
    expect(await attempt.ended()).toMatchObject({
      verdict: "error",
      cause: "invalid-workflow",
      message: expect.stringContaining("submodules is not supported"),
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

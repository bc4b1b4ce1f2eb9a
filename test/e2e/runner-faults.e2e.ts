/**
 * The runner when it goes wrong: killed, cut off from its server, told to end, misused by its steps. No line of the log is lost or
 * doubled, and no process is left.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import { processesMarked } from "../../src/process/marked.ts";
import { run } from "../../src/process/run.ts";
import { attemptMark } from "../../src/runner/executors/executor.ts";
import type { AttemptOnServer } from "../support/runner-server.ts";
import { makeRepository, openPlace, runnerOf, verdictsOf } from "../support/runners.ts";

/** Lines of a step that counts, and whether each is there once, in order. */
const counting = (count: number, pauseSeconds = 0) =>
  `i=0; while [ $i -lt ${count} ]; do echo "line $i"; i=$((i+1)); ${pauseSeconds ? `sleep ${pauseSeconds};` : ""} done`;
const counted = ({ log }: AttemptOnServer) => log.split("\n").filter((line) => /^line \d+$/.test(line));
const expected = (count: number) => Array.from({ length: count }, (_, i) => `line ${i}`);

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
      steps: [{ run: "echo begun; exec env -i /usr/bin/yes a-runner-that-is-killed" }],
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
    // The loop's watch counts its looks, of which each takes a second, and more on a busy machine: ten of them are the grace time.
    await gone(attempt, 60_000);
    expect(await executor.observe(attempt.uid)).toMatchObject({ state: expect.stringMatching(/ended|absent/) });
    expect(processesMarked(attemptMark, attempt.uid)).toEqual([]);
    await waitFor(
      "no yes to be left",
      async () =>
        (await run("pgrep", ["-fx", "/usr/bin/yes a-runner-that-is-killed"], { env: { PATH: process.env["PATH"] }, okCodes: [0, 1] }))
          .stdout === ""
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
    expect(verdictsOf(attempt)).toEqual(["error", "skipped"]);
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
    expect(verdictsOf(attempt)).toEqual(["passed", "passed"]);
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
    expect(verdictsOf(attempt)).toEqual(["passed", "passed"]);
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
    const { start, gone, executor } = await openPlace(context);
    const wrong = await start({ steps: [{ run: "echo never" }] }, (attempt) => (attempt.accepted = "another"));
    await gone(wrong);
    expect(await executor.observe(wrong.uid)).toMatchObject({
      state: "ended",
      message: "seatrial runner: the server has ended this attempt",
    });
    const later = await start({ steps: [{ run: "setsid sleep 1000 & echo begun; sleep 1000" }, { if: "always()", run: "echo never" }] });
    await later.says("begun");
    later.accepted = "another";
    await gone(later);
    expect(await executor.observe(later.uid)).toMatchObject({ state: "ended" });
    expect(later.log).not.toContain("never\n");
  });

  test("SIGTERM to the runner is the end of its host, and ends its steps; stop ends one that does not listen, and is good for nothing twice", async (context) => {
    const { start, executor, gone } = await openPlace(context);
    const attempt = await start({ steps: [{ run: "trap 'echo told; exit 1' TERM; echo begun; while :; do sleep 0.1; done" }] });
    await attempt.says("begun");
    await executor.stop(attempt.uid);
    expect(await attempt.ended(1_000)).toMatchObject({
      verdict: "error",
      cause: "host",
      message: expect.stringContaining("the runner was told to end"),
    });
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
    expect(verdictsOf(wrong)).toEqual(["error", "passed"]);
    const secret = await start({ steps: [{ run: "echo never" }], secrets: { HUGE: "x".repeat(3_000_000) } });
    expect(await secret.ended()).toMatchObject({ verdict: "error", cause: "secrets" });
    expect(secret.steps.size).toBe(0);
    const values = 'x=$(head -c 200000 /dev/zero | tr "\\0" x); for i in $(seq 20); do echo "::add-mask::$i$x"; done';
    const late = await start({ steps: [{ run: `${values}; echo after; sleep 100` }] });
    expect(await late.ended()).toMatchObject({ verdict: "error", cause: "secrets" });
    expect(late.log).not.toMatch(/xxxx|after\n/);
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

/** `seatrial run`: the workflows of a repository on this machine, on what is in the working tree, each job with its clusters. */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import { run } from "../../src/process/run.ts";
import type { RunView } from "../../src/server/api/schemas.ts";
import { type Home, kubectlPath, openHome, needDocker, type Ran, seatrial, startSeatrial } from "../support/e2e.ts";
import { processesIn } from "../support/leaks.ts";

const kubectl = await kubectlPath();

/** A repository with a commit in the home's working folder. */
async function repository(home: Home, files: Record<string, string>): Promise<void> {
  await write(home, files);
  const git = async (...args: string[]) =>
    await run("git", ["-c", "user.name=test", "-c", "user.email=test@example.com", ...args], { cwd: home.cwd, env: process.env });
  await git("init", "--quiet", "--initial-branch=main");
  await git("add", "--all");
  await git("commit", "--quiet", "--message=first");
}

async function write(home: Home, files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(home.cwd, path)), { recursive: true });
    await writeFile(join(home.cwd, path), text);
  }
}

const workflow = (jobs: string) => `on: {push: {}, pull_request: {}}\nname: ci\njobs:\n${jobs}`;

async function runHere(home: Home, ...args: string[]): Promise<Ran> {
  return await seatrial(home, ["run", ...args], { env: { KUBECTL: kubectl } });
}

function jobsOf(ran: Ran): Record<string, string | undefined> {
  const views = JSON.parse(ran.stdout) as RunView[];
  return Object.fromEntries(views.flatMap(({ jobs }) => jobs.map(({ jobName, verdict }) => [jobName, verdict])));
}

describe("what a run does", () => {
  test("needs, outputs, a matrix, env, conditions: 0, and each job's verdict", async (context) => {
    const home = await openHome(context);
    await repository(home, {
      ".seatrial/ci.yml": workflow(`
  first:
    outputs: {number: "\${{ steps.choose.outputs.number }}"}
    steps:
      - id: choose
        run: echo number=42 >> "$GITHUB_OUTPUT"
  cells:
    needs: first
    strategy: {matrix: {cell: [a, b]}}
    env: {NUMBER: "\${{ needs.first.outputs.number }}"}
    steps:
      - run: test "$NUMBER \${{ matrix.cell }}" = "42 \${{ matrix.cell }}"
  never:
    if: github.event_name == 'schedule'
    steps: [{run: exit 1}]
  last:
    needs: [cells, never]
    if: always()
    steps:
      - run: test "\${{ needs.never.result }}" = skipped
`),
    });
    const ran = await runHere(home, "-o", "json");
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    expect(jobsOf(ran)).toEqual({ first: "passed", "cells (a)": "passed", "cells (b)": "passed", never: "skipped", last: "passed" });
  });

  test("the checkout is the working tree, with what is not committed yet", async (context) => {
    const home = await openHome(context);
    await repository(home, {
      ".seatrial/ci.yml": workflow(
        "  look:\n    steps: [{uses: actions/checkout@v4}, {run: 'cat committed changed new; test ! -e ignored'}]\n",
      ),
      ".gitignore": "ignored\n",
      committed: "committed\n",
      changed: "before\n",
    });
    await write(home, { changed: "after\n", new: "new\n", ignored: "ignored\n" });
    const ran = await runHere(home);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
  });

  test("a job in a cluster that fails: 1, its last lines, its failing test with its line, and nothing left", async (context) => {
    const home = await openHome(context);
    const report =
      '<testsuite name="s"><testcase classname="s" name="TestWidget"><failure message="want 3 widgets, got 2"/></testcase></testsuite>';
    await repository(home, {
      ".seatrial/ci.yml": workflow(`
  e2e:
    cluster: {provider: bare}
    steps:
      - env: {KUBECTL: ${kubectl}}
        run: |
          $KUBECTL get namespace default -o name
          $KUBECTL create -f - <<'END'
          {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "seen", "namespace": "default"}, "type": "Warning",
           "reason": "Sinking", "message": "water comes in", "involvedObject": {"kind": "Pod", "namespace": "default", "name": "boat"}}
          END
      - run: |
          echo '${report}' > "$ARTIFACTS/junit.xml"
          echo '--- FAIL: TestWidget (0.01s)'
          echo '    widget_test.go:12: want 3 widgets, got 2'
          exit 7
  after:
    needs: e2e
    steps: [{run: "true"}]
`),
    });
    const ran = await runHere(home);
    expect(ran, ran.stderr).toMatchObject({ code: 1 });
    expect(ran.stderr).toContain("namespace/default");
    expect(ran.stderr).toMatch(/✗ ci \/ e2e: failed .*exit code 7/);
    expect(ran.stderr).toMatch(/✗ TestWidget: want 3 widgets, got 2 \(line \d+\)/);
    expect(ran.stderr).toContain("– ci / after: skipped (it needs e2e, and e2e failed)");
    const [, job] = /seatrial logs (\S+)/.exec(ran.stderr)!;
    const kept = await seatrial(home, ["artifacts", "get", job!, "clusters/cluster/events.txt", "--to", "kept"]);
    expect(kept, kept.stderr).toMatchObject({ code: 0 });
    expect(await readFile(join(home.cwd, "kept", "clusters", "cluster", "events.txt"), "utf8")).toContain(
      "Sinking Pod/default/boat: water comes in",
    );
    expect(await home.leaks()).toEqual([]);
  });

  test("a step that outlives its time: timed-out, and its children in other sessions end too", async (context) => {
    const home = await openHome(context);
    await repository(home, {
      ".seatrial/ci.yml": workflow("  slow:\n    timeout-minutes: 0.05\n    steps: [{run: 'setsid sleep 1000 & sleep 1000'}]\n"),
    });
    const ran = await runHere(home, "-o", "json");
    expect(ran, ran.stderr).toMatchObject({ code: 1 });
    expect(jobsOf(ran)).toEqual({ slow: "timed-out" });
    expect(await home.leaks()).toEqual([]);
  });

  test("secrets are expanded by the runner, and masked in the log", async (context) => {
    const home = await openHome(context);
    await repository(home, {
      ".seatrial/ci.yml": workflow("  one:\n    steps: [{run: 'echo token is $TOKEN; exit 1', env: {TOKEN: \"${{ secrets.TOKEN }}\"}}]\n"),
      "secrets.env": "TOKEN=correct-horse-battery\n",
    });
    const ran = await runHere(home, "--secrets-file", "secrets.env");
    expect(ran, ran.stderr).toMatchObject({ code: 1 });
    expect(ran.stderr).toContain("token is ***");
    expect(ran.stdout + ran.stderr).not.toContain("correct-horse");
  });

  test("jobs in kind clusters, two at once", async (context) => {
    await needDocker(context);
    const home = await openHome(context);
    await repository(home, {
      ".seatrial/ci.yml": workflow(`
  e2e:
    strategy: {matrix: {n: [1, 2]}}
    cluster: {provider: kind}
    steps:
      - run: $KUBECTL wait --for=condition=Ready node --all && test -n "$REGISTRY"
        env: {KUBECTL: ${kubectl}}
`),
    });
    const ran = await runHere(home, "-o", "json");
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    expect(jobsOf(ran)).toEqual({ "e2e (1)": "passed", "e2e (2)": "passed" });
    expect(await home.leaks()).toEqual([]);
  });
});

describe("when it goes wrong", () => {
  test("a file that cannot be read: all problems with their places", async (context) => {
    const home = await openHome(context);
    await repository(home, { ".seatrial/ci.yml": workflow("  one:\n    runs-on: windows-latest\n    stpes: [{run: x}]\n") });
    const ran = await runHere(home);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toMatch(/\.seatrial\/ci\.yml:5:\d+: .*windows-latest/);
    expect(ran.stderr).toMatch(/\.seatrial\/ci\.yml:6:\d+: .*stpes.*steps/);
  });

  test.for([
    { name: "no workflow at all", files: { a: "" }, args: [], said: "has no workflow" },
    {
      name: "no such workflow",
      files: { ".seatrial/ci.yml": workflow("  one:\n    steps: [{run: x}]\n") },
      args: ["other"],
      said: "there is no workflow other",
    },
  ])("$name: 2, and what to do", async ({ files, args, said }, context) => {
    const home = await openHome(context);
    await repository(home, files as Record<string, string>);
    const ran = await runHere(home, ...args);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain(said);
    expect(ran.stderr).toContain("hint:");
  });

  const sleeping = workflow(
    "  sleeps:\n    cluster: {provider: bare}\n    steps: [{run: 'echo $$ > pid; setsid sleep 1000 & sleep 1000'}]\n",
  );
  const untilItSleeps = async (home: Home) =>
    await waitFor(
      "the step to run",
      () => (processesIn(home.directory).filter((words) => words.startsWith("sleep 1000")).length === 2 ? true : undefined),
      {
        timeoutMs: 60_000,
        pollMs: 50,
      },
    );

  test("SIGINT ends the jobs: 130, and nothing left", async (context) => {
    const home = await openHome(context);
    await repository(home, { ".seatrial/ci.yml": sleeping });
    const running = startSeatrial(home, ["run"]);
    await untilItSleeps(home);
    running.child.kill("SIGINT");
    const ran = await running.ended;
    expect(ran, ran.stderr).toMatchObject({ code: 130 });
    expect(ran.stderr).toContain("⊘ ci / sleeps: aborted");
    expect(await home.leaks()).toEqual([]);
  });

  test("kill -9: the next command ends the rest, deletes the cluster, and the history says what happened", async (context) => {
    const home = await openHome(context);
    await repository(home, {
      ".seatrial/ci.yml": sleeping,
      ".seatrial/quick.yml": "name: quick\non: push\njobs: {one: {steps: [{run: 'true'}]}}\n",
    });
    const running = startSeatrial(home, ["run", "ci"]);
    await untilItSleeps(home);
    running.child.kill("SIGKILL");
    await running.ended;
    const ran = await runHere(home, "quick");
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    expect(ran.stderr).toMatch(/seatrial: run-\w+ was ended: the command that ran it was killed/);
    expect(ran.stderr).toMatch(/seatrial: deleted cluster st-/);
    expect(await readdir(join(home.data, "one-shot"))).toEqual([]);
    expect(await home.leaks()).toEqual([]);
  });

  test("kill -9 with a job in a container: the next command removes that", async (context) => {
    await needDocker(context);
    const home = await openHome(context);
    await repository(home, { ".seatrial/ci.yml": workflow("  sleeps: {steps: [{run: sleep 1000}]}\n  quick: {steps: [{run: 'true'}]}\n") });
    const running = startSeatrial(home, ["run", "--job", "sleeps", "--executor", "docker"]);
    const isThere = async () => ((await home.leaks()).some((what) => what.startsWith("container ")) ? true : undefined);
    await waitFor("the container", isThere, { timeoutMs: 120_000, pollMs: 100 }, () => running.output().stderr);
    running.child.kill("SIGKILL");
    await running.ended;
    const ran = await runHere(home, "--job", "quick", "--executor", "host");
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    expect(ran.stderr).toMatch(/seatrial: deleted container \S+: its owner, process \d+, has ended/);
    expect(await home.leaks()).toEqual([]);
  });
});

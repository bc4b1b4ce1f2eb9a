/** The commands against a server that runs (`up --detach`), and where none does. */
import { existsSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import { freePort } from "../../src/docker/ports.ts";
import { run } from "../../src/process/run.ts";
import type { DeliveryBody, JobView, RunView } from "../../src/server/api/schemas.ts";
import { kubectlPath, openHome, type Ran, seatrial, SharedOwner, startSeatrial } from "../support/e2e.ts";
import { processesIn } from "../support/leaks.ts";
import { commit } from "../support/repository.ts";
import { TestServer } from "../support/server.ts";

const kubectl = await kubectlPath();
const workflow = (jobs: string) => `name: ci\non: push\njobs:\n${jobs}\n`;
const soon = { timeoutMs: 30_000, pollMs: 50 };

async function namespaceOf(kubeconfig: string): Promise<string> {
  const asked = await run(kubectl, ["--kubeconfig", kubeconfig, "get", "namespace", "default", "-o", "name"], {
    env: process.env,
    okCodes: [0, 1],
    timeoutMs: 30_000,
  });
  return asked.stdout;
}

describe("with a server", () => {
  const owner = new SharedOwner();
  let server: TestServer;

  beforeAll(async () => {
    const first = { ".seatrial/ci.yml": workflow("  unit: {steps: [{run: 'true'}]}") };
    server = await TestServer.prepare(owner, first, { SEATRIAL_EXECUTOR: "host" });
    await server.up();
  }, 120_000);
  afterAll(async () => {
    await owner.close();
  }, 120_000);

  const command = async (...args: string[]): Promise<Ran> => await seatrial(server.home, args);
  const good = async (...args: string[]): Promise<string> => {
    const ran = await command(...args);
    expect(ran, `${args.join(" ")}: ${ran.stderr}`).toMatchObject({ code: 0 });
    return ran.stdout;
  };
  const json = async <T>(...args: string[]): Promise<T> => JSON.parse(await good(...args, "-o", "json")) as T;
  /** Pushes a workflow to a branch of its own. @returns the name of its run. */
  const pushed = async (branch: string, jobs: string): Promise<string> =>
    (await server.runOf(await server.push({ ".seatrial/ci.yml": workflow(jobs), branch }, branch))).name;
  const jobNamed = (view: RunView, name: string): JobView => view.jobs.find(({ jobName }) => jobName === name)!;
  const jobsOf = async (name: string, count: number): Promise<RunView> =>
    await waitFor(
      `the jobs of ${name}`,
      async () => {
        const view = await json<RunView>("status", name);
        return view.jobs.length === count ? view : undefined;
      },
      soon,
    );

  test("logs -f from before it begins to its end, and abort: its processes end, and the verdict says who wanted it", async () => {
    const name = await pushed("abort", "  slow: {steps: [{run: 'setsid sleep 1000 & echo begun; sleep 1000'}]}");
    const [job] = (await jobsOf(name, 1)).jobs;
    const following = startSeatrial(server.home, ["logs", "-f", job!.name]);
    await following.says("begun");
    expect(await good("status", name)).toMatch(new RegExp(`▸ slow .*${job!.name}`));
    expect(await json("abort", name, "--reason", "wrong branch")).toEqual({ run: name, jobs: [job!.name] });
    const followed = await following.ended;
    expect(followed, followed.stderr).toMatchObject({ code: 0 });
    expect(followed.stdout.match(/^begun$/gm)).toHaveLength(1);
    const view = await server.ended(name);
    expect(view.run.verdict).toBe("aborted");
    expect(processesIn(server.home.directory).filter((words) => words.startsWith("sleep 1000"))).toEqual([]);
    expect(await command("abort", name)).toMatchObject({ code: 1, stderr: expect.stringContaining(`${name} has ended: aborted`) });
    const lines = (await good("logs", job!.name, "-o", "json")).trim().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { text: string }).text)).toContain("begun");
  });

  test("rerun --failed: what failed and what needs it, once more; the rest stays, and there is one verdict", async () => {
    const name = await pushed(
      "rerun",
      `  good: {steps: [{run: 'true'}]}
  flaky:
    outputs: {word: "\${{ steps.say.outputs.word }}"}
    steps:
      - run: echo "attempt \${{ github.run_attempt }}"; test \${{ github.run_attempt }} = 2
      - {id: say, run: echo word=hello >> "$GITHUB_OUTPUT"}
  after: {needs: flaky, steps: [{run: 'test "\${{ needs.flaky.outputs.word }}" = hello'}]}`,
    );
    const before = await server.ended(name);
    expect(Object.fromEntries(before.jobs.map(({ jobName, verdict }) => [jobName, verdict]))).toEqual({
      good: "passed",
      flaky: "failed",
      after: "skipped",
    });
    expect(await json("rerun", name, "--failed")).toEqual({ name, attempt: 2 });
    const view = await server.ended(name);
    expect(view.run.verdict, view.run.message).toBe("passed");
    expect(jobNamed(view, "good").attempts.map(({ number, verdict }) => [number, verdict])).toEqual([[1, "passed"]]);
    expect(jobNamed(view, "after").attempts.map(({ number, verdict }) => [number, verdict])).toEqual([[2, "passed"]]);
    const flaky = jobNamed(view, "flaky");
    expect(flaky.attempts.map(({ number, verdict }) => [number, verdict])).toEqual([
      [1, "failed"],
      [2, "passed"],
    ]);
    expect(await good("logs", flaky.name)).toContain("attempt 2");
    expect(await good("logs", flaky.name, "--attempt", "1")).toContain("attempt 1");
    expect(await command("rerun", name, "--failed")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`nothing of ${name} failed`),
    });
    // One job by its name, and what needs it.
    await good("rerun", name, "flaky");
    const third = await server.ended(name);
    expect(third.run.verdict).toBe("failed");
    expect(jobNamed(third, "after").verdict).toBe("skipped");
    const check = await waitFor(
      "the check of the last attempt",
      async () => {
        const { items } = await server.get<{ items: { context: string; state: string }[] }>(`/api/v1/runs/${name}/checks`);
        return items.find(({ context, state }) => context === "ci / flaky (push)" && state === "failure");
      },
      soon,
    );
    expect(check.state).toBe("failure");
  });

  test("hold: the clusters of jobs that fail stay, with a kubeconfig that works, until their time, or until they are let go", async () => {
    const gate = join(server.home.cwd, "gate");
    const step = `until test -e ${gate}; do sleep 0.1; done; exit 1`;
    const name = await pushed(
      "hold",
      ["one", "two"].map((job) => `  ${job}: {cluster: {provider: bare}, steps: [{run: '${step}'}]}`).join("\n"),
    );
    await jobsOf(name, 2);
    expect(await good("hold", name)).toContain("one: its clusters are kept if it fails");
    await writeFile(gate, "");
    const view = await server.ended(name);
    expect(view.run.verdict).toBe("failed");
    const kubeconfig = (job: string) => jobNamed(view, job).clusters[0]!.kubeconfig!;
    for (const job of ["one", "two"]) expect(await namespaceOf(kubeconfig(job))).toBe("namespace/default");
    const gone = async (path: string) => await waitFor(`${path} to go`, () => (existsSync(path) ? undefined : true), soon);

    expect(await good("hold", name, "one", "--for", "0")).toContain("one: its clusters go");
    await gone(kubeconfig("one"));
    expect(await namespaceOf(kubeconfig("two"))).toBe("namespace/default");
    expect(await good("hold", name, "two", "--for", "1s")).toContain(`export KUBECONFIG=${kubeconfig("two")}`);
    await gone(kubeconfig("two"));
    await waitFor("both to be forgotten", async () => ((await clustersOf(server.home.data)).length === 0 ? true : undefined), soon);
    expect(await command("hold", name)).toMatchObject({ code: 1, stderr: expect.stringContaining("no clusters that could be held") });
  });

  test("secrets are read from standard input, given to jobs, and masked in the log", async () => {
    const set = await seatrial(server.home, ["secret", "set", "token"], { input: "correct-horse-battery\n" });
    expect(set, set.stderr).toMatchObject({ code: 0, stdout: "" });
    const own = await seatrial(server.home, ["secret", "set", "OWN", "--repository", "project"], { input: "staple" });
    expect(own, own.stderr).toMatchObject({ code: 0 });
    expect((await json<{ name: string }[]>("secret", "list")).map(({ name }) => name)).toEqual(["TOKEN"]);
    const name = await pushed(
      "secret",
      '  one: {steps: [{run: \'echo "<$TOKEN>"; test "$OWN" = staple\', env: {TOKEN: "${{ secrets.TOKEN }}", OWN: "${{ secrets.OWN }}"}}]}',
    );
    const view = await server.ended(name);
    expect(view.run.verdict, view.run.message).toBe("passed");
    const log = await good("logs", view.jobs[0]!.name);
    expect(log).toContain("<***>");
    expect(log).not.toContain("correct-horse");
    await good("secret", "rm", "TOKEN");
    expect(await good("secret", "list")).toBe("");
    expect(await command("secret", "rm", "TOKEN")).toMatchObject({ code: 1 });
  });

  test("deliveries are listed, shown, and handled once more without a second run", async () => {
    const name = await pushed("told", "  one: {steps: [{run: 'true'}]}");
    await server.ended(name);
    const done = async (attempts: number) =>
      await waitFor(
        "the push to be done",
        async () => {
          const [first] = await json<DeliveryBody[]>("deliveries", "list", "--limit", "1");
          return first?.state === "done" && first.attempts === attempts ? first : undefined;
        },
        soon,
      );
    const { id } = await done(1);
    expect((await json<{ payload: { ref: string } }>("deliveries", "show", String(id))).payload.ref).toBe("refs/heads/told");
    expect(await good("deliveries", "list")).toMatch(/ID +FORGE +EVENT +STATE/);
    const before = await json<unknown[]>("history", "--limit", "100");
    await good("deliveries", "replay", String(id));
    await done(2);
    expect(await json<unknown[]>("history", "--limit", "100")).toHaveLength(before.length);
  });

  test("a server that is named, with and without its token", async (context) => {
    const home = await openHome(context);
    await pushed("named", "  unit: {steps: [{run: 'true'}]}");
    const at = ["--server", server.url];
    expect(JSON.parse((await seatrial(home, ["history", ...at, "-o", "json"])).stdout)).not.toEqual([]);
    const refused = await seatrial(home, ["deliveries", "list", ...at]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("this needs the server's token") });
    const token = join(server.home.data, "api-token");
    expect(await seatrial(home, ["deliveries", "list", ...at, "--token-file", token])).toMatchObject({ code: 0 });
    const nobody = await seatrial(home, ["history", "--server", `http://127.0.0.1:${await freePort()}`]);
    expect(nobody).toMatchObject({ code: 3, stderr: expect.stringContaining("does not answer: ECONNREFUSED") });
  });
});

describe("without a server", () => {
  test("run --hold: the cluster of a job that failed outlives the command; delete ends it", async (context) => {
    const home = await openHome(context, { SEATRIAL_EXECUTOR: "host" });
    await commit(home.cwd, {
      ".seatrial/ci.yml": workflow("  e2e: {cluster: {provider: bare}, steps: [{run: exit 1}]}"),
      ".seatrial/quick.yml": "name: quick\non: push\njobs: {one: {steps: [{run: 'true'}]}}\n",
    });
    const ran = await seatrial(home, ["run", "ci", "--hold", "--for", "1h"]);
    expect(ran, ran.stderr).toMatchObject({ code: 1 });
    const kubeconfig = /export KUBECONFIG=(\S+)/.exec(ran.stderr)![1]!;
    expect(await namespaceOf(kubeconfig)).toBe("namespace/default");
    const next = await seatrial(home, ["run", "quick"]);
    expect(next.stderr, "the next command leaves it alone").not.toContain("deleted cluster");
    expect(await namespaceOf(kubeconfig)).toBe("namespace/default");
    const [, name] = /seatrial delete cluster (\S+)/.exec(ran.stderr)!;
    expect(await seatrial(home, ["delete", "cluster", name!])).toMatchObject({ code: 0 });
    const [run_] = JSON.parse((await seatrial(home, ["history", "--workflow", "ci", "-o", "json"])).stdout) as { name: string }[];
    const rerun = await seatrial(home, ["rerun", run_!.name, "--failed"]);
    expect(rerun).toMatchObject({ code: 1, stderr: expect.stringContaining("no server runs here") });
    expect(await home.leaks()).toEqual([]);
  });

  test("run --matrix and --job: only those cells and jobs", async (context) => {
    const home = await openHome(context, { SEATRIAL_EXECUTOR: "host" });
    await commit(home.cwd, {
      ".seatrial/ci.yml": workflow(
        "  unit: {steps: [{run: 'true'}]}\n  e2e: {strategy: {matrix: {k8s: [v1.35, v1.36], suite: [a, b]}}, steps: [{run: 'true'}]}",
      ),
    });
    const jobs = async (...args: string[]) => {
      const ran = await seatrial(home, ["run", ...args, "-o", "json"]);
      expect(ran, ran.stderr).toMatchObject({ code: 0 });
      return (JSON.parse(ran.stdout) as RunView[]).flatMap((view) => view.jobs.map(({ jobName }) => jobName)).toSorted();
    };
    expect(await jobs("--matrix", "k8s=v1.36")).toEqual(["e2e (v1.36, a)", "e2e (v1.36, b)", "unit"]);
    expect(await jobs("--job", "e2e", "--matrix", "k8s=v1.35", "--matrix", "suite=b")).toEqual(["e2e (v1.35, b)"]);
    for (const [args, said] of [
      [["--matrix", "k8s=v9"], "no job has a cell with k8s=v9"],
      [["--matrix", "k8s"], "--matrix k8s is not KEY=VALUE"],
      [["--job", "e2"], "there is no job e2, did you mean e2e?"],
      [["--for", "1h"], "it needs --hold"],
    ] as const) {
      expect(await seatrial(home, ["run", ...args])).toMatchObject({ code: 2, stderr: expect.stringContaining(said) });
    }
  });

  test("bad input: 2, and what was wrong with it", async (context) => {
    const home = await openHome(context);
    const cases: [args: string[], said: string][] = [
      [["history", "--limit", "many"], "whole number"],
      [["history", "--verdict", "good"], "Allowed choices"],
      [["status", "--server", "nowhere"], "is not the address of a server"],
      [["status", "--token-file", "x"], "--server"],
      [["logs"], "missing required argument 'job'"],
      [["logs", "job", "--lines", "9-1"], "a line or a range"],
      [["logs", "job", "-f", "--lines", "1"], "either -f or --lines"],
      [["logs", "job", "--attempt", "0"], "whole number"],
      [["abort"], "missing required argument 'run'"],
      [["rerun", "run", "job", "--failed"], "either --failed or the job"],
      [["hold", "run", "--for", "2"], "as in 90s, 30m, 1h"],
      [["artifacts", "get"], "missing required argument 'job'"],
      [["deliveries", "show", "x"], "whole number"],
      [["secret", "set", "A=hidden"], "the name of a secret must have letters"],
      [["secret", "set", "A", "--from-file", "none"], "cannot read none"],
      [["plan", "-o", "xml"], "Allowed choices"],
      [["check"], "has no workflow"],
    ];
    await Promise.all(
      cases.map(async ([args, said]) => {
        const ran = await seatrial(home, args);
        expect(ran, args.join(" ")).toMatchObject({ code: 2, stdout: "" });
        expect(ran.stderr, args.join(" ")).toContain(said);
        expect(ran.stderr).not.toContain("hidden");
      }),
    );
  });
});

async function clustersOf(data: string): Promise<string[]> {
  return (await readdir(join(data, "clusters"), { withFileTypes: true }).catch(() => []))
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

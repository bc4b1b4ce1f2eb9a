import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { SeatrialError } from "../../base/errors.ts";
import { type Check, type Forge, ForgeError, type PullRequestComment } from "../../forges/forge.ts";
import { type History, openHistory } from "../../history/history.ts";
import { dateAt, jobRunNamed, runNamed } from "../../history/testdata/resources.ts";
import type { JobRun, JobRunStatus } from "../../resources/job-run.ts";
import type { Resource, Stored } from "../../resources/object.ts";
import type { Run, RunStatus } from "../../resources/run.ts";
import type { Verdict } from "../../resources/verdict.ts";
import type { Lister } from "../lister.ts";
import { Commenter } from "./comment.ts";
import { isReported, Reporter } from "./report.ts";

const origin = "https://ci.example";
const heads = [{ number: 7, sha: "1".repeat(40), ref: "topic", repositoryId: "1", author: { id: "2", login: "somebody" } }];
const ofPullRequest = { event: "pull_request" as const, ref: "refs/pull/7/merge", heads };

/** Resources by name. */
class Shelf<R extends Resource> implements Lister<R> {
  readonly #resources = new Map<string, Stored<R>>();

  put(resource: Stored<R>): void {
    this.#resources.set(resource.metadata.name, resource);
  }

  clear(): void {
    this.#resources.clear();
  }

  get(name: string): Stored<R> | undefined {
    return this.#resources.get(name);
  }

  labelled(label: string, value: string): Stored<R>[] {
    return [...this.#resources.values()].filter(({ metadata }) => metadata.labels?.[label] === value);
  }

  all(): Iterable<Stored<R>> {
    return this.#resources.values();
  }
}

class Bench {
  readonly runs = new Shelf<Run>();
  readonly jobRuns = new Shelf<JobRun>();
  readonly history: History;
  readonly checks: Check[] = [];
  readonly comments: string[] = [];
  /** What the forge answers instead. */
  refusal: Error | undefined;
  readonly reporter: Reporter;
  readonly commenter: Commenter;
  #version = 1;

  static async open(): Promise<Bench> {
    const directory = await mkdtemp(join(tmpdir(), "report-"));
    onTestFinished(async () => await rm(directory, { recursive: true, force: true }));
    const history = await openHistory({ sqlite: { directory } });
    onTestFinished(async () => await history.close());
    return new Bench(history);
  }

  private constructor(history: History) {
    this.history = history;
    const forge = {
      name: "local",
      report: async (check: Check) => {
        if (this.refusal) throw this.refusal;
        this.checks.push(check);
        await Promise.resolve();
      },
      comment: async ({ markdown }: PullRequestComment) => {
        if (this.refusal) throw this.refusal;
        this.comments.push(markdown);
        await Promise.resolve();
      },
    } as Partial<Forge> as Forge;
    let seconds = 0;
    const options = { runs: this.runs, jobRuns: this.jobRuns, history, forgeOf: () => forge, origin, now: () => dateAt(++seconds) };
    this.reporter = new Reporter(options);
    this.commenter = new Commenter(options);
  }

  async run(name: string, status: RunStatus, more: Parameters<typeof runNamed>[1] = {}): Promise<Stored<Run>> {
    const made = runNamed(name, { version: this.#version++, source: ofPullRequest, ...more, status });
    const run = { ...made, metadata: { ...made.metadata, labels: { "seatrial.dev/pull-request": "pr" } } };
    this.runs.put(run);
    await this.history.projection.projectRuns([run]);
    return run;
  }

  async job(name: string, status: JobRunStatus, more: Parameters<typeof jobRunNamed>[1] = {}, attempt?: number): Promise<Stored<JobRun>> {
    const made = jobRunNamed(name, { run: "run", version: this.#version++, ...more, status });
    const metadata = { ...made.metadata, labels: { "seatrial.dev/run": made.spec.run } };
    const jobRun = { ...made, metadata, spec: { ...made.spec, ...(attempt === undefined ? {} : { attempt }) } };
    this.jobRuns.put(jobRun);
    await this.history.projection.projectJobRuns([jobRun]);
    return jobRun;
  }

  /** A job that ended, with tests. */
  async ended(
    name: string,
    verdict: Verdict,
    tests: { name: string; verdict?: "error"; message?: string; logLine?: number }[] = [],
    more: { run?: string; message?: string } = {},
  ): Promise<void> {
    const { message, run = "run" } = more;
    const uid = `attempt-of-${name}`;
    const jobRun = await this.job(
      name,
      { phase: "Finished", verdict, ...(message ? { message } : {}), attempts: [{ number: 1, uid, executor: "host", host: "local" }] },
      { run, job: name },
    );
    const { metadata } = jobRun;
    const opened = { uid, jobRun: { name, uid: metadata.uid }, number: 1, tokenHash: "x", executor: "host" as const, host: "local" };
    await this.history.attempts.open(opened, dateAt(0));
    await this.history.attempts.setTests(
      uid,
      tests.map((each) => ({ suite: "s", className: "c", verdict: "failed", ...each })),
    );
  }

  said(): string[] {
    return this.checks.map(({ context, state, description }) => `${context}: ${state}, ${description}`);
  }
}

const running: RunStatus = { phase: "Running" };
const failed: RunStatus = { phase: "Finished", verdict: "failed" };
const passed: RunStatus = { phase: "Finished", verdict: "passed" };

test("a rerun of a job updates the same check; nothing is told twice, and a verdict of before is none", async () => {
  const bench = await Bench.open();
  await bench.run("run", running);
  for (const [status, attempt] of [
    [{ phase: "Waiting", message: "2 of 2 clusters of host local are in use" }, 1],
    [{ phase: "Running" }, 1],
    [{ phase: "Running" }, 1],
    [{ phase: "Finished", verdict: "failed", attempt: 1 }, 1],
    [{ phase: "Finished", verdict: "failed", attempt: 1 }, 2],
    [{ phase: "Running" }, 2],
    [{ phase: "Finished", verdict: "passed", attempt: 2 }, 2],
  ] as [JobRunStatus, number][]) {
    await bench.job("job", status, {}, attempt);
    await bench.reporter.reportJobRun("job");
  }
  expect(bench.said()).toEqual([
    "test / unit (pull_request): pending, 2 of 2 clusters of host local are in use",
    "test / unit (pull_request): pending, Running",
    "test / unit (pull_request): failure, failed",
    "test / unit (pull_request): pending, Waiting",
    "test / unit (pull_request): pending, Running",
    "test / unit (pull_request): success, passed",
  ]);
  expect(bench.checks.map(({ sequence }) => sequence)).toEqual(bench.checks.map(({ sequence }) => sequence).toSorted((a, b) => a - b));
});

test("a push and a pull request of one commit have checks of their own", async () => {
  const bench = await Bench.open();
  await bench.run("run", running);
  await bench.run("push", running, { source: { base: { ref: "topic", sha: heads[0]!.sha } } });
  await bench.job("a", { phase: "Running" });
  await bench.job("b", { phase: "Running" }, { run: "push" });
  for (const name of ["a", "b"]) await bench.reporter.reportJobRun(name);
  expect(bench.checks.map(({ context, sha }) => [context, sha])).toEqual([
    ["test / unit (pull_request)", heads[0]!.sha],
    ["test / unit (push)", heads[0]!.sha],
  ]);
});

test("jobs whose names come to the same do not hide each other", async () => {
  const bench = await Bench.open();
  await bench.run("run", running);
  await bench.job("a", { phase: "Finished", verdict: "failed" }, { job: "a", jobName: "same" });
  await bench.job("b", { phase: "Finished", verdict: "passed" }, { job: "b", jobName: "same" });
  for (const name of ["a", "b"]) await bench.reporter.reportJobRun(name);
  expect(bench.said()).toEqual(["test / same (pull_request) [a]: failure, failed", "test / same (pull_request) [b]: success, passed"]);
});

test("a forge that does not answer is asked again, for how things stand then; until then the run is not reported", async () => {
  const bench = await Bench.open();
  const run = await bench.run("run", running);
  await bench.job("job", { phase: "Running" });
  bench.refusal = new ForgeError("unreachable", "POST at forge local: 500", { status: 500, retryable: true });
  await expect(bench.reporter.reportJobRun("job")).rejects.toBe(bench.refusal);
  const jobRun = await bench.job("job", { phase: "Finished", verdict: "passed" });
  await expect(bench.reporter.reportJobRun("job")).rejects.toBe(bench.refusal);
  expect(await isReported(bench.history, run, [jobRun])).toBe(false);
  bench.refusal = new ForgeError("unreachable", "slow down", { status: 429, retryable: true, retryAfterMs: 5_000 });
  expect(await bench.reporter.reportJobRun("job")).toEqual({ requeueAfterMs: 5_000 });
  bench.refusal = undefined;
  await bench.reporter.reportJobRun("job");
  expect(bench.said()).toEqual(["test / unit (pull_request): success, passed"]);
  expect(await isReported(bench.history, run, [jobRun])).toBe(true);
});

test("a repository that is gone is not asked for again", async () => {
  const bench = await Bench.open();
  const run = await bench.run("run", failed);
  const jobRun = await bench.job("job", { phase: "Finished", verdict: "failed" });
  bench.refusal = new SeatrialError("not-found", "there is no such repository");
  await bench.reporter.reportJobRun("job");
  expect(await isReported(bench.history, run, [jobRun])).toBe(true);
});

test("the comment: none while all is well, made when something failed, the same changed afterwards", async () => {
  const bench = await Bench.open();
  const say = async () => await bench.commenter.reconcile("pr");
  await bench.run("run", running);
  await say();
  await bench.ended("lint", "passed");
  await bench.ended("e2e", "failed", [
    { name: "TestWidget", message: "want 3 widgets, got 2\nand a trace", logLine: 12 },
    { name: "<img src=x> `@all` \n\n# big", message: "[here](https://evil.example)" },
    { name: "TestPanics", verdict: "error" },
  ]);
  await bench.ended("boot", "error", [], { message: "cluster cluster: did not become ready" });
  await say();
  expect(bench.comments, "a workflow that has not ended").toEqual([]);
  await bench.run("run", failed);
  await say();
  await say();
  expect(bench.comments).toEqual([
    [
      "**2 of 3 jobs failed** at 1111111111:",
      "",
      "- [`test / e2e (pull_request)`](https://ci.example/jobs/e2e?attempt=1&line=12#L12) failed",
      "  - [`TestWidget`](https://ci.example/jobs/e2e?attempt=1&line=12#L12): `want 3 widgets, got 2`",
      "  - [``<img src=x> `@all` # big``](https://ci.example/jobs/e2e): `[here](https://evil.example)`",
      "  - [`TestPanics`](https://ci.example/jobs/e2e)",
      "- [`test / boot (pull_request)`](https://ci.example/jobs/boot) could not be tested, which is not the change's fault: " +
        "`cluster cluster: did not become ready`",
    ].join("\n"),
  ]);
  // A newer head: nothing is said while it runs, then that all is well.
  const source = { ...ofPullRequest, heads: [{ ...heads[0]!, sha: "2".repeat(40) }] };
  await bench.run("newer", running, { source, seconds: 60 });
  await say();
  await bench.ended("later", "passed", [], { run: "newer" });
  await bench.run("newer", passed, { source, seconds: 60 });
  await say();
  expect(bench.comments.slice(1)).toEqual(["**1 job passed** at 2222222222."]);
});

test("a pull request of which nothing ever failed has no comment", async () => {
  const bench = await Bench.open();
  await bench.ended("lint", "passed");
  await bench.run("run", passed);
  await bench.commenter.reconcile("pr");
  expect(bench.comments).toEqual([]);
});

test("a comment has its bound, whatever failed", async () => {
  const bench = await Bench.open();
  for (let job = 0; job < 40; job++) {
    const tests = Array.from({ length: 20 }, (_, i) => ({ name: `Test${i}${"x".repeat(2_000)}`, message: "`".repeat(2_000) }));
    await bench.ended(`j${job}`, "failed", tests);
  }
  await bench.run("run", failed);
  await bench.commenter.reconcile("pr");
  const [comment] = bench.comments as [string];
  expect(comment.length).toBeLessThan(65_536);
  expect(comment).toContain("**40 of 40 jobs failed**");
  expect(comment).toContain("  - and 15 more tests\n");
  expect(comment.endsWith("- and 25 more jobs")).toBe(true);
});

test("what could not be said is said when the forge answers, even if its run has left the API", async () => {
  const bench = await Bench.open();
  await bench.ended("e2e", "failed");
  await bench.run("run", failed);
  bench.refusal = new ForgeError("unreachable", "it is down", { retryable: true });
  await expect(bench.commenter.reconcile("pr")).rejects.toBe(bench.refusal);
  bench.runs.clear();
  bench.refusal = undefined;
  await bench.commenter.reconcile("pr");
  expect(bench.comments).toHaveLength(1);
});

test.for([
  ["a pull request that is gone", "not-found", false],
  ["a token that may not comment, once the run has left the API", "refused", true],
] as const)("a comment is given up: %s", async ([, code, isGone]) => {
  const bench = await Bench.open();
  await bench.ended("e2e", "failed");
  await bench.run("run", failed);
  bench.refusal = new ForgeError(code, "it is refused", { retryable: false });
  if (isGone) {
    await expect(bench.commenter.reconcile("pr")).rejects.toBe(bench.refusal);
    bench.runs.clear();
  }
  await bench.commenter.reconcile("pr");
  expect(bench.comments).toEqual([]);
});

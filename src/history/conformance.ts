/** What history.ts and its parts promise, held against each database: the same tests for SQLite and Postgres. */
import { describe, expect, onTestFinished, test, type TestContext } from "vitest";
import { limits } from "../base/limits.ts";
import type { AttemptReport, StepReport, TestResult } from "./attempts.ts";
import { type DatabaseSuite, describeDatabase } from "./database-conformance.ts";
import { type History, openHistory } from "./history.ts";
import type { Page } from "./page.ts";
import { describeRetention } from "./retention-conformance.ts";
import { describeStorage } from "./storage-conformance.ts";
import { at, dateAt, digestOf, jobRunNamed, runNamed } from "./testdata/resources.ts";

const now = dateAt(1_000);
const attempt = {
  uid: "attempt-1",
  jobRun: { name: "job", uid: "uid-job" },
  number: 1,
  tokenHash: "hash",
  executor: "host",
  host: "local",
} as const;
const noReport: AttemptReport = { steps: [], annotations: [] };

export function describeHistory(suite: DatabaseSuite): void {
  const open = async (context: TestContext): Promise<History> => {
    const history = await openHistory(await suite.create(context));
    onTestFinished(async () => await history.close());
    return history;
  };

  describe(`history on ${suite.name}: documents and state`, () => {
    test("a text is found by its digest; the same text has the same", async (context) => {
      const { documents } = await open(context);
      const text = "on: push\njobs: {}\n# ü 🚢\n";
      const digest = await documents.put(text, now);
      expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
      expect(await documents.put(text, now)).toBe(digest);
      expect(await documents.get(digest)).toBe(text);
      expect(await documents.get(digestOf("f"))).toBeUndefined();
    });

    test("state is set, set again, deleted", async (context) => {
      const { state } = await open(context);
      expect(await state.get("cursor")).toBeUndefined();
      await state.set("cursor", "1", now);
      await state.set("cursor", "2", now);
      expect(await state.get("cursor")).toBe("2");
      await state.delete("cursor");
      expect(await state.get("cursor")).toBeUndefined();
    });

    test("a counter gives each number once", async (context) => {
      const { state } = await open(context);
      expect(await state.next("runs", now)).toBe(1);
      const numbers = await Promise.all(Array.from({ length: 20 }, async () => await state.next("runs", now)));
      expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 2));
      expect(await state.next("others", now)).toBe(1);
    });

    test("a lock document is put, put again, and changed by two at once", async (context) => {
      const { locks } = await open(context);
      await locks.change("a", () => "nothing to change");
      expect(await locks.get("a")).toBeUndefined();
      await locks.put("a", "1");
      await locks.put("a", "2");
      await Promise.all([locks.change("a", (text) => `${text}3`), locks.change("a", (text) => `${text}4`)]);
      expect(["234", "243"]).toContain(await locks.get("a"));
      const changes = Array.from({ length: 20 }, (_, i) => `c${i}`);
      await Promise.all(changes.map(async (change) => await locks.change("a", (text) => `${text},${change}`)));
      expect((await locks.get("a"))!.split(",").slice(1).toSorted()).toEqual(changes.toSorted());
    });
  });

  describeStorage(suite, open);

  describe(`history on ${suite.name}: projection`, () => {
    test("an older state never replaces a newer one, in whatever order and however often they come", async (context) => {
      const { projection, queries } = await open(context);
      const states = [
        runNamed("run", { version: 9 }),
        runNamed("run", { version: 10, status: { phase: "Running", startedAt: at(5) } }),
        runNamed("run", { version: 11, status: { phase: "Finished", verdict: "failed", finishedAt: at(9) } }),
      ] as const;
      await projection.projectRuns([states[2], states[0]]);
      await projection.projectRuns([states[1]]);
      await projection.projectRuns(states);
      const found = await queries.run("run");
      expect(found?.run).toEqual(states[2]);
      expect(found?.summary).toMatchObject({ phase: "Finished", verdict: "failed", finishedAt: dateAt(9), isGone: false });
    });

    test("more than one statement takes", async (context) => {
      const { projection, queries } = await open(context);
      const count = limits.projectionRows * 2 + 1;
      await projection.projectJobRuns(Array.from({ length: count }, (_, index) => jobRunNamed(`job-${index}`, { seconds: index })));
      const page = await queries.jobsOf("run");
      expect(page.items.map(({ name }) => name)).toEqual(Array.from({ length: count }, (_, index) => `job-${index}`));
    });

    test("sources of all runs that were made before a time", async (context) => {
      const { projection, queries } = await open(context);
      const count = limits.pageItemsMost + 1;
      await projection.projectRuns(Array.from({ length: count + 1 }, (_, index) => runNamed(`run-${index}`, { seconds: index })));
      const found: unknown[] = [];
      for await (const source of queries.sourcesBefore(dateAt(count))) found.push(source);
      expect(found).toEqual(Array.from({ length: count }, () => runNamed("run").spec.source));
    });

    test("a resourceVersion that cannot be compared is refused", async (context) => {
      const { projection } = await open(context);
      const run = runNamed("run");
      run.metadata.resourceVersion = "abc";
      await expect(projection.projectRuns([run])).rejects.toMatchObject({
        code: "invalid",
        message: expect.stringContaining("abc is no number"),
      });
    });

    test("seen: the run and each of its jobs, in the very version", async (context) => {
      const { projection } = await open(context);
      const run = runNamed("run", { version: 5 });
      const jobs = [jobRunNamed("a", { version: 7 }), jobRunNamed("b", { version: 8 })];
      expect(await projection.hasSeen(run, [])).toBe(false);
      await projection.projectRuns([run]);
      await projection.projectJobRuns([jobs[0]!, jobRunNamed("b", { version: 6 })]);
      expect(await projection.hasSeen(run, jobs)).toBe(false);
      await projection.projectJobRuns(jobs);
      expect(await projection.hasSeen(run, jobs)).toBe(true);
      expect(await projection.hasSeen(runNamed("run", { version: 6 }), jobs)).toBe(false);
    });

    test("deleted before it had ended: aborted, and nothing that comes later changes it", async (context) => {
      const { projection, queries } = await open(context);
      await projection.projectJobRuns([jobRunNamed("job", { version: 3, status: { phase: "Running", startedAt: at(1) } })]);
      expect(await projection.markGone("JobRun", "uid-job", dateAt(7))).toBe(true);
      await projection.projectJobRuns([jobRunNamed("job", { version: 4, status: { phase: "Running" } })]);
      expect(await projection.markGone("JobRun", "uid-job", dateAt(8))).toBe(true);
      const found = await queries.jobRun("job");
      const ended = { phase: "Finished", verdict: "aborted", cause: "deleted" };
      expect(found?.summary).toMatchObject({ ...ended, finishedAt: dateAt(7), isGone: true });
      expect(found?.jobRun.status).toMatchObject({ ...ended, startedAt: at(1) });
    });

    test("deleted after it had ended: its verdict stays", async (context) => {
      const { projection, queries } = await open(context);
      await projection.projectRuns([runNamed("run", { status: { phase: "Finished", verdict: "passed", finishedAt: at(3) } })]);
      expect(await projection.markGone("Run", "uid-run", dateAt(7))).toBe(true);
      expect((await queries.run("run"))?.summary).toMatchObject({ verdict: "passed", finishedAt: dateAt(3), isGone: true });
      expect(await projection.markGone("Run", "uid-unknown", dateAt(7))).toBe(false);
    });
  });

  describe(`history on ${suite.name}: attempts`, () => {
    const step = (index: number, more: Partial<StepReport> = {}): StepReport => ({
      index,
      name: `step ${index}`,
      state: "running",
      startedAt: at(index),
      firstLine: index * 10 + 1,
      ...more,
    });

    test("opened again it stays as it was, its token too", async (context) => {
      const { attempts } = await open(context);
      await attempts.open(attempt, dateAt(1));
      await attempts.open({ ...attempt, tokenHash: "another" }, dateAt(2));
      expect(await attempts.get(attempt.uid)).toEqual({ ...attempt, createdAt: dateAt(1), heardAt: dateAt(1) });
      expect(await attempts.get("none")).toBeUndefined();
    });

    test("opened when it had ended before it could be started", async (context) => {
      const { attempts } = await open(context);
      const ending = { verdict: "error", cause: "cluster-boot", message: "it hung" } as const;
      await attempts.open(attempt, dateAt(1), ending);
      expect((await attempts.get(attempt.uid))?.result).toEqual({ ...ending, endedAt: dateAt(1) });
      expect(await attempts.recordReport(attempt.uid, noReport, now)).toEqual({ state: "ended" });
    });

    test("reports may come twice, late and out of order", async (context) => {
      const { attempts, queries } = await open(context);
      await attempts.open(attempt, dateAt(1));
      const said = { level: "error", message: "boom\0", file: "a.go", line: 3, step: 0, logLine: 7 } as const;
      const finished = step(0, {
        state: "finished",
        verdict: "failed",
        conclusion: "passed",
        exitCode: 1,
        finishedAt: at(4),
        message: "exit code 1",
      });
      await attempts.recordReport(attempt.uid, { steps: [finished, step(1)], annotations: [said] }, dateAt(5));
      await attempts.recordReport(attempt.uid, { steps: [step(0)], annotations: [said, said, { ...said, logLine: 2 }] }, dateAt(6));
      const [details] = await queries.attemptsOf(attempt.jobRun.uid);
      expect(details?.steps).toEqual([finished, step(1)]);
      expect(details?.heardAt).toEqual(dateAt(6));
      expect(details).not.toHaveProperty("tokenHash");
      expect((await queries.annotations(attempt.uid)).map(({ logLine }) => logLine)).toEqual([2, 7]);
    });

    test("a result is set once; what comes afterwards changes nothing", async (context) => {
      const { attempts, queries } = await open(context);
      await attempts.open(attempt, dateAt(1));
      const result = { verdict: "passed", outputs: { digest: "x" }, logBytes: 12 } as const;
      expect(await attempts.recordReport(attempt.uid, { ...noReport, steps: [step(0)], result }, dateAt(9))).toEqual({ state: "recorded" });
      const late = {
        steps: [step(0, { state: "finished" })],
        annotations: [],
        result: { verdict: "failed", outputs: {}, logBytes: 0 },
      } as const;
      expect(await attempts.recordReport(attempt.uid, late, dateAt(10))).toEqual({ state: "ended" });
      const lost = { verdict: "error", cause: "lost-runner" } as const;
      expect((await attempts.end(attempt.uid, lost, dateAt(11)))?.result).toEqual({ ...result, endedAt: dateAt(9) });
      expect((await queries.attemptsOf("uid-job"))[0]?.steps).toEqual([step(0)]);
      expect(await attempts.recordReport("none", noReport, now)).toEqual({ state: "absent" });
      expect(await attempts.end("none", lost, now)).toBeUndefined();
    });

    test("the wish to abort goes with the next answer; the first reason stays", async (context) => {
      const { attempts } = await open(context);
      await attempts.open(attempt, dateAt(1));
      await attempts.wishAbort(attempt.uid, "a newer push");
      await attempts.wishAbort(attempt.uid, "something else");
      expect(await attempts.recordReport(attempt.uid, noReport, now)).toEqual({ state: "recorded", abort: "a newer push" });
    });

    test("listeners hear of steps and ends, not of heartbeats", async (context) => {
      const { attempts } = await open(context);
      const heard: string[] = [];
      const end = attempts.onChange((uid, jobRun) => heard.push(`${jobRun}/${uid}`));
      await attempts.open(attempt, dateAt(1));
      await attempts.recordReport(attempt.uid, noReport, now);
      expect(heard).toEqual([]);
      await attempts.recordReport(attempt.uid, { ...noReport, steps: [step(0)] }, now);
      await attempts.end(attempt.uid, { verdict: "passed" }, now);
      end();
      await attempts.recordReport(attempt.uid, { ...noReport, steps: [step(1)] }, now);
      expect(heard).toEqual(["job/attempt-1", "job/attempt-1"]);
    });

    test("tests: those that did not pass first, in pages; set again, they are replaced; long texts are cut", async (context) => {
      const { attempts, queries } = await open(context);
      await attempts.open(attempt, dateAt(1));
      const testNamed = (name: string, verdict: TestResult["verdict"]): TestResult => ({
        suite: "s",
        className: "c",
        name,
        verdict,
        durationMs: 5,
      });
      await attempts.setTests(attempt.uid, [testNamed("gone", "failed")]);
      const details = "ü".repeat(limits.testDetailsBytes);
      const tests = [
        testNamed("p1", "passed"),
        testNamed("f1", "failed"),
        testNamed("s1", "skipped"),
        { ...testNamed("e1", "error"), details, logLine: 7 },
      ];
      expect(await attempts.setTests(attempt.uid, tests)).toBe(4);
      const found = await allPages((cursor) => queries.tests(attempt.uid, { limit: 1, cursor }));
      expect(found.map(({ name }) => name)).toEqual(["f1", "e1", "p1", "s1"]);
      expect(found[1]).toMatchObject({ logLine: 7, details: `${"ü".repeat(limits.testDetailsBytes / 2)}…` });
      expect((await queries.attemptsOf("uid-job"))[0]?.testCounts).toEqual({ passed: 1, failed: 1, skipped: 1, error: 1 });
    });

    test("artifacts and events of clusters", async (context) => {
      const { attempts, queries } = await open(context);
      const artifact = (path: string, size = 1) => ({ path, size, digest: digestOf("1"), contentType: "text/plain", key: `k/${path}` });
      for (const path of ["b", "a/x", "c"]) expect(await attempts.recordArtifact("u", artifact(path))).toBe(true);
      await attempts.recordArtifact("u", artifact("b", 2));
      expect(await allPages((cursor) => queries.artifacts("u", { limit: 2, cursor }))).toEqual([
        artifact("a/x"),
        artifact("b", 2),
        artifact("c"),
      ]);
      expect(await queries.artifact("u", "b")).toEqual(artifact("b", 2));
      expect(await queries.artifact("u", "none")).toBeUndefined();
      expect(await attempts.artifactBytes("u"), "of all its artifacts, each once").toBe(4);
      expect(await attempts.artifactBytes("of nobody")).toBe(0);

      const event = (uid: string, seconds: number, count = 1) =>
        ({
          cluster: "cluster",
          uid,
          time: dateAt(seconds),
          type: "Warning",
          reason: "BackOff",
          object: "Pod/default/web-0",
          message: "back-off",
          count,
        }) as const;
      expect(await attempts.recordClusterEvents("u", [event("1", 5), event("2", 3), event("1", 6, 2)])).toBe(2);
      await attempts.recordClusterEvents("u", [event("1", 5, 1)]);
      expect(await allPages((cursor) => queries.clusterEvents("u", { limit: 1, cursor }))).toEqual([event("2", 3), event("1", 6, 2)]);
    });
  });

  describe(`history on ${suite.name}: queries`, () => {
    test("pages: what is added meanwhile is neither repeated nor hides a run", async (context) => {
      const { projection, queries } = await open(context);
      const names = Array.from({ length: 7 }, (_, index) => `run-${index}`);
      // Two of each second: the order within is by uid, and stays.
      await projection.projectRuns(names.map((name, index) => runNamed(name, { seconds: Math.floor(index / 2) })));
      const first = await queries.runs({ limit: 3 });
      await projection.projectRuns([runNamed("new", { seconds: 100 })]);
      const rest = await allPages((cursor) => queries.runs({ limit: 3, cursor: cursor ?? first.next }));
      expect([...first.items, ...rest].map(({ name }) => name)).toEqual(names.toReversed());
      await expect(queries.runs({ cursor: "rubbish" })).rejects.toMatchObject({ code: "invalid" });
      await expect(queries.tests("u", { cursor: first.next })).rejects.toMatchObject({ code: "invalid" });
    });

    test("filters", async (context) => {
      const { projection, queries } = await open(context);
      const head = { number: 7, sha: "b".repeat(40), ref: "fix-100%", repositoryId: "2", author: { id: "5", login: "Ada" } };
      await projection.projectRuns([
        runNamed("main", { seconds: 1, status: { phase: "Finished", verdict: "passed" } }),
        runNamed("pull", { seconds: 2, source: { event: "pull_request", ref: "refs/pull/7/merge", heads: [head], sender: head.author } }),
        runNamed("other", {
          seconds: 3,
          source: { repository: { id: "2", name: "owner/other" } },
          workflow: { path: ".seatrial/nightly.yml", name: "nightly" },
        }),
      ]);
      const cases = [
        [{}, ["other", "pull", "main"]],
        [{ repository: "owner/project" }, ["pull", "main"]],
        [{ workflow: "nightly" }, ["other"]],
        [{ workflow: ".seatrial/test.yml" }, ["pull", "main"]],
        [{ ref: "refs/pull/7/merge" }, ["pull"]],
        [{ ref: "main", repository: "owner/project" }, ["pull", "main"]],
        [{ verdict: "passed" }, ["main"]],
        [{ phase: "Pending", event: "push" }, ["other"]],
        [{ event: "pull_request" }, ["pull"]],
        [{ text: "ADA" }, ["pull"]],
        [{ text: "100%" }, ["pull"]],
        [{ text: "0_%" }, []],
        [{ text: "bbbb" }, ["pull"]],
      ] as const;
      for (const [filter, names] of cases) {
        expect(
          (await queries.runs(filter)).items.map(({ name }) => name),
          JSON.stringify(filter),
        ).toEqual(names);
      }
    });

    test("a run with its jobs, a job with its attempts, the same job in other runs, names by their beginning", async (context) => {
      const { projection, attempts, queries } = await open(context);
      await projection.projectRuns([
        runNamed("push-1", { seconds: 1 }),
        runNamed("push-2", { seconds: 2 }),
        runNamed("night", { seconds: 3, workflow: { path: ".seatrial/nightly.yml" } }),
      ]);
      for (const [index, run] of ["push-1", "push-2", "night"].entries()) {
        await projection.projectJobRuns([
          jobRunNamed(`${run}-deep`, { run, job: "integration", jobName: "integration (deep)", seconds: index }),
          jobRunNamed(`${run}-helm`, { run, job: "integration", jobName: "integration (helm)", seconds: index }),
        ]);
      }
      await attempts.open({ ...attempt, jobRun: { name: "push-1-deep", uid: "uid-push-1-deep" } }, now);
      expect((await queries.run("push-1"))?.jobs.items.map(({ jobName }) => jobName)).toEqual(["integration (deep)", "integration (helm)"]);
      expect(await queries.run("none")).toBeUndefined();
      expect((await queries.jobRun("push-1-deep"))?.attempts).toMatchObject([
        { uid: attempt.uid, hasLog: true, hasArtifacts: true, steps: [] },
      ]);
      const history = { repository: "owner/project", workflowPath: ".seatrial/test.yml", jobName: "integration (deep)" };
      const found = await allPages((cursor) => queries.jobHistory(history, { limit: 1, cursor }));
      expect(found.map(({ run }) => run)).toEqual(["push-2", "push-1"]);
      expect(await queries.namesWith("push-1", 10)).toEqual([
        { kind: "Run", name: "push-1" },
        { kind: "JobRun", name: "push-1-deep" },
        { kind: "JobRun", name: "push-1-helm" },
      ]);
    });
  });

  describe(`history on ${suite.name}: deliveries`, () => {
    const deliveryOf = (delivery: string, body = "{}") => ({
      forge: "gitea",
      delivery,
      event: "push",
      headers: { "x-event": "push" },
      body: Buffer.from(body),
    });

    test("one that the forge sends again is kept once, also at the same time", async (context) => {
      const { deliveries } = await open(context);
      const put = await Promise.all(Array.from({ length: 20 }, async () => await deliveries.put(deliveryOf("same"), now)));
      expect(put.filter(({ isNew }) => isNew)).toHaveLength(1);
      expect(new Set(put.map(({ id }) => id)).size).toBe(1);
      expect(await deliveries.put({ ...deliveryOf("same"), forge: "another" }, now)).toMatchObject({ isNew: true });
    });

    test("its bytes come back as they were", async (context) => {
      const { deliveries } = await open(context);
      const body = Buffer.from(Array.from({ length: 70_000 }, (_, index) => (index * 7) % 256));
      const { id } = await deliveries.put({ ...deliveryOf("bytes"), body: body.subarray(1) }, now);
      expect(body[0]).toBe(0); // A view into it was given: it is untouched.
      const found = await deliveries.get(id);
      expect(found?.body.equals(body.subarray(1))).toBe(true);
      expect(found).toMatchObject({ id, headers: { "x-event": "push" }, state: "waiting", attempts: 0, receivedAt: now });
    });

    test("claimed in order, each by one; a lease that is over gives it out again", async (context) => {
      const { deliveries } = await open(context);
      for (const name of ["1", "2", "3"]) await deliveries.put(deliveryOf(name), now);
      const first = await deliveries.claim(10_000, dateAt(0));
      const second = await deliveries.claim(10_000, dateAt(1));
      expect([first?.delivery, second?.delivery]).toEqual(["1", "2"]);
      await deliveries.done(first!.id, dateAt(2));
      const again = await deliveries.claim(10_000, dateAt(11));
      expect(again).toMatchObject({ delivery: "2", attempts: 2 });
      expect((await deliveries.claim(10_000, dateAt(11)))?.delivery).toBe("3");
      expect(await deliveries.claim(10_000, dateAt(11))).toBeUndefined();
    });

    test("released: given out again at once, but for those that have ended", async (context) => {
      const { deliveries } = await open(context);
      for (const id of ["1", "2"]) await deliveries.put(deliveryOf(id), dateAt(0));
      const [first, second] = [await deliveries.claim(10_000, dateAt(0)), await deliveries.claim(10_000, dateAt(0))];
      await deliveries.done(first!.id, dateAt(1));
      await deliveries.release();
      expect(await deliveries.claim(10_000, dateAt(1))).toMatchObject({ id: second!.id, attempts: 2 });
      expect(await deliveries.claim(10_000, dateAt(1))).toBeUndefined();
    });

    test("many that claim at once never have the same", async (context) => {
      const { deliveries } = await open(context);
      for (let index = 0; index < 10; index++) await deliveries.put(deliveryOf(String(index)), now);
      const claimed = await Promise.all(Array.from({ length: 10 }, async () => await deliveries.claim(10_000, now)));
      const ids = claimed.flatMap((each) => (each ? [each.id] : []));
      expect(ids.length).toBeGreaterThan(0);
      expect(new Set(ids).size).toBe(ids.length);
    });

    test("failed: tried again at its time, or kept until somebody replays it", async (context) => {
      const { deliveries } = await open(context);
      const { id } = await deliveries.put(deliveryOf("1"), now);
      await deliveries.claim(1_000, dateAt(0));
      await deliveries.failed(id, "the forge is down", dateAt(1), dateAt(30));
      expect(await deliveries.claim(1_000, dateAt(29))).toBeUndefined();
      expect(await deliveries.claim(1_000, dateAt(30))).toMatchObject({ id, error: "the forge is down", attempts: 2 });
      await deliveries.failed(id, "no such workflow", dateAt(31));
      expect(await deliveries.claim(1_000, dateAt(99))).toBeUndefined();
      expect((await deliveries.list({ state: "failed" })).items).toMatchObject([{ id, error: "no such workflow", endedAt: dateAt(31) }]);
      expect(await deliveries.replay(id)).toBe(true);
      expect(await deliveries.replay(id + 1)).toBe(false);
      expect(await deliveries.claim(1_000, dateAt(99))).toMatchObject({ id, attempts: 3 });
    });

    test("listed in pages, the newest first", async (context) => {
      const { deliveries } = await open(context);
      for (let index = 0; index < 5; index++)
        await deliveries.put({ ...deliveryOf(String(index)), forge: index === 2 ? "local" : "gitea" }, now);
      const list = await allPages((cursor) => deliveries.list({ limit: 2, cursor, forge: "gitea" }));
      expect(list.map(({ delivery }) => delivery)).toEqual(["4", "3", "1", "0"]);
      expect(list[0]).not.toHaveProperty("body");
    });
  });

  describeRetention(suite, open);
  describeDatabase(suite);
}

/** All items of a list, page by page. */
async function allPages<T>(page: (cursor: string | undefined) => Promise<Page<T>>): Promise<T[]> {
  const items: T[] = [];
  for (let cursor: string | undefined; ;) {
    const got = await page(cursor);
    items.push(...got.items);
    if (got.next === undefined) return items;
    cursor = got.next;
  }
}

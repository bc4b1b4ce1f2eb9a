/** What retention.ts promises, held against each database; part of the suite of the history (conformance.ts). */
import { describe, expect, test, type TestContext } from "vitest";
import { limits } from "../base/limits.ts";
import type { DatabaseSuite } from "./database-conformance.ts";
import type { History } from "./history.ts";
import type { Removal } from "./retention.ts";
import { at, dateAt, digestOf, jobRunNamed, runNamed } from "./testdata/resources.ts";

const now = dateAt(1_000);
const attempt = { number: 1, tokenHash: "hash", executor: "host", host: "local" } as const;

export function describeRetention(suite: DatabaseSuite, open: (context: TestContext) => Promise<History>): void {
  describe(`history on ${suite.name}: retention`, () => {
    /** Runs 1 to 5 that ended in that order, each with one job of the same name, one attempt, one artifact. */
    const fill = async ({ projection, attempts, documents }: History) => {
      const digests: string[] = [];
      for (let run = 1; run <= 5; run++) {
        const digest = await documents.put(`workflow ${run}`, dateAt(run));
        digests.push(digest);
        const ended = { phase: "Finished", verdict: "passed", finishedAt: at(run) } as const;
        await projection.projectRuns([runNamed(`run-${run}`, { seconds: run, status: ended, workflow: { digest } })]);
        await projection.projectJobRuns([jobRunNamed(`job-${run}`, { run: `run-${run}`, seconds: run, status: ended })]);
        const uid = `attempt-${run}`;
        await attempts.open({ ...attempt, uid, jobRun: { name: `job-${run}`, uid: `uid-job-${run}` } }, dateAt(run));
        await attempts.recordReport(
          uid,
          { steps: [{ index: 0, name: "s", state: "running", startedAt: at(run), firstLine: 1 }], annotations: [] },
          dateAt(run),
        );
        await attempts.recordArtifact(uid, { path: "a", size: 1, digest: digestOf("1"), contentType: "text/plain", key: `key-${run}` });
        await attempts.setArchivePrefix(uid, `archive-${run}`);
        await attempts.end(uid, { verdict: "passed" }, dateAt(run));
      }
      return digests;
    };
    const recorder = (): Removal & { removed: string[] } => {
      const removed: string[] = [];
      return {
        removed,
        log: async ({ uid }) => void (await Promise.resolve(removed.push(`log ${uid}`))),
        artifacts: async ({ archivePrefix }, keys) => void (await Promise.resolve(removed.push(`${archivePrefix}: ${keys.join()}`))),
      };
    };

    test("logs and artifacts first, runs later, and the newest of each job stay", async (context) => {
      const history = await open(context);
      await fill(history);
      const removal = recorder();
      const policy = { logsBefore: dateAt(100), artifactsBefore: dateAt(3), keepNewestPerJob: 2 };
      expect(await history.retention.prune(policy, 2, now, removal)).toMatchObject({ logs: 2, artifacts: 2, runs: 0, isMore: true });
      expect(await history.retention.prune(policy, 2, now, removal)).toMatchObject({ logs: 1, artifacts: 0, isMore: false });
      expect(removal.removed).toEqual(["log attempt-1", "log attempt-2", "archive-1: key-1", "archive-2: key-2", "log attempt-3"]);
      expect((await history.queries.jobRun("job-1"))?.attempts).toMatchObject([{ hasLog: false, hasArtifacts: false }]);
      expect((await history.queries.jobRun("job-4"))?.attempts).toMatchObject([{ hasLog: true, hasArtifacts: true }]);
      expect((await history.queries.artifacts("attempt-1")).items).toEqual([]);
    });

    test("a run leaves with all that is its", async (context) => {
      const history = await open(context);
      const digests = await fill(history);
      const unfinished = runNamed("running", { seconds: 1, status: { phase: "Running" }, workflow: { digest: digests[1]! } });
      await history.projection.projectRuns([unfinished]);
      for (const attempt of ["attempt-1", "attempt-5"]) await history.locks.put(attempt, "{}");
      const removal = recorder();
      const policy = { runsBefore: dateAt(100), keepNewestPerJob: 2 };
      expect(await history.retention.prune(policy, 100, now, removal)).toMatchObject({ runs: 3, documents: 2, isMore: false });
      expect((await history.queries.runs()).items.map(({ name }) => name)).toEqual(["run-5", "run-4", "running"]);
      expect(removal.removed).toHaveLength(6);
      expect(await history.attempts.get("attempt-1")).toBeUndefined();
      expect(await history.queries.attemptsOf("uid-job-1")).toEqual([]);
      expect(await history.queries.jobRun("job-1")).toBeUndefined();
      expect([await history.locks.get("attempt-1"), await history.locks.get("attempt-5")]).toEqual([undefined, "{}"]);
      const kept = await Promise.all(digests.map(async (digest) => (await history.documents.get(digest)) !== undefined));
      expect(kept).toEqual([false, true, false, true, true]);
    });

    test("what has not ended stays, however old, and so does a run of which a job was run again", async (context) => {
      const history = await open(context);
      await fill(history);
      const { projection, queries, retention } = history;
      await projection.projectRuns([runNamed("live", { seconds: 1, status: { phase: "Running" } })]);
      await projection.projectJobRuns([
        jobRunNamed("job-live", { run: "live", seconds: 1, status: { phase: "Running" } }),
        jobRunNamed("job-2", { run: "run-2", version: 99, seconds: 2, status: { phase: "Running" } }),
        jobRunNamed("job-3", { run: "run-3", version: 99, seconds: 3, status: { phase: "Finished", finishedAt: at(500) } }),
      ]);
      expect(await retention.prune({ runsBefore: dateAt(400), keepNewestPerJob: 0 }, 100, now, recorder())).toMatchObject({ runs: 3 });
      expect((await queries.runs()).items.map(({ name }) => name)).toEqual(["run-3", "run-2", "live"]);
    });

    test("an attempt with more rows than one transaction deletes", async (context) => {
      const history = await open(context);
      await fill(history);
      const test = { suite: "s", className: "c", verdict: "passed", durationMs: 1 } as const;
      const count = limits.pruneRows + 1;
      await history.attempts.setTests(
        "attempt-1",
        Array.from({ length: count }, (_, index) => ({ ...test, name: `t${index}` })),
      );
      expect(await history.retention.prune({ runsBefore: dateAt(2), keepNewestPerJob: 0 }, 10, now, recorder())).toMatchObject({ runs: 1 });
      expect((await history.queries.tests("attempt-1")).items).toEqual([]);
      expect((await history.queries.runs()).items).toHaveLength(4);
    });

    test("what could not be removed is tried again: its rows stay until it is gone", async (context) => {
      const history = await open(context);
      await fill(history);
      const broken: Removal = { ...recorder(), artifacts: async () => await Promise.reject(new Error("the disk is gone")) };
      const policy = { runsBefore: dateAt(2), keepNewestPerJob: 0 };
      await expect(history.retention.prune(policy, 10, now, broken)).rejects.toThrow("the disk is gone");
      expect((await history.queries.artifacts("attempt-1")).items).toHaveLength(1);
      const removal = recorder();
      expect(await history.retention.prune(policy, 10, now, removal)).toMatchObject({ runs: 1 });
      expect(removal.removed).toEqual(["log attempt-1", "archive-1: key-1"]);
    });

    test("of one repository, and deliveries that were handled", async (context) => {
      const history = await open(context);
      await fill(history);
      const { deliveries, retention } = history;
      const ids = [];
      for (const delivery of ["1", "2", "3"]) {
        ids.push((await deliveries.put({ forge: "f", delivery, event: "push", headers: {}, body: Buffer.from("") }, dateAt(0))).id);
      }
      await deliveries.done(ids[0]!, dateAt(1));
      await deliveries.failed(ids[1]!, "no", dateAt(5));
      const policy = { runsBefore: dateAt(100), deliveriesBefore: dateAt(3), keepNewestPerJob: 0 };
      expect(await retention.prune({ ...policy, repository: { forge: "another", id: "1" } }, 10, now, recorder())).toMatchObject({
        runs: 0,
        deliveries: 0,
      });
      expect(await retention.prune({ ...policy, repository: { forge: "local", id: "1" } }, 10, now, recorder())).toMatchObject({
        runs: 5,
        deliveries: 0,
      });
      expect(await retention.prune(policy, 10, now, recorder())).toMatchObject({ deliveries: 1 });
      expect((await deliveries.list()).items.map(({ delivery }) => delivery)).toEqual(["3", "2"]);
    });
  });
}

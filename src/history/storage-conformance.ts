/** What uploads.ts and caches.ts promise, held against each database; part of the suite of the history (conformance.ts). */
import { describe, expect, test, type TestContext } from "vitest";
import { limits } from "../base/limits.ts";
import type { DatabaseSuite } from "./database-conformance.ts";
import type { History } from "./history.ts";
import { dateAt, digestOf } from "./testdata/resources.ts";

const now = dateAt(1_000);

export function describeStorage(suite: DatabaseSuite, open: (context: TestContext) => Promise<History>): void {
  describe(`history on ${suite.name}: artifacts with a name, and caches`, () => {
    const owner = { run: "run-uid", runAttempt: 1, jobRun: "job", attempt: "u" };
    const options = { mayReplace: false };
    const file = (path: string) => ({ path, size: 3, digest: digestOf("1"), contentType: "", key: `k/${path}` });

    test("a name is taken once, seen when it is finished, and replaced with its files", async (context) => {
      const { uploads, attempts, queries } = await open(context);
      const begun = await uploads.begin(owner, "n", options, now);
      if (begun.state !== "begun") throw new Error("the name is taken");
      for (const path of ["uploads/n/b", "uploads/n/a/x", "uploads/n0", "uploads/nn/c"]) await attempts.recordArtifact("u", file(path));
      expect(await uploads.list("run-uid")).toEqual([]);
      expect(await uploads.begin({ ...owner, jobRun: "other", attempt: "v" }, "n", options, now)).toEqual({ state: "taken", by: "job" });
      const finished = await uploads.finish("u", begun.id, now);
      expect(finished).toMatchObject({ name: "n", size: 6, files: [{ path: "a/x", size: 3 }, { path: "b" }] });
      expect(await uploads.finish("u", begun.id, now), "again").toEqual(finished);
      expect(await uploads.get("run-uid", begun.id)).toEqual(finished);
      expect(await uploads.get("other-run", begun.id)).toBeUndefined();
      expect(await uploads.begin({ ...owner, jobRun: "other" }, "n", { mayReplace: true }, now)).toMatchObject({
        state: "begun",
        replaced: ["k/uploads/n/a/x", "k/uploads/n/b"],
      });
      expect((await queries.artifacts("u")).items.map(({ path }) => path)).toEqual(["uploads/n0", "uploads/nn/c"]);
    });

    test("the same request to begin has the same answer, whatever came of it since; another one replaces", async (context) => {
      const { uploads, attempts } = await open(context);
      const how = { mayReplace: true, request: "r-1", most: 2 };
      const begun = await uploads.begin(owner, "n", how, now);
      if (begun.state !== "begun") throw new Error("the name is taken");
      await attempts.recordArtifact("u", file("uploads/n/a"));
      const again = { state: "begun", id: begun.id, replaced: [] };
      expect(await uploads.begin(owner, "n", how, now)).toEqual(again);
      const finished = await uploads.finish("u", begun.id, now);
      expect(await uploads.begin(owner, "n", how, now)).toEqual(again);
      expect(await uploads.get("run-uid", begun.id)).toEqual(finished);
      const other = await uploads.begin({ ...owner, attempt: "v" }, "n", how, now);
      expect(other, "another attempt's, by chance the same").toMatchObject({ state: "begun", replaced: ["k/uploads/n/a"] });
      await uploads.begin({ ...owner, attempt: "v" }, "m", { ...how, request: "r-2" }, now);
      expect(await uploads.begin({ ...owner, attempt: "v" }, "o", { ...how, request: "r-3" }, now)).toEqual({ state: "full" });
      expect(await uploads.begin({ ...owner, attempt: "v" }, "n", how, now)).toEqual({ ...again, id: (other as { id: number }).id });
    });

    test("begun by many at once, a name is of one of them; the same request at once has one answer", async (context) => {
      const { uploads } = await open(context);
      const jobs = Array.from({ length: 8 }, (_, i) => `job-${i}`);
      const begun = await Promise.all(
        jobs.map(async (jobRun) => await uploads.begin({ ...owner, jobRun, attempt: jobRun }, "n", options, now)),
      );
      const [first, ...others] = begun.toSorted((a, b) => a.state.localeCompare(b.state));
      expect(first).toMatchObject({ state: "begun", replaced: [] });
      const winner = jobs[begun.indexOf(first!)];
      expect(others).toEqual(others.map(() => ({ state: "taken", by: winner })));
      const again = await Promise.all(jobs.map(async () => await uploads.begin(owner, "m", { ...options, request: "r" }, now)));
      expect(new Set(again.map((each) => JSON.stringify(each))).size).toBe(1);
    });

    test("of each name the newest attempt's; what has expired is removed", async (context) => {
      const { uploads } = await open(context);
      for (const runAttempt of [1, 2]) {
        const begun = await uploads.begin({ ...owner, runAttempt }, "n", { ...options, expiresAt: dateAt(runAttempt) }, now);
        if (begun.state === "begun") await uploads.finish("u", begun.id, now);
      }
      const [newest, ...others] = await uploads.list("run-uid");
      expect(others).toEqual([]);
      await uploads.removeExpired(dateAt(1), 10);
      expect(await uploads.list("run-uid")).toEqual([newest]);
      await uploads.removeExpired(dateAt(2), 10);
      expect(await uploads.list("run-uid")).toEqual([]);
    });

    test("caches by key and beginning, by ref and lane; one of a key", async (context) => {
      const { caches } = await open(context);
      const place = { repository: "r", lane: "trusted", refs: ["main"] } as const;
      const cache = (key: string) => ({ id: `id-${key}`, key, size: 5, digest: "d", object: `o/${key}` });
      expect(await caches.add(place, "v", cache("k-1"), dateAt(1))).toBe(true);
      expect(await caches.add(place, "v", cache("k-2"), dateAt(2))).toBe(true);
      expect(await caches.add(place, "v", { ...cache("k-2"), id: "again" }, dateAt(3))).toBe(false);
      const find = async (where: Parameters<typeof caches.find>[0], key: string, restoreKeys: string[] = []) =>
        (await caches.find(where, { version: "v", key, restoreKeys }, dateAt(4)))?.key;
      expect([await find(place, "k-1"), await find(place, "x", ["k-"]), await find(place, "x")]).toEqual(["k-1", "k-2", undefined]);
      expect(await find({ ...place, refs: ["branch", "main"] }, "k-1")).toBe("k-1");
      expect(await find({ ...place, refs: ["branch"] }, "k-1")).toBeUndefined();
      const untrusted = { ...place, lane: "untrusted" } as const;
      expect(await caches.add(untrusted, "v", { ...cache("k-1"), id: "untrusted" }, dateAt(5))).toBe(true);
      expect((await caches.get(untrusted, "untrusted"))?.id).toBe("untrusted");
      expect(await caches.get(place, "untrusted")).toBeUndefined();
      expect(await caches.evict(dateAt(6))).toEqual([]);
      expect((await caches.evict(new Date(dateAt(6).getTime() + limits.cacheUnusedMs))).toSorted()).toEqual(["o/k-1", "o/k-1", "o/k-2"]);
    });
  });
}

import { describe, expect, test } from "vitest";
import { ApiClient } from "../../server/api/client.ts";
import { jobNamed, pageLinkOf } from "./job-references.ts";

describe("a link", () => {
  test.each([
    ["http://ci:7357/jobs/run-1-e2e-0?line=12#L12", { origin: "http://ci:7357", kind: "jobs", name: "run-1-e2e-0" }],
    ["https://ci.example/runs/run-1", { origin: "https://ci.example", kind: "runs", name: "run-1" }],
    ["http://ci/jobs/a?attempt=2&line=3-4#L3-L4", { origin: "http://ci", kind: "jobs", name: "a", attempt: 2 }],
    ["run-1-e2e-0", undefined],
    ["./lock.json", undefined],
  ])("%s", (text, expected) => {
    expect(pageLinkOf(text)).toEqual(expected);
  });

  test.each(["http://ci/", "http://ci/jobs/", "http://ci/api/v1/jobs/a/lock", "https://github.com/o/r/actions/runs/1/job/2"])(
    "to something else is refused: %s",
    (text) => {
      expect(() => pageLinkOf(text)).toThrow(/is not the link of a job/);
    },
  );
});

describe("the job that is meant", () => {
  const job = (name: string, jobName: string, verdict: string, id = jobName) => ({ name, jobName, verdict, job: id });
  const runs: Record<string, object[]> = {
    "run-a": [
      job("run-a-unit", "unit", "passed"),
      job("run-a-e2e-0", "e2e (a)", "failed", "e2e"),
      job("run-a-e2e-1", "e2e (b)", "passed", "e2e"),
    ],
    "run-b": [job("run-b-one", "one", "failed"), job("run-b-two", "two", "timed-out")],
    "run-c": [job("run-c-only", "only", "passed")],
    "run-d": [job("run-d-x", "x", "passed"), job("run-d-y", "y", "passed")],
  };
  const api = new ApiClient(async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    const [, kind, name] = /^\/api\/v1\/(runs|jobs)(?:\/([^/]+))?$/.exec(pathname)!;
    const missing = Response.json({ error: { code: "not-found", message: "there is none" } }, { status: 404 });
    if (kind === "jobs") {
      const found = Object.values(runs)
        .flat()
        .find((each) => (each as { name: string }).name === name);
      return await Promise.resolve(found ? Response.json(found) : missing);
    }
    if (name !== undefined) return runs[name] ? Response.json({ run: { name }, jobs: runs[name] }) : missing;
    const items = Object.keys(runs).filter((each) => each.startsWith(searchParams.get("text") ?? ""));
    return Response.json({ items: items.map((each) => ({ name: each })) });
  });

  test.each<[string, string | undefined, string]>([
    ["run-a-e2e-1", undefined, "run-a-e2e-1"],
    ["run-a", undefined, "run-a-e2e-0"],
    ["run-a", "e2e (b)", "run-a-e2e-1"],
    ["run-a", "run-a-unit", "run-a-unit"],
    ["run-a", "unit", "run-a-unit"],
    ["run-c", undefined, "run-c-only"],
  ])("%s %s", async (name, wanted, expected) => {
    expect(await jobNamed(api, name, wanted)).toMatchObject({ name: expected });
  });

  test.each<[string, string | undefined, RegExp]>([
    ["run-a", "e2e", /it can be any of 2 jobs/],
    ["run-b", undefined, /it can be any of 2 jobs/],
    ["run-d", undefined, /it can be any of 2 jobs/],
    ["run-a", "none", /run-a has no job none/],
    ["run-x", undefined, /there is no run run-x/],
  ])("%s %s cannot be told", async (name, wanted, message) => {
    await expect(jobNamed(api, name, wanted)).rejects.toThrow(message);
  });
});

import { expect, test } from "vitest";
import type { Verdict } from "../resources/verdict.ts";
import { finishedFile, startedFile } from "./prow-layout.ts";

const started = { startedAt: new Date("2026-11-01T12:00:00.900Z"), repository: "owner/project", baseRef: "main", commit: "abc" };
const finishedAt = new Date("2026-11-01T12:01:00Z");

test("a push", () => {
  expect(startedFile({ ...started, node: "host-1", metadata: { link: "https://ci.example/1" } })).toEqual({
    timestamp: 1793534400,
    node: "host-1",
    repos: { "owner/project": "main" },
    "repo-commit": "abc",
    metadata: { uploader: "seatrial", link: "https://ci.example/1" },
  });
});

test("a pull request names its number and commit", () => {
  expect(startedFile({ ...started, pull: 7 })).toMatchObject({ pull: "7", repos: { "owner/project": "main,7:abc" } });
});

test.each([
  ["passed", "SUCCESS", true],
  ["failed", "FAILURE", false],
  ["error", "FAILURE", false],
  ["timed-out", "FAILURE", false],
  ["aborted", "ABORTED", false],
  ["skipped", "SUCCESS", true],
] satisfies [Verdict, string, boolean][])("%s is %s", (verdict, result, passed) => {
  const cause = verdict === "error" ? ("lost-runner" as const) : undefined;
  expect(finishedFile({ finishedAt, verdict, cause })).toEqual({
    timestamp: 1793534460,
    passed,
    result,
    metadata: { uploader: "seatrial", verdict, ...(cause ? { cause } : {}) },
  });
});

import { expect, test } from "vitest";
import { lineLink } from "./line-link.ts";

test.each([
  ["a line", lineLink("/jobs/e2e", 1, 120), "/jobs/e2e?attempt=1&line=120#L120"],
  ["a range", lineLink("https://ci.example/jobs/e2e", 2, 120, 130), "https://ci.example/jobs/e2e?attempt=2&line=120-130#L120-L130"],
  ["a range of one line", lineLink("/jobs/e2e", 1, 7, 7), "/jobs/e2e?attempt=1&line=7#L7"],
])("%s", (_name, link, expected) => {
  expect(link).toBe(expected);
});

import { expect, test } from "vitest";
import { asksForNoRuns } from "./skip.ts";

test.each<[string, boolean]>([
  ["Change the docs [skip ci]", true],
  ["[ci skip] Change", true],
  ["Change\n\nbecause of [no ci] in the middle", true],
  ["Change [skip actions]", true],
  ["Change [actions skip]\n", true],
  ["Change\n\n\nskip-checks: true\n", true],
  ["Change\n\nText.\n\nSigned-off-by: A <a@example.com>\nskip-checks:true", true],
  ["Change skip ci", false],
  ["Change [skip cd]", false],
  ["skip-checks: true", false],
  ["Change\n\nskip-checks: false", false],
  ["Change\n\nskip-checks: true\nSigned-off-by: A <a@example.com>", false],
  ["Change\n\nas if skip-checks: true", false],
  ["", false],
])("%j: %j", (message, skips) => {
  expect(asksForNoRuns(message)).toBe(skips);
});

test("a message that is long and has nothing of it is read at once", () => {
  const before = performance.now();
  expect(asksForNoRuns("a\n\n".repeat(200_000))).toBe(false);
  expect(performance.now() - before).toBeLessThan(5_000);
});

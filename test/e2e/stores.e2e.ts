/** The stores on a real Postgres: the same suites that SQLite passes, on Debian's package; and what only it can do. */
import { afterAll, beforeAll, expect, expectTypeOf, test, type TestContext } from "vitest";
import { type LabPostgres, startPostgres } from "../../lab/postgres.ts";
import type { AttemptReport } from "../../src/history/attempts.ts";
import { describeHistory } from "../../src/history/conformance.ts";
import { openHistory } from "../../src/history/history.ts";
import { describeLogStore } from "../../src/logs/conformance.ts";
import type { ReportMessage } from "../../src/runner/protocol.ts";

let postgres: LabPostgres | undefined;
let reason = "";
let databases = 0;

beforeAll(async () => {
  const started = await startPostgres();
  if ("reason" in started) reason = started.reason;
  else postgres = started;
});

afterAll(async () => await postgres?.stop());

async function create(context: TestContext) {
  if (!postgres) return context.skip(reason);
  return { postgres: { url: await postgres.createDatabase(`t${++databases}`) } };
}

describeHistory({ name: "Postgres", create });
describeLogStore({ name: "Postgres", create, runs: 30 });

test("a Postgres that does not answer is told as such, and its address is not", async () => {
  const asked = openHistory({ postgres: { url: "postgres://user:hunter2@127.0.0.1:1/none" } });
  const error = await asked.catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "unreachable", retryable: true });
  expect(String(error)).not.toContain("hunter2");
});

test("what the runner reports is what the history takes", () => {
  expectTypeOf<ReportMessage>().toExtend<AttemptReport>();
});

/** What is done with an attempt that has ended, before its verdict: its log is closed, its test reports are read. */
import { formatProblem } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { ObjectStore } from "../../artifacts/object-store.ts";
import type { History } from "../../history/history.ts";
import { locateFailures } from "../../junit/locate.ts";
import { readJunit, type TestRecord } from "../../junit/read.ts";
import { createMask, type Mask } from "../../logs/masking.ts";
import type { LogStore } from "../../logs/log-store.ts";

export interface SettleStores {
  history: History;
  logs: LogStore;
  objects: ObjectStore;
}

/**
 * @param secrets of the job: what a report says in an encoding of its own, which masked nothing when it was sent, is masked as it is read.
 * @returns what is wrong with its reports, for people. May be called again.
 */
export async function settleAttempt(
  { history, logs, objects }: SettleStores,
  attempt: string,
  now: Date,
  secrets: () => Promise<Iterable<string>>,
): Promise<string[]> {
  await logs.close(attempt, now);
  const tests: TestRecord[] = [];
  const problems: string[] = [];
  for await (const { path, key } of reportsOf(history, attempt)) {
    const report = await readJunit(await objects.get(key), path);
    // Other tools write XML too: what holds no test and is no suite is not our business.
    if (report.tests.length === 0 && !/junit|report|test/i.test(path)) continue;
    tests.push(...report.tests);
    problems.push(...report.problems.map(formatProblem));
  }
  if (tests.length === 0 && problems.length === 0) return [];
  const mask = createMask(await secrets());
  const told = problems.map((problem) => mask.text(problem));
  if (tests.length === 0) return told;
  for (const test of tests) maskTest(test, mask);
  const lines = await locateFailures(tests, await logs.read(attempt));
  await history.attempts.setTests(
    attempt,
    tests.map((test) => ({
      suite: test.suite,
      className: test.className,
      name: test.name,
      ...(test.file === undefined ? {} : { file: test.line === undefined ? test.file : `${test.file}:${test.line}` }),
      verdict: test.verdict,
      durationMs: Math.round(test.seconds * 1000),
      ...(test.message === "" ? {} : { message: test.message }),
      ...(test.details === "" ? {} : { details: test.details }),
      ...(lines.has(test) ? { logLine: lines.get(test)! } : {}),
    })),
  );
  return told;
}

function maskTest(test: TestRecord, mask: Mask): void {
  for (const field of ["suite", "className", "name", "file", "message", "details"] as const) {
    const text = test[field];
    if (text !== undefined) test[field] = mask.text(text);
  }
}

async function* reportsOf(history: History, attempt: string): AsyncGenerator<{ path: string; key: string }> {
  let cursor: string | undefined;
  do {
    const page = await history.queries.artifacts(attempt, { limit: limits.pageItemsMost, cursor });
    for (const artifact of page.items) if (artifact.path.endsWith(".xml")) yield artifact;
    cursor = page.next;
  } while (cursor !== undefined);
}

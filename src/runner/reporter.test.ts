import { expect, test } from "vitest";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import type { Annotation, ReportAnswer, ReportMessage, StepReport } from "./protocol.ts";
import { Reporter } from "./reporter.ts";

const step = (index: number, state: StepReport["state"]): StepReport => ({
  index,
  name: `step ${index}`,
  state,
  startedAt: "2026-01-01T00:00:00Z",
  firstLine: 1,
});
const annotation: Annotation = { level: "error", message: "m", step: 0, logLine: 1 };
const result = { verdict: "passed", outputs: {}, logBytes: 0 } as const;

function open(answer: (message: ReportMessage) => Promise<ReportAnswer> | ReportAnswer = () => ({})) {
  const messages: ReportMessage[] = [];
  const aborts: string[] = [];
  const broken: unknown[] = [];
  const reporter = new Reporter({
    server: {
      report: async (message) => {
        messages.push(message);
        return await answer(message);
      },
    },
    onAbort: (reason) => aborts.push(reason),
    onBroken: (error) => broken.push(error),
  });
  return { reporter, messages, aborts, broken };
}

test("news are told at once; what happens during a call is in the next, the latest of each step", async () => {
  let release = () => {};
  const { reporter, messages } = open(() => (messages.length === 1 ? new Promise((done) => (release = () => done({}))) : {}));
  reporter.step(step(0, "running"));
  await waitFor("the first call", () => messages[0], { timeoutMs: 1_000, pollMs: 1 });
  reporter.step(step(0, "finished"));
  reporter.step(step(1, "running"));
  reporter.annotate(annotation);
  reporter.step(step(1, "finished"));
  release();
  await reporter.finish(result);
  expect(messages.map(({ steps }) => steps.map(({ index, state }) => `${index} ${state}`))).toEqual([
    ["0 running"],
    ["0 finished", "1 finished"],
  ]);
  expect(messages[1]).toMatchObject({ annotations: [annotation], result });
});

test("a wish to end is heard", async () => {
  const { reporter, aborts } = open(({ result: last }) => (last ? {} : { abort: "enough" }));
  reporter.step(step(0, "running"));
  await waitFor("the wish", () => aborts[0], { timeoutMs: 1_000, pollMs: 1 });
  await reporter.finish(result);
  expect(aborts).toEqual(["enough"]);
});

test("annotations have a bound", async () => {
  const { reporter, messages } = open();
  const kept = Array.from({ length: limits.attemptAnnotations + 5 }, () => reporter.annotate(annotation));
  expect(kept.filter(Boolean)).toHaveLength(limits.attemptAnnotations);
  await reporter.finish(result);
  expect(messages.flatMap(({ annotations }) => annotations)).toHaveLength(limits.attemptAnnotations);
});

test("values to mask come in pieces that a report can hold, a long one alone, and the result with the last", async () => {
  const { reporter, messages } = open();
  const values = ["short", ...Array.from({ length: 3 }, (_, index) => String(index).repeat(limits.reportMasksLength)), "last"];
  for (const value of values) reporter.mask(value);
  await reporter.finish(result);
  expect(messages.flatMap(({ masks = [] }) => masks)).toEqual(values);
  for (const { masks = [] } of messages) expect(masks.length === 1 || masks.join("").length <= limits.reportMasksLength).toBe(true);
  expect(messages.map((message) => message.result !== undefined)).toEqual(messages.map((_, index) => index === messages.length - 1));
});

test("annotations come in pieces that a report can hold, in their order, and the result with the last", async () => {
  const { reporter, messages } = open();
  const messageOf = (index: number) => `${index}`.padEnd(limits.annotationCharacters, "x");
  for (let index = 0; index < 100; index++) reporter.annotate({ ...annotation, message: messageOf(index) });
  await reporter.finish(result);
  for (const message of messages) expect(Buffer.byteLength(JSON.stringify(message))).toBeLessThan(limits.reportBytes);
  expect(messages.flatMap(({ annotations }) => annotations.map(({ message }) => Number.parseInt(message, 10)))).toEqual(
    Array.from({ length: 100 }, (_, index) => index),
  );
  expect(messages.map((message) => message.result)).toEqual([...messages.slice(1).map(() => undefined), result]);
});

test("trouble is told once, and at the end", async () => {
  const { reporter, broken } = open(() => Promise.reject(new Error("no")));
  reporter.step(step(0, "running"));
  await waitFor("the trouble", () => broken[0], { timeoutMs: 1_000, pollMs: 1 });
  await expect(reporter.finish(result)).rejects.toThrow("no");
  expect(broken).toHaveLength(1);
});

test("one that is closed says nothing more", async () => {
  const { reporter, messages } = open();
  reporter.close();
  await expect(reporter.finish(result)).resolves.toBeUndefined();
  expect(messages).toEqual([]);
});

import { describe, expect, test } from "vitest";
import type { JobRunSpec, JobRunStatus } from "../../resources/job-run.ts";
import { type AttemptView, type ClusterView, type Plan, planJobRun, type PlanInput } from "./plan.ts";

const start = new Date("2026-01-01T00:00:00Z");
const after = (seconds: number) => new Date(start.getTime() + seconds * 1000);

function plan({
  spec = {},
  status = {},
  ...more
}: { spec?: Partial<JobRunSpec>; status?: JobRunStatus } & Partial<Omit<PlanInput, "spec" | "status">>): Plan {
  return planJobRun({
    spec: {
      run: "r",
      repository: "a/b",
      lane: "trusted",
      job: "j",
      name: "j",
      steps: [],
      runsOn: { labels: [], executor: "host" },
      ...spec,
    },
    status,
    attempt: undefined,
    life: undefined,
    clusters: [],
    place: { granted: true },
    fitsNowhereMs: 3_600_000,
    now: start,
    silenceMs: 30_000,
    longestMs: 600_000,
    abortGraceMs: 60_000,
    abortedAt: undefined,
    ...more,
  });
}

const running: AttemptView = { startedAt: start, heardAt: start, result: undefined };
const passed: AttemptView = { ...running, result: { verdict: "passed", outputs: { a: "1" } } };
const cluster = (state: ClusterView["state"], message?: string): ClusterView => ({ name: "cluster", state, message });

describe("before it has begun", () => {
  test.each<[string, Parameters<typeof plan>[0], Plan]>([
    ["it has a place and no clusters", {}, { action: "start" }],
    ["no place", { place: { granted: false, why: "full" } }, { action: "wait", why: "full" }],
    ["its cluster is not there", { clusters: [cluster("absent")] }, { action: "boot" }],
    ["its cluster boots", { clusters: [cluster("booting")] }, { action: "boot" }],
    ["one of two is ready", { clusters: [cluster("ready"), cluster("booting")] }, { action: "boot" }],
    ["all are ready", { clusters: [cluster("ready"), cluster("ready")] }, { action: "start" }],
    [
      "its cluster failed: an error of ours, not a test's",
      { clusters: [cluster("failed", "no Docker")] },
      { action: "finish", ending: { verdict: "error", cause: "cluster-boot", message: "cluster cluster: no Docker" } },
    ],
    ["skipped", { spec: { skip: "if is false" } }, { action: "finish", ending: { verdict: "skipped", message: "if is false" } }],
    [
      "cannot be run",
      { spec: { invalid: "bad expression" } },
      { action: "finish", ending: { verdict: "error", cause: "invalid-workflow", message: "bad expression" } },
    ],
    [
      "aborted while it waits",
      { spec: { abort: "enough" }, place: { granted: false, why: "full" } },
      { action: "finish", ending: { verdict: "aborted", message: "enough" } },
    ],
    [
      "aborted while its cluster boots",
      { spec: { abort: "enough" }, clusters: [cluster("booting")] },
      { action: "finish", ending: { verdict: "aborted", message: "enough" } },
    ],
    [
      "skipped needs no place",
      { spec: { skip: "no" }, place: { granted: false, why: "full" } },
      { action: "finish", ending: { verdict: "skipped", message: "no" } },
    ],
  ])("%s", (_, input, expected) => {
    expect(plan(input)).toEqual(expected);
  });
});

describe("no host can ever hold it", () => {
  const place = { granted: false, why: "no host can hold 3 clusters; the largest, local, holds 2", fitsNowhere: true } as const;
  const since = (seconds: number): JobRunStatus => ({ phase: "Waiting", fitsNowhereSince: after(seconds).toISOString() });
  const over = {
    action: "finish",
    ending: {
      verdict: "error",
      cause: "host",
      message: `${place.why}. Declare a Host that can hold it, or ask for less, and run it again`,
    },
  };
  test.each<[string, Parameters<typeof plan>[0], object]>([
    ["it waits, and says so at once", { place }, { action: "wait", why: place.why, fitsNowhereSince: start, afterMs: 3_600_000 }],
    [
      "also a process that began later counts from when it was seen first",
      { place, status: since(0), now: after(3_000) },
      { action: "wait", why: place.why, fitsNowhereSince: start, afterMs: 600_000 },
    ],
    ["it has waited for so long", { place, status: since(0), now: after(3_600) }, over],
    ["where nobody declares another, it ends at once", { place, fitsNowhereMs: 0 }, over],
    [
      "there is a host for it now, which is full",
      { place: { granted: false, why: "full", fitsNowhere: false }, status: since(0), now: after(9_999) },
      { action: "wait", why: "full" },
    ],
  ])("%s", (_, input, expected) => {
    expect(plan(input)).toEqual(expected);
  });
});

describe("opened, and not known to run: the server was killed in between", () => {
  test.each<[string, Parameters<typeof plan>[0], Plan]>([
    ["it is started, however long ago that was", { attempt: running, now: after(100) }, { action: "start" }],
    [
      "also after the boot of its cluster",
      { status: { phase: "Booting" }, attempt: running, clusters: [cluster("ready")] },
      { action: "start" },
    ],
    ["it was a rerun", { spec: { attempt: 2 }, status: { phase: "Finished", attempt: 1 }, attempt: running }, { action: "start" }],
    ["it has ended meanwhile", { attempt: passed }, { action: "finish", ending: { verdict: "passed", outputs: { a: "1" } } }],
  ])("%s", (_, input, expected) => {
    expect(plan(input)).toEqual(expected);
  });
});

describe("while it runs", () => {
  test.each<[string, Parameters<typeof plan>[0], Plan]>([
    ["heard just now", { attempt: running, now: after(10) }, { action: "watch", afterMs: 20_000 }],
    ["silent for long: is it there?", { attempt: running, now: after(31) }, { action: "look" }],
    [
      "silent and there: it may not reach us",
      { attempt: running, now: after(31), life: { state: "running" } },
      { action: "watch", afterMs: 30_000 },
    ],
    [
      "silent and ended",
      { attempt: running, now: after(31), life: { state: "ended", message: "exit code 137", isOutOfMemory: false } },
      { action: "finish", ending: { verdict: "error", cause: "lost-runner", message: "the runner ended without a result: exit code 137" } },
    ],
    [
      "out of memory is the job's own doing",
      { attempt: running, now: after(31), life: { state: "ended", message: "exit code 137", isOutOfMemory: true } },
      { action: "finish", ending: { verdict: "failed", message: "out of memory: exit code 137" } },
    ],
    [
      "silent and gone",
      { attempt: running, now: after(31), life: { state: "absent" } },
      { action: "finish", ending: { verdict: "error", cause: "lost-runner", message: "the runner is gone" } },
    ],
    [
      "silent, and so is its host",
      { attempt: running, now: after(31), life: { state: "unknown", message: "host far does not answer" } },
      { action: "finish", ending: { verdict: "error", cause: "host", message: "host far does not answer" } },
    ],
    [
      "it never heard of its timeout",
      { attempt: running, now: after(601) },
      { action: "finish", ending: { verdict: "timed-out", message: "its runner did not end it in time, and was ended" } },
    ],
    [
      "aborted: it is told, and has its time",
      { attempt: running, spec: { abort: "stop" }, abortedAt: start, now: after(10) },
      { action: "tell-abort", why: "stop", afterMs: 50_000 },
    ],
    [
      "aborted, and did not end",
      { attempt: running, spec: { abort: "stop" }, abortedAt: start, now: after(61) },
      { action: "finish", ending: { verdict: "aborted", message: "stop" } },
    ],
    ["its result", { attempt: passed }, { action: "finish", ending: { verdict: "passed", outputs: { a: "1" } } }],
    [
      "its result comes before an abort",
      { attempt: passed, spec: { abort: "stop" }, abortedAt: start },
      { action: "finish", ending: { verdict: "passed", outputs: { a: "1" } } },
    ],
    [
      "its result comes before silence",
      { attempt: passed, now: after(1000), life: { state: "absent" } },
      { action: "finish", ending: { verdict: "passed", outputs: { a: "1" } } },
    ],
  ])("%s", (_, input, expected) => {
    expect(plan({ status: { phase: "Running" }, ...input })).toEqual(expected);
  });
});

describe("after its verdict", () => {
  test.each<[string, Parameters<typeof plan>[0], Plan]>([
    ["what it left goes", { status: { phase: "Finished", verdict: "passed", attempt: 1 }, attempt: passed }, { action: "clean-up" }],
    [
      "also of one that never ran",
      { spec: { skip: "no" }, status: { phase: "Finished", verdict: "skipped", attempt: 1 } },
      { action: "clean-up" },
    ],
    ["a rerun begins", { spec: { attempt: 2 }, status: { phase: "Finished", verdict: "failed", attempt: 1 } }, { action: "start" }],
    [
      "and waits for its place",
      { spec: { attempt: 2 }, status: { phase: "Finished", verdict: "failed", attempt: 1 }, place: { granted: false, why: "full" } },
      { action: "wait", why: "full" },
    ],
  ])("%s", (_, input, expected) => {
    expect(plan(input)).toEqual(expected);
  });
});

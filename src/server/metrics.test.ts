import { randomUUID } from "node:crypto";
import { expect, onTestFinished, test } from "vitest";
import { realClock } from "../controllers/runtime/clock.ts";
import { Controller } from "../controllers/runtime/controller.ts";
import { MemoryStore } from "../kube/memory.ts";
import { hostKind } from "../resources/host.ts";
import { ApiWrites, AttemptDurations, EventLoopDelay, metricsText } from "./metrics.ts";

function eventLoopDelay(): EventLoopDelay {
  const delay = new EventLoopDelay();
  onTestFinished(() => delay[Symbol.dispose]());
  return delay;
}

test("each family once, each sample a line of name, labels and number", async () => {
  const controller = new Controller({ name: "job-run", reconcile: async () => {}, workers: 1, sources: [], clock: realClock });
  controller.queue.add("a");
  controller.metrics.reconciles.failed = 2;
  for (const ms of [1, 7, 10, 100_000]) controller.metrics.reconcileMs.observe(ms);
  const attempts = new AttemptDurations();
  attempts.observe("passed", 2_500);
  const text = metricsText({
    counts: { controllers: [controller], runs: new Map(), jobRuns: new Map([["Running", 3]]), attempts: attempts.byVerdict },
    writes: new ApiWrites(),
    delay: eventLoopDelay(),
    diskFreeBytes: 5,
  });
  const lines = text.trimEnd().split("\n");
  const samples = lines.filter((line) => !line.startsWith("#"));
  expect(samples.filter((line) => !/^[a-z_0-9]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+$/.test(line))).toEqual([]);
  const families = lines.filter((line) => line.startsWith("# TYPE"));
  expect(new Set(families).size).toBe(families.length);
  expect(lines).toEqual(
    expect.arrayContaining([
      "seatrial_leader 1",
      'seatrial_queue_waiting{controller="job-run"} 1',
      'seatrial_reconciles_total{controller="job-run",outcome="failed"} 2',
      'seatrial_reconcile_seconds_bucket{controller="job-run",le="0.001"} 1',
      'seatrial_reconcile_seconds_bucket{controller="job-run",le="0.01"} 3',
      'seatrial_reconcile_seconds_bucket{controller="job-run",le="60"} 3',
      'seatrial_reconcile_seconds_bucket{controller="job-run",le="+Inf"} 4',
      'seatrial_reconcile_seconds_count{controller="job-run"} 4',
      'seatrial_jobs{phase="Running"} 3',
      'seatrial_attempt_seconds_bucket{verdict="passed",le="5"} 1',
      'seatrial_attempt_seconds_sum{verdict="passed"} 2.5',
      "seatrial_disk_free_bytes 5",
    ]),
  );
});

test("a server that does not lead shows no controllers", () => {
  const text = metricsText({ counts: undefined, writes: new ApiWrites(), delay: eventLoopDelay(), diskFreeBytes: undefined });
  expect(text).toContain("seatrial_leader 0\n");
  expect(text).not.toMatch(/^seatrial_(queue|reconcile|jobs|disk).*\d$/m);
});

test("writes are counted by what was answered, and pass through", async () => {
  const writes = new ApiWrites();
  const store = writes.counted(new MemoryStore({ now: () => new Date(), newUid: randomUUID }));
  const host = { metadata: { name: "a" }, spec: { lanes: ["trusted" as const] } };
  const created = await store.create(hostKind, host);
  await expect(store.create(hostKind, host)).rejects.toMatchObject({ reason: "already-exists" });
  await store.writeStatus(hostKind, created, { reachable: true });
  expect((await store.get(hostKind, "a"))?.status).toEqual({ reachable: true });
  await store.delete(hostKind, "a");
  expect(writes.samples()).toEqual([
    [{ kind: "Host", verb: "create", answer: "ok" }, 1],
    [{ kind: "Host", verb: "create", answer: "already-exists" }, 1],
    [{ kind: "Host", verb: "status", answer: "ok" }, 1],
    [{ kind: "Host", verb: "delete", answer: "ok" }, 1],
  ]);
});

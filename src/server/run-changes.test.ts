import { expect, test } from "vitest";
import { RunChanges } from "./run-changes.ts";

const never = new AbortController().signal;
const longMs = 60_000;

test("all who wait for a run are told of its change, and nobody else is", async () => {
  const changes = new RunChanges();
  let isOtherTold = false;
  const abort = new AbortController();
  const other = changes.next("other", abort.signal, longMs).then(() => (isOtherTold = true));
  const waiters = [changes.next("run", never, longMs), changes.next("run", never, longMs)];
  expect(changes.waitedFor).toBe(2);
  changes.tell("run");
  await Promise.all(waiters);
  expect(isOtherTold).toBe(false);
  abort.abort();
  await other;
  expect(changes.waitedFor).toBe(0);
});

test("a change before the wait is not heard; one between two waits is, by who began to wait before", async () => {
  const changes = new RunChanges();
  changes.tell("run");
  const first = changes.next("run", never, longMs);
  changes.tell("run");
  await first;
  const second = changes.next("run", never, longMs);
  expect(changes.waitedFor).toBe(1);
  changes.tell("run");
  await second;
});

test("without a change the wait ends after a while, and nothing of it is left", async () => {
  const changes = new RunChanges();
  await changes.next("run", never, 1);
  expect(changes.waitedFor).toBe(0);
});

test("who has gone does not wait, and leaves nothing", async () => {
  const changes = new RunChanges();
  await changes.next("run", AbortSignal.abort(), longMs);
  const abort = new AbortController();
  const waiting = changes.next("run", abort.signal, longMs);
  abort.abort();
  await waiting;
  expect(changes.waitedFor).toBe(0);
});

test("when one has waited long enough, who waits beside looks again, and is told of what comes then", async () => {
  const changes = new RunChanges();
  const patient = changes.next("run", never, longMs);
  await changes.next("run", never, 1);
  await patient;
  const again = changes.next("run", never, longMs);
  changes.tell("run");
  await again;
  expect(changes.waitedFor).toBe(0);
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { ManualClock } from "./manual-clock.ts";
import { WorkQueue } from "./queue.ts";

/** What the next workers get, without waiting for more. */
async function takeAll(queue: WorkQueue, count: number): Promise<string[]> {
  const taken: string[] = [];
  for (let i = 0; i < count && queue.waiting > 0; i++) taken.push((await queue.take())!.key);
  return taken;
}

test("keys come in their order, each once, with the time that they waited", async () => {
  const clock = new ManualClock();
  const queue = new WorkQueue(clock);
  queue.add("a");
  await clock.advance(5);
  for (const key of ["b", "a", "b"]) queue.add(key);
  expect([queue.waiting, queue.oldestWaitMs]).toEqual([2, 5]);
  expect([await queue.take(), await queue.take()]).toEqual([
    { key: "a", waitedMs: 5 },
    { key: "b", waitedMs: 0 },
  ]);
  expect([queue.waiting, queue.running]).toEqual([0, 2]);
});

test("a key that is added while a worker has it comes again when the worker has ended, and not before", async () => {
  const queue = new WorkQueue(new ManualClock());
  queue.add("a");
  await queue.take();
  for (const key of ["a", "a", "b"]) queue.add(key);
  expect(await queue.take()).toMatchObject({ key: "b" });
  const next = queue.take();
  queue.done("a");
  expect(await next).toMatchObject({ key: "a" });
  queue.done("a");
  expect([queue.waiting, queue.running]).toEqual([0, 1]);
});

test("a worker that waits gets the next key", async () => {
  const queue = new WorkQueue(new ManualClock());
  const [first, second] = [queue.take(), queue.take()];
  queue.add("a");
  queue.add("b");
  expect([await first, await second]).toMatchObject([{ key: "a" }, { key: "b" }]);
});

test("of several delays the earliest counts, also when it is wished last", async () => {
  const clock = new ManualClock();
  const queue = new WorkQueue(clock);
  for (const ms of [100, 50, 80]) queue.addAfter("a", ms);
  await clock.advance(49);
  expect([queue.waiting, queue.delayed]).toEqual([0, 1]);
  await clock.advance(1);
  expect([queue.waiting, queue.delayed]).toEqual([1, 0]);
  queue.addAfter("b", 0);
  expect(await takeAll(queue, 2)).toEqual(["a", "b"]);
  await clock.advance(1_000);
  expect(queue.waiting).toBe(0);
});

test("a key that fails waits longer each time, up to a bound, until it is forgotten", () => {
  const queue = new WorkQueue(new ManualClock());
  const delays = Array.from({ length: 14 }, () => queue.retry("a"));
  expect(delays).toEqual([20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_240, 20_480, 40_960, 60_000, 60_000]);
  expect(queue.retry("b")).toBe(20);
  queue.forget("a");
  expect(queue.retry("a")).toBe(20);
  expect(queue.retry("a", 3_000)).toBe(3_000);
});

test("a queue that drains hands out nothing more, and waits for what it handed out", async () => {
  const clock = new ManualClock();
  const queue = new WorkQueue(clock);
  for (const key of ["a", "b"]) queue.add(key);
  await queue.take();
  const waits = [queue.take(), queue.take()];
  expect(await waits[0]).toMatchObject({ key: "b" });
  queue.addAfter("c", 10);
  queue.add("a");
  let isDrained = false;
  const drained = queue.drain().then(() => (isDrained = true));
  expect(await waits[1]).toBeUndefined();
  queue.done("a");
  queue.add("d");
  await clock.advance(10);
  expect([isDrained, queue.waiting, queue.delayed, clock.nextMs]).toEqual([false, 0, 0, undefined]);
  queue.done("b");
  await drained;
  expect(await queue.take()).toBeUndefined();
});

/** The model is as plain as can be: a list of keys that are due, a list of keys that workers have, and when others will be due. */
test("under any sequence of events no key is lost, doubled, or with two workers at once", async () => {
  const key = fc.constantFrom("a", "b", "c");
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant("add" as const), key }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("addAfter" as const), key, ms: fc.integer({ min: 0, max: 50 }) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("retry" as const), key }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("take" as const) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("done" as const), index: fc.nat(3) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.integer({ min: 1, max: 60 }) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const clock = new ManualClock();
      const queue = new WorkQueue(clock);
      /** Model: keys that are due, keys that workers have, when the others are due. */
      const due: string[] = [];
      const held: string[] = [];
      const dirty = new Set<string>();
      const later = new Map<string, number>();
      let idle = 0;
      const got: string[] = [];
      const expected: string[] = [];

      const serve = () => {
        while (idle > 0 && due.length > 0) {
          idle--;
          const next = due.shift()!;
          held.push(next);
          expected.push(next);
        }
      };
      const becomesDue = (which: string) => {
        if (held.includes(which)) dirty.add(which);
        else if (!due.includes(which)) due.push(which);
        serve();
      };
      const take = () => {
        idle++;
        void queue.take().then((taken) => taken && got.push(taken.key));
        serve();
      };
      const delay = (which: string, ms: number) => {
        const at = clock.monotonicMs() + ms;
        if (ms <= 0) becomesDue(which);
        else if (at < (later.get(which) ?? Infinity)) {
          later.delete(which); // So that it stands last among those of its millisecond.
          later.set(which, at);
        }
      };
      const pass = async (ms: number) => {
        const until = clock.monotonicMs() + ms;
        const ready = [...later].filter(([, at]) => at <= until).toSorted(([, a], [, b]) => a - b);
        await clock.advance(ms);
        for (const [which] of ready) {
          later.delete(which);
          becomesDue(which);
        }
      };
      const done = (which: string) => {
        held.splice(held.indexOf(which), 1);
        queue.done(which);
        if (dirty.delete(which)) becomesDue(which);
      };

      for (const each of steps) {
        if (each.do === "add") {
          queue.add(each.key);
          becomesDue(each.key);
        } else if (each.do === "addAfter") {
          queue.addAfter(each.key, each.ms);
          delay(each.key, each.ms);
        } else if (each.do === "retry") delay(each.key, queue.retry(each.key));
        else if (each.do === "take") take();
        else if (each.do === "advance") await pass(each.ms);
        else if (held.length > 0) done(held[each.index % held.length]!);
        await clock.advance(0);
        expect(got).toEqual(expected);
        expect(new Set(held).size).toBe(held.length);
        expect([queue.waiting, queue.running, queue.delayed]).toEqual([due.length + dirty.size, held.length, later.size]);
      }
      // In the end workers that never rest find all that is left, and then nothing.
      for (let i = 0; i < 20; i++) {
        take();
        await pass(100_000);
        for (let left = held.length; left > 0; left--) done(held[0]!);
      }
      expect(got).toEqual(expected);
      expect([queue.waiting, queue.delayed, due.length, later.size]).toEqual([0, 0, 0, 0]);
      await queue.drain();
    }),
    { numRuns: 300 },
  );
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { InOrder } from "./in-order.ts";
import { Recent } from "./recent.ts";

const bounds = { size: 100, ttlMs: 1_000, now: () => new Date(0) };

test("whatever order writes come in and however long they take, one runs at a time and the newest is last", async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), fc.shuffledSubarray([1, 2, 3, 4, 5, 6], { minLength: 1 }), async (scheduler, sequences) => {
      const order = new InOrder(bounds);
      const written: number[] = [];
      let running = 0;
      const all = sequences.map(
        async (sequence) =>
          await order.write("place", sequence, async () => {
            expect(++running).toBe(1);
            await scheduler.schedule(Promise.resolve());
            written.push(sequence);
            running--;
          }),
      );
      await scheduler.waitFor(Promise.all(all));
      expect(written).toEqual(written.toSorted((a, b) => a - b));
      expect(written.at(-1)).toBe(Math.max(...sequences));
    }),
    { numRuns: 50 },
  );
});

test("a write that fails is its caller's error, and keeps no other from being made", async () => {
  const order = new InOrder(bounds);
  const written: number[] = [];
  const begun = Promise.withResolvers<void>();
  const failing = order.write("place", 1, async () => {
    begun.resolve();
    return await Promise.reject(new Error("no"));
  });
  await begun.promise;
  const next = order.write("place", 2, async () => void (await Promise.resolve(written.push(2))));
  await expect(failing).rejects.toThrow("no");
  await next;
  await order.write("place", 2, async () => void (await Promise.resolve(written.push(22))));
  await order.write("other", 1, async () => void (await Promise.resolve(written.push(1))));
  expect(written).toEqual([2, 22, 1]);
});

test("a map forgets what is old, and what was used longest ago", () => {
  let now = 0;
  const recent = new Recent<number>({ size: 2, ttlMs: 10, now: () => new Date(now) });
  recent.set("a", 1);
  recent.set("b", 2);
  expect(recent.get("a")).toBe(1);
  recent.set("c", 3);
  expect([recent.get("a"), recent.get("b"), recent.get("c")]).toEqual([1, undefined, 3]);
  now = 9;
  recent.set("a", 4);
  now = 10;
  expect([recent.get("a"), recent.get("c")]).toEqual([4, undefined]);
});

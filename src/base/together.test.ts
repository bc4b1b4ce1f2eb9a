import { expect, test } from "vitest";
import { together } from "./together.ts";
import { pause } from "./wait.ts";

test("gives all results", async () => {
  expect(await together(undefined, () => [Promise.resolve(1), Promise.resolve("two")])).toEqual([1, "two"]);
});

test("the first failure aborts the others, and is thrown after they have ended", async () => {
  let hasEnded = false;
  const slow = async (signal: AbortSignal) => {
    try {
      await pause(60_000, signal);
    } finally {
      await pause(20);
      hasEnded = true;
    }
  };
  await expect(together(undefined, (signal) => [slow(signal), Promise.reject(new Error("first"))])).rejects.toThrow("first");
  expect(hasEnded).toBe(true);
});

test("an abort from outside reaches all", async () => {
  const outer = new AbortController();
  const running = together(outer.signal, (signal) => [pause(60_000, signal), pause(60_000, signal)]);
  outer.abort(new Error("enough"));
  await expect(running).rejects.toThrow("enough");
});

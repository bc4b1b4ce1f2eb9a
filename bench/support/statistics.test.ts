import { describe, expect, it } from "vitest";
import { median, quantile, ratioOf } from "./statistics.ts";

describe("statistics of benchmarks", () => {
  it.each([
    { name: "odd", values: [3, 1, 2], expected: 2 },
    { name: "even", values: [4, 1, 3, 2], expected: 2.5 },
    { name: "one", values: [7], expected: 7 },
  ])("median: $name", ({ values, expected }) => {
    expect(median(values)).toBe(expected);
  });

  it.each([
    { part: 0.5, expected: 5 },
    { part: 0.99, expected: 10 },
    { part: 0.05, expected: 1 },
  ])("quantile $part", ({ part, expected }) => {
    expect(quantile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], part)).toBe(expected);
  });

  it("gives the median of the ratios of pairs, not the ratio of medians", () => {
    const pairs = [
      [1, 2],
      [10, 10],
      [30, 10],
    ] as const;
    expect(ratioOf(pairs).median).toBe(1);
  });

  it("has an interval around the median that is as narrow as the ratios are alike", () => {
    const alike = ratioOf([10, 11, 12, 13, 14, 15, 16].map((other) => [other / 2, other] as const));
    expect(alike).toEqual({ median: 0.5, low: 0.5, high: 0.5 });
    const spread = ratioOf([0.4, 0.45, 0.48, 0.5, 0.52, 0.55, 0.6].map((ours) => [ours, 1] as const));
    expect(spread.median).toBe(0.5);
    expect(spread.low).toBeGreaterThanOrEqual(0.4);
    expect(spread.low).toBeLessThan(0.5);
    expect(spread.high).toBeGreaterThan(0.5);
  });
});

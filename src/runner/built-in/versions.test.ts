import { describe, expect, test } from "vitest";
import { compareVersions, isInRange, parseVersion } from "./versions.ts";

test.each([
  ["1.2.3", "1.2.3 "],
  ["v24.1", "24.1.0 "],
  ["go1.22rc1", "1.22.0 rc1"],
  ["go1.26.5", "1.26.5 "],
  ["1.2.3-beta.2", "1.2.3 beta.2"],
  ["17.0.9+9", "17.0.9 "],
  ["11.0.21.1", "11.0.21 "],
  ["1.8.0_392", "1.8.0 "],
  ["3.13.0a4", "3.13.0 a4"],
  ["v1.36.3+abc", "1.36.3 "],
])("%s is %s", (text, expected) => {
  const { numbers, prerelease } = parseVersion(text)!;
  expect(`${numbers.join(".")} ${prerelease}`).toBe(expected);
});

test("what is no version", () => {
  for (const text of ["", "latest", "x", "1.x", "stable"]) expect(parseVersion(text), text).toBeUndefined();
});

test("order", () => {
  const inOrder = ["1.2.3-rc.2", "1.2.3-rc.10", "1.2.3", "1.2.10", "1.10.0", "2.0.0-alpha", "2.0.0"];
  const sorted = inOrder.toReversed().toSorted((a, b) => compareVersions(parseVersion(a)!, parseVersion(b)!));
  expect(sorted).toEqual(inOrder);
});

describe("ranges", () => {
  test.each<[range: string, inside: string[], outside: string[]]>([
    ["1.22", ["1.22.0", "1.22.9"], ["1.21.9", "1.23.0", "1.22.1-rc.1"]],
    ["1.22.3", ["1.22.3"], ["1.22.4"]],
    ["1", ["1.0.0", "1.99.0"], ["2.0.0", "0.9.0"]],
    ["1.x", ["1.5.0"], ["2.0.0"]],
    ["1.2.x", ["1.2.5"], ["1.3.0"]],
    ["*", ["0.0.1", "99.0.0"], []],
    ["x", ["0.0.1"], []],
    ["^1.2.3", ["1.2.3", "1.9.0"], ["1.2.2", "2.0.0"]],
    ["^0.2.3", ["0.2.4"], ["0.3.0"]],
    ["^0.0.3", ["0.0.3"], ["0.0.4"]],
    ["^1", ["1.9.9"], ["2.0.0"]],
    ["~1.2.3", ["1.2.9"], ["1.3.0", "1.2.2"]],
    ["~1", ["1.9.0"], ["2.0.0"]],
    [">=1.20 <1.23", ["1.20.0", "1.22.9"], ["1.23.0", "1.19.9"]],
    [">= 1.20", ["1.20.0"], ["1.19.0"]],
    [">=3.9,<3.13", ["3.12.1"], ["3.13.0"]],
    [">1.2", ["1.3.0"], ["1.2.9"]],
    ["<=1.2", ["1.2.9"], ["1.3.0"]],
    ["<2", ["1.9.9"], ["2.0.0"]],
    ["1.2 - 1.4", ["1.2.0", "1.4.9"], ["1.5.0"]],
    ["18 || >=22", ["18.1.0", "24.0.0"], ["20.0.0"]],
    [">=1.2.3-rc.1", ["1.2.3-rc.2", "1.2.3", "1.9.0"], ["1.3.0-rc.1"]],
  ])("%s", (range, inside, outside) => {
    for (const version of inside) expect(isInRange(parseVersion(version)!, range), version).toBe(true);
    for (const version of outside) expect(isInRange(parseVersion(version)!, range), version).toBe(false);
  });

  test.each(["latest", "one", ">=x.y", "1.2 -"])("%s is none", (range) => {
    expect(isInRange(parseVersion("1.2.3")!, range)).toBeUndefined();
  });
});

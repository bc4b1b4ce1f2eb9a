import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { messageOf } from "../../base/errors.ts";
import type { Json } from "../expressions/expressions.ts";
import { type Cell, cellName, expandMatrix } from "./matrix.ts";

const values = (matrix: Json) => expandMatrix(matrix).map((cell) => cell.values);
const names = (matrix: Json) => expandMatrix(matrix).map((cell) => cellName("job", cell.labels));
function problemOf(matrix: Json): string {
  try {
    return `no error, but ${expandMatrix(matrix).length} cells`;
  } catch (error) {
    return messageOf(error);
  }
}

describe("the rules, as GitHub documents them", () => {
  test.each<[string, Json, Json[]]>([
    ["one key", { version: [10, 12] }, [{ version: 10 }, { version: 12 }]],
    [
      "two keys: the last turns fastest",
      { os: ["a", "b"], version: [1, 2] },
      [
        { os: "a", version: 1 },
        { os: "a", version: 2 },
        { os: "b", version: 1 },
        { os: "b", version: 2 },
      ],
    ],
    [
      "the documentation's example of include",
      {
        fruit: ["apple", "pear"],
        animal: ["cat", "dog"],
        include: [
          { color: "green" },
          { color: "pink", animal: "cat" },
          { fruit: "apple", shape: "circle" },
          { fruit: "banana" },
          { fruit: "banana", animal: "cat" },
        ],
      },
      [
        { fruit: "apple", animal: "cat", color: "pink", shape: "circle" },
        { fruit: "apple", animal: "dog", color: "green", shape: "circle" },
        { fruit: "pear", animal: "cat", color: "pink" },
        { fruit: "pear", animal: "dog", color: "green" },
        { fruit: "banana" },
        { fruit: "banana", animal: "cat" },
      ],
    ],
    [
      "include alone",
      {
        include: [
          { site: "production", datacenter: "a" },
          { site: "staging", datacenter: "b" },
        ],
      },
      [
        { site: "production", datacenter: "a" },
        { site: "staging", datacenter: "b" },
      ],
    ],
    ["include adds to one of them", { os: ["a", "b"], include: [{ os: "b", npm: 6 }] }, [{ os: "a" }, { os: "b", npm: 6 }]],
    ["include adds one", { os: ["a"], include: [{ os: "c", v: 17 }] }, [{ os: "a" }, { os: "c", v: 17 }]],
    ["an own value is not overwritten", { os: ["a"], include: [{ os: "b", x: 1 }] }, [{ os: "a" }, { os: "b", x: 1 }]],
    ["a later include overwrites what an earlier one added", { os: ["a"], include: [{ x: 1 }, { x: 2 }] }, [{ os: "a", x: 2 }]],
    [
      "exclude: part of a combination is enough",
      { os: ["a", "b"], version: [1, 2], exclude: [{ os: "a", version: 1 }, { os: "b" }] },
      [{ os: "a", version: 2 }],
    ],
    [
      "include comes after exclude",
      { os: ["a", "b"], exclude: [{ os: "b" }], include: [{ os: "b", again: true }] },
      [{ os: "a" }, { os: "b", again: true }],
    ],
    ["objects", { node: [{ version: 14 }, { version: 20, env: "x" }] }, [{ node: { version: 14 } }, { node: { version: 20, env: "x" } }]],
    [
      "exclude by a part of an object",
      { node: [{ v: 14 }, { v: 20, env: "x" }], exclude: [{ node: { env: "x" } }] },
      [{ node: { v: 14 } }],
    ],
    [
      "include by a part of an object",
      { node: [{ v: 14 }, { v: 20 }], include: [{ node: { v: 20 }, extra: 1 }] },
      [{ node: { v: 14 } }, { node: { v: 20 }, extra: 1 }],
    ],
    [
      "values are compared as `==` does",
      { os: ["Linux", "x"], version: [1], exclude: [{ os: "linux", version: "1" }] },
      [{ os: "x", version: 1 }],
    ],
    ["lists in lists", { pair: [[1, 2], [3]], exclude: [{ pair: [1] }] }, [{ pair: [3] }]],
    ["empty include and exclude", { a: [1], include: [], exclude: [] }, [{ a: 1 }]],
    [
      "a key of JavaScript's",
      JSON.parse('{"__proto__": [1], "include": [{"constructor": 2}]}') as Json,
      [JSON.parse('{"__proto__": 1, "constructor": 2}') as Json],
    ],
  ])("%s", (_, matrix, expected) => {
    expect(JSON.stringify(values(matrix))).toBe(JSON.stringify(expected));
  });
});

test.each<[string, Json, string[]]>([
  ["plain values, in order", { os: ["ubuntu", "alpine"], node: [16] }, ["job (ubuntu, 16)", "job (alpine, 16)"]],
  ["what include added is not in it", { os: ["ubuntu"], include: [{ os: "ubuntu", npm: 6 }] }, ["job (ubuntu)"]],
  ["a cell of include's own has all of it", { os: ["ubuntu"], include: [{ x: 1, os: "alpine" }] }, ["job (ubuntu)", "job (alpine, 1)"]],
  ["the values of objects and lists", { a: [{ b: "x", c: [1, true] }] }, ["job (x, 1, true)"]],
  ["numbers as GitHub writes them", { version: [3.1, 1e21] }, ["job (3.1)", "job (1e+21)"]],
  ["without null and empty text", { a: [null], b: [""], c: ["x"] }, ["job (x)"]],
  ["nothing left to show", { a: [null] }, ["job"]],
  ["100 characters at most", { a: ["x".repeat(200)] }, [`job (${"x".repeat(92)}...`]],
])("names: %s", (_, matrix, expected) => {
  expect(names(matrix)).toEqual(expected);
});

const numbers = (length: number) => Array.from({ length }, (_, i) => i);
test.each<[string, Json, string]>([
  ["text", "x", 'must be an object of lists, and is "x"'],
  ["a list", [1], "must be an object of lists, and is a list"],
  ["nothing", {}, "must have at least one list, or an include"],
  ["a value that is no list", { os: "linux" }, 'os must be a list, and is "linux"'],
  ["an empty list", { os: [] }, "os is an empty list: there is nothing to combine"],
  ["include that is no list", { os: [1], include: { a: 1 } }, "include must be a list, and is an object"],
  ["include of no objects", { os: [1], include: ["a"] }, 'include[0] must be an object, and is "a"'],
  ["an empty exclude", { os: [1], exclude: [{}] }, "exclude[0] is empty"],
  [
    "exclude of an unknown key",
    { version: [1], exclude: [{ verson: 1 }] },
    "exclude: verson is not a key of the matrix, did you mean version?",
  ],
  ["all is excluded", { os: ["a"], exclude: [{ os: "a" }] }, "exclude leaves nothing of it"],
  ["256 cells", { a: numbers(16), b: numbers(16) }, "no error, but 256 cells"],
  ["257 cells", { a: numbers(257) }, "has 257 cells, and a job can have at most 256"],
  ["10,000 cells", { a: numbers(100), b: numbers(100) }, "has 10000 cells, and a job can have at most 256"],
  ["too many with include", { a: numbers(256), include: [{ a: -1 }] }, "has 257 cells, and a job can have at most 256"],
  ["exclude brings it below", { a: numbers(300), b: [1], exclude: numbers(50).map((a) => ({ a })) }, "no error, but 250 cells"],
  ["too many to look at", { a: numbers(300), b: numbers(300), exclude: [{ a: 1 }] }, "has 90000 cells, and a job can have at most 256"],
  [
    "too much to compare",
    { a: numbers(250), b: numbers(250), exclude: numbers(1000).map((a) => ({ a, b: "x" })) },
    "include and exclude are too much for 62500 combinations",
  ],
])("bounds: %s", (_, matrix, expected) => {
  expect(problemOf(matrix)).toBe(expected);
});

/** Over keys a to c with small numbers, in the words of the documentation and as slow as they are. */
function model(vectors: Record<string, number[]>, exclude: Record<string, number>[], include: Record<string, number>[]): Cell["values"][] {
  let own: Record<string, number>[] = [{}];
  for (const [key, list] of Object.entries(vectors)) own = own.flatMap((cell) => list.map((value) => ({ ...cell, [key]: value })));
  own = own.filter((cell) => !exclude.some((one) => Object.keys(one).every((key) => cell[key] === one[key])));
  const cells = own.map((cell) => ({ ...cell }));
  const alone: Record<string, number>[] = [];
  for (const one of include) {
    const fits = own.flatMap((cell, i) => (Object.keys(one).every((key) => !(key in cell) || cell[key] === one[key]) ? [i] : []));
    for (const i of fits) Object.assign(cells[i]!, one);
    if (fits.length === 0) alone.push(one);
  }
  return [...cells, ...alone];
}

test("any matrix of small numbers is what a plain reading of the rules gives", () => {
  const value = fc.integer({ min: 0, max: 2 });
  const vectors = fc.dictionary(fc.constantFrom("a", "b", "c"), fc.uniqueArray(value, { minLength: 1, maxLength: 3 }), { minKeys: 1 });
  const entry = (keys: string[]) => fc.dictionary(fc.constantFrom(...keys), value, { minKeys: 1 });
  const matrix = vectors.chain((own) =>
    fc.tuple(
      fc.constant(own),
      fc.array(entry(Object.keys(own)), { maxLength: 3 }),
      fc.array(entry(["a", "b", "c", "x", "y"]), { maxLength: 4 }),
    ),
  );
  fc.assert(
    fc.property(matrix, ([own, exclude, include]) => {
      const expected = model(own, exclude, include);
      if (expected.length === 0) expect(problemOf({ ...own, exclude, include })).toBe("exclude leaves nothing of it");
      else expect(values({ ...own, exclude, include })).toEqual(expected);
    }),
    { numRuns: 1000 },
  );
});

test("any JSON at all is a matrix or refused, never another error", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom("a", "include", "exclude"), fc.jsonValue()), (matrix) => {
      expect(problemOf(matrix as Json)).not.toMatch(/undefined|not a function|Cannot/);
    }),
  );
});

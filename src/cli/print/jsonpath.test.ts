import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SeatrialError } from "../../base/errors.ts";
import { parseJsonPath } from "./jsonpath.ts";

const thing = {
  kind: "Thing",
  metadata: { name: "x", labels: { "a.b/c": "d", plain: "<&>" } },
  spec: {
    n: 3,
    f: 1.5,
    big: 1000000,
    yes: true,
    nul: null,
    empty: [],
    list: ["a", "b", "c", "d"],
    nest: [[1, 2], [{ x: 1 }]],
    items: [
      { a: 1, s: "x y", on: true },
      { a: 2, s: "true", m: {}, l: [] },
      { a: 3, s: "z)", name: 'q"q' },
    ],
  },
};

// The answers are kubectl 1.36's own, for the same object.
test.each([
  ["text alone", ".spec.n", ".spec.n"],
  ["text around", "x{.spec.n}y", "x3y"],
  ["scalars", "{.spec.f} {.spec.big} {.spec.yes} {.spec.nul}", "1.5 1000000 true null"],
  ["the current object, by three names", "{.spec.n}{@.spec.n}{$.spec.n}", "333"],
  ["spaces between steps", "{ .spec .n }", "3"],
  ["an escaped dot", String.raw`{.metadata.labels.a\.b/c}`, "d"],
  ["an escaped dot in a quoted key", String.raw`{.metadata.labels['a\.b/c']}`, "d"],
  ["a dot in a quoted key, not escaped", "{.metadata.labels['a.b/c']}", ""],
  ["an object", "{.metadata.labels}", String.raw`{"a.b/c":"d","plain":"\u003c\u0026\u003e"}`],
  ["a list", "{.spec.list}", '["a","b","c","d"]'],
  ["all of a list", "{.spec.list[*]}", "a b c d"],
  ["all of an object", "{.metadata.labels.*}", "d <&>"],
  ["a field of all", "{.spec.items[*].a}", "1 2 3"],
  ["first and last", "{.spec.items[0].a}{.spec.items[-1].a}", "13"],
  ["a slice", "{.spec.list[1:3]}", "b c"],
  ["an open slice", "{.spec.list[2:]},{.spec.list[:2]}", "c d,a b"],
  ["a slice from the end", "{.spec.list[-3:-1]}", "b c"],
  ["every second", "{.spec.list[::2]}", "a c"],
  ["nothing of a list", "{.spec.list[1:1]}{.spec.empty[*]}", ""],
  ["a union of indexes", "{.spec.list[0,-1]}", "a d"],
  ["a union of keys", "{.spec.items[*]['a', 's']}", "1 2 3 x y true z)"],
  ["a filter by text", '{.spec.items[?(@.s=="x y")].a}', "1"],
  ["a filter by text in single quotes", "{.spec.items[?(@.s == 'x y')].a}", "1"],
  ["a filter by text with a bracket", '{.spec.items[?(@.s=="z)")].a}', "3"],
  ["a filter by text with a quote", String.raw`{.spec.items[?(@.name=="q\"q")].a}`, "3"],
  ["a filter by number", "{.spec.items[?(@.a>1)].a}", "2 3"],
  ["a filter by truth", "{.spec.items[?(@.on==true)].a}", "1"],
  ["a filter by existence", "{.spec.items[?(@.m)].a}", "2"],
  ["a filter of scalars", '{.spec.list[?(@=="b")]}', "b"],
  ["a filter by what is not there", "{.spec.items[?(@.missing==2)].a}", ""],
  ["descent", "{..a}", "1 2 3"],
  ["descent below a step", "{.spec.items[0]..a}", "1"],
  ["what is missing", "{.spec.missing.deeper[0]}", ""],
  ["literals", String.raw`{"it's"}{"\t"}{'say "hi"'}{5}{-1}{true}`, 'it\'s\tsay "hi"5-1true'],
  ["a range", String.raw`{range .spec.items[*]}{.a}{"\t"}{.s}{"\n"}{end}`, "1\tx y\n2\ttrue\n3\tz)\n"],
  ["$ in a range is the item", "{range $.spec.items[*]}{$.a}{end}", "123"],
  ["a range in a range", "{range .spec.nest[*]}[{range @[*]}({@}){end}]{end}", '[(1)(2)][({"x":1})]'],
  ["a range over nothing", "{range .spec.empty[*]}never{end}after", "after"],
])("%s: %s", (_, template, expected) => {
  expect(parseJsonPath(template)(thing)).toBe(expected);
});

describe("refused, as by kubectl", () => {
  test.each([
    ["double quotes around a key", '{.metadata.labels["plain"]}', "invalid index"],
    ["a word that is not known", "{foo}", "foo is not known here"],
    ["no closing brace", "{.spec.n", "unclosed action"],
    ["an end without a range", "{end}", "{end} without {range}"],
    ["a range without an end", "{range .spec.list[*]}", "{range} without {end}"],
    ["an index that is no number", "{.spec.items[x]}", "invalid index [x]"],
    ["an open filter", "{.spec.items[?(@.a]}", "unterminated filter"],
    ["a stray character", "{#}", 'unexpected "#"'],
    ["an index out of bounds", "{.spec.items[3]}", "index 3 is out of bounds: the list has 3"],
    ["an index before the first", "{.spec.items[-4]}", "index -1 is out of bounds"],
    ["a slice out of bounds", "{.spec.items[0:9]}", "index 8 is out of bounds"],
    ["a slice backwards", "{.spec.items[2:1]}", "from 2 back to 1"],
    ["an index of what is no list", "{.spec.n[0]}", "3 is not a list"],
    ["a comparison of text with a number", '{.spec.items[?(@.a=="2")]}', "cannot compare 1 with"],
  ])("%s: %s", (_, template, message) => {
    expect(() => parseJsonPath(template)(thing)).toThrow(SeatrialError);
    expect(() => parseJsonPath(template)(thing)).toThrow(message);
  });
});

test("a missing field is an error when that is asked for", () => {
  expect(() => parseJsonPath("{.spec.missing}", { allowMissing: false })(thing)).toThrow("missing is not found");
});

test("as JSON, each action is a list", () => {
  expect(parseJsonPath("{.spec.n}{.spec.list[0:2]}", { asJson: true })(thing)).toBe('[\n    3\n]\n[\n    "a",\n    "b"\n]\n');
});

test("any field of any object is found by its path, dots escaped", () => {
  const key = fc.string({ minLength: 1 }).filter((text) => /^[^\s,[\]$@{}\\()!<>=*]+$/.test(text));
  fc.assert(
    fc.property(fc.array(key, { minLength: 1, maxLength: 4 }), fc.integer(), (path, leaf) => {
      const object = path.reduceRight<unknown>((inner, name) => Object.fromEntries([[name, inner]]), leaf);
      const template = `{${path.map((name) => `.${name.replaceAll(".", String.raw`\.`)}`).join("")}}`;
      expect(parseJsonPath(template)(object)).toBe(String(leaf));
    }),
  );
});

test("any template is answered or refused, and never breaks", () => {
  const part = fc.constantFrom(
    "{",
    "}",
    ".a",
    "..",
    "[",
    "]",
    "[?(",
    ")]",
    "*",
    "0",
    ":",
    ",",
    "range",
    "end",
    '"',
    "'",
    "\\",
    " ",
    "@",
    "==",
    "-",
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      try {
        parseJsonPath(parts.join(""))({ a: [{ a: 1 }] });
      } catch (error) {
        expect(error).toBeInstanceOf(SeatrialError);
      }
    }),
    { numRuns: 2000 },
  );
});

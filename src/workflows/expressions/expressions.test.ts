import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SeatrialError } from "../../base/errors.ts";
import {
  contextNames,
  evaluateBoolean,
  evaluateCondition,
  evaluateNumber,
  evaluateValue,
  findConditionMistakes,
  findMistakes,
  interpolate,
  type Json,
  type Scope,
  type Status,
} from "./expressions.ts";

const contexts: Record<string, Json> = {
  github: {
    ref: "refs/heads/main",
    event_name: "push",
    event: {
      number: 7,
      labels: [{ name: "bug" }, { name: "help wanted" }],
      action: null,
      fruits: [
        { name: "apple", quantity: 1 },
        { name: "orange", quantity: 2 },
      ],
      vegetables: { beets: { parts: ["roots", "leaves"] }, artichokes: { parts: ["hearts"] }, dirt: 1 },
    },
  },
  env: { Path: "a", PATH: "b", empty: "", time: "3", "dashed-name": "d" },
  matrix: { nested: [[1, 2], [3]], version: 1.1, flag: false, constructor: "c" },
  secrets: { TOKEN: "s3cret" },
};
const scope: Scope = { contexts, hashFiles: (patterns) => (patterns.includes("none") ? "" : `hash of ${patterns.join(" ")}`) };
const status = (is: Partial<Status> = {}): Status => ({ isSuccess: true, isFailure: false, isCancelled: false, ...is });
const failed = status({ isSuccess: false, isFailure: true });
const cancelled = status({ isSuccess: false, isCancelled: true });

function messageOf(work: () => unknown): string {
  try {
    return `no error, but ${JSON.stringify(work())}`;
  } catch (error) {
    expect(error).toBeInstanceOf(SeatrialError);
    return (error as Error).message;
  }
}

describe("values, as GitHub documents them", () => {
  test.each<[string, string, Json]>([
    ["null", "null", null],
    ["boolean", "false", false],
    ["integer", "711", 711],
    ["float", "-9.2", -9.2],
    ["hexadecimal", "0xff", 255],
    ["exponential", "-2.99e-2", -0.0299],
    ["escaped quote", "'It''s open source!'", "It's open source!"],
    ["two escaped quotes", "'a''b''c'", "a'b'c"],
    ["braces in a string", "'}} ${{'", "}} ${{"],
    ["property", "github.ref", "refs/heads/main"],
    ["property by index", "github['ref']", "refs/heads/main"],
    ["names have no case", "GITHUB.REF", "refs/heads/main"],
    ["as written comes first", "env.PATH", "b"],
    ["as written comes first, the other", "env.Path", "a"],
    ["without case, the first", "env.path", "a"],
    ["dashes in names", "env.dashed-name", "d"],
    ["a property that is not there", "github.nothing", null],
    ["below a property that is not there", "github.nothing.at.all", null],
    ["a name of JavaScript's", "github.constructor", null],
    ["such a name, as a key", "matrix.constructor", "c"],
    ["list index", "github.event.labels[1].name", "help wanted"],
    ["list index out of range", "github.event.labels[9]", null],
    ["list index below 0", "github.event.labels[-1]", null],
    ["filter of a list", "github.event.fruits.*.name", ["apple", "orange"]],
    ["filter by index", "github.event.fruits[*].quantity", [1, 2]],
    ["filter of an object", "github.event.vegetables.*.parts", [["roots", "leaves"], ["hearts"]]],
    ["filter of a filter", "github.event.vegetables.*.parts[0]", ["roots", "hearts"]],
    ["filter of a plain value", "github.ref.*", []],
    ["grouping", "(1 == 2 || true) && 'x'", "x"],
    ["and gives the last value", "'a' && 'b'", "b"],
    ["and gives the falsy value", "'' && 'b'", ""],
    ["or gives the truthy value", "env.empty || 'default'", "default"],
    ["and before or", "true || false && false", true],
    ["not", "!github.event.action", true],
    ["equal without case", "'Main' == 'mAIN'", true],
    ["null is 0", "null == 0", true],
    ["true is 1", "true == 1", true],
    ["text as number", "'3' == 3", true],
    ["empty text is 0", "'' == 0", true],
    ["text that is no number is never equal to one", "'x' == 0", false],
    ["NaN is below nothing", "'x' < 1", false],
    ["NaN is above nothing", "'x' >= 1", false],
    ["numbers are compared", "10 > 9", true],
    ["texts are compared as texts", "'10' > '9'", false],
    ["the same list is equal", "github.event.labels == github.event.labels", true],
    ["another list is not", "fromJSON('[1]') == fromJSON('[1]')", false],
    ["contains in text, without case", "contains('Hello world', 'LLO')", true],
    ["contains in a list", 'contains(fromJSON(\'["push", "pull_request"]\'), github.event_name)', true],
    ["contains in a filter", "contains(github.event.labels.*.name, 'bug')", true],
    ["contains in a list: whole elements", "contains(github.event.labels.*.name, 'bu')", false],
    ["startsWith", "startsWith('Hello world', 'he')", true],
    ["endsWith", "endsWith('Hello world', 'LD')", true],
    ["startsWith casts", "startsWith(123, 12)", true],
    ["format", "format('Hello {0} {1} {2}', 'Mona', 'the', 'Octocat')", "Hello Mona the Octocat"],
    ["format with braces", "format('{{Hello {0} {1} {2}!}}', 'Mona', 'the', 'Octocat')", "{Hello Mona the Octocat!}"],
    ["format, any order", "format('{1}{0}{1}', 1, true)", "true1true"],
    ["join", "join(github.event.labels.*.name, ', ')", "bug, help wanted"],
    ["join with its default", "join(github.event.labels.*.name)", "bug,help wanted"],
    ["join of text", "join('a', '-')", "a"],
    ["toJSON", "toJSON(github.event.labels)", '[\n  {\n    "name": "bug"\n  },\n  {\n    "name": "help wanted"\n  }\n]'],
    ["toJSON of nothing", 'toJSON(fromJSON(\'{"a": [], "b": {}}\'))', '{\n  "a": [],\n  "b": {}\n}'],
    ["toJSON of text", "toJSON('a\"b')", '"a\\"b"'],
    ["fromJSON", "fromJSON('{\"a\": [1, null, true]}')", { a: [1, null, true] }],
    ["fromJSON of a number", "fromJSON(env.time)", 3],
    ["fromJSON has no case in its name", "FROMJSON('1')", 1],
    ["hashFiles", "hashFiles('**/a.json', 'b')", "hash of **/a.json b"],
    ["hashFiles of nothing", "hashFiles('none')", ""],
    ["case", "case(github.ref == 'refs/heads/main', 'production', 'development')", "production"],
    ["case, the default", "case(false, 1, false, 2, 'unknown')", "unknown"],
    ["over several lines", "case(\n  true,\n 'a', 'b'\n)", "a"],
  ])("%s: %s", (_, expression, expected) => {
    expect(evaluateValue(`\${{ ${expression} }}`, scope)).toEqual(expected);
  });

  test.each([
    ["null", "null", ""],
    ["boolean", "true", "true"],
    ["whole number", "711", "711"],
    ["float", "matrix.version", "1.1"],
    ["minus zero", "-0", "0"],
    ["list", "matrix.nested", "Array"],
    ["object", "github", "Object"],
  ])("as text: %s", (_, expression, expected) => {
    expect(interpolate(`<\${{ ${expression} }}>`, scope)).toBe(`<${expected}>`);
  });
});

test.each([
  ["nothing to expand", "a } }} { $ {{", "a } }} { $ {{"],
  ["two", "${{ 1 }}-${{ 'x' }}", "1-x"],
  ["no spaces", "${{env.time}}", "3"],
  ["what comes out is not expanded again", "${{ '${{ 1 }}' }}", "${{ 1 }}"],
])("text: %s", (_, text, expected) => {
  expect(interpolate(text, scope)).toBe(expected);
});

describe("conditions", () => {
  test.each<[string, string, Status, boolean]>([
    ["empty is success()", "", status(), true],
    ["empty is success(), after a failure", " ", failed, false],
    ["without status function it is success() && …", "true", failed, false],
    ["without status function, all well", "github.ref == 'refs/heads/main'", status(), true],
    ["with braces", "${{ github.event_name == 'push' }}", status(), true],
    ["braces and space around", " ${{ true }}\n", status(), true],
    ["falsy: empty text", "''", status(), false],
    ["falsy: 0", "0", status(), false],
    ["falsy: -0", "-0", status(), false],
    ["falsy: null", "null", status(), false],
    ["truthy: text, even 'false'", "'false'", status(), true],
    ["truthy: a list", "fromJSON('[]')", status(), true],
    ["failure()", "failure()", failed, true],
    ["failure(), all well", "failure()", status(), false],
    ["failure() with a condition", "failure() && github.ref == 'refs/heads/main'", failed, true],
    ["always()", "always()", cancelled, true],
    ["ALWAYS()", "ALWAYS()", failed, true],
    ["!cancelled()", "!cancelled()", failed, true],
    ["!cancelled(), when it is", "!cancelled()", cancelled, false],
    ["cancelled()", "${{ cancelled() }}", cancelled, true],
    ["success() in an or", "success() || true", failed, true],
    ["a status function in a string is none", "contains('always()', 'always')", failed, false],
    ["a property of that name is none", "!github.always", failed, false],
  ])("%s", (_, text, is, expected) => {
    expect(evaluateCondition(text, scope, is)).toBe(expected);
  });

  test("text around an expression, which GitHub takes as always true, is refused", () => {
    const mixed = "mixes text and `${{ }}`, which would always be true: put all of it into one `${{ }}`, or use none";
    expect(findConditionMistakes("${{ false }} && true", { contexts: [] })).toEqual([{ offset: 13, message: mixed }]);
    expect(findConditionMistakes("${{ false }} ${{ true }}", { contexts: [] })).toEqual([{ offset: 17, message: mixed }]);
  });
});

test("true, false and numbers", () => {
  expect(evaluateBoolean("true", scope)).toBe(true);
  expect(evaluateBoolean("${{ matrix.flag }}", scope)).toBe(false);
  expect(messageOf(() => evaluateBoolean("${{ secrets.TOKEN }}", scope))).toBe("must be true or false, and is other text");
  expect(evaluateNumber("15", scope)).toBe(15);
  expect(evaluateNumber("${{ fromJSON(env.time) }}", scope)).toBe(3);
  expect(messageOf(() => evaluateNumber("${{ env.empty }}", scope))).toBe("must be a number, and is empty");
  expect(messageOf(() => evaluateNumber("${{ github }}", scope))).toBe("must be a number, and is an object");
});

describe("mistakes, with the character they are at", () => {
  const names = { contexts: ["github", "needs", "vars"] };
  test.each<[string, string, [number, string][]]>([
    ["not closed", "ab ${{ github.ref", [[3, "`${{` is not closed by `}}`"]]],
    ["not closed, because of a quote", "${{ 'a }}", [[0, "`${{` is not closed by `}}`"]]],
    ["empty", "${{ }}", [[3, "an expression is expected between `${{` and `}}`"]]],
    ["double quotes", '${{ github.ref == "main" }}', [[18, "strings are written in single quotes, as in 'main'"]]],
    ["a stray character", "${{ github.ref # x }}", [[15, '"#" is not understood here']]],
    ["a single =", "${{ github.ref = 'a' }}", [[15, '"=" is not understood here']]],
    ["unknown context", "${{ githb.ref }}", [[4, "there is no context githb, did you mean github?"]]],
    ["unknown context, nothing near", "x ${{ zzzzzz.ref }}", [[6, "there is no context zzzzzz; there are: github, needs, vars"]]],
    ["True", "${{ True }}", [[4, "there is no context True, did you mean true?"]]],
    ["context that is not here", "${{ secrets.a }}", [[4, "context secrets is not available here; there are: github, needs, vars"]]],
    ["unknown function", "${{ toJsn(github) }}", [[4, "there is no function toJsn, did you mean toJSON?"]]],
    ["a function of JavaScript's", "${{ constructor(github) }}", [[4, "there is no function constructor"]]],
    ["a prototype", "${{ __proto__(1) }}", [[4, "there is no function __proto__"]]],
    ["status function outside of if", "${{ failure() }}", [[4, "failure() can be used in `if` alone"]]],
    ["hashFiles where there are no files", "${{ hashFiles('a') }}", [[4, "hashFiles() can be used in steps alone, where there are files"]]],
    ["too few arguments", "${{ contains('a') }}", [[4, "too few parameters supplied: 'contains'"]]],
    ["too many arguments", "${{ toJSON(1, 2) }}", [[4, "too many parameters supplied: 'toJSON'"]]],
    ["unfinished", "${{ github.ref == }}", [[15, "unexpected end of expression: '=='"]]],
    ["an operator too many", "${{ github..ref }}", [[11, '".ref" is not understood here']]],
    [
      "all names of all expressions at once",
      "${{ a1.b }} ${{ secrets.x || fromJsn(1) }}",
      [
        [4, "there is no context a1; there are: github, needs, vars"],
        [16, "context secrets is not available here; there are: github, needs, vars"],
        [29, "there is no function fromJsn, did you mean fromJSON?"],
      ],
    ],
    ["in a second line", "${{ true &&\n  nope }}", [[14, "there is no context nope; there are: github, needs, vars"]]],
    ["too long", `\${{ ${"'a' == ".repeat(4000)} 'a' }}`, [[3, "is longer than 21000 characters"]]],
    ["too deep", `\${{ ${"(".repeat(60)}1${")".repeat(60)} }}`, [[expect.any(Number) as number, "exceeded max expression depth 50: '('"]]],
  ])("%s", (_, text, expected) => {
    expect(findMistakes(text, names).map(({ offset, message }) => [offset, message])).toEqual(expected);
  });

  test("the same names are checked when a text is evaluated", () => {
    expect(messageOf(() => interpolate("${{ steps.a }}", scope))).toBe(
      "context steps is not available here; there are: github, env, matrix, secrets",
    );
    expect(messageOf(() => interpolate("${{ success() }}", scope))).toBe("success() can be used in `if` alone");
    expect(messageOf(() => interpolate("${{ hashFiles('a') }}", { contexts }))).toContain("hashFiles() can be used in steps");
  });
});

describe("what cannot be evaluated, without quoting a value", () => {
  test.each([
    ["fromJSON of no JSON", "fromJSON(secrets.TOKEN)", "fromJSON: the text is not JSON"],
    ["fromJSON of nothing", "fromJSON(env.empty)", "fromJSON: the text is empty"],
    ["format without the value", "format('{1}', secrets.TOKEN)", "format: there is no value for {1}"],
    ["format with a brace", "format('{', secrets.TOKEN)", "format: a single brace must be doubled"],
    ["case of no boolean", "case('a', 1, 2)", "the expression cannot be evaluated: case predicate must evaluate to a boolean value"],
  ])("%s", (_, expression, expected) => {
    const message = messageOf(() => interpolate(`\${{ ${expression} }}`, scope));
    expect(message).toBe(expected);
    expect(message).not.toContain("s3c");
  });
});

describe("bounds: each is an error within two seconds of CPU", () => {
  const nested = (depth: number, wrap: (inner: string) => string) =>
    Array.from({ length: depth }).reduce<string>((inner) => wrap(inner), "'aaaaaaaaaa'");
  const deep = "[".repeat(5000) + "]".repeat(5000);
  const big = {
    contexts: {
      github: {
        text: "ı".repeat(1_000_000),
        deep,
        list: Array.from({ length: 100_000 }, (_, i) => i),
        wide: Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [i, i])),
      },
    },
  };
  test.each([
    ["format that multiplies", nested(20, (inner) => `format('{0}{0}{0}', ${inner})`), /make or read more than 16 MiB/],
    ["toJSON that escapes", nested(40, (inner) => `toJSON(${inner})`), /make or read more than 16 MiB/],
    ["join that multiplies", "join(github.list, github.text)", /make or read more than 16 MiB/],
    [
      "a large text, compared again and again",
      Array.from({ length: 500 }, () => "github.text == 'a'").join(" || "),
      /make or read more than 16 MiB/,
    ],
    [
      "a long list, searched again and again",
      Array.from({ length: 500 }, () => "contains(github.list, 'a')").join(" || "),
      /make or read more than 16 MiB/,
    ],
    ["toJSON of what nests too deeply", "toJSON(fromJSON(github.deep))", /nested too deeply/],
    ["a filter of a very wide object", "github.wide.*", /make or read more than 16 MiB|too large or nested too deeply/],
    ["a chain without parentheses", `1${"==1".repeat(6500)}`, /too large or nested too deeply|^no error/],
  ])("%s", (_, expression, expected) => {
    const before = process.cpuUsage();
    const message = messageOf(() => interpolate(`\${{ ${expression} }}`, big));
    const { user, system } = process.cpuUsage(before);
    expect(message).toMatch(expected);
    expect((user + system) / 1e6).toBeLessThan(2);
  });

  test("many expressions in one text share one bound", () => {
    expect(messageOf(() => interpolate("${{ github.text }}".repeat(40), big))).toMatch(/more than 16 MiB/);
  });
});

test("arbitrary text: only SeatrialError is thrown, and what has no mistake by name and grammar is understood", () => {
  const word = fc.constantFrom(
    "${{",
    "}}",
    "'",
    "''",
    "github",
    ".",
    "[",
    "]",
    "(",
    ")",
    "*",
    "!",
    "&&",
    "||",
    "==",
    "<",
    "1",
    "-1",
    "true",
    "null",
    ",",
    " ",
    "format",
    "toJSON",
    "fromJSON",
    "join",
    "contains",
    "always",
    "a",
    "\n",
    '"',
    "__proto__",
    "constructor",
    "ı",
  );
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(word, { maxLength: 30 }).map((words) => words.join("")),
    fc.array(word, { maxLength: 20 }).map((words) => `\${{ ${words.join(" ")} }}`),
  );
  fc.assert(
    fc.property(text, (value) => {
      for (const work of [
        () => interpolate(value, scope),
        () => evaluateCondition(value, scope, failed),
        () => evaluateValue(value, scope),
      ]) {
        try {
          work();
        } catch (error) {
          if (!(error instanceof SeatrialError)) throw error;
        }
      }
      for (const mistake of [
        ...findMistakes(value, { contexts: contextNames }),
        ...findConditionMistakes(value, { contexts: contextNames }),
      ]) {
        expect(mistake.offset).toBeGreaterThanOrEqual(0);
        expect(mistake.offset).toBeLessThanOrEqual(value.length);
      }
    }),
    { numRuns: 1000 },
  );
});

test("text without `${{` is left as it is; text in a string comes out as it is", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 100 }), (value) => {
      fc.pre(!value.includes("${{"));
      expect(interpolate(value, scope)).toBe(value);
      expect(interpolate(`\${{ '${value.replaceAll("'", "''")}' }}`, scope)).toBe(value);
    }),
  );
});

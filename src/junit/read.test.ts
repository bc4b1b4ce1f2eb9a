import fc from "fast-check";
import { expect, test } from "vitest";
import { formatProblem } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { readJunit, type TestRecord } from "./read.ts";

async function* chunks(bytes: Uint8Array, size = bytes.length): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const blank = { suite: "", className: "", name: "", seconds: 0, verdict: "passed", isFlaky: false, message: "", details: "" };

async function read(xml: string): Promise<{ tests: TestRecord[]; problems: string[] }> {
  const { tests, problems } = await readJunit(xml, "j.xml");
  return { tests, problems: problems.map(formatProblem) };
}

test.each<[string, string, Partial<TestRecord>[]]>([
  [
    "gotestsum",
    `<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="3" failures="1" errors="0" time="0.011">
	<testsuite tests="3" failures="1" time="0.002000" name="example.com/math" timestamp="2026-01-02T03:04:05Z">
		<properties><property name="go.version" value="go1.26.0"></property></properties>
		<testcase classname="example.com/math" name="TestSum/negative_numbers" time="0.010000">
			<failure message="Failed" type="">=== RUN   TestSum/negative_numbers&#xA;    math_test.go:12: got &lt;3&gt;&#xA;</failure>
		</testcase>
		<testcase classname="example.com/math" name="TestSkip" time="0.000000"><skipped message="not here"></skipped></testcase>
		<testcase classname="example.com/math" name="TestFine" time="0.000000"></testcase>
	</testsuite>
</testsuites>`,
    [
      {
        suite: "example.com/math",
        className: "example.com/math",
        name: "TestSum/negative_numbers",
        seconds: 0.01,
        verdict: "failed",
        message: "Failed",
        details: "=== RUN   TestSum/negative_numbers\n    math_test.go:12: got <3>",
      },
      { suite: "example.com/math", className: "example.com/math", name: "TestSkip", verdict: "skipped", message: "not here" },
      { suite: "example.com/math", className: "example.com/math", name: "TestFine" },
    ],
  ],
  [
    "Ginkgo",
    `<testsuites tests="1" failures="1"><testsuite name="Books" package="/src/books"><properties></properties>
      <testcase name="[It] Book has pages" classname="Books" status="failed" time="0.1">
        <failure message="Expected&#xA;    &lt;int&gt;: 1&#xA;to equal&#xA;    &lt;int&gt;: 2" type="failed">[FAILED] Expected</failure>
        <system-err>&gt; Enter [It] has pages</system-err>
      </testcase>
      <testcase name="[It] later" classname="Books" status="skipped" time="0"><skipped message="skipped"></skipped></testcase>
    </testsuite></testsuites>`,
    [
      {
        suite: "Books",
        className: "Books",
        name: "[It] Book has pages",
        seconds: 0.1,
        verdict: "failed",
        message: "Expected\n    <int>: 1\nto equal\n    <int>: 2",
        details: "[FAILED] Expected",
      },
      { suite: "Books", className: "Books", name: "[It] later", verdict: "skipped", message: "skipped" },
    ],
  ],
  [
    "pytest",
    `<testsuites name="pytest tests"><testsuite name="pytest" errors="1"><testcase classname="tests.test_a.TestB" name="test_x[1-2]" file="tests/test_a.py" line="4" time="0.001"><error message="failed on setup with &quot;OSError: boom&quot;">E   OSError: #x1B[31mboom</error><system-out>x</system-out></testcase></testsuite></testsuites>`,
    [
      {
        suite: "pytest",
        className: "tests.test_a.TestB",
        name: "test_x[1-2]",
        file: "tests/test_a.py",
        line: 4,
        seconds: 0.001,
        verdict: "error",
        message: 'failed on setup with "OSError: boom"',
        details: "E   OSError: \x1b[31mboom",
      },
    ],
  ],
  [
    "jest-junit",
    `<testsuites name="jest tests"><testsuite name="sum" file="sum.test.js"><testcase classname="sum adds" name="sum adds" time="0.004"><failure>Error: expect(received).toBe(expected)
    at Object.toBe (/src/sum.test.js:3:1)</failure></testcase></testsuite></testsuites>`,
    [
      {
        suite: "sum",
        className: "sum adds",
        name: "sum adds",
        file: "sum.test.js",
        seconds: 0.004,
        verdict: "failed",
        details: "Error: expect(received).toBe(expected)\n    at Object.toBe (/src/sum.test.js:3:1)",
      },
    ],
  ],
  [
    "Surefire: a rerun that failed, a flaky one, an assumption",
    `<testsuite name="com.x.FooTest" time="1,234.5">
      <testcase name="testAdd" classname="com.x.FooTest" time="1,234.5">
        <failure message="expected: &lt;3&gt;" type="E"><![CDATA[E: expected: <3>
	at com.x.FooTest.testAdd(FooTest.java:12)]]></failure>
        <rerunFailure message="second" type="E"><stackTrace>second</stackTrace></rerunFailure>
        <system-out><![CDATA[noise]]></system-out>
      </testcase>
      <testcase name="testFlaky" classname="com.x.FooTest" time=""><flakyFailure message="once" type="E"><stackTrace>x</stackTrace></flakyFailure></testcase>
      <testcase name="testSkipped" classname="com.x.FooTest"><skipped/></testcase>
    </testsuite>`,
    [
      {
        suite: "com.x.FooTest",
        className: "com.x.FooTest",
        name: "testAdd",
        seconds: 1234.5,
        verdict: "failed",
        message: "expected: <3>",
        details: "E: expected: <3>\n\tat com.x.FooTest.testAdd(FooTest.java:12)",
      },
      { suite: "com.x.FooTest", className: "com.x.FooTest", name: "testFlaky", isFlaky: true },
      { suite: "com.x.FooTest", className: "com.x.FooTest", name: "testSkipped", verdict: "skipped" },
    ],
  ],
  [
    "nested suites, an error and a failure, a status alone",
    `<testsuites><testsuite name="outer" file="o.spec"><testsuite name="inner">
      <testcase name="both"><error message="teardown"/><failure message="first"/><failure message="second"/></testcase>
      <testcase name="off" status="notrun"/></testsuite><testcase name="of outer"/></testsuite></testsuites>`,
    [
      { suite: "inner", file: "o.spec", name: "both", verdict: "failed", message: "first" },
      { suite: "inner", file: "o.spec", name: "off", verdict: "skipped" },
      { suite: "outer", file: "o.spec", name: "of outer" },
    ],
  ],
  [
    "elements and attributes that JavaScript's objects have names of",
    `<testsuite name="s"><testcase name="a" constructor="x"><constructor message="x">y</constructor><__proto__/></testcase></testsuite>`,
    [{ suite: "s", name: "a" }],
  ],
  ["a test case alone, as kubetest2's kin write it", `<testcase name="Up"/>`, [{ name: "Up" }]],
])("reads %s", async (_name, xml, tests) => {
  expect(await read(xml)).toEqual({ tests: tests.map((record) => ({ ...blank, ...record })), problems: [] });
});

test.each<[string, number]>([
  ["", 0],
  ["0.25", 0.25],
  ["1,234.5", 1234.5],
  ["1,234,567", 1_234_567],
  ["1,234", 1234],
  ["0,125", 0.125],
  ["2,5", 2.5],
  ["1.5e-05", 1.5e-5],
  ["-1", 0],
  ["NaN", 0],
  ["Infinity", 0],
  ["3s", 0],
])("a time of %j is %d seconds", async (time, seconds) => {
  expect((await read(`<testsuite><testcase name="a" time="${time}"/></testsuite>`)).tests[0]!.seconds).toBe(seconds);
});

const umlauts = (declared: string) => `${declared}<testsuite name="Prüfung"><testcase name="größer"/></testsuite>`;
const bom = "\uFEFF";
const swapped = (text: string) => Buffer.from(text, "utf16le").swap16();

test.each<[string, Buffer]>([
  ["UTF-8", Buffer.from(umlauts(""))],
  ["UTF-8 with a mark", Buffer.from(bom + umlauts('<?xml version="1.0" encoding="utf-8"?>'))],
  ["UTF-16, little end first", Buffer.from(bom + umlauts('<?xml version="1.0" encoding="UTF-16"?>'), "utf16le")],
  ["UTF-16, big end first", swapped(bom + umlauts('<?xml version="1.0" encoding="UTF-16"?>'))],
  ["UTF-16 without a mark", swapped(umlauts('<?xml version="1.0" encoding="UTF-16BE"?>'))],
  ["Latin-1", Buffer.from(umlauts(`<?xml version='1.0' encoding='ISO-8859-1' standalone='yes'?>`), "latin1")],
  ["UTF-8 that calls itself UTF-16", Buffer.from(umlauts('<?xml version="1.0" encoding="UTF-16"?>'))],
  ["UTF-8 that calls itself something unknown", Buffer.from(umlauts('<?xml version="1.0" encoding="klingon"?>'))],
])("reads %s, in any chunks", async (_name, bytes) => {
  for (const size of [1, 3, 1000]) {
    const { tests, problems } = await readJunit(chunks(bytes, size), "j.xml");
    expect(tests.map(({ suite, name }) => [suite, name])).toEqual([["Prüfung", "größer"]]);
    expect(problems).toEqual([]);
  }
});

const two = `<testsuite name="s">\n<testcase name="a"/>\n<testcase name="b"><failure message="m">text`;

test.each<[string, string, string[], string]>([
  ["cut off in a text", two, ["b", "m", "text"], "j.xml:3:44: the XML is broken: unclosed tag: failure; what comes after it is not read"],
  [
    "cut off in a tag",
    `${two}</failure></testcase><testcase name="c`,
    ["b", "m", "text"],
    "j.xml:3:82: the XML is broken: unclosed tag: testsuite; what comes after it is not read",
  ],
  [
    "a tag that is closed by another",
    `${two}</testcase><testcase name="c"/>`,
    ["b", "m", "text"],
    "j.xml:3:55: the XML is broken: unexpected close tag; what comes after it is not read",
  ],
  [
    "a bare ampersand",
    `${two} & more; </failure></testcase><testcase name="c"/></testsuite>`,
    ["b", "m", "text"],
    "j.xml:3:52: the XML is broken: disallowed character in entity name; what comes after it is not read",
  ],
])("%s: what was read before is kept", async (_name, xml, [name, message, details], problem) => {
  const { tests, problems } = await read(xml);
  expect(tests.slice(0, 2)).toEqual([
    { ...blank, suite: "s", name: "a" },
    { ...blank, suite: "s", name, message, details, verdict: "failed" },
  ]);
  expect(tests).toHaveLength(2);
  expect(problems).toEqual([problem]);
});

test.each<[string, string, string]>([
  ["nothing", "", "j.xml:1:1: the XML is broken: document must contain a root element; what comes after it is not read"],
  ["another kind of XML", "<html><body/></html>", "j.xml:1:20: no test suite is in it: this is no JUnit file"],
  ["no XML", "--- FAIL: TestX", "j.xml:1:15: not valid XML: text data outside of root node"],
])("%s is a problem", async (_name, xml, problem) => {
  const { tests, problems } = await read(xml);
  expect(tests).toEqual([]);
  expect(problems).toContain(problem);
});

test("control characters are tolerated and told once", async () => {
  const { tests, problems } = await read(
    `<testsuite>\n<testcase name="a">\n<failure message="\x1b[31mred&#x1b;[0m &#27;[1m">\x1b[1mbold\x00</failure></testcase><testcase name="b"/></testsuite>`,
  );
  expect(tests.map(({ name, message, details }) => [name, message, details])).toEqual([
    ["a", "\x1b[31mred\x1b[0m \x1b[1m", "\x1b[1mbold\x00"],
    ["b", "", ""],
  ]);
  expect(problems).toEqual([
    "j.xml:3:19: not valid XML: disallowed character (3 times)",
    "j.xml:3:32: not valid XML: malformed character entity (2 times)",
  ]);
});

test("documents that were joined are read, each of them", async () => {
  const one = `<?xml version="1.0"?>\n<testsuite><testcase name="a"/></testsuite>\n`;
  const { tests, problems } = await read(one + one);
  expect(tests).toHaveLength(2);
  expect(problems).toHaveLength(3);
});

// -- bombs ----------------------------------------------------------------------------------------------------------------

const entities = Array.from({ length: 20 }, (_, i) => `<!ENTITY e${i + 1} "${`&e${i};`.repeat(10)}">`).join("");

test.each<[string, () => string, RegExp]>([
  [
    "a billion laughs",
    () => `<!DOCTYPE x [<!ENTITY e0 "ha">${entities}]><testsuite><testcase name="&e20;"/></testsuite>`,
    /a document type is refused/,
  ],
  [
    "an external entity",
    () => `<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite><testcase name="&x;"/></testsuite>`,
    /a document type is refused/,
  ],
  ["elements in elements", () => "<testsuite>".repeat(100_000), /elements nest more than 64 deep/],
  [
    "attributes",
    () => `<testsuite ${Array.from({ length: 100_000 }, (_, i) => `a${i}=""`).join(" ")}>`,
    /an element has too many attributes/,
  ],
  ["a name", () => `<testsuite><${"x".repeat(1_000_000)}/>`, /a name is too long/],
  ["an entity's name", () => `<testsuite>&${"x".repeat(1_000_000)};`, /a name is too long/],
  ["control characters", () => `<testsuite>${"\x01".repeat(limits.junitXmlErrors + 1)}`, /the XML has too many errors/],
])("a bomb of %s is harmless", async (_name, xml, problem) => {
  const { tests, problems } = await read(xml());
  expect(tests).toEqual([]);
  expect(problems.at(-1)).toMatch(problem);
});

test("more tests than the bound are not read", async () => {
  const { tests, problems } = await read(`<testsuite>${`<testcase name="a"/>`.repeat(limits.junitTests + 5)}</testsuite>`);
  expect(tests).toHaveLength(limits.junitTests);
  expect(problems).toEqual([`j.xml:1:2000031: the file has more than ${limits.junitTests} tests; what comes after it is not read`]);
});

test("long texts lose their middle, and what comes after them is read", async () => {
  const long = "]x".repeat(2_000_000);
  const { tests, problems } = await read(
    `<testsuite><testcase name="a"><system-out><![CDATA[${long}]]></system-out><failure message="m${long}">begin${long}end</failure></testcase><testcase name="b${long}"/></testsuite>`,
  );
  const [a, b] = tests;
  expect(a!.message.length).toBeLessThan(limits.junitMessageChars + 10);
  expect(a!.details.length).toBeLessThan(limits.junitDetailsChars + 10);
  expect(a!.details).toMatch(/^begin[^]*\n\[…\]\n[^]*end$/);
  expect(b!.name).toHaveLength(limits.junitNameChars);
  expect(problems).toEqual([]);
});

test("all texts together are bounded; the tests themselves are kept", async () => {
  const failed = `<testcase name="a"><failure message="m">${"x".repeat(60_000)}</failure></testcase>`;
  const count = Math.ceil(limits.junitKeptChars / 60_000) + 10;
  const { tests, problems } = await read(`<testsuite>${failed.repeat(count)}</testsuite>`);
  expect(tests).toHaveLength(count);
  expect(tests.filter(({ details }) => details === "").length).toBeGreaterThan(9);
  expect(problems.at(-1)).toMatch(
    /the texts of all failures are longer than \d+ characters: those from here on are left out \(\d+ times\)/,
  );
});

test("bytes beyond the bound are not read", async () => {
  const head = Buffer.from(`<testsuite><testcase name="a"/><!--`);
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield head;
    for (;;) yield Buffer.alloc(1 << 22, " ");
  }
  const { tests, problems } = await readJunit(endless(), "j.xml");
  expect(tests).toHaveLength(1);
  expect(problems[0]!.message).toBe(`the file has more than ${limits.junitFileBytes} bytes; what comes after it is not read`);
});

test("any mutilated file is read without an error", async () => {
  const whole = `<?xml version="1.0" encoding="UTF-8"?><testsuites><testsuite name="s"><testcase name="a" time="1"><failure message="m"><![CDATA[x]]>&lt;</failure></testcase></testsuite></testsuites>`;
  const parts = fc.array(fc.oneof(fc.constantFrom(...whole.split(/(?=[<>"&\s])/)), fc.string({ maxLength: 5 })), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(parts, fc.integer({ min: 1, max: 20 }), async (mixed, size) => {
      const { tests } = await readJunit(chunks(Buffer.from(mixed.join("")), size), "j.xml");
      for (const { seconds } of tests) expect(Number.isFinite(seconds)).toBe(true);
    }),
    { numRuns: 300 },
  );
});

const escaped = (text: string, more: RegExp = /[&<>]/g) => text.replaceAll(more, (character) => `&#${character.codePointAt(0)};`);
const attribute = (text: string) => `"${escaped(text, /[&<>"\n\r\t]/g)}"`;

test("whatever a writer writes by the rules is read as it was meant, however the bytes come", async () => {
  // No control characters, which XML cannot hold, and no spaces at the ends, which details lose.
  const words = fc.string({ unit: "grapheme", maxLength: 12 }).map((text) => text.replaceAll(/\p{C}/gu, "").trim());
  const outcome = fc.record({
    verdict: fc.constantFrom("failed" as const, "error" as const, "skipped" as const),
    message: words,
    details: words,
    isCdata: fc.boolean(),
  });
  const testcase = fc.record({
    name: words,
    className: words,
    seconds: fc.nat(100_000).map((ms) => ms / 1000),
    outcome: fc.option(outcome),
  });
  const suites = fc.array(fc.record({ suite: words, tests: fc.array(testcase, { maxLength: 4 }), isNested: fc.boolean() }), {
    maxLength: 4,
  });
  const tags = { failed: "failure", error: "error", skipped: "skipped" };
  type Outcome = { verdict: keyof typeof tags; message: string; details: string; isCdata: boolean };
  const written = ({ verdict, message, details, isCdata }: Outcome) => {
    const text = isCdata ? `<![CDATA[${details.replaceAll("]]>", "]]]]><![CDATA[>")}]]>` : escaped(details);
    return `<${tags[verdict]} message=${attribute(message)}>${text}</${tags[verdict]}>`;
  };
  await fc.assert(
    fc.asyncProperty(suites, fc.integer({ min: 1, max: 50 }), async (all, size) => {
      const expected: object[] = [];
      const xml = all.map(({ suite, tests, isNested }) => {
        const cases = tests.map(({ name, className, seconds, outcome: end }) => {
          const { verdict = "passed", message = "", details = "" } = end ?? {};
          expected.push({ suite, className, name, seconds, verdict, isFlaky: false, message, details });
          const inside = end ? written(end) : "";
          return `<testcase time="${seconds}" classname=${attribute(className)} name=${attribute(name)}>${inside}</testcase>`;
        });
        const one = `<testsuite name=${attribute(suite)}>${cases.join("\n")}</testsuite>`;
        if (!isNested) return one;
        expected.push({ ...blank, suite: "outer", name: "after" });
        return `<testsuite name="outer">${one}<testcase name="after"/></testsuite>`;
      });
      const report = await readJunit(chunks(Buffer.from(`<testsuites>${xml.join("")}</testsuites>`), size), "j.xml");
      expect(report.tests).toEqual(expected);
      if (expected.length > 0) expect(report.problems).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

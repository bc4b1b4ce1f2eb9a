import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { limits } from "../base/limits.ts";
import { locateFailures } from "./locate.ts";
import { readJunit, type TestRecord } from "./read.ts";

const corpus = join(import.meta.dirname, "testdata", "corpus");
const cases = readdirSync(corpus).filter((name) => /^\d/.test(name));

interface Expected {
  className: string;
  test: string;
  lines: number[];
}

/** The failed tests of one case: which of them have a line that is not right, and how many there are. */
async function judge(folder: string): Promise<{ wrong: string[]; count: number }> {
  const read = (name: string) => readFileSync(join(corpus, folder, name));
  const { tests, problems } = await readJunit(read("junit.xml").toString(), `${folder}/junit.xml`);
  expect(problems).toEqual([]);
  const failed = tests.filter(({ verdict }) => verdict === "failed" || verdict === "error");
  const expected = JSON.parse(read("expected.json").toString()) as Expected[];
  expect(failed.map(({ className, name }) => [className, name])).toEqual(expected.map((one) => [one.className, one.test]));
  const found = await locateFailures(tests, [read("log.txt")]);
  const wrong = failed.flatMap((record, i) => {
    const line = found.get(record);
    const right = expected[i]!.lines;
    return line !== undefined && right.includes(line) ? [] : [`${folder}: ${record.name}: line ${line}, right is ${right.join(" or ")}`];
  });
  return { wrong, count: failed.length };
}

// What each part is, and its score: testdata/corpus/README.md.
test.each([
  ["01 to 49, odd", cases.filter((name) => Number.parseInt(name, 10) <= 50 && Number.parseInt(name, 10) % 2 === 1), 25],
  ["02 to 50, even", cases.filter((name) => Number.parseInt(name, 10) <= 50 && Number.parseInt(name, 10) % 2 === 0), 25],
  ["51 and on, held out", cases.filter((name) => Number.parseInt(name, 10) > 50), 8],
])("finds at least 90 %% of the corpus, %s", async (_part, folders, atLeast) => {
  expect(folders.length).toBeGreaterThanOrEqual(atLeast);
  const judged = await Promise.all(folders.map(judge));
  const wrong = judged.flatMap((one) => one.wrong);
  const count = judged.reduce((sum, one) => sum + one.count, 0);
  expect(wrong.length / count, wrong.join("\n")).toBeLessThanOrEqual(0.1);
});

const record = (name: string, details: string, more: Partial<TestRecord> = {}): TestRecord => ({
  suite: "shop",
  className: "shop",
  name,
  seconds: 0,
  verdict: "failed",
  isFlaky: false,
  message: "Failed",
  details,
  ...more,
});
const lines = (...all: string[]) => [Buffer.from(all.map((line) => `${line}\n`).join(""))];

test("nothing is found where nothing failed, where the log is empty, and where it is another's", async () => {
  const failed = record("TestX", "    x_test.go:12: boom");
  expect(await locateFailures([record("TestX", "boom", { verdict: "passed" })], lines("x_test.go:12: boom"))).toEqual(new Map());
  expect(await locateFailures([failed], [])).toEqual(new Map());
  expect(await locateFailures([failed], lines("Building shop", "y_test.go:99: other", "done"))).toEqual(new Map());
});

test("lines count from the number that is given, and a last line needs no end", async () => {
  const failed = record("TestX", "    x_test.go:12: boom");
  expect([...(await locateFailures([failed], lines("=== RUN   TestX", "    x_test.go:12: boom"), 100)).values()]).toEqual([101]);
  expect([...(await locateFailures([failed], [Buffer.from("=== RUN   TestX\r\n    x_test.go:12: boom")])).values()]).toEqual([2]);
});

test("how the log is cut into chunks does not matter", async () => {
  const folder = join(
    corpus,
    cases.find((name) => name.endsWith("ginkgo-panic-color"))!,
  );
  const { tests } = await readJunit(readFileSync(join(folder, "junit.xml"), "utf8"), "junit.xml");
  const log = readFileSync(join(folder, "log.txt"));
  const whole = await locateFailures(tests, [log]);
  for (const size of [1, 7, 100]) {
    const chunks = Array.from({ length: Math.ceil(log.length / size) }, (_, i) => log.subarray(i * size, (i + 1) * size));
    expect(await locateFailures(tests, chunks)).toEqual(whole);
  }
});

test("twins whose failures have the same words get one place each, in order", async () => {
  const twins = [record("TestX", "x_test.go:12: boom"), record("TestX", "x_test.go:12: boom"), record("TestX", "x_test.go:12: boom")];
  const once = ["=== RUN   TestX", "    x_test.go:12: boom", "--- FAIL: TestX (0.00s)"];
  const found = await locateFailures(twins, lines(...once, ...once, ...once));
  expect(twins.map((twin) => found.get(twin))).toEqual([2, 5, 8]);
});

test("a name that begins another is not that other", async () => {
  const [a, ab] = [record("TestA", "not ready"), record("TestAB", "not ready")];
  const found = await locateFailures([a, ab], lines("=== RUN   TestAB", "not ready", "=== RUN   TestA", "not ready"));
  expect([found.get(a), found.get(ab)]).toEqual([4, 2]);
});

test("a line of 10 MB, and one that is no text, are passed", async () => {
  const failed = record("TestX", "x_test.go:12: boom");
  const log = [Buffer.alloc(10_000_000, "x"), Buffer.from([0, 255, 254, 10]), ...lines("=== RUN   TestX", "    x_test.go:12: boom")];
  expect([...(await locateFailures([failed], log)).values()]).toEqual([3]);
});

test("lines made to make it slow do not", async () => {
  const failed = record("TestX/some name of it", "Expected x\n".repeat(100));
  const nasty = ["[", "[]", "- ", "(", "a.", "+0x", "TestX ", "TestX/some [", "Expected x "].map(
    (part) => `=== RUN TestX ${part.repeat(2000)}`,
  );
  const before = performance.now();
  await locateFailures([failed], lines(...Array.from({ length: 100 }, () => nasty).flat()));
  // Steps that grow with the square of a line's length would be minutes.
  expect(performance.now() - before).toBeLessThan(10_000);
});

test("very many failures with the same words do not make it slow", async () => {
  const many = Array.from({ length: limits.locateTests }, (_, i) => record(i % 2 ? "TestX" : `Test${i}`, "Expected ready\n".repeat(20)));
  const before = performance.now();
  await locateFailures(many, lines(...Array.from({ length: 20_000 }, () => "TestX: Expected ready")));
  // Each line for each failure would be 40 million steps of many each.
  expect(performance.now() - before).toBeLessThan(20_000);
});

test("more failures than the bound are not looked for", async () => {
  const many = Array.from({ length: limits.locateTests + 10 }, (_, i) => record(`Test${i}`, `x_test.go:${i + 1}: boom ${i}`));
  const log = lines(...many.flatMap(({ name, details }) => [`=== RUN   ${name}`, details]));
  expect((await locateFailures(many, log)).size).toBe(limits.locateTests);
});

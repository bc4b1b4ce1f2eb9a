import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { type Problem, ProblemMatchers } from "./problem-matchers.ts";

let workspace: string;
let problems: Problem[];
let remarks: string[];
let matchers: ProblemMatchers;

beforeEach(() => {
  workspace = mkdtempSync(join(tmpdir(), "matchers-"));
  onTestFinished(() => rmSync(workspace, { recursive: true }));
  for (const name of ["a.go", "b.go"]) writeFileSync(join(workspace, name), "");
  [problems, remarks] = [[], []];
  matchers = new ProblemMatchers({ workspace, onProblem: (problem) => problems.push(problem), onRemark: (text) => remarks.push(text) });
});

const file = (...problemMatcher: object[]) => JSON.stringify({ problemMatcher });
const go = { owner: "go", pattern: [{ regexp: String.raw`^\s*(.+\.go):(\d+)(?::(\d+))?: (.+)`, file: 1, line: 2, column: 3, message: 4 }] };
const print = (text: string, logLine = 1) => {
  matchers.push(Buffer.from(text), logLine);
  matchers.flush(logLine + text.split("\n").length - 1);
};

describe("one line", () => {
  test("file, line, column, message, and its line in the log", () => {
    matchers.add(file(go));
    print("building\na.go:12:3: undefined: x\n\nb.go:7: unused\nfine\n", 40);
    expect(problems).toEqual([
      { level: "error", file: join(workspace, "a.go"), line: 12, column: 3, message: "undefined: x", logLine: 41 },
      { level: "error", file: join(workspace, "b.go"), line: 7, message: "unused", logLine: 43 },
    ]);
  });

  test("in pieces, coloured, with a carriage return, and without its end", () => {
    matchers.add(file(go));
    for (const piece of ["\u001b[31ma.g", "o:1:2: fi\u001b[0mrst\r", "\na.go:3:4: second"]) matchers.push(Buffer.from(piece), 1);
    matchers.flush(2);
    expect(problems.map(({ message }) => message)).toEqual(["first", "second"]);
  });

  test("a file that is not there: the message alone", () => {
    matchers.add(file(go));
    print("none.go:1:2: gone\n");
    expect(problems).toEqual([{ level: "error", message: "gone", line: 1, column: 2, logLine: 1 }]);
  });

  test("severity and code from the line, by default from the matcher; fromPath", () => {
    const regexp = String.raw`^(\w+) (\w+) \[(.*)\] <(.*)> (.*)$`;
    matchers.add(file({ owner: "x", severity: "notice", pattern: [{ regexp, severity: 1, code: 2, file: 3, fromPath: 4, message: 5 }] }));
    writeFileSync(join(workspace, "in.csproj"), "");
    print("WARNING E1 [a.go] <in.csproj> text\nfatal E2 [a.go] <in.csproj> text\n");
    expect(problems).toEqual([{ level: "warning", title: "E1", file: join(workspace, "a.go"), message: "text", logLine: 1 }]);
    expect(remarks).toEqual(['problem matcher x: severity "fatal" is not known']);
    matchers.add(file({ owner: "y", severity: "notice", pattern: [{ regexp: "^note: (.*)", message: 1 }] }));
    print("note: read\n");
    expect(problems.at(-1)).toEqual({ level: "notice", message: "read", logLine: 1 });
  });
});

describe("several lines", () => {
  // ESLint's, from GitHub's documentation.
  const eslint = {
    owner: "eslint-stylish",
    pattern: [
      { regexp: String.raw`^([^\s].*)$`, file: 1 },
      {
        regexp: String.raw`^\s+(\d+):(\d+)\s+(error|warning|info)\s+(.*)\s\s+(.*)$`,
        line: 1,
        column: 2,
        severity: 3,
        message: 4,
        code: 5,
        loop: true,
      },
    ],
  };

  test("a loop keeps what came before it, until a line does not fit", () => {
    matchers.add(file(eslint));
    print(
      "a.go\n  1:0   error  Missing  " +
        "strict\n  5:10  warning  'a' is defined but never used  unused\n\nb.go\n  2:0   error  Other  rule\n   x\n  3:0   error  Lost  rule\n",
    );
    expect(
      problems.map(({ file: path, line, level, message, title }) => [path?.slice(workspace.length + 1), line, level, message, title]),
    ).toEqual([
      ["a.go", 1, "error", "Missing", "strict"],
      ["a.go", 5, "warning", "'a' is defined but never used", "unused"],
      ["b.go", 2, "error", "Other", "rule"],
    ]);
  });

  test("without a loop all of it comes again", () => {
    matchers.add(
      file({
        owner: "o",
        pattern: [
          { regexp: "^in (.*)", file: 1 },
          { regexp: "^at (.*)", line: 1 },
          { regexp: "^: (.*)", message: 1 },
        ],
      }),
    );
    print("in a.go\nat 3\n: wrong\n: again\nat 4\n: again\nin a.go\n: too early\n");
    expect(problems).toEqual([{ level: "error", file: join(workspace, "a.go"), line: 3, message: "wrong", logLine: 3 }]);
  });
});

test("the newest is asked first; one of the same owner replaces; what is removed finds nothing", () => {
  const named = (owner: string, word: string) => ({ owner, pattern: [{ regexp: `(${word}.*)`, message: 1 }] });
  matchers.add(file(named("first", "bad")));
  matchers.add(file(named("second", "b")));
  print("very bad b\n");
  matchers.add(file(named("SECOND", "none")));
  print("very bad b\n");
  matchers.remove("First");
  print("very bad b\n");
  expect(problems.map(({ message }) => message)).toEqual(["bad b", "bad b"]);
  matchers.remove("second");
  expect(matchers.isActive).toBe(false);
});

test("one that takes too long is removed, and the others go on", () => {
  matchers.add(file(go));
  matchers.add(file({ owner: "slow", pattern: [{ regexp: String.raw`^(\w+\s?)*$`, message: 1 }] }));
  const startedMs = performance.now();
  print(`${"word ".repeat(40)}!\na.go:1:2: found\n`);
  expect(performance.now() - startedMs).toBeLessThan(5_000);
  expect(remarks).toEqual([expect.stringMatching(/^problem matcher slow is removed: it took more than/)]);
  expect(problems.map(({ message }) => message)).toEqual(["found"]);
});

/** Takes longer than there is. */
const slow = { owner: "slow", pattern: [{ regexp: String.raw`^(?:(\w+\s?)*|(found: .*))$`, message: 2 }] };
const slowLine = `${"word ".repeat(40)}!\n`;

test("many lines at once that take long together are no reason to remove one, and each problem is told once", () => {
  // Each line is some hundred microseconds of work, all of them many times what one may take.
  const several = {
    owner: "several",
    pattern: [
      { regexp: "^in (.*)", file: 1 },
      { regexp: String.raw`^at (\d+)(?:x*)*y?$`, line: 1, message: 1, loop: true },
    ],
  };
  matchers = new ProblemMatchers({
    workspace,
    onProblem: (problem) => problems.push(problem),
    onRemark: (text) => remarks.push(text),
    matchMs: 20,
  });
  matchers.add(file(go));
  matchers.add(file(several));
  matchers.add(file({ owner: "heavy", pattern: [{ regexp: "(x+x+)+y|(never)", message: 2 }] }));
  const lines = Array.from({ length: 3000 }, (_, i) =>
    i % 10 === 0 ? `a.go:${i}:2: found` : i % 10 === 1 ? "in b.go" : i % 10 === 2 ? `at ${i}` : "x".repeat(14),
  );
  const before = process.cpuUsage();
  print(`${lines.join("\n")}\n`);
  expect(process.cpuUsage(before).user / 1000, "there was something to end").toBeGreaterThan(40);
  expect(remarks).toEqual([]);
  expect(problems.map(({ logLine }) => logLine)).toEqual(lines.flatMap((line, i) => (/^(a\.go|at)/.test(line) ? [i + 1] : [])));
});

test("one that was given no processor is not removed: it leaves out the line", () => {
  matchers = new ProblemMatchers({
    workspace,
    onProblem: (problem) => problems.push(problem),
    onRemark: (text) => remarks.push(text),
    cpuMs: () => 0,
    matchMs: 10,
  });
  matchers.add(file(slow));
  matchers.add(file(go));
  print(`${slowLine}found: it\na.go:1:2: found\n`);
  expect(remarks).toEqual(["problem matcher slow leaves out a line: the machine is too busy to tell whether it would find an end"]);
  expect(problems.map(({ message }) => message)).toEqual(["found: it", "found"]);
});

test("one that needs more than there is, when it is read or when it is used, is removed, and the others go on", () => {
  const startedMs = performance.now();
  matchers.add(file(go));
  matchers.add(file({ owner: "deep", pattern: [{ regexp: "(?:(?:(?:(?:a?){1000}){1000}){1000}){100}(.)", message: 1 }] }));
  print("x\na.go:1:2: found\n");
  expect(performance.now() - startedMs).toBeLessThan(5_000);
  expect(remarks).toEqual([expect.stringMatching(/^problem matcher deep is removed: /)]);
  expect(problems.map(({ message }) => message)).toEqual(["found"]);
});

test.each<[name: string, text: string, message: string]>([
  ["no JSON", "{", "cannot be read"],
  ["no list", "{}", "there is no list problemMatcher"],
  ["no owner", file({ pattern: [] }), "one has no owner"],
  ["no pattern", file({ owner: "o" }), "o has no pattern"],
  ["a bad expression", file({ owner: "o", pattern: [{ regexp: "(", message: 1 }] }), "o: Invalid regular expression"],
  ["no message", file({ owner: "o", pattern: [{ regexp: "x" }] }), "the last pattern has no message"],
  ["no such group", file({ owner: "o", pattern: [{ regexp: "(x)", message: 2 }] }), "message is group 2, and the regexp has 1"],
  ["a loop alone", file({ owner: "o", pattern: [{ regexp: "(x)", message: 1, loop: true }] }), "loop is for the last of several"],
  [
    "a loop first",
    file({
      owner: "o",
      pattern: [
        { regexp: "(x)", loop: true },
        { regexp: "(x)", message: 1 },
      ],
    }),
    "loop is for the last of several",
  ],
  ["a bad severity", file({ owner: "o", severity: "bad", pattern: [] }), "severity must be error, warning or notice"],
])("%s is refused", (_, text, message) => {
  expect(() => matchers.add(text)).toThrow(message);
});

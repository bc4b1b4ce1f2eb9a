import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { InvalidError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { readWorkflow } from "./read.ts";

const testdata = new URL("testdata/", import.meta.url);
const read = (name: string) => readFileSync(new URL(name, testdata), "utf8");

function problemsOf(text: string, file = "f.yml"): string[] {
  try {
    readWorkflow(text, file);
    return [];
  } catch (error) {
    if (error instanceof InvalidError) return error.message.split("\n");
    throw error;
  }
}

describe("files that are wrong: every problem, in the order of the file", () => {
  const files = readdirSync(testdata).filter((name) => /^invalid-.*\.yml$/.test(name));
  test.each(files)("%s", (name) => {
    expect(problemsOf(read(name), name)).toEqual(read(name.replace(".yml", ".txt")).trimEnd().split("\n"));
  });
});

test("every key that works", () => {
  const { name, on, jobs } = readWorkflow(read("valid-everything.yml"), "f.yml");
  expect(name).toBe("Everything");
  expect(on).toEqual({
    push: { branches: ["main", "releases/**", "!releases/**-alpha"], tagsIgnore: ["wip-*"] },
    pull_request: { types: ["opened", "reopened"], branchesIgnore: ["wip/**"] },
  });
  const [plan, testJob, empty] = jobs;
  expect(plan).toMatchObject({
    id: "plan",
    place: { file: "f.yml", line: 17, column: 3 },
    needs: [],
    outputs: { cells: "${{ steps.cells.outputs.cells }}" },
  });
  expect(plan!.env).toEqual({ NUMBER: "1.1", BOOLEAN: "true", EMPTY: "", TOKEN: "${{ secrets.TOKEN }}", WHICH: "workflow" });
  expect(plan!.steps).toEqual([
    {
      id: "cells",
      name: "Which cells for ${{ github.ref }}",
      run: `echo 'cells=["a", "b"]' >> $GITHUB_OUTPUT`,
      shell: "sh",
      workingDirectory: "ci",
      if: "${{ !cancelled() && hashFiles('go.sum') != '' }}",
      continueOnError: "${{ github.event_name == 'push' }}",
      timeoutMinutes: "1.5",
      env: { NAME: "${{ matrix.x }}" },
    },
    { uses: "actions/checkout@v5", with: { "fetch-depth": "0", "persist-credentials": "false" } },
  ]);
  expect(testJob).toMatchObject({
    id: "test",
    name: { text: "Test ${{ matrix.cell }}" },
    needs: ["plan"],
    condition: { text: "always() && needs.plan.result == 'success'", place: { line: 36, column: 9 } },
    failFast: { value: false },
    maxParallel: { value: 2 },
    clusters: [{ name: "cluster" }, { name: "other" }],
    env: { WHICH: "job", BOOLEAN: "true" },
  });
  expect(empty).toMatchObject({ id: "empty-keys", needs: [], steps: [{ run: "true" }] });
  expect(empty).not.toHaveProperty("name");
});

test("anchors stand for what they were put on", () => {
  const { jobs } = readWorkflow(read("valid-anchors.yml"), "f.yml");
  const steps = [{ uses: "actions/checkout@v5" }, { run: "make" }];
  expect(jobs.map((job) => [job.id, job.env, job.steps])).toEqual([
    ["a", { A: "1" }, steps],
    ["b", { A: "1" }, steps],
    ["c", { A: "1" }, [steps[0], { run: "make c" }]],
    ["d", {}, steps],
  ]);
});

const workflow = (job: string) => `on: push\njobs: {a: ${job}}\n`;
const bomb = [
  "x: &a [x, x, x, x, x, x, x, x, x, x]",
  ..."bcdef".split("").map((key, i) => `${key}: &${key} [${Array(10).fill(`*${"abcdef"[i]}`).join(", ")}]`),
].join("\n");

test.each<[string, string, unknown]>([
  ["an empty file", "", ["f.yml:1:1: is empty: a workflow has `on` and `jobs`"]],
  ["comments alone", "# nothing\n", ["f.yml:1:1: is empty: a workflow has `on` and `jobs`"]],
  ["null", "---\n~\n", ["f.yml:2:1: must be a map, and is empty"]],
  ["a list", "- on\n", ["f.yml:1:1: must be a map, and is a list"]],
  ["no on, no jobs", "name: x\n", ["f.yml:1:1: on: is required", "f.yml:1:1: jobs: is required"]],
  ["on that is empty", "on: {}\njobs: {a: {steps: [run: x]}}\n", ["f.yml:1:5: on: must name an event: push, pull_request"]],
  ["no jobs in jobs", "on: push\njobs: {}\n", ["f.yml:2:1: jobs: must have at least one job"]],
  ["two documents", "on: push\n---\non: push\n", ["f.yml:2:1: is a second document: a file has one alone"]],
  ["Windows line ends", "on: push\r\njobs:\r\n  a:\r\n    steps:\r\n      - run: |\r\n          a\r\n          b\r\n", []],
  [
    "a place in a block with Windows line ends",
    "on: push\r\njobs:\r\n  a:\r\n    steps:\r\n      - run: |\r\n          a\r\n          b ${{ x }}\r\n",
    [expect.stringMatching(/^f\.yml:7:17: /)],
  ],
  [
    "a place in a block after empty lines",
    workflow("\n    {steps: [{run: x}]}\n").replace("{run: x}", '{run: "a\\n${{ x }}"}'),
    [expect.stringMatching(/^f\.yml:3:20: /)],
  ],
  ["an alias bomb", `${bomb}\non: push\njobs: *f\n`, ["f.yml:5:16: has more than 50000 values, with its aliases followed"]],
  ["nesting without end", "[".repeat(50_000), [expect.stringMatching(/^f\.yml:1:\d+: is nested too deeply$/)]],
  [
    "nesting that the parser takes",
    `on: push\njobs: ${"[".repeat(100)}${"]".repeat(100)}\n`,
    [expect.stringMatching(/^f\.yml:2:\d+: is nested too deeply$/)],
  ],
  ["a file that is too large", "#".repeat(600_000), ["f.yml:1:1: is larger than 512 KiB"]],
  [
    "a name that is too long",
    workflow(`{name: x, steps: [{name: ${"x".repeat(1025)}, run: x}]}`),
    ["f.yml:2:29: jobs.a.steps[0].name: is longer than 1024 characters"],
  ],
  [
    "a value that is too long",
    workflow(`{env: {A: ${"x".repeat(65_537)}}, steps: [{run: x}]}`),
    ["f.yml:2:17: jobs.a.env.A: is longer than 65536 characters"],
  ],
  [
    "a job that is too large, by aliases",
    `on: push\njobs:\n  a:\n    steps:\n      - run: &x ${"x".repeat(200_000)}\n      - run: *x\n`,
    [`f.yml:3:3: jobs.a: holds 400000 characters, and can hold at most ${limits.workflowJobCharacters}: put scripts into files`],
  ],
  [
    "1,001 jobs",
    `on: push\njobs:\n${Array.from({ length: 1001 }, (_, i) => `  j${i}: {steps: [{run: x}]}\n`).join("")}`,
    ["f.yml:2:1: jobs: has 1001 jobs, and can have at most 1000"],
  ],
  [
    "1,001 steps",
    workflow(`{steps: [${"{run: x}, ".repeat(1001)}]}`),
    ["f.yml:2:12: jobs.a.steps: has 1001 steps, and can have at most 1000"],
  ],
  [
    "257 needs",
    `on: push\njobs:\n  a: {needs: [${Array.from({ length: 257 }, (_, i) => `j${i}`).join(", ")}], steps: [{run: x}]}\n${Array.from({ length: 257 }, (_, i) => `  j${i}: {steps: [{run: x}]}\n`).join("")}`,
    ["f.yml:3:3: jobs.a.needs: names 257 jobs, and can name at most 256"],
  ],
  [
    "names with dots",
    `on: {push: {}, push.branches: [a]}\non.push: x\njobs: {a: {steps: [{run: x}], strategy.matrix: {a: [1]}, "steps[*].run": x}}\n`,
    [
      'f.yml:1:16: on["push.branches"]: is not an event that is known',
      'f.yml:2:1: ["on.push"]: is not a known key',
      'f.yml:3:31: jobs.a["strategy.matrix"]: is not a known key',
      'f.yml:3:58: jobs.a["steps[*].run"]: is not a known key',
    ],
  ],
  [
    "more problems than are shown",
    workflow(`{steps: [{run: "${"${{ x }}".repeat(300)}"}]}`),
    expect.arrayContaining([expect.stringMatching(/^f\.yml:2:\d+: and 200 more problems from here on$/)]),
  ],
  ["a key of the prototype", workflow("{__proto__: {x: 1}, steps: [{run: x}]}"), ["f.yml:2:12: jobs.a.__proto__: is not a known key"]],
  [
    "a matrix that is known in part is not judged",
    workflow("{strategy: {matrix: {a: [1], b: '${{ fromJSON(vars.B) }}'}}, steps: [{run: x}]}"),
    [],
  ],
  [
    "a cluster from the matrix",
    workflow("{strategy: {matrix: {c: [{provider: kind}]}}, cluster: '${{ matrix.c }}', steps: [{run: x}]}"),
    [],
  ],
  ["labels from the matrix", workflow("{strategy: {matrix: {os: [linux]}}, runs-on: ['${{ matrix.os }}', x64], steps: [{run: x}]}"), []],
  [
    "a chain of jobs that is long",
    `on: push\njobs:\n  j0: {steps: [{run: x}]}\n${Array.from({ length: 999 }, (_, i) => `  j${i + 1}: {needs: j${i}, steps: [{run: x}]}\n`).join("")}`,
    [],
  ],
])("%s", (_, text, expected) => {
  expect(problemsOf(text)).toEqual(expected);
});

test("any text at all is a workflow, or refused with places", () => {
  const piece = fc.constantFrom(
    "on",
    "jobs",
    "steps",
    "run",
    ": ",
    "\n",
    "  ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "${{ ",
    " }}",
    "github",
    "'",
    '"',
    "|",
    ">",
    "&a ",
    "*a",
    "<<",
    "matrix",
    "strategy",
    "cluster",
    "!",
    "#",
    "push",
    "x",
    "1",
    ",",
    "\t",
  );
  const valid = read("valid-everything.yml").split("\n");
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join("")),
    // A valid file with one line replaced, which gets further in.
    fc
      .tuple(fc.nat(valid.length - 1), fc.array(piece, { maxLength: 6 }))
      .map(([line, pieces]) => valid.with(line, pieces.join("")).join("\n")),
  );
  fc.assert(
    fc.property(text, (value) => {
      for (const problem of problemsOf(value)) expect(problem).not.toBe("");
    }),
    { numRuns: 500 },
  );
});

/** A file of YAML, read. */
type Tree = { [key: string]: Tree };

test("a workflow with any of its values replaced by another is a workflow, or refused with places", () => {
  const valid = parse(read("valid-everything.yml")) as Tree;
  const pathsIn = (tree: unknown, path: string[] = []): string[][] =>
    typeof tree === "object" && tree !== null
      ? [path, ...Object.entries(tree).flatMap(([key, child]) => pathsIn(child, [...path, key]))]
      : [path];
  const other = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom<unknown[]>(
      "",
      "${{",
      "${{ x }}",
      "${{ secrets.A }}",
      "${{ fromJSON('[') }}",
      "**",
      "[a",
      "!",
      "-1",
      "1e999",
      "A",
      "kind",
      "__proto__",
    ),
    fc.constantFrom<unknown[]>(
      null,
      true,
      0,
      -1,
      1e9,
      [],
      {},
      [[]],
      [{}],
      { a: null },
      { a: [] },
      { include: [1] },
      { exclude: [{ b: 1 }] },
      ["a", "a"],
    ),
  );
  const seen = new Set<boolean>();
  fc.assert(
    fc.property(fc.constantFrom(...pathsIn(valid).slice(1)), other, (path, value) => {
      const tree = structuredClone(valid);
      const last = path.at(-1)!;
      const parent = path.slice(0, -1).reduce((at, key) => at[key]!, tree);
      Object.defineProperty(parent, last, { value, enumerable: true });
      const problems = problemsOf(JSON.stringify(tree));
      seen.add(problems.length > 0);
      for (const problem of problems) expect(problem).toMatch(/^f\.yml:1:\d+: ./);
    }),
    { numRuns: 500 },
  );
  expect(seen.size, "some are refused, and some are not").toBe(2);
});

test("500 typical files take at most 4 s of CPU, and a file of 500 KiB at most 3", () => {
  const typical = read("valid-everything.yml");
  const large = `on: push\njobs:\n${Array.from({ length: 900 }, (_, i) => `  j${i}:\n    runs-on: ubuntu-latest\n    steps:\n${`      - name: Step\n        run: make \${{ github.sha }} && \${{ github.ref }}\n        env: {A: "1", B: "\${{ secrets.B }}"}\n`.repeat(4)}`).join("")}`;
  expect(large.length).toBeGreaterThan(450_000);
  const cpuSeconds = (work: () => void) => {
    const before = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  };
  expect(cpuSeconds(() => Array.from({ length: 500 }, () => readWorkflow(typical, "f.yml")))).toBeLessThan(4);
  expect(cpuSeconds(() => expect(problemsOf(large)).toEqual([]))).toBeLessThan(3);
});

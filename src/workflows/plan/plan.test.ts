import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SeatrialError } from "../../base/errors.ts";
import type { Verdict } from "../../resources/verdict.ts";
import { jobRunName } from "./job-run-views.ts";
import { planRun, type RunPlan } from "./plan.ts";
import { selectJobs } from "./select.ts";
import { aborted, created, job, Simulated, workflowOf } from "./testdata/simulated.ts";

test("jobs are made when all that they need has ended", () => {
  const run = new Simulated(`a: ${job()}\nb: ${job("needs: a")}\nc: ${job("needs: a")}\nd: ${job("needs: [b, c]")}`);
  expect(run.step()).toMatchObject({
    create: [{ name: "r-a-0" }],
    abort: [],
    status: { phase: "Pending", counts: { waiting: 4 }, total: 4 },
  });
  expect(run.step()).toMatchObject({ create: [], status: { phase: "Running", counts: { waiting: 4 }, total: 4 } });
  run.jobRuns[0]!.status = { phase: "Booting" };
  expect(run.step()).toMatchObject({ create: [], status: { counts: { running: 1, waiting: 3 } } });
  run.end("a", "passed");
  expect(created(run.step())).toEqual(["b", "c"]);
  expect(created(run.end("b", "passed").step())).toEqual([]);
  expect(created(run.end("c", "passed").step())).toEqual(["d"]);
  run.end("d", "passed");
  expect(run.step()).toEqual({
    create: [],
    again: [],
    abort: [],
    status: { phase: "Finished", verdict: "passed", counts: { passed: 4 }, total: 4 },
  });
});

describe("a job after others: which are made, by how `a` ended (b needs a, c needs b)", () => {
  test.each<[string, Verdict, string, string, string[]]>([
    ["passed", "passed", "", "", ["b", "c"]],
    ["failed: all after it are skipped", "failed", "", "", ["skip b", "skip c"]],
    ["error counts as failure", "error", "if: failure()", "", ["b", "skip c"]],
    ["timed out counts as failure", "timed-out", "if: failure()", "", ["b", "skip c"]],
    ["aborted is neither", "aborted", "if: failure()", "", ["skip b", "skip c"]],
    ["skipped is no success", "skipped", "", "", ["skip b", "skip c"]],
    ["always()", "failed", "if: always()", "if: always()", ["b", "c"]],
    ["success() looks at all ancestors", "failed", "if: always()", "", ["b", "skip c"]],
    ["failure() looks at all ancestors", "failed", "if: always()", "if: failure()", ["b", "c"]],
    ["a result decides", "skipped", "if: always()", "if: \"!failure() && needs.b.result == 'success'\"", ["b", "c"]],
    ["!cancelled()", "failed", 'if: "!cancelled()"', "if: needs.b.result == 'success'", ["b", "skip c"]],
  ])("%s", (_, verdict, b, c, expected) => {
    const run = new Simulated(
      `a: ${job()}\nb: ${job(["needs: a", b].filter(Boolean).join(", "))}\nc: ${job(["needs: b", c].filter(Boolean).join(", "))}`,
    );
    run.step();
    const made = created(run.end("a", verdict).step());
    if (!made[0]!.startsWith("skip")) run.end("b", "passed");
    expect([...made, ...created(run.step())]).toEqual(expected);
  });
});

test("continue-on-error: the job failed, and counts as success", () => {
  const run = new Simulated(`a: ${job("continue-on-error: true")}\nb: ${job("needs: a, if: needs.a.result == 'success'")}`);
  run.step();
  expect(created(run.end("a", "failed").step())).toEqual(["b"]);
  expect(run.end("b", "passed").step().status).toEqual({
    phase: "Finished",
    verdict: "passed",
    counts: { failed: 1, passed: 1 },
    total: 2,
  });
});

test("outputs of a matrix: in the order of the cells, the last that is not empty", () => {
  const run = new Simulated(`a: ${job("strategy: {matrix: {v: [1, 2, 3]}}")}\nb: ${job("needs: a")}`);
  expect(created(run.step())).toEqual(["a (1)", "a (2)", "a (3)"]);
  run.end("a (3)", "passed", { outputs: { same: "3", empty: "", three: "x" } });
  run.end("a (1)", "passed", { outputs: { same: "1", empty: "1", none: "" } });
  expect(created(run.end("a (2)", "passed", { outputs: { same: "2", empty: "" } }).step())).toEqual(["b"]);
  const needs = JSON.parse(run.find("r-b-0").spec.needsContext!) as unknown;
  expect(needs).toEqual({ a: { result: "success", outputs: { same: "3", empty: "1", none: "", three: "x" } } });
});

test("a matrix made of outputs", () => {
  const run = new Simulated(`a: ${job()}\nb: ${job("needs: a, strategy: {matrix: '${{ fromJSON(needs.a.outputs.m) }}'}")}`);
  expect(run.step().status.total).toBe(2);
  const plan = run.end("a", "passed", { outputs: { m: '{"v": ["x", "y"]}' } }).step();
  expect(plan.create.map(({ name, spec }) => [name, spec.name])).toEqual([
    ["r-b-0", "b (x)"],
    ["r-b-1", "b (y)"],
  ]);
  expect(plan.status.total).toBe(3);
});

test("a job that cannot be decided is one JobRun that says why, and the run's error", () => {
  const run = new Simulated(
    `a: ${job()}\nb: ${job("needs: a, strategy: {matrix: '${{ fromJSON(needs.a.outputs.m) }}'}")}\nc: ${job("needs: b")}`,
  );
  run.step();
  const plan = run.end("a", "passed").step();
  expect(plan.create).toMatchObject([
    { name: "r-b-0", spec: { job: "b", name: "b", invalid: "f.yml:4:36: jobs.b.strategy.matrix: fromJSON: the text is empty", steps: [] } },
  ]);
  expect(created(run.step())).toEqual(["skip c"]);
  expect(run.step().status).toEqual({
    phase: "Finished",
    verdict: "error",
    cause: "invalid-workflow",
    message: "error: b",
    counts: { passed: 1, error: 1, skipped: 1 },
    total: 3,
  });
});

describe("fail-fast", () => {
  const matrix = (rest = "") => `a: ${job(`strategy: {matrix: {v: [1, 2, 3]}${rest}}`)}`;
  test.each<[string, string, Verdict, string[]]>([
    [
      "a failure aborts the others",
      matrix(),
      "failed",
      ["r-a-1: a (1) failed, and the matrix is fail-fast", "r-a-2: a (1) failed, and the matrix is fail-fast"],
    ],
    [
      "so does an error",
      matrix(),
      "error",
      ["r-a-1: a (1) failed, and the matrix is fail-fast", "r-a-2: a (1) failed, and the matrix is fail-fast"],
    ],
    ["one that was aborted does not", matrix(), "aborted", []],
    ["one that passed does not", matrix(), "passed", []],
    ["not when it is off", matrix(", fail-fast: false"), "failed", []],
    ["not for what may fail", matrix().replace("steps", "continue-on-error: true, steps"), "failed", []],
  ])("%s", (_, jobs, verdict, expected) => {
    const run = new Simulated(jobs);
    run.step();
    expect(aborted(run.end("a (1)", verdict).step())).toEqual(expected);
    expect(aborted(run.step())).toEqual([]);
  });

  test("the job has failed then, and other jobs go on", () => {
    const run = new Simulated(`${matrix()}\nb: ${job()}\nc: ${job("needs: a, if: failure()")}`);
    run.step();
    run.end("a (2)", "failed").step();
    run.end("a (1)", "aborted").end("a (3)", "aborted");
    expect(created(run.step())).toEqual(["c"]);
    run.end("b", "passed").end("c", "passed");
    expect(run.step().status).toEqual({
      phase: "Finished",
      verdict: "failed",
      message: "failed: a (2)",
      counts: { aborted: 2, failed: 1, passed: 2 },
      total: 5,
    });
  });
});

describe("an aborted run", () => {
  test("what runs is aborted, but not where its `if` still holds; what has not begun is decided as ever", () => {
    const run = new Simulated(
      `a: ${job()}\nalways: ${job("if: always()")}\nnever: ${job('if: "!cancelled()"')}\nb: ${job("needs: a")}\nclean: ${job("needs: a, if: cancelled()")}`,
    );
    run.step();
    const why = planRun({ ...run.input, jobRuns: run.jobRuns, isAborted: true, abortReason: "there is a newer commit" });
    expect(aborted(why)).toEqual(["r-a-0: there is a newer commit", "r-never-0: there is a newer commit"]);
    expect(aborted(run.step({ isAborted: true }))).toEqual(["r-a-0: the run was aborted", "r-never-0: the run was aborted"]);
    expect(aborted(run.step({ isAborted: true }))).toEqual([]);
    run.end("a", "aborted").end("never", "aborted");
    expect(created(run.step({ isAborted: true }))).toEqual(["skip b", "clean"]);
    run.end("always", "passed").end("clean", "passed");
    expect(run.step({ isAborted: true }).status).toEqual({
      phase: "Finished",
      verdict: "aborted",
      message: "aborted: a, never",
      counts: { aborted: 2, passed: 2, skipped: 1 },
      total: 5,
    });
  });

  test("before anything was made, all is skipped, and the run is aborted", () => {
    const run = new Simulated(`a: ${job()}\nb: ${job("needs: a")}`);
    expect(created(run.step({ isAborted: true }))).toEqual(["skip a"]);
    expect(created(run.step({ isAborted: true }))).toEqual(["skip b"]);
    expect(run.step({ isAborted: true }).status).toEqual({ phase: "Finished", verdict: "aborted", counts: { skipped: 2 }, total: 2 });
  });

  test("with half of its cells made, the others are not made any more", () => {
    const run = new Simulated(`a: ${job("strategy: {matrix: {v: [1, 2]}}")}`);
    run.step();
    run.jobRuns.pop();
    const plan = run.step({ isAborted: true });
    expect([created(plan), aborted(plan)]).toEqual([[], ["r-a-0: the run was aborted"]]);
    expect(run.end("a (1)", "aborted").step({ isAborted: true }).status).toMatchObject({ phase: "Finished", verdict: "aborted", total: 1 });
  });
});

test("after a crash in the middle, what is missing is made, and nothing twice", () => {
  const run = new Simulated(`a: ${job("strategy: {matrix: {v: [1, 2, 3]}}")}`);
  run.step();
  run.jobRuns.splice(1, 1);
  expect(run.step().create.map(({ name }) => name)).toEqual(["r-a-1"]);
  expect(run.step().create).toEqual([]);
});

describe("a selection", () => {
  const jobs = `a: ${job()}\nb: ${job("needs: a")}\ntest: ${job("name: Test it, needs: a, strategy: {matrix: {v: [1, 2]}}")}\nexpr: ${job("name: 'E ${{ matrix.v }}', strategy: {matrix: {v: [x, y]}}")}`;
  test.each<[string, string[], string[][]]>([
    ["a job and what it needs", ["b"], [["a"], ["b"]]],
    ["a job by its name", ["Test it"], [["a"], ["Test it (1)", "Test it (2)"]]],
    ["a cell", ["Test it (2)"], [["a"], ["Test it (2)"]]],
    ["a cell by the job's id", ["test (2)"], [["a"], ["Test it (2)"]]],
    ["two cells", ["test (2)", "test (1)"], [["a"], ["Test it (1)", "Test it (2)"]]],
    ["a cell and its whole job", ["test (2)", "test"], [["a"], ["Test it (1)", "Test it (2)"]]],
    ["a cell of a job whose name is an expression", ["expr (y)"], [["E y"]]],
    ["no such cell", ["test (9)"], [["a"], ["invalid Test it"]]],
  ])("%s", (_, selected, expected) => {
    const run = new Simulated(jobs, { selected });
    const rounds: string[][] = [];
    for (let round = 0; round < 3; round++) {
      const made = created(run.step());
      if (made.length > 0) rounds.push(made);
      for (const view of run.jobRuns) view.status ??= { phase: "Finished", verdict: "passed" };
    }
    expect(rounds).toEqual(expected);
    expect(run.step().status.phase).toBe("Finished");
  });

  test("no such cell: the message names those that there are", () => {
    const run = new Simulated(jobs, { selected: ["test (9)"] });
    run.step();
    expect(run.end("a", "passed").step().create[0]!.spec.invalid).toBe("test has no cell test (9); it has Test it (1), Test it (2)");
  });

  test("no such job", () => {
    expect(new Simulated(jobs, { selected: ["tset"] }).step()).toEqual({
      create: [],
      again: [],
      abort: [],
      status: {
        phase: "Finished",
        verdict: "error",
        cause: "invalid-workflow",
        message: "workflow f.yml has no job tset, did you mean test?",
        counts: {},
        total: 0,
      },
    });
    expect(() => selectJobs(workflowOf(jobs), ["a (1)"])).toThrow(SeatrialError);
  });
});

test.each<[string, [string, Verdict][], object]>([
  [
    "all skipped",
    [
      ["a", "skipped"],
      ["b", "skipped"],
    ],
    { verdict: "skipped" },
  ],
  [
    "one skipped",
    [
      ["a", "passed"],
      ["b", "skipped"],
    ],
    { verdict: "passed" },
  ],
  [
    "one failed",
    [
      ["a", "failed"],
      ["b", "passed"],
    ],
    { verdict: "failed", message: "failed: a" },
  ],
  [
    "an error is worse than a failure",
    [
      ["a", "failed"],
      ["b", "error"],
    ],
    { verdict: "error", message: "error: b", cause: "host" },
  ],
  [
    "timed out",
    [
      ["a", "timed-out"],
      ["b", "passed"],
    ],
    { verdict: "timed-out", message: "timed-out: a" },
  ],
  [
    "one was aborted",
    [
      ["a", "aborted"],
      ["b", "passed"],
    ],
    { verdict: "aborted", message: "aborted: a" },
  ],
])("verdict of a run: %s", (_, ends, expected) => {
  const run = new Simulated(`a: ${job()}\nb: ${job()}`);
  run.step();
  for (const [name, verdict] of ends) run.end(name, verdict, verdict === "error" ? { cause: "host" } : {});
  const { phase, counts: _counts, total: _total, ...rest } = run.step().status;
  expect([phase, rest]).toEqual(["Finished", expected]);
});

test("the message of a run says why, when one job is to blame, and names five of many", () => {
  const one = new Simulated(`a: ${job()}`);
  one.step();
  expect(one.end("a", "failed", { message: "step 2 exited with 1" }).step().status.message).toBe("failed: a: step 2 exited with 1");
  const many = new Simulated(`a: ${job("strategy: {fail-fast: false, matrix: {v: [1, 2, 3, 4, 5, 6, 7]}}")}`);
  many.step();
  for (let v = 1; v <= 7; v++) many.end(`a (${v})`, "failed");
  expect(many.step().status.message).toBe("failed: a (1), a (2), a (3), a (4), a (5) and 2 more");
});

describe("a rerun: what is run again, after which it is one attempt with one verdict", () => {
  // b needs a, c needs b; d stands alone; m has two cells.
  const jobs = `a: ${job()}\nb: ${job("needs: a")}\nc: ${job("needs: b")}\nd: ${job()}\nm: ${job("strategy: {fail-fast: false, matrix: {v: [1, 2]}}")}`;
  const ended = (a: Verdict): Simulated => {
    const run = new Simulated(jobs);
    run.step();
    run.end("a", a).end("d", "passed").end("m (1)", "failed").end("m (2)", "passed").step();
    if (a === "passed") run.end("b", "passed").step();
    if (a === "passed") run.end("c", "passed");
    run.step();
    expect(run.step().status.phase).toBe("Finished");
    return run;
  };
  const again = (plan: RunPlan) => plan.again.map(({ spec }) => (spec.skip === undefined ? spec.name : `skip ${spec.name}`));

  test("those that failed, and what was skipped because of them, when its turn comes", () => {
    const run = ended("failed").rerun({ failed: true });
    const first = run.step();
    expect(again(first)).toEqual(["a", "m (1)"]);
    expect(first.status).toEqual({ phase: "Running", counts: { passed: 2, waiting: 4 }, total: 6 });
    expect(again(run.step())).toEqual([]);
    run.end("m (1)", "passed").end("a", "passed");
    expect(again(run.step())).toEqual(["b"]);
    expect(run.step().status).toMatchObject({ phase: "Running", counts: { passed: 4, waiting: 2 } });
    expect(again(run.end("b", "passed").step())).toEqual(["c"]);
    expect(run.end("c", "passed").step().status).toEqual({ phase: "Finished", verdict: "passed", counts: { passed: 6 }, total: 6 });
    expect(again(run.step())).toEqual([]);
  });

  test("one that fails again: what needs it is skipped again", () => {
    const run = ended("failed").rerun({ failed: true });
    run.step();
    run.end("a", "failed").end("m (1)", "passed");
    expect(again(run.step())).toEqual(["skip b"]);
    expect(again(run.step())).toEqual(["skip c"]);
    expect(run.step().status).toMatchObject({ phase: "Finished", verdict: "failed", counts: { failed: 1, skipped: 2, passed: 3 } });
  });

  test("a job by its name, with all that need it, although they passed", () => {
    const run = ended("passed").rerun({ jobs: ["r-b-0"] });
    expect(again(run.step())).toEqual(["b"]);
    expect(run.step().status.counts).toEqual({ passed: 3, failed: 1, waiting: 2 });
    expect(again(run.end("b", "passed").step())).toEqual(["c"]);
    expect(run.end("c", "passed").step().status).toMatchObject({ phase: "Finished", verdict: "failed" });
  });

  test("everything, in the order of needs", () => {
    const run = ended("passed").rerun(undefined);
    expect(again(run.step())).toEqual(["a", "d", "m (1)", "m (2)"]);
    run.end("a", "passed").end("d", "passed").end("m (1)", "passed").end("m (2)", "passed");
    expect(again(run.step())).toEqual(["b"]);
    expect(again(run.end("b", "passed").step())).toEqual(["c"]);
    expect(run.end("c", "passed").step().status).toMatchObject({ phase: "Finished", verdict: "passed" });
  });

  test("aborted: what had its turn ends so, what had not is skipped", () => {
    const run = ended("failed").rerun({ failed: true });
    run.step();
    expect(aborted(run.step({ isAborted: true }))).toEqual(["r-a-0: the run was aborted", "r-m-0: the run was aborted"]);
    run.end("a", "aborted").end("m (1)", "aborted");
    expect(again(run.step({ isAborted: true }))).toEqual(["skip b"]);
    expect(again(run.step({ isAborted: true }))).toEqual(["skip c"]);
    expect(run.step({ isAborted: true }).status).toMatchObject({ phase: "Finished", verdict: "aborted" });
  });

  test("a third attempt runs again what it names, and leaves what the second did", () => {
    const run = ended("passed").rerun({ jobs: ["r-c-0"] });
    run.step();
    run.end("c", "passed").step();
    expect(again(run.rerun({ failed: true }).step())).toEqual(["m (1)"]);
    expect(run.end("m (1)", "passed").step().status).toMatchObject({ phase: "Finished", verdict: "passed" });
  });

  test("a matrix from outputs that has become smaller, and larger", () => {
    const run = new Simulated(
      `a: {outputs: {v: x}, steps: [{run: x}]}\nm: ${job("needs: a, strategy: {matrix: {v: '${{ fromJSON(needs.a.outputs.v) }}'}}")}`,
    );
    run.step();
    run.end("a", "passed", { outputs: { v: "[1, 2]" } }).step();
    run.end("m (1)", "passed").end("m (2)", "passed").rerun(undefined).step();
    run.end("a", "passed", { outputs: { v: "[3]" } });
    expect(again(run.step())).toEqual(["m (3)", "skip m"]);
    run.end("m (3)", "passed");
    expect(run.step().status).toMatchObject({ phase: "Finished", verdict: "passed", counts: { passed: 2, skipped: 1 } });
    run.rerun(undefined).step();
    run.end("a", "passed", { outputs: { v: "[4, 5, 6]" } });
    const plan = run.step();
    expect([again(plan).toSorted(), created(plan)]).toEqual([["m (4)", "m (5)"], ["m (6)"]]);
  });
});

test.each<[string, Record<string, string[]>, string[]]>([
  ["one value", { v: ["1"] }, ["a (1, x)", "a (1, y)", "plain"]],
  ["two values of a key", { v: ["1", "2"], w: ["y"] }, ["a (1, y)", "a (2, y)", "plain"]],
  ["a key that no job has", { other: ["1"] }, ["a (1, x)", "a (1, y)", "a (2, x)", "a (2, y)", "plain"]],
  ["no such cell", { v: ["7"] }, ["skip a", "plain"]],
])("cells by the values of their matrix: %s", (_, matrix, expected) => {
  const run = new Simulated(`a: ${job("strategy: {matrix: {v: [1, 2], w: [x, y]}}")}\nplain: ${job()}`, { matrix });
  expect(created(run.step())).toEqual(expected);
  expect(created(run.step())).toEqual([]);
});

test("names of JobRuns are DNS names, different for different jobs and cells", () => {
  expect(jobRunName("push-7", "unit", 0)).toBe("push-7-unit-0");
  expect(jobRunName("r", "a-1", 0)).not.toBe(jobRunName("r", "a", 10));
  const ids = fc.stringMatching(/^[A-Za-z_][\w-]{0,99}$/);
  fc.assert(
    fc.property(ids, ids, fc.nat(255), fc.nat(255), (a, b, i, j) => {
      const name = jobRunName("r", a, i);
      expect(name).toMatch(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/);
      expect(name.length).toBeLessThanOrEqual(63);
      if (a !== b || i !== j) expect(jobRunName("r", b, j)).not.toBe(name);
    }),
  );
});

test("any workflow and any verdicts: each job gets its JobRuns once, none before its needs have ended, and the run ends", () => {
  const condition = fc.constantFrom(
    "",
    "if: always(), ",
    "if: failure(), ",
    "if: cancelled(), ",
    'if: "!cancelled()", ',
    "if: 'false', ",
    "if: success(), ",
  );
  const jobs = fc.array(
    fc.record({ needs: fc.array(fc.nat(7), { maxLength: 3 }), condition, isMatrix: fc.boolean(), mayFail: fc.boolean() }),
    { minLength: 1, maxLength: 7 },
  );
  const ends = fc.infiniteStream(fc.constantFrom<Verdict>("passed", "passed", "failed", "error", "timed-out", "aborted"));
  fc.assert(
    fc.property(jobs, ends, fc.option(fc.nat(12)), (specs, verdicts, abortAt) => {
      const text = specs.map(({ needs, condition, isMatrix, mayFail }, i) => {
        const before = [...new Set(needs)].filter((need) => need < i).map((need) => `j${need}`);
        return `j${i}: ${job(`${condition}needs: [${before.join(", ")}], continue-on-error: ${mayFail}${isMatrix ? ", strategy: {matrix: {v: [1, 2]}}" : ""}`)}`;
      });
      const run = new Simulated(text.join("\n"));
      for (let round = 0; ; round++) {
        expect(round).toBeLessThan(60);
        const isAborted = abortAt !== null && round >= abortAt;
        const before = new Map(run.jobRuns.map((view) => [view.metadata.name, view.status?.verdict]));
        const plan = run.step({ isAborted });
        for (const { name, spec } of plan.create) {
          expect(before.has(name)).toBe(false);
          for (const need of spec.needs ?? []) {
            const those = run.jobRuns.filter((view) => view.spec.job === need);
            expect(those.length).toBeGreaterThan(0);
            for (const view of those) expect(before.get(view.metadata.name)).toBeDefined();
          }
        }
        for (const { name } of plan.abort) expect(before.get(name)).toBeUndefined();
        if (plan.status.phase === "Finished") {
          expect(plan.status.verdict).toBeDefined();
          expect(new Set(run.jobRuns.map(({ spec }) => spec.job)).size).toBe(specs.length);
          break;
        }
        const next = run.jobRuns.find(({ status }) => !status?.verdict);
        if (next) next.status = { phase: "Finished", verdict: next.spec.abort === undefined ? verdicts.next().value! : "aborted" };
      }
    }),
    { numRuns: 200 },
  );
});

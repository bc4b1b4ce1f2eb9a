/** Reusable workflows: what is wrong with a call, and what becomes of one. */
import { describe, expect, test } from "vitest";
import { formatProblem, InvalidError, SeatrialError } from "../../base/errors.ts";
import type { JobRunSpec } from "../../resources/job-run.ts";
import { passSecrets } from "./calls.ts";
import { readFollowing, readWorkflow } from "../read/read.ts";
import { formatCalls, parseCalls } from "../read/read-calls.ts";
import { selectJobs } from "./select.ts";
import { aborted, created, job, Simulated, workflowOf } from "./testdata/simulated.ts";

const folder = ".github/workflows";
const uses = (name: string, more = "") => `{uses: ./${folder}/${name}.yml${more === "" ? "" : `, ${more}`}}`;
const callable = (jobs: string, call = "") => `on: {workflow_call: {${call}}}\njobs:\n${jobs.replaceAll(/^/gm, "  ")}\n`;
const filesOf = (files: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(files).map(([name, text]) => [`${folder}/${name}.yml`, text]));

function problemsOf(jobs: string, files: Readonly<Record<string, string>> = {}): string[] {
  try {
    workflowOf(jobs, filesOf(files));
    return [];
  } catch (error) {
    if (error instanceof InvalidError) return error.message.split("\n");
    throw error;
  }
}

describe("a call that is wrong is told with its place", () => {
  const x = callable(`a: ${job()}`);
  const inputs = callable(
    `a: ${job()}`,
    "inputs: {who: {type: string, required: true}, n: {type: number}, dry: {type: boolean, default: true}}",
  );
  const secrets = callable(`a: ${job()}`, "secrets: {token: {required: true}, other: }");
  test.each<[string, string, Record<string, string>, string[]]>([
    ["no file", `b: ${uses("y")}`, { x }, [`f.yml:3:13: jobs.b.uses: there is no file ${folder}/y.yml, did you mean x.yml?`]],
    [
      "an expression, once",
      "b: {uses: './.github/workflows/${{ matrix.x }}.yml'}",
      { x },
      ["f.yml:3:13: jobs.b.uses: cannot hold `${{ }}`"],
    ],
    [
      "no workflow_call",
      `b: ${uses("x")}`,
      { x: `on: push\njobs: {a: ${job()}}` },
      [`f.yml:3:13: jobs.b.uses: ${folder}/x.yml cannot be called: it has no \`on: workflow_call\``],
    ],
    [
      "a problem in the called file is at its own place, once",
      `b: ${uses("x")}\nc: ${uses("x")}`,
      { x: callable("a: {steps: [{rum: x}]}") },
      [
        `${folder}/x.yml:3:15: jobs.a.steps[0]: must have \`run\` or \`uses\``,
        `${folder}/x.yml:3:16: jobs.a.steps[0].rum: is not a known key, did you mean run?`,
      ],
    ],
    [
      "a cycle",
      `b: ${uses("x")}`,
      { x: callable(`c: ${uses("y")}`), y: callable(`d: ${uses("x")}`) },
      [`${folder}/y.yml:3:13: jobs.d.uses: makes a cycle: ${folder}/x.yml calls ${folder}/y.yml calls ${folder}/x.yml`],
    ],
    [
      "itself",
      `b: ${uses("x")}`,
      { x: callable(`c: ${uses("x")}`) },
      [`${folder}/x.yml:3:13: jobs.c.uses: makes a cycle: ${folder}/x.yml calls ${folder}/x.yml`],
    ],
    [
      "another repository",
      "b: {uses: o/r/.github/workflows/x.yml@v1}",
      { x },
      ["f.yml:3:13: jobs.b.uses: o/r/.github/workflows/x.yml@v1 cannot be fetched here: workflows of other repositories are, by a server"],
    ],
    [
      "a ref of the same repository",
      "b: {uses: ./.github/workflows/x.yml@v1}",
      { x },
      [
        'f.yml:3:13: jobs.b.uses: "./.github/workflows/x.yml@v1": a file of the same commit has no @ and no ref, as in ./.github/workflows/test.yml',
      ],
    ],
    [
      "a file elsewhere",
      "b: {uses: ./ci/../x.yml}",
      { x },
      [
        'f.yml:3:13: jobs.b.uses: "./ci/../x.yml" must be a file right in .github/workflows or .seatrial, as in ./.github/workflows/test.yml',
      ],
    ],
    [
      "inputs",
      `b: ${uses("x", "with: {woh: me, n: many, dry: 1}")}`,
      { x: inputs },
      [
        `f.yml:3:7: jobs.b.with.who: is required by ${folder}/x.yml`,
        `f.yml:3:47: jobs.b.with.woh: is not an input of ${folder}/x.yml, did you mean who?`,
        `f.yml:3:59: jobs.b.with.n: input n of ${folder}/x.yml must be a number, and is "many"`,
        `f.yml:3:70: jobs.b.with.dry: input dry of ${folder}/x.yml must be true or false, and is 1`,
      ],
    ],
    [
      "secrets",
      `b: ${uses("x", "secrets: {tokn: x}")}`,
      { x: secrets },
      [
        `f.yml:3:7: jobs.b.secrets.token: is required by ${folder}/x.yml`,
        `f.yml:3:50: jobs.b.secrets.tokn: is not a secret of ${folder}/x.yml, did you mean token?`,
      ],
    ],
    ["inherit is enough", `b: ${uses("x", "secrets: inherit")}`, { x: secrets }, []],
    [
      "what the called workflow says is not the caller's",
      `b: ${uses("x", "runs-on: linux, timeout-minutes: 3")}`,
      { x },
      ["runs-on", "timeout-minutes"].map(
        (key) =>
          `f.yml:3:${key === "runs-on" ? 40 : 56}: jobs.b.${key}: cannot stand beside \`uses\`: the workflow that is called says that`,
      ),
    ],
    ["with without uses", "b: {with: {a: b}, steps: [{run: x}]}", {}, ["f.yml:3:7: jobs.b.with: belongs to `uses`"]],
    [
      "permissions can only shrink, through all levels",
      `b: ${uses("x", "permissions: {contents: read}")}`,
      { x: callable(`c: ${uses("y")}`), y: callable(`d: ${job("permissions: {contents: write, issues: none}")}`) },
      [`${folder}/y.yml:3:7: jobs.d.permissions.contents: asks for write, and job b of f.yml, which calls it, is allowed read`],
    ],
  ])("%s", (_, jobs, files, expected) => {
    expect(problemsOf(jobs, files)).toEqual(expected);
  });

  const chain = (levels: number) =>
    Object.fromEntries(
      Array.from({ length: levels }, (_unused, i) => [`x${i}`, callable(i === levels - 1 ? `a: ${job()}` : `a: ${uses(`x${i + 1}`)}`)]),
    );
  test("ten levels, the first caller among them, and no more", () => {
    expect(problemsOf(`b: ${uses("x0")}`, chain(9))).toEqual([]);
    expect(problemsOf(`b: ${uses("x0")}`, chain(10))[0]).toMatch(/x8\.yml:3:13: jobs\.a\.uses: makes more than 10 levels: f\.yml calls /);
    // One that was read at a higher level before counts, too.
    const files = chain(9);
    const detour = callable(`a: ${uses("x0")}`);
    expect(problemsOf(`b: ${uses("x0")}\nc: ${uses("detour")}`, { ...files, detour })[0]).toMatch(
      /detour\.yml:3:13: .* makes more than 10 levels/,
    );
  });

  test("calls that multiply are counted, not made", () => {
    const wide = (name: string | undefined) =>
      callable(Array.from({ length: 50 }, (_unused, i) => `a${i}: ${name === undefined ? job() : uses(name)}`).join("\n"));
    const files = { x0: wide("x1"), x1: wide("x2"), x2: wide("x3"), x3: wide("x4"), x4: wide(undefined) };
    expect(problemsOf(`b: ${uses("x0")}`, files)).toEqual([
      "f.yml:1:1: jobs: has 312500000 jobs with those of the workflows that it calls, and can have at most 1000",
    ]);
  });
});

describe("the jobs of a called workflow", () => {
  const build = callable(`build: ${job()}\ntest: ${job("needs: build")}`);

  test("take the place of the job that calls it", () => {
    const run = new Simulated(
      `first: ${job()}\ndeploy: ${uses("x", "needs: first")}\nlast: ${job("needs: deploy")}`,
      {},
      filesOf({ x: build }),
    );
    expect(created(run.step())).toEqual(["first"]);
    expect(created(run.end("first", "passed").step())).toEqual(["deploy / build"]);
    expect(run.jobRuns[1]).toMatchObject({
      metadata: { name: "r-deploy-build-4e82d1-0" },
      spec: { job: "deploy/build", needs: ["first"], needsContext: "{}", inputsContext: "{}" },
    });
    expect(created(run.step())).toEqual([]);
    expect(created(run.end("deploy / build", "passed").step())).toEqual(["deploy / test"]);
    expect(run.jobRuns[2]!.spec.needs).toEqual(["deploy/build"]);
    expect(created(run.end("deploy / test", "passed").step())).toEqual(["last"]);
    expect(JSON.parse(run.jobRuns[3]!.spec.needsContext!)).toEqual({ deploy: { result: "success", outputs: {} } });
    expect(run.end("last", "passed").step().status).toMatchObject({ phase: "Finished", verdict: "passed", total: 4 });
  });

  test("a failure of one is a failure of the call", () => {
    const run = new Simulated(
      `deploy: ${uses("x")}\nlast: ${job("needs: deploy")}\nsweep: ${job("needs: deploy, if: failure()")}`,
      {},
      filesOf({ x: build }),
    );
    run.step();
    expect(created(run.end("deploy / build", "failed").step())).toEqual(["skip deploy / test"]);
    run.jobRuns[1]!.status = { phase: "Finished", verdict: "skipped" };
    expect(created(run.step())).toEqual(["skip last", "sweep"]);
    expect(JSON.parse(run.jobRuns[3]!.spec.needsContext!)).toEqual({ deploy: { result: "failure", outputs: {} } });
  });

  test("are not made when its `if` is false: one JobRun says so", () => {
    const run = new Simulated(
      `deploy: ${uses("x", "if: false")}\nlast: ${job("needs: deploy, if: needs.deploy.result == 'skipped' && always()")}`,
      {},
      filesOf({ x: build }),
    );
    expect(run.step().create).toMatchObject([
      { name: "r-deploy-0", spec: { job: "deploy", name: "deploy", skip: "its `if` is false: false" } },
    ]);
    expect(created(run.step())).toEqual(["last"]);
  });

  test("see its inputs, typed, with defaults; and give outputs", () => {
    const x = callable(
      `a: ${job('name: "for ${{ inputs.who }} ${{ inputs.n == 41 }}", if: inputs.dry, outputs: {v: 1}')}`,
      'inputs: {who: {type: string, default: "${{ github.ref }}"}, n: {type: number}, dry: {type: boolean, default: true}}, ' +
        'outputs: {version: {value: "${{ jobs.a.outputs.v }}-${{ jobs.a.result }}-${{ inputs.who }}"}}',
    );
    const n = "${{ fromJSON(needs.first.outputs.n) }}";
    const run = new Simulated(
      `first: ${job()}\ncall: ${uses("x", `needs: first, with: {n: "${n}"}`)}\nlast: ${job('needs: call, name: "got ${{ needs.call.outputs.version }}"')}`,
      {},
      filesOf({ x }),
    );
    run.step();
    expect(created(run.end("first", "passed", { outputs: { n: "41" } }).step())).toEqual(["call / for main true"]);
    expect(JSON.parse(run.jobRuns[1]!.spec.inputsContext!)).toEqual({ who: "main", n: 41, dry: true });
    expect(created(run.end("call / for main true", "passed", { outputs: { v: "1.2" } }).step())).toEqual(["got 1.2-success-main"]);
  });

  test("inputs that are not what they should be, and outputs that cannot be had, end as an error", () => {
    const x = callable(
      `a: ${job()}`,
      'inputs: {n: {type: number}}, outputs: {o: {value: "${{ fromJSON(inputs.n) }}"}, p: {value: "${{ fromJSON(jobs.a.outputs.v) }}"}}',
    );
    const run = new Simulated(
      `call: ${uses("x", 'with: {n: "${{ github.ref }}"}')}\nother: ${uses("x", "with: {n: 3}")}`,
      {},
      filesOf({ x }),
    );
    expect(run.step().create).toMatchObject([
      { spec: { name: "call", invalid: `f.yml:3:10: jobs.call.with: input n of ${folder}/x.yml must be a number, and is "main"` } },
      { spec: { name: "other / a" } },
    ]);
    expect(run.end("other / a", "passed", { outputs: { v: "{" } }).step().create).toMatchObject([
      { spec: { name: "other", invalid: `${folder}/x.yml:1:113: on.workflow_call.outputs.p.value: fromJSON: the text is not JSON` } },
    ]);
    expect(run.step().status).toMatchObject({ phase: "Finished", verdict: "error" });
  });

  test("expressions that make more than they may end as an error, in inputs and in outputs", () => {
    const nested = Array.from({ length: 20 }).reduce((inner: string) => `format('{0}{0}{0}', ${inner})`, "github.ref");
    const x = callable(`a: ${job()}`, `inputs: {n: {type: string}}, outputs: {o: {value: "\${{ ${nested} }}"}}`);
    const run = new Simulated(`call: ${uses("x", `with: {n: "\${{ ${nested} }}"}`)}\nother: ${uses("x")}`, {}, filesOf({ x }));
    expect(run.step().create[0]!.spec.invalid).toMatch(/jobs\.call\.with\.n: the expressions make or read more than 64 MiB/);
    expect(run.end("other / a", "passed").step().create[0]!.spec.invalid).toMatch(/outputs\.o\.value: .* more than 64 MiB/);
  });

  test("nested, with matrices at each level", () => {
    const y = callable(`c: ${job("strategy: {matrix: {v: [1, 2]}}")}`, "inputs: {in: {type: string}}");
    const x = callable(
      `b: ${uses("y", 'strategy: {matrix: {w: [x, y]}}, with: {in: "${{ inputs.in }}${{ matrix.w }}"}')}`,
      "inputs: {in: {type: string}}",
    );
    const run = new Simulated(`a: ${uses("x", 'strategy: {matrix: {u: [p, q]}}, with: {in: "${{ matrix.u }}"}')}`, {}, filesOf({ x, y }));
    const names = ["p", "q"].flatMap((u) => ["x", "y"].flatMap((w) => [1, 2].map((v) => `a (${u}) / b (${w}) / c (${v})`)));
    expect(created(run.step())).toEqual(names);
    expect(run.jobRuns.map(({ spec }) => [spec.job, spec.inputsContext]).at(-1)).toEqual(["a.1/b.1/c", '{"in":"qy"}']);
    for (const name of names) run.end(name, "passed");
    expect(run.step()).toMatchObject({ create: [], status: { phase: "Finished", verdict: "passed", total: 8 } });
  });

  test("a matrix of calls: max-parallel, fail-fast, the last output that is not empty", () => {
    const x = callable(`a: ${job("outputs: {v: x}")}`, 'outputs: {v: {value: "${{ jobs.a.outputs.v }}"}}');
    const matrix = "strategy: {max-parallel: 2, matrix: {u: [1, 2, 3]}}";
    const run = new Simulated(`call: ${uses("x", matrix)}\nlast: ${job("needs: call")}`, {}, filesOf({ x }));
    expect(created(run.step())).toEqual(["call (1) / a", "call (2) / a"]);
    expect(run.step().status).toMatchObject({ counts: { waiting: 4 } });
    expect(created(run.end("call (2) / a", "passed", { outputs: { v: "two" } }).step())).toEqual(["call (3) / a"]);
    run.end("call (1) / a", "passed", { outputs: { v: "one" } });
    expect(created(run.end("call (3) / a", "passed", { outputs: { v: "" } }).step())).toEqual(["last"]);
    expect(JSON.parse(run.jobRuns.at(-1)!.spec.needsContext!)).toMatchObject({ call: { outputs: { v: "two" } } });

    const failing = new Simulated(`call: ${uses("x", "strategy: {matrix: {u: [1, 2]}}")}`, {}, filesOf({ x }));
    failing.step();
    expect(aborted(failing.end("call (2) / a", "failed").step())).toEqual([
      `${failing.jobRuns[0]!.metadata.name}: call (2) failed, and the matrix is fail-fast`,
    ]);
    const slow = new Simulated(`call: ${uses("x", "strategy: {fail-fast: false, matrix: {u: [1, 2]}}")}`, {}, filesOf({ x }));
    slow.step();
    expect(aborted(slow.end("call (2) / a", "failed").step())).toEqual([]);
  });

  test("more of them than a run can have end it, and what runs of it", () => {
    const list = (count: number) => `strategy: {matrix: {v: [${Array.from({ length: count }, (_unused, i) => i).join(", ")}]}}`;
    const x = callable(`b: ${uses("y", list(40))}`);
    const y = callable(`c: ${job()}`);
    const run = new Simulated(`first: ${job()}\na: ${uses("x", `${list(40)}`)}`, {}, filesOf({ x, y }));
    expect(run.step()).toMatchObject({
      create: [],
      status: { verdict: "error", message: "has more than 1000 jobs with those of the workflows that it calls" },
    });
  });

  test("an abort ends those that run, and begins no others but with always()", () => {
    const x = callable(`build: ${job()}\nsweep: ${job("needs: build, if: always()")}\ntest: ${job("needs: build")}`);
    const run = new Simulated(`call: ${uses("x")}\nother: ${uses("x", "needs: call")}`, {}, filesOf({ x }));
    run.step();
    expect(aborted(run.step({ isAborted: true }))).toEqual([`${run.jobRuns[0]!.metadata.name}: the run was aborted`]);
    run.end("call / build", "aborted");
    expect(created(run.step({ isAborted: true }))).toEqual(["call / sweep", "skip call / test"]);
    run.end("call / sweep", "passed");
    expect(created(run.step({ isAborted: true }))).toEqual(["skip other"]);
    expect(run.step({ isAborted: true }).status).toMatchObject({ phase: "Finished", verdict: "aborted" });
  });

  test("run again: what failed, and all that needs it, inside and outside", () => {
    const run = new Simulated(`call: ${uses("x")}\nlast: ${job("needs: call")}\nalone: ${job()}`, {}, filesOf({ x: build }));
    run.step();
    run.end("alone", "passed").end("call / build", "passed").step();
    run.end("call / test", "failed").step();
    expect(run.step().status).toMatchObject({ phase: "Finished", verdict: "failed" });
    const names = (plan: ReturnType<Simulated["step"]>) => plan.again.map(({ spec }) => spec.name);
    run.rerun({ failed: true });
    expect(names(run.step())).toEqual(["call / test"]);
    expect(names(run.end("call / test", "passed").step())).toEqual(["last"]);
    expect(run.end("last", "passed").step().status).toMatchObject({ phase: "Finished", verdict: "passed" });
    run.rerun(undefined);
    expect(names(run.step())).toEqual(["call / build", "alone"]);
    expect(names(run.end("call / build", "passed").step())).toEqual(["call / test"]);
  });

  test("a call that was skipped is made by a rerun, and the other way round", () => {
    const run = new Simulated(`first: ${job()}\ncall: ${uses("x", "needs: first")}`, {}, filesOf({ x: callable(`a: ${job()}`) }));
    run.step();
    expect(created(run.end("first", "failed").step())).toEqual(["skip call"]);
    run.step();
    run.rerun({ failed: true }).step();
    const again = run.end("first", "passed").step();
    expect(created(again)).toEqual(["call / a"]);
    expect(again.again).toMatchObject([{ spec: { name: "call", skip: "the jobs that it calls run" } }]);
    expect(run.end("call / a", "passed").step().status).toMatchObject({ phase: "Finished", verdict: "passed" });
    run.rerun(undefined).step();
    const over = run.end("first", "failed").step();
    expect(over.again.map(({ spec }) => [spec.name, spec.skip])).toEqual([
      ["call", "it needs first, and first failed"],
      ["call / a", "it needs first, and first failed"],
    ]);
    expect(run.step().status).toMatchObject({ phase: "Finished", verdict: "failed" });
  });

  test("can be chosen by their names", () => {
    const jobs = `first: ${job()}\ncall: ${uses("x", "needs: first, strategy: {matrix: {u: [1, 2]}}")}\nother: ${uses("x")}`;
    const files = filesOf({ x: callable(`a: ${job()}\nb: ${job("needs: a")}\nc: ${job()}`) });
    const chosen = (name: string) => {
      const run = new Simulated(jobs, { selected: [name] }, files);
      run.step();
      const names: string[] = [];
      for (let at = 0; at < run.jobRuns.length; at++) {
        names.push(run.jobRuns[at]!.spec.name);
        run.end(names[at]!, "passed").step();
      }
      return names;
    };
    expect(chosen("other / b")).toEqual(["other / a", "other / b"]);
    expect(chosen("call / c")).toEqual(["first", "call (1) / c", "call (2) / c"]);
    expect(chosen("call (2) / b")).toEqual(["first", "call (2) / a", "call (2) / b"]);
    expect(chosen("call (1)")).toEqual(["first", "call (1) / a", "call (1) / c", "call (1) / b"]);
    expect(() => selectJobs(workflowOf(jobs, files), ["other / d"])).toThrow(`workflow ${folder}/x.yml has no job d`);
  });
});

test("files that are called are told, each once, in the order in which they are found", () => {
  const files = filesOf({ x: callable(`a: ${uses("y")}`), y: callable(`a: ${job()}`), z: callable(`a: ${job()}`) });
  const text = `on: push\njobs:\n  a: ${uses("y")}\n  b: ${uses("x")}\n`;
  expect(readWorkflow(text, "f.yml", [], new Map(Object.entries(files))).calls).toEqual([`${folder}/y.yml`, `${folder}/x.yml`]);
});

describe("workflows of other repositories", () => {
  const remote = "o/r/.github/workflows/x.yml@v1";
  const read = async (jobs: string, there: Readonly<Record<string, string>>) => {
    const asked: string[] = [];
    const found = await readFollowing(`on: push\njobs:\n  ${jobs}\n`, "f.yml", [], new Map(), async (uses) => {
      asked.push(uses);
      const text = there[uses];
      if (text === undefined) throw new SeatrialError("not-found", "it is nowhere");
      return await Promise.resolve(text);
    });
    return { asked, calls: found.calls, problems: found.problems.map(formatProblem), texts: formatCalls(found.calls, found.files) };
  };

  test("are fetched once each, and what they call beside them at the same ref", async () => {
    const y = "o/r/.github/workflows/y.yml@v1";
    const there = { [remote]: callable(`a: ${uses("y")}\nb: ${uses("y")}`), [y]: callable(`a: ${job()}`) };
    const { asked, calls, problems, texts } = await read(`b: {uses: ${remote}}`, there);
    expect({ asked, calls, problems }).toEqual({ asked: [remote, y], calls: [remote, y], problems: [] });
    expect(readWorkflow(`on: push\njobs: {b: {uses: ${remote}}}\n`, "f.yml", [], parseCalls(texts!)).calls).toEqual([remote, y]);
  });

  test("that cannot be had are told with their place; and what is wrong in one with its own", async () => {
    expect((await read(`b: {uses: ${remote}}`, {})).problems).toEqual([`f.yml:3:13: jobs.b.uses: ${remote} cannot be had: it is nowhere`]);
    expect((await read(`b: {uses: ${remote}}`, { [remote]: callable("a: {}") })).problems).toEqual([
      `${remote}:3:3: jobs.a.steps: is required: what the job does`,
    ]);
  });

  test("that never end calling others are stopped", async () => {
    let count = 0;
    const found = await readFollowing(`on: push\njobs: {b: {uses: ${remote}}}\n`, "f.yml", [], new Map(), async () => {
      return await Promise.resolve(callable(`a: {uses: o/r${++count}/.github/workflows/x.yml@v1}`));
    });
    expect(found.problems.map(formatProblem)[0]).toMatch(/makes more than 10 levels/);
    expect(count).toBe(9);
  });
});

describe("secrets of a called job", () => {
  const levelsOf = (secrets: string): NonNullable<JobRunSpec["secrets"]> | undefined => {
    const y = callable(`c: ${job()}`, "secrets: {deep: }");
    const x = callable(
      `b: ${uses("y", 'secrets: {deep: "${{ secrets.inner }}!"}')}`,
      "secrets: {inner: }, inputs: {which: {type: string}}",
    );
    const run = new Simulated(`a: ${uses("x", `strategy: {matrix: {w: [TWO]}}, ${secrets}`)}`, {}, filesOf({ x, y }));
    run.step();
    return run.jobRuns[0]!.spec.secrets;
  };
  const all = { ONE: "1", TWO: "2", inner: "of the run" };
  test.each([
    ["passed through two levels", 'secrets: {inner: "${{ secrets.ONE }}"}', { deep: "1!" }],
    ["chosen by the matrix", 'secrets: {inner: "${{ secrets[matrix.w] }}"}', { deep: "2!" }],
    ["none is passed", "with: {which: x}", { deep: "!" }],
    ["inherited, then passed", "secrets: inherit", { deep: "of the run!" }],
  ])("%s", (_, secrets, expected) => {
    const levels = levelsOf(secrets) ?? [];
    expect(JSON.stringify(levels)).not.toContain("of the run");
    expect(passSecrets(all, levels, { github: {}, vars: {} })).toEqual(expected);
  });
});

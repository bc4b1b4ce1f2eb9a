import { describe, expect, test } from "vitest";
import { jobRunSpecSchema } from "../../resources/job-run.ts";
import { decideJob, type JobContexts, type JobDecision, type JobPolicy, type PlannedJobRun } from "./decide.ts";
import type { Status } from "../expressions/expressions.ts";
import { readWorkflow } from "../read/read.ts";

const contexts: JobContexts = {
  github: { ref: "refs/heads/main", event_name: "push" },
  vars: { MINUTES: "12", RUNNER: "windows-latest", BIG: "x".repeat(70_000) },
  needs: { build: { result: "success", outputs: { cells: '["a", "b"]', nodes: "3", none: "[]", bad: "{" } } },
};
const status = (is: Partial<Status> = {}): Status => ({ isSuccess: true, isFailure: false, isCancelled: false, ...is });

/** The job `a`, which needs `build`. */
function decide(job: string, is = status(), given: JobContexts = contexts): JobDecision {
  const text = `on: push\nenv: {W: workflow, BOTH: workflow}\njobs:\n  build: {steps: [{run: x}]}\n  a:\n    needs: build\n${job.replaceAll(/^/gm, "    ")}\n    steps: [{run: "make \${{ secrets.X }} \${{ matrix.a }}"}]\n`;
  return decideJob(readWorkflow(text, "f.yml"), "a", given, is);
}
function cells(job: string): PlannedJobRun[] {
  const decision = decide(job);
  if (decision.kind !== "run") throw new Error(JSON.stringify(decision));
  return decision.cells;
}

test("a job without a matrix is one cell; secrets, steps, env and outputs stay text", () => {
  const [cell, ...others] = cells(
    "env: {J: '${{ secrets.J }}', BOTH: '${{ github.ref }}'}\noutputs: {o: '${{ steps.s.outputs.o }}'}\nruns-on: ubuntu-latest",
  );
  expect(others).toEqual([]);
  expect(cell).toEqual({
    job: "a",
    name: "a",
    needs: ["build"],
    needsContext: JSON.stringify(contexts.needs),
    strategyContext: '{"fail-fast":true,"job-index":0,"job-total":1,"max-parallel":1}',
    env: { W: "workflow", BOTH: "${{ github.ref }}", J: "${{ secrets.J }}" },
    outputs: { o: "${{ steps.s.outputs.o }}" },
    steps: [{ run: "make ${{ secrets.X }} ${{ matrix.a }}" }],
    labels: ["ubuntu-latest"],
  });
});

test("a matrix: names, contexts, clusters and limits of each cell", () => {
  const found = cells(`strategy:
  max-parallel: 1
  fail-fast: \${{ github.event_name != 'push' }}
  matrix:
    cell: \${{ fromJSON(needs.build.outputs.cells) }}
    include: [{cell: b, nodes: 2, slow: true}]
timeout-minutes: \${{ matrix.slow && 90 || vars.MINUTES }}
continue-on-error: \${{ matrix.cell == 'b' }}
runs-on: ["\${{ matrix.cell == 'a' && 'linux' || 'self-hosted' }}", x64]
cluster: {provider: kind, nodes: "\${{ matrix.nodes || fromJSON(needs.build.outputs.nodes) }}", clusterDomain: "\${{ matrix.cell }}.local"}
clusters: {other: {provider: bare}}`);
  const shared = { job: "a", failFast: false, maxParallel: 1 };
  const strategy = (index: number) => `{"fail-fast":false,"job-index":${index},"job-total":2,"max-parallel":1}`;
  expect(found).toMatchObject([
    {
      ...shared,
      name: "a (a)",
      cell: '{"cell":"a"}',
      strategyContext: strategy(0),
      timeoutMinutes: 12,
      continueOnError: false,
      labels: ["linux", "x64"],
      clusters: [
        { name: "cluster", spec: { provider: "kind", nodes: 3, clusterDomain: "a.local" } },
        { name: "other", spec: { provider: "bare" } },
      ],
    },
    {
      ...shared,
      name: "a (b)",
      cell: '{"cell":"b","nodes":2,"slow":true}',
      strategyContext: strategy(1),
      timeoutMinutes: 90,
      continueOnError: true,
      labels: ["self-hosted", "x64"],
      clusters: [{ spec: { nodes: 2, clusterDomain: "b.local" } }, { name: "other" }],
    },
  ]);
});

test("what is decided is what the API server takes", () => {
  for (const { labels, ...spec } of cells("strategy: {matrix: {a: [1, 2]}}\ncluster: {provider: kind}\ntimeout-minutes: 0.5")) {
    const whole = { ...spec, run: "r", repository: "o/p", lane: "trusted", runsOn: { labels, executor: "host" } };
    expect(jobRunSpecSchema.parse(whole)).toEqual(whole);
  }
});

test.each([
  ["the id", "strategy: {matrix: {v: [1.10, x]}}", ["a (1.1)", "a (x)"]],
  ["a name", "name: Test it\nstrategy: {matrix: {v: [1]}}", ["Test it (1)"]],
  [
    "a name with an expression is taken as it is",
    "name: Test ${{ matrix.v }}\nstrategy: {matrix: {v: [1, 2], w: [x]}}",
    ["Test 1", "Test 2"],
  ],
  ["a name that comes out empty", "name: ${{ vars.NOTHING }}", ["a"]],
  [
    "cells of one name get their values",
    "name: ${{ matrix.v == 3 && 'three' || 'Test' }}\nstrategy: {matrix: {v: [1, 2, 3]}}",
    ["Test (1)", "Test (2)", "three"],
  ],
  [
    "also those of an include",
    "strategy: {matrix: {v: [1, 1], include: [{v: 2, w: x}, {v: 2, w: y}]}}",
    ["a (1) #1", "a (1) #2", "a (2, x)", "a (2, y)"],
  ],
  [
    "and those of which the difference was cut off",
    `strategy: {matrix: {v: ["${"x".repeat(120)}1", "${"x".repeat(120)}2"]}}`,
    [1, 2].map((number) => `a (${"x".repeat(94)}... #${number}`),
  ],
  ["a name that another job has", "name: build", ["build [a]"]],
  ["an object", "cluster: ${{ matrix.c }}\nstrategy: {matrix: {c: [{provider: bare}]}}", ["a (bare)"]],
])("names: %s", (_, job, expected) => {
  expect(cells(job).map(({ name }) => name)).toEqual(expected);
});

describe("skipped", () => {
  const need = (result: "success" | "failure" | "cancelled" | "skipped"): JobContexts => ({
    ...contexts,
    needs: { build: { result, outputs: {} } },
  });
  const failed = status({ isSuccess: false, isFailure: true });
  test.each<[string, string, Status, JobContexts, string]>([
    ["no if, all well", "", status(), contexts, "run"],
    ["no if, a need failed", "", failed, need("failure"), "it needs build, and build failed"],
    ["no if, a need was skipped", "", status({ isSuccess: false }), need("skipped"), "it needs build, and build was skipped"],
    ["no if, an earlier one failed", "", failed, need("success"), "a job that comes before those that it needs did not pass"],
    [
      "no if, the run was aborted",
      "",
      status({ isSuccess: false, isCancelled: true }),
      need("cancelled"),
      "the run was aborted before it could start",
    ],
    ["if false", "if: github.ref == 'x'", status(), contexts, "its `if` is false: github.ref == 'x'"],
    [
      "if without a status function, a need failed",
      "if: ${{ true }}",
      failed,
      need("failure"),
      "it needs build, and build failed; its `if` would be asked all the same with `!cancelled() &&` in front",
    ],
    [
      "if without a status function that is true, an earlier one failed",
      "if: needs.build.result == 'success'",
      failed,
      need("success"),
      "a job that comes before those that it needs did not pass; its `if` would be asked all the same with `!cancelled() &&` in front",
    ],
    ["if with a status function, a need failed", "if: success()", failed, need("failure"), "its `if` is false: success()"],
    ["if: always()", "if: always()", failed, need("failure"), "run"],
    ["if: failure()", "if: failure()", failed, need("failure"), "run"],
    ["if: cancelled()", "if: cancelled()", status({ isSuccess: false, isCancelled: true }), need("cancelled"), "run"],
    ["if by the result of a need", "if: always() && needs.build.result == 'failure'", failed, need("failure"), "run"],
    [
      "if comes before the matrix",
      "if: false\nstrategy: {matrix: '${{ fromJSON(needs.build.outputs.bad) }}'}",
      status(),
      contexts,
      "its `if` is false: false",
    ],
  ])("%s", (_, job, is, given, expected) => {
    const decision = decide(job, is, given);
    expect(decision.kind === "skip" ? decision.reason : decision.kind).toBe(expected);
  });
});

test.each([
  [
    "a matrix that is no JSON",
    "strategy: {matrix: '${{ fromJSON(needs.build.outputs.bad) }}'}",
    "f.yml:7:24: jobs.a.strategy.matrix: fromJSON: the text is not JSON",
  ],
  [
    "a matrix that is no object",
    "strategy: {matrix: '${{ needs.build.outputs.cells }}'}",
    'f.yml:7:24: jobs.a.strategy.matrix: must be an object of lists, and is "[\\"a\\", \\"b\\"]"',
  ],
  [
    "an empty vector",
    "strategy: {matrix: {v: '${{ fromJSON(needs.build.outputs.none) }}'}}",
    "f.yml:7:24: jobs.a.strategy.matrix: v is an empty list: there is nothing to combine",
  ],
  [
    "a label that cannot be had",
    "runs-on: ${{ vars.RUNNER }}",
    'f.yml:7:14: jobs.a.runs-on: "windows-latest" cannot be had: jobs run on Linux',
  ],
  [
    "a label that is empty",
    "runs-on: ${{ vars.NOTHING }}",
    "f.yml:7:14: jobs.a.runs-on: must be a label or a list of up to 20 labels, and is empty",
  ],
  ["no number of minutes", "timeout-minutes: ${{ github.ref }}", "f.yml:7:22: jobs.a.timeout-minutes: must be a number, and is other text"],
  [
    "too many minutes",
    "timeout-minutes: ${{ 5000 }}",
    "f.yml:7:22: jobs.a.timeout-minutes: must be more than 0 and at most 4320 minutes, and is 5000",
  ],
  [
    "no whole number",
    "strategy: {max-parallel: '${{ 1.5 }}'}",
    "f.yml:7:30: jobs.a.strategy.max-parallel: must be a whole number from 1 to 256, and is 1.5",
  ],
  [
    "a version that is a number",
    "strategy: {matrix: {v: [1.36]}}\ncluster: {provider: kind, kubernetesVersion: '${{ matrix.v }}'}",
    "f.yml:8:50: jobs.a.cluster.kubernetesVersion: must be a string, and is 1.36; write it in quotes",
  ],
  [
    "all that is wrong with the clusters",
    "cluster: {provider: kind, kubernetesVersion: '${{ vars.NOTHING }}x'}\nclusters: {b: '${{ vars.NOTHING }}'}",
    'f.yml:7:50: jobs.a.cluster.kubernetesVersion: must be vX.Y (the newest patch to be had) or vX.Y.Z (that one), and is "x"\nf.yml:8:19: jobs.a.clusters.b: must be an object, and is empty',
  ],
  [
    "a cell that is too large",
    "strategy: {matrix: {v: ['${{ vars.BIG }}']}}",
    expect.stringMatching(/^f\.yml:5:3: jobs\.a: its matrix cell is too long for a JobRun/),
  ],
  [
    "a matrix of costly cells",
    `strategy: {matrix: {v: [${Array.from({ length: 250 }, (_, i) => i).join(", ")}]}}\nname: "${"${{ contains(vars.BIG, 'y') }}".repeat(4)}"`,
    "f.yml:8:11: jobs.a.name: the expressions make or read more than 64 MiB",
  ],
  ["an if that cannot be evaluated", "if: fromJSON(github.ref)", "f.yml:7:9: jobs.a.if: fromJSON: the text is not JSON"],
])("invalid: %s", (_, job, message) => {
  expect(decide(job)).toEqual({ kind: "invalid", message });
});

describe("a policy", () => {
  const text = (job: string) => `on: push\njobs:\n  a:\n${job.replaceAll(/^/gm, "    ")}\n    steps: [{run: x}]\n`;
  const decideBy = (job: string, policy: JobPolicy) =>
    decideJob(readWorkflow(text(job), "f.yml", policy.rules), "a", { ...contexts, needs: {} }, status(), policy);

  test.each<[string, string, JobPolicy, string]>([
    [
      "a provider that is not allowed, with its place",
      "cluster: {provider: kind}",
      { providers: ["bare"], whose: "repository owner/project" },
      "f.yml:4:25: jobs.a.cluster.provider: kind is not allowed for repository owner/project, which may have bare",
    ],
    [
      "one that only an expression names",
      "strategy: {matrix: {p: [bare, kind]}}\nclusters:\n  one:\n    provider: ${{ matrix.p }}",
      { providers: ["bare"], whose: "repository owner/project" },
      "f.yml:7:19: jobs.a.clusters.one.provider: kind is not allowed for repository owner/project, which may have bare",
    ],
    [
      "no provider at all",
      "cluster: {provider: bare}",
      { providers: [], whose: "repository owner/project" },
      "bare is not allowed for repository owner/project, which may have none",
    ],
    [
      "a label of an expression",
      "runs-on: ${{ vars.RUNNER }}",
      { rules: [{ labels: ["gpu"] }] },
      'f.yml:4:14: jobs.a.runs-on: "windows-latest" cannot be had: jobs run on Linux',
    ],
  ])("refuses %s", (_, job, policy, message) => {
    expect(decideBy(job, policy)).toEqual({ kind: "invalid", message: expect.stringContaining(message) });
  });

  test("leaves what is allowed", () => {
    expect(
      decideBy("cluster: {provider: bare}\nruns-on: [gpu, linux]", { providers: ["bare"], rules: [{ labels: ["gpu"] }] }),
    ).toMatchObject({
      kind: "run",
      cells: [{ labels: ["gpu", "linux"], clusters: [{ spec: { provider: "bare" } }] }],
    });
  });
});

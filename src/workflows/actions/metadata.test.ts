import fc from "fast-check";
import { expect, test } from "vitest";
import { InvalidError } from "../../base/errors.ts";
import { readAction } from "./metadata.ts";

function problemsOf(text: string): string[] {
  try {
    readAction(text, "action.yml");
    return [];
  } catch (error) {
    if (error instanceof InvalidError)
      return error.problems.map(({ place, path, message }) => `${place!.line}:${place!.column} ${path}: ${message}`);
    throw error;
  }
}

test("a composite action", () => {
  const text = `
name: build
author: somebody
inputs:
  Who: {description: whom, required: true, deprecationMessage: use whom}
  how: {default: "\${{ github.ref }}", anything: of other tools}
  bare:
outputs:
  it: {description: what, value: "\${{ steps.a.outputs.it }}"}
runs:
  using: composite
  steps:
    - {id: a, run: "echo \${{ inputs.who }}", shell: bash, env: {A: 1}, if: "success() && inputs.how", working-directory: x, continue-on-error: true}
    - {name: two, uses: o/r@v1, with: {x: "\${{ env.A }}"}}
branding: {icon: x, color: y}
`;
  expect(readAction(text, "action.yml")).toEqual({
    name: "build",
    inputs: {
      who: { name: "Who", isRequired: true, deprecation: "use whom" },
      how: { name: "how", isRequired: false, default: "${{ github.ref }}" },
      bare: { name: "bare", isRequired: false },
    },
    outputs: { it: "${{ steps.a.outputs.it }}" },
    runs: {
      using: "composite",
      steps: [
        {
          id: "a",
          run: "echo ${{ inputs.who }}",
          shell: "bash",
          env: { A: "1" },
          if: "success() && inputs.how",
          workingDirectory: "x",
          continueOnError: "true",
        },
        { name: "two", uses: "o/r@v1", with: { x: "${{ env.A }}" } },
      ],
    },
  });
});

test("a JavaScript action, and a Docker action", () => {
  expect(
    readAction("runs: {using: node24, main: a.js, pre: b.js, pre-if: runner.os == 'Linux', post: c.js, post-if: success()}", "f").runs,
  ).toEqual({
    using: "node24",
    main: "a.js",
    pre: "b.js",
    preIf: "runner.os == 'Linux'",
    post: "c.js",
    postIf: "success()",
  });
  const docker = `
outputs: {named: {description: its value is set when it runs}}
runs:
  using: docker
  image: docker://alpine:3
  entrypoint: /a.sh
  post-entrypoint: /b.sh
  args: ["\${{ inputs.x }}", 1]
  env: {A: "\${{ inputs.x }}"}
`;
  expect(readAction(docker, "f")).toMatchObject({
    outputs: {},
    runs: {
      using: "docker",
      image: "docker://alpine:3",
      entrypoint: "/a.sh",
      postEntrypoint: "/b.sh",
      args: ["${{ inputs.x }}", "1"],
      env: { A: "${{ inputs.x }}" },
    },
  });
});

test.each([
  { name: "nothing", text: "", problems: ["1:1 : is empty: an action has `runs`"] },
  { name: "no map", text: "[]", problems: ["1:1 : must be a map"] },
  { name: "no runs", text: "name: x", problems: ["1:1 runs: is required: how the action is run"] },
  { name: "no using", text: "runs: {main: x}", problems: ["1:1 runs.using: is required: composite, node24, node20 or docker"] },
  {
    name: "an unknown using",
    text: "runs: {using: nod20}",
    problems: ['1:15 runs.using: must be composite, node24, node20 or docker, and is "nod20", did you mean node20?'],
  },
  {
    name: "a Node that is gone",
    text: "runs: {using: node12, main: x}",
    problems: ["1:15 runs.using: node12 is not supported, as on GitHub: take a newer version of the action, for node20 or node24"],
  },
  {
    name: "no main",
    text: "runs: {using: node20, man: x}",
    problems: ["1:1 runs.main: is required: the file that is run", "1:23 runs.man: is not a known key, did you mean main?"],
  },
  {
    name: "a whole path",
    text: "runs: {using: node20, main: /etc/x}",
    problems: ["1:29 runs.main: must be a path from the action's folder"],
  },
  { name: "no image", text: "runs: {using: docker}", problems: ["1:1 runs.image: is required: Dockerfile, or docker://image"] },
  { name: "no steps", text: "runs: {using: composite}", problems: ["1:1 runs.steps: is required: what the action does"] },
  {
    name: "a composite output without a value",
    text: "runs: {using: composite, steps: []}\noutputs: {o: {}}",
    problems: ["2:11 outputs.o.value: is required in a composite action"],
  },
  {
    name: "secrets and unknown functions",
    text: "runs: {using: composite, steps: [{run: '${{ secrets.A }}${{ nope() }}', shell: sh}]}",
    problems: [
      "1:45 runs.steps[0].run: context secrets is not available here; there are: github, env, job, steps, runner, strategy, matrix, inputs",
      "1:61 runs.steps[0].run: there is no function nope",
    ],
  },
  {
    name: "a status function outside of if",
    text: "inputs: {a: {default: '${{ always() }}'}}\nruns: {using: composite, steps: []}",
    problems: ["1:28 inputs.a.default: always() can be used in `if` alone"],
  },
  {
    name: "two steps of one id",
    text: "runs: {using: composite, steps: [{id: a, uses: o/r@v1}, {id: A, uses: o/r@v1}]}",
    problems: ["1:62 runs.steps[1].id: there is another A before it"],
  },
  {
    name: "an alias of aliases",
    text: `a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\nf: [*e, *e, *e, *e, *e, *e, *e, *e, *e, *e]`,
    problems: [expect.stringContaining("values, with its aliases followed") as string],
  },
])("$name", ({ text, problems }) => {
  expect(problemsOf(text)).toEqual(problems);
});

test("whatever is in the file, it is an action or all of its problems", () => {
  const value = fc.letrec((tie) => ({
    node: fc.oneof(
      { depthSize: "small" },
      fc.constantFrom("composite", "node24", "docker", "x", "${{ a", "o/r@v1", "./x", 1, true, null),
      fc.array(tie("node"), { maxLength: 3 }),
      fc.dictionary(
        fc.constantFrom("name", "inputs", "outputs", "runs", "using", "steps", "main", "uses", "run", "shell", "env", "default"),
        tie("node"),
        { maxKeys: 4 },
      ),
    ),
  })).node;
  fc.assert(
    fc.property(value, (node) => {
      problemsOf(JSON.stringify(node));
      problemsOf(JSON.stringify({ runs: node, inputs: node, outputs: node }));
    }),
  );
});

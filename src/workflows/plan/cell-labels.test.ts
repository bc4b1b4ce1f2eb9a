import { expect, test } from "vitest";
import { formatProblem, InvalidError } from "../../base/errors.ts";
import { readWorkflow } from "../read/read.ts";

function problemsOf(matrix: string, runsOn: string): string[] {
  const text = `on: push
jobs:
  a:
    strategy: {matrix: ${matrix}}
    runs-on: ${runsOn}
    steps: [{run: "true"}]
`;
  try {
    readWorkflow(text, "ci.yml");
    return [];
  } catch (error) {
    if (!(error instanceof InvalidError)) throw error;
    return error.problems.map(formatProblem);
  }
}

test.each<[string, string, string, string[]]>([
  [
    "each label that no machine has, once, at its place",
    "{os: [ubuntu-latest, macos-latest, windows-2022], go: [1, 2]}",
    "${{ matrix.os }}",
    [
      'ci.yml:4:45: jobs.a.runs-on: "macos-latest" cannot be had: jobs run on Linux',
      'ci.yml:4:59: jobs.a.runs-on: "windows-2022" cannot be had: jobs run on Linux',
    ],
  ],
  [
    "of an include",
    "{go: [1], include: [{go: 2, runner: gpu}]}",
    "[self-hosted, '${{ matrix.runner || ''linux'' }}']",
    [
      'ci.yml:4:60: jobs.a.runs-on: "gpu" is not a label that is known here: linux, ubuntu-*, self-hosted, x64, arm64; runsOn of the configuration can give it a meaning',
    ],
  ],
  [
    "made of a value",
    "{os: [ubuntu, macos]}",
    "${{ matrix.os }}-latest",
    ['ci.yml:5:14: jobs.a.runs-on: "macos-latest" cannot be had: jobs run on Linux'],
  ],
  ["none that is excluded", "{os: [linux, macos-latest], exclude: [{os: macos-latest}]}", "${{ matrix.os }}", []],
  ["none of what is known later", "{os: [macos-latest]}", "${{ vars.RUNNER || matrix.os }}", []],
  ["nor of a matrix that is", "{os: ['${{ vars.OS }}', macos-latest]}", "${{ matrix.os }}", []],
])("%s", (_, matrix, runsOn, problems) => {
  expect(problemsOf(matrix, runsOn)).toEqual(problems);
});

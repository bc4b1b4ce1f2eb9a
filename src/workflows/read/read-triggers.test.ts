import { expect, test } from "vitest";
import { readWorkflow } from "./read.ts";
import { releaseTypes, type Triggers } from "../triggers/triggers.ts";

const jobs = "jobs: {a: {steps: [{run: x}]}}\n";
const onOf = (text: string): Triggers => readWorkflow(`on:${text}\n${jobs}`, "f.yml").on;

test("all events with all that they can have; testdata/invalid-triggers.yml has what is wrong with them", () => {
  const on = onOf(`
  push: {branches: [main], tags-ignore: [x], paths: ["src/**", "!src/docs/**"]}
  pull_request: {types: [closed, labeled], branches-ignore: [wip], paths-ignore: ["*.md"]}
  merge_group: {types: checks_requested, branches: [main]}
  schedule:
    - cron: "30 5 * * MON-FRI"
    - {cron: "0 0 1 * *", timezone: Europe/Berlin}
  workflow_dispatch: {inputs: {level: {type: choice, options: [low, high], default: low, description: How much}}}
  repository_dispatch: {types: [built, tested]}
  release: {types: [released]}
  create:
  delete:`);
  expect(on).toMatchObject({
    push: { branches: ["main"], tagsIgnore: ["x"], paths: ["src/**", "!src/docs/**"] },
    pull_request: { types: ["closed", "labeled"], branchesIgnore: ["wip"], pathsIgnore: ["*.md"] },
    merge_group: { branches: ["main"] },
    schedule: [
      { cron: { text: "30 5 * * MON-FRI", daysOfWeek: [1, 2, 3, 4, 5] }, timeZone: "UTC" },
      { cron: { text: "0 0 1 * *" }, timeZone: "Europe/Berlin" },
    ],
    workflow_dispatch: {
      inputs: { level: { type: "choice", options: ["low", "high"], default: "low", required: false, description: "How much" } },
    },
    repository_dispatch: { types: ["built", "tested"] },
    release: { types: ["released"] },
    create: {},
    delete: {},
  });
});

test("events without more have their defaults, in a map and in a list", () => {
  const defaults = {
    push: {},
    pull_request: { types: ["opened", "synchronize", "reopened"] },
    merge_group: {},
    workflow_dispatch: { inputs: {} },
    repository_dispatch: {},
    release: { types: releaseTypes },
    create: {},
    delete: {},
  };
  const names = Object.keys(defaults);
  expect(onOf(`\n${names.map((name) => `  ${name}:`).join("\n")}`)).toEqual(defaults);
  expect(onOf(` [${names.join(", ")}]`)).toEqual(defaults);
});

test.each(["push: {branches: []}", "pull_request: {types: []}", "repository_dispatch: {types: []}"])("%s would match nothing", (event) => {
  expect(() => onOf(`\n  ${event}`)).toThrow("is an empty list, which nothing matches: leave it out");
});

test.each([
  ["push: {branches: }", "f.yml:2:10: on.push.branches: is empty: leave it out, or name what is wanted"],
  ["pull_request: {branches: [main], types: }", "f.yml:2:36: on.pull_request.types: is empty: leave it out, or name what is wanted"],
])("%s is no filter that takes everything", (event, problem) => {
  expect(() => onOf(`\n  ${event}`)).toThrow(problem);
});

test("inputs of which there are none may be said", () => {
  expect(onOf("\n  workflow_dispatch: {inputs: }")).toEqual({ workflow_dispatch: { inputs: {} } });
});

test.each([
  [" schedule", 'f.yml:1:5: on: must be a list, as in `- cron: "30 5 * * 1-5"`'],
  ["\n  schedule:", 'f.yml:2:3: on.schedule: must be a list, as in `- cron: "30 5 * * 1-5"`'],
  ["\n  schedule: [{cron: }]", "f.yml:2:14: on.schedule[0].cron: is required: when it comes"],
  [`\n  schedule: [${'{cron: "0 0 * * *"}, '.repeat(21)}]`, "f.yml:2:3: on.schedule: has 21 entries, and can have at most 20"],
  ['\n  schedule: [{cron: "0 0 * * * ${{ x }}"}]', "f.yml:2:21: on.schedule[0].cron: cannot hold `${{ }}`"],
])("a schedule of nothing, or of too much: %j", (text, problem) => {
  expect(() => onOf(text)).toThrow(problem);
});

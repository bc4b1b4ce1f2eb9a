import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { InvalidError } from "../base/errors.ts";
import { type Key, keys } from "./keys.ts";
import { readWorkflow } from "./read.ts";

/** A workflow that has the key, with whatever its neighbours need; the value is right for keys that work. */
function workflowWith({ key }: Key): string {
  const values: Record<string, string> = {
    on: "push",
    "on.pull_request.types": "[opened]",
    "jobs.<job_id>.needs": "[]",
    "jobs.<job_id>.if": "always()",
    "jobs.<job_id>.steps[*].if": "always()",
    "jobs.<job_id>.runs-on": "linux",
    "jobs.<job_id>.timeout-minutes": "5",
    "jobs.<job_id>.continue-on-error": "true",
    "jobs.<job_id>.strategy": "{}",
    "jobs.<job_id>.strategy.matrix": "{a: [1]}",
    "jobs.<job_id>.strategy.matrix.include": "[{a: 1}]",
    "jobs.<job_id>.strategy.matrix.exclude": "[{a: 1}]",
    "jobs.<job_id>.strategy.fail-fast": "true",
    "jobs.<job_id>.strategy.max-parallel": "2",
    "jobs.<job_id>.cluster": "{provider: kind}",
    "jobs.<job_id>.clusters": "{a: {provider: kind}}",
    "jobs.<job_id>.clusters.<name>": "{provider: kind}",
    "jobs.<job_id>.steps": "[{run: x}]",
    "jobs.<job_id>.steps[*].run": "x",
    "jobs.<job_id>.steps[*].shell": "bash",
    "jobs.<job_id>.steps[*].uses": "actions/checkout@v5",
    "jobs.<job_id>.steps[*].with": "{fetch-depth: 0}",
    "jobs.<job_id>.steps[*].continue-on-error": "true",
    "jobs.<job_id>.steps[*].timeout-minutes": "5",
    jobs: "{a: {steps: [{run: x}]}}",
  };
  const value = values[key] ?? (/env$|outputs$|images$/.test(key) ? "{a: b}" : /^on\.\w+$/.test(key) ? "" : "x");
  const name = key.split(".").at(-1)!;
  const pair = `${name}: ${value}`;
  const step = (text: string) => `on: push\njobs: {a: {steps: [{${text}}]}}`;
  const job = (text: string) => `on: push\njobs: {a: {${text}, steps: [{run: x}]}}`;
  if (key.startsWith("jobs.<job_id>.steps[*].")) {
    if (name === "run" || name === "uses") return step(pair);
    return step(name === "with" ? `uses: actions/checkout@v5, ${pair}` : `run: x, ${pair}`);
  }
  if (key === "jobs.<job_id>.steps") return `on: push\njobs: {a: {${pair}}}`;
  if (/strategy\.matrix\.\w/.test(key)) return job(`strategy: {matrix: {a: [1, 2], ${pair}}}`);
  if (key.startsWith("jobs.<job_id>.strategy.")) return job(`strategy: {${pair}}`);
  if (key.startsWith("jobs.<job_id>.runs-on.")) return job(`runs-on: {${pair}}`);
  if (key === "jobs.<job_id>.cluster.images") return job("cluster: {provider: kind, images: [x]}");
  if (key.startsWith("jobs.<job_id>.clusters.<name>"))
    return job(key.endsWith("images") ? "clusters: {a: {provider: kind, images: [x]}}" : `clusters: {a: ${value}}`);
  if (key.startsWith("jobs.<job_id>.")) return job(pair);
  const on = /^on\.(\w+)(\.|$)/.exec(key)?.[1];
  if (on) return `on: {${key.split(".").length === 2 ? pair : `${on}: {${pair}}`}}\njobs: {a: {steps: [{run: x}]}}`;
  return [key === "on" ? "" : "on: push", key === "jobs" ? "" : "jobs: {a: {steps: [{run: x}]}}", pair]
    .filter((line) => line !== "")
    .join("\n");
}

function problemsOf(text: string): string[] {
  try {
    readWorkflow(text, "f.yml");
    return [];
  } catch (error) {
    if (error instanceof InvalidError) return error.problems.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
}

test.each(keys.filter(({ state }) => state === "works"))("$key is read", (key) => {
  expect(problemsOf(workflowWith(key))).toEqual([]);
});

const words = { works: "", later: "comes later", open: "is not supported", never: "will not be supported" };
test.each(keys.filter(({ state }) => state !== "works"))("$key is refused by name", (key) => {
  const path = key.key.replace("<job_id>", "a").replace("<name>", "a").replace("[*]", "[0]");
  const end = key.note === "" ? "" : `: ${key.note}`;
  expect(problemsOf(workflowWith(key))).toEqual([`${path}: ${words[key.state]}${end}`]);
});

test("docs/workflow-syntax.md has exactly this table", () => {
  const states = { works: "works", later: "refused; comes later", open: "refused; not planned", never: "refused; never" };
  const rows = keys.map(({ key, state, note, contexts, functions = [] }) => {
    const names = [...contexts, ...functions.map((name) => `${name}()`)].join(", ");
    return `| \`${key}\` | ${states[state]} | ${note} | ${names} |`;
  });
  const page = readFileSync(new URL("../../docs/workflow-syntax.md", import.meta.url), "utf8");
  expect(page.split("\n").filter((line) => line.startsWith("| `"))).toEqual(rows);
});

/** Keys that do not work are refused by name and place; those that do are proven by the conformance cases of test/workflows. */
import { expect, test } from "vitest";
import { InvalidError, type Problem } from "../../base/errors.ts";
import { type Key, keys } from "./keys.ts";
import { readWorkflow } from "./read.ts";

/** A workflow that has the key, which is refused whatever its value, with what its neighbours need. */
function workflowWith({ key }: Key): string {
  const segments = key.split(".");
  const pair = `${segments.at(-1)}: x`;
  const on = segments[0] === "on" ? `{${inside(segments.slice(1, -1), pair)}}` : "push";
  const step = key.startsWith("jobs.<job_id>.steps[*].") ? `run: x, ${pair}` : "run: x";
  const job = segments[0] === "jobs" && step === "run: x" ? `${inside(segments.slice(2, -1), pair)}, ` : "";
  return `on: ${on}\njobs: {a: {${job}steps: [{${step}}]}}\n${segments.length === 1 ? `${pair}\n` : ""}`;
}

/** The pair below these keys. */
function inside(parents: readonly string[], pair: string): string {
  return parents.reduceRight((inner, parent) => {
    const beside = /^(cluster|<name>)$/.test(parent) ? "provider: kind, " : "";
    return `${parent.replace("<name>", "a")}: {${beside}${inner}}`;
  }, pair);
}

function problemsOf(text: string): readonly Problem[] {
  try {
    readWorkflow(text, "f.yml");
    return [];
  } catch (error) {
    if (error instanceof InvalidError) return error.problems;
    throw error;
  }
}

const words = { works: "", later: "comes later", open: "is not supported", never: "will not be supported" };
test.each(keys.filter(({ state }) => state !== "works"))("$key is refused by name and place", (key) => {
  const path = key.key.replace("<job_id>", "a").replace("<name>", "a").replace("[*]", "[0]");
  const end = key.note === "" ? "" : `: ${key.note}`;
  const text = workflowWith(key);
  const problems = problemsOf(text);
  expect(problems, text).toEqual([{ path, message: `${words[key.state]}${end}`, place: expect.objectContaining({ file: "f.yml" }) }]);
  const { line, column } = problems[0]!.place!;
  expect(text.split("\n")[line - 1]!.slice(column - 1)).toMatch(new RegExp(`^${key.key.split(".").at(-1)}:`));
});

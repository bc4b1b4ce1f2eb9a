import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { InvalidError } from "../../base/errors.ts";
import { type JsonSchema, workflowJsonSchema } from "./json-schema.ts";
import { readWorkflow } from "./read.ts";

const schema = workflowJsonSchema();
const testdata = join(import.meta.dirname, "testdata");

/** Paths of a value that do not fit, by the part of JSON Schema that our schemas use; another word of it is an error of the test. */
function misfits(value: unknown, at: JsonSchema | boolean, path = ""): string[] {
  if (at === true) return [];
  if (at === false) return [path];
  const found: string[] = [];
  for (const [word, wanted] of Object.entries(at)) found.push(...check(word, wanted, value, at, path));
  return found;
}

function check(word: string, wanted: unknown, value: unknown, at: JsonSchema, path: string): string[] {
  const isMap = typeof value === "object" && value !== null && !Array.isArray(value);
  const entries = isMap ? Object.entries(value) : [];
  const fits = (is: boolean) => (is ? [] : [path]);
  const properties = (at["properties"] ?? {}) as Record<string, JsonSchema>;
  switch (word) {
    case "type":
      return fits([wanted].flat().some((type) => isOf(type as string, value)));
    case "enum":
      return fits((wanted as unknown[]).includes(value));
    case "const":
      return fits(wanted === value);
    case "not":
      return fits(misfits(value, wanted as JsonSchema).length > 0);
    case "anyOf": {
      const all = (wanted as JsonSchema[]).map((each) => misfits(value, each, path));
      if (all.some((each) => each.length === 0)) return [];
      return all.toSorted((a, b) => Math.max(...b.map((each) => each.length)) - Math.max(...a.map((each) => each.length)))[0]!;
    }
    case "$ref":
      return misfits(value, (schema["definitions"] as Record<string, JsonSchema>)[(wanted as string).replace("#/definitions/", "")]!, path);
    case "pattern":
      return fits(typeof value !== "string" || new RegExp(wanted as string).test(value));
    case "required":
      return fits(!isMap || (wanted as string[]).every((name) => Object.hasOwn(value, name)));
    case "properties":
      return entries.flatMap(([name, each]) => (properties[name] ? misfits(each, properties[name], `${path}.${name}`) : []));
    case "additionalProperties":
      return entries.flatMap(([name, each]) => (properties[name] ? [] : misfits(each, wanted as JsonSchema, `${path}.${name}`)));
    case "propertyNames":
      return entries.flatMap(([name]) => misfits(name, wanted as JsonSchema, `${path}.${name}`));
    case "items":
      return Array.isArray(value) ? value.flatMap((each, index) => misfits(each, wanted as JsonSchema, `${path}[${index}]`)) : [];
    case "minimum":
    case "exclusiveMinimum":
      return fits(typeof value !== "number" || value >= (wanted as number));
    case "maximum":
      return fits(typeof value !== "number" || value <= (wanted as number));
    case "minLength":
      return fits(typeof value !== "string" || value.length >= (wanted as number));
    case "maxLength":
      return fits(typeof value !== "string" || value.length <= (wanted as number));
    case "maxItems":
      return fits(!Array.isArray(value) || value.length <= (wanted as number));
    case "minItems":
      return fits(!Array.isArray(value) || value.length >= (wanted as number));
    case "minProperties":
      return fits(!isMap || entries.length >= (wanted as number));
    case "$schema":
    case "title":
    case "description":
    case "definitions":
    case "doNotSuggest":
    case "default":
    case "format":
      return [];
    default:
      throw new Error(`the test does not know ${word}`);
  }
}

function isOf(type: string, value: unknown): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  return typeof value === type;
}

function mayRead(text: string, name: string): boolean {
  try {
    readWorkflow(text, name);
    return true;
  } catch (error) {
    if (error instanceof InvalidError) return false;
    throw error;
  }
}

describe("the JSON Schema of workflows", () => {
  const valid = readdirSync(testdata).filter((name) => /^valid-.*\.yml$/.test(name));
  test.each(valid)("takes %s", (name) => {
    expect(misfits(parse(readFileSync(join(testdata, name), "utf8"), { stringKeys: true }), schema)).toEqual([]);
  });

  const cases = join(import.meta.dirname, "..", "..", "..", "test", "workflows");
  const files = existsSync(cases)
    ? readdirSync(cases, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith("workflow.yml"))
    : [];
  test("takes every conformance case that the reader takes", () => {
    const bad = files.flatMap((name) => {
      const text = readFileSync(join(cases, name), "utf8");
      const isRead = mayRead(text, name);
      return isRead ? misfits(parse(text, { stringKeys: true }), schema).map((path) => `${name}: ${path}`) : [];
    });
    expect(bad).toEqual([]);
  });

  test.each([
    ["on: push\njobs: {a: {step: []}}", [".jobs.a.step", ".jobs.a"]],
    ["on: push", [""]],
    ["on: [push, 7]\njobs: {a: {steps: [{run: x}]}}", []],
    ["on: {push: {branch: main}}\njobs: {a: {steps: [{run: x}]}}", [".on.push.branch"]],
    ["on: pull_request\njobs: {1a: {steps: [{run: x}]}}", [".jobs.1a"]],
    ["on: push\njobs: {a: {timeout-minutes: soon, steps: [{run: x}]}}", [".jobs.a.timeout-minutes"]],
    ["on: push\njobs: {a: {timeout-minutes: '${{ vars.SOON }}', steps: [{run: x}]}}", []],
    ["on: push\njobs: {a: {steps: [{name: x}]}}", [".jobs.a.steps[0]"]],
    ["on: push\njobs: {a: {steps: {run: x}}}", [".jobs.a.steps"]],
    ["on: push\njobs: {a: {cluster: {provider: kimd}, steps: [{run: x}]}}", [".jobs.a.cluster.provider"]],
    ["on: push\njobs: {a: {cluster: {provider: '${{ matrix.p }}', nodes: '${{ matrix.n }}'}, steps: [{run: x}]}}", []],
    ["on: push\njobs: {a: {clusters: {one: {provider: bare, node: 1}}, steps: [{run: x}]}}", [".jobs.a.clusters.one.node"]],
    ["on: push\njobs: {a: {strategy: {matrix: {k8s: [1, 2], include: [{k8s: 3}]}}, steps: [{run: x}]}}", []],
    ["on: push\njobs: {a: {snapshot: x, steps: [{run: x}]}}", [".jobs.a.snapshot"]],
  ])("%s", (text, expected) => {
    expect([...new Set(misfits(parse(text, { stringKeys: true }), schema))]).toEqual(expected);
  });
});

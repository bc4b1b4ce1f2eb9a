import { expect, test } from "vitest";
import { limits } from "../base/limits.ts";
import type { Json } from "./expressions/expressions.ts";
import { type Inputs, inputTexts, type InputValue, inputValues } from "./inputs.ts";
import { readWorkflow } from "./read/read.ts";

/** The declarations of `on.workflow_dispatch.inputs`. */
function declared(yaml: string): Inputs {
  const { on } = readWorkflow(`on: {workflow_dispatch: {inputs: ${yaml}}}\njobs: {a: {steps: [{run: x}]}}`, "f.yml");
  return on.workflow_dispatch!.inputs;
}

const everything =
  "{s: {default: 1.10}, b: {type: boolean, default: true}, n: {type: number, default: 3}, c: {type: choice, options: [low, high], default: low}, e: {type: environment}}";

test("declarations are read with their types", () => {
  expect(declared("{s: {description: What, required: true, default: 1.10}, n: {type: number, default: '3'}, e: }")).toEqual({
    s: { type: "string", description: "What", required: true, default: "1.1" },
    n: { type: "number", required: false, default: 3 },
    e: { type: "string", required: false },
  });
});

test.each<[what: string, yaml: string, given: Record<string, Json>, values: Record<string, InputValue>]>([
  ["defaults", everything, {}, { s: "1.1", b: true, n: 3, c: "low", e: "" }],
  ["none at all", "{s: , b: {type: boolean}, n: {type: number}, c: {type: choice, options: [a]}}", {}, { s: "", b: false, n: 0, c: "" }],
  [
    "texts, as commands give them",
    everything,
    { s: "", b: "false", n: "1.5", c: "high", e: "prod" },
    { s: "", b: false, n: 1.5, c: "high", e: "prod" },
  ],
  ["values, as programs give them", everything, { s: 7, b: false, n: 0, c: "high" }, { s: "7", b: false, n: 0, c: "high", e: "" }],
  ["names in another case", "{Level: {}}", { level: "x" }, { Level: "x" }],
  ["an empty text is no number", "{n: {type: number, default: 4}}", { n: "" }, { n: 4 }],
])("values: %s", (_, yaml, given, values) => {
  expect(inputValues(declared(yaml), given, "workflow f.yml")).toEqual(values);
});

test("everything that is wrong with values is said at once", () => {
  const inputs = declared("{b: {type: boolean}, n: {type: number}, c: {type: choice, options: [low, high]}, r: {required: true}, s: {}}");
  expect(() => inputValues(inputs, { b: "yes", n: "1 2", c: "hihg", "no-such": "1", s: ["a"] }, "f.yml")).toThrow(
    expect.objectContaining({
      code: "invalid",
      message: [
        "f.yml has no input no-such",
        'input b of f.yml must be true or false, and is "yes"',
        'input n of f.yml must be a number, and is "1 2"',
        'input c of f.yml must be low or high, and is "hihg", did you mean high?',
        "input r of f.yml is required",
        "input s of f.yml must be text, and is a list or a map",
      ].join("\n"),
      hint: "its inputs are b, n, c, r, s",
    }),
  );
});

test("values are bounded as GitHub bounds them", () => {
  const inputs = declared("{a: {}, b: {}}");
  const half = "x".repeat(limits.inputCharacters / 2);
  expect(inputValues(inputs, { a: half.slice(2), b: half }, "f.yml")).toMatchObject({ b: half });
  expect(() => inputValues(inputs, { a: half, b: half }, "f.yml")).toThrow(
    "the inputs of f.yml have 65536 characters, and can have at most 65535",
  );
  const many = Array.from({ length: limits.dispatchInputs + 1 }, (_, i) => `i${i}: {}`).join(", ");
  expect(() => declared(`{${many}}`)).toThrow("on.workflow_dispatch.inputs: has 26 inputs, and can have at most 25");
});

test("as texts, for github.event.inputs", () => {
  expect(inputTexts({ s: "x", b: false, n: 1.5 })).toEqual({ s: "x", b: "false", n: "1.5" });
});

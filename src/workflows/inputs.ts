/**
 * Typed inputs of a workflow: how `on.workflow_dispatch.inputs` and `on.workflow_call.inputs` declare them, and what becomes of the
 * values that somebody gives. In expressions they are `inputs` with their types; `github.event.inputs` has the same as texts.
 */
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Path } from "../resources/finding.ts";
import { anyOf, shown } from "../resources/schema.ts";
import { didYouMean } from "../resources/suggest.ts";
import { holdsExpression, type Json, textOf } from "./expressions/expressions.ts";
import type { Entry, Node } from "./read/tree.ts";
import { isNull, type ValueReader } from "./read/values.ts";

export const inputTypes = ["string", "boolean", "number", "choice", "environment"] as const;
export type InputType = (typeof inputTypes)[number];
export type InputValue = string | number | boolean;

/** One declared input. */
export interface Input {
  type: InputType;
  description?: string;
  required: boolean;
  /** Of a called workflow it may hold expressions: `value` is text then, and the caller evaluates it. */
  default?: InputValue;
  /** Of a choice. */
  options?: readonly string[];
}
/** By name, as it is declared; names that differ in case alone are the same. */
export type Inputs = Readonly<Record<string, Input>>;

/** What one of the two keys may declare. */
const kinds = {
  "on.workflow_dispatch.inputs": { types: inputTypes, most: limits.dispatchInputs, isTypeRequired: false },
  "on.workflow_call.inputs": { types: ["string", "boolean", "number"], most: limits.callInputs, isTypeRequired: true },
} as const satisfies Record<string, { types: readonly InputType[]; most: number; isTypeRequired: boolean }>;

/** Reads the declarations; what is wrong is reported to the reader. @param key of the table: which inputs these are. */
export function readInputs(reader: ValueReader, node: Node, path: Path, place: Entry["place"], key: keyof typeof kinds): Inputs {
  const { most } = kinds[key];
  const entries = isNull(node) ? [] : reader.entries(node, path, place);
  if (entries.length > most) reader.report(place, path, `has ${entries.length} inputs, and can have at most ${most}`);
  const inputs: Record<string, Input> = {};
  for (const entry of entries) {
    const at = [...path, entry.key];
    if (!/^[A-Za-z_][\w-]{0,99}$/.test(entry.key)) {
      reader.report(entry.place, at, "must be made of letters, digits, - and _, begin with a letter or _, and have at most 100 characters");
    }
    const other = Object.keys(inputs).find((name) => name.toLowerCase() === entry.key.toLowerCase());
    if (other !== undefined) reader.report(entry.place, at, `differs from ${other} in case alone, which does not count`);
    inputs[entry.key] = readInput(reader, entry, at, key);
  }
  return inputs;
}

function readInput(reader: ValueReader, { value: node, place }: Entry, path: Path, key: keyof typeof kinds): Input {
  const { types, isTypeRequired } = kinds[key];
  const prefix = `${key}.<input_id>`;
  const input: Input = { type: "string", required: false };
  if (isNull(node) && !isTypeRequired) return input;
  const defaults: { node: Node; path: Path }[] = [];
  const seen = reader.keys(node, prefix, path, place, {
    description: (value, at) => (input.description = reader.text(value, at, `${prefix}.description`)),
    required: (value, at) => (input.required = reader.scalar(value, at, `${prefix}.required`, "boolean")?.value === true),
    type: (value, at) => {
      const type = reader.text(value, at, `${prefix}.type`);
      const known = types.find((each) => each === type);
      if (known) input.type = known;
      else if (type !== "") reader.report(value.place, at, `must be ${anyOf(types)}, and is ${shown(type)}${didYouMean(type, types)}`);
    },
    default: (value, at) => defaults.push({ node: value, path: at }),
    options: (value, at) => (input.options = reader.list(value, at).map(({ text }) => text)),
  });
  if (isTypeRequired && node.kind === "map" && !seen.has("type")) {
    reader.report(place, [...path, "type"], `is required: ${anyOf(types)}`);
  }
  const isChoice = input.type === "choice";
  if (isChoice && !input.options?.length) reader.report(place, [...path, "options"], "is required for a choice: a list of texts");
  if (!isChoice && input.options)
    reader.report(seen.get("options")!, [...path, "options"], `belongs to a choice, and this is a ${input.type}`);
  for (const { node: value, path: at } of defaults) {
    const scalar = reader.scalar(value, at, `${prefix}.default`, "text");
    if (!scalar) continue;
    const read: InputValue | Mistake = holdsExpression(scalar.text) ? scalar.text : coerce(input, scalar.value);
    if (read instanceof Mistake) reader.report(value.place, at, read.message);
    else input.default = read;
  }
  return input;
}

/**
 * The values of a run's inputs: those that were given, brought to their types, and defaults for the others. Expressions in defaults
 * must have been evaluated before. @param given by name, in any case of letters.
 * @param whose the end of a sentence for people: `workflow test.yml`.
 * @throws SeatrialError `invalid` with all that is wrong.
 */
export function inputValues(inputs: Inputs, given: Readonly<Record<string, Json>>, whose: string): Record<string, InputValue> {
  const mistakes: string[] = [];
  const names = Object.keys(inputs);
  const byName = new Map<string, Json>();
  for (const [name, value] of Object.entries(given)) {
    const known = names.find((each) => each.toLowerCase() === name.toLowerCase());
    if (known === undefined) mistakes.push(`${whose} has no input ${name}${didYouMean(name, names)}`);
    else byName.set(known, value);
  }
  const values: Record<string, InputValue> = {};
  for (const [name, input] of Object.entries(inputs)) {
    const value = byName.get(name) ?? null;
    const isAbsent = value === null || (value === "" && input.type !== "string");
    if (isAbsent && input.required && input.default === undefined) {
      mistakes.push(`input ${name} of ${whose} is required`);
      continue;
    }
    const read = isAbsent ? (input.default ?? absent[input.type]) : coerce(input, value);
    if (read instanceof Mistake) mistakes.push(`input ${name} of ${whose} ${read.message}`);
    else values[name] = read;
  }
  const characters = Object.entries(values).reduce((sum, [name, value]) => sum + name.length + String(value).length, 0);
  if (characters > limits.inputCharacters) {
    mistakes.push(`the inputs of ${whose} have ${characters} characters, and can have at most ${limits.inputCharacters}`);
  }
  if (mistakes.length === 0) return values;
  throw new SeatrialError("invalid", mistakes.join("\n"), {
    hint: names.length === 0 ? "it takes no inputs" : `its inputs are ${names.join(", ")}`,
  });
}

/** The same values as `github.event.inputs` has them. */
export function inputTexts(values: Readonly<Record<string, InputValue>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, textOf(value)]));
}

/** What an input is that has no value and no default: as GitHub documents it. */
const absent: Record<InputType, InputValue> = { string: "", boolean: false, number: 0, choice: "", environment: "" };

/** What is wrong with a value, as the end of a sentence. */
class Mistake {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

function coerce({ type, options }: Input, value: Json): InputValue | Mistake {
  if (typeof value === "object" && value !== null) return new Mistake(`must be ${words[type]}, and is a list or a map`);
  const text = textOf(value);
  if (type === "boolean") {
    if (typeof value === "boolean" || text === "true" || text === "false") return text === "true";
    return new Mistake(`must be true or false, and is ${shown(value)}`);
  }
  if (type === "number") {
    const number = typeof value === "boolean" || text.trim() === "" ? NaN : Number(text);
    return Number.isFinite(number) ? number : new Mistake(`must be a number, and is ${shown(value)}`);
  }
  if (type === "choice" && !options?.includes(text)) {
    return new Mistake(`must be ${anyOf(options ?? [])}, and is ${shown(value)}${didYouMean(text, options ?? [])}`);
  }
  return text;
}

const words: Record<InputType, string> = {
  string: "text",
  boolean: "true or false",
  number: "a number",
  choice: "one of its options",
  environment: "the name of an environment",
};

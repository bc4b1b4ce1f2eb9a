/** From what a zod schema finds wrong to findings in our words, each with the field's neighbours for "did you mean". */
import type { z } from "zod";
import { type Finding, type Path, valueAt } from "./finding.ts";
import { didYouMean } from "./suggest.ts";

/** The schema's issues about `value`; an object with two unknown fields is two findings. */
export function findingsOf(error: z.ZodError, schema: z.ZodType, value: unknown): Finding[] {
  return error.issues.flatMap((issue): Finding[] => {
    const path = issue.path as Path;
    if (issue.code === "unrecognized_keys") {
      const known = knownFields(schema, path);
      return issue.keys.map((key) => ({ path: [...path, key], at: "key", message: `is not a known field${didYouMean(key, known)}` }));
    }
    const given = valueAt(value, path);
    const isSecret = path.some((step) => secretFields.has(String(step)));
    return [{ path, message: messageOf(issue, given, isSecret ? () => "something else" : shown) }];
  });
}

/** Fields that may hold a password: messages do not quote them. */
const secretFields = new Set(["username", "password", "endpoint", "env"]);

function messageOf(issue: z.core.$ZodIssue, given: unknown, show: (value: unknown) => string): string {
  const isMissing = given === undefined;
  switch (issue.code) {
    case "invalid_type":
      if (isMissing) return "is required";
      return `must be ${typeNames[issue.expected] ?? issue.expected}, and is ${show(given)}${quotesHint(issue.expected, given)}`;
    case "invalid_value": {
      const choices = issue.values.map(String);
      if (isMissing) return `is required: ${anyOf(choices)}`;
      const suggestion = typeof given === "string" ? didYouMean(given, choices) : "";
      return `must be ${anyOf(choices)}, and is ${show(given)}${suggestion}`;
    }
    case "too_small":
      return issue.message.startsWith("must") ? issue.message : `must be at least ${issue.minimum}, and is ${show(given)}`;
    case "too_big":
      return issue.message.startsWith("must") ? issue.message : `must be at most ${issue.maximum}, and is ${show(given)}`;
    default:
      return `${issue.message}, and is ${show(given)}`;
  }
}

const typeNames: Record<string, string> = {
  string: "a string",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};

function quotesHint(expected: string, given: unknown): string {
  return expected === "string" && (typeof given === "number" || typeof given === "boolean") ? "; write it in quotes" : "";
}

/** A value in a message, short. */
export function shown(value: unknown): string {
  if (value === null || value === undefined) return "empty";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** `a, b or c`. */
export function anyOf(choices: readonly string[]): string {
  return choices.length < 2 ? choices.join("") : `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`;
}

/** The fields of the object that a schema expects at a path. */
function knownFields(schema: z.ZodType, path: Path): string[] {
  let at = unwrapped(schema);
  for (const step of path) {
    const { def } = at;
    if (def.type === "object") at = unwrapped((def as z.core.$ZodObjectDef).shape[step]!);
    else if (def.type === "array") at = unwrapped((def as z.core.$ZodArrayDef).element);
    else if (def.type === "record") at = unwrapped((def as z.core.$ZodRecordDef).valueType);
  }
  return at.def.type === "object" ? Object.keys((at.def as z.core.$ZodObjectDef).shape) : [];
}

/** The schema inside optional, default and the like. */
function unwrapped(schema: z.core.$ZodType): { def: z.core.$ZodTypeDef } {
  let { def } = schema._zod;
  while ("innerType" in def) def = (def as z.core.$ZodOptionalDef).innerType._zod.def;
  return { def };
}

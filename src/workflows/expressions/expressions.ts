/**
 * Expressions: what `${{ }}` in a workflow means. The server uses it when a workflow is read and when a job is decided, the
 * runner for steps; it is bundled there, so it imports nothing heavy.
 *
 * The grammar and most of the meaning are `@actions/expressions`, GitHub's own. Ours are: taking `${{ }}` out of text, the
 * rule for conditions, the status functions, names that are checked with suggestions, and bounds: an expression comes from
 * anybody who can open a pull request, and `format` alone can multiply its input fifty times over.
 */
import type { ContextAccess, Expr, FunctionCall, IndexAccess } from "@actions/expressions/ast";
import {
  Array as ListData,
  BooleanData,
  Dictionary,
  type ExpressionData,
  Kind,
  Null,
  NumberData,
  StringData,
} from "@actions/expressions/data/index";
import { ExpressionError } from "@actions/expressions/errors";
import { Evaluator } from "@actions/expressions/evaluator";
import { wellKnownFunctions } from "@actions/expressions/funcs";
import type { FunctionInfo } from "@actions/expressions/funcs/info";
import { Lexer, type Token, TokenType } from "@actions/expressions/lexer";
import { Parser } from "@actions/expressions/parser";
import { equals, falsy } from "@actions/expressions/result";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { didYouMean } from "../../resources/suggest.ts";

/** A value of an expression. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** What an expression can see. */
export interface Scope {
  /** By name: `github`, `needs` … A name that is absent is an error where it is used. */
  contexts: Readonly<Record<string, Json>>;
  /** `hashFiles(...)`, where there are files: one hash of all that match, "" when nothing does. */
  hashFiles?: ((patterns: readonly string[]) => string) | undefined;
  /** Shared by all that is evaluated with it. Default: one for each text. */
  budget?: Budget;
}

/** What `success()`, `failure()` and `cancelled()` answer. */
export interface Status {
  isSuccess: boolean;
  isFailure: boolean;
  isCancelled: boolean;
}

/** The names that a place allows, besides the functions that every expression has. */
export interface Names {
  contexts: readonly string[];
  functions?: readonly string[];
}

/** What is wrong with an expression, at a character of the text that holds it. */
export interface Mistake {
  offset: number;
  message: string;
}

/** All contexts of GitHub's that we know; which of them a key may use is in keys.ts. */
export const contextNames = [
  "github",
  "env",
  "vars",
  "job",
  "steps",
  "runner",
  "secrets",
  "strategy",
  "matrix",
  "needs",
  "inputs",
] as const;
export const statusFunctions = ["success", "failure", "always", "cancelled"] as const;

const builtins: readonly FunctionInfo[] = [
  ...Object.values(wellKnownFunctions).map(({ name, minArgs, maxArgs }) => ({ name: name.replace(/Json$/, "JSON"), minArgs, maxArgs })),
  ...statusFunctions.map((name) => ({ name, minArgs: 0, maxArgs: 0 })),
  { name: "hashFiles", minArgs: 1, maxArgs: 255 },
];
/** Functions that only some places have. */
const placed: readonly string[] = [...statusFunctions, "hashFiles"];

// ---- What the rest of the project calls

/** Whether the text has anything to expand. */
export function holdsExpression(text: string): boolean {
  return text.includes("${{");
}

/** All that is wrong with the expressions of a text, without evaluating them. */
export function findMistakes(text: string, names: Names): Mistake[] {
  try {
    return split(text).flatMap((part) => (part.isExpression ? mistakesIn(part, names) : []));
  } catch (error) {
    return [mistakeOf(error)];
  }
}

/** The same for an `if`, which is an expression with or without `${{ }}` around it. */
export function findConditionMistakes(text: string, names: Names): Mistake[] {
  try {
    const part = conditionOf(text);
    return part ? mistakesIn(part, names) : [];
  } catch (error) {
    return [mistakeOf(error)];
  }
}

/**
 * The text with each `${{ }}` replaced by its value, as a string.
 * @throws SeatrialError `invalid` when one of them is wrong, cannot be evaluated, or is larger than our bounds.
 */
export function interpolate(text: string, scope: Scope): string {
  return guarded(() => {
    const { budget = new Budget() } = scope;
    const pieces = split(text).map((part) => {
      const piece = part.isExpression ? evaluate(part, scope, budget).coerceString() : part.text;
      budget.spend(piece.length);
      return piece;
    });
    return pieces.join("");
  });
}

/** The value of a text: when it is one `${{ }}` and nothing else, of whatever type that has; otherwise the interpolated text. */
export function evaluateValue(text: string, scope: Scope): Json {
  return guarded(() => {
    const parts = split(text.trim());
    if (parts.length !== 1 || !parts[0]!.isExpression) return interpolate(text, scope);
    return toJson(evaluate(parts[0]!, scope, scope.budget ?? new Budget()));
  });
}

/** A text that must be, or expand to, `true` or `false`. */
export function evaluateBoolean(text: string, scope: Scope): boolean {
  const value = evaluateValue(text, scope);
  if (value === true || value === "true") return true;
  if (value === false || value === "false") return false;
  throw new SeatrialError("invalid", `must be true or false, and is ${describe(value)}`);
}

/** A text that must be, or expand to, a number. */
export function evaluateNumber(text: string, scope: Scope): number {
  const value = evaluateValue(text, scope);
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof number === "number" && Number.isFinite(number)) return number;
  throw new SeatrialError("invalid", `must be a number, and is ${describe(value)}`);
}

/**
 * Whether an `if` holds. Empty is `success()`; one that names no status function is `success() && (…)`.
 * @throws SeatrialError like {@link interpolate}
 */
export function evaluateCondition(text: string, scope: Scope, status: Status): boolean {
  return guarded(() => {
    const part = conditionOf(text);
    if (!part) return status.isSuccess;
    if (!status.isSuccess && !namesStatus(text)) return false;
    return !falsy(evaluate(part, scope, scope.budget ?? new Budget(), status));
  });
}

/** Whether an `if` without mistakes names a status function. */
export function namesStatus(condition: string): boolean {
  const part = conditionOf(condition);
  const tokens = part ? tokensOf(part) : [];
  return tokens.some(({ lexeme }, i) => roleOf(tokens, i) === "function" && isAmong(statusFunctions, lexeme));
}

/** A value as text: null is empty, numbers are decimal, lists and objects are only named, as GitHub does it. */
export function textOf(value: Json): string {
  if (value === null) return "";
  if (typeof value === "object") return Array.isArray(value) ? "Array" : "Object";
  return typeof value === "number" ? new NumberData(value).coerceString() : String(value);
}

/** Whether two plain values are equal in the sense of `==`: strings without case, different types as numbers. Lists and objects never are. */
export function isEqual(a: Json, b: Json): boolean {
  // No letter becomes more than three when its case is taken away, which is slow.
  if (typeof a === "string" && typeof b === "string" && Math.max(a.length, b.length) > 3 * Math.min(a.length, b.length)) return false;
  const [left, right] = [a, b].map(plainData);
  return left !== undefined && right !== undefined && equals(left, right);
}

function plainData(value: Json | undefined): ExpressionData | undefined {
  if (value === null || value === undefined) return new Null();
  if (typeof value === "string") return new StringData(value);
  if (typeof value === "number") return new NumberData(value);
  return typeof value === "boolean" ? new BooleanData(value) : undefined;
}

function describe(value: Json): string {
  if (value === null || value === "") return "empty";
  if (typeof value === "object") return Array.isArray(value) ? "a list" : "an object";
  // The value may be a secret's: it is not quoted.
  return typeof value === "string" ? "other text" : String(value);
}

// ---- Text and its parts

interface Part {
  text: string;
  isExpression: boolean;
  /** Where its text begins in the whole. */
  offset: number;
}

/** Thrown inside this file alone. */
class Fault extends Error {
  readonly offset: number;
  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

/** Literal text and expressions, in turn; a `}}` inside of quotes does not end an expression. */
function split(text: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (;;) {
    const open = text.indexOf("${{", at);
    const end = open === -1 ? text.length : open;
    if (end > at) parts.push({ text: text.slice(at, end), isExpression: false, offset: at });
    if (open === -1) return parts;
    let close = open + 3;
    for (let isQuoted = false; isQuoted || !text.startsWith("}}", close); close++) {
      if (close >= text.length) throw new Fault(open, "`${{` is not closed by `}}`");
      if (text[close] === "'") isQuoted = !isQuoted;
    }
    parts.push({ text: text.slice(open + 3, close), isExpression: true, offset: open + 3 });
    at = close + 2;
  }
}

/** The expression of an `if`; undefined when it is empty. */
function conditionOf(text: string): Part | undefined {
  if (text.trim() === "") return undefined;
  if (!holdsExpression(text)) return { text, isExpression: true, offset: 0 };
  const parts = split(text).filter((part) => part.isExpression || part.text.trim() !== "");
  if (parts.length === 1 && parts[0]!.isExpression) return parts[0];
  const stray = parts.find((part) => !part.isExpression) ?? parts[1]!;
  throw new Fault(
    stray.offset + (stray.text.length - stray.text.trimStart().length),
    "mixes text and `${{ }}`, which would always be true: put all of it into one `${{ }}`, or use none",
  );
}

// ---- Tokens and names

function tokensOf({ text, offset }: Part): Token[] {
  if (text.length > limits.expressionCharacters) throw new Fault(offset, `is longer than ${limits.expressionCharacters} characters`);
  let tokens: Token[];
  try {
    ({ tokens } = new Lexer(text).lex());
  } catch (error) {
    const at = Number(/\. Located at position (\d+) within/.exec((error as Error).message)?.[1] ?? 1) - 1;
    const symbol = /^(\S[\w-]{0,99}|)/.exec(text.slice(at))![0];
    if (symbol.startsWith('"')) throw new Fault(offset + at, "strings are written in single quotes, as in 'main'");
    throw new Fault(offset + at, symbol.startsWith("'") ? "a string is not closed" : `${JSON.stringify(symbol)} is not understood here`);
  }
  for (const token of tokens) {
    // The lexer undoes the first escaped quote of a string alone.
    if (token.type === TokenType.STRING) token.value = token.lexeme.slice(1, -1).replaceAll("''", "'");
  }
  if (tokens[0]!.type === TokenType.EOF) throw new Fault(offset, "an expression is expected between `${{` and `}}`");
  return tokens;
}

function roleOf(tokens: readonly Token[], i: number): "context" | "function" | undefined {
  if (tokens[i]!.type !== TokenType.IDENTIFIER || tokens[i - 1]?.type === TokenType.DOT) return undefined;
  return tokens[i + 1]?.type === TokenType.LEFT_PAREN ? "function" : "context";
}

/** Unknown and misplaced names, all of them. They are ours to find: the parser stops at the first. */
function namesMistaken(part: Part, tokens: readonly Token[], names: Names): Mistake[] {
  return tokens.flatMap((token, i): Mistake[] => {
    const role = roleOf(tokens, i);
    const name = token.lexeme.slice(0, 100);
    const message = role === "context" ? contextMistaken(name, names) : role === "function" ? functionMistaken(name, names) : undefined;
    return message === undefined ? [] : [{ offset: offsetOf(part, token), message }];
  });
}

function contextMistaken(name: string, { contexts }: Names): string | undefined {
  if (isAmong(contexts, name)) return undefined;
  const here = contexts.length > 0 ? `; there are: ${contexts.join(", ")}` : "";
  if (isAmong(contextNames, name)) return `context ${name} is not available here${here}`;
  return `there is no context ${name}${didYouMean(name, [...contexts, "true", "false", "null"]) || here}`;
}

function functionMistaken(name: string, { functions = [] }: Names): string | undefined {
  const known = builtins.map((info) => info.name).filter((one) => !isAmong(placed, one) || isAmong(functions, one));
  if (isAmong(known, name)) return undefined;
  if (!isAmong(placed, name)) return `there is no function ${name}${didYouMean(name, known)}`;
  return `${name}() can be used ${isAmong(statusFunctions, name) ? "in `if` alone" : "in steps alone, where there are files"}`;
}

/** Names have no case. */
function isAmong(names: readonly string[], name: string): boolean {
  return names.some((one) => one.toLowerCase() === name.toLowerCase());
}

function parse(part: Part, tokens: Token[], names: Names): Expr {
  try {
    return new Parser(tokens, [...names.contexts], [...builtins]).parse();
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    const token = tokens.find(({ range }) => range.start === error.pos);
    throw new Fault(token ? offsetOf(part, token) : part.offset, error.message.charAt(0).toLowerCase() + error.message.slice(1));
  }
}

function mistakesIn(part: Part, names: Names): Mistake[] {
  try {
    const tokens = tokensOf(part);
    const mistakes = namesMistaken(part, tokens, names);
    if (mistakes.length === 0) parse(part, tokens, names);
    return mistakes;
  } catch (error) {
    return [mistakeOf(error)];
  }
}

function offsetOf(part: Part, { range }: Token): number {
  let lineStart = 0;
  for (let line = 0; line < range.start.line; line++) lineStart = part.text.indexOf("\n", lineStart) + 1;
  return part.offset + Math.min(lineStart + range.start.column, part.text.length);
}

function mistakeOf(error: unknown): Mistake {
  if (error instanceof Fault) return { offset: error.offset, message: error.message };
  if (error instanceof RangeError) return { offset: 0, message: "is nested too deeply" };
  throw error;
}

/** Whatever goes wrong in an expression is the expression's fault. */
function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof SeatrialError) throw error;
    if (error instanceof Fault) throw new SeatrialError("invalid", error.message);
    if (error instanceof RangeError)
      throw new SeatrialError("invalid", "the expression is too large or nested too deeply", { cause: error });
    throw new SeatrialError("invalid", `the expression cannot be evaluated: ${(error as Error).message}`, { cause: error });
  }
}

// ---- Evaluation

/** What expressions may still read and make, in characters; it bounds both memory and time: a unit takes about 5 ns at worst. */
export class Budget {
  readonly #whole: number;
  #left: number;

  constructor(whole: number = limits.expressionWork) {
    this.#whole = whole;
    this.#left = whole;
  }

  /** @throws Error inside of an evaluation, which makes a SeatrialError of it. */
  spend(units: number): void {
    this.#left -= units;
    if (this.#left < 0) throw new Fault(0, `the expressions make or read more than ${this.#whole / 1024 / 1024} MiB`);
  }
}

/** What it costs to compare an element of a list, against a character. */
const slow = 64;

function evaluate(part: Part, scope: Scope, budget: Budget, status?: Status): ExpressionData {
  const names: Names = {
    contexts: Object.keys(scope.contexts),
    functions: [...(status ? statusFunctions : []), ...(scope.hashFiles ? ["hashFiles"] : [])],
  };
  // Reading it costs more than what it reads, for each character.
  budget.spend(8 * part.text.length);
  const tokens = tokensOf(part);
  const [mistake] = namesMistaken(part, tokens, names);
  if (mistake) throw new Fault(mistake.offset, mistake.message);
  return new Evaluation(parse(part, tokens, names), scope, budget, status).evaluate();
}

/** The evaluator over plain values: what is not looked at is not converted, and all that is read or made is charged. */
class Evaluation extends Evaluator {
  readonly #scope: Scope;
  readonly #budget: Budget;
  readonly #status: Status | undefined;
  /** So that the same object is the same instance, which `==` asks for. */
  readonly #wrapped = new Map<object, ExpressionData>();

  constructor(expression: Expr, scope: Scope, budget: Budget, status: Status | undefined) {
    super(expression, new Dictionary());
    this.#scope = scope;
    this.#budget = budget;
    this.#status = status;
  }

  override visitContextAccess({ name }: ContextAccess): ExpressionData {
    const { contexts } = this.#scope;
    const found = Object.keys(contexts).find((key) => key.toLowerCase() === name.lexeme.toLowerCase())!;
    return this.#charged(this.#wrap(contexts[found]));
  }

  override visitIndexAccess(access: IndexAccess): ExpressionData {
    return this.#charged(super.visitIndexAccess(access));
  }

  override visitFunctionCall({ functionName, args }: FunctionCall): ExpressionData {
    const values = args.map((arg) => this.eval(arg));
    return this.#charged(this.#call(functionName.lexeme.toLowerCase(), values));
  }

  #call(name: string, args: ExpressionData[]): ExpressionData {
    switch (name) {
      case "success":
        return new BooleanData(this.#status!.isSuccess);
      case "failure":
        return new BooleanData(this.#status!.isFailure);
      case "cancelled":
        return new BooleanData(this.#status!.isCancelled);
      case "always":
        return new BooleanData(true);
      case "hashfiles":
        return new StringData(this.#scope.hashFiles!(args.map((arg) => arg.coerceString())));
      case "format":
        return new StringData(this.#format(args));
      case "join":
        return new StringData(this.#join(args));
      case "tojson":
        return new StringData(this.#write(toJson(args[0]!), ""));
      case "fromjson":
        return this.#wrap(readJson(args[0]!.coerceString()));
      default:
        return wellKnownFunctions[name]!.call(...args);
    }
  }

  #format([first, ...values]: ExpressionData[]): string {
    return first!.coerceString().replaceAll(/\{\{|\}\}|\{(\d+)\}|[{}]/g, (match, index: string | undefined) => {
      if (match === "{{" || match === "}}") return match[0]!;
      const value = index === undefined ? undefined : values[Number(index)];
      if (!value) throw new Fault(0, index ? `format: there is no value for ${match}` : "format: a single brace must be doubled");
      const text = value.coerceString();
      this.#budget.spend(text.length);
      return text;
    });
  }

  #join([first, separator]: ExpressionData[]): string {
    if (first!.primitive) return first!.coerceString();
    if (first!.kind !== Kind.Array) return "";
    const between = separator?.primitive ? separator.coerceString() : ",";
    const texts = (first as ListData).values().map((value) => value.coerceString());
    for (const text of texts) this.#budget.spend(text.length + between.length);
    return texts.join(between);
  }

  /** JSON with two spaces of indent, as GitHub writes it. */
  #write(value: Json, indent: string): string {
    if (value === null || typeof value !== "object") return JSON.stringify(value);
    if (indent.length > 2 * limits.workflowDepth) throw new Fault(0, "toJSON: the value is nested too deeply");
    const inner = `${indent}  `;
    const [open, close] = Array.isArray(value) ? "[]" : "{}";
    const parts = Array.isArray(value)
      ? value.map((item: Json) => this.#write(item, inner))
      : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${this.#write(item as Json, inner)}`);
    if (parts.length === 0) return `${open}${close}`;
    for (const part of parts) this.#budget.spend(part.length + inner.length + 2);
    return `${open}\n${inner}${parts.join(`,\n${inner}`)}\n${indent}${close}`;
  }

  /** What is read may be compared: elements one by one, and each dotless i by a detour of its own. */
  #charged(value: ExpressionData): ExpressionData {
    if (value.kind === Kind.Array) this.#budget.spend(slow * value.values().length);
    if (value.kind === Kind.String) {
      this.#budget.spend(value.value.length);
      for (let at = value.value.indexOf("ı"); at !== -1; at = value.value.indexOf("ı", at + 1)) this.#budget.spend(slow);
    }
    this.#budget.spend(1);
    return value;
  }

  readonly #wrap = (value: Json | undefined): ExpressionData => {
    const plain = plainData(value);
    if (plain || typeof value !== "object" || value === null) return plain ?? new Null();
    const known = this.#wrapped.get(value);
    if (known) return known;
    const list = Array.isArray(value) ? new ListData() : undefined;
    if (list) for (const item of value as Json[]) list.add(this.#wrap(item));
    const wrapped = list ?? new Table(value as Record<string, Json>, this.#wrap, this.#budget);
    this.#wrapped.set(value, wrapped);
    return wrapped;
  };
}

/** An object as the evaluator sees it: a key as it is written first (variables of Linux have case), else without case. */
class Table extends Dictionary {
  readonly raw: Readonly<Record<string, Json>>;
  readonly #wrap: (value: Json) => ExpressionData;
  readonly #budget: Budget;
  #byLowerCase: Map<string, string> | undefined;

  constructor(raw: Readonly<Record<string, Json>>, wrap: (value: Json) => ExpressionData, budget: Budget) {
    super();
    this.raw = raw;
    this.#wrap = wrap;
    this.#budget = budget;
  }

  override get(key: string): ExpressionData | undefined {
    if (Object.hasOwn(this.raw, key)) return this.#wrap(this.raw[key]!);
    this.#byLowerCase ??= new Map(
      Object.keys(this.raw)
        .toReversed()
        .map((name) => [name.toLowerCase(), name]),
    );
    const found = this.#byLowerCase.get(key.toLowerCase());
    return found === undefined ? undefined : this.#wrap(this.raw[found]!);
  }

  override values(): ExpressionData[] {
    const values = Object.values(this.raw);
    this.#budget.spend(slow * values.length);
    return values.map(this.#wrap);
  }
}

function toJson(value: ExpressionData): Json {
  switch (value.kind) {
    case Kind.Null:
      return null;
    case Kind.Array:
      return value.values().map(toJson);
    case Kind.Dictionary:
      return (value as Table).raw;
    case Kind.String:
    case Kind.Number:
    case Kind.Boolean:
      return value.value;
  }
}

/** Messages of JSON.parse quote the text, which may be a secret: they are not passed on. */
function readJson(text: string): Json {
  if (text.trim() === "") throw new Fault(0, "fromJSON: the text is empty");
  try {
    return JSON.parse(text) as Json;
  } catch {
    throw new Fault(0, "fromJSON: the text is not JSON");
  }
}

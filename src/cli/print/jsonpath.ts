/**
 * kubectl's JSONPath templates: text with actions in braces, as in `{range .items[*]}{.metadata.name}{"\n"}{end}`.
 *
 * It is a dialect of its own. There is no root inside a range (`$` and `@` are both the current object), a missing field
 * is nothing and not an error, an index out of bounds is one, `["a"]` is refused and `['a']` is not, dots in keys are
 * escaped by `\`, several results are joined by spaces. General JSONPath libraries answer otherwise in each of these.
 *
 * A template is parsed to a tree of nodes; an action is a chain of steps, each of which turns the current values into the
 * next. The table in the test holds kubectl's own answers.
 */
import { SeatrialError } from "../../base/errors.ts";
import { goJson } from "./json.ts";

/** Turns the current values into the next. */
type Step = (values: unknown[]) => unknown[];
type Node = { type: "text"; text: string } | { type: "print"; steps: Step[] } | { type: "range"; steps: Step[]; body: Node[] };

export interface JsonPathOptions {
  /** Prints the results of each action as a JSON list: `-o jsonpath-as-json`. */
  asJson?: boolean;
  /** Whether a missing field is nothing, and not an error. Default: true, as in kubectl. */
  allowMissing?: boolean;
}

/** Parses a template. @throws SeatrialError `usage` that shows the template. */
export function parseJsonPath(template: string, options: JsonPathOptions = {}): (data: unknown) => string {
  const nodes = new Parser(template, options.allowMissing ?? true).parse();
  return (data) => render(nodes, data, options.asJson ?? false);
}

function render(nodes: Node[], data: unknown, asJson: boolean): string {
  const parts = nodes.map((node): string => {
    switch (node.type) {
      case "text":
        return asJson ? printed([node.text], true) : node.text;
      case "print":
        return printed(follow(node.steps, [data]), asJson);
      case "range":
        return follow(node.steps, [data])
          .map((item) => render(node.body, item, asJson))
          .join("");
    }
  });
  return parts.join("");
}

function follow(steps: Step[], values: unknown[]): unknown[] {
  return steps.reduce((at, step) => step(at), values);
}

function printed(results: unknown[], asJson: boolean): string {
  if (asJson) return `${goJson(results, 4)}\n`;
  return results.map((value) => (isContainer(value) ? goJson(value) : String(value))).join(" ");
}

class Parser {
  readonly #text: string;
  readonly #allowMissing: boolean;
  #at = 0;

  constructor(text: string, allowMissing: boolean) {
    this.#text = text;
    this.#allowMissing = allowMissing;
  }

  parse(): Node[] {
    const nodes: Node[] = [];
    /** The bodies around the current one, outermost first. */
    const open: Node[][] = [];
    let body = nodes;
    while (this.#at < this.#text.length) {
      const brace = this.#text.indexOf("{", this.#at);
      const end = brace === -1 ? this.#text.length : brace;
      if (end > this.#at) body.push({ type: "text", text: this.#text.slice(this.#at, end) });
      this.#at = end;
      if (brace === -1) break;
      this.#at++;
      const { keyword, steps } = this.#chain("}");
      if (keyword === "range") {
        const range: Node = { type: "range", steps, body: [] };
        body.push(range);
        open.push(body);
        body = range.body;
      } else if (keyword === "end") {
        body = open.pop() ?? this.#fail("{end} without {range}");
      } else {
        body.push({ type: "print", steps });
      }
    }
    if (open.length > 0) this.#fail("{range} without {end}");
    return nodes;
  }

  /** The steps up to a closing text, which is consumed. Spaces between steps mean nothing. */
  #chain(close: string): { keyword?: string; steps: Step[] } {
    const steps: Step[] = [];
    let keyword: string | undefined;
    while (!this.#take(close)) {
      const char = this.#text[this.#at];
      if (char === undefined || char === "\n") this.#fail("unclosed action");
      else if (this.#take("[?(")) steps.push(this.#filter());
      else if (this.#take("..")) {
        steps.push(everything);
        if (/\w/.test(this.#text[this.#at] ?? "")) steps.push(this.#field());
      } else if (this.#take(".")) steps.push(this.#field());
      else if (this.#take("[")) steps.push(this.#brackets());
      else if (char === '"' || char === "'") {
        const literal = this.#quoted(char);
        steps.push(() => [literal]);
      } else if (char === " " || char === "@" || char === "$") this.#at++;
      else {
        const word = this.#match(/[+-]?\d[\d.]*|\w+/y) ?? this.#fail(`unexpected ${JSON.stringify(char)}`);
        if (word === "range" || word === "end") keyword = word;
        else steps.push(this.#constant(word));
      }
    }
    return keyword === undefined ? { steps } : { keyword, steps };
  }

  #constant(word: string): Step {
    const value = word === "true" ? true : word === "false" ? false : Number(word);
    if (Number.isNaN(value)) this.#fail(`${word} is not known here`);
    return (values) => values.map(() => value);
  }

  #field(): Step {
    const escaped = this.#match(/(?:\\.|[^\s.,[\]$@{}\\)!<>=])+/y) ?? "";
    return escaped === "*" ? children : this.#key(escaped);
  }

  /** The step to a key, in which backslashes escape. */
  #key(escaped: string): Step {
    const key = escaped.replaceAll("\\", "");
    return (values) => {
      const found = values
        .filter((value) => isObject(value) && Object.hasOwn(value, key))
        .map((value) => (value as Record<string, unknown>)[key]);
      if (found.length === 0 && values.length > 0 && !this.#allowMissing) throw evaluationError(`${key} is not found`);
      return found;
    };
  }

  #quoted(quote: string): string {
    const literal =
      this.#match(quote === '"' ? /"((?:[^"\\\n]|\\.)*)"/y : /'((?:[^'\\\n]|\\.)*)'/y) ?? this.#fail("unterminated quoted string");
    return unescape(literal.slice(1, -1));
  }

  /** `[0]`, `[-1]`, `[1:3]`, `[::2]`, `[*]`, `['key']`, and several of them separated by commas. */
  #brackets(): Step {
    const inside = this.#match(/[^\]\n]*\]/y)?.slice(0, -1) ?? this.#fail("unterminated [");
    const choices = inside.split(",").map((choice, _, all) => this.#choice(all.length > 1 ? choice.trim() : choice));
    return choices.length === 1 ? choices[0]! : (values) => choices.flatMap((choice) => choice(values));
  }

  #choice(text: string): Step {
    if (text === "*") return slice(undefined, undefined, undefined);
    const quoted = /^'([^']*)'$/.exec(text)?.[1];
    if (quoted !== undefined) {
      const parts = quoted.match(/(?:\\.|[^.\\])+/g) ?? [];
      // kubectl reads the key as a path, so dots must be escaped in quotes as well.
      const keys = parts.map((part) => (part === "*" ? children : this.#key(part)));
      return (values) => follow(keys, values);
    }
    const [, first, colon, end, step] = /^(-?\d*)(?:(:)(-?\d*)(?::(-?\d*))?)?$/.exec(text) ?? this.#fail(`invalid index [${text}]`);
    const number = (digits: string | undefined) => (digits === undefined || digits === "" || digits === "-" ? undefined : Number(digits));
    if (colon === undefined) return index(number(first) ?? this.#fail(`invalid index [${text}]`));
    return slice(number(first), number(end), number(step));
  }

  /** `[?(@.a == "x")]`, or `[?(@.a)]`: those that have it. */
  #filter(): Step {
    const text =
      this.#match(/(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^)"'\n])*\)\]/y)?.slice(0, -2) ?? this.#fail("unterminated filter");
    const [, left, operator, right] = /^([^!<>=]+)([!<>=]+)(.+)$/.exec(text) ?? [];
    const side = (source: string) => new Parser(`${source}}`, this.#allowMissing).#chain("}").steps;
    if (left === undefined || operator === undefined || right === undefined) {
      const steps = side(text);
      return filter((item) => {
        try {
          return follow(steps, [item]).length > 0;
        } catch {
          return false;
        }
      });
    }
    const compare = operators[operator] ?? this.#fail(`unknown operator ${operator}`);
    const [leftSteps, rightSteps] = [side(left), side(right)];
    return filter((item) => {
      const [a, b] = [follow(leftSteps, [item]), follow(rightSteps, [item])];
      if (a.length === 0 || b.length === 0) return false;
      if (a.length > 1 || b.length > 1) throw evaluationError("a filter can compare one value with one other, and found more");
      if (typeof a[0] !== typeof b[0] || isContainer(a[0])) throw evaluationError(`cannot compare ${goJson(a[0])} with ${goJson(b[0])}`);
      return compare(a[0] as string, b[0] as string);
    });
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #fail(what: string): never {
    throw new SeatrialError("usage", `jsonpath template ${this.#text}: ${what} at character ${this.#at + 1}`, {
      hint: "https://kubernetes.io/docs/reference/kubectl/jsonpath/",
    });
  }
}

const operators: Record<string, (a: string, b: string) => boolean> = {
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
};

const children: Step = (values) => values.flatMap((value) => (isContainer(value) ? inOrder(value) : []));

/** `..`: each container among the values and inside them. */
const everything: Step = (values) =>
  values.flatMap((value) => (isContainer(value) && inOrder(value).length > 0 ? [value, ...everything(inOrder(value))] : []));

function filter(keep: (item: unknown) => boolean): Step {
  return (values) => lists(values).flatMap((list) => list.filter(keep));
}

function index(at: number): Step {
  return (values) =>
    lists(values).map((list) => {
      const position = at < 0 ? at + list.length : at;
      if (position < 0 || position >= list.length) throw outOfBounds(position, list);
      return list[position];
    });
}

function slice(first: number | undefined, end: number | undefined, step: number | undefined): Step {
  return (values) =>
    lists(values).flatMap((list) => {
      const fromEnd = (at: number) => (at < 0 ? at + list.length : at);
      const [from, to] = [fromEnd(first ?? 0), fromEnd(end ?? list.length)];
      if (from === to) return [];
      if (from < 0 || from >= list.length) throw outOfBounds(from, list);
      if (to < 0 || to > list.length) throw outOfBounds(to - 1, list);
      if (from > to) throw evaluationError(`a list cannot be read from ${from} back to ${to}`);
      if (step !== undefined && step <= 0) throw evaluationError("the step of a slice must be more than 0");
      return list.slice(from, to).filter((_, i) => i % (step ?? 1) === 0);
    });
}

/** The lists among the values; null is passed over, and anything else is a mistake in the template. */
function lists(values: unknown[]): unknown[][] {
  return values.filter((value) => value !== null).map((value) => (Array.isArray(value) ? value : notAList(value)));
}

function notAList(value: unknown): never {
  throw evaluationError(`${isContainer(value) ? "an object" : goJson(value)} is not a list`);
}

function outOfBounds(at: number, list: unknown[]): SeatrialError {
  return evaluationError(`index ${at} is out of bounds: the list has ${list.length}`);
}

function evaluationError(what: string): SeatrialError {
  return new SeatrialError("usage", `jsonpath: ${what}`);
}

function isContainer(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function isObject(value: unknown): value is object {
  return isContainer(value) && !Array.isArray(value);
}

/** The values of a container; those of an object in the order of its keys, which is how it is printed. */
function inOrder(value: object): unknown[] {
  if (Array.isArray(value)) return value;
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, item]) => item);
}

const escapes: Record<string, string> = { n: "\n", t: "\t", r: "\r", a: "\x07", b: "\b", f: "\f", v: "\v" };

function unescape(text: string): string {
  return text.replaceAll(/\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))/g, (_, unicode?: string, byte?: string, char?: string) => {
    const code = unicode ?? byte;
    return code === undefined ? (escapes[char!] ?? char!) : String.fromCodePoint(Number.parseInt(code, 16));
  });
}

/**
 * The part of CEL that our rules are written in, so that a store in memory holds the rules that the API server holds: fields,
 * `has()`, `size()`, `matches()`, `in`, `all()`, `exists()`, comparisons, and, or, not. A rule that needs more does not
 * compile; the unit test compiles every rule there is. The language: https://github.com/google/cel-spec.
 */
import { isDeepStrictEqual } from "node:util";
import { SeatrialError } from "../base/errors.ts";

type Scope = Readonly<Record<string, unknown>>;
type Expression = (scope: Scope) => unknown;

export interface CompiledRule {
  /** Whether it compares with the value before, and so says nothing about a new one. */
  readonly isTransition: boolean;
  /** An expression that fails (a field that is not there) does not hold, as on the API server. */
  holds(self: unknown, oldSelf?: unknown): boolean;
}

/** @throws SeatrialError `internal` that quotes what is not understood. */
export function compileRule(rule: string): CompiledRule {
  const evaluate = new Parser(rule).parse();
  return {
    isTransition: /\boldSelf\b/.test(rule),
    holds(self, oldSelf) {
      try {
        return evaluate({ self, oldSelf }) === true;
      } catch (error) {
        if (error instanceof NoSuchField) return false;
        throw error;
      }
    },
  };
}

class NoSuchField extends Error {}

const token = /\s*(?:('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(\d+)|([A-Za-z_]\w*)|(&&|\|\||[=!<>]=|[-!<>()[\].,]))/y;

/** Recursive descent, one method for each level of precedence; what it gives is evaluated again and again. */
class Parser {
  readonly #rule: string;
  readonly #tokens: string[] = [];
  #at = 0;

  constructor(rule: string) {
    this.#rule = rule;
    token.lastIndex = 0;
    while (token.lastIndex < rule.trimEnd().length) {
      const match = token.exec(rule);
      if (!match) throw this.#fail(rule);
      this.#tokens.push(match[0].trim());
    }
  }

  parse(): Expression {
    const whole = this.#or();
    if (this.#at < this.#tokens.length) throw this.#fail(this.#tokens[this.#at]!);
    return whole;
  }

  #or(): Expression {
    let left = this.#and();
    while (this.#took("||")) {
      const [a, b] = [left, this.#and()];
      left = (scope) => a(scope) === true || b(scope);
    }
    return left;
  }

  #and(): Expression {
    let left = this.#comparison();
    while (this.#took("&&")) {
      const [a, b] = [left, this.#comparison()];
      left = (scope) => a(scope) === true && b(scope);
    }
    return left;
  }

  #comparison(): Expression {
    const left = this.#not();
    const operator = Object.keys(comparisons).find((each) => this.#took(each));
    if (operator === undefined) return left;
    const [compare, right] = [comparisons[operator]!, this.#not()];
    return (scope) => compare(left(scope), right(scope));
  }

  #not(): Expression {
    if (!this.#took("!")) return this.#member();
    const negated = this.#not();
    return (scope) => negated(scope) !== true;
  }

  #member(): Expression {
    let of = this.#primary();
    for (;;) {
      const object = of;
      if (this.#took("[")) {
        const index = this.#or();
        this.#expect("]");
        of = (scope) => fieldOf(object(scope), String(index(scope)));
      } else if (this.#took(".")) {
        const name = this.#next();
        if (!this.#took("(")) of = (scope) => fieldOf(object(scope), name);
        else of = this.#method(object, name);
      } else return of;
    }
  }

  /** `object.name(…)`, of which the parenthesis has been read. */
  #method(object: Expression, name: string): Expression {
    if (name === "all" || name === "exists") {
      const variable = this.#next();
      this.#expect(",");
      const test = this.#or();
      this.#expect(")");
      return (scope) => {
        const of = object(scope);
        const each = (value: unknown) => test({ ...scope, [variable]: value }) === true;
        const values: unknown[] = Array.isArray(of) ? of : Object.keys(of as object);
        return name === "all" ? values.every(each) : values.some(each);
      };
    }
    const method = methods[name];
    if (!method) throw this.#fail(name);
    const argument = this.#took(")") ? undefined : this.#or();
    if (argument) this.#expect(")");
    return (scope) => method(object(scope), argument?.(scope));
  }

  #primary(): Expression {
    const next = this.#next();
    if (next === "(") {
      const inner = this.#or();
      this.#expect(")");
      return inner;
    }
    if (next === "[") return this.#list();
    if (/^['"]/.test(next)) {
      const text = next.slice(1, -1).replaceAll(/\\(.)/g, "$1");
      return () => text;
    }
    if (/^\d/.test(next)) return () => Number(next);
    if (next === "true" || next === "false") return () => next === "true";
    if (!/^[A-Za-z_]/.test(next)) throw this.#fail(next);
    if (!this.#took("(")) return (scope) => fieldOf(scope, next);
    const argument = this.#or();
    this.#expect(")");
    if (next === "size") return (scope) => methods["size"]!(argument(scope), undefined);
    if (next !== "has") throw this.#fail(next);
    return (scope) => {
      try {
        return argument(scope) !== undefined;
      } catch (error) {
        if (error instanceof NoSuchField) return false;
        throw error;
      }
    };
  }

  #list(): Expression {
    const items: Expression[] = [];
    while (!this.#took("]")) {
      if (items.length > 0) this.#expect(",");
      items.push(this.#or());
    }
    return (scope) => items.map((item) => item(scope));
  }

  #took(what: string): boolean {
    if (this.#tokens[this.#at] !== what) return false;
    this.#at++;
    return true;
  }

  #next(): string {
    const next = this.#tokens[this.#at++];
    if (next === undefined) throw this.#fail("the end");
    return next;
  }

  #expect(what: string): void {
    const next = this.#next();
    if (next !== what) throw this.#fail(next);
  }

  #fail(at: string): SeatrialError {
    return new SeatrialError("internal", `cannot read the rule ${JSON.stringify(this.#rule)} at ${at}: it is not in our part of CEL`);
  }
}

function fieldOf(object: unknown, name: string): unknown {
  const value = Object.hasOwn((object ?? {}) as object, name) ? (object as Record<string, unknown>)[name] : undefined;
  if (value === undefined) throw new NoSuchField(name);
  return value;
}

const comparisons: Record<string, (a: unknown, b: unknown) => boolean> = {
  "==": (a, b) => isDeepStrictEqual(a, b),
  "!=": (a, b) => !isDeepStrictEqual(a, b),
  "<=": (a, b) => (a as number) <= (b as number),
  ">=": (a, b) => (a as number) >= (b as number),
  "<": (a, b) => (a as number) < (b as number),
  ">": (a, b) => (a as number) > (b as number),
  in: (a, b) => (Array.isArray(b) ? b.some((each) => isDeepStrictEqual(each, a)) : Object.hasOwn(b as object, String(a))),
};

const methods: Record<string, (of: unknown, argument: unknown) => unknown> = {
  size: (of) => (typeof of === "string" ? [...of].length : Array.isArray(of) ? of.length : Object.keys(of as object).length),
  matches: (of, pattern) => new RegExp(pattern as string, "u").test(of as string),
  startsWith: (of, text) => (of as string).startsWith(text as string),
};

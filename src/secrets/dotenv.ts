/**
 * Reading `--secrets-file` and `--vars-file`: lines of `NAME=value`, as docker's `--env-file`, act and the dotenv tools have them.
 *
 * ```
 * # a comment
 * PLAIN=up to the end of the line     # a comment after a space
 * export SINGLE='nothing in here means anything'
 * DOUBLE="several
 * lines, and \n \r \t \" \\ \$"
 * ```
 * `$NAME` is not expanded. Names are made canonical. No error quotes a value, also not what was taken for a name.
 */
import { InvalidError, type Place, type Problem } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { canonicalName, nameProblem } from "./name.ts";

/**
 * Reads the text of such a file.
 * @param file its name, for errors.
 * @throws InvalidError with every problem, each with its place.
 */
export function parseDotenv(text: string, file: string): Map<string, string> {
  const reader = new Reader(text.replace(/^\uFEFF/, "").replaceAll("\r\n", "\n"), file);
  while (!reader.isAtEnd()) reader.line();
  if (reader.problems.length > 0) throw new InvalidError(reader.problems);
  return reader.values;
}

const escapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", '"': '"', "\\": "\\", $: "$" };

class Reader {
  readonly values = new Map<string, string>();
  readonly problems: Problem[] = [];
  readonly #setOn = new Map<string, number>();
  readonly #text: string;
  readonly #file: string;
  #at = 0;
  #line = 1;
  #lineStart = 0;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  isAtEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  /** One line, or several when its value has them. */
  line(): void {
    this.#take(/[ \t]*/y);
    if (this.#take(/(#.*)?(\n|$)/y) !== undefined) return;
    this.#take(/export[ \t]+/y);
    const place = this.#place();
    const name = this.#take(/[^=\n"']*(?==)/y)?.trimEnd();
    if (name === undefined) return this.#skipLine("", "is not NAME=value");
    const bad = nameProblem(name);
    // What stands before the `=` may be the middle of a value: only what looks like a name is named.
    if (bad && /^\w{1,255}$/.test(name)) this.#problem(place, name, bad);
    else if (bad) this.#problem(place, "", `a name ${bad}`);
    this.#take(/=[ \t]*/y);
    const valuePlace = this.#place();
    const value = this.#value(name);
    if (value === undefined || bad) return;
    const key = canonicalName(name);
    const before = this.#setOn.get(key);
    if (before !== undefined) return this.#problem(place, name, `is set on line ${before} already`);
    this.#setOn.set(key, place.line);
    if (Buffer.byteLength(value) > limits.secretValueBytes) {
      return this.#problem(valuePlace, name, `has more than ${limits.secretValueBytes} bytes`);
    }
    this.values.set(key, value);
  }

  #value(name: string): string | undefined {
    const place = this.#place();
    const quote = this.#text[this.#at];
    if (quote !== '"' && quote !== "'")
      return this.#take(/.*/y)!
        .replace(/(^|[ \t])#.*$/, "")
        .trim();
    const quoted = this.#take(quote === '"' ? /"(?:[^"\\]|\\[^])*"/y : /'[^']*'/y);
    if (quoted === undefined) {
      this.#problem(place, name, `the ${quote} that begins here is never closed`);
      this.#at = this.#text.length;
      return undefined;
    }
    if (this.#take(/[ \t]*(#.*)?(\n|$)/y) === undefined) {
      this.#skipLine(name, "something follows the closing quote");
      return undefined;
    }
    const inner = quoted.slice(1, -1);
    return quote === "'" ? inner : inner.replaceAll(/\\([^])/g, (pair, character: string) => escapes[character] ?? pair);
  }

  /** What the pattern (sticky) matches here; goes past it. */
  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text)?.[0];
    if (match === undefined) return undefined;
    for (let newline = match.indexOf("\n"); newline >= 0; newline = match.indexOf("\n", newline + 1)) {
      this.#line++;
      this.#lineStart = this.#at + newline + 1;
    }
    this.#at += match.length;
    return match;
  }

  #skipLine(path: string, message: string): void {
    this.#problem(this.#place(), path, message);
    this.#take(/.*\n?/y);
  }

  #problem(place: Place, path: string, message: string): void {
    this.problems.push({ place, path, message });
  }

  #place(): Place {
    return { file: this.#file, line: this.#line, column: this.#at - this.#lineStart + 1 };
  }
}

/**
 * Patterns for files, one a line, as `hashFiles`, `upload-artifact` and `cache` take them: `*`, `?`, `[…]` within a name, `**` across
 * folders, `!` takes away, `#` begins a comment, `~` is the home folder. A pattern that names a folder means all that is in it.
 *
 * Meaning: the README of `@actions/glob`. Links to files and folders are followed, unless told otherwise; one that leads into itself is not.
 * Patterns are not turned into regular expressions, which with a few `*` can take for ever: the cost is the product of the lengths.
 */
import { type Dirent, readdirSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

export interface GlobOptions {
  /** What relative patterns are relative to. */
  cwd: string;
  /** What `~` is. */
  home?: string | undefined;
  /** Whether files and folders are found whose names begin with a point. Default: true. */
  hasHidden?: boolean;
  /** Whether a folder that matches stands for itself, not for its files. Default: false. */
  isWhole?: boolean;
  /** Whether links to folders count that no pattern names. Default: true. */
  isFollowing?: boolean;
}

interface Pattern {
  isExcluded: boolean;
  /** The folder or file before the first part with a sign. */
  root: string;
  /** Of the names in a path, from the top; {@link many} stands for any number of names. */
  parts: readonly (NamePattern | typeof many)[];
}

/** The sign for any number of whatever it is that is matched one by one. */
const many = Symbol("many");

/** A name as it is, or what its characters must be. */
type NamePattern = string | readonly (((character: string) => boolean) | typeof many)[];

export interface Found {
  /** Absolute paths of files (with `isWhole` also folders), in order. */
  paths: string[];
  /** Where was looked: the folders or files that the patterns begin with, absolute, without those below another. */
  roots: string[];
}

/** @throws SeatrialError `invalid` for a pattern that cannot be read, or finds more than {@link limits.globEntries}. */
export function findFiles(text: string | readonly string[], options: GlobOptions): Found {
  const patterns = (typeof text === "string" ? text.split("\n") : text).flatMap((line) => readPattern(line, options) ?? []);
  const wanted = patterns.filter(({ isExcluded }) => !isExcluded);
  const roots = [...new Set(wanted.map(({ root }) => root))];
  // What is below another root is found by its walk.
  const tops = roots.filter((root) => !roots.some((other) => other !== root && isBelow(root, other)));
  const paths: string[] = [];
  const walk = new Walk(options, patterns, paths);
  for (const top of tops) walk.from(top);
  return { paths: [...new Set(paths)].toSorted(), roots: tops };
}

/** The folder that all paths have in common: what an artifact's paths are relative to. */
export function commonFolder(paths: readonly string[]): string {
  const [first = sep, ...others] = paths;
  let common = first;
  for (const path of others) while (!isBelow(path, common) && common !== sep) common = dirname(common);
  return common;
}

/**
 * Reads a pattern for one name: `*`, `?`, `[…]`, and `{a,b}` for alternatives. @returns whether a name is of it.
 * @throws SeatrialError `invalid` for one with more than {@link limits.globChoices} alternatives.
 */
export function readNamePattern(pattern: string): (name: string) => boolean {
  checkLength(pattern);
  const patterns = choicesOf(pattern).map((each) => readName(each));
  return (name) => patterns.some((each) => isName(each, name));
}

export function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === sep ? sep : folder + sep);
}

class Walk {
  readonly #options: GlobOptions;
  readonly #patterns: readonly Pattern[];
  readonly #paths: string[];
  #entries = 0;

  constructor(options: GlobOptions, patterns: readonly Pattern[], paths: string[]) {
    this.#options = options;
    this.#patterns = patterns;
    this.#paths = paths;
  }

  from(root: string): void {
    const kind = this.#isHidden(basename(root)) ? undefined : kindOf(root);
    if (kind === "file") this.#take(root);
    else if (kind === "folder") this.#folder(root, []);
  }

  /** @param above real paths of the folders around it. */
  #folder(path: string, above: readonly string[]): void {
    if (this.#options.isWhole && this.#isMatch(path)) {
      this.#paths.push(path);
      return;
    }
    const real = realpathSync(path);
    if (above.includes(real)) return;
    for (const entry of entriesOf(path)) {
      if (++this.#entries > limits.globEntries)
        throw new SeatrialError("invalid", `the patterns are held against more than ${limits.globEntries} files and folders`);
      const child = join(path, entry.name);
      if (this.#isHidden(entry.name)) continue;
      const kind = entry.isDirectory() ? "folder" : entry.isFile() ? "file" : entry.isSymbolicLink() ? this.#kindBehind(child) : undefined;
      if (kind === "folder") this.#folder(child, [...above, real]);
      else if (kind === "file") this.#take(child);
    }
  }

  /** What a link is for. */
  #kindBehind(link: string): "file" | "folder" | undefined {
    const kind = kindOf(link);
    return kind === "folder" && this.#options.isFollowing === false ? undefined : kind;
  }

  #isHidden(name: string): boolean {
    return this.#options.hasHidden === false && name.startsWith(".");
  }

  #take(path: string): void {
    if (this.#isMatch(path)) this.#paths.push(path);
  }

  /** The last pattern that matches decides. */
  #isMatch(path: string): boolean {
    const names = namesIn(path);
    return this.#patterns.findLast(({ parts }) => isSequence(parts, names, isName))?.isExcluded === false;
  }
}

function readPattern(line: string, { cwd, home, isWhole }: GlobOptions): Pattern | undefined {
  let text = line.trim();
  if (text === "" || text.startsWith("#")) return undefined;
  const isExcluded = /^(!!)*!(?!!)/.test(text);
  text = text.replace(/^!+/, "").trim();
  if (text === "") return undefined;
  if (/^~(\/|$)/.test(text)) {
    if (!home) throw new SeatrialError("invalid", `pattern ${JSON.stringify(text)}: there is no home folder, HOME is not set`);
    text = escaped(home) + text.slice(1);
  }
  checkLength(text);
  const parts = namesIn(resolve(escaped(cwd), text.replace(/\/+$/, "") || sep));
  const firstSign = parts.findIndex((part) => /[*?[]/.test(part.replaceAll(/\\./gs, "")));
  const literal = firstSign === -1 ? parts : parts.slice(0, firstSign);
  // Whole paths alone are found as they are; a file's pattern means also what is below it, should it be a folder.
  const all = isWhole && !isExcluded ? parts : [...parts, "**"];
  return {
    isExcluded,
    root: sep + literal.map(unescaped).join(sep),
    parts: all.map((part) => (part === "**" ? many : readName(part))),
  };
}

function checkLength(pattern: string): void {
  if (pattern.length > limits.globCharacters)
    throw new SeatrialError("invalid", `pattern ${pattern.slice(0, 50)}… has more than ${limits.globCharacters} characters`);
}

function namesIn(path: string): string[] {
  return path.split(sep).filter((name) => name !== "");
}

/** What `{a,b}` stands for, one after the other. */
function choicesOf(pattern: string): string[] {
  let all = [pattern];
  for (;;) {
    const next = all.flatMap((each) => {
      const [, before, choices, after] = /^([^{]*)\{([^{}]*)\}(.*)$/s.exec(each) ?? [];
      return choices === undefined ? each : choices.split(",").map((choice) => before! + choice + after!);
    });
    if (next.length > limits.globChoices)
      throw new SeatrialError("invalid", `pattern ${pattern.slice(0, 50)} stands for more than ${limits.globChoices} others`);
    if (next.every((each, i) => each === all[i])) return next;
    all = next;
  }
}

function readName(text: string): NamePattern {
  if (!/[\\*?[]/.test(text)) return text;
  return Array.from(text.matchAll(/\\(.)|(\*+)|(\?)|\[([!^]?)((?:\\.|[^\]\\])+)\]|./gsu), (match) => {
    const [literal, escaped, stars, one, not, set] = match;
    if (stars !== undefined) return many;
    if (one !== undefined) return () => true;
    if (set === undefined) return (character: string) => character === (escaped ?? literal);
    const isIn = setOf(set);
    return not ? (character: string) => !isIn(character) : isIn;
  });
}

/** Characters and ranges between brackets. */
function setOf(text: string): (character: string) => boolean {
  const ranges = Array.from(text.matchAll(/(\\.|.)(?:-(\\.|.))?/gsu), ([, from, to = from]) => [unescaped(from!), unescaped(to!)] as const);
  return (character) => ranges.some(([from, to]) => from <= character && character <= to);
}

function isName(pattern: NamePattern, name: string): boolean {
  return typeof pattern === "string" ? pattern === name : isSequence(pattern, Array.from(name), (isCharacter, one) => isCharacter(one));
}

/** Whether items match values, one each, and {@link many} any number: when nothing else fits, the last of those takes one more. */
function isSequence<Item, Value>(
  items: readonly (Item | typeof many)[],
  values: readonly Value[],
  isMatch: (item: Item, value: Value) => boolean,
): boolean {
  let at = 0;
  let last: { item: number; value: number } | undefined;
  for (let i = 0; i < values.length;) {
    const item = items[at];
    if (item === many) last = { item: at++, value: i };
    else if (at < items.length && isMatch(item!, values[i]!)) [at, i] = [at + 1, i + 1];
    else if (last) [at, i] = [last.item + 1, ++last.value];
    else return false;
  }
  while (items[at] === many) at++;
  return at === items.length;
}

/** A path that is no pattern, as one. */
function escaped(path: string): string {
  return path.replaceAll(/[\\*?[]/g, String.raw`\$&`);
}

function unescaped(part: string): string {
  return part.replaceAll(/\\(.)/gs, "$1");
}

function kindOf(path: string): "file" | "folder" | undefined {
  try {
    const stat = statSync(path);
    return stat.isFile() ? "file" : stat.isDirectory() ? "folder" : undefined;
  } catch {
    return undefined; // It leads nowhere.
  }
}

/** What cannot be read has nothing in it. */
function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

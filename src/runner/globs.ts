/**
 * Patterns for files, one a line, as `hashFiles`, `upload-artifact` and `cache` take them: `*`, `?`, `[…]` within a name, `**` across
 * folders, `!` takes away, `#` begins a comment, `~` is the home folder. A pattern that names a folder means all that is in it.
 *
 * Meaning: the README of `@actions/glob`. Links to files and folders are followed; one that leads into itself is not.
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
}

interface Pattern {
  isExcluded: boolean;
  /** The folder or file before the first part with a sign. */
  root: string;
  /** Of a whole path, and of what is below one. */
  regex: RegExp;
}

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

/** Whether a pattern for one name matches it: `*`, `?`, `[…]`, and `{a,b}` for alternatives. */
export function matchesName(pattern: string, name: string): boolean {
  const [, before, choices, after] = /^([^{]*)\{([^{}]*)\}(.*)$/s.exec(pattern) ?? [];
  if (choices !== undefined) return choices.split(",").some((choice) => matchesName(before! + choice + after!, name));
  return new RegExp(`^${partRegex(pattern)}$`, "s").test(name);
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
      const kind = entry.isDirectory() ? "folder" : entry.isFile() ? "file" : entry.isSymbolicLink() ? kindOf(child) : undefined;
      if (kind === "folder") this.#folder(child, [...above, real]);
      else if (kind === "file") this.#take(child);
    }
  }

  #isHidden(name: string): boolean {
    return this.#options.hasHidden === false && name.startsWith(".");
  }

  #take(path: string): void {
    if (this.#isMatch(path)) this.#paths.push(path);
  }

  /** The last pattern that matches decides. */
  #isMatch(path: string): boolean {
    return this.#patterns.findLast(({ regex }) => regex.test(path))?.isExcluded === false;
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
    text = home + text.slice(1);
  }
  const parts = resolve(cwd, text.replace(/\/+$/, "") || sep)
    .split(sep)
    .filter((part, i, all) => part !== "" && !(part === "**" && all[i - 1] === "**"));
  const firstSign = parts.findIndex((part) => /[*?[]/.test(part));
  const literal = firstSign === -1 ? parts : parts.slice(0, firstSign);
  // Whole paths alone are found as they are; a file's pattern means also what is below it, should it be a folder.
  const end = isWhole && !isExcluded ? "$" : "(?:/.*)?$";
  return { isExcluded, root: sep + literal.map(unescaped).join(sep), regex: new RegExp(`^${regexOf(parts)}${end}`, "s") };
}

function regexOf(parts: readonly string[]): string {
  return parts
    .map((part, i) => {
      if (part !== "**") return `/${partRegex(part)}`;
      // At the end it is all that is below, and the folder itself.
      return i === parts.length - 1 ? "(?:/.*)?" : "(?:/[^/]+)*";
    })
    .join("");
}

function partRegex(part: string): string {
  return part.replaceAll(
    /\\(.)|\*+|\?|\[([!^]?)((?:\\.|[^\]\\])+)\]|[$()+.{}|^[\]\\/-]/g,
    (match, escaped, not: string | undefined, set: string | undefined) => {
      if (escaped !== undefined) return literalRegex(escaped as string);
      if (match.startsWith("*")) return "[^/]*";
      if (match === "?") return "[^/]";
      if (set !== undefined) return `[${not ? "^/" : ""}${set.replaceAll(/[[\]^\\]/g, String.raw`\$&`)}]`;
      return literalRegex(match);
    },
  );
}

function literalRegex(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`);
}

function unescaped(part: string): string {
  return part.replaceAll(/\\(.)/g, "$1");
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

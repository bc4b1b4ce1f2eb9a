/**
 * Problem matchers: what a step prints is held against regular expressions, and what they find becomes annotations. A step adds them
 * with `::add-matcher::FILE`; they stay until the job ends, or `::remove-matcher owner=NAME::`.
 *
 * Format and rules: "Problem Matchers" in the documentation of GitHub's runner (docs in actions/toolkit). The expressions come from
 * whoever wrote the workflow: one that takes too long on a line is given up, with its matcher. Only the clock can end it, and on a busy machine
 * that says little of it: so whoever is under suspicion is tried alone, and judged by the time of the processor that it took.
 */
import { existsSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { type Context, createContext, Script } from "node:vm";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";

/** What a matcher found in a line. */
export interface Problem {
  level: "error" | "warning" | "notice";
  message: string;
  title?: string;
  file?: string;
  line?: number;
  column?: number;
  /** Line of the log, from 1. */
  logLine: number;
}

/** Places in a pattern of what it found: numbers of groups. */
const fields = ["file", "fromPath", "line", "column", "severity", "code", "message"] as const;
type Field = (typeof fields)[number];

interface Pattern {
  regex: RegExp;
  groups: Partial<Record<Field, number>>;
  isLoop: boolean;
}

interface Matcher {
  owner: string;
  severity: string | undefined;
  patterns: Pattern[];
  /** What the patterns before the last have found. */
  found: readonly (Found | undefined)[];
}

export interface ProblemMatchersOptions {
  workspace: string;
  onProblem(problem: Problem): void;
  /** For the log. */
  onRemark(message: string): void;
  /** Time of the processor that this thread has had. Default: what the system says. */
  cpuMs?: () => number;
  /** How long one may take on a line. Default: {@link limits.problemMatchMs}. */
  matchMs?: number;
}

type Found = Partial<Record<Field, string>>;

/** What came of a matcher on a line: what its patterns have found from now on, and the problem, where that is one. */
interface Outcome {
  found: Matcher["found"];
  problem?: Found;
}

/** All lines of a job's output go through one of these, from its first matcher on. */
export class ProblemMatchers {
  readonly #options: ProblemMatchersOptions;
  /** The newest first. */
  #matchers: Matcher[] = [];
  /** The beginning of a line. */
  #held = "";
  /** What is held against what, now. */
  readonly #work = { lines: [] as string[], line: 0, matcher: 0, outcome: undefined as Outcome | undefined };
  readonly #problems = new Map<number, { matcher: Matcher; found: Found }>();
  readonly #bounded = bounded();

  constructor(options: ProblemMatchersOptions) {
    this.#options = options;
  }

  get isActive(): boolean {
    return this.#matchers.length > 0;
  }

  /** @param text of a file of matchers. @throws SeatrialError `invalid` with what is wrong with it. */
  add(text: string): void {
    const added = readMatchers(text);
    const owners = new Set(added.map(({ owner }) => owner.toLowerCase()));
    this.#matchers = [...added, ...this.#matchers.filter(({ owner }) => !owners.has(owner.toLowerCase()))];
    const [over] = this.#matchers.splice(limits.problemMatchers);
    if (over) this.#options.onRemark(`problem matcher ${over.owner} is left out: there are more than ${limits.problemMatchers}`);
  }

  /** Removes those that a file names. @throws SeatrialError `invalid` with what is wrong with it. */
  removeThoseOf(text: string): void {
    for (const { owner } of readMatchers(text)) this.remove(owner);
  }

  remove(owner: string): void {
    this.#matchers = this.#matchers.filter((matcher) => matcher.owner.toLowerCase() !== owner.toLowerCase());
  }

  /** Output of a step, in pieces. @param logLine line of the log that it begins in. */
  push(bytes: Buffer, logLine: number): void {
    const lines = (this.#held + bytes.toString("utf8")).split("\n");
    this.#held = lines.pop()!.slice(0, limits.problemLineCharacters);
    this.#match(lines, logLine);
  }

  /** The step's output is whole. */
  flush(logLine: number): void {
    const text = this.#held;
    this.#held = "";
    if (text !== "") this.#match([text], logLine);
  }

  #match(lines: string[], logLine: number): void {
    const work = this.#work;
    Object.assign(work, { lines: lines.map(plain), line: 0, matcher: 0, outcome: undefined });
    while (this.isActive && work.line < lines.length) {
      try {
        this.#bounded(() => this.#matchAll(), this.#matchMs);
      } catch (error) {
        if (!isEnd(error)) throw error;
        // What it had found is dealt with by the next turn.
        if (!work.outcome) this.#judge();
      }
    }
    for (const [line, { matcher, found }] of this.#problems) this.#tell(matcher, found, logLine + line);
    this.#problems.clear();
  }

  /** May be ended at any place, and goes on there: what it does to what is known can be done twice. */
  #matchAll(): void {
    const work = this.#work;
    for (; work.line < work.lines.length; work.line++, work.matcher = 0) {
      for (; work.matcher < this.#matchers.length; work.matcher++, work.outcome = undefined) {
        const matcher = this.#matchers[work.matcher]!;
        work.outcome ??= matchLine(matcher, work.lines[work.line]!);
        const { found, problem } = work.outcome;
        matcher.found = found;
        if (!problem) continue;
        this.#problems.set(work.line, { matcher, found: problem });
        for (const other of this.#matchers) if (other !== matcher) other.found = [];
        work.matcher = this.#matchers.length;
      }
    }
  }

  /** Tries the matcher that was ended alone, for longer each time, until it is done or has had its time. */
  #judge(): void {
    const { line, matcher: index, lines } = this.#work;
    const [matcher, text] = [this.#matchers[index], lines[line]];
    if (!matcher || text === undefined) return; // It was between two.
    const { cpuMs = threadCpuMs } = this.#options;
    for (let tries = 0; tries < limits.problemMatchTries; tries++) {
      const beforeMs = cpuMs();
      try {
        this.#bounded(() => (this.#work.outcome = matchLine(matcher, text)), this.#matchMs * 2 ** tries);
        return;
      } catch (error) {
        if (!isEnd(error)) throw error;
        const isSlow = !(error instanceof RangeError);
        // The clock of the processor and the other may differ a little.
        if (isSlow && cpuMs() - beforeMs < this.#matchMs * 0.8) continue;
        this.#matchers = this.#matchers.filter((other) => other !== matcher);
        const why = isSlow ? `it took more than ${this.#matchMs} ms` : messageOf(error);
        return this.#options.onRemark(`problem matcher ${matcher.owner} is removed: ${why}`);
      }
    }
    this.#work.outcome = { found: [] };
    this.#options.onRemark(
      `problem matcher ${matcher.owner} leaves out a line: the machine is too busy to tell whether it would find an end`,
    );
  }

  get #matchMs(): number {
    return this.#options.matchMs ?? limits.problemMatchMs;
  }

  #tell({ owner, severity: byDefault }: Matcher, found: Found, logLine: number): void {
    const severity = (found.severity ?? byDefault ?? "error").toLowerCase();
    if (severity !== "error" && severity !== "warning" && severity !== "notice")
      return this.#options.onRemark(`problem matcher ${owner}: severity ${JSON.stringify(severity.slice(0, 50))} is not known`);
    const file = this.#fileOf(found);
    const [line, column] = [numberIn(found.line), numberIn(found.column)];
    this.#options.onProblem({
      level: severity,
      message: found.message ?? "",
      ...(found.code ? { title: found.code } : {}),
      ...(file === undefined ? {} : { file }),
      ...(line === undefined ? {} : { line, ...(column === undefined ? {} : { column }) }),
      logLine,
    });
  }

  /** Undefined when it is not there: then the place is none. */
  #fileOf({ file, fromPath }: Found): string | undefined {
    if (!file) return undefined;
    const { workspace } = this.#options;
    const base = fromPath ? join(isAbsolute(fromPath) ? "" : workspace, dirname(fromPath)) : workspace;
    const path = isAbsolute(file) ? file : join(base, file);
    return existsSync(path) ? path : undefined;
  }
}

/** Without colours. */
function plain(line: string): string {
  return line
    .replaceAll(/\u001b\[[0-?]*[ -/]*[@-~]/g, "") // oxlint-disable-line no-control-regex -- colours
    .replace(/\r$/, "")
    .slice(0, limits.problemLineCharacters);
}

/** Holds a line against a matcher of one or several lines, as GitHub's runner does: its last pattern first. Changes nothing. */
function matchLine({ patterns, found: before }: Matcher, line: string): Outcome {
  const found = [...before];
  const last = patterns.length - 1;
  for (let i = last; i >= 0; i--) {
    const above = i === 0 ? {} : found[i - 1];
    if (!above) continue;
    const { regex, groups, isLoop } = patterns[i]!;
    const match = regex.exec(line);
    if (!match) {
      if (i === last) found[i - 1] = undefined;
      else found[i] = undefined;
      continue;
    }
    const values = { ...above };
    for (const field of fields) if (groups[field] !== undefined) values[field] = (match[groups[field]] ?? "").trim();
    if (i < last) {
      found[i] = values;
      continue;
    }
    const kept: (Found | undefined)[] = [];
    if (isLoop) kept[i - 1] = above;
    return { found: kept, problem: values };
  }
  return { found };
}

/** Runs a function that is ended when it takes too long, whatever it is at. */
function bounded(): (work: () => void, timeoutMs: number) => void {
  let made: { context: Context & { work?: () => void }; script: Script } | undefined;
  return (work, timeoutMs) => {
    made ??= { context: createContext({}), script: new Script("work()") };
    made.context.work = work;
    made.script.runInContext(made.context, { timeout: timeoutMs });
  };
}

/** An expression was ended, or needs more stack than there is. */
function isEnd(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ERR_SCRIPT_EXECUTION_TIMEOUT" || error instanceof RangeError;
}

function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

function readMatchers(text: string): Matcher[] {
  const fail = (why: string): never => {
    throw new SeatrialError("invalid", `the problem matchers cannot be read: ${why}`);
  };
  let parsed: unknown;
  try {
    parsed = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    return fail((error as Error).message);
  }
  const list = (parsed as { problemMatcher?: unknown } | null)?.problemMatcher;
  if (!Array.isArray(list)) return fail("there is no list problemMatcher");
  return list.map((item: unknown): Matcher => {
    const { owner, severity, pattern } = (item ?? {}) as Record<string, unknown>;
    if (typeof owner !== "string" || owner === "") return fail("one has no owner");
    if (severity !== undefined && (typeof severity !== "string" || !["error", "warning", "notice"].includes(severity.toLowerCase())))
      return fail(`${owner}: severity must be error, warning or notice`);
    if (!Array.isArray(pattern) || pattern.length === 0) return fail(`${owner} has no pattern`);
    if (pattern.length > limits.problemPatterns)
      return fail(`${owner} has ${pattern.length} patterns, and can have ${limits.problemPatterns}`);
    const patterns = pattern.map((each: unknown, i) =>
      readPattern((each ?? {}) as Record<string, unknown>, owner, i === pattern.length - 1, fail),
    );
    const isLoop = patterns.at(-1)!.isLoop;
    if (isLoop && patterns.length === 1) return fail(`${owner}: loop is for the last of several patterns`);
    if (patterns.at(-1)!.groups.message === undefined) return fail(`${owner}: the last pattern has no message`);
    return { owner, severity: severity as string | undefined, patterns, found: [] };
  });
}

function readPattern(of: Record<string, unknown>, owner: string, isLast: boolean, fail: (why: string) => never): Pattern {
  const { regexp, loop } = of;
  if (typeof regexp !== "string" || regexp === "" || regexp.length > limits.problemLineCharacters)
    return fail(`${owner}: a pattern has no regexp`);
  if (loop === true && !isLast) return fail(`${owner}: loop is for the last of several patterns`);
  const groups: Pattern["groups"] = {};
  for (const field of fields) {
    const group = of[field];
    if (group === undefined || group === null) continue;
    if (typeof group !== "number" || !Number.isInteger(group) || group < 0) return fail(`${owner}: ${field} must be the number of a group`);
    groups[field] = group;
  }
  let regex: RegExp;
  try {
    regex = new RegExp(regexp);
  } catch (error) {
    return fail(`${owner}: ${(error as Error).message}`);
  }
  // Nothing matches first, and at once.
  const count = new RegExp(`|${regexp}`).exec("")!.length - 1;
  const missing = Object.entries(groups).find(([, group]) => group > count);
  if (missing) return fail(`${owner}: ${missing[0]} is group ${missing[1]}, and the regexp has ${count}`);
  return { regex, groups, isLoop: loop === true };
}

function numberIn(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

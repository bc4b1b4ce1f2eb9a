/**
 * What a step says to its runner: workflow commands in its output (`::error file=a.go,line=3::message`) and the files of
 * GITHUB_OUTPUT, GITHUB_ENV and GITHUB_PATH. The runner is the only caller; it bundles this file.
 *
 * Formats: GitHub's "Workflow commands for GitHub Actions".
 */
import { InvalidError, type Problem } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

export type AnnotationLevel = "error" | "warning" | "notice";

export type Command =
  | {
      kind: "annotation";
      level: AnnotationLevel;
      message: string;
      title?: string;
      file?: string;
      line?: number;
      endLine?: number;
      column?: number;
      endColumn?: number;
    }
  | { kind: "debug"; message: string }
  | { kind: "group"; title: string }
  | { kind: "endgroup" }
  | { kind: "mask"; value: string }
  /** From here on nothing is a command, up to the token; `token` is to be masked, so that nobody can end it by chance. */
  | { kind: "stop"; token: string }
  | { kind: "resume" }
  /** Of old: files do it now. */
  | { kind: "output" | "state"; name: string; value: string }
  | { kind: "add-matcher"; file: string }
  | { kind: "remove-matcher"; owner: string }
  | { kind: "remove-matchers-of"; file: string }
  /** Whether commands are shown in the log: here they are always. */
  | { kind: "echo" }
  /** A command that is one, and wrong: it fails the step, as on GitHub. */
  | { kind: "invalid"; message: string };

const names = [
  "error",
  "warning",
  "notice",
  "debug",
  "group",
  "endgroup",
  "add-mask",
  "stop-commands",
  "echo",
  "add-matcher",
  "remove-matcher",
  "set-output",
  "save-state",
  "set-env",
  "add-path",
];

/** Reads the lines of one step's output, one after the other: `stop-commands` is remembered. */
export class CommandReader {
  #stopToken: string | undefined;

  /** The command that a line is, or undefined: nearly all lines. The line comes without its end. */
  read(line: string): Command | undefined {
    const match = /^\s*::([^\s:]+)(?: ([^]*?))?::/.exec(line);
    if (!match) return undefined;
    const name = match[1]!.toLowerCase();
    if (this.#stopToken !== undefined) {
      if (name !== this.#stopToken.toLowerCase()) return undefined;
      this.#stopToken = undefined;
      return { kind: "resume" };
    }
    const data = unescape(line.slice(match[0].length));
    switch (name) {
      case "error":
      case "warning":
      case "notice":
        return annotation(name, data, propertiesOf(match[2] ?? ""));
      case "debug":
        return { kind: "debug", message: data };
      case "group":
        return { kind: "group", title: data };
      case "endgroup":
        return { kind: "endgroup" };
      case "add-mask":
        return data.trim() === ""
          ? { kind: "invalid", message: "add-mask without a value: nothing was masked" }
          : { kind: "mask", value: data };
      case "stop-commands":
        // A token that anybody would write ends the stop too early.
        if (data === "" || names.includes(data.toLowerCase()) || data === "pause-logging") {
          return { kind: "invalid", message: "stop-commands needs a token that nothing else prints: make it at random" };
        }
        this.#stopToken = data;
        return { kind: "stop", token: data };
      case "set-output":
      case "save-state": {
        const key = propertiesOf(match[2] ?? "").get("name");
        if (key === undefined) return { kind: "invalid", message: `${name} lacks its name, as in ::${name} name=NAME::VALUE` };
        return { kind: name === "set-output" ? "output" : "state", name: key, value: data };
      }
      case "set-env":
      case "add-path":
        return {
          kind: "invalid",
          message: `${name} is not supported, as on GitHub: write to GITHUB_${name === "set-env" ? "ENV" : "PATH"}`,
        };
      case "add-matcher":
        return data.trim() === "" ? { kind: "invalid", message: "add-matcher lacks its file" } : { kind: "add-matcher", file: data.trim() };
      case "remove-matcher": {
        const owner = propertiesOf(match[2] ?? "").get("owner");
        if (owner !== undefined) return { kind: "remove-matcher", owner };
        if (data.trim() !== "") return { kind: "remove-matchers-of", file: data.trim() };
        return { kind: "invalid", message: "remove-matcher lacks its owner, as in ::remove-matcher owner=NAME::" };
      }
      case "echo":
        if (/^(on|off)$/i.test(data.trim())) return { kind: "echo" };
        return { kind: "invalid", message: `echo must be on or off, and is ${JSON.stringify(data.slice(0, 100))}` };
      default:
        return undefined;
    }
  }
}

function propertiesOf(text: string): Map<string, string> {
  const properties = new Map<string, string>();
  for (const pair of text.split(",")) {
    const [, name, value] = /^\s*([^=]+)=([^]+)$/.exec(pair) ?? [];
    if (name !== undefined && value !== undefined) {
      properties.set(name.toLowerCase(), unescape(value.trimEnd().replaceAll("%3A", ":").replaceAll("%2C", ",")));
    }
  }
  return properties;
}

/** Lines and columns that contradict each other are left out, and an end without a beginning is one, as on GitHub. */
function annotation(level: AnnotationLevel, message: string, properties: ReadonlyMap<string, string>): Command {
  const number = (name: string) => {
    const value = properties.get(name);
    return value !== undefined && /^\d{1,9}$/.test(value.trim()) ? Number(value) : undefined;
  };
  const endLine = number("endline");
  const endColumn = number("endcolumn");
  const line = number("line") ?? endLine;
  const column = number("col") ?? endColumn;
  const hasLines = line !== undefined && (endLine === undefined || endLine >= line);
  const hasColumns =
    line !== undefined &&
    column !== undefined &&
    (endLine === undefined || endLine === line) &&
    (endColumn === undefined || endColumn >= column);
  const file = properties.get("file");
  const title = properties.get("title");
  return {
    kind: "annotation",
    level,
    message: message.slice(0, limits.annotationCharacters),
    ...(title !== undefined && { title }),
    ...(file !== undefined && { file }),
    ...(hasLines && { line, ...(endLine !== undefined && { endLine }) }),
    ...(hasColumns && { column, ...(endColumn !== undefined && { endColumn }) }),
  };
}

/** `%25` comes last, or what it stands for would be read as another escape. */
function unescape(text: string): string {
  return text.replaceAll("%0D", "\r").replaceAll("%0A", "\n").replaceAll("%25", "%");
}

/**
 * The variables in a file of GITHUB_OUTPUT or GITHUB_ENV: `NAME=value`, or `NAME<<END`, lines, `END`. A later one replaces
 * an earlier one of its name.
 * @param file what it is called in messages, as in `GITHUB_OUTPUT`.
 * @throws InvalidError with each line that is neither; no value is quoted.
 */
export function readVariables(text: string, file: string): Map<string, string> {
  const variables = new Map<string, string>();
  const problems: Problem[] = [];
  const report = (line: number, message: string) => problems.push({ place: { file, line: line + 1, column: 1 }, path: "", message });
  const lines = linesOf(text, report);
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    if (line === "") continue;
    const [, name, sign, rest] = /^(.*?)(=|<<)(.*)$/s.exec(line) ?? [];
    if (name === undefined || rest === undefined) report(i, "is neither NAME=value nor NAME<<DELIMITER");
    else if (name === "") report(i, "has no name");
    else if (sign === "=") variables.set(name, rest);
    else if (rest === "") report(i, `${name}: there is no delimiter after <<`);
    else {
      const end = lines.indexOf(rest, i + 1);
      if (end === -1) {
        report(i, `${name}: the delimiter does not come again: it must stand alone in a line`);
        break;
      }
      variables.set(name, lines.slice(i + 1, end).join("\n"));
      i = end;
    }
  }
  if (problems.length > 0) throw new InvalidError(problems.slice(0, limits.workflowProblems));
  return variables;
}

/** The folders in a file of GITHUB_PATH, one a line, each once; the last comes first in PATH. @throws InvalidError when it is too large. */
export function readPaths(text: string, file: string): string[] {
  const problems: Problem[] = [];
  const paths = linesOf(text, (line, message) => problems.push({ place: { file, line: line + 1, column: 1 }, path: "", message }));
  if (problems.length > 0) throw new InvalidError(problems);
  return [...new Set(paths.toReversed())].filter((path) => path !== "");
}

function linesOf(text: string, report: (line: number, message: string) => void): string[] {
  if (text.length > limits.commandFileCharacters) {
    report(0, `is larger than ${limits.commandFileCharacters / 1024 / 1024} MiB`);
    return [];
  }
  // What a shell on another system, or PowerShell, puts before the first character.
  return text.replace(/^\uFEFF/, "").split("\n");
}

/** The files that a script says things by: GITHUB_OUTPUT and its kin. Made empty before it runs, read and removed behind it. */
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { readPaths, readVariables } from "../../workflows/commands.ts";

const kinds = ["output", "env", "path", "step_summary", "state"] as const;
type Kind = (typeof kinds)[number];

/** Who hears what the files say. */
export interface CommandFileReader {
  onOutput(name: string, value: string): void;
  onVariables(variables: ReadonlyMap<string, string>): void;
  onPaths(paths: readonly string[]): void;
  onState(name: string, value: string): void;
  /** Markdown; not empty. */
  onSummary(markdown: string): void;
  /** A file that is wrong: nothing of it counts, and the step has failed. */
  onProblem(message: string): void;
  /** A summary that is too large is left out. */
  onRemark(message: string): void;
}

/** Where the files are, as the `github` context has them: `env`, `output` … @param prefix of their paths. */
export function commandFilePaths(prefix: string): Record<Kind, string> {
  return Object.fromEntries(kinds.map((kind) => [kind, `${prefix}.${kind}`])) as Record<Kind, string>;
}

/** Whether a file may be one of a step's: they have a number of their own, which is not that of its script. */
export function isCommandFile(name: string): boolean {
  return kinds.some((kind) => name.endsWith(`.${kind}`));
}

export class CommandFiles {
  readonly #paths: Record<Kind, string>;

  /** @param prefix of the paths of the files. */
  constructor(prefix: string) {
    this.#paths = commandFilePaths(prefix);
    for (const path of Object.values(this.#paths)) writeFileSync(path, "");
  }

  /** The variables that name them. */
  get variables(): Record<string, string> {
    return Object.fromEntries(kinds.map((kind) => [`GITHUB_${kind.toUpperCase()}`, this.#paths[kind]]));
  }

  /** Reads all, and removes them: they may hold secrets. */
  read(reader: CommandFileReader): void {
    const file = (kind: Kind, use: (text: string, name: string) => void) => {
      const name = `GITHUB_${kind.toUpperCase()}`;
      try {
        const text = textIn(this.#paths[kind], name);
        if (text !== "") use(text, name);
      } catch (error) {
        if (kind === "step_summary") reader.onRemark(messageOf(error));
        else reader.onProblem(messageOf(error));
      }
    };
    file("output", (text, name) => readVariables(text, name).forEach((value, key) => reader.onOutput(key, value)));
    file("env", (text, name) => reader.onVariables(readVariables(text, name)));
    file("path", (text, name) => reader.onPaths(readPaths(text, name)));
    file("state", (text, name) => readVariables(text, name).forEach((value, key) => reader.onState(key, value)));
    file("step_summary", (text) => reader.onSummary(text));
    this.remove();
  }

  remove(): void {
    for (const path of Object.values(this.#paths)) rmSync(path, { force: true, recursive: true });
  }
}

/** Text of a file that a step wrote; "" where it removed it, or made it something else. */
export function textIn(path: string, name: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) return "";
  if (stat.size > limits.commandFileCharacters) {
    throw new SeatrialError("invalid", `${name} has ${stat.size} bytes, and no more than ${limits.commandFileCharacters} are read`);
  }
  return readFileSync(path, "utf8");
}

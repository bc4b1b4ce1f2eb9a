/**
 * A step as the loop runs it: NAME.sh, which goes to the step's folder, sets its environment and becomes the step's shell.
 *
 * What shells mean is GitHub's, "Workflow syntax": `jobs.<job_id>.steps[*].shell`.
 */
import { SeatrialError } from "../../base/errors.ts";
import { shellMistake } from "../../workflows/read/shells.ts";
import type { Variables } from "./step-environment.ts";

export interface StepScript {
  workingDirectory: string;
  variables: Variables;
  /** As in the step; undefined: bash, else sh. */
  shell: string | undefined;
  /** Path of the file with the step's own script. */
  file: string;
}

/** Names that `sh` can set; others cannot be given to a step. */
export function isVariableName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
}

/** What the script's file must be called for its shell, as GitHub has it: the end of its name. */
export function scriptExtension(shell: string | undefined): string {
  return { bash: ".sh", sh: ".sh", python: ".py", pwsh: ".ps1" }[shell ?? "bash"] ?? "";
}

/** What a script becomes for its shell. */
export function scriptText(script: string, shell: string | undefined): string {
  if (shell !== "pwsh") return script;
  const exit = String.raw`if ((Test-Path -LiteralPath variable:\LASTEXITCODE)) { exit $LASTEXITCODE }`;
  return `$ErrorActionPreference = 'stop'\n${script}\n${exit}\n`;
}

/** @throws SeatrialError `invalid` for a shell that is not known and has no place for the file. */
export function stepScript({ workingDirectory, variables, shell, file }: StepScript): string {
  const exports = Object.entries(variables)
    .filter(([name]) => isVariableName(name))
    .map(([name, value]) => `export ${name}=${quoted(value)}`);
  return [`cd ${quoted(workingDirectory)} || exit 1`, ...exports, ...commandOf(shell, quoted(file)), ""].join("\n");
}

/** `$seatrial_setsid` is the loop's: a process group for the step, where there is a way to it. */
function commandOf(shell: string | undefined, file: string): string[] {
  const become = "exec $seatrial_setsid";
  switch (shell) {
    case undefined:
      return [`command -v bash >/dev/null && ${become} bash -e ${file}`, `${become} sh -e ${file}`];
    case "bash":
      return [...orSay("bash"), `${become} bash --noprofile --norc -eo pipefail ${file}`];
    case "sh":
      return [`${become} sh -e ${file}`];
    case "python":
      return [`command -v python >/dev/null || ${become} python3 ${file}`, `${become} python ${file}`];
    case "pwsh":
      return [...orSay("pwsh"), `${become} pwsh -command ". ${file}"`];
    default: {
      const mistake = shellMistake(shell);
      if (mistake !== undefined) throw new SeatrialError("invalid", `shell ${JSON.stringify(shell)} ${mistake}`);
      return [`${become} ${shell.replaceAll("{0}", file)}`];
    }
  }
}

/** A shell that is not there is told by its name: the words of `sh` would not say what to do. */
function orSay(program: string): string[] {
  const words = `shell ${program}: there is no ${program} where the steps run; install it in a step before, or run the job in an image that has it`;
  return [`command -v ${program} >/dev/null || { echo ${quoted(words)} >&2; exit 127; }`];
}

/** One word of `sh`, whatever is in it. A NUL cannot be in an environment. */
export function quoted(text: string): string {
  return `'${text.replaceAll("\0", "").replaceAll("'", `'\\''`)}'`;
}

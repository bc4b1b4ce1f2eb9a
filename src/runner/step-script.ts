/**
 * A step as the loop runs it: NAME.sh, which goes to the step's folder, sets its environment and becomes the step's shell.
 *
 * What shells mean is GitHub's, "Workflow syntax": `jobs.<job_id>.steps[*].shell`.
 */
import { SeatrialError } from "../base/errors.ts";
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
      return [`${become} bash --noprofile --norc -eo pipefail ${file}`];
    case "sh":
      return [`${become} sh -e ${file}`];
    case "python":
      return [`${become} python ${file}`];
    default:
      if (!shell.includes("{0}")) {
        throw new SeatrialError("invalid", `shell ${JSON.stringify(shell)} is not known here`, {
          hint: "bash, sh, python, or a command with {0} for the script's file",
        });
      }
      return [`${become} ${shell.replaceAll("{0}", file)}`];
  }
}

/** One word of `sh`, whatever is in it. A NUL cannot be in an environment. */
export function quoted(text: string): string {
  return `'${text.replaceAll("\0", "").replaceAll("'", `'\\''`)}'`;
}

/** Problems of files as JSON, for editors and programs: what `-o json` of `check`, `plan` and `run` prints when the files are refused. */
import { exitCodeOf, InvalidError, type Problem } from "../../base/errors.ts";
import type { CommandContext } from "../cli.ts";

/** Line and column count from 1; where no place is known there are none. */
interface PrintedProblem {
  severity: "error" | "notice";
  file?: string;
  line?: number;
  column?: number;
  /** As in `jobs.build.steps[0].run`; "" for the file itself. */
  path: string;
  message: string;
}

export function printedProblems(problems: readonly Problem[], severity: PrintedProblem["severity"]): PrintedProblem[] {
  return problems.map(({ place, path, message }) => ({ severity, ...place, path, message }));
}

/** Does the work of a command. With `-o json` what its files are refused for goes to stdout, with the exit code that it has anyway. */
export async function withPrintedProblems(context: CommandContext, format: "json" | undefined, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (format !== "json" || !(error instanceof InvalidError)) throw error;
    context.output.out(JSON.stringify({ problems: printedProblems(error.problems, "error") }, null, 2));
    context.exitCode = exitCodeOf(error);
  }
}

/** The tree of commands, and how each of them ends. */
import { constants } from "node:os";
import { Command, CommanderError, Option } from "commander";
import type { Environment } from "../base/environment.ts";
import { exitCodeOf, SeatrialError } from "../base/errors.ts";
import type { Output } from "../base/output.ts";
import type { Workspace } from "../controllers/workspace.ts";
import type { Programs } from "../programs/programs.ts";
import { CommandWorkspace } from "../server/start.ts";
import { packageVersion, registerAbout } from "./commands/about.ts";
import { registerApply, registerCreate } from "./commands/apply.ts";
import { registerDelete } from "./commands/delete.ts";
import { registerDoctor } from "./commands/doctor.ts";
import { registerGet } from "./commands/get.ts";
import { registerHistory } from "./commands/history.ts";
import { registerLoad } from "./commands/load.ts";
import { registerPlan } from "./commands/plan.ts";
import { registerReap } from "./commands/reap.ts";
import { registerRun } from "./commands/run.ts";
import { registerTunnel } from "./commands/tunnel.ts";
import { registerUp } from "./commands/up.ts";
import { registerWith } from "./commands/with.ts";
import { listenForSignals } from "./signals.ts";
import type { SignalSource } from "../runner/with.ts";

export interface CliOptions {
  argv: readonly string[];
  /** `seatrial`, or `ctlptl` when it was called by that name: then it answers as ctlptl does. */
  calledAs: string;
  environment: Environment;
  output: Output;
  /** The terminal that stderr is; undefined when it is none. */
  terminal?: { columns: number } | undefined;
}

/** What every command is given. */
export interface CommandContext {
  workspace: Workspace;
  programs: Programs;
  environment: Environment;
  output: Output;
  signals: SignalSource;
  /** The terminal that stderr is; undefined when it is none. */
  terminal: { columns: number } | undefined;
  /** True when called as `ctlptl`. */
  isCtlptl: boolean;
  /** Exit code of the command when nothing was thrown. */
  exitCode: number;
}

export async function runCli(options: CliOptions): Promise<number> {
  const { environment, output } = options;
  using signals = listenForSignals();
  await using workspace = new CommandWorkspace(environment, output, signals.signal);
  const context: CommandContext = {
    workspace,
    programs: workspace.programs,
    environment,
    output,
    signals,
    terminal: options.terminal,
    isCtlptl: options.calledAs === "ctlptl",
    exitCode: 0,
  };
  const program = commandTree(context, options.calledAs);
  try {
    await program.parseAsync([...options.argv], { from: "user" });
    return context.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (signals.received) {
      output.err(`${options.calledAs}: ended by ${signals.received}`);
      return 128 + constants.signals[signals.received];
    }
    printError(error, options);
    return context.exitCode || exitCodeOf(error);
  }
}

function commandTree(context: CommandContext, name: string): Command {
  const program = new Command(name)
    .description("CI for software that runs on Kubernetes: every test job gets its own throwaway cluster.")
    .exitOverride()
    .configureOutput({ writeOut: (text) => context.output.out(text.trimEnd()), writeErr: (text) => context.output.err(text.trimEnd()) })
    .option("-v, --verbose", "show where an error came from")
    .version(`v${packageVersion()}`, "--version", "print the version")
    .showHelpAfterError(`(${name} --help shows the commands)`)
    .enablePositionalOptions();
  registerWith(program, context);
  registerRun(program, context);
  registerPlan(program, context);
  registerUp(program, context);
  registerHistory(program, context);
  registerApply(program, context);
  registerCreate(program, context);
  registerGet(program, context);
  registerDelete(program, context);
  registerLoad(program, context);
  registerTunnel(program, context);
  registerReap(program, context);
  registerDoctor(program, context);
  registerAbout(program, context);
  for (const command of [...program.commands, ...program.commands.flatMap(({ commands }) => commands)]) {
    command.addOption(new Option("-v, --verbose", "show where an error came from").hideHelp());
  }
  return program;
}

function printError(error: unknown, { output, argv, calledAs }: CliOptions): void {
  const isVerbose = argv.includes("-v") || argv.includes("--verbose");
  if (error instanceof SeatrialError) {
    output.err(`${calledAs}: ${error.message}`);
    if (error.hint) output.err(`  hint: ${error.hint}`);
  } else {
    output.err(`${calledAs}: this is a defect of Seatrial: ${String(error)}`);
  }
  if (isVerbose || !(error instanceof SeatrialError)) output.err(error instanceof Error ? (error.stack ?? "") : "");
}

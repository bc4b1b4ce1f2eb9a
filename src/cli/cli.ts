/** The tree of commands, and how each of them ends. */
import { constants } from "node:os";
import { Command, CommanderError, Option } from "commander";
import type { Environment } from "../base/environment.ts";
import { exitCodeOf, InvalidError, SeatrialError } from "../base/errors.ts";
import type { Output } from "../base/output.ts";
import type { Workspace } from "../controllers/workspace.ts";
import type { Programs } from "../programs/programs.ts";
import { CommandWorkspace } from "../server/start.ts";
import { packageVersion, registerAbout } from "./commands/about.ts";
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
  /** The words that the process was given. */
  argv: readonly string[];
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
    argv: options.argv,
    workspace,
    programs: workspace.programs,
    environment,
    output,
    signals,
    terminal: options.terminal,
    isCtlptl: options.calledAs === "ctlptl",
    exitCode: 0,
  };
  const program = await commandTree(context, options.calledAs, options.argv);
  try {
    await program.parseAsync(withoutGoBooleans(options.argv, program), { from: "user" });
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

type Register = (program: Command, context: CommandContext) => void;

/** The modules of commands, in the order of the help, with the names of those that each has. */
export const commandModules: readonly [names: readonly string[], load: () => Promise<readonly Register[]>][] = [
  [["with"], async () => [(await import("./commands/with.ts")).registerWith]],
  [["run"], async () => [(await import("./commands/run.ts")).registerRun]],
  [["schema"], async () => [(await import("./commands/schema.ts")).registerSchema]],
  [["actions"], async () => [(await import("./commands/actions.ts")).registerActions]],
  [["check", "plan"], async () => [(await import("./commands/plan.ts")).registerPlan]],
  [["up", "server", "down", "crds"], async () => [(await import("./commands/up.ts")).registerUp]],
  [["history", "status", "logs", "artifacts"], async () => [(await import("./commands/history.ts")).registerHistory]],
  [["fingerprint"], async () => [(await import("./commands/fingerprint.ts")).registerFingerprint]],
  [["reproduce"], async () => [(await import("./commands/reproduce.ts")).registerReproduce]],
  [["dispatch"], async () => [(await import("./commands/dispatch.ts")).registerDispatch]],
  [["abort", "rerun", "hold"], async () => [(await import("./commands/changes.ts")).registerChanges]],
  [["secret"], async () => [(await import("./commands/secret.ts")).registerSecret]],
  [["deliveries"], async () => [(await import("./commands/deliveries.ts")).registerDeliveries]],
  [
    ["apply", "create"],
    async () => {
      const { registerApply, registerCreate } = await import("./commands/apply.ts");
      return [registerApply, registerCreate];
    },
  ],
  [["get", "kubeconfig"], async () => [(await import("./commands/get.ts")).registerGet]],
  [["delete"], async () => [(await import("./commands/delete.ts")).registerDelete]],
  [["load"], async () => [(await import("./commands/load.ts")).registerLoad]],
  [["tunnel"], async () => [(await import("./commands/tunnel.ts")).registerTunnel]],
  [["reap"], async () => [(await import("./commands/reap.ts")).registerReap]],
  [["doctor"], async () => [(await import("./commands/doctor.ts")).registerDoctor]],
];

/** The command that is called brings its part of the program with it, and the others stay where they are; help needs all. */
async function commandsFor(argv: readonly string[]): Promise<Register[]> {
  const called = argv.find((word) => !word.startsWith("-")) ?? "";
  const own = commandModules.filter(([names]) => names.includes(called));
  return (await Promise.all((own.length > 0 ? own : commandModules).map(async ([, load]) => await load()))).flat();
}

async function commandTree(context: CommandContext, name: string, argv: readonly string[]): Promise<Command> {
  const program = new Command(name)
    .description("CI for software that runs on Kubernetes: every test job gets its own throwaway cluster.")
    .exitOverride()
    .configureOutput({ writeOut: (text) => context.output.out(text.trimEnd()), writeErr: (text) => context.output.err(text.trimEnd()) })
    .option("-v, --verbose", "show where an error came from")
    .version(`v${packageVersion()}`, "--version", "print the version")
    .showHelpAfterError(`(${name} --help shows the commands)`)
    .enablePositionalOptions();
  for (const register of await commandsFor(argv)) register(program, context);
  registerAbout(program, context);
  for (const command of allCommands(program)) {
    for (const { long } of command.options.filter((option) => option.isBoolean()))
      command.addOption(new Option(`--no-${long!.slice(2)}`).hideHelp());
    command.addOption(new Option("-v, --verbose", "show where an error came from").hideHelp());
    command.showHelpAfterError(`(${callOf(command)} --help shows what it takes)`);
  }
  return program;
}

/** As it is called: `seatrial actions lock`. */
function callOf(command: Command): string {
  return command.parent ? `${callOf(command.parent)} ${command.name()}` : command.name();
}

function allCommands(program: Command): Command[] {
  return program.commands.flatMap((command) => [command, ...allCommands(command)]);
}

/** Go's flags, and so ctlptl's, may also be written `--flag=true` and `--flag=false`; what comes after `--` is the user's command. */
function withoutGoBooleans(argv: readonly string[], program: Command): string[] {
  const options = allCommands(program).flatMap((command) => command.options);
  const isBoolean = (long: string) => options.some((option) => option.long === long && option.isBoolean());
  const end = argv.includes("--") ? argv.indexOf("--") : argv.length;
  return argv.map((word, i) => {
    const [, name = "", value] = /^--([\w-]+)=(true|false)$/.exec(word) ?? [];
    if (i >= end || value === undefined || !isBoolean(`--${name}`)) return word;
    return value === "true" ? `--${name}` : `--no-${name}`;
  });
}

function printError(error: unknown, { output, argv, calledAs }: CliOptions): void {
  // What comes after is the user's command.
  const own = argv.slice(0, argv.includes("--") ? argv.indexOf("--") : undefined);
  const isVerbose = own.includes("-v") || own.includes("--verbose");
  if (error instanceof InvalidError && error.problems.length > 1 && error.problems.every(({ place }) => place)) {
    // Each line begins with its place, as editors look for it.
    output.err(`${error.message}\n${calledAs}: ${error.problems.length} problems`);
  } else if (error instanceof SeatrialError) {
    output.err(`${calledAs}: ${error.message}`);
    if (error.hint) output.err(`  hint: ${error.hint}`);
  } else {
    output.err(`${calledAs}: this is a defect of Seatrial: ${String(error)}`);
  }
  if (isVerbose || !(error instanceof SeatrialError)) output.err(error instanceof Error ? (error.stack ?? "") : "");
}

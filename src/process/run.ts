/**
 * Running other programs to their end: the only importer of execa.
 *
 * Nothing secret may be in `args`: they are visible to every user of the machine and are shown in errors. Secrets go by
 * `input`, by environment or by file.
 */
import type { Options } from "execa";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

export interface RunOptions {
  cwd?: string | undefined;
  /** The whole environment of the child: nothing is inherited beside it. */
  env: Readonly<Record<string, string | undefined>>;
  input?: string | Uint8Array | undefined;
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
  /** Called with each line of stdout and stderr as it comes. */
  onLine?: ((line: string) => void) | undefined;
  /** Most that it, and each program that it starts, may have of memory: what asks for more is told that there is none. */
  memoryBytes?: number | undefined;
  /** Most that is taken of its output. Default: {@link limits.commandOutputBytes}. */
  outputBytes?: number | undefined;
  /** A file of this process that stdout goes to; the result has none of it then. */
  stdout?: number | undefined;
  /** Exit codes that are answers, not failures. Default: 0 alone. */
  okCodes?: readonly number[];
  hint?: string;
}

export interface RunResult {
  stdout: string;
  stderr: string;
  exitCode: number;
}

/** A program ran and failed: the message has the command to paste, its exit code, and the last lines of its output. */
export class CommandFailedError extends SeatrialError {
  readonly exitCode: number | undefined;
  readonly stderr: string;
  readonly stdout: string;

  constructor(message: string, result: { exitCode: number | undefined; stdout: string; stderr: string }, hint?: string) {
    super("command-failed", message, { hint });
    this.name = "CommandFailedError";
    this.exitCode = result.exitCode;
    this.stdout = result.stdout;
    this.stderr = result.stderr;
  }
}

/**
 * Runs a program and gives its output without the last newline.
 * @throws SeatrialError `missing-program` when it cannot be started, `timeout`, the signal's reason when aborted;
 * {@link CommandFailedError} when it ends with a code that is not in `okCodes`.
 */
export async function run(command: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  const settings: Options = {
    env: definedOnly(options.env),
    extendEnv: false,
    reject: false,
    all: true,
    stripFinalNewline: true,
    maxBuffer: options.outputBytes ?? limits.commandOutputBytes,
    forceKillAfterDelay: limits.stopGraceMs,
    stdin: options.input === undefined ? "ignore" : "pipe",
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.stdout === undefined ? {} : { stdout: options.stdout as 1 }), // Its types know of the first two alone.
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
  };
  const { execa } = await import("execa"); // Loaded when it is needed: many commands run no program.
  const child = execa(...boundedCommand(command, args, options.memoryBytes), settings);
  const lines = options.onLine ? eachLine(child.iterable({ from: "all" as never }), options.onLine) : undefined;
  const result = await child;
  await lines;
  const stdout = String(result.stdout ?? "");
  const stderr = String(result.stderr ?? "");
  if (result.isCanceled) options.signal?.throwIfAborted();
  if (result.exitCode !== undefined && (options.okCodes ?? [0]).includes(result.exitCode) && !result.timedOut) {
    return { stdout, stderr, exitCode: result.exitCode };
  }
  const shown = pasteable(command, args);
  if (result.timedOut) {
    throw new SeatrialError("timeout", `${shown}\n  was stopped after ${(options.timeoutMs ?? 0) / 1000} s\n${tail(stderr || stdout)}`);
  }
  if (result.code === "ENOENT" || (options.memoryBytes !== undefined && result.exitCode === 127)) {
    throw new SeatrialError("missing-program", `cannot start ${command}: there is no such program`, {
      hint: options.hint ?? "seatrial doctor lists the programs that are needed and how to get them",
      cause: result.cause,
    });
  }
  const ending =
    result.exitCode !== undefined
      ? `ended with exit code ${result.exitCode}`
      : result.isMaxBuffer
        ? `printed more than ${settings.maxBuffer as number} bytes, and was ended`
        : result.signal
          ? `was ended by ${result.signal}`
          : `could not be run: ${result.shortMessage}`;
  const message = `${shown}\n  ${ending}${tail(stderr || stdout)}`;
  throw new CommandFailedError(message, { exitCode: result.exitCode, stdout, stderr }, options.hint);
}

/** A shell sets the bound, and becomes the program: Node cannot, and a program that runs already has taken what it wanted. */
function boundedCommand(command: string, args: readonly string[], memoryBytes: number | undefined): [string, string[]] {
  if (memoryBytes === undefined) return [command, [...args]];
  const script = 'ulimit -d "$0" 2>/dev/null; exec "$@"';
  return ["/bin/sh", ["-c", script, String(Math.ceil(memoryBytes / 1024)), command, ...args]];
}

/** The command as it can be pasted into a shell. */
export function pasteable(command: string, args: readonly string[]): string {
  return [command, ...args].map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(" ");
}

function tail(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  return lines
    .slice(-limits.errorTailLines)
    .map((line) => `\n  | ${line}`)
    .join("");
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

async function eachLine(lines: AsyncIterable<unknown>, onLine: (line: string) => void): Promise<void> {
  try {
    for await (const line of lines) onLine(String(line));
  } catch {
    // The stream broke because the program did: the awaited result says so.
  }
}

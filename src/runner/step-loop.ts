/**
 * The loop of loop-script.ts as the runner has it: one process beside the runner that runs steps, and the pipe that they print to.
 *
 * One step at a time. Nothing is polled: that a step has ended is said in its own output, behind all that it printed; that
 * the loop has ended, by its exit.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { constants, openSync, readFileSync, writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { loopArguments, loopScript } from "./loop-script.ts";
import { MarkedOutput } from "./marked-output.ts";

export interface StepLoopOptions {
  attempt: string;
  /** Folder of the step files; it is there. */
  directory: string;
  /** Environment of the loop, which every step begins with. */
  env: Readonly<Record<string, string | undefined>>;
  /** As MarkedOutput asks for it. */
  mark: string;
  /**
   * Given all that steps print, as it comes; the bytes are good for the call alone. False: no more is read until
   * {@link StepLoop.resume}, so that whoever prints waits.
   */
  onOutput(bytes: Buffer): boolean;
}

/** Bytes that are read at once: what a pipe holds. */
const readBytes = 64 * 1024;

export class StepLoop {
  readonly #options: StepLoopOptions;
  readonly #child: ChildProcess;
  readonly #output: Socket;
  readonly #exited: Promise<void>;
  readonly #closed: Promise<void>;
  #isPaused = false;
  #running: { name: string; end: (exitCode: number | undefined) => void } | undefined;
  #isGone = false;
  #ending: Promise<void> | undefined;

  /** @throws SeatrialError `command-failed` when there is no `sh`, or it cannot make a pipe. */
  static async start(options: StepLoopOptions): Promise<StepLoop> {
    writeFileSync(join(options.directory, "loop.sh"), loopScript);
    const child = spawn("sh", loopArguments(options.attempt), {
      cwd: options.directory,
      env: options.env as NodeJS.ProcessEnv,
      // The last is the life line: it ends with this process, however that ends.
      stdio: ["pipe", "pipe", "inherit", "pipe"],
      detached: true,
    });
    for (const pipe of [child.stdin, child.stdio[3] as Writable]) pipe?.on("error", () => {}); // The exit tells of it.
    child.stdin!.write(`${options.mark}\n`);
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string) =>
        reject(new SeatrialError("command-failed", `the shell that runs the steps could not be started in ${options.directory}: ${why}`));
      child.once("error", (error) => fail(error.message));
      child.once("exit", (code, signal) => fail(`it ended with ${signal ?? code}`));
      child.stdout!.once("data", () => resolve());
    });
    child.removeAllListeners("exit");
    return new StepLoop(options, child);
  }

  private constructor(options: StepLoopOptions, child: ChildProcess) {
    this.#options = options;
    this.#child = child;
    child.stdout!.destroy();
    const output = new MarkedOutput(
      options.mark,
      (bytes) => (this.#isPaused = !options.onOutput(bytes)),
      (name) => this.#onMark(name),
    );
    this.#output = new Socket({
      fd: openSync(join(options.directory, "output"), constants.O_RDONLY | constants.O_NONBLOCK),
      readable: true,
      writable: false,
      onread: {
        buffer: Buffer.allocUnsafe(readBytes),
        callback: (length, buffer) => {
          output.push((buffer as Buffer).subarray(0, length));
          return !this.#isPaused;
        },
      },
    });
    this.#closed = new Promise((resolve) => {
      this.#output.once("close", () => {
        output.flush();
        resolve();
      });
    });
    this.#output.on("error", () => this.#output.destroy());
    this.#exited = new Promise((resolve) => {
      child.once("exit", () => {
        this.#isGone = true;
        this.#running?.end(undefined);
        resolve();
      });
    });
    this.#output.resume();
  }

  /** True when the loop has ended, by whatever hand: no step can be run any more. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /**
   * Runs NAME.sh of the folder to its end. All that it printed was handed on by then.
   * @returns its exit code; undefined when nobody can know it: the loop was killed, or left no exit file.
   */
  async run(name: string): Promise<number | undefined> {
    if (this.#isGone) return undefined;
    try {
      return await new Promise((end) => {
        this.#running = { name, end };
        this.#child.stdin!.write(`${name}\n`);
      });
    } finally {
      this.#running = undefined;
    }
  }

  /** True while nothing is read. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Reads on after {@link StepLoopOptions.onOutput} said no. */
  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#output.resume();
  }

  /** Ends the loop, which runs nothing now, and reads what is left in the pipe. */
  async end(): Promise<void> {
    this.#ending ??= this.#end();
    await this.#ending;
  }

  async #end(): Promise<void> {
    (this.#child.stdio[3] as Writable).end("end\n");
    this.#child.stdin!.end();
    if (!(await isWithin(this.#exited, limits.orphanGraceMs))) this.#child.kill("SIGKILL"); // It waits for what cannot be ended.
    await this.#exited;
    // A process that got away may hold the pipe open for ever: then what is in it is all.
    while (!(await isWithin(this.#closed, limits.orphanGraceMs)) && this.#isPaused);
    this.#output.destroy();
    await this.#closed;
  }

  #onMark(name: string): void {
    if (this.#running?.name === name) this.#running.end(exitCodeIn(join(this.#options.directory, `${name}.exit`)));
  }
}

/** Undefined when there is none, or none that can be read. */
function exitCodeIn(path: string): number | undefined {
  try {
    const code = Number.parseInt(readFileSync(path, "utf8"), 10);
    return Number.isNaN(code) ? undefined : code;
  } catch {
    return undefined;
  }
}

async function isWithin(work: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), ms)));
  const isDone = await Promise.race([work.then(() => true), late]);
  clearTimeout(timer);
  return isDone;
}

/**
 * The loop of loop-script.ts as the runner has it: one process beside the runner that runs steps, and the pipe that they print to.
 *
 * One step at a time. Nothing is polled: that a step has ended is said in its own output, behind all that it printed; that
 * the loop has ended, by its exit.
 */
import { execFile, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  lchownSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { Socket } from "node:net";
import { dirname, join } from "node:path";
import type { Writable } from "node:stream";
import { promisify } from "node:util";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { waitFor } from "../../base/wait.ts";
import { containerLoopFiles } from "../containers/container-files.ts";
import { isCommandFile } from "./command-files.ts";
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

/** A loop in another container, which has this one's processes, network and volume. */
export interface ContainerLoopOptions extends StepLoopOptions {
  /** Starts the container, whose program opens the pipes of {@link containerLoopFiles} in the folder. @returns once it runs. */
  begin(): Promise<void>;
  /** Why there will be no loop; undefined while there may be. */
  whyNone(): Promise<string | undefined>;
  /** Folders that its user is to write to, where that is not this process's own. */
  folders: readonly string[];
}

/** What is on the other side: a child of this process, or a container. */
interface Shell {
  /** Name of the pipe with all output. */
  output: string;
  say(line: string): void;
  /** No step will be run any more. */
  dismiss(): void;
  kill(): void;
  /** Absent where its end is seen by that of its output alone. */
  exited?: Promise<void>;
  /** Its user and group, where they are not this process's own. */
  owner?: { uid: number; gid: number } | undefined;
}

/** Bytes that are read at once: what a pipe holds. */
const readBytes = 64 * 1024;

export class StepLoop {
  readonly #options: StepLoopOptions;
  readonly #shell: Shell;
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
    child.stdout!.destroy();
    return new StepLoop(options, {
      output: "output",
      say: (line) => child.stdin!.write(`${line}\n`),
      dismiss: () => {
        (child.stdio[3] as Writable).end("end\n");
        child.stdin!.end();
      },
      kill: () => child.kill("SIGKILL"),
      exited: new Promise((resolve) => child.once("exit", () => resolve())),
    });
  }

  /** A loop in a container. @throws SeatrialError `command-failed` when it does not begin; whatever `begin` throws. */
  static async inContainer(options: ContainerLoopOptions): Promise<StepLoop> {
    const { directory, folders } = options;
    const path = (name: keyof typeof containerLoopFiles) => join(directory, containerLoopFiles[name]);
    const pipes = (["in", "life", "said", "output"] as const).map(path);
    writeFileSync(join(directory, "loop.sh"), loopScript, { mode: 0o644 });
    await promisify(execFile)("mkfifo", pipes);
    // Its user may be another, who is not known before it runs; nobody else has this volume.
    for (const pipe of pipes) chmodSync(pipe, 0o666);
    chmodSync(dirname(directory), 0o711);
    chmodSync(directory, 0o777);
    // Held open for both ends, so that nobody waits for the other to open it, until this process closes it or ends.
    const [input, life] = [path("in"), path("life")].map((pipe) => openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK)) as [
      number,
      number,
    ];
    const said = new Socket({ fd: openSync(path("said"), constants.O_RDONLY | constants.O_NONBLOCK), readable: true, writable: false });
    const dismiss = () => [input, life].forEach((fd) => closeSync(fd));
    try {
      const isReady = new Promise<true>((resolve) => said.once("data", () => resolve(true)));
      writeSync(input, `${options.mark}\n`);
      await options.begin();
      const look = async () => {
        if (await isWithin(isReady, limits.containerPollMs)) return true;
        const why = await options.whyNone();
        if (why !== undefined) throw new SeatrialError("command-failed", `the container of the job ended before its first step: ${why}`);
        return undefined;
      };
      await waitFor("the shell of the job's container", look, { timeoutMs: limits.containerLoopMs, pollMs: 0 });
    } catch (error) {
      dismiss();
      throw error;
    } finally {
      said.destroy();
    }
    const stat = statSync(`${path("output")}.user`, { throwIfNoEntry: false });
    const isOther = stat !== undefined && stat.uid !== process.getuid?.();
    const owner = isOther ? { uid: stat.uid, gid: stat.gid } : undefined;
    if (owner) {
      for (const folder of [directory, ...folders]) chownSync(folder, owner.uid, owner.gid);
      // Git of this process works in folders of that user. This one's HOME is of a container that lives as long as the attempt.
      await promisify(execFile)("git", ["config", "--global", "--add", "safe.directory", "*"]).catch(() => {}); // Git itself says what is wrong.
    }
    return new StepLoop(options, {
      output: containerLoopFiles.output,
      say: (line) => void writeSync(input, `${line}\n`),
      dismiss: () => {
        writeSync(life, "end\n");
        dismiss();
      },
      kill: () => {}, // Who made the container removes it.
      owner,
    });
  }

  private constructor(options: StepLoopOptions, shell: Shell) {
    this.#options = options;
    this.#shell = shell;
    const output = new MarkedOutput(
      options.mark,
      (bytes) => (this.#isPaused = !options.onOutput(bytes)),
      (name) => this.#onMark(name),
    );
    this.#output = new Socket({
      fd: openSync(join(options.directory, shell.output), constants.O_RDONLY | constants.O_NONBLOCK),
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
    this.#exited = (shell.exited ?? this.#closed).then(() => {
      this.#isGone = true;
      this.#running?.end(undefined);
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
        this.#handOver(name);
        this.#shell.say(name);
      });
    } finally {
      this.#running = undefined;
    }
  }

  /** What this process wrote is for the user of the steps to write to, where that is another. */
  async takeOver(folder: string): Promise<void> {
    const { owner } = this.#shell;
    if (owner) await promisify(execFile)("chown", ["-RhP", `${owner.uid}:${owner.gid}`, folder]);
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
    this.#shell.dismiss();
    if (!(await isWithin(this.#exited, limits.orphanGraceMs))) this.#shell.kill(); // It waits for what cannot be ended.
    if (this.#shell.exited) await this.#exited;
    // A process that got away may hold the pipe open for ever: then what is in it is all.
    while (!(await isWithin(this.#closed, limits.orphanGraceMs)) && this.#isPaused);
    this.#output.destroy();
    await this.#closed;
  }

  /** The files of a step are for the user that runs it: what it shall read, and what it writes for us. */
  #handOver(name: string): void {
    const { owner } = this.#shell;
    if (!owner) return;
    const { directory } = this.#options;
    for (const file of readdirSync(directory)) {
      if (file.startsWith(`${name}.`) || isCommandFile(file)) lchownSync(join(directory, file), owner.uid, owner.gid);
    }
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

async function isWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), ms)));
  const isDone = await Promise.race([work.then(() => true), late]);
  clearTimeout(timer);
  return isDone;
}

/**
 * A phase of a step while it runs: what it prints and writes is obeyed, and it can be ended, with all that it started. A step of
 * a composite action is one within that of the step that uses the action.
 */
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { isAbsolute, join, relative, resolve } from "node:path";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { type Command, CommandReader } from "../../workflows/commands.ts";
import type { Json } from "../../workflows/expressions/expressions.ts";
import type { ActionContext } from "../actions/action.ts";
import { CommandFiles, textIn } from "./command-files.ts";
import type { JobContext, StepEnd } from "./job-context.ts";
import { stepMark, stepsMark } from "./loop-script.ts";
import { type Cut, RunningStep } from "./running-step.ts";
import { isVariableName, quoted, scriptExtension, scriptText, stepScript } from "./step-script.ts";

export interface StepRunOptions {
  job: JobContext;
  /** Of its report. */
  index: number;
  /** Unit: milliseconds. Undefined: the job's. */
  timeoutMs: number | undefined;
  /** Whether it may run on when the job is ended. */
  mayGoOn(): boolean;
  parent: StepRun | undefined;
  /** Prefix of the paths of its command files, which expressions of the step know. */
  files: string;
}

/** A script, or a program, that a step runs. */
export interface Script {
  /** Its text. */
  script: string;
  shell: string | undefined;
  workingDirectory: string;
  /** All that is set, beside what it inherits. */
  variables: Readonly<Record<string, string>>;
  /** Of an action of ours: it runs beside the runner, which has git and Node, and not in the job's container. */
  isOurs?: boolean;
}

export class StepRun {
  readonly #options: StepRunOptions;
  readonly #job: JobContext;
  readonly #commands = new CommandReader();
  readonly #abort = new AbortController();
  readonly #timer: NodeJS.Timeout | undefined;
  #running: RunningStep | undefined;
  #cut: Cut | undefined;
  /** What the step said that is wrong: it has failed. */
  readonly problems: string[] = [];
  /** For the log, when its output has ended. */
  readonly #remarks: string[] = [];
  readonly outputs: Record<string, string> = {};
  /** What it saves for its other phases. */
  readonly saved: Record<string, string> = {};

  constructor(options: StepRunOptions) {
    this.#options = options;
    this.#job = options.job;
    this.#job.current = this;
    const { timeoutMs } = options;
    // A timer takes no more than 24 days.
    if (timeoutMs) this.#timer = setTimeout(() => this.stop("timed-out"), Math.min(timeoutMs, 2 ** 31 - 1));
  }

  /** Why it was ended; undefined: it was not. */
  get cut(): Cut | undefined {
    return this.#cut ?? this.#options.parent?.cut;
  }

  get files(): string {
    return this.#options.files;
  }

  get index(): number {
    return this.#options.index;
  }

  /** Aborted when the step is ended. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  mayGoOn(): boolean {
    return this.#options.mayGoOn();
  }

  /** Ends it: SIGTERM, SIGKILL. What is said first counts. */
  stop(cut: Cut): void {
    if (this.#cut) return;
    this.#cut = cut;
    this.#abort.abort(new SeatrialError("aborted", "the step was ended"));
    this.#running?.stop(cut);
    // What runs within it ends with it.
    if (this.#job.current !== this && this.#job.current?.isWithin(this)) this.#job.current.stop(cut);
  }

  isWithin(run: StepRun): boolean {
    const { parent } = this.#options;
    return parent === run || (parent?.isWithin(run) ?? false);
  }

  /** It has ended: what is printed from here on is its parent's. */
  end(): void {
    clearTimeout(this.#timer);
    const { parent } = this.#options;
    if (parent) this.#job.current = parent;
  }

  /** Runs a script in the steps' loop, and reads what it wrote. @returns its exit code; undefined when nobody can know it. */
  async script({ script, shell, workingDirectory, variables, isOurs = false }: Script): Promise<number | undefined> {
    return await this.#run({ workingDirectory, shell, variables, text: script, isOurs });
  }

  /** Runs a file with the runner's own Node. */
  async node(file: string, workingDirectory: string, variables: Readonly<Record<string, string>>): Promise<number | undefined> {
    return await this.#run({ workingDirectory, variables, program: file });
  }

  async #run(of: {
    workingDirectory: string;
    variables: Readonly<Record<string, string>>;
    shell?: string | undefined;
    text?: string;
    program?: string;
    isOurs?: boolean;
  }): Promise<number | undefined> {
    if (this.cut) return undefined;
    const { folders, assignment, log, loop: stepLoop, ownLoop = stepLoop, node } = this.#job.options;
    const loop = of.isOurs ? ownLoop : stepLoop;
    const name = this.#job.nextScript();
    const file = (kind: string) => join(folders.steps, `${name}.${kind}`);
    const mark = `${assignment.attempt}/${name}`;
    const commandFiles = this.commandFiles();
    const all: Record<string, string> = {
      ...of.variables,
      ...commandFiles.variables,
      [stepsMark]: assignment.attempt,
      [stepMark]: mark,
    };
    // No shell can set them; Node, whose actions have inputs with all kinds of names, can.
    const unnamable = Object.entries(all).filter(([key]) => !isVariableName(key));
    // Some shells go by the end of its name.
    const scriptFile = file("script") + scriptExtension(of.shell);
    let command = { shell: of.shell, file: scriptFile };
    if (of.program !== undefined) {
      writeFileSync(file("cjs"), preload(Object.fromEntries(unnamable)), { mode: 0o600 });
      command = { shell: `${quoted(node)} --require ${quoted(file("cjs"))} {0}`, file: of.program };
    } else {
      for (const [key] of unnamable) log.say(`variable ${key} is left out: a shell cannot set a variable of that name`);
      writeFileSync(scriptFile, scriptText(of.text ?? "", of.shell), { mode: 0o600 });
    }
    const { workingDirectory } = of;
    writeFileSync(file("sh"), stepScript({ workingDirectory, variables: all, ...command }), { mode: 0o600 });
    this.#running = new RunningStep({
      loop,
      name,
      mark,
      groupFile: file("pid"),
      timeoutMs: undefined,
      mayGoOn: () => this.mayGoOn(),
    });
    const { exitCode } = await this.#running.ended;
    this.#running = undefined;
    if (loop !== stepLoop) await stepLoop.takeOver(folders.workspace);
    log.endOutput();
    for (const remark of this.#remarks.splice(0)) log.say(remark);
    this.readFiles(commandFiles);
    // They hold secrets, expanded.
    for (const path of [file("sh"), scriptFile, file("cjs")]) rmSync(path, { force: true });
    return exitCode;
  }

  /** For its next script; none of another is there then. */
  commandFiles(): CommandFiles {
    return new CommandFiles(this.files);
  }

  /** Obeys what was written to the files of a script. */
  readFiles(files: CommandFiles): void {
    const { log, onSummary } = this.#job.options;
    files.read({
      onOutput: (name, value) => (this.outputs[name] = value),
      onVariables: (variables) => {
        const refused = this.#job.environment.add(variables);
        if (refused.length > 0) this.problems.push(`GITHUB_ENV: ${refused.join(", ")} cannot be set by a step`);
      },
      onPaths: (paths) => this.#job.environment.addPaths(paths),
      onState: (name, value) => (this.saved[name] = value),
      onSummary: (markdown) => onSummary?.(this.index, markdown),
      onProblem: (message) => this.problems.push(message),
      onRemark: (message) => log.say(message),
    });
  }

  /** For one of our own actions. */
  context(of: {
    inputs: Readonly<Record<string, string>>;
    variables: Readonly<Record<string, string>>;
    github: Readonly<Record<string, Json>>;
    state: Readonly<Record<string, string>>;
  }): ActionContext {
    const { folders, assignment, link, log, inherited, masking } = this.#job.options;
    const given = Object.entries(inherited).filter((entry): entry is [string, string] => entry[1] !== undefined);
    return {
      inputs: of.inputs,
      env: { ...Object.fromEntries(given), ...of.variables },
      github: of.github,
      folders,
      assignment,
      link,
      masking,
      signal: this.signal,
      state: of.state,
      say: (line) => log.say(line),
      setOutput: (name, value) => (this.outputs[name] = value),
      addVariable: (name, value) => void this.#job.environment.add(new Map([[name, value]])),
      addPath: (path) => this.#job.environment.addPaths([path]),
      addMask: (value) => this.#mask(value),
      saveState: (name, value) => (this.saved[name] = value),
      annotate: (level, message) => {
        this.annotate({ level, message }, log.nextLine);
        log.say(`${level}: ${message}`);
      },
      takeOver: async () => {
        const { loop, ownLoop = loop } = this.#job.options;
        if (ownLoop !== loop) await loop.takeOver(folders.workspace);
      },
      run: async (script, { shell = "sh", env = {}, workingDirectory = "", isInContainer = false } = {}) => {
        const variables = { ...of.variables, ...env };
        const exitCode = await this.script({
          script,
          shell,
          variables,
          workingDirectory: resolve(folders.workspace, workingDirectory),
          isOurs: !isInContainer,
        });
        if (this.cut) throw new SeatrialError("aborted", "the step was ended");
        if (exitCode === undefined) throw new SeatrialError("internal", noExitCode);
        return exitCode;
      },
    };
  }

  /** How a script, or a program, ended the step. */
  endOf(exitCode: number | undefined, words = "exit code"): StepEnd {
    const { problems } = this;
    const code = exitCode === undefined ? {} : { exitCode };
    const cut = this.cutEnd();
    if (cut) return { ...code, ...cut };
    if (exitCode === undefined) return { verdict: "error", cause: "lost-runner", message: noExitCode };
    if (exitCode !== 0) return { ...code, verdict: "failed", message: [`${words} ${exitCode}`, ...problems].join("\n") };
    if (problems.length > 0) return { ...code, verdict: "failed", message: problems.join("\n") };
    return { ...code, verdict: "passed" };
  }

  /** Undefined when it was not cut. */
  cutEnd(): StepEnd | undefined {
    const { cut } = this;
    if (cut === "ended") return { verdict: this.#job.ending?.verdict ?? "aborted" };
    if (cut !== "timed-out") return undefined;
    const { timeoutMs } = this.#options;
    return { verdict: "timed-out", ...(timeoutMs ? { message: `it has run for its ${timeoutMs / 60_000} minutes` } : {}) };
  }

  /** A line of output that begins with `::`; it is stored after this. */
  onCommand(line: string, logLine: number): void {
    const command = this.#commands.read(line);
    switch (command?.kind) {
      case "mask":
        this.#mask(command.value);
        return;
      case "stop":
        this.#mask(command.token);
        return;
      case "invalid":
        this.problems.push(command.message);
        return;
      case "annotation":
        this.annotate(command, logLine);
        return;
      case "output":
        this.outputs[command.name] = command.value;
        this.remark("set-output is deprecated: write to GITHUB_OUTPUT");
        return;
      case "state":
        this.saved[command.name] = command.value;
        this.remark("save-state is deprecated: write to GITHUB_STATE");
        return;
      case "add-matcher":
        this.#withMatchers(command.file, (text) => this.#job.matchers.add(text));
        return;
      case "remove-matchers-of":
        this.#withMatchers(command.file, (text) => this.#job.matchers.removeThoseOf(text));
        return;
      case "remove-matcher":
        this.#job.matchers.remove(command.owner);
        return;
      case "echo":
      case "debug":
      case "group":
      case "endgroup":
      case "resume":
      case undefined:
    }
  }

  /** For the log, when the step's output has ended; each once. */
  remark(message: string): void {
    if (!this.#remarks.includes(message)) this.#remarks.push(message);
  }

  /** A file of the step's that cannot be read as one of matchers fails the step, as on GitHub. */
  #withMatchers(path: string, use: (text: string) => void): void {
    try {
      const file = resolve(this.#job.options.folders.workspace, path);
      if (!existsSync(file)) throw new SeatrialError("invalid", `the problem matchers of ${path} cannot be read: there is no such file`);
      use(textIn(file, path));
    } catch (error) {
      this.problems.push(messageOf(error));
    }
  }

  #mask(value: string): void {
    const { mask, log } = this.#job.options;
    try {
      if (!mask.add(value)) this.#remarks.push("a value is too short to be masked");
    } catch (error) {
      // What cannot be masked must not be stored: no more is, and the job ends.
      log.discard();
      this.#job.failure ??= { verdict: "error", cause: "secrets", message: messageOf(error), step: "add-mask" };
      this.#job.isOver = true;
      this.stop("ended");
    }
  }

  annotate(annotation: Omit<Extract<Command, { kind: "annotation" }>, "kind">, logLine: number): void {
    const { mask, folders, onAnnotation } = this.#job.options;
    const { message, title, file, level, line, endLine, column, endColumn } = annotation;
    const given = Object.entries({ line, endLine, column, endColumn }).filter(([, value]) => value !== undefined);
    // Tools write whole paths, forges know those of the repository.
    const inside = file !== undefined && isAbsolute(file) ? relative(folders.workspace, file) : file;
    const path = inside?.startsWith("..") ? file : inside;
    const isKept = onAnnotation({
      level,
      ...Object.fromEntries(given),
      message: mask.text(message),
      ...(title === undefined ? {} : { title: mask.text(title) }),
      ...(path === undefined ? {} : { file: mask.text(path) }),
      step: this.index,
      logLine,
    });
    if (!isKept) this.#job.leftOutAnnotations++;
  }
}

const noExitCode = "it left no exit code: the shell that runs the steps was ended, or the disk is full";

/** What Node runs before an action: its children are not to run it again. */
function preload(variables: Readonly<Record<string, string>>): string {
  return `Object.assign(process.env, JSON.parse(${JSON.stringify(JSON.stringify(variables))})); process.execArgv = [];\n`;
}

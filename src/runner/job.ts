/**
 * A job: its steps in order, with GitHub's rules for conditions, environments, outputs and failures.
 *
 * ```
 * success ──a step fails──▶ failure ──┐
 *    └───────────────────────────────┴──abort, or the job's timeout──▶ cancelled
 * ```
 * A step runs when its `if` holds; without one, in `success` alone. When the job is cancelled the step that runs is ended,
 * unless its own `if` holds for a cancelled job (`always()`); later steps of that kind still run, all of them within
 * {@link limits.afterAbortMs}.
 */
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { isAbsolute, join, relative, resolve } from "node:path";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Mask } from "../logs/masking.ts";
import type { StepSpec } from "../resources/job-run.ts";
import type { Cause, Verdict } from "../resources/verdict.ts";
import { type Command, CommandReader, readPaths, readVariables } from "../workflows/commands.ts";
import {
  evaluateBoolean,
  evaluateCondition,
  evaluateNumber,
  interpolate,
  type Json,
  type Scope,
  type Status,
} from "../workflows/expressions.ts";
import { checkoutScript, isCheckout } from "./checkout.ts";
import { endDescendants } from "./descendants.ts";
import { hashFiles } from "./hash-files.ts";
import type { JobLog } from "./job-log.ts";
import { stepMark, stepsMark } from "./loop-script.ts";
import type { Annotation, AssignmentMessage, StepReport } from "./protocol.ts";
import { type Cut, RunningStep } from "./running-step.ts";
import { defaultVariables, StepEnvironment } from "./step-environment.ts";
import type { StepLoop } from "./step-loop.ts";
import { isVariableName, stepScript } from "./step-script.ts";

export interface JobFolders {
  /** Scripts of steps, and the files that they write for us. */
  steps: string;
  workspace: string;
  temp: string;
  tools: string;
  artifacts: string;
}

export interface JobOptions {
  assignment: AssignmentMessage;
  folders: JobFolders;
  loop: StepLoop;
  log: JobLog;
  mask: Mask;
  /** What the steps inherit from the loop. */
  inherited: Readonly<Record<string, string | undefined>>;
  /** Variables of the job that it may override: CI, ARTIFACTS, KUBECONFIG … */
  given: Readonly<Record<string, string>>;
  /** Header by which the server knows the attempt, for git. */
  authorization: string;
  now: () => Date;
  onStep(report: StepReport): void;
  /** False: there are too many. */
  onAnnotation(annotation: Annotation): boolean;
}

export interface JobEnd {
  verdict: Verdict;
  cause?: Cause;
  message?: string;
  outputs: Record<string, string>;
}

/** Why the job ends before its steps do. */
export interface Ending {
  verdict: "aborted" | "timed-out";
  reason: string;
}

/** How a step ended, before `continue-on-error`. */
interface StepEnd {
  verdict: Verdict;
  cause?: Cause;
  message?: string;
  exitCode?: number;
}

/** What the `steps` context has of a step. */
interface StepResult {
  [key: string]: Json;
  outputs: Record<string, string>;
  outcome: string;
  conclusion: string;
}

/** The words of contexts for ours. */
const outcomes: Record<Verdict, string> = {
  passed: "success",
  failed: "failure",
  error: "failure",
  "timed-out": "failure",
  aborted: "cancelled",
  skipped: "skipped",
};

/** What of a step's name is shown. */
const nameChars = 200;

const commandFiles = ["output", "env", "path", "step_summary", "state"] as const;

export class Job {
  readonly #options: JobOptions;
  readonly #environment: StepEnvironment;
  readonly #contexts: Record<string, Json>;
  readonly #steps: Record<string, StepResult> = {};
  /** The first failure that counts. */
  #failure: (StepEnd & { step: string }) | undefined;
  #ending: Ending | undefined;
  /** Set when not even steps with `always()` may run any more. */
  #isOver = false;
  #running: RunningStep | undefined;
  /** The step that runs or ran last: what is printed is its. */
  #current = { index: 0, commands: new CommandReader(), problems: [] as string[], remarks: [] as string[] };
  #lateTimer: NodeJS.Timeout | undefined;
  #leftOutAnnotations = 0;

  /** @throws SeatrialError `invalid` when the job's `env` cannot be expanded. */
  constructor(options: JobOptions) {
    this.#options = options;
    const { assignment, folders } = options;
    const { contexts } = assignment;
    const eventPath = join(folders.steps, "event.json");
    const github = { ...objectIn(contexts["github"]), workspace: folders.workspace, event_path: eventPath };
    writeFileSync(eventPath, JSON.stringify(objectIn(github)["event"] ?? {}), { mode: 0o600 });
    const runner = {
      os: process.platform === "darwin" ? "macOS" : "Linux",
      arch: { x64: "X64", arm64: "ARM64" }[process.arch as string] ?? process.arch,
      environment: "self-hosted",
      name: "seatrial",
      ...objectIn(contexts["runner"]),
      temp: folders.temp,
      tool_cache: folders.tools,
    };
    const empty = { needs: {}, matrix: {}, strategy: {}, vars: {}, inputs: {} };
    this.#contexts = { ...empty, ...(contexts as Record<string, Json>), github, runner, secrets: assignment.secrets };
    this.#environment = new StepEnvironment({
      inherited: options.inherited,
      given: options.given,
      job: mapped(assignment.env, (text) => interpolate(text, this.#scopeWith({}))),
      defaults: defaultVariables(github, runner),
    });
  }

  /** Runs all steps; afterwards no process of theirs is left. */
  async run(): Promise<JobEnd> {
    const { assignment, log } = this.#options;
    const { timeoutMinutes } = assignment;
    const timer = setTimeout(
      () => this.end({ verdict: "timed-out", reason: `the job has run for its ${timeoutMinutes} minutes` }),
      timeoutMinutes * 60_000,
    );
    try {
      for (const [index, step] of assignment.steps.entries()) await this.#step(index, step);
    } finally {
      this.#isOver = true;
      clearTimeout(timer);
      clearTimeout(this.#lateTimer);
    }
    // What steps left running had its time; some of it may listen on ports, or hold the pipe.
    await endDescendants({ mark: [stepsMark, assignment.attempt] }, limits.orphanGraceMs);
    log.endOutput();
    if (this.#leftOutAnnotations > 0) log.say(`${this.#leftOutAnnotations} annotations were left out: there are too many`);
    return this.#end();
  }

  /** Ends the job early; what is said first counts, and nothing that is said when its steps have ended. */
  end(ending: Ending): void {
    if (this.#ending || this.#isOver) return;
    this.#ending = ending;
    this.#options.log.say(ending.reason);
    this.#lateTimer = setTimeout(() => this.stop(), limits.afterAbortMs);
    if (this.#running && !this.#running.mayGoOn()) this.#running.stop("ended");
  }

  /** Ends it at once, also steps with `always()`. */
  stop(): void {
    this.#isOver = true;
    this.#running?.stop("ended");
  }

  // -- one step -------------------------------------------------------------------------------------------------------

  async #step(index: number, step: StepSpec): Promise<void> {
    const { log, mask, now, onStep } = this.#options;
    const startedAt = now().toISOString();
    const report: StepReport = {
      index,
      name: mask.text(nameOf(step).slice(0, nameChars)),
      state: "running",
      startedAt,
      firstLine: log.nextLine,
    };
    let end: StepEnd;
    let outputs: Record<string, string> = {};
    let scope = this.#scope({});
    try {
      const action = step.id ?? `__run${index === 0 ? "" : `_${index + 1}`}`;
      // The step's own variables are seen by its other keys, not by each other.
      const variables = mapped(step.env ?? {}, (text) => interpolate(text, scope));
      scope = this.#scope(variables, action);
      if (!this.#mayRun(step, scope)) {
        this.#note(step, { verdict: "skipped" }, "skipped", {});
        onStep({ ...report, state: "finished", verdict: "skipped", conclusion: "skipped", finishedAt: startedAt });
        return;
      }
      report.name = mask.text(interpolate(nameOf(step), scope)).slice(0, nameChars);
      log.say(report.name);
      onStep(report);
      ({ end, outputs } = await this.#execute(index, step, scope, variables, action));
    } catch (error) {
      if (!(error instanceof SeatrialError)) throw error;
      const cause = error.code === "invalid" ? "invalid-workflow" : "internal";
      end = { verdict: "error", cause, message: [error.message, error.hint].filter(Boolean).join("; ") };
    }
    if (end.message !== undefined) {
      end.message = mask.text(end.message).slice(0, 4096);
      log.say(end.message);
    }
    const isForgiven = !["passed", "aborted"].includes(end.verdict) && end.cause !== "lost-runner" && this.#isForgiven(step, scope);
    const conclusion = isForgiven ? "passed" : end.verdict;
    if (conclusion !== "passed" && !this.#ending) this.#failure ??= { ...end, step: report.name };
    this.#note(step, end, conclusion, outputs);
    const { verdict, exitCode, message } = end;
    onStep({
      ...report,
      state: "finished",
      verdict,
      conclusion,
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(message === undefined ? {} : { message }),
      finishedAt: now().toISOString(),
    });
  }

  /** Whether a condition that held before holds now, too. */
  #holds(condition: string, scope: Scope): boolean {
    try {
      return !this.#isOver && evaluateCondition(condition, scope, this.#status);
    } catch {
      return false;
    }
  }

  #mayRun(step: StepSpec, scope: Scope): boolean {
    if (this.#isOver || this.#options.loop.isGone) return false;
    return evaluateCondition(step.if ?? "", scope, this.#status);
  }

  #isForgiven(step: StepSpec, scope: Scope): boolean {
    try {
      return step.continueOnError !== undefined && evaluateBoolean(step.continueOnError, scope);
    } catch (error) {
      this.#options.log.say(`continue-on-error: ${messageOf(error)}`);
      return false;
    }
  }

  async #execute(
    index: number,
    step: StepSpec,
    scope: Scope,
    variables: Record<string, string>,
    action: string,
  ): Promise<{ end: StepEnd; outputs: Record<string, string> }> {
    const { folders, assignment, log } = this.#options;
    const file = (kind: string) => join(folders.steps, `${index}.${kind}`);
    const timeoutMinutes = step.timeoutMinutes === undefined ? undefined : evaluateNumber(step.timeoutMinutes, scope);
    const { script, shell, workingDirectory, more, isOurs } = this.#script(step, scope);
    for (const kind of commandFiles) writeFileSync(file(kind), "");
    const all = {
      ...this.#environment.variables(variables, {
        ...Object.fromEntries(commandFiles.map((kind) => [`GITHUB_${kind.toUpperCase()}`, file(kind)])),
        GITHUB_ACTION: action,
      }),
      ...more,
      [stepsMark]: assignment.attempt,
      [stepMark]: `${assignment.attempt}/${index}`,
    };
    for (const name of Object.keys(all)) {
      if (!isVariableName(name)) log.say(`variable ${name} is left out: a shell cannot set a variable of that name`);
    }
    writeFileSync(file("script"), script, { mode: 0o600 });
    writeFileSync(file("sh"), stepScript({ workingDirectory, variables: all, shell, file: file("script") }), { mode: 0o600 });

    const problems: string[] = [];
    const remarks: string[] = [];
    this.#current = { index, commands: new CommandReader(), problems, remarks };
    this.#running = new RunningStep({
      loop: this.#options.loop,
      name: String(index),
      mark: `${assignment.attempt}/${index}`,
      groupFile: file("pid"),
      // 0 is none, as on GitHub; a timer takes no more than 24 days.
      timeoutMs: timeoutMinutes ? Math.min(timeoutMinutes * 60_000, 2 ** 31 - 1) : undefined,
      mayGoOn: () => step.if !== undefined && this.#holds(step.if, scope),
    });
    const { exitCode, cut } = await this.#running.ended;
    this.#running = undefined;
    log.endOutput();
    for (const remark of remarks) log.say(remark);
    const outputs: Record<string, string> = {};
    for (const read of [
      () => Object.assign(outputs, Object.fromEntries(readVariables(textIn(file("output"), "GITHUB_OUTPUT"), "GITHUB_OUTPUT"))),
      () => {
        const refused = this.#environment.add(readVariables(textIn(file("env"), "GITHUB_ENV"), "GITHUB_ENV"));
        if (refused.length > 0) problems.push(`GITHUB_ENV: ${refused.join(", ")} cannot be set by a step`);
      },
      () => this.#environment.addPaths(readPaths(textIn(file("path"), "GITHUB_PATH"), "GITHUB_PATH")),
    ]) {
      try {
        read();
      } catch (error) {
        problems.push(messageOf(error));
      }
    }
    // They hold secrets, expanded.
    for (const kind of ["sh", "script", ...commandFiles]) rmSync(file(kind), { force: true });
    return { outputs, end: this.#endOf({ exitCode, cut, timeoutMinutes, isOurs, problems }) };
  }

  /** What the step runs: its own script, or ours for an action. */
  #script(step: StepSpec, scope: Scope) {
    const { folders, assignment, authorization } = this.#options;
    const { workspace } = folders;
    if (step.uses !== undefined) {
      if (!isCheckout(step.uses)) throw new SeatrialError("invalid", `uses: ${step.uses} is not supported; actions/checkout is`);
      const inputs = mapped(step.with ?? {}, (text) => interpolate(text, scope).trim());
      const { script, variables } = checkoutScript({ checkout: assignment.checkout, inputs, workspace, authorization });
      return { script, shell: "sh", workingDirectory: workspace, more: variables, isOurs: true };
    }
    return {
      script: interpolate(step.run ?? "", scope),
      shell: step.shell === undefined ? undefined : interpolate(step.shell, scope),
      workingDirectory: resolve(workspace, interpolate(step.workingDirectory ?? "", scope)),
      more: {},
      isOurs: false,
    };
  }

  #endOf(of: {
    exitCode: number | undefined;
    cut: Cut | undefined;
    timeoutMinutes: number | undefined;
    isOurs: boolean;
    problems: readonly string[];
  }): StepEnd {
    const { exitCode, cut, timeoutMinutes, isOurs, problems } = of;
    const code = exitCode === undefined ? {} : { exitCode };
    if (cut === "ended") return { ...code, verdict: this.#ending?.verdict ?? "aborted" };
    if (cut === "timed-out") return { ...code, verdict: "timed-out", message: `it has run for its ${timeoutMinutes} minutes` };
    if (exitCode === undefined) {
      const message = "it left no exit code: the shell that runs the steps was ended, or the disk is full";
      return { verdict: "error", cause: "lost-runner", message };
    }
    if (exitCode !== 0 && isOurs) return { ...code, verdict: "error", cause: "checkout", message: `git failed, exit code ${exitCode}` };
    if (exitCode !== 0) return { ...code, verdict: "failed", message: [`exit code ${exitCode}`, ...problems].join("\n") };
    if (problems.length > 0) return { ...code, verdict: "failed", message: problems.join("\n") };
    return { ...code, verdict: "passed" };
  }

  /** A line of output that begins with `::`; it is stored after this. */
  onCommand(line: string, logLine: number): void {
    const { commands, problems, index } = this.#current;
    const command = commands.read(line);
    switch (command?.kind) {
      case "mask":
        this.#mask(command.value);
        return;
      case "stop":
        this.#mask(command.token);
        return;
      case "invalid":
        problems.push(command.message);
        return;
      case "annotation":
        this.#annotate(command, index, logLine);
        return;
      case "debug":
      case "group":
      case "endgroup":
      case "resume":
      case undefined:
    }
  }

  #mask(value: string): void {
    const { mask, log } = this.#options;
    try {
      if (!mask.add(value)) this.#current.remarks.push("a value is too short to be masked");
    } catch (error) {
      // What cannot be masked must not be stored: no more is, and the job ends.
      log.discard();
      this.#failure ??= { verdict: "error", cause: "secrets", message: messageOf(error), step: "add-mask" };
      this.stop();
    }
  }

  #annotate(annotation: Extract<Command, { kind: "annotation" }>, step: number, logLine: number): void {
    const { mask, folders, onAnnotation } = this.#options;
    const { kind: _kind, message, title, file, ...rest } = annotation;
    // Tools write whole paths, forges know those of the repository.
    const inside = file !== undefined && isAbsolute(file) ? relative(folders.workspace, file) : file;
    const path = inside?.startsWith("..") ? file : inside;
    const isKept = onAnnotation({
      ...rest,
      message: mask.text(message),
      ...(title === undefined ? {} : { title: mask.text(title) }),
      ...(path === undefined ? {} : { file: mask.text(path) }),
      step,
      logLine,
    });
    if (!isKept) this.#leftOutAnnotations++;
  }

  #note(step: StepSpec, { verdict }: StepEnd, conclusion: Verdict, outputs: Record<string, string>): void {
    if (step.id === undefined) return;
    this.#steps[step.id] = { outputs, outcome: outcomes[verdict], conclusion: outcomes[conclusion] };
  }

  // -- the whole ------------------------------------------------------------------------------------------------------

  get #status(): Status {
    const isCancelled = this.#ending !== undefined;
    return { isCancelled, isFailure: !isCancelled && this.#failure !== undefined, isSuccess: !isCancelled && this.#failure === undefined };
  }

  /** What a step sees. */
  #scope(step: Record<string, string>, action = ""): Scope {
    return this.#scopeWith(this.#environment.context(step), action);
  }

  #scopeWith(env: Record<string, string>, action = ""): Scope {
    const { isCancelled, isFailure } = this.#status;
    const { workspace } = this.#options.folders;
    return {
      contexts: {
        ...this.#contexts,
        github: { ...objectIn(this.#contexts["github"]), action },
        env,
        job: { status: isCancelled ? "cancelled" : isFailure ? "failure" : "success" },
        steps: this.#steps,
      },
      hashFiles: (patterns) => hashFiles(workspace, patterns),
    };
  }

  #end(): JobEnd {
    const outputs: Record<string, string> = {};
    let bytes = 0;
    try {
      for (const [name, text] of Object.entries(this.#options.assignment.outputs)) {
        const value = interpolate(text, this.#scope({}));
        bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
        if (this.#options.mask.text(value) === value) outputs[name] = value;
        else this.#options.log.say(`output ${name} is left out: it may hold a secret`);
      }
    } catch (error) {
      if (!(error instanceof SeatrialError)) throw error;
      return this.#worst(
        { verdict: "error", cause: "invalid-workflow", message: this.#options.mask.text(`outputs: ${error.message}`) },
        {},
      );
    }
    if (bytes > limits.jobOutputBytes) {
      const message = `the outputs have ${bytes} bytes, and no more than ${limits.jobOutputBytes} are kept`;
      return this.#worst({ verdict: "error", cause: "outputs", message }, {});
    }
    return this.#worst({ verdict: "passed" }, outputs);
  }

  /** What happened to the job as a whole counts before its steps, and its steps before its outputs. */
  #worst(ofOutputs: StepEnd, outputs: Record<string, string>): JobEnd {
    if (this.#failure && !(this.#ending && this.#failure.cause === undefined)) {
      const { verdict, cause, message, step } = this.#failure;
      // A step's own timeout is a failure of the tests; the job's is not.
      const counted = verdict === "timed-out" ? "failed" : verdict;
      return { verdict: counted, ...(cause ? { cause } : {}), message: `${step}: ${message ?? verdict}`.slice(0, 4096), outputs };
    }
    if (this.#ending) return { verdict: this.#ending.verdict, message: this.#ending.reason, outputs };
    const { verdict, cause, message } = ofOutputs;
    if (message !== undefined) this.#options.log.say(message);
    return { verdict, ...(cause ? { cause } : {}), ...(message === undefined ? {} : { message }), outputs };
  }
}

function nameOf({ name, run, uses }: StepSpec): string {
  const [line = ""] = (uses ?? run ?? "").trim().split("\n");
  // An expression that goes on in the next line is no name.
  return name ?? `Run ${line.lastIndexOf("${{") > line.lastIndexOf("}}") ? "a script" : line}`;
}

function objectIn(value: unknown): Record<string, Json> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, Json>) : {};
}

function mapped(of: Readonly<Record<string, string>>, change: (text: string) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(of).map(([name, text]) => [name, change(text)]));
}

/** Text of a file that a step wrote; "" where it removed it, or made it something else. */
function textIn(path: string, name: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) return "";
  if (stat.size > limits.commandFileCharacters) {
    throw new SeatrialError("invalid", `${name} has ${stat.size} bytes, and no more than ${limits.commandFileCharacters} are read`);
  }
  return readFileSync(path, "utf8");
}

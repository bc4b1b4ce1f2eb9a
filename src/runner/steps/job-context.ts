/**
 * What all steps of a job share: contexts and environment, whether it has failed or is being ended, and the step that runs.
 */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Verdict } from "../../resources/verdict.ts";
import type { Cause } from "../../resources/verdict.ts";
import { evaluateCondition, interpolate, type Json, type Scope, type Status } from "../../workflows/expressions/expressions.ts";
import { commandFilePaths } from "./command-files.ts";
import type { Frame } from "./frame.ts";
import { hashFiles } from "./hash-files.ts";
import type { JobOptions } from "../job.ts";
import { ProblemMatchers } from "./problem-matchers.ts";
import { defaultVariables, StepEnvironment } from "./step-environment.ts";
import type { StepRun } from "./step-run.ts";

/** Why the job ends before its steps do. */
export interface Ending {
  verdict: "aborted" | "timed-out";
  reason: string;
}

/** How a step ended, before `continue-on-error`. */
export interface StepEnd {
  verdict: Verdict;
  cause?: Cause;
  message?: string;
  exitCode?: number;
}

export class JobContext {
  readonly options: JobOptions;
  readonly environment: StepEnvironment;
  readonly #contexts: Record<string, Json>;
  /** The first failure that counts. */
  failure: (StepEnd & { step: string }) | undefined;
  ending: Ending | undefined;
  /** Set when not even steps with `always()` may run any more. */
  isOver = false;
  /** The innermost step that runs, or ran last: what is printed is its. */
  current: StepRun | undefined;
  leftOutAnnotations = 0;
  readonly matchers: ProblemMatchers;
  #scripts = 0;

  /** @throws SeatrialError `invalid` when the job's `env` cannot be expanded. */
  constructor(options: JobOptions) {
    this.options = options;
    const { assignment, folders } = options;
    this.matchers = new ProblemMatchers({
      workspace: folders.workspace,
      onProblem: ({ logLine, ...problem }) => this.current?.annotate(problem, logLine),
      onRemark: (message) => this.current?.remark(message),
    });
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
      // GitHub has it for old workflows, and does not document it.
      workspace: dirname(folders.workspace),
      ...(asksForDebug(assignment.secrets, contexts["vars"]) && { debug: "1" }),
    };
    const empty = { needs: {}, matrix: {}, strategy: {}, vars: {}, inputs: {} };
    this.#contexts = { ...empty, ...(contexts as Record<string, Json>), github, runner, secrets: assignment.secrets };
    this.environment = new StepEnvironment({
      inherited: options.inherited,
      given: options.given,
      job: mapped(assignment.env, (text) => interpolate(text, this.#scopeWith({}, {}))),
      defaults: defaultVariables(github, runner),
    });
  }

  /** Names the files of the next script. */
  nextScript(): string {
    return String(this.#scripts++);
  }

  /** Prefix of the paths of a step's command files. */
  nextFiles(): string {
    return join(this.options.folders.steps, this.nextScript());
  }

  /** Within a composite action its own steps count, and not what failed before it. */
  status(frame: Frame): Status {
    const isCancelled = this.ending !== undefined;
    const hasFailed = frame.action ? frame.hasFailed : this.failure !== undefined;
    return { isCancelled, isFailure: !isCancelled && hasFailed, isSuccess: !isCancelled && !hasFailed };
  }

  /** Whether a condition that held before holds now, too. */
  holds(condition: string, scope: Scope, frame: Frame): boolean {
    try {
      return !this.isOver && evaluateCondition(condition, scope, this.status(frame));
    } catch {
      return false;
    }
  }

  /** What an expression sees. @param env the step's own variables, and those of the steps around it. @param step absent: it is of none. */
  scope(frame: Frame, env: Readonly<Record<string, string>> = frame.env, step?: { action: string; files?: string }): Scope {
    const own = step ? { action: step.action, ...(step.files !== undefined && commandFilePaths(step.files)) } : {};
    return this.#scopeWith(this.environment.context(env), { ...own, ...this.#githubOf(frame) }, frame);
  }

  /** The `github` context of steps of a frame. */
  github(frame: Frame, action: string): Record<string, Json> {
    return { ...objectIn(this.#contexts["github"]), action, ...this.#githubOf(frame) };
  }

  /** What an action adds for its steps. */
  #githubOf(frame: Frame): Record<string, string> {
    if (!frame.action) return {};
    const { isCancelled, isFailure } = this.status(frame);
    return { ...frame.action.github, action_status: isCancelled ? "cancelled" : isFailure ? "failure" : "success" };
  }

  #scopeWith(env: Record<string, string>, github: Record<string, Json>, frame?: Frame): Scope {
    const isFailed = this.failure !== undefined;
    const { workspace } = this.options.folders;
    const { secrets, ...others } = this.#contexts;
    return {
      contexts: {
        ...others,
        // An action sees what it is given, and its inputs alone.
        ...(frame?.action ? { inputs: frame.action.inputs } : { secrets: secrets! }),
        github: { ...objectIn(others["github"]), ...github },
        env,
        job: { ...objectIn(others["job"]), status: this.ending ? "cancelled" : isFailed ? "failure" : "success" },
        steps: frame?.steps ?? {},
      },
      hashFiles: (patterns) => hashFiles(workspace, patterns),
    };
  }
}

/** GitHub's switch for it: a secret or a variable. */
function asksForDebug(secrets: Readonly<Record<string, string>>, vars: unknown): boolean {
  return [secrets, objectIn(vars)].some((values) => values["ACTIONS_STEP_DEBUG"] === "true");
}

function objectIn(value: unknown): Record<string, Json> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, Json>) : {};
}

export function mapped(of: Readonly<Record<string, string>>, change: (text: string) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(of).map(([name, text]) => [name, change(text)]));
}

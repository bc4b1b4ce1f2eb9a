/**
 * What the code behind a step's `uses` gets from the job, whoever wrote it: actions that are part of Seatrial (built-in/),
 * and what runs Docker actions. The job makes the context; scripts and JavaScript actions need none.
 */
import { SeatrialError } from "../../base/errors.ts";
import type { Cause } from "../../resources/verdict.ts";
import type { Json } from "../../workflows/expressions/expressions.ts";
import type { Masking } from "../artifact-upload.ts";
import type { JobFolders } from "../job.ts";
import type { AssignmentMessage } from "../protocol.ts";
import type { ServerLink } from "../server-link.ts";

/** What the code of a step that `uses` something gets from the job. One for each phase of each step; used by one call at a time. */
export interface ActionContext {
  /** `with`, expanded and trimmed, by lower-case name; defaults of the action filled in. */
  inputs: Readonly<Record<string, string>>;
  /** What a script of this step would see as its environment. */
  env: Readonly<Record<string, string>>;
  github: Readonly<Record<string, Json>>;
  folders: JobFolders;
  assignment: AssignmentMessage;
  /** Calls of the server: artifacts, cache, actions, containers. */
  link: ServerLink;
  /** How secrets in text are masked before it is stored; undefined where there are none. */
  masking?: Masking | undefined;
  /** Aborted when the step times out or the job ends. */
  signal: AbortSignal;
  /** What an earlier phase of the same step saved. */
  state: Readonly<Record<string, string>>;
  /** A line of the step's log, masked. */
  say(line: string): void;
  setOutput(name: string, value: string): void;
  addVariable(name: string, value: string): void;
  addPath(path: string): void;
  addMask(value: string): void;
  saveState(name: string, value: string): void;
  annotate(level: "error" | "warning" | "notice", message: string): void;
  /**
   * Runs a command as a script of this step would run: in the steps' loop, its output in the log, ended with the step.
   * @returns its exit code. @throws SeatrialError when the step was ended meanwhile, or nobody can know the code.
   */
  run(script: string, options?: RunOptions): Promise<number>;
  /** What was written to the workspace without {@link run} is from now on the steps' user's, who may be another than ours. */
  takeOver?(): Promise<void>;
}

export interface RunOptions {
  shell?: string;
  env?: Record<string, string>;
  workingDirectory?: string;
  /** In the job's container, where it has one: with its programs and files. Default: beside the runner, which has git. */
  isInContainer?: boolean;
}

/** One that is part of Seatrial. A thrown SeatrialError fails the step with its message and hint. */
export interface BuiltInAction {
  /** Without version: `actions/cache`. */
  name: string;
  main(context: ActionContext): Promise<void>;
  /** Runs after all steps, last one first, when `postCondition` (default `always()`) holds. */
  post?(context: ActionContext): Promise<void>;
  postCondition?: string;
}

/**
 * Thrown by an action of ours: the step is an `error` with this cause. Of other errors, code `invalid` is `error` (invalid-workflow),
 * `internal`, `unreachable` and `timeout` are `error`, too; all the others are `failed`.
 */
export class ActionError extends SeatrialError {
  readonly why: Cause;

  constructor(why: Cause, message: string, hint?: string) {
    super("command-failed", message, { hint });
    this.why = why;
  }
}

/** A container that a step asks for: `uses: docker://image`, or an action with `runs.using: docker`. */
export interface DockerAction {
  /** An image without `docker://`; undefined: it is built. */
  image: string | undefined;
  /** Path of the Dockerfile, and the folder that it is built from. */
  build: { dockerfile: string; folder: string } | undefined;
  /** Default: the image's. */
  entrypoint: string | undefined;
  /** Default, when empty: the image's. */
  args: readonly string[];
  /**
   * Beside {@link ActionContext.env}: `runs.env`, INPUT_*, STATE_*, and the files GITHUB_OUTPUT, GITHUB_ENV, GITHUB_PATH, GITHUB_STATE and
   * GITHUB_STEP_SUMMARY, which are in {@link JobFolders.steps} and are read when it has ended.
   */
  env: Readonly<Record<string, string>>;
}

/** What runs them. */
export interface DockerActions {
  /** @returns the exit code. @throws as a {@link BuiltInAction} does. */
  run(action: DockerAction, context: ActionContext): Promise<number>;
}

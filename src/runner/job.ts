/**
 * A job: its steps in order, with GitHub's rules for conditions, environments, outputs and failures. This is the whole of it;
 * steps.ts has the steps, step-run.ts one of them while it runs.
 *
 * ```
 * success ──a step fails──▶ failure ──┐
 *    └───────────────────────────────┴──abort, or the job's timeout──▶ cancelled
 * ```
 * A step runs when its `if` holds; without one, in `success` alone. When the job is cancelled the step that runs is ended,
 * unless its own `if` holds for a cancelled job (`always()`); later steps of that kind still run, and so do the post phases of
 * actions that began, all of them within {@link limits.afterAbortMs}.
 */
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Mask } from "../logs/masking.ts";
import type { Cause, Verdict } from "../resources/verdict.ts";
import { interpolate } from "../workflows/expressions/expressions.ts";
import type { DockerActions } from "./actions/action.ts";
import { Actions } from "./actions/actions.ts";
import type { Masking } from "./artifact-upload.ts";
import { builtInActions } from "./built-in/built-in-actions.ts";
import { endDescendants } from "./descendants.ts";
import { itemsOf, type StepItem } from "./steps/frame.ts";
import { type Ending, JobContext, type StepEnd } from "./steps/job-context.ts";
import type { JobLog } from "./job-log.ts";
import { stepsMark } from "./steps/loop-script.ts";
import type { Annotation, AssignmentMessage, StepReport } from "./protocol.ts";
import type { ServerLink } from "./server-link.ts";
import type { StepLoop } from "./steps/step-loop.ts";
import { Steps } from "./steps/steps.ts";

export interface JobFolders {
  /** Scripts of steps, and the files that they write for us. */
  steps: string;
  workspace: string;
  temp: string;
  tools: string;
  artifacts: string;
  /** Repositories of actions. */
  actions: string;
}

export interface JobOptions {
  assignment: AssignmentMessage;
  folders: JobFolders;
  loop: StepLoop;
  /** Where actions of ours run; the steps' own where they run beside this process. */
  ownLoop?: StepLoop;
  link: ServerLink;
  log: JobLog;
  mask: Mask;
  /** How secrets are masked in what actions upload; undefined where there are none. */
  masking: Masking | undefined;
  /** Program that runs JavaScript actions, as the steps reach it. */
  node: string;
  /** Undefined: nothing runs containers of actions here. */
  docker?: DockerActions | undefined;
  /** What the steps inherit from the loop. */
  inherited: Readonly<Record<string, string | undefined>>;
  /** Variables of the job that it may override: CI, ARTIFACTS, KUBECONFIG … */
  given: Readonly<Record<string, string>>;
  now: () => Date;
  onStep(report: StepReport): void;
  /** False: there are too many. */
  onAnnotation(annotation: Annotation): boolean;
  /** What a step wrote to GITHUB_STEP_SUMMARY; a step may do so several times. */
  onSummary?(step: number, markdown: string): void;
}

export interface JobEnd {
  verdict: Verdict;
  cause?: Cause;
  message?: string;
  outputs: Record<string, string>;
}

export class Job {
  readonly #options: JobOptions;
  readonly #context: JobContext;
  readonly #actions: Actions;
  readonly #steps: Steps;
  #lateTimer: NodeJS.Timeout | undefined;

  /** @throws SeatrialError `invalid` when the job's `env` cannot be expanded. */
  constructor(options: JobOptions) {
    this.#options = options;
    const { link, folders, log } = options;
    this.#context = new JobContext(options);
    this.#actions = new Actions({
      link,
      folder: folders.actions,
      workspace: folders.workspace,
      builtIns: builtInActions,
      say: (line) => log.say(line),
    });
    this.#steps = new Steps(this.#context, this.#actions);
  }

  /** Runs all steps; afterwards no process of theirs is left. */
  async run(): Promise<JobEnd> {
    const { assignment, log } = this.#options;
    const { timeoutMinutes } = assignment;
    const context = this.#context;
    const timer = setTimeout(
      () => this.end({ verdict: "timed-out", reason: `the job has run for its ${timeoutMinutes} minutes` }),
      timeoutMinutes * 60_000,
    );
    try {
      const items = itemsOf(assignment.steps);
      // An action that is missing is seen before the first step, not behind an hour of them.
      if (await this.#prepare(items)) await this.#steps.run(items);
    } finally {
      context.isOver = true;
      clearTimeout(timer);
      clearTimeout(this.#lateTimer);
    }
    // What steps left running had its time; some of it may listen on ports, or hold the pipe.
    await endDescendants({ mark: [stepsMark, assignment.attempt] }, limits.orphanGraceMs);
    log.endOutput();
    if (context.leftOutAnnotations > 0) log.say(`${context.leftOutAnnotations} annotations were left out: there are too many`);
    return this.#end();
  }

  /** Ends the job early; what is said first counts, and nothing that is said when its steps have ended. */
  end(ending: Ending): void {
    const context = this.#context;
    if (context.ending || context.isOver) return;
    context.ending = ending;
    this.#options.log.say(ending.reason);
    this.#lateTimer = setTimeout(() => this.stop(), limits.afterAbortMs);
    if (context.current && !context.current.mayGoOn()) context.current.stop("ended");
  }

  /** Ends it at once, also steps with `always()`. */
  stop(): void {
    this.#context.isOver = true;
    this.#context.current?.stop("ended");
  }

  /** A line of output that begins with `::`; it is stored after this. */
  onCommand(line: string, logLine: number): void {
    this.#context.current?.onCommand(line, logLine);
  }

  /** Other output; undefined when it is whole. */
  onText(bytes: Buffer | undefined, logLine: number): void {
    const { matchers } = this.#context;
    if (!matchers.isActive) return;
    if (bytes) matchers.push(bytes, logLine);
    else matchers.flush(logLine);
  }

  async #prepare(items: readonly StepItem[]): Promise<boolean> {
    try {
      await this.#actions.prepare(items);
      return true;
    } catch (error) {
      if (!(error instanceof SeatrialError) || error.code === "aborted" || error.code === "internal") throw error;
      const message = this.#options.mask.text([error.message, error.hint].filter(Boolean).join("; "));
      this.#options.log.say(message);
      const cause = error.code === "unreachable" ? "host" : "invalid-workflow";
      this.#context.failure = { verdict: "error", cause, message, step: "actions" };
      return false;
    }
  }

  #end(): JobEnd {
    const { assignment, log, mask } = this.#options;
    const outputs: Record<string, string> = {};
    let bytes = 0;
    try {
      for (const [name, text] of Object.entries(assignment.outputs)) {
        const value = interpolate(text, this.#context.scope(this.#steps.frame));
        bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
        if (mask.text(value) === value) outputs[name] = value;
        else log.say(`output ${name} is left out: it may hold a secret`);
      }
    } catch (error) {
      if (!(error instanceof SeatrialError)) throw error;
      return this.#worst({ verdict: "error", cause: "invalid-workflow", message: mask.text(`outputs: ${messageOf(error)}`) }, {});
    }
    if (bytes > limits.jobOutputBytes) {
      const message = `the outputs have ${bytes} bytes, and no more than ${limits.jobOutputBytes} are kept`;
      return this.#worst({ verdict: "error", cause: "outputs", message }, {});
    }
    return this.#worst({ verdict: "passed" }, outputs);
  }

  /** What happened to the job as a whole counts before its steps, and its steps before its outputs. */
  #worst(ofOutputs: StepEnd, outputs: Record<string, string>): JobEnd {
    const { failure, ending } = this.#context;
    if (failure && !(ending && failure.cause === undefined)) {
      const { verdict, cause, message, step } = failure;
      // A step's own timeout is a failure of the tests; the job's is not.
      const counted = verdict === "timed-out" ? "failed" : verdict;
      return { verdict: counted, ...(cause ? { cause } : {}), message: `${step}: ${message ?? verdict}`.slice(0, 4096), outputs };
    }
    if (ending) return { verdict: ending.verdict, message: ending.reason, outputs };
    const { verdict, cause, message } = ofOutputs;
    if (message !== undefined) this.#options.log.say(message);
    return { verdict, ...(cause ? { cause } : {}), ...(message === undefined ? {} : { message }), outputs };
  }
}

/**
 * One attempt of a job, from its assignment to its result: the parts of the runner put together.
 *
 * ```
 * loop ─▶ output ─▶ JobLog (commands, mask) ─▶ Spool (disk) ─▶ LogUpload ─▶ server
 * Job ─▶ steps, annotations ─▶ Reporter ─▶ server, which may say: abort
 * ```
 * The server may be away for as long as steps run: they go on, and when the spool is full they wait. At the end everything
 * is delivered in the order artifacts, log, result.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type ErrorCode, messageOf, SeatrialError, systemCodeOf } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { createMask } from "../logs/masking.ts";
import type { Cause } from "../resources/verdict.ts";
import { type Masking, uploadArtifacts } from "./artifact-upload.ts";
import { openClusterWay, reachClusters } from "./door.ts";
import { endDescendants } from "./descendants.ts";
import { Job, type JobEnd, type JobFolders } from "./job.ts";
import { JobLog } from "./job-log.ts";
import { writeKubeconfigs } from "./kubeconfigs.ts";
import { LogUpload } from "./log-upload.ts";
import { stepsMark } from "./loop-script.ts";
import { markStart } from "./marked-output.ts";
import type { AssignmentMessage, RunnerInput } from "./protocol.ts";
import { Reporter } from "./reporter.ts";
import { ServerLink } from "./server-link.ts";
import { Spool } from "./spool.ts";
import { StepLoop } from "./step-loop.ts";

export interface AttemptOptions {
  input: RunnerInput & { server: string };
  /** What steps inherit. */
  variables: Readonly<Record<string, string | undefined>>;
  now: () => Date;
  random: () => number;
  /** Called once there are steps: from then on SIGTERM and SIGINT mean an abort. */
  onSignal(listener: () => void): void;
}

export class Attempt {
  readonly #options: AttemptOptions;
  readonly #folders: JobFolders;
  readonly #link: ServerLink;
  readonly #spool: Spool;
  #log: JobLog | undefined;
  #loop: StepLoop | undefined;
  #job: Job | undefined;
  #masking: Masking | undefined;
  /** Why the server is not told any more. */
  #broken: { error: unknown } | undefined;
  /** Why the log is not whole. */
  #diskError: unknown;

  /** @throws SeatrialError `conflict` when the attempt was begun before: it runs once. */
  constructor(options: AttemptOptions) {
    const { input, random } = options;
    this.#options = options;
    this.#folders = makeFolders(input.directory);
    this.#link = new ServerLink({ ...input, random });
    this.#spool = new Spool(join(input.directory, "log"));
  }

  /** Runs it and delivers its result. @throws SeatrialError what kept it from that. */
  async run(): Promise<void> {
    const starting = this.#startLoop(); // While the server answers.
    starting.catch(() => {}); // Awaited below.
    try {
      await using ways = new AsyncDisposableStack();
      const assignment = await this.#reach(await this.#link.assignment(), ways);
      this.#link.isPatient = true;
      this.#link.dismissed.addEventListener("abort", () => this.#break(this.#link.dismissed.reason));
      const upload = new LogUpload(this.#spool, this.#link, (error) => this.#break(error));
      const reporter = new Reporter({
        server: this.#link,
        onAbort: (reason) => this.#job?.end({ verdict: "aborted", reason }),
        onBroken: (error) => this.#break(error),
      });
      try {
        const end = await this.#runJob(assignment, reporter, starting);
        this.#link.isPatient = false;
        await this.#loop?.end();
        this.#log?.endOutput();
        if (!this.#broken) await uploadArtifacts(this.#folders.artifacts, this.#link, (line) => this.#log?.say(line), this.#masking);
        await upload.finish();
        await reporter.finish({ ...end, logBytes: this.#spool.end });
      } finally {
        reporter.close();
      }
    } finally {
      await (await starting.catch(() => undefined))?.end();
      await this.#link.close();
      this.#spool.close();
    }
  }

  /** What the server names by its own side, as this side reaches it. */
  async #reach(assignment: AssignmentMessage, ways: AsyncDisposableStack): Promise<AssignmentMessage> {
    const { server, attempt, token } = this.#options.input;
    const open = async (cluster: string) => await openClusterWay(server, attempt, token, cluster);
    const from = assignment.checkout.from?.replace(/^server:/, server);
    return {
      ...assignment,
      checkout: { ...assignment.checkout, ...(from === undefined ? {} : { from }) },
      clusters: await reachClusters(assignment.clusters, open, ways),
    };
  }

  async #startLoop(): Promise<StepLoop> {
    const { input, variables, random } = this.#options;
    const unguessable = Array.from({ length: 4 }, () => Math.floor(random() * 2 ** 32).toString(36)).join("-");
    return await StepLoop.start({
      attempt: input.attempt,
      directory: this.#folders.steps,
      env: variables,
      mark: markStart + unguessable,
      onOutput: (bytes) => {
        this.#log?.write(bytes);
        return !this.#spool.isFull || this.#broken !== undefined;
      },
    });
  }

  /** Whatever keeps the job from running, or from its end, is its result. */
  async #runJob(assignment: AssignmentMessage, reporter: Reporter, starting: Promise<StepLoop>): Promise<JobEnd> {
    const { input, variables, now, onSignal } = this.#options;
    const folders = this.#folders;
    let end: JobEnd;
    try {
      // What cannot be masked keeps the job from starting.
      const mask = createMask([input.token, ...Object.values(assignment.secrets), ...assignment.masks]);
      const hasSecrets = Object.keys(assignment.secrets).length > 0 || assignment.masks.length > 0;
      this.#masking = hasSecrets ? { mask, scratch: folders.temp } : undefined;
      this.#log = new JobLog({
        mask,
        store: this.#spool,
        onCommand: (line, logLine) => this.#job?.onCommand(line, logLine),
        onBroken: (error) => {
          this.#diskError = error;
          this.#job?.stop();
        },
      });
      const loop = await starting;
      this.#loop = loop;
      this.#spool.onDrained(() => loop.resume());
      const job = new Job({
        assignment,
        folders,
        loop,
        log: this.#log,
        mask,
        inherited: variables,
        given: { CI: "true", ARTIFACTS: folders.artifacts, ...writeKubeconfigs(assignment.clusters, join(input.directory, "kube")) },
        authorization: this.#link.authorization,
        now,
        onStep: (report) => reporter.step(report),
        onAnnotation: (annotation) => reporter.annotate(annotation),
      });
      this.#job = job;
      if (this.#broken) job.stop();
      onSignal(() => job.end({ verdict: "aborted", reason: toldToEnd }));
      end = await job.run();
      if (end.verdict === "aborted" && end.message === toldToEnd) end = { ...end, verdict: "error", cause: "host" };
    } catch (error) {
      await endDescendants({ mark: [stepsMark, input.attempt] }, 0);
      const cause = (error instanceof SeatrialError && causes[error.code]) || "internal";
      end = { verdict: "error", cause, message: messageOf(error), outputs: {} };
      this.#log?.say(messageOf(error));
    }
    if (this.#diskError === undefined) return end;
    return { verdict: "error", cause: "host", message: `the log could not be written: ${messageOf(this.#diskError)}`, outputs: {} };
  }

  /** Nobody takes the log any more: what steps print must not wait for that, and they are to end. */
  #break(error: unknown): void {
    this.#broken ??= { error };
    this.#job?.stop();
    this.#log?.discard();
    this.#loop?.resume();
  }
}

/** Whom a signal reaches nobody has aborted: the server aborts by its answers, and stops a runner when its result does not count any more. */
const toldToEnd = "the runner was told to end: its host stops, or the Docker there";

/** Why a job did not run, by what was thrown when it should. */
const causes: Partial<Record<ErrorCode, Cause>> = { invalid: "invalid-workflow", refused: "secrets", "command-failed": "runner-start" };

function makeFolders(directory: string): JobFolders {
  makeFolder(directory);
  const make = (name: string) => {
    const folder = join(directory, name);
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch (error) {
      if (systemCodeOf(error) !== "EEXIST") throw error;
      throw new SeatrialError("conflict", `${folder} is there already: this attempt was begun before`);
    }
    return folder;
  };
  // The first is what says that the attempt was begun.
  return { steps: make("steps"), workspace: make("workspace"), temp: make("temp"), tools: make("tools"), artifacts: make("artifacts") };
}

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
import { ContainerError, type Containers, openContainers } from "./containers/containers.ts";
import { DockerActionRunner } from "./containers/docker-action.ts";
import { openClusterWay, reachClusters } from "./door.ts";
import { endDescendants } from "./descendants.ts";
import { Job, type JobEnd, type JobFolders } from "./job.ts";
import { JobLog } from "./job-log.ts";
import { writeKubeconfigs } from "./kubeconfigs.ts";
import { LogUpload } from "./log-upload.ts";
import { stepsMark } from "./steps/loop-script.ts";
import { markStart } from "./steps/marked-output.ts";
import type { AssignmentMessage, RunnerInput } from "./protocol.ts";
import { Reporter } from "./reporter.ts";
import { ServerLink } from "./server-link.ts";
import { Spool } from "./spool.ts";
import { StepLoop, type StepLoopOptions } from "./steps/step-loop.ts";
import { keepSummary } from "./steps/summaries.ts";

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
  /** Of the job's container, where it has one. */
  #inner: StepLoop | undefined;
  /** Aborted when the job shall end before it has begun. */
  readonly #opening = new AbortController();
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
        onAbort: (reason) => {
          this.#opening.abort(new SeatrialError("aborted", reason));
          this.#job?.end({ verdict: "aborted", reason });
        },
        onBroken: (error) => this.#break(error),
      });
      try {
        const end = await this.#runJob(assignment, reporter, starting, ways);
        this.#link.isPatient = false;
        await this.#inner?.end();
        await this.#loop?.end();
        this.#log?.endOutput();
        if (!this.#broken) await uploadArtifacts(this.#folders.artifacts, this.#link, (line) => this.#log?.say(line), this.#masking);
        await upload.finish();
        await reporter.finish({ ...end, logBytes: this.#spool.end });
      } finally {
        reporter.close();
      }
    } finally {
      await this.#inner?.end();
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
    return await StepLoop.start({ ...this.#loopOptions(), env: this.#options.variables });
  }

  #loopOptions(): Omit<StepLoopOptions, "env"> {
    const { input, random } = this.#options;
    const unguessable = Array.from({ length: 4 }, () => Math.floor(random() * 2 ** 32).toString(36)).join("-");
    return {
      attempt: input.attempt,
      directory: this.#folders.steps,
      mark: markStart + unguessable,
      onOutput: (bytes) => {
        this.#log?.write(bytes);
        return !this.#spool.isFull || this.#broken !== undefined;
      },
    };
  }

  /** The job's container and services, where it has any. */
  async #openContainers(assignment: AssignmentMessage, log: JobLog, ways: AsyncDisposableStack): Promise<Containers> {
    const containers = await openContainers(
      {
        assignment,
        folders: this.#folders,
        link: this.#link,
        loop: this.#loopOptions(),
        node: process.execPath,
        say: (line) => log.say(line),
        print: (text) => {
          log.write(Buffer.from(text));
          log.endOutput();
        },
        signal: AbortSignal.any([this.#opening.signal, this.#link.dismissed]),
      },
      ways,
    );
    this.#inner = containers.loop;
    this.#opening.signal.throwIfAborted();
    return containers;
  }

  /** Whatever keeps the job from running, or from its end, is its result. */
  async #runJob(assigned: AssignmentMessage, reporter: Reporter, starting: Promise<StepLoop>, ways: AsyncDisposableStack): Promise<JobEnd> {
    let assignment = assigned;
    const { input, variables, now, onSignal } = this.#options;
    const folders = this.#folders;
    let end: JobEnd;
    try {
      // What cannot be masked keeps the job from starting.
      const mask = createMask([input.token, ...Object.values(assignment.secrets), ...assignment.masks]);
      mask.onAdded((value) => reporter.mask(value));
      const hasSecrets = Object.keys(assignment.secrets).length > 0 || assignment.masks.length > 0;
      this.#masking = hasSecrets ? { mask, scratch: folders.temp } : undefined;
      this.#log = new JobLog({
        mask,
        store: this.#spool,
        onCommand: (line, logLine) => this.#job?.onCommand(line, logLine),
        onText: (bytes, logLine) => this.#job?.onText(bytes, logLine),
        onBroken: (error) => {
          this.#diskError = error;
          this.#job?.stop();
        },
      });
      for (const notice of assigned.notices ?? []) this.#log.say(notice);
      const loop = await starting;
      this.#loop = loop;
      this.#spool.onDrained(() => {
        loop.resume();
        this.#inner?.resume();
      });
      const containers = await this.#openContainers(assigned, this.#log, ways);
      assignment = withContainers(assigned, containers);
      const job = new Job({
        assignment,
        folders,
        loop: containers.loop ?? loop,
        ownLoop: loop,
        link: this.#link,
        node: containers.node ?? process.execPath,
        log: this.#log,
        mask,
        masking: this.#masking,
        docker: new DockerActionRunner(containers.inherited ?? variables),
        inherited: containers.inherited ?? variables,
        given: { CI: "true", ARTIFACTS: folders.artifacts, ...writeKubeconfigs(assignment.clusters, join(input.directory, "kube")) },
        now,
        onStep: (report) => reporter.step(report),
        onAnnotation: (annotation) => reporter.annotate(annotation),
        onSummary: (step, markdown) => keepSummary(folders.artifacts, step, markdown, (line) => this.#log?.say(line)),
      });
      this.#job = job;
      if (this.#broken) job.stop();
      onSignal(() => job.end({ verdict: "aborted", reason: toldToEnd }));
      end = await job.run();
      if (end.verdict === "aborted" && end.message === toldToEnd) end = { ...end, verdict: "error", cause: "host" };
    } catch (error) {
      await endDescendants({ mark: [stepsMark, input.attempt] }, 0);
      const cause =
        error instanceof ContainerError ? error.verdictCause : (error instanceof SeatrialError && causes[error.code]) || "internal";
      const isAborted = this.#opening.signal.aborted && !this.#job;
      end = isAborted
        ? { verdict: "aborted", message: messageOf(this.#opening.signal.reason), outputs: {} }
        : { verdict: "error", cause, message: messageOf(error).slice(0, 4096), outputs: {} };
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
    this.#opening.abort(error);
    this.#loop?.resume();
    this.#inner?.resume();
  }
}

/** Whom a signal reaches nobody has aborted: the server aborts by its answers, and stops a runner when its result does not count any more. */
const toldToEnd = "the runner was told to end: its host stops, or the Docker there";

/** Why a job did not run, by what was thrown when it should. */
const causes: Partial<Record<ErrorCode, Cause>> = { invalid: "invalid-workflow", refused: "secrets", "command-failed": "runner-start" };

/** What steps see of the containers; in one the default shell is `sh`, as on GitHub. */
function withContainers(assignment: AssignmentMessage, { loop, context }: Containers): AssignmentMessage {
  return {
    ...assignment,
    contexts: { ...assignment.contexts, job: { ...(assignment.contexts["job"] as object), ...context } } as AssignmentMessage["contexts"],
    steps: loop
      ? assignment.steps.map((step) => (step.run !== undefined && step.shell === undefined ? { ...step, shell: "sh" } : step))
      : assignment.steps,
  };
}

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
  return {
    steps: make("steps"),
    workspace: make("workspace"),
    temp: make("temp"),
    tools: make("tools"),
    artifacts: make("artifacts"),
    actions: make("actions"),
  };
}

/**
 * A step while it runs: it ends by itself, or is ended with all that it started.
 */
import { limits } from "../../base/limits.ts";
import { pause } from "../../base/wait.ts";
import { endDescendants } from "../descendants.ts";
import { stepMark } from "./loop-script.ts";
import type { StepLoop } from "./step-loop.ts";

/** Why a step was ended: by its own timeout, or with the job. */
export type Cut = "timed-out" | "ended";

export interface RunningStepOptions {
  loop: StepLoop;
  name: string;
  /** Value of {@link stepMark} in its environment. */
  mark: string;
  groupFile: string;
  timeoutMs: number | undefined;
  /** Whether it may run on when the job is ended. */
  mayGoOn(): boolean;
}

export class RunningStep {
  readonly #options: RunningStepOptions;
  readonly ended: Promise<{ exitCode: number | undefined; cut: Cut | undefined }>;
  #cut: Cut | undefined;
  #killed: Promise<boolean> | undefined;
  readonly #done = new AbortController();
  #giveUp: () => void = () => {};

  constructor(options: RunningStepOptions) {
    this.#options = options;
    const { loop, name, timeoutMs } = options;
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => this.stop("timed-out"), timeoutMs);
    const stuck = new Promise<undefined>((giveUp) => (this.#giveUp = () => giveUp(undefined)));
    this.ended = Promise.race([loop.run(name), stuck]).then(async (exitCode) => {
      clearTimeout(timer);
      this.#done.abort();
      await this.#killed; // What it left behind is not to meet the next step.
      return { exitCode, cut: this.#cut };
    });
  }

  mayGoOn(): boolean {
    return this.#options.mayGoOn();
  }

  /** Ends it: SIGTERM, SIGKILL. What is said first counts. */
  stop(cut: Cut): void {
    if (this.#cut) return;
    this.#cut = cut;
    const { mark, groupFile } = this.#options;
    this.#killed = endDescendants({ mark: [stepMark, mark], groupFile }, limits.stepGraceMs);
    void this.#killed.then(async () => await this.#wait()).catch(() => {}); // Cut short when the step has ended.
  }

  /** Gives up a step that does not end although it was killed. */
  async #wait(): Promise<void> {
    // Its end is read from the pipe; where that is full of log that nobody takes, it takes as long as that does.
    for (let waitedMs = 0; waitedMs < limits.stepKillMs;) {
      await pause(100, this.#done.signal);
      if (!this.#options.loop.isPaused) waitedMs += 100;
    }
    this.#giveUp();
  }
}

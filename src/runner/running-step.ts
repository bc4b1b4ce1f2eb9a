/**
 * A step while it runs: it ends by itself, or is ended with all that it started.
 */
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";
import { endDescendants } from "./descendants.ts";
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
  mayGoOn(): boolean;
  onLine(line: string, logLine: number): void;
}

export class RunningStep {
  readonly #options: RunningStepOptions;
  readonly ended: Promise<{ exitCode: number | undefined; cut: Cut | undefined }>;
  #cut: Cut | undefined;
  readonly #done = new AbortController();
  #giveUp: () => void = () => {};

  constructor(options: RunningStepOptions) {
    this.#options = options;
    const { loop, name, timeoutMs } = options;
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => this.stop("timed-out"), timeoutMs);
    const stuck = new Promise<undefined>((giveUp) => (this.#giveUp = () => giveUp(undefined)));
    this.ended = Promise.race([loop.run(name), stuck]).then((exitCode) => {
      clearTimeout(timer);
      this.#done.abort();
      return { exitCode, cut: this.#cut };
    });
  }

  mayGoOn(): boolean {
    return this.#options.mayGoOn();
  }

  onLine(line: string, logLine: number): void {
    this.#options.onLine(line, logLine);
  }

  /** Ends it: SIGTERM, SIGKILL. What is said first counts. */
  stop(cut: Cut): void {
    if (this.#cut) return;
    this.#cut = cut;
    void this.#kill().catch(() => {}); // Cut short when the step has ended.
  }

  async #kill(): Promise<void> {
    const { loop, mark, groupFile } = this.#options;
    await endDescendants({ mark: [stepMark, mark], groupFile }, limits.stepGraceMs);
    // Its end is to be read from the pipe; where that is full of log that nobody takes, it takes as long as that does.
    for (let waitedMs = 0; waitedMs < limits.stepKillMs;) {
      await pause(100, this.#done.signal);
      if (!loop.isPaused) waitedMs += 100;
    }
    this.#giveUp();
  }
}

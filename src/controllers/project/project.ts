/** Writes down what happened to Runs and JobRuns: the API server forgets, the history does not. Many changes, one transaction. */
import type { History } from "../../history/history.ts";
import type { Change } from "../../kube/watch.ts";
import type { JobRun } from "../../resources/job-run.ts";
import type { Stored } from "../../resources/object.ts";
import type { Run } from "../../resources/run.ts";

/** The one key of the controller that calls {@link Projector.project}. */
const key = "all";

export class Projector {
  readonly #history: History;
  readonly #onProjected: (run: string) => void;
  /** What is to be written down, by uid. */
  #runs = new Map<string, Stored<Run>>();
  #jobRuns = new Map<string, Stored<JobRun>>();
  #gone = new Map<string, { kind: "Run" | "JobRun"; run: string }>();

  /** @param onProjected told of each run of which the history knows more now. */
  constructor(history: History, onProjected: (run: string) => void) {
    this.#history = history;
    this.#onProjected = onProjected;
  }

  /** Notes a change; gives the key to reconcile. */
  readonly noticeRun = ({ now, before }: Change<Run>): string[] => {
    if (now) this.#runs.set(now.metadata.uid, now);
    else if (before) this.#gone.set(before.metadata.uid, { kind: "Run", run: before.metadata.name });
    return [key];
  };

  readonly noticeJobRun = ({ now, before }: Change<JobRun>): string[] => {
    if (now) this.#jobRuns.set(now.metadata.uid, now);
    else if (before) this.#gone.set(before.metadata.uid, { kind: "JobRun", run: before.spec.run });
    return [key];
  };

  /** @throws what the history throws; what was noted is noted still. */
  async project(): Promise<void> {
    const [runs, jobRuns, gone] = [this.#runs, this.#jobRuns, this.#gone];
    [this.#runs, this.#jobRuns, this.#gone] = [new Map(), new Map(), new Map()];
    try {
      // JobRuns first: a run that is finished in the history has all its verdicts there.
      if (jobRuns.size > 0) await this.#history.projection.projectJobRuns([...jobRuns.values()]);
      if (runs.size > 0) await this.#history.projection.projectRuns([...runs.values()]);
      for (const [uid, { kind }] of gone) await this.#history.projection.markGone(kind, uid, new Date());
    } catch (error) {
      this.#runs = new Map([...runs, ...this.#runs]);
      this.#jobRuns = new Map([...jobRuns, ...this.#jobRuns]);
      this.#gone = new Map([...gone, ...this.#gone]);
      throw error;
    }
    const told = [
      ...[...runs.values()].map(({ metadata }) => metadata.name),
      ...[...jobRuns.values()].map(({ spec }) => spec.run),
      ...[...gone.values()].map(({ run }) => run),
    ];
    for (const run of new Set(told)) this.#onProjected(run);
  }
}

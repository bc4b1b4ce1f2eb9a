/**
 * What to do about a Run: the pure half of the run reconciler. From the workflow and the JobRuns that are there it says which
 * to make, which to abort, and how the run stands.
 *
 * A job is decided when all that it needs has ended. It then gets its JobRuns: one for each cell, or one that says why it
 * does not run. What is decided is not decided again, except that an abort asks the `if` of what still runs.
 *
 * A rerun is another attempt of the Run. JobRuns carry the attempt that they were decided in: those that the rerun names, and
 * those that need one of a later attempt than their own, are decided again once all that they need has ended.
 */
import { createHash } from "node:crypto";
import { SeatrialError } from "../base/errors.ts";
import type { JobRun } from "../resources/job-run.ts";
import { hasEnded, type RunSpec, type RunStatus } from "../resources/run.ts";
import { didYouMean } from "../resources/suggest.ts";
import { type Verdict, worstVerdict } from "../resources/verdict.ts";
import {
  decideJob,
  idleJobRun,
  isWanted,
  type JobContexts,
  type JobDecision,
  type JobPolicy,
  type JobResult,
  type PlannedJobRun,
} from "./decide.ts";
import { holdsExpression, type Json, type Status } from "./expressions.ts";
import { cellName, labelsOf } from "./matrix.ts";
import { type Job, jobOf, type Workflow } from "./workflow.ts";

/** What is looked at of a JobRun. */
export type JobRunView = Pick<JobRun, "spec" | "status"> & { metadata: { name: string } };

export interface RunInput {
  /** Name of the Run: its JobRuns are named after it. */
  run: string;
  workflow: Workflow;
  contexts: { github: Json; vars: Json; inputs?: Json };
  /** All JobRuns of the Run, in any order; they stay until the Run has ended. */
  jobRuns: readonly JobRunView[];
  /** `spec.jobs` of the Run. */
  selected?: readonly string[] | undefined;
  /** `spec.matrix`, `spec.attempt`, `spec.rerun` of the Run. */
  matrix?: RunSpec["matrix"];
  attempt?: number | undefined;
  rerun?: RunSpec["rerun"];
  /** Default: all that can be had. */
  policy?: JobPolicy | undefined;
  isAborted: boolean;
  /** Why it was, for people. Default: that it was. */
  abortReason?: string | undefined;
}

export interface RunPlan {
  create: { name: string; spec: PlannedJobRun }[];
  /** JobRuns that are there and get this attempt of the Run, with what was decided anew. */
  again: { name: string; spec: PlannedJobRun }[];
  /** JobRuns whose `spec.abort` is to be set; none that has it already. */
  abort: { name: string; reason: string }[];
  status: Pick<RunStatus, "phase" | "verdict" | "cause" | "message" | "counts" | "total">;
}

type Counts = NonNullable<RunStatus["counts"]>;

export function planRun(input: RunInput): RunPlan {
  let selection: Selection;
  try {
    selection = selectJobs(input.workflow, input.selected);
  } catch (error) {
    if (!(error instanceof SeatrialError)) throw error;
    return invalidRun(error.message);
  }
  const planner = new Planner(input, selection);
  const states = input.workflow.jobs.filter(({ id }) => selection.has(id)).map((job) => planner.stateOf(job));
  return { create: planner.create, again: planner.again, abort: planner.abort, status: statusOf(states, input) };
}

/** Of a run that cannot have jobs. */
export function invalidRun(message: string): RunPlan {
  const status = { phase: "Finished", verdict: "error", cause: "invalid-workflow", message, counts: {}, total: 0 } as const;
  return { create: [], again: [], abort: [], status };
}

/** Deterministic name of a JobRun, with the place of its cell in the matrix; a DNS subdomain when the run's name is one. */
export function jobRunName(run: string, job: string, index: number): string {
  const slug = job
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .slice(0, 40);
  const isExact = slug === job;
  const digest = createHash("sha256").update(job).digest("hex").slice(0, 6);
  return [run, slug, ...(isExact ? [] : [digest]), index].filter((part) => part !== "").join("-");
}

// ---- Selection

/** Jobs of the run; of each all cells, or those that were named. */
export type Selection = ReadonlyMap<string, "all" | readonly string[]>;

/**
 * The jobs that were asked for, as `JOB` or `JOB (cell)`, by id or by name, and all that they need.
 * @throws SeatrialError `not-found` for the first that is no job of the workflow.
 */
export function selectJobs(workflow: Workflow, selected: readonly string[] | undefined): Selection {
  const selection = new Map<string, "all" | readonly string[]>();
  const add = (job: Job, cells: "all" | readonly string[]): void => {
    const before = selection.get(job.id);
    if (before === "all") return;
    selection.set(job.id, cells === "all" ? cells : [...(before ?? []), ...cells]);
    if (before === undefined) for (const need of job.needs) add(jobOf(workflow, need), "all");
  };
  for (const job of selected === undefined ? workflow.jobs : []) add(job, "all");
  for (const name of selected ?? []) {
    const whole = workflow.jobs.filter((job) => namesOf(job).includes(name));
    const inPart = workflow.jobs.filter((job) => job.matrix && namesOf(job).some((own) => name.startsWith(`${own} (`)));
    if (whole.length + inPart.length === 0) {
      const known = workflow.jobs.map(({ id }) => id);
      throw new SeatrialError("not-found", `workflow ${workflow.path} has no job ${name}${didYouMean(name, known)}`, {
        hint: `its jobs are ${known.join(", ")}`,
      });
    }
    for (const job of whole) add(job, "all");
    if (whole.length === 0) for (const job of inPart) add(job, [name]);
  }
  return selection;
}

/** Its id, and its name where that is the same for all cells. */
function namesOf({ id, name }: Job): string[] {
  return name && !holdsExpression(name.text) ? [id, name.text] : [id];
}

/** The cells that were asked for: by values of their matrix, by their names, or by the job's id with the cell. */
function selectCells(all: JobDecision, job: Job, wanted: "all" | readonly string[], matrix: RunSpec["matrix"]): JobDecision {
  if (all.kind !== "run") return all;
  const decision = { ...all, cells: all.cells.filter(({ cell }) => isSelectedCell(cell, matrix ?? {})) };
  if (decision.cells.length === 0) return { kind: "skip", reason: "its matrix has no cell with the values that were asked for" };
  if (wanted === "all") return decision;
  const cells = decision.cells.filter(({ name, cell }) => {
    return wanted.includes(name) || wanted.includes(cellName(job.id, labelsOf(JSON.parse(cell ?? "{}") as Json)));
  });
  if (cells.length > 0) return { kind: "run", cells };
  const known = decision.cells.map(({ name }) => name).join(", ");
  return { kind: "invalid", message: `${job.id} has no cell ${wanted.join(", ")}; it has ${known}` };
}

/** Whether each value is one of those that were asked for, where its key was. */
function isSelectedCell(cell: string | undefined, matrix: NonNullable<RunSpec["matrix"]>): boolean {
  const values = JSON.parse(cell ?? "{}") as Record<string, Json>;
  return Object.entries(matrix).every(([key, wanted]) => !Object.hasOwn(values, key) || wanted.includes(labelsOf(values[key]!).join(", ")));
}

// ---- One job

interface JobState {
  /** Those that are there, in the order of the cells. */
  views: JobRunView[];
  /** JobRuns that are not there yet. */
  missing: number;
  /** Those of `views` that are to be decided again. */
  stale: ReadonlySet<JobRunView>;
  /** The attempt of the Run that it was last decided in, or is to be. */
  attempt: number;
  /** Absent until it has ended. */
  ended?: { result: JobResult; outputs: Record<string, string> };
}

/** Decides each job once, after those that it needs. */
class Planner {
  readonly create: RunPlan["create"] = [];
  readonly again: RunPlan["again"] = [];
  readonly abort: RunPlan["abort"] = [];
  readonly #input: RunInput;
  readonly #selection: Selection;
  readonly #jobs: ReadonlyMap<string, Job>;
  readonly #views = new Map<string, JobRunView[]>();
  readonly #states = new Map<string, JobState>();

  constructor(input: RunInput, selection: Selection) {
    this.#input = input;
    this.#selection = selection;
    this.#jobs = new Map(input.workflow.jobs.map((job) => [job.id, job]));
    for (const view of input.jobRuns) {
      const views = this.#views.get(view.spec.job);
      if (views) views.push(view);
      else this.#views.set(view.spec.job, [view]);
    }
  }

  stateOf(job: Job): JobState {
    let state = this.#states.get(job.id);
    if (!state) {
      state = this.#look(job);
      this.#states.set(job.id, state);
    }
    return state;
  }

  #look(job: Job): JobState {
    const views = (this.#views.get(job.id) ?? []).toSorted((a, b) => indexOf(a) - indexOf(b));
    // All of them are looked at, also when the first has not ended.
    const needs = job.needs.map((id) => this.stateOf(this.#jobs.get(id)!));
    const isReady = needs.every(({ ended }) => ended);
    const stale = this.#stale(views, needs);
    const attempt = views.length === 0 || stale.size > 0 ? (this.#input.attempt ?? 1) : Math.max(...views.map(attemptOf));
    if (!isReady && views.length === 0) return { views, missing: 1, stale, attempt };

    const decided = !isReady || (isComplete(views) && stale.size === 0) ? { create: [], again: [] } : this.#decide(job, views, stale);
    this.create.push(...decided.create);
    this.again.push(...decided.again);
    this.#abortCells(
      job,
      views.filter((view) => !stale.has(view)),
    );
    const missing = decided.create.length;
    if (missing > 0 || stale.size > 0 || views.some((view) => !verdictOf(view))) return { views, missing, stale, attempt };
    return { views, missing, stale, attempt, ended: { result: resultOf(views), outputs: outputsOf(views) } };
  }

  /** Those that the rerun names, and those that need one of a later attempt. */
  #stale(views: readonly JobRunView[], needs: readonly JobState[]): Set<JobRunView> {
    const { attempt = 1, rerun } = this.#input;
    const newest = Math.max(1, ...needs.map((need) => need.attempt));
    const isNamed = (view: JobRunView) => {
      if (!rerun) return true;
      return rerun.jobs?.includes(view.metadata.name) === true || (rerun.failed === true && resultOf([view]) !== "success");
    };
    return new Set(views.filter((view) => attemptOf(view) < newest || (attemptOf(view) < attempt && isNamed(view))));
  }

  /** After a crash some cells may be there already: the decision is the same, and only the others are made. */
  #decide(job: Job, views: readonly JobRunView[], stale: ReadonlySet<JobRunView>): Pick<RunPlan, "create" | "again"> {
    const { workflow, run, isAborted, matrix, policy } = this.#input;
    const decided = decideJob(workflow, job.id, this.#contextsOf(job), this.#statusOf(job), policy);
    const decision = selectCells(decided, job, this.#selection.get(job.id)!, matrix);
    const idle = (otherwise: string) =>
      idleJobRun(
        job,
        decision.kind === "invalid" ? { invalid: decision.message } : { skip: decision.kind === "skip" ? decision.reason : otherwise },
      );
    const specs = decision.kind === "run" ? decision.cells : [idle("")];
    const planned = new Map(specs.map((spec, i) => [jobRunName(run, job.id, indexIn(spec) ?? i), spec]));
    const present = new Set(views.map(({ metadata }) => metadata.name));
    const isCut = views.length > 0 && decided.kind !== "run" && isAborted;
    return {
      create: isCut ? [] : [...planned].flatMap(([name, spec]) => (present.has(name) ? [] : [{ name, spec }])),
      again: [...stale].map(({ metadata: { name } }) => ({ name, spec: planned.get(name) ?? idle("its matrix has this cell no more") })),
    };
  }

  #abortCells(job: Job, views: readonly JobRunView[]): void {
    const open = views.filter((view) => !verdictOf(view) && view.spec.abort === undefined);
    const failed = views.find((view) => view.spec.failFast === true && resultOf([view]) === "failure");
    if (open.length === 0) return;
    if (failed)
      for (const { metadata } of open)
        this.abort.push({ name: metadata.name, reason: `${failed.spec.name} failed, and the matrix is fail-fast` });
    else if (this.#input.isAborted && !this.#goesOn(job))
      for (const { metadata } of open) this.abort.push({ name: metadata.name, reason: this.#input.abortReason ?? "the run was aborted" });
  }

  /** Whether an abort spares it: its `if` holds even so, as with `always()`. */
  #goesOn(job: Job): boolean {
    try {
      return isWanted(job, this.#contextsOf(job), this.#statusOf(job));
    } catch (error) {
      if (error instanceof SeatrialError) return false;
      throw error;
    }
  }

  #contextsOf(job: Job): JobContexts {
    return { ...this.#input.contexts, needs: Object.fromEntries(job.needs.map((id) => [id, this.#endOf(id)])) };
  }

  /** `success()` and `failure()` look at all ancestors, not only at those in `needs`. */
  #statusOf(job: Job): Status {
    const results = [...this.#ancestorsOf(job)].map((id) => this.#endOf(id).result);
    const { isAborted } = this.#input;
    return {
      isSuccess: !isAborted && results.every((result) => result === "success"),
      isFailure: !isAborted && results.includes("failure"),
      isCancelled: isAborted,
    };
  }

  #endOf(id: string): NonNullable<JobState["ended"]> {
    return this.stateOf(this.#jobs.get(id)!).ended ?? { result: "skipped", outputs: {} };
  }

  /** A set that grows while it is walked. */
  #ancestorsOf(job: Job): Set<string> {
    const found = new Set(job.needs);
    for (const id of found) for (const need of this.#jobs.get(id)!.needs) found.add(need);
    return found;
  }
}

/** Whether all JobRuns of a job are there, as far as they themselves can tell; a selection of cells has to be decided anew. */
function isComplete(views: readonly JobRunView[]): boolean {
  const [first] = views;
  if (!first) return false;
  if (first.spec.skip !== undefined || first.spec.invalid !== undefined) return true;
  return views.length === strategyOf(first.spec)["job-total"];
}

function strategyOf({ strategyContext }: Pick<PlannedJobRun, "strategyContext">): { "job-index"?: number; "job-total"?: number } {
  return strategyContext === undefined ? {} : (JSON.parse(strategyContext) as object);
}

function indexIn(spec: Pick<PlannedJobRun, "strategyContext">): number | undefined {
  return strategyOf(spec)["job-index"];
}

function indexOf({ spec }: JobRunView): number {
  return indexIn(spec) ?? 0;
}

function attemptOf({ spec }: JobRunView): number {
  return spec.attempt ?? 1;
}

/** Absent until its attempt has ended. */
function verdictOf(view: JobRunView): Verdict | undefined {
  return hasEnded(view) ? view.status?.verdict : undefined;
}

/** The verdict as the run counts it: a failure that was allowed for is none. */
function countedVerdict(view: JobRunView): Verdict | undefined {
  const verdict = verdictOf(view);
  const isFailure = verdict === "failed" || verdict === "error" || verdict === "timed-out";
  return isFailure && view.spec.continueOnError ? "passed" : verdict;
}

/** The worst of its cells. */
function resultOf(views: readonly JobRunView[]): JobResult {
  const verdict = worstVerdict(views.flatMap((view) => countedVerdict(view) ?? []));
  if (verdict === "passed") return "success";
  if (verdict === "aborted") return "cancelled";
  return verdict === "skipped" || verdict === undefined ? "skipped" : "failure";
}

/** Of all cells together: the last that says something wins. */
function outputsOf(views: readonly JobRunView[]): Record<string, string> {
  const outputs = new Map<string, string>();
  for (const [name, value] of views.flatMap(({ status }) => Object.entries(status?.outputs ?? {}))) {
    if (value !== "" || !outputs.has(name)) outputs.set(name, value);
  }
  return Object.fromEntries(outputs);
}

// ---- The run

function statusOf(states: readonly JobState[], { isAborted, jobRuns }: RunInput): RunPlan["status"] {
  const views = states.flatMap((state) => state.views);
  const counts: Counts = {};
  const count = (where: keyof Counts, by = 1) => (counts[where] = (counts[where] ?? 0) + by);
  for (const { views: own, stale } of states) {
    for (const view of own) {
      const isRunning = view.status?.phase === "Booting" || view.status?.phase === "Running";
      count((stale.has(view) ? undefined : verdictOf(view)) ?? (isRunning ? "running" : "waiting"));
    }
  }
  const missing = states.reduce((sum, state) => sum + state.missing, 0);
  if (missing > 0) count("waiting", missing);
  const total = views.length + missing;
  if (states.some(({ ended }) => !ended)) return { phase: jobRuns.length === 0 ? "Pending" : "Running", counts, total };

  // An abort that came before all had ended shows, even when nothing ran that it could end.
  const cut = isAborted && views.some((view) => ["skipped", "aborted"].includes(verdictOf(view) ?? ""));
  const verdict =
    worstVerdict([...views.flatMap((view) => countedVerdict(view) ?? []), ...(cut ? (["aborted"] as const) : [])]) ?? "skipped";
  const culprits = views.filter((view) => countedVerdict(view) === verdict);
  const cause = verdict === "error" ? culprits[0]?.status?.cause : undefined;
  return { phase: "Finished", verdict, ...(cause && { cause }), ...messageOf(verdict, culprits), counts, total };
}

function messageOf(verdict: Verdict, culprits: readonly JobRunView[]): { message?: string } {
  if (verdict === "passed" || verdict === "skipped" || culprits.length === 0) return {};
  const shown = culprits.slice(0, 5).map(({ spec }) => spec.name);
  const more = culprits.length > shown.length ? ` and ${culprits.length - shown.length} more` : "";
  const [only] = culprits.length === 1 ? culprits : [];
  const why = only?.status?.message ? `: ${only.status.message}` : "";
  return { message: `${verdict}: ${shown.join(", ")}${more}${why}`.slice(0, 4096) };
}

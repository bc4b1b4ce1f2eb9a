/**
 * What to do about a Run: the pure half of the run reconciler. From the workflow and the JobRuns that are there it says which
 * to make, which to abort, and how the run stands.
 *
 * A job is decided when all that it needs has ended. It then gets its JobRuns: one for each cell, or one that says why it
 * does not run. What is decided is not decided again, except that an abort asks the `if` of what still runs.
 *
 * A rerun is another attempt of the Run. JobRuns carry the attempt that they were decided in: those that the rerun names, and
 * those that need one of a later attempt than their own, are decided again once all that they need has ended.
 *
 * A job that calls a workflow is decided in the same way, and then has the jobs of that workflow in its place, once for each cell: a
 * {@link Frame} each. Which calls there are follows from the inputs and from what needed jobs put out, so it is not written down.
 */
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { RunSpec, RunStatus } from "../../resources/run.ts";
import { type Verdict, worstVerdict } from "../../resources/verdict.ts";
import { type CallCell, type CalledJobs, type CallDecision, decideCall, outputsOfCall } from "./calls.ts";
import {
  decideJob,
  groupOf,
  idleJobRun,
  isWanted,
  type JobContexts,
  type JobPolicy,
  type JobResult,
  type PlannedJobRun,
} from "./decide.ts";
import type { Json, Status } from "../expressions/expressions.ts";
import {
  attemptOf,
  countedVerdict,
  indexIn,
  indexOf,
  isCalledBy,
  isComplete,
  jobRunName,
  type JobRunView,
  outputsOf,
  resultOf,
  verdictOf,
} from "./job-run-views.ts";
import { isSelectedCell, selectCalled, selectCells, type Selection, selectJobs } from "./select.ts";
import { type Call, type Concurrency, type Job, jobOf, type Workflow } from "../workflow.ts";

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
  /** Asks for concurrency groups. Default: all are had. */
  ask?: ((wanted: WantedGroup) => GroupState) | undefined;
  isAborted: boolean;
  /** Why it was, for people. Default: that it was. */
  abortReason?: string | undefined;
}

/** A concurrency group of the run, or of a workflow that it calls; those of single jobs are for the JobRuns to ask for. */
export interface WantedGroup extends NonNullable<PlannedJobRun["concurrency"]> {
  /** "" for the run; `deploy` for a job that calls a workflow, `deploy/` for that workflow. */
  of: string;
  /** Whether jobs of it are there: then it has the group. */
  isBegun: boolean;
}
export type GroupState = { state: "held" } | { state: "waiting" | "replaced"; why: string };

export interface RunPlan {
  create: { name: string; spec: PlannedJobRun }[];
  /** JobRuns that are there and get this attempt of the Run, with what was decided anew. */
  again: { name: string; spec: PlannedJobRun }[];
  /** JobRuns whose `spec.abort` is to be set; none that has it already. */
  abort: { name: string; reason: string }[];
  status: Pick<RunStatus, "phase" | "verdict" | "cause" | "message" | "counts" | "total">;
  /** Groups that it has, or waits for; undefined: none. */
  groups?: (WantedGroup & { state: "held" | "waiting" })[];
  /** Set when it is to be ended: another took its place in its group. */
  replaced?: string;
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
  const planner = new Planner(input);
  const { workflow, contexts, isAborted, abortReason = "the run was aborted" } = input;
  const cut = isAborted ? abortReason : undefined;
  const root: Frame = { workflow, contexts, selection, prefix: "", title: "", secrets: [], needs: [], attempt: 1, cut };
  const held = workflow.concurrency && askForRun(workflow.concurrency, input, planner);
  if (held && "status" in held) return { ...held, ...planner.asked() };
  let states: JobState[];
  try {
    states = planner.statesIn(root);
  } catch (error) {
    if (!(error instanceof TooManyJobs)) throw error;
    const open = input.jobRuns.filter((view) => !verdictOf(view) && view.spec.abort === undefined);
    return { ...invalidRun(error.message), abort: open.map(({ metadata: { name } }) => ({ name, reason: error.message })) };
  }
  const status = statusOf(states, input);
  if (status.phase === "Finished") planner.groups.length = 0;
  return { create: planner.create, again: planner.again, abort: planner.abort, status, ...planner.asked() };
}

/** The run's own group, before anything of it begins. @returns what is to be done while it waits; undefined when it has the group. */
function askForRun(concurrency: Concurrency, input: RunInput, planner: Planner): RunPlan | undefined {
  const { contexts, jobRuns, isAborted, abortReason, attempt = 1, workflow } = input;
  const isBegun = jobRuns.some((view) => attemptOf(view) >= attempt);
  const none = { create: [], again: [], abort: [] };
  if (isAborted && !isBegun) {
    const message = abortReason ?? "it was aborted while it waited for its group";
    return { ...none, status: { phase: "Finished", verdict: "aborted", message, counts: {}, total: 0 } };
  }
  let group: NonNullable<PlannedJobRun["concurrency"]>;
  try {
    group = groupOf(concurrency, ["concurrency"], { contexts: { ...contexts, inputs: contexts.inputs ?? {} } });
  } catch (error) {
    if (!(error instanceof SeatrialError)) throw error;
    return invalidRun(error.message);
  }
  const answer = planner.ask({ ...group, of: "", isBegun });
  if (answer.state === "held") return undefined;
  const total = workflow.jobs.length;
  const status = { phase: "Pending", message: answer.why, counts: { waiting: total }, total } as const;
  return { ...none, status, ...(answer.state === "replaced" && { replaced: answer.why }) };
}

/** Of a run that cannot have jobs. */
export function invalidRun(message: string): RunPlan {
  const status = { phase: "Finished", verdict: "error", cause: "invalid-workflow", message, counts: {}, total: 0 } as const;
  return { create: [], again: [], abort: [], status };
}

// ---- One job

interface JobState {
  /** Those that are there, in the order of the cells; of a call those of its jobs. */
  views: readonly JobRunView[];
  /** JobRuns that are not there yet. */
  missing: number;
  /** Those of `views` that are to be decided again. */
  stale: ReadonlySet<JobRunView>;
  /** The attempt of the Run that it was last decided in, or is to be. */
  attempt: number;
  /** Why nothing of it is made yet, where that is not a job of the run. */
  why?: string;
  /** Absent until it has ended. */
  ended?: { result: JobResult; outputs: Record<string, string> };
}

/** A workflow that runs: that of the run, or one that a job calls. */
interface Frame {
  workflow: Workflow;
  contexts: RunInput["contexts"];
  selection: Selection;
  /** Before the ids of its jobs: `deploy/`, and `deploy.1/` for the second cell of a matrix. */
  prefix: string;
  /** Before the names of its jobs: `deploy / `. */
  title: string;
  secrets: NonNullable<PlannedJobRun["secrets"]>;
  /** Set in one that is called. */
  inputs?: string;
  /** Full ids of what its caller needs: so do those of its jobs that need no other. */
  needs: readonly string[];
  /** The latest attempt of what its caller needs: its jobs are of no earlier one. */
  attempt: number;
  /** Why it ends before its time: nothing begins in it, but for what runs `always()`. */
  cut: string | undefined;
}

/** A matrix of calls, in a matrix of calls: what a run can have is bounded, however it comes to be. */
class TooManyJobs extends Error {}

/** Decides each job once, after those that it needs. */
class Planner {
  readonly create: RunPlan["create"] = [];
  readonly again: RunPlan["again"] = [];
  readonly abort: RunPlan["abort"] = [];
  readonly groups: (WantedGroup & { state: "held" | "waiting" })[] = [];
  readonly #input: RunInput;
  /** By full ids: `deploy/build`. */
  readonly #views = new Map<string, JobRunView[]>();
  readonly #states = new Map<string, JobState>();

  constructor(input: RunInput) {
    this.#input = input;
    for (const view of input.jobRuns) {
      const views = this.#views.get(view.spec.job);
      if (views) views.push(view);
      else this.#views.set(view.spec.job, [view]);
    }
  }

  ask(wanted: WantedGroup): GroupState {
    const answer = this.#input.ask?.(wanted) ?? { state: "held" };
    if (answer.state !== "replaced") this.groups.push({ ...wanted, state: answer.state });
    return answer;
  }

  asked(): Pick<RunPlan, "groups"> {
    return this.groups.length > 0 ? { groups: this.groups } : {};
  }

  statesIn(frame: Frame): JobState[] {
    const { workflow, selection } = frame;
    return workflow.jobs.filter(({ id }) => selection.has(id)).map((job) => this.stateOf(frame, job));
  }

  stateOf(frame: Frame, job: Job): JobState {
    const id = frame.prefix + job.id;
    let state = this.#states.get(id);
    if (!state) {
      if (this.#states.size >= limits.workflowJobs + 1) {
        throw new TooManyJobs(`has more than ${limits.workflowJobs} jobs with those of the workflows that it calls`);
      }
      // Those that it needs come first.
      for (const need of job.needs) this.stateOf(frame, jobOf(frame.workflow, need));
      state = job.call ? this.#lookAtCall(frame, job as Job & { call: Call }) : this.#look(frame, job);
      this.#states.set(id, state);
    }
    return state;
  }

  #look(frame: Frame, job: Job): JobState {
    const views = (this.#views.get(frame.prefix + job.id) ?? []).toSorted((a, b) => indexOf(a) - indexOf(b));
    // All of them are looked at, also when the first has not ended.
    const needs = this.#needsOf(frame, job);
    const isReady = needs.every(({ ended }) => ended);
    const stale = this.#stale(frame, views, needs);
    const attempt = views.length === 0 || stale.size > 0 ? (this.#input.attempt ?? 1) : Math.max(...views.map(attemptOf));
    if (!isReady && views.length === 0) return { views, missing: 1, stale, attempt };

    const decided =
      !isReady || (isComplete(views) && stale.size === 0) ? { create: [], again: [] } : this.#decide(frame, job, views, stale);
    this.create.push(...decided.create);
    this.again.push(...decided.again);
    this.#abortCells(
      frame,
      job,
      views.filter((view) => !stale.has(view)),
    );
    const missing = decided.create.length;
    if (missing > 0 || stale.size > 0 || views.some((view) => !verdictOf(view))) return { views, missing, stale, attempt };
    return { views, missing, stale, attempt, ended: { result: resultOf(views), outputs: outputsOf(views) } };
  }

  /** Those that the rerun names, and those that need one of a later attempt. */
  #stale(frame: Frame, views: readonly JobRunView[], needs: readonly JobState[]): Set<JobRunView> {
    const { attempt = 1, rerun } = this.#input;
    const newest = Math.max(frame.attempt, ...needs.map((need) => need.attempt));
    const isNamed = (view: JobRunView) => {
      if (!rerun) return true;
      return rerun.jobs?.includes(view.metadata.name) === true || (rerun.failed === true && resultOf([view]) !== "success");
    };
    return new Set(views.filter((view) => attemptOf(view) < newest || (attemptOf(view) < attempt && isNamed(view))));
  }

  /** After a crash some cells may be there already: the decision is the same, and only the others are made. */
  #decide(frame: Frame, job: Job, views: readonly JobRunView[], stale: ReadonlySet<JobRunView>): Pick<RunPlan, "create" | "again"> {
    const { run, matrix, policy } = this.#input;
    const decided = decideJob(frame.workflow, job.id, this.#contextsOf(frame, job), this.#statusOf(frame, job), policy);
    const decision = selectCells(decided, job, frame.selection.get(job.id)!, matrix);
    const idle = (otherwise: string) =>
      idleJobRun(
        job,
        decision.kind === "invalid" ? { invalid: decision.message } : { skip: decision.kind === "skip" ? decision.reason : otherwise },
      );
    const specs = (decision.kind === "run" ? decision.cells : [idle("")]).map((spec) => inFrame(frame, spec));
    const planned = new Map(specs.map((spec, i) => [jobRunName(run, spec.job, indexIn(spec) ?? i), spec]));
    const present = new Set(views.map(({ metadata }) => metadata.name));
    const isCut = views.length > 0 && decided.kind !== "run" && frame.cut !== undefined;
    return {
      create: isCut ? [] : [...planned].flatMap(([name, spec]) => (present.has(name) ? [] : [{ name, spec }])),
      again: [...stale].map(({ metadata: { name } }) => ({
        name,
        spec: planned.get(name) ?? inFrame(frame, idle("its matrix has this cell no more")),
      })),
    };
  }

  #abortCells(frame: Frame, job: Job, views: readonly JobRunView[]): void {
    // What never runs ends by itself, with what it says.
    const isIdle = ({ spec }: JobRunView) => spec.skip !== undefined || spec.invalid !== undefined;
    const open = views.filter((view) => !verdictOf(view) && view.spec.abort === undefined && !isIdle(view));
    const failed = views.find((view) => view.spec.failFast === true && resultOf([view]) === "failure");
    if (open.length === 0) return;
    if (failed) this.#abortAll(open, `${failed.spec.name} failed, and the matrix is fail-fast`);
    else if (frame.cut !== undefined && !this.#goesOn(frame, job)) this.#abortAll(open, frame.cut);
  }

  #abortAll(views: readonly JobRunView[], reason: string): void {
    for (const { metadata } of views) this.abort.push({ name: metadata.name, reason });
  }

  /** Whether an abort spares it: its `if` holds even so, as with `always()`. */
  #goesOn(frame: Frame, job: Job): boolean {
    try {
      return isWanted(job, this.#contextsOf(frame, job), this.#statusOf(frame, job));
    } catch (error) {
      if (error instanceof SeatrialError) return false;
      throw error;
    }
  }

  // -- calls

  #lookAtCall(frame: Frame, job: Job & { call: Call }): JobState {
    const id = frame.prefix + job.id;
    const needs = this.#needsOf(frame, job);
    // One that says why nothing was called; and those of the jobs that were.
    const idle = this.#views.get(id) ?? [];
    const inside = this.#viewsBelow(id);
    const staleIdle = this.#stale(frame, idle, needs);
    const staleInside = this.#stale(frame, inside, needs);
    const stale = new Set([...staleIdle, ...staleInside]);
    const views = [...idle, ...inside];
    const attempt = views.length === 0 || stale.size > 0 ? (this.#input.attempt ?? 1) : Math.max(...views.map(attemptOf));
    if (!needs.every(({ ended }) => ended)) {
      const open = inside.filter((view) => !stale.has(view) && !verdictOf(view) && view.spec.abort === undefined);
      if (frame.cut !== undefined) this.#abortAll(open, frame.cut);
      return { views, missing: views.length === 0 ? 1 : 0, stale, attempt };
    }
    if (idle.length > 0 && staleIdle.size === 0 && !isReplaced(idle[0]!)) {
      return this.#endOfIdle(idle, { views, missing: 0, stale, attempt });
    }
    const isBegun = inside.some((view) => !staleInside.has(view));
    const decision = this.#decideCall(frame, job, isBegun);
    if (decision.kind !== "run") return this.#idleCall(frame, job, decision, { views, idle, stale, attempt });
    for (const { metadata } of staleIdle) {
      const spec = inFrame(frame, idleJobRun(job, { skip: replaced }));
      this.again.push({ name: metadata.name, spec });
    }
    return this.#callStates(frame, job, decision, { views, idle, stale, attempt, needs });
  }

  #decideCall(frame: Frame, job: Job & { call: Call }, isBegun: boolean): CallDecision {
    const { matrix = {} } = this.#input;
    const decision = decideCall(job, this.#contextsOf(frame, job), this.#statusOf(frame, job), isBegun);
    if (decision.kind !== "run" || decision.cells.some(({ cell }) => isSelectedCell(cell, matrix))) return decision;
    return { kind: "skip", reason: "its matrix has no cell with the values that were asked for" };
  }

  /** Nothing is called: one JobRun says why, and those of an attempt before end with it. */
  #idleCall(
    frame: Frame,
    job: Job,
    decision: { kind: "skip"; reason: string } | { kind: "invalid"; message: string },
    { views, idle, stale, attempt }: Pick<JobState, "views" | "stale" | "attempt"> & { idle: readonly JobRunView[] },
  ): JobState {
    const name = jobRunName(this.#input.run, frame.prefix + job.id, 0);
    const spec = inFrame(frame, idleJobRun(job, decision.kind === "skip" ? { skip: decision.reason } : { invalid: decision.message }));
    const isThere = idle.length > 0;
    if (!isThere) this.create.push({ name, spec });
    for (const view of stale) {
      const again = view.spec.job === spec.job ? spec : { ...spec, job: view.spec.job, name: view.spec.name };
      this.again.push({ name: view.metadata.name, spec: again });
    }
    const missing = isThere ? 0 : 1;
    return this.#endOfIdle(idle, { views, missing, stale, attempt });
  }

  #endOfIdle(idle: readonly JobRunView[], state: JobState): JobState {
    if (state.missing > 0 || state.stale.size > 0 || state.views.some((view) => !verdictOf(view))) return state;
    return { ...state, ended: { result: resultOf(idle), outputs: {} } };
  }

  #callStates(
    frame: Frame,
    job: Job & { call: Call },
    { cells, failFast, maxParallel }: Extract<CallDecision, { kind: "run" }>,
    before: Pick<JobState, "views" | "stale" | "attempt"> & { idle: readonly JobRunView[]; needs: readonly JobState[] },
  ): JobState {
    const { matrix = {} } = this.#input;
    const id = frame.prefix + job.id;
    const outputs = new Map<string, string>();
    const all: JobState[] = [];
    const frames = cells.flatMap((cell, index) => {
      const selection = selectCalled(frame.selection.get(job.id)!, job, cell);
      if (!selection || !isSelectedCell(cell.cell, matrix)) return [];
      const prefix = cell.cell === undefined ? `${id}/` : `${id}.${index}/`;
      return [{ ...this.#frameOf(frame, job, cell, prefix, selection, before.needs), groups: cell.groups }];
    });
    const hasFailed = (called: Frame) => this.#viewsIn(called).some((view) => resultOf([view]) === "failure");
    const failed = failFast && frames.length > 1 ? frames.find(hasFailed) : undefined;
    let open = 0;
    let isWhole = true;
    for (const called of frames) {
      const isFirstLook = this.#viewsIn(called).length === 0;
      if (isFirstLook && open >= maxParallel) {
        all.push({ views: [], missing: 1, stale: new Set(), attempt: before.attempt });
        isWhole = false;
        continue;
      }
      const one = called.prefix.slice(0, -1);
      const replacedCell = one === id ? undefined : this.#views.get(one);
      if (replacedCell) {
        all.push({ views: replacedCell, missing: 0, stale: new Set(), attempt: before.attempt });
        isWhole &&= replacedCell.every((view) => verdictOf(view));
        continue;
      }
      const answer = isFirstLook && called.cut === undefined ? this.#askFor(called, one, false) : { state: "held" as const };
      if (answer.state !== "held") {
        if (answer.state === "replaced") this.#replace(frame, job, called, one, answer.why);
        all.push({ views: [], missing: 1, stale: new Set(), attempt: before.attempt, why: answer.why });
        isWhole = false;
        open++;
        continue;
      }
      if (failed && failed !== called) called.cut ??= `${failed.title.slice(0, -3)} failed, and the matrix is fail-fast`;
      const states = this.statesIn(called);
      all.push(...states);
      if (!states.every(({ ended }) => ended)) {
        if (!isFirstLook) this.#askFor(called, one, true);
        isWhole = false;
        open++;
        continue;
      }
      try {
        const jobs = Object.fromEntries(called.workflow.jobs.map(({ id: own }) => [own, this.#endOf(called, own)])) satisfies CalledJobs;
        const { github, vars, inputs = {} } = called.contexts;
        for (const [name, value] of Object.entries(outputsOfCall(job.call, { github, vars, inputs }, jobs))) {
          if (value !== "" || !outputs.has(name)) outputs.set(name, value);
        }
      } catch (error) {
        if (!(error instanceof SeatrialError)) throw error;
        const decision = { kind: "invalid", message: error.message } as const;
        return this.#idleCall(frame, job, decision, { ...before, stale: new Set() });
      }
    }
    const views = [...before.idle, ...all.flatMap((state) => state.views)];
    const stale = new Set([...before.idle.filter((view) => before.stale.has(view)), ...all.flatMap((state) => [...state.stale])]);
    const missing = all.reduce((sum, state) => sum + state.missing, 0);
    const attempt = Math.max(1, ...(all.length > 0 ? all.map((state) => state.attempt) : [before.attempt]));
    const why = all.find((state) => state.why !== undefined)?.why;
    if (!isWhole || stale.size > 0) return { views, missing, stale, attempt, ...(why === undefined ? {} : { why }) };
    const inside = all.flatMap((state) => state.views);
    return { views, missing, stale, attempt, ended: { result: resultOf(inside), outputs: Object.fromEntries(outputs) } };
  }

  /** The groups of a call: of the job that calls, then of the workflow. */
  #askFor({ groups: { ofCall, ofCalled } }: Frame & Pick<CallCell, "groups">, of: string, isBegun: boolean): GroupState {
    const answer: GroupState = ofCall ? this.ask({ ...ofCall, of, isBegun }) : { state: "held" };
    return answer.state === "held" && ofCalled ? this.ask({ ...ofCalled, of: `${of}/`, isBegun }) : answer;
  }

  /** Another took its place in its group: one JobRun says so. */
  #replace(frame: Frame, job: Job, { title }: Frame, id: string, why: string): void {
    const { skip: _skip, ...spec } = inFrame(frame, idleJobRun(job, { skip: "" }));
    const name = jobRunName(this.#input.run, id, 0);
    this.create.push({ name, spec: { ...spec, job: id, name: title.slice(0, -3), abort: why.slice(0, 1024) } });
  }

  #frameOf(
    frame: Frame,
    job: Job & { call: Call },
    cell: CallCell,
    prefix: string,
    selection: Selection,
    needs: readonly JobState[],
  ): Frame {
    const { github, vars } = frame.contexts;
    return {
      workflow: job.call.workflow,
      contexts: { github, vars, inputs: cell.inputs },
      selection,
      prefix,
      title: `${frame.title}${cell.name} / `,
      secrets: cell.secrets ? [...frame.secrets, cell.secrets] : frame.secrets,
      inputs: JSON.stringify(cell.inputs),
      needs: job.needs.length > 0 ? job.needs.map((need) => frame.prefix + need) : frame.needs,
      attempt: Math.max(frame.attempt, ...needs.map((need) => need.attempt)),
      cut: frame.cut,
    };
  }

  /** Of all jobs that a call has in its place. */
  #viewsBelow(id: string): JobRunView[] {
    return [...this.#views].flatMap(([job, views]) => (isCalledBy(job, id) ? views : []));
  }

  #viewsIn({ prefix }: Frame): JobRunView[] {
    return [...this.#views].flatMap(([job, views]) => (job.startsWith(prefix) ? views : []));
  }

  // -- what jobs see

  #needsOf(frame: Frame, job: Job): JobState[] {
    return job.needs.map((need) => this.stateOf(frame, jobOf(frame.workflow, need)));
  }

  #contextsOf(frame: Frame, job: Job): JobContexts {
    return { ...frame.contexts, needs: Object.fromEntries(job.needs.map((id) => [id, this.#endOf(frame, id)])) };
  }

  /** `success()` and `failure()` look at all ancestors, not only at those in `needs`. */
  #statusOf(frame: Frame, job: Job): Status {
    const results = [...this.#ancestorsOf(frame, job)].map((id) => this.#endOf(frame, id).result);
    const isCancelled = frame.cut !== undefined;
    return {
      isSuccess: !isCancelled && results.every((result) => result === "success"),
      isFailure: !isCancelled && results.includes("failure"),
      isCancelled,
    };
  }

  #endOf(frame: Frame, id: string): NonNullable<JobState["ended"]> {
    return this.#states.get(frame.prefix + id)?.ended ?? { result: "skipped", outputs: {} };
  }

  /** A set that grows while it is walked. */
  #ancestorsOf({ workflow }: Frame, job: Job): Set<string> {
    const found = new Set(job.needs);
    for (const id of found) for (const need of jobOf(workflow, id).needs) found.add(need);
    return found;
  }
}

/** What was decided of a job of a workflow, as a job of the run. */
function inFrame({ prefix, title, inputs, secrets, needs }: Frame, spec: PlannedJobRun): PlannedJobRun {
  if (prefix === "") return spec;
  return {
    ...spec,
    job: prefix + spec.job,
    name: title + spec.name,
    needs: spec.needs?.length ? spec.needs.map((need) => prefix + need) : [...needs],
    ...(inputs === undefined ? {} : { inputsContext: inputs }),
    ...(secrets.length > 0 && { secrets }),
  };
}

/** Why a JobRun of a call is no more: it said that nothing was called, and in a later attempt something is. */
const replaced = "the jobs that it calls run";

function isReplaced({ spec }: JobRunView): boolean {
  return spec.skip === replaced;
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
  if (states.some(({ ended }) => !ended)) {
    const why = states.find((state) => state.why !== undefined)?.why;
    return { phase: jobRuns.length === 0 ? "Pending" : "Running", ...(why === undefined ? {} : { message: why }), counts, total };
  }

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

/**
 * Decides the jobs of a run one after another, each after those that it needs: which JobRuns are to be made, to be decided anew or
 * aborted, and how each job stands. plan.ts makes one for each look at a run.
 */
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { type CallCell, type CalledJobs, type CallDecision, decideCall, outputsOfCall } from "./calls.ts";
import { decideJob, idleJobRun, isWanted, type JobContexts, type JobResult, type PlannedJobRun } from "./decide.ts";
import type { Status } from "../expressions/expressions.ts";
import {
  attemptOf,
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
import type { GroupState, RunInput, RunPlan, WantedGroup } from "./plan.ts";
import { isSelectedCell, selectCalled, selectCells, type Selection } from "./select.ts";
import { type Call, type Job, jobOf, type Workflow } from "../workflow.ts";

/** How a job stands. */
export interface JobState {
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
export interface Invocation {
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
export class TooManyJobs extends Error {}

/** Decides each job once, after those that it needs. */
export class Planner {
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

  statesIn(scope: Invocation): JobState[] {
    const { workflow, selection } = scope;
    return workflow.jobs.filter(({ id }) => selection.has(id)).map((job) => this.stateOf(scope, job));
  }

  stateOf(scope: Invocation, job: Job): JobState {
    const id = scope.prefix + job.id;
    let state = this.#states.get(id);
    if (!state) {
      if (this.#states.size >= limits.workflowJobs + 1) {
        throw new TooManyJobs(`has more than ${limits.workflowJobs} jobs with those of the workflows that it calls`);
      }
      // Those that it needs come first.
      for (const need of job.needs) this.stateOf(scope, jobOf(scope.workflow, need));
      state = job.call ? this.#lookAtCall(scope, job as Job & { call: Call }) : this.#look(scope, job);
      this.#states.set(id, state);
    }
    return state;
  }

  #look(scope: Invocation, job: Job): JobState {
    const views = (this.#views.get(scope.prefix + job.id) ?? []).toSorted((a, b) => indexOf(a) - indexOf(b));
    // All of them are looked at, also when the first has not ended.
    const needs = this.#needsOf(scope, job);
    const isReady = needs.every(({ ended }) => ended);
    const stale = this.#stale(scope, views, needs);
    const attempt = views.length === 0 || stale.size > 0 ? (this.#input.attempt ?? 1) : Math.max(...views.map(attemptOf));
    if (!isReady && views.length === 0) return { views, missing: 1, stale, attempt };

    const decided =
      !isReady || (isComplete(views) && stale.size === 0) ? { create: [], again: [] } : this.#decide(scope, job, views, stale);
    this.create.push(...decided.create);
    this.again.push(...decided.again);
    this.#abortCells(
      scope,
      job,
      views.filter((view) => !stale.has(view)),
    );
    const missing = decided.create.length;
    if (missing > 0 || stale.size > 0 || views.some((view) => !verdictOf(view))) return { views, missing, stale, attempt };
    return { views, missing, stale, attempt, ended: { result: resultOf(views), outputs: outputsOf(views) } };
  }

  /** Those that the rerun names, and those that need one of a later attempt. */
  #stale(scope: Invocation, views: readonly JobRunView[], needs: readonly JobState[]): Set<JobRunView> {
    const { attempt = 1, rerun } = this.#input;
    const newest = Math.max(scope.attempt, ...needs.map((need) => need.attempt));
    const isNamed = (view: JobRunView) => {
      if (!rerun) return true;
      return rerun.jobs?.includes(view.metadata.name) === true || (rerun.failed === true && resultOf([view]) !== "success");
    };
    return new Set(views.filter((view) => attemptOf(view) < newest || (attemptOf(view) < attempt && isNamed(view))));
  }

  /** After a crash some cells may be there already: the decision is the same, and only the others are made. */
  #decide(scope: Invocation, job: Job, views: readonly JobRunView[], stale: ReadonlySet<JobRunView>): Pick<RunPlan, "create" | "again"> {
    const { run, matrix, policy } = this.#input;
    const decided = decideJob(scope.workflow, job.id, this.#contextsOf(scope, job), this.#statusOf(scope, job), policy);
    const decision = selectCells(decided, job, scope.selection.get(job.id)!, matrix);
    const idle = (otherwise: string) =>
      idleJobRun(
        job,
        decision.kind === "invalid" ? { invalid: decision.message } : { skip: decision.kind === "skip" ? decision.reason : otherwise },
      );
    const specs = (decision.kind === "run" ? decision.cells : [idle("")]).map((spec) => inScope(scope, spec));
    const planned = new Map(specs.map((spec, i) => [jobRunName(run, spec.job, indexIn(spec) ?? i), spec]));
    const present = new Set(views.map(({ metadata }) => metadata.name));
    const isCut = views.length > 0 && decided.kind !== "run" && scope.cut !== undefined;
    return {
      create: isCut ? [] : [...planned].flatMap(([name, spec]) => (present.has(name) ? [] : [{ name, spec }])),
      again: [...stale].map(({ metadata: { name } }) => ({
        name,
        spec: planned.get(name) ?? inScope(scope, idle("its matrix has this cell no more")),
      })),
    };
  }

  #abortCells(scope: Invocation, job: Job, views: readonly JobRunView[]): void {
    // What never runs ends by itself, with what it says.
    const isIdle = ({ spec }: JobRunView) => spec.skip !== undefined || spec.invalid !== undefined;
    const open = views.filter((view) => !verdictOf(view) && view.spec.abort === undefined && !isIdle(view));
    const failed = views.find((view) => view.spec.failFast === true && resultOf([view]) === "failure");
    if (open.length === 0) return;
    if (failed) this.#abortAll(open, `${failed.spec.name} failed, and the matrix is fail-fast`);
    else if (scope.cut !== undefined && !this.#goesOn(scope, job)) this.#abortAll(open, scope.cut);
  }

  #abortAll(views: readonly JobRunView[], reason: string): void {
    for (const { metadata } of views) this.abort.push({ name: metadata.name, reason });
  }

  /** Whether an abort spares it: its `if` holds even so, as with `always()`. */
  #goesOn(scope: Invocation, job: Job): boolean {
    try {
      return isWanted(job, this.#contextsOf(scope, job), this.#statusOf(scope, job));
    } catch (error) {
      if (error instanceof SeatrialError) return false;
      throw error;
    }
  }

  // -- calls

  #lookAtCall(scope: Invocation, job: Job & { call: Call }): JobState {
    const id = scope.prefix + job.id;
    const needs = this.#needsOf(scope, job);
    // One that says why nothing was called; and those of the jobs that were.
    const idle = this.#views.get(id) ?? [];
    const inside = this.#viewsBelow(id);
    const staleIdle = this.#stale(scope, idle, needs);
    const staleInside = this.#stale(scope, inside, needs);
    const stale = new Set([...staleIdle, ...staleInside]);
    const views = [...idle, ...inside];
    const attempt = views.length === 0 || stale.size > 0 ? (this.#input.attempt ?? 1) : Math.max(...views.map(attemptOf));
    if (!needs.every(({ ended }) => ended)) {
      const open = inside.filter((view) => !stale.has(view) && !verdictOf(view) && view.spec.abort === undefined);
      if (scope.cut !== undefined) this.#abortAll(open, scope.cut);
      return { views, missing: views.length === 0 ? 1 : 0, stale, attempt };
    }
    if (idle.length > 0 && staleIdle.size === 0 && !isReplaced(idle[0]!)) {
      return this.#endOfIdle(idle, { views, missing: 0, stale, attempt });
    }
    const isBegun = inside.some((view) => !staleInside.has(view));
    const decision = this.#decideCall(scope, job, isBegun);
    if (decision.kind !== "run") return this.#idleCall(scope, job, decision, { views, idle, stale, attempt });
    for (const { metadata } of staleIdle) {
      const spec = inScope(scope, idleJobRun(job, { skip: replaced }));
      this.again.push({ name: metadata.name, spec });
    }
    return this.#callStates(scope, job, decision, { views, idle, stale, attempt, needs });
  }

  #decideCall(scope: Invocation, job: Job & { call: Call }, isBegun: boolean): CallDecision {
    const { matrix = {} } = this.#input;
    const decision = decideCall(job, this.#contextsOf(scope, job), this.#statusOf(scope, job), isBegun);
    if (decision.kind !== "run" || decision.cells.some(({ cell }) => isSelectedCell(cell, matrix))) return decision;
    return { kind: "skip", reason: "its matrix has no cell with the values that were asked for" };
  }

  /** Nothing is called: one JobRun says why, and those of an attempt before end with it. */
  #idleCall(
    scope: Invocation,
    job: Job,
    decision: { kind: "skip"; reason: string } | { kind: "invalid"; message: string },
    { views, idle, stale, attempt }: Pick<JobState, "views" | "stale" | "attempt"> & { idle: readonly JobRunView[] },
  ): JobState {
    const name = jobRunName(this.#input.run, scope.prefix + job.id, 0);
    const spec = inScope(scope, idleJobRun(job, decision.kind === "skip" ? { skip: decision.reason } : { invalid: decision.message }));
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
    scope: Invocation,
    job: Job & { call: Call },
    { cells, failFast, maxParallel }: Extract<CallDecision, { kind: "run" }>,
    before: Pick<JobState, "views" | "stale" | "attempt"> & { idle: readonly JobRunView[]; needs: readonly JobState[] },
  ): JobState {
    const { matrix = {} } = this.#input;
    const id = scope.prefix + job.id;
    const outputs = new Map<string, string>();
    const all: JobState[] = [];
    const scopes = cells.flatMap((cell, index) => {
      const selection = selectCalled(scope.selection.get(job.id)!, job, cell);
      if (!selection || !isSelectedCell(cell.cell, matrix)) return [];
      const prefix = cell.cell === undefined ? `${id}/` : `${id}.${index}/`;
      return [{ ...this.#scopeOf(scope, job, cell, prefix, selection, before.needs), groups: cell.groups }];
    });
    const hasFailed = (called: Invocation) => this.#viewsIn(called).some((view) => resultOf([view]) === "failure");
    const failed = failFast && scopes.length > 1 ? scopes.find(hasFailed) : undefined;
    let open = 0;
    let isWhole = true;
    for (const called of scopes) {
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
        if (answer.state === "replaced") this.#replace(scope, job, called, one, answer.why);
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
        return this.#idleCall(scope, job, decision, { ...before, stale: new Set() });
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
  #askFor({ groups: { ofCall, ofCalled } }: Invocation & Pick<CallCell, "groups">, of: string, isBegun: boolean): GroupState {
    const answer: GroupState = ofCall ? this.ask({ ...ofCall, of, isBegun }) : { state: "held" };
    return answer.state === "held" && ofCalled ? this.ask({ ...ofCalled, of: `${of}/`, isBegun }) : answer;
  }

  /** Another took its place in its group: one JobRun says so. */
  #replace(scope: Invocation, job: Job, { title }: Invocation, id: string, why: string): void {
    const { skip: _skip, ...spec } = inScope(scope, idleJobRun(job, { skip: "" }));
    const name = jobRunName(this.#input.run, id, 0);
    this.create.push({ name, spec: { ...spec, job: id, name: title.slice(0, -3), abort: why.slice(0, 1024) } });
  }

  #scopeOf(
    scope: Invocation,
    job: Job & { call: Call },
    cell: CallCell,
    prefix: string,
    selection: Selection,
    needs: readonly JobState[],
  ): Invocation {
    const { github, vars } = scope.contexts;
    return {
      workflow: job.call.workflow,
      contexts: { github, vars, inputs: cell.inputs },
      selection,
      prefix,
      title: `${scope.title}${cell.name} / `,
      secrets: cell.secrets ? [...scope.secrets, cell.secrets] : scope.secrets,
      inputs: JSON.stringify(cell.inputs),
      needs: job.needs.length > 0 ? job.needs.map((need) => scope.prefix + need) : scope.needs,
      attempt: Math.max(scope.attempt, ...needs.map((need) => need.attempt)),
      cut: scope.cut,
    };
  }

  /** Of all jobs that a call has in its place. */
  #viewsBelow(id: string): JobRunView[] {
    return [...this.#views].flatMap(([job, views]) => (isCalledBy(job, id) ? views : []));
  }

  #viewsIn({ prefix }: Invocation): JobRunView[] {
    return [...this.#views].flatMap(([job, views]) => (job.startsWith(prefix) ? views : []));
  }

  // -- what jobs see

  #needsOf(scope: Invocation, job: Job): JobState[] {
    return job.needs.map((need) => this.stateOf(scope, jobOf(scope.workflow, need)));
  }

  #contextsOf(scope: Invocation, job: Job): JobContexts {
    return { ...scope.contexts, needs: Object.fromEntries(job.needs.map((id) => [id, this.#endOf(scope, id)])) };
  }

  /** `success()` and `failure()` look at all ancestors, not only at those in `needs`. */
  #statusOf(scope: Invocation, job: Job): Status {
    const results = [...this.#ancestorsOf(scope, job)].map((id) => this.#endOf(scope, id).result);
    const isCancelled = scope.cut !== undefined;
    return {
      isSuccess: !isCancelled && results.every((result) => result === "success"),
      isFailure: !isCancelled && results.includes("failure"),
      isCancelled,
    };
  }

  #endOf(scope: Invocation, id: string): NonNullable<JobState["ended"]> {
    return this.#states.get(scope.prefix + id)?.ended ?? { result: "skipped", outputs: {} };
  }

  /** A set that grows while it is walked. */
  #ancestorsOf({ workflow }: Invocation, job: Job): Set<string> {
    const found = new Set(job.needs);
    for (const id of found) for (const need of jobOf(workflow, id).needs) found.add(need);
    return found;
  }
}

/** What was decided of a job of a workflow, as a job of the run. */
function inScope({ workflow, prefix, title, inputs, secrets, needs }: Invocation, spec: PlannedJobRun): PlannedJobRun {
  if (prefix === "") return spec;
  return {
    ...spec,
    job: prefix + spec.job,
    name: title + spec.name,
    workflowPath: workflow.path,
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

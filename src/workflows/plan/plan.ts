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
 * {@link Invocation} each. Which calls there are follows from the inputs and from what needed jobs put out, so it is not written down.
 */
import { SeatrialError } from "../../base/errors.ts";
import type { RunSpec, RunStatus } from "../../resources/run.ts";
import { type Verdict, worstVerdict } from "../../resources/verdict.ts";
import { groupOf, type JobPolicy, type PlannedJobRun } from "./decide.ts";
import type { Json } from "../expressions/expressions.ts";
import { attemptOf, countedVerdict, type JobRunView, verdictOf } from "./job-run-views.ts";
import { type JobState, Planner, type Invocation, TooManyJobs } from "./planner.ts";
import { type Selection, selectJobs } from "./select.ts";
import type { Concurrency, Workflow } from "../workflow.ts";

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
  const root: Invocation = { workflow, contexts, selection, prefix: "", title: "", secrets: [], needs: [], attempt: 1, cut };
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

/**
 * The plan of a Run that reproduces one job: the job as its lock document has it, and no others. What it needed has ended
 * elsewhere, and is in the document.
 */
import { type LockDocument, pinnedJob } from "../../resources/lock-document.ts";
import { hasEnded } from "../../resources/run.ts";
import type { PlannedJobRun } from "./decide.ts";
import { jobRunName, type JobRunView } from "./job-run-views.ts";
import type { RunPlan } from "./plan.ts";

export interface ReproductionInput {
  /** Name of the Run. */
  run: string;
  lock: LockDocument;
  jobRuns: readonly JobRunView[];
  /** Why it is to end. */
  abort?: string | undefined;
}

export function planReproduction({ run, lock, jobRuns, abort }: ReproductionInput): RunPlan {
  const [view] = jobRuns;
  const nothing = { create: [], again: [], abort: [] };
  if (!view) {
    if (abort !== undefined) return { ...nothing, status: { phase: "Finished", verdict: "aborted", message: abort, counts: {}, total: 0 } };
    const create = [{ name: jobRunName(run, lock.job.job, 0), spec: plannedOf(lock) }];
    return { ...nothing, create, status: { phase: "Pending", counts: { waiting: 1 }, total: 1 } };
  }
  const { phase, verdict, cause, message } = view.status ?? {};
  if (verdict === undefined || !hasEnded(view)) {
    const isRunning = phase === "Booting" || phase === "Running";
    return {
      ...nothing,
      abort: abort !== undefined && view.spec.abort === undefined ? [{ name: view.metadata.name, reason: abort }] : [],
      status: { phase: "Running", counts: { [isRunning ? "running" : "waiting"]: 1 }, total: 1 },
    };
  }
  const why = message === undefined ? {} : { message };
  return { ...nothing, status: { phase: "Finished", verdict, ...(cause ? { cause } : {}), ...why, counts: { [verdict]: 1 }, total: 1 } };
}

function plannedOf(lock: LockDocument): PlannedJobRun {
  const wanted = lock.clusters.map(({ name, spec }) => ({ name, spec }));
  return { ...pinnedJob(lock), ...(wanted.length > 0 ? { clusters: wanted } : {}) };
}

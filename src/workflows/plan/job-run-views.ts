/** What the JobRuns of a run say together: whose they are, how they ended, what they put out. */
import { createHash } from "node:crypto";
import type { JobRun } from "../../resources/job-run.ts";
import { hasEnded } from "../../resources/run.ts";
import { type Verdict, worstVerdict } from "../../resources/verdict.ts";
import type { JobResult, PlannedJobRun } from "./decide.ts";

/** What is looked at of a JobRun. */
export type JobRunView = Pick<JobRun, "spec" | "status"> & { metadata: { name: string } };

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

/** Whether a job, by its full id, is one that a call has in its place: or is that call. */
export function isCalledBy(job: string, call: string): boolean {
  return job.startsWith(call) && /^(\.\d+$|(\.\d+)?\/)/.test(job.slice(call.length));
}

/** The job of the run's own workflow that has a job, by its full id, in its place: of `deploy.1/build` it is `deploy`. */
export function rootJobOf(job: string): string {
  return /^[^./]+/.exec(job)![0];
}

/** Whether all JobRuns of a job are there, as far as they themselves can tell; a selection of cells has to be decided anew. */
export function isComplete(views: readonly JobRunView[]): boolean {
  const [first] = views;
  if (!first) return false;
  if (first.spec.skip !== undefined || first.spec.invalid !== undefined) return true;
  return views.length === strategyOf(first.spec)["job-total"];
}

function strategyOf({ strategyContext }: Pick<PlannedJobRun, "strategyContext">): { "job-index"?: number; "job-total"?: number } {
  return strategyContext === undefined ? {} : (JSON.parse(strategyContext) as object);
}

export function indexIn(spec: Pick<PlannedJobRun, "strategyContext">): number | undefined {
  return strategyOf(spec)["job-index"];
}

export function indexOf({ spec }: JobRunView): number {
  return indexIn(spec) ?? 0;
}

export function attemptOf({ spec }: JobRunView): number {
  return spec.attempt ?? 1;
}

/** Absent until its attempt has ended. */
export function verdictOf(view: JobRunView): Verdict | undefined {
  return hasEnded(view) ? view.status?.verdict : undefined;
}

/** The verdict as the run counts it: a failure that was allowed for is none. */
export function countedVerdict(view: JobRunView): Verdict | undefined {
  const verdict = verdictOf(view);
  const isFailure = verdict === "failed" || verdict === "error" || verdict === "timed-out";
  return isFailure && view.spec.continueOnError ? "passed" : verdict;
}

/** The worst of its cells. */
export function resultOf(views: readonly JobRunView[]): JobResult {
  const verdict = worstVerdict(views.flatMap((view) => countedVerdict(view) ?? []));
  if (verdict === "passed") return "success";
  if (verdict === "aborted") return "cancelled";
  return verdict === "skipped" || verdict === undefined ? "skipped" : "failure";
}

/** Of all cells together: the last that says something wins. */
export function outputsOf(views: readonly JobRunView[]): Record<string, string> {
  const outputs = new Map<string, string>();
  for (const [name, value] of views.flatMap(({ status }) => Object.entries(status?.outputs ?? {}))) {
    if (value !== "" || !outputs.has(name)) outputs.set(name, value);
  }
  return Object.fromEntries(outputs);
}

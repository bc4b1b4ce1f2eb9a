/** A run in a test: planned again and again, without a server. */
import type { JobRunStatus } from "../../../resources/job-run.ts";
import type { Verdict } from "../../../resources/verdict.ts";
import type { JobRunView } from "../job-run-views.ts";
import { planRun, type RunInput, type RunPlan } from "../plan.ts";
import { readWorkflow } from "../../read/read.ts";
import type { Workflow } from "../../workflow.ts";

/** A workflow of these jobs, one a line, that may call other files. */
export const workflowOf = (jobs: string, files: Readonly<Record<string, string>> = {}): Workflow => {
  const called = new Map(Object.entries(files));
  return readWorkflow(`on: push\njobs:\n${jobs.replaceAll(/^/gm, "  ")}\n`, "f.yml", [], called);
};
/** A job that does something, with these keys. */
export const job = (text = "") => `{${text}${text === "" ? "" : ", "}steps: [{run: x}]}`;

/** A run that is planned again and again, with JobRuns that end as they are told. */
export class Simulated {
  readonly jobRuns: JobRunView[] = [];
  readonly input: Omit<RunInput, "jobRuns">;

  constructor(jobs: string, input: Partial<RunInput> = {}, files: Readonly<Record<string, string>> = {}) {
    this.input = { run: "r", workflow: workflowOf(jobs, files), contexts: { github: { ref: "main" }, vars: {} }, isAborted: false, ...input };
  }

  /** Does what the plan says: what is skipped or invalid ends at once, what is aborted ends if `isQuick`. */
  step({ isAborted = false } = {}): RunPlan {
    const plan = planRun({ ...this.input, isAborted, jobRuns: this.jobRuns.toReversed() });
    for (const { name, spec } of plan.create) this.jobRuns.push(this.#viewOf(name, spec));
    for (const { name, spec } of plan.again) this.#again(name, spec);
    for (const { name, reason } of plan.abort) this.find(name).spec.abort = reason;
    return plan;
  }

  rerun(rerun: RunInput["rerun"]): this {
    this.input.attempt = (this.input.attempt ?? 1) + 1;
    this.input.rerun = rerun;
    return this;
  }

  #viewOf(name: string, { labels, ...rest }: RunPlan["create"][number]["spec"]): JobRunView {
    const { attempt } = this.input;
    const verdict: Verdict | undefined = rest.skip ? "skipped" : rest.invalid ? "error" : undefined;
    const view: JobRunView = {
      metadata: { name },
      spec: { ...rest, run: "r", repository: "o/p", lane: "trusted", runsOn: { labels, executor: "host" }, ...(attempt && { attempt }) },
    };
    if (!verdict) return view;
    const status = { phase: "Finished", verdict, ...(attempt && { attempt }), ...(verdict === "error" && { cause: "invalid-workflow" }) };
    return { ...view, status: status as JobRunStatus };
  }

  /** What it was stays its status until it begins. */
  #again(name: string, spec: RunPlan["again"][number]["spec"]): void {
    const [made, before] = [this.#viewOf(name, spec), this.find(name)];
    Object.assign(before, { spec: made.spec }, made.status && { status: made.status });
  }

  /** By the name for people. */
  end(name: string, verdict: Verdict, status: Partial<JobRunStatus> = {}): this {
    const view = this.jobRuns.find(({ spec }) => spec.name === name);
    if (!view) throw new Error(`there is no ${name}: ${this.jobRuns.map(({ spec }) => spec.name).join(", ")}`);
    view.status = { phase: "Finished", verdict, ...(view.spec.attempt && { attempt: view.spec.attempt }), ...status };
    return this;
  }

  find(name: string): JobRunView {
    return this.jobRuns.find(({ metadata }) => metadata.name === name)!;
  }
}

/** Names of what a plan makes. */
export const created = (plan: RunPlan) =>
  plan.create.map(({ spec }) =>
    spec.skip === undefined ? (spec.invalid === undefined ? spec.name : `invalid ${spec.name}`) : `skip ${spec.name}`,
  );
export const aborted = (plan: RunPlan) => plan.abort.map(({ name, reason }) => `${name}: ${reason}`);

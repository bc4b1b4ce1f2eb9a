/**
 * A workflow, as it was read: what is certain is in plain fields, what depends on a run is a node of the file, with its
 * place, and evaluated by decide.ts. What only the runner can know stays text.
 */
import type { Place } from "../base/errors.ts";
import type { StepSpec } from "../resources/job-run.ts";
import type { Node, Scalar } from "./tree.ts";
import type { Triggers } from "./triggers.ts";

export interface Workflow {
  /** The file, as it was named to the reader. */
  path: string;
  /** Its `name`, else the path. */
  name: string;
  on: Triggers;
  /** In the order of the file; the graph of their `needs` has no cycle. */
  jobs: readonly Job[];
}

export interface Job {
  id: string;
  place: Place;
  name?: Scalar;
  /** Ids as the jobs have them, each once. */
  needs: readonly string[];
  /** `if`, with or without `${{ }}`. */
  condition?: Scalar;
  runsOn?: Node;
  matrix?: Node;
  failFast?: Scalar;
  maxParallel?: Scalar;
  timeoutMinutes?: Scalar;
  continueOnError?: Scalar;
  /** Of `cluster` (named `cluster`) and `clusters`. */
  clusters: readonly { name: string; node: Node }[];
  /** Of the workflow and the job, the job's winning. Values are text for the runner. */
  env: Readonly<Record<string, string>>;
  outputs: Readonly<Record<string, string>>;
  steps: StepSpec[];
}

export function jobOf(workflow: Workflow, id: string): Job {
  const job = workflow.jobs.find((one) => one.id === id);
  if (!job) throw new Error(`workflow ${workflow.path} has no job ${id}`);
  return job;
}

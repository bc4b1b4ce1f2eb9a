/**
 * A workflow, as it was read: what is certain is in plain fields, what depends on a run is a node of the file, with its
 * place, and evaluated by decide.ts. What only the runner can know stays text.
 */
import type { Place, Problem } from "../base/errors.ts";
import type { StepSpec } from "../resources/job-run.ts";
import type { ContainerNode, ServiceNode } from "./containers.ts";
import type { Inputs } from "./inputs.ts";
import type { Entry, Node, Scalar } from "./read/tree.ts";
import type { Triggers } from "./triggers/triggers.ts";

export interface Workflow {
  /** The file, as it was named to the reader. */
  path: string;
  /** Its `name`, else the path. */
  name: string;
  on: Triggers;
  /** Set where `on` has `workflow_call`: what it takes and gives when another calls it. */
  interface?: CallInterface;
  /** `run-name`: text of the run, with expressions. */
  runName?: Scalar;
  concurrency?: Concurrency;
  /** In the order of the file; the graph of their `needs` has no cycle. */
  jobs: readonly Job[];
  /** Files of all workflows that it calls, and that those call; each is in the graph of {@link Job.call}. */
  calls: readonly string[];
  /** What its steps use, those of called workflows too, but for actions that are part of Seatrial. */
  actions: readonly ActionMention[];
  /** What is taken, and does less than it says; of called workflows too. */
  notices: readonly Problem[];
}

/** A step's `uses`, and where it is written. */
export interface ActionMention {
  uses: string;
  place: Place;
  path: string;
}

/** `on.workflow_call`. */
export interface CallInterface {
  inputs: Inputs;
  secrets: Readonly<Record<string, { isRequired: boolean }>>;
  /** Values are of the context `jobs`. */
  outputs: Readonly<Record<string, Scalar>>;
}

/** `concurrency`: one at a time of all that name the same group, in one repository. */
export interface Concurrency {
  place: Place;
  group: Scalar;
  cancelInProgress?: Scalar;
  /** How many may wait: one, the newest, or all. */
  queue: "single" | "max";
}

/** `permissions`: what the token of a job is asked to be good for. */
export interface Permissions {
  place: Place;
  path: string;
  /** Of all scopes: `read-all`, `write-all`. A scope that is not named has none. */
  all: "read" | "write" | undefined;
  scopes: Record<string, "read" | "write" | "none">;
}

export interface Environment {
  name: Scalar;
  url?: Scalar;
}

/** `defaults.run`. */
export interface RunDefaults {
  shell?: string;
  workingDirectory?: string;
}

/** A job that calls another workflow. */
export interface Call {
  place: Place;
  workflow: Workflow;
  /** `with`, as it is written. */
  inputs: readonly Entry[];
  /** By the names of the called workflow. */
  secrets: "inherit" | Readonly<Record<string, string>>;
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
  /** Then it has no steps: the jobs of another workflow run in its place. */
  call?: Call;
  concurrency?: Concurrency;
  environment?: Environment;
  /** Its own, else the workflow's. */
  permissions?: Permissions;
  matrix?: Node;
  failFast?: Scalar;
  maxParallel?: Scalar;
  timeoutMinutes?: Scalar;
  continueOnError?: Scalar;
  /** Of `cluster` (named `cluster`) and `clusters`, and of steps that ask for one. */
  clusters: readonly { name: string; node: Node; isOfStep?: boolean }[];
  container?: ContainerNode;
  services?: readonly ServiceNode[];
  /** Of the workflow and the job, the job's winning. Values are text for the runner. */
  env: Readonly<Record<string, string>>;
  outputs: Readonly<Record<string, string>>;
  steps: StepSpec[];
  /** What of it, and of its workflow, does less here than it says. */
  notices: readonly string[];
}

export function jobOf(workflow: Workflow, id: string): Job {
  const job = workflow.jobs.find((one) => one.id === id);
  if (!job) throw new Error(`workflow ${workflow.path} has no job ${id}`);
  return job;
}

/** An action, as its metadata says it is: what readAction makes, and the runner gets. Types alone. */
import type { StepSpec } from "../../resources/job-run.ts";

export interface ActionDefinition {
  /** For people. */
  name: string;
  /** By lower-case name. */
  inputs: Record<string, ActionInput>;
  /** Of a composite action: what each is, an expression. */
  outputs: Record<string, string>;
  runs: ActionRuns;
}

export interface ActionInput {
  /** As it is written. */
  name: string;
  isRequired: boolean;
  /** May hold expressions. */
  default?: string;
  /** Said when the input is given. */
  deprecation?: string;
}

export type ActionRuns = JavaScriptRuns | DockerRuns | CompositeRuns;

export interface CompositeRuns {
  using: "composite";
  steps: StepSpec[];
}

interface Conditions {
  /** Default: `always()`. */
  preIf?: string;
  postIf?: string;
}

/** Paths are from the action's folder. */
export interface JavaScriptRuns extends Conditions {
  using: "node20" | "node24";
  main: string;
  pre?: string;
  post?: string;
}

export interface DockerRuns extends Conditions {
  using: "docker";
  /** Path of a Dockerfile, or `docker://image`. */
  image: string;
  entrypoint?: string;
  preEntrypoint?: string;
  postEntrypoint?: string;
  args: string[];
  env: Record<string, string>;
}

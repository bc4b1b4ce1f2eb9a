/**
 * A frame: what the steps of one list share. The job's own list is one; each run of a composite action is another, within that of
 * the step that uses it.
 */
import type { Json } from "../../workflows/expressions/expressions.ts";
import type { FoundAction } from "../actions/actions.ts";
import type { StepSpec } from "../../resources/job-run.ts";

export interface Frame {
  /** The `steps` context. */
  steps: Record<string, StepResult>;
  /** Of a composite action: `inputs`, and what it adds to `github`. Undefined: the job's own steps. */
  action: { inputs: Record<string, string>; github: Record<string, string> } | undefined;
  /** Variables of the steps around it, which win over the job's. */
  env: Readonly<Record<string, string>>;
  /** Of a composite action: whether one of its steps has failed. */
  hasFailed: boolean;
  /** Steps whose post phase is to come, in the order in which they began. */
  due: StepItem[];
  /** What is run here, outermost first: `uses` for `uses`. */
  trail: readonly string[];
}

/** What the `steps` context has of a step. */
export interface StepResult {
  [key: string]: Json;
  outputs: Record<string, string>;
  outcome: string;
  conclusion: string;
}

/** A step of a list, through its phases: pre, main, post. */
export interface StepItem {
  readonly spec: StepSpec;
  /** `github.action`. */
  readonly action: string;
  /** What `uses` is. Of a folder of the workspace it is known when the step runs, of all others before. */
  found: FoundAction | undefined;
  /** The steps of a composite action. */
  children: readonly StepItem[];
  /** What its phases saved for one another. */
  readonly state: Record<string, string>;
  /** As main had them, or pre where main did not run: post has the same. */
  made: Made | undefined;
  /** Those of its children that are due; see {@link Frame.due}. */
  readonly due: StepItem[];
}

export interface Made {
  inputs: Record<string, string>;
  env: Record<string, string>;
  /** Of its children. */
  frame: Frame | undefined;
}

export const jobFrame = (): Frame => ({ steps: {}, action: undefined, env: {}, hasFailed: false, due: [], trail: [] });

/** The steps of a list; those of the same kind are told apart by a number, as GitHub does it. */
export function itemsOf(steps: readonly StepSpec[]): StepItem[] {
  const counts = new Map<string, number>();
  return steps.map((spec): StepItem => {
    const base = baseOf(spec.uses);
    const count = (counts.get(base) ?? 0) + 1;
    if (spec.id === undefined) counts.set(base, count);
    const action = spec.id ?? (count === 1 ? base : `${base}_${count}`);
    return { spec, action, found: undefined, children: [], state: {}, made: undefined, due: [] };
  });
}

function baseOf(uses: string | undefined): string {
  if (uses === undefined) return "__run";
  return uses.startsWith(".") ? "__self" : `__${uses.replace(/@.*$/, "").replace(/\W+/g, "_")}`;
}

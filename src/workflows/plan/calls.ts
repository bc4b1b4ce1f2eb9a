/**
 * What becomes of a job that calls another workflow: nothing, an error, or one call for each cell of its matrix; and what such a call
 * gives back. Pure, as decide.ts is. The jobs of the called workflow are decided one by one, by plan.ts.
 */
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { JobRunSpec } from "../../resources/job-run.ts";
import { booleanOf, countOf, groupOf, isWanted, type JobContexts, type JobResult, nameOf, reasonOf, toldApart } from "./decide.ts";
import { evaluateNode, placed } from "../expressions/evaluate.ts";
import { Budget, interpolate, type Json, type Scope, type Status } from "../expressions/expressions.ts";
import { type InputValue, inputValues } from "../inputs.ts";
import { type Cell, expandMatrix } from "./matrix.ts";
import type { Call, Job } from "../workflow.ts";

/** One call: of a job without a matrix, or of one cell. */
export interface CallCell {
  /** For people, with the cell. */
  name: string;
  cell: string | undefined;
  inputs: Record<string, InputValue>;
  /** Concurrency groups: of the job that calls, and of the workflow that is called. */
  groups: { ofCall?: Group; ofCalled?: Group };
  /** Undefined: all that the caller has. */
  secrets: NonNullable<JobRunSpec["secrets"]>[number] | undefined;
}

type Group = NonNullable<JobRunSpec["concurrency"]>;

export type CallDecision =
  | { kind: "run"; cells: CallCell[]; failFast: boolean; maxParallel: number }
  | { kind: "skip"; reason: string }
  | { kind: "invalid"; message: string };

/** @param isBegun whether some of its jobs are there: its `if` was asked then, and is not asked again. */
export function decideCall(job: Job & { call: Call }, contexts: JobContexts, status: Status, isBegun: boolean): CallDecision {
  try {
    if (!isBegun && !isWanted(job, contexts, status)) return { kind: "skip", reason: reasonOf(job, contexts, status) };
    return cellsOf(job, contexts);
  } catch (error) {
    if (!(error instanceof SeatrialError)) throw error;
    return { kind: "invalid", message: error.message };
  }
}

function cellsOf(job: Job & { call: Call }, { github, vars, inputs, needs }: JobContexts): CallDecision {
  const base = { github, vars, inputs: inputs ?? {}, needs };
  const path = ["jobs", job.id];
  const budget = new Budget(limits.decisionWork);
  const scope: Scope = { contexts: base, budget };
  const { matrix, call } = job;
  const at = [...path, "strategy", "matrix"];
  const cells = matrix && placed(matrix.place, at, () => expandMatrix(evaluateNode(matrix, at, scope)));
  const failFast = booleanOf(job.failFast, [...path, "strategy", "fail-fast"], scope) ?? true;
  const total = cells?.length ?? 1;
  const maxParallel = countOf(job.maxParallel, [...path, "strategy", "max-parallel"], scope) ?? total;
  const calls = (cells ?? [undefined]).map((cell: Cell | undefined, index): CallCell => {
    const strategy = { "fail-fast": failFast, "job-index": index, "job-total": total, "max-parallel": maxParallel };
    const inCell: Scope = { contexts: { ...base, strategy, matrix: cell?.values ?? null }, budget };
    const called = inputsOf(call, path, inCell, { contexts: { github, vars, inputs: {} }, budget });
    const { concurrency } = call.workflow;
    return {
      name: nameOf(job, cell, inCell),
      cell: cell && JSON.stringify(cell.values),
      inputs: called,
      groups: {
        ...(job.concurrency && { ofCall: groupOf(job.concurrency, [...path, "concurrency"], inCell) }),
        ...(concurrency && { ofCalled: groupOf(concurrency, ["concurrency"], { contexts: { github, vars, inputs: called }, budget }) }),
      },
      secrets: secretsOf(call, path, inCell),
    };
  });
  return { kind: "run", cells: toldApart(job, calls, cells ?? []), failFast, maxParallel };
}

/** @param own what defaults of the called workflow see. */
function inputsOf(call: Call, path: string[], scope: Scope, own: Scope): Record<string, InputValue> {
  const { path: file, interface: taken } = call.workflow;
  const given = call.inputs.map(({ key, value }): [string, Json] => [key, evaluateNode(value, [...path, "with", key], scope)]);
  const inputs = Object.entries(taken!.inputs).map(([name, input]) => {
    if (typeof input.default !== "string") return [name, input] as const;
    const text = placed(call.place, [...path, "uses"], () => interpolate(input.default as string, own));
    return [
      name,
      { ...input, default: inputValues({ [name]: { type: input.type, required: false } }, { [name]: text }, file)[name]! },
    ] as const;
  });
  return placed(call.place, [...path, "with"], () => inputValues(Object.fromEntries(inputs), Object.fromEntries(given), file));
}

/** The expressions as they are, and of the contexts what they name: who has the secrets expands them. */
function secretsOf({ secrets, place }: Call, path: string[], { contexts }: Scope): CallCell["secrets"] {
  if (secrets === "inherit") return undefined;
  const text = Object.values(secrets).join("\n");
  const used = ["inputs", "needs", "strategy", "matrix"].filter((name) => new RegExp(`\\b${name}\\b`, "i").test(text));
  const kept = JSON.stringify(Object.fromEntries(used.map((name) => [name, contexts[name] ?? null])));
  placed(place, [...path, "secrets"], () => {
    if (kept.length > limits.callContextCharacters)
      throw new SeatrialError("invalid", "depend on too much of what other jobs have put out");
  });
  return { values: { ...secrets }, contexts: kept };
}

/** The secrets of a called job: those of the run, through each level of calls. @param contexts github and vars, of the run. */
export function passSecrets(
  secrets: Readonly<Record<string, string>>,
  levels: NonNullable<JobRunSpec["secrets"]>,
  contexts: Readonly<Record<string, Json>>,
): Record<string, string> {
  let passed: Record<string, string> = { ...secrets };
  const budget = new Budget(limits.decisionWork);
  for (const level of levels) {
    const scope: Scope = { contexts: { ...contexts, ...(JSON.parse(level.contexts) as Record<string, Json>), secrets: passed }, budget };
    passed = Object.fromEntries(Object.entries(level.values).map(([name, text]) => [name, interpolate(text, scope)]));
  }
  return passed;
}

/** How the jobs of a called workflow ended, as `jobs` is in its outputs. */
export type CalledJobs = Readonly<Record<string, { result: JobResult; outputs: Readonly<Record<string, string>> }>>;

/** `on.workflow_call.outputs` of one call. @throws InvalidError with the place of the first that cannot be evaluated. */
export function outputsOfCall(
  { workflow }: Call,
  contexts: { github: Json; vars: Json; inputs: Json },
  jobs: CalledJobs,
): Record<string, string> {
  const scope: Scope = { contexts: { ...contexts, jobs }, budget: new Budget(limits.decisionWork) };
  return Object.fromEntries(
    Object.entries(workflow.interface!.outputs).map(([name, { text, place }]) => {
      return [name, placed(place, ["on", "workflow_call", "outputs", name, "value"], () => interpolate(text, scope))];
    }),
  );
}

/**
 * What becomes of a job, once all that it needs has ended: nothing, an error, or one JobRun for each cell of its matrix. Pure:
 * the same arguments give the same answer, in the same order, so the run reconciler can ask again after a crash.
 *
 * What only the runner can know (steps, `env`, `outputs`), and so every secret, stays text.
 */
import { formatProblem, InvalidError, type Problem, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { Provider } from "../../resources/cluster.ts";
import { type JobRunSpec, jobRunSpecSchema } from "../../resources/job-run.ts";
import { anyOf, shown } from "../../resources/schema.ts";
import { readClusterSpec, withAskedVersion, withOwnSubnets } from "../clusters.ts";
import { planContainers } from "../containers.ts";
import { evaluateNode, placed } from "../expressions/evaluate.ts";
import {
  Budget,
  evaluateBoolean,
  evaluateCondition,
  namesStatus,
  evaluateNumber,
  findMistakes,
  holdsExpression,
  interpolate,
  type Json,
  type Scope,
  type Status,
} from "../expressions/expressions.ts";
import { groupMistake } from "../read/job-keys.ts";
import { type Cell, cellName, expandMatrix, labelsOf as valuesOf } from "./matrix.ts";
import { findLabelMistakes, type RunsOnRule } from "../runs-on.ts";
import { type Node, placeAt, type Scalar } from "../read/tree.ts";
import { type Concurrency, type Environment, type Job, jobOf, type Workflow } from "../workflow.ts";

/** How a job ended, in the words of `needs.X.result`. */
export type JobResult = "success" | "failure" | "cancelled" | "skipped";

/** What expressions of jobs can see. */
export interface JobContexts {
  github: Json;
  vars: Json;
  inputs?: Json;
  /** The jobs in its `needs`, by id. */
  needs: Readonly<Record<string, { result: JobResult; outputs: Readonly<Record<string, string>> }>>;
}

/** A JobRun but for what the Run says, and for `runsOn`, which the server's policy makes of the labels. */
export type PlannedJobRun = Omit<JobRunSpec, "run" | "repository" | "lane" | "runsOn"> & { labels: string[] };

export type JobDecision = { kind: "run"; cells: PlannedJobRun[] } | { kind: "skip"; reason: string } | { kind: "invalid"; message: string };

/** What a job may ask for: by the configuration, and by its repository. */
export interface JobPolicy {
  /** What labels of one's own mean. */
  rules?: readonly RunsOnRule[] | undefined;
  /** Providers of clusters. Default: all. */
  providers?: readonly Provider[] | undefined;
  /** Whose policy that is, for people: `repository owner/project`. */
  whose?: string | undefined;
}

/** @throws Error when the workflow has no such job: a defect of the caller. */
export function decideJob(workflow: Workflow, id: string, contexts: JobContexts, status: Status, policy: JobPolicy = {}): JobDecision {
  const job = jobOf(workflow, id);
  try {
    if (!isWanted(job, contexts, status)) return { kind: "skip", reason: reasonOf(job, contexts, status) };
    return { kind: "run", cells: cellsOf(job, contexts, policy) };
  } catch (error) {
    if (!(error instanceof SeatrialError)) throw error;
    return { kind: "invalid", message: error.message };
  }
}

/** Whether the job's `if` holds; of a running job it is asked again when its run is aborted. @throws SeatrialError `invalid` */
export function isWanted(job: Job, { github, vars, inputs, needs }: JobContexts, status: Status): boolean {
  const { condition } = job;
  if (!condition) return status.isSuccess;
  const scope: Scope = { contexts: { github, vars, inputs: inputs ?? {}, needs } };
  return placed(condition.place, ["jobs", job.id, "if"], () => evaluateCondition(condition.text, scope, status));
}

/** A JobRun that never runs. */
export function idleJobRun(job: Job, why: { skip: string } | { invalid: string }): PlannedJobRun {
  const text = job.name?.text ?? job.id;
  return {
    job: job.id,
    name: holdsExpression(text) ? job.id : text,
    ...("skip" in why ? { skip: why.skip.slice(0, 1024) } : { invalid: why.invalid.slice(0, 4096) }),
    needs: [...job.needs],
    steps: [],
    labels: [],
  };
}

/** Why a job is skipped, for people. */
export function reasonOf(job: Job, { needs }: JobContexts, status: Status): string {
  const { condition } = job;
  const isTacit = condition !== undefined && !status.isSuccess && !namesStatus(condition.text);
  if (condition && !isTacit) return `its \`if\` is false: ${condition.text.trim()}`.slice(0, 1024);
  if (status.isCancelled) return "the run was aborted before it could start";
  const words = { success: "passed", failure: "failed", cancelled: "was aborted", skipped: "was skipped" };
  const bad = job.needs
    .filter((need) => needs[need]?.result !== "success")
    .map((need) => `${need} ${words[needs[need]?.result ?? "skipped"]}`);
  const why =
    bad.length > 0 ? `it needs ${job.needs.join(", ")}, and ${bad.join(", ")}` : "a job that comes before those that it needs did not pass";
  return (isTacit ? `${why}; its \`if\` would be asked all the same with \`!cancelled() &&\` in front` : why).slice(0, 1024);
}

function cellsOf(job: Job, contexts: JobContexts, policy: JobPolicy): PlannedJobRun[] {
  const base = { github: contexts.github, vars: contexts.vars, inputs: contexts.inputs ?? {}, needs: contexts.needs };
  const path = ["jobs", job.id];
  // A matrix multiplies whatever its expressions cost.
  const budget = new Budget(limits.decisionWork);
  const scope: Scope = { contexts: base, budget };
  const { matrix } = job;
  const cells =
    matrix &&
    placed(matrix.place, [...path, "strategy", "matrix"], () => expandMatrix(evaluateNode(matrix, [...path, "strategy", "matrix"], scope)));
  const failFast = booleanOf(job.failFast, [...path, "strategy", "fail-fast"], scope);
  const maxParallel = countOf(job.maxParallel, [...path, "strategy", "max-parallel"], scope);
  const total = cells?.length ?? 1;
  const planned = (cells ?? [undefined]).map((cell: Cell | undefined, index): PlannedJobRun => {
    const strategy = { "fail-fast": failFast ?? true, "job-index": index, "job-total": total, "max-parallel": maxParallel ?? total };
    const inCell: Scope = { contexts: { ...base, strategy, matrix: cell?.values ?? null }, budget };
    const clusters = clustersOf(job, inCell, policy);
    const continueOnError = booleanOf(job.continueOnError, [...path, "continue-on-error"], inCell);
    const timeoutMinutes = minutesOf(job.timeoutMinutes, [...path, "timeout-minutes"], inCell);
    const one: PlannedJobRun = {
      job: job.id,
      name: nameOf(job, cell, inCell),
      ...(cell && { cell: JSON.stringify(cell.values) }),
      needs: [...job.needs],
      needsContext: JSON.stringify(contexts.needs),
      strategyContext: JSON.stringify(strategy),
      env: { ...job.env },
      steps: job.steps,
      outputs: { ...job.outputs },
      ...(timeoutMinutes !== undefined && { timeoutMinutes }),
      ...(continueOnError !== undefined && { continueOnError }),
      ...(cell && { failFast: failFast ?? true }),
      ...(maxParallel !== undefined && { maxParallel }),
      ...(clusters.length > 0 && { clusters }),
      ...planContainers(job, path, inCell),
      ...(job.concurrency && { concurrency: groupOf(job.concurrency, [...path, "concurrency"], inCell) }),
      ...(job.environment && environmentOf(job.environment, [...path, "environment"], inCell)),
      ...(job.notices.length > 0 && { notices: job.notices.map((notice) => notice.slice(0, 1024)) }),
      labels: labelsOf(job, inCell, policy),
    };
    checkBounds(job, one);
    return one;
  });
  return toldApart(job, planned, cells ?? []);
}

/** Checks are known by the names of cells: those that share one get their values with it, and their number where that is not enough. */
export function toldApart<T extends { name: string }>(job: Job, planned: readonly T[], cells: readonly Cell[]): T[] {
  const renamed = (all: readonly T[], nameOf: (name: string, index: number) => string) => {
    const count = new Map<string, number>();
    for (const { name } of all) count.set(name, (count.get(name) ?? 0) + 1);
    return all.map((one, index) => (count.get(one.name) === 1 ? one : { ...one, name: nameOf(one.name, index) }));
  };
  // A name without expressions has them already.
  const hasOwn = holdsExpression(job.name?.text ?? "");
  const withValues = hasOwn ? renamed(planned, (name, index) => cellName(name, valuesOf(cells[index]!.values))) : planned;
  return renamed(withValues, (name, index) => `${name} #${index + 1}`);
}

/** A name with an expression says itself which cell it is of. */
export function nameOf(job: Job, cell: Cell | undefined, scope: Scope): string {
  const { name } = job;
  if (!name || !holdsExpression(name.text)) return cellName(name?.text ?? job.id, cell?.labels ?? []);
  return placed(name.place, ["jobs", job.id, "name"], () => interpolate(name.text, scope)).trim() || job.id;
}

function labelsOf({ id, runsOn }: Job, scope: Scope, { rules }: JobPolicy): string[] {
  if (!runsOn) return [];
  const path = ["jobs", id, "runs-on"];
  const value = evaluateNode(runsOn, path, scope);
  // A group is a label that the configuration gives a meaning.
  const parts = runsOn.kind === "map" ? Object.values(value as Record<string, Json>) : [value];
  const labels = parts.flatMap((part: Json): Json[] => (Array.isArray(part) ? (part as Json[]) : [part]));
  if (labels.length === 0 || labels.length > 20 || !labels.every((label) => typeof label === "string")) {
    throw problemAt(runsOn, path, `must be a label or a list of up to 20 labels, and is ${shown(value)}`);
  }
  const [mistake] = findLabelMistakes(labels, rules);
  if (mistake) throw problemAt((runsOn.kind === "list" ? runsOn.items[mistake.index] : undefined) ?? runsOn, path, mistake.message);
  return labels;
}

/** @throws InvalidError when the group is empty or too long. */
export function groupOf(
  { group, cancelInProgress, queue }: Concurrency,
  path: string[],
  scope: Scope,
): NonNullable<JobRunSpec["concurrency"]> {
  const name = placed(group.place, [...path, "group"], () => interpolate(group.text, scope)).trim();
  const mistake = groupMistake(name);
  if (mistake) throw problemAt(group, [...path, "group"], mistake);
  const cancels = booleanOf(cancelInProgress, [...path, "cancel-in-progress"], scope) ?? false;
  if (cancels && queue === "max") throw problemAt(cancelInProgress!, [...path, "cancel-in-progress"], "cannot be true beside `queue: max`");
  return { group: name, cancelInProgress: cancels, queue };
}

/** An empty name is no environment, as on GitHub. */
function environmentOf({ name, url }: Environment, path: string[], scope: Scope): Pick<JobRunSpec, "environment"> {
  const named = placed(name.place, [...path, "name"], () => interpolate(name.text, scope)).trim();
  if (named === "") return {};
  if (named.length > 255) throw problemAt(name, [...path, "name"], "can have at most 255 characters");
  const shownUrl =
    url && findMistakes(url.text, { contexts: Object.keys(scope.contexts) }).length === 0 ? interpolate(url.text, scope) : "";
  return { environment: { name: named, ...(shownUrl !== "" && { url: shownUrl.slice(0, 2048) }) } };
}

function clustersOf(job: Job, scope: Scope, { providers, whose }: JobPolicy): NonNullable<JobRunSpec["clusters"]> {
  const problems: Problem[] = [];
  const clusters = job.clusters.flatMap(({ name, node, isOfStep }) => {
    const path = ["jobs", job.id, ...(name === "cluster" ? [name] : ["clusters", name])];
    const value = evaluateNode(node, path, scope);
    const read = readClusterSpec(node, isOfStep ? withAskedVersion(value) : value, path);
    problems.push(...read.problems);
    if (read.spec && providers && !providers.includes(read.spec.provider)) {
      const message = `${read.spec.provider} is not allowed for ${whose ?? "its repository"}, which may have ${anyOf(providers) || "none"}`;
      problems.push({ place: placeAt(node, ["provider"]), path: [...path, "provider"].join("."), message });
    }
    return read.spec ? [{ name, spec: read.spec }] : [];
  });
  if (problems.length > 0) throw new InvalidError(problems);
  return withOwnSubnets(clusters);
}

export function booleanOf(scalar: Scalar | undefined, path: string[], scope: Scope): boolean | undefined {
  return scalar && placed(scalar.place, path, () => evaluateBoolean(scalar.text, scope));
}

function minutesOf(scalar: Scalar | undefined, path: string[], scope: Scope): number | undefined {
  if (!scalar) return undefined;
  const value = placed(scalar.place, path, () => evaluateNumber(scalar.text, scope));
  if (value > 0 && value <= 4320) return Math.max(value, 0.001);
  throw problemAt(scalar, path, `must be more than 0 and at most 4320 minutes, and is ${value}`);
}

export function countOf(scalar: Scalar | undefined, path: string[], scope: Scope): number | undefined {
  if (!scalar) return undefined;
  const value = placed(scalar.place, path, () => evaluateNumber(scalar.text, scope));
  if (Number.isInteger(value) && value >= 1 && value <= 256) return value;
  throw problemAt(scalar, path, `must be a whole number from 1 to 256, and is ${value}`);
}

/** What the API server would refuse; steps, env and outputs were measured when the workflow was read. */
const bounded = jobRunSpecSchema.pick({ name: true, cell: true, needsContext: true, strategyContext: true });

function checkBounds(job: Job, { name, cell, needsContext, strategyContext }: PlannedJobRun): void {
  const issue = bounded.safeParse({ name, cell, needsContext, strategyContext }).error?.issues[0];
  if (!issue) return;
  const what =
    { cell: "its matrix cell", needsContext: "what the jobs that it needs have put out" }[String(issue.path[0])] ?? String(issue.path[0]);
  const problem = { place: job.place, path: `jobs.${job.id}`, message: `${what} is too long for a JobRun: ${issue.message}` };
  throw new SeatrialError("invalid", formatProblem(problem));
}

function problemAt(node: Node, path: string[], message: string): InvalidError {
  return new InvalidError([{ place: node.place, path: path.join("."), message }]);
}

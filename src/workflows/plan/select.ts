/**
 * Which jobs of a workflow, and which cells of them, were asked for: by id or by name, those of called workflows after the name of the
 * job that calls them.
 */
import { SeatrialError } from "../../base/errors.ts";
import type { RunSpec } from "../../resources/run.ts";
import { didYouMean } from "../../resources/suggest.ts";
import type { CallCell } from "./calls.ts";
import type { JobDecision } from "./decide.ts";
import { holdsExpression, type Json } from "../expressions/expressions.ts";
import { cellName, labelsOf } from "./matrix.ts";
import { type Call, type Job, jobOf, type Workflow } from "../workflow.ts";

/** Jobs of the run; of each all cells, or those that were named. */
export type Selection = ReadonlyMap<string, "all" | readonly string[]>;

/**
 * The jobs that were asked for, as `JOB` or `JOB (cell)`, by id or by name, and all that they need; of a job that calls a workflow also
 * as `JOB / CALLED`.
 * @throws SeatrialError `not-found` for the first that is no job of the workflow.
 */
export function selectJobs(workflow: Workflow, selected: readonly string[] | undefined): Selection {
  const selection = new Map<string, "all" | readonly string[]>();
  const add = (job: Job, cells: "all" | readonly string[]): void => {
    const before = selection.get(job.id);
    if (before === "all") return;
    selection.set(job.id, cells === "all" ? cells : [...(before ?? []), ...cells]);
    if (before === undefined) for (const need of job.needs) add(jobOf(workflow, need), "all");
  };
  for (const job of selected === undefined ? workflow.jobs : []) add(job, "all");
  for (const name of selected ?? []) {
    const whole = workflow.jobs.filter((job) => namesOf(job).includes(name));
    const inPart = workflow.jobs.filter((job) => {
      if (namesOf(job).some((own) => job.matrix && name.startsWith(`${own} (`))) return true;
      return job.call !== undefined && calledName(job, name) !== undefined;
    });
    if (whole.length + inPart.length === 0) {
      const known = workflow.jobs.map(({ id }) => id);
      throw new SeatrialError("not-found", `workflow ${workflow.path} has no job ${name}${didYouMean(name, known)}`, {
        hint: `its jobs are ${known.join(", ")}`,
      });
    }
    for (const job of whole) add(job, "all");
    if (whole.length > 0) continue;
    for (const job of inPart) {
      const called = job.call && calledName(job, name);
      if (job.call && called !== undefined) selectJobs(job.call.workflow, [called]);
      add(job, [name]);
    }
  }
  return selection;
}

/** Of `JOB / CALLED` or `JOB (cell) / CALLED` what comes after the job's own name; undefined when it is another job's. */
function calledName(job: Job, name: string, own: readonly string[] = namesOf(job)): string | undefined {
  for (const each of own) {
    if (name.startsWith(`${each} / `)) return name.slice(each.length + 3);
    const end = job.matrix && name.startsWith(`${each} (`) ? name.indexOf(") / ") : -1;
    if (end !== -1) return name.slice(end + 4);
  }
  return undefined;
}

/** Its id, and its name where that is the same for all cells. */
function namesOf({ id, name }: Job): string[] {
  return name && !holdsExpression(name.text) ? [id, name.text] : [id];
}

/** The cells that were asked for: by values of their matrix, by their names, or by the job's id with the cell. */
export function selectCells(all: JobDecision, job: Job, wanted: "all" | readonly string[], matrix: RunSpec["matrix"]): JobDecision {
  if (all.kind !== "run") return all;
  const decision = { ...all, cells: all.cells.filter(({ cell }) => isSelectedCell(cell, matrix ?? {})) };
  if (decision.cells.length === 0) return { kind: "skip", reason: "its matrix has no cell with the values that were asked for" };
  if (wanted === "all") return decision;
  const cells = decision.cells.filter(({ name, cell }) => {
    return wanted.includes(name) || wanted.includes(cellName(job.id, labelsOf(JSON.parse(cell ?? "{}") as Json)));
  });
  if (cells.length > 0) return { kind: "run", cells };
  const known = decision.cells.map(({ name }) => name).join(", ");
  return { kind: "invalid", message: `${job.id} has no cell ${wanted.join(", ")}; it has ${known}` };
}

/** Whether each value is one of those that were asked for, where its key was. */
export function isSelectedCell(cell: string | undefined, matrix: NonNullable<RunSpec["matrix"]>): boolean {
  const values = JSON.parse(cell ?? "{}") as Record<string, Json>;
  return Object.entries(matrix).every(([key, wanted]) => !Object.hasOwn(values, key) || wanted.includes(labelsOf(values[key]!).join(", ")));
}

/** Which jobs of a called workflow were asked for; undefined: none of this cell. */
export function selectCalled(
  wanted: "all" | readonly string[],
  job: Job & { call: Call },
  { name: cellTitle }: CallCell,
): Selection | undefined {
  const { workflow } = job.call;
  if (wanted === "all" || wanted.includes(cellTitle)) return selectJobs(workflow, undefined);
  const names = wanted.flatMap((name) => {
    if (name.startsWith(`${cellTitle} / `)) return [name.slice(cellTitle.length + 3)];
    // Without its cell it is of all.
    return namesOf(job).flatMap((own) => (name.startsWith(`${own} / `) ? [name.slice(own.length + 3)] : []));
  });
  return names.length === 0 ? undefined : selectJobs(workflow, names);
}

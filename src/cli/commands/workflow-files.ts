/** The workflow files of a working tree, as `run`, `plan` and `check` read and choose them. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { InvalidError, type Problem, SeatrialError } from "../../base/errors.ts";
import type { Source } from "../../resources/run.ts";
import { didYouMean } from "../../resources/suggest.ts";
import { workflowFiles } from "../../workflows/find.ts";
import { selectJobs } from "../../workflows/plan.ts";
import { readWorkflow } from "../../workflows/read.ts";
import type { RunsOnRule } from "../../workflows/runs-on.ts";
import { isTriggered } from "../../workflows/triggers.ts";
import type { Workflow } from "../../workflows/workflow.ts";

export interface WorkflowFile {
  workflow: Workflow;
  text: string;
}

/** All workflow files of the folder; what is wrong in any of them is told at once. @param rules what labels of one's own mean. */
export async function readWorkflows(folder: string, rules: readonly RunsOnRule[]): Promise<WorkflowFile[]> {
  const paths: string[] = [];
  for (const place of [".seatrial", ".github/workflows"]) {
    for (const name of await readdir(join(folder, place)).catch(() => [])) paths.push(`${place}/${name}`);
  }
  const problems: Problem[] = [];
  const files: WorkflowFile[] = [];
  for (const path of workflowFiles(paths)) {
    const text = await readFile(join(folder, path), "utf8");
    try {
      files.push({ workflow: readWorkflow(text, path, rules), text });
    } catch (error) {
      if (!(error instanceof InvalidError)) throw error;
      problems.push(...error.problems);
    }
  }
  if (problems.length > 0) throw new InvalidError(problems);
  if (files.length === 0) {
    throw new SeatrialError("usage", `${folder} has no workflow: neither .seatrial nor .github/workflows has a .yml file`, {
      hint: "docs/guides/workflows.md shows the first one",
    });
  }
  return files;
}

export function chooseWorkflows(files: readonly WorkflowFile[], names: readonly string[], source: Source): WorkflowFile[] {
  if (names.length > 0) {
    return names.map((name) => {
      const found = files.find(({ workflow }) => workflow.name === name || workflow.path === name || workflow.path.endsWith(`/${name}`));
      if (found) return found;
      throw new SeatrialError("usage", `there is no workflow ${name}`, {
        hint: `there are ${files.map(({ workflow }) => (workflow.name === workflow.path ? workflow.path : `${workflow.name} (${workflow.path})`)).join(", ")}`,
      });
    });
  }
  const event = { event: source.event, ref: source.ref, baseRef: source.base.ref };
  const chosen = files.filter(({ workflow }) => isTriggered(workflow, event));
  if (chosen.length > 0) return chosen;
  throw new SeatrialError("usage", `no workflow is started by ${source.event} of ${source.ref}`, {
    hint: "name one, or choose another --event",
  });
}

/**
 * The workflows that have one of the jobs, each with those of them that it has; all of them, and all jobs, when none is named.
 * @throws SeatrialError `usage` for the first that no workflow has.
 */
export function chooseJobs(
  chosen: readonly WorkflowFile[],
  jobs: readonly string[] | undefined,
): { file: WorkflowFile; jobs: string[] | undefined }[] {
  if (!jobs) return chosen.map((file) => ({ file, jobs: undefined }));
  const isIn = ({ workflow }: WorkflowFile, job: string) => {
    try {
      return selectJobs(workflow, [job]).size > 0;
    } catch (error) {
      if (!(error instanceof SeatrialError)) throw error;
      return false;
    }
  };
  const missing = jobs.find((job) => !chosen.some((file) => isIn(file, job)));
  if (missing !== undefined) {
    const known = chosen.flatMap(({ workflow }) => workflow.jobs.map(({ id }) => id));
    throw new SeatrialError("usage", `there is no job ${missing}${didYouMean(missing, known)}`, { hint: `there are ${known.join(", ")}` });
  }
  return chosen.map((file) => ({ file, jobs: jobs.filter((job) => isIn(file, job)) })).filter(({ jobs: own }) => own.length > 0);
}

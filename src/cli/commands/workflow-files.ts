/** The workflow files of a working tree, as `run`, `plan` and `check` read and choose them. */
import { lstat, readdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Environment } from "../../base/environment.ts";
import { formatProblem, InvalidError, type Problem, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { workingPaths } from "../../git/working-change.ts";
import type { Snapshot } from "../../git/worktree.ts";
import type { Source } from "../../resources/run.ts";
import { didYouMean } from "../../resources/suggest.ts";
import { workflowFiles } from "../../workflows/read/find.ts";
import { readFollowing } from "../../workflows/read/read.ts";
import { type FetchCalled, treePath } from "../../workflows/read/read-calls.ts";
import { selectJobs } from "../../workflows/plan/select.ts";
import type { RunsOnRule } from "../../workflows/runs-on.ts";
import { asksForPaths, isTriggered } from "../../workflows/triggers/triggers.ts";
import type { Workflow } from "../../workflows/workflow.ts";
import { readLocalActions } from "./local-actions.ts";

export interface WorkflowFile {
  workflow: Workflow;
  text: string;
  /** Texts of those that it calls, by path. */
  calls: Record<string, string>;
}

/** The folder of the repository that a folder is in, as git finds it; without one the folder itself. */
export async function repositoryAround(folder: string): Promise<string> {
  for (let at = folder; ; at = dirname(at)) {
    // A file in a worktree of another, and in a submodule.
    if (await stat(join(at, ".git")).catch(() => undefined)) return at;
    if (at === dirname(at)) return folder;
  }
}

/**
 * All workflow files of the folder; what is wrong in any of them is told at once.
 * @param rules what labels of one's own mean. @param fetch gets the workflows of other repositories that they call. Default: none.
 */
export async function readWorkflows(folder: string, rules: readonly RunsOnRule[], fetch?: FetchCalled): Promise<WorkflowFile[]> {
  const paths: string[] = [];
  for (const place of [".seatrial", ".github/workflows"]) {
    for (const name of await readdir(join(folder, place)).catch(() => [])) paths.push(`${place}/${name}`);
  }
  const fetchAll: FetchCalled = async (uses) => {
    const path = treePath(uses);
    if (path !== undefined) return await textIn(folder, path);
    if (fetch) return await fetch(uses);
    throw new SeatrialError("not-found", "workflows of other repositories are fetched by a server");
  };
  const problems: Problem[] = [];
  const files: WorkflowFile[] = [];
  const texts = new Map<string, string>();
  for (const path of workflowFiles(paths)) texts.set(path, await readFile(join(folder, path), "utf8"));
  for (const [path, text] of texts) {
    const { workflow, problems: wrong, calls, files: all } = await readFollowing(text, path, rules, texts, fetchAll);
    problems.push(...wrong);
    if (workflow) files.push({ workflow, text, calls: Object.fromEntries(calls.map((called) => [called, all.get(called)!])) });
  }
  const local = await readLocalActions(
    folder,
    files.flatMap(({ workflow }) => workflow.actions),
  );
  problems.push(...local.problems);
  const [first] = files;
  if (first) first.workflow = { ...first.workflow, notices: [...first.workflow.notices, ...local.notices] };
  // What is wrong with one that is called is told by each that calls it.
  if (problems.length > 0) throw new InvalidError([...new Map(problems.map((each) => [formatProblem(each), each])).values()]);
  if (files.length === 0) {
    throw new SeatrialError("usage", `${folder} has no workflow: neither .seatrial nor .github/workflows has a .yml file`, {
      hint: "docs/guides/workflows.md shows the first one",
    });
  }
  return files;
}

/** @throws SeatrialError `not-found`, and `invalid` where it is no file within the folder: a link is not followed, as of a commit. */
async function textIn(folder: string, path: string): Promise<string> {
  const at = join(folder, path);
  const isFile = await lstat(at).then(
    (stat) => stat.isFile() && stat.size <= limits.gitFileBytes,
    () => undefined,
  );
  if (isFile === undefined) throw new SeatrialError("not-found", `there is no file ${path}`);
  if (!isFile) throw new SeatrialError("invalid", `${path} is no regular file of up to ${limits.gitFileBytes} bytes`);
  return await readFile(at, "utf8");
}

/** What the event changes, when a workflow asks for it; undefined when none does, or it is not known. */
export async function changedHere(
  environment: Environment,
  snapshot: Snapshot,
  source: Source,
  files: readonly WorkflowFile[],
  signal: AbortSignal,
): Promise<string[] | undefined> {
  if (!files.some(({ workflow }) => asksForPaths(workflow, source.event))) return undefined;
  return await workingPaths(environment, snapshot, source, signal);
}

/**
 * Those that were named, else those that the event starts; and for people what its filters leave out.
 * @param paths files that changed. Default: not known. @param actions what happened, in the words of `types`. Default: whatever they ask for.
 * @throws SeatrialError `usage` when there are none.
 */
export function chooseWorkflows(
  files: readonly WorkflowFile[],
  names: readonly string[],
  source: Source,
  paths?: readonly string[],
  actions?: readonly string[],
): { chosen: WorkflowFile[]; leftOut: string[] } {
  if (names.length > 0) {
    const chosen = names.map((name) => {
      const found = files.find(({ workflow }) => workflow.name === name || workflow.path === name || workflow.path.endsWith(`/${name}`));
      if (found) return found;
      throw new SeatrialError("usage", `there is no workflow ${name}`, {
        hint: `there are ${files.map(({ workflow }) => (workflow.name === workflow.path ? workflow.path : `${workflow.name} (${workflow.path})`)).join(", ")}`,
      });
    });
    return { chosen, leftOut: [] };
  }
  const event = { event: source.event, ref: source.ref, baseRef: source.base.ref, paths, actions };
  const chosen = files.filter(({ workflow }) => isTriggered(workflow, event));
  const leftOut = files.flatMap(({ workflow }) => {
    const { name, path, on } = workflow;
    if (on[source.event] === undefined || isTriggered(workflow, event)) return [];
    const isWithout = (filter: object) => isTriggered(workflow, { ...event, ...filter });
    const ofOthers = isWithout({ actions: undefined }) ? `${actions?.join(", ")} is none of its types` : `it is not for ${source.base.ref}`;
    const why = isWithout({ paths: undefined }) ? "no file that changed is one of its paths" : ofOthers;
    return `${name === path ? path : `${name} (${path})`} is left out by its on.${source.event}: ${why}`;
  });
  if (chosen.length > 0) return { chosen, leftOut };
  throw new SeatrialError("usage", [`no workflow is started by ${source.event} of ${source.ref}`, ...leftOut].join("\n"), {
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

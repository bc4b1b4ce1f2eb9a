/**
 * Reads a workflow file: YAML, then keys, values and expressions, then the graph of jobs. All that is wrong is reported at
 * once, each with its place. What is not in `keys.ts` as working is refused: a workflow that is accepted does what it says.
 */
import { InvalidError, formatProblem, type Problem, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { type CalledFiles, type FetchCalled, CallGraph, permissionProblems, treePath } from "./read-calls.ts";
import type { RunsOnRule } from "../runs-on.ts";
import { readTree } from "./tree.ts";
import { WorkflowReader } from "./workflow-reader.ts";
import type { ActionMention, Workflow } from "../workflow.ts";

/**
 * @param file as the user named it: it is the first part of each problem.
 * @param rules what labels of one's own mean.
 * @param called workflow files of the same tree, which its jobs can call. Default: none.
 * @throws InvalidError with all problems of the file, and of those that it calls.
 */
export function readWorkflow(text: string, file: string, rules: readonly RunsOnRule[] = [], called: CalledFiles = new Map()): Workflow {
  const { workflow, problems } = readWithCalls(text, file, rules, called);
  if (!workflow) throw new InvalidError(problems);
  return workflow;
}

/** The same, where it is of use which files it calls although something is wrong. @returns the workflow, or what is wrong with it. */
export function readWithCalls(
  text: string,
  file: string,
  rules: readonly RunsOnRule[],
  called: CalledFiles,
  refused: ReadonlyMap<string, string> = new Map(),
): { workflow?: Workflow; problems: Problem[]; calls: string[]; missing: string[] } {
  const problems: Problem[] = [];
  const notices: Problem[] = [];
  const actions: ActionMention[] = [];
  const graph = new CallGraph(called, refused, (each, path) => {
    const source = readTree(each, path);
    if (!source.root && source.problems.length === 0)
      problems.push({ place: { file: path, line: 1, column: 1 }, path: "", message: "is empty: a workflow has `on` and `jobs`" });
    const reader = new WorkflowReader(source, rules, graph);
    const read = source.root && reader.read(source.root, path);
    problems.push(...reader.problems);
    notices.push(...reader.notices);
    actions.push(...reader.actions);
    return read;
  });
  const workflow = graph.enter(text, file);
  const size = graph.jobsIn(file);
  if (workflow && size > limits.workflowJobs && workflow.jobs.length <= limits.workflowJobs) {
    const message = `has ${size} jobs with those of the workflows that it calls, and can have at most ${limits.workflowJobs}`;
    problems.push({ place: { file, line: 1, column: 1 }, path: "jobs", message });
  }
  if (problems.length === 0 && workflow) problems.push(...permissionProblems(workflow));
  const { files: calls, missing } = graph;
  const files = [file, ...calls.map((each) => treePath(each) ?? each)];
  if (problems.length > 0 || !workflow) return { problems: inOrder(problems, files), calls, missing };
  return { workflow: { ...workflow, calls, actions, notices: inOrder(notices, files) }, problems: [], calls, missing };
}

/**
 * The same with workflows of other repositories, and files that steps name, which are fetched as they are found.
 * @returns beside it the texts of all that can be called, those that were fetched among them.
 */
export async function readFollowing(
  text: string,
  file: string,
  rules: readonly RunsOnRule[],
  called: CalledFiles,
  fetch: FetchCalled | undefined,
): Promise<Omit<ReturnType<typeof readWithCalls>, "missing"> & { files: CalledFiles }> {
  const files = new Map(called);
  const refused = new Map<string, string>();
  for (;;) {
    const { missing, ...read } = readWithCalls(text, file, rules, files, refused);
    if (missing.length === 0 || !fetch) return { ...read, files };
    // Each turn answers for some that none before it did, and there are no more than can be called.
    for (const uses of new Set(missing)) {
      try {
        const isTooMany = files.size - called.size + refused.size >= limits.calledWorkflows;
        if (isTooMany) throw new SeatrialError("invalid", `${limits.calledWorkflows} other files can be called, and no more`);
        files.set(uses, await fetch(uses));
      } catch (error) {
        if (!(error instanceof SeatrialError)) throw error;
        refused.set(uses, treePath(uses) === undefined ? `${uses} cannot be had: ${error.message}` : error.message);
      }
    }
  }
}

/** Each once, in the order of the files; of very many the first. */
function inOrder(problems: readonly Problem[], files: readonly string[]): Problem[] {
  const each = [...new Map(problems.map((problem) => [formatProblem(problem), problem])).values()];
  const order = ({ place }: Problem) => files.indexOf(place!.file);
  each.sort((a, b) => order(a) - order(b) || a.place!.line - b.place!.line || a.place!.column - b.place!.column);
  const [first, ...others] = each.splice(limits.workflowProblems);
  if (first) each.push({ ...first, path: "", message: `and ${others.length + 1} more problems from here on` });
  return each;
}

/** What came of an event, in the words of its case: only as much of it as the case speaks of, so that the two can be compared whole. */
import { readWorkflows } from "../../src/cli/commands/workflow-files.ts";
import { InvalidError, formatProblem } from "../../src/base/errors.ts";
import { worstVerdict } from "../../src/resources/verdict.ts";
import { type Expectation, isLine, type JobExpectation, type StepExpectation } from "./case.ts";
import type { CaseRepository } from "./forge.ts";
import type { SeenJob, SeenRun, World } from "./world.ts";

export interface Look {
  seen: unknown;
  expected: unknown;
  /** All logs, for whoever has to find out why they differ. */
  log: string;
}

export async function lookAt(world: World, repository: CaseRepository, names: readonly string[], expected: Expectation): Promise<Look> {
  const { problems, notices } = await checked(repository.folder);
  const runs = await Promise.all(names.map(async (name) => await world.ended(name)));
  const log = runs.flatMap(({ view, jobs }) => [`${view.run.workflow.name}: ${view.run.message ?? ""}`, ...jobs.map(logOf)]).join("\n");
  if (problems.length > 0 || expected.problems) {
    // The runs of workflow files that are refused say the same as `check`.
    const ofWorkflows = problems.filter((problem) => /^\.(seatrial|github\/workflows)\//.test(problem));
    const said = runs.map(({ view }) => view.run.message ?? "").join("\n");
    const unsaid = ofWorkflows.filter((problem) => !said.includes(problem));
    return { seen: { problems, unsaid }, expected: { problems: expected.problems, unsaid: [] }, log };
  }
  if (runs.length === 0) return { seen: { startsNothing: true }, expected, log };
  const seen = { ...seenOf(runs, expected), ...(expected.notices && { notices }) };
  return { seen, expected: { ...expected, jobs: expectedJobs(expected.jobs ?? {}) }, log };
}

/** What the command `check` says of the tree. */
async function checked(folder: string): Promise<{ problems: string[]; notices: string[] }> {
  try {
    const files = await readWorkflows(folder, []);
    return { problems: [], notices: files.flatMap(({ workflow }) => workflow.notices.map(formatProblem)) };
  } catch (error) {
    if (error instanceof InvalidError) return { problems: error.problems.map(formatProblem), notices: [] };
    throw error;
  }
}

function seenOf(runs: readonly SeenRun[], expected: Expectation): object {
  const messages = runs.map(({ view }) => view.run.message ?? "").join("\n");
  const names = runs.flatMap(({ jobs }) => jobs.map(({ view }) => view.jobName));
  if (new Set(names).size < names.length) throw new Error(`a case cannot tell its jobs apart: ${names.join(", ")}`);
  return {
    verdict: worstVerdict(runs.map(({ view }) => view.run.verdict!)),
    ...(expected.message === undefined ? {} : { message: partOr(expected.message, messages) }),
    // One that nobody expected is told of.
    ...(expected.started || runs.length > 1 ? { started: runs.map(({ view }) => view.run.workflow.name).toSorted() } : {}),
    jobs: Object.fromEntries(
      runs.flatMap(({ jobs }) => jobs.map((job) => [job.view.jobName, seenJob(job, expected.jobs?.[job.view.jobName])])),
    ),
  };
}

function seenJob(job: SeenJob, expected: JobExpectation | undefined): unknown {
  const { view } = job;
  const steps = view.attempts.at(-1)?.steps ?? [];
  return {
    verdict: view.verdict,
    ...(expected?.message === undefined ? {} : { message: partOr(expected.message, view.message ?? "") }),
    ...(expected?.steps && {
      steps: steps.map((step, i) => {
        const wanted = expected.steps![i];
        return {
          conclusion: step.conclusion,
          outcome: step.verdict,
          ...(wanted && wanted.name === undefined ? {} : { name: step.name }),
          ...(wanted?.message === undefined ? {} : { message: partOr(wanted.message, step.message ?? "") }),
        };
      }),
    }),
    ...(expected?.outputs && { outputs: job.outputs }),
    ...(expected?.annotations && { annotations: job.annotations }),
    ...(expected?.artifacts && { artifacts: job.artifacts.toSorted() }),
    ...(expected?.log && { log: linesInOrder(expected.log, job.log) }),
    ...(expected?.absent && { absent: expected.absent.filter((text) => !job.log.some((line) => line.includes(text))) }),
  };
}

function expectedJobs(jobs: Readonly<Record<string, JobExpectation>>): unknown {
  return Object.fromEntries(
    Object.entries(jobs).map(([name, { steps, artifacts, ...job }]) => [
      name,
      { ...job, ...(artifacts && { artifacts: artifacts.toSorted() }), ...(steps && { steps: steps.map(expectedStep) }) },
    ]),
  );
}

function expectedStep(step: StepExpectation): StepExpectation {
  return { ...step, outcome: step.outcome ?? step.conclusion };
}

/** The text that is looked for, when it is there; else all that is there. */
function partOr(part: string, whole: string): string {
  return whole.includes(part) ? part : whole;
}

/** The lines that are there in this order, up to the first that is not. */
function linesInOrder(wanted: readonly string[], lines: readonly string[]): string[] {
  let from = 0;
  const missing = wanted.findIndex((line) => {
    const found = lines.findIndex((each, i) => i >= from && isLine(line, each));
    from = found + 1;
    return found < 0;
  });
  return missing < 0 ? [...wanted] : wanted.slice(0, missing);
}

function logOf({ view, log }: SeenJob): string {
  return [`--- ${view.jobName}: ${view.verdict}${view.message === undefined ? "" : `: ${view.message}`}`, ...log].join("\n");
}

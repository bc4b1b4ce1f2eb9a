/** `seatrial check` and `seatrial plan`: what is wrong with workflow files, and what they would run. Nothing is started. */
import type { Command } from "commander";
import { formatProblem, SeatrialError } from "../../base/errors.ts";
import { workingChange } from "../../git/working-change.ts";
import { snapshotWorktree } from "../../git/worktree.ts";
import type { Run, Source } from "../../resources/run.ts";
import type { PlannedJobRun } from "../../workflows/plan/decide.ts";
import type { Json } from "../../workflows/expressions/expressions.ts";
import { labelsOf } from "../../workflows/plan/matrix.ts";
import { isCalledBy, type JobRunView } from "../../workflows/plan/job-run-views.ts";
import { planRun, type RunInput } from "../../workflows/plan/plan.ts";
import type { InputValue } from "../../workflows/inputs.ts";
import type { Workflow } from "../../workflows/workflow.ts";
import { githubContext } from "../../controllers/run/github-context.ts";
import { surroundingsHere } from "../../server/retention.ts";
import { readUserRules } from "../../server/runs-on.ts";
import type { RunsOnRule } from "../../workflows/runs-on.ts";
import type { CommandContext } from "../cli.ts";
import { printedProblems, withPrintedProblems } from "../print/problems.ts";
import { table } from "../print/tables.ts";
import { type ExecutorChoice, executorOption, jsonOption, readValues } from "./options.ts";
import { type PlannedPlace, PlannedPlaces } from "./planned-places.ts";
import { calledFrom } from "./called-workflows.ts";
import { addEventOptions, type EventFlags, inputsFor, type MadeUpEvent, madeUpEvent } from "./event-payload.ts";
import { changedHere, chooseWorkflows, readWorkflows, repositoryAround } from "./workflow-files.ts";

const checkHelp = `
Each problem is a line FILE:LINE:COLUMN: PATH: MESSAGE; what is taken and does less than it says is a notice.
With -o json both are on stdout: {"workflows": […], "problems": [{"severity", "file", "line", "column", "path", "message"}]}.
Exit code: 0 nothing is wrong, also where there are notices; 2 something is.`;

const planHelp = `
The event, --vars-file and --input are those of \`seatrial run\`; what depends on how other jobs end is shown as open.
Exit code: 0 planned; 2 usage, or the files are wrong: with -o json {"problems": […]} as \`seatrial check\` has it.`;

interface PlanFlags extends EventFlags {
  varsFile?: string;
  executor?: ExecutorChoice;
  output?: "json";
}

interface PlannedJob {
  name: string;
  job: string;
  /** Its matrix cell. */
  cell?: Record<string, Json>;
  needs: string[];
  /** 1 for jobs that start at once; of others one more than the last of those that they need. */
  stage: number;
  /** Where it would run; absent when it would not. */
  place?: PlannedPlace;
  labels: string[];
  clusters: string[];
  /** Why it does not run, or cannot be known yet. */
  note?: string;
}

export function registerPlan(program: Command, context: CommandContext): void {
  const { environment, output } = context;
  program
    .command("check")
    .description("say what is wrong with the workflow files of this folder's repository, and what they use: all of it at once")
    .addOption(jsonOption())
    .addHelpText("after", checkHelp)
    .action(async ({ output: format }: { output?: "json" }) => {
      await withPrintedProblems(context, format, async () => {
        const folder = await repositoryAround(environment.cwd);
        const files = await readWorkflows(folder, await readUserRules(environment), calledFrom(environment, folder));
        const workflows = files.map(({ workflow }) => workflow);
        // One of a file that is called is of each that calls it, too.
        const told = workflows.flatMap((workflow) => workflow.notices);
        const notices = [...new Map(told.map((notice) => [formatProblem(notice), notice])).values()];
        if (format === "json") {
          const found = workflows.map(({ path, name, jobs }) => ({ path, name, jobs: jobs.map(({ id }) => id) }));
          return output.out(JSON.stringify({ workflows: found, problems: printedProblems(notices, "notice") }, null, 2));
        }
        for (const notice of notices) output.err(`notice: ${formatProblem(notice)}`);
        for (const { path, jobs } of workflows) output.out(`${path}: ${jobs.length} job${jobs.length === 1 ? "" : "s"}`);
      });
    });

  addEventOptions(program.command("plan"))
    .description("show the jobs that would run, in which order, with their matrices and clusters, where, and why there; nothing is started")
    .argument("[workflows...]", "names or files. Default: all that the event starts")
    .option("--vars-file <file>", "values of `vars`: lines NAME=value")
    .addOption(executorOption())
    .addOption(jsonOption())
    .addHelpText("after", planHelp)
    .action(async (names: string[], flags: PlanFlags) => {
      await withPrintedProblems(context, flags.output, async () => await showPlan(names, flags, context));
    });
}

async function showPlan(names: readonly string[], flags: PlanFlags, context: CommandContext): Promise<void> {
  const { environment, output, signals } = context;
  const snapshot = await snapshotWorktree(environment, environment.cwd, { tempDir: environment.tempDir, signal: signals.signal });
  const change = await workingChange(environment, snapshot, flags.event, signals.signal);
  const { source, actions, payloadFor } = await madeUpEvent(change, flags, environment);
  const rules = await readUserRules(environment);
  const vars = Object.fromEntries(await readValues(flags.varsFile, context));
  const files = await readWorkflows(snapshot.folder, rules, calledFrom(environment, snapshot.folder));
  const paths = await changedHere(environment, snapshot, source, files, signals.signal);
  const { chosen, leftOut } = chooseWorkflows(files, names, source, paths, actions);
  const workflows = chosen.map(({ workflow }) => workflow);
  const inputs = inputsFor(workflows, source.event, flags.input);
  const foresight = { contextsOf: contextsOf({ source, vars, payloadFor, inputsOf: ({ path }) => inputs.get(path) ?? {} }), rules };
  const places = await PlannedPlaces.look(context, rules, flags.executor);
  const plans = workflows.map((workflow) => ({
    workflow: workflow.name,
    path: workflow.path,
    jobs: plannedJobs(workflow, foresight, places),
  }));
  if (flags.output === "json") return output.out(JSON.stringify(plans, null, 2));
  for (const { workflow, jobs } of plans) {
    output.out(`${workflow} (${source.event} of ${source.ref})`);
    for (const line of planLines(jobs)) output.out(`  ${line}`);
  }
  for (const line of leftOut) output.err(line);
}

/** What is known of a run before it is made. */
export interface Foresight {
  contextsOf(workflow: Workflow): RunInput["contexts"];
  rules: readonly RunsOnRule[];
}

/** The contexts that the run of a workflow would have here. */
export function contextsOf(given: {
  source: Source;
  vars: Readonly<Record<string, string>>;
  payloadFor: MadeUpEvent["payloadFor"];
  inputsOf(workflow: Workflow): Record<string, InputValue>;
}): Foresight["contextsOf"] {
  const { source, vars, payloadFor, inputsOf } = given;
  return (workflow) => {
    const inputs = inputsOf(workflow);
    const run = { metadata: { name: "plan" }, spec: { source, workflow } };
    return { github: githubContext(run, payloadFor(workflow, inputs), surroundingsHere), vars, inputs };
  };
}

function plannedJobs(workflow: Workflow, foresight: Foresight, places: PlannedPlaces): PlannedJob[] {
  const stages = new Map<string, number>();
  const stageOf = (need: string) => Math.max(0, ...[...stages].map(([job, at]) => (job === need || isCalledBy(job, need) ? at : 0)));
  return [...plannedRuns(workflow, foresight)].map(({ planned, isOpen }) => {
    const stage = 1 + Math.max(0, ...(planned.needs ?? []).map(stageOf));
    stages.set(planned.job, Math.max(stage, stages.get(planned.job) ?? 0));
    const note = isOpen ? openNote(planned) : (planned.skip ?? planned.invalid);
    return {
      name: planned.name,
      job: planned.job,
      ...(planned.cell === undefined ? {} : { cell: JSON.parse(planned.cell) as Record<string, Json> }),
      needs: planned.needs ?? [],
      stage,
      ...(planned.skip === undefined && planned.invalid === undefined ? { place: places.of(planned) } : {}),
      labels: planned.labels,
      clusters: (planned.clusters ?? []).map(({ spec: cluster }) =>
        [cluster.provider, cluster.kubernetesVersion].filter(Boolean).join(" "),
      ),
      ...(note === undefined ? {} : { note }),
    };
  });
}

/** @throws SeatrialError `usage` when a value that was asked for is in no cell of any job, as far as that is known before they run. */
export function checkMatrix(workflows: readonly Workflow[], matrix: NonNullable<Run["spec"]["matrix"]>, foresight: Foresight): void {
  const all = workflows.flatMap((workflow) => [...plannedRuns(workflow, foresight)]);
  if (all.some(({ planned, isOpen }) => isOpen || planned.invalid !== undefined)) return;
  const cells = all.map(({ planned: { cell } }) => JSON.parse(cell ?? "{}") as Record<string, Json>);
  for (const [key, values] of Object.entries(matrix)) {
    const known = new Set(cells.flatMap((cell) => (Object.hasOwn(cell, key) ? [labelsOf(cell[key]!).join(", ")] : [])));
    const missing = values.find((value) => !known.has(value));
    if (missing === undefined) continue;
    throw new SeatrialError("usage", `no job has a cell with ${key}=${missing}`, {
      hint: known.size > 0 ? `${key} is one of ${[...known].join(", ")}` : `no matrix has the key ${key}`,
    });
  }
}

/** A job as it looks before the run. */
interface ForeseenJob {
  planned: PlannedJobRun;
  /** Whether it runs, or which cells it has, depends on how other jobs end and what they put out. */
  isOpen: boolean;
}

/** Lets the run pass, job by job, as if all jobs passed and put out nothing. */
function* plannedRuns(workflow: Workflow, { contextsOf: contextsIn, rules }: Foresight): Generator<ForeseenJob> {
  const jobRuns: JobRunView[] = [];
  const contexts = contextsIn(workflow);
  for (;;) {
    const { create } = planRun({ run: "plan", workflow, contexts, jobRuns, policy: { rules }, isAborted: false });
    if (create.length === 0) return;
    for (const { name, spec } of create) {
      const isOpen = spec.skip === undefined ? spec.invalid !== undefined && asksOthers(workflow, spec.job) : ifOfNeeds.test(spec.skip);
      yield { planned: spec, isOpen };
      const { labels, ...planned } = spec;
      jobRuns.push({
        metadata: { name },
        spec: { ...planned, run: "plan", repository: "", lane: "trusted", runsOn: { labels, executor: "host" } },
        status: { phase: "Finished", verdict: planned.skip === undefined || isOpen ? "passed" : "skipped" },
      });
    }
  }
}

/** An `if` that was false, and looks at other jobs: as `reasonOf` words it. */
const ifOfNeeds = /^its `if` is false: (?=.*\bneeds\b)/s;

function openNote({ skip }: PlannedJobRun): string {
  return skip === undefined ? "depends on outputs of other jobs" : `depends on other jobs: ${skip.replace(ifOfNeeds, "")}`;
}

/** Whether what is planned of a job, by its full id, or of one that calls it, is written with `needs`. */
function asksOthers(workflow: Workflow, id: string): boolean {
  const [own, ...below] = id.split("/");
  const job = workflow.jobs.find((each) => each.id === own!.replace(/\.\d+$/, ""));
  if (!job) return false;
  const { steps: _steps, env: _env, outputs: _outputs, call, ...planned } = job;
  if (/\$\{\{[^}]*\bneeds\b/.test(JSON.stringify([planned, call?.inputs ?? []]))) return true;
  return call !== undefined && below.length > 0 && asksOthers(call.workflow, below.join("/"));
}

/** The jobs in the order of their stages, then where they run, with those of one reason together. */
function planLines(jobs: readonly PlannedJob[]): string[] {
  // The id of a job in a called workflow, `one.0/build`, is ours alone; a matrix has no one name.
  const shownNeed = (need: string) => {
    const [only, ...others] = need.includes("/") ? jobs.filter(({ job }) => job === need) : [];
    return only && others.length === 0 ? only.name : need.replaceAll(/\.\d+(?=\/)/g, "");
  };
  const rows = jobs
    .toSorted((a, b) => a.stage - b.stage)
    .map(({ stage, name, needs, clusters, place, note }) => [
      String(stage),
      name,
      needs.length > 0 ? `after ${needs.map(shownNeed).join(", ")}` : "",
      clusters.length > 0 ? `in ${clusters.join(" and ")}` : "",
      note === undefined ? `on ${place!.host}, executor ${place!.executor}` : `(${note})`,
    ]);
  const reasons = Map.groupBy(
    jobs.flatMap(({ name, place }) => (place?.why ?? []).map((why) => ({ name, why }))),
    ({ why }) => why,
  );
  const lines = [...reasons].map(([why, of]) => `${of.map(({ name }) => name).join(", ")}: ${why}`);
  return [...table(["STAGE", "JOB", "NEEDS", "CLUSTERS", "WHERE"], rows).trimEnd().split("\n"), ...lines];
}

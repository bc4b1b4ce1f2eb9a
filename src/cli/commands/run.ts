/** `seatrial run [WORKFLOW…]`: the workflows of a repository, on what is in its working tree now. */
import { constants } from "node:os";
import type { Command } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import { workingChange } from "../../git/working-change.ts";
import { snapshotWorktree } from "../../git/worktree.ts";
import { reapKilled } from "./killed-runs.ts";
import type { NewRun, RunView } from "../../server/api/schemas.ts";
import { readUserMirrors, readUserRules } from "../../server/runs-on.ts";
import type { RunsOnRule } from "../../workflows/runs-on.ts";
import type { Workflow } from "../../workflows/workflow.ts";
import type { CommandContext } from "../cli.ts";
import { withPrintedProblems } from "../print/problems.ts";
import { LineTree, LiveTree } from "../print/run-tree.ts";
import { packageVersion } from "./about.ts";
import { collect, durationOf, type ExecutorChoice, executorOf, executorOption, jsonOption, readValues } from "./options.ts";
import { checkMatrix, contextsOf } from "./plan.ts";
import { addEventOptions, type EventFlags, inputsFor, madeUpEvent } from "./event-payload.ts";
import { calledFrom } from "./called-workflows.ts";
import { changedHere, chooseJobs, chooseWorkflows, readWorkflows } from "./workflow-files.ts";

interface RunFlags extends EventFlags {
  job?: string[];
  matrix?: string[];
  secretsFile?: string;
  varsFile?: string;
  hold?: boolean;
  for?: number;
  output?: "json";
  executor?: ExecutorChoice;
}

export function registerRun(program: Command, context: CommandContext): void {
  addEventOptions(program.command("run"))
    .description("run the workflows of this repository here, each job in its own cluster, on what is in the working tree now")
    .argument("[workflows...]", "names or files. Default: all that the event starts")
    .option("--job <job>", "only this job and what it needs; `JOB (cell)` for one cell (again for more)", collect)
    .option("--matrix <key=value>", "only cells with this value (again for more)", collect)
    .option("--secrets-file <file>", "values of `secrets`: lines NAME=value")
    .option("--vars-file <file>", "values of `vars`: lines NAME=value")
    .addOption(executorOption())
    .option("--hold", "keep the clusters of a job that fails, and print their kubeconfigs")
    .option("--for <time>", "how long they are kept: 90s, 30m, 1h. Default: 1h", durationOf)
    .addOption(jsonOption())
    .addHelpText("after", runHelp)
    .action(async (names: string[], flags: RunFlags) => {
      await withPrintedProblems(context, flags.output, async () => void (context.exitCode = await runHere(names, flags, context)));
    });
}

const runHelp = `
  seatrial run                       all that a push, or the pull request of this branch, would start
  seatrial run ci --job e2e --matrix k8s=v1.36 --hold
  seatrial run --event workflow_dispatch --input level=high
  seatrial run --event repository_dispatch --type built --payload built.json

Exit code: 0 passed, 1 failed, 2 usage, or the workflow files are wrong, 4 an error of Seatrial or the host.`;

async function runHere(names: string[], flags: RunFlags, context: CommandContext): Promise<number> {
  const { environment, output, signals, workspace } = context;
  if (flags.for !== undefined && !flags.hold)
    throw new SeatrialError("usage", "--for says how long --hold keeps clusters: it needs --hold");
  const matrix = flags.matrix && matrixOf(flags.matrix);
  // While git looks at the working tree, what runs the jobs is loaded and opened.
  const reading = readUserRules(environment);
  const givenVars = readValues(flags.varsFile, context);
  const choosing = chooseHere(names, flags, matrix, reading, givenVars, context);
  const folder = choosing.then((here) => here.folder);
  for (const each of [reading, choosing, folder]) each.catch(() => {}); // Awaited below.
  const [secrets, vars] = await Promise.all([readValues(flags.secretsFile, context), givenVars]);
  const { openOneShot } = await import("../../server/one-shot.ts");
  await reapKilled(context);
  await using engine = await openOneShot(workspace, {
    folder,
    secrets,
    vars,
    version: packageVersion(),
    rules: await reading,
    actionMirrors: await readUserMirrors(environment),
    executor: executorOf(flags.executor, environment),
    kubectl: async (signal) => (await context.programs.find({ name: "kubectl" }, signal)).path,
  });
  const { source, payloadFor, chosen, inputsOf } = await choosing;
  const runs: string[] = [];
  for (const { file, jobs } of chosen) {
    const inputs = inputsOf(file.workflow);
    runs.push(
      await engine.api.createRun({
        source,
        workflow: { path: file.workflow.path, text: file.text, calls: file.calls },
        event: payloadFor(file.workflow, inputs),
        ...(source.event === "workflow_dispatch" ? { inputs: JSON.stringify(inputs) } : {}),
        ...(jobs ? { jobs } : {}),
        ...(matrix ? { matrix } : {}),
        ...(flags.hold ? { hold: { forSeconds: flags.for ?? 3600 } } : {}),
      }),
    );
  }
  using _abort = signals.onSignal((name) => {
    for (const run of runs) void engine.api.abort(run, `ended by ${name}`).catch(() => {});
  });
  const isTerminal = context.terminal !== undefined && flags.output !== "json";
  const tree = isTerminal ? new LiveTree(output, context.terminal!.columns) : new LineTree(output);
  const views = new Map<string, RunView>();
  const draw = () => tree.draw([...views.values()], new Date());
  await Promise.all(
    runs.map(async (run) => {
      for await (const view of engine.api.stream(run)) {
        views.set(run, view);
        draw();
      }
    }),
  );
  const ended = [...views.values()];
  if (flags.output === "json") output.out(JSON.stringify(ended, null, 2));
  else for (const view of ended) await tellFailures(view, engine.api, output);
  await engine.settled();
  if (signals.received) return 128 + constants.signals[signals.received];
  const verdicts = ended.map(({ run }) => run.verdict);
  if (verdicts.some((verdict) => verdict === "error")) return 4;
  return verdicts.every((verdict) => verdict === "passed" || verdict === "skipped") ? 0 : 1;
}

/** What is in the working tree, and what of it is to be run. @throws SeatrialError `usage` when that is nothing. */
async function chooseHere(
  names: string[],
  flags: RunFlags,
  matrix: NewRun["matrix"],
  reading: Promise<readonly RunsOnRule[]>,
  vars: Promise<ReadonlyMap<string, string>>,
  { environment, signals, output }: CommandContext,
) {
  const { signal } = signals;
  const snapshot = await snapshotWorktree(environment, environment.cwd, { tempDir: environment.tempDir, signal });
  const rules = await reading;
  const [files, change] = await Promise.all([
    readWorkflows(snapshot.folder, rules, calledFrom(environment, snapshot.folder)),
    workingChange(environment, snapshot, flags.event, signal),
  ]);
  const { source, actions, payloadFor } = await madeUpEvent(change, flags, environment);
  const { chosen: workflows, leftOut } = chooseWorkflows(
    files,
    names,
    source,
    await changedHere(environment, snapshot, source, files, signal),
    actions,
  );
  const chosen = chooseJobs(workflows, flags.job);
  for (const line of leftOut) output.err(line);
  const own = chosen.map(({ file }) => file.workflow);
  const inputs = inputsFor(own, source.event, flags.input);
  const inputsOf = ({ path }: Workflow) => inputs.get(path) ?? {};
  if (matrix) {
    const foresight = { contextsOf: contextsOf({ source, vars: Object.fromEntries(await vars), payloadFor, inputsOf }), rules };
    checkMatrix(own, matrix, foresight);
  }
  return { folder: snapshot.folder, source, payloadFor, chosen, inputsOf };
}

/** The last lines of each job that failed, the failing tests, and where the whole log is. */
export async function tellFailures(
  { run, jobs }: RunView,
  api: {
    tail(job: string, lines: number): Promise<string[]>;
    failingTests(job: string): Promise<{ name: string; message?: string | undefined; logLine?: number | undefined }[]>;
  },
  output: CommandContext["output"],
): Promise<void> {
  if (run.message !== undefined && jobs.length === 0) output.err(run.message);
  for (const job of jobs) {
    if (job.verdict === undefined || job.verdict === "passed" || job.verdict === "skipped") continue;
    output.err(`\n${run.workflow.name} / ${job.jobName}: ${job.verdict}${job.message === undefined ? "" : `: ${job.message}`}`);
    if (job.attempts.length === 0) continue;
    for (const line of await api.tail(job.name, shownLines)) output.err(`  | ${line}`);
    for (const test of await api.failingTests(job.name)) {
      output.err(
        `  ✗ ${test.name}${test.message === undefined ? "" : `: ${test.message.split("\n")[0]}`}${test.logLine ? ` (line ${test.logLine})` : ""}`,
      );
    }
    for (const { name, cluster, kubeconfig } of job.heldUntil === undefined ? [] : job.clusters) {
      output.err(`  cluster ${name} is kept until ${job.heldUntil}:`);
      output.err(`  export KUBECONFIG=${kubeconfig}`);
      output.err(`  seatrial delete cluster ${cluster}    # when you are done`);
    }
    output.err(`  seatrial logs ${job.name}    # the whole log`);
  }
}

/** Enough to see why, and to keep what was before on the screen. */
const shownLines = 15;

/** Of `--matrix k=v`, given once for each value. */
function matrixOf(given: readonly string[]): Record<string, string[]> {
  const matrix: Record<string, string[]> = {};
  for (const each of given) {
    const [, key = "", value = ""] = /^([^=]+)=(.*)$/s.exec(each) ?? [];
    if (key === "") throw new SeatrialError("usage", `--matrix ${each} is not KEY=VALUE`, { hint: "--matrix k8s=v1.36" });
    (matrix[key] ??= []).push(value);
  }
  return matrix;
}

/** `seatrial check` and `seatrial plan`: what is wrong with workflow files, and what they would run. Nothing is started. */
import { type Command, Option } from "commander";
import { workingChange } from "../../git/working-change.ts";
import { snapshotWorktree } from "../../git/worktree.ts";
import { events, type EventName } from "../../resources/run.ts";
import { planRun, type JobRunView } from "../../workflows/plan.ts";
import type { CommandContext } from "../cli.ts";
import { chooseWorkflows, readWorkflows, type WorkflowFile } from "./workflow-files.ts";

interface PlannedJob {
  name: string;
  needs: string[];
  labels: string[];
  clusters: string[];
  /** Why it does not run, or cannot be known yet. */
  note?: string;
}

export function registerPlan(program: Command, context: CommandContext): void {
  const { environment, output, signals } = context;
  program
    .command("check")
    .description("say what is wrong with the workflow files of this repository, all of it at once")
    .action(async () => {
      const files = await readWorkflows(environment.cwd);
      for (const { workflow } of files) output.out(`${workflow.path}: ${workflow.jobs.length} job${workflow.jobs.length === 1 ? "" : "s"}`);
    });

  program
    .command("plan")
    .description("show the jobs that would run, with their matrices, needs and clusters; nothing is started")
    .argument("[workflows...]", "names or files. Default: all that the event starts")
    .addOption(new Option("--event <event>", "what happened. Default: as `run` has it").choices(events))
    .addOption(new Option("-o, --output <format>", "print the answer in this form").choices(["json"]))
    .action(async (names: string[], flags: { event?: EventName; output?: "json" }) => {
      const snapshot = await snapshotWorktree(environment, environment.cwd, { tempDir: environment.tempDir, signal: signals.signal });
      const source = await workingChange(environment, snapshot, flags.event, signals.signal);
      const chosen = chooseWorkflows(await readWorkflows(snapshot.folder), names, source);
      const github = { event_name: source.event, ref: source.ref, sha: source.commit, repository: source.repository.name, event: {} };
      const plans = chosen.map((file) => ({ workflow: file.workflow.name, path: file.workflow.path, jobs: plannedJobs(file, github) }));
      if (flags.output === "json") return output.out(JSON.stringify(plans, null, 2));
      for (const { workflow, jobs } of plans) {
        output.out(`${workflow} (${source.event} of ${source.ref})`);
        for (const job of jobs) output.out(`  ${lineOf(job)}`);
      }
    });
}

/** Lets the run pass, job by job: what comes of outputs is not known before. */
function plannedJobs({ workflow }: WorkflowFile, github: Record<string, string | object>): PlannedJob[] {
  const jobRuns: JobRunView[] = [];
  const jobs: PlannedJob[] = [];
  for (;;) {
    const { create } = planRun({ run: "plan", workflow, contexts: { github: github as never, vars: {} }, jobRuns, isAborted: false });
    if (create.length === 0) return jobs;
    for (const { name, spec } of create) {
      const { labels, ...planned } = spec;
      const note =
        planned.skip ?? (planned.invalid && /needs\b/.test(planned.invalid) ? "depends on outputs of other jobs" : planned.invalid);
      jobs.push({
        name: planned.name,
        needs: planned.needs ?? [],
        labels,
        clusters: (planned.clusters ?? []).map(({ spec: cluster }) =>
          [cluster.provider, cluster.kubernetesVersion].filter(Boolean).join(" "),
        ),
        ...(note === undefined ? {} : { note }),
      });
      jobRuns.push({
        metadata: { name },
        spec: { ...planned, run: "plan", repository: "", lane: "trusted", runsOn: { labels, executor: "host" } },
        status: { phase: "Finished", verdict: planned.skip === undefined ? "passed" : "skipped" },
      });
    }
  }
}

function lineOf({ name, needs, clusters, note }: PlannedJob): string {
  return [
    name,
    needs.length > 0 ? `after ${needs.join(", ")}` : "",
    clusters.length > 0 ? `in ${clusters.join(" and ")}` : "",
    note === undefined ? "" : `(${note})`,
  ]
    .filter(Boolean)
    .join("  ");
}

/** `seatrial abort|rerun|hold`: what is asked of a run that a server has. */
import { type Command, Option } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import type { JobView } from "../../server/api/schemas.ts";
import { addApiOptions, type ApiFlags, withApi } from "../api.ts";
import type { CommandContext } from "../cli.ts";
import { runNamed } from "./history.ts";
import { durationOrZero } from "./options.ts";

const jobHelp = "name of one job, as `status` shows it. Default: all";
const runHelp = "name of the run, or the beginning of it";

export function registerChanges(program: Command, context: CommandContext): void {
  const { output } = context;

  addApiOptions(program.command("abort"))
    .description("end a run, or one of its jobs; clusters that are held are let go")
    .argument("<run>", runHelp)
    .argument("[job]", jobHelp)
    .option("--reason <text>", "for people. Default: seatrial abort")
    .action(async (name: string, job: string | undefined, flags: ApiFlags & { reason?: string }) => {
      await withApi(context, flags, async (api) => {
        const run = await runNamed(api, name);
        const jobs = await api.abort(run, flags.reason ?? "seatrial abort", job);
        if (flags.output === "json") return output.out(JSON.stringify({ run, jobs }, null, 2));
        output.err(`${job === undefined ? run : jobs.join(", ")}: told to end`);
      });
    });

  addApiOptions(program.command("rerun"))
    .description("run a run that has ended once more, or one of its jobs, with all jobs that need that one")
    .argument("<run>", runHelp)
    .argument("[job]", jobHelp)
    .option("--failed", "only what did not pass, and what was skipped because of it")
    .addHelpText(
      "after",
      `
A run that ended long ago (ten minutes) has left the server: then a new run is made for the same commit, with the jobs that are asked
for, all that need them, and what they need. A run of a working tree is run again by the command that made it, seatrial run.`,
    )
    .action(async (name: string, job: string | undefined, flags: ApiFlags & { failed?: boolean }) => {
      if (flags.failed && job !== undefined) throw new SeatrialError("usage", `either --failed or the job ${job}`);
      await withApi(context, flags, async (api) => {
        const run = await runNamed(api, name);
        const made = await api.rerun(run, { failed: flags.failed, job });
        if (flags.output === "json") return output.out(JSON.stringify(made, null, 2));
        output.out(made.name);
        output.err(made.name === run ? `attempt ${made.attempt}: seatrial status ${run}` : `a new run: ${run} has left the server`);
      });
    });

  addApiOptions(program.command("hold"))
    .description("keep the clusters of jobs that fail; those that are kept already, for so long from now")
    .argument("<run>", runHelp)
    .argument("[job]", jobHelp)
    .addOption(new Option("--for <time>", "how long: 90s, 30m, 1h; 0 lets them go").argParser(durationOrZero).default(3600, "1h"))
    .action(async (name: string, job: string | undefined, flags: ApiFlags & { for: number }) => {
      await withApi(context, flags, async (api) => {
        const run = await runNamed(api, name);
        const names = await api.hold(run, flags.for, job);
        const jobs = await Promise.all(names.map(async (each) => await api.job(each)));
        if (flags.output === "json") return output.out(JSON.stringify(jobs, null, 2));
        for (const each of jobs) for (const line of heldLines(each, flags.for)) output.out(line);
      });
    });
}

function heldLines({ jobName, clusters, verdict }: JobView, seconds: number): string[] {
  if (seconds === 0) return [`${jobName}: its clusters go ${verdict === undefined ? "when it ends" : "now"}`];
  if (verdict === undefined) return [`${jobName}: its clusters are kept if it fails`];
  return clusters.map(({ name, kubeconfig }) => `${jobName}: cluster ${name} is kept: export KUBECONFIG=${kubeconfig}`);
}

/** `seatrial history|status|logs|artifacts`: what happened, asked of the API: a server's, or over the data folder where none runs. */
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import { verdicts } from "../../resources/verdict.ts";
import type { ApiClient } from "../../server/api/client.ts";
import type { RunBody } from "../../server/api/schemas.ts";
import type { CommandContext } from "../cli.ts";
import { treeLines } from "../print/run-tree.ts";
import { table } from "../print/tables.ts";
import { packageVersion } from "./about.ts";

interface Flags {
  output?: "json";
  attempt?: string;
}

const json = () => new Option("-o, --output <format>", "print the answer in this form").choices(["json"]);
const attempt = () => new Option("--attempt <number>", "which attempt. Default: the last");

export function registerHistory(program: Command, context: CommandContext): void {
  const { output } = context;

  program
    .command("history")
    .description("list runs, the newest first")
    .option("--repository <name>", "only of this repository")
    .option("--workflow <name>", "only of this workflow, by name or path")
    .addOption(new Option("--verdict <verdict>", "only those that ended so").choices(verdicts))
    .option("--text <text>", "only those with this in a name, branch or commit")
    .option("--limit <count>", "as many at most. Default: 20")
    .addOption(json())
    .action(async ({ output: format, limit = "20", ...filter }: Flags & Record<string, string | undefined>) => {
      await withApi(context, async (api) => {
        const { items } = await api.runs({ ...filter, limit });
        if (format === "json") return output.out(JSON.stringify(items, null, 2));
        if (items.length === 0) return output.err("there are no such runs");
        output.write(table(["RUN", "VERDICT", "WORKFLOW", "REPOSITORY", "EVENT", "REF", "CREATED"], items.map(rowOf)));
      });
    });

  program
    .command("status")
    .description("show a run and its jobs; without a name, the newest")
    .argument("[run]", "its name, or the beginning of it")
    .addOption(json())
    .action(async (run: string | undefined, { output: format }: Flags) => {
      await withApi(context, async (api) => {
        const view = await api.run(await runNamed(api, run));
        if (format === "json") return output.out(JSON.stringify(view, null, 2));
        output.out(
          [`${view.run.name}  ${view.run.event} of ${view.run.ref}, ${view.run.createdAt}`, ...treeLines([view], new Date())].join("\n"),
        );
      });
    });

  program
    .command("logs")
    .description("print the log of a job")
    .argument("<job>", "name of the job run, as `status` and `run` show it")
    .option("-f, --follow", "go on until the job has ended")
    .option("--lines <a-b>", "only these lines, with their numbers", linesOf)
    .addOption(attempt())
    .action(async (job: string, flags: Flags & { follow?: boolean; lines?: { from: number; to: number } }) => {
      await withApi(context, async (api) => {
        const query = { attempt: flags.attempt };
        if (!flags.lines) {
          for await (const bytes of await api.log(job, { ...query, follow: flags.follow ? "true" : undefined })) output.write(bytes);
          return;
        }
        const { to } = flags.lines;
        for (let from: number | undefined = flags.lines.from; from !== undefined;) {
          const page: Awaited<ReturnType<ApiClient["lines"]>> = await api.lines(job, { ...query, from: String(from), to: String(to) });
          for (const line of page.lines) output.out(`${String(line.number).padStart(6)}  ${line.text}`);
          from = page.next;
        }
      });
    });

  const artifacts = program.command("artifacts").description("files that a job left");
  artifacts
    .command("list")
    .description("list them")
    .argument("<job>", "name of the job run")
    .addOption(attempt())
    .addOption(json())
    .action(async (job: string, flags: Flags) => {
      await withApi(context, async (api) => {
        const items = await allArtifacts(api, job, flags.attempt);
        if (flags.output === "json") return output.out(JSON.stringify(items, null, 2));
        for (const { path, size } of items) output.out(`${String(size).padStart(12)}  ${path}`);
      });
    });
  artifacts
    .command("get")
    .description("copy them here")
    .argument("<job>", "name of the job run")
    .argument("[paths...]", "only these. Default: all")
    .option("--to <folder>", "where to. Default: a folder with the job's name")
    .addOption(attempt())
    .action(async (job: string, paths: string[], flags: Flags & { to?: string }) => {
      await withApi(context, async (api) => {
        const to = resolve(context.environment.cwd, flags.to ?? job);
        const items = await allArtifacts(api, job, flags.attempt);
        const missing = paths.find((path) => !items.some((item) => item.path === path));
        if (missing !== undefined)
          throw new SeatrialError("not-found", `${job} left no ${missing}`, { hint: `seatrial artifacts list ${job}` });
        for (const { path } of items.filter((item) => paths.length === 0 || paths.includes(item.path))) {
          const file = join(to, path);
          // The server has checked it, and it is another machine's word.
          if (!file.startsWith(to + sep)) throw new SeatrialError("refused", `${JSON.stringify(path)} leads out of ${to}`);
          await mkdir(dirname(file), { recursive: true });
          await pipeline(await api.artifact(job, { path, attempt: flags.attempt }), createWriteStream(file));
          output.err(file);
        }
      });
    });
}

export async function withApi(context: CommandContext, work: (api: ApiClient) => Promise<void>): Promise<void> {
  const { openLocalApi } = await import("../../server/local-api.ts");
  await using local = await openLocalApi(context.environment, packageVersion());
  await work(local.client);
}

async function allArtifacts(api: ApiClient, job: string, number: string | undefined): Promise<{ path: string; size: number }[]> {
  const items: { path: string; size: number }[] = [];
  let cursor: string | undefined;
  do {
    const page: Awaited<ReturnType<ApiClient["artifacts"]>> = await api.artifacts(job, { attempt: number, cursor });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor !== undefined);
  return items;
}

async function runNamed(api: ApiClient, name: string | undefined): Promise<string> {
  const { items } = await api.runs({ limit: "1", text: name });
  if (items[0]) return name === undefined || items[0].name.startsWith(name) ? items[0].name : name;
  throw new SeatrialError("not-found", name === undefined ? "there are no runs yet" : `there is no run ${name}`, {
    hint: "seatrial history lists the runs",
  });
}

function rowOf({ name, phase, verdict, workflow, repository, event, ref, createdAt }: RunBody): string[] {
  return [name, verdict ?? phase, workflow.name, repository, event, ref, createdAt];
}

function linesOf(text: string): { from: number; to: number } {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  const from = Number(match?.[1]);
  const to = Number(match?.[2] ?? match?.[1]);
  if (!match || from < 1 || to < from) throw new InvalidArgumentError("It must be a line or a range, as in 120 or 120-130.");
  return { from, to };
}

/** `seatrial history|status|logs|artifacts`: what happened, asked of the API: a server's, or over the data folder where none runs. */
import { createWriteStream } from "node:fs";
import { dirname, join, resolve, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import { makeFolder } from "../../base/folder.ts";
import { verdicts } from "../../resources/verdict.ts";
import type { ApiClient } from "../../server/api/client.ts";
import type { LineBody, RunBody } from "../../server/api/schemas.ts";
import { addApiOptions, type ApiFlags, withApi } from "../api.ts";
import type { CommandContext } from "../cli.ts";
import { treeLines } from "../print/run-tree.ts";
import { table } from "../print/tables.ts";
import { countOf } from "./options.ts";

interface JobFlags extends ApiFlags {
  attempt?: number;
}

type HistoryFlags = ApiFlags & Partial<Record<"repository" | "workflow" | "verdict" | "text", string>> & { limit?: number };

const attempt = () => new Option("--attempt <number>", "which attempt. Default: the last").argParser(countOf);

export function registerHistory(program: Command, context: CommandContext): void {
  const { output } = context;

  addApiOptions(program.command("history"))
    .description("list runs, the newest first")
    .option("--repository <name>", "only of this repository")
    .option("--workflow <name>", "only of this workflow, by name or path")
    .addOption(new Option("--verdict <verdict>", "only those that ended so").choices(verdicts))
    .option("--text <text>", "only those with this in a name, branch or commit")
    .option("--limit <count>", "as many at most. Default: 20", countOf)
    .action(async (flags: HistoryFlags) => {
      await withApi(context, flags, async (api) => {
        const { repository, workflow, verdict, text, limit = 20 } = flags;
        const { items } = await api.runs({ repository, workflow, verdict, text, limit: String(limit) });
        if (flags.output === "json") return output.out(JSON.stringify(items, null, 2));
        if (items.length === 0) return output.err("there are no such runs");
        output.write(table(["RUN", "VERDICT", "WORKFLOW", "REPOSITORY", "EVENT", "REF", "CREATED"], items.map(rowOf)));
      });
    });

  addApiOptions(program.command("status"))
    .description("show a run and its jobs; without a name, the newest")
    .argument("[run]", "its name, or the beginning of it")
    .action(async (run: string | undefined, flags: ApiFlags) => {
      await withApi(context, flags, async (api) => {
        const view = await api.run(await runNamed(api, run));
        if (flags.output === "json") return output.out(JSON.stringify(view, null, 2));
        output.out(
          [`${view.run.name}  ${view.run.event} of ${view.run.ref}, ${view.run.createdAt}`, ...treeLines([view], new Date(), true)].join(
            "\n",
          ),
        );
      });
    });

  addApiOptions(program.command("logs"))
    .description("print the log of a job; with -o json, each line as an object of a line of its own")
    .argument("<job>", "name of the job run, as `status -o json` and `run` show it")
    .option("-f, --follow", "go on until the job has ended")
    .option("--lines <a-b>", "only these lines, with their numbers", linesOf)
    .addOption(attempt())
    .action(async (job: string, flags: JobFlags & { follow?: boolean; lines?: Range }) => {
      if (flags.follow && flags.lines) throw new SeatrialError("usage", "either -f or --lines");
      await withApi(context, flags, async (api) => {
        const number = flags.attempt === undefined ? undefined : String(flags.attempt);
        if (flags.output === "json") {
          // What comes while it is followed has no number yet that could be told: it is counted here.
          const lines = flags.follow ? followedLines(api, job, number) : linesIn(api, job, number, flags.lines ?? whole);
          for await (const line of lines) output.out(JSON.stringify(line));
        } else if (flags.lines) {
          for await (const line of linesIn(api, job, number, flags.lines)) output.out(`${String(line.number).padStart(6)}  ${line.text}`);
        } else {
          const log = flags.follow ? api.followLog(job, number) : await api.log(job, { attempt: number });
          for await (const bytes of log) output.write(bytes);
        }
      });
    });

  const artifacts = program.command("artifacts").description("files that a job left");
  addApiOptions(artifacts.command("list"))
    .description("list them")
    .argument("<job>", "name of the job run")
    .addOption(attempt())
    .action(async (job: string, flags: JobFlags) => {
      await withApi(context, flags, async (api) => {
        const items = await allArtifacts(api, job, flags.attempt);
        if (flags.output === "json") return output.out(JSON.stringify(items, null, 2));
        for (const { path, size } of items) output.out(`${String(size).padStart(12)}  ${path}`);
      });
    });
  addApiOptions(artifacts.command("get"))
    .description("copy them here")
    .argument("<job>", "name of the job run")
    .argument("[paths...]", "only these. Default: all")
    .option("--to <folder>", "where to. Default: a folder with the job's name")
    .addOption(attempt())
    .action(async (job: string, paths: string[], flags: JobFlags & { to?: string }) => {
      await withApi(context, flags, async (api) => {
        const number = flags.attempt === undefined ? undefined : String(flags.attempt);
        const to = resolve(context.environment.cwd, flags.to ?? job);
        const items = await allArtifacts(api, job, flags.attempt);
        const missing = paths.find((path) => !items.some((item) => item.path === path));
        if (missing !== undefined)
          throw new SeatrialError("not-found", `${job} left no ${missing}`, { hint: `seatrial artifacts list ${job}` });
        const written: { path: string; file: string }[] = [];
        for (const { path } of items.filter((item) => paths.length === 0 || paths.includes(item.path))) {
          const file = join(to, path);
          // The server has checked it, and it is another machine's word.
          if (!file.startsWith(to + sep)) throw new SeatrialError("refused", `${JSON.stringify(path)} leads out of ${to}`);
          makeFolder(dirname(file));
          await pipeline(await api.artifact(job, { path, attempt: number }), createWriteStream(file));
          written.push({ path, file });
          if (flags.output !== "json") output.err(file);
        }
        if (flags.output === "json") output.out(JSON.stringify(written, null, 2));
      });
    });
}

async function allArtifacts(api: ApiClient, job: string, attemptNumber: number | undefined): Promise<{ path: string; size: number }[]> {
  const items: { path: string; size: number }[] = [];
  let cursor: string | undefined;
  do {
    const page: Awaited<ReturnType<ApiClient["artifacts"]>> = await api.artifacts(job, {
      attempt: attemptNumber === undefined ? undefined : String(attemptNumber),
      cursor,
    });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor !== undefined);
  return items;
}

/** The run of that name, or the newest whose name begins so; without a name, the newest of all. @throws SeatrialError `not-found`. */
export async function runNamed(api: ApiClient, name: string | undefined): Promise<string> {
  const { items } = await api.runs({ limit: "1", text: name });
  if (items[0]) return name === undefined || items[0].name.startsWith(name) ? items[0].name : name;
  throw new SeatrialError("not-found", name === undefined ? "there are no runs yet" : `there is no run ${name}`, {
    hint: "seatrial history lists the runs",
  });
}

function rowOf({ name, phase, verdict, workflow, repository, event, ref, createdAt }: RunBody): string[] {
  return [name, verdict ?? phase, workflow.name, repository, event, ref, createdAt];
}

interface Range {
  from: number;
  to: number;
}

const whole: Range = { from: 1, to: Number.MAX_SAFE_INTEGER };

async function* linesIn(api: ApiClient, job: string, number: string | undefined, { from, to }: Range): AsyncGenerator<LineBody> {
  for (let next: number | undefined = from; next !== undefined;) {
    const page: Awaited<ReturnType<ApiClient["lines"]>> = await api.lines(job, { attempt: number, from: String(next), to: String(to) });
    yield* page.lines;
    next = page.next;
  }
}

async function* followedLines(api: ApiClient, job: string, number: string | undefined): AsyncGenerator<Pick<LineBody, "number" | "text">> {
  const decoder = new TextDecoder();
  let [rest, count] = ["", 0];
  for await (const bytes of api.followLog(job, number)) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const text of lines) yield { number: ++count, text };
  }
  if (rest !== "") yield { number: ++count, text: rest };
}

function linesOf(text: string): Range {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  const from = Number(match?.[1]);
  const to = Number(match?.[2] ?? match?.[1]);
  if (!match || from < 1 || to < from) throw new InvalidArgumentError("It must be a line or a range, as in 120 or 120-130.");
  return { from, to };
}

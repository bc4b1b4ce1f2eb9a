/** `seatrial doctor [kind|bare]`: what this machine has for clusters, and the command that mends each thing it lacks. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { type Check, type Report, reportOf } from "../../doctor/check.ts";
import { judge } from "../../doctor/doctor.ts";
import { look, reachesSite } from "../../doctor/look.ts";
import { type Provider, providers } from "../../resources/cluster.ts";
import { CommandWorkspace } from "../../server/start.ts";
import type { CommandContext } from "../cli.ts";
import { type Format, parseFormat, printObjects } from "../print/formats.ts";
import { table } from "../print/tables.ts";

export function registerDoctor(program: Command, context: CommandContext): void {
  program
    .command("doctor")
    .description("show what this machine has for clusters, what it lacks, and the command that mends it")
    .argument("[provider]", `the provider that has to work: ${providers.join(" or ")}; without it, any of them will do`)
    .option("-o, --output <format>", "json, yaml, or jsonpath=TEMPLATE, instead of the table")
    .addHelpText(
      "after",
      `
Nothing is changed, downloaded or built. States: ok; warning: works, but not always, not at once or not for long;
missing: not to be had, or does not work as it is; unknown: cannot be seen from here.
Exit code: 0 when a cluster can be made, by the provider that was named, else by at least one; 1 when not.`,
    )
    .action(async (asked: string | undefined, flags: { output?: string }) => {
      const provider = providerOf(asked);
      const format = formatOf(flags.output);
      const { signal } = context.signals;
      const report = reportOf(judge(await lookAround(context)), provider);
      signal.throwIfAborted();
      context.output.write(format ? printObjects([report], format) : reportTable(report));
      context.exitCode = report.ok ? 0 : 1;
    });
}

function providerOf(asked: string | undefined): Provider | undefined {
  const provider = providers.find((name) => name === asked);
  if (asked !== undefined && !provider) {
    throw new SeatrialError("usage", `${JSON.stringify(asked)} is not a kind of cluster`, {
      hint: `seatrial doctor, or seatrial doctor ${providers.join("|")}`,
    });
  }
  return provider;
}

function formatOf(output: string | undefined): Format | undefined {
  if (output === undefined) return undefined;
  const format = parseFormat(output, { readFile: (path) => readFileSync(path, "utf8") });
  if (format.type === "name") throw new SeatrialError("usage", "-o name: a report has no name", { hint: "-o json, -o yaml" });
  return format;
}

/** A workspace of its own, which gives up on a Docker host when the time for a look is over, and speaks to nobody. */
async function lookAround({ environment, signals }: CommandContext): ReturnType<typeof look> {
  const signal = AbortSignal.any([signals.signal, AbortSignal.timeout(limits.doctorCheckMs)]);
  await using workspace = new CommandWorkspace(environment, { out: () => {}, write: () => {}, err: () => {} }, signal);
  const { programs, records } = workspace;
  return await look(
    {
      environment,
      platform: process.platform,
      programs,
      records,
      docker: async () => await workspace.docker(),
      reaches: async (url, soon) => await reachesSite(url, environment, soon),
    },
    signal,
  );
}

/** One line for each check, below it the lines that mend it; at the end what can be made here. */
export function reportTable(report: Report): string {
  const [header = "", ...lines] = table(
    ["CHECK", "STATE", "FOUND"],
    report.checks.map(({ name, state, found }) => [name, state, found.replaceAll(/\s*\n\s*/g, " ")]),
  )
    .trimEnd()
    .split("\n");
  const withFixes = report.checks.flatMap((check, i) => [lines[i] ?? "", ...fixLines(check)]);
  const verdicts = providers.map((provider) => {
    const { ok, missing } = report.providers[provider];
    return `${provider} clusters can${ok ? "" : "not"} be made here${ok ? "" : `: ${missing.join(", ")}`}`;
  });
  return [header, ...withFixes, "", ...verdicts, ""].join("\n");
}

function fixLines({ fix }: Check): string[] {
  return fix === undefined ? [] : fix.split("\n").map((line) => (line.startsWith("#") ? `    ${line}` : `    $ ${line}`));
}

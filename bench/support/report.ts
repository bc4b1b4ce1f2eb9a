/** The results as they are kept (results.json) and as people read them (docs/benchmarks.md). */
import { readFile, writeFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { run } from "../../src/process/run.ts";
import { type Bench, type Result, shown } from "./bench.ts";
import { type BenchContext, projectRoot } from "./context.ts";

/** Results of one run of one benchmark. */
export interface Kept {
  results: Result[];
  /** How long it took, with all that it made before. Absent in results of before it was kept. */
  seconds?: number;
}

interface Measured extends Kept {
  date: string;
  commit: string;
  machine: string;
}

const jsonFile = join(projectRoot, "bench", "results.json");
const docsFile = join(projectRoot, "docs", "benchmarks.md");

/** Adds what was measured now; what other benchmarks gave earlier stays. */
export async function keepResults(benches: readonly Bench[], now: ReadonlyMap<string, Kept>, context: BenchContext): Promise<void> {
  const kept = JSON.parse(await readFile(jsonFile, "utf8").catch(() => "{}")) as Record<string, Measured>;
  const common = { date: new Date().toISOString().slice(0, 10), commit: await commit(), machine: machine(context) };
  const all = benches.flatMap(({ name }): [string, Measured][] => {
    const measured = now.get(name);
    if (measured) return [[name, { ...common, ...measured }]];
    return kept[name] ? [[name, kept[name]]] : [];
  });
  await writeFile(jsonFile, `${JSON.stringify(Object.fromEntries(all), null, 2)}\n`);
  await writeFile(docsFile, page(all));
}

function page(all: readonly (readonly [string, Measured])[]): string {
  const rows = all.flatMap(([name, { results, commit: at }]) => results.map((result) => row(name, result, at)));
  const machines = [...Map.groupBy(all, ([, { machine: of, date }]) => `${of}, ${date}`)].map(
    ([where, measured]) => `- ${measured.map(([name]) => name).join(", ")}: ${where}`,
  );
  return [
    "# Benchmarks",
    "",
    "Written by `make bench`; the single values are in [bench/results.json](../bench/results.json), one file for each question in [bench](../bench).",
    "`node bench/run.ts NAME…` measures some of them again, `--pairs N` more often than `make bench` has time for.",
    ...timesTaken(all),
    "",
    "Seatrial and what it is compared with are measured in turn, pair by pair, in changing order. The ratio is the median over",
    "the pairs, Seatrial's time by the other's: less than 1 is faster. Behind it stands its 90 % interval (bootstrap over the pairs).",
    "Where nothing is compared, the median of the runs is shown and judged.",
    "",
    "| benchmark | what | against | Seatrial | other | ratio | to reach | reached | commit |",
    "|---|---|---|---|---|---|---|---|---|",
    ...rows,
    "",
    "Measured on:",
    ...machines,
    "",
  ].join("\n");
}

/** Nothing while it is not known of all. */
function timesTaken(all: readonly (readonly [string, Measured])[]): string[] {
  const times = all.flatMap(([name, { seconds }]) => (seconds === undefined ? [] : [{ name, seconds }]));
  if (times.length < all.length) return [];
  const minutes = (seconds: number) => `${Math.ceil(seconds / 60)} min`;
  const longest = times.toSorted((a, b) => b.seconds - a.seconds).slice(0, 4);
  return [
    `Together they took ${minutes(times.reduce((sum, { seconds }) => sum + seconds, 0))}: ${longest.map(({ name, seconds }) => `${name} ${minutes(seconds)}`).join(", ")}, all others less.`,
  ];
}

function row(name: string, { what, against, unit, target, isReached, ratio, ours, other }: Result, at: string): string {
  const goal = [
    target?.ratio === undefined ? "" : `≤ ${target.ratio}`,
    target?.most === undefined ? "" : `≤ ${shown(target.most, unit)}`,
    target?.least === undefined ? "" : `≥ ${shown(target.least, unit)}`,
  ]
    .filter(Boolean)
    .join(", ");
  const compared = ratio ? `${ratio.median.toFixed(2)} (${ratio.low.toFixed(2)}–${ratio.high.toFixed(2)}), ${ours.all.length} pairs` : "";
  return `| ${[name, what, against ?? "", shown(ours.p50, unit), other ? shown(other.p50, unit) : "", compared, goal, isReached === undefined ? "" : isReached ? "yes" : "**no**", at].join(" | ")} |`;
}

async function commit(): Promise<string> {
  const git = async (...args: string[]) =>
    (await run("git", args, { cwd: projectRoot, env: { PATH: "/usr/local/bin:/usr/bin:/bin" } })).stdout;
  try {
    const isChanged = (await git("status", "--porcelain", "--", "src", "bin", "bench", ":!bench/results.json", "package-lock.json")) !== "";
    return `${await git("rev-parse", "--short", "HEAD")}${isChanged ? " and changes" : ""}`;
  } catch {
    return "";
  }
}

function machine({ dockerVersion, nodeImage }: BenchContext): string {
  const all = cpus();
  return `${all.length} × ${all[0]?.model ?? "CPU"}, ${Math.round(totalmem() / 1024 ** 3)} GB, ${process.platform} ${process.arch}, Node ${process.version}, Docker ${dockerVersion}, ${nodeImage}`;
}

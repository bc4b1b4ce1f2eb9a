/**
 * `make bench`: measures Seatrial against what people use without it.
 *
 *   node bench/run.ts [--pairs N] [--dry] [NAME…]
 *
 * Each has as many pairs as let all of them together end within 40 minutes; --pairs measures more where an interval is too wide.
 * Results go to stdout as JSON, and into bench/results.json and docs/benchmarks.md, where those of benchmarks that were not
 * run now stay; with --dry, or with fewer pairs than it takes, they are only printed. Exit code 1 when one failed.
 */
import { parseArgs } from "node:util";
import { messageOf, SeatrialError } from "../src/base/errors.ts";
import { applyKind } from "./apply-kind.ts";
import { bare } from "./bare.ts";
import { check } from "./check.ts";
import { gitea } from "./gitea.ts";
import { jobRunsBench } from "./job-runs.ts";
import { kind4, kind8 } from "./kind-at-once.ts";
import { lineVisible } from "./line-visible.ts";
import { logIngest } from "./log-ingest.ts";
import { oneStep } from "./one-step.ts";
import { reapply } from "./reapply.ts";
import { remoteKind } from "./remote-kind.ts";
import { type Bench, measure } from "./support/bench.ts";
import { BenchContext, say } from "./support/context.ts";
import { keepResults, type Kept } from "./support/report.ts";
import { serverIdle } from "./server-idle.ts";
import { stepOverhead } from "./step-overhead.ts";
import { trueJobs } from "./true-jobs.ts";
import { webhooks } from "./webhooks.ts";

const benches: readonly Bench[] = [
  bare,
  reapply,
  applyKind,
  remoteKind,
  kind4,
  kind8,
  jobRunsBench,
  trueJobs,
  check,
  oneStep,
  stepOverhead,
  lineVisible,
  gitea,
  logIngest,
  webhooks,
  serverIdle,
];

process.exitCode = await main();

async function main(): Promise<number> {
  const { values, positionals: names } = parseArgs({
    allowPositionals: true,
    options: { pairs: { type: "string" }, dry: { type: "boolean", default: false } },
  });
  const unknown = names.filter((name) => !benches.some((bench) => bench.name === name));
  if (unknown.length > 0) {
    say(`there is no benchmark ${unknown.join(", ")}; there are ${benches.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  const pairsOf = ({ pairs }: Bench) => (values.pairs === undefined ? pairs : Number(values.pairs));
  const abort = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => abort.abort(new SeatrialError("aborted", `stopped by ${signal}`)));
  const context = await BenchContext.open(abort.signal);
  const measured = new Map<string, Kept>();
  let hasFailed = false;
  try {
    for (const bench of benches.filter(({ name }) => names.length === 0 || names.includes(name))) {
      if (abort.signal.aborted) break;
      try {
        const from = performance.now();
        const results = await measure(bench, context, pairsOf(bench));
        if ("reason" in results) say(`${bench.name}: not measured: ${results.reason}`);
        else measured.set(bench.name, { results, seconds: Math.round((performance.now() - from) / 1000) });
      } catch (error) {
        hasFailed = true;
        say(`${bench.name}: failed: ${messageOf(error)}`);
      }
    }
    process.stdout.write(
      `${JSON.stringify(
        [...measured.values()].flatMap(({ results }) => results),
        null,
        2,
      )}\n`,
    );
    for (const bench of benches) if (pairsOf(bench) < bench.pairs) measured.delete(bench.name);
    if (!values.dry && measured.size > 0) await keepResults(benches, measured, context);
  } finally {
    await context.close();
  }
  return hasFailed ? 1 : 0;
}

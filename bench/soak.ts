/**
 * Part of `make soak`: boots clusters at full capacity, one after the other in each of several places, and counts those
 * that fail. None may.
 *
 *   node bench/soak.ts [--count 100] [--at-once 8]
 */
import { parseArgs } from "node:util";
import { messageOf, SeatrialError } from "../src/base/errors.ts";
import { BenchContext, say, timed } from "./support/context.ts";
import { quantile } from "./support/statistics.ts";

process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { count: { type: "string", default: "100" }, "at-once": { type: "string", default: "8" } } });
  const count = Number(values.count);
  const abort = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => abort.abort(new SeatrialError("aborted", `stopped by ${signal}`)));
  const context = await BenchContext.open(abort.signal);
  const bootMs: number[] = [];
  const failures: string[] = [];
  let started = 0;
  const place = async () => {
    while (started < count && !abort.signal.aborted) {
      const number = ++started;
      try {
        bootMs.push(await timed(async () => await context.seatrial(["with", "kind", "--", context.program("kubectl"), "get", "nodes"])));
        say(`${number}/${count}: ${(bootMs.at(-1)! / 1000).toFixed(1)} s`);
      } catch (error) {
        failures.push(messageOf(error));
        say(`${number}/${count}: failed: ${messageOf(error)}`);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: Number(values["at-once"]) }, place));
    // A boot that failed has cleaned up after itself; what it did not is a failure too.
    const left = await context.seatrial(["reap"], {}, new AbortController().signal);
    if (left !== "") failures.push(`left behind: ${left}`);
  } finally {
    await context.close();
  }
  process.stdout.write(
    `${JSON.stringify({ boots: started, failures, p50Ms: Math.round(quantile(bootMs, 0.5)), p99Ms: Math.round(quantile(bootMs, 0.99)) }, null, 2)}\n`,
  );
  process.stdout.write(`${failures.length} of ${started} boots failed\n`);
  return failures.length > 0 || abort.signal.aborted ? 1 : 0;
}

/**
 * One benchmark: two or more ways to the same end, measured in turn, and the questions that the times answer.
 *
 * The order within a pair changes from pair to pair, so that neither side always follows the other's clean-up.
 */
import { type BenchContext, say } from "./context.ts";
import { quantile, type Ratio, ratioOf } from "./statistics.ts";

export interface Bench {
  name: string;
  /** Number of times that each side is measured. */
  pairs: number;
  questions: readonly Question[];
  /** Finds and makes what all its runs share. A side that cannot be had here is left out; a reason means none can run. */
  prepare(context: BenchContext): Promise<{ sides: readonly Side[] } | { reason: string }>;
}

/** Compares the time of the same name of ours and of the other side. */
export interface Question {
  /** As the table has it: `apply of a kind cluster with a registry, to Ready`. */
  what: string;
  /** Name of the time that a side's run gave. */
  time: string;
  /** The side that ours is compared with; without one the time itself is judged. */
  against?: string;
  /** What is to be reached: a ratio, or milliseconds. */
  target?: { ratio?: number; ms?: number };
}

export interface Side {
  /** `seatrial`, or what the other one is. */
  name: string;
  /** Does it once: makes, measures, removes. Gives each time in milliseconds by name. */
  run(): Promise<Record<string, number>>;
}

export const ours = "seatrial";

export interface Result {
  bench: string;
  what: string;
  against?: string | undefined;
  target?: Question["target"];
  isReached: boolean | undefined;
  ratio?: Ratio | undefined;
  ours: Times;
  other?: Times | undefined;
}

export interface Times {
  p50Ms: number;
  p99Ms: number;
  ms: number[];
}

/** Measures one benchmark. A run that fails ends it: a lost cluster is not a slow one. */
export async function measure(bench: Bench, context: BenchContext, pairs = bench.pairs): Promise<Result[] | { reason: string }> {
  const prepared = await bench.prepare(context);
  if ("reason" in prepared) return prepared;
  const { sides } = prepared;
  const times = new Map(sides.map((side) => [side.name, [] as Record<string, number>[]]));
  for (let pair = 0; pair < pairs; pair++) {
    for (const side of pair % 2 === 0 ? sides : sides.toReversed()) {
      context.signal.throwIfAborted();
      const run = await side.run();
      times.get(side.name)!.push(run);
      say(
        `${bench.name} ${pair + 1}/${pairs}: ${side.name}: ${Object.entries(run)
          .map(([name, ms]) => `${name} ${(ms / 1000).toFixed(2)} s`)
          .join(", ")}`,
      );
    }
  }
  return bench.questions.flatMap((question) => answer(bench, question, times) ?? []);
}

function answer(bench: Bench, question: Question, times: ReadonlyMap<string, Record<string, number>[]>): Result | undefined {
  const of = (side: string) =>
    times
      .get(side)
      ?.map((run) => run[question.time])
      .filter((ms) => ms !== undefined);
  const own = of(ours) ?? [];
  const others = question.against === undefined ? undefined : of(question.against);
  if (question.against !== undefined && !others) return undefined; // That side could not be had here.
  const ratio = others ? ratioOf(own.map((ms, i) => [ms, others[i]!] as const)) : undefined;
  const { target } = question;
  const reached = [
    target?.ratio === undefined || !ratio ? undefined : ratio.median <= target.ratio,
    target?.ms === undefined ? undefined : quantile(own, 0.5) <= target.ms,
  ].filter((each) => each !== undefined);
  return {
    bench: bench.name,
    what: question.what,
    against: question.against,
    target,
    isReached: reached.length === 0 ? undefined : reached.every(Boolean),
    ratio,
    ours: summary(own),
    other: others ? summary(others) : undefined,
  };
}

function summary(ms: readonly number[]): Times {
  const rounded = ms.map((each) => Math.round(each));
  return { p50Ms: quantile(rounded, 0.5), p99Ms: quantile(rounded, 0.99), ms: rounded };
}

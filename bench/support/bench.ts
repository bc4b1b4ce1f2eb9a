/**
 * One benchmark: two or more ways to the same end, measured in turn, and the questions that the times answer.
 *
 * The order within a pair changes from pair to pair, so that neither side always follows the other's clean-up.
 */
import { type BenchContext, say } from "./context.ts";
import { median, quantile, type Ratio, ratioOf } from "./statistics.ts";

export interface Bench {
  name: string;
  /** Number of times that each side is measured. */
  pairs: number;
  questions: readonly Question[];
  /** Finds and makes what all its runs share. A side that cannot be had here is left out; a reason means none can run. */
  prepare(context: BenchContext): Promise<{ sides: readonly Side[]; close?: () => Promise<void> } | { reason: string }>;
}

/** Compares the value of the same name of ours and of the other side. */
export interface Question {
  /** As the table has it: `apply of a kind cluster with a registry, to Ready`. */
  what: string;
  /** Name of the value that a side's run gave. */
  time: string;
  /** What the value counts. Default: `ms`. */
  unit?: Unit;
  /** The side that is asked about. Default: {@link ours}. */
  of?: string;
  /** The side that it is compared with; without one the value itself is judged. */
  against?: string;
  /** What is to be reached: a ratio of at most so much, a value of at most, or at least, so much. */
  target?: { ratio?: number; most?: number; least?: number };
}

/** `ms` is shown as seconds; `each` counts things. */
export type Unit = "ms" | "per second" | "MB" | "MB/s" | "%" | "each";

export interface Side {
  /** `seatrial`, or what the other one is. */
  name: string;
  /** Does it once: makes, measures, removes. Gives each value by name. */
  run(): Promise<Record<string, number>>;
}

export const ours = "seatrial";

export interface Result {
  bench: string;
  what: string;
  against?: string | undefined;
  unit: Unit;
  target?: Question["target"];
  isReached: boolean | undefined;
  ratio?: Ratio | undefined;
  ours: Values;
  other?: Values | undefined;
}

export interface Values {
  p50: number;
  p99: number;
  /** In the order in which they were measured. */
  all: number[];
}

/** Measures one benchmark. A run that fails ends it: a lost cluster is not a slow one. */
export async function measure(bench: Bench, context: BenchContext, pairs = bench.pairs): Promise<Result[] | { reason: string }> {
  const prepared = await bench.prepare(context);
  if ("reason" in prepared) return prepared;
  const { sides } = prepared;
  const times = new Map(sides.map((side) => [side.name, [] as Record<string, number>[]]));
  try {
    await runAll(bench, sides, pairs, times, context);
  } finally {
    await prepared.close?.();
  }
  return bench.questions.flatMap((question) => answer(bench, question, times) ?? []);
}

async function runAll(
  bench: Bench,
  sides: readonly Side[],
  pairs: number,
  times: ReadonlyMap<string, Record<string, number>[]>,
  context: BenchContext,
): Promise<void> {
  for (let pair = 0; pair < pairs; pair++) {
    for (const side of pair % 2 === 0 ? sides : sides.toReversed()) {
      context.signal.throwIfAborted();
      const run = await side.run();
      times.get(side.name)!.push(run);
      say(
        `${bench.name} ${pair + 1}/${pairs}: ${side.name}: ${Object.entries(run)
          .map(([name, value]) => `${name} ${shown(value, unitOf(bench, name))}`)
          .join(", ")}`,
      );
    }
  }
}

function unitOf({ questions }: Bench, name: string): Unit {
  return questions.find(({ time }) => time === name)?.unit ?? "ms";
}

function answer(bench: Bench, question: Question, measured: ReadonlyMap<string, Record<string, number>[]>): Result | undefined {
  const valuesOf = (side: string) =>
    measured
      .get(side)
      ?.map((run) => run[question.time])
      .filter((value) => value !== undefined);
  const own = valuesOf(question.of ?? ours);
  const others = question.against === undefined ? undefined : valuesOf(question.against);
  // A side, or a value, that could not be had here.
  if (!own?.length || (question.against !== undefined && !others?.length)) return undefined;
  const ratio = others ? ratioOf(own.map((value, i) => [value, others[i]!] as const)) : undefined;
  const { target, unit = "ms" } = question;
  const middle = median(own);
  const reached = [
    target?.ratio === undefined || !ratio ? undefined : ratio.median <= target.ratio,
    target?.most === undefined ? undefined : middle <= target.most,
    target?.least === undefined ? undefined : middle >= target.least,
  ].filter((each) => each !== undefined);
  return {
    bench: bench.name,
    what: question.what,
    against: question.against,
    unit,
    target,
    isReached: reached.length === 0 ? undefined : reached.every(Boolean),
    ratio,
    ours: summary(own),
    other: others ? summary(others) : undefined,
  };
}

function summary(values: readonly number[]): Values {
  const rounded = values.map((each) => Number(each.toPrecision(4)));
  return { p50: median(rounded), p99: quantile(rounded, 0.99), all: rounded };
}

/** With as many digits as the value is worth. */
export function shown(value: number, unit: Unit): string {
  if (unit === "ms") return value < 100 ? `${value.toFixed(value < 10 ? 1 : 0)} ms` : `${(value / 1000).toFixed(value < 1_000 ? 2 : 1)} s`;
  const digits = value.toFixed(value < 10 ? 1 : 0);
  if (unit === "each") return String(Number(value.toFixed(2)));
  return unit === "%" ? `${digits} %` : `${digits} ${unit}`;
}

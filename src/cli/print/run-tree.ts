/**
 * A run as a tree of its jobs, on stderr: on a terminal it is drawn again with each change, elsewhere each thing that happens is a
 * line.
 */
import type { Output } from "../../base/output.ts";
import { seconds } from "../../base/output.ts";
import type { Verdict } from "../../resources/verdict.ts";
import type { JobView, RunView } from "../../server/api/schemas.ts";

const marks: Record<Verdict, string> = { passed: "✓", failed: "✗", error: "⚠", "timed-out": "⏱", aborted: "⊘", skipped: "–" };

/** The state as lines: workflows, their jobs, what runs in them, why they wait; with the names of JobRuns where they are asked for. */
export function treeLines(views: readonly RunView[], now: Date, hasNames = false): string[] {
  return views.flatMap(({ run, jobs }) => [
    `${markOf(run)} ${run.workflow.name}${run.title === undefined ? "" : `: ${run.title}`}${run.phase === "Finished" ? took(run, now) : ""}${run.message && jobs.length === 0 ? `: ${run.message}` : ""}`,
    ...jobs.map((job) => `  ${markOf(job)} ${job.jobName}${took(job, now)}${detailOf(job)}${hasNames ? `  ${job.name}` : ""}`),
  ]);
}

function markOf({ verdict, phase }: { verdict?: Verdict | undefined; phase: string }): string {
  if (verdict) return marks[verdict];
  return phase === "Running" || phase === "Booting" ? "▸" : "·";
}

function took({ startedAt, finishedAt }: { startedAt?: string | undefined; finishedAt?: string | undefined }, now: Date): string {
  if (startedAt === undefined) return "";
  return ` ${seconds((finishedAt === undefined ? now.getTime() : Date.parse(finishedAt)) - Date.parse(startedAt))}`;
}

function detailOf(job: JobView): string {
  if (job.message !== undefined) return ` (${job.message.split("\n")[0]})`;
  const step = job.verdict ? undefined : job.attempts.at(-1)?.steps.find(({ state }) => state === "running");
  return step ? `: ${step.name}` : "";
}

/** Draws over what it drew before. */
export class LiveTree {
  readonly #output: Output;
  readonly #columns: number;
  #drawn = 0;

  constructor(output: Output, columns: number) {
    this.#output = output;
    this.#columns = columns;
  }

  draw(views: readonly RunView[], now: Date): void {
    const lines = treeLines(views, now).map((line) => (line.length > this.#columns ? `${line.slice(0, this.#columns - 1)}…` : line));
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A\u001b[J` : "";
    this.#output.err(up + lines.join("\n"));
    this.#drawn = lines.length;
  }
}

/** Tells each change once. */
export class LineTree {
  readonly #output: Output;
  readonly #told = new Map<string, string>();

  constructor(output: Output) {
    this.#output = output;
  }

  draw(views: readonly RunView[], now: Date): void {
    for (const { run, jobs } of views) {
      for (const job of jobs) {
        const state = job.verdict ?? job.phase;
        const key = `${job.name} ${job.attempts.length}`;
        if (this.#told.get(key) === state) continue;
        this.#told.set(key, state);
        if (job.verdict || job.phase === "Running" || job.message !== undefined) {
          this.#output.err(
            `${markOf(job)} ${run.workflow.name} / ${job.jobName}: ${state.toLowerCase()}${job.verdict ? took(job, now) : ""}${detailOf(job)}`,
          );
        }
      }
    }
  }
}

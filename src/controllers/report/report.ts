/**
 * Checks at the forge: one for each JobRun, and one for a Run that could not make any. The key is a JobRun's or a Run's name.
 *
 * What was reported last is in the history: nothing is reported twice, and after a restart nothing is forgotten. A forge that does not
 * answer is asked again, later each time; what is then written is how things stand then.
 */
import { createHash } from "node:crypto";
import { SeatrialError } from "../../base/errors.ts";
import { type Check, type CheckState, type Forge, ForgeError } from "../../forges/forge.ts";
import type { History } from "../../history/history.ts";
import { lineLink } from "../../logs/line-link.ts";
import type { JobRun } from "../../resources/job-run.ts";
import type { Stored } from "../../resources/object.ts";
import { hasEnded, type Run, runLabels } from "../../resources/run.ts";
import type { Verdict } from "../../resources/verdict.ts";
import type { Lister } from "../lister.ts";
import type { Result } from "../runtime/controller.ts";

export interface ReporterOptions {
  runs: Lister<Run>;
  jobRuns: Lister<JobRun>;
  history: History;
  /** Undefined for runs that came from no forge. */
  forgeOf(run: Stored<Run>): Forge | undefined;
  /** Where people reach this server, without a path. */
  origin: string;
  now(): Date;
}

export class Reporter {
  readonly #options: ReporterOptions;

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  async reportRun(name: string, signal?: AbortSignal): Promise<Result> {
    const run = this.#options.runs.get(name);
    if (!run || !isInvalid(run)) return {};
    const message = run.status?.message ?? "";
    return await this.#report(run, name, hasEnded(run), {
      context: run.spec.workflow.path,
      state: "error",
      description: message.split("\n")[0]!,
      targetUrl: `${this.#options.origin}/runs/${encodeURIComponent(name)}`,
      signal,
    });
  }

  async reportJobRun(name: string, signal?: AbortSignal): Promise<Result> {
    const { history, origin } = this.#options;
    const jobRun = this.#options.jobRuns.get(name);
    const run = jobRun && this.#options.runs.get(jobRun.spec.run);
    // A job that is skipped says nothing: a required check that is skipped would look as if it had passed.
    if (!run || jobRun.spec.skip !== undefined) return {};
    const isFinal = hasEnded(jobRun);
    const { verdict, phase, message } = jobRun.status ?? {};
    // For a moment the status is that of the attempt before.
    const isAgain = phase === "Finished" && !isFinal;
    return await this.#report(run, name, isFinal, {
      context: this.#contextOf(run, jobRun),
      state: isFinal && verdict ? states[verdict] : "pending",
      description: (isAgain ? "Waiting" : ((await failingTests(history, jobRun)) ?? message ?? verdict ?? phase ?? "Waiting")).split(
        "\n",
      )[0]!,
      targetUrl: isFinal ? await jobLink(history, origin, jobRun) : jobPage(origin, jobRun),
      signal,
    });
  }

  /** Names of jobs and cells are made to differ; should expressions of two jobs come to the same all the same, the green one must not hide the red. */
  #contextOf(run: Stored<Run>, jobRun: Stored<JobRun>): string {
    const { name, job } = jobRun.spec;
    const siblings = this.#options.jobRuns.labelled(runLabels.run, run.metadata.name);
    const isShared = siblings.some(({ spec }) => spec.name === name && spec.job !== job);
    return isShared ? `${checkName(run, jobRun)} [${job}]` : checkName(run, jobRun);
  }

  async #report(
    run: Stored<Run>,
    name: string,
    isFinal: boolean,
    { signal, ...shown }: Omit<Check, "repositoryId" | "sha" | "sequence"> & { signal: AbortSignal | undefined },
  ): Promise<Result> {
    const { history, now } = this.#options;
    const forge = this.#options.forgeOf(run);
    if (!forge) return {};
    const { source } = run.spec;
    const sha = source.heads?.[0]?.sha ?? source.base.sha;
    const key = stateKey(run, name);
    const digest = createHash("sha256")
      .update(JSON.stringify([sha, shown]))
      .digest("hex");
    const reported = isFinal ? `${digest} ${final}` : digest;
    if ((await history.state.get(key)) === reported) return {};
    try {
      await forge.report({ ...shown, repositoryId: source.repository.id, sha, sequence: now().getTime() }, signal);
    } catch (error) {
      if (error instanceof ForgeError && error.retryAfterMs !== undefined) return { requeueAfterMs: error.retryAfterMs };
      // The repository is gone, or it is none of this forge's: there is nowhere to show it.
      if (!(error instanceof SeatrialError && error.code === "not-found")) throw error;
    }
    await history.state.set(key, reported, now());
    return {};
  }
}

/** Whether it could not make any jobs, which would have checks of their own. */
function isInvalid({ status }: Stored<Run>): boolean {
  return status?.cause === "invalid-workflow" && !status.total;
}

/** `WORKFLOW / JOB (EVENT)`: the same for each commit, and another for each JobRun of it. */
export function checkName({ spec: { workflow, source } }: Stored<Run>, jobRun: Stored<JobRun>): string {
  return `${workflow.name} / ${jobRun.spec.name} (${source.event})`;
}

/** To the line that failed, where that is known: else to the top. */
export async function jobLink(history: History, origin: string, jobRun: Stored<JobRun>): Promise<string> {
  const page = jobPage(origin, jobRun);
  const attempt = jobRun.status?.attempts?.at(-1);
  if (jobRun.status?.verdict !== "failed" || attempt === undefined) return page;
  const [failing] = (await history.queries.tests(attempt.uid, { limit: 1 })).items;
  const line = failing?.logLine ?? (await firstFailedLine(history, jobRun));
  return line === undefined ? page : lineLink(page, attempt.number, line);
}

/** What the check of a job says whose tests failed: their names say more than which step that was. */
async function failingTests(history: History, { status }: Stored<JobRun>): Promise<string | undefined> {
  const attempt = status?.attempts?.at(-1)?.uid;
  if (status?.verdict !== "failed" || attempt === undefined) return undefined;
  // One more than is shown: whether there are more.
  const failed = await failedTests(history, attempt, 4);
  if (failed.length === 0) return undefined;
  const shown = failed.slice(0, 3).map(({ name }) => name);
  return `${shown.join(", ")}${failed.length > shown.length ? ", …" : ""} failed`;
}

/** The first tests that did not pass: they come before all others. */
export async function failedTests(history: History, attempt: string, most: number) {
  const { items } = await history.queries.tests(attempt, { limit: most });
  return items.filter(({ verdict }) => verdict === "failed" || verdict === "error");
}

function jobPage(origin: string, { metadata }: Stored<JobRun>): string {
  return `${origin}/jobs/${encodeURIComponent(metadata.name)}`;
}

/** At the end of what is stored of a check that is as it will stay. */
const final = "final";

function stateKey(run: Stored<Run>, name: string): string {
  return `report/${run.metadata.uid}/${name}`;
}

/** Whether the forge shows how all ended. Resources that have ended must not go before. */
export async function isReported(history: History, run: Stored<Run>, jobRuns: readonly Stored<JobRun>[]): Promise<boolean> {
  const said = jobRuns.filter(({ spec }) => spec.skip === undefined);
  const names = (isInvalid(run) ? [run] : said).map(({ metadata }) => metadata.name);
  const states = await Promise.all(names.map(async (name) => await history.state.get(stateKey(run, name))));
  return states.every((state) => state?.endsWith(final));
}

/** What is kept of the checks of resources that are gone goes, too. */
export async function forgetReports(history: History, run: Stored<Run>, jobRuns: readonly Stored<JobRun>[]): Promise<void> {
  for (const { metadata } of [run, ...jobRuns]) await history.state.delete(stateKey(run, metadata.name));
}

const states: Record<Verdict, CheckState> = {
  passed: "success",
  failed: "failure",
  error: "error",
  "timed-out": "failure",
  aborted: "error",
  skipped: "success",
};

/** Where the step that failed says so: its first error annotation, else its first line. */
async function firstFailedLine(history: History, jobRun: Stored<JobRun>): Promise<number | undefined> {
  const attempt = (await history.queries.attemptsOf(jobRun.metadata.uid)).at(-1);
  if (!attempt) return undefined;
  const failed = attempt.steps.find(({ conclusion, verdict }) => (conclusion ?? verdict) === "failed");
  const annotation = (await history.queries.annotations(attempt.uid)).find(
    ({ level, step }) => level === "error" && step === failed?.index,
  );
  return annotation?.logLine ?? failed?.firstLine;
}

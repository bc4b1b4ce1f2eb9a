/**
 * Checks at the forge: one for each JobRun, and one for a Run that could not make any. The key is a JobRun's or a Run's name.
 *
 * What was reported last is in the history: nothing is reported twice, and after a restart nothing is forgotten.
 */
import { createHash } from "node:crypto";
import type { Check, CheckState, Forge } from "../../forges/forge.ts";
import type { History } from "../../history/history.ts";
import type { JobRun } from "../../resources/job-run.ts";
import type { Stored } from "../../resources/object.ts";
import type { Run } from "../../resources/run.ts";
import type { Verdict } from "../../resources/verdict.ts";
import type { Lister } from "../lister.ts";

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

  async reportRun(name: string): Promise<void> {
    const run = this.#options.runs.get(name);
    // Its jobs have checks of their own.
    if (!run || run.status?.cause !== "invalid-workflow" || run.status.total) return;
    const message = run.status.message ?? "";
    await this.#report(run, name, {
      context: run.spec.workflow.path,
      state: "error",
      description: message.split("\n")[0]!,
      targetUrl: `${this.#options.origin}/runs/${encodeURIComponent(name)}`,
    });
  }

  async reportJobRun(name: string): Promise<void> {
    const jobRun = this.#options.jobRuns.get(name);
    const run = jobRun && this.#options.runs.get(jobRun.spec.run);
    // A job that is skipped says nothing: a required check that is skipped would look as if it had passed.
    if (!run || jobRun.spec.skip !== undefined) return;
    const { verdict, phase, message } = jobRun.status ?? {};
    await this.#report(run, name, {
      context: `${run.spec.workflow.name} / ${jobRun.spec.name}`,
      state: verdict ? states[verdict] : "pending",
      description: (message ?? verdict ?? phase ?? "Waiting").split("\n")[0]!,
      targetUrl: await this.#linkOf(jobRun),
    });
  }

  /** To the line that failed, where that is known: else to the top. */
  async #linkOf(jobRun: Stored<JobRun>): Promise<string> {
    const { origin, history } = this.#options;
    const page = `${origin}/jobs/${encodeURIComponent(jobRun.metadata.name)}`;
    const attempt = jobRun.status?.attempts?.at(-1)?.uid;
    if (jobRun.status?.verdict !== "failed" || attempt === undefined) return page;
    const [failing] = (await history.queries.tests(attempt, { limit: 1 })).items;
    const line = failing?.logLine ?? (await firstFailedLine(history, jobRun));
    return line === undefined ? page : `${page}?line=${line}#L${line}`;
  }

  async #report(run: Stored<Run>, name: string, shown: Omit<Check, "repositoryId" | "sha" | "sequence">): Promise<void> {
    const { history, now } = this.#options;
    const forge = this.#options.forgeOf(run);
    if (!forge) return;
    const { source } = run.spec;
    const sha = source.heads?.[0]?.sha ?? source.base.sha;
    const key = `report/${run.metadata.uid}/${name}`;
    const digest = createHash("sha256")
      .update(JSON.stringify([sha, shown]))
      .digest("hex");
    if ((await history.state.get(key)) === digest) return;
    await forge.report({ ...shown, repositoryId: source.repository.id, sha, sequence: now().getTime() });
    await history.state.set(key, digest, now());
  }
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

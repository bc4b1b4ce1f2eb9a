/**
 * The one comment at a pull request: made when something failed, changed in place with each result after that. The key is that of the
 * pull request, so that one worker at a time writes to it.
 *
 * It is about the newest head alone, and waits for a workflow to end: a comment that grows with each job would be a mail each.
 */
import { createHash } from "node:crypto";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { Forge } from "../../forges/forge.ts";
import { lineLink } from "../../logs/line-link.ts";
import type { Stored } from "../../resources/object.ts";
import { type Run, runLabels } from "../../resources/run.ts";
import { commentText, isFailure, type JobReport } from "./comment-text.ts";
import { checkName, failedTests, jobLink, type ReporterOptions } from "./report.ts";

export class Commenter {
  readonly #options: ReporterOptions;
  /** A run of each pull request of which something could not be said yet: it may leave the API meanwhile. */
  readonly #unsaid = new Map<string, Stored<Run>>();

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  async reconcile(pullRequest: string, signal?: AbortSignal): Promise<void> {
    const { runs, forgeOf } = this.#options;
    const all = runs.labelled(runLabels.pullRequest, pullRequest);
    if (!this.#unsaid.has(pullRequest) && !all.some(({ status }) => status?.phase === "Finished")) return;
    const run = all[0] ?? this.#unsaid.get(pullRequest);
    const forge = run && forgeOf(run);
    const number = run?.spec.source.heads?.[0]?.number;
    if (!forge || number === undefined) return;
    this.#unsaid.set(pullRequest, run);
    try {
      await this.#say(forge, run, number, signal);
    } catch (error) {
      signal?.throwIfAborted();
      // A pull request that is gone, or a token that does not do, must not be asked about without end.
      const isHopeless = error instanceof SeatrialError && (error.code === "not-found" || (!error.retryable && all.length === 0));
      if (!isHopeless) throw error;
    }
    this.#unsaid.delete(pullRequest);
  }

  async #say(forge: Forge, run: Stored<Run>, number: number, signal: AbortSignal | undefined): Promise<void> {
    const { history, now } = this.#options;
    const { repository } = run.spec.source;
    const key = `comment/${forge.name}/${repository.id}/${number}`;
    const before = await history.state.get(key);
    const markdown = await this.#textFor(run, before !== undefined);
    if (markdown === undefined) return;
    const digest = createHash("sha256").update(markdown).digest("hex");
    if (digest === before) return;
    await forge.comment({ repositoryId: repository.id, number, marker: "results", markdown }, signal);
    await history.state.set(key, digest, now());
  }

  /** Undefined when there is nothing to say yet. @param isThere whether there is a comment, so that it is worth saying that all is well. */
  async #textFor({ spec: { source } }: Stored<Run>, isThere: boolean): Promise<string | undefined> {
    const { queries } = this.#options.history;
    const { items } = await queries.runs({ repository: source.repository.name, ref: source.ref, limit: limits.commentRuns });
    const all = items.filter(({ forge, event }) => forge === source.forge && event === "pull_request");
    // One that was aborted says nothing, and may be of an older head whose delivery was late.
    const newest = all.find(({ verdict }) => verdict !== "aborted");
    if (!newest) return undefined;
    const ofHead = all.filter(({ sha }) => sha === newest.sha);
    const ended = ofHead.filter(({ phase }) => phase === "Finished");
    const jobs = (await Promise.all(ended.map(async ({ name }) => await this.#jobsOf(name)))).flat();
    if (jobs.some(({ verdict }) => isFailure(verdict))) return commentText(newest.sha, jobs);
    const isWell = ended.length === ofHead.length && jobs.length > 0 && jobs.every(({ verdict }) => verdict === "passed");
    return isWell && isThere ? commentText(newest.sha, jobs) : undefined;
  }

  /** Jobs that ran, or could not; a failure that the workflow allows is none. */
  async #jobsOf(run: string): Promise<JobReport[]> {
    const { history, origin } = this.#options;
    const found = await history.queries.run(run);
    if (!found) return [];
    if (found.jobs.items.length === 0 && found.summary.verdict === "error") {
      const { cause, message } = found.summary;
      const link = `${origin}/runs/${encodeURIComponent(run)}`;
      return [{ name: found.run.spec.workflow.path, link, verdict: "error", cause, message, tests: [], moreTests: 0 }];
    }
    const all = await Promise.all(found.jobs.items.map(async ({ name }) => await history.queries.jobRun(name)));
    return await Promise.all(
      all
        .filter((each) => each !== undefined)
        .filter(({ summary, jobRun }) => summary.verdict !== "skipped" && !(jobRun.spec.continueOnError && isFailure(summary.verdict)))
        .map(async ({ summary, jobRun, attempts }): Promise<JobReport> => {
          const { verdict = "error", cause, message } = summary;
          const attempt = attempts.at(-1);
          const counts = verdict === "passed" ? undefined : attempt?.testCounts;
          const failed = (counts?.failed ?? 0) + (counts?.error ?? 0);
          const tests = failed > 0 ? await failedTests(history, attempt!.uid, limits.commentTests) : [];
          const page = `${origin}/jobs/${encodeURIComponent(summary.name)}`;
          return {
            name: checkName(found.run, jobRun),
            link: await jobLink(history, origin, jobRun),
            verdict,
            cause,
            message: message?.split("\n")[0],
            tests: tests.map(({ name, message: said, logLine }) => ({
              name,
              message: said?.split("\n")[0],
              link: logLine === undefined ? page : lineLink(page, attempt!.number, logLine),
            })),
            moreTests: Math.max(0, failed - tests.length),
          };
        }),
    );
  }
}

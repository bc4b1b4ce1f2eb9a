/** What the comment at a pull request says: which jobs and tests failed, each with the link to its line. Pure. */
import { limits } from "../../base/limits.ts";
import { codeSpan } from "../../forges/markdown.ts";
import type { Verdict } from "../../resources/verdict.ts";

export interface JobReport {
  /** As its check is called. Like all names and messages, it comes from the change: nothing in it is believed. */
  name: string;
  link: string;
  verdict: Verdict;
  cause?: string | undefined;
  message?: string | undefined;
  /** Tests that failed: the first of them. */
  tests: readonly { name: string; message?: string | undefined; link: string }[];
  /** Those that failed and are not among `tests`. */
  moreTests: number;
}

/** @param jobs all of the head's that are not skipped. */
export function commentText(head: string, jobs: readonly JobReport[]): string {
  const failed = tellingOrder.flatMap((verdict) => jobs.filter((job) => job.verdict === verdict));
  const at = `at ${head.slice(0, 10)}`;
  if (failed.length === 0) return `**${count(jobs.length, "job")} passed** ${at}.`;
  const shown = failed
    .slice(0, limits.commentJobs)
    .map((job) =>
      [
        `- [${codeSpan(job.name, limits.commentNameCharacters)}](${job.link}) ${said(job)}`,
        ...job.tests.map(
          ({ name, message, link }) =>
            `  - [${codeSpan(name, limits.commentNameCharacters)}](${link})${message ? `: ${codeSpan(message, limits.commentMessageCharacters)}` : ""}`,
        ),
        ...(job.moreTests > 0 ? [`  - and ${count(job.moreTests, "more test")}`] : []),
      ].join("\n"),
    );
  const more = failed.length > shown.length ? [`- and ${count(failed.length - shown.length, "more job")}`] : [];
  return [`**${failed.length} of ${count(jobs.length, "job")} failed** ${at}:`, "", ...shown, ...more].join("\n");
}

/** Verdicts that are told of: those that the change is the cause of first. */
const tellingOrder: readonly Verdict[] = ["failed", "timed-out", "error"];

export function isFailure(verdict: Verdict | undefined): boolean {
  return verdict !== undefined && tellingOrder.includes(verdict);
}

function said({ verdict, cause, message, tests }: JobReport): string {
  const why = message && tests.length === 0 ? `: ${codeSpan(message, limits.commentMessageCharacters)}` : "";
  // Infrastructure that dies is never shown as a failure of the change.
  if (verdict === "error")
    return `${cause === "invalid-workflow" ? "cannot run" : "could not be tested, which is not the change's fault"}${why}`;
  return `${verdict === "timed-out" ? "timed out" : "failed"}${why}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

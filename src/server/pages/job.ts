/**
 * The page of a job: how it went, its failing tests with links to their lines, its log with an anchor for each line, its clusters'
 * events, its artifacts. While the job runs the page is not ended: lines are added as they come, without a script.
 *
 * `?line=120#L120` leads to a line, `?line=120-130#L120-L130` to a range (logs/line-link.ts). The attempt that is asked for is shown,
 * else the last.
 */
import type { Artifact, ClusterEvent, TestResult } from "../../history/attempts.ts";
import { limits } from "../../base/limits.ts";
import { lineLink } from "../../logs/line-link.ts";
import type { LogLine } from "../../logs/lines.ts";
import type { JobView, RunBody } from "../api/schemas.ts";
import { badge, duration, escapeText, Html, html, pageBottom, pageTop, time } from "./layout.ts";
import type { StepSummary } from "./summaries.ts";
import { jobPath, runPath, shortRef } from "./runs.ts";

/** What links of a page lead to. */
export interface ShownAttempt {
  job: JobView;
  /** Number of the attempt that is shown; undefined when there is none yet. */
  attempt: number | undefined;
}

export interface JobPage extends ShownAttempt {
  /** Of this server, as whoever looks reaches it. */
  origin: string;
  run: RunBody;
  tests: readonly TestResult[];
  artifacts: readonly Artifact[];
  events: readonly ClusterEvent[];
  summaries?: readonly StepSummary[];
}

/** A part of the log's lines, from 1 and both included. */
export interface LineRange {
  from: number;
  to: number;
}

/** `120` or `120-130`; undefined for anything else. */
export function lineRange(text: string | undefined): LineRange | undefined {
  const match = /^L?(\d{1,12})(?:-L?(\d{1,12}))?$/.exec(text ?? "");
  if (!match) return undefined;
  const from = Number(match[1]);
  const to = Number(match[2] ?? match[1]);
  return from >= 1 && to >= from ? { from, to } : undefined;
}

/** Everything above the log. */
export function jobTop(page: JobPage): Html {
  const { job, run } = page;
  const attempt = job.attempts.find(({ number }) => number === page.attempt);
  const failing = page.tests.filter(({ verdict }) => verdict !== "passed" && verdict !== "skipped");
  return html`${pageTop(`${job.jobName}: ${job.verdict ?? job.phase}`, [
    { text: run.repository, href: `/?${new URLSearchParams({ text: run.repository }).toString()}` },
    { text: run.workflow.name, href: runPath(run.name) },
    { text: job.jobName },
  ])}
    <h1>${badge(job.phase, job.verdict)} ${job.jobName}</h1>
    <p>
      ${run.event} of ${shortRef(run.ref)}, commit <code>${run.sha.slice(0, 10)}</code>${job.startedAt !== undefined && html`, ${time(new Date(job.startedAt))}`}${
        job.startedAt !== undefined &&
        job.finishedAt !== undefined &&
        html`, ${duration(Date.parse(job.finishedAt) - Date.parse(job.startedAt))}`
      }
    </p>
    ${job.environment && html`<p>Environment ${environment(job.environment)}</p>`}
    ${job.message !== undefined && html`<p class="message">${job.message}</p>`}
    ${
      job.attempts.length > 1 &&
      html`<p>
      Attempts:
      ${job.attempts.map(({ number, verdict }) => {
        const current = number === page.attempt && html` aria-current="page"`;
        return html` <a href="${jobPath(job.name)}?attempt=${number}"${current}>${number}${verdict !== undefined && ` (${verdict})`}</a>`;
      })}
    </p>`
    }
    ${failing.length > 0 && failingTests(page, failing)}
    ${attempt && attempt.steps.length > 0 && steps(page, attempt)}
    ${page.summaries?.map((summary) => summarySection(page, summary))}
    ${page.artifacts.length > 0 && artifactList(page)}
    ${page.events.length > 0 && eventList(page.events)}
    ${attempt && reproduction(page, attempt)}
    <h2 id="log">Log <a class="dim" href="/api/v1/jobs/${encodeURIComponent(job.name)}/log${page.attempt === undefined ? "" : `?attempt=${page.attempt}`}">raw</a></h2>`;
}

/** Its URL is the workflow's own text: only what leads to a page is a link. */
function environment({ name, url }: NonNullable<JobView["environment"]>): Html {
  return url !== undefined && /^https?:\/\//i.test(url) ? html`<a href="${url}" rel="nofollow noreferrer">${name}</a>` : html`${name}`;
}

/** How to run it elsewhere: the command for one that failed, and what it was made of for all. */
function reproduction({ job, origin }: JobPage, { number, verdict }: JobView["attempts"][number]): Html {
  const lock = `/api/v1/jobs/${encodeURIComponent(job.name)}/lock?attempt=${number}`;
  const hasFailed = verdict !== undefined && verdict !== "passed" && verdict !== "skipped";
  return html`<p>
      ${hasFailed && html`To run it on your own machine: <code>seatrial reproduce ${origin}${jobPath(job.name)}</code> `}
      <a class="dim" href="${lock}">lock document</a>
    </p>`;
}

function summarySection({ job, attempt: number }: ShownAttempt, { step, content }: StepSummary): Html {
  const name = job.attempts.find((each) => each.number === number)?.steps[step]?.name ?? `Step ${step + 1}`;
  return html`<details class="summary" open><summary><h2>${name}</h2> <span class="dim">summary</span></summary>${content}</details>`;
}

function failingTests(page: ShownAttempt, tests: readonly TestResult[]): Html {
  return html`<h2>Failing tests</h2>
    <ul>
      ${tests.map(
        (test) =>
          html`<li>
            <span class="${test.verdict}">${test.logLine === undefined ? nameOf(test) : html`<a href="${lineHref(page, test.logLine)}">${nameOf(test)}</a>`}</span>
            ${test.durationMs !== undefined && html`<span class="dim">${duration(test.durationMs)}</span>`}
            ${test.message !== undefined && html`<div class="message">${test.message}</div>`}
          </li>`,
      )}
    </ul>`;
}

function nameOf({ className, name }: TestResult): string {
  return className === "" || name.startsWith(className) ? name : `${className} ${name}`;
}

function steps(page: ShownAttempt, attempt: JobView["attempts"][number]): Html {
  return html`<h2>Steps</h2>
    <table>
      <thead><tr><th>Verdict</th><th>Step</th><th>Time</th><th>Why</th></tr></thead>
      <tbody>
        ${attempt.steps.map(
          (step) =>
            html`<tr>
              <td>${badge(step.state, step.verdict)}</td>
              <td class="name"><a href="${lineHref(page, step.firstLine)}">${step.name}</a></td>
              <td class="time">${step.finishedAt !== undefined && duration(Date.parse(step.finishedAt) - Date.parse(step.startedAt))}</td>
              <td>${step.message ?? (step.exitCode ? `exit code ${step.exitCode}` : "")}</td>
            </tr>`,
        )}
      </tbody>
    </table>`;
}

/** A long list lets the log be seen: it opens on a click. */
function folding(title: string, count: number, list: Html): Html {
  const isOpen = count <= limits.pageListShown && html` open`;
  return html`<details${isOpen}><summary><h2>${title}</h2> <span class="dim">${count}</span></summary>${list}</details>`;
}

function artifactList({ job, artifacts, attempt }: JobPage): Html {
  const list = html`<ul>
      ${artifacts.map(({ path, size }) => {
        const query = new URLSearchParams({ path, ...(attempt === undefined ? {} : { attempt: String(attempt) }) });
        return html`<li><a href="/api/v1/jobs/${encodeURIComponent(job.name)}/artifact?${query.toString()}">${path}</a> <span class="dim">${bytes(size)}</span></li>`;
      })}
    </ul>`;
  return folding("Artifacts", artifacts.length, list);
}

function eventList(events: readonly ClusterEvent[]): Html {
  const list = html`<table>
      <thead><tr><th>Time</th><th>Cluster</th><th>Type</th><th>Reason</th><th>Object</th><th>Message</th></tr></thead>
      <tbody>
        ${events.map(
          (event) =>
            html`<tr>
              <td>${time(event.time)}</td>
              <td>${event.cluster}</td>
              <td>${event.type}</td>
              <td>${event.reason}${event.count > 1 && ` ×${event.count}`}</td>
              <td>${event.object}</td>
              <td>${event.message}</td>
            </tr>`,
        )}
      </tbody>
    </table>`;
  return folding("Events of its clusters", events.length, list);
}

function lineHref({ job, attempt = 1 }: ShownAttempt, line: number): string {
  return lineLink(jobPath(job.name), attempt, line);
}

/** Marks lines, and gives the range an anchor of its own, as long as the lines come in order. */
export class LogRenderer {
  readonly #marked: LineRange | undefined;
  readonly #page: ShownAttempt;
  #isInRange = false;
  #isInGroup = false;

  constructor(page: ShownAttempt, marked: LineRange | undefined) {
    this.#marked = marked;
    this.#page = page;
  }

  /** A link to lines that are not shown. */
  more(text: string, line: number): Html {
    return html`<a class="more" href="${lineHref(this.#page, line)}">${text}</a>`;
  }

  lines(lines: readonly LogLine[]): Html {
    return new Html(lines.map((line) => this.#line(line)).join(""));
  }

  #line({ number, text, isCut, bytes: size }: LogLine): string {
    const marked = this.#marked;
    const isMarked = marked !== undefined && number >= marked.from && number <= marked.to;
    const opens = isMarked && !this.#isInRange && marked.to > marked.from;
    const closes = isMarked && number === marked.to && (this.#isInRange || opens);
    const { before, title } = this.#fold(text, opens);
    if (opens) this.#isInRange = true;
    if (closes) this.#isInRange = false;
    const shown =
      escapeText(title ?? withoutAnsi(text)) + (isCut ? ` <i class="dim">… ${bytes(size)} in this line; the raw log has them</i>` : "");
    return [
      before,
      opens ? `<div class="range" id="L${marked.from}-L${marked.to}">` : "",
      `<div id="L${number}"${isMarked ? ' class="marked"' : ""}><a href="${escapeText(lineHref(this.#page, number))}">${number}</a><span>${shown}</span></div>`,
      title === undefined ? "" : "</summary>",
      closes ? "</div>" : "",
    ].join("");
  }

  /**
   * Groups fold, as on GitHub: from their title up to their end, the next group, or the end of the step. Where lines are asked for
   * they are open; a range is shown as it is.
   */
  #fold(text: string, isRange: boolean): { before: string; title?: string | undefined } {
    if (this.#isInRange) return { before: "" };
    const title = isRange ? undefined : groupTitle(text);
    const isGroup = title !== undefined;
    const ends = this.#isInGroup && (isGroup || isRange || /^\s*::endgroup::/i.test(text) || text.startsWith("» "));
    this.#isInGroup = isGroup || (this.#isInGroup && !ends);
    const begin = isGroup ? `<details class="group"${this.#marked ? " open" : ""}><summary>` : "";
    return { before: `${ends ? "</details>" : ""}${begin}`, title };
  }

  /** Ends what is open, when the lines end before the range does. */
  end(): Html {
    return new Html(this.#isInRange ? "</div>" : this.#isInGroup ? "</details>" : "");
  }
}

export const jobBottom = pageBottom;

/** Of a line that begins a group. */
function groupTitle(text: string): string | undefined {
  return /^\s*::group::(.*)/i.exec(text)?.[1]?.trimEnd();
}

/** Colours and cursor movements are for terminals; of a line that was overwritten, the last text counts. */
function withoutAnsi(text: string): string {
  // oxlint-disable-next-line no-control-regex -- these are what is looked for
  const plain = text.replaceAll(/\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g, "").replace(/\r$/, "");
  return plain.slice(plain.lastIndexOf("\r") + 1);
}

function bytes(size: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, size)) / 10));
  return `${(size / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

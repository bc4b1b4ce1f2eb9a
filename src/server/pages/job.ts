/**
 * The page of a job: how it went, its failing tests with links to their lines, its log with an anchor for each line, its clusters'
 * events, its artifacts. While the job runs the page is not ended: lines are added as they come, without a script.
 *
 * `?line=120#L120` leads to a line, `?line=120-130#L120-L130` to a range: the query says which part of a long log is shown.
 */
import type { Artifact, ClusterEvent, TestResult } from "../../history/attempts.ts";
import type { LogLine } from "../../logs/lines.ts";
import type { JobView, RunBody } from "../api/schemas.ts";
import { badge, duration, escapeText, Html, html, pageBottom, pageTop, time } from "./layout.ts";
import { jobPath, runPath } from "./runs.ts";

export interface JobPage {
  job: JobView;
  run: RunBody;
  /** Number of the attempt that is shown. */
  attempt: number | undefined;
  tests: readonly TestResult[];
  artifacts: readonly Artifact[];
  events: readonly ClusterEvent[];
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
      ${run.event} of <code>${run.ref}</code>, commit <code>${run.sha.slice(0, 10)}</code>${job.startedAt !== undefined && html`, ${time(new Date(job.startedAt))}`}${
        job.startedAt !== undefined &&
        job.finishedAt !== undefined &&
        html`, ${duration(Date.parse(job.finishedAt) - Date.parse(job.startedAt))}`
      }
    </p>
    ${job.message !== undefined && html`<p class="message">${job.message}</p>`}
    ${
      job.attempts.length > 1 &&
      html`<p>
      Attempts:
      ${job.attempts.map(({ number, verdict }) => html` <a href="${jobPath(job.name)}?attempt=${number}">${number}${verdict !== undefined && ` (${verdict})`}</a>`)}
    </p>`
    }
    ${failing.length > 0 && failingTests(job, failing)}
    ${attempt && attempt.steps.length > 0 && steps(job, attempt)}
    ${page.artifacts.length > 0 && artifactList(job, page)}
    ${page.events.length > 0 && eventList(page.events)}
    <h2 id="log">Log <a class="dim" href="/api/v1/jobs/${encodeURIComponent(job.name)}/log${page.attempt === undefined ? "" : `?attempt=${page.attempt}`}">raw</a></h2>`;
}

function failingTests(job: JobView, tests: readonly TestResult[]): Html {
  return html`<h2>Failing tests</h2>
    <ul>
      ${tests.map(
        (test) =>
          html`<li>
            <span class="${test.verdict}">${test.logLine === undefined ? nameOf(test) : html`<a href="${lineHref(job.name, test.logLine)}">${nameOf(test)}</a>`}</span>
            ${test.durationMs !== undefined && html`<span class="dim">${duration(test.durationMs)}</span>`}
            ${test.message !== undefined && html`<div class="message">${test.message}</div>`}
          </li>`,
      )}
    </ul>`;
}

function nameOf({ className, name }: TestResult): string {
  return className === "" || name.startsWith(className) ? name : `${className} ${name}`;
}

function steps(job: JobView, attempt: JobView["attempts"][number]): Html {
  return html`<h2>Steps</h2>
    <table>
      <tbody>
        ${attempt.steps.map(
          (step) =>
            html`<tr>
              <td>${badge(step.state, step.verdict)}</td>
              <td><a href="${lineHref(job.name, step.firstLine)}">${step.name}</a></td>
              <td>${step.finishedAt !== undefined && duration(Date.parse(step.finishedAt) - Date.parse(step.startedAt))}</td>
              <td>${step.message ?? (step.exitCode ? `exit code ${step.exitCode}` : "")}</td>
            </tr>`,
        )}
      </tbody>
    </table>`;
}

function artifactList(job: JobView, { artifacts, attempt }: JobPage): Html {
  return html`<h2>Artifacts</h2>
    <ul>
      ${artifacts.map(({ path, size }) => {
        const query = new URLSearchParams({ path, ...(attempt === undefined ? {} : { attempt: String(attempt) }) });
        return html`<li><a href="/api/v1/jobs/${encodeURIComponent(job.name)}/artifact?${query.toString()}">${path}</a> <span class="dim">${bytes(size)}</span></li>`;
      })}
    </ul>`;
}

function eventList(events: readonly ClusterEvent[]): Html {
  return html`<h2>Events of its clusters</h2>
    <table>
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
}

function lineHref(jobRun: string, line: number): string {
  return `${jobPath(jobRun)}?line=${line}#L${line}`;
}

/** Marks lines, and gives the range an anchor of its own, as long as the lines come in order. */
export class LogRenderer {
  readonly #marked: LineRange | undefined;
  readonly #path: string;
  #isInRange = false;

  constructor(jobRun: string, marked: LineRange | undefined) {
    this.#marked = marked;
    this.#path = jobPath(jobRun);
  }

  /** A link to lines that are not shown. */
  more(text: string, line: number): Html {
    return html`<a class="more" href="${this.#path}?line=${line}#L${line}">${text}</a>`;
  }

  lines(lines: readonly LogLine[]): Html {
    return new Html(lines.map((line) => this.#line(line)).join(""));
  }

  #line({ number, text, isCut, bytes: size }: LogLine): string {
    const marked = this.#marked;
    const isMarked = marked !== undefined && number >= marked.from && number <= marked.to;
    const opens = isMarked && !this.#isInRange && marked.to > marked.from;
    const closes = isMarked && number === marked.to && (this.#isInRange || opens);
    if (opens) this.#isInRange = true;
    if (closes) this.#isInRange = false;
    const shown = escapeText(withoutAnsi(text)) + (isCut ? ` <i class="dim">… ${bytes(size)} in this line; the raw log has them</i>` : "");
    return [
      opens ? `<div id="L${marked.from}-L${marked.to}" style="display:block">` : "",
      `<div id="L${number}"${isMarked ? ' class="marked"' : ""}><a href="${escapeText(this.#path)}?line=${number}#L${number}">${number}</a><span>${shown}</span></div>`,
      closes ? "</div>" : "",
    ].join("");
  }

  /** Ends what is open, when the lines end before the range does. */
  end(): Html {
    return new Html(this.#isInRange ? "</div>" : "");
  }
}

export const jobBottom = pageBottom;

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

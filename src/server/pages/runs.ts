/** The list of runs, and the page of one. */
import type { JobRunSummary, RunSummary } from "../../history/queries.ts";
import { badge, duration, type Html, html, pageBottom, pageTop, time } from "./layout.ts";

export function runsPage(runs: readonly RunSummary[], next: string | undefined, query: URLSearchParams): Html {
  const more = new URLSearchParams(query);
  if (next !== undefined) more.set("cursor", next);
  return html`${pageTop("Runs", [])}
    <h1>Runs</h1>
    <form action="/" method="get" role="search">
      <label>Search <input name="text" value="${query.get("text") ?? ""}" placeholder="repository, branch, commit, workflow" /></label>
      <button>Search</button>
    </form>
    ${runs.length === 0 && html`<p class="dim">There are no runs${query.size > 0 ? " that match" : " yet: push to a repository, or type seatrial run in one"}.</p>`}
    ${
      runs.length > 0 &&
      html`<table>
      <thead><tr><th>Verdict</th><th>Run</th><th>Repository</th><th>Change</th><th>Time</th><th>Started</th></tr></thead>
      <tbody>${runs.map((run) => runRow(run))}</tbody>
    </table>`
    }
    ${next !== undefined && html`<p><a href="/?${more.toString()}" rel="next">Older runs</a></p>`}
    ${pageBottom}`;
}

function runRow(run: RunSummary): Html {
  return html`<tr>
    <td>${badge(run.phase, run.verdict)}</td>
    <td class="name"><a href="${runPath(run.name)}">${run.workflow.name}</a></td>
    <td>${run.repository}</td>
    <td class="name">${run.event} ${shortRef(run.ref)} <code>${run.sha.slice(0, 10)}</code>${run.lane === "untrusted" && html` <span class="dim">untrusted</span>`}</td>
    <td class="time">${took(run)}</td>
    <td>${time(run.createdAt)}</td>
  </tr>`;
}

export function runPage(run: RunSummary, jobs: readonly JobRunSummary[]): Html {
  return html`${pageTop(`${run.workflow.name} ${run.repository}`, [{ text: run.repository, href: `/?${new URLSearchParams({ text: run.repository }).toString()}` }, { text: run.workflow.name }])}
    <h1>${badge(run.phase, run.verdict)} ${run.workflow.name}</h1>
    ${run.title !== undefined && html`<p>${run.title}</p>`}
    <p>${run.event} of ${shortRef(run.ref)}, commit <code>${run.sha}</code>, ${time(run.createdAt)}${run.finishedAt && html`, ${took(run)}`}</p>
    ${run.message !== undefined && html`<p class="message">${run.message}</p>`}
    <h2>Jobs</h2>
    ${jobs.length === 0 && html`<p class="dim">It has no jobs yet.</p>`}
    ${
      jobs.length > 0 &&
      html`<table>
      <thead><tr><th>Verdict</th><th>Job</th><th>Time</th><th>Why</th></tr></thead>
      <tbody>
        ${jobs.map(
          (job) =>
            html`<tr>
              <td>${badge(job.phase, job.verdict)}</td>
              <td class="name"><a href="${jobPath(job.name)}">${job.jobName}</a></td>
              <td class="time">${took(job)}</td>
              <td>${job.message}</td>
            </tr>`,
        )}
      </tbody>
    </table>`
    }
    ${pageBottom}`;
}

export function runPath(run: string): string {
  return `/runs/${encodeURIComponent(run)}`;
}

export function jobPath(jobRun: string): string {
  return `/jobs/${encodeURIComponent(jobRun)}`;
}

export function shortRef(ref: string): string {
  return ref
    .replace(/^refs\/heads\//, "")
    .replace(/^refs\/tags\//, "tag ")
    .replace(/^refs\/pull\/(\d+)\/.*$/, "#$1");
}

function took({ startedAt, finishedAt }: { startedAt?: Date; finishedAt?: Date }): string {
  return startedAt && finishedAt ? duration(finishedAt.getTime() - startedAt.getTime()) : "";
}

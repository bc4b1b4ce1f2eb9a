/** Serves the pages: each is made from the same answers as the public API's. */
import { Hono } from "hono";
import { messageOf } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { ObjectStore } from "../../artifacts/object-store.ts";
import type { History } from "../../history/history.ts";
import type { LogStore } from "../../logs/log-store.ts";
import { isNotFound, streamOf } from "../api/routes.ts";
import type { JobView, RunView } from "../api/schemas.ts";
import { jobBottom, jobTop, lineRange, LogRenderer, type ShownAttempt } from "./job.ts";
import { type Html, html, icon, pageBottom, pageHeaders, pageTop, style } from "./layout.ts";
import { runPage, runsPage } from "./runs.ts";
import { summariesOf } from "./summaries.ts";

export interface PagesOptions {
  history: History;
  logs: LogStore;
  objects: ObjectStore;
  /** Answers of the public API. */
  jobView(name: string): Promise<JobView>;
  runView(name: string): Promise<RunView>;
}

export function pagesApp({ history, logs, objects, jobView, runView }: PagesOptions): Hono {
  const app = new Hono();
  const page = (content: Html, status = 200) => new Response(content.text, { status, headers: pageHeaders });

  const file = (content: string, contentType: string) =>
    new Response(content, { headers: { "content-type": contentType, "x-content-type-options": "nosniff", "cache-control": "max-age=60" } });
  app.get("/style.css", () => file(style, "text/css"));
  app.get("/icon.svg", () => file(icon, "image/svg+xml"));

  app.get("/", async (context) => {
    const query = new URL(context.req.url).searchParams;
    const found = await history.queries.runs(Object.fromEntries(query));
    return page(runsPage(found.items, found.next, query));
  });

  app.get("/runs/:run", async (context) => {
    const found = await history.queries.run(context.req.param("run"));
    return found ? page(runPage(found.summary, found.jobs.items)) : page(notFoundPage(), 404);
  });

  app.get("/jobs/:job", async (context) => {
    const name = context.req.param("job");
    const job = await jobView(name);
    const { run } = await runView(job.run);
    const asked = Number(context.req.query("attempt") ?? NaN);
    const attempt = job.attempts.find(({ number }) => number === asked) ?? job.attempts.at(-1);
    const [tests, artifacts, events] = attempt
      ? await Promise.all([
          history.queries.tests(attempt.uid, { limit: limits.pageItemsMost }),
          history.queries.artifacts(attempt.uid, { limit: limits.pageItemsMost }),
          history.queries.clusterEvents(attempt.uid, { limit: limits.pageItemsMost }),
        ])
      : [{ items: [] }, { items: [] }, { items: [] }];
    const { origin } = new URL(context.req.url);
    const summaries = await summariesOf(objects, artifacts.items);
    const shown = { tests: tests.items, artifacts: artifacts.items, events: events.items, summaries };
    const top = jobTop({ job, run, origin, attempt: attempt?.number, ...shown });
    const abort = new AbortController();
    async function* whole() {
      yield Buffer.from(top.text);
      if (attempt) yield* logPieces(logs, attempt.uid, { job, attempt: attempt.number }, context.req.query("line"), abort.signal);
      else yield Buffer.from(html`<p class="dim">It has not begun yet${job.message !== undefined && `: ${job.message}`}.</p>`.text);
      yield Buffer.from(jobBottom.text);
    }
    return streamOf(whole(), "text/html; charset=utf-8", abort, pageHeaders);
  });

  app.notFound(() => page(notFoundPage(), 404));
  app.onError((error) => {
    if (isNotFound(error)) return page(notFoundPage(), 404);
    return page(html`${pageTop("Error", [])}<h1>That did not work</h1><p class="message">${messageOf(error)}</p>${pageBottom}`, 500);
  });
  return app;
}

function notFoundPage(): Html {
  return html`${pageTop("Not found", [])}<h1>There is nothing here</h1><p><a href="/">All runs</a></p>${pageBottom}`;
}

/** The lines that are asked for, and those that come while the log is open. */
async function* logPieces(
  logs: LogStore,
  attempt: string,
  page: ShownAttempt,
  line: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const marked = lineRange(line);
  const renderer = new LogRenderer(page, marked);
  const piece = (content: Html) => Buffer.from(content.text);
  const info = await logs.info(attempt);
  yield Buffer.from('<div class="log" role="log">');
  if (info) {
    // A long log is shown in part: around what is asked for, else its end; and never more of it, however much is asked for.
    const most = limits.pageLogLines;
    const from = Math.max(1, marked ? Math.min(marked.from, info.lines) - most / 2 : info.lines - most + 1);
    const end = Math.min(info.lines, from + most - 1);
    if (from > 1) yield piece(renderer.more(`${from - 1} earlier lines`, Math.max(1, from - most / 2)));
    const whole = Math.min(end, await wholeLines(logs, attempt));
    for (let next: number | undefined = from; next !== undefined && next <= whole;) {
      const shown: Awaited<ReturnType<LogStore["lines"]>> = await logs.lines(attempt, next, whole);
      yield piece(renderer.lines(shown.lines));
      next = shown.lines.length > 0 ? shown.next : undefined;
    }
    if (end < info.lines) yield piece(renderer.more(`${info.lines - end} later lines`, end + 1));
    else if (!info.isClosed) yield* following(logs, attempt, renderer, whole + 1, signal);
  } else {
    yield* following(logs, attempt, renderer, 1, signal);
  }
  yield piece(html`${renderer.end()}</div>`);
}

/** Lines as they come, from one on, until the log is closed, or there are more than a browser bears: then a link leads on. */
async function* following(
  logs: LogStore,
  attempt: string,
  renderer: LogRenderer,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  let next = from;
  const most = from + limits.pageFollowedLines - 1;
  const show = async function* (): AsyncGenerator<Buffer> {
    for (const last = await wholeLines(logs, attempt); next <= Math.min(last, most);) {
      const { lines } = await logs.lines(attempt, next, Math.min(last, most));
      if (lines.length === 0) return;
      next += lines.length;
      yield Buffer.from(renderer.lines(lines).text);
    }
  };
  const begun = (await logs.info(attempt))?.size ?? 0;
  yield* show();
  for await (const _piece of logs.follow(attempt, begun, signal)) {
    yield* show();
    if (next > most) return yield Buffer.from(renderer.more("the log goes on", next).text);
  }
  yield* show();
}

/** Number of lines that can be shown: the last of a log that goes on may not be whole yet, and would be shown twice. */
async function wholeLines(logs: LogStore, attempt: string): Promise<number> {
  const info = await logs.info(attempt);
  if (!info || info.isClosed || info.size === 0) return info?.lines ?? 0;
  for await (const bytes of await logs.read(attempt, info.size - 1)) return bytes[0] === 10 ? info.lines : info.lines - 1;
  return info.lines;
}

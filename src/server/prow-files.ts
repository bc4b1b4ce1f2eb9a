/**
 * Attempts in Prow's layout, for tools that read it (artifacts/prow-layout.ts): below `/prow/JOBRUN/ATTEMPT/` the files by the names that
 * they look for, and a list of links where a path ends with a slash, as gcsweb has it. Only reads; made of what the history, the logs and
 * the object store have, when it is asked for.
 */
import { Hono, type HonoRequest } from "hono";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { ObjectStore } from "../artifacts/object-store.ts";
import { finishedFile, startedFile } from "../artifacts/prow-layout.ts";
import type { History } from "../history/history.ts";
import type { LogStore } from "../logs/log-store.ts";
import type { Cause } from "../resources/verdict.ts";
import { isNotFound, streamOf } from "./api/routes.ts";
import { html, pageBottom, pageHeaders, pageTop } from "./pages/layout.ts";
import { jobPath } from "./pages/runs.ts";

export interface ProwFilesOptions {
  history: History;
  logs: LogStore;
  objects: ObjectStore;
  /** What links to pages begin with. Default: what whoever asks has asked. */
  origin?: string | undefined;
}

export function prowFilesApp({ history, logs, objects, origin }: ProwFilesOptions): Hono {
  const { queries } = history;
  const linkOf = (request: HonoRequest, name: string) => (origin ?? new URL(request.url).origin) + jobPath(name);
  const app = new Hono();

  const found = async (name: string, number: string) => {
    const job = await queries.jobRun(name);
    const run = job && (await queries.run(job.summary.run));
    const attempt = job?.attempts.find((each) => String(each.number) === number);
    if (!run || !attempt) throw new SeatrialError("not-found", `there is no attempt ${number} of ${name}`);
    // Until its verdict is written down, evidence and tests are still to come.
    const isOver = attempt !== job.attempts.at(-1) || job.summary.phase === "Finished";
    return { summary: job.summary, source: run.run.spec.source, attempt, end: isOver ? attempt.result : undefined };
  };

  const listing = (path: string, names: readonly string[], next?: string) => {
    const more = next === undefined ? undefined : `?${new URLSearchParams({ cursor: next }).toString()}`;
    const page = html`${pageTop(path, [{ text: path }])}
      <h1>${path}</h1>
      <ul>${names.map((name) => html`<li><a href="${name.split("/").map(encodeURIComponent).join("/")}">${name}</a></li>`)}</ul>
      ${more !== undefined && html`<p><a href="${more}" rel="next">More</a></p>`}
      ${pageBottom}`;
    return new Response(page.text, { headers: pageHeaders });
  };

  app.get("/prow/:job/:attempt/", async (context) => {
    const { attempt, end } = await found(context.req.param("job"), context.req.param("attempt"));
    const names = ["started.json", ...(attempt.hasLog ? ["build-log.txt"] : []), ...(attempt.hasArtifacts ? ["artifacts/"] : [])];
    return listing(context.req.path, [...names, ...(end ? ["finished.json"] : [])]);
  });

  app.get("/prow/:job/:attempt/started.json", async (context) => {
    const { summary, source, attempt } = await found(context.req.param("job"), context.req.param("attempt"));
    const head = source.heads?.[0];
    return json(
      startedFile({
        startedAt: attempt.createdAt,
        node: attempt.host,
        repository: source.repository.name,
        baseRef: source.base.ref,
        commit: head?.sha ?? source.base.sha,
        pull: head?.number,
        metadata: { link: linkOf(context.req, summary.name) },
      }),
    );
  });

  app.get("/prow/:job/:attempt/finished.json", async (context) => {
    const { summary, attempt, end } = await found(context.req.param("job"), context.req.param("attempt"));
    if (!end) throw new SeatrialError("not-found", `attempt ${attempt.number} of ${summary.name} has not ended yet`);
    const { endedAt: finishedAt, verdict, cause } = end;
    return json(
      finishedFile({ finishedAt, verdict, cause: cause as Cause | undefined, metadata: { link: linkOf(context.req, summary.name) } }),
    );
  });

  app.get("/prow/:job/:attempt/build-log.txt", async (context) => {
    const { attempt } = await found(context.req.param("job"), context.req.param("attempt"));
    return streamOf(await logs.read(attempt.uid, 0), "text/plain; charset=utf-8");
  });

  app.get("/prow/:job/:attempt/artifacts/", async (context) => {
    const { attempt } = await found(context.req.param("job"), context.req.param("attempt"));
    const page = { limit: limits.pageItemsMost, cursor: context.req.query("cursor") };
    const { items, next } = await queries.artifacts(attempt.uid, page);
    return listing(
      context.req.path,
      items.map(({ path }) => path),
      next,
    );
  });

  app.get("/prow/:job/:attempt/artifacts/:path{.+}", async (context) => {
    const { attempt } = await found(context.req.param("job"), context.req.param("attempt"));
    const path = context.req.param("path");
    const artifact = await queries.artifact(attempt.uid, path);
    if (!artifact) throw new SeatrialError("not-found", `it left no ${path}`);
    return streamOf(await objects.get(artifact.key), "application/octet-stream", undefined, {
      "content-length": String(artifact.size),
      "content-disposition": "attachment",
      "content-security-policy": "sandbox",
    });
  });

  app.onError((error) => {
    if (!isNotFound(error)) throw error;
    return new Response(`${error.message}\n`, { status: 404, headers: { "content-type": "text/plain; charset=utf-8" } });
  });
  return app;
}

function json(value: object): Response {
  return Response.json(value, { headers: { "x-content-type-options": "nosniff" } });
}

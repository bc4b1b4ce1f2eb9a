/**
 * The public API: what pages, commands and other programs ask. Reads are here, and come from the history, the logs and the object
 * store; what changes something is in files of its own, writes to a store, and answers.
 */
import { z } from "zod";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { ObjectStore } from "../../artifacts/object-store.ts";
import type { Dispatcher } from "../../controllers/trigger/dispatch.ts";
import type { Forge, ShownCheck } from "../../forges/forge.ts";
import type { UploadPack } from "../../git/upload-pack.ts";
import type { History } from "../../history/history.ts";
import type { JobRunSummary, RunSummary } from "../../history/queries.ts";
import type { Store } from "../../kube/store.ts";
import { ApiError } from "../../kube/api-error.ts";
import { lineLink } from "../../logs/line-link.ts";
import type { LogStore } from "../../logs/log-store.ts";
import { clusterKind } from "../../resources/kinds.ts";
import type { Stored } from "../../resources/object.ts";
import type { Run } from "../../resources/run.ts";
import { verdicts } from "../../resources/verdict.ts";
import type { SecretStore } from "../../secrets/store.ts";
import type { RunsOnRule } from "../../workflows/runs-on.ts";
import { jobPath, runPath } from "../pages/runs.ts";
import { changeRoutes } from "./changes.ts";
import { deliveryRoutes } from "./deliveries.ts";
import { dispatchRoutes } from "./dispatches.ts";
import { cursor, type Route } from "./route.ts";
import {
  artifactSchema,
  checkSchema,
  jobSchema,
  type JobView,
  linesSchema,
  pageOf,
  runSchema,
  type RunBody,
  type RunView,
  runViewSchema,
  testSchema,
} from "./schemas.ts";
import { secretRoutes } from "./secrets.ts";

export interface ApiOptions {
  history: History;
  logs: LogStore;
  objects: ObjectStore;
  /** Undefined where nothing runs: the API then only reads. */
  store: Store | undefined;
  /** Resolves when something of the run has changed since the call, or after a while; never rejects. */
  changeOf(run: string, signal: AbortSignal): Promise<void>;
  /** What the forge shows at the run's commit; undefined where no forge is known. */
  checksOf?: ((run: Stored<Run>) => Promise<ShownCheck[]>) | undefined;
  /** Called with the name of a run before it is made. */
  noteRun?: ((name: string) => Promise<void>) | undefined;
  /** What labels of one's own mean. Default: nothing. */
  rules?: readonly RunsOnRule[] | undefined;
  /** Undefined where none are kept. */
  secrets?: SecretStore | undefined;
  /** A forge's id of a repository, by its name; what is not given here is looked for in the history. */
  repositoryId?: ((forge: string, name: string) => Promise<string | undefined>) | undefined;
  /** The repository on this machine that holds the run's commit; undefined when it is not here. */
  repositoryOf?: ((run: Stored<Run>) => string | undefined) | undefined;
  /** Gives git objects; undefined where nobody asks over HTTP. */
  uploadPack?: UploadPack | undefined;
  /** Undefined where nothing is triggered. */
  dispatches?: { forges: ReadonlyMap<string, Forge>; dispatcher: Pick<Dispatcher, "dispatch" | "tell"> } | undefined;
  /** A delivery waits to be handled again. */
  onReplay?: (() => void) | undefined;
  now(): Date;
}

export function apiRoutes(options: ApiOptions): Route[] {
  const { history, logs } = options;
  const { queries } = history;

  const jobViewOf = async (name: string): Promise<JobView> => {
    const found = await queries.jobRun(name);
    if (!found)
      throw new SeatrialError("not-found", `there is no job run ${name}`, {
        hint: "seatrial history lists runs, and status RUN their jobs",
      });
    const { summary, jobRun, attempts } = found;
    const clusters = await Promise.all(
      (jobRun.status?.clusters ?? []).map(async (each) => {
        // What is known of a job is in the history: a control plane that is away hides no more than this.
        const cluster = await options.store?.get(clusterKind, each.cluster).catch(() => undefined);
        const kubeconfig = cluster?.status?.kubeconfig;
        return { ...each, ...(kubeconfig === undefined ? {} : { kubeconfig }) };
      }),
    );
    return {
      ...bodyOf(summary),
      run: summary.run,
      job: summary.job,
      jobName: summary.jobName,
      needs: jobRun.spec.needs ?? [],
      clusters,
      ...(jobRun.spec.environment === undefined ? {} : { environment: jobRun.spec.environment }),
      ...(jobRun.status?.heldUntil === undefined ? {} : { heldUntil: jobRun.status.heldUntil }),
      attempts: attempts.map((attempt) => ({
        uid: attempt.uid,
        number: attempt.number,
        executor: attempt.executor,
        host: attempt.host,
        startedAt: attempt.createdAt.toISOString(),
        ...(attempt.result
          ? {
              finishedAt: attempt.result.endedAt.toISOString(),
              verdict: attempt.result.verdict,
              ...(attempt.result.message === undefined ? {} : { message: attempt.result.message }),
            }
          : {}),
        steps: attempt.steps.map(({ index: _index, ...step }) => definedOnly(step)),
        tests: attempt.testCounts,
      })),
      link: jobPath(summary.name),
    };
  };

  const runViewOf = async (name: string): Promise<RunView> => {
    const found = await queries.run(name);
    if (!found) throw new SeatrialError("not-found", `there is no run ${name}`, { hint: "seatrial history lists the runs" });
    return { run: runBody(found.summary), jobs: await Promise.all(found.jobs.items.map(async (job) => await jobViewOf(job.name))) };
  };

  const attemptViewOf = async (jobRun: string, number: number | undefined): Promise<JobView["attempts"][number]> => {
    const { attempts } = await jobViewOf(jobRun);
    const attempt = number === undefined ? attempts.at(-1) : attempts.find((each) => each.number === number);
    if (!attempt)
      throw new SeatrialError("not-found", number === undefined ? `${jobRun} has not begun yet` : `${jobRun} has no attempt ${number}`);
    return attempt;
  };

  const attemptOf = async (jobRun: string, number: number | undefined): Promise<string> => (await attemptViewOf(jobRun, number)).uid;

  const attemptQuery = { attempt: z.coerce.number().int().min(1).optional().describe("Which attempt. Default: the last.") };

  return [
    {
      method: "get",
      path: "/api/v1/runs",
      operation: "listRuns",
      summary: "Runs, the newest first.",
      isProtected: false,
      query: z.object({
        ...cursor,
        repository: z.string().optional(),
        workflow: z.string().optional().describe("Path or name."),
        ref: z.string().optional().describe("Ref or branch."),
        verdict: z.enum(verdicts).optional(),
        event: z.string().optional(),
        text: z.string().optional().describe("In any of its names."),
      }),
      answer: pageOf(runSchema),
      handle: async ({ query, context }) => {
        const page = await queries.runs(query);
        return context.json({ ...page, items: page.items.map(runBody) });
      },
    },
    {
      method: "get",
      path: "/api/v1/runs/{run}",
      operation: "getRun",
      summary: "A run and its jobs.",
      isProtected: false,
      answer: runViewSchema,
      handle: async ({ params, context }) => context.json(await runViewOf(params["run"]!)),
    },
    {
      method: "get",
      path: "/api/v1/runs/{run}/stream",
      operation: "streamRun",
      summary: "A run and its jobs, a line of JSON for each change, until it has ended.",
      isProtected: false,
      answer: { contentType: "application/x-ndjson" },
      handle: async ({ params }) => {
        const name = params["run"]!;
        const abort = new AbortController();
        await runViewOf(name); // One that is not there is told now.
        async function* views() {
          for (let last = ""; ;) {
            // Listens before it looks: what changes meanwhile is seen by the next look.
            const change = options.changeOf(name, abort.signal);
            const view = await runViewOf(name);
            const text = `${JSON.stringify(view)}\n`;
            if (text !== last) yield Buffer.from(text);
            last = text;
            if (view.run.phase === "Finished" || abort.signal.aborted) return abort.abort();
            await change;
          }
        }
        return streamOf(views(), "application/x-ndjson", abort);
      },
    },
    {
      method: "get",
      path: "/api/v1/runs/{run}/checks",
      operation: "listChecks",
      summary: "What the forge shows at the run's commit.",
      isProtected: false,
      answer: z.object({ items: z.array(checkSchema) }),
      handle: async ({ params, context }) => {
        const found = await queries.run(params["run"]!);
        if (!found) throw new SeatrialError("not-found", `there is no run ${params["run"]}`);
        return context.json({ items: (await options.checksOf?.(found.run)) ?? [] });
      },
    },
    {
      method: "get",
      path: "/api/v1/jobs/{job}",
      operation: "getJob",
      summary: "A job run with its attempts and steps.",
      isProtected: false,
      answer: jobSchema,
      handle: async ({ params, context }) => context.json(await jobViewOf(params["job"]!)),
    },
    {
      method: "get",
      path: "/api/v1/jobs/{job}/lines",
      operation: "getLines",
      summary: "Lines of a job's log.",
      isProtected: false,
      query: z.object({
        ...attemptQuery,
        from: z.coerce.number().int().min(1).default(1).describe("First line, from 1."),
        to: z.coerce.number().int().min(1).default(limits.logLinesShown).describe("Last line."),
      }),
      answer: linesSchema,
      handle: async ({ params, query, context }) => {
        const { attempt, from, to } = query as { attempt?: number; from: number; to: number };
        const { lines, next, info } = await logs.lines(await attemptOf(params["job"]!, attempt), from, to);
        return context.json({
          lines: lines.map((line) => ({ number: line.number, text: line.text, isCut: line.isCut, time: line.time.toISOString() })),
          ...(next === undefined ? {} : { next }),
          total: info.lines,
          isClosed: info.isClosed,
        });
      },
    },
    {
      method: "get",
      path: "/api/v1/jobs/{job}/log",
      operation: "getLog",
      summary: "A job's log as it is; with `follow`, as it comes, until the job has ended.",
      isProtected: false,
      query: z.object({
        ...attemptQuery,
        offset: z.coerce.number().int().min(0).default(0).describe("First byte."),
        follow: z.stringbool().default(false),
      }),
      answer: { contentType: "text/plain" },
      handle: async ({ params, query }) => {
        const { attempt, offset, follow } = query as { attempt?: number; offset: number; follow: boolean };
        const uid = await attemptOf(params["job"]!, attempt);
        const abort = new AbortController();
        async function* followed() {
          for await (const { bytes } of logs.follow(uid, offset, abort.signal)) yield bytes;
        }
        return streamOf(follow ? followed() : await logs.read(uid, offset), "text/plain; charset=utf-8", abort);
      },
    },
    {
      method: "get",
      path: "/api/v1/jobs/{job}/tests",
      operation: "listTests",
      summary: "Tests of a job, those that did not pass first.",
      isProtected: false,
      query: z.object({ ...cursor, ...attemptQuery }),
      answer: pageOf(testSchema),
      handle: async ({ params, query, context }) => {
        const { attempt, ...page } = query as { attempt?: number };
        const { uid, number } = await attemptViewOf(params["job"]!, attempt);
        const found = await queries.tests(uid, page);
        const link = (line: number) => lineLink(jobPath(params["job"]!), number, line);
        const items = found.items.map((test) => ({ ...test, ...(test.logLine ? { link: link(test.logLine) } : {}) }));
        return context.json({ ...found, items });
      },
    },
    {
      method: "get",
      path: "/api/v1/jobs/{job}/artifacts",
      operation: "listArtifacts",
      summary: "Files that a job left.",
      isProtected: false,
      query: z.object({ ...cursor, ...attemptQuery }),
      answer: pageOf(artifactSchema),
      handle: async ({ params, query, context }) => {
        const { attempt, ...page } = query as { attempt?: number };
        const found = await queries.artifacts(await attemptOf(params["job"]!, attempt), page);
        return context.json({ ...found, items: found.items.map(({ path, size, digest }) => ({ path, size, digest })) });
      },
    },
    {
      method: "get",
      path: "/api/v1/jobs/{job}/artifact",
      operation: "getArtifact",
      summary: "One file that a job left, as it is.",
      isProtected: false,
      query: z.object({ ...attemptQuery, path: z.string().min(1) }),
      answer: { contentType: "application/octet-stream" },
      handle: async ({ params, query }) => {
        const { attempt, path } = query as { attempt?: number; path: string };
        const artifact = await queries.artifact(await attemptOf(params["job"]!, attempt), path);
        if (!artifact) throw new SeatrialError("not-found", `${params["job"]} left no ${path}`);
        return streamOf(await options.objects.get(artifact.key), "application/octet-stream", undefined, {
          "content-length": String(artifact.size),
          "content-disposition": "attachment",
          "content-security-policy": "sandbox",
        });
      },
    },
    ...changeRoutes(options),
    ...dispatchRoutes(options),
    ...secretRoutes(options),
    ...deliveryRoutes(options),
  ];
}

export function streamOf(
  body: AsyncIterable<Uint8Array>,
  contentType: string,
  abort?: AbortController,
  headers: Record<string, string> = {},
): Response {
  const iterator = body[Symbol.asyncIterator]();
  const stream = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const { value, done } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: async () => {
      abort?.abort();
      await iterator.return?.();
    },
  });
  return new Response(stream, { headers: { "content-type": contentType, "x-content-type-options": "nosniff", ...headers } });
}

function runBody(run: RunSummary): RunBody {
  const { repository, workflow, event, ref, sha, lane } = run;
  const title = run.title === undefined ? {} : { title: run.title };
  return { ...bodyOf(run), ...title, repository, workflow, event, ref, sha, lane, link: runPath(run.name) };
}

function bodyOf(summary: RunSummary | JobRunSummary) {
  const { name, phase, verdict, cause, message, createdAt, startedAt, finishedAt } = summary;
  return definedOnly({
    name,
    phase,
    verdict,
    cause: cause as RunBody["cause"],
    message,
    createdAt: createdAt.toISOString(),
    startedAt: startedAt?.toISOString(),
    finishedAt: finishedAt?.toISOString(),
  });
}

/** JSON has no undefined. */
function definedOnly<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

export function isNotFound(error: unknown): boolean {
  return (error instanceof ApiError && error.reason === "not-found") || (error instanceof SeatrialError && error.code === "not-found");
}

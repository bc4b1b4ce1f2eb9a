/**
 * What makes a job reproducible elsewhere: its lock document, the event's payload, and the git objects, read only; and the making
 * of a run of one job from such a document.
 */
import { z } from "zod";
import { SeatrialError } from "../../base/errors.ts";
import { jobRunSpecSchema } from "../../resources/job-run.ts";
import { canonicalJson, type LockDocument, lockDocumentSchema } from "../../resources/lock-document.ts";
import { type Run, workingTree } from "../../resources/run.ts";
import { broughtCaches, uploadFor, uploadsFor } from "../runners/brought-uploads.ts";
import { repositoryCaches } from "../runners/runner-storage.ts";
import { lockWithImages } from "../runners/lock-writer.ts";
import type { Call, Route } from "./route.ts";
import type { ApiOptions } from "./routes.ts";

export const reproductionSchema = z.object({
  lock: lockDocumentSchema,
  event: z.string().describe("The event's payload, as the server gave it."),
  hold: jobRunSpecSchema.shape.hold,
});
export type NewReproduction = z.infer<typeof reproductionSchema>;

const uploadSchema = z.object({
  name: z.string(),
  digest: z.string().describe("Of the paths and digests of its files."),
  files: z.array(z.object({ path: z.string(), size: z.int() })),
});
export type UploadBody = z.infer<typeof uploadSchema>;

const cacheSchema = z.object({
  key: z.string(),
  version: z.string().describe("Of what it holds, and how."),
  digest: z.string(),
  size: z.int().describe("Unit: bytes."),
});
export type CacheBody = z.infer<typeof cacheSchema>;
const attemptQuery = z.object({ attempt: z.coerce.number().int().min(1).optional().describe("Which attempt. Default: the last.") });

/** @param makeRun stores a Run and gives its name. */
export function lockRoutes(options: ApiOptions, makeRun: (spec: Run["spec"]) => Promise<string>): Route[] {
  const { history } = options;

  const jobRunOf = async (name: string) => {
    const found = await history.queries.jobRun(name);
    if (!found)
      throw new SeatrialError("not-found", `there is no job run ${name}`, { hint: "seatrial status RUN shows the jobs of a run" });
    return found;
  };

  const runOf = async (job: string) => {
    const { summary } = await jobRunOf(job);
    const found = await history.queries.run(summary.run);
    if (!found) throw new SeatrialError("not-found", `the run of ${job} is gone`);
    return found.run;
  };

  const lockOf = async (job: string, query: unknown) => {
    const { jobRun, attempts } = await jobRunOf(job);
    const { attempt: number } = query as z.output<typeof attemptQuery>;
    const attempt = number === undefined ? attempts.at(-1) : attempts.find((each) => each.number === number);
    const text = attempt && (await history.locks.get(attempt.uid));
    if (text === undefined) {
      const which = number === undefined ? "" : ` of attempt ${number}`;
      throw new SeatrialError("not-found", `${job} has no lock document${which}: it never got to its first step`);
    }
    const status = jobRun.status?.attempts?.find(({ uid }) => uid === attempt!.uid);
    return lockWithImages(text, status?.images ?? []);
  };

  const cachesOf = async (job: string, { caches = [] }: LockDocument) => {
    const { source, reproduces } = (await runOf(job)).spec;
    const repository = reproduces === undefined ? repositoryCaches(source) : broughtCaches(reproduces).repository;
    const there = await history.caches.withDigests(
      repository,
      caches.map(({ digest }) => digest),
    );
    const isLocked = (one: (typeof there)[number]) => {
      return caches.some(({ key, version, digest }) => key === one.key && version === one.version && digest === one.digest);
    };
    return there.filter(isLocked);
  };

  const bytesAnswer = async (key: string, size: number): Promise<Response> => {
    return new Response(ReadableStream.from(await options.objects.get(key)) as ReadableStream<Uint8Array>, {
      headers: {
        "content-type": "application/octet-stream",
        "content-length": String(size),
        "content-disposition": "attachment",
        "content-security-policy": "sandbox",
        "x-content-type-options": "nosniff",
      },
    });
  };

  /** Where git finds the commit of a job, and nothing else. */
  const servedOf = async ({ params }: Call) => {
    const run = await runOf(params["job"]!);
    const folder = options.repositoryOf?.(run);
    if (folder === undefined || !options.uploadPack) throw new SeatrialError("not-found", `the repository of ${params["job"]} is not here`);
    return { uploadPack: options.uploadPack, served: { folder, commits: [run.spec.source.commit] } };
  };

  return [
    {
      method: "get",
      path: "/api/v1/jobs/{job}/lock",
      operation: "getLock",
      summary: "The lock document of a job: all that determines it, as far as that is known.",
      isProtected: false,
      query: attemptQuery,
      answer: lockDocumentSchema,
      handle: async ({ params, query, context }) => context.json(await lockOf(params["job"]!, query)),
    },
    {
      method: "get",
      path: "/api/v1/jobs/{job}/caches",
      operation: "listCaches",
      summary: "Caches that a job restored, as far as they are still there, the oldest first.",
      isProtected: true,
      query: attemptQuery,
      answer: z.object({ items: z.array(cacheSchema) }),
      handle: async ({ params, query, context }) => {
        const found = await cachesOf(params["job"]!, await lockOf(params["job"]!, query));
        return context.json({ items: found.map(({ key, version, digest, size }): CacheBody => ({ key, version, digest, size })) });
      },
    },
    {
      method: "get",
      path: "/api/v1/jobs/{job}/cache",
      operation: "getCache",
      summary: "One cache that a job restored, as it is stored.",
      isProtected: true,
      query: attemptQuery.extend({ digest: z.string().min(1) }),
      answer: { contentType: "application/octet-stream" },
      handle: async ({ params, query }) => {
        const { digest } = query as { digest: string };
        const found = (await cachesOf(params["job"]!, await lockOf(params["job"]!, query))).find((each) => each.digest === digest);
        if (!found) throw new SeatrialError("not-found", `${params["job"]} has restored no cache of digest ${digest}, or it is gone`);
        return await bytesAnswer(found.object, found.size);
      },
    },
    {
      method: "get",
      path: "/api/v1/jobs/{job}/uploads",
      operation: "listUploads",
      summary: "Named artifacts of a job's run, which its jobs give each other.",
      isProtected: false,
      answer: z.object({ items: z.array(uploadSchema) }),
      handle: async ({ params, context }) => {
        const { metadata, spec } = await runOf(params["job"]!);
        const run = { uid: metadata.uid, reproduces: spec.reproduces };
        const listed = await uploadsFor(history, run);
        const found = await Promise.all(listed.map(async ({ id }) => await uploadFor(history, run, id)));
        const items = found.flatMap((each) => {
          return each ? [{ name: each.name, digest: each.digest, files: each.files.map(({ path, size }) => ({ path, size })) }] : [];
        });
        return context.json({ items });
      },
    },
    {
      method: "get",
      path: "/api/v1/jobs/{job}/upload",
      operation: "getUpload",
      summary: "One file of a named artifact, as it is.",
      isProtected: false,
      query: z.object({ name: z.string().min(1), path: z.string().min(1) }),
      answer: { contentType: "application/octet-stream" },
      handle: async ({ params, query }) => {
        const { name, path } = query as { name: string; path: string };
        const { metadata, spec } = await runOf(params["job"]!);
        const run = { uid: metadata.uid, reproduces: spec.reproduces };
        const listed = (await uploadsFor(history, run)).find((each) => each.name === name);
        const file = listed && (await uploadFor(history, run, listed.id))?.files.find((each) => each.path === path);
        if (!file) throw new SeatrialError("not-found", `the run of ${params["job"]} has no file ${path} in an artifact ${name}`);
        return await bytesAnswer(file.key, file.size);
      },
    },
    {
      method: "get",
      path: "/api/v1/jobs/{job}/event",
      operation: "getEvent",
      summary: "The payload of the event that a job's run was made for, as the forge sent it.",
      isProtected: true,
      answer: { contentType: "application/json" },
      handle: async ({ params }) => {
        const { eventDigest } = (await runOf(params["job"]!)).spec.source;
        const text = eventDigest === undefined ? "{}" : await history.documents.get(eventDigest);
        if (text === undefined) throw new SeatrialError("not-found", `the event of ${params["job"]} is no longer in the history`);
        return new Response(text, { headers: { "content-type": "application/json", "x-content-type-options": "nosniff" } });
      },
    },
    {
      method: "get",
      path: "/api/v1/jobs/{job}/git/info/refs",
      operation: "listGitRefs",
      summary: "The commit of a job, in git's smart HTTP protocol; the token is the password.",
      isProtected: true,
      query: z.object({ service: z.string() }),
      answer: { contentType: "application/x-git-upload-pack-advertisement" },
      handle: async (call) => {
        const { uploadPack, served } = await servedOf(call);
        return await uploadPack.advertise(call.context.req.raw, served);
      },
    },
    {
      method: "post",
      path: "/api/v1/jobs/{job}/git/git-upload-pack",
      operation: "fetchGit",
      summary: "The objects of a job's commit, in git's smart HTTP protocol.",
      isProtected: true,
      answer: { contentType: "application/x-git-upload-pack-result" },
      handle: async (call) => {
        const { uploadPack, served } = await servedOf(call);
        return await uploadPack.serve(call.context.req.raw, served);
      },
    },
    {
      method: "post",
      path: "/api/v1/reproductions",
      operation: "createReproduction",
      summary: "Runs the one job of a lock document again, without the jobs that it needed.",
      isProtected: true,
      body: reproductionSchema,
      answer: z.object({ name: z.string().describe("The run.") }),
      handle: async ({ body, context }) => {
        const { lock, event, hold } = body as NewReproduction;
        const now = options.now();
        const [reproduces, eventDigest] = await Promise.all([
          history.documents.put(canonicalJson(lock), now),
          history.documents.put(event, now),
        ]);
        // Whoever asks for it trusts it: what it may not reach here is decided by the executor that they choose.
        const source = { ...lock.origin.source, forge: workingTree, lane: "trusted" as const, eventDigest };
        const name = await makeRun({ source, workflow: lock.workflow, reproduces, ...(hold ? { hold } : {}) });
        return context.json({ name });
      },
    },
  ];
}

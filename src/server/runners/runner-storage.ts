/**
 * What jobs keep beside their own artifacts: artifacts with a name, for other jobs of their run, and caches, for other runs of their
 * repository. A part of the runner's API: whose attempt it is has been checked.
 *
 * ```
 * POST uploads                     {name, overwrite, retentionDays, request} → {id}; 409 when the name is given. The same `request` again: the same id
 * PUT  uploads/ID/files/PATH       one file
 * POST uploads/ID/finish           → what it is (UploadView); from now on others see it
 * GET  uploads                     → {items}, of each name the newest
 * GET  uploads/ID                  → the same with its files
 * GET  uploads/ID/files/PATH
 * POST caches/find                 {version, key, restoreKeys, isForRestore} → {cache?}, {isSaved}: whether there is need to save it
 * GET  caches/ID
 * PUT  caches?version=V&key=K      → {isSaved}; not when there is one
 * ```
 */
import { randomUUID } from "node:crypto";
import type { Context, Hono, MiddlewareHandler } from "hono";
import { z } from "zod";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { attemptPrefix, checkKey, type ObjectStore, whyNotKey } from "../../artifacts/object-store.ts";
import type { AttemptRecord } from "../../history/attempts.ts";
import type { CachePlace } from "../../history/caches.ts";
import type { History } from "../../history/history.ts";
import { type Upload, uploadFolder, uploadObjects, type UploadOwner } from "../../history/uploads.ts";
import type { Run } from "../../resources/run.ts";
import type { CacheAnswer, UploadView } from "../../runner/storage-protocol.ts";
import type { Json } from "../../workflows/expressions/expressions.ts";
import { uploadFor, uploadsFor } from "./brought-uploads.ts";
import { noteCache } from "./lock-writer.ts";
import type { BytesInFlight } from "../bytes-in-flight.ts";

export interface RunnerStorageOptions {
  history: History;
  objects: ObjectStore;
  /** Whose an attempt is. @throws SeatrialError `not-found` when its run is gone. */
  placeOf(attempt: AttemptRecord): Promise<StoragePlace>;
  /** Why nothing can be stored now. */
  whyNoUploads?: (() => string | undefined) | undefined;
  /** What attempts are sending, of which the caller counts what is not sent here. */
  inFlight: BytesInFlight;
  now(): Date;
}

export interface StoragePlace {
  owner: Omit<UploadOwner, "attempt">;
  /** Digest of the lock document that its run reproduces. Default: none. */
  reproduces?: string | undefined;
  caches: CachePlace;
  /** Page of the job, where people reach it; empty where nobody does. */
  page: string;
}

const uploadSchema = z.strictObject({
  name: z.string(),
  overwrite: z.boolean().optional(),
  retentionDays: z.int().min(1).max(limits.retainRunsDays).optional(),
  request: z.string().min(1).max(64).optional(),
});
const cacheKey = z.string().min(1).max(limits.cacheKeyCharacters);
const findSchema = z.strictObject({
  version: z.string().max(128),
  key: cacheKey,
  restoreKeys: z.array(cacheKey).max(limits.cacheKeys),
  isForRestore: z.boolean().optional(),
});

type Variables = { Variables: { attempt: AttemptRecord } };

/** Adds the routes. @param roomOrEnd ends an attempt whose artifacts cannot be stored. */
export function storageRoutes(app: Hono<Variables>, options: RunnerStorageOptions, roomOrEnd: MiddlewareHandler<Variables>): void {
  const { history, objects, placeOf, inFlight, now } = options;
  const base = "/runner/v1/attempts/:attempt";

  app.post(`${base}/uploads`, roomOrEnd, async (context) => {
    const parsed = uploadSchema.safeParse(await jsonOf(context));
    if (!parsed.success) return context.json({ error: parsed.error.message }, 400);
    const { name, overwrite = false, retentionDays, request } = parsed.data;
    const why = whyNotUploadName(name);
    if (why !== undefined)
      return context.json({ error: `${JSON.stringify(name.slice(0, 200))} cannot be the name of an artifact: ${why}` }, 400);
    const attempt = context.get("attempt");
    const { owner } = await placeOf(attempt);
    const at = now();
    const expiresAt = retentionDays === undefined ? undefined : new Date(at.getTime() + retentionDays * 86_400_000);
    const how = { mayReplace: overwrite, expiresAt, request, most: limits.uploadsShown };
    const begun = await history.uploads.begin({ ...owner, attempt: attempt.uid }, name, how, at);
    if (begun.state === "full") return context.json({ error: `a job may leave ${limits.uploadsShown} artifacts with a name` }, 400);
    if (begun.state === "taken") return context.json({ error: `there is an artifact ${name} already, of ${begun.by}` }, 409);
    for (const key of begun.replaced) await objects.delete(key);
    return context.json({ id: begun.id });
  });

  app.put(`${base}/uploads/:id/files/:path{.+}`, roomOrEnd, async (context) => {
    const { uid } = context.get("attempt");
    const id = idOf(context);
    const upload = await history.uploads.open(uid, id);
    if (!upload) return context.json({ error: "this attempt has no such upload" }, 404);
    const path = uploadFolder(upload.name) + context.req.param("path");
    const key = `${attemptPrefix(uid)}/${uploadObjects(id)}/${context.req.param("path")}`;
    for (const each of [path, key]) checkKey(each);
    const size = lengthOf(context);
    using sending = inFlight.begin(uid, size);
    const left = limits.attemptArtifactBytes - (await history.attempts.artifactBytes(uid)) - sending.all + size;
    if (left <= 0 || size > left) return context.json({ error: `an attempt may leave ${limits.attemptArtifactBytes} bytes` }, 413);
    const stored = await objects.put(key, bodyOf(context), { size, most: Math.min(limits.artifactBytes, left) });
    const { digest } = stored;
    const artifact = { path, size: stored.size, digest, contentType: "application/octet-stream", key };
    if (await history.attempts.recordArtifact(uid, artifact)) return context.json({ digest });
    await objects.delete(key);
    return context.json({ error: `an attempt may have ${limits.attemptArtifacts} artifacts` }, 413);
  });

  app.post(`${base}/uploads/:id/finish`, async (context) => {
    const attempt = context.get("attempt");
    const upload = await history.uploads.finish(attempt.uid, idOf(context), now());
    if (!upload) return context.json({ error: "this attempt has no such upload" }, 404);
    const { page } = await placeOf(attempt);
    return context.json({ ...viewOf(upload), ...(page === "" ? {} : { url: page }) } satisfies UploadView);
  });

  app.get(`${base}/uploads`, async (context) => {
    const { owner, reproduces } = await placeOf(context.get("attempt"));
    const items = (await uploadsFor(history, { uid: owner.run, reproduces })).slice(0, limits.uploadsShown);
    return context.json({ items: items.map(({ id, name, size, digest }): UploadView => ({ id, name, size, digest })) });
  });

  app.get(`${base}/uploads/:id`, async (context) => {
    const upload = await uploadOf(context);
    if (!upload) return context.json({ error: "the run has no such artifact" }, 404);
    const files = upload.files.map(({ path, size, digest }) => ({ path, size, digest }));
    return context.json({ ...viewOf(upload), files } satisfies UploadView);
  });

  app.get(`${base}/uploads/:id/files/:path{.+}`, async (context) => {
    const path = context.req.param("path");
    const file = (await uploadOf(context))?.files.find((each) => each.path === path);
    if (!file) return context.json({ error: "the artifact has no such file" }, 404);
    return await objectAnswer(file.key, file.size);
  });

  app.post(`${base}/caches/find`, async (context) => {
    const parsed = findSchema.safeParse(await jsonOf(context));
    if (!parsed.success) return context.json({ error: parsed.error.message }, 400);
    const { uid } = context.get("attempt");
    const { caches } = await placeOf(context.get("attempt"));
    const { version, key, isForRestore } = parsed.data;
    const found = await history.caches.find(caches, parsed.data, now());
    if (found && isForRestore) await noteCache(history.locks, uid, { key: found.key, version, digest: found.digest });
    const isSaved = await history.caches.has(caches, version, key);
    const cache = found && { id: found.id, key: found.key, size: found.size, digest: found.digest };
    return context.json({ ...(cache ? { cache } : {}), isSaved } satisfies CacheAnswer);
  });

  app.get(`${base}/caches/:id`, async (context) => {
    const { caches } = await placeOf(context.get("attempt"));
    const cache = await history.caches.get(caches, context.req.param("id"));
    if (!cache) return context.json({ error: "there is no such cache" }, 404);
    return await objectAnswer(cache.object, cache.size);
  });

  app.put(`${base}/caches`, async (context) => {
    const { caches, reproduces } = await placeOf(context.get("attempt"));
    // It would be there the next time, and that would not be the same job.
    if (reproduces !== undefined) return context.json({ isSaved: false, why: "a job that is reproduced leaves no cache" });
    const [version, key] = [context.req.query("version") ?? "", cacheKey.safeParse(context.req.query("key"))];
    if (!key.success) return context.json({ error: key.error.message }, 400);
    // A job does not fail for want of a cache.
    const why = options.whyNoUploads?.();
    if (why !== undefined) return context.json({ isSaved: false, why });
    const size = lengthOf(context);
    using sending = inFlight.begin(`caches ${context.get("attempt").uid}`, size);
    if (sending.all > limits.cacheBytes) return context.json({ isSaved: false, why: `it has more than ${limits.cacheBytes} bytes` });
    if (await history.caches.has(caches, version, key.data)) return context.json({ isSaved: false, why: "there is one of that key" });
    const id = randomUUID();
    const object = `caches/${id.slice(0, 2)}/${id}`;
    const { digest } = await objects.put(object, bodyOf(context), { size, most: limits.cacheBytes });
    const isSaved = await history.caches.add(caches, version, { id, key: key.data, size, digest, object }, now());
    if (!isSaved) await objects.delete(object);
    for (const evicted of await history.caches.evict(now())) await objects.delete(evicted);
    return context.json(isSaved ? { isSaved } : { isSaved, why: "there is one of that key" });
  });

  const uploadOf = async (context: Context<Variables>): Promise<Upload | undefined> => {
    const { owner, reproduces } = await placeOf(context.get("attempt"));
    return await uploadFor(history, { uid: owner.run, reproduces }, idOf(context));
  };

  /** What has been evicted since it was found is no error of ours. */
  const objectAnswer = async (key: string, size: number): Promise<Response> => {
    try {
      const bytes = await objects.get(key);
      const headers = { "content-type": "application/octet-stream", "content-length": String(size) };
      return new Response(ReadableStream.from(bytes) as ReadableStream<Uint8Array>, { headers });
    } catch (error) {
      if (!(error instanceof SeatrialError && error.code === "not-found")) throw error;
      return Response.json({ error: error.message }, { status: 404 });
    }
  };
}

/**
 * Where a run saves its caches, and whose it sees: its ref's, its base's, the default branch's.
 * @param event the payload, which names the default branch.
 */
export function cachePlaceOf({ spec: { source } }: Pick<Run, "spec">, event: Json): CachePlace {
  const defaultBranch = defaultBranchIn(event);
  const others = [source.base.ref.replace(/^refs\/heads\//, ""), ...(defaultBranch === undefined ? [] : [defaultBranch])];
  return {
    repository: repositoryCaches(source),
    lane: source.lane,
    refs: [...new Set([source.ref, ...others.map((branch) => `refs/heads/${branch}`)])],
  };
}

/** Whose caches those of a repository are. */
export function repositoryCaches({ forge, repository }: Pick<Run["spec"]["source"], "forge" | "repository">): string {
  return `${forge}/${repository.id}`;
}

function defaultBranchIn(event: Json): string | undefined {
  const parsed = z.object({ repository: z.object({ default_branch: z.string().min(1) }) }).safeParse(event);
  return parsed.data?.repository.default_branch;
}

function viewOf({ id, name, size, digest }: Upload): UploadView {
  return { id, name, size, digest };
}

/** GitHub's rule, and ours for the keys of objects. */
function whyNotUploadName(name: string): string | undefined {
  const character = /[":<>|*?\r\n\\/]/.exec(name)?.[0];
  return character === undefined ? whyNotKey(name) : `it holds ${JSON.stringify(character)}`;
}

function idOf(context: Context<Variables>): number {
  const id = Number(context.req.param("id"));
  if (!Number.isSafeInteger(id)) throw new SeatrialError("invalid", "an upload is named by a number");
  return id;
}

async function jsonOf(context: Context<Variables>): Promise<unknown> {
  if (lengthOf(context) > limits.reportBytes) throw new SeatrialError("invalid", `the body has more than ${limits.reportBytes} bytes`);
  return await context.req.json();
}

/** HTTP holds the client to what it says. */
export function lengthOf(context: Context<Variables>): number {
  const length = Number(context.req.header("content-length") ?? NaN);
  if (!(length >= 0)) throw new SeatrialError("invalid", "a body must say its length");
  return length;
}

function bodyOf(context: Context<Variables>): AsyncIterable<Uint8Array> | Uint8Array {
  return (context.req.raw.body ?? new Uint8Array()) as AsyncIterable<Uint8Array> | Uint8Array;
}

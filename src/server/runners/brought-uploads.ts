/**
 * Named artifacts and caches of another run, brought for a job that is reproduced: what the jobs that it needed had left, and what it had
 * restored. They are kept apart from those of any run here, below a name that follows from the lock document; artifacts go a day later,
 * caches as all others do that nobody uses.
 */
import { randomUUID } from "node:crypto";
import { SeatrialError } from "../../base/errors.ts";
import { attemptPrefix, type ObjectStore } from "../../artifacts/object-store.ts";
import { limits } from "../../base/limits.ts";
import type { CachePlace } from "../../history/caches.ts";
import type { History } from "../../history/history.ts";
import { type Upload, uploadFolder, uploadObjects } from "../../history/uploads.ts";

export interface BroughtFile {
  path: string;
  size: number;
  /** Called once. */
  content(): Promise<AsyncIterable<Uint8Array>>;
}

/** In place of a run, of what was brought for the lock document of this digest. */
function broughtFor(lock: string): string {
  return `brought-${lock.replace("sha256:", "").slice(0, 32)}`;
}

/** What jobs of a run find: its own artifacts, and behind them what was brought for it. */
export async function uploadsFor({ uploads }: History, run: { uid: string; reproduces?: string | undefined }) {
  const brought = run.reproduces === undefined ? [] : await uploads.list(broughtFor(run.reproduces));
  return [...new Map([...brought, ...(await uploads.list(run.uid))].map((each) => [each.name, each])).values()];
}

/** One of {@link uploadsFor}, with its files. */
export async function uploadFor(
  { uploads }: History,
  run: { uid: string; reproduces?: string | undefined },
  id: number,
): Promise<Upload | undefined> {
  const own = await uploads.get(run.uid, id);
  return own ?? (run.reproduces === undefined ? undefined : await uploads.get(broughtFor(run.reproduces), id));
}

/** Stores an artifact for jobs that reproduce the lock document. Bringing it again replaces it; those of yesterday go. */
export async function bringUpload(
  { history, objects }: { history: History; objects: ObjectStore },
  lock: string,
  name: string,
  files: readonly BroughtFile[],
  now: Date,
): Promise<void> {
  const attempt = broughtFor(lock);
  const owner = { run: attempt, runAttempt: 1, jobRun: attempt, attempt };
  const expiresAt = new Date(now.getTime() + limits.broughtUploadMs);
  const old = await history.uploads.removeExpired(now, limits.pruneAtOnce);
  const begun = await history.uploads.begin(owner, name, { mayReplace: true, expiresAt }, now);
  if (begun.state !== "begun") return;
  for (const key of [...old, ...begun.replaced]) await objects.delete(key);
  for (const { path, size, content } of files) {
    const below = uploadFolder(name) + path;
    const key = `${attemptPrefix(attempt)}/${uploadObjects(begun.id)}/${path}`;
    const { digest } = await objects.put(key, await content(), { size });
    await history.attempts.recordArtifact(attempt, { path: below, size, digest, contentType: "application/octet-stream", key });
  }
  await history.uploads.finish(attempt, begun.id, now);
}

/** Whose caches a job sees that reproduces the lock document of this digest: those that were brought for it, and no others. */
export function broughtCaches(lock: string): CachePlace {
  return { repository: broughtFor(lock), lane: "trusted", refs: ["brought"] };
}

export interface BroughtCache {
  key: string;
  version: string;
  /** Unit: bytes. */
  size: number;
  digest: string;
  /** Called once at most. */
  content(): Promise<AsyncIterable<Uint8Array>>;
}

/**
 * Stores a cache for jobs that reproduce the lock document; of several that begin alike the one that was brought last is found. One that is
 * there already stays. @throws SeatrialError `internal` when what comes is not what was restored.
 */
export async function bringCache(
  { history, objects }: { history: History; objects: ObjectStore },
  lock: string,
  { key, version, size, digest, content }: BroughtCache,
  now: Date,
): Promise<void> {
  const place = broughtCaches(lock);
  if (await history.caches.has(place, version, key)) return;
  const id = randomUUID();
  const object = `caches/${id.slice(0, 2)}/${id}`;
  const stored = await objects.put(object, await content(), { size, most: limits.cacheBytes });
  const isAdded = stored.digest === digest && (await history.caches.add(place, version, { id, key, size, digest, object }, now));
  if (isAdded) return;
  await objects.delete(object);
  if (stored.digest !== digest)
    throw new SeatrialError("internal", `cache ${key} came with digest ${stored.digest}, and was restored with ${digest}`);
}

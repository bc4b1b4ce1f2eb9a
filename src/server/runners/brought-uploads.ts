/**
 * Named artifacts of another run, brought for a job that is reproduced: what the jobs that it needed had left. They are kept apart from
 * those of any run here, below a name that follows from the lock document, and go a day later.
 */
import { attemptPrefix, type ObjectStore } from "../../artifacts/object-store.ts";
import { limits } from "../../base/limits.ts";
import type { History } from "../../history/history.ts";
import { type Upload, uploadFolder } from "../../history/uploads.ts";

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
  if (begun.state === "taken") return;
  for (const key of [...old, ...begun.replaced]) await objects.delete(key);
  for (const { path, size, content } of files) {
    const below = uploadFolder(name) + path;
    const key = `${attemptPrefix(attempt)}/${below}`;
    const { digest } = await objects.put(key, await content(), { size });
    await history.attempts.recordArtifact(attempt, { path: below, size, digest, contentType: "application/octet-stream", key });
  }
  await history.uploads.finish(attempt, begun.id, now);
}

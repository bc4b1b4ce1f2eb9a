/** Retention of the logs of boots that failed: a folder for each boot, or for each attempt. */
import { readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { limits } from "../base/limits.ts";

export interface FailuresKept {
  /** Default: as long as artifacts. */
  days?: number;
  /** All together; the oldest go first. Default: {@link limits.failedBootsBytes}. */
  mostBytes?: number;
  /** Nothing is looked at when it was within so long. Default: it is looked at. Unit: milliseconds. */
  everyMs?: number;
}

/** Its time of change is when the folder was looked at last. */
const stamp = ".looked-at";

/** Removes what is not kept any more. @param directory nothing happens when it is not there. */
export async function removeOldFailures(directory: string, now: Date, kept: FailuresKept = {}): Promise<void> {
  const { days = limits.retainArtifactsDays, mostBytes = limits.failedBootsBytes, everyMs = 0 } = kept;
  const lookedMs = (await stat(join(directory, stamp)).catch(() => undefined))?.mtimeMs ?? -Infinity;
  // One of the future is a clock's that was wrong.
  if (Math.abs(now.getTime() - lookedMs) < everyMs) return;
  const names = (await readdir(directory).catch(() => [])).filter((name) => name !== stamp);
  if (names.length === 0) return;
  if (everyMs > 0) await noteLook(join(directory, stamp), now);
  const folders = [];
  for (const name of names) {
    const path = join(directory, name);
    const changedMs = (await stat(path).catch(() => undefined))?.mtimeMs;
    if (changedMs !== undefined) folders.push({ path, changedMs, bytes: await bytesBelow(path) });
  }
  let bytes = 0;
  for (const folder of folders.toSorted((a, b) => b.changedMs - a.changedMs)) {
    bytes += folder.bytes;
    const isOld = folder.changedMs < now.getTime() - days * 86_400_000;
    if (isOld || bytes > mostBytes) await rm(folder.path, { recursive: true, force: true });
  }
}

/** A disk that takes nothing costs the next command another look, and no more. */
async function noteLook(path: string, now: Date): Promise<void> {
  await writeFile(path, "")
    .then(async () => await utimes(path, now, now))
    .catch(() => {});
}

/** Of all files; what goes meanwhile counts as nothing. */
async function bytesBelow(path: string): Promise<number> {
  let bytes = 0;
  for (const file of await readdir(path, { recursive: true }).catch(() => [])) {
    const found = await stat(join(path, file)).catch(() => undefined);
    if (found?.isFile()) bytes += found.size;
  }
  return bytes;
}

/** Retention of the logs of boots that failed: a folder for each boot, or for each attempt. */
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { limits } from "../base/limits.ts";

export interface FailuresKept {
  /** Default: as long as artifacts. */
  days?: number;
  /** All together; the oldest go first. Default: {@link limits.failedBootsBytes}. */
  mostBytes?: number;
}

/** Removes what is not kept any more. @param directory nothing happens when it is not there. */
export async function removeOldFailures(directory: string, now: Date, kept: FailuresKept = {}): Promise<void> {
  const { days = limits.retainArtifactsDays, mostBytes = limits.failedBootsBytes } = kept;
  const folders = [];
  for (const name of await readdir(directory).catch(() => [])) {
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

/** Of all files; what goes meanwhile counts as nothing. */
async function bytesBelow(path: string): Promise<number> {
  let bytes = 0;
  for (const file of await readdir(path, { recursive: true }).catch(() => [])) {
    const found = await stat(join(path, file)).catch(() => undefined);
    if (found?.isFile()) bytes += found.size;
  }
  return bytes;
}

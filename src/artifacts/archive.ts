/**
 * Artifacts that come as one tar archive. Its writer is not trusted: regular files alone are taken, below where they belong;
 * links, devices and names that lead elsewhere are left out and told; a bomb is refused.
 */
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { extract, type ExtractEvents } from "tar-stream";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { type ObjectStore, whyNotKey } from "./object-store.ts";

export interface ArchiveBounds {
  entries: number;
  /** Of the whole archive, headers too. */
  bytes: number;
  /** Of one path. */
  pathBytes: number;
}

export interface ArchivedFile {
  path: string;
  size: number;
  body: AsyncIterable<Buffer>;
}

/** An entry that was left out, and why, for people. */
export interface SkippedEntry {
  path: string;
  reason: string;
}

export const archiveBounds: ArchiveBounds = {
  entries: limits.archiveEntries,
  bytes: limits.archiveBytes,
  pathBytes: limits.archivePathBytes,
};

/**
 * Gives each regular file of an archive to `take`, one after the other; what it does not read of a body is read away.
 * A path that comes twice comes twice, as `tar` writes it when a file changed: the last one counts.
 * @returns what was left out, the first {@link limits.archiveSkipsTold}.
 * @throws SeatrialError `invalid` when it is over a bound, broken, or no archive; what `take` throws. What was taken until
 * then was taken.
 */
export async function readArchive(
  archive: Readable,
  take: (file: ArchivedFile) => Promise<void>,
  bounds: ArchiveBounds = archiveBounds,
): Promise<SkippedEntry[]> {
  const skipped: SkippedEntry[] = [];
  const entries = extract();
  // What broke first; its effects on all others are errors too.
  let first: { error: unknown; isOfArchive: boolean } | undefined;
  archive.on("error", (error) => (first ??= { error, isOfArchive: false }));
  entries.on("error", (error) => (first ??= { error, isOfArchive: true }));
  const feeding = pipeline(archive, atMost(bounds.bytes), entries);
  feeding.catch(() => {}); // Awaited below; until then nobody would hear of it, and Node ends a process for that.
  try {
    let count = 0;
    const handle = async (entry: ExtractEvents["entry"][1]) => {
      if (++count > bounds.entries) throw refused(`it has more than ${bounds.entries} entries`);
      const { name, type, size } = entry.header;
      const path = name.replace(/^(\.\/)+/, "");
      const reason = whyNotTaken(path, type, bounds);
      if (reason === undefined) await take({ path, size, body: entry as AsyncIterable<Buffer> });
      else if (reason !== "" && skipped.length < limits.archiveSkipsTold) skipped.push({ path: path.slice(0, bounds.pathBytes), reason });
      entry.resume();
    };
    for await (const entry of entries) {
      await handle(entry).catch((error: unknown) => {
        first ??= { error, isOfArchive: false };
        throw error;
      });
    }
    await feeding;
    return skipped;
  } catch (error) {
    await feeding.catch(() => {});
    const cause = first?.error ?? error;
    throw first?.isOfArchive && !(cause instanceof SeatrialError) ? refused(messageOf(cause), cause) : cause;
  }
}

/** Puts the files of an archive below a prefix. @returns them by path, and what was left out. */
export async function storeArchive(
  archive: Readable,
  store: ObjectStore,
  prefix: string,
  bounds: ArchiveBounds = archiveBounds,
): Promise<{ files: { path: string; size: number; digest: string; key: string }[]; skipped: SkippedEntry[] }> {
  const files = new Map<string, { path: string; size: number; digest: string; key: string }>();
  const skipped = await readArchive(
    archive,
    async ({ path, size, body }) => {
      files.set(path, { path, ...(await store.put(`${prefix}/${path}`, body, { size })) });
    },
    bounds,
  );
  return { files: [...files.values()], skipped };
}

/** Undefined: it is taken. Empty: it is left out, and that is nothing to tell. */
function whyNotTaken(path: string, type: string, { pathBytes }: ArchiveBounds): string | undefined {
  if (type === "directory" || type === "pax-global-header") return "";
  if (Buffer.byteLength(path) > pathBytes) return `its path has more than ${pathBytes} bytes`;
  const why = whyNotKey(path);
  if (why !== undefined) return `its path is refused: ${why}`;
  if (type !== "file" && type !== "contiguous-file") return `it is no regular file: ${type}`;
  return undefined;
}

function atMost(bytes: number) {
  return async function* (chunks: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
    let seen = 0;
    for await (const chunk of chunks) {
      seen += chunk.length;
      if (seen > bytes) throw refused(`it has more than ${bytes} bytes`);
      yield chunk;
    }
  };
}

function refused(why: string, cause?: unknown): SeatrialError {
  return new SeatrialError("invalid", `the archive of artifacts is refused: ${why}`, { cause });
}

/** Unpacking archives that come out of containers: untrusted, so regular files alone, below one folder, and no more than is bounded. */
import { posix } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Readable } from "node:stream";
import { type Extract, extract } from "tar-stream";
import { limits } from "../base/limits.ts";
import type { KeepFile } from "./keep.ts";

/** Says what of an archive is not there. */
const leftOutFile = "left-out.txt";

/**
 * Keeps the files of a tar. Links, devices and paths that lead out are left out. A file beyond {@link limits.collectFileBytes} is cut,
 * which its last line says; an archive beyond {@link limits.collectArchiveBytes} or {@link limits.collectArchiveEntries} is not read
 * on, which {@link leftOutFile} says.
 * @throws what the archive, or `keep`, throws.
 */
export async function extractTar(archive: Readable, keep: KeepFile): Promise<void> {
  const unpacked = extract();
  const feeding = pipeline(archive, unpacked);
  feeding.catch(() => {}); // Awaited below; until then nobody would hear of it, and Node ends a process for that.
  // What broke first; to the files of the archive it is an error of their own.
  let broken: { error: unknown } | undefined;
  archive.on("error", (error) => (broken ??= { error }));
  try {
    if (await keepEntries(unpacked, keep)) await feeding;
  } catch (error) {
    throw broken ? broken.error : error;
  }
}

/** @returns whether it came to the end. */
async function keepEntries(unpacked: Extract, keep: KeepFile): Promise<boolean> {
  let left: number = limits.collectArchiveBytes;
  let entries = 0;
  for await (const entry of unpacked) {
    const { name, type, size } = entry.header;
    const path = posix.normalize(name);
    const isInside = !path.startsWith("/") && path.split("/")[0] !== "..";
    const most = Math.min(left, limits.collectFileBytes);
    if (++entries <= limits.collectArchiveEntries && type === "file" && isInside && most > 0)
      await keep(path, cut(entry as AsyncIterable<Buffer>, most, size, size > left));
    left -= size;
    if (entries > limits.collectArchiveEntries || left < 0) {
      const bounds = `${limits.collectArchiveEntries} entries and ${limits.collectArchiveBytes} bytes`;
      await keep(leftOutFile, `What came after ${path} is left out: no more than ${bounds} are read.\n`);
      return false; // It ends the archive, too: nobody waits for the rest of 40 GB.
    }
    entry.resume();
  }
  return true;
}

/** The first bytes; when there are more, a line that says so. The rest is read away, since the archive goes on after it; not of the last. */
async function* cut(chunks: AsyncIterable<Buffer>, most: number, size: number, isLast: boolean): AsyncIterable<Buffer> {
  let left = most;
  for await (const chunk of chunks) {
    if (left > 0) yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0 && isLast) break;
  }
  if (size > most) yield Buffer.from(`\n[cut: the file has ${size} bytes, and the first ${most} are kept]\n`);
}

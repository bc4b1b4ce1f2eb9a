/** Unpacking archives that come out of containers: untrusted, so regular files alone, inside the folder alone. */
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, resolve, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Readable } from "node:stream";
import { extract } from "tar-stream";
import { limits } from "../base/limits.ts";

/** Files that are kept of one archive: a busy node has a few hundred logs. */
const filesMax = 2_000;

/** Links, devices and paths that lead out are left out; files are cut at {@link limits.collectLogBytes} times ten. */
export async function extractTar(archive: Readable, directory: string): Promise<void> {
  const root = resolve(directory);
  const unpacked = extract();
  const feeding = pipeline(archive, unpacked);
  feeding.catch(() => {}); // Awaited below; until then nobody would hear of it, and Node ends a process for that.
  let files = 0;
  try {
    for await (const entry of unpacked) {
      const target = resolve(root, entry.header.name);
      if (entry.header.type !== "file" || !target.startsWith(root + sep) || ++files > filesMax) {
        entry.resume();
        continue;
      }
      await mkdir(dirname(target), { recursive: true });
      await pipeline(entry as AsyncIterable<Buffer>, cut(limits.collectLogBytes * 10), createWriteStream(target, { mode: 0o644 }));
    }
  } finally {
    await feeding;
  }
}

/** Passes the first bytes on and reads the rest away: the archive goes on after the entry. */
function cut(bytes: number) {
  return async function* (chunks: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
    let left = bytes;
    for await (const chunk of chunks) {
      if (left > 0) yield chunk.subarray(0, left);
      left -= chunk.length;
    }
  };
}

/**
 * Objects as files of a folder, by their keys. A file is written beside the others, brought to the disk, and renamed: a power
 * cut leaves the old one or the new one.
 *
 * ```
 * objects/KEY     what there is; other tools may read it
 * incoming/…      what is being written, by the process of its name; left behind by one that died, see removeAbandoned
 * ```
 */
import { createHash, randomUUID } from "node:crypto";
import type { Dirent } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { SeatrialError, systemCodeOf } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { currentProcess, formatIdentity, lifeOf, parseIdentity } from "../process/identity.ts";
import { checkKey, type ListRequest, type ObjectInfo, type ObjectStore, type PutOptions } from "./object-store.ts";

/** Bytes that are hashed and written at once: a millisecond of the event loop. */
const pieceBytes = 256 * 1024;

/** Between the parts of the name of what is being written. */
const separator = "+";

export class FolderStore implements ObjectStore {
  readonly #objects: string;
  readonly #incoming: string;

  /** @param root a folder of this store alone; made when something is put. */
  constructor(root: string) {
    this.#objects = resolve(root, "objects");
    this.#incoming = resolve(root, "incoming");
  }

  async put(key: string, body: AsyncIterable<Uint8Array> | Uint8Array, options: PutOptions = {}): Promise<ObjectInfo & { digest: string }> {
    checkKey(key);
    makeFolder(this.#incoming, 0o700);
    const incoming = join(this.#incoming, [...formatIdentity(currentProcess()).split("/"), randomUUID()].join(separator));
    const file = await open(incoming, "wx", 0o600);
    try {
      const written = await writeAll(file, body, `object ${key}`, options);
      await file.sync();
      await file.close();
      await this.#place(incoming, key);
      return { key, ...written };
    } catch (error) {
      await file.close().catch(() => {}); // Closed already when it could not be placed.
      await rm(incoming, { force: true });
      throw error;
    }
  }

  async get(key: string, { start = 0, end }: { start?: number; end?: number } = {}): Promise<AsyncIterable<Buffer>> {
    checkKey(key);
    let file: FileHandle;
    try {
      file = await open(join(this.#objects, key), "r");
    } catch (error) {
      if (isAbsent(error)) throw notFound(key, error);
      throw error;
    }
    if (!(await file.stat()).isFile()) {
      await file.close();
      throw notFound(key);
    }
    if (end !== undefined && end <= start) {
      await file.close();
      return (async function* () {})();
    }
    return file.createReadStream({ start, ...(end === undefined ? {} : { end: end - 1 }), highWaterMark: limits.logBlockBytes });
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    checkKey(key);
    try {
      const found = await stat(join(this.#objects, key));
      return found.isFile() ? { key, size: found.size } : undefined;
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    const path = join(this.#objects, key);
    try {
      await rm(path);
    } catch (error) {
      if (isAbsent(error) || systemCodeOf(error) === "EISDIR" || (error as NodeJS.ErrnoException).code === "ERR_FS_EISDIR") return;
      throw error;
    }
    // Folders that it has left empty; whoever puts into one meanwhile makes it again.
    for (let folder = dirname(path); folder !== this.#objects; folder = dirname(folder)) {
      try {
        await rmdir(folder);
      } catch {
        return;
      }
    }
  }

  async list({ prefix, after = "", limit }: ListRequest): Promise<{ objects: ObjectInfo[]; next?: string }> {
    const objects: ObjectInfo[] = [];
    for await (const key of this.#keys("", prefix, after)) {
      if (objects.length === limit) return { objects, next: objects.at(-1)!.key };
      const found = await this.head(key);
      if (found) objects.push(found);
    }
    return { objects };
  }

  async removeAbandoned(now: Date): Promise<void> {
    for (const name of await readdir(this.#incoming).catch(() => [])) {
      const path = join(this.#incoming, name);
      const writer = parseIdentity(name.split(separator).slice(0, -1).join("/"));
      const found = await stat(path).catch(() => undefined);
      const isOld = found && now.getTime() - found.mtimeMs > limits.objectAbandonedMs;
      if (isOld || (writer && lifeOf(writer) === "dead")) await rm(path, { force: true });
    }
  }

  /** Keys below a folder (`""`, else with `/` at its end), in order, without those that cannot match. */
  async *#keys(folder: string, prefix: string, after: string): AsyncGenerator<string> {
    let entries: Dirent[];
    try {
      entries = await readdir(join(this.#objects, folder), { withFileTypes: true });
    } catch (error) {
      if (isAbsent(error)) return;
      throw error;
    }
    // A folder stands where its keys stand: `a/` is before `a0`, and `a-` before both.
    const names = entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).toSorted();
    for (const name of names) {
      const path = folder + name;
      if (!name.endsWith("/")) {
        if (path.startsWith(prefix) && path > after) yield path;
      } else if ((path.startsWith(prefix) || prefix.startsWith(path)) && (after.startsWith(path) || path > after)) {
        yield* this.#keys(path, prefix, after);
      }
    }
  }

  /** Renames, and brings the names to the disk too: those of the file and of the folders that had to be made. */
  async #place(incoming: string, key: string): Promise<void> {
    const path = join(this.#objects, key);
    const folder = dirname(path);
    try {
      for (let attempt = 1; ; attempt++) {
        const made = await mkdir(folder, { recursive: true, mode: 0o700 });
        try {
          await rename(incoming, path);
        } catch (error) {
          // Its folder was removed with its last object, between the two.
          if (systemCodeOf(error) === "ENOENT" && attempt < limits.commitAttempts) continue;
          throw error;
        }
        const top = made === undefined ? folder : dirname(made);
        for (let each = folder; ; each = dirname(each)) {
          await syncFolder(each);
          if (each === top) return;
        }
      }
    } catch (error) {
      if (["ENOTDIR", "EISDIR", "EEXIST", "ENOTEMPTY"].includes(systemCodeOf(error) ?? "")) {
        throw new SeatrialError("conflict", `cannot store object ${key}: another object has a part of its path as name, or is below it`, {
          cause: error,
        });
      }
      throw error;
    }
  }
}

async function writeAll(
  file: FileHandle,
  body: AsyncIterable<Uint8Array> | Uint8Array,
  what: string,
  { size, digest, most }: PutOptions,
): Promise<{ size: number; digest: string }> {
  const hash = createHash("sha256");
  let written = 0;
  for await (const chunk of body instanceof Uint8Array ? [body] : body) {
    for (let from = 0; from < chunk.length; from += pieceBytes) {
      const piece = chunk.subarray(from, from + pieceBytes);
      if (written + piece.length > Math.min(size ?? Infinity, most ?? Infinity)) {
        throw new SeatrialError("invalid", `${what} is refused: it has more than ${Math.min(size ?? Infinity, most ?? Infinity)} bytes`);
      }
      hash.update(piece);
      await writePiece(file, piece);
      written += piece.length;
    }
  }
  if (size !== undefined && written !== size) throw new SeatrialError("invalid", `${what} is refused: ${written} of ${size} bytes came`);
  const found = `sha256:${hash.digest("hex")}`;
  if (digest !== undefined && found !== digest)
    throw new SeatrialError("invalid", `${what} is refused: its digest is ${found}, not ${digest}`);
  return { size: written, digest: found };
}

/** A write may take less than it was given. */
async function writePiece(file: FileHandle, piece: Uint8Array): Promise<void> {
  for (let from = 0; from < piece.length;) from += (await file.write(piece, from)).bytesWritten;
}

async function syncFolder(path: string): Promise<void> {
  let folder: FileHandle;
  try {
    folder = await open(path, "r");
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return; // Removed meanwhile, with what was in it.
    throw error;
  }
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function isAbsent(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes(systemCodeOf(error) ?? "");
}

function notFound(key: string, cause?: unknown): SeatrialError {
  return new SeatrialError("not-found", `there is no object ${key}`, { cause });
}

/** Where what is collected of a cluster goes: a folder for people here, or the object store, with secrets masked (server/runners/evidence.ts). */
import { createWriteStream } from "node:fs";
import { dirname, resolve, sep } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";

export type Content = string | Uint8Array | AsyncIterable<Uint8Array>;

/**
 * Keeps one file. The path has `/` between its parts; names and contents are a cluster's, and nobody vouches for them. A file of the
 * same path is replaced. Called concurrently. What can be iterated is read to its end, unless it throws.
 * @throws what keeps it from being kept.
 */
export type KeepFile = (path: string, content: Content) => Promise<void>;

/** Keeps files below a folder, which is made with the first. */
export function keepIn(directory: string): KeepFile {
  const root = resolve(directory);
  return async (path, content) => {
    const target = resolve(root, path);
    if (!target.startsWith(root + sep)) throw new SeatrialError("invalid", `${JSON.stringify(path)} leads out of ${root}`);
    makeFolder(dirname(target));
    const whole = typeof content === "string" || content instanceof Uint8Array;
    await pipeline(whole ? Readable.from([content]) : content, createWriteStream(target, { mode: 0o644 }));
  };
}

/** The same, below a folder of it. */
export function keepBelow(keep: KeepFile, folder: string): KeepFile {
  return async (path, content) => await keep(`${folder}/${path}`, content);
}

/** Keeps what can be had; where it cannot, why not, as `PATH.error`. Never throws: it runs while something else has failed. */
export async function keepPart(keep: KeepFile, path: string, work: () => Promise<Content>): Promise<void> {
  try {
    await keep(path, await work());
  } catch (error) {
    await keepError(keep, path, error);
  }
}

export async function keepError(keep: KeepFile, path: string, error: unknown): Promise<void> {
  await keep(`${path}.error`, `${messageOf(error)}\n`).catch(() => {}); // Where nothing can be kept, this cannot either.
}

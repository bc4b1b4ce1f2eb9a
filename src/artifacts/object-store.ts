/**
 * The contract between Seatrial and where large things lie: sealed pieces of logs, artifacts, the files of an attempt that
 * other tools read. A folder (folder.ts), later S3.
 *
 * An object is written whole or not at all, and read by many at once. Putting a key again replaces the object; whoever reads
 * the old one reads it to its end. conformance.ts holds every store to what is written here.
 */
import { createHash } from "node:crypto";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

export interface ObjectInfo {
  key: string;
  size: number;
}

export interface PutOptions {
  /** Bytes that must come: others, and nothing is stored. */
  size?: number | undefined;
  /** `sha256:…` that the bytes must have: another, and nothing is stored. */
  digest?: string | undefined;
  /** Most bytes that may come. Default: no bound of its own. */
  most?: number | undefined;
}

export interface ListRequest {
  /** Of the keys, by characters: `a/` finds `a/b` and `a/b/c`. */
  prefix: string;
  /** Only keys after this one: `next` of the page before. */
  after?: string | undefined;
  limit: number;
}

export interface ObjectStore {
  /**
   * Stores what the body gives, durably, in one step: until it resolves nobody sees anything of it.
   * @throws SeatrialError `invalid` for a bad key, or when size, digest or bound are not kept; `conflict` when another key is
   * a folder of this one, or this one of it.
   */
  put(key: string, body: AsyncIterable<Uint8Array> | Uint8Array, options?: PutOptions): Promise<ObjectInfo & { digest: string }>;
  /**
   * The object's bytes from `start` up to but not including `end`; a range that leads beyond the object ends with it.
   * It holds the object open until it has been iterated to its end, or left early (`break`).
   * @throws SeatrialError `not-found`, before the first byte.
   */
  get(key: string, range?: { start?: number; end?: number }): Promise<AsyncIterable<Buffer>>;
  head(key: string): Promise<ObjectInfo | undefined>;
  /** No error when there is none. */
  delete(key: string): Promise<void>;
  /** Objects in an order of their keys that is the store's own, and stays. `next` is absent on the last page. */
  list(request: ListRequest): Promise<{ objects: ObjectInfo[]; next?: string }>;
  /** Removes what was left half written by processes that died, {@link limits.objectAbandonedMs} ago. For a server's upkeep. */
  removeAbandoned(now: Date): Promise<void>;
}

/**
 * Below which keys everything of an attempt lies. Sharded by the first characters, as a folder of a hundred thousand entries
 * is slow to list, and S3 spreads its load by prefix.
 */
export function attemptPrefix(attempt: string): string {
  return `attempts/${createHash("sha256").update(attempt).digest("hex").slice(0, 2)}/${attempt}`;
}

/**
 * Why this is no key; undefined when it is one. Keys are relative paths as people write them: parts separated by `/`, none
 * of them empty, `.` or `..`, no backslash, no control character, within S3's and the file system's bounds.
 */
export function whyNotKey(key: string): string | undefined {
  if (key === "") return "it is empty";
  if (Buffer.byteLength(key) > limits.objectKeyBytes) return `it has more than ${limits.objectKeyBytes} bytes`;
  if (!key.isWellFormed()) return "it is not valid text";
  // oxlint-disable-next-line no-control-regex -- these are what is looked for
  if (/[\u0000-\u001f\u007f-\u009f]/.test(key)) return "it has a control character";
  if (key.includes("\\")) return "it has a backslash";
  if (key.startsWith("/")) return "it is absolute";
  const parts = key.split("/");
  if (parts.includes("")) return "a part of it is empty";
  if (parts.some((part) => part === "." || part === "..")) return "it has a part . or ..";
  if (parts.some((part) => Buffer.byteLength(part) > limits.objectNameBytes))
    return `a part of it has more than ${limits.objectNameBytes} bytes`;
  return undefined;
}

/** @throws SeatrialError `invalid` with the reason. */
export function checkKey(key: string): void {
  const why = whyNotKey(key);
  if (why !== undefined) throw new SeatrialError("invalid", `${JSON.stringify(key.slice(0, 200))} cannot be the key of an object: ${why}`);
}

/** Deletes everything below a prefix, page by page. */
export async function deleteBelow(store: ObjectStore, prefix: string): Promise<number> {
  let deleted = 0;
  for (;;) {
    const { objects, next } = await store.list({ prefix, limit: limits.pageItemsMost });
    for (const { key } of objects) await store.delete(key);
    deleted += objects.length;
    if (next === undefined) return deleted;
  }
}

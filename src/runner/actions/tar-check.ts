/**
 * Looks through a tar archive before it is unpacked: every member must lie where it may, and nothing may be written through a link of
 * the archive itself. Read as a stream, header by header; what `tar` programs write: ustar, GNU's long names, pax.
 *
 * Format: POSIX.1-2017, "pax", and GNU tar's manual, "Basic Tar Format".
 */
import { join, normalize, resolve, sep } from "node:path";
import { SeatrialError } from "../../base/errors.ts";
import { isBelow } from "../globs.ts";

/** Bytes of a long name or of pax records: paths are shorter than 4 KiB. */
const metaBytes = 1024 * 1024;
const block = 512;

export class TarCheck {
  readonly #base: string;
  readonly #allowed: readonly string[];
  readonly #links = new Set<string>();
  #held: Buffer = Buffer.alloc(0);
  /** Bytes of the member's content that are still to come, with its padding. */
  #skip = 0;
  /** Content of a member that is about the next one. */
  #meta: { type: string; left: number; chunks: Buffer[] } | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;
  /** An archive ends with two blocks of zeros; not every `tar` stops at the first. */
  #zeros = 0;

  /** @param base what relative names are relative to. @param allowed files and folders, absolute, that members may be or be in. */
  constructor(base: string, allowed: readonly string[]) {
    this.#base = base;
    this.#allowed = allowed;
  }

  /** @throws SeatrialError `refused` for a member that may not be; `invalid` when it is no archive. */
  push(chunk: Uint8Array): void {
    let data: Buffer =
      this.#held.length === 0 ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length) : Buffer.concat([this.#held, chunk]);
    for (;;) {
      if (this.#zeros === 2) return;
      if (this.#meta && this.#meta.left > 0) {
        const part = data.subarray(0, this.#meta.left);
        this.#meta.chunks.push(Buffer.from(part));
        this.#meta.left -= part.length;
        data = data.subarray(part.length);
        if (this.#meta.left > 0) break;
      }
      if (this.#meta) this.#endMeta();
      const skipped = Math.min(this.#skip, data.length);
      this.#skip -= skipped;
      data = data.subarray(skipped);
      if (this.#skip > 0 || data.length < block) break;
      this.#header(data.subarray(0, block));
      data = data.subarray(block);
    }
    this.#held = Buffer.from(data);
  }

  /** @throws SeatrialError `invalid` when the archive is not whole. */
  end(): void {
    if (this.#zeros > 0) return;
    if (this.#skip > 0 || this.#meta || this.#held.length > 0) throw new SeatrialError("invalid", "the archive is cut short");
  }

  #header(header: Buffer): void {
    if (header.every((byte) => byte === 0)) {
      this.#zeros++;
      return;
    }
    if (this.#zeros > 0) throw new SeatrialError("refused", "the archive goes on behind its end");
    let sum = 0;
    for (let i = 0; i < block; i++) sum += i >= 148 && i < 156 ? 32 : header[i]!;
    if (sum !== numberAt(header, 148, 8)) throw new SeatrialError("invalid", "this is no tar archive");
    const size = numberAt(header, 124, 12);
    const type = String.fromCharCode(header[156]!);
    const padding = (block - (size % block)) % block;
    if (["L", "K", "x", "g"].includes(type)) {
      if (size > metaBytes) throw new SeatrialError("refused", "the archive has a name that is too long");
      this.#meta = { type, left: size, chunks: [] };
      this.#skip = padding;
      return;
    }
    const isUstar = header.toString("latin1", 257, 263) === "ustar\0";
    const prefix = isUstar ? textAt(header, 345, 155) : "";
    const name = this.#longName ?? (prefix === "" ? textAt(header, 0, 100) : `${prefix}/${textAt(header, 0, 100)}`);
    const link = this.#longLink ?? textAt(header, 157, 100);
    this.#longName = this.#longLink = undefined;
    this.#member(type, name, link);
    // Links, folders and devices have no content, whatever they say.
    this.#skip = ["1", "2", "3", "4", "5", "6"].includes(type) ? 0 : size + padding;
  }

  #member(type: string, name: string, link: string): void {
    const path = this.#pathOf(name);
    if (!["0", "\0", "7", "1", "2", "5"].includes(type))
      throw new SeatrialError("refused", `the archive holds ${name}, which is neither file, folder nor link`);
    if (this.#isThroughLink(path, type === "2"))
      throw new SeatrialError("refused", `the archive would write ${name} through a link of its own`);
    // One more name of a link is a link.
    if (type === "1" && this.#isThroughLink(this.#pathOf(link), false))
      throw new SeatrialError("refused", `the archive holds ${name}, which is another name of a link`);
    if (type === "2") this.#links.add(path);
  }

  /** @param mayBe whether it may be a link itself. */
  #isThroughLink(path: string, mayBe: boolean): boolean {
    for (let at = mayBe ? join(path, "..") : path; at !== sep; at = join(at, "..")) if (this.#links.has(at)) return true;
    return false;
  }

  /** @throws SeatrialError `refused` */
  #pathOf(name: string): string {
    const path = normalize(resolve(this.#base, name)).replace(/(.)\/$/, "$1");
    if (!this.#allowed.some((folder) => isBelow(path, folder)))
      throw new SeatrialError("refused", `the archive holds ${name}, which is in none of the paths that were asked for`);
    return path;
  }

  #endMeta(): void {
    const { type, chunks } = this.#meta!;
    this.#meta = undefined;
    const content = Buffer.concat(chunks);
    if (type === "L") this.#longName = cString(content);
    else if (type === "K") this.#longLink = cString(content);
    else {
      const records = paxRecords(content);
      // They say another name, which counts.
      if ([...records.keys()].some((key) => key.startsWith("GNU.sparse.")))
        throw new SeatrialError("refused", "the archive has a file with holes, which is not understood");
      if (records.has("size")) throw new SeatrialError("refused", "the archive has a file of more than 8 GiB");
      // A name for all that follows is written by nobody.
      if (type === "g" && (records.has("path") || records.has("linkpath")))
        throw new SeatrialError("refused", "the archive names all of its files at once");
      this.#longName = records.get("path") ?? this.#longName;
      this.#longLink = records.get("linkpath") ?? this.#longLink;
    }
  }
}

function paxRecords(content: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < content.length;) {
    const space = content.indexOf(" ", at);
    const length = space === -1 ? NaN : Number(content.toString("latin1", at, space));
    const equals = content.indexOf("=", space);
    if (!(length > 0) || equals === -1 || equals > at + length) throw new SeatrialError("invalid", "this is no tar archive");
    records.set(content.toString("utf8", space + 1, equals), content.toString("utf8", equals + 1, at + length - 1));
    at += length;
  }
  return records;
}

function textAt(header: Buffer, from: number, length: number): string {
  return cString(header.subarray(from, from + length));
}

function cString(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end === -1 ? bytes.length : end);
}

/** Octal digits; or, with the first bit set, a number in base 256. */
function numberAt(header: Buffer, from: number, length: number): number {
  if ((header[from]! & 0x80) === 0) return Number.parseInt(textAt(header, from, length).trim() || "0", 8);
  const value = header.subarray(from + 1, from + length).reduce((sum, byte) => sum * 256 + byte, 0);
  if (!Number.isSafeInteger(value)) throw new SeatrialError("invalid", "this is no tar archive");
  return value;
}

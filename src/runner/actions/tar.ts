/**
 * Unpacks the archive of an action, as `git archive` makes it: ustar, and pax headers for what does not fit in it. The content
 * is anybody's, so names are checked, links made last and only when they stay inside, and all of it is bounded.
 */
import { closeSync, mkdirSync, openSync, readSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, isAbsolute, join, sep } from "node:path";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";

const block = 512;

/**
 * @param folder is there, and empty.
 * @throws SeatrialError `invalid` for an archive that is none, is cut, has a name or a link that leads outside, or too much.
 */
export function unpack(archive: string, folder: string): void {
  const fd = openSync(archive, "r");
  try {
    let links = unpackFiles(fd, folder);
    // By now nothing is written any more that could go through one. A link may lead to one that comes later.
    for (let before = Infinity; links.length < before;) {
      before = links.length;
      links = links.filter(({ path, target }) => !makeLink(folder, path, target));
    }
  } finally {
    closeSync(fd);
  }
}

interface Link {
  path: string;
  target: string;
}

function unpackFiles(fd: number, folder: string): Link[] {
  const links: Link[] = [];
  let at = 0;
  let entries = 0;
  let bytes = 0;
  let named: Record<string, string> = {};
  for (;;) {
    const header = read(fd, at, block);
    if (header.every((byte) => byte === 0)) return links;
    if (!isSummed(header)) throw broken("it is no archive, or was cut");
    at += block;
    const type = String.fromCharCode(header[156]!);
    const size = Number.parseInt(text(header, 124, 12).trim() || "0", 8);
    if (++entries > limits.actionFiles) throw broken(`it has more than ${limits.actionFiles} files`);
    if (!Number.isSafeInteger(size) || (bytes += size) > limits.actionBytes) throw broken(`it has more than ${limits.actionBytes} bytes`);
    const next = at + Math.ceil(size / block) * block;
    if (type === "x" || type === "g") {
      // What is said for the whole archive is the commit.
      if (type === "x") named = paxOf(read(fd, at, Math.min(size, limits.actionHeaderBytes)));
      at = next;
      continue;
    }
    const prefix = text(header, 345, 155);
    const path = checked(named["path"] ?? (prefix === "" ? text(header, 0, 100) : `${prefix}/${text(header, 0, 100)}`));
    const target = named["linkpath"] ?? text(header, 157, 100);
    named = {};
    const mode = Number.parseInt(text(header, 100, 8).trim() || "0", 8);
    if (path !== "" && type === "5") mkdirSync(join(folder, path), { recursive: true });
    else if (type === "0" || type === "\0") {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), read(fd, at, size), { mode: mode & 0o111 ? 0o755 : 0o644, flag: "wx" });
    } else if (type === "2") links.push({ path, target });
    else if (type !== "5") throw broken(`${path} is neither a file nor a folder nor a link`);
    at = next;
  }
}

/** @returns false when it leads to nothing, or in a circle: it is not made, as it must not begin to lead somewhere. */
function makeLink(folder: string, path: string, target: string): boolean {
  const link = join(folder, path);
  mkdirSync(dirname(link), { recursive: true });
  if (isAbsolute(target)) throw broken(`${path} is a link to ${target}, outside of it`);
  symlinkSync(target, link);
  let real: string;
  try {
    // The other one of Node takes `..` behind a link for the folder that the link is in.
    real = realpathSync.native(link);
  } catch {
    rmSync(link);
    return false;
  }
  const root = realpathSync.native(folder);
  if (real !== root && !real.startsWith(root + sep)) throw broken(`${path} is a link to ${target}, outside of it`);
  return true;
}

/** Without the slash of folders; "" is the root. */
function checked(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (path.startsWith("/") || parts.includes("..") || path.includes("\0"))
    throw broken(`the name ${JSON.stringify(path)} leads outside of it`);
  return parts.join("/");
}

function read(fd: number, at: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  if (readSync(fd, bytes, 0, length, at) < length) throw broken("it was cut");
  return bytes;
}

function text(header: Buffer, at: number, length: number): string {
  const bytes = header.subarray(at, at + length);
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end === -1 ? length : end);
}

/** Its sum is that of all bytes with the sum itself taken as blanks. */
function isSummed(header: Buffer): boolean {
  let sum = 0;
  for (let i = 0; i < block; i++) sum += i >= 148 && i < 156 ? 32 : header[i]!;
  return sum === Number.parseInt(text(header, 148, 8).trim(), 8);
}

/** Lines of `LENGTH NAME=VALUE`, where the length counts all of the line. */
function paxOf(bytes: Buffer): Record<string, string> {
  const values: Record<string, string> = {};
  for (let at = 0; at < bytes.length;) {
    const length = Number.parseInt(bytes.toString("latin1", at, at + 20), 10);
    if (!(length > 0)) throw broken("a header of it makes no sense");
    const line = bytes.toString("utf8", at, at + length - 1);
    const [, name, value] = /^\d+ ([^=]+)=([^]*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) values[name] = value;
    at += length;
  }
  return values;
}

function broken(why: string): SeatrialError {
  return new SeatrialError("invalid", `the archive cannot be unpacked: ${why}`);
}

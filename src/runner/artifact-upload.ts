/**
 * What a job left in ARTIFACTS, to the server: regular files, by their paths. Nothing is followed that leads elsewhere. In text the
 * secrets are masked, as in the log: reports of tests are shown, and quote what failed.
 */
import { createHash } from "node:crypto";
import { closeSync, constants, type Dirent, fstatSync, openSync, readdirSync, readSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { systemCodeOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Mask } from "../logs/masking.ts";

export interface ArtifactServer {
  /** Repeats itself until it is answered. @throws what cannot be mended. */
  artifact(path: string, fd: number, length: number): Promise<void>;
}

export interface Masking {
  mask: Mask;
  /** Folder for masked copies, which are removed. */
  scratch: string;
}

/** Messages about files that were left out, one for each, up to here. */
const told = 20;

/**
 * Sends all files of a folder.
 * @param say told of what was left out, and why. @param masking of text; undefined where there are no secrets.
 */
export async function uploadArtifacts(
  directory: string,
  server: ArtifactServer,
  say: (line: string) => void,
  masking?: Masking,
): Promise<void> {
  let left = 0;
  const leaveOut = (path: string, why: string) => {
    if (++left <= told) say(`artifact ${path} is left out: ${why}`);
  };
  const files = filesIn(directory, leaveOut);
  let bytes = 0;
  const worker = async () => {
    for (const path of files) {
      const file = openFile(join(directory, path));
      if (typeof file === "string") {
        leaveOut(path, file);
        continue;
      }
      try {
        if (bytes + file.length > limits.artifactBytes) leaveOut(path, `all of them together have more than ${limits.artifactBytes} bytes`);
        else {
          bytes += file.length;
          await uploadFile(masking?.mask.text(path) ?? path, file, server, masking);
        }
      } finally {
        closeSync(file.fd);
      }
    }
  };
  await Promise.all(Array.from({ length: limits.artifactsAtOnce }, worker));
  if (left > told) say(`${left - told} more artifacts are left out`);
}

/** Sends one file: masked, where it is text and there are secrets. @returns whether something was masked. */
export async function uploadFile(
  path: string,
  { fd, length }: { fd: number; length: number },
  server: ArtifactServer,
  masking: Masking | undefined,
): Promise<boolean> {
  if (masking && isText(fd)) return await uploadMasked(path, fd, server, masking);
  await server.artifact(path, fd, length);
  return false;
}

let copies = 0;

async function uploadMasked(path: string, fd: number, server: ArtifactServer, { mask, scratch }: Masking): Promise<boolean> {
  const copy = join(scratch, `masked-${++copies}`);
  const to = openSync(copy, "wx+", 0o600);
  try {
    const stream = mask.stream();
    const [before, after] = [createHash("sha1"), createHash("sha1")];
    const piece = Buffer.alloc(limits.maskPieceBytes);
    for (let at = 0; ;) {
      const read = readSync(fd, piece, 0, piece.length, at);
      const masked = read === 0 ? stream.flush() : stream.push(piece.subarray(0, read));
      before.update(piece.subarray(0, read));
      after.update(masked);
      for (let from = 0; from < masked.length;) from += writeSync(to, masked, from);
      if (read === 0) break;
      at += read;
      await new Promise((resolve) => setImmediate(resolve)); // Heartbeats go on.
    }
    await server.artifact(path, to, fstatSync(to).size);
    return before.digest("hex") !== after.digest("hex");
  } finally {
    closeSync(to);
    rmSync(copy, { force: true });
  }
}

/** As grep and git tell it: no zero byte near the beginning. */
function isText(fd: number): boolean {
  const head = Buffer.alloc(limits.textHeadBytes);
  return !head.subarray(0, readSync(fd, head, 0, head.length, 0)).includes(0);
}

/** Paths of regular files below a folder, with `/`. */
function* filesIn(directory: string, leaveOut: (path: string, why: string) => void): Generator<string> {
  let count = 0;
  const folders = [{ path: "", depth: 0 }];
  for (let next = folders.pop(); next; next = folders.pop()) {
    const folder = next;
    for (const entry of entriesIn(join(directory, folder.path), (why) => leaveOut(folder.path || "folder", why))) {
      const path = folder.path === "" ? entry.name : `${folder.path}/${entry.name}`;
      if (entry.isDirectory()) {
        if (folder.depth < limits.artifactDepth) folders.push({ path, depth: folder.depth + 1 });
        else leaveOut(path, `it is more than ${limits.artifactDepth} folders deep`);
      } else if (!entry.isFile()) leaveOut(path, entry.isSymbolicLink() ? "it is a link" : "it is no regular file");
      else if (/\p{Cc}|\uFFFD|\\/u.test(path)) leaveOut(JSON.stringify(path), "its name has characters that no other system takes");
      else if (Buffer.byteLength(path) > limits.artifactPathBytes) leaveOut(path, "its path is too long");
      else if (path.startsWith("uploads/")) leaveOut(path, "that folder is for actions/upload-artifact");
      else if (++count > limits.attemptArtifacts) return leaveOut(path, `there are more than ${limits.attemptArtifacts} files`);
      else yield path;
    }
  }
}

/** A job may have made a folder unreadable, or removed it. */
function entriesIn(folder: string, leaveOut: (why: string) => void): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    leaveOut(`it cannot be read: ${systemCodeOf(error)}`);
    return [];
  }
}

/** The open file, or why there is none. */
function openFile(path: string): { fd: number; length: number } | string {
  let fd: number;
  try {
    // A link or a pipe may stand there by now.
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    return `it cannot be read: ${systemCodeOf(error)}`;
  }
  const stat = fstatSync(fd);
  if (stat.isFile()) return { fd, length: stat.size };
  closeSync(fd);
  return "it is no regular file";
}

/** `hashFiles()` of expressions: one hash of all files of the workspace that match, as GitHub's runner makes it. */
import { createHash } from "node:crypto";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { SeatrialError } from "../../base/errors.ts";
import { findFiles, isBelow } from "../globs.ts";

const followOption = "--follow-symbolic-links";

/**
 * The SHA-256 of the SHA-256s of all files, in the order of their paths; "" when none matches. Files outside of the workspace do not
 * count; nor does what a link to a folder leads to, if the first argument does not ask for it.
 * @throws SeatrialError `invalid` for another option, and as {@link findFiles} does.
 */
export function hashFiles(workspace: string, [first = "", ...others]: readonly string[]): string {
  const isOption = first.startsWith("--");
  const isFollowing = first.toLowerCase() === followOption;
  if (isOption && !isFollowing)
    throw new SeatrialError("invalid", `hashFiles() has no option ${JSON.stringify(first.slice(0, 100))}; it has ${followOption}`);
  const lines = [...(isOption ? [] : [first]), ...others].flatMap((pattern) => pattern.split("\n"));
  const files = findFiles(lines, { cwd: workspace, isFollowing }).paths.filter((path) => isBelow(path, workspace));
  if (files.length === 0) return "";
  const whole = createHash("sha256");
  const piece = Buffer.allocUnsafe(pieceBytes);
  for (const path of files) whole.update(hashOf(path, piece));
  return whole.digest("hex");
}

const pieceBytes = 1024 ** 2;

/** In pieces: a file may be larger than the memory of the job. */
function hashOf(path: string, piece: Buffer): Buffer {
  const hash = createHash("sha256");
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    for (let read = readSync(fd, piece); read > 0; read = readSync(fd, piece)) hash.update(piece.subarray(0, read));
  } finally {
    closeSync(fd);
  }
  return hash.digest();
}

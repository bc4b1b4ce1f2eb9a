/**
 * Folders, made with all that are above them. Node's own `recursive` asks for the parent again for as long as the answer is ENOENT, and
 * so never comes back from /proc, where that is the answer for ever.
 */
import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf, SeatrialError } from "./errors.ts";

/**
 * Makes a folder and those above it; one that is there is left as it is.
 * @param mode of those that are made, as mkdir(2) has it.
 * @throws SeatrialError `command-failed`, with the system's error as its cause.
 */
export function makeFolder(path: string, mode = 0o777): void {
  if (isFolder(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent, mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (isFolder(path)) return; // Somebody else made it in between.
    const why = (error as NodeJS.ErrnoException).code === "EEXIST" ? "a file is in its place" : messageOf(error);
    throw new SeatrialError("command-failed", `cannot make the folder ${path}: ${why}`, {
      hint: "Seatrial writes to SEATRIAL_HOME, SEATRIAL_CACHE and XDG_RUNTIME_DIR, where they are set: each must be a place that you can write to",
      cause: error,
    });
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Files that only their owner may read, written whole: at every moment, also after a kill, they hold the old text or the new. */
import { open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { systemCodeOf } from "../base/errors.ts";

/** The text of a file; undefined when it is not there. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Writes a file beside its place, on the disk, and moves it there. The caller holds the lock of the path; what a killed writer
 * left beside it is overwritten.
 */
export async function writePrivate(path: string, text: string): Promise<void> {
  const draft = `${path}.new`;
  await using file = await open(draft, "w", 0o600);
  await file.chmod(0o600); // A draft that was there keeps its mode otherwise.
  await file.writeFile(text);
  await file.sync();
  await rename(draft, path);
  // Until the folder is on the disk too, a power cut brings the old file back.
  await using folder = await open(dirname(path), "r");
  await folder.sync();
}

/** The folder of a mirror as files: what git does not tell of it, and what killed commands leave there. */
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { limits } from "../base/limits.ts";

/** For what is not there whole: a fetch's pack, an archive. */
export const incoming = "incoming";
/** Before the name of a mirror that is being removed, and is no mirror any more. */
export const gonePrefix = ".gone-";
export const packs = join("objects", "pack");
/** A folder for each day, with a ref for each commit. */
export const keptRefs = "refs/seatrial/kept";

/** None when there is no such folder. */
export async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
    throw error;
  });
}

/** What the files in a folder have; those that go meanwhile have none. */
export async function bytesIn(folder: string): Promise<number> {
  const sizes = (await namesIn(folder)).map(async (name) => (await statOf(join(folder, name)))?.size ?? 0);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** When it was changed last; 0 when there is none. */
export async function changedMsOf(path: string): Promise<number> {
  return (await statOf(path))?.mtimeMs ?? 0;
}

/** Whether it is time to pack: git itself guesses so, as one of its 256 folders of objects is like another. */
export async function hasManyFiles(mirror: string): Promise<boolean> {
  const [packed, loose] = [await namesIn(join(mirror, packs)), await namesIn(join(mirror, "objects", "17"))];
  return packed.filter((name) => name.endsWith(".pack")).length > limits.gitPacks || loose.length > limits.gitLooseFiles;
}

/** Removes what killed commands left: nothing that is in use is so old. */
export async function sweep(mirror: string, now: Date): Promise<void> {
  const longMs = 2 * Math.max(limits.gitFetchMs, limits.gitCollectMs);
  const lockMs = 2 * limits.gitCommandMs;
  const days = await namesIn(join(mirror, keptRefs));
  const temporary: [folder: string, names: RegExp, ageMs: number][] = [
    [incoming, /^/, longMs],
    [packs, /^(\.tmp-|tmp_)/, longMs],
    [".", /^shallow\.lock$/, longMs],
    [".", /^(packed-refs|HEAD|config)\.lock$/, lockMs],
    ...days.map((day): [string, RegExp, number] => [join(keptRefs, day), /\.lock$/, lockMs]),
  ];
  for (const [folder, names, ageMs] of temporary) {
    for (const name of (await namesIn(join(mirror, folder))).filter((each) => names.test(each))) {
      const path = join(mirror, folder, name);
      if ((await changedMsOf(path)) < now.getTime() - ageMs) await rm(path, { recursive: true, force: true });
    }
  }
}

async function statOf(path: string): Promise<{ size: number; mtimeMs: number } | undefined> {
  return await stat(path).catch(() => undefined);
}

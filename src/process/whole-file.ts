/**
 * Files that are written whole or not at all: beside their place, then renamed. What a kill leaves of that carries who wrote it
 * in its name, and goes with the next writing of the same file.
 */
import { randomUUID } from "node:crypto";
import { readdir, readlink, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { messageOf, SeatrialError, systemCodeOf } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { currentProcess, formatIdentity, lifeOf, parseIdentity } from "./identity.ts";

/** Readable by its user alone. What is there and is no regular file, such as a device, stays. @throws SeatrialError `command-failed`. */
export async function writeFileWhole(path: string, text: string): Promise<void> {
  let temporary: string | undefined;
  try {
    const target = await endOfLinks(path);
    const found = await statIfThere(target);
    if (found && !found.isFile()) throw new Error("it is not a regular file");
    makeFolder(dirname(target), 0o700);
    await removeLeftovers(target);
    temporary = `${target}.${formatIdentity(currentProcess()).replaceAll("/", ",")}.${randomUUID().slice(0, 8)}.tmp`;
    await writeFile(temporary, text, { mode: 0o600, flag: "wx" });
    await rename(temporary, target);
  } catch (error) {
    if (temporary) await rm(temporary, { force: true }).catch(() => {});
    const code = systemCodeOf(error);
    const why = code === "ENOSPC" ? "the disk is full" : messageOf(error);
    throw new SeatrialError("command-failed", `could not write ${path}: ${why}; the file is as it was`, {
      ...(code === "ENOSPC" ? { hint: `free some space on the disk of ${dirname(path)}, then run the same command again` } : {}),
      cause: error,
    });
  }
}

/** What processes of this machine that have ended had begun to write here. */
async function removeLeftovers(target: string): Promise<void> {
  const prefix = `${basename(target)}.`;
  for (const name of await readdir(dirname(target))) {
    if (!name.startsWith(prefix) || !name.endsWith(".tmp")) continue;
    const writer = parseIdentity(name.slice(prefix.length, -".12345678.tmp".length).replaceAll(",", "/"));
    if (writer && lifeOf(writer) === "dead") await rm(join(dirname(target), name), { force: true });
  }
}

/** Where links lead, also when nothing is there yet: replacing a link would cut off what the user made of it. */
async function endOfLinks(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (systemCodeOf(error) !== "ENOENT") throw error; // Such as links in a circle.
    const next = await readlink(path).catch(() => undefined);
    return next === undefined ? path : await endOfLinks(resolve(await realpath(dirname(path)), next));
  }
}

export async function statIfThere(path: string) {
  return await stat(path).catch((error: unknown) => {
    if (systemCodeOf(error) === "ENOENT") return undefined;
    throw error;
  });
}

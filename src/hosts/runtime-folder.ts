/**
 * Folders of sockets. That of one ssh connection is short-lived: its life is its owner's, and what a killed process leaves is removed by
 * the next one that opens a connection. That of a door outlives the process: containers hold it.
 */
import { chmod, mkdtemp, lstat, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { doorSocket } from "./docker-host.ts";
import { currentProcess, formatIdentity, lifeOf, parseIdentity } from "../process/identity.ts";

const PREFIX = "ssh-";
const OWNER_FILE = "owner";
/** The longest name that a socket gets in such a folder. */
const LONGEST_SOCKET = "docker.sock";

/** @throws SeatrialError `refused` when the place belongs to somebody else, `invalid` when sockets would not fit. */
export async function makeRuntimeFolder(runtimeDir: string): Promise<string> {
  await checkFolder(runtimeDir, join(`${PREFIX}XXXXXX`, LONGEST_SOCKET), "set XDG_RUNTIME_DIR to a folder of yours with a short path");
  const folder = await mkdtemp(join(runtimeDir, PREFIX)); // Mode 0700.
  await writeFile(join(folder, OWNER_FILE), formatIdentity(currentProcess()), { mode: 0o600 });
  return folder;
}

/** The folder of a door: it stays, since containers hold it mounted. Whoever may reach it may enter; the one above is ours alone. */
export async function makeDoorFolder(doorsDir: string, name: string): Promise<string> {
  await checkFolder(doorsDir, join(name, doorSocket), "remove it, if it is nobody's");
  const folder = join(doorsDir, name);
  makeFolder(folder);
  await chmod(folder, 0o755);
  return folder;
}

/** @param socket the longest path of one below it. @param hint what to do about a folder that will not do. */
async function checkFolder(folder: string, socket: string, hint: string): Promise<void> {
  try {
    makeFolder(folder, 0o700);
  } catch (error) {
    throw new SeatrialError("refused", `cannot make the folder for sockets ${folder}: ${messageOf(error)}`, { hint, cause: error });
  }
  // /tmp is everybody's: a folder of that name which another user made would give them Docker's socket, and so root.
  const found = await lstat(folder);
  const uid = process.getuid?.();
  if (!found.isDirectory() || (uid !== undefined && found.uid !== uid) || (found.mode & 0o022) !== 0)
    throw new SeatrialError("refused", `the folder for sockets ${folder} is not a folder that only you can write to`, { hint });
  const length = Buffer.byteLength(join(folder, socket));
  if (length > limits.socketPathBytes) {
    const bounds = `${length} bytes with a socket's name, ${limits.socketPathBytes} are possible`;
    throw new SeatrialError("invalid", `the folder for sockets ${folder} has too long a name: ${bounds}`, { hint });
  }
}

/** Removes the folders whose owner is dead. @param beforeRemoval ends what may still work in such a folder. */
export async function sweepRuntimeFolders(runtimeDir: string, beforeRemoval: (folder: string) => Promise<void>): Promise<void> {
  const names = await readdir(runtimeDir).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(PREFIX))) {
    const folder = join(runtimeDir, name);
    if (!(await isAbandoned(folder))) continue;
    await beforeRemoval(folder);
    await rm(folder, { recursive: true, force: true });
  }
}

async function isAbandoned(folder: string): Promise<boolean> {
  try {
    const owner = parseIdentity(await readFile(join(folder, OWNER_FILE), "utf8").catch(() => ""));
    if (owner) return lifeOf(owner) === "dead";
    // Its maker is between making the folder and writing its name into it, or died there.
    return Date.now() - (await stat(folder)).mtimeMs > limits.lockMs;
  } catch {
    return false; // Somebody else swept it.
  }
}

/**
 * Locks between processes of one host, released by the kernel when their holder dies, however it dies.
 *
 * A lock is an open exclusive transaction of SQLite on an empty file: the portable way to an advisory file lock that Node
 * offers. The files stay, empty.
 */
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";

export interface Lock extends Disposable {
  release(): void;
}

/** Takes the lock if nobody has it. @throws SeatrialError `command-failed` where no lock can be. */
export function tryLock(path: string): Lock | undefined {
  makeFolder(dirname(path), 0o700);
  let opened: DatabaseSync | undefined;
  try {
    opened = new DatabaseSync(path);
    opened.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    opened?.close();
    const why = messageOf(error);
    if (/locked|busy/i.test(why)) return undefined;
    throw new SeatrialError("command-failed", `cannot lock ${path}: ${why}`, {
      hint: "it must be a file that you can write to, on a disk that is not full",
      cause: error,
    });
  }
  const database = opened;
  let held = true;
  const release = () => {
    if (held) database.close();
    held = false;
  };
  return { release, [Symbol.dispose]: release };
}

/**
 * Waits for the lock.
 * @param what completes "waiting for …", for the error after {@link limits.lockMs}.
 */
export async function lock(path: string, what: string, signal?: AbortSignal): Promise<Lock> {
  return await anyLock([path], what, signal);
}

/** Waits for one of several locks: a semaphore of as many places as there are paths. */
export async function anyLock(paths: readonly string[], what: string, signal?: AbortSignal): Promise<Lock> {
  const deadline = performance.now() + limits.lockMs;
  for (;;) {
    signal?.throwIfAborted();
    for (const path of paths) {
      const taken = tryLock(path);
      if (taken) return taken;
    }
    if (performance.now() > deadline) {
      throw new SeatrialError("timeout", `waited ${limits.lockMs / 1000} s for ${what}: another process holds it`, { retryable: true });
    }
    await pause(limits.lockPollMs, signal);
  }
}

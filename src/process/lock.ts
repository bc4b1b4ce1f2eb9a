/**
 * Locks between processes of one host, released by the kernel when their holder dies, however it dies.
 *
 * A lock is an open exclusive transaction of SQLite on an empty file: the portable way to an advisory file lock that Node
 * offers. The files stay, empty.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";

export interface Lock extends Disposable {
  release(): void;
}

/** Takes the lock if nobody has it. */
export function tryLock(path: string): Lock | undefined {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const database = new DatabaseSync(path);
  try {
    database.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (/locked|busy/i.test((error as Error).message)) return undefined;
    throw new SeatrialError("internal", `cannot lock ${path}: ${(error as Error).message}`, { cause: error });
  }
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

/** Workflows of other repositories that those of a working tree call, for commands that read its files. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Environment } from "../../base/environment.ts";
import { systemCodeOf } from "../../base/errors.ts";
import { readUserMirrors } from "../../server/runs-on.ts";
import { type ActionsLock, lockPath, readLock } from "../../workflows/actions/actions-lock.ts";
import type { FetchCalled } from "../../workflows/read/read-calls.ts";

/** Gets them by the lock file of the folder and the user's mirrors. Nothing is loaded before one is asked for. */
export function calledFrom(environment: Environment, folder: string): FetchCalled {
  return async (uses) => {
    const { ActionStore } = await import("../../server/runners/action-store.ts");
    await using store = new ActionStore({ environment, mirrors: await readUserMirrors(environment), now: () => new Date() });
    return await store.readWorkflow(uses, await lockIn(folder), async () => await Promise.resolve([]));
  };
}

/** The lock file of a folder; empty when it has none. */
export async function lockIn(folder: string): Promise<ActionsLock> {
  try {
    return readLock(await readFile(join(folder, lockPath), "utf8"));
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return new Map();
    throw error;
  }
}

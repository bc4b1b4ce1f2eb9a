/** The stores of a server, in a folder of the test's own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { FolderStore } from "../../artifacts/folder.ts";
import { openHistory } from "../../history/history.ts";
import { openLogStore } from "../../logs/log-store.ts";
import type { SettleStores } from "../runners/settle.ts";

/** Closed, and the folder removed, when the test ends. */
export async function openTestStores(): Promise<{ directory: string; stores: SettleStores }> {
  const directory = await mkdtemp(join(tmpdir(), "stores-"));
  const settings = { sqlite: { directory } };
  const objects = new FolderStore(join(directory, "objects"));
  const [history, logs] = [await openHistory(settings), await openLogStore({ settings, objects })];
  onTestFinished(async () => {
    await logs.shutdown();
    await history.close();
    await rm(directory, { recursive: true, force: true });
  });
  return { directory, stores: { history, logs, objects } };
}

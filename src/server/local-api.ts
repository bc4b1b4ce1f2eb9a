/**
 * The public API over a data folder, in this process: for commands where no server runs. It reads, and keeps secrets; nothing is run
 * here.
 */
import { join } from "node:path";
import type { Environment } from "../base/environment.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";
import { FolderStore } from "../artifacts/folder.ts";
import { openHistory } from "../history/history.ts";
import { openLogStore } from "../logs/log-store.ts";
import { openSecrets } from "../secrets/file.ts";
import { apiApp } from "./api/app.ts";
import { ApiClient } from "./api/client.ts";
import { apiRoutes } from "./api/routes.ts";

export interface LocalApi extends AsyncDisposable {
  readonly client: ApiClient;
}

export async function openLocalApi({ dataDir }: Environment, version: string): Promise<LocalApi> {
  makeFolder(dataDir, 0o700);
  const settings = { sqlite: { directory: dataDir } };
  const objects = new FolderStore(join(dataDir, "objects"));
  const history = await openHistory(settings);
  const logs = await openLogStore({ settings, objects });
  const changeOf = async (_run: string, signal: AbortSignal) => await untilChange(signal);
  const app = apiApp({
    routes: apiRoutes({ history, logs, objects, store: undefined, secrets: openSecrets(dataDir), changeOf, now: () => new Date() }),
    token: undefined,
    version,
  });
  return {
    client: new ApiClient(async (request) => await app.fetch(request)),
    [Symbol.asyncDispose]: async () => {
      await logs.shutdown();
      await history.close();
    },
  };
}

/** Another process writes: nobody tells of it. */
async function untilChange(signal: AbortSignal): Promise<void> {
  await pause(limits.streamPollMs, signal).catch(() => {});
}

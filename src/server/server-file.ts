/** How commands find the server of a data folder: a file that is there for as long as it runs. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Environment } from "../base/environment.ts";
import { lifeOf, parseIdentity } from "../process/identity.ts";

export interface ServerFile {
  /** Its origin. */
  url: string;
  /** The process, as formatIdentity writes it. */
  owner: string;
  /** Of the API server with the resources. */
  kubeconfig: string;
  startedAt: string;
}

export function serverFilePath({ dataDir }: Environment): string {
  return join(dataDir, "server.json");
}

/** File with what protected routes of that server ask for. */
export function apiTokenPath(dataDir: string): string {
  return join(dataDir, "api-token");
}

/** The server that runs on this data folder; undefined when there is none, or it has died. */
export async function readServerFile(environment: Environment): Promise<ServerFile | undefined> {
  try {
    const file = JSON.parse(await readFile(serverFilePath(environment), "utf8")) as ServerFile;
    const owner = parseIdentity(file.owner);
    return owner && lifeOf(owner) === "alive" ? file : undefined;
  } catch {
    return undefined;
  }
}

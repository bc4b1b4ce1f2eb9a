/**
 * Where commands find the public API: at the server that `--server` names, else at the one that runs on this data folder, else in
 * this process, over the data folder.
 */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { ApiClient } from "../server/api/client.ts";
import { apiTokenPath, readServerFile } from "../server/server-file.ts";
import type { CommandContext } from "./cli.ts";
import { packageVersion } from "./commands/about.ts";
import { jsonOption } from "./commands/options.ts";

/** What every command has that uses the API. */
export interface ApiFlags {
  server?: string;
  tokenFile?: string;
  output?: "json";
}

export function addApiOptions(command: Command): Command {
  return command
    .option("--server <url>", "another server than the one of this machine")
    .option("--token-file <file>", "file with its token. Default: SEATRIAL_TOKEN")
    .addOption(jsonOption());
}

export async function withApi(context: CommandContext, flags: ApiFlags, work: (api: ApiClient) => Promise<void>): Promise<void> {
  await using api = await openApi(context, flags);
  await work(api.client);
}

/** The API, and the server that it is of; none where it is in this process. */
export interface OpenedApi extends AsyncDisposable {
  readonly client: ApiClient;
  readonly server?: { origin: string; token: string | undefined };
}

export async function openApi(context: CommandContext, flags: ApiFlags): Promise<OpenedApi> {
  const { environment } = context;
  const over = (origin: string, token: string | undefined): OpenedApi => ({
    client: ApiClient.over(origin, token),
    server: { origin, token },
    [Symbol.asyncDispose]: async () => await Promise.resolve(),
  });
  if (flags.server !== undefined) {
    const origin = originOf(flags.server);
    return over(origin, await tokenFor(origin, flags, context));
  }
  if (flags.tokenFile !== undefined) throw new SeatrialError("usage", "--token-file is for a server that --server names");
  const server = await readServerFile(environment);
  if (server) return over(server.url, await readToken(apiTokenPath(environment.dataDir)));
  const { openLocalApi } = await import("../server/local-api.ts");
  return await openLocalApi(environment, packageVersion());
}

async function tokenFor(origin: string, { tokenFile }: ApiFlags, { environment }: CommandContext): Promise<string | undefined> {
  if (tokenFile !== undefined) return await readToken(resolve(environment.cwd, tokenFile));
  const given = environment.variables["SEATRIAL_TOKEN"] || undefined;
  if (given !== undefined) return given;
  // A link to the server of this machine needs no more than the server's own files.
  const here = await readServerFile(environment);
  return here?.url === origin ? await readToken(apiTokenPath(environment.dataDir)) : undefined;
}

async function readToken(path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (error) {
    throw new SeatrialError("usage", `cannot read the server's token: ${messageOf(error)}`, { cause: error });
  }
}

function originOf(text: string): string {
  const url = URL.parse(text);
  if (url && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "") return url.origin;
  throw new SeatrialError("usage", `--server ${JSON.stringify(text)} is not the address of a server`, {
    hint: "--server http://127.0.0.1:7357; its token goes by SEATRIAL_TOKEN or --token-file",
  });
}

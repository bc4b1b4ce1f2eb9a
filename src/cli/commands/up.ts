/** `seatrial up|down|server|crds`: the server of this machine, or over a cluster. */
import { spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import { makeFolder } from "../../base/folder.ts";
import { limits } from "../../base/limits.ts";
import { waitFor } from "../../base/wait.ts";
import { stopDaemon } from "../../process/daemon.ts";
import { parseIdentity } from "../../process/identity.ts";
import { readServerFile } from "../../server/server-file.ts";
import type { CommandContext } from "../cli.ts";
import { packageVersion } from "./about.ts";
import { collect, type ExecutorChoice, executorOf, executorOption } from "./options.ts";

interface UpFlags {
  detach?: boolean;
  listen: { hostname: string; port: number };
  repository?: string[];
  kubeconfig?: string;
  config?: string;
  executor?: ExecutorChoice;
}

const defaultListen = "127.0.0.1:7357";

export function registerUp(program: Command, context: CommandContext): void {
  const { environment, output } = context;
  const withOptions = (command: Command) =>
    command
      .addOption(
        new Option("--listen <address>", "where people reach it").argParser(addressOf).default(addressOf(defaultListen), defaultListen),
      )
      .option("--repository <path>", "a repository on this machine whose pushes are tested (again for more)", collect)
      .addOption(executorOption())
      .option("--config <file>", "the forges: docs/guides/server.md");

  withOptions(program.command("up"))
    .description("start a CI server on this machine: control plane, pages, API")
    .option("--detach", "leave it running, and print its address")
    .action(async (flags: UpFlags) => await (flags.detach ? detach(flags, context) : serve(flags, context)));

  withOptions(program.command("server"))
    .description("the same server over a Kubernetes cluster")
    .requiredOption("--kubeconfig <file>", "of the cluster that keeps the resources")
    .action(async (flags: UpFlags) => await serve(flags, context));

  program
    .command("down")
    .description("end the server of this machine, and its control plane; the data stays")
    .action(async () => {
      const server = await readServerFile(environment);
      if (server) await stopDaemon(parseIdentity(server.owner)!);
      const { stopEmbedded } = await import("../../controlplane/embedded.ts");
      await stopEmbedded(await context.workspace.instance());
      output.err(server ? `the server at ${server.url} has ended` : "no server was running");
    });

  program
    .command("crds")
    .description("print the CustomResourceDefinitions of all kinds")
    .action(async () => {
      const { crdsYaml } = await import("../../resources/crd.ts");
      output.write(crdsYaml());
    });
}

async function serve(flags: UpFlags, context: CommandContext): Promise<void> {
  const { workspace, environment, output, signals } = context;
  const [{ runServer }, { readConfig }] = await Promise.all([import("../../server/server.ts"), import("../../server/config.ts")]);
  const running = await readServerFile(environment);
  if (running) return output.out(running.url);
  try {
    await runServer(workspace, {
      programs: context.programs,
      listen: flags.listen,
      repositories: (flags.repository ?? []).map((path) => resolve(environment.cwd, path)),
      ...(flags.config === undefined ? { forges: [] } : await readConfig(resolve(environment.cwd, flags.config))),
      kubeconfig: flags.kubeconfig === undefined ? undefined : resolve(environment.cwd, flags.kubeconfig),
      version: packageVersion(),
      executor: executorOf(flags.executor, environment),
      signal: signals.signal,
      onReady: ({ url, kubeconfig }) => {
        output.out(url);
        output.err(`seatrial: serving; KUBECONFIG=${kubeconfig}`);
      },
    });
  } catch (error) {
    if (!signals.received || !(error instanceof SeatrialError && error.code === "aborted")) throw error;
  }
  if (flags.kubeconfig !== undefined) return;
  // Whoever started it in the foreground wants nothing left of it.
  const { stopEmbedded } = await import("../../controlplane/embedded.ts");
  await stopEmbedded(await workspace.instance());
}

async function detach(flags: UpFlags, { environment, output }: CommandContext): Promise<void> {
  const running = await readServerFile(environment);
  if (running) return output.out(running.url);
  makeFolder(environment.dataDir, 0o700);
  const path = join(environment.dataDir, "server.log");
  const log = await open(path, "a", 0o600);
  const { hostname, port } = flags.listen;
  const config = flags.config === undefined ? [] : ["--config", resolve(environment.cwd, flags.config)];
  const args = [
    "up",
    "--listen",
    `${hostname}:${port}`,
    ...config,
    ...(flags.executor === undefined ? [] : ["--executor", flags.executor]),
    ...(flags.repository ?? []).flatMap((each) => ["--repository", resolve(environment.cwd, each)]),
  ];
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...args], {
    cwd: environment.dataDir,
    env: environment.variables as NodeJS.ProcessEnv,
    detached: true,
    stdio: ["ignore", log.fd, log.fd],
  });
  let code: number | null | undefined;
  child.once("exit", (status) => (code = status));
  child.once("error", () => (code = null));
  child.unref();
  await log.close();
  const started = async () => {
    const server = await readServerFile(environment);
    if (!server && code !== undefined)
      throw new SeatrialError("command-failed", `the server ended as soon as it was started; ${path} says why`);
    return server;
  };
  output.out((await waitFor("the server to be ready", started, { timeoutMs: limits.clusterReadyMs, pollMs: 50 })).url);
}

function addressOf(text: string): { hostname: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) throw new InvalidArgumentError("It must be an address and a port, as in 127.0.0.1:7357.");
  return { hostname: match[1] ?? (match[2] || "0.0.0.0"), port };
}

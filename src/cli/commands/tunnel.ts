/** `seatrial tunnel`: keeps the APIs and registries of a remote Docker host reachable from here, until it is ended. */
import type { Command } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import { kubeconfigOf } from "../../controllers/cluster/reconcile.ts";
import { registriesReach } from "../../controllers/registry/reconcile.ts";
import type { CommandContext } from "../cli.ts";

export function registerTunnel(program: Command, context: CommandContext): void {
  program
    .command("tunnel")
    .description("keep the clusters and registries of a remote Docker host reachable from here, until Ctrl-C")
    .argument("[clusters...]", "default: all clusters of this installation on that host")
    .action(async (names: string[]) => {
      const { workspace, output, signals } = context;
      const { host, address } = await workspace.docker();
      if (host.isLocal) throw new SeatrialError("usage", `Docker at ${address} is this machine's: everything on it can be reached already`);
      const records = (await workspace.records.all()).filter(
        ({ name, dockerHost, phase }) => dockerHost === address && (names.length === 0 ? phase === "Ready" : names.includes(name)),
      );
      const missing = names.filter((name) => !records.some((record) => record.name === name));
      if (missing.length > 0)
        throw new SeatrialError("not-found", `there is no cluster ${missing.join(", ")} of this installation at ${address}`);
      for (const record of records) {
        const provider = await workspace.provider(record.provider);
        const kubeconfig = await kubeconfigOf(workspace, record, signals.signal);
        await provider.reach?.(workspace.records.targetOf(record), kubeconfig, signals.signal);
        output.out(`cluster ${record.name}: export KUBECONFIG=${kubeconfig}`);
      }
      for (const { name, localPort } of await registriesReach(workspace, signals.signal))
        output.out(`registry ${name}: localhost:${localPort}`);
      output.out("ready; Ctrl-C ends it");
      await new Promise<void>((resolve) => signals.signal.addEventListener("abort", () => resolve(), { once: true }));
      if (signals.received !== "SIGINT") signals.signal.throwIfAborted();
    });
}

/** `seatrial load IMAGE… --cluster NAME`: puts local images into a cluster's nodes. */
import type { Command } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import type { CommandContext } from "../cli.ts";
import { recordOfCluster } from "./resource-names.ts";

export function registerLoad(program: Command, context: CommandContext): void {
  program
    .command("load")
    .description("put images of the Docker host into a cluster's nodes, one platform only, skipping what is there")
    .argument("<images...>")
    .requiredOption("--cluster <name>", "the cluster")
    .action(async (images: string[], flags: { cluster: string }) => {
      const { workspace, signals, output } = context;
      const record = await recordOfCluster(workspace.records, flags.cluster);
      const provider = await (await workspace.onHost(record.dockerHost)).provider(record.provider);
      if (!provider.loadImages)
        throw new SeatrialError("usage", `cluster ${record.name} is ${record.provider}: it has no nodes that could run an image`);
      const loaded = await provider.loadImages(workspace.records.targetOf(record), images, signals.signal);
      for (const { reference, node, wasCopied } of loaded)
        output.out(`${reference}: ${wasCopied ? "loaded into" : "is already in"} ${node}`);
    });
}

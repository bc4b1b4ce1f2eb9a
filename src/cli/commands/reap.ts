/** `seatrial reap`: deletes what is left of owners that have ended. */
import type { Command } from "commander";
import { reap } from "../../controllers/reap/reap.ts";
import { SeatrialError } from "../../base/errors.ts";
import type { CommandContext } from "../cli.ts";

export function registerReap(program: Command, context: CommandContext): void {
  program
    .command("reap")
    .description("delete clusters, registries and networks whose owners have ended; never what apply declared")
    .option("--instance <id>", "reap what another installation left on this Docker host (its id is in the seatrial.dev/instance label)")
    .action(async (flags: { instance?: string }) => {
      const scansDocker = flags.instance !== undefined || (await hasDocker(context));
      const reaped = await reap(context.workspace, {
        instance: flags.instance,
        scansDocker,
        now: new Date(),
        signal: context.signals.signal,
      });
      for (const { what, reason, error } of reaped) {
        if (error) context.output.err(`${what}: not deleted (${reason}): ${error}`);
        else context.output.out(`${what}: deleted: ${reason}`);
      }
      if (reaped.some(({ error }) => error)) context.exitCode = 1;
      if (!scansDocker) context.output.err("Docker does not answer: only clusters on this machine were looked for");
    });
}

async function hasDocker({ workspace, signals }: CommandContext): Promise<boolean> {
  try {
    const { client } = await workspace.docker();
    await client.version(signals.signal);
    return true;
  } catch (error) {
    if (error instanceof SeatrialError && error.code === "unreachable") return false;
    throw error;
  }
}

/** What commands that were killed left behind ends with the next one that runs jobs. */
import { messageOf } from "../../base/errors.ts";
import { reportReaped } from "../../runner/with.ts";
import type { CommandContext } from "../cli.ts";

/** Ends it, and says so: processes, clusters, and where their jobs ran in containers those. */
export async function reapKilled({ environment, output, workspace, signals: { signal } }: CommandContext): Promise<void> {
  const { reapOneShots } = await import("../../server/one-shot.ts");
  const { runs, hadContainers } = await reapOneShots(environment, new Date());
  for (const run of runs) output.err(`seatrial: ${run} was ended: the command that ran it was killed`);
  try {
    await reportReaped(workspace, { scansDocker: hadContainers, signal });
  } catch (error) {
    signal.throwIfAborted();
    if (!hadContainers) throw error;
    output.err(`seatrial: containers of killed runs may be left: ${messageOf(error)}; seatrial reap deletes them`);
  }
}

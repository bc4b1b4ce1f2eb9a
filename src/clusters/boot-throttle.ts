/**
 * How many clusters boot at once on one Docker host. A boot uses the CPU half of its time and waits the other half, so twice
 * as many as there are CPUs keep the host busy; more only take longer, until the fixed waits of the programs beneath run
 * out. `node bench/run.ts kind-4 kind-8` is the judge of that number.
 *
 * The places are locks of this machine's user, shared by all commands that use the same host.
 */
import { join } from "node:path";
import { anyLock, type Lock } from "../process/lock.ts";

export class BootThrottle {
  readonly #paths: string[];

  /**
   * @param runtimeDir of the user; @param host a name of the Docker host that is good for a file; @param cpus of that host.
   */
  constructor(runtimeDir: string, host: string, cpus: number) {
    const places = Math.max(2, 2 * cpus);
    this.#paths = Array.from({ length: places }, (_, i) => join(runtimeDir, "boots", `${host}-${i}.lock`));
  }

  /** Waits for a place; it is given back when the slot is disposed of, or when this process ends. */
  async slot(signal?: AbortSignal): Promise<Lock> {
    return await anyLock(this.#paths, "a place to boot a cluster", signal);
  }
}

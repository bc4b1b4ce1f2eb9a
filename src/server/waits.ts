/** How long a server waits for what may never come, before it says so. */
import { limits } from "../base/limits.ts";

export interface Waits {
  /** For each half of a boot of a job's cluster: until it is made, and until it is Ready. */
  clusterReadyMs: number;
  /** A host that has not answered for so long has lost the jobs that ran there. */
  hostAwayMs: number;
}

export const defaultWaits: Waits = { clusterReadyMs: limits.clusterReadyMs, hostAwayMs: limits.runnerServerAwayMs };

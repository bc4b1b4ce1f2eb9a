/**
 * The contract between Seatrial and what runs a runner: a process of this machine, a container on a Docker host.
 *
 * The job-run reconciler calls it, one call at a time for one attempt. An executor keeps nothing in memory: after a restart of
 * the server it finds its attempts again by their mark (`SEATRIAL_ATTEMPT` in the environment) or label.
 */
import type { ExecutorName } from "../../resources/job-run.ts";
import type { AttemptContainers } from "../containers/attempt-containers.ts";

/** The variable in the environment of everything that an attempt runs; its value is the attempt's uid. */
export const attemptMark = "SEATRIAL_ATTEMPT";

export interface ExecutorRequest {
  /** Attempt's uid: the deterministic name of whatever is made. */
  attempt: string;
  token: string;
  /** For executor docker; a reference by digest. */
  image?: string | undefined;
  /** Docker networks that the container joins: those of its clusters. */
  networks?: readonly string[];
  /** Whether it gets no network but {@link networks}: for changes that are not trusted. Executor docker alone. */
  isIsolated?: boolean;
  /** Extra environment of the runner; nothing secret. */
  env?: Readonly<Record<string, string>>;
  signal?: AbortSignal | undefined;
}

export type AttemptLife =
  /** It has not begun, or all of it has been removed. */
  | { state: "absent" }
  /** Its runner runs, or what its steps left behind has not ended yet: no other attempt may begin. */
  | { state: "running" }
  /** It ended; `message` says how, for people: `exit code 137, out of memory`. */
  | { state: "ended"; message: string; isOutOfMemory: boolean };

export interface Executor {
  readonly name: ExecutorName;
  /** What an attempt has beside its runner; absent where that is no container itself. */
  readonly containers?: AttemptContainers;
  /**
   * Starts the runner of an attempt. One that runs is success, and so is one that ran: an attempt begins once, whoever asks
   * how often. @throws SeatrialError when it could not be started; then the same call may be made again.
   */
  start(request: ExecutorRequest): Promise<void>;
  observe(attempt: string, signal?: AbortSignal): Promise<AttemptLife>;
  /** Ends the runner and every descendant of its steps: SIGTERM, SIGKILL after the grace time. No error when there is none. */
  stop(attempt: string, signal?: AbortSignal): Promise<void>;
  /** Stops and removes all of it: containers, networks, volumes, folder. No error when there is none. */
  remove(attempt: string, signal?: AbortSignal): Promise<void>;
  /** Uids of all attempts of this installation that are there, for the reaper. */
  list(signal?: AbortSignal): Promise<string[]>;
}

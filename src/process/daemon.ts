/**
 * Programs that go on running after the command that started them: own session, output to a file, identity on record.
 *
 * The record is written right after the start and holds pid and start time, so that a later command stops just this
 * process and never one that was given its pid.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import { identityOf, lifeOf, type ProcessIdentity } from "./identity.ts";

export interface DaemonOptions {
  cwd: string;
  env: Readonly<Record<string, string | undefined>>;
  /** stdout and stderr are appended to this file. */
  logFile: string;
}

/** Starts a program and lets go of it. */
export async function startDaemon(command: string, args: readonly string[], options: DaemonOptions): Promise<ProcessIdentity> {
  const log = openSync(options.logFile, "a", 0o600);
  try {
    const child = spawn(command, [...args], {
      cwd: options.cwd,
      env: options.env as NodeJS.ProcessEnv,
      detached: true,
      stdio: ["ignore", log, log],
    });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (error) =>
        reject(new SeatrialError("missing-program", `cannot start ${command}: ${error.message}`, { cause: error })),
      );
    });
    child.unref();
    const identity = identityOf(child.pid!);
    if (!identity)
      throw new SeatrialError("command-failed", `${command} ended as soon as it was started; its output is in ${options.logFile}`);
    return identity;
  } finally {
    closeSync(log);
  }
}

/** Ends a process: SIGTERM, then SIGKILL after {@link limits.stopGraceMs}. No error when it has ended already. */
export async function stopDaemon(identity: ProcessIdentity, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  if (lifeOf(identity) !== "alive") return;
  send(identity.pid, signal);
  const gone = () => (lifeOf(identity) === "alive" ? undefined : true);
  try {
    await waitFor(`process ${identity.pid} to end`, gone, { timeoutMs: limits.stopGraceMs, pollMs: 20 });
  } catch {
    send(identity.pid, "SIGKILL");
    await waitFor(`process ${identity.pid} to end after SIGKILL`, gone, { timeoutMs: limits.stopGraceMs, pollMs: 20 });
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

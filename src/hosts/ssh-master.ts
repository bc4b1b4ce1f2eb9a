/**
 * One run of `ssh -M`: one connection, from its start to its end. Who keeps it up is ssh-connection.ts.
 *
 * It works inside the connection's folder and names its sockets relative to it: so neither the length of the path nor
 * a character that ssh would expand in it matters.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { pause, waitFor } from "../base/wait.ts";
import { run, type RunOptions, type RunResult } from "../process/run.ts";
import { destinationArgs, sshError, type SshDestination } from "./ssh-errors.ts";

const CONTROL_SOCKET = "m";
const LAST_WORDS_MS = 250;

/**
 * ssh must not outlive us, not even a kill -9. Beside it, in the same process group, stands a shell that reads from a pipe
 * of ours and gets nothing but its end: then it ends the group, itself included. A group that it is in is never another's.
 */
const WATCHED_SSH = `(read -r line <&3; kill -s KILL 0) >/dev/null 2>&1 & exec ssh "$@" 3<&-`;

export interface SshMasterOptions {
  /** As messages name it. */
  name: string;
  destination: SshDestination;
  /** Takes the place of the user's ~/.ssh/config. */
  configFile: string | undefined;
  folder: string;
  env: Readonly<Record<string, string | undefined>>;
  connectTimeoutMs: number;
  signal: AbortSignal;
}

export class SshMaster {
  /** Settles when ssh has ended, for whatever reason. */
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  readonly #options: SshMasterOptions;
  readonly #words: string[] = [];
  #hasEnded = false;

  private constructor(child: ChildProcess, options: SshMasterOptions) {
    this.#child = child;
    this.#options = options;
    createInterface({ input: child.stderr! }).on("line", (line) => {
      this.#words.push(line);
      if (this.#words.length > limits.errorTailLines) this.#words.shift();
    });
    const pipe = child.stdio[3] as Duplex;
    pipe.on("error", () => {}); // It breaks with the group.
    pipe.resume();
    const closed = once(child, "close");
    this.ended = (async () => {
      await once(child, "exit");
      this.#endGroup(); // The watching shell, and a proxy command that did not notice.
      // ssh's last words may still be on their way; what has left the group may hold the pipe for longer.
      const heard = new AbortController();
      await Promise.race([closed, pause(LAST_WORDS_MS, heard.signal).catch(() => {})]);
      heard.abort();
      child.stderr!.destroy();
      pipe.destroy();
      this.#hasEnded = true;
    })();
  }

  /** Connects and logs in. @throws SeatrialError of {@link sshError}; the signal's reason. Nothing is left running then. */
  static async start(options: SshMasterOptions): Promise<SshMaster> {
    const { folder, signal } = options;
    signal.throwIfAborted();
    // ssh refuses to share a connection where it finds a socket, also one that nobody listens on.
    rmSync(join(folder, CONTROL_SOCKET), { force: true });
    const child = spawn("/bin/sh", ["-c", WATCHED_SSH, "ssh", ...masterArgs(options)], {
      cwd: folder,
      env: options.env as NodeJS.ProcessEnv,
      // A session of its own: Ctrl-C is meant for us, and what we then clean up needs the connection. No terminal either.
      detached: true,
      stdio: ["ignore", "ignore", "pipe", "pipe"],
    });
    await Promise.race([once(child, "spawn"), once(child, "error").then(([error]) => Promise.reject(error as Error))]);
    const master = new SshMaster(child, options);
    try {
      // ssh makes the socket when it has logged in, already listening.
      const look = () => {
        if (master.#hasEnded) throw master.error();
        return existsSync(join(folder, CONTROL_SOCKET)) || undefined;
      };
      // Twice: once for the connection, which ssh itself bounds, once for the login.
      const timeoutMs = 2 * options.connectTimeoutMs;
      await waitFor(`a login on ${options.name}`, look, { timeoutMs, pollMs: 10, signal });
      return master;
    } catch (error) {
      await master.stop();
      const isLate = error instanceof SeatrialError && error.code === "timeout";
      throw isLate ? new SeatrialError("unreachable", error.message, { retryable: true, cause: error }) : error;
    }
  }

  /** What ssh said last, as an error. */
  error(): SeatrialError {
    const { name, destination, configFile } = this.#options;
    return sshError(name, destination, configFile, this.#words, this.#child.exitCode);
  }

  get words(): readonly string[] {
    return this.#words;
  }

  /** Asks ssh to open or to end forwards: `-L ./socket:target`, `-R /socket:target`. What is there already is no error. */
  async control(command: "forward" | "cancel", forwards: readonly string[], signal?: AbortSignal): Promise<void> {
    await this.#client(["-O", command, ...forwards], { timeoutMs: limits.sshConnectMs, signal });
  }

  /** Runs a script on the other side, by its POSIX shell. */
  async script(script: string, signal: AbortSignal): Promise<RunResult> {
    return await this.#client(["-T"], { input: script, timeoutMs: limits.sshConnectMs, signal }, ["sh"]);
  }

  async #client(args: readonly string[], options: Omit<RunOptions, "env" | "cwd">, command: readonly string[] = []): Promise<RunResult> {
    const { folder, env, destination } = this.#options;
    return await run("ssh", [...clientArgs(), ...args, "--", destination.host, ...command], { ...options, cwd: folder, env });
  }

  /** Ends ssh. At once: it can sleep through a SIGTERM until its next sign of life is due, and has nothing to save. */
  async stop(): Promise<void> {
    if (!this.#hasEnded) this.#endGroup();
    await this.ended;
  }

  #endGroup(): void {
    try {
      process.kill(-this.#child.pid!, "SIGKILL");
    } catch {
      // The whole group has ended.
    }
  }
}

/** Ends the ssh of a folder whose owner is gone, should the watcher be gone too. Nothing there is the usual case. */
export async function stopOrphan(folder: string, env: Readonly<Record<string, string | undefined>>): Promise<void> {
  if (!existsSync(join(folder, CONTROL_SOCKET))) return;
  const args = [...clientArgs(), "-O", "exit", "--", "orphan"];
  await run("ssh", args, { cwd: folder, env, timeoutMs: limits.apiRequestMs }).catch(() => {});
}

function masterArgs(options: SshMasterOptions): string[] {
  const { configFile, connectTimeoutMs, destination } = options;
  const settings = {
    ControlPath: `./${CONTROL_SOCKET}`,
    ControlPersist: "no",
    // Nobody is there to answer: ssh fails where it would ask. What it checks about host keys stays the user's setting.
    BatchMode: "yes",
    // The user's own forwards for this host belong to the user's own sessions; ours come by `-O forward`.
    ClearAllForwardings: "yes",
    ExitOnForwardFailure: "yes",
    StreamLocalBindUnlink: "yes",
    ConnectTimeout: String(Math.ceil(connectTimeoutMs / 1000)),
    // ssh asks after an interval of silence, and gives up when three questions in a row had an interval each for an answer.
    ServerAliveInterval: String(Math.floor(limits.sshAliveMs / 4000)),
    ServerAliveCountMax: "3",
    LogLevel: "INFO",
  };
  const given = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  // -a, -x: neither our agent nor our screen is that host's business.
  return [...(configFile === undefined ? [] : ["-F", configFile]), "-M", "-N", "-T", "-a", "-x", ...given, ...destinationArgs(destination)];
}

/**
 * For the short runs that use the connection. The user's configuration was for making it: read again it would add the
 * user's forwards to ours. Without a connection such a run fails; it must not make one of its own.
 */
function clientArgs(): string[] {
  const settings = [
    `ControlPath=./${CONTROL_SOCKET}`,
    "ControlMaster=no",
    "BatchMode=yes",
    "ProxyCommand=false",
    "StreamLocalBindUnlink=yes",
  ];
  return ["-F", "/dev/null", ...settings.flatMap((setting) => ["-o", setting])];
}

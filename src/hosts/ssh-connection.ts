/**
 * A connection to a host by ssh that is kept up: when ssh ends, the next one takes its place and all forwards are made again.
 *
 * States: `up`; `down`, when ssh has ended and the next one is not yet logged in with all forwards; `closed`, for good.
 * up → down when ssh ends; down → up by the supervisor, which tries until it succeeds; any → closed by close(). The first
 * connection is made by open(), and its failure is the caller's.
 */
import { rm } from "node:fs/promises";
import { connect as connectSocket, type Socket } from "node:net";
import { join } from "node:path";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { seconds } from "../base/output.ts";
import { pause, waitFor } from "../base/wait.ts";
import type { RunResult } from "../process/run.ts";
import type { SshDestination } from "./ssh-errors.ts";
import { SshMaster } from "./ssh-master.ts";

export interface SshConnectionOptions {
  /** As messages name it. */
  name: string;
  destination: SshDestination;
  /** Ours alone; see runtime-folder.ts. */
  folder: string;
  configFile: string | undefined;
  env: Readonly<Record<string, string | undefined>>;
  onProgress?: ((line: string) => void) | undefined;
}

export class SshConnection {
  readonly #options: SshConnectionOptions;
  /** Forwards by the name of their socket in the folder; each leads to a port or a socket on the other side. */
  readonly #forwards = new Map<string, string>();
  /** Ports of ours by the path of a socket on the other side that leads to them, and the script that makes its folder. */
  readonly #reverses = new Map<string, { port: number; prepare: string }>();
  readonly #closing = new AbortController();
  #master: SshMaster;
  #state: "up" | "down" | "closed" = "up";
  #trouble = "";
  #forwardCount = 0;
  #supervisor: Promise<void>;

  private constructor(options: SshConnectionOptions, master: SshMaster) {
    this.#options = options;
    this.#master = master;
    this.#supervisor = this.#supervise();
  }

  /** @throws SeatrialError `unreachable`, `missing-program`; the signal's reason. */
  static async open(options: SshConnectionOptions, signal: AbortSignal): Promise<SshConnection> {
    return new SshConnection(options, await SshMaster.start({ ...options, connectTimeoutMs: limits.sshConnectMs, signal }));
  }

  /** Runs a script on the other side. */
  async script(script: string, signal: AbortSignal): Promise<RunResult> {
    return await this.#master.script(script, signal);
  }

  /**
   * Makes a port (`127.0.0.1:80`) or a socket (a path) of the other side reachable by {@link connect}, until {@link cancel}.
   * @returns the name to connect by.
   */
  async forward(target: string): Promise<string> {
    const name = `f${++this.#forwardCount}`;
    this.#forwards.set(name, target);
    try {
      await this.#whileUp(`a way to ${target} of ${this.#options.name}`, (master) =>
        master.control("forward", ["-L", `./${name}:${target}`], this.#closing.signal),
      );
      return name;
    } catch (error) {
      this.#forwards.delete(name);
      throw error;
    }
  }

  async cancel(name: string): Promise<void> {
    const target = this.#forwards.get(name);
    if (target === undefined || !this.#forwards.delete(name)) return;
    // When ssh is gone, so is the forward, and nobody makes it again.
    if (this.#state === "up") await this.#master.control("cancel", ["-L", `./${name}:${target}`]).catch(() => {});
    await rm(join(this.#options.folder, name), { force: true });
  }

  /** A connection through a forward; waits for the tunnel while it is being restored. */
  async connect(name: string): Promise<Socket> {
    return await this.#whileUp(`the connection to ${this.#options.name}`, () => dialSocket(join(this.#options.folder, name)));
  }

  /**
   * Makes our 127.0.0.1:port reachable on the other side by a socket, whose name is ours alone there.
   * @param prepare a script that makes its folder; run again with each connection, since the host may have been booted anew.
   * @returns ends it.
   */
  async reverse(path: string, port: number, prepare: string): Promise<() => Promise<void>> {
    const reverse = { port, prepare };
    this.#reverses.set(path, reverse);
    try {
      await this.#whileUp(`a way back from ${this.#options.name}`, (master) => openReverse(master, path, reverse, this.#closing.signal));
    } catch (error) {
      this.#reverses.delete(path);
      throw error;
    }
    return async () => {
      if (!this.#reverses.delete(path) || this.#state !== "up") return;
      await this.#master.control("cancel", ["-R", `${path}:127.0.0.1:${port}`]).catch(() => {});
    };
  }

  async close(): Promise<void> {
    this.#state = "closed";
    this.#closing.abort(new SeatrialError("aborted", `the connection to ${this.#options.name} was closed`));
    await this.#master.stop();
    await this.#supervisor;
  }

  /**
   * Does something with the running ssh. That it fails is how the end of ssh shows first, a moment before its exit does:
   * so it is done again, with the next one if need be, until its time is over.
   */
  async #whileUp<T>(what: string, action: (master: SshMaster) => Promise<T>): Promise<T> {
    const signal = this.#closing.signal;
    const attempt = async (): Promise<{ result: T } | undefined> => {
      if (this.#state !== "up") return undefined;
      try {
        return { result: await action(this.#master) };
      } catch (error) {
        this.#trouble = messageOf(error);
        return undefined;
      }
    };
    const options = { timeoutMs: limits.tunnelWaitMs, pollMs: 20, signal };
    return (await waitFor(what, attempt, options, () => this.#trouble || "nothing yet")).result;
  }

  async #supervise(): Promise<void> {
    for (;;) {
      await this.#master.ended;
      if (this.#isClosed()) return;
      this.#state = "down";
      this.#trouble = lastOf(this.#master.words) ?? "ssh ended";
      this.#tell(`the connection to ${this.#options.name} was lost (${this.#trouble}); connecting again`);
      const lostAt = performance.now();
      for (let attempts = 1; !this.#isClosed(); attempts++) {
        try {
          this.#master = await this.#restart();
          // Closed just now: close() has stopped the one before this.
          if (this.#isClosed()) return await this.#master.stop();
          this.#state = "up";
          this.#tell(`the connection to ${this.#options.name} is back after ${seconds(performance.now() - lostAt)}`);
          break;
        } catch (error) {
          if (this.#isClosed()) return;
          // Each new reason once, so that the log has as many lines as there are reasons in turn, and the first at once.
          if (messageOf(error) !== this.#trouble) this.#tell(`${messageOf(error)}; trying again`);
          this.#trouble = messageOf(error);
          await this.#rest(error);
        }
      }
      if (this.#isClosed()) return;
    }
  }

  /** A connection with all forwards on it. */
  async #restart(): Promise<SshMaster> {
    const signal = this.#closing.signal;
    // Several attempts fit into the time that a connection waits.
    const master = await SshMaster.start({ ...this.#options, connectTimeoutMs: limits.tunnelWaitMs / 4, signal });
    try {
      // Those that are added while this runs are not lost: whoever adds one makes it on the connection that is up in the end.
      const forwards = [...this.#forwards].flatMap(([name, target]) => ["-L", `./${name}:${target}`]);
      if (forwards.length > 0) await master.control("forward", forwards, signal);
      for (const [path, reverse] of this.#reverses) {
        await openReverse(master, path, reverse, signal).catch((error: unknown) => {
          signal.throwIfAborted();
          // What needs no way back goes on.
          this.#tell(`there is no way back from ${this.#options.name}: ${messageOf(error)}`);
        });
      }
      return master;
    } catch (error) {
      await master.stop();
      throw error;
    }
  }

  /** What a next attempt cannot mend (a refused key) is asked less often: hosts lock out whoever insists. */
  async #rest(error: unknown): Promise<void> {
    const isRetryable = !(error instanceof SeatrialError) || error.retryable || error.code !== "unreachable";
    await pause(isRetryable ? limits.sshRetryMs : limits.sshConnectMs, this.#closing.signal).catch(() => {});
  }

  #isClosed(): boolean {
    return this.#state === "closed";
  }

  #tell(line: string): void {
    this.#options.onProgress?.(line);
  }
}

/** Most sshds refuse to listen where a socket is, also one of a connection that has ended: it goes first. */
async function openReverse(
  master: SshMaster,
  path: string,
  { port, prepare }: { port: number; prepare: string },
  signal: AbortSignal,
): Promise<void> {
  await master.script(`${prepare}\nrm -f '${path}'`, signal);
  await master.control("forward", ["-R", `${path}:127.0.0.1:${port}`], signal);
}

async function dialSocket(path: string): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connectSocket({ path, allowHalfOpen: true });
  socket.once("connect", () => resolve(socket)).once("error", reject);
  return await promise;
}

function lastOf(words: readonly string[]): string | undefined {
  return words.findLast((line) => line.trim() !== "")?.trim();
}

/**
 * A door on this machine: takes connections on a loopback port or a unix socket and joins each one to a connection that
 * `dial` makes. It stands as long as it is not closed, whatever becomes of the connections behind it.
 */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { messageOf, SeatrialError, systemCodeOf } from "../base/errors.ts";
import { joinStreams } from "../base/join-streams.ts";
import { limits } from "../base/limits.ts";

export class Listener implements AsyncDisposable {
  readonly #server: Server;
  readonly #open = new Set<Duplex>();
  readonly #dial: () => Promise<Duplex>;
  readonly #onProgress: ((line: string) => void) | undefined;
  #isClosed = false;
  #lastTrouble = "";

  private constructor(dial: () => Promise<Duplex>, onProgress: ((line: string) => void) | undefined) {
    this.#dial = dial;
    this.#onProgress = onProgress;
    // Half-open: `docker exec -i` ends its input and goes on reading. Paused: no byte is taken before somebody gets it.
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => void this.#serve(socket));
    this.#server.maxConnections = limits.tunnelConnections;
  }

  /** @throws SeatrialError `conflict` when the port is taken. */
  static async open(
    at: { port: number } | { path: string },
    dial: () => Promise<Duplex>,
    onProgress?: (line: string) => void,
  ): Promise<Listener> {
    const listener = new Listener(dial, onProgress);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    listener.#server.once("error", reject);
    listener.#server.listen("port" in at ? { host: "127.0.0.1", port: at.port } : at, resolve);
    try {
      await promise;
    } catch (error) {
      if ("path" in at) throw new SeatrialError("internal", `cannot listen on ${at.path}: ${messageOf(error)}`, { cause: error });
      const isTaken = systemCodeOf(error) === "EADDRINUSE";
      throw new SeatrialError("conflict", `cannot listen on 127.0.0.1:${at.port}: ${isTaken ? "the port is taken" : messageOf(error)}`, {
        cause: error,
        ...(isTaken ? { hint: `lsof -iTCP:${at.port} -sTCP:LISTEN shows who has it; ask for another port, or for any` } : {}),
      });
    }
    listener.#server.on("error", () => {}); // A failed accept (too many open files) concerns that connection only.
    return listener;
  }

  /** 0 for a unix socket. */
  get port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? 0;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    for (const stream of this.#open) stream.destroy();
    await promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #serve(socket: Socket): Promise<void> {
    this.#keep(socket);
    let other: Duplex;
    try {
      other = await this.#dial();
    } catch (error) {
      this.#tell(messageOf(error));
      // A reset, where there is one: the peer shall not take this for an empty answer.
      if (this.port === 0) socket.destroy();
      else socket.resetAndDestroy();
      return;
    }
    this.#lastTrouble = "";
    this.#keep(other);
    if (this.#isClosed || socket.destroyed) {
      socket.destroy();
      other.destroy();
      return;
    }
    joinStreams(socket, other);
  }

  #keep(stream: Duplex): void {
    this.#open.add(stream);
    stream.on("error", () => {}); // What follows from an error follows from the close after it.
    stream.once("close", () => this.#open.delete(stream));
  }

  /** Whoever polls through a door that leads nowhere would repeat the same line without end. */
  #tell(trouble: string): void {
    if (trouble !== this.#lastTrouble && !this.#isClosed) this.#onProgress?.(trouble);
    this.#lastTrouble = trouble;
  }
}

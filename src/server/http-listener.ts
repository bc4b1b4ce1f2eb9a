/** An HTTP server over a Hono app, that ends when it is told to, whoever still reads from it. */
import type { IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createAdaptorServer, type ServerType } from "@hono/node-server";
import type { Env, Hono } from "hono";
import { SeatrialError } from "../base/errors.ts";
import { joinStreams } from "../base/join-streams.ts";
import { limits } from "../base/limits.ts";

export class HttpListener {
  #server: ServerType | undefined;
  #dial: Dial | undefined;
  readonly #tunnels = new Set<Duplex>();

  /** Joins requests with `Upgrade: tcp` to the connection that `dial` makes; undefined refuses one. Before {@link listen}. */
  onUpgrade(dial: Dial): void {
    this.#dial = dial;
  }

  /** @returns the origin. @throws SeatrialError `conflict` when the port is taken. */
  async listen<E extends Env>(app: Hono<E>, { hostname, port }: { hostname: string; port: number }): Promise<string> {
    const server = createAdaptorServer({ fetch: app.fetch, serverOptions: { keepAliveTimeout: limits.keepAliveMs } });
    this.#server = server;
    const dial = this.#dial;
    if (dial)
      server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => void this.#tunnel(dial, request, socket, head));
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error: NodeJS.ErrnoException) => {
        const isTaken = error.code === "EADDRINUSE";
        reject(
          new SeatrialError(
            isTaken ? "conflict" : "internal",
            `cannot listen on ${hostname}:${port}: ${isTaken ? "the port is taken" : error.message}`,
            {
              hint: "choose another with --listen",
              cause: error,
            },
          ),
        );
      });
      server.listen(port, hostname, resolve);
    });
    const address = server.address() as AddressInfo;
    return `http://${address.family === "IPv6" ? `[${address.address}]` : address.address}:${address.port}`;
  }

  /** No error when it never listened. */
  async close(): Promise<void> {
    const server = this.#server;
    if (!server?.listening) return;
    for (const stream of this.#tunnels) stream.destroy();
    if ("closeAllConnections" in server) server.closeAllConnections();
    await new Promise<void>((resolve) => void server.close(() => resolve()));
  }

  async #tunnel(dial: Dial, request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    this.#keep(socket);
    try {
      const isTcp = request.headers.upgrade?.toLowerCase() === "tcp";
      const other = isTcp ? await dial(request.url ?? "", request.headers.authorization ?? "") : undefined;
      if (!other) return void socket.end("HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n");
      this.#keep(other);
      if (socket.destroyed) return void other.destroy();
      socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: tcp\r\n\r\n");
      if (head.length > 0) other.write(head);
      joinStreams(socket, other);
    } catch {
      socket.destroy();
    }
  }

  #keep(stream: Duplex): void {
    this.#tunnels.add(stream);
    stream.on("error", () => {}); // What follows from an error follows from the close after it.
    stream.once("close", () => this.#tunnels.delete(stream));
  }
}

/** @param url the request's path. @param authorization its header. */
type Dial = (url: string, authorization: string) => Promise<Duplex | undefined>;

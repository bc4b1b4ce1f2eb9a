/** An HTTP server over a Hono app, that ends when it is told to, whoever still reads from it. */
import type { AddressInfo } from "node:net";
import { createAdaptorServer, type ServerType } from "@hono/node-server";
import type { Env, Hono } from "hono";
import { SeatrialError } from "../base/errors.ts";

export class Listener {
  #server: ServerType | undefined;

  /** @returns the origin. @throws SeatrialError `conflict` when the port is taken. */
  async listen<E extends Env>(app: Hono<E>, { hostname, port }: { hostname: string; port: number }): Promise<string> {
    const server = createAdaptorServer({ fetch: app.fetch });
    this.#server = server;
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
    if ("closeAllConnections" in server) server.closeAllConnections();
    await new Promise<void>((resolve) => void server.close(() => resolve()));
  }
}

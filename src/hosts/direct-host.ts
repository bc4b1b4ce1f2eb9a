/**
 * A Docker host whose daemon is spoken to as it is: by its socket on this machine, or by tcp.
 *
 * Ports of this machine need no forwarding. Ports of a remote tcp host cannot be had from its daemon alone: the caller
 * gives a dialler, or the forward is refused.
 */
import { existsSync } from "node:fs";
import { chmod, rm } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { SeatrialError } from "../base/errors.ts";
import { formatEndpoint, type DockerEndpoint } from "../docker/endpoint.ts";
import type { DockerConnection } from "../docker/client.ts";
import { type DockerHost, type Door, doorSocket, type Forward, type ForwardOptions, type OpenOptions } from "./docker-host.ts";
import { variablesForSocket, variablesForTcp } from "./docker-variables.ts";
import { Listener } from "./listener.ts";
import { checkPort } from "./port.ts";
import { makeDoorFolder } from "./runtime-folder.ts";

export class DirectHost implements DockerHost {
  readonly endpoint: DockerEndpoint;
  readonly connection: DockerConnection;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly isLocal: boolean;
  readonly #options: OpenOptions;
  readonly #listeners = new Set<Listener>();

  constructor(endpoint: Exclude<DockerEndpoint, { kind: "ssh" }>, options: OpenOptions) {
    this.endpoint = endpoint;
    this.#options = options;
    if (endpoint.kind === "unix") {
      this.connection = { socketPath: endpoint.socketPath };
      this.environment = variablesForSocket(endpoint.socketPath);
      this.isLocal = true;
    } else {
      this.connection = { host: endpoint.host, port: endpoint.port, ...(endpoint.tls ? { tls: endpoint.tls } : {}) };
      this.environment = variablesForTcp(endpoint, options.environment.variables);
      this.isLocal = /^(localhost|127(\.\d+){3}|::1)$/i.test(endpoint.host);
    }
  }

  async forward(remotePort: number, options: ForwardOptions = {}): Promise<Forward> {
    checkPort(remotePort);
    if (this.isLocal && (options.localPort ?? remotePort) === remotePort) {
      return { localPort: remotePort, close: async () => {} };
    }
    const dial = this.isLocal ? () => dialLocal(remotePort) : options.dial;
    if (!dial) {
      throw new SeatrialError(
        "unreachable",
        `cannot reach port ${remotePort} of the Docker host ${formatEndpoint(this.endpoint)}: by tcp:// there is a way to its daemon only`,
        { hint: "name the host as ssh://user@host in DOCKER_HOST: then its ports are forwarded too" },
      );
    }
    const listener = await Listener.open({ port: options.localPort ?? 0 }, dial, this.#options.onProgress);
    this.#listeners.add(listener);
    return {
      localPort: listener.port,
      close: async () => {
        this.#listeners.delete(listener);
        await listener.close();
      },
    };
  }

  async openDoor(name: string, port: number): Promise<Door> {
    if (this.endpoint.kind !== "unix") {
      throw new SeatrialError("unreachable", `containers of ${formatEndpoint(this.endpoint)} have no way back: by tcp:// there is none`, {
        hint: "name the host as ssh://user@host: then a socket is forwarded to it",
      });
    }
    const { doorsDir } = this.#options.environment;
    const open = async () => {
      const path = join(await makeDoorFolder(doorsDir, name), doorSocket);
      await rm(path, { force: true }); // Of a process that was killed: this one holds the name alone.
      const listener = await Listener.open({ path }, () => dialLocal(port), this.#options.onProgress);
      this.#listeners.add(listener);
      await chmod(path, 0o666); // An image may have a user of its own; the way to the folder is closed to others.
      return listener;
    };
    const shut = async (listener: Listener) => {
      this.#listeners.delete(listener);
      await listener.close();
    };
    let listener = await open();
    const directory = join(doorsDir, name);
    return {
      directory,
      mend: async () => {
        if (existsSync(join(directory, doorSocket))) return;
        await shut(listener);
        listener = await open();
      },
      close: async (isLast) => {
        await shut(listener);
        if (isLast) await rm(directory, { recursive: true, force: true });
      },
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#listeners].map((listener) => listener.close()));
    this.#listeners.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

async function dialLocal(port: number): Promise<Duplex> {
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.once("connect", () => resolve(socket)).once("error", reject);
  return await promise;
}

/**
 * A Docker host as everything else sees it: a daemon that can be spoken to from here, and ports of that host that can be
 * reached from here, wherever it is.
 */
import type { Duplex } from "node:stream";
import type { Environment } from "../base/environment.ts";
import type { DockerConnection } from "../docker/client.ts";
import type { DockerEndpoint } from "../docker/endpoint.ts";

export interface OpenOptions {
  environment: Environment;
  /** Ends the opening. An open host is ended by `close()` alone: what cleans up after an abort still needs it. */
  signal: AbortSignal;
  /** A line for the person who watches: a connection was lost, is back, could not be passed on. */
  onProgress?: ((line: string) => void) | undefined;
}

export interface Forward {
  /** 127.0.0.1:localPort here leads to 127.0.0.1:remotePort there. */
  localPort: number;
  close(): Promise<void>;
}

/** A way from the Docker host back to this machine. */
export interface Door {
  /** A folder on the Docker host, to be mounted into containers: its socket {@link doorSocket} leads here. */
  directory: string;
  /** Makes the socket again where somebody removed it. */
  mend(): Promise<void>;
  /** @param isLast whether no container holds the folder any more: then it goes, too. */
  close(isLast: boolean): Promise<void>;
}

/** Name of the socket in a door's folder. */
export const doorSocket = "door.sock";

export interface ForwardOptions {
  /** The local port to take; any free one when it is not given. */
  localPort?: number | undefined;
  /**
   * Makes one connection to the remote port. Called for each connection, and only where the host itself has no way to
   * its ports: a remote daemon by tcp://. A caller that can, gives one through `docker exec`.
   */
  dial?: (() => Promise<Duplex>) | undefined;
}

/**
 * Opened once per command by the composition root and closed by it; many callers use it concurrently.
 */
export interface DockerHost extends AsyncDisposable {
  readonly endpoint: DockerEndpoint;
  readonly connection: DockerConnection;
  /**
   * DOCKER_HOST and its kin for the programs that we run (kind, docker): always a connection that is already open. Laid
   * over the command's own environment; undefined takes a variable away.
   */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** True when ports that the daemon publishes on 127.0.0.1 are this machine's. */
  readonly isLocal: boolean;
  /**
   * Makes a port that the daemon published on its 127.0.0.1 reachable on ours, on any free port unless one is wanted.
   * On a local host nothing is opened and localPort is the port itself, unless another one is wanted. Survives a cut of
   * the connection: what connects meanwhile waits for it, at most {@link limits.tunnelWaitMs}.
   * @throws SeatrialError `conflict` when the wanted port is taken, `unreachable` when there is no way to the port.
   */
  forward(remotePort: number, options?: ForwardOptions): Promise<Forward>;
  /**
   * Makes our 127.0.0.1:port reachable for containers of that host, by a socket: no network of theirs need lead to us, and no
   * firewall, nor sshd's GatewayPorts, is in between. The folder is the same for the same name, so that containers find their way
   * after this process was replaced by another.
   * @throws SeatrialError `unreachable` where there is no way back: a remote daemon by tcp://.
   */
  openDoor(name: string, port: number): Promise<Door>;
  /** Ends all forwards, doors and connections and removes what they left on disk. May be called twice. */
  close(): Promise<void>;
}

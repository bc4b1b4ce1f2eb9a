/**
 * A Docker host as everything else sees it: a daemon that can be spoken to from here, and ports of that host that can be
 * reached from here, wherever it is.
 */
import type { DockerEndpoint, TlsFiles } from "../docker/endpoint.ts";

/** What src/docker/client.ts connects to. */
export type DockerConnection = { socketPath: string } | { host: string; port: number; tls?: TlsFiles | undefined };

export interface Forward {
  /** 127.0.0.1:localPort here leads to 127.0.0.1:remotePort there. */
  localPort: number;
  close(): Promise<void>;
}

/**
 * Opened once per command by the composition root and closed by it; many callers use it concurrently.
 */
export interface DockerHost extends AsyncDisposable {
  readonly endpoint: DockerEndpoint;
  readonly connection: DockerConnection;
  /** DOCKER_HOST and its kin for the programs that we run (kind, docker): always a connection that is already open. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** True when ports that the daemon publishes on 127.0.0.1 are this machine's. */
  readonly isLocal: boolean;
  /**
   * Makes a port that the daemon published on its 127.0.0.1 reachable on ours, on any free port unless one is wanted.
   * On a local host nothing is opened and localPort is the port itself. Survives a cut of the connection.
   */
  forward(remotePort: number, wanted?: { localPort?: number | undefined }): Promise<Forward>;
  close(): Promise<void>;
}

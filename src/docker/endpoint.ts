/**
 * Which Docker daemon is meant: DOCKER_HOST, DOCKER_CONTEXT, the current context of `~/.docker/config.json`, else the
 * usual socket. Resolving reads files only; nothing is dialled.
 */

export interface TlsFiles {
  ca?: string | undefined;
  cert?: string | undefined;
  key?: string | undefined;
  /** True when the user asked not to check the daemon's certificate. */
  skipVerify: boolean;
}

export type DockerEndpoint =
  | { kind: "unix"; name: string; socketPath: string }
  | { kind: "tcp"; name: string; host: string; port: number; tls?: TlsFiles | undefined }
  | { kind: "ssh"; name: string; host: string; user?: string | undefined; port?: number | undefined };

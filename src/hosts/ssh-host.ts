/**
 * A Docker host behind ssh: one connection for everything, where the docker CLI makes one for each call (340 ms).
 *
 *   docker, kind, we ──▶ docker.sock (ours) ──▶ f1 (ssh's) ══▶ ssh ══▶ Docker's socket there
 *   kubectl, we      ──▶ 127.0.0.1:port (ours) ─▶ f2 (ssh's) ══▶ ssh ══▶ 127.0.0.1:port there
 *
 * The doors are ours and not ssh's: so the kernel chooses ports, and what connects during an outage waits for the tunnel.
 */
import { rm } from "node:fs/promises";
import { request } from "node:http";
import { join, resolve } from "node:path";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { formatEndpoint, type DockerEndpoint } from "../docker/endpoint.ts";
import type { DockerConnection } from "../docker/client.ts";
import { type DockerHost, type Door, doorSocket, type Forward, type ForwardOptions, type OpenOptions } from "./docker-host.ts";
import { variablesForSocket } from "./docker-variables.ts";
import { Listener } from "./listener.ts";
import { checkPort } from "./port.ts";
import { findRemoteSocket } from "./remote-socket.ts";
import { makeRuntimeFolder, sweepRuntimeFolders } from "./runtime-folder.ts";
import { SshConnection } from "./ssh-connection.ts";
import { sshCommand } from "./ssh-errors.ts";
import { stopOrphan } from "./ssh-master.ts";

type SshEndpoint = Extract<DockerEndpoint, { kind: "ssh" }>;

/** Opens the connection, finds Docker's socket there and asks the daemon for a sign of life. */
export async function openSshHost(endpoint: SshEndpoint, options: OpenOptions): Promise<DockerHost> {
  const { environment, signal, onProgress } = options;
  const env = environment.variables;
  await sweepRuntimeFolders(environment.runtimeDir, (folder) => stopOrphan(folder, env));
  const folder = await makeRuntimeFolder(environment.runtimeDir);

  const name = formatEndpoint(endpoint);
  // ssh looks for its configuration in the home folder of the user database, not in $HOME: tests need another way.
  const given = env["SEATRIAL_SSH_CONFIG"] || undefined;
  const configFile = given === undefined ? undefined : resolve(environment.cwd, given);
  const command = sshCommand(endpoint, configFile);
  let connection: SshConnection | undefined;
  let door: Listener | undefined;
  const close = async () => {
    await door?.close();
    await connection?.close();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const ssh = await SshConnection.open({ name, destination: endpoint, folder, configFile, env, onProgress }, signal);
    connection = ssh;
    const remotePath = await findRemoteSocket(ssh, name, endpoint, configFile, signal);
    const forward = await ssh.forward(remotePath);
    const socketPath = join(folder, "docker.sock");
    door = await Listener.open({ path: socketPath }, () => ssh.connect(forward), onProgress);
    await ping(socketPath, signal).catch((error: unknown) => {
      signal.throwIfAborted();
      throw noAnswer(name, remotePath, command, error);
    });
    return new SshHost(endpoint, ssh, socketPath, close, onProgress);
  } catch (error) {
    await close();
    throw error;
  }
}

class SshHost implements DockerHost {
  readonly endpoint: DockerEndpoint;
  readonly connection: DockerConnection;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly isLocal = false;
  readonly #ssh: SshConnection;
  readonly #closeShared: () => Promise<void>;
  readonly #onProgress: ((line: string) => void) | undefined;
  readonly #doors = new Set<Listener>();
  #closed: Promise<void> | undefined;

  constructor(
    endpoint: SshEndpoint,
    ssh: SshConnection,
    socketPath: string,
    closeShared: () => Promise<void>,
    onProgress: ((line: string) => void) | undefined,
  ) {
    this.endpoint = endpoint;
    this.connection = { socketPath };
    this.environment = variablesForSocket(socketPath);
    this.#ssh = ssh;
    this.#closeShared = closeShared;
    this.#onProgress = onProgress;
  }

  async forward(remotePort: number, options: ForwardOptions = {}): Promise<Forward> {
    checkPort(remotePort);
    if (this.#closed) throw new SeatrialError("aborted", `the connection to ${formatEndpoint(this.endpoint)} was closed`);
    const name = await this.#ssh.forward(`127.0.0.1:${remotePort}`);
    let door: Listener;
    try {
      door = await Listener.open({ port: options.localPort ?? 0 }, () => this.#ssh.connect(name), this.#onProgress);
    } catch (error) {
      await this.#ssh.cancel(name);
      throw error;
    }
    this.#doors.add(door);
    if (this.#closed) await door.close(); // Closed while the port was being opened.
    return {
      localPort: door.port,
      close: async () => {
        this.#doors.delete(door);
        await door.close();
        await this.#ssh.cancel(name);
      },
    };
  }

  async openDoor(name: string, port: number): Promise<Door> {
    const signal = AbortSignal.timeout(limits.sshConnectMs);
    const made = await this.#ssh.script(doorScript(name), signal);
    const directory = made.stdout.trim();
    const path = `${directory}/${doorSocket}`;
    const end = await this.#ssh.reverse(path, port, doorScript(name));
    return {
      directory,
      mend: async () => {}, // It is made with each connection; a socket that somebody listens on is left alone there, too.
      close: async (isLast) => {
        await end();
        if (isLast) await this.#ssh.script(`rm -rf '${directory}'`, AbortSignal.timeout(limits.sshConnectMs)).catch(() => {});
      },
    };
  }

  async close(): Promise<void> {
    this.#closed ??= (async () => {
      await Promise.all([...this.#doors].map((door) => door.close()));
      await this.#closeShared();
    })();
    await this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Prints the folder. In /tmp and not where a login has its sockets: that is emptied when nobody is logged in. What another user
 * made under that name is refused: they could listen in our place.
 */
function doorScript(name: string): string {
  return `set -e
above=/tmp/seatrial-$(id -u)
mkdir -p -m 700 "$above"
[ "$(ls -ldn "$above" | awk '{print substr($1, 1, 10) $3}')" = "drwx------$(id -u)" ] || {
  echo "$above is not a folder that only this user can write to" >&2
  exit 1
}
mkdir -p -m 755 "$above/${name}"
echo "$above/${name}"
`;
}

/** Any answer by HTTP is a sign of life. */
async function ping(socketPath: string, signal: AbortSignal): Promise<void> {
  const { promise, resolve: done, reject } = Promise.withResolvers<void>();
  const asked = request({ socketPath, path: "/_ping", agent: false, signal, timeout: limits.dockerRequestMs }, (answer) => {
    answer.resume();
    answer.once("end", done).once("error", reject);
  });
  asked.once("timeout", () => asked.destroy(new Error(`no answer in ${limits.dockerRequestMs / 1000} s`)));
  asked.once("error", reject);
  asked.end();
  await promise;
}

/** The login worked and the socket is there, but no daemon answers through it. An sshd that forwards no sockets looks the same. */
function noAnswer(name: string, path: string, command: string, cause: unknown): SeatrialError {
  return new SeatrialError("unreachable", `Docker on ${name} does not answer at ${path}: ${messageOf(cause)}`, {
    hint: `does \`${command} docker version\` work? If so, the sshd there must allow AllowStreamLocalForwarding (Docker's socket) and AllowTcpForwarding (the clusters' ports)`,
    retryable: true,
    cause,
  });
}

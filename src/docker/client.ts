/**
 * The Docker Engine API over a socket, local or forwarded: what Seatrial needs of it and no more.
 *
 * Calls are safe to make concurrently. Every error is a {@link DockerError}, or `unreachable` when the daemon does not
 * answer. Deleting what is not there is success: all callers are level-based.
 *
 * A request that makes something is not cut short by its signal, which only keeps it from starting: the daemon would go on
 * without us, and make it after our clean-up had looked.
 */
import { request as httpRequest, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { Readable } from "node:stream";
import type { Pool } from "undici";
import { type ErrorCode, messageOf, SeatrialError, systemCodeOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { undici } from "../base/undici.ts";
import { waitFor } from "../base/wait.ts";
import type { TlsFiles } from "./endpoint.ts";
import { demultiplex, demultiplexing } from "./framing.ts";
import type { ContainerDetails, ContainerSummary, ImageDetails, Labels, NetworkDetails } from "./objects.ts";
import { encodeImage, splitReference } from "./reference.ts";
import { tlsOptions } from "./tls.ts";

/** Where the daemon is dialled: a socket of this machine, or a TCP address. */
export type DockerConnection = { socketPath: string } | { host: string; port: number; tls?: TlsFiles | undefined };

/** The newest API that this client was written against; an older daemon's own is used instead. */
const newestApi = "1.47";

export class DockerError extends SeatrialError {
  readonly status: number;

  constructor(status: number, what: string, reason: string) {
    const codes: Record<number, ErrorCode> = { 400: "invalid", 404: "not-found", 409: "conflict" };
    super(codes[status] ?? "command-failed", `Docker could not ${what}: ${reason}`, { retryable: status >= 500 });
    this.name = "DockerError";
    this.status = status;
  }
}

export interface BuildOptions {
  /** Path of the Dockerfile in the archive. */
  file?: string;
  labels?: Labels;
  network?: string | undefined;
  /** Of each container that a RUN is run in. */
  memoryBytes?: number | undefined;
  cpus?: number | undefined;
  /** Ends a build that has begun. */
  until?: AbortSignal;
}

export interface ExecResult {
  exitCode: number;
  stdout: Buffer;
  stderr: Buffer;
}

export class DockerClient implements AsyncDisposable {
  readonly #connection: DockerConnection;
  readonly #name: string;
  readonly #pool: Pool;
  #version: Promise<string> | undefined;

  /** @param name of the endpoint, for errors: `unix:///var/run/docker.sock`. */
  constructor(connection: DockerConnection, name: string) {
    this.#connection = connection;
    this.#name = name;
    const connect = "socketPath" in connection ? { socketPath: connection.socketPath } : tlsOptions(connection.tls);
    this.#pool = new (undici().Pool)(this.#origin(), { connect, connections: 16, bodyTimeout: 0, headersTimeout: 0 });
  }

  #origin(): string {
    if ("socketPath" in this.#connection) return "http://docker";
    return `${this.#connection.tls ? "https" : "http"}://${this.#connection.host}:${this.#connection.port}`;
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // -- the daemon -----------------------------------------------------------------------------------------------------

  async version(signal?: AbortSignal): Promise<{ Version: string; ApiVersion: string; Os: string; Arch: string; KernelVersion: string }> {
    return await this.#json("GET", "/version", "tell its version", { signal, unversioned: true });
  }

  async info(signal?: AbortSignal): Promise<{
    ID: string;
    NCPU: number;
    MemTotal: number;
    CgroupVersion?: string;
    CgroupDriver: string;
    DockerRootDir: string;
    ServerVersion: string;
    OperatingSystem: string;
    Name: string;
    DefaultAddressPools?: { Base: string; Size: number }[] | null;
    SecurityOptions?: string[];
  }> {
    return await this.#json("GET", "/info", "describe itself", { signal });
  }

  // -- networks -------------------------------------------------------------------------------------------------------

  /** Not cut short once it was asked: the daemon would go on, and make what nobody then deletes. */
  async createNetwork(body: object, signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted();
    const answer = await this.#json<{ Id: string }>("POST", "/networks/create", "create a network", { body });
    return answer.Id;
  }

  /** @param label `key` or `key=value`; undefined: every network. */
  async networks(label: string | undefined, signal?: AbortSignal): Promise<NetworkDetails[]> {
    return await this.#json("GET", `/networks?${filters(label === undefined ? {} : { label: [label] })}`, "list networks", { signal });
  }

  async network(idOrName: string, signal?: AbortSignal): Promise<NetworkDetails | undefined> {
    return await this.#find(`/networks/${encodeURIComponent(idOrName)}`, `inspect network ${idOrName}`, signal);
  }

  /** Removes a network, taking containers that we do not own off it first. */
  async removeNetwork(id: string, signal?: AbortSignal): Promise<void> {
    let lastRefusal: unknown;
    const attempt = async () => {
      const network = await this.network(id, signal);
      if (!network) return true;
      try {
        for (const container of Object.keys(network.Containers ?? {})) await this.disconnect(network.Id, container, signal);
        await this.#delete(`/networks/${network.Id}`, `remove network ${network.Name}`, signal);
        return true;
      } catch (error) {
        // A container of it is being removed at this moment, or was connected since we looked: look again.
        if (!(error instanceof DockerError && /marked for removal|active endpoints|is not running/.test(error.message))) throw error;
        lastRefusal = error;
        return undefined;
      }
    };
    await waitFor(`network ${id} to be removed`, attempt, { timeoutMs: limits.dockerRequestMs, pollMs: 100, signal }, () =>
      messageOf(lastRefusal),
    );
  }

  async connect(networkId: string, container: string, aliases: string[], signal?: AbortSignal): Promise<void> {
    const body = { Container: container, EndpointConfig: { Aliases: aliases } };
    signal?.throwIfAborted();
    await this.#json("POST", `/networks/${networkId}/connect`, `connect ${container} to network ${networkId}`, { body });
  }

  async disconnect(networkId: string, container: string, signal?: AbortSignal): Promise<void> {
    const body = { Container: container, Force: true };
    try {
      await this.#json("POST", `/networks/${networkId}/disconnect`, `disconnect ${container} from network ${networkId}`, { body, signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  // -- containers -----------------------------------------------------------------------------------------------------

  /** Like a network's creation not cut short. @param name empty: the daemon makes one up. */
  async createContainer(name: string, body: object, signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted();
    const path = `/containers/create${name ? `?name=${encodeURIComponent(name)}` : ""}`;
    const answer = await this.#json<{ Id: string }>("POST", path, `create container ${name}`, { body });
    return answer.Id;
  }

  async startContainer(id: string, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await this.#json("POST", `/containers/${id}/start`, `start container ${id.slice(0, 12)}`, {});
  }

  /** Stops a container: SIGTERM, and SIGKILL after the grace. @param graceSeconds less than {@link limits.dockerRequestMs}. */
  async stopContainer(id: string, signal?: AbortSignal, graceSeconds = 2): Promise<void> {
    await this.#json("POST", `/containers/${id}/stop?t=${graceSeconds}`, `stop container ${id.slice(0, 12)}`, { signal });
  }

  async renameContainer(id: string, name: string, signal?: AbortSignal): Promise<void> {
    await this.#json(
      "POST",
      `/containers/${id}/rename?name=${encodeURIComponent(name)}`,
      `rename container ${id.slice(0, 12)} to ${name}`,
      { signal },
    );
  }

  async container(idOrName: string, signal?: AbortSignal): Promise<ContainerDetails | undefined> {
    return await this.#find(`/containers/${encodeURIComponent(idOrName)}/json`, `inspect container ${idOrName}`, signal);
  }

  /** All containers, running or not, that carry all of the labels (`key` or `key=value`). */
  async containers(labels: string[], signal?: AbortSignal): Promise<ContainerSummary[]> {
    return await this.#json("GET", `/containers/json?all=1&${filters({ label: labels })}`, "list containers", { signal });
  }

  /** Removes a container, running or not, with its anonymous volumes. */
  async removeContainer(id: string, signal?: AbortSignal, options: { keepVolumes?: boolean } = {}): Promise<void> {
    try {
      await this.#delete(`/containers/${id}?force=1&v=${options.keepVolumes ? 0 : 1}`, `remove container ${id.slice(0, 12)}`, signal);
    } catch (error) {
      // Somebody else removes it at this moment: wait until it has.
      if (!(error instanceof DockerError && error.status === 409)) throw error;
      await waitFor(`container ${id.slice(0, 12)} to be removed`, async () => ((await this.container(id, signal)) ? undefined : true), {
        timeoutMs: limits.dockerRequestMs,
        pollMs: 100,
        signal,
      });
    }
  }

  /** What the container printed, stdout and stderr together; its last `tail` lines, with their times unless they are not wanted. */
  async containerLogs(id: string, tail: number, signal?: AbortSignal, hasTimes = true): Promise<string> {
    const details = await this.container(id, signal);
    if (!details) return "";
    const path = `/containers/${id}/logs?stdout=1&stderr=1&timestamps=${hasTimes ? 1 : 0}&tail=${tail}`;
    const raw = await this.#bytes("GET", path, `read the log of container ${details.Name}`, { signal });
    // With a terminal the stream is plain; without, it is framed.
    return (raw[0] !== undefined && raw[0] <= 2 && raw[1] === 0 ? demultiplex(raw).all : raw).toString("utf8");
  }

  /** A folder of the container as a tar stream; undefined when it is not there. */
  async readArchive(id: string, path: string, signal?: AbortSignal): Promise<Readable | undefined> {
    try {
      const target = `/containers/${id}/archive?path=${encodeURIComponent(path)}`;
      return await this.#stream("GET", target, `read ${path} of container ${id.slice(0, 12)}`, { signal });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Unpacks a tar archive into a folder of the container, running or not, as root. */
  async writeArchive(id: string, path: string, archive: Buffer, signal?: AbortSignal): Promise<void> {
    const target = `/containers/${id}/archive?path=${encodeURIComponent(path)}`;
    await this.#bytes("PUT", target, `write ${path} of container ${id.slice(0, 12)}`, {
      raw: archive,
      headers: { "content-type": "application/x-tar" },
      signal,
    });
  }

  /**
   * Runs a command in a container to its end. Input is written and closed; output is kept up to {@link limits.commandOutputBytes}.
   * A command that ends with another code than 0 is an answer, not an error.
   */
  async exec(
    id: string,
    argv: string[],
    options: { stdin?: Readable | Buffer | string; signal?: AbortSignal | undefined; privileged?: boolean } = {},
  ): Promise<ExecResult> {
    const what = `run ${argv[0]} in container ${id.slice(0, 12)}`;
    const execId = await this.#createExec(id, argv, options.stdin !== undefined, options.privileged ?? false, what, options.signal);
    const socket = await this.#hijack(`/exec/${execId}/start`, { Detach: false, Tty: false }, what, options.signal);
    const chunks: Buffer[] = [];
    let size = 0;
    const done = new Promise<void>((resolve, reject) => {
      socket.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size <= limits.commandOutputBytes) chunks.push(chunk);
      });
      socket.once("end", resolve);
      socket.once("close", resolve);
      socket.once("error", reject);
    });
    if (options.stdin instanceof Readable) options.stdin.on("error", (error) => socket.destroy(error)).pipe(socket);
    else if (options.stdin !== undefined) socket.end(options.stdin);
    try {
      await done;
    } catch (error) {
      options.signal?.throwIfAborted();
      throw new SeatrialError("unreachable", `Docker at ${this.#name} broke off while it should ${what}: ${messageOf(error)}`, {
        cause: error,
        retryable: true,
      });
    } finally {
      socket.destroy();
    }
    const { stdout, stderr } = demultiplex(Buffer.concat(chunks));
    const { ExitCode } = await this.#json<{ ExitCode: number | null }>("GET", `/exec/${execId}/json`, what, { signal: options.signal });
    if (ExitCode === null)
      throw new SeatrialError("unreachable", `Docker at ${this.#name} lost the command it should ${what}`, { retryable: true });
    return { exitCode: ExitCode, stdout, stderr };
  }

  /** A byte stream to a command that runs in the container: stdin one way, its stdout the other. */
  async dialExec(id: string, argv: string[], signal?: AbortSignal): Promise<{ socket: Duplex; demultiplexed: AsyncIterable<Buffer> }> {
    const what = `run ${argv[0]} in container ${id.slice(0, 12)}`;
    const execId = await this.#createExec(id, argv, true, false, what, signal);
    const socket = await this.#hijack(`/exec/${execId}/start`, { Detach: false, Tty: false }, what, signal);
    return { socket, demultiplexed: demultiplexing(socket) };
  }

  async #createExec(
    id: string,
    argv: string[],
    stdin: boolean,
    privileged: boolean,
    what: string,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const body = { Cmd: argv, AttachStdin: stdin, AttachStdout: true, AttachStderr: true, Tty: false, Privileged: privileged };
    const { Id } = await this.#json<{ Id: string }>("POST", `/containers/${id}/exec`, what, { body, signal });
    return Id;
  }

  async removeVolume(name: string, signal?: AbortSignal): Promise<void> {
    await this.#delete(`/volumes/${encodeURIComponent(name)}`, `remove volume ${name}`, signal);
  }

  async volumes(label: string, signal?: AbortSignal): Promise<{ Name: string; Labels: Labels | null }[]> {
    const answer = await this.#json<{ Volumes: { Name: string; Labels: Labels | null }[] | null }>(
      "GET",
      `/volumes?${filters({ label: [label] })}`,
      "list volumes",
      { signal },
    );
    return answer.Volumes ?? [];
  }

  // -- images ---------------------------------------------------------------------------------------------------------

  async image(reference: string, signal?: AbortSignal): Promise<ImageDetails | undefined> {
    return await this.#find(`/images/${encodeImage(reference)}/json`, `inspect image ${reference}`, signal);
  }

  /** The digest that the image's registry has for a reference now; nothing is pulled. */
  async registryDigest(reference: string, signal?: AbortSignal, auth?: object): Promise<string> {
    const path = `/distribution/${encodeImage(reference)}/json`;
    const { Descriptor } = await this.#json<{ Descriptor: { digest: string } }>("GET", path, `tell the digest of ${reference}`, {
      signal,
      ...(auth ? { headers: { "x-registry-auth": base64url(auth) } } : {}),
    });
    return Descriptor.digest;
  }

  async images(
    query: { reference?: string[]; label?: string[] },
    signal?: AbortSignal,
  ): Promise<{ Id: string; RepoTags: string[] | null; Labels: Labels | null; Created: number }[]> {
    const wanted = Object.fromEntries(Object.entries(query).filter(([, values]) => values !== undefined)) as Record<string, string[]>;
    return await this.#json("GET", `/images/json?${filters(wanted)}`, "list images", { signal });
  }

  /** Removes the image that a list showed: by its name where it has one, so that another name of it stays. */
  async removeListed({ Id, RepoTags }: { Id: string; RepoTags: string[] | null }, signal?: AbortSignal): Promise<void> {
    const name = RepoTags?.find((tag) => tag !== "<none>:<none>");
    await this.removeImage(name ?? Id, signal);
  }

  /** Pulls an image. `auth` is Docker's X-Registry-Auth object. */
  async pullImage(reference: string, signal?: AbortSignal, auth?: object): Promise<void> {
    const { repository, tag } = splitReference(reference);
    const path = `/images/create?fromImage=${encodeURIComponent(repository)}&tag=${encodeURIComponent(tag)}`;
    await this.#progress("POST", path, `pull ${reference}`, {
      signal,
      ...(auth ? { headers: { "x-registry-auth": base64url(auth) } } : {}),
    });
  }

  /** Builds an image from a tar stream that holds a Dockerfile. @param signal one that was not begun is not begun. */
  async buildImage(
    tag: string,
    context: Buffer | Readable,
    signal?: AbortSignal,
    { file, labels = {}, network, memoryBytes, cpus, until }: BuildOptions = {},
  ): Promise<void> {
    signal?.throwIfAborted();
    const more = [
      ...(file === undefined ? [] : [`dockerfile=${encodeURIComponent(file)}`]),
      ...(Object.keys(labels).length === 0 ? [] : [`labels=${encodeURIComponent(JSON.stringify(labels))}`]),
      ...(network === undefined ? [] : [`networkmode=${encodeURIComponent(network)}`]),
      ...(memoryBytes === undefined ? [] : [`memory=${memoryBytes}`, `memswap=${memoryBytes}`]),
      ...(cpus === undefined ? [] : ["cpuperiod=100000", `cpuquota=${Math.round(cpus * 100_000)}`]),
    ];
    const path = [`/build?t=${encodeURIComponent(tag)}&rm=1&forcerm=1&version=1`, ...more].join("&");
    await this.#progress("POST", path, `build image ${tag}`, {
      raw: context,
      headers: { "content-type": "application/x-tar" },
      signal: until,
    });
  }

  async tagImage(reference: string, target: string, signal?: AbortSignal): Promise<void> {
    const { repository, tag } = splitReference(target);
    const path = `/images/${encodeImage(reference)}/tag?repo=${encodeURIComponent(repository)}&tag=${encodeURIComponent(tag)}`;
    signal?.throwIfAborted();
    await this.#json("POST", path, `tag ${reference} as ${target}`, {});
  }

  async pushImage(reference: string, signal?: AbortSignal, auth: object = {}): Promise<void> {
    const { repository, tag } = splitReference(reference);
    const path = `/images/${encodeImage(repository)}/push?tag=${encodeURIComponent(tag)}`;
    await this.#progress("POST", path, `push ${reference}`, { headers: { "x-registry-auth": base64url(auth) }, signal });
  }

  /** Removes one name of an image, and the image when it was the last. */
  async removeImage(reference: string, signal?: AbortSignal): Promise<void> {
    try {
      await this.#delete(`/images/${encodeImage(reference)}`, `remove image ${reference}`, signal);
    } catch (error) {
      // Still used by a container: whoever removes that container removes the image.
      if (!(error instanceof DockerError && error.status === 409)) throw error;
    }
  }

  /** The image as a tar stream; `platform` only where the daemon can choose (API 1.48). */
  async saveImage(reference: string, signal?: AbortSignal): Promise<Readable> {
    return await this.#stream("GET", `/images/${encodeImage(reference)}/get`, `save image ${reference}`, { signal });
  }

  // -- one request ----------------------------------------------------------------------------------------------------

  async #json<T>(method: Method, path: string, what: string, options: CallOptions): Promise<T> {
    const text = (await this.#bytes(method, path, what, options)).toString("utf8");
    return (text.trim() === "" ? undefined : JSON.parse(text)) as T;
  }

  async #find<T>(path: string, what: string, signal?: AbortSignal): Promise<T | undefined> {
    try {
      return await this.#json<T>("GET", path, what, { signal });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async #delete(path: string, what: string, signal?: AbortSignal): Promise<void> {
    try {
      await this.#bytes("DELETE", path, what, { signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** Calls that answer 200 and tell their failure in a stream of JSON lines. */
  async #progress(method: Method, path: string, what: string, options: CallOptions): Promise<void> {
    const text = (await this.#bytes(method, path, what, { ...options, timeoutMs: limits.downloadMs })).toString("utf8");
    for (const line of text.split("\n")) {
      if (!line.includes('"error"')) continue;
      const { error } = JSON.parse(line) as { error?: string };
      if (error) throw new DockerError(/not found|manifest unknown|does not exist/i.test(error) ? 404 : 500, what, error);
    }
  }

  async #bytes(method: Method, path: string, what: string, options: CallOptions): Promise<Buffer> {
    const stream = await this.#stream(method, path, what, options);
    try {
      return Buffer.concat(await stream.toArray());
    } catch (error) {
      options.signal?.throwIfAborted();
      throw this.#unreachable(what, error);
    }
  }

  async #stream(method: Method, path: string, what: string, options: CallOptions): Promise<Readable> {
    const prefix = options.unversioned ? "" : `/v${await this.#apiVersion(options.signal)}`;
    const timeout = AbortSignal.timeout(options.timeoutMs ?? limits.dockerRequestMs);
    try {
      const answer = await this.#pool.request({
        method,
        path: `${prefix}${path}`,
        body: options.raw ?? (options.body === undefined ? null : JSON.stringify(options.body)),
        headers: { ...(options.body === undefined ? {} : { "content-type": "application/json" }), ...options.headers },
        signal: options.signal ? AbortSignal.any([options.signal, timeout]) : timeout,
      });
      if (answer.statusCode < 400) return answer.body;
      const text = await answer.body.text();
      throw new DockerError(answer.statusCode, what, reasonIn(text));
    } catch (error) {
      if (error instanceof DockerError) throw error;
      options.signal?.throwIfAborted();
      throw this.#unreachable(what, error);
    }
  }

  #apiVersion(signal: AbortSignal | undefined): Promise<string> {
    this.#version ??= this.version(signal).then(
      ({ ApiVersion }) => (compareVersions(ApiVersion, newestApi) < 0 ? ApiVersion : newestApi),
      (error: unknown) => {
        this.#version = undefined;
        throw error;
      },
    );
    return this.#version;
  }

  /** A request whose connection becomes a plain byte stream: what exec answers with. undici keeps no such connection. */
  async #hijack(path: string, body: object, what: string, signal: AbortSignal | undefined): Promise<Duplex> {
    const text = JSON.stringify(body);
    const options: RequestOptions = {
      method: "POST",
      path: `/v${await this.#apiVersion(signal)}${path}`,
      headers: { "content-type": "application/json", "content-length": Buffer.byteLength(text), connection: "Upgrade", upgrade: "tcp" },
      ...("socketPath" in this.#connection
        ? { socketPath: this.#connection.socketPath, host: "docker" }
        : { host: this.#connection.host, port: this.#connection.port, ...tlsOptions(this.#connection.tls) }),
      ...(signal ? { signal } : {}),
    };
    const send = "tls" in this.#connection && this.#connection.tls ? httpsRequest : httpRequest;
    return await new Promise<Duplex>((resolve, reject) => {
      const sent = send(options);
      sent.once("upgrade", (_answer, socket, head) => {
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      });
      sent.once("response", (answer) => {
        answer
          .toArray()
          .then(
            (chunks) => reject(new DockerError(answer.statusCode ?? 500, what, reasonIn(Buffer.concat(chunks).toString("utf8")))),
            reject,
          );
      });
      sent.once("error", (error) => reject(signal?.aborted ? (signal.reason as Error) : this.#unreachable(what, error)));
      sent.end(text);
    });
  }

  #unreachable(what: string, cause: unknown): SeatrialError {
    const code = systemCodeOf(cause);
    const why =
      code === "ENOENT" || code === "ECONNREFUSED"
        ? "nothing listens there"
        : code === "EACCES"
          ? "this user may not use it"
          : messageOf(cause);
    return new SeatrialError("unreachable", `Docker at ${this.#name} did not answer when asked to ${what}: ${why}`, {
      hint:
        code === "EACCES"
          ? "add this user to the group that owns the socket, or set DOCKER_HOST"
          : "start Docker, or set DOCKER_HOST to a daemon that runs; seatrial doctor shows what is found",
      cause,
      retryable: true,
    });
  }
}

type Method = "GET" | "POST" | "DELETE" | "PUT" | "HEAD";

interface CallOptions {
  body?: object;
  raw?: Buffer | Readable;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
  timeoutMs?: number;
  unversioned?: boolean;
}

function isNotFound(error: unknown): boolean {
  return error instanceof DockerError && error.status === 404;
}

export function isConflict(error: unknown): boolean {
  return error instanceof DockerError && error.status === 409;
}

function filters(wanted: Record<string, string[]>): string {
  return `filters=${encodeURIComponent(JSON.stringify(wanted))}`;
}

/** With padding: without it Docker takes the header for none at all. */
function base64url(value: object): string {
  const text = Buffer.from(JSON.stringify(value)).toString("base64url");
  return text.padEnd(Math.ceil(text.length / 4) * 4, "=");
}

function reasonIn(text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? text;
  } catch {
    return text.trim() || "no reason given";
  }
}

function compareVersions(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split(".").map(Number);
  const [majorB = 0, minorB = 0] = b.split(".").map(Number);
  return majorA - majorB || minorA - minorB;
}

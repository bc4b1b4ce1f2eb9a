/**
 * Which Docker daemon is meant: DOCKER_HOST, DOCKER_CONTEXT, the current context of `~/.docker/config.json`, else the
 * usual socket. Resolving reads files only; nothing is dialled.
 *
 * The order and the files are the docker CLI's, because kind runs that CLI: both must mean the same daemon.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Environment } from "../base/environment.ts";
import { SeatrialError, systemCodeOf } from "../base/errors.ts";

export interface TlsFiles {
  ca?: string | undefined;
  cert?: string | undefined;
  key?: string | undefined;
  /** True when the user asked not to check the daemon's certificate. */
  skipVerify: boolean;
}

/** `name` is the context's; it is `default` for DOCKER_HOST and for the usual socket. */
export type DockerEndpoint =
  | { kind: "unix"; name: string; socketPath: string }
  | { kind: "tcp"; name: string; host: string; port: number; tls?: TlsFiles | undefined }
  | { kind: "ssh"; name: string; host: string; user?: string | undefined; port?: number | undefined };

const DEFAULT_SOCKET = "/var/run/docker.sock";

/**
 * @throws SeatrialError `invalid` for an address that we cannot use, `not-found` for a context or a certificate that is
 * not there. No message repeats a password.
 */
export async function resolveDockerEndpoint(
  environment: Environment,
  platform: NodeJS.Platform = process.platform,
): Promise<DockerEndpoint> {
  const set = (name: string) => environment.variables[name]?.trim() || undefined;
  const configDir = resolve(environment.cwd, set("DOCKER_CONFIG") ?? join(environment.homeDir, ".docker"));

  const address = set("DOCKER_HOST");
  if (address !== undefined) {
    const endpoint = parseAddress(address, "default", "DOCKER_HOST", environment.cwd);
    return endpoint.kind === "tcp" ? withTls(endpoint, tlsOfVariables(set, configDir, environment.cwd)) : endpoint;
  }
  const context = set("DOCKER_CONTEXT") ?? (await currentContext(configDir));
  if (context !== undefined && context !== "default") return await endpointOfContext(context, configDir, environment.cwd);

  // Docker Desktop on macOS makes the usual path only for administrators.
  const desktop = join(environment.homeDir, ".docker", "run", "docker.sock");
  const useDesktop = platform === "darwin" && !existsSync(DEFAULT_SOCKET) && existsSync(desktop);
  return { kind: "unix", name: "default", socketPath: useDesktop ? desktop : DEFAULT_SOCKET };
}

/** The endpoint as the user would write it into DOCKER_HOST. */
export function formatEndpoint(endpoint: DockerEndpoint): string {
  if (endpoint.kind === "unix") return `unix://${endpoint.socketPath}`;
  const host = endpoint.host.includes(":") ? `[${endpoint.host}]` : endpoint.host;
  const user = endpoint.kind === "ssh" && endpoint.user !== undefined ? `${endpoint.user}@` : "";
  return `${endpoint.kind}://${user}${host}${endpoint.port === undefined ? "" : `:${endpoint.port}`}`;
}

type TcpEndpoint = Extract<DockerEndpoint, { kind: "tcp" }>;
/** A port of 0 means that none was written: which one is usual depends on TLS, which is known later. */
const PORT_NOT_WRITTEN = 0;

function withTls(endpoint: TcpEndpoint, tls: TlsFiles | undefined): TcpEndpoint {
  const port = endpoint.port === PORT_NOT_WRITTEN ? (tls ? 2376 : 2375) : endpoint.port;
  return { ...endpoint, port, ...(tls ? { tls } : {}) };
}

/** @param source where the address was written, for errors: `DOCKER_HOST`, `Docker context "lab"`. */
function parseAddress(address: string, name: string, source: string, cwd: string): DockerEndpoint {
  const shown = JSON.stringify(withoutPassword(address));
  const bad = (why: string, hint = "write unix:///path/to/docker.sock, tcp://host:port or ssh://user@host:port") =>
    new SeatrialError("invalid", `${source} is ${shown}: ${why}`, { hint });

  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(address)?.[1]?.toLowerCase();
  if (scheme === undefined && address.startsWith("/")) throw bad("a path needs unix:// before it", `set it to unix://${address}`);
  switch (scheme) {
    case "unix": {
      const path = address.slice("unix://".length);
      return { kind: "unix", name, socketPath: path === "" ? DEFAULT_SOCKET : resolve(cwd, path) };
    }
    case undefined: // The docker CLI takes host:port for tcp.
    case "tcp":
    case "ssh":
      break;
    case "npipe":
      throw bad("named pipes of Windows are not supported", "run Seatrial inside WSL, or expose Docker by ssh://");
    default:
      throw bad(`${scheme}:// is not supported`);
  }

  let url: URL;
  try {
    url = new URL(scheme === undefined ? `tcp://${address}` : address);
  } catch {
    throw bad("this is not a URL that can be read"); // No cause: Node's error carries the whole address.
  }
  const kind = scheme === "ssh" ? "ssh" : "tcp";
  if (url.password !== "") {
    throw bad("a password does not belong there: other users of this machine can read it", "use an ssh key or an ssh agent");
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  // What ssh would take for an option, or ~/.ssh/config hand to a shell, never gets as far as a command line.
  if (host.startsWith("-")) throw bad("a host cannot begin with -");
  if (!/^[\w.-]+$|^[0-9a-f:.]+$/i.test(host)) throw bad("the host is missing, or has characters that no host has");
  if (url.search !== "" || url.hash !== "") throw bad("nothing may follow host and port");
  if (url.pathname !== "" && url.pathname !== "/") {
    throw kind === "ssh"
      ? bad("a path cannot follow the host", "set DOCKER_HOST=unix:///the/path in the environment of that user on that host")
      : bad("a path cannot follow host and port");
  }
  const port = url.port === "" ? undefined : Number(url.port);
  if (port === 0) throw bad("port 0 is nobody's");

  if (kind === "tcp") {
    if (url.username !== "") throw bad("a user does not belong into a tcp:// address");
    return { kind, name, host, port: port ?? PORT_NOT_WRITTEN };
  }
  const user = decoded(url.username);
  if (user === undefined || /[\s\p{Cc}'"`$\\;&<>|(){}@]/u.test(user)) throw bad("the user has characters that no user has");
  if (user.startsWith("-")) throw bad("a user cannot begin with -");
  return { kind, name, host, ...(user === "" ? {} : { user }), ...(port === undefined ? {} : { port }) };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Up to the last `@`, since a password that was not encoded may hold any character; the user is kept when it is clear. */
function withoutPassword(address: string): string {
  const [, scheme = "", given = "", rest = ""] = /^((?:[a-z][a-z0-9+.-]*:\/\/)?)(?:(.*)@)?(.*)$/is.exec(address) ?? [];
  if (given === "") return scheme + rest;
  const [user, ...password] = given.split(":");
  return `${scheme}${user}${password.length > 0 ? ":***" : ""}@${rest}`;
}

/** As the docker CLI: TLS is on when either variable has any value, and only DOCKER_TLS_VERIFY makes it check. */
function tlsOfVariables(set: (name: string) => string | undefined, configDir: string, cwd: string): TlsFiles | undefined {
  const verify = set("DOCKER_TLS_VERIFY") !== undefined;
  if (!verify && set("DOCKER_TLS") === undefined) return undefined;
  const given = set("DOCKER_CERT_PATH");
  const folder = given === undefined ? configDir : resolve(cwd, given);
  const because = given === undefined ? `DOCKER_TLS${verify ? "_VERIFY" : ""} is set` : `DOCKER_CERT_PATH is ${given}`;
  // A folder that was named is expected to hold all that is needed; the usual one may have none.
  return tlsFiles(folder, because, !verify, given === undefined ? "optional" : "needed");
}

function tlsFiles(folder: string, because: string, skipVerify: boolean, own: "needed" | "optional"): TlsFiles {
  const path = (file: string) => (existsSync(join(folder, file)) ? join(folder, file) : undefined);
  const tls = { ca: path("ca.pem"), cert: path("cert.pem"), key: path("key.pem"), skipVerify };
  const missing = [
    ...(tls.ca === undefined && !skipVerify ? ["ca.pem"] : []),
    ...(tls.cert === undefined && (own === "needed" || tls.key !== undefined) ? ["cert.pem"] : []),
    ...(tls.key === undefined && (own === "needed" || tls.cert !== undefined) ? ["key.pem"] : []),
  ];
  if (missing.length > 0) {
    throw new SeatrialError("not-found", `${because}, but ${missing.join(" and ")} ${missing.length > 1 ? "are" : "is"} not in ${folder}`, {
      hint: "put the client's certificate there, or point DOCKER_CERT_PATH at the folder that holds ca.pem, cert.pem and key.pem",
    });
  }
  return tls;
}

/** The parts of Docker's own files that are read here. */
interface ContextMeta {
  Name?: string;
  Endpoints?: { docker?: { Host?: string; SkipTLSVerify?: boolean } };
}

async function currentContext(configDir: string): Promise<string | undefined> {
  const config = await readJson<{ currentContext?: unknown }>(join(configDir, "config.json"));
  return typeof config?.currentContext === "string" && config.currentContext !== "" ? config.currentContext : undefined;
}

async function endpointOfContext(name: string, configDir: string, cwd: string): Promise<DockerEndpoint> {
  const id = createHash("sha256").update(name).digest("hex");
  const meta = await readJson<ContextMeta>(join(configDir, "contexts", "meta", id, "meta.json"));
  if (meta === undefined) {
    const known = ["default", ...(await contextNames(configDir))];
    throw new SeatrialError("not-found", `there is no Docker context ${JSON.stringify(name)}; those that exist: ${known.join(", ")}`, {
      hint: "docker context use NAME, or set DOCKER_CONTEXT or DOCKER_HOST",
    });
  }
  const docker = meta.Endpoints?.docker;
  const source = `Docker context ${JSON.stringify(name)}`;
  if (typeof docker?.Host !== "string" || docker.Host === "") {
    throw new SeatrialError("invalid", `${source} has no docker endpoint`, { hint: `docker context inspect ${name}` });
  }
  const endpoint = parseAddress(docker.Host, name, source, cwd);
  if (endpoint.kind !== "tcp") return endpoint;
  const folder = join(configDir, "contexts", "tls", id, "docker");
  const skipVerify = docker.SkipTLSVerify === true;
  return withTls(endpoint, existsSync(folder) || skipVerify ? tlsFiles(folder, `${source} has TLS`, skipVerify, "optional") : undefined);
}

async function contextNames(configDir: string): Promise<string[]> {
  const folder = join(configDir, "contexts", "meta");
  const ids = await readdir(folder).catch(() => []);
  const metas = await Promise.all(ids.map((id) => readJson<ContextMeta>(join(folder, id, "meta.json")).catch(() => undefined)));
  return metas.flatMap((meta) => (meta?.Name ? [meta.Name] : [])).toSorted();
}

/** Undefined when there is no such file. */
async function readJson<T>(path: string): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT" || systemCodeOf(error) === "ENOTDIR") return undefined;
    throw new SeatrialError("invalid", `cannot read ${path}: ${systemCodeOf(error)}`, { cause: error });
  }
  try {
    return JSON.parse(text) as T;
  } catch {
    // The parser's message quotes the file, and config.json may hold registry passwords.
    throw new SeatrialError("invalid", `${path} is not valid JSON`, { hint: "mend the file, or set DOCKER_HOST" });
  }
}

/**
 * A small client of the Kubernetes API: what booting, checking and wiring a cluster needs.
 *
 * It speaks for one kubeconfig with client certificates or a token. An API that does not answer is always the error
 * `unreachable`, never an empty result: nothing may be concluded from silence.
 */
import { readFileSync } from "node:fs";
import { Agent } from "undici";
import { parse } from "yaml";
import { type ErrorCode, messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

/** An object of the API as far as this client knows it. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
    creationTimestamp?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  [field: string]: unknown;
}

class KubeError extends SeatrialError {
  readonly status: number;

  constructor(status: number, what: string, reason: string) {
    const codes: Record<number, ErrorCode> = { 404: "not-found", 409: "conflict", 422: "invalid" };
    super(codes[status] ?? "command-failed", `the API server refused ${what}: ${reason}`, { retryable: status >= 500 || status === 429 });
    this.name = "KubeError";
    this.status = status;
  }
}

export interface KubeConfig {
  server: string;
  ca?: string | undefined;
  cert?: string | undefined;
  key?: string | undefined;
  token?: string | undefined;
  /** Name that the server's certificate is checked for, when it is not the server's address. */
  serverName?: string | undefined;
  context: string;
}

interface KubeconfigFile {
  "current-context"?: string;
  contexts?: { name: string; context: { cluster: string; user: string } }[];
  clusters?: { name: string; cluster: Record<string, string> }[];
  users?: { name: string; user: Record<string, string> }[];
}

/** Reads the current (or the named) context of a kubeconfig's text. */
export function parseKubeconfig(text: string, where: string, contextName?: string): KubeConfig {
  const file = parse(text) as KubeconfigFile | null;
  const wanted = contextName ?? file?.["current-context"];
  const context = file?.contexts?.find(({ name }) => name === wanted);
  const cluster = file?.clusters?.find(({ name }) => name === context?.context.cluster)?.cluster;
  const user = file?.users?.find(({ name }) => name === context?.context.user)?.user;
  if (!context || !cluster?.["server"] || !user) {
    throw new SeatrialError(
      "invalid",
      `${where} is not a usable kubeconfig: ${wanted ? `context ${wanted} is not complete` : "it has no current context"}`,
    );
  }
  const read = (of: Record<string, string>, name: string) =>
    of[`${name}-data`]
      ? Buffer.from(of[`${name}-data`]!, "base64").toString("utf8")
      : of[name]
        ? readFileSync(of[name]!, "utf8")
        : undefined;
  return {
    server: cluster["server"],
    ca: read(cluster, "certificate-authority"),
    cert: read(user, "client-certificate"),
    key: read(user, "client-key"),
    token: user["token"],
    serverName: cluster["tls-server-name"],
    context: context.name,
  };
}

export class KubeClient implements AsyncDisposable {
  readonly config: KubeConfig;
  readonly #agent: Agent;

  constructor(config: KubeConfig) {
    this.config = config;
    this.#agent = new Agent({
      connect: {
        ...(config.ca === undefined ? {} : { ca: config.ca }),
        ...(config.cert === undefined ? {} : { cert: config.cert }),
        ...(config.key === undefined ? {} : { key: config.key }),
        ...(config.serverName === undefined ? {} : { servername: config.serverName }),
        timeout: limits.apiRequestMs,
      },
    });
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The body of a GET as text; for /readyz and logs. */
  async text(path: string, signal?: AbortSignal): Promise<string> {
    return await this.#call("GET", path, undefined, undefined, signal);
  }

  async get<T = KubeObject>(path: string, signal?: AbortSignal): Promise<T | undefined> {
    try {
      return JSON.parse(await this.#call("GET", path, undefined, undefined, signal)) as T;
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** Every item of a list, page by page. */
  async list<T = KubeObject>(path: string, signal?: AbortSignal): Promise<T[]> {
    const items: T[] = [];
    for (let token = ""; ;) {
      const query = `${path.includes("?") ? "&" : "?"}limit=500${token ? `&continue=${encodeURIComponent(token)}` : ""}`;
      const page = JSON.parse(await this.#call("GET", path + query, undefined, undefined, signal)) as {
        items: T[];
        metadata: { continue?: string };
      };
      items.push(...page.items);
      token = page.metadata.continue ?? "";
      if (!token) return items;
    }
  }

  /** Creates or updates by server-side apply, as field manager `seatrial`. */
  async apply(path: string, object: KubeObject, signal?: AbortSignal): Promise<KubeObject> {
    const query = "?fieldManager=seatrial&force=true";
    return JSON.parse(await this.#call("PATCH", path + query, object, "application/apply-patch+yaml", signal)) as KubeObject;
  }

  async create(path: string, object: KubeObject, signal?: AbortSignal): Promise<KubeObject> {
    return JSON.parse(await this.#call("POST", path, object, "application/json", signal)) as KubeObject;
  }

  async delete(path: string, signal?: AbortSignal): Promise<void> {
    try {
      await this.#call("DELETE", path, undefined, undefined, signal);
    } catch (error) {
      if (!(error instanceof KubeError && error.status === 404)) throw error;
    }
  }

  async #call(
    method: string,
    path: string,
    body: object | undefined,
    contentType: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const what = `${method} ${path.split("?")[0]}`;
    const timeout = AbortSignal.timeout(limits.apiRequestMs);
    let status: number;
    let text: string;
    try {
      const answer = await this.#agent.request({
        origin: this.config.server,
        path,
        method: method as "GET",
        headers: {
          accept: "application/json",
          ...(contentType ? { "content-type": contentType } : {}),
          ...(this.config.token ? { authorization: `Bearer ${this.config.token}` } : {}),
        },
        body: body === undefined ? null : JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      });
      status = answer.statusCode;
      text = await answer.body.text();
    } catch (error) {
      signal?.throwIfAborted();
      throw new SeatrialError("unreachable", `the API server at ${this.config.server} did not answer ${what}: ${messageOf(error)}`, {
        cause: error,
        retryable: true,
      });
    }
    if (status >= 400) throw new KubeError(status, what, reasonIn(text));
    return text;
  }
}

function reasonIn(text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? text;
  } catch {
    return text.trim().slice(0, 500);
  }
}

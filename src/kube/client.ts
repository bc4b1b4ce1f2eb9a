/**
 * A small client of the Kubernetes API: what booting, checking and wiring a cluster needs.
 *
 * It speaks for one kubeconfig with client certificates or a token. An API that does not answer is always the error
 * `unreachable`, never an empty result: nothing may be concluded from silence.
 */
import { readFileSync } from "node:fs";
import type { Agent } from "undici";
import { parse } from "yaml";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { undici } from "../base/undici.ts";
import { ApiError, reasonOf, reasonOfAnswer } from "./api-error.ts";

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
  users?: { name: string; user: Record<string, string> & { exec?: { command?: string } } }[];
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
  const program = user.exec?.command ?? user["auth-provider"];
  if (program !== undefined) {
    throw new SeatrialError(
      "invalid",
      `${where} is not a usable kubeconfig: user ${context.context.user} logs in by a program (${JSON.stringify(program)}), which Seatrial does not run yet`,
      { hint: "use a kubeconfig with a token or a client certificate: kubectl create token NAME makes a token" },
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

/** How a request is sent, beside its method and path. */
export interface RequestOptions {
  body?: object | undefined;
  /** Default: JSON. */
  contentType?: string | undefined;
  signal?: AbortSignal | undefined;
  /** Does not wait for its turn: whether this process leads, or is well, depends on it. */
  isUrgent?: boolean | undefined;
}

export class KubeClient implements AsyncDisposable {
  readonly config: KubeConfig;
  readonly #agent: Agent;
  /** Apart from the others, which would wait for a connection behind them. */
  readonly #streams: Agent;
  /** Who waits for one of {@link limits.apiConnections}, in their order. */
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(config: KubeConfig) {
    this.config = config;
    const connect = {
      ...(config.ca === undefined ? {} : { ca: config.ca }),
      ...(config.cert === undefined ? {} : { cert: config.cert }),
      ...(config.key === undefined ? {} : { key: config.key }),
      ...(config.serverName === undefined ? {} : { servername: config.serverName }),
      timeout: limits.apiRequestMs,
    };
    const { Agent } = undici();
    // One for what is urgent.
    this.#agent = new Agent({ connect, connections: limits.apiConnections + 1, maxResponseSize: limits.apiAnswerBytes });
    this.#streams = new Agent({ connect, headersTimeout: limits.apiRequestMs, bodyTimeout: limits.watchSilenceMs });
  }

  async close(): Promise<void> {
    await Promise.all([this.#agent.destroy(), this.#streams.destroy()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The body of a GET as text; for /readyz and logs. */
  async text(path: string, signal?: AbortSignal): Promise<string> {
    return await this.#call("GET", path, { signal, isUrgent: true });
  }

  async get<T = KubeObject>(path: string, signal?: AbortSignal): Promise<T | undefined> {
    try {
      return await this.send<T>("GET", path, { signal });
    } catch (error) {
      if (reasonOf(error) === "not-found") return undefined;
      throw error;
    }
  }

  /** Every item of a list, page by page; of a cluster that a job can write to, the first ones, in pages that fit into memory. */
  async list<T = KubeObject>(path: string, signal?: AbortSignal, most?: number): Promise<T[]> {
    const items: T[] = [];
    for (let token = ""; ;) {
      const query = `${path.includes("?") ? "&" : "?"}limit=${Math.min(most ?? limits.apiPageItems, limits.apiPageItems)}${token ? `&continue=${encodeURIComponent(token)}` : ""}`;
      const page = await this.send<{ items: T[]; metadata: { continue?: string } }>("GET", path + query, { signal });
      items.push(...page.items);
      token = page.metadata.continue ?? "";
      if (!token || (most !== undefined && items.length >= most)) return items.slice(0, most);
    }
  }

  /** Creates or updates by server-side apply, as field manager `seatrial`. */
  async apply(path: string, object: object, signal?: AbortSignal): Promise<KubeObject> {
    const query = "?fieldManager=seatrial&force=true";
    return await this.send("PATCH", path + query, { body: object, contentType: "application/apply-patch+yaml", signal });
  }

  async create(path: string, object: KubeObject, signal?: AbortSignal): Promise<KubeObject> {
    return await this.send("POST", path, { body: object, signal });
  }

  async delete(path: string, signal?: AbortSignal): Promise<void> {
    try {
      await this.#call("DELETE", path, { signal });
    } catch (error) {
      if (reasonOf(error) !== "not-found") throw error;
    }
  }

  /**
   * One request, and the object of its answer.
   * @throws ApiError; the signal's reason when it is aborted.
   */
  async send<T = KubeObject>(method: Method, path: string, options: RequestOptions = {}): Promise<T> {
    return JSON.parse(await this.#call(method, path, options)) as T;
  }

  /**
   * The bytes of an answer that goes on: a watch, a log. Silence of {@link limits.watchSilenceMs} ends it with an error; its
   * own end and a cut are the caller's to tell apart.
   */
  async stream(path: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
    const what = `GET ${path.split("?")[0]}`;
    const answer = await this.#request(this.#streams, "GET", path, what, { signal }, signal);
    if (answer.statusCode < 400) return answer.body;
    throw refusal(what, answer, await answer.body.text().catch(messageOf));
  }

  async #call(method: Method, path: string, options: RequestOptions): Promise<string> {
    const { signal } = options;
    const what = `${method} ${path.split("?")[0]}`;
    if (options.isUrgent) return await this.#ask(method, path, what, options);
    await this.#turn(what);
    try {
      signal?.throwIfAborted();
      return await this.#ask(method, path, what, options);
    } finally {
      this.#next();
    }
  }

  /**
   * A server that is slow gets no more to do at once than it can bear: what waits here has not been asked yet, and its time does
   * not run. Else all would be given up and asked again, and that would be slower still.
   */
  async #turn(what: string): Promise<void> {
    if (this.#running < limits.apiConnections) {
      this.#running++;
      return;
    }
    if (this.#waiting.length >= limits.apiWaiting)
      throw new ApiError("unreachable", `${what} was not asked: ${limits.apiWaiting} others wait for the API server`);
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Hands the place on to the next that waits. */
  #next(): void {
    const wake = this.#waiting.shift();
    if (wake) wake();
    else this.#running--;
  }

  async #ask(method: Method, path: string, what: string, options: RequestOptions): Promise<string> {
    const { signal } = options;
    const timeout = AbortSignal.timeout(limits.apiRequestMs);
    const answer = await this.#request(this.#agent, method, path, what, options, signal ? AbortSignal.any([signal, timeout]) : timeout);
    let text: string;
    try {
      text = await answer.body.text();
    } catch (error) {
      signal?.throwIfAborted();
      throw this.#silence(what, error);
    }
    if (answer.statusCode >= 400) throw refusal(what, answer, text);
    return text;
  }

  async #request(agent: Agent, method: Method, path: string, what: string, options: RequestOptions, signal: AbortSignal): Promise<Answer> {
    const { body, contentType = "application/json" } = options;
    try {
      return await agent.request({
        origin: this.config.server,
        path,
        method,
        headers: {
          accept: "application/json",
          ...(body === undefined ? {} : { "content-type": contentType }),
          ...(this.config.token ? { authorization: `Bearer ${this.config.token}` } : {}),
        },
        body: body === undefined ? null : JSON.stringify(body),
        signal,
      });
    } catch (error) {
      options.signal?.throwIfAborted();
      throw this.#silence(what, error);
    }
  }

  #silence(what: string, error: unknown): ApiError {
    return new ApiError("unreachable", `the API server at ${this.config.server} did not answer ${what}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
type Answer = Awaited<ReturnType<Agent["request"]>>;

/** The error that an answer is. */
function refusal(what: string, { statusCode, headers }: Answer, text: string): ApiError {
  const { message, reason } = statusIn(text);
  const seconds = Number(headers["retry-after"]);
  return new ApiError(reasonOfAnswer(statusCode, reason), `the API server refused ${what}: ${message}`, {
    retryable: statusCode >= 500 || statusCode === 429,
    retryAfterMs: seconds > 0 ? seconds * 1000 : undefined,
  });
}

/** The `Status` object that errors of the API come with; anything else is quoted. */
function statusIn(text: string): { message: string; reason?: string | undefined } {
  try {
    const { message, reason } = JSON.parse(text) as { message?: string; reason?: string };
    return { message: message ?? text, reason };
  } catch {
    return { message: text.trim().slice(0, 500) };
  }
}

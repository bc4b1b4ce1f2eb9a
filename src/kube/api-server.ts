/**
 * The store of resources on a Kubernetes API server, over its plain HTTP API. The contract is in store.ts.
 *
 * Unknown fields are refused (`fieldValidation=Strict`), as the schemas here refuse them.
 */
import { messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";
import { apiVersion } from "../resources/metadata.ts";
import type { Resource, ResourceKind, Stored } from "../resources/object.ts";
import { ApiError, reasonOf, reasonOfAnswer } from "./api-error.ts";
import { backoffMs } from "./backoff.ts";
import type { KubeClient } from "./client.ts";
import {
  defaultNamespace,
  type DeleteOptions,
  formatSelector,
  type ListOptions,
  type NewResource,
  type Page,
  type Patch,
  type Store,
  type WatchEvent,
  type WatchOptions,
} from "./store.ts";

export class ApiServerStore implements Store {
  readonly namespace: string;
  readonly #client: KubeClient;

  /** @param client is the caller's to close. */
  constructor(client: KubeClient, namespace: string = defaultNamespace) {
    this.#client = client;
    this.namespace = namespace;
  }

  async get<R extends Resource>(kind: ResourceKind<R>, name: string, signal?: AbortSignal): Promise<Stored<R> | undefined> {
    const found = await this.#client.get<Stored<R>>(this.#path(kind, name), signal);
    return found && withoutManagedFields(found);
  }

  async list<R extends Resource>(kind: ResourceKind<R>, options: ListOptions = {}): Promise<Page<R>> {
    const query = queryOf({
      labelSelector: options.selector && formatSelector(options.selector),
      limit: options.limit,
      continue: options.continue,
    });
    const page = await this.#client.send<{ items: Stored<R>[]; metadata: { resourceVersion: string; continue?: string } }>(
      "GET",
      this.#path(kind) + query,
      { signal: options.signal },
    );
    const items = page.items.map(withoutManagedFields);
    return { items, resourceVersion: page.metadata.resourceVersion, continue: page.metadata.continue || undefined };
  }

  async *watch<R extends Resource>(kind: ResourceKind<R>, options: WatchOptions): AsyncGenerator<WatchEvent<R>> {
    let { resourceVersion } = options;
    for (let failures = 0; !options.signal.aborted;) {
      try {
        for await (const event of this.#watchOnce(kind, { ...options, resourceVersion })) {
          failures = 0;
          resourceVersion = event.type === "bookmark" ? event.resourceVersion : event.resource.metadata.resourceVersion;
          yield event;
        }
      } catch (error) {
        if (options.signal.aborted) return;
        const isCut = error instanceof ApiError && error.retryable;
        if (!isCut) throw error;
      }
      // Also after an orderly end, which a server that goes down can give at once, again and again.
      await pause(backoffMs(++failures, limits.watchRetryFirstMs, limits.watchRetryMostMs), options.signal).catch(() => {});
    }
  }

  /** One connection's worth of events. */
  async *#watchOnce<R extends Resource>(kind: ResourceKind<R>, options: WatchOptions): AsyncGenerator<WatchEvent<R>> {
    const query = queryOf({
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: options.resourceVersion,
      labelSelector: options.selector && formatSelector(options.selector),
    });
    const stream = await this.#client.stream(this.#path(kind) + query, options.signal);
    for await (const line of linesOf(stream, `the watch of ${kind.plural}`)) yield eventIn<R>(line, kind.plural);
  }

  async create<R extends Resource>(kind: ResourceKind<R>, { metadata, spec }: NewResource<R>, signal?: AbortSignal): Promise<Stored<R>> {
    const { name, labels, annotations, finalizers } = metadata;
    const body = { apiVersion, kind: kind.kind, metadata: { name, labels, annotations, finalizers }, spec };
    return await this.#write<R>("POST", this.#path(kind), { body, signal });
  }

  async replace<R extends Resource>(kind: ResourceKind<R>, resource: Stored<R>, signal?: AbortSignal): Promise<Stored<R>> {
    const body = { apiVersion, kind: kind.kind, metadata: resource.metadata, spec: resource.spec };
    return await this.#write<R>("PUT", this.#path(kind, resource.metadata.name), { body, signal });
  }

  async patch<R extends Resource>(kind: ResourceKind<R>, name: string, patch: Patch, signal?: AbortSignal): Promise<Stored<R>> {
    return await this.#write<R>("PATCH", this.#path(kind, name), { body: patch, contentType: "application/merge-patch+json", signal });
  }

  async writeStatus<R extends Resource>(
    kind: ResourceKind<R>,
    read: Stored<R>,
    status: NonNullable<R["status"]>,
    signal?: AbortSignal,
  ): Promise<Stored<R>> {
    const { name, uid, resourceVersion } = read.metadata;
    // The server takes everything but the status from what it has.
    const body = { apiVersion, kind: kind.kind, metadata: { name, uid, resourceVersion }, status };
    return await this.#write<R>("PUT", `${this.#path(kind, name)}/status`, { body, signal });
  }

  async delete<R extends Resource>(kind: ResourceKind<R>, name: string, options: DeleteOptions = {}): Promise<void> {
    const { uid, resourceVersion, signal } = options;
    const body = { apiVersion: "v1", kind: "DeleteOptions", preconditions: { uid, resourceVersion } };
    try {
      await this.#client.send("DELETE", this.#path(kind, name), { body, signal });
    } catch (error) {
      if (reasonOf(error) !== "not-found") throw error;
    }
  }

  async #write<R extends Resource>(method: "POST" | "PUT" | "PATCH", path: string, options: object): Promise<Stored<R>> {
    return withoutManagedFields(
      await this.#client.send<Stored<R>>(method, `${path}?fieldManager=seatrial&fieldValidation=Strict`, options),
    );
  }

  #path(kind: Pick<ResourceKind, "plural">, name?: string): string {
    const all = `/apis/${apiVersion}/namespaces/${this.namespace}/${kind.plural}`;
    return name === undefined ? all : `${all}/${encodeURIComponent(name)}`;
  }
}

/** Parameters that are set, as a query. */
function queryOf(parameters: Record<string, string | number | boolean | undefined>): string {
  const set = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== "");
  return set.length === 0 ? "" : `?${set.map(([name, value]) => `${name}=${encodeURIComponent(value!)}`).join("&")}`;
}

/** Nobody here reads them, and they are often longer than all the rest. */
function withoutManagedFields<R extends Resource>(resource: Stored<R>): Stored<R> {
  delete (resource.metadata as { managedFields?: unknown }).managedFields;
  return resource;
}

/** One line of a watch; the server tells of an error in the same form. */
function eventIn<R extends Resource>(line: string, plural: string): WatchEvent<R> {
  const { type, object } = JSON.parse(line) as { type: string; object: Stored<R> };
  switch (type) {
    case "ADDED":
      return { type: "added", resource: withoutManagedFields(object) };
    case "MODIFIED":
      return { type: "modified", resource: withoutManagedFields(object) };
    case "DELETED":
      return { type: "deleted", resource: withoutManagedFields(object) };
    case "BOOKMARK":
      return { type: "bookmark", resourceVersion: object.metadata.resourceVersion };
    default: {
      const { code = 0, reason, message } = object as { code?: number; reason?: string; message?: string };
      throw new ApiError(reasonOfAnswer(code, reason), `the API server ended the watch of ${plural}: ${message ?? line.slice(0, 500)}`, {
        retryable: code >= 500 || code === 429,
      });
    }
  }
}

/**
 * The lines of a stream, without their ends.
 * @throws ApiError `unreachable` when the stream breaks; `failed` for a line over {@link limits.watchEventBytes}.
 */
async function* linesOf(stream: AsyncIterable<Buffer>, what: string): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  let bytes = 0;
  const keep = (part: Buffer) => {
    parts.push(part);
    bytes += part.length;
    if (bytes > limits.watchEventBytes) throw new ApiError("failed", `${what} sent an event of more than ${limits.watchEventBytes} bytes`);
  };
  const chunks = stream[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await chunks.next().catch((error: unknown) => {
        throw new ApiError("unreachable", `${what} was cut: ${messageOf(error)}`, { cause: error });
      });
      if (next.done) return;
      let chunk = next.value;
      for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a)) {
        keep(chunk.subarray(0, end));
        yield (parts.length === 1 ? parts[0]! : Buffer.concat(parts)).toString("utf8");
        [parts, bytes] = [[], 0];
        chunk = chunk.subarray(end + 1);
      }
      if (chunk.length > 0) keep(chunk);
    }
  } finally {
    await chunks.return?.(); // Whoever stops listening closes the connection.
  }
}

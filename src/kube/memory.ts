/**
 * The store of resources in memory, for a one-shot `run` and for tests: what the API server does, without it. The contract is
 * in store.ts; conformance.ts holds both to it. Nothing in it waits: a write is done when its call returns.
 *
 * What it keeps is frozen: a caller that changes what it was given is told so at once.
 */
import { isDeepStrictEqual } from "node:util";
import { formatProblem } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { admit } from "../resources/admission.ts";
import { apiVersion } from "../resources/metadata.ts";
import type { ObjectMeta, Resource, ResourceKind, Stored } from "../resources/object.ts";
import { ApiError } from "./api-error.ts";
import {
  defaultNamespace,
  type DeleteOptions,
  isSelected,
  type ListOptions,
  type NewResource,
  type Page,
  type Patch,
  type Selector,
  type Store,
  type WatchEvent,
  type WatchOptions,
} from "./store.ts";

export interface MemoryStoreOptions {
  namespace?: string;
  now(): Date;
  newUid(): string;
  /** Changes of one kind that a watch can begin before. Default: {@link limits.memoryHistoryEvents}. */
  historyEvents?: number;
}

interface Change {
  version: number;
  before: Stored<Resource> | undefined;
  /** Undefined: deleted. */
  after: Stored<Resource> | undefined;
}

/** The resources of one kind. */
interface Shelf {
  resources: Map<string, Stored<Resource>>;
  /** The last changes, oldest first. */
  history: Change[];
  /** Changes up to this version are forgotten. */
  forgotten: number;
  /** Resolved by the next change. */
  changed: PromiseWithResolvers<void>;
}

export class MemoryStore implements Store {
  readonly namespace: string;
  readonly #options: MemoryStoreOptions;
  readonly #shelves = new Map<string, Shelf>();
  #version = 0;

  constructor(options: MemoryStoreOptions) {
    this.namespace = options.namespace ?? defaultNamespace;
    this.#options = options;
  }

  async get<R extends Resource>(kind: ResourceKind<R>, name: string, signal?: AbortSignal): Promise<Stored<R> | undefined> {
    signal?.throwIfAborted();
    return await Promise.resolve(this.#shelf(kind).resources.get(name) as Stored<R> | undefined);
  }

  async list<R extends Resource>(kind: ResourceKind<R>, options: ListOptions = {}): Promise<Page<R>> {
    options.signal?.throwIfAborted();
    const shelf = this.#shelf(kind);
    const [version = String(this.#version), after = ""] = options.continue?.split("/") ?? [];
    if (Number(version) < shelf.forgotten) throw tooOld(kind, version);
    const found = [...shelf.resources.values()]
      .filter((resource) => resource.metadata.name > after && isSelected(resource, options.selector))
      .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
    const items = found.slice(0, options.limit) as Stored<R>[];
    const hasMore = items.length < found.length;
    return await Promise.resolve({
      items,
      resourceVersion: version,
      continue: hasMore ? `${version}/${items.at(-1)!.metadata.name}` : undefined,
    });
  }

  async *watch<R extends Resource>(kind: ResourceKind<R>, options: WatchOptions): AsyncGenerator<WatchEvent<R>> {
    const { selector, signal } = options;
    const shelf = this.#shelf(kind);
    const wakeAll = () => wake(shelf); // The others look, and wait on.
    signal.addEventListener("abort", wakeAll);
    try {
      for (let at = Number(options.resourceVersion); !signal.aborted;) {
        if (at < shelf.forgotten) throw tooOld(kind, String(at));
        const next = shelf.history[firstAfter(shelf.history, at)];
        if (!next) {
          await shelf.changed.promise;
          continue;
        }
        at = next.version;
        const event = eventOf(next, selector);
        if (event) yield event as WatchEvent<R>;
      }
    } finally {
      signal.removeEventListener("abort", wakeAll);
    }
  }

  async create<R extends Resource>(kind: ResourceKind<R>, { metadata, spec }: NewResource<R>, signal?: AbortSignal): Promise<Stored<R>> {
    signal?.throwIfAborted();
    const { name, labels, annotations, finalizers } = metadata;
    const resource = {
      apiVersion,
      kind: kind.kind,
      metadata: definedOnly({
        name,
        namespace: this.namespace,
        uid: this.#options.newUid(),
        generation: 1,
        creationTimestamp: this.#time(),
        labels,
        annotations,
        finalizers,
      }),
      spec,
    } as Stored<R>;
    return await Promise.resolve(this.#put(kind, resource, undefined));
  }

  async replace<R extends Resource>(kind: ResourceKind<R>, resource: Stored<R>, signal?: AbortSignal): Promise<Stored<R>> {
    signal?.throwIfAborted();
    const { uid, resourceVersion } = resource.metadata;
    const before = this.#current(kind, resource.metadata.name, { uid, resourceVersion }, "change");
    return await Promise.resolve(this.#change(kind, before, resource.metadata, resource.spec));
  }

  async patch<R extends Resource>(kind: ResourceKind<R>, name: string, patch: Patch, signal?: AbortSignal): Promise<Stored<R>> {
    signal?.throwIfAborted();
    const { resourceVersion, ...metadata } = patch.metadata ?? {};
    const before = this.#current(kind, name, { resourceVersion }, "change");
    return await Promise.resolve(
      this.#change(kind, before, merged(before.metadata, metadata) as ObjectMeta, merged(before.spec, patch.spec ?? {})),
    );
  }

  async writeStatus<R extends Resource>(
    kind: ResourceKind<R>,
    read: Stored<R>,
    status: NonNullable<R["status"]>,
    signal?: AbortSignal,
  ): Promise<Stored<R>> {
    signal?.throwIfAborted();
    const { name, uid, resourceVersion } = read.metadata;
    const before = this.#current(kind, name, { uid, resourceVersion }, "write the status of");
    return await Promise.resolve(this.#put(kind, { ...before, status }, before));
  }

  async delete<R extends Resource>(kind: ResourceKind<R>, name: string, options: DeleteOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    const { resources } = this.#shelf(kind);
    if (!resources.has(name)) return await Promise.resolve();
    const before = this.#current(kind, name, options, "delete");
    if (!before.metadata.finalizers?.length) this.#remove(kind, before);
    else if (!before.metadata.deletionTimestamp) {
      const generation = before.metadata.generation! + 1;
      const metadata = { ...before.metadata, generation, deletionTimestamp: this.#time() };
      this.#put(kind, { ...before, metadata }, before);
    }
  }

  /** The resource, when it is the one that the caller means. */
  #current<R extends Resource>(kind: ResourceKind<R>, name: string, expected: DeleteOptions, what: string): Stored<R> {
    const current = this.#shelf(kind).resources.get(name) as Stored<R> | undefined;
    if (!current) throw new ApiError("not-found", `cannot ${what} ${kind.kind} ${name}: there is none`);
    const { uid, resourceVersion } = current.metadata;
    if (expected.uid !== undefined && expected.uid !== uid) {
      throw new ApiError("conflict", `cannot ${what} ${kind.kind} ${name}: it is another one by now (uid ${uid}, not ${expected.uid})`);
    }
    if (expected.resourceVersion !== undefined && expected.resourceVersion !== resourceVersion) {
      throw new ApiError("conflict", `cannot ${what} ${kind.kind} ${name}: it was changed since it was read`);
    }
    return current;
  }

  /** Everything but the status. */
  #change<R extends Resource>(kind: ResourceKind<R>, before: Stored<R>, given: ObjectMeta, spec: R["spec"]): Stored<R> {
    const { labels, annotations, finalizers } = given;
    const isDeleted = before.metadata.deletionTimestamp !== undefined;
    const added = finalizers?.filter((each) => !before.metadata.finalizers?.includes(each)) ?? [];
    if (isDeleted && added.length > 0) {
      throw new ApiError(
        "invalid",
        `cannot change ${kind.kind} ${given.name}: it is being deleted, and takes no finalizer ${added.join(", ")}`,
      );
    }
    const metadata = definedOnly({
      ...before.metadata,
      labels: nonEmpty(labels),
      annotations: nonEmpty(annotations),
      finalizers: finalizers?.length ? finalizers : undefined,
    });
    return this.#put(kind, { ...before, metadata, spec }, before);
  }

  /** The one way in: checked, numbered, frozen, told. What changes nothing is no change. */
  #put<R extends Resource>(kind: ResourceKind<R>, resource: Stored<R>, before: Stored<R> | undefined): Stored<R> {
    const { name } = resource.metadata;
    const { resource: admitted, problems } = admit<Resource>(kind as ResourceKind, resource, before);
    if (!admitted) throw new ApiError("invalid", `${kind.kind} ${name} is not valid: ${problems.map(formatProblem).join("; ")}`);
    const shelf = this.#shelf(kind);
    if (!before && shelf.resources.has(name)) throw new ApiError("already-exists", `there is a ${kind.kind} ${name} already`);
    if (before && isDeepStrictEqual(admitted, before)) return before;
    if (before && !isDeepStrictEqual(admitted.spec, before.spec)) admitted.metadata.generation = before.metadata.generation! + 1;
    if (before?.metadata.deletionTimestamp && !admitted.metadata.finalizers) return this.#remove(kind, admitted as Stored<R>);
    admitted.metadata.resourceVersion = String(++this.#version);
    const after = frozen(admitted as Stored<R>);
    shelf.resources.set(name, after);
    this.#tell(shelf, { version: this.#version, before, after });
    return after;
  }

  #remove<R extends Resource>(kind: ResourceKind<R>, last: Stored<R>): Stored<R> {
    const shelf = this.#shelf(kind);
    const metadata = { ...last.metadata, resourceVersion: String(++this.#version) };
    const before = frozen({ ...last, metadata });
    shelf.resources.delete(metadata.name);
    this.#tell(shelf, { version: this.#version, before, after: undefined });
    return before;
  }

  #tell(shelf: Shelf, change: Change): void {
    shelf.history.push(change);
    // Twice the bound, then half of it goes: not one by one from the front of a long list.
    const kept = this.#options.historyEvents ?? limits.memoryHistoryEvents;
    if (shelf.history.length > 2 * kept) shelf.forgotten = shelf.history.splice(0, shelf.history.length - kept).at(-1)!.version;
    wake(shelf);
  }

  #shelf({ plural }: Pick<ResourceKind, "plural">): Shelf {
    let shelf = this.#shelves.get(plural);
    if (!shelf) {
      shelf = { resources: new Map(), history: [], forgotten: 0, changed: Promise.withResolvers() };
      this.#shelves.set(plural, shelf);
    }
    return shelf;
  }

  /** As the API writes it: whole seconds. */
  #time(): string {
    return `${this.#options.now().toISOString().slice(0, 19)}Z`;
  }
}

function wake(shelf: Shelf): void {
  shelf.changed.resolve();
  shelf.changed = Promise.withResolvers();
}

function tooOld({ plural }: Pick<ResourceKind, "plural">, version: string): ApiError {
  return new ApiError("expired", `resourceVersion ${version} of ${plural} is too old: what came after it is forgotten`);
}

/** What a watch with this selector is told of a change; undefined when it is not concerned. */
function eventOf({ version, before, after }: Change, selector: Selector | undefined): WatchEvent<Resource> | undefined {
  const wasSeen = before !== undefined && isSelected(before, selector);
  if (after && isSelected(after, selector)) return { type: wasSeen ? "modified" : "added", resource: after };
  if (!wasSeen) return undefined;
  return { type: "deleted", resource: { ...before, metadata: { ...before.metadata, resourceVersion: String(version) } } };
}

/** Index of the first change after a version; the history is sorted. */
function firstAfter(history: readonly Change[], version: number): number {
  let [low, high] = [0, history.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (history[middle]!.version <= version) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** RFC 7386. */
function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const into: Record<string, unknown> = typeof target === "object" && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete into[key];
    else into[key] = merged(into[key], value);
  }
  return into;
}

function nonEmpty(map: Record<string, string> | undefined): Record<string, string> | undefined {
  return map && Object.keys(map).length > 0 ? map : undefined;
}

function definedOnly<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
}

function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) frozen(inner);
  }
  return value;
}

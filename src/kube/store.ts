/**
 * The contract of a store of resources: what controllers, the API and commands read and write through.
 *
 * Two stores keep it: api-server.ts, and memory.ts for a one-shot `run`; conformance.ts holds both to what is written here. A
 * store speaks for one namespace. All calls may be made concurrently. What a store returns is shared: nobody changes it.
 *
 * Every refusal is an {@link ApiError} with its reason. A write whose error is `unreachable` or `failed` may have happened:
 * callers are level-based and look again. Nothing is tried again by the store but the connection of a watch.
 */
import type { Resource, ResourceKind, Stored } from "../resources/object.ts";

export interface Store {
  readonly namespace: string;

  /** The resource as it is now; undefined when there is none of that name. */
  get<R extends Resource>(kind: ResourceKind<R>, name: string, signal?: AbortSignal): Promise<Stored<R> | undefined>;

  /**
   * One page, by name. A resource that stays as it is while pages are read is on exactly one of them; all pages have the
   * resourceVersion of the first, and a watch from there misses nothing.
   * @throws ApiError `expired` when `continue` is too old: begin anew.
   */
  list<R extends Resource>(kind: ResourceKind<R>, options?: ListOptions): Promise<Page<R>>;

  /**
   * Everything that happens after the resourceVersion, in order, until the signal is aborted: then it just ends. A cut
   * connection is made anew where it was cut. An event is handed over when the consumer asks for it: a slow one slows nobody.
   * With a selector, a resource that no longer matches is `deleted`.
   * @throws ApiError `expired` when the resourceVersion is too old: list anew, and watch from there.
   */
  watch<R extends Resource>(kind: ResourceKind<R>, options: WatchOptions): AsyncIterable<WatchEvent<R>>;

  /** @throws ApiError `already-exists`, `invalid`. */
  create<R extends Resource>(kind: ResourceKind<R>, resource: NewResource<R>, signal?: AbortSignal): Promise<Stored<R>>;

  /**
   * Writes spec, labels, annotations and finalizers as given, and leaves the status. A resource that is being deleted goes
   * with its last finalizer.
   * @throws ApiError `conflict` unless uid and resourceVersion are still the given ones; `not-found`, `invalid`.
   */
  replace<R extends Resource>(kind: ResourceKind<R>, resource: Stored<R>, signal?: AbortSignal): Promise<Stored<R>>;

  /**
   * Merges (RFC 7386: null removes, a list replaces) into spec and metadata, whatever they are now; with a resourceVersion,
   * only if it is still that one.
   * @throws ApiError `not-found`, `conflict`, `invalid`.
   */
  patch<R extends Resource>(kind: ResourceKind<R>, name: string, patch: Patch, signal?: AbortSignal): Promise<Stored<R>>;

  /**
   * Replaces the status of the resource that was read, and nothing else of it.
   * @throws ApiError `conflict` unless uid and resourceVersion are still those; `not-found`, `invalid`.
   */
  writeStatus<R extends Resource>(
    kind: ResourceKind<R>,
    read: Stored<R>,
    status: NonNullable<R["status"]>,
    signal?: AbortSignal,
  ): Promise<Stored<R>>;

  /**
   * Deletes, or marks for deletion while there are finalizers. What is not there is deleted.
   * @throws ApiError `conflict` when there is a resource of that name with another uid or resourceVersion.
   */
  delete<R extends Resource>(kind: ResourceKind<R>, name: string, options?: DeleteOptions): Promise<void>;
}

/** Labels and the values that they must have. */
export type Selector = Readonly<Record<string, string>>;

export interface ListOptions {
  selector?: Selector | undefined;
  /** Items of one page at most. Default: all on one page, where they are known to be few. */
  limit?: number | undefined;
  /** As the page before gave it; with the same selector. */
  continue?: string | undefined;
  signal?: AbortSignal | undefined;
}

export interface Page<R extends Resource> {
  items: Stored<R>[];
  resourceVersion: string;
  /** For the next page; undefined on the last. */
  continue: string | undefined;
}

export interface WatchOptions {
  /** Of a list, an event or a bookmark. */
  resourceVersion: string;
  selector?: Selector | undefined;
  signal: AbortSignal;
}

export type WatchEvent<R extends Resource> =
  | { type: "added" | "modified" | "deleted"; resource: Stored<R> }
  /** All up to here was told: a watch may begin from here. */
  | { type: "bookmark"; resourceVersion: string };

export interface NewResource<R extends Resource> {
  metadata: Pick<R["metadata"], "name" | "labels" | "annotations" | "finalizers">;
  spec: R["spec"];
}

export interface Patch {
  metadata?: {
    resourceVersion?: string;
    labels?: Record<string, string | null> | null;
    annotations?: Record<string, string | null> | null;
    finalizers?: readonly string[] | null;
  };
  spec?: object;
}

export interface DeleteOptions {
  uid?: string | undefined;
  resourceVersion?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** Where all resources of an installation are, unless it is told otherwise. */
export const defaultNamespace = "seatrial";

/** A selector as the API has it: `a=b,c=d`. */
export function formatSelector(selector: Selector): string {
  return Object.entries(selector)
    .map(([label, value]) => `${label}=${value}`)
    .join(",");
}

export function isSelected(resource: Resource, selector: Selector | undefined): boolean {
  return Object.entries(selector ?? {}).every(([label, value]) => resource.metadata.labels?.[label] === value);
}

/** Which of two versions of one resource is the later one; versions are decimal numbers of any length. */
export function isLater(version: string, than: string): boolean {
  return version.length === than.length ? version > than : version.length > than.length;
}

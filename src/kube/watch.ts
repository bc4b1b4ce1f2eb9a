/**
 * A cache of all resources of one kind (or of a selection) that follows the store: list, watch, and list anew when what came
 * between is not to be had any more. Controllers read from it and are woken by it.
 *
 * ```
 * listing ──▶ watching ──▶ listing …      synced: the first list is in
 * ```
 * The cache may be behind the store, never inconsistent: a write that was decided on an old version meets a conflict. Whoever
 * wrote tells the cache by {@link Informer.learn}, and need not wait for the event.
 */
import { limits } from "../base/limits.ts";
import { pause as pauseFor } from "../base/wait.ts";
import type { Resource, ResourceKind, Stored } from "../resources/object.ts";
import { reasonOf } from "./api-error.ts";
import { backoffMs } from "./backoff.ts";
import { isLater, type Selector, type Store } from "./store.ts";

/** What became of one resource. Only `now` counts for a decision; `before` helps to find whom it concerns. */
export interface Change<R extends Resource> {
  /** Undefined: it is gone. */
  now: Stored<R> | undefined;
  /** As the cache had it; undefined: it is new here. */
  before: Stored<R> | undefined;
}

export interface InformerOptions<R extends Resource> {
  store: Store;
  kind: ResourceKind<R>;
  selector?: Selector | undefined;
  /** Labels by which {@link Informer.labelled} finds. */
  indexes?: readonly string[];
  /** Told of each failed attempt to follow the store; the informer goes on by itself. */
  onTrouble?: (error: unknown) => void;
  /** For tests. Default: real time. */
  pause?: (ms: number, signal: AbortSignal) => Promise<void>;
}

export class Informer<R extends Resource> {
  readonly kind: ResourceKind<R>;
  /** Resolved when the first list is in the cache and its handlers were told. */
  readonly synced: Promise<void>;
  readonly #options: InformerOptions<R>;
  readonly #resources = new Map<string, Stored<R>>();
  /** Names by label and value. */
  readonly #indexes: Map<string, Map<string, Set<string>>>;
  readonly #handlers: ((change: Change<R>) => void)[] = [];
  readonly #sync = Promise.withResolvers<void>();

  constructor(options: InformerOptions<R>) {
    this.kind = options.kind;
    this.#options = options;
    this.#indexes = new Map((options.indexes ?? []).map((label) => [label, new Map()]));
    this.synced = this.#sync.promise;
  }

  get(name: string): Stored<R> | undefined {
    return this.#resources.get(name);
  }

  all(): Iterable<Stored<R>> {
    return this.#resources.values();
  }

  get size(): number {
    return this.#resources.size;
  }

  /** Those whose label has the value; the label is one of `indexes`. */
  labelled(label: string, value: string): Stored<R>[] {
    return [...(this.#indexes.get(label)?.get(value) ?? [])].map((name) => this.#resources.get(name)!);
  }

  /**
   * Calls the handler with every change from now on, in order. It must not throw, nor wait: it notes which keys to look at.
   * Register before {@link run}.
   */
  onChange(handler: (change: Change<R>) => void): void {
    this.#handlers.push(handler);
  }

  /** Puts what a write returned into the cache, when it is newer than what is there. */
  learn(written: Stored<R>): void {
    // One that is not there was maybe deleted since: only an event makes it appear.
    if (this.#resources.get(written.metadata.name)?.metadata.uid === written.metadata.uid) this.#setLater(written);
  }

  /** Follows the store until the signal is aborted. Nothing else ends it. Called once. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, kind, selector, onTrouble, pause = pauseFor } = this.#options;
    for (let failures = 0; !signal.aborted;) {
      try {
        const resourceVersion = await this.#list(signal);
        this.#sync.resolve();
        for await (const event of store.watch(kind, { resourceVersion, selector, signal })) {
          failures = 0;
          if (event.type === "deleted") this.#remove(event.resource);
          else if (event.type !== "bookmark") this.#setLater(event.resource);
        }
      } catch (error) {
        if (signal.aborted) return;
        failures++;
        // Expired is the ordinary way to have missed something, and no trouble unless it happens again and again.
        if (reasonOf(error) !== "expired" || failures > 1) onTrouble?.(error);
        await pause(backoffMs(failures, limits.watchRetryFirstMs, limits.watchRetryMostMs), signal).catch(() => {});
      }
    }
  }

  /** Makes the cache what the store has; gives the version to watch from. */
  async #list(signal: AbortSignal): Promise<string> {
    const { store, kind, selector } = this.#options;
    const seen = new Set<string>();
    for (let token: string | undefined; ;) {
      const page = await store.list(kind, { selector, limit: limits.informerPageItems, continue: token, signal });
      for (const resource of page.items) {
        seen.add(resource.metadata.name);
        // Also an older version: a store that was restored from a backup is right, and what was learned meanwhile comes again.
        if (this.#resources.get(resource.metadata.name)?.metadata.resourceVersion !== resource.metadata.resourceVersion)
          this.#set(resource);
      }
      token = page.continue;
      if (token !== undefined) continue;
      for (const [name, resource] of this.#resources) if (!seen.has(name)) this.#remove(resource);
      return page.resourceVersion;
    }
  }

  #setLater(now: Stored<R>): void {
    const before = this.#resources.get(now.metadata.name)?.metadata;
    const isKnown = before?.uid === now.metadata.uid && !isLater(now.metadata.resourceVersion, before.resourceVersion);
    if (!isKnown) this.#set(now);
  }

  #set(now: Stored<R>): void {
    const { name } = now.metadata;
    const before = this.#resources.get(name);
    this.#resources.set(name, now);
    this.#tell(name, { now, before });
  }

  #remove(last: Stored<R>): void {
    const before = this.#resources.get(last.metadata.name);
    // Another of the same name may have come since.
    if (before?.metadata.uid !== last.metadata.uid) return;
    this.#resources.delete(last.metadata.name);
    this.#tell(last.metadata.name, { now: undefined, before });
  }

  #tell(name: string, change: Change<R>): void {
    for (const [label, names] of this.#indexes) {
      const [from, to] = [change.before?.metadata.labels?.[label], change.now?.metadata.labels?.[label]];
      if (from === to) continue;
      if (from !== undefined) {
        names.get(from)?.delete(name);
        if (names.get(from)?.size === 0) names.delete(from);
      }
      if (to !== undefined) names.set(to, (names.get(to) ?? new Set()).add(name));
    }
    for (const handler of this.#handlers) handler(change);
  }
}

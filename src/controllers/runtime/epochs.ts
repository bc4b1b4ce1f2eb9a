/**
 * A store for one leader: every status that it writes carries the leader's epoch, and nothing is written once leadership is
 * lost.
 *
 * What a leader that was stopped in the middle of a write can still do is harmless: its write names the version that it read,
 * so it succeeds only where the next leader has written nothing yet, as if it had come in time.
 */
import { SeatrialError } from "../../base/errors.ts";
import type { Resource, ResourceKind, Stored } from "../../resources/object.ts";
import type { Store } from "../../kube/store.ts";

/** What a leader knows of its own leadership. */
export interface Leadership {
  /** Higher than that of every leader before. */
  readonly epoch: number;
  /** Whether it may write, by the clock, now: true for as long as nobody else can have taken over. */
  isHeld(): boolean;
  /** Aborted when it is lost. */
  readonly lost: AbortSignal;
}

/** Of a process that has the store for itself. */
export function soleLeadership(): Leadership {
  return { epoch: 1, isHeld: () => true, lost: new AbortController().signal };
}

/**
 * The same store for the leader. Writes throw `aborted` when leadership is lost, and `refused` where a status carries a higher
 * epoch than the leader's. Reads are not touched.
 */
export function withEpoch(store: Store, leadership: Leadership): Store {
  const check = (what: string) => {
    if (leadership.isHeld()) return;
    throw new SeatrialError("aborted", `did not ${what}: this server is not the leader any more (epoch ${leadership.epoch})`);
  };
  return {
    namespace: store.namespace,
    get: async (kind, name, signal) => await store.get(kind, name, signal),
    list: async (kind, options) => await store.list(kind, options),
    watch: (kind, options) => store.watch(kind, options),
    create: async (kind, resource, signal) => {
      check(`create ${kind.kind} ${resource.metadata.name}`);
      return await store.create(kind, resource, signal);
    },
    replace: async (kind, resource, signal) => {
      check(`change ${kind.kind} ${resource.metadata.name}`);
      return await store.replace(kind, resource, signal);
    },
    patch: async (kind, name, patch, signal) => {
      check(`change ${kind.kind} ${name}`);
      return await store.patch(kind, name, patch, signal);
    },
    delete: async (kind, name, options) => {
      check(`delete ${kind.kind} ${name}`);
      await store.delete(kind, name, options);
    },
    writeStatus: async <R extends Resource>(
      kind: ResourceKind<R>,
      read: Stored<R>,
      status: NonNullable<R["status"]>,
      signal?: AbortSignal,
    ) => {
      const what = `write the status of ${kind.kind} ${read.metadata.name}`;
      check(what);
      const { epoch = 0 } = (read.status ?? {}) as { epoch?: number };
      if (epoch > leadership.epoch) {
        throw new SeatrialError("refused", `did not ${what}: a later leader wrote it (epoch ${epoch}, and ours is ${leadership.epoch})`);
      }
      return await store.writeStatus(kind, read, { ...status, epoch: leadership.epoch }, signal);
    },
  };
}

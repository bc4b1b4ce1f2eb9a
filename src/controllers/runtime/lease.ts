/**
 * Leader election by one Lease of `coordination.k8s.io/v1`: of several servers on one API, one runs the controllers.
 *
 * ```
 * following ──▶ leading ──▶ following …
 *    nobody renewed for `leaseMs`, or the holder let go      not renewed for `leaseHeldMs`, or somebody else holds it
 * ```
 * Clocks of machines are not compared: a follower counts from when it saw the Lease change, the leader from before it asked
 * for its last renewal, both by their own monotonic clock. A leader that was stopped sees that at its next look at the clock,
 * before it writes. The epoch is an annotation: it rises with each leader, and begins with the time of day, so that it also
 * rises when somebody deleted the Lease.
 */
import { limits } from "../../base/limits.ts";
import { SeatrialError } from "../../base/errors.ts";
import { reasonOf } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { type Clock, sleep } from "./clock.ts";
import type { Leadership } from "./epochs.ts";

/** A Lease, as far as it is used. */
export interface Lease {
  /** Empty: nobody holds it. */
  holder: string;
  epoch: number;
  /** As the API has it; names the version that an update replaces. */
  resourceVersion: string;
}

/** Where the Lease is kept. */
export interface LeaseStore {
  read(): Promise<Lease | undefined>;
  /**
   * Writes it if it is still the version that was read; undefined: if there is none.
   * @throws ApiError `conflict` or `already-exists` when somebody was faster.
   */
  write(lease: Omit<Lease, "resourceVersion">, read: Lease | undefined, now: Date): Promise<Lease>;
}

export interface LeaderElectionOptions {
  lease: LeaseStore;
  /** Unique for each start of a process: one that starts anew is another candidate. */
  identity: string;
  clock: Clock;
  /** Whether a holder is known to have ended: nobody waits for it then. Default: none is. */
  isDead?: (holder: string) => boolean;
  /** Told of each attempt that failed for another reason than that somebody else leads. */
  onTrouble?: (error: unknown) => void;
}

/**
 * Campaigns, and calls `lead` each time that this candidate is elected, until `stop` is aborted. `lead` ends when its leadership is
 * lost or `stop` is aborted; then the Lease is let go, and the next leader need not wait.
 */
export async function runAsLeader(
  options: LeaderElectionOptions,
  lead: (leadership: Leadership) => Promise<void>,
  stop: AbortSignal,
): Promise<void> {
  while (!stop.aborted) {
    const term = await campaign(options, stop);
    if (!term) return;
    const ended = new AbortController();
    const renewing = term.renew(ended.signal);
    try {
      await lead(term);
    } finally {
      ended.abort();
      await renewing;
      await term.release();
    }
  }
}

/** Waits until this candidate holds the Lease; undefined when it is told to stop before. */
async function campaign(options: LeaderElectionOptions, stop: AbortSignal): Promise<Term | undefined> {
  const { lease, identity, clock, isDead, onTrouble } = options;
  let seen: { lease: Lease | undefined; sinceMs: number } | undefined;
  while (!stop.aborted) {
    try {
      const read = await lease.read();
      const nowMs = clock.monotonicMs();
      if (!seen || seen.lease?.resourceVersion !== read?.resourceVersion) seen = { lease: read, sinceMs: nowMs };
      if (!read?.holder || isDead?.(read.holder) || nowMs - seen.sinceMs >= limits.leaseMs) {
        const now = clock.now();
        const epoch = read?.epoch ? read.epoch + 1 : Math.floor(now.getTime() / 1000);
        return new Term(options, await lease.write({ holder: identity, epoch }, read, now), nowMs);
      }
    } catch (error) {
      if (!isLostRace(error)) onTrouble?.(error);
    }
    await sleep(clock, limits.leaseRenewMs, stop);
  }
  return undefined;
}

/** The time for which one candidate leads. */
class Term implements Leadership {
  readonly epoch: number;
  readonly #options: LeaderElectionOptions;
  readonly #lost = new AbortController();
  #lease: Lease;
  /** Nobody takes over before that, by our clock. */
  #heldUntilMs: number;

  /** @param askedMs when the Lease was asked for, or earlier. */
  constructor(options: LeaderElectionOptions, lease: Lease, askedMs: number) {
    this.#options = options;
    this.#lease = lease;
    this.epoch = lease.epoch;
    this.#heldUntilMs = askedMs + limits.leaseHeldMs;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  isHeld(): boolean {
    if (!this.#lost.signal.aborted && this.#options.clock.monotonicMs() >= this.#heldUntilMs) this.#lose("it could not be renewed in time");
    return !this.#lost.signal.aborted;
  }

  /** Renews the Lease until it is lost or the term has ended. */
  async renew(ended: AbortSignal): Promise<void> {
    const { lease, identity, clock, onTrouble } = this.#options;
    const until = AbortSignal.any([ended, this.lost]);
    while (!until.aborted) {
      // Looks at the clock in time, however long an answer takes.
      using _deadline = clock.after(Math.max(0, this.#heldUntilMs - clock.monotonicMs()), () => void this.isHeld());
      await sleep(clock, limits.leaseRenewMs, until);
      if (until.aborted || !this.isHeld()) return;
      const askedMs = clock.monotonicMs();
      try {
        this.#lease = await lease.write({ holder: identity, epoch: this.epoch }, this.#lease, clock.now());
        // An answer that comes too late changes nothing: others may have seen that we are gone.
        if (this.isHeld()) this.#heldUntilMs = askedMs + limits.leaseHeldMs;
      } catch (error) {
        if (isLostRace(error)) await this.#look();
        else onTrouble?.(error);
      }
    }
  }

  /** After a conflict: a renewal whose answer was lost is ours, and all else is somebody else's. */
  async #look(): Promise<void> {
    const { lease, identity, onTrouble } = this.#options;
    try {
      const read = await lease.read();
      if (read?.holder !== identity || read.epoch !== this.epoch) return this.#lose("another server took over");
      this.#lease = read;
    } catch (error) {
      onTrouble?.(error);
    }
  }

  /** Lets go, so that another need not wait. Best effort: without it the Lease expires. */
  async release(): Promise<void> {
    const { lease, clock, onTrouble } = this.#options;
    if (!this.isHeld()) return;
    this.#lose("it was let go");
    await lease.write({ holder: "", epoch: this.epoch }, this.#lease, clock.now()).catch((error: unknown) => onTrouble?.(error));
  }

  #lose(why: string): void {
    this.#lost.abort(new SeatrialError("aborted", `this server is not the leader any more: ${why}`));
  }
}

function isLostRace(error: unknown): boolean {
  return ["conflict", "already-exists", "not-found"].includes(reasonOf(error) ?? "");
}

const epochAnnotation = "seatrial.dev/epoch";

/** The Lease of an API server. `kubectl get lease -n NAMESPACE` shows who leads. */
export function apiLease(client: KubeClient, namespace: string, name = "seatrial-leader"): LeaseStore {
  const all = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
  return {
    async read() {
      const found = await client.get<ApiLease>(`${all}/${name}`);
      return found && fromApi(found);
    },
    async write({ holder, epoch }, read, now) {
      const body: ApiLease = {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: {
          name,
          annotations: { [epochAnnotation]: String(epoch) },
          ...(read && { resourceVersion: read.resourceVersion }),
        },
        // The API wants microseconds.
        spec: { holderIdentity: holder, leaseDurationSeconds: limits.leaseMs / 1000, renewTime: now.toISOString().replace("Z", "000Z") },
      };
      return fromApi(
        await (read
          ? client.send<ApiLease>("PUT", `${all}/${name}`, { body, isUrgent: true })
          : client.send<ApiLease>("POST", all, { body, isUrgent: true })),
      );
    },
  };
}

interface ApiLease {
  apiVersion: string;
  kind: string;
  metadata: { name: string; resourceVersion?: string; annotations?: Record<string, string> };
  spec: { holderIdentity?: string; leaseDurationSeconds: number; renewTime: string };
}

function fromApi({ metadata, spec }: ApiLease): Lease {
  const epoch = Number(metadata.annotations?.[epochAnnotation] ?? 0);
  return { holder: spec.holderIdentity ?? "", epoch, resourceVersion: metadata.resourceVersion! };
}

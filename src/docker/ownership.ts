/**
 * Whose a container, network or image is: three labels on every object outside.
 *
 * `instance` is the installation that made it; `owner` the process or the job that holds it, or `declared`; `not-after` the
 * time from which its instance may delete it when its owner cannot be judged from here. Names prove nothing.
 */
import { formatIdentity, lifeOf, parseIdentity, type ProcessIdentity } from "../process/identity.ts";
import type { Labels } from "./objects.ts";

export const labels = {
  instance: "seatrial.dev/instance",
  owner: "seatrial.dev/owner",
  notAfter: "seatrial.dev/not-after",
  /** Name of the cluster that the object belongs to. */
  cluster: "seatrial.dev/cluster",
  /** Id of one creation: a cluster that was deleted and made anew has another one. */
  uid: "seatrial.dev/uid",
  /** Name of the registry that the container is. */
  registry: "seatrial.dev/registry",
  /** The resource as it was applied, as JSON. */
  resource: "seatrial.dev/resource",
} as const;

/** An attempt of a job: it outlives the server that started it, and only a server of the same installation can judge it. */
export interface JobOwner {
  attempt: string;
}

/** `declared` is what `apply` made: nobody's, and never reaped. `held` is a person's until its time is up. */
export type Owner = "declared" | "held" | ProcessIdentity | JobOwner;

export interface Ownership {
  instance: string;
  owner: Owner;
  /** Absent for what is declared. */
  notAfter?: Date | undefined;
}

export function ownershipLabels(ownership: Ownership): Labels {
  return {
    [labels.instance]: ownership.instance,
    [labels.owner]: formatOwner(ownership.owner),
    ...(ownership.notAfter ? { [labels.notAfter]: ownership.notAfter.toISOString() } : {}),
  };
}

/** `declared`, `held`, `job/ATTEMPT`, or a process as formatIdentity writes it. */
export function formatOwner(owner: Owner): string {
  if (typeof owner === "string") return owner;
  return "attempt" in owner ? `job/${owner.attempt}` : formatIdentity(owner);
}

/** For people: `declared`, `held`, `process 4711`, `job 1a2b3c-1`. */
export function describeOwner(owner: Owner): string {
  if (typeof owner === "string") return owner;
  return "attempt" in owner ? `job ${owner.attempt}` : `process ${owner.pid}`;
}

/** Undefined when it cannot be read: then it is not ours to touch. */
export function parseOwner(text: string): Owner | undefined {
  if (text === "declared" || text === "held") return text;
  const attempt = /^job\/([^/]+)$/.exec(text)?.[1];
  return attempt === undefined ? parseIdentity(text) : { attempt };
}

/** Undefined when the labels are not ours, or not whole: then it is not ours to touch. */
export function ownershipIn(found: Labels | null | undefined): Ownership | undefined {
  const instance = found?.[labels.instance];
  const text = found?.[labels.owner];
  const owner = text === undefined ? undefined : parseOwner(text);
  if (!instance || !owner) return undefined;
  const notAfter = found?.[labels.notAfter];
  return { instance, owner, ...(notAfter && !Number.isNaN(Date.parse(notAfter)) ? { notAfter: new Date(notAfter) } : {}) };
}

/** Why something of this instance may be reaped now, as a sentence; undefined when it may not. */
export function reasonToReap(ownership: Ownership, now: Date): string | undefined {
  if (ownership.owner === "declared") return undefined;
  const life = ownership.owner === "held" || "attempt" in ownership.owner ? "unknown" : lifeOf(ownership.owner);
  if (life === "alive") return undefined; // However long it takes: its own timeouts are its business.
  if (life === "dead") return `its owner, process ${(ownership.owner as ProcessIdentity).pid}, has ended`;
  if (ownership.notAfter && ownership.notAfter < now) return `its time was up at ${ownership.notAfter.toISOString()}`;
  return undefined;
}

/**
 * Whose a container, network or image is: three labels on every object outside.
 *
 * `instance` is the installation that made it; `owner` the process that holds it, or `declared`; `not-after` the time from
 * which its instance may delete it when its owner cannot be judged from here. Names prove nothing.
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

export interface Ownership {
  instance: string;
  /** What `apply` made: nobody's process, and never reaped. */
  owner: "declared" | ProcessIdentity;
  /** Absent for what is declared. */
  notAfter?: Date | undefined;
}

export function ownershipLabels(ownership: Ownership): Labels {
  return {
    [labels.instance]: ownership.instance,
    [labels.owner]: ownership.owner === "declared" ? "declared" : formatIdentity(ownership.owner),
    ...(ownership.notAfter ? { [labels.notAfter]: ownership.notAfter.toISOString() } : {}),
  };
}

/** Undefined when the labels are not ours, or not whole: then it is not ours to touch. */
export function ownershipIn(found: Labels | null | undefined): Ownership | undefined {
  const instance = found?.[labels.instance];
  const text = found?.[labels.owner];
  const owner = text === undefined || text === "declared" ? text : parseIdentity(text);
  if (!instance || !owner) return undefined;
  const notAfter = found?.[labels.notAfter];
  return { instance, owner, ...(notAfter && !Number.isNaN(Date.parse(notAfter)) ? { notAfter: new Date(notAfter) } : {}) };
}

/** Why something of this instance may be reaped now, as a sentence; undefined when it may not. */
export function reasonToReap(ownership: Ownership, now: Date): string | undefined {
  if (ownership.owner === "declared") return undefined;
  const life = lifeOf(ownership.owner);
  if (life === "alive") return undefined; // However long it takes: its own timeouts are its business.
  if (life === "dead") return `its owner, process ${ownership.owner.pid}, has ended`;
  if (ownership.notAfter && ownership.notAfter < now) return `its time was up at ${ownership.notAfter.toISOString()}`;
  return undefined;
}

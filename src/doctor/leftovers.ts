/** Judges what owners left that have ended. Pure. */
import type { Check } from "./check.ts";

export interface Leftover {
  /** Example: `cluster st-1a2b3c4d`, `network seatrial-st-1a2b3c4d-1a2b3c4d`. */
  what: string;
  reason: string;
  /** The installation that made it. */
  instance: string;
}

export interface Leftovers {
  left: Leftover[];
  /** Why a part of the world could not be looked at. */
  unseen: string[];
  /** The id of this installation; undefined before its first cluster. */
  instance: string | undefined;
}

/** As many names as a line can bear. */
const shown = 3;

export function judgeLeftovers({ left, unseen, instance: own }: Leftovers): Check {
  const check = { name: "leftovers" };
  const but = unseen.map((why) => `; not all could be looked at: ${why.split("\n")[0]}`).join("");
  if (left.length === 0) return { ...check, state: unseen.length > 0 ? "unknown" : "ok", found: `none${but}` };
  const byInstance = Map.groupBy(left, ({ instance }) => instance);
  const ours = own === undefined ? [] : (byInstance.get(own) ?? []);
  const others = [...byInstance].filter(([instance]) => instance !== own);
  const found = others.map(([instance, theirs]) => `of installation ${instance}: ${listed(theirs)}`);
  const fix = others.map(([instance]) => `seatrial reap --instance ${instance}`);
  if (ours.length > 0) {
    found.unshift(listed(ours));
    fix.unshift("seatrial reap");
  }
  return { ...check, state: "warning", found: found.join("; ") + but, fix: fix.join("\n") };
}

function listed(left: readonly Leftover[]): string {
  const names = left.slice(0, shown).map(({ what, reason }) => `${what} (${reason})`);
  return [...names, ...(left.length > shown ? [`${left.length - shown} more`] : [])].join(", ");
}

/** Judges what owners left that have ended. Pure. */
import type { Check, Seen } from "./check.ts";

export interface Leftover {
  /** Example: `cluster st-1a2b3c4d`, `network seatrial-st-1a2b3c4d-1a2b3c4d`. */
  what: string;
  reason: string;
  /** The installation that made it. */
  instance: string;
}

/** As many names as a line can bear. */
const shown = 3;

/** @param own the id of this installation; undefined before its first cluster. */
export function judgeLeftovers(seen: Seen<Leftover[]>, own: string | undefined): Check {
  const check = { name: "leftovers" };
  if ("trouble" in seen) return { ...check, state: "unknown", found: seen.trouble };
  const byInstance = Map.groupBy(seen.value, ({ instance }) => instance);
  if (byInstance.size === 0) return { ...check, state: "ok", found: "none" };
  const ours = own === undefined ? [] : (byInstance.get(own) ?? []);
  const others = [...byInstance].filter(([instance]) => instance !== own);
  const found = [
    ...(ours.length > 0 ? [listed(ours)] : []),
    ...others.map(([instance, left]) => `of installation ${instance}: ${listed(left)}`),
  ].join("; ");
  const fix = [...(ours.length > 0 ? ["seatrial reap"] : []), ...others.map(([instance]) => `seatrial reap --instance ${instance}`)].join("\n");
  return { ...check, state: "warning", found, fix };
}

function listed(left: readonly Leftover[]): string {
  const names = left.slice(0, shown).map(({ what, reason }) => `${what} (${reason})`);
  return [...names, ...(left.length > shown ? [`${left.length - shown} more`] : [])].join(", ");
}

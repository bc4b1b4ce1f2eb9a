/**
 * Pages of lists. A cursor is where the last page ended, in the order of the list, so that what is added meanwhile neither
 * repeats nor hides an item; it is opaque to everybody else.
 */
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

export interface PageRequest {
  /** Default {@link limits.pageItems}, most {@link limits.pageItemsMost}. */
  limit?: number | undefined;
  /** `next` of the page before. */
  cursor?: string | undefined;
}

export interface Page<T> {
  items: T[];
  /** Absent on the last page. */
  next?: string;
}

/** What a cursor holds: the values of the columns that the list is ordered by. */
export type Position = readonly (string | number)[];

export function limitOf({ limit = limits.pageItems }: PageRequest): number {
  return Math.max(1, Math.min(Math.trunc(limit) || 1, limits.pageItemsMost));
}

/**
 * Where the page begins; undefined for the first one.
 * @param like a position of the same list, for its types.
 * @throws SeatrialError `invalid` when the cursor is not one of this list.
 */
export function positionOf<P extends Position>({ cursor }: PageRequest, like: { [K in keyof P]: "string" | "number" }): P | undefined {
  if (cursor === undefined) return undefined;
  try {
    const position: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    if (Array.isArray(position) && position.length === like.length && like.every((type, index) => typeof position[index] === type)) {
      return position as unknown as P;
    }
  } catch {
    // Told below.
  }
  throw new SeatrialError("invalid", "the cursor is not one that this list has given", {
    hint: "begin with the first page, without a cursor",
  });
}

/** Makes a page of rows that were asked for with one more than the limit, which tells whether there is a next page. */
export function pageOf<R, T>(rows: readonly R[], request: PageRequest, item: (row: R) => T, position: (row: R) => Position): Page<T> {
  const limit = limitOf(request);
  const shown = rows.slice(0, limit);
  const items = shown.map(item);
  if (rows.length <= limit) return { items };
  return { items, next: Buffer.from(JSON.stringify(position(shown.at(-1)!))).toString("base64url") };
}

export function dateOf(ms: number | null): Date | undefined {
  return ms === null ? undefined : new Date(ms);
}

export function msOf(timestamp: string | undefined): number | null {
  return timestamp === undefined ? null : Date.parse(timestamp);
}

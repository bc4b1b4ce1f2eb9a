/** Text as a forge has room for it. */
import { limits } from "../base/limits.ts";

/** No more than so many characters, and no half of one. */
export function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1).replace(/[\uD800-\uDBFF]$/, "")}…`;
}

/** The description of a check: one line of {@link limits.checkDescriptionCharacters}. */
export function descriptionOf(text: string): string {
  return cut(text.replaceAll(/\s+/g, " ").trim(), limits.checkDescriptionCharacters);
}

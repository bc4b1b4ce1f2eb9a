/** What several commands' options need. */

/** For an option that may be given again: all its values, in order. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

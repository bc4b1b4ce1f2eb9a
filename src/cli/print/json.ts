/** JSON as Go's encoder writes it, which kubectl and ctlptl are compared with: sorted keys, `<`, `>`, `&` escaped. */
export function goJson(value: unknown, indent = 0): string {
  const text = JSON.stringify(sorted(value), undefined, indent) ?? "null";
  return text.replaceAll(/[<>&\u2028\u2029]/g, (char) => `\\u${char.codePointAt(0)!.toString(16).padStart(4, "0")}`);
}

/** A copy in which the keys of each object are in order. */
export function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => [key, sorted(item)]));
}

/**
 * KYAML, as `kubectl -o kyaml` writes it: YAML in flow style, which neither indentation nor the words that YAML takes
 * for something else can spoil. Strings are always quoted, keys where they must be, and every item ends in a comma.
 */

export function kyaml(value: unknown): string {
  return `---\n${rendered(value, 0)}\n`;
}

function rendered(value: unknown, depth: number): string {
  if (typeof value === "string") return quoted(value, depth);
  if (Array.isArray(value)) return list(value, depth);
  if (typeof value === "object" && value !== null) return map(value, depth);
  return String(value);
}

function map(object: object, depth: number): string {
  const entries = Object.entries(object).filter(([, item]) => item !== undefined);
  if (entries.length === 0) return "{}";
  const lines = entries.map(
    ([key, item]) => `${indent(depth + 1)}${isPlainKey(key) ? key : quoted(key, depth)}: ${rendered(item, depth + 1)},\n`,
  );
  return `{\n${lines.join("")}${indent(depth)}}`;
}

function list(items: unknown[], depth: number): string {
  if (items.length === 0) return "[]";
  // Brackets of containers are put together, `[{`, which saves a level of indentation.
  if (items.every((item) => typeof item === "object" && item !== null)) {
    return `[${items.map((item) => rendered(item, depth)).join(", ")}]`;
  }
  return `[\n${items.map((item) => `${indent(depth + 1)}${rendered(item, depth + 1)},\n`).join("")}${indent(depth)}]`;
}

/** A text of several lines is folded: one line for each of its own, each ending in `\n\`. */
function quoted(text: string, depth: number): string {
  if (!text.includes("\n")) return `"${escaped(text)}"`;
  const margin = indent(depth + 1);
  const folded = text
    .split(/(?<=\n)/)
    // YAML drops leading spaces and tabs of a continued line unless they are escaped; other blanks are anyway.
    .map((line) => `${margin}${/^[ \t]/.test(line) ? "\\" : " "}${escaped(line.replace("\n", ""))}${line.endsWith("\n") ? "\\n" : ""}\\\n`);
  return `"\\\n${folded.join("")}${margin}"`;
}

function escaped(text: string): string {
  return text.replaceAll(/["\\]/g, "\\$&").replaceAll(/[^\P{C}\t]|[^\P{Z} ]/gu, (char) => {
    const code = char.codePointAt(0)!;
    if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
    return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
  });
}

/** Whether every reader of YAML, old ones too, takes the key for a string. */
function isPlainKey(key: string): boolean {
  if (!/^[\p{L}\p{N}_]([\p{L}\p{N}_./-]*[\p{L}\p{N}_])?$/u.test(key)) return false;
  if (/^(null|true|false|t|f|y|n|yes|no|on|off|inf|infinity|nan)$/i.test(key)) return false;
  return !/^[\d_]/.test(key) || /^[\d_]*[^\d_.eExXoObB:-]/.test(key);
}

function indent(depth: number): string {
  return "  ".repeat(depth);
}

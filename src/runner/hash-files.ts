/** `hashFiles()` of expressions: one hash of all files of the workspace that match, as GitHub's runner makes it. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { findFiles, isBelow } from "./globs.ts";

/**
 * The SHA-256 of the SHA-256s of all files, in the order of their paths; "" when none matches. Files outside of the workspace do not
 * count.
 */
export function hashFiles(workspace: string, patterns: readonly string[]): string {
  const lines = patterns.flatMap((pattern) => pattern.split("\n")).filter((line) => !line.startsWith("--"));
  const files = findFiles(lines, { cwd: workspace }).paths.filter((path) => isBelow(path, workspace));
  if (files.length === 0) return "";
  const whole = createHash("sha256");
  for (const path of files) whole.update(createHash("sha256").update(readFileSync(path)).digest());
  return whole.digest("hex");
}

/** `hashFiles()` of expressions: one hash of all files of the workspace that match, as GitHub's runner makes it. */
import { createHash } from "node:crypto";
import { globSync, lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The SHA-256 of the SHA-256s of all files, in the order of their paths; "" when none matches. A pattern with `!` takes away. */
export function hashFiles(workspace: string, patterns: readonly string[]): string {
  const files = new Set<string>();
  for (const pattern of patterns) {
    const isTaken = pattern.startsWith("!");
    for (const path of globSync(isTaken ? pattern.slice(1) : pattern, { cwd: workspace })) {
      if (isTaken) files.delete(path);
      else if (lstatSync(join(workspace, path)).isFile()) files.add(path);
    }
  }
  if (files.size === 0) return "";
  const whole = createHash("sha256");
  for (const path of [...files].toSorted())
    whole.update(
      createHash("sha256")
        .update(readFileSync(join(workspace, path)))
        .digest(),
    );
  return whole.digest("hex");
}

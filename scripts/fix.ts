/** `make fix`: repairs what the tools can repair: generated pages, lint, and last the form. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const tool = (name: string) => join(root, "node_modules", ".bin", name);

const steps: [string, ...string[]][] = [
  ...(existsSync(join(root, "scripts", "reference.ts"))
    ? ([[process.execPath, "--disable-warning=ExperimentalWarning", "scripts/reference.ts"]] as [string, ...string[]][])
    : []),
  [tool("oxlint"), "--fix"],
  [tool("oxfmt"), "--write"],
];
for (const [command, ...args] of steps) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exitCode = 1; // What could not be repaired was told.
}

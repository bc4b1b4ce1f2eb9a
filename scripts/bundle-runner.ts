/** `node scripts/bundle-runner.ts FILE`: writes the runner's bundle, for the published package. */
import { writeFile } from "node:fs/promises";
import { bundleRunner } from "../src/runner/bundle.ts";

const [file] = process.argv.slice(2);
if (file === undefined) {
  console.error("usage: node scripts/bundle-runner.ts FILE");
  process.exitCode = 2;
} else await writeFile(file, await bundleRunner(), { mode: 0o755 });

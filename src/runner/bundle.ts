/**
 * The runner as one file: what executors start and copy into containers. Bundled by rolldown from this source and kept in the
 * cache by the hash of all that goes into it; a published package brings it ready-made.
 *
 * It is CommonJS, for a reason that was measured: `import "node:http"` reads every export of that module, WebSocket among
 * them, which costs 30 ms of CPU and 12 MB; `require` does not.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";

const source = join(import.meta.dirname, "..");
/** Folders of the source that the runner imports from; and what its packages are. */
const folders = ["base", "logs", "process", "resources", "runner", "workflows"];
const prebuilt = join(import.meta.dirname, "runner.cjs");

/**
 * Path of the bundle, made when it is not there yet.
 * @param cacheDir kept across runs; a folder of ours is made in it.
 * @throws SeatrialError `internal` when it cannot be bundled.
 */
export async function runnerBundle(cacheDir: string): Promise<string> {
  if (existsSync(prebuilt)) return prebuilt;
  const path = join(cacheDir, "runner", `${await hashOfSource()}.cjs`);
  if (existsSync(path)) return path;
  const code = await bundleRunner();
  makeFolder(join(cacheDir, "runner"));
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, code, { mode: 0o755 });
  await rename(temporary, path);
  return path;
}

/** Bundles the runner. @throws SeatrialError `internal` when it would not be one file that runs by itself. */
export async function bundleRunner(): Promise<string> {
  const { rolldown } = await import("rolldown"); // A native module of 40 MB: only where it is needed.
  await using build = await rolldown({
    input: join(import.meta.dirname, "main.ts"),
    platform: "node",
    external: /^node:/,
    logLevel: "warn",
  });
  const { output } = await build.generate({ format: "cjs", codeSplitting: false, comments: false });
  const [chunk, ...others] = output;
  if (others.length > 0)
    throw new SeatrialError("internal", `the runner's bundle has more than one file: ${others.map(({ fileName }) => fileName).join(", ")}`);
  return chunk.code;
}

async function hashOfSource(): Promise<string> {
  const hash = createHash("sha256");
  const files = await Promise.all(
    folders.map(async (folder) =>
      (await readdir(join(source, folder), { recursive: true }))
        .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
        .map((name) => join(source, folder, name)),
    ),
  );
  for (const file of [...files.flat().toSorted(), join(source, "..", "package-lock.json")])
    hash
      .update(file.slice(source.length))
      .update("\0")
      .update(await readFile(file))
      .update("\0");
  return hash.digest("hex").slice(0, 32);
}

/** The lab's own small Go programs (this folder is their module): built into the cache, by the content of their source. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { SeatrialError } from "../src/base/errors.ts";
import { findGo, goEnvironment } from "../src/programs/go-build.ts";
import { run } from "../src/process/run.ts";
import type { Lab } from "./lab.ts";

export interface OwnPrograms {
  /** The OCI runtime for machines that lack CAP_SYS_RESOURCE. */
  runtime: string;
  network: string;
  pause: string;
  test: string;
}

const sources = { runtime: "runtime", network: "node/network", pause: "node/pause", test: "test-image" } as const;

/** Builds them unless the same source was built before. */
export async function buildOwnPrograms(lab: Lab): Promise<OwnPrograms> {
  const folder = join(lab.dir, "programs", await hashOfFolders(["go.mod", ...Object.values(sources)]));
  const built = Object.fromEntries(Object.keys(sources).map((name) => [name, join(folder, name)])) as unknown as OwnPrograms;
  const isThere = await readdir(folder).then(
    (names) => names.length === Object.keys(sources).length,
    () => false,
  );
  if (isThere) return built;
  const go = await findGo(lab.environment);
  if (!go) throw new SeatrialError("missing-program", "the lab is built with the Go toolchain, which is not in PATH");
  await mkdir(join(lab.dir, "programs"), { recursive: true });
  const temporary = await mkdtemp(join(lab.dir, "programs", ".new-"));
  try {
    for (const [name, source] of Object.entries(sources)) {
      await run(go, ["build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", join(temporary, name), `./${source}`], {
        cwd: import.meta.dirname,
        env: goEnvironment(lab.environment),
      });
    }
    await rm(folder, { recursive: true, force: true });
    await rename(temporary, folder);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return built;
}

/** A hash over the names and contents of files and folders of the lab's source. */
export async function hashOfFolders(names: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  const add = async (path: string): Promise<void> => {
    const entries = await readdir(join(import.meta.dirname, path), { withFileTypes: true }).catch(() => undefined);
    if (!entries) {
      hash
        .update(`${path}\0`)
        .update(await readFile(join(import.meta.dirname, path)))
        .update("\0");
      return;
    }
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) await add(join(path, entry.name));
  };
  for (const name of names.toSorted()) await add(name);
  return hash.digest("hex").slice(0, 16);
}

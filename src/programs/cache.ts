/**
 * Where found and built programs are kept: `<cache>/programs/NAME/VERSION/OS-ARCH/NAME`. A file there is whole: it was made
 * elsewhere and renamed, under a lock, so that two processes at once make it once.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Environment } from "../base/environment.ts";
import { SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { lock, type Lock } from "../process/lock.ts";
import { buildGoPrograms, type GoBuildOptions } from "./go-build.ts";
import { isExecutable } from "./lookup.ts";
import { recipes, type BuildableName } from "./recipes.ts";
import { compareVersions } from "./versions.ts";

/** `linux-amd64`, `darwin-arm64`: the names that Go and the release sites use. */
export function platform(): { os: string; arch: string } {
  return { os: process.platform, arch: process.arch === "x64" ? "amd64" : process.arch };
}

export function cachedProgramPath(environment: Environment, name: string, version: string): string {
  const { os, arch } = platform();
  return join(environment.cacheDir, "programs", name, version, `${os}-${arch}`, name);
}

/** Versions of a program that the cache has for this platform, newest first. */
export async function cachedVersions(environment: Environment, name: string): Promise<string[]> {
  const versions = await readdir(join(environment.cacheDir, "programs", name)).catch(() => []);
  const present: string[] = [];
  for (const version of versions) if (await isExecutable(cachedProgramPath(environment, name, version))) present.push(version);
  return present.sort((a, b) => compareVersions(b, a));
}

/**
 * Takes the lock on a program's place in the cache, or on all building.
 * @throws SeatrialError `timeout` when another process has it for as long as the slowest build may take.
 */
export async function lockCache(
  environment: Environment,
  what: string,
  options: { signal?: AbortSignal | undefined; onProgress?: ((line: string) => void) | undefined },
): Promise<Lock> {
  const folder = join(environment.cacheDir, "programs", ".locks");
  makeFolder(folder);
  const deadline = performance.now() + limits.buildMs;
  for (;;) {
    try {
      return await lock(join(folder, `${what}.lock`), `another process that is at ${what}`, options.signal);
    } catch (error) {
      const isTimeout = error instanceof SeatrialError && error.code === "timeout";
      if (!isTimeout || performance.now() > deadline) throw error;
      options.onProgress?.(`still waiting for another process that is at ${what}`);
    }
  }
}

/**
 * Builds what the cache lacks of these programs, those of one module and version together.
 * One build at a time on this machine: two would compile the same packages twice, side by side.
 * @returns their paths, in the order asked.
 */
export async function buildIntoCache(
  wanted: readonly { name: BuildableName; version: string }[],
  options: GoBuildOptions,
): Promise<string[]> {
  const builds = wanted.map((each) => ({ ...each, path: cachedProgramPath(options.environment, each.name, each.version) }));
  const missing = async () => {
    const present = await Promise.all(builds.map(async (build) => await isExecutable(build.path)));
    return builds.filter((_, index) => !present[index]);
  };
  if ((await missing()).length > 0) {
    using _lock = await lockCache(options.environment, "build", options);
    const groups = Map.groupBy(await missing(), (build) => `${recipes[build.name].module}@${build.version}`);
    for (const group of groups.values()) await buildGoPrograms(group, options);
  }
  return builds.map((build) => build.path);
}

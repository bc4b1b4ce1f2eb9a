/**
 * Builds programs with the Go toolchain from the module proxy.
 *
 * Everything happens in a throwaway wrapper module, so that nothing of the user's is read or written but Go's own caches.
 * Programs of one module and version are built by one run of the tool, which then compiles and links side by side.
 */
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Environment } from "../base/environment.ts";
import { SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { seconds } from "../base/output.ts";
import { run } from "../process/run.ts";
import { lookInPath } from "./lookup.ts";
import { recipes, type BuildableName, type GoRecipe } from "./recipes.ts";

export interface GoBuildOptions {
  environment: Environment;
  onProgress?: ((line: string) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface GoBuild {
  name: BuildableName;
  version: string;
  /** Where the program comes to lie; its folder is made, and the file appears there at once and whole. */
  path: string;
}

/** The proxy answers in a second; one that does not is not waited for. */
const listVersionsMs = 30_000;

/** How often a running build says that it still runs. */
const progressEveryMs = 15_000;

/** The variables of the user's environment that say where modules come from and where Go keeps its own. */
const inherited =
  /^(PATH|HOME|TMPDIR|USER|LANG|GO(PROXY|PRIVATE|NOPROXY|SUMDB|NOSUMDB|NOSUMCHECK|INSECURE|VCS|AUTH|MODCACHE|CACHE|PATH|ROOT|TOOLCHAIN|TMPDIR|ENV|MAXPROCS|MEMLIMIT)|(HTTPS?|NO|ALL)_PROXY|(https?|no|all)_proxy|SSL_CERT_(FILE|DIR)|NETRC|XDG_(CACHE|CONFIG)_HOME|GIT_.*|SSH_.*)$/;

/** The whole environment of the go tool: the user's proxies and caches, none of the flags and targets set for other work. */
export function goEnvironment(environment: Environment): Record<string, string> {
  const kept = Object.entries(environment.variables).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && inherited.test(entry[0]),
  );
  return { HOME: environment.homeDir, ...Object.fromEntries(kept), GOFLAGS: "", CGO_ENABLED: "0", GO111MODULE: "on", GOWORK: "off" };
}

/** The go tool: PATH, else the folder where its own installer puts it. */
export async function findGo(environment: Environment): Promise<string | undefined> {
  return (await lookInPath("go", environment, ["/usr/local/go/bin"]))[0];
}

/** Versions of a module that the proxy (or the version control) lists, oldest first. */
export async function listModuleVersions(module: string, options: GoBuildOptions): Promise<string[]> {
  const go = await requireGo(options.environment);
  const { stdout } = await run(go, ["list", "-m", "-versions", "-e", module], {
    cwd: "/",
    env: goEnvironment(options.environment),
    signal: options.signal,
    timeoutMs: listVersionsMs,
  });
  return stdout.trim().split(/\s+/).slice(1);
}

/**
 * Builds programs of one module and one version.
 * @throws SeatrialError `missing-program` without a Go toolchain; what {@link run} throws when the build fails.
 */
export async function buildGoPrograms(builds: readonly GoBuild[], options: GoBuildOptions): Promise<void> {
  const first = builds[0];
  if (!first) return;
  const recipe: GoRecipe = recipes[first.name];
  const { version } = first;
  for (const other of builds) {
    if (recipes[other.name].module !== recipe.module || other.version !== version) {
      throw new SeatrialError("internal", `${other.name} ${other.version} is not built together with ${first.name} ${version}`);
    }
  }
  const go = await requireGo(options.environment);
  const parent = join(options.environment.cacheDir, "programs", ".build");
  makeFolder(parent);
  const folder = await mkdtemp(join(parent, `${first.name}-`));
  const env = goEnvironment(options.environment);
  const names = builds.map((build) => build.name).join(", ");
  const startedAt = performance.now();
  const tool = async (args: readonly string[]) =>
    await run(go, args, { cwd: folder, env, signal: options.signal, timeoutMs: limits.buildMs });
  options.onProgress?.(`building ${names} ${version} with the Go toolchain`);
  const progress = setInterval(() => {
    options.onProgress?.(`still building ${names} ${version}: ${seconds(performance.now() - startedAt)}`);
  }, progressEveryMs);
  try {
    // Requirements come below; the tool wants to stand in a module from the start.
    await writeFile(join(folder, "go.mod"), "module build\n");
    await writeFile(join(folder, "go.mod"), await wrapperModule(recipe, version, async (args) => (await tool(args)).stdout));
    const output = join(folder, "out");
    await mkdir(output);
    const ldflags = ["-s", "-w", ...(recipe.ldflags?.(version) ?? [])].join(" ");
    const packagesToBuild = builds.map((build) => recipes[build.name].package);
    const tags = recipe.tags?.length ? ["-tags", recipe.tags.join(",")] : [];
    await tool(["build", "-mod=mod", "-trimpath", "-buildvcs=false", ...tags, "-ldflags", ldflags, "-o", `${output}/`, ...packagesToBuild]);
    for (const build of builds) {
      makeFolder(dirname(build.path));
      await rename(join(output, outputNameOf(recipes[build.name].package)), build.path);
    }
    options.onProgress?.(`built ${names} ${version} in ${seconds(performance.now() - startedAt)}`);
  } finally {
    clearInterval(progress);
    await rm(folder, { recursive: true, force: true });
  }
}

/** The go tool names a program by the last element of its path that is no major version. */
function outputNameOf(packagePath: string): string {
  const elements = packagePath.split("/").filter((element) => !/^v\d+$/.test(element));
  return elements.at(-1)!;
}

async function wrapperModule(recipe: GoRecipe, version: string, go: (args: readonly string[]) => Promise<string>): Promise<string> {
  const downloaded = JSON.parse(await go(["mod", "download", "-json", `${recipe.module}@${version}`])) as { GoMod: string };
  const theirs = await readFile(downloaded.GoMod, "utf8");
  const lines = ["module build", goDirective(theirs), `require ${recipe.module} ${version}`];
  if (recipe.hasStagingModules) {
    const staging = version.replace(/^v\d+\./, "v0.");
    for (const module of stagingModules(theirs)) lines.push(`replace ${module} => ${module} ${staging}`);
  }
  return `${lines.join("\n")}\n`;
}

function goDirective(goMod: string): string {
  return /^go \S+$/m.exec(goMod)?.[0] ?? "go 1.21";
}

/** The modules that Kubernetes' go.mod replaces by its staging folders. */
export function stagingModules(goMod: string): string[] {
  return [...goMod.matchAll(/^\s*(?:replace\s+)?(\S+)\s+=>\s+\.\/staging\/\S+/gm)].map((found) => found[1]!);
}

async function requireGo(environment: Environment): Promise<string> {
  const go = await findGo(environment);
  if (!go) {
    throw new SeatrialError("missing-program", "there is no Go toolchain in PATH to build with", {
      hint: "install Go from https://go.dev/dl/ or your distribution",
    });
  }
  return go;
}

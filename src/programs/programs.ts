/**
 * Finding the programs that Seatrial runs: explicit path, PATH, cache, download, build. Each step says why it went on to
 * the next, so that "not found" is never all that a user is told.
 */
import { mkdtemp, rename, rm } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import type { Environment } from "../base/environment.ts";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { run } from "../process/run.ts";
import { buildIntoCache, cachedProgramPath, cachedVersions, lockCache } from "./cache.ts";
import { Downloads, type DownloadTimeouts, type Sites } from "./download.ts";
import { findGo, listModuleVersions } from "./go-build.ts";
import { isExecutable, lookInPath } from "./lookup.ts";
import { pinnedVersionOf } from "./recipes.ts";
import {
  compareVersions,
  defaultKubernetesVersion,
  formatVersion,
  kubernetesVersions,
  parseMinor,
  parseVersion,
  versionIn,
} from "./versions.ts";

export type ProgramName = "kind" | "kubectl" | "etcd" | "kube-apiserver" | "kube-controller-manager" | "kube-scheduler" | "kwok";

export const programNames: readonly ProgramName[] = [
  "kind",
  "kubectl",
  "etcd",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kwok",
];

export interface FoundProgram {
  name: ProgramName;
  path: string;
  /** As `v1.36.3`; undefined when the program does not tell. */
  version: string | undefined;
  source: "explicit" | "path" | "cache" | "download" | "build";
  /** What was tried before, and why it went on from there. */
  steps: string[];
}

export interface ProgramRequest {
  name: ProgramName;
  /**
   * `v1.36.3` exactly, or `v1.36` for the newest patch to be had (Kubernetes' own programs only). Absent: ours, or what
   * is in PATH when that is new enough.
   */
  version?: string | undefined;
}

export interface ProgramsOptions {
  environment: Environment;
  onProgress?: ((line: string) => void) | undefined;
  /** True to neither download nor build, for tests and machines that must not. */
  isOffline?: boolean;
  sites?: Partial<Sites>;
  timeouts?: Partial<DownloadTimeouts>;
}

/** How each program tells its version, and where the answer has it. */
const versionArguments: Record<ProgramName, readonly string[]> = {
  kind: ["version"],
  kubectl: ["version", "--client", "-o", "json"],
  etcd: ["--version"],
  "kube-apiserver": ["--version"],
  "kube-controller-manager": ["--version"],
  "kube-scheduler": ["--version"],
  kwok: ["--version"],
};

/** A program that does not say its version by then hangs. */
const askVersionMs = 10_000;

/** An exact version, or what else will do; `text` is for messages. */
interface Wanted {
  text: string;
  /** What is fetched or built when nothing is there. */
  exact: string;
  accepts(version: string): boolean;
}

/**
 * Created once by the composition root; `find` and `look` may be called concurrently, also for the same program and by
 * several processes: one of them makes it, the others wait.
 */
export class Programs {
  readonly #environment: Environment;
  readonly #onProgress: ((line: string) => void) | undefined;
  readonly #isOffline: boolean;
  readonly #downloads: Downloads;

  constructor(options: ProgramsOptions) {
    this.#environment = options.environment;
    this.#onProgress = options.onProgress;
    this.#isOffline = options.isOffline ?? false;
    this.#downloads = new Downloads(options);
  }

  /**
   * Gives the program, by download or build if it must.
   * @throws SeatrialError `missing-program` with every step and why it failed; the signal's reason when aborted.
   */
  async find(request: ProgramRequest, signal?: AbortSignal): Promise<FoundProgram> {
    const steps: string[] = [];
    const explicit = await this.#explicit(request, steps, signal);
    if (explicit) return explicit;
    const wanted = await this.#wanted(request, steps, signal);
    const present = await this.#present(request, wanted, steps, signal);
    if (present) return present;
    if (this.#isOffline) steps.push("download, build: not tried, we are offline");
    else {
      const made = (await this.#download(request, wanted, steps, signal)) ?? (await this.#build(request, wanted, steps, signal));
      if (made) return made;
    }
    throw new SeatrialError(
      "missing-program",
      `there is no ${request.name} ${wanted.text} to be had:\n${steps.map((step) => `  ${step}`).join("\n")}`,
      {
        hint: `install it and set ${variableOf(request.name)} to its path, or install Go (https://go.dev/dl/) so that it can be built`,
      },
    );
  }

  /** What is there already, without download or build: quick, for a look at the machine. */
  async look(request: ProgramRequest, signal?: AbortSignal): Promise<FoundProgram | undefined> {
    const steps: string[] = [];
    const explicit = await this.#explicit(request, steps, signal);
    if (explicit) return explicit;
    return await this.#present(request, await this.#wantedHere(request), steps, signal);
  }

  /** Ends connections that are kept open. */
  async close(): Promise<void> {
    await this.#downloads.close();
  }

  /**
   * The newest patch of a minor that can be had, or an exact version as it is: first what the cache has, then what the
   * index or the module proxy offers, last what we know of.
   */
  async resolveKubernetes(version: string | undefined, signal?: AbortSignal): Promise<string> {
    return await this.#resolve({ name: "kube-apiserver", version }, [], signal);
  }

  /** A path that the user gave is taken or is an error: it is never passed over in silence. */
  async #explicit(request: ProgramRequest, steps: string[], signal?: AbortSignal): Promise<FoundProgram | undefined> {
    const { variables, cwd } = this.#environment;
    const { name } = request;
    for (const variable of [variableOf(name), envtestVariableOf(name)]) {
      const given = variable ? variables[variable] : undefined;
      if (!given) continue;
      const path = isAbsolute(given) ? given : join(cwd, given);
      if (!(await isExecutable(path))) {
        throw new SeatrialError("missing-program", `${variable} names ${path}, which is no file that can be run`, {
          hint: `set ${variable} to the path of ${name}, or unset it`,
        });
      }
      const version = await this.#versionOf(name, path, signal);
      const wanted = request.version === undefined ? undefined : await this.#wantedHere(request);
      if (wanted && version && !wanted.accepts(version)) {
        throw new SeatrialError("conflict", `${variable} names ${path}, which is ${version}; ${wanted.text} is asked for`, {
          hint: `unset ${variable}, or ask for ${version}`,
        });
      }
      return { name, path, version, source: "explicit", steps };
    }
    const assets = variables["KUBEBUILDER_ASSETS"];
    if (assets && envtestVariableOf(name)) {
      const path = join(isAbsolute(assets) ? assets : join(cwd, assets), name);
      if (await isExecutable(path)) {
        const version = await this.#versionOf(name, path, signal);
        const wanted = await this.#wantedHere(request);
        if (request.version === undefined || !version || wanted.accepts(version)) return { name, path, version, source: "explicit", steps };
        steps.push(`explicit: ${path} of KUBEBUILDER_ASSETS is ${version}, not ${wanted.text}`);
      } else {
        steps.push(`explicit: KUBEBUILDER_ASSETS (${assets}) has no ${name}`);
      }
    }
    return undefined;
  }

  async #present(request: ProgramRequest, wanted: Wanted, steps: string[], signal?: AbortSignal): Promise<FoundProgram | undefined> {
    const { name } = request;
    const inPath = await lookInPath(name, this.#environment);
    if (inPath.length === 0) steps.push(`PATH: has no ${name}`);
    for (const path of inPath) {
      const version = await this.#versionOf(name, path, signal);
      if (version !== undefined && wanted.accepts(version)) return { name, path, version, source: "path", steps };
      steps.push(`PATH: ${path} ${version === undefined ? "does not tell its version" : `is ${version}`}, not ${wanted.text}`);
    }
    const versionsHere = await cachedVersions(this.#environment, name);
    const cached = versionsHere.find((version) => version === wanted.exact) ?? versionsHere.find((version) => wanted.accepts(version));
    if (cached) return { name, path: cachedProgramPath(this.#environment, name, cached), version: cached, source: "cache", steps };
    steps.push(`cache: has no ${name} ${wanted.exact}`);
    return undefined;
  }

  async #download(request: ProgramRequest, wanted: Wanted, steps: string[], signal?: AbortSignal): Promise<FoundProgram | undefined> {
    const { name } = request;
    const version = wanted.exact;
    const path = cachedProgramPath(this.#environment, name, version);
    using _lock = await lockCache(this.#environment, `${name}-${version}`, { signal, onProgress: this.#onProgress });
    // Whoever had the lock before us may have made it.
    if (await isExecutable(path)) return { name, path, version, source: "cache", steps };
    makeFolder(dirname(path));
    const folder = await mkdtemp(join(dirname(path), ".download-"));
    try {
      const temporary = join(folder, name);
      const from = await this.#downloads.download(name, version, temporary, signal);
      // An archive may hold another patch of a program than its name says, as envtest's do of etcd.
      const told = await this.#versionOf(name, temporary, signal);
      if (told === undefined || !wanted.accepts(told)) {
        steps.push(`download: ${from} ${told === undefined ? "does not run here" : `is ${told}`}, not ${wanted.text}`);
        return undefined;
      }
      const kept = cachedProgramPath(this.#environment, name, told);
      makeFolder(dirname(kept));
      await rename(temporary, kept);
      this.#onProgress?.(`downloaded ${name} ${told} from ${new URL(from).host}`);
      return { name, path: kept, version: told, source: "download", steps };
    } catch (error) {
      signal?.throwIfAborted();
      steps.push(`download: ${messageOf(error)}`);
      return undefined;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async #build(request: ProgramRequest, wanted: Wanted, steps: string[], signal?: AbortSignal): Promise<FoundProgram | undefined> {
    const { name } = request;
    if (!(await findGo(this.#environment))) {
      steps.push("build: there is no Go toolchain in PATH");
      return undefined;
    }
    try {
      const version = wanted.exact;
      const options = { environment: this.#environment, onProgress: this.#onProgress, signal };
      const [path] = await buildIntoCache([{ name, version }], options);
      return { name, path: path!, version, source: "build", steps };
    } catch (error) {
      signal?.throwIfAborted();
      steps.push(`build: ${messageOf(error)}`);
      return undefined;
    }
  }

  async #wanted(request: ProgramRequest, steps: string[], signal?: AbortSignal): Promise<Wanted> {
    const pinned = pinnedVersionOf(request.name);
    return wantedOf(request, pinned ?? (await this.#resolve(request, steps, signal)));
  }

  /** As {@link #wanted}, without asking anybody else. */
  async #wantedHere(request: ProgramRequest): Promise<Wanted> {
    return wantedOf(request, pinnedVersionOf(request.name) ?? (await this.#resolveHere(request)) ?? pinnedPatch(request.version));
  }

  async #resolveHere(request: ProgramRequest): Promise<string | undefined> {
    if (request.version === undefined) return defaultKubernetesVersion;
    const minor = parseMinor(request.version);
    if (!minor) return request.version;
    // The API server's patch decides for the programs that go with it.
    for (const name of ["kube-apiserver", request.name]) {
      const found = (await cachedVersions(this.#environment, name)).find((version) => isOfMinor(version, minor));
      if (found) return found;
    }
    return undefined;
  }

  async #resolve(request: ProgramRequest, steps: string[], signal?: AbortSignal): Promise<string> {
    const here = await this.#resolveHere(request);
    if (here) return here;
    const minor = parseMinor(request.version!)!;
    const newestIn = (versions: readonly string[]) =>
      versions
        .filter((version) => isOfMinor(version, minor))
        .sort(compareVersions)
        .at(-1);
    if (!this.#isOffline) {
      for (const [what, list] of [
        ["the control plane index", async () => await this.#downloads.kubernetesVersions(signal)],
        ["the Go module proxy", async () => await listModuleVersions("k8s.io/kubernetes", { environment: this.#environment, signal })],
      ] as const) {
        try {
          const found = newestIn(await list());
          if (found) return found;
          steps.push(`version: ${what} has no patch of ${request.version}`);
        } catch (error) {
          signal?.throwIfAborted();
          steps.push(`version: ${what} is not to be had: ${messageOf(error)}`);
        }
      }
    }
    return pinnedPatch(request.version);
  }

  async #versionOf(name: ProgramName, path: string, signal?: AbortSignal): Promise<string | undefined> {
    const { variables, homeDir } = this.#environment;
    try {
      const asked = await run(path, versionArguments[name], {
        env: { PATH: variables["PATH"], HOME: homeDir },
        signal,
        timeoutMs: askVersionMs,
      });
      return versionIn(asked.stdout);
    } catch {
      signal?.throwIfAborted();
      return undefined; // A program that cannot even say its version is not one to use.
    }
  }
}

/** `SEATRIAL_KUBE_APISERVER`: the path that the user wants used. */
export function variableOf(name: ProgramName): string {
  return `SEATRIAL_${name.toUpperCase().replaceAll("-", "_")}`;
}

/** envtest's variables, for the three programs that it has. */
function envtestVariableOf(name: ProgramName): string | undefined {
  return name === "etcd" || name === "kubectl" || name === "kube-apiserver"
    ? `TEST_ASSET_${name.toUpperCase().replaceAll("-", "_")}`
    : undefined;
}

function wantedOf(request: ProgramRequest, exact: string): Wanted {
  const { name, version } = request;
  if (version !== undefined && parseMinor(version) && !isKubernetes(name)) {
    throw new SeatrialError("invalid", `${name} ${version}: only Kubernetes' own programs can be asked for by minor version`);
  }
  if (version !== undefined && !parseMinor(version)) {
    const parsed = parseVersion(version);
    if (!parsed || !/^v?\d+\.\d+\.\d+/.test(version)) {
      throw new SeatrialError("invalid", `${name} ${version}: not a version; v1.36.3 is one, v1.36 its newest patch`);
    }
    const normal = parsed.hasSuffix ? (version.startsWith("v") ? version : `v${version}`) : formatVersion(parsed);
    return { text: normal, exact: normal, accepts: (found) => found === normal };
  }
  // The newest patch of a minor: what is resolved, so that all programs of one control plane are of one version.
  if (version !== undefined) return { text: exact, exact, accepts: (found) => found === exact };
  const ours = parseVersion(exact)!;
  switch (name) {
    // A client works with servers one minor away from its own.
    case "kubectl":
      return {
        text: `v${ours.major}.${ours.minor - 1} or newer`,
        exact,
        accepts: (found) => compareVersions(found, `v${ours.major}.${ours.minor - 1}.0`) >= 0,
      };
    // These are run with files and flags of a version that we know.
    case "kind":
      return { text: `${exact} or newer`, exact, accepts: (found) => compareVersions(found, exact) >= 0 };
    case "etcd":
    case "kwok":
      return {
        text: `v${ours.major}.${ours.minor}`,
        exact,
        accepts: (found) => isOfMinor(found, ours),
      };
    default:
      return { text: exact, exact, accepts: (found) => isOfMinor(found, ours) };
  }
}

function isKubernetes(name: ProgramName): boolean {
  return name === "kubectl" || name.startsWith("kube-");
}

function isOfMinor(version: string, minor: { major: number; minor: number }): boolean {
  const parsed = parseVersion(version);
  return parsed !== undefined && !parsed.hasSuffix && parsed.major === minor.major && parsed.minor === minor.minor;
}

/** The patch that we know of a minor; its first one when we know none. */
function pinnedPatch(version: string | undefined): string {
  const minor = version === undefined ? undefined : parseMinor(version);
  if (!minor) return version ?? defaultKubernetesVersion;
  return kubernetesVersions.find((known) => isOfMinor(known, minor)) ?? `v${minor.major}.${minor.minor}.0`;
}

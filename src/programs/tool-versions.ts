/**
 * Versions of the programs that steps of jobs find on this machine, for lock documents. A program is asked once: its answer is
 * remembered in the cache folder by path, size and time of the file, as a `kubectl version` costs more than a small step.
 */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Environment } from "../base/environment.ts";
import { limits } from "../base/limits.ts";
import { run } from "../process/run.ts";
import { writeFileWhole } from "../process/whole-file.ts";
import { lookInPath } from "./lookup.ts";

/** Programs that tests of software for Kubernetes call, with what makes them tell their version. */
const tools: Readonly<Record<string, readonly string[]>> = {
  bash: ["--version"],
  docker: ["--version"],
  git: ["--version"],
  go: ["version"],
  helm: ["version", "--short"],
  kind: ["version"],
  kubectl: ["version", "--client"],
  make: ["--version"],
  node: ["--version"],
  python3: ["--version"],
};

/** Of a program that was asked and did not tell. */
export const unknownVersion = "unknown";

/** May be asked by many at once; one for a process. */
export class ToolVersions {
  readonly #environment: Environment;
  readonly #file: string;
  #known: Promise<Map<string, string>> | undefined;
  readonly #asked = new Map<string, Promise<string>>();
  #looking: Promise<Record<string, string>> | undefined;

  constructor(environment: Environment) {
    this.#environment = environment;
    this.#file = join(environment.cacheDir, "tool-versions.json");
  }

  /** Versions of the tools in PATH, by name; those that are not there are left out. Jobs that begin together are one look at PATH. */
  async inPath(): Promise<Record<string, string>> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
    return await this.#looking;
  }

  async #look(): Promise<Record<string, string>> {
    const found = await Promise.all(
      Object.entries(tools).map(async ([name, args]) => {
        const [path] = await lookInPath(name, this.#environment);
        return path === undefined ? [] : [[name, await this.of(path, args)] as const];
      }),
    );
    return Object.fromEntries(found.flat());
  }

  /** The version of a program, by its path. Never rejects: one that does not tell has {@link unknownVersion}. */
  async of(path: string, args: readonly string[] = ["--version"]): Promise<string> {
    const file = await stat(path).catch(() => undefined);
    if (!file) return unknownVersion;
    const key = [path, file.size, file.mtimeMs, ...args].join(" ");
    const known = (await (this.#known ??= this.#read())).get(key);
    if (known !== undefined) return known;
    let asked = this.#asked.get(key);
    if (!asked) {
      asked = this.#ask(key, path, args).finally(() => this.#asked.delete(key));
      this.#asked.set(key, asked);
    }
    return await asked;
  }

  async #ask(key: string, path: string, args: readonly string[]): Promise<string> {
    const { variables, homeDir } = this.#environment;
    // No cluster, no daemon: a version is asked of the program alone.
    const env = { PATH: variables["PATH"], HOME: homeDir, LC_ALL: "C", DOCKER_HOST: "unix:///nowhere", KUBECONFIG: "/nowhere" };
    const answer = await run(path, args, { cwd: "/", env, timeoutMs: limits.toolVersionMs }).catch(() => undefined);
    const version = answer && /(?<![\d.])\d+\.\d+(?:\.\d+)*(?:[-+][\w.+-]+)?/.exec(answer.stdout)?.[0];
    const all = await this.#known!;
    // One that hangs holds up the first job alone, and may have been busy: the next process asks it again.
    all.set(key, version ?? unknownVersion);
    while (all.size > limits.toolVersions) all.delete(all.keys().next().value!);
    await this.#write(all);
    return version ?? unknownVersion;
  }

  async #read(): Promise<Map<string, string>> {
    try {
      return new Map(Object.entries(JSON.parse(await readFile(this.#file, "utf8")) as Record<string, string>));
    } catch {
      return new Map(); // None yet, or damaged: made anew.
    }
  }

  /** What two processes learn at once is kept of one of them, and asked again; so is all where the cache cannot be written. */
  async #write(all: ReadonlyMap<string, string>): Promise<void> {
    const told = Object.fromEntries([...all].filter(([, version]) => version !== unknownVersion));
    await writeFileWhole(this.#file, JSON.stringify(told)).catch(() => {});
  }
}

/**
 * The main job in its smallest form: one command in a cluster that exists for it alone.
 *
 * Order of events: what earlier owners left is reaped; registry and cluster boot side by side; images are put in; the
 * command runs; on failure the evidence is kept; everything is deleted. A signal ends the phase that it meets, and the
 * deletion still happens. After a kill -9 the next command deletes.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, rmdir } from "node:fs/promises";
import { constants } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import type { Environment } from "../base/environment.ts";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import { limits } from "../base/limits.ts";
import { seconds } from "../base/output.ts";
import { newUid } from "../clusters/boot.ts";
import { ThrowawayCluster } from "../controllers/cluster/throwaway.ts";
import { reap } from "../controllers/reap/reap.ts";
import { currentProcess } from "../process/identity.ts";
import { endMarked, runMark } from "../process/marked.ts";
import type { Cluster } from "../resources/cluster.ts";
import type { Registry } from "../resources/registry.ts";
import type { Workspace } from "../controllers/workspace.ts";
import { expectImages, putImages, registriesOf } from "./containers/images.ts";
import { type JunitCase, tryJunit, writeJunit } from "./junit.ts";

export interface WithOptions {
  /** What to boot; its name is replaced by one of our own. */
  cluster: Cluster;
  /** The registry's settings, when the file had one. */
  registry?: Registry | undefined;
  images: readonly string[];
  keepOnFailure: boolean;
  /** Path of junit_runner.xml; metadata.json goes beside it. */
  junit?: string | undefined;
  command: readonly [string, ...string[]];
  /** Told of SIGINT and SIGTERM, from the first on. */
  signals: SignalSource;
}

/** SIGINT and SIGTERM as they arrive: `aborted` with the first; `onSignal` is called with each. */
export interface SignalSource {
  readonly signal: AbortSignal;
  /** Name of the first signal. */
  readonly received: NodeJS.Signals | undefined;
  onSignal(listener: (signal: NodeJS.Signals) => void): Disposable;
}

/** Exit code when Seatrial itself failed; the command's own codes pass through. */
export const ownFailureCode = 125;

/** @returns the exit code for the process: the command's, 128+n when a signal ended it. */
export async function runWith(workspace: Workspace, options: WithOptions): Promise<number> {
  const { output } = workspace;
  const started = performance.now();
  const cases: JunitCase[] = [];
  const times: [string, number][] = [];
  const time = async <T>(name: JunitCase["name"], work: () => Promise<T>): Promise<T> => {
    const from = performance.now();
    try {
      const result = await work();
      cases.push({ name, ms: performance.now() - from });
      return result;
    } catch (error) {
      cases.push({ name, ms: performance.now() - from, failure: messageOf(error) });
      throw error;
    } finally {
      times.push([name, performance.now() - from]);
    }
  };
  let code = ownFailureCode;
  let failure: { error: unknown } | undefined;
  // What would be found out minutes later is asked for before anything is booted.
  checkProgram(options.command[0], workspace.environment);
  await reportReaped(workspace, { scansDocker: options.cluster.spec.provider === "kind", signal: options.signals.signal });
  const run = await ThrowawayRun.prepare(workspace, options);
  if (options.junit) await tryJunit(options.junit);
  try {
    run.makeArtifacts();
    output.err(`seatrial: booting ${run.description}`);
    await time("Up", async () => await run.boot());
    output.err(`seatrial: ready after ${seconds(performance.now() - started)}; running ${options.command.join(" ")}`);
    let hasEnded = false; // By its own doing: then its failure is the result, not an error of ours.
    await time("Test", async () => {
      code = await run.command();
      hasEnded = true;
      if (code !== 0) throw new SeatrialError("command-failed", `the command ended with exit code ${code}`);
    }).catch((error: unknown) => {
      if (!hasEnded) throw error;
    });
    // The command's own code is the result: what cannot be kept is told, and changes nothing.
    if (code !== 0)
      await run.keepEvidence().catch((error: unknown) => output.err(`seatrial: not all evidence was kept: ${messageOf(error)}`));
  } catch (error) {
    const { received } = options.signals;
    if (received) code = 128 + constants.signals[received];
    else failure = { error };
  }
  const isKept = options.keepOnFailure && code !== 0 && run.isUp;
  try {
    if (isKept) output.err(await run.keep());
    else await time("Down", async () => await run.delete());
  } catch (error) {
    // The record stays, so the next command deletes; the first failure is the one to end with.
    output.err(`seatrial: ${run.description} could not be deleted: ${messageOf(error)}`);
    output.err("  hint: seatrial reap deletes it when what is in the way is mended");
    if (code === 0) code = ownFailureCode;
  }
  output.err(`seatrial: ${times.map(([name, ms]) => `${name.toLowerCase()} ${seconds(ms)}`).join(", ")}`);
  if (options.junit)
    await writeJunit(options.junit, cases).catch((error: unknown) =>
      output.err(`seatrial: ${options.junit} was not written: ${messageOf(error)}`),
    );
  if (failure) throw failure.error;
  return code;
}

/** Deletes what killed commands left; a leftover that cannot be deleted now must not keep this command from its work. */
export async function reportReaped(workspace: Workspace, options: { scansDocker?: boolean; signal?: AbortSignal } = {}): Promise<void> {
  for (const { what, reason, error } of await reap(workspace, { scansDocker: false, now: new Date(), ...options })) {
    workspace.output.err(
      error ? `seatrial: ${what} should be deleted (${reason}) and was not: ${error}` : `seatrial: deleted ${what}: ${reason}`,
    );
  }
}

class ThrowawayRun {
  readonly #workspace: Workspace;
  readonly #options: WithOptions;
  readonly #cluster: ThrowawayCluster;
  readonly #uid: string;
  readonly #artifacts: string;

  static async prepare(workspace: Workspace, options: WithOptions): Promise<ThrowawayRun> {
    const uid = newUid();
    const name = `st-${uid.slice(0, 8)}`;
    const { variables, cwd } = workspace.environment;
    const artifacts = variables["ARTIFACTS"] ? resolve(cwd, variables["ARTIFACTS"]) : join(cwd, "_artifacts", name);
    const cluster = await ThrowawayCluster.prepare(workspace, {
      cluster: { ...options.cluster, metadata: { ...options.cluster.metadata, name } },
      uid,
      ownership: { instance: await workspace.instance(), owner: currentProcess(), notAfter: new Date(Date.now() + limits.throwawayMs) },
      registry: options.registry,
      mirrors: registriesOf(options.images),
      fillRegistry: async (hostPort, signal) => await putImages((await workspace.docker()).client, options.images, hostPort, signal),
      failuresDir: join(artifacts, "failed-boots"),
      onProgress: (line) => workspace.output.err(`seatrial: ${name}: ${line}`),
    });
    if (options.images.length > 0 && !cluster.hasNodes) {
      throw new SeatrialError(
        "usage",
        `--image cannot be used with ${options.cluster.spec.provider}: it has no nodes that could run an image`,
      );
    }
    return new ThrowawayRun(workspace, options, cluster, uid, artifacts);
  }

  private constructor(workspace: Workspace, options: WithOptions, cluster: ThrowawayCluster, uid: string, artifacts: string) {
    this.#workspace = workspace;
    this.#options = options;
    this.#cluster = cluster;
    this.#uid = uid;
    this.#artifacts = artifacts;
  }

  get description(): string {
    const { provider, kubernetesVersion: version } = this.#options.cluster.spec;
    return `${provider} cluster ${this.#cluster.name}${version ? ` (${version})` : ""}`;
  }

  get isUp(): boolean {
    return this.#cluster.access !== undefined;
  }

  /** Before anything is booted: a folder that cannot be made would be found out minutes later. */
  makeArtifacts(): void {
    try {
      makeFolder(this.#artifacts);
    } catch (error) {
      throw new SeatrialError("usage", `ARTIFACTS: ${messageOf(error)}`, { cause: error });
    }
  }

  async boot(): Promise<void> {
    const { signal } = this.#options.signals;
    const docker = this.#cluster.hasNodes ? await this.#workspace.docker() : undefined;
    await expectImages(docker?.client, this.#options.images, signal);
    await this.#cluster.boot(signal);
  }

  /** Runs the command to its end and gives its exit code; what it left running is ended too. */
  async command(): Promise<number> {
    const [program, ...args] = this.#options.command;
    const access = this.#cluster.access!;
    const child = spawn(program, args, {
      cwd: this.#workspace.environment.cwd,
      env: {
        ...this.#workspace.environment.variables,
        KUBECONFIG: access.kubeconfig,
        ARTIFACTS: this.#artifacts,
        REGISTRY: access.registry?.address,
        REGISTRY_IN_CLUSTER: access.registry?.inCluster,
        [runMark]: this.#uid,
      } as NodeJS.ProcessEnv,
      stdio: "inherit",
    });
    const { signals } = this.#options;
    // A terminal sends SIGINT to the whole group by itself; only what was sent to us alone is passed on.
    using _forwarding = signals.onSignal((signal) => {
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
      killer ??= setTimeout(() => void endMarked(this.#uid, "SIGKILL"), limits.stopGraceMs);
    });
    let killer: NodeJS.Timeout | undefined;
    try {
      if (signals.received) child.kill(signals.received); // It came between the boot and here.
      const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((settle, reject) => {
        child.once("exit", (exitCode, by) => settle([exitCode, by]));
        child.once("error", (error: NodeJS.ErrnoException) => {
          reject(
            error.code === "ENOENT"
              ? noSuchProgram(program)
              : new SeatrialError("usage", `cannot run ${program}: ${error.message}`, { cause: error }),
          );
        });
      });
      if (signals.received) return 128 + constants.signals[signals.received];
      return signal ? 128 + constants.signals[signal] : (code ?? ownFailureCode);
    } finally {
      clearTimeout(killer);
      await endMarked(this.#uid);
    }
  }

  /** Events, pod logs and node logs, while they are there. */
  async keepEvidence(): Promise<void> {
    const directory = join(this.#artifacts, `cluster-${this.#cluster.name}`);
    await this.#cluster.keepEvidence(directory);
    this.#workspace.output.err(`seatrial: events, pod logs and node logs are in ${directory}`);
  }

  /** Leaves the cluster to the user: from now on nobody reaps it. */
  async keep(): Promise<string> {
    await this.#cluster.keep();
    return [
      `seatrial: cluster ${this.#cluster.name} is kept, for it failed:`,
      `  export KUBECONFIG=${this.#cluster.access!.kubeconfig}`,
      `  seatrial delete cluster ${this.#cluster.name}    # when you are done`,
    ].join("\n");
  }

  /** Deletes everything; not cut short by the signal that may have ended the run. */
  async delete(): Promise<void> {
    await this.#cluster.delete();
    await removeIfEmpty(this.#artifacts);
    if (!this.#workspace.environment.variables["ARTIFACTS"]) await removeIfEmpty(dirname(this.#artifacts));
  }
}

/** Finds what certainly does not exist: a name that no folder of PATH holds. With a slash in it, a file may yet be made. */
function checkProgram(program: string, { variables, cwd }: Environment): void {
  const folders = variables["PATH"]?.split(delimiter);
  if (!folders || program.includes("/") || process.platform === "win32") return;
  if (!folders.some((folder) => existsSync(resolve(cwd, folder, program)))) throw noSuchProgram(program);
}

function noSuchProgram(program: string): SeatrialError {
  return new SeatrialError("usage", `cannot run ${program}: there is no such program`);
}

async function removeIfEmpty(directory: string): Promise<void> {
  if (existsSync(directory) && (await readdir(directory)).length === 0) await rmdir(directory);
}

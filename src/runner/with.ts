/**
 * The main job in its smallest form: one command in a cluster that exists for it alone.
 *
 * Order of events: what earlier owners left is reaped; registry and cluster boot side by side; images are put in; the
 * command runs; on failure the evidence is kept; everything is deleted. A signal ends the phase that it meets, and the
 * deletion still happens. After a kill -9 the next command deletes.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir } from "node:fs/promises";
import { constants } from "node:os";
import { dirname, join, resolve } from "node:path";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { seconds } from "../base/output.ts";
import { together } from "../base/together.ts";
import { bootCluster, newUid } from "../clusters/boot.ts";
import { collectCluster } from "../clusters/collect.ts";
import type { ClusterProvider, RegistryForNodes } from "../clusters/provider.ts";
import { type ClusterRecord, recordOf } from "../clusters/records.ts";
import { registryPort } from "../clusters/registry-wiring.ts";
import { deleteRecorded, reap } from "../controllers/reap/reap.ts";
import type { Ownership } from "../docker/ownership.ts";
import { KubeClient, parseKubeconfig } from "../kube/client.ts";
import { currentProcess } from "../process/identity.ts";
import { endMarked, runMark } from "../process/marked.ts";
import { waitForRegistry } from "../registries/registries.ts";
import type { Cluster } from "../resources/cluster.ts";
import type { Registry } from "../resources/registry.ts";
import type { Workspace } from "../controllers/workspace.ts";
import { expectImages, putImages, registriesOf } from "./images.ts";
import { type JunitCase, writeJunit } from "./junit.ts";

/** The name by which nodes and pods of any throwaway cluster reach their registry. */
const registryAlias = "seatrial-registry";

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
  await reportReaped(workspace, { scansDocker: options.cluster.spec.provider === "kind", signal: options.signals.signal });
  const run = await ThrowawayRun.prepare(workspace, options);
  try {
    await run.makeFolders();
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
  readonly #cluster: Cluster;
  readonly #provider: ClusterProvider;
  readonly #uid = newUid();
  readonly #ownership: Ownership;
  readonly #artifacts: string;
  #record: ClusterRecord | undefined;
  #kubeconfig = "";
  #registry: { address: string; inCluster: string } | undefined;
  #isUp = false;
  /** True from the moment on at which something outside may have been made. */
  #hasParts = false;

  static async prepare(workspace: Workspace, options: WithOptions): Promise<ThrowawayRun> {
    const provider = await workspace.provider(options.cluster.spec.provider);
    if (options.images.length > 0 && !provider.capabilities.hasNodes) {
      throw new SeatrialError("usage", `--image cannot be used with ${provider.name}: it has no nodes that could run an image`);
    }
    return new ThrowawayRun(workspace, options, provider, await workspace.instance());
  }

  private constructor(workspace: Workspace, options: WithOptions, provider: ClusterProvider, instance: string) {
    this.#workspace = workspace;
    this.#options = options;
    this.#provider = provider;
    const name = `st-${this.#uid.slice(0, 8)}`;
    this.#cluster = { ...options.cluster, metadata: { ...options.cluster.metadata, name } };
    this.#ownership = { instance, owner: currentProcess(), notAfter: new Date(Date.now() + limits.throwawayMs) };
    const { variables, cwd } = workspace.environment;
    this.#artifacts = variables["ARTIFACTS"] ? resolve(cwd, variables["ARTIFACTS"]) : join(cwd, "_artifacts", name);
  }

  get #name(): string {
    return this.#cluster.metadata.name;
  }

  get description(): string {
    const version = this.#cluster.spec.kubernetesVersion;
    return `${this.#provider.name} cluster ${this.#name}${version ? ` (${version})` : ""}`;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Asked for before anything is booted: a folder that cannot be made would be found out minutes later. */
  async makeFolders(): Promise<void> {
    const { junit } = this.#options;
    for (const [what, folder] of [["ARTIFACTS", this.#artifacts], ...(junit ? [["--junit", dirname(junit)]] : [])] as [string, string][]) {
      await mkdir(folder, { recursive: true }).catch((error: unknown) => {
        throw new SeatrialError("usage", `${what}: folder ${folder} cannot be made: ${messageOf(error)}`, { cause: error });
      });
    }
  }

  async boot(): Promise<void> {
    const workspace = this.#workspace;
    const { signal } = this.#options.signals;
    const mirrors = registriesOf(this.#options.images);
    const docker = this.#provider.capabilities.needsDocker ? await workspace.docker() : undefined;
    await docker?.client.version(signal); // Silence is told before anything is made.
    await expectImages(docker?.client, this.#options.images, signal);
    const throttle = await workspace.throttle(this.#cluster.spec.provider);
    const record = {
      ...(docker ? { dockerHost: docker.address } : {}),
      ...(this.#provider.capabilities.hasNodes ? { registry: registryNameOf(this.#name) } : {}),
    };
    // Before the first effect outside, which may be the registry's: the boot writes it again.
    await workspace.records.write({ ...recordOf(this.#cluster, this.#ownership, this.#uid, new Date()), ...record });
    this.#hasParts = true;
    const [booted] = await together(signal, (both) => {
      const registry = this.#provider.capabilities.hasNodes ? this.#bootRegistry(mirrors, both) : undefined;
      return [
        bootCluster({
          provider: this.#provider,
          records: workspace.records,
          throttle,
          cluster: this.#cluster,
          ownership: this.#ownership,
          uid: this.#uid,
          registry,
          record,
          failuresDir: join(this.#artifacts, "failed-boots"),
          onPhase: (phase, ms) => ms >= 100 && workspace.output.err(`seatrial: ${this.#name}: ${phase} ${seconds(ms)}`),
          onProgress: (line) => workspace.output.err(`seatrial: ${this.#name}: ${line}`),
          signal: both,
        }),
        registry
          ? registry.ready.then(async ({ hostPort, clientPort }) => await this.#useRegistry(hostPort, clientPort ?? hostPort, both))
          : Promise.resolve(),
      ];
    });
    this.#record = booted.record;
    this.#kubeconfig = booted.kubeconfig;
    this.#isUp = true;
  }

  #bootRegistry(mirrors: string[], signal: AbortSignal): RegistryForNodes {
    const name = registryNameOf(this.#name);
    const ready = this.#workspace.docker().then(async ({ registries, host }) => {
      const registry: Registry = {
        apiVersion: "seatrial.dev/v1alpha1",
        kind: "Registry",
        metadata: { name },
        spec: { ...this.#options.registry?.spec, port: 0 },
      };
      const made = await registries.ensure(registry, {
        ownership: this.#ownership,
        uid: this.#uid,
        isDurable: false,
        onProgress: (line) => this.#workspace.output.err(line),
        signal,
      });
      const provider = this.#provider;
      const target = this.#workspace.records.targetOf({ name: this.#name, uid: this.#uid });
      const { localPort } = await host.forward(made.hostPort, {
        dial: async () => await provider.dial!(target, registryAlias, registryPort),
      });
      return { ...made, clientPort: localPort };
    });
    ready.catch(() => {}); // Whoever uses it sees the error.
    return { name: registryAlias, ready, mirrors };
  }

  async #useRegistry(hostPort: number, clientPort: number, signal: AbortSignal): Promise<void> {
    const { client } = await this.#workspace.docker();
    // Where its port can be had by way of a node alone, it answers no sooner than that runs; a boot that fails ends the wait.
    await waitForRegistry(clientPort, signal, limits.lockMs + limits.clusterReadyMs);
    this.#registry = { address: `localhost:${clientPort}`, inCluster: `${registryAlias}:${registryPort}` };
    await putImages(client, this.#options.images, hostPort, signal);
  }

  /** Runs the command to its end and gives its exit code; what it left running is ended too. */
  async command(): Promise<number> {
    const [program, ...args] = this.#options.command;
    const child = spawn(program, args, {
      cwd: this.#workspace.environment.cwd,
      env: {
        ...this.#workspace.environment.variables,
        KUBECONFIG: this.#kubeconfig,
        ARTIFACTS: this.#artifacts,
        REGISTRY: this.#registry?.address,
        REGISTRY_IN_CLUSTER: this.#registry?.inCluster,
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
          const why = error.code === "ENOENT" ? "there is no such program" : error.message;
          reject(new SeatrialError("usage", `cannot run ${program}: ${why}`, { cause: error }));
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
    const directory = join(this.#artifacts, `cluster-${this.#name}`);
    await using client = new KubeClient(parseKubeconfig(await readFile(this.#kubeconfig, "utf8"), this.#kubeconfig));
    await collectCluster(this.#provider, this.#workspace.records.targetOf(this.#record!), directory, client);
    this.#workspace.output.err(`seatrial: events, pod logs and node logs are in ${directory}`);
  }

  /** Leaves the cluster to the user: from now on nobody reaps it. */
  async keep(): Promise<string> {
    const { notAfter: _none, ...record } = this.#record!;
    await this.#workspace.records.write({ ...record, owner: "declared" });
    return [
      `seatrial: cluster ${this.#name} is kept, for it failed:`,
      `  export KUBECONFIG=${this.#kubeconfig}`,
      `  seatrial delete cluster ${this.#name}    # when you are done`,
    ].join("\n");
  }

  /** Deletes everything; not cut short by the signal that may have ended the run. */
  async delete(): Promise<void> {
    const record = await this.#workspace.records.read(this.#name);
    if (record) await deleteRecorded(this.#workspace, record);
    else if (this.#hasParts && this.#provider.capabilities.hasNodes)
      await (await this.#workspace.docker()).registries.delete(registryNameOf(this.#name), this.#ownership.instance);
    await removeIfEmpty(this.#artifacts);
    if (!this.#workspace.environment.variables["ARTIFACTS"]) await removeIfEmpty(dirname(this.#artifacts));
  }
}

function registryNameOf(cluster: string): string {
  return `${cluster}-registry`;
}

async function removeIfEmpty(directory: string): Promise<void> {
  if (existsSync(directory) && (await readdir(directory)).length === 0) await rmdir(directory);
}

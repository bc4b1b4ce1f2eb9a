/**
 * The composition root: what a command works with, each part made when it is first asked for and closed at the end.
 */
import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Environment } from "../base/environment.ts";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Output } from "../base/output.ts";
import { BareProvider } from "../clusters/bare.ts";
import { BootThrottle } from "../clusters/boot-throttle.ts";
import { KindProvider } from "../clusters/kind.ts";
import type { ClusterProvider } from "../clusters/provider.ts";
import { ClusterRecords, instanceId } from "../clusters/records.ts";
import type { OpenDocker, Workspace } from "../controllers/workspace.ts";
import { DockerClient } from "../docker/client.ts";
import { formatEndpoint, resolveDockerEndpoint } from "../docker/endpoint.ts";
import { openDockerHost } from "../hosts/open.ts";
import { Programs } from "../programs/programs.ts";
import { Registries } from "../registries/registries.ts";
import type { Provider } from "../resources/cluster.ts";

export class CommandWorkspace implements Workspace, AsyncDisposable {
  readonly environment: Environment;
  readonly output: Output;
  readonly records: ClusterRecords;
  readonly programs: Programs;
  readonly bare: BareProvider;
  readonly #signal: AbortSignal;
  #docker: Promise<OpenDocker> | undefined;
  /** The last attempt to connect, when it failed. */
  #silence: { error: SeatrialError; at: number } | undefined;
  #instance: Promise<string> | undefined;
  /** Workspaces on other Docker hosts, by address. */
  readonly #others = new Map<string, CommandWorkspace>();

  constructor(environment: Environment, output: Output, signal: AbortSignal) {
    this.environment = environment;
    this.output = output;
    this.#signal = signal;
    this.records = new ClusterRecords(environment.dataDir);
    this.programs = new Programs({ environment, onProgress: (line) => output.err(line) });
    this.bare = new BareProvider({ programs: this.programs, environment, records: this.records });
  }

  async instance(): Promise<string> {
    this.#instance ??= instanceId(this.environment.dataDir);
    return await this.#instance;
  }

  async docker(): Promise<OpenDocker> {
    if (this.#silence && performance.now() - this.#silence.at < limits.hostSilenceMs) throw this.#silence.error;
    this.#docker ??= this.#openDocker().catch((error: unknown) => {
      this.#docker = undefined; // A host that did not answer may answer the next time.
      if (error instanceof SeatrialError && error.code === "unreachable") this.#silence = { error, at: performance.now() };
      throw error;
    });
    return await this.#docker;
  }

  async provider(name: Provider): Promise<ClusterProvider> {
    switch (name) {
      case "bare":
        return this.bare;
      case "kind": {
        const { client, host } = await this.docker();
        return new KindProvider({ docker: client, host, programs: this.programs, environment: this.environment });
      }
    }
  }

  async onHost(address: string | undefined): Promise<Workspace> {
    if (address === undefined || address === formatEndpoint(await resolveDockerEndpoint(this.environment))) return this;
    let other = this.#others.get(address);
    if (!other) {
      const variables = { ...this.environment.variables, DOCKER_HOST: address, DOCKER_CONTEXT: undefined };
      other = new CommandWorkspace({ ...this.environment, variables }, this.output, this.#signal);
      this.#others.set(address, other);
    }
    return other;
  }

  async throttle(provider: Provider): Promise<BootThrottle> {
    if (provider === "bare") return new BootThrottle(this.environment.runtimeDir, "this-machine", availableParallelism());
    const { client, address } = await this.docker();
    const { NCPU } = await client.info(this.#signal);
    return new BootThrottle(this.environment.runtimeDir, createHash("sha256").update(address).digest("hex").slice(0, 12), NCPU);
  }

  get failuresDir(): string {
    return join(this.environment.dataDir, "failures");
  }

  async #openDocker(): Promise<OpenDocker> {
    const endpoint = await resolveDockerEndpoint(this.environment);
    const host = await openDockerHost(endpoint, {
      environment: this.environment,
      signal: this.#signal,
      onProgress: (line) => this.output.err(line),
    });
    const address = formatEndpoint(endpoint);
    const client = new DockerClient(host.connection, address);
    return { address, host, client, registries: new Registries(client) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const other of this.#others.values()) await other[Symbol.asyncDispose]();
    const docker = await this.#docker?.catch(() => undefined); // Never opened: nothing to close.
    await this.programs.close();
    await docker?.client.close();
    await docker?.host.close();
  }
}

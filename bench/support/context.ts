/**
 * What the benchmarks work with: an installation of Seatrial of their own, the programs that they are compared with, and a
 * Docker daemon. All that is left at the end is removed, however it ends.
 */
import { mkdir, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { labDown, labStatus } from "../../lab/daemon.ts";
import { buildLab } from "../../lab/images.ts";
import { scriptEnvironment, whyNotDocker } from "../../scripts/docker-choice.ts";
import { findNodeImage } from "../../src/clusters/node-image.ts";
import { run } from "../../src/process/run.ts";
import { type ProgramName, Programs } from "../../src/programs/programs.ts";
import { defaultKubernetesVersion } from "../../src/programs/versions.ts";
import { CommandWorkspace } from "../../src/server/start.ts";

export const projectRoot = join(import.meta.dirname, "..", "..");

/** One command of a benchmark may take so long: eight clusters at once on two cores take two minutes. */
const commandMs = 600_000;

type Variables = Readonly<Record<string, string | undefined>>;

export class BenchContext {
  /** Short: sockets are made below it. */
  readonly directory: string;
  /** Environment of all commands: DOCKER_HOST among it. */
  readonly variables: Variables;
  readonly nodeImage: string;
  /** An image for registries that is on the Docker host; undefined where Docker's own is to be pulled. */
  readonly registryImage: string | undefined;
  readonly dockerVersion: string;
  readonly dockerApiVersion: string;
  readonly signal: AbortSignal;
  readonly #programs: ReadonlyMap<ProgramName, string>;
  readonly #atEnd: (() => Promise<void>)[];
  #count = 0;

  private constructor(
    fields: Pick<BenchContext, "directory" | "variables" | "nodeImage" | "registryImage" | "dockerVersion" | "dockerApiVersion" | "signal">,
    programs: ReadonlyMap<ProgramName, string>,
    atEnd: (() => Promise<void>)[],
  ) {
    this.directory = fields.directory;
    this.variables = fields.variables;
    this.nodeImage = fields.nodeImage;
    this.registryImage = fields.registryImage;
    this.dockerVersion = fields.dockerVersion;
    this.dockerApiVersion = fields.dockerApiVersion;
    this.signal = fields.signal;
    this.#programs = programs;
    this.#atEnd = atEnd;
  }

  /** Finds Docker (else starts the lab's daemon), programs and the node image. */
  static async open(signal: AbortSignal): Promise<BenchContext> {
    const directory = await realpath(await mkdtemp(join(tmpdir(), "sb-")));
    const atEnd: (() => Promise<void>)[] = [async () => await rm(directory, { recursive: true, force: true })];
    for (const name of ["data", "run"]) await mkdir(join(directory, name), { mode: 0o700 });
    let docker: Variables = {};
    const why = await whyNotDocker(process.env, say);
    if (why !== undefined) {
      const wasRunning = (await labStatus()).running;
      docker = { DOCKER_HOST: (await buildLab()).dockerHost };
      if (!wasRunning) atEnd.push(labDown);
    }
    const variables = {
      ...process.env,
      ...docker,
      SEATRIAL_HOME: join(directory, "data"),
      XDG_RUNTIME_DIR: join(directory, "run"),
      KUBECONFIG: join(directory, "user-kubeconfig"),
    };
    const found = new Map<ProgramName, string>();
    const programs = new Programs({ environment: scriptEnvironment(), onProgress: say });
    try {
      for (const name of ["kind", "kubectl", "etcd", "kube-apiserver"] as const)
        found.set(name, (await programs.find({ name }, signal)).path);
    } finally {
      await programs.close();
    }
    await using workspace = new CommandWorkspace(scriptEnvironment(variables), { out: say, write: say, err: say }, signal);
    const { client } = await workspace.docker();
    const { Version: dockerVersion, ApiVersion: dockerApiVersion } = await client.version(signal);
    const nodeImage = await findNodeImage(client, defaultKubernetesVersion, say, signal);
    const registries = (await client.images({ reference: ["offline/registry"] }, signal)).flatMap(({ RepoTags }) => RepoTags ?? []);
    return new BenchContext(
      { directory, variables, nodeImage, registryImage: registries.toSorted().at(-1), dockerVersion, dockerApiVersion, signal },
      found,
      atEnd,
    );
  }

  program(name: ProgramName): string {
    return this.#programs.get(name)!;
  }

  /** A name that nobody else on the daemon has. */
  newName(prefix: string): string {
    return `${prefix}-${process.pid}-${++this.#count}`;
  }

  /** Done when the benchmarks end, last come first. */
  atEnd(action: () => Promise<void>): void {
    this.#atEnd.push(action);
  }

  /** Runs `seatrial`, as a person does. */
  async seatrial(
    args: readonly string[],
    more: Variables = {},
    signal?: AbortSignal,
    onLine?: (line: string) => void,
    cwd?: string,
  ): Promise<string> {
    return await this.run(join(projectRoot, "bin", "seatrial"), args, more, signal, onLine, cwd);
  }

  /** Runs a program to its end. Killed when the benchmarks are stopped, unless another signal is given. */
  async run(
    program: string,
    args: readonly string[],
    more: Variables = {},
    signal = this.signal,
    onLine?: (line: string) => void,
    cwd = this.directory,
  ): Promise<string> {
    const env = { ...this.variables, ...more };
    const { stdout } = await run(program, args, { env, cwd, signal, timeoutMs: commandMs, onLine });
    return stdout;
  }

  async close(): Promise<void> {
    for (const action of this.#atEnd.toReversed()) {
      await action().catch((error: unknown) => say(`not cleaned up: ${error instanceof Error ? error.message : String(error)}`));
    }
  }
}

/** Milliseconds that the work took. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await work();
  return performance.now() - from;
}

const startedAt = performance.now();

/** Progress, on stderr: stdout has the results. */
export function say(line: string): void {
  process.stderr.write(`[${((performance.now() - startedAt) / 1000).toFixed(1).padStart(7)} s] ${line}\n`);
}

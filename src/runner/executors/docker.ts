/**
 * Executor `docker`: the runner, and with it the job's steps, as one container on a Docker host. The container is found again
 * by its name, which follows from the attempt, and listed by its label.
 *
 * The runner and its input are put into the container before it starts: so any image with Node and git will do, and the
 * token is in no argument, no environment and no image. Nothing of the host is mounted but the door: a socket that leads to the
 * server, so that a container needs no network for that. One of the untrusted lane has none, but those of its clusters.
 */
import { readFile } from "node:fs/promises";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { type DockerClient, DockerError } from "../../docker/client.ts";
import type { ContainerDetails, Labels } from "../../docker/objects.ts";
import { labels, type Ownership, ownershipLabels } from "../../docker/ownership.ts";
import { doorSocket } from "../../hosts/docker-host.ts";
import { archiveOf } from "../containers/archive.ts";
import { AttemptContainers, type ContainerBounds } from "../containers/attempt-containers.ts";
import { type AttemptLife, attemptMark, type Executor, type ExecutorRequest } from "./executor.ts";
import type { RunnerInput } from "../protocol.ts";

export interface DockerExecutorOptions {
  docker: DockerClient;
  /** This installation's id. */
  instance: string;
  /** Path of the runner's bundle. */
  bundle: string;
  /** Image of requests that name none. */
  image: string;
  /** Makes it again where somebody tidied up (`docker image prune -a`). @returns its name. Default: it is pulled. */
  remakeImage?: ((signal?: AbortSignal) => Promise<string>) | undefined;
  /** Folder on the Docker host with the socket that leads to the server. */
  door: string;
  /** Who owns the containers of an attempt. */
  ownershipOf(attempt: string): Ownership;
  /** Of one container, asked for each. @param isIsolated whether its change is not trusted. Default: of its processes alone. */
  bounds?: ((isIsolated: boolean) => ContainerBounds) | undefined;
}

/** Label with the attempt's uid, on containers of runners alone: clusters of a job have its owner, too. */
const runnerLabel = "seatrial.dev/runner";

/** Where the runner lives in the container: a volume, so that the work of a job goes to a plain file system, and with the container. */
const home = "/seatrial";
const directory = `${home}/attempt`;
const door = "/seatrial-door";

/**
 * What Docker gives by default and no build or test needs: raw packets, device files, the audit log. Root in the container
 * keeps what package managers need.
 */
const droppedCapabilities = ["NET_RAW", "MKNOD", "AUDIT_WRITE", "SETPCAP"];

/** What the container says in place of the runner. */
const noNode = "the image has no node in its PATH: an image for jobs has sh, Node 24 and git";

export class DockerExecutor implements Executor {
  readonly name = "docker";
  readonly containers: AttemptContainers;
  readonly #options: DockerExecutorOptions;
  #bundle: Promise<Buffer> | undefined;
  #image: string;
  /** Many jobs miss it at once, and it is made once. */
  #remaking: Promise<string> | undefined;

  constructor(options: DockerExecutorOptions) {
    this.#options = options;
    this.#image = options.image;
    this.containers = new AttemptContainers({
      ...options,
      labelsOf: (attempt) => ownershipLabels(options.ownershipOf(attempt)),
      runnerOf: nameOf,
      volume: home,
      directory,
      bounds: (isIsolated) => this.#bounds(isIsolated),
      droppedCapabilities,
    });
  }

  /** The image of requests that name none. */
  get image(): string {
    return this.#image;
  }

  async start(request: ExecutorRequest): Promise<void> {
    const { docker } = this.#options;
    const { attempt, token, networks = [], signal } = request;
    const before = await docker.container(nameOf(attempt), signal);
    if (before && before.State.Status !== "created") return;
    const id = before?.Id ?? (await this.#create(request));
    // It may have been made by a server that died before it went on: what follows can be done twice.
    const joined = Object.values(before?.NetworkSettings.Networks ?? {}).map(({ NetworkID }) => NetworkID);
    for (const name of networks) {
      const network = await docker.network(name, signal);
      if (!network) throw new SeatrialError("not-found", `attempt ${attempt} needs network ${name}, which is not on the Docker host`);
      if (!joined.includes(network.Id) && !before?.NetworkSettings.Networks[network.Name]) await docker.connect(network.Id, id, [], signal);
    }
    const input: RunnerInput = { attempt, token, door: `${door}/${doorSocket}`, directory };
    this.#bundle ??= readFile(this.#options.bundle);
    const archive = await archiveOf([
      { name: "runner.cjs", content: await this.#bundle },
      { name: "input", content: `${JSON.stringify(input)}\n`, mode: 0o600 },
    ]);
    await docker.writeArchive(id, home, archive, signal);
    await docker.startContainer(id, signal);
  }

  async observe(attempt: string, signal?: AbortSignal): Promise<AttemptLife> {
    const container = await this.#options.docker.container(nameOf(attempt), signal);
    if (!container || container.State.Status === "created") return { state: "absent" };
    const { Status, ExitCode, OOMKilled, Error: trouble } = container.State;
    if (Status !== "exited" && Status !== "dead") return { state: "running" };
    const isOutOfMemory = OOMKilled === true && ExitCode !== 0;
    const how = [`exit code ${ExitCode}`, ...(isOutOfMemory ? ["out of memory"] : []), ...(trouble ? [trouble] : [])].join(", ");
    const words = ExitCode === 0 ? "" : (await this.#options.docker.containerLogs(container.Id, limits.errorTailLines, signal)).trim();
    return { state: "ended", message: words === "" ? how : `${how}\n${words}`, isOutOfMemory };
  }

  async stop(attempt: string, signal?: AbortSignal): Promise<void> {
    const container = await this.#find(attempt, signal);
    // What the runner does not end within the time ends with the container.
    if (container?.State.Running)
      await this.#options.docker.stopContainer(container.Id, signal, Math.floor(limits.runnerStopMs / 1000) - 5);
  }

  async remove(attempt: string, signal?: AbortSignal): Promise<void> {
    await this.stop(attempt, signal);
    await this.containers.removeAll(attempt, signal);
    const container = await this.#find(attempt, signal);
    if (container) await this.#options.docker.removeContainer(container.Id, signal);
  }

  async list(signal?: AbortSignal): Promise<string[]> {
    const { docker, instance, ownershipOf } = this.#options;
    const found = await docker.containers([`${labels.instance}=${instance}`, runnerLabel], signal);
    const runners = found.flatMap(({ Labels }) => {
      const attempt = Labels[runnerLabel];
      return attempt === undefined ? [] : [{ attempt, labels: Labels }];
    });
    // Those of a command beside the server have that process as their owner.
    const isOurs = (attempt: string, has: Labels) => has[labels.owner] === ownershipLabels(ownershipOf(attempt))[labels.owner];
    const all = [...runners, ...(await this.containers.list(signal))];
    return [...new Set(all.filter((each) => isOurs(each.attempt, each.labels)).map(({ attempt }) => attempt))];
  }

  async #find(attempt: string, signal?: AbortSignal): Promise<ContainerDetails | undefined> {
    const container = await this.#options.docker.container(nameOf(attempt), signal);
    const isOurs = container?.Config.Labels?.[labels.instance] === this.#options.instance;
    return isOurs ? container : undefined;
  }

  async #create(request: ExecutorRequest): Promise<string> {
    const { docker } = this.#options;
    const { attempt, signal, image = this.#image } = request;
    const create = async (from: string) => await docker.createContainer(nameOf(attempt), this.#body(request, from), signal);
    try {
      return await create(image);
    } catch (error) {
      // The network of an isolated one may be what is not there, too.
      if (!(error instanceof DockerError && error.status === 404 && /no such image/i.test(error.message))) throw error;
      return await create(await this.#getImage(request));
    }
  }

  /** Gets an image that is not there. */
  async #getImage({ image, signal }: ExecutorRequest): Promise<string> {
    const { docker, remakeImage } = this.#options;
    if (image === undefined && remakeImage) {
      this.#remaking ??= remakeImage(signal).finally(() => (this.#remaking = undefined));
      return (this.#image = await this.#remaking);
    }
    const wanted = image ?? this.#image;
    if (wanted.startsWith("sha256:"))
      throw new SeatrialError("not-found", `image ${wanted} is not on the Docker host: it was built on another, and is in no registry`);
    await docker.pullImage(wanted, signal);
    return wanted;
  }

  #bounds(isIsolated: boolean): ContainerBounds {
    return this.#options.bounds?.(isIsolated) ?? { pids: limits.containerProcesses };
  }

  #body({ attempt, env = {}, isIsolated, networks: [first] = [] }: ExecutorRequest, image: string): object {
    const { ownershipOf } = this.#options;
    const { memoryBytes, cpus, pids } = this.#bounds(isIsolated ?? false);
    return {
      Image: image,
      Entrypoint: [],
      // The input is gone from the disk before the first step.
      Cmd: [
        "sh",
        "-c",
        `command -v node >/dev/null || { echo "${noNode}" >&2; exit 127; }; cd ${home} && exec <input && rm input && exec node runner.cjs`,
      ],
      Env: Object.entries({ ...env, [attemptMark]: attempt }).map(([name, value]) => `${name}=${value}`),
      Labels: {
        ...ownershipLabels(ownershipOf(attempt)),
        [runnerLabel]: attempt,
      },
      Volumes: { [home]: {} },
      HostConfig: {
        // What steps leave behind is nobody's child: Docker's own init reaps it.
        Init: true,
        Mounts: [{ Type: "bind", Source: this.#options.door, Target: door, ReadOnly: true }],
        NetworkMode: isIsolated ? (first ?? "none") : "bridge",
        CapDrop: droppedCapabilities,
        SecurityOpt: ["no-new-privileges"],
        PidsLimit: pids,
        // Only the runner's own words: the log of the job goes to the server.
        LogConfig: { Type: "json-file", Config: { "max-size": "1m", "max-file": "1" } },
        ...(memoryBytes === undefined ? {} : { Memory: memoryBytes, MemorySwap: memoryBytes }),
        ...(cpus === undefined ? {} : { NanoCpus: Math.round(cpus * 1e9) }),
      },
    };
  }
}

function nameOf(attempt: string): string {
  return `seatrial-attempt-${attempt}`;
}

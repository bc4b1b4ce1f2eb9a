/**
 * Containers that an attempt has beside its runner's, on the same Docker host: the one of its steps, its services, its Docker
 * actions. All are found again by their names, which follow from the attempt, and listed by a label.
 *
 * Those of steps and actions share the runner's processes, network and volume: so the runner sees and ends what runs in them, and
 * all of it ends with the runner. Services are on a network of the attempt, which the runner joins.
 */
import { Readable } from "node:stream";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { type DockerClient, DockerError, isConflict } from "../../docker/client.ts";
import type { ContainerDetails, ImageDetails, Labels } from "../../docker/objects.ts";
import { splitReference } from "../../docker/reference.ts";
import { type ContainerOptions, parseContainerOptions, parseContainerVolume } from "../../workflows/container-options.ts";
import { archiveOf } from "./archive.ts";
import { containerLoopFiles } from "./container-files.ts";
import type { ContainerRequest } from "./container-protocol.ts";
import { isPublicName, registriesOf } from "./images.ts";
import { loopArguments } from "../steps/loop-script.ts";
import { imageDigest } from "../executors/runner-image.ts";
import { isVariableName, quoted } from "../steps/step-script.ts";

export interface AttemptContainersOptions {
  docker: DockerClient;
  /** This installation's id. */
  instance: string;
  /** Labels of whatever is made for an attempt. */
  labelsOf(attempt: string): Labels;
  /** Name of the runner's container. */
  runnerOf(attempt: string): string;
  /** Folder of the attempt in that container, below {@link volume}. */
  directory: string;
  /** Where the volume is that they share. */
  volume: string;
  /** Of one container: as the runner's own. */
  bounds(isIsolated: boolean): ContainerBounds;
  droppedCapabilities: readonly string[];
}

/** The most that a container takes. Default: no bound. */
export interface ContainerBounds {
  memoryBytes?: number | undefined;
  cpus?: number | undefined;
  /** Processes and threads. */
  pids: number;
}

/** Label with the attempt's uid, on all but the runner's container. */
const partLabel = "seatrial.dev/attempt";

export interface ContainerView {
  id: string;
  state: "running" | "ended";
  image: string;
  env: readonly string[];
  address?: string | undefined;
  network?: string | undefined;
  health?: "starting" | "healthy" | "unhealthy" | undefined;
  exitCode: number;
  isOutOfMemory: boolean;
}

export class AttemptContainers {
  readonly #options: AttemptContainersOptions;
  /** What is made for one attempt is made one after the other: services share a network. */
  readonly #making = new Map<string, Promise<unknown>>();
  /** Images that are being built. */
  readonly #builds = new Set<{ attempt: string; abort: AbortController }>();

  constructor(options: AttemptContainersOptions) {
    this.#options = options;
  }

  /** Undefined when there is none, or it was not started yet. @param part as {@link partOf} has it. */
  async observe(attempt: string, part: string, signal?: AbortSignal): Promise<ContainerView | undefined> {
    const container = await this.#find(attempt, part, signal);
    if (!container || container.State.Status === "created") return undefined;
    const { State, Config, NetworkSettings } = container;
    const hasEnded = State.Status === "exited" || State.Status === "dead";
    const network = NetworkSettings.Networks[networkOf(attempt)];
    const health = State.Health?.Status;
    return {
      id: container.Id,
      state: hasEnded ? "ended" : "running",
      image: Config.Labels?.[imageLabel] ?? container.Image,
      env: Config.Env ?? [],
      ...(network ? { address: network.IPAddress, network: network.NetworkID } : {}),
      ...(health === "starting" || health === "healthy" || health === "unhealthy" ? { health } : {}),
      exitCode: State.ExitCode,
      isOutOfMemory: State.OOMKilled === true && State.ExitCode !== 0,
    };
  }

  /** All that it printed, up to a bound. */
  async outputOf(attempt: string, part: string, signal?: AbortSignal): Promise<string> {
    const container = await this.#find(attempt, part, signal);
    if (!container) return "";
    return (await this.#options.docker.containerLogs(container.Id, limits.actionOutputLines, signal, false)).slice(
      -limits.actionOutputCharacters,
    );
  }

  /** The last lines that it printed. */
  async logOf(attempt: string, part: string, signal?: AbortSignal): Promise<string> {
    const container = await this.#find(attempt, part, signal);
    if (!container) return "";
    return (await this.#options.docker.containerLogs(container.Id, limits.containerLogLines, signal))
      .slice(-limits.containerLogCharacters)
      .trim();
  }

  /**
   * Makes and starts it; what a call before this one left half done is done. @param image that the host has.
   * @throws SeatrialError `refused` for what a job may not ask for, `not-found` when the runner is gone.
   */
  async start(attempt: string, request: ContainerRequest, image: string, isIsolated: boolean, signal?: AbortSignal): Promise<void> {
    await this.#inTurn(attempt, async () => await this.#start(attempt, request, image, isIsolated, signal));
  }

  /** By what the host has, or can pull, the image for as long as it is there. @throws SeatrialError `not-found`; another, retryable. */
  async digestOf(reference: string, credentials: ContainerRequest["credentials"], signal?: AbortSignal): Promise<string> {
    return await imageDigest(this.#options.docker, reference, signal, authOf(reference, credentials));
  }

  /**
   * What its registry gives to everybody under that name, whatever the host has: by digest, so that also what the host has by it is that.
   * @throws SeatrialError `refused` when it gives nothing; `unreachable` when Docker does not answer.
   */
  async publicDigestOf(reference: string, signal?: AbortSignal): Promise<string> {
    const refuse = (why: string, cause?: unknown): never => {
      throw new SeatrialError("refused", `image ${reference} is not one that everybody can have: ${why}`, { cause });
    };
    if (!isPublicName(reference)) refuse("it is named by an id, or by a registry without a name of its own, or with a port");
    const { repository, tag } = splitReference(reference);
    const asked = reference.includes("@") ? `${splitReference(repository).repository}@${tag}` : reference;
    try {
      return `${splitReference(asked).repository}@${await this.#options.docker.registryDigest(asked, signal)}`;
    } catch (error) {
      if (!(error instanceof DockerError)) throw error;
      return refuse(`without credentials, ${error.message}`, error);
    }
  }

  async hasImage(reference: string, signal?: AbortSignal): Promise<boolean> {
    return (await this.#options.docker.image(reference, signal)) !== undefined;
  }

  /** Not cut short by a caller that goes: what was pulled is there for the next. */
  async pull(reference: string, credentials: ContainerRequest["credentials"]): Promise<void> {
    await this.#options.docker.pullImage(reference, undefined, authOf(reference, credentials));
  }

  /** Builds the image of an action from a folder of the attempt. @returns its id. */
  async build(
    attempt: string,
    name: string,
    { folder, file }: NonNullable<ContainerRequest["build"]>,
    isIsolated: boolean,
  ): Promise<string> {
    const { directory } = this.#options;
    if (!folder.startsWith(`${directory}/`) || `${folder}/${file}`.split("/").includes(".."))
      throw new SeatrialError("refused", `${folder} is no folder of the attempt`);
    return await this.#inTurn(attempt, async () => await this.#build(attempt, name, `${folder}/.`, file, isIsolated));
  }

  /** Ends one, SIGTERM first, and removes it. */
  async remove(attempt: string, part: string, signal?: AbortSignal): Promise<void> {
    const container = await this.#find(attempt, part, signal);
    if (!container) return;
    if (container.State.Running) await this.#options.docker.stopContainer(container.Id, signal, Math.ceil(limits.stepGraceMs / 1000));
    await this.#options.docker.removeContainer(container.Id, signal);
  }

  /** Removes all of an attempt: before its runner goes, whose processes and volume they share. */
  async removeAll(attempt: string, signal?: AbortSignal): Promise<void> {
    const { docker } = this.#options;
    const label = `${partLabel}=${attempt}`;
    for (const each of this.#builds) if (each.attempt === attempt) each.abort.abort(new SeatrialError("aborted", "the attempt has ended"));
    const ours = <T extends { Labels: Labels | null }>(items: readonly T[]) => items.filter(({ Labels: found }) => this.#isOurs(found));
    // Those of steps share with the runner's what services do not: none waits for another.
    await Promise.all(ours(await docker.containers([label], signal)).map(async ({ Id }) => await docker.removeContainer(Id, signal)));
    for (const { Id } of ours(await docker.networks(label, signal))) await docker.removeNetwork(Id, signal);
    for (const { Name } of ours(await docker.volumes(label, signal))) await docker.removeVolume(Name, signal);
    for (const image of ours(await docker.images({ label: [label] }, signal))) await docker.removeListed(image, signal);
  }

  /** Uids of attempts of which there is anything. */
  async list(signal?: AbortSignal): Promise<{ attempt: string; labels: Labels }[]> {
    const { docker, instance } = this.#options;
    const wanted = ["seatrial.dev/instance=" + instance, partLabel];
    const [containers, networks] = await Promise.all([docker.containers(wanted, signal), docker.networks(partLabel, signal)]);
    return [...containers, ...networks].flatMap(({ Labels: found }) => {
      const attempt = found?.[partLabel];
      return attempt !== undefined && this.#isOurs(found) ? [{ attempt, labels: found }] : [];
    });
  }

  async #inTurn<T>(attempt: string, work: () => Promise<T>): Promise<T> {
    const before = this.#making.get(attempt) ?? Promise.resolve();
    const making = before.catch(() => {}).then(work); // Whoever asked for that one is told.
    this.#making.set(attempt, making);
    try {
      return await making;
    } finally {
      if (this.#making.get(attempt) === making) this.#making.delete(attempt);
    }
  }

  async #build(attempt: string, name: string, folder: string, file: string, isIsolated: boolean): Promise<string> {
    const { docker, labelsOf, bounds } = this.#options;
    const archive = await docker.readArchive((await this.#runner(attempt)).Id, folder);
    if (!archive) throw new SeatrialError("not-found", `folder ${folder} is not there`);
    let size = 0;
    // It goes through here in pieces: there may be many of them at once.
    const pieces = async function* () {
      for await (const chunk of archive as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > limits.imageContextBytes) throw new Error("it is too large");
        yield chunk;
      }
    };
    const context = Readable.from(pieces());
    const tag = `seatrial/action:${attempt.toLowerCase()}-${name.toLowerCase()}`;
    const labels = { ...labelsOf(attempt), [partLabel]: attempt };
    const { memoryBytes, cpus } = bounds(isIsolated);
    const building = { attempt, abort: new AbortController() };
    this.#builds.add(building);
    try {
      const more = { file, labels, network: isIsolated ? "none" : undefined, memoryBytes, cpus, until: building.abort.signal };
      await docker.buildImage(tag, context, undefined, more);
    } catch (error) {
      if (size <= limits.imageContextBytes) throw error;
      throw new SeatrialError("invalid", `the folder of the Dockerfile has more than ${limits.imageContextBytes} bytes`);
    } finally {
      this.#builds.delete(building);
      context.destroy();
    }
    const built = await docker.image(tag);
    if (!built) throw new SeatrialError("internal", `${tag} was built and is not on the Docker host`);
    try {
      await this.#runner(attempt);
    } catch (error) {
      // What was the attempt's has been removed by now, and this came too late for that.
      await docker.removeImage(tag);
      throw error;
    }
    return built.Id;
  }

  async #start(attempt: string, request: ContainerRequest, image: string, isIsolated: boolean, signal?: AbortSignal): Promise<void> {
    const { docker } = this.#options;
    const { role } = request;
    const part = partOf(request);
    const found = await this.#find(attempt, part, signal);
    if (found && found.State.Status !== "created") return;
    const others = await docker.containers([`${partLabel}=${attempt}`], signal);
    if (others.length >= limits.attemptContainers)
      throw new SeatrialError("refused", `the job has ${others.length} containers, and can have no more at once`);
    const runner = await this.#runner(attempt, signal);
    const details = await docker.image(image, signal);
    if (!details) throw new SeatrialError("not-found", `image ${image} is gone from the Docker host`);
    if (role === "service") await this.#joinNetwork(attempt, runner, isIsolated, signal);
    const make = async (hasShell: boolean) => {
      const body = this.#body(attempt, request, image, details, runner, isIsolated, hasShell);
      const id = await docker.createContainer(nameOf(attempt, part), body, signal);
      await this.#run(id, request, signal);
    };
    try {
      await (found ? this.#run(found.Id, request, signal) : make(true));
    } catch (error) {
      if (role === "service" || !isWithoutShell(error)) throw error;
      if (role === "action") return await make(false);
      throw new SeatrialError("not-found", `image ${request.image ?? ""} has no sh, by which the steps of a job are run`);
    }
  }

  /** Starts what was made. One that cannot be started is removed. */
  async #run(id: string, { role }: ContainerRequest, signal?: AbortSignal): Promise<void> {
    const { docker, directory } = this.#options;
    if (role !== "service") await docker.writeArchive(id, "/", await archiveOf(placesIn(directory)), signal);
    try {
      await docker.startContainer(id, signal);
    } catch (error) {
      await docker.removeContainer(id, signal);
      throw error;
    }
  }

  #body(
    attempt: string,
    request: ContainerRequest,
    image: string,
    details: ImageDetails,
    runner: ContainerDetails,
    isIsolated: boolean,
    hasShell: boolean,
  ): object {
    const { labelsOf, volume, bounds, droppedCapabilities } = this.#options;
    const { role, name, env, volumes = [] } = request;
    const options = parseContainerOptions(request.options ?? "", role === "job" ? "job" : "service");
    const labels = { ...labelsOf(attempt), [partLabel]: attempt, [imageLabel]: image };
    const bound = bounds(isIsolated);
    const memoryBytes = least(options.memoryBytes, bound.memoryBytes);
    const shared = runner.Mounts.find(({ Destination }) => Destination === volume)?.Name;
    if (shared === undefined) throw new SeatrialError("internal", `the runner of attempt ${attempt} has no volume at ${volume}`);
    const all = { ...(role === "service" ? {} : { HOME: "/github/home" }), ...env, ...options.env };
    const isOfNetwork = role === "service";
    return {
      Image: image,
      Env: Object.entries(all).map(([key, value]) => `${key}=${value}`),
      Labels: labels,
      ...(options.user === undefined ? {} : { User: options.user }),
      ...(options.workdir === undefined ? {} : { WorkingDir: options.workdir }),
      ...(options.hostname === undefined ? {} : { Hostname: options.hostname }),
      ...(options.health === undefined ? {} : { Healthcheck: options.health }),
      ...this.#commandOf(attempt, request, options, details, hasShell),
      HostConfig: {
        ...(isOfNetwork
          ? { NetworkMode: networkOf(attempt), Init: options.hasInit ?? false }
          : { NetworkMode: `container:${runner.Id}`, PidMode: `container:${runner.Id}` }),
        Mounts: [
          ...(isOfNetwork ? [] : [{ Type: "volume", Source: shared, Target: volume, VolumeOptions: { NoCopy: true } }]),
          ...volumes.map((text) => {
            const { name: own, path, isReadOnly } = parseContainerVolume(text);
            const source = own === undefined ? {} : { Source: `${runnerPrefix}${attempt}-${own}` };
            return { Type: "volume", ...source, Target: path, ReadOnly: isReadOnly, VolumeOptions: { Labels: labels } };
          }),
        ],
        ReadonlyRootfs: options.isReadOnly ?? false,
        // Programs of services change their user as they start, some by SETPCAP; nothing else may be more than the runner.
        CapDrop: [...droppedCapabilities.filter((each) => role !== "service" || isIsolated || each !== "SETPCAP"), ...options.capDrop],
        SecurityOpt: ["no-new-privileges"],
        PidsLimit: bound.pids,
        LogConfig: { Type: "json-file", Config: { "max-size": "10m", "max-file": "1" } },
        ...(memoryBytes === undefined ? {} : { Memory: memoryBytes, MemorySwap: memoryBytes }),
        ...(least(options.cpus, bound.cpus) === undefined ? {} : { NanoCpus: Math.round(least(options.cpus, bound.cpus)! * 1e9) }),
        ...(options.shmBytes === undefined ? {} : { ShmSize: options.shmBytes }),
        ...(options.ulimits.length === 0 ? {} : { Ulimits: options.ulimits }),
        ...(Object.keys(options.tmpfs).length === 0 ? {} : { Tmpfs: options.tmpfs }),
      },
      ...(isOfNetwork ? { NetworkingConfig: { EndpointsConfig: { [networkOf(attempt)]: { Aliases: [name, ...options.aliases] } } } } : {}),
    };
  }

  /** What runs in it: of a job the loop of the steps, whatever the image says; of an action its program, with its output in a pipe of the volume. */
  #commandOf(attempt: string, request: ContainerRequest, options: ContainerOptions, details: ImageDetails, hasShell: boolean): object {
    const { role, name, entrypoint = options.entrypoint === undefined ? undefined : [options.entrypoint], command } = request;
    const { directory } = this.#options;
    const steps = `${directory}/steps`;
    const { in: input, life, said, output } = containerLoopFiles;
    switch (role) {
      case "job": {
        const words = [...loopArguments(attempt), output].map(quoted).join(" ");
        return { Entrypoint: ["sh", "-c", `cd ${quoted(steps)} && exec sh ${words} <${input} >${said} 3<${life}`], Cmd: [] };
      }
      case "action": {
        const program = [
          ...(entrypoint ?? details.Config?.Entrypoint ?? []),
          ...(command ?? (entrypoint ? [] : (details.Config?.Cmd ?? []))),
        ];
        // What it prints is told when it has ended.
        if (!hasShell) return { Entrypoint: program, Cmd: [], WorkingDir: `${directory}/workspace` };
        // A shell drops variables that it could not have set, as INPUT_WHO-TO-GREET.
        const odd = Object.entries(request.env).flatMap(([key, value]) => (isVariableName(key) ? [] : [`${key}=${value}`]));
        const script = `exec >${quoted(`${steps}/${name}.output`)} 2>&1; cd /github/workspace && exec "$@"`;
        return { Entrypoint: ["sh", "-c", script, "sh"], Cmd: odd.length === 0 ? program : ["env", ...odd, ...program] };
      }
      case "service":
        return { ...(entrypoint ? { Entrypoint: entrypoint } : {}), ...(command ? { Cmd: command } : {}) };
    }
  }

  async #joinNetwork(attempt: string, runner: ContainerDetails, isIsolated: boolean, signal?: AbortSignal): Promise<void> {
    const { docker, labelsOf } = this.#options;
    const name = networkOf(attempt);
    if (!(await docker.network(name, signal))) {
      const body = {
        Name: name,
        // Names of networks are not unique to Docker.
        CheckDuplicate: true,
        Driver: "bridge",
        Labels: { ...labelsOf(attempt), [partLabel]: attempt },
        // An internal network still has the host in it, at the bridge's own address, with whatever listens there: so that has none.
        ...(isIsolated ? { Internal: true, Options: { "com.docker.network.bridge.inhibit_ipv4": "true" } } : {}),
      };
      await docker.createNetwork(body, signal).catch((error: unknown) => {
        if (!isConflict(error)) throw error;
      });
    }
    const network = await docker.network(name, signal);
    if (!network || !this.#isOurs(network.Labels)) throw new SeatrialError("conflict", `network ${name} could not be made`);
    const { Networks } = runner.NetworkSettings;
    if (Networks[name]) return;
    // A container that has no network cannot have another beside that.
    if (Networks["none"]) await docker.disconnect("none", runner.Id, signal);
    await docker.connect(network.Id, runner.Id, [], signal);
  }

  async #runner(attempt: string, signal?: AbortSignal): Promise<ContainerDetails> {
    const runner = await this.#options.docker.container(this.#options.runnerOf(attempt), signal);
    if (runner?.State.Running && this.#isOurs(runner.Config.Labels)) return runner;
    throw new SeatrialError("not-found", `the runner of attempt ${attempt} is gone`);
  }

  async #find(attempt: string, part: string, signal?: AbortSignal): Promise<ContainerDetails | undefined> {
    const container = await this.#options.docker.container(nameOf(attempt, part), signal);
    return container && this.#isOurs(container.Config.Labels) ? container : undefined;
  }

  #isOurs(found: Labels | null): found is Labels {
    return found?.["seatrial.dev/instance"] === this.#options.instance;
  }
}

const runnerPrefix = "seatrial-attempt-";
/** What the image is known as: by its digest. */
const imageLabel = "seatrial.dev/image";

/** Name of a container within its attempt: a service may be called as anything else is. */
export function partOf({ role, name }: Pick<ContainerRequest, "role" | "name">): string {
  return role === "service" ? `service-${name}` : name;
}

function nameOf(attempt: string, part: string): string {
  return `${runnerPrefix}${attempt}-${part}`;
}

function networkOf(attempt: string): string {
  return `${runnerPrefix}${attempt}`;
}

/** GitHub's places in a container, which scripts and actions know by heart. */
function placesIn(directory: string) {
  const link = (name: string, to: string) => ({ name: `github/${name}`, linkTo: `${directory}/${to}` });
  return [link("workspace", "workspace"), link("home", "home"), link("workflow", "steps")];
}

function isWithoutShell(error: unknown): boolean {
  return error instanceof DockerError && /exec: "sh"|sh: no such file/.test(error.message);
}

/** Docker's X-Registry-Auth. */
function authOf(reference: string, credentials: ContainerRequest["credentials"]): object | undefined {
  const [serveraddress] = registriesOf([reference]);
  return credentials && { ...credentials, serveraddress };
}

function least(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined ? other : other === undefined ? one : Math.min(one, other);
}

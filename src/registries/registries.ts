/**
 * Image registries as containers on the Docker host.
 *
 * A registry is found by our label or ctlptl's; it is made anew only when what was asked for differs from what it was made
 * from, never because an image brings variables of its own, and then keeps its contents: they are in a volume that is older
 * than its container.
 */
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { pause, waitFor } from "../base/wait.ts";
import { type DockerClient, DockerError } from "../docker/client.ts";
import type { ContainerDetails, Labels } from "../docker/objects.ts";
import { describeOwner, labels, type Ownership, ownershipIn, ownershipLabels } from "../docker/ownership.ts";
import { type Registry, registryDefaults, registrySchema } from "../resources/registry.ts";

/** ctlptl's label on registries: it and its users' scripts find ours by it. */
const ctlptlRole = { name: "dev.tilt.ctlptl.role", value: "registry" } as const;
const containerPort = "5000/tcp";
const dataDirectory = "/var/lib/registry";
const defaultImage = "docker.io/library/registry:3";
/** Built by `make lab` where there is no container registry; taken only when no image was asked for. */
const offlineRepository = "offline/registry";
/** What ctlptl sets, so that images can be deleted; what the user sets wins. */
const defaultEnv = ["REGISTRY_STORAGE_DELETE_ENABLED=true"];

export interface EnsureOptions {
  ownership: Ownership;
  /** Id of one creation, shared with the cluster that a throwaway registry belongs to. */
  uid: string;
  /** True: the port is chosen once and pinned, the container comes back with Docker. False for throwaways. */
  isDurable: boolean;
  /** May a registry that we did not make be made anew? */
  mayAdopt?: boolean;
  /** Is it an error when it is there already? */
  mustCreate?: boolean;
  onProgress(line: string): void;
  signal?: AbortSignal | undefined;
}

export type EnsureResult = {
  containerId: string;
  hostPort: number;
  change: "created" | "recreated" | "started" | "unchanged";
  reasons: string[];
};

export class Registries {
  readonly #docker: DockerClient;

  constructor(docker: DockerClient) {
    this.#docker = docker;
  }

  /** Every registry that can be seen, with its status; ours, ctlptl's. */
  async list(signal?: AbortSignal): Promise<Registry[]> {
    const ours = await this.#docker.containers([labels.registry], signal);
    const theirs = await this.#docker.containers([`${ctlptlRole.name}=${ctlptlRole.value}`], signal);
    const ids = new Set([...ours, ...theirs].map(({ Id }) => Id));
    const details = await Promise.all([...ids].map(async (id) => await this.#docker.container(id, signal)));
    return details
      .filter((each) => each !== undefined)
      .map(observed)
      .sort((a, b) => a.metadata.name.localeCompare(b.metadata.name));
  }

  async find(name: string, signal?: AbortSignal): Promise<Registry | undefined> {
    const details = await this.#find(name, signal);
    return details ? observed(details) : undefined;
  }

  /** Whether {@link delete} would find anything: a container, whoever made it, or contents that this installation has. */
  async isThere(name: string, instance: string, signal?: AbortSignal): Promise<boolean> {
    if (await this.#find(name, signal)) return true;
    return (await this.#contents(name, signal)).some(({ Labels }) => isOf(Labels, instance));
  }

  /** Makes the registry, starts it, or leaves it alone. Under the lock of its name. */
  async ensure(desired: Registry, options: EnsureOptions): Promise<EnsureResult> {
    const name = desired.metadata.name;
    await this.#finishReplacing(name, options.ownership.instance, options.signal);
    const existing = await this.#findWhole(name, options);
    if (!existing) {
      await this.#refuseForeign(name, options.signal);
      return { ...(await this.#create(desired, options)), change: "created", reasons: [] };
    }
    if (options.mustCreate) {
      throw new SeatrialError("already-exists", `registry ${name} is there already`, {
        hint: "seatrial apply changes what is there; seatrial delete removes it",
      });
    }
    const reasons = reasonsToRecreate(existing, desired);
    if (reasons.length > 0) {
      if (!isOf(existing.Config.Labels, options.ownership.instance) && !options.mayAdopt) {
        throw new SeatrialError(
          "refused",
          `registry ${name} was not made by this installation and is not as asked for: ${reasons.join("; ")}`,
          {
            hint: "apply --adopt makes it anew as asked for, with its contents; or change the document",
          },
        );
      }
      for (const reason of reasons) options.onProgress(`registry ${name} is made anew, with its contents: ${reason}`);
      return { ...(await this.#replace(desired, existing, options)), change: "recreated", reasons };
    }
    if (existing.State.Running) return { containerId: existing.Id, hostPort: hostPortOf(existing) ?? 0, change: "unchanged", reasons };
    const hostPort = await this.#start(name, existing.Id, options.signal);
    return { containerId: existing.Id, hostPort, change: "started", reasons: [`it was ${existing.State.Status}`] };
  }

  /**
   * Removes a registry with its contents, also contents whose container is gone already: a delete that was killed goes on.
   * Contents that another installation left stay.
   * @returns false when there was nothing to remove.
   */
  async delete(name: string, instance: string, signal?: AbortSignal): Promise<boolean> {
    const existing = await this.#find(name, signal);
    if (existing) await this.#docker.removeContainer(existing.Id, signal);
    const volumes = (await this.#contents(name, signal)).filter(({ Labels }) => isOf(Labels, instance)).map(({ Name }) => Name);
    for (const volume of volumes) await this.#docker.removeVolume(volume, signal);
    return existing !== undefined || volumes.length > 0;
  }

  /** The volume of a durable registry, if there is one: it is older than the container, and outlives it. */
  async #contents(name: string, signal: AbortSignal | undefined): Promise<{ Name: string; Labels: Labels | null }[]> {
    const all = await this.#docker.volumes(`${labels.registry}=${name}`, signal);
    return all.filter(({ Name }) => Name === volumeName(name));
  }

  async #find(name: string, signal?: AbortSignal): Promise<ContainerDetails | undefined> {
    const details = await this.#docker.container(name, signal);
    if (!details || details.Name !== `/${name}`) return undefined; // Docker also finds by the beginning of an id.
    const found = details.Config.Labels ?? {};
    return found[labels.registry] === name || found[ctlptlRole.name] === ctlptlRole.value ? details : undefined;
  }

  /**
   * A command that was killed before it had pinned the port left a container that nobody was told of, and that would change
   * its port with every start: it goes, and its contents stay.
   */
  async #findWhole(name: string, options: EnsureOptions): Promise<ContainerDetails | undefined> {
    const found = await this.#find(name, options.signal);
    const isHalfMade =
      found &&
      options.isDurable &&
      isOf(found.Config.Labels, options.ownership.instance) &&
      ownershipIn(found.Config.Labels)?.owner === "declared" &&
      !isPinned(found);
    if (!isHalfMade) return found;
    await this.#docker.removeContainer(found.Id, options.signal, { keepVolumes: true });
    return undefined;
  }

  async #refuseForeign(name: string, signal: AbortSignal | undefined): Promise<void> {
    const other = await this.#docker.container(name, signal);
    if (other && other.Name === `/${name}`) {
      throw new SeatrialError(
        "refused",
        `registry ${name} was not made: a container of that name is there already, and it is not a registry of Seatrial or ctlptl (image ${other.Config.Image})`,
        {
          hint: `give the registry another name, or remove that container: docker rm -f ${name}`,
        },
      );
    }
  }

  /** Makes a registry where there was none. When that fails nothing of it is left, but for contents that were there before. */
  async #create(desired: Registry, options: EnsureOptions): Promise<{ containerId: string; hostPort: number }> {
    const name = desired.metadata.name;
    const contents = options.isDurable ? await this.#contents(name, options.signal) : [];
    if (contents.some(({ Labels }) => !isOf(Labels, options.ownership.instance))) {
      throw new SeatrialError(
        "refused",
        `registry ${name} was not made: volume ${volumeName(name)} has what another installation's registry of that name held`,
        {
          hint: `choose another name, or remove that volume: docker volume rm ${volumeName(name)}`,
        },
      );
    }
    const hadContents = contents.length > 0;
    try {
      return await this.#createPinned(desired, options);
    } catch (error) {
      if (options.isDurable && !hadContents) await this.#docker.removeVolume(volumeName(name)).catch(() => {}); // The first error says more.
      throw error;
    }
  }

  /** A port that the daemon chose is pinned by making the container again with it. */
  async #createPinned(desired: Registry, options: EnsureOptions): Promise<{ containerId: string; hostPort: number }> {
    const { signal } = options;
    const name = desired.metadata.name;
    const image = await this.#ensureImage(desired.spec.image, undefined, options);
    const wantedPort = desired.spec.port || 0;
    for (let attempt = 1, port = wantedPort; ; attempt++) {
      const containerId = await this.#docker.createContainer(name, containerBody(desired, image, undefined, port, options), signal);
      try {
        const hostPort = await this.#start(name, containerId, signal);
        if (!options.isDurable || port === hostPort) return { containerId, hostPort };
        port = hostPort;
        await this.#docker.removeContainer(containerId, signal);
      } catch (error) {
        await this.#docker.removeContainer(containerId).catch(() => {}); // The first error says more.
        const isTaken = error instanceof SeatrialError && error.code === "conflict";
        if (!isTaken || wantedPort !== 0 || attempt >= limits.portAttempts) throw error;
        port = 0;
      }
    }
  }

  /**
   * Makes a registry anew over the same contents. The old container is removed only when the new one runs; when that does
   * not start, the old one is back as it was.
   */
  async #replace(
    desired: Registry,
    previous: ContainerDetails,
    options: EnsureOptions,
  ): Promise<{ containerId: string; hostPort: number }> {
    const { signal } = options;
    const name = desired.metadata.name;
    const image = await this.#ensureImage(desired.spec.image, previous, options);
    const port = desired.spec.port || hostPortOf(previous) || 0;
    const containerId = await this.#docker.createContainer(
      successorName(name),
      containerBody(desired, image, previous, port, options),
      signal,
    );
    let hostPort: number;
    try {
      if (previous.State.Running) await this.#docker.stopContainer(previous.Id, signal);
      hostPort = await this.#start(name, containerId, signal);
      await this.#rejoin(containerId, name, previous, signal);
    } catch (error) {
      await this.#docker.removeContainer(containerId, undefined, { keepVolumes: true }).catch(() => {}); // The first error says more.
      if (previous.State.Running) await this.#docker.startContainer(previous.Id).catch(() => {});
      throw error;
    }
    // From here on the new one is the registry, whatever comes: the next command finishes what is not finished here.
    await this.#docker.removeContainer(previous.Id, undefined, { keepVolumes: true });
    await this.#docker.renameContainer(containerId, name);
    return { containerId, hostPort };
  }

  /** A command that was killed while it made a registry anew left two containers, or the new one under its first name. */
  async #finishReplacing(name: string, instance: string, signal: AbortSignal | undefined): Promise<void> {
    const successor = await this.#docker.container(successorName(name), signal);
    if (!successor || successor.Config.Labels?.[labels.registry] !== name || !isOf(successor.Config.Labels, instance)) return;
    if (await this.#docker.container(name, signal)) await this.#docker.removeContainer(successor.Id, signal, { keepVolumes: true });
    else await this.#docker.renameContainer(successor.Id, name, signal);
  }

  /** @returns the port on the Docker host. */
  async #start(name: string, id: string, signal: AbortSignal | undefined): Promise<number> {
    try {
      await this.#docker.startContainer(id, signal);
      const hostPort = hostPortOf(await this.#docker.container(id, signal));
      if (hostPort) return hostPort;
      const words = await this.#docker.containerLogs(id, limits.errorTailLines, signal);
      throw new SeatrialError("command-failed", `registry ${name} ended as soon as it was started: ${words}`);
    } catch (error) {
      if (!(error instanceof DockerError) || !/port is already allocated|address already in use/.test(error.message)) throw error;
      const port = /(\d+(?:\.\d+){3}:\d+)/.exec(error.message)?.[1] ?? "its port";
      throw new SeatrialError("conflict", `registry ${name} was not started: ${port} on the Docker host is taken by another program`, {
        hint: "docker ps and ss -ltnp on that host show by which; choose another port (0 for any) or end that program",
        cause: error,
      });
    }
  }

  /** The networks of clusters that the registry was on before it was made anew. */
  async #rejoin(containerId: string, name: string, previous: ContainerDetails | undefined, signal: AbortSignal | undefined): Promise<void> {
    for (const [network, { NetworkID }] of Object.entries(previous?.NetworkSettings.Networks ?? {})) {
      if (network !== "bridge" && NetworkID) await this.#docker.connect(NetworkID, containerId, [name], signal);
    }
  }

  async #ensureImage(asked: string | undefined, previous: ContainerDetails | undefined, options: EnsureOptions): Promise<string> {
    const wanted = asked ?? previous?.Config.Image ?? defaultImage;
    if (await this.#docker.image(wanted, options.signal)) return wanted;
    if (!asked) {
      const offline = (await this.#docker.images({ reference: [offlineRepository] }, options.signal)).flatMap(
        ({ RepoTags }) => RepoTags ?? [],
      );
      const newest = offline.sort().at(-1);
      if (newest) return newest;
    }
    options.onProgress(`pulling ${wanted}`);
    await this.#docker.pullImage(wanted, options.signal);
    return wanted;
  }
}

/** Why an existing registry is not what was asked for, as sentences. An absent field means "as it is". */
export function reasonsToRecreate(existing: ContainerDetails, desired: Registry): string[] {
  const reasons: string[] = [];
  const { spec } = desired;
  const current = {
    image: existing.Config.Image,
    port: hostPortOf(existing),
    address: listenAddressOf(existing),
    env: existing.Config.Env ?? [],
    labels: existing.Config.Labels ?? {},
  };
  if (spec.port && current.port && spec.port !== current.port) reasons.push(`its port is ${current.port}, asked for is ${spec.port}`);
  if (spec.listenAddress && current.address && spec.listenAddress !== current.address)
    reasons.push(`it listens on ${current.address}, asked for is ${spec.listenAddress}`);
  if (spec.image && normalized(spec.image) !== normalized(current.image))
    reasons.push(`its image is ${current.image}, asked for is ${spec.image}`);
  for (const [name, value] of Object.entries(spec.labels ?? {})) {
    if (current.labels[name] !== value) reasons.push(`its label ${name} is ${current.labels[name] ?? "not there"}, asked for is ${value}`);
  }
  // Only what was asked for counts: images bring variables of their own. Values may be secrets.
  for (const entry of spec.env ?? []) {
    if (!current.env.includes(entry)) reasons.push(`its variable ${entry.slice(0, entry.indexOf("="))} is not as asked for`);
  }
  return reasons;
}

function containerBody(
  desired: Registry,
  image: string,
  previous: ContainerDetails | undefined,
  port: number,
  options: EnsureOptions,
): object {
  const { spec, metadata } = desired;
  const env = spec.env ?? customEnv(previous);
  const named = (entry: string) => entry.slice(0, entry.indexOf("="));
  const volume = contentsOf(previous) ?? (options.isDurable ? volumeName(metadata.name) : undefined);
  const allLabels: Labels = {
    ...spec.labels,
    [ctlptlRole.name]: ctlptlRole.value,
    ...ownershipLabels(options.ownership),
    [labels.uid]: options.uid,
    [labels.registry]: metadata.name,
    // Values of variables may be secrets: they are in the container's own environment, and need not be in a label too.
    [labels.resource]: JSON.stringify({ ...desired, spec: { ...spec, env: env.map((entry) => `${named(entry)}=`) } }),
  };
  return {
    Image: image,
    Hostname: metadata.name,
    Env: [...defaultEnv.filter((entry) => !env.some((own) => named(own) === named(entry))), ...env],
    Labels: allLabels,
    ExposedPorts: { [containerPort]: {} },
    ...(volume ? {} : { Volumes: { [dataDirectory]: {} } }),
    HostConfig: {
      PortBindings: {
        [containerPort]: [
          { HostIp: spec.listenAddress ?? listenAddressOf(previous) ?? registryDefaults.listenAddress, HostPort: String(port) },
        ],
      },
      RestartPolicy: { Name: options.isDurable ? "always" : "no" },
      ...(volume
        ? {
            Mounts: [
              {
                Type: "volume",
                Source: volume,
                Target: dataDirectory,
                VolumeOptions: { Labels: { ...ownershipLabels(options.ownership), [labels.registry]: metadata.name } },
              },
            ],
          }
        : {}),
    },
  };
}

/** The variables that the user once asked for: the label has their names, the container their values. */
function customEnv(previous: ContainerDetails | undefined): string[] {
  const recorded = recordedResource(previous?.Config.Labels);
  if (!previous || !recorded) return [];
  const names = (recorded.spec.env ?? []).map((entry) => entry.slice(0, entry.indexOf("=")));
  return (previous.Config.Env ?? []).filter((entry) => names.includes(entry.slice(0, entry.indexOf("="))));
}

function observed(details: ContainerDetails): Registry {
  const found = details.Config.Labels ?? {};
  const ownership = ownershipIn(found);
  const recorded = recordedResource(found);
  const name = details.Name.replace(/^\//, "");
  const bridge = details.NetworkSettings.Networks["bridge"]?.IPAddress;
  const port = hostPortOf(details);
  const address = listenAddressOf(details);
  return {
    apiVersion: "seatrial.dev/v1alpha1",
    kind: "Registry",
    metadata: recorded?.metadata ?? { name },
    spec: { ...recorded?.spec, ...(recorded?.spec.env ? { env: customEnv(details) } : {}) },
    status: {
      creationTimestamp: details.Created.replace(/\.\d+Z$/, "Z"),
      ...(bridge ? { ipAddress: bridge } : {}),
      ...(address ? { listenAddress: address } : {}),
      ...(port ? { hostPort: port } : {}),
      containerPort: Number(containerPort.split("/")[0]),
      networks: Object.keys(details.NetworkSettings.Networks).sort(),
      containerId: details.Id,
      state: details.State.Status,
      labels: found,
      env: details.Config.Env ?? [],
      image: details.Config.Image,
      ...(ownership ? { owner: describeOwner(ownership.owner) } : {}),
      ...(ownership?.notAfter ? { notAfter: ownership.notAfter.toISOString() } : {}),
    },
  };
}

/** The port on the Docker host, of a running container as it is, of a stopped one as it was asked for. */
function hostPortOf(details: ContainerDetails | undefined): number | undefined {
  const published =
    details?.NetworkSettings.Ports[containerPort]?.[0]?.HostPort ?? details?.HostConfig.PortBindings?.[containerPort]?.[0]?.HostPort;
  return Number(published) || undefined;
}

function isPinned(details: ContainerDetails): boolean {
  return Number(details.HostConfig.PortBindings?.[containerPort]?.[0]?.HostPort) > 0;
}

function listenAddressOf(details: ContainerDetails | undefined): string | undefined {
  return details?.HostConfig.PortBindings?.[containerPort]?.[0]?.HostIp || undefined;
}

/** The volume that holds what was pushed. */
function contentsOf(details: ContainerDetails | undefined): string | undefined {
  return details?.Mounts.find(({ Destination, Type }) => Destination === dataDirectory && Type === "volume")?.Name;
}

/** The name of the new container as long as the old one is there. */
function successorName(name: string): string {
  return `${name}-successor`;
}

function volumeName(registry: string): string {
  return `seatrial-registry-${registry}`;
}

/** `registry:2` and `docker.io/library/registry:2` are the same image. */
function normalized(reference: string): string {
  return reference.replace(/^docker\.io\//, "").replace(/^library\//, "");
}

/** Waits until a registry answers on a port of this machine. */
export async function waitForRegistry(port: number, signal?: AbortSignal, timeoutMs: number = limits.dockerRequestMs): Promise<void> {
  await waitFor(
    `the registry on port ${port} to answer`,
    async () => {
      const timeout = AbortSignal.timeout(limits.apiRequestMs);
      const answer = await fetch(`http://127.0.0.1:${port}/v2/`, { signal: signal ? AbortSignal.any([signal, timeout]) : timeout }).catch(
        () => undefined,
      );
      if (answer?.ok || answer?.status === 401) return true;
      await pause(50, signal);
      return undefined;
    },
    { timeoutMs, pollMs: 50, signal },
  );
}

function isOf(found: Labels | null | undefined, instance: string): boolean {
  return ownershipIn(found)?.instance === instance;
}

/** The registry as it was applied. Anybody may have written a label: what cannot be read counts as none. */
function recordedResource(found: Labels | null | undefined): Registry | undefined {
  try {
    const parsed = registrySchema.safeParse(JSON.parse(found?.[labels.resource] ?? ""));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

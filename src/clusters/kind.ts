/**
 * Clusters of Docker containers, made by an unmodified kind.
 *
 * kind makes the nodes and runs kubeadm; Seatrial makes the network before it, gives it a node image with our labels,
 * wires the registry while kubeadm runs, and deletes by label through Docker's API. Nothing here asks kind what is there.
 */
import { readFile } from "node:fs/promises";
import { Duplex, Readable } from "node:stream";
import { stringify } from "yaml";
import type { Environment } from "../base/environment.ts";
import { messageOf, type Problem, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { together } from "../base/together.ts";
import { waitFor } from "../base/wait.ts";
import { type DockerClient, isConflict } from "../docker/client.ts";
import type { ContainerSummary, Labels } from "../docker/objects.ts";
import { freePort, probePort } from "../docker/ports.ts";
import { labels, ownershipIn, ownershipLabels } from "../docker/ownership.ts";
import { stopDaemon } from "../process/daemon.ts";
import { lifeOf } from "../process/identity.ts";
import { processesMarked } from "../process/marked.ts";
import { CommandFailedError, run } from "../process/run.ts";
import type { DockerHost } from "../hosts/docker-host.ts";
import type { Programs } from "../programs/programs.ts";
import { defaultKubernetesVersion } from "../programs/versions.ts";
import { type Cluster, clusterSchema } from "../resources/cluster.ts";
import { extractTar } from "./archive.ts";
import { keepBelow, keepError, type KeepFile, keepPart } from "./keep.ts";
import { kindConfigOf } from "./kind-config.ts";
import { renameKubeconfig } from "./kubeconfig.ts";
import { writeFileWhole } from "../process/whole-file.ts";
import { loadImages } from "./load-images.ts";
import { createNetwork, ensureSharedNetwork, networksNamed } from "./networks.ts";
import { ensureNodeImage, findNodeImage, labelImage, layersDigest } from "./node-image.ts";
import type {
  ClusterParts,
  ClusterProvider,
  CreateRequest,
  Expectations,
  LoadedImage,
  ObservedCluster,
  RegistryForNodes,
  Target,
} from "./provider.ts";
import { variablesFor, wireRegistry } from "./registry-wiring.ts";

/** kind's labels on its containers: its public way of telling which cluster a container is of. */
const kindLabels = { cluster: "io.x-k8s.kind.cluster", role: "io.x-k8s.kind.role" } as const;

/** The variable that a running kind carries, with the uid of its cluster: it outlives a command that was killed. */
const kindMark = "SEATRIAL_KIND_UID";

/** Of the API server, in the control plane's node. */
const apiPort = 6443;

export interface KindOptions {
  docker: DockerClient;
  host: DockerHost;
  programs: Programs;
  environment: Environment;
}

export class KindProvider implements ClusterProvider {
  readonly name = "kind";
  readonly capabilities = { hasNodes: true, needsDocker: true };
  readonly #docker: DockerClient;
  readonly #options: KindOptions;

  constructor(options: KindOptions) {
    this.#docker = options.docker;
    this.#options = options;
  }

  validate(_cluster: Cluster): Problem[] {
    return [];
  }

  async create(request: CreateRequest): Promise<void> {
    const { cluster, uid, ownership, signal } = request;
    const name = cluster.metadata.name;
    const ours = { ...ownershipLabels(ownership), [labels.cluster]: name, [labels.uid]: uid };
    const hasIpv6 = ["ipv6", "dual"].includes(cluster.spec.kind?.config?.networking?.ipFamily ?? "ipv4");
    const [kind, images, networkId, { CgroupVersion }] = await together(signal, (all) => [
      this.#options.programs.find({ name: "kind" }, all),
      this.#prepareImages({ ...request, signal: all }, { ...ours, [labels.resource]: JSON.stringify(withoutCredentials(cluster)) }),
      (request.network ? ensureSharedNetwork : createNetwork)(this.#docker, networkOf({ ...request, name }), {
        labels: request.network ? ownershipLabels(ownership) : ours,
        seed: parseInt(uid.slice(0, 6), 16),
        hasIpv6,
        signal: all,
      }),
      this.#docker.info(all),
    ]);
    request.onPrepared?.();
    const config = kindConfigOf(cluster, { images, apiServerPort: request.apiServerPort, isCgroupV1: CgroupVersion === "1" });
    await together(signal, (both) => [
      this.#runKind(kind.path, { ...request, signal: both }, stringify(config)),
      request.registry ? this.#wireWhenUp({ ...request, signal: both }, networkId) : Promise.resolve(),
    ]);
    await this.#makeReachable({ name, uid, directory: request.directory }, request.kubeconfig);
  }

  /** On a remote host the API's port is that host's: the kubeconfig gets one of ours that leads there. */
  async #makeReachable(target: Target, kubeconfig: string, wantedPort?: number): Promise<void> {
    if (this.#options.host.isLocal) return;
    const text = await readFile(kubeconfig, "utf8");
    const localPort = await this.#leadTo(target, portIn(text), wantedPort);
    await writeFileWhole(kubeconfig, text.replace(/server: .*/, `server: https://127.0.0.1:${localPort}`));
  }

  async #leadTo(target: Target, publishedPort: number, wantedPort: number | undefined): Promise<number> {
    try {
      const dial = async () => await this.dial(target, "127.0.0.1", apiPort);
      return (await this.#options.host.forward(publishedPort, { localPort: wantedPort, dial })).localPort;
    } catch (error) {
      // Another command of ours, such as `seatrial tunnel`, leads there already; whoever asks the API next will see.
      if (wantedPort !== undefined && error instanceof SeatrialError && error.code === "conflict") return wantedPort;
      throw error;
    }
  }

  /** Where the API is published: by the load balancer where there are several control planes. */
  async #publishedApi(target: Target, signal: AbortSignal | undefined): Promise<{ HostIp: string; HostPort: string } | undefined> {
    const nodes = await this.#nodes(target.name, target.uid, signal);
    const front = nodes.find(({ Labels }) => Labels[kindLabels.role] === "external-load-balancer") ?? nodes.find(isControlPlane);
    return front && (await this.#docker.container(front.Id, signal))?.NetworkSettings.Ports["6443/tcp"]?.[0];
  }

  async reach(target: Target, kubeconfig: string, signal?: AbortSignal): Promise<void> {
    if (this.#options.host.isLocal) return;
    const published = await this.#publishedApi(target, signal);
    if (!published)
      throw new SeatrialError(
        "conflict",
        `the API of cluster ${target.name} is not published on its Docker host: its container does not run`,
      );
    await this.#leadTo(target, Number(published.HostPort), portIn(await readFile(kubeconfig, "utf8")));
  }

  /** Labelled images for this cluster's nodes: by the name that the user gave, or under "" for nodes without one. */
  async #prepareImages(request: CreateRequest, all: Labels): Promise<Map<string, string>> {
    const { cluster, uid, onProgress, signal } = request;
    const nodes = cluster.spec.kind?.config?.nodes ?? [];
    const names = new Set(nodes.length > 0 ? nodes.map(({ image }) => image ?? "") : [""]);
    const tags = await Promise.all(
      [...names].map(async (name, i) => {
        const base = name
          ? await ensureNodeImage(this.#docker, name, onProgress, signal)
          : await findNodeImage(this.#docker, cluster.spec.kubernetesVersion ?? minorOf(defaultKubernetesVersion), onProgress, signal);
        const tag = `seatrial/node-${cluster.metadata.name}:${uid.slice(0, 8)}-${i}`;
        await labelImage(this.#docker, base, tag, all, signal);
        return [name, tag] as const;
      }),
    );
    return new Map(tags);
  }

  async #runKind(kind: string, request: CreateRequest, config: string): Promise<void> {
    const { variables } = this.#options.environment;
    const name = request.cluster.metadata.name;
    const args = ["create", "cluster", "--name", name, "--config", "-", "--kubeconfig", request.kubeconfig, "--retain"];
    try {
      await run(kind, [...args, ...(request.cluster.spec.kind?.extraCreateArguments ?? [])], {
        env: {
          ...variables,
          ...this.#options.host.environment,
          KUBECONFIG: undefined,
          KIND_CLUSTER_NAME: undefined,
          KIND_EXPERIMENTAL_PROVIDER: "docker",
          KIND_EXPERIMENTAL_DOCKER_NETWORK: networkOf({ ...request, name }),
          [kindMark]: request.uid,
        },
        input: config,
        signal: request.signal,
        timeoutMs: limits.clusterReadyMs,
      });
    } catch (error) {
      throw error instanceof CommandFailedError ? explainKind(error, name) : error;
    }
  }

  /** Puts the registry on the network and its names into every node, as soon as the nodes' containers are there. */
  async #wireWhenUp(request: CreateRequest, networkId: string): Promise<void> {
    const registry = request.registry!;
    const { containerId, hostPort, clientPort } = await registry.ready;
    await this.#join(networkId, containerId, registry.name, request.signal);
    await wireRegistry(this.#docker, () => this.#nodes(request.cluster.metadata.name, request.uid), {
      nodes: nodeCountOf(request.cluster),
      name: registry.name,
      ports: [hostPort, ...(clientPort ? [clientPort] : [])],
      mirrors: registry.mirrors,
      auths: request.cluster.spec.registryAuths ?? [],
      variables: variablesFor(request.ownership, this.#options.environment.variables),
      signal: request.signal,
    });
  }

  async choosePort(cluster: Cluster, signal?: AbortSignal): Promise<number | undefined> {
    if (cluster.spec.kind?.config?.networking?.apiServerPort) return undefined; // The user chose it.
    if (this.#options.host.isLocal) return await freePort();
    const base = await findNodeImage(this.#docker, cluster.spec.kubernetesVersion ?? minorOf(defaultKubernetesVersion), () => {}, signal);
    return await probePort(this.#docker, base, signal);
  }

  async configure(target: Target, cluster: Cluster, registry: RegistryForNodes | undefined, signal?: AbortSignal): Promise<void> {
    const nodes = await this.#nodes(target.name, target.uid, signal);
    const running = await registry?.ready;
    if (running) {
      for (const network of Object.values(nodes[0]?.NetworkSettings?.Networks ?? {}))
        await this.#join(network.NetworkID, running.containerId, registry!.name, signal);
    }
    await wireRegistry(this.#docker, async () => nodes, {
      nodes: nodes.length,
      name: registry?.name ?? "",
      ports: running ? [running.hostPort] : [],
      mirrors: [],
      auths: cluster.spec.registryAuths ?? [],
      variables: this.#options.environment.variables,
      signal,
    });
  }

  async #join(networkId: string, containerId: string, alias: string, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#docker.connect(networkId, containerId, [alias], signal);
    } catch (error) {
      if (!isConflict(error) && !/already exists/.test(messageOf(error))) throw error;
    }
  }

  expectations(cluster: Cluster): Expectations {
    // Without a pod network no node becomes Ready before the user has put one in.
    const hasNetwork = cluster.spec.kind?.config?.networking?.disableDefaultCNI !== true;
    return {
      nodes: hasNetwork ? nodeCountOf(cluster) : 0,
      hasControllerManager: true,
      clusterDomain: cluster.spec.clusterDomain ?? "cluster.local",
    };
  }

  async trouble(target: Target): Promise<string | undefined> {
    const nodes = await this.#nodes(target.name, target.uid);
    if (nodes.length === 0) return "its containers are gone";
    const bad = nodes.find(({ State }) => State !== "running" && State !== "created");
    return bad ? `node ${nameOf(bad)} is ${bad.State}` : undefined;
  }

  async askDns(target: Target, address: string, query: Buffer, signal?: AbortSignal): Promise<Buffer | undefined> {
    const node = (await this.#nodes(target.name, target.uid)).find(isControlPlane);
    if (!node) return undefined;
    const bytes = [...query].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
    // bash opens TCP connections by itself: nothing need be in the node image. The answer is cut at 512 bytes.
    const script = `exec 3<>/dev/tcp/${address}/53 && printf '${bytes}' >&3 && head -c 14 <&3`;
    const { exitCode, stdout } = await this.#docker.exec(node.Id, ["timeout", "5", "bash", "-c", script], { signal });
    return exitCode === 0 && stdout.length > 0 ? stdout : undefined;
  }

  async list(signal?: AbortSignal): Promise<ObservedCluster[]> {
    const byName = Map.groupBy(await this.#docker.containers([kindLabels.cluster], signal), ({ Labels }) => Labels[kindLabels.cluster]!);
    return [...byName].flatMap(([name, all]) => {
      const nodes = all.filter((container) => container.Labels[kindLabels.role] !== undefined);
      if (nodes.length === 0) return []; // Anybody may use kind's label: a container without a role is no node.
      const found = (nodes.find(isControlPlane) ?? nodes[0])?.Labels;
      const states = new Set(nodes.map(({ State }) => State));
      return {
        provider: this.name,
        name,
        uid: found?.[labels.uid],
        ownership: ownershipIn(found),
        resource: recordedResource(found?.[labels.resource]),
        state: states.size > 1 ? "partial" : states.has("running") ? "running" : states.has("paused") ? "paused" : "stopped",
        createdAt: new Date(Math.min(...nodes.map(({ Created }) => Created)) * 1000),
        network: Object.keys(nodes[0]?.NetworkSettings?.Networks ?? {})[0],
        parts: nodes.map(({ Id }) => Id),
      };
    });
  }

  async start(target: Target, signal?: AbortSignal): Promise<void> {
    const nodes = await this.#nodes(target.name, target.uid, signal);
    await Promise.all(
      nodes.filter(({ State }) => State !== "running" && State !== "paused").map(({ Id }) => this.#docker.startContainer(Id, signal)),
    );
  }

  /** admin.conf of the control plane, with the address that Docker published; what kind itself does. */
  async writeKubeconfig(target: Target, path: string, signal?: AbortSignal): Promise<void> {
    const node = (await this.#nodes(target.name, target.uid, signal)).find(isControlPlane);
    if (!node) throw new SeatrialError("not-found", `cluster ${target.name} has no control-plane container`);
    const read = await this.#docker.exec(node.Id, ["cat", "/etc/kubernetes/admin.conf"], { signal });
    if (read.exitCode !== 0)
      throw new SeatrialError(
        "command-failed",
        `could not read the kubeconfig of cluster ${target.name}: ${read.stderr.toString().trim()}`,
      );
    const published = await this.#publishedApi(target, signal);
    if (!published)
      throw new SeatrialError("conflict", `the API of cluster ${target.name} is not published on the Docker host`, {
        hint: `docker ps -a --filter name=${nameOf(node)} shows whether it runs`,
      });
    const address = published.HostIp.includes(":") ? `[${published.HostIp}]` : published.HostIp;
    const text = renameKubeconfig(read.stdout.toString("utf8"), `kind-${target.name}`, `https://${address}:${published.HostPort}`);
    // The port of ours that people and a `seatrial tunnel` know stays.
    const before = portIn(await readFile(path, "utf8").catch(() => "")) || undefined;
    await writeFileWhole(path, text);
    await this.#makeReachable(target, path, before);
  }

  /** As kind's internal kubeconfig has it: by the load balancer before several control planes. */
  async inside(target: Target, signal?: AbortSignal): Promise<{ server: string; network: string }> {
    const { name } = target;
    const balancer = await this.#docker.container(`${name}-external-load-balancer`, signal);
    return { server: `https://${name}-${balancer ? "external-load-balancer" : "control-plane"}:6443`, network: networkOf(target) };
  }

  /** By `docker exec` into a node; bash opens TCP connections by itself, so nothing need be in the node image. */
  async dial(target: Target, address: string, port: number): Promise<Duplex> {
    const node = (await this.#nodes(target.name, target.uid)).find(isControlPlane);
    if (!node)
      throw new SeatrialError("unreachable", `cluster ${target.name} has no node yet that could reach ${address}:${port}`, {
        retryable: true,
      });
    // When one direction has ended, so has the other: what is left of the two would wait for ever.
    const script = `exec 3<>/dev/tcp/${address}/${port} 4<&0 || exit; cat <&3 & a=$!; cat <&4 >&3 & b=$!; wait -n; kill $a $b`;
    const { socket, demultiplexed } = await this.#docker.dialExec(node.Id, ["bash", "-c", script]);
    return Duplex.from({ writable: socket, readable: Readable.from(demultiplexed, { objectMode: false }) });
  }

  /** A route in each node to the pods of each node of the others: on one network all nodes are neighbours. */
  async join(targets: readonly Target[], signal?: AbortSignal): Promise<void> {
    const clusters = await Promise.all(
      targets.map(async (target) => {
        const nodes = await this.#nodes(target.name, target.uid, signal);
        const ranges = await this.#podRanges(nodes.find(isControlPlane), signal);
        return { nodes, routes: ranges.flatMap(({ node, range }) => routeTo(nodes, node, range, networkOf(target))) };
      }),
    );
    for (const { nodes, routes } of clusters) {
      const own = new Set(routes.map(({ range }) => range));
      const others = clusters.flatMap((each) => each.routes).filter(({ range }) => !own.has(range));
      const script = others.map(({ range, address }) => `ip route replace ${range} via ${address}`).join(" && ") || "true";
      for (const node of nodes.filter(({ Labels }) => Labels[kindLabels.role] !== "external-load-balancer")) {
        const { exitCode, stderr } = await this.#docker.exec(node.Id, ["sh", "-c", script], { privileged: true, signal });
        if (exitCode !== 0)
          throw new SeatrialError("command-failed", `no route from node ${nameOf(node)} to other clusters: ${stderr.toString().trim()}`);
      }
    }
  }

  /** Which addresses the pods of each node have; none of a node whose network is the user's own. */
  async #podRanges(node: ContainerSummary | undefined, signal: AbortSignal | undefined): Promise<{ node: string; range: string }[]> {
    if (!node) return [];
    const columns = 'jsonpath={range .items[*]}{.metadata.name} {.spec.podCIDR}{"\\n"}{end}';
    const argv = ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get", "nodes", "-o", columns];
    const { exitCode, stdout, stderr } = await this.#docker.exec(node.Id, argv, { signal });
    if (exitCode !== 0)
      throw new SeatrialError("command-failed", `could not read the addresses of pods on ${nameOf(node)}: ${stderr.toString().trim()}`);
    return [...stdout.toString().matchAll(/^(\S+) ([\d.]+\/\d+)$/gm)].map(([, name = "", range = ""]) => ({ node: name, range }));
  }

  async parts(target: Target, signal?: AbortSignal): Promise<ClusterParts> {
    const [kind, nodes] = await Promise.all([
      this.#options.programs.find({ name: "kind" }, signal),
      this.#nodes(target.name, target.uid, signal),
    ]);
    const images = await Promise.all(
      nodes.map(async (node) => {
        const container = await this.#docker.container(node.Id, signal);
        const image = container && (await this.#docker.image(container.Image, signal));
        return [nameOf(node).replace(`${target.name}-`, ""), image ? layersDigest(image) : ""] as const;
      }),
    );
    return { programs: { kind: kind.path }, images: Object.fromEntries(images) };
  }

  async collectLogs(target: Target, keep: KeepFile, signal?: AbortSignal): Promise<void> {
    const nodes = await this.#nodes(target.name, target.uid, signal);
    await Promise.all(nodes.map((node) => this.#collectNode(node, keepBelow(keep, nameOf(node)), signal)));
  }

  async #collectNode(node: ContainerSummary, keep: KeepFile, signal: AbortSignal | undefined): Promise<void> {
    const printed = async (argv: string[]) => (await this.#docker.exec(node.Id, argv, { signal })).stdout;
    await keepPart(keep, "inspect.json", async () => JSON.stringify(await this.#docker.container(node.Id, signal), null, 2));
    await keepPart(keep, "serial.log", async () => await this.#docker.containerLogs(node.Id, 10_000, signal));
    if (node.State === "running") {
      const journal = ["sh", "-c", "command -v journalctl >/dev/null && journalctl --no-pager || true"];
      await keepPart(keep, "journal.log", async () => await printed(journal));
      await keepPart(keep, "images.log", async () => await printed(["ctr", "-n", "k8s.io", "images", "ls", "-q"]));
    }
    try {
      const archive = await this.#docker.readArchive(node.Id, "/var/log", signal);
      if (archive) await extractTar(archive, keep);
    } catch (error) {
      await keepError(keep, "var-log", error);
    }
  }

  async loadImages(target: Target, references: readonly string[], signal?: AbortSignal): Promise<LoadedImage[]> {
    const nodes = (await this.#nodes(target.name, target.uid, signal)).filter(
      ({ Labels }) => Labels[kindLabels.role] !== "external-load-balancer",
    );
    return await loadImages(
      this.#docker,
      nodes.map((node) => ({ id: node.Id, name: nameOf(node) })),
      references,
      signal,
    );
  }

  async delete(target: Target, signal?: AbortSignal): Promise<void> {
    await endKind(target.uid);
    await waitFor(
      `the containers of cluster ${target.name} to be removed`,
      async () => {
        const nodes = await this.#nodes(target.name, target.uid, signal);
        await Promise.all(nodes.map(({ Id }) => this.#docker.removeContainer(Id, signal)));
        // A container that is just being made is listed, and the daemon says that it is not there: look again.
        return nodes.length === 0 ? true : undefined;
      },
      { timeoutMs: limits.dockerRequestMs, pollMs: 20, signal },
    );
    const ours = `${labels.uid}=${target.uid}`;
    const [networks, images] = await Promise.all([this.#docker.networks(ours, signal), this.#docker.images({ label: [ours] }, signal)]);
    await Promise.all([
      ...networks.map(({ Id }) => this.#docker.removeNetwork(Id, signal)),
      ...images.map((image) => this.#docker.removeListed(image, signal)),
      target.network ? this.#leaveShared(target.network, signal) : undefined,
    ]);
  }

  /** The last cluster of a job takes the network away: each looks when its own nodes are gone. */
  async #leaveShared(network: string, signal: AbortSignal | undefined): Promise<void> {
    const others = await this.#docker.containers([kindLabels.cluster], signal);
    const isUsed = others.some(({ NetworkSettings }) => NetworkSettings?.Networks[network] !== undefined);
    if (isUsed) return;
    for (const { Id } of await networksNamed(this.#docker, network, signal)) await this.#docker.removeNetwork(Id, signal);
  }

  /** The containers of one creation; for a cluster that kind or ctlptl made, `uid` is the id of one of its containers. */
  async #nodes(name: string, uid: string, signal?: AbortSignal): Promise<ContainerSummary[]> {
    const all = await this.#docker.containers([`${kindLabels.cluster}=${name}`], signal);
    if (all.some(({ Labels }) => Labels[labels.uid] === uid))
      return all.filter(({ Labels }) => Labels[labels.uid] === uid || Labels[labels.uid] === undefined);
    return all.some(({ Id }) => Id === uid) ? all : [];
  }
}

/**
 * Ends a kind whose command was killed or cut short: it and its children go on without that. `docker run` alone is left to
 * its end, which is near: the container that it makes would come after we have looked.
 */
async function endKind(uid: string): Promise<void> {
  await Promise.all(
    processesMarked(kindMark, uid).map(async ({ identity, args }) => {
      const ended = () => (lifeOf(identity) === "alive" ? undefined : true);
      if (args[0] === "run") await waitFor("docker run to end", ended, { timeoutMs: limits.stopGraceMs, pollMs: 20 }).catch(() => {});
      await stopDaemon(identity, "SIGKILL");
    }),
  );
}

function networkOf({ name, uid, network }: Pick<Target, "name" | "uid" | "network">): string {
  return network ?? networkName(name, uid);
}

export function networkName(name: string, uid: string): string {
  return `seatrial-${name}-${uid.slice(0, 8)}`;
}

/** The cluster as it was applied. Anybody may have written a label: what cannot be read counts as none. */
function recordedResource(label: string | undefined): Cluster | undefined {
  try {
    const parsed = clusterSchema.safeParse(JSON.parse(label ?? ""));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** Labels can be read by everybody who may use Docker. */
function withoutCredentials(cluster: Cluster): Cluster {
  const { registryAuths, ...spec } = cluster.spec;
  if (!registryAuths) return cluster;
  return { ...cluster, spec: { ...spec, registryAuths: registryAuths.map(({ host, endpoint }) => ({ host, endpoint })) } };
}

function nodeCountOf({ spec }: Cluster): number {
  return spec.kind?.config?.nodes?.length || (spec.nodes ?? 1);
}

function portIn(kubeconfig: string): number {
  return Number(/server: https:\/\/[^\s]+:(\d+)/.exec(kubeconfig)?.[1]);
}

function minorOf(version: string): string {
  return version.split(".").slice(0, 2).join(".");
}

function routeTo(nodes: readonly ContainerSummary[], node: string, range: string, network: string): { range: string; address: string }[] {
  const address = nodes.find((each) => nameOf(each) === node)?.NetworkSettings?.Networks[network]?.IPAddress;
  return address ? [{ range, address }] : [];
}

function isControlPlane(container: ContainerSummary): boolean {
  return container.Labels[kindLabels.role] === "control-plane";
}

function nameOf(container: ContainerSummary): string {
  return (container.Names[0] ?? container.Id).replace(/^\//, "");
}

/** What kind says, as what to do. */
function explainKind(error: CommandFailedError, name: string): SeatrialError {
  const output = `${error.stdout}\n${error.stderr}`;
  const port = /Bind for (\S+) failed: port is already allocated|listen tcp4? (\S+): bind: address already in use/.exec(output);
  if (port) {
    return new SeatrialError(
      "conflict",
      `cluster ${name} was not made: ${port[1] ?? port[2]} on the Docker host is taken by another program`,
      {
        hint: "docker ps and ss -ltnp on that host show by which; choose another port or end that program",
        cause: error,
      },
    );
  }
  if (/node\(s\) already exist for a cluster with the name/.test(output)) {
    return new SeatrialError(
      "already-exists",
      `cluster ${name} was not made: containers of a kind cluster of that name are there already`,
      { cause: error },
    );
  }
  if (/could not find a log line that matches/.test(output)) {
    return new SeatrialError(
      "timeout",
      `cluster ${name} was not made: a node did not start within the 30 s that kind gives it; the host may be overloaded`,
      { cause: error, retryable: true },
    );
  }
  if (/too many open files|inotify/.test(output)) {
    return new SeatrialError("command-failed", `cluster ${name} was not made: the Docker host is out of inotify instances`, {
      hint: "seatrial doctor shows the limits and the command that raises them",
      cause: error,
    });
  }
  // What kind prints ends with a stack trace of kubeadm: the reasons come before it.
  const reasons = [...new Set(output.split("\n").filter((line) => /^ERROR: |^\s*\[ERROR |^error: |^error execution phase/.test(line)))];
  const why =
    reasons.length > 0
      ? `kind could not make it\n${reasons
          .slice(0, limits.errorTailLines)
          .map((line) => `  | ${line.trim()}`)
          .join("\n")}`
      : error.message;
  return new SeatrialError("command-failed", `cluster ${name} was not made: ${why}`, { cause: error });
}

/**
 * Looks at the machine for `seatrial doctor`: all input and output of it, all parts at once. Nothing is changed, downloaded
 * or built; what does not answer in time is a finding, never an error.
 */
import { constants } from "node:fs";
import { access, readFile, stat, statfs } from "node:fs/promises";
import { networkInterfaces, release, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { EnvHttpProxyAgent, request } from "undici";
import type { Environment } from "../base/environment.ts";
import { messageOf, systemCodeOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { type ClusterRecords, ownershipOf } from "../clusters/records.ts";
import type { DockerClient } from "../docker/client.ts";
import type { Labels } from "../docker/objects.ts";
import { formatEndpoint, resolveDockerEndpoint } from "../docker/endpoint.ts";
import { labels, ownershipIn, reasonToReap } from "../docker/ownership.ts";
import type { DockerHost } from "../hosts/docker-host.ts";
import { run } from "../process/run.ts";
import { publicSites } from "../programs/download.ts";
import { findGo } from "../programs/go-build.ts";
import { lookInPath } from "../programs/lookup.ts";
import { type FoundProgram, type ProgramName, programNames, type Programs } from "../programs/programs.ts";
import { installers, type Machine, type Seen, troubleOf } from "./check.ts";
import type { Place, SeenDocker, SeenEndpoint } from "./docker.ts";
import type { Folder, InotifyLimits, Memory, Space } from "./host.ts";
import type { Leftover, Leftovers } from "./leftovers.ts";
import type { SeenTool, ToolName } from "./programs.ts";
import { routesIn, type SeenNetwork, type Way } from "./subnets.ts";

/** What is looked at, and how; tests give their own. */
export interface Sources {
  environment: Environment;
  platform: NodeJS.Platform;
  programs: Pick<Programs, "look">;
  records: Pick<ClusterRecords, "all" | "unreadable">;
  /** Opens the Docker host that the environment names. */
  docker(): Promise<{ host: Pick<DockerHost, "isLocal">; client: DockerClient }>;
  /** Whether a site answers. */
  reaches(url: string, signal: AbortSignal): Promise<boolean>;
}

export interface Observations {
  machine: Machine;
  programs: Record<ProgramName, Seen<FoundProgram | undefined>>;
  /** Hosts that offer the programs that are absent, and answer. */
  sites: Partial<Record<ProgramName, string>>;
  tools: Record<ToolName, Seen<SeenTool | undefined>>;
  endpoint: Seen<SeenEndpoint>;
  docker: Seen<SeenDocker>;
  networks: Seen<SeenNetwork[]>;
  /** Undefined where Docker does not run on this machine's kernel. */
  ways: Way[] | undefined;
  inotify: Seen<InotifyLimits>;
  dockerDisk: Seen<Space>;
  dataDisk: Seen<Space>;
  cacheDisk: Seen<Space>;
  memory: Memory;
  leftovers: Leftovers;
  dataFolder: Folder;
  cacheFolder: Folder;
}

/** @param signal ends every part that is still under way; {@link limits.doctorCheckMs} is the time they have. */
export async function look(sources: Sources, signal: AbortSignal): Promise<Observations> {
  const { environment, platform } = sources;
  const seen = <T>(work: () => Promise<T>) => inTime(work, signal);
  const endpointSeen = seen(async () => await lookAtEndpoint(environment));
  const dockerSeen = seen(async () => await lookAtDocker(sources, signal));
  const programsSeen = Promise.all(
    programNames.map(async (name) => [name, await seen(async () => await sources.programs.look({ name }, signal))] as const),
  );

  const [
    machine,
    programs,
    sites,
    tools,
    endpoint,
    docker,
    networks,
    inotify,
    dockerDisk,
    dataDisk,
    cacheDisk,
    leftovers,
    dataFolder,
    cacheFolder,
  ] = await Promise.all([
    seen(async () => await lookAtMachine(environment, platform)),
    programsSeen,
    programsSeen.then(async (found) => await lookForSites(absentAmong(found), sources, signal)),
    lookForTools(environment, signal),
    endpointSeen,
    dockerSeen,
    dockerSeen.then(async (found) => ("trouble" in found ? unanswered : await seen(async () => await lookAtNetworks(sources, signal)))),
    Promise.all([endpointSeen, dockerSeen]).then(async ([at, found]) => await lookAtInotify(platform, at, found)),
    dockerSeen.then(async (found) => await lookAtDockerDisk(found)),
    seen(async () => await spaceIn(environment.dataDir)),
    seen(async () => await spaceIn(environment.cacheDir)),
    lookForLeftovers(sources, dockerSeen, signal),
    lookAtFolder(environment.dataDir, signal),
    lookAtFolder(environment.cacheDir, signal),
  ]);
  const place = "value" in docker ? docker.value.place : undefined;
  return {
    machine: "value" in machine ? machine.value : { platform, isRoot: isRoot(), hasSystemd: false, installer: undefined },
    programs: Object.fromEntries(programs) as Observations["programs"],
    sites,
    tools,
    endpoint,
    docker,
    networks,
    ways: place === "here" ? await lookAtWays() : undefined,
    inotify,
    dockerDisk,
    dataDisk,
    cacheDisk,
    // macOS counts as free only what nobody has ever used.
    memory: { totalBytes: totalmem(), availableBytes: platform === "linux" ? process.availableMemory() : undefined },
    leftovers,
    dataFolder,
    cacheFolder,
  };
}

const unanswered = { trouble: "Docker does not answer" } as const;

/** The work's result; why there is none when it fails or the time is up. What ignores the signal is not waited for. */
async function inTime<T>(work: () => Promise<T>, signal: AbortSignal): Promise<Seen<T>> {
  const isUp = Promise.withResolvers<never>();
  const onAbort = () => isUp.reject(signal.reason as Error);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    return { value: await Promise.race([work(), isUp.promise]) };
  } catch (error) {
    return signal.aborted ? { trouble: `no answer within ${limits.doctorCheckMs / 1000} s` } : troubleOf(error);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function lookAtMachine(environment: Environment, platform: NodeJS.Platform): Promise<Machine> {
  const [systemd, ...found] = await Promise.all([
    exists("/run/systemd/system"),
    ...installers.map(async (name) => (await lookInPath(name, environment, ["/opt/homebrew/bin"])).length > 0),
  ]);
  return { platform, isRoot: isRoot(), hasSystemd: systemd, installer: installers.find((_, i) => found[i]) };
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

// -- programs -----------------------------------------------------------------------------------------------------------

/** The site that has each program for this platform; the control plane has none but Linux's at Kubernetes' own. */
function siteOf(name: ProgramName, platform: NodeJS.Platform): string | undefined {
  switch (name) {
    case "kind":
      return publicSites.kindReleases;
    case "kwok":
      return publicSites.kwokReleases;
    case "etcd":
      return platform === "linux" ? publicSites.etcdReleases : publicSites.envtestIndex;
    case "kubectl":
      return publicSites.kubernetes;
    case "kube-apiserver":
      return platform === "linux" ? publicSites.kubernetes : publicSites.envtestIndex;
    case "kube-controller-manager":
    case "kube-scheduler":
      return platform === "linux" ? publicSites.kubernetes : undefined;
  }
}

function absentAmong(programs: readonly (readonly [ProgramName, Seen<FoundProgram | undefined>])[]): ProgramName[] {
  return programs.flatMap(([name, seen]) => ("value" in seen && !seen.value ? [name] : []));
}

async function lookForSites(absent: readonly ProgramName[], sources: Sources, signal: AbortSignal): Promise<Observations["sites"]> {
  const wanted = absent.flatMap((name) => {
    const site = siteOf(name, sources.platform);
    return site ? [{ name, origin: new URL(site).origin }] : [];
  });
  const soon = AbortSignal.any([signal, AbortSignal.timeout(limits.doctorSiteMs)]);
  const origins = [...new Set(wanted.map(({ origin }) => origin))];
  const answers = await Promise.all(origins.map(async (origin) => await inTime(async () => await sources.reaches(origin, soon), soon)));
  const answering = new Set(origins.filter((_, i) => "value" in answers[i]! && answers[i].value));
  return Object.fromEntries(wanted.filter(({ origin }) => answering.has(origin)).map(({ name, origin }) => [name, new URL(origin).host]));
}

/** Asks a site for its front page, by the proxy that downloads go by. A proxy that lets nobody through is no answer. */
export async function reachesSite(url: string, environment: Environment, signal: AbortSignal): Promise<boolean> {
  const proxy = (name: string) => environment.variables[name.toLowerCase()] ?? environment.variables[name] ?? "";
  const dispatcher = new EnvHttpProxyAgent({
    httpProxy: proxy("HTTP_PROXY"),
    httpsProxy: proxy("HTTPS_PROXY"),
    noProxy: proxy("NO_PROXY"),
  });
  try {
    const answer = await request(url, { method: "HEAD", dispatcher, signal });
    return answer.statusCode < 500 && answer.statusCode !== 403 && answer.statusCode !== 407;
  } catch {
    return false;
  } finally {
    await dispatcher.destroy();
  }
}

/** How each tool tells its version, and where the answer has it; ssh answers on stderr. */
const toolVersions: Record<ToolName, { program: string; args: readonly string[]; pattern: RegExp }> = {
  "docker-cli": { program: "docker", args: ["--version"], pattern: /version ([^\s,]+)/ },
  git: { program: "git", args: ["--version"], pattern: /version (\S+)/ },
  ssh: { program: "ssh", args: ["-V"], pattern: /OpenSSH_([^\s,]+)/ },
  go: { program: "go", args: ["version"], pattern: /go(\d\S*)/ },
};

async function lookForTools(environment: Environment, signal: AbortSignal): Promise<Observations["tools"]> {
  const names = Object.keys(toolVersions) as ToolName[];
  const tools = await Promise.all(
    names.map(async (name) => [name, await inTime(async () => await lookForTool(name, environment, signal), signal)] as const),
  );
  return Object.fromEntries(tools) as Observations["tools"];
}

async function lookForTool(name: ToolName, environment: Environment, signal: AbortSignal): Promise<SeenTool | undefined> {
  const { program, args, pattern } = toolVersions[name];
  const path = name === "go" ? await findGo(environment) : (await lookInPath(program, environment))[0];
  if (!path) return undefined;
  try {
    // A go.mod in the current folder may name a toolchain that go would fetch to tell its version.
    const env = { PATH: environment.variables["PATH"], HOME: environment.homeDir, GOTOOLCHAIN: "local" };
    const { stdout, stderr } = await run(path, args, { env, cwd: "/", signal, timeoutMs: limits.doctorCheckMs });
    return { path, version: pattern.exec(`${stdout}\n${stderr}`)?.[1] };
  } catch {
    return { path, version: undefined };
  }
}

// -- Docker -------------------------------------------------------------------------------------------------------------

async function lookAtEndpoint(environment: Environment): Promise<SeenEndpoint> {
  const endpoint = await resolveDockerEndpoint(environment);
  const { DOCKER_HOST, DOCKER_CONTEXT } = environment.variables;
  const context = endpoint.name === "default" ? undefined : { context: endpoint.name };
  const namedBy = DOCKER_HOST ? { variable: "DOCKER_HOST" as const } : DOCKER_CONTEXT ? { variable: "DOCKER_CONTEXT" as const } : context;
  return { kind: endpoint.kind, address: formatEndpoint(endpoint), namedBy };
}

async function lookAtDocker(sources: Sources, signal: AbortSignal): Promise<SeenDocker> {
  const { host, client } = await sources.docker();
  const [version, info, images] = await Promise.all([
    client.version(signal),
    client.info(signal),
    client.images({ reference: ["kindest/node", "offline/node"] }, signal),
  ]);
  const place: Place = !host.isLocal ? "remote" : sources.platform === "linux" && version.KernelVersion === release() ? "here" : "vm";
  return {
    place,
    version: version.Version,
    apiVersion: version.ApiVersion,
    operatingSystem: info.OperatingSystem,
    cgroupVersion: info.CgroupVersion,
    isRootless: (info.SecurityOptions ?? []).some((option) => option.split(",").includes("name=rootless")),
    memoryBytes: info.MemTotal,
    rootDir: info.DockerRootDir,
    nodeImages: images.flatMap(({ RepoTags }) => RepoTags ?? []),
  };
}

/** All networks, not only ours. */
async function lookAtNetworks(sources: Sources, signal: AbortSignal): Promise<SeenNetwork[]> {
  const { client } = await sources.docker();
  return (await client.networks(undefined, signal)).map(({ Name, IPAM }) => ({
    name: Name,
    subnets: (IPAM.Config ?? []).map(({ Subnet }) => Subnet),
  }));
}

/** Only where Docker runs on this kernel, which is Linux. */
async function lookAtWays(): Promise<Way[]> {
  const addresses = Object.entries(networkInterfaces()).flatMap(([device, all]) =>
    (all ?? []).flatMap(({ family, cidr }): Way[] => (family === "IPv4" && cidr ? [{ kind: "interface", device, cidr }] : [])),
  );
  return [...addresses, ...routesIn(await readFile("/proc/net/route", "utf8").catch(() => ""))];
}

async function lookAtInotify(
  platform: NodeJS.Platform,
  endpoint: Seen<SeenEndpoint>,
  docker: Seen<SeenDocker>,
): Promise<Seen<InotifyLimits>> {
  const place = "value" in docker ? docker.value.place : undefined;
  const isElsewhere = place === undefined ? "value" in endpoint && endpoint.value.kind !== "unix" : place === "remote";
  if (isElsewhere) return { trouble: "cannot be seen from here: Docker is on another host" };
  if (place === "vm" || platform !== "linux") return { trouble: "cannot be seen from here: Docker runs in a virtual machine" };
  const read = async (name: string) => Number(await readFile(`/proc/sys/fs/inotify/${name}`, "utf8"));
  try {
    const [instances, watches] = await Promise.all([read("max_user_instances"), read("max_user_watches")]);
    return { value: { instances, watches } };
  } catch (error) {
    return troubleOf(error);
  }
}

async function lookAtDockerDisk(docker: Seen<SeenDocker>): Promise<Seen<Space>> {
  if ("trouble" in docker) return unanswered;
  const { place, rootDir } = docker.value;
  if (place !== "here") {
    return { trouble: `cannot be seen from here: ${rootDir} is ${place === "vm" ? "in Docker's virtual machine" : "on the Docker host"}` };
  }
  try {
    return { value: await spaceOf(rootDir) };
  } catch (error) {
    return { trouble: `${rootDir} cannot be seen from here: ${systemCodeOf(error) ?? messageOf(error)}` };
  }
}

// -- folders ------------------------------------------------------------------------------------------------------------

async function spaceOf(path: string): Promise<Space> {
  const { bavail, bsize } = await statfs(path);
  return { path, freeBytes: bavail * bsize };
}

/** The space that the folder has, or will have once it is made. */
async function spaceIn(path: string): Promise<Space> {
  return { ...(await spaceOf(await existing(path))), path };
}

async function lookAtFolder(path: string, signal: AbortSignal): Promise<Folder> {
  const seen = await inTime(async () => {
    const there = await existing(path);
    if (!(await stat(there)).isDirectory()) throw new Error(`${there} is no folder`);
    await access(there, constants.W_OK | constants.X_OK);
  }, signal);
  if ("value" in seen) return { path, trouble: undefined };
  const reasons: Record<string, string> = {
    EACCES: "this user may not",
    EPERM: "this user may not",
    EROFS: "the file system is read-only",
    ENOTDIR: "a part of the path is no folder",
  };
  return { path, trouble: reasons[seen.code ?? ""] ?? seen.trouble };
}

/** The folder itself or the nearest one above it that exists. */
async function existing(path: string): Promise<string> {
  return path === dirname(path) || (await exists(path)) ? path : await existing(dirname(path));
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    return systemCodeOf(error) !== "ENOENT";
  }
}

// -- leftovers ----------------------------------------------------------------------------------------------------------

/** The same two looks at the world as controllers/reap, without a deed; and those of other installations too. */
async function lookForLeftovers(sources: Sources, docker: Promise<Seen<SeenDocker>>, signal: AbortSignal): Promise<Leftovers> {
  const now = new Date();
  const instancePath = join(sources.environment.dataDir, "instance");
  const [records, unreadable, instance] = await Promise.all([
    inTime(async () => await sources.records.all(), signal),
    inTime(async () => await sources.records.unreadable(), signal),
    inTime(async () => (await readFile(instancePath, "utf8")).trim(), signal),
  ]);
  const recorded = "value" in records ? records.value : [];
  const ofRecords = recorded.flatMap((record): Leftover[] => {
    const ownership = ownershipOf(record);
    const reason = ownership && reasonToReap(ownership, now);
    return reason ? [{ what: `cluster ${record.name}`, reason, instance: record.instance }] : [];
  });
  const uids = new Set(recorded.map(({ uid }) => uid));
  const objects: Seen<Leftover[]> =
    "trouble" in (await docker) ? unanswered : await inTime(async () => await leftoverObjects(sources, uids, now, signal), signal);
  return {
    left: [...ofRecords, ...("value" in objects ? objects.value : [])],
    unseen: [
      ...[records, objects].flatMap((seen) => ("trouble" in seen ? [seen.trouble] : [])),
      ...("value" in unreadable ? unreadable.value : []).map((name) => `the record of cluster ${name} cannot be read`),
    ],
    instance: "value" in instance ? instance.value : undefined,
  };
}

/** Objects whose record is gone. */
async function leftoverObjects(sources: Sources, recorded: ReadonlySet<string>, now: Date, signal: AbortSignal): Promise<Leftover[]> {
  const { client } = await sources.docker();
  const leftover = (what: string, found: Labels | null): Leftover[] => {
    const ownership = ownershipIn(found);
    const reason = ownership && !recorded.has(found?.[labels.uid] ?? "") ? reasonToReap(ownership, now) : undefined;
    return ownership && reason ? [{ what, reason, instance: ownership.instance }] : [];
  };
  const [containers, networks, images] = await Promise.all([
    client.containers([labels.instance], signal),
    client.networks(labels.instance, signal),
    client.images({ label: [labels.instance] }, signal),
  ]);
  return [
    ...containers.flatMap(({ Id, Names, Labels: found }) => leftover(`container ${Names[0]?.slice(1) ?? Id}`, found)),
    ...networks.flatMap(({ Name, Labels: found }) => leftover(`network ${Name}`, found)),
    ...images.flatMap(({ Id, RepoTags, Labels: found }) => leftover(`image ${taggedAs(RepoTags) ?? Id}`, found)),
  ];
}

/** Older daemons list an image without a tag as `<none>:<none>`. */
function taggedAs(tags: string[] | null): string | undefined {
  return tags?.find((tag) => tag !== "<none>:<none>");
}

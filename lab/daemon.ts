/**
 * The lab's Docker daemon: its own configuration, socket, data, bridge and cgroup under `<cache>/lab/docker`, so that no
 * other daemon of the machine is configured, used or stopped by us.
 *
 * `labUp` finds one of these states: running (nothing to do); nothing there (start); or remains of a kill or of another
 * boot of the machine: processes of containers, mounts, a pid file, a socket. Those are recognised by our folder in their
 * command line and by our cgroup, removed, and the daemon started anew; images and named containers are in the data
 * folder and stay.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, readFile, readlink, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Agent, request } from "undici";
import { messageOf, SeatrialError } from "../src/base/errors.ts";
import { waitFor } from "../src/base/wait.ts";
import { startDaemon, stopDaemon } from "../src/process/daemon.ts";
import { identityOf, lifeOf, type ProcessIdentity } from "../src/process/identity.ts";
import { currentLab, hasSysResource, installPackages, lockLab, succeeds, system, systemEnvironment, type Lab } from "./lab.ts";
import { buildOwnPrograms } from "./own-programs.ts";

/** A Docker daemon of the lab: the one of this machine, or the one behind ssh (remote.ts). */
export interface LabDaemon {
  name: string;
  dir: string;
  cgroup: string;
  /** Shell lines that run in the daemon's place before it: a mount namespace's mounts. */
  prologue: readonly string[];
  /** The command that the shell is started by, for a namespace. */
  wrapper: readonly string[];
  /** More of daemon.json. */
  config: Readonly<Record<string, unknown>>;
}

interface DaemonRecord {
  dockerd: ProcessIdentity;
}

/** dockerd is up within 2 s here; a loaded machine gets time. */
const startMs = 30_000;
const bridgeCandidates = Array.from({ length: 16 }, (_, index) => `10.231.${index * 16}`);

export async function labUp(lab: Lab = currentLab()): Promise<{ dockerHost: string }> {
  await installPackages(lab);
  using _lock = await lockLab(lab, "docker");
  await raiseInotifyLimits(lab);
  const daemon = localDaemon(lab);
  if (!(await isRunning(daemon))) {
    await clearRemains(lab, daemon);
    const cidr = await makeBridge(lab);
    const others = await otherDaemons(daemon);
    if (others.length > 0) lab.say(`another Docker daemon runs here (pid ${others.join(", ")}): its firewall rules are left alone`);
    // A second daemon would throw away the first one's chains when it sets up its own.
    const config = { bridge: bridgeOf(lab), "fixed-cidr": cidr, ...(others.length > 0 ? { iptables: false } : {}) };
    await startLabDaemon(lab, { ...daemon, config });
  }
  return { dockerHost: `unix://${socketOf(daemon)}` };
}

export async function labDown(lab: Lab = currentLab()): Promise<void> {
  using _lock = await lockLab(lab, "docker");
  const daemon = localDaemon(lab);
  await stopLabDaemon(lab, daemon);
  for (const name of await bridgesOf(daemon)) await succeeds(lab, "ip", ["link", "del", name]);
  await succeeds(lab, "ip", ["link", "del", bridgeOf(lab)]);
  if ((await otherDaemons(daemon)).length === 0) await clearFirewall(lab);
}

export interface LabStatus {
  running: boolean;
  dockerHost: string;
  images: string[];
  containers: string[];
}

export async function labStatus(lab: Lab = currentLab()): Promise<LabStatus> {
  const daemon = localDaemon(lab);
  const dockerHost = `unix://${socketOf(daemon)}`;
  if (!(await isRunning(daemon))) return { running: false, dockerHost, images: [], containers: [] };
  const images = (await api(daemon, "/images/json")) as { RepoTags: string[] | null }[];
  const containers = (await api(daemon, "/containers/json?all=1")) as { Names: string[]; State: string }[];
  return {
    running: true,
    dockerHost,
    images: images
      .flatMap((image) => image.RepoTags ?? [])
      .filter((tag) => tag.startsWith("offline/"))
      .sort(),
    containers: containers.map((container) => `${container.Names[0]?.slice(1)} (${container.State})`).sort(),
  };
}

export function localDaemon(lab: Lab): LabDaemon {
  return { name: "docker", dir: join(lab.dir, "docker"), cgroup: `seatrial-lab${suffixOf(lab)}`, prologue: [], wrapper: [], config: {} };
}

/** Two labs of one machine, each in a cache of its own, share neither bridge nor cgroup. */
function suffixOf(lab: Lab): string {
  if (lab.dir === join(lab.environment.homeDir, ".cache", "seatrial", "lab")) return "";
  return createHash("sha256").update(lab.dir).digest("hex").slice(0, 6);
}

function bridgeOf(lab: Lab): string {
  return `st-lab${suffixOf(lab) || "0"}`;
}

export function socketOf(daemon: LabDaemon): string {
  return join(daemon.dir, "docker.sock");
}

/** True when the recorded process lives and answers. */
export async function isRunning(daemon: LabDaemon): Promise<boolean> {
  const record = await readRecord(daemon);
  if (!record || lifeOf(record.dockerd) !== "alive") return false;
  try {
    await api(daemon, "/_ping");
    return true;
  } catch {
    return false;
  }
}

export async function startLabDaemon(lab: Lab, daemon: LabDaemon): Promise<void> {
  const { dir } = daemon;
  const socket = socketOf(daemon);
  if (socket.length > 100) {
    throw new SeatrialError("invalid", `${socket} is too long for a socket`, { hint: "set SEATRIAL_CACHE to a shorter path" });
  }
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const startedAt = performance.now();
  const wrapped: Record<string, unknown> = {};
  if (!hasSysResource()) {
    const { runtime } = await buildOwnPrograms(lab);
    wrapped["runtimes"] = { "within-limits": { path: runtime } };
    wrapped["default-runtime"] = "within-limits";
  }
  const containerdSocket = join(dir, "containerd.sock");
  await writeFile(
    join(dir, "daemon.json"),
    JSON.stringify(
      {
        hosts: [`unix://${socket}`],
        "data-root": join(dir, "data"),
        "exec-root": join(dir, "exec"),
        pidfile: join(dir, "docker.pid"),
        containerd: containerdSocket,
        "cgroup-parent": `/${daemon.cgroup}`,
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "shutdown-timeout": 5,
        ...wrapped,
        ...daemon.config,
      },
      null,
      2,
    ),
  );
  await writeFile(
    join(dir, "containerd.toml"),
    [
      "version = 2",
      `root = ${JSON.stringify(join(dir, "containerd"))}`,
      `state = ${JSON.stringify(join(dir, "containerd-state"))}`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
      "[grpc]",
      `  address = ${JSON.stringify(containerdSocket)}`,
      "",
    ].join("\n"),
  );
  // Its own containerd too: dockerd would else take the system's where there is one.
  const script = [
    ...daemon.prologue,
    `containerd --config '${dir}/containerd.toml' >>'${dir}/containerd.log' 2>&1 &`,
    `exec dockerd --config-file '${dir}/daemon.json'`,
  ].join("\n");
  const [command, ...args] = [...daemon.wrapper, "bash", "-c", script];
  const logFile = join(dir, "dockerd.log");
  await rm(logFile, { force: true });
  const dockerd = await startDaemon(command!, args, { cwd: "/", env: systemEnvironment(lab), logFile });
  await writeFile(join(dir, "process.json.new"), JSON.stringify({ dockerd } satisfies DaemonRecord));
  await rename(join(dir, "process.json.new"), join(dir, "process.json"));
  const answers = async () => {
    if (lifeOf(dockerd) !== "alive") throw new SeatrialError("command-failed", `dockerd ended: ${tailOf(logFile)}`);
    try {
      await api(daemon, "/_ping");
      return true;
    } catch {
      return undefined;
    }
  };
  try {
    await waitFor(`the lab's Docker daemon at ${socket}`, answers, { timeoutMs: startMs, pollMs: 50 }, () => tailOf(logFile));
  } catch (error) {
    await stopLabDaemon(lab, daemon);
    throw error;
  }
  lab.say(`Docker daemon "${daemon.name}" is up in ${((performance.now() - startedAt) / 1000).toFixed(1)} s: unix://${socket}`);
}

/** Stops the daemon and all that came from it. Containers go with it, as on a shutdown of their machine. */
export async function stopLabDaemon(lab: Lab, daemon: LabDaemon): Promise<void> {
  const record = await readRecord(daemon);
  if (record && lifeOf(record.dockerd) === "alive") {
    lab.say(`stopping Docker daemon "${daemon.name}"`);
    await stopDaemon(record.dockerd);
  }
  await clearRemains(lab, daemon);
}

/** Ends what still runs, unmounts what is still mounted, and removes what only a running daemon has. */
export async function clearRemains(lab: Lab, daemon: LabDaemon): Promise<void> {
  const remains = async () => {
    const found = await processesOf(daemon);
    for (const { pid } of found) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended meanwhile.
      }
    }
    return found.length === 0 ? true : undefined;
  };
  await waitFor(`processes of the lab's daemon "${daemon.name}" to end`, remains, { timeoutMs: 20_000, pollMs: 50 });
  const mounted = (await readFile("/proc/self/mountinfo", "utf8"))
    .split("\n")
    .map((line) => (line.split(" ")[4] ?? "").replaceAll("\\040", " "))
    .filter((path) => path.startsWith(`${daemon.dir}/`))
    .sort((a, b) => b.length - a.length);
  for (const path of mounted) await succeeds(lab, "umount", ["-l", path]);
  for (const name of [
    "exec",
    "containerd-state",
    "docker.pid",
    "docker.sock",
    "containerd.sock",
    "containerd.sock.ttrpc",
    "process.json",
  ]) {
    await rm(join(daemon.dir, name), { recursive: true, force: true });
  }
  await removeCgroup(daemon.cgroup);
}

/** Processes that only our daemon can have started: they name our folder, or are in our cgroup. */
export async function processesOf(daemon: LabDaemon): Promise<ProcessIdentity[]> {
  const marks = [`${daemon.dir}/daemon.json`, `${daemon.dir}/containerd.toml`, `${daemon.dir}/containerd.sock`, `${daemon.dir}/exec/`];
  const group = new RegExp(`:/${daemon.cgroup}(/|$)`, "m");
  const found: ProcessIdentity[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    try {
      const words = (await readFile(`/proc/${entry}/cmdline`, "utf8")).split("\0");
      const isNamed = marks.some((mark) => words.some((word) => word.includes(mark)));
      if (!isNamed && !group.test(await readFile(`/proc/${entry}/cgroup`, "utf8"))) continue;
      const identity = identityOf(Number(entry));
      if (identity) found.push(identity);
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

/** Docker daemons of our network namespace that are not the lab's. */
async function otherDaemons(daemon: LabDaemon): Promise<number[]> {
  const own = (await readRecord(daemon))?.dockerd.pid;
  const network = await readlink("/proc/self/ns/net");
  const found: number[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry) || Number(entry) === own) continue;
    try {
      if ((await readFile(`/proc/${entry}/comm`, "utf8")).trim() !== "dockerd") continue;
      if ((await readlink(`/proc/${entry}/ns/net`)) === network && identityOf(Number(entry))) found.push(Number(entry));
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

async function removeCgroup(name: string): Promise<void> {
  const roots = existsSync("/sys/fs/cgroup/cgroup.controllers")
    ? ["/sys/fs/cgroup"]
    : (await readdir("/sys/fs/cgroup")).map((each) => join("/sys/fs/cgroup", each));
  const remove = async (path: string): Promise<void> => {
    let below: string[];
    try {
      below = (await readdir(path, { withFileTypes: true })).filter((each) => each.isDirectory()).map((each) => each.name);
    } catch {
      return;
    }
    for (const each of below) await remove(join(path, each));
    await rmdir(path).catch(() => undefined);
  };
  for (const root of roots) await remove(join(root, name));
}

/** The bridge of containers without a network of their own, at an address that meets no route of the machine. */
async function makeBridge(lab: Lab): Promise<string> {
  const bridge = bridgeOf(lab);
  if (existsSync(`/sys/class/net/${bridge}`)) await system(lab, "ip", ["link", "del", bridge]);
  const routes = (await system(lab, "ip", ["-4", "route", "show", "table", "all"])).stdout;
  const prefix = bridgeCandidates.find((candidate) => !routes.includes(`${candidate}.`));
  if (!prefix) throw new SeatrialError("conflict", "all subnets that the lab's bridge could have (10.231.0.0/16) are in use here");
  await system(lab, "ip", ["link", "add", bridge, "type", "bridge"]);
  await system(lab, "ip", ["addr", "add", `${prefix}.1/24`, "dev", bridge]);
  await system(lab, "ip", ["link", "set", bridge, "up"]);
  return `${prefix}.0/24`;
}

/** Bridges of our daemon's networks that are there: named in its store, whether it runs or not. */
async function bridgesOf(daemon: LabDaemon): Promise<string[]> {
  try {
    const store = await readFile(join(daemon.dir, "data", "network", "files", "local-kv.db"), "latin1");
    const names = new Set([...store.matchAll(/br-[0-9a-f]{12}/g)].map((found) => found[0]));
    return [...names].filter((name) => existsSync(`/sys/class/net/${name}`));
  } catch {
    return [];
  }
}

/** Docker leaves its chains behind; with no daemon left they only confuse. */
async function clearFirewall(lab: Lab): Promise<void> {
  for (const command of ["iptables", "ip6tables"]) {
    for (const table of ["nat", "filter"]) {
      let rules: string[];
      try {
        rules = (await system(lab, command, ["-w", "-t", table, "-S"])).stdout.split("\n");
      } catch {
        continue;
      }
      const isDockers = (rule: string) => / -j DOCKER\S*| (-i|-o) (st-lab\w+|br-[0-9a-f]{12})( |$)/.test(rule);
      for (const rule of rules.filter((each) => /^-A (?!DOCKER)/.test(each) && isDockers(each))) {
        await succeeds(lab, command, ["-w", "-t", table, "-D", ...rule.split(" ").slice(1)]);
      }
      const chains = rules.filter((each) => each.startsWith("-N DOCKER")).map((each) => each.split(" ")[1]!);
      for (const chain of chains) await succeeds(lab, command, ["-w", "-t", table, "-F", chain]);
      for (const chain of chains) await succeeds(lab, command, ["-w", "-t", table, "-X", chain]);
      if (chains.length > 0 && table === "filter") await succeeds(lab, command, ["-w", "-P", "FORWARD", "ACCEPT"]);
    }
  }
}

async function raiseInotifyLimits(lab: Lab): Promise<void> {
  // Each node takes some 30 instances; Debian's 128 are gone with the third cluster.
  const wanted = { max_user_instances: 8192, max_user_watches: 1_048_576 };
  for (const [name, value] of Object.entries(wanted)) {
    const path = `/proc/sys/fs/inotify/${name}`;
    const now = Number(await readFile(path, "utf8"));
    if (now >= value) continue;
    try {
      await writeFile(path, String(value));
    } catch (error) {
      lab.say(`cannot raise fs.inotify.${name} from ${now} to ${value}: ${messageOf(error)}`);
    }
  }
}

async function readRecord(daemon: LabDaemon): Promise<DaemonRecord | undefined> {
  try {
    return JSON.parse(await readFile(join(daemon.dir, "process.json"), "utf8")) as DaemonRecord;
  } catch {
    return undefined;
  }
}

async function api(daemon: LabDaemon, path: string): Promise<unknown> {
  const agent = new Agent({ connect: { socketPath: socketOf(daemon) } });
  try {
    const answer = await request(`http://docker${path}`, { dispatcher: agent, headersTimeout: 10_000, bodyTimeout: 10_000 });
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new SeatrialError("unreachable", `Docker said ${answer.statusCode} to ${path}: ${text}`);
    return text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : text;
  } finally {
    await agent.destroy();
  }
}

function tailOf(file: string): string {
  try {
    return readFileSync(file, "utf8").trimEnd().split("\n").slice(-8).join("\n");
  } catch {
    return "";
  }
}

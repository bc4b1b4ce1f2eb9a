/**
 * A second Docker daemon behind a real sshd, in a network namespace of its own: `ssh://root@10.99.0.2`, for tests of remote
 * Docker hosts. Its images come from the lab's first daemon.
 *
 * To cut the connection and restore it: `cutRemote` and `restoreRemote` (the link goes down: packets are lost, connections
 * hang), or `dropRemoteSessions` (every ssh connection ends at once, and the next can be made).
 */
import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SeatrialError } from "../src/base/errors.ts";
import { seconds } from "../src/base/output.ts";
import { waitFor } from "../src/base/wait.ts";
import { writePki } from "../src/controlplane/pki.ts";
import { defaultKubernetesVersion } from "../src/programs/versions.ts";
import { labBaseImage } from "../src/runner/executors/runner-image.ts";
import { clearRemains, isRunning, socketOf, startLabDaemon, stopLabDaemon, type LabDaemon } from "./daemon.ts";
import { buildLab, keyLabel, nodeImage, registryImage } from "./images.ts";
import { buildRunnerBase } from "./runner-image.ts";
import { currentLab, installPackages, lockLab, succeeds, system, systemEnvironment, type Lab } from "./lab.ts";

const namespace = "seatrial-remote";
const here = { link: "st0", address: "10.99.0.1" };
const tcpPort = 2376;
const there = { link: "st1", address: "10.99.0.2" };

export interface RemoteHost {
  dockerHost: string;
  /** The private key that may log in. */
  identityFile: string;
  /** Holds the host's key: a client that does not read it must refuse. */
  knownHosts: string;
  /** The same daemon by TCP with TLS, and the folder for DOCKER_CERT_PATH. */
  tcpHost: string;
  certificates: string;
  /** The daemon's socket over there (and here: the file system is one). */
  daemonSocket: string;
}

export async function remoteUp(lab: Lab = currentLab()): Promise<RemoteHost> {
  await installPackages(lab);
  const local = (await buildLab(lab)).dockerHost;
  await buildRunnerBase(lab);
  using _lock = await lockLab(lab, "remote");
  const daemon = await remoteDaemon(lab);
  await mkdir(daemon.dir, { recursive: true, mode: 0o700 });
  await makeKeys(lab, daemon);
  if (!(await isRunning(daemon)) || !existsSync(`/sys/class/net/${here.link}`)) {
    await stopAll(lab, daemon);
    await makeNetwork(lab);
    await startLabDaemon(lab, daemon);
  }
  await restoreRemote(lab);
  await startSshd(lab, daemon);
  await loadImages(lab, local, daemon, [nodeImage(defaultKubernetesVersion), registryImage, labBaseImage]);
  return {
    dockerHost: `ssh://root@${there.address}`,
    identityFile: join(daemon.dir, "id"),
    knownHosts: join(daemon.dir, "known_hosts"),
    tcpHost: `tcp://${there.address}:${tcpPort}`,
    certificates: join(daemon.dir, "tls"),
    daemonSocket: socketOf(daemon),
  };
}

/** Leaves no process, namespace or link; keys and images stay in the cache. */
export async function remoteDown(lab: Lab = currentLab()): Promise<void> {
  using _lock = await lockLab(lab, "remote");
  await stopAll(lab, await remoteDaemon(lab));
}

/** Packets between here and there are lost from now on; nobody is told. */
export async function cutRemote(lab: Lab = currentLab()): Promise<void> {
  await system(lab, "ip", ["link", "set", here.link, "down"]);
}

export async function restoreRemote(lab: Lab = currentLab()): Promise<void> {
  await system(lab, "ip", ["link", "set", here.link, "up"]);
}

/** Ends every ssh connection; the sshd that listens stays. */
export async function dropRemoteSessions(lab: Lab = currentLab()): Promise<void> {
  const daemon = await remoteDaemon(lab);
  const listener = await readPid(join(daemon.dir, "sshd.pid"));
  for (const pid of await sshdProcesses()) if (pid !== listener) kill(pid, "SIGKILL");
}

/** Stops Docker over there, and its containers with it, as a shutdown does; sshd and the network stay. */
export async function stopRemoteDocker(lab: Lab = currentLab()): Promise<void> {
  using _lock = await lockLab(lab, "remote");
  await stopLabDaemon(lab, await remoteDaemon(lab));
}

export async function startRemoteDocker(lab: Lab = currentLab()): Promise<void> {
  using _lock = await lockLab(lab, "remote");
  await startLabDaemon(lab, await remoteDaemon(lab));
}

async function remoteDaemon(lab: Lab): Promise<LabDaemon> {
  // `ip netns exec` mounts /sys anew, without its cgroups: they are mounted again, as the host has them. The system's
  // containerd folder is hidden, and with it the sockets of the other daemon's containers.
  const mounts = [
    "mount -t tmpfs tmpfs /run/containerd 2>/dev/null || { mkdir -p /run/containerd; mount -t tmpfs tmpfs /run/containerd; }",
  ];
  if (existsSync("/sys/fs/cgroup/cgroup.controllers")) mounts.push("mount -t cgroup2 cgroup2 /sys/fs/cgroup");
  else {
    mounts.push("mount -t tmpfs tmpfs /sys/fs/cgroup");
    for (const line of (await readFile("/proc/self/mountinfo", "utf8")).split("\n")) {
      const found = / (\/sys\/fs\/cgroup\/(\S+)) .* - cgroup \S+ (\S+)$/.exec(line);
      if (!found) continue;
      const [, path, , superOptions] = found;
      const controllers = superOptions!.split(",").filter((option) => option !== "rw" && option !== "ro" && !option.startsWith("xattr"));
      const options = controllers.some((option) => option.startsWith("name=")) ? ["none", ...controllers] : controllers;
      mounts.push(`mkdir -p ${path} && mount -t cgroup -o ${options.join(",")} cgroup ${path}`);
    }
  }
  const dir = join(lab.dir, "remote");
  return {
    name: "remote",
    dir,
    cgroup: "seatrial-remote",
    prologue: mounts,
    wrapper: ["ip", "netns", "exec", namespace, "unshare", "-m"],
    config: {
      hosts: [`unix://${join(dir, "docker.sock")}`, `tcp://${there.address}:${tcpPort}`],
      tlsverify: true,
      tlscacert: join(dir, "tls", "ca.crt"),
      tlscert: join(dir, "tls", "apiserver.crt"),
      tlskey: join(dir, "tls", "apiserver.key"),
    },
  };
}

async function stopAll(lab: Lab, daemon: LabDaemon): Promise<void> {
  for (const pid of await sshdProcesses()) kill(pid, "SIGKILL");
  await rm(join(daemon.dir, "sshd.pid"), { force: true });
  await stopLabDaemon(lab, daemon);
  await clearRemains(lab, daemon);
  if (existsSync(`/sys/class/net/${here.link}`)) await succeeds(lab, "ip", ["link", "del", here.link]);
  if (existsSync(`/run/netns/${namespace}`)) {
    // What a remote user left running there ends with the host.
    const left = (await system(lab, "ip", ["netns", "pids", namespace])).stdout.split(/\s+/).filter(Boolean);
    for (const pid of left) kill(Number(pid), "SIGKILL");
    await succeeds(lab, "ip", ["netns", "del", namespace]);
  }
}

async function makeNetwork(lab: Lab): Promise<void> {
  const ip = async (...args: string[]) => await system(lab, "ip", args);
  await ip("netns", "add", namespace);
  await ip("link", "add", here.link, "type", "veth", "peer", "name", there.link);
  await ip("link", "set", there.link, "netns", namespace);
  await ip("addr", "add", `${here.address}/24`, "dev", here.link);
  await ip("link", "set", here.link, "up");
  await ip("-n", namespace, "addr", "add", `${there.address}/24`, "dev", there.link);
  await ip("-n", namespace, "link", "set", there.link, "up");
  await ip("-n", namespace, "link", "set", "lo", "up");
  await ip("-n", namespace, "route", "add", "default", "via", here.address);
}

async function makeKeys(lab: Lab, { dir }: LabDaemon): Promise<void> {
  for (const name of ["id", "hostkey"]) {
    if (existsSync(join(dir, `${name}.pub`))) continue;
    await rm(join(dir, name), { force: true });
    await system(lab, "ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", `lab ${name}`, "-f", join(dir, name)]);
  }
  const [type, key] = (await readFile(join(dir, "hostkey.pub"), "utf8")).split(" ");
  await writeFile(join(dir, "known_hosts"), `${there.address} ${type} ${key}\n`);
  const tls = join(dir, "tls");
  if (existsSync(join(tls, "key.pem"))) return;
  await writePki(tls, { dnsNames: ["localhost"], addresses: [there.address] });
  // The names by which Docker's own client looks for them.
  await copyFile(join(tls, "ca.crt"), join(tls, "ca.pem"));
  await copyFile(join(tls, "admin.crt"), join(tls, "cert.pem"));
  await copyFile(join(tls, "admin.key"), join(tls, "key.pem"));
}

async function startSshd(lab: Lab, daemon: LabDaemon): Promise<void> {
  const { dir } = daemon;
  const listener = await readPid(join(dir, "sshd.pid"));
  if (listener !== undefined && (await sshdProcesses()).includes(listener)) return;
  await mkdir("/run/sshd", { recursive: true });
  const config = [
    "Port 22",
    `ListenAddress ${there.address}`,
    `HostKey ${dir}/hostkey`,
    `AuthorizedKeysFile ${dir}/id.pub`,
    "PermitRootLogin prohibit-password",
    "PasswordAuthentication no",
    "StrictModes no",
    "MaxStartups 100",
    "MaxSessions 100",
    `PidFile ${dir}/sshd.pid`,
    // What a user of that host finds: its daemon, by the usual variable.
    `SetEnv DOCKER_HOST=unix://${socketOf(daemon)} PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  ];
  await writeFile(join(dir, "sshd_config"), `${config.join("\n")}\n`);
  await system(lab, "ip", ["netns", "exec", namespace, "/usr/sbin/sshd", "-f", join(dir, "sshd_config"), "-E", join(dir, "sshd.log")]);
  const listens = async () => ((await readPid(join(dir, "sshd.pid"))) === undefined ? undefined : true);
  await waitFor("the lab's sshd to listen", listens, { timeoutMs: 5_000, pollMs: 20 });
}

/** Copies images that the remote daemon lacks, or has with another key. */
async function loadImages(lab: Lab, from: string, daemon: LabDaemon, tags: readonly string[]): Promise<void> {
  const env = (dockerHost: string) => systemEnvironment(lab, { DOCKER_HOST: dockerHost, DOCKER_CONFIG: join(lab.dir, "docker-config") });
  const to = `unix://${socketOf(daemon)}`;
  const keyAt = async (dockerHost: string, tag: string) => {
    const args = ["image", "inspect", "--format", `{{index .Config.Labels ${JSON.stringify(keyLabel)}}}`, tag];
    return (await system(lab, "docker", args, { env: env(dockerHost), okCodes: [0, 1] })).stdout;
  };
  for (const tag of tags) {
    if ((await keyAt(from, tag)) === (await keyAt(to, tag))) continue;
    const startedAt = performance.now();
    lab.say(`copying ${tag} to the remote daemon`);
    const script = 'set -o pipefail; DOCKER_HOST=$1 docker save "$3" | DOCKER_HOST=$2 docker load -q';
    await system(lab, "bash", ["-c", script, "copy", from, to, tag], { env: env(from) });
    // The image that had the name before.
    await system(lab, "docker", ["image", "prune", "-f"], { env: env(to) });
    lab.say(`copied ${tag} in ${seconds(performance.now() - startedAt)}`);
  }
}

/** The sshd of the namespace, listening and serving, and nobody else's. */
async function sshdProcesses(): Promise<number[]> {
  const wanted = await stat(`/run/netns/${namespace}`).catch(() => undefined);
  if (!wanted) return [];
  const found: number[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (!(await readFile(`/proc/${entry}/comm`, "utf8")).startsWith("sshd")) continue;
      if ((await stat(`/proc/${entry}/ns/net`)).ino === wanted.ino) found.push(Number(entry));
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

async function readPid(path: string): Promise<number | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
  return /^\d+\s*$/.test(text) ? Number(text) : undefined;
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH")
      throw new SeatrialError("internal", `cannot end process ${pid}`, { cause: error });
  }
}

/** Judges what the machine under the clusters has to give: inotify, disk, memory, folders that can be written. Pure. */
import { limits } from "../base/limits.ts";
import type { Provider } from "../resources/cluster.ts";
import { asRoot, bytes, type Check, type Machine, type Seen } from "./check.ts";
import type { Place } from "./docker.ts";

export interface InotifyLimits {
  instances: number;
  watches: number;
}

export function judgeInotify(seen: Seen<InotifyLimits>, machine: Machine): Check {
  const check = { name: "inotify" };
  if ("trouble" in seen) return { ...check, state: "unknown", found: seen.trouble };
  const { instances, watches } = seen.value;
  const short = [
    ...(instances < limits.inotifyInstances
      ? [{ name: "fs.inotify.max_user_instances", is: instances, least: limits.inotifyInstances }]
      : []),
    ...(watches < limits.inotifyWatches ? [{ name: "fs.inotify.max_user_watches", is: watches, least: limits.inotifyWatches }] : []),
  ];
  if (short.length === 0) return { ...check, state: "ok", found: `${instances} instances, ${watches} watches for each user` };
  const settings = short.map(({ name, least }) => `${name}=${least}`);
  return {
    ...check,
    state: "warning",
    found: `${short.map(({ name, is, least }) => `${name} is ${is}, less than ${least}`).join("; ")}: with several clusters, nodes fail with "too many open files"`,
    fix: [
      asRoot(`sysctl -w ${settings.join(" ")}`, machine),
      `printf '%s\\n' ${settings.join(" ")} | ${asRoot("tee /etc/sysctl.d/90-seatrial.conf", machine)}   # and after a reboot`,
    ].join("\n"),
  };
}

export interface Space {
  path: string;
  freeBytes: number;
}

export function judgeDockerDisk(seen: Seen<Space>): Check {
  return judgeDisk("disk-docker", seen, {
    needed: ["kind"],
    leastBytes: limits.dockerDiskLeastBytes,
    lowBytes: limits.dockerDiskLowBytes,
    why: "a node takes 1.3 GB",
    fix: () => "seatrial reap\ndocker system df   # what takes it\ndocker image prune; docker builder prune",
  });
}

export function judgeDataDisk(seen: Seen<Space>): Check {
  return judgeDisk("disk-data", seen, {
    needed: ["kind", "bare"],
    leastBytes: limits.dataDiskLeastBytes,
    lowBytes: limits.dataDiskLowBytes,
    why: "etcd of a bare cluster and the logs of failed boots are there",
    fix: (path) => `seatrial reap\nrm -r ${path}/failures   # logs of boots that failed`,
  });
}

/** @param builds true when a program has to be built. */
export function judgeCacheDisk(seen: Seen<Space>, builds: boolean): Check {
  return judgeDisk("disk-cache", seen, {
    leastBytes: 0,
    lowBytes: builds ? limits.cacheDiskBuildBytes : limits.cacheDiskLowBytes,
    why: builds ? "a build of Kubernetes takes 14 GB in Go's caches" : "the programs of one Kubernetes version take 0.6 GB",
    fix: (path) => `du -xh -d 2 ${path} | sort -h | tail   # all of it can be deleted`,
  });
}

interface DiskNeeds {
  needed?: readonly Provider[];
  /** Below this nothing works. */
  leastBytes: number;
  /** Below this it will not for long. */
  lowBytes: number;
  why: string;
  fix: (path: string) => string;
}

function judgeDisk(name: string, seen: Seen<Space>, { needed, leastBytes, lowBytes, why, fix }: DiskNeeds): Check {
  const check = { name, ...(needed ? { needed } : {}) };
  if ("trouble" in seen) return { ...check, state: "unknown", found: seen.trouble };
  const { path, freeBytes } = seen.value;
  const found = `${bytes(freeBytes)} free in ${path}`;
  if (freeBytes >= lowBytes) return { ...check, state: "ok", found };
  const isLeast = freeBytes < leastBytes;
  return {
    ...check,
    state: isLeast ? "missing" : "warning",
    found: `${found}, less than ${bytes(isLeast ? leastBytes : lowBytes)}: ${why}`,
    fix: fix(path),
  };
}

export interface Memory {
  totalBytes: number;
  /** What can be had without anybody's loss; undefined where the system does not tell. */
  availableBytes: number | undefined;
}

/** Memory for clusters: one finding where Docker shares this machine's, else one for each side. */
export function judgeMemory(here: Memory, docker: { place: Place; totalBytes: number } | undefined): Check[] {
  const room = here.availableBytes ?? here.totalBytes;
  const said = here.availableBytes === undefined ? `${bytes(here.totalBytes)} in all` : `${bytes(room)} available`;
  const bare = Math.floor(room / limits.bareClusterBytes);
  if (docker?.place === "here") {
    const kind = Math.floor(room / limits.kindClusterBytes);
    const found = `${said}: ${kind} kind or ${bare} bare clusters fit`;
    // Where a kind cluster does not fit any more, a bare one still may.
    return [judgeFit({ name: "memory", needed: kind === 0 && bare > 0 ? ["kind"] : ["kind", "bare"] }, kind, found)];
  }
  const own = judgeFit({ name: "memory", needed: ["bare"] }, bare, `${said}: ${bare} bare clusters fit`);
  if (!docker) return [own];
  const kind = Math.floor(docker.totalBytes / limits.kindClusterBytes);
  const where = docker.place === "vm" ? "Docker's virtual machine" : "the Docker host";
  return [
    own,
    judgeFit(
      { name: "memory-docker", needed: ["kind"] },
      kind,
      `${bytes(docker.totalBytes)} in all on ${where}: at most ${kind} kind clusters fit`,
    ),
  ];
}

function judgeFit(check: Pick<Check, "name"> & { needed: readonly Provider[] }, fit: number, found: string): Check {
  if (fit >= 2) return { ...check, state: "ok", found };
  const fix = "seatrial reap\n# or close what else takes memory; the virtual machine of Docker Desktop has its own setting";
  return { ...check, state: fit === 0 ? "missing" : "warning", found, fix };
}

export interface Folder {
  path: string;
  /** Set when it can be neither written nor made. */
  trouble: string | undefined;
}

export function judgeFolder(name: string, { path, trouble }: Folder, variable: string): Check {
  const check = { name, needed: ["kind", "bare"] } as const;
  if (!trouble) return { ...check, state: "ok", found: `${path} can be written` };
  return { ...check, state: "missing", found: `${path} cannot be written: ${trouble}`, fix: `export ${variable}=/a/folder/of/yours` };
}

/**
 * Who a process is, in a way that another process can judge later: a pid alone comes back for somebody else.
 *
 * An owner is host id, boot id, pid and start time. Only the same host's processes can judge it; for others it is
 * `unknown` and the expiry decides. The host id holds the pid namespace: in a container the same pid means another process.
 */
import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { spawnSync } from "node:child_process";

export interface ProcessIdentity {
  hostId: string;
  bootId: string;
  pid: number;
  /** Opaque; equal for the same process, different for the next that gets its pid. */
  startTime: string;
}

let cachedHostId: string | undefined;
let cachedBootId: string | undefined;

export function currentProcess(): ProcessIdentity {
  return identityOf(process.pid)!;
}

/** The identity of a process of this host that is running now; undefined when there is none. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const startTime = startTimeOf(pid);
  if (startTime === undefined) return undefined;
  return { hostId: hostId(), bootId: bootId(), pid, startTime };
}

/** Whether the process still runs: `unknown` when it belongs to another host. */
export function lifeOf(owner: ProcessIdentity): "alive" | "dead" | "unknown" {
  if (owner.hostId !== hostId()) return "unknown";
  if (owner.bootId !== bootId()) return "dead";
  return startTimeOf(owner.pid) === owner.startTime ? "alive" : "dead";
}

/** `HOST/BOOT/PID/START`: the form of a label's value. */
export function formatIdentity(identity: ProcessIdentity): string {
  return [identity.hostId, identity.bootId, identity.pid, identity.startTime].join("/");
}

export function parseIdentity(text: string): ProcessIdentity | undefined {
  const [host, boot, pid, startTime, ...rest] = text.split("/");
  if (!host || !boot || !pid || !startTime || rest.length > 0 || !/^\d+$/.test(pid)) return undefined;
  return { hostId: host, bootId: boot, pid: Number(pid), startTime };
}

/** Start of a process: clock ticks since boot from /proc on Linux, `ps` elsewhere. Zombies have ended. */
function startTimeOf(pid: number): string | undefined {
  if (process.platform === "linux") {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      // The name in parentheses may hold spaces and parentheses: fields are counted after the last one.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
    } catch {
      return undefined;
    }
  }
  const listed = spawnSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8", env: { LC_ALL: "C", PATH: "/bin:/usr/bin" } });
  const text = listed.stdout?.trim();
  return text ? text.replaceAll(/\W+/g, "-") : undefined;
}

function hostId(): string {
  cachedHostId ??= short([readIfThere("/etc/machine-id"), hostname(), pidNamespace()].join("\n"));
  return cachedHostId;
}

function bootId(): string {
  cachedBootId ??= short(readIfThere("/proc/sys/kernel/random/boot_id") || bootTimeByPs());
  return cachedBootId;
}

/** Where there is no /proc, pid 1 starts with the machine. */
function bootTimeByPs(): string {
  return startTimeOf(1) ?? "";
}

function pidNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return ""; // Not Linux: one pid namespace.
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}

function short(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

/**
 * Finding our own processes by a variable in their environment: it is there from the first instant of a process, is
 * inherited by its children, and needs no record that a kill could have prevented us from writing.
 */
import { readdirSync, readFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { identityOf, type ProcessIdentity } from "./identity.ts";

export interface MarkedProcess {
  identity: ProcessIdentity;
  /** The first word of its command line. */
  program: string;
}

/** All processes of this user (of all users, for root) that have `name=value` in their environment, but for this one. */
export function processesMarked(name: string, value: string): MarkedProcess[] {
  const marker = `${name}=${value}`;
  const found = process.platform === "linux" ? scanProc(marker) : scanPs(marker);
  return found.flatMap(({ pid, program }) => {
    const identity = pid === process.pid ? undefined : identityOf(pid);
    return identity ? [{ identity, program }] : [];
  });
}

function scanProc(marker: string): { pid: number; program: string }[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      if (!readFileSync(`/proc/${entry}/environ`, "latin1").split("\0").includes(marker)) return [];
      const program = readFileSync(`/proc/${entry}/cmdline`, "latin1").split("\0")[0] ?? "";
      return [{ pid: Number(entry), program }];
    } catch {
      return []; // Ended meanwhile, or somebody else's.
    }
  });
}

function scanPs(marker: string): { pid: number; program: string }[] {
  const listed = spawnSync("ps", ["-A", "-E", "-ww", "-o", "pid=,command="], { encoding: "utf8", env: { PATH: "/bin:/usr/bin" }, maxBuffer: 64 * 1024 * 1024 });
  return (listed.stdout ?? "").split("\n").flatMap((line) => {
    const [pid, program, ...rest] = line.trim().split(/\s+/);
    return pid && program && rest.includes(marker) ? [{ pid: Number(pid), program }] : [];
  });
}

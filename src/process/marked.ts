/**
 * Finding our own processes by a variable in their environment: it is there from the first instant of a process, is
 * inherited by its children, and needs no record that a kill could have prevented us from writing.
 */
import { readdirSync, readFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { stopDaemon } from "./daemon.ts";
import { identityOf, type ProcessIdentity } from "./identity.ts";

/** The variable in the environment of the command that `with` runs in a cluster; its value is the cluster's uid. */
export const runMark = "SEATRIAL_RUN_UID";

export interface MarkedProcess {
  identity: ProcessIdentity;
  /** The first word of its command line. */
  program: string;
  /** The words after it. */
  args: readonly string[];
}

/** All processes of this user (of all users, for root) that have `name=value` in their environment, but for this one. */
export function processesMarked(name: string, value: string): MarkedProcess[] {
  const marker = `${name}=${value}`;
  const found = process.platform === "linux" ? scanProc(marker) : scanPs(marker);
  return found.flatMap(({ pid, words: [program = "", ...args] }) => {
    const identity = pid === process.pid ? undefined : identityOf(pid);
    return identity ? [{ identity, program, args }] : [];
  });
}

interface Found {
  pid: number;
  words: string[];
}

function scanProc(marker: string): Found[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      if (!readFileSync(`/proc/${entry}/environ`, "latin1").split("\0").includes(marker)) return [];
      return [{ pid: Number(entry), words: readFileSync(`/proc/${entry}/cmdline`, "latin1").split("\0").slice(0, -1) }];
    } catch {
      return []; // Ended meanwhile, or somebody else's.
    }
  });
}

function scanPs(marker: string): Found[] {
  const listed = spawnSync("ps", ["-A", "-E", "-ww", "-o", "pid=,command="], {
    encoding: "utf8",
    env: { PATH: "/bin:/usr/bin" },
    maxBuffer: 64 * 1024 * 1024,
  });
  return (listed.stdout ?? "").split("\n").flatMap((line) => {
    // The environment comes after the arguments, and nothing tells where it begins.
    const [pid, ...words] = line.trim().split(/\s+/);
    return pid && words.includes(marker, 1) ? [{ pid: Number(pid), words }] : [];
  });
}

/** Ends the command that was run in a cluster, and what it left running. */
export async function endMarked(uid: string, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  await Promise.all(processesMarked(runMark, uid).map(async ({ identity }) => await stopDaemon(identity, signal)));
}

/**
 * What every part of the lab is given: where it keeps its things and where it speaks.
 *
 * The lab is for the project's own tests and benchmarks, never part of the product: it needs root on Debian, and builds
 * images for real clusters from package mirrors and the Go module proxy alone.
 */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { environmentFrom, type Environment } from "../src/base/environment.ts";
import { SeatrialError } from "../src/base/errors.ts";
import { lock, type Lock } from "../src/process/lock.ts";
import { run, type RunOptions, type RunResult } from "../src/process/run.ts";

export interface Lab {
  environment: Environment;
  /** Everything that the lab keeps, `~/.cache/seatrial/lab`: can be deleted when the lab is down. */
  dir: string;
  say(line: string): void;
}

/** The lab of this user; progress goes to stderr with the seconds since the start. */
export function currentLab(): Lab {
  const environment = environmentFrom({
    variables: process.env,
    homeDir: homedir(),
    tempDir: tmpdir(),
    uid: process.getuid?.() ?? 0,
    cwd: process.cwd(),
  });
  const startedAt = performance.now();
  return {
    environment,
    dir: join(environment.cacheDir, "lab"),
    say: (line) => process.stderr.write(`[lab ${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s] ${line}\n`),
  };
}

/** One command at a time changes the lab. */
export async function lockLab(lab: Lab, name: string): Promise<Lock> {
  await mkdir(lab.dir, { recursive: true });
  return await lock(join(lab.dir, `${name}.lock`), `another command on the lab's ${name}`);
}

const systemFolders = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The environment of system programs: nothing of the user's but proxies, and no Docker settings. */
export function systemEnvironment(lab: Lab, more: Record<string, string> = {}): Record<string, string> {
  const proxies = Object.entries(lab.environment.variables).filter(([name]) => /^(https?|no)_proxy$/i.test(name)) as [string, string][];
  return { ...Object.fromEntries(proxies), PATH: systemFolders, HOME: lab.environment.homeDir, LC_ALL: "C", ...more };
}

/** Runs a system program. */
export async function system(lab: Lab, command: string, args: readonly string[], more: Partial<RunOptions> = {}): Promise<RunResult> {
  return await run(command, args, { env: systemEnvironment(lab), cwd: "/", ...more });
}

/** Runs one and says whether it succeeded: for questions, and for removing what may be gone already. */
export async function succeeds(lab: Lab, command: string, args: readonly string[]): Promise<boolean> {
  try {
    await system(lab, command, args);
    return true;
  } catch (error) {
    if (error instanceof SeatrialError && (error.code === "command-failed" || error.code === "missing-program")) return false;
    throw error;
  }
}

/** True where processes can be given any resource limit: bit 24 of the bounding set. Some virtual machines and containers lack it. */
export function hasSysResource(): boolean {
  const bounding = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  return bounding === undefined || ((BigInt(`0x${bounding}`) >> 24n) & 1n) === 1n;
}

/** Packages by a program that each brings. */
const packages: readonly (readonly [program: string, debianPackage: string])[] = [
  ["/usr/sbin/dockerd", "docker.io"],
  ["/usr/bin/containerd", "containerd"],
  ["/usr/sbin/runc", "runc"],
  ["/usr/sbin/iptables", "iptables"],
  ["/usr/sbin/debootstrap", "debootstrap"],
  ["/usr/sbin/sshd", "openssh-server"],
  ["/usr/bin/ssh", "openssh-client"],
  ["/usr/sbin/ip", "iproute2"],
  ["/usr/bin/unshare", "util-linux"],
];

/**
 * Installs what is missing, and nothing that is there.
 * @throws SeatrialError `refused` when this is not root, or not Debian.
 */
export async function installPackages(lab: Lab): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new SeatrialError("refused", "the lab starts daemons and installs packages: it works as root only", {
      hint: "use a machine or container for it alone, or a Docker daemon of your own instead",
    });
  }
  const missing = packages.filter(([program]) => !existsSync(program)).map(([, debianPackage]) => debianPackage);
  if (missing.length > 0) {
    if (!existsSync("/usr/bin/apt-get")) {
      throw new SeatrialError("refused", `the lab installs Debian packages (${missing.join(", ")}) and there is no apt-get here`);
    }
    await installDebian(lab, missing);
  }
}

/** Installs packages of Debian; none of their daemons is started. Needs root. @param options more for `apt-get install`. */
export async function installDebian(lab: Lab, names: readonly string[], options: readonly string[] = []): Promise<void> {
  lab.say(`installing ${names.join(", ")}`);
  const policy = "/usr/sbin/policy-rc.d";
  // Debian starts the daemons of what it installs: the lab has its own, so no.
  const isOurs = !existsSync(policy);
  if (isOurs) await writeFile(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    const env = systemEnvironment(lab, { DEBIAN_FRONTEND: "noninteractive" });
    await system(lab, "apt-get", ["update", "-qq"], { env });
    await system(lab, "apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...options, ...names], { env });
  } finally {
    if (isOurs) await rm(policy, { force: true });
  }
}

/**
 * What a test left behind: processes, objects on the Docker host, files, a network link. A leak is a failure of the test
 * that leaked; it is removed after it was told, so that the next test does not suffer from it.
 *
 * Other people's work on the same machine and the same daemon is not looked at: processes are known by the folder of the
 * test in their environment, their folder or their command line, objects by the id of the test's own installation.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../src/base/errors.ts";
import type { DockerClient } from "../../src/docker/client.ts";
import { labels } from "../../src/docker/ownership.ts";
import { run } from "../../src/process/run.ts";

export interface Leak {
  what: string;
  remove(): Promise<void>;
}

/** Processes that have the folder in their environment, as their folder, or in their command line; not this one. */
export function leakedProcesses(folder: string): Leak[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) return [];
    try {
      const words = readFileSync(`/proc/${entry}/cmdline`, "latin1").replaceAll("\0", " ").trim();
      const isOfTest =
        words.includes(folder) ||
        `${readlinkSync(`/proc/${entry}/cwd`)}/`.startsWith(`${folder}/`) ||
        readFileSync(`/proc/${entry}/environ`, "latin1").includes(folder);
      if (!isOfTest || words === "") return []; // A zombie has no command line: it has ended.
      return [{ what: `process ${entry}: ${words.slice(0, 160)}`, remove: async () => kill(Number(entry)) }];
    } catch {
      return []; // It ended while we looked.
    }
  });
}

/** Command lines of the processes that run in, for, or from the folder. */
export function processesIn(folder: string): string[] {
  return leakedProcesses(folder).map(({ what }) => what.replace(/^process \d+: /, ""));
}

/** Objects on the Docker host with our labels, of these installations. */
export async function leakedObjects(docker: DockerClient, instances: readonly string[]): Promise<Leak[]> {
  const leaks: Leak[] = [];
  for (const instance of instances) {
    const label = `${labels.instance}=${instance}`;
    for (const { Id, Names } of await docker.containers([label])) {
      leaks.push({ what: `container ${Names[0] ?? Id}`, remove: async () => await docker.removeContainer(Id) });
    }
    for (const { Id, Name } of await docker.networks(label)) {
      leaks.push({ what: `network ${Name}`, remove: async () => await docker.removeNetwork(Id) });
    }
    for (const { Name } of await docker.volumes(label)) {
      leaks.push({ what: `volume ${Name}`, remove: async () => await docker.removeVolume(Name) });
    }
    for (const { Id, RepoTags } of await docker.images({ label: [label] })) {
      // Docker before 25 says so of an image without a name.
      const tags = (RepoTags ?? []).filter((tag) => tag !== "<none>:<none>");
      leaks.push({ what: `image ${tags.join(", ") || Id}`, remove: async () => await docker.removeImage(tags[0] ?? Id) });
    }
  }
  return leaks;
}

/** Everything on a daemon that has no other user, by name: what is there after a test and was not before is a leak. */
export async function everythingOn(variables: Readonly<Record<string, string | undefined>>): Promise<Leak[]> {
  const docker = async (...args: string[]) =>
    (await run("docker", args, { env: variables, timeoutMs: 60_000 })).stdout.split("\n").filter(Boolean);
  const leaks = (kind: string, names: string[], ...removal: string[]): Leak[] =>
    names.map((name) => ({ what: `${kind} ${name}`, remove: async () => void (await docker(...removal, name)) }));
  return [
    ...leaks("container", await docker("ps", "-a", "--format", "{{.Names}}"), "rm", "-f", "-v"),
    ...leaks("network", await docker("network", "ls", "--format", "{{.Name}}"), "network", "rm"),
    ...leaks("volume", await docker("volume", "ls", "-q"), "volume", "rm"),
    ...leaks("image", await docker("images", "--format", '{{if eq .Tag "<none>"}}{{.ID}}{{else}}{{.Repository}}:{{.Tag}}{{end}}'), "rmi"),
  ];
}

/**
 * Files in a test's SEATRIAL_HOME and runtime folder that have no reason to be there: the installation's id and the locks of
 * declared names stay by design, so do the history with its logs and artifacts, and the logs of boots that failed.
 */
export async function leakedFiles(home: string, runtime: string): Promise<string[]> {
  const files = async (folder: string) =>
    (await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []))
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name));
  const kept = [
    "instance",
    "history.db",
    "logs.db",
    "runner-key",
    "api-token",
    "secrets.json",
    "secrets.key",
    "server.log",
    "runner-port",
  ].map((name) => join(home, name));
  const stays = (path: string) =>
    /\.lock(-journal)?$/.test(path) ||
    kept.some((file) => path === file || path === `${file}-wal` || path === `${file}-shm`) ||
    ["failures/", "objects/objects/", "mirrors/", "action-mirrors/", "control-plane/", "local-forge/"].some((folder) =>
      path.startsWith(join(home, folder)),
    );
  return [...(await files(home)), ...(await files(runtime))].filter((path) => !stays(path));
}

/** The lab's link to its remote host: whoever brought it up takes it down. */
export function leakedLink(): string | undefined {
  return existsSync("/sys/class/net/st0") ? "network link st0: the lab's remote host is still up" : undefined;
}

/** Removes the leaks and gives their names, with what could not be removed. */
export async function removeLeaks(leaks: readonly Leak[]): Promise<string[]> {
  const told: string[] = [];
  for (const { what, remove } of leaks) {
    try {
      await remove();
      told.push(what);
    } catch (error) {
      told.push(`${what} (and it could not be removed: ${messageOf(error)})`);
    }
  }
  return told;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/**
 * Which Docker daemon tests and the demo use: the user's own where it answers, else the lab's. Nothing here installs or
 * starts anything.
 */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { labStatus } from "../lab/daemon.ts";
import { currentLab } from "../lab/lab.ts";
import { type Environment, environmentFrom } from "../src/base/environment.ts";
import { messageOf } from "../src/base/errors.ts";
import { findNodeImage } from "../src/clusters/node-image.ts";
import { defaultKubernetesVersion } from "../src/programs/versions.ts";
import { CommandWorkspace } from "../src/server/start.ts";

/** How long Docker may take to answer before we go on without it. */
const askMs = 10_000;

/** The environment of a script, as the command line makes it from the process's own. */
export function scriptEnvironment(variables: Readonly<Record<string, string | undefined>> = process.env): Environment {
  return environmentFrom({ variables, homeDir: homedir(), tempDir: tmpdir(), uid: process.getuid?.() ?? 0, cwd: process.cwd() });
}

/** Why the Docker daemon that these variables name cannot boot a kind cluster; undefined when it can. Pulls the node image. */
export async function whyNotDocker(
  variables: Readonly<Record<string, string | undefined>>,
  say: (line: string) => void,
): Promise<string | undefined> {
  const abort = new AbortController();
  await using workspace = new CommandWorkspace(scriptEnvironment(variables), { out: say, write: say, err: say }, abort.signal);
  let address = "";
  try {
    const docker = await workspace.docker();
    ({ address } = docker);
    await docker.client.version(AbortSignal.timeout(askMs));
    await findNodeImage(docker.client, minorOf(defaultKubernetesVersion), say);
    return undefined;
  } catch (error) {
    abort.abort();
    const message = messageOf(error).split("\n")[0]!;
    return address && !message.includes(address) ? `Docker at ${address}: ${message}` : message;
  }
}

/** The variables of the lab's daemon when it runs. */
export async function runningLab(): Promise<{ DOCKER_HOST: string } | undefined> {
  const { running, dockerHost } = await labStatus();
  return running ? { DOCKER_HOST: dockerHost } : undefined;
}

/** True when the lab's daemon, once started, has a node image. */
export async function hasLabImages(): Promise<boolean> {
  const folder = join(currentLab().dir, "docker", "data", "image");
  if (!existsSync(folder)) return false;
  const lists = await Promise.all(
    (await readdir(folder)).map(async (driver) => await readFile(join(folder, driver, "repositories.json"), "utf8").catch(() => "")),
  );
  return lists.some((list) => list.includes('"offline/node"'));
}

function minorOf(version: string): string {
  return version.split(".").slice(0, 2).join(".");
}

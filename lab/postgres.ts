/**
 * A Postgres of the lab: Debian's package, with data, socket and process of its own in a folder below the system's temporary
 * one. It listens on no port, lives as long as one test file, and is told from any other Postgres of the machine, which is
 * never touched.
 */
import { existsSync } from "node:fs";
import { chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../src/base/errors.ts";
import { waitFor } from "../src/base/wait.ts";
import { startDaemon, stopDaemon } from "../src/process/daemon.ts";
import { lifeOf } from "../src/process/identity.ts";
import { currentLab, installDebian, type Lab, lockLab, succeeds, system, systemEnvironment } from "./lab.ts";

export interface LabPostgres {
  /** Makes an empty database. @returns how to reach it: `postgres://…`, over its socket. */
  createDatabase(name: string): Promise<string>;
  /** Ends it and removes its folder. */
  stop(): Promise<void>;
}

/** initdb and the start take 2 s here; a loaded machine gets time. */
const startMs = 60_000;
/** Name of the user that it runs as when we are root, which Postgres refuses to be; Debian's package makes it. */
const systemUser = "postgres";

/** Starts one, or says why it cannot be had. */
export async function startPostgres(lab: Lab = currentLab()): Promise<LabPostgres | { reason: string }> {
  const isRoot = process.getuid?.() === 0;
  let programs = await findPrograms();
  if (programs === undefined) {
    if (!isRoot || !existsSync("/usr/bin/apt-get"))
      return { reason: "there is no Postgres here, and its Debian package is installed only by root on Debian" };
    try {
      await install(lab);
    } catch (error) {
      return { reason: `Debian's postgresql could not be installed: ${messageOf(error)}` };
    }
    programs = await findPrograms();
    if (programs === undefined) return { reason: "Debian's postgresql is installed, but brought no server" };
  }
  // Not below a folder of tests, which is theirs alone: another user must be able to enter.
  const directory = await mkdtemp("/tmp/st-pg-");
  try {
    if (isRoot) await chown(directory, await userId(lab, "-u"), await userId(lab, "-g"));
    return await start(lab, programs, directory, isRoot);
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

async function start(lab: Lab, programs: string, directory: string, isRoot: boolean): Promise<LabPostgres> {
  const data = join(directory, "data");
  const asUser = isRoot ? ["setpriv", `--reuid=${systemUser}`, `--regid=${systemUser}`, "--clear-groups"] : [];
  const command = (name: string, ...args: string[]) => [...asUser, join(programs, name), ...args] as [string, ...string[]];
  const [initdb, ...initdbArgs] = command(
    "initdb",
    "-D",
    data,
    "-U",
    "seatrial",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--no-sync",
  );
  await system(lab, initdb, initdbArgs, { cwd: directory });
  const [server, ...serverArgs] = command("postgres", "-D", data, "-k", directory, "-c", "listen_addresses=");
  const logFile = join(directory, "postgres.log");
  const identity = await startDaemon(server, serverArgs, { cwd: directory, env: systemEnvironment(lab), logFile });
  const stop = async () => {
    // SIGINT is its fast shutdown: SIGTERM would wait for its clients.
    await stopDaemon(identity, "SIGINT");
    await rm(directory, { recursive: true, force: true });
  };
  const answers = async () => {
    if (lifeOf(identity) !== "alive") throw new Error(`Postgres ended: ${await readFile(logFile, "utf8")}`);
    return (await succeeds(lab, join(programs, "pg_isready"), ["-q", "-h", directory])) ? true : undefined;
  };
  try {
    await waitFor(`Postgres in ${directory}`, answers, { timeoutMs: startMs, pollMs: 50 });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    createDatabase: async (name) => {
      await system(lab, join(programs, "createdb"), ["-h", directory, "-U", "seatrial", name]);
      return `postgres://seatrial@/${name}?host=${encodeURIComponent(directory)}`;
    },
    stop,
  };
}

/** Folder of the newest version's programs: Debian keeps several side by side. */
async function findPrograms(): Promise<string | undefined> {
  const root = "/usr/lib/postgresql";
  const versions = (await readdir(root).catch(() => [])).toSorted((a, b) => Number(b) - Number(a));
  return versions
    .map((version) => join(root, version, "bin"))
    .find((folder) => existsSync(join(folder, "postgres")) && existsSync(join(folder, "initdb")));
}

/** Debian makes a cluster "main" and starts it with the package: ours is apart, so neither is wanted. */
async function install(lab: Lab): Promise<void> {
  using _lock = await lockLab(lab, "postgres");
  if (await findPrograms()) return;
  const settings = "/etc/postgresql-common/createcluster.conf";
  if (!existsSync(settings)) {
    await mkdir("/etc/postgresql-common", { recursive: true });
    await writeFile(settings, "create_main_cluster = false\n");
  }
  await installDebian(lab, ["postgresql"], ["-o", "Dpkg::Options::=--force-confold"]);
}

async function userId(lab: Lab, which: "-u" | "-g"): Promise<number> {
  return Number((await system(lab, "id", [which, systemUser])).stdout);
}

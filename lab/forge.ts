/**
 * The lab's forge: a real Gitea, built from Go modules, with SQLite and a folder of its own for each that runs.
 *
 * The build is kept by its content in `<cache>/lab/forge/KEY`: the program, what it reads (pages, texts), and a data folder
 * with an administrator and a token, which each start copies, so that a test has a forge in seconds. A build that was
 * stopped goes on where Go's own cache is; the folder appears at once and whole.
 */
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { SeatrialError } from "../src/base/errors.ts";
import { limits } from "../src/base/limits.ts";
import { seconds } from "../src/base/output.ts";
import { waitFor } from "../src/base/wait.ts";
import { freePort } from "../src/docker/ports.ts";
import { startDaemon, stopDaemon } from "../src/process/daemon.ts";
import { lifeOf, type ProcessIdentity } from "../src/process/identity.ts";
import { run } from "../src/process/run.ts";
import { findGo, goEnvironment } from "../src/programs/go-build.ts";
import { currentLab, lockLab, type Lab } from "./lab.ts";

const module = "code.gitea.io/gitea";
const version = "v1.26.0";
/** What of the module's source Gitea reads at run time. */
const resources = ["options", "templates", "public"];
const administrator = "lab-admin";
const progressEveryMs = 15_000;
/** It answers after about a second here; a loaded machine gets time. */
const startMs = 30_000;

/** A finished build. */
export interface BuiltForge {
  program: string;
  /** Pages and texts: its STATIC_ROOT_PATH. */
  resources: string;
  /** The data folder that a start copies. */
  template: string;
}

/** A Gitea that runs. */
export interface LabForge {
  /** `http://127.0.0.1:PORT`, without a slash at the end. */
  url: string;
  /** Name of the administrator. */
  user: string;
  /** The administrator's, for everything. */
  token: string;
  process: ProcessIdentity;
}

/** What is built; undefined when nothing is. Builds nothing. */
export function builtForge(lab: Lab = currentLab()): BuiltForge | undefined {
  const built = placesIn(join(lab.dir, "forge", key()));
  return existsSync(built.program) ? built : undefined;
}

/**
 * Builds what is not built. Takes about five minutes on two cores, and says so.
 * @throws SeatrialError `missing-program` without the Go toolchain or a C compiler (SQLite is C).
 */
export async function buildForge(lab: Lab = currentLab()): Promise<BuiltForge> {
  using _lock = await lockLab(lab, "forge");
  const done = builtForge(lab);
  if (done) return done;
  const go = await findGo(lab.environment);
  if (!go) throw new SeatrialError("missing-program", "the lab's forge is built with the Go toolchain, which is not in PATH");
  const startedAt = performance.now();
  lab.say(`building Gitea ${version}: about five minutes`);
  const progress = setInterval(() => lab.say(`still building Gitea: ${seconds(performance.now() - startedAt)}`), progressEveryMs);
  await mkdir(join(lab.dir, "forge"), { recursive: true });
  const folder = await mkdtemp(join(lab.dir, "forge", ".new-"));
  try {
    const built = placesIn(folder);
    await compile(lab, go, built);
    await makeTemplate(built);
    await rename(folder, join(lab.dir, "forge", key()));
  } finally {
    clearInterval(progress);
    await rm(folder, { recursive: true, force: true });
  }
  lab.say(`built Gitea ${version} in ${seconds(performance.now() - startedAt)}`);
  return placesIn(join(lab.dir, "forge", key()));
}

/**
 * Starts a Gitea on the data in a folder; what is not there yet is copied from the template. The caller stops it.
 * @param givenPort where it was before, for one that comes back. Default: a free one.
 */
export async function startForge(built: BuiltForge, folder: string, givenPort?: number): Promise<LabForge> {
  if (!existsSync(join(folder, "token"))) await cp(built.template, folder, { recursive: true });
  const port = givenPort ?? (await freePort());
  await configure(built, folder, port);
  const logFile = join(folder, "gitea.log");
  const args = ["web", "--config", join(folder, "app.ini"), "--work-path", folder];
  const forge: LabForge = {
    url: `http://127.0.0.1:${port}`,
    user: administrator,
    token: (await readFile(join(folder, "token"), "utf8")).trim(),
    process: await startDaemon(built.program, args, { cwd: folder, env: forgeEnvironment(folder), logFile }),
  };
  const answers = async () => {
    if (lifeOf(forge.process) !== "alive") throw new SeatrialError("command-failed", `Gitea ended: ${await tailOf(logFile)}`);
    try {
      const answer = await fetch(`${forge.url}/api/healthz`, { signal: AbortSignal.timeout(limits.apiRequestMs) });
      await answer.arrayBuffer();
      return answer.ok ? true : undefined;
    } catch {
      return undefined;
    }
  };
  try {
    await waitFor(`Gitea at ${forge.url}`, answers, { timeoutMs: startMs, pollMs: 30 });
  } catch (error) {
    await stopForge(forge);
    throw error;
  }
  return forge;
}

/** Its data stays. */
export async function stopForge(forge: Pick<LabForge, "process">): Promise<void> {
  await stopDaemon(forge.process);
}

/** The lab's own Gitea, for work by hand: started unless it runs. */
export async function forgeUp(lab: Lab = currentLab()): Promise<LabForge> {
  const built = await buildForge(lab);
  using _lock = await lockLab(lab, "forge");
  const running = await runningForge(lab);
  if (running) return running;
  const startedAt = performance.now();
  const forge = await startForge(built, join(lab.dir, "forge", "data"));
  await writeFile(recordOf(lab), JSON.stringify(forge), { mode: 0o600 });
  lab.say(`Gitea is up in ${seconds(performance.now() - startedAt)}: ${forge.url}`);
  return forge;
}

/** Stops it; its data stays in the cache. */
export async function forgeDown(lab: Lab = currentLab()): Promise<void> {
  using _lock = await lockLab(lab, "forge");
  const running = await runningForge(lab);
  if (running) await stopForge(running);
  await rm(recordOf(lab), { force: true });
}

async function runningForge(lab: Lab): Promise<LabForge | undefined> {
  try {
    const forge = JSON.parse(await readFile(recordOf(lab), "utf8")) as LabForge;
    return lifeOf(forge.process) === "alive" ? forge : undefined;
  } catch {
    return undefined;
  }
}

function recordOf(lab: Lab): string {
  return join(lab.dir, "forge", "running.json");
}

function placesIn(folder: string): BuiltForge {
  return { program: join(folder, "gitea"), resources: join(folder, "resources"), template: join(folder, "template") };
}

async function compile(lab: Lab, go: string, built: BuiltForge): Promise<void> {
  const source = await mkdtemp(join(lab.dir, "forge", ".build-"));
  const env = { ...goEnvironment(lab.environment), CGO_ENABLED: "1" };
  const tool = async (...args: string[]) => (await run(go, args, { cwd: source, env, timeoutMs: limits.buildMs })).stdout;
  try {
    await writeFile(join(source, "go.mod"), "module build\n");
    const theirs = JSON.parse(await tool("mod", "download", "-json", `${module}@${version}`)) as { Dir: string; GoMod: string };
    const parsed = JSON.parse(await tool("mod", "edit", "-json", theirs.GoMod)) as {
      Go: string;
      Replace: { Old: { Path: string }; New: { Path: string; Version?: string } }[] | null;
    };
    // A replacement holds for the main module alone: Gitea's own are repeated.
    const replace = (parsed.Replace ?? []).map((each) => `replace ${each.Old.Path} => ${each.New.Path} ${each.New.Version ?? ""}`);
    await writeFile(
      join(source, "go.mod"),
      `${["module build", `go ${parsed.Go}`, `require ${module} ${version}`, ...replace].join("\n")}\n`,
    );
    const flags = ["-mod=mod", "-trimpath", "-buildvcs=false", "-tags", "sqlite,sqlite_unlock_notify"];
    const ldflags = `-s -w -X main.Version=${version.slice(1)}`;
    await tool("build", ...flags, "-ldflags", ldflags, "-o", built.program, module);
    await mkdir(built.resources);
    // The module cache is read-only, and its modes would come along.
    const folders = resources.map((name) => join(theirs.Dir, name));
    await run("cp", ["-r", "--no-preserve=mode", ...folders, built.resources], { cwd: source, env });
  } finally {
    await rm(source, { recursive: true, force: true });
  }
}

/** A data folder with its database, the administrator and the administrator's token. */
async function makeTemplate(built: BuiltForge): Promise<void> {
  const folder = built.template;
  await mkdir(folder);
  const secret = () => randomBytes(32).toString("hex");
  await writeFile(join(folder, "secrets.json"), JSON.stringify({ key: secret(), internal: secret() }), { mode: 0o600 });
  await configure(built, folder, 0);
  const gitea = async (...args: string[]) => {
    const config = ["--config", join(folder, "app.ini"), "--work-path", folder];
    return (await run(built.program, [...args, ...config], { cwd: folder, env: forgeEnvironment(folder), timeoutMs: startMs })).stdout;
  };
  await gitea("migrate");
  const account = ["--username", administrator, "--email", `${administrator}@example.invalid`];
  await gitea("admin", "user", "create", "--admin", "--random-password", "--must-change-password=false", ...account);
  const token = ["--username", administrator, "--token-name", "lab", "--scopes", "all", "--raw"];
  // As root it complains before it answers.
  const said = await gitea("admin", "user", "generate-access-token", ...token);
  await writeFile(join(folder, "token"), `${said.trim().split("\n").at(-1)}\n`, { mode: 0o600 });
}

async function configure(built: BuiltForge, folder: string, port: number): Promise<void> {
  const secrets = JSON.parse(await readFile(join(folder, "secrets.json"), "utf8")) as { key: string; internal: string };
  await writeFile(join(folder, "app.ini"), configuration(built, folder, port, secrets), { mode: 0o600 });
}

/** Everything that it would do by itself, at times of its own, is off: a test sees only what it asked for. */
function configuration(built: BuiltForge, folder: string, port: number, secrets: { key: string; internal: string }): string {
  const sections: Record<string, Record<string, string | number | boolean>> = {
    "": { RUN_USER: userInfo().username, RUN_MODE: "prod", WORK_PATH: folder, I_AM_BEING_UNSAFE_RUNNING_AS_ROOT: true },
    server: {
      PROTOCOL: "http",
      HTTP_ADDR: "127.0.0.1",
      HTTP_PORT: port,
      ROOT_URL: `http://127.0.0.1:${port}/`,
      STATIC_ROOT_PATH: built.resources,
      APP_DATA_PATH: join(folder, "data"),
      DISABLE_SSH: true,
      OFFLINE_MODE: true,
      LFS_START_SERVER: false,
    },
    database: { DB_TYPE: "sqlite3", PATH: join(folder, "data", "gitea.db"), SQLITE_JOURNAL_MODE: "WAL" },
    repository: { ROOT: join(folder, "repositories"), DEFAULT_BRANCH: "main" },
    security: { INSTALL_LOCK: true, SECRET_KEY: secrets.key, INTERNAL_TOKEN: secrets.internal },
    oauth2: { ENABLED: false },
    service: { DISABLE_REGISTRATION: true },
    // It would not call this machine by itself.
    webhook: { ALLOWED_HOST_LIST: "loopback", DELIVER_TIMEOUT: 5 },
    log: { MODE: "console", LEVEL: "Info" },
    queue: { TYPE: "channel" },
    indexer: { ISSUE_INDEXER_TYPE: "db" },
    session: { PROVIDER: "memory" },
    cron: { ENABLED: false },
    actions: { ENABLED: false },
    packages: { ENABLED: false },
  };
  return Object.entries(sections)
    .flatMap(([section, settings]) => [
      ...(section ? [`[${section}]`] : []),
      ...Object.entries(settings).map(([name, value]) => `${name} = ${value}`),
    ])
    .join("\n");
}

function forgeEnvironment(folder: string): Record<string, string> {
  return { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: folder, USER: userInfo().username, LC_ALL: "C" };
}

async function tailOf(file: string): Promise<string> {
  return (await readFile(file, "utf8").catch(() => "")).trimEnd().split("\n").slice(-8).join("\n");
}

/** All that shapes the build and its template; the last part is raised when what makeTemplate does changes. */
function key(): string {
  return createHash("sha256").update([process.arch, module, version, resources.join(), "1"].join("\0")).digest("hex").slice(0, 16);
}

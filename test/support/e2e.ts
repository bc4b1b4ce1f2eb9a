/**
 * What end-to-end tests are written with: homes (a private installation for each test), the command line as a process of
 * its own under plain node, and Docker where there is one.
 *
 * A test gets its home by `openHome(context)`: when the test ends, all that is left of it is a failure of that test.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, rmSync, existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "vitest";
import { pasteable } from "../../src/process/run.ts";
import { waitFor } from "../../src/base/wait.ts";
import { DockerClient } from "../../src/docker/client.ts";
import { formatEndpoint, resolveDockerEndpoint } from "../../src/docker/endpoint.ts";
import type { DockerHost } from "../../src/hosts/docker-host.ts";
import { openDockerHost } from "../../src/hosts/open.ts";
import { Programs } from "../../src/programs/programs.ts";
import { runningLab, scriptEnvironment, whyNotDocker } from "../../scripts/docker-choice.ts";
import { leakedFiles, leakedObjects, leakedProcesses, removeLeaks } from "./leaks.ts";

export const projectRoot = join(import.meta.dirname, "..", "..");

/** Set by test/run.ts: the folder of all homes of one run, and why there is no Docker. */
const testVariables = { root: "SEATRIAL_TEST_ROOT", noDocker: "SEATRIAL_TEST_NO_DOCKER" } as const;

/** The folder of all homes of this run: short, since sockets are made below it. */
const testRoot = process.env[testVariables.root] ?? temporaryRoot();

/** What of our own environment a command under test must not see. */
const hidden = [
  "ARTIFACTS",
  "KUBECONFIG",
  "REGISTRY",
  "REGISTRY_IN_CLUSTER",
  "SEATRIAL_RUN_UID",
  "VITEST",
  "NODE_OPTIONS",
  "SOAK",
  "FORCE_COLOR",
];

type Variables = Record<string, string | undefined>;

/** Where vitest was started by hand: gone with the process. */
function temporaryRoot(): string {
  const folder = mkdtempSync(join(tmpdir(), "st-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** An installation of its own: data, runtime folder, working folder, and the user's kubeconfig. */
export interface Home {
  /** Holds all the others. */
  directory: string;
  /** SEATRIAL_HOME. */
  data: string;
  /** Where commands run. */
  cwd: string;
  /** The user's own kubeconfig; there is none at the start. */
  userKubeconfig: string;
  /** The environment of its commands. */
  variables: Variables;
  /** The installation's id, once a command has made it. */
  instance(): Promise<string | undefined>;
  /** Everything of this home that is there now, as sentences. */
  leaks(): Promise<string[]>;
  /** Removes the home. @throws when something was left. */
  close(): Promise<void>;
}

/** With whose end something ends: a test's context is one. */
export interface Owner {
  /** The last one first. */
  onTestFinished(end: () => Promise<void>, timeoutMs?: number): void;
}

/** Of what several tests share. Whoever makes it closes it, in `afterAll`. */
export class SharedOwner implements Owner {
  readonly #ends: (() => Promise<void>)[] = [];

  onTestFinished(end: () => Promise<void>): void {
    this.#ends.push(end);
  }

  async close(): Promise<void> {
    for (const end of this.#ends.toReversed()) await end();
  }
}

/**
 * @param context of the test that owns the home: it is closed when that test ends. Without one (for a cluster that a whole
 * file shares) the caller closes it.
 */
export async function openHome(context?: Owner, more: Variables = {}): Promise<Home> {
  const directory = await realpath(await mkdtemp(join(testRoot, "h-")));
  const [data, runtime, cwd] = [join(directory, "data"), join(directory, "run"), join(directory, "cwd")];
  for (const folder of [runtime, cwd]) await mkdir(folder, { mode: 0o700 });
  const docker = await findDocker();
  const variables: Variables = {
    ...Object.fromEntries(
      Object.entries(process.env).filter(
        ([name]) => !hidden.includes(name) && !name.startsWith("VITEST") && !name.startsWith("SEATRIAL_TEST"),
      ),
    ),
    ...("reason" in docker ? {} : docker.variables),
    SEATRIAL_HOME: data,
    XDG_RUNTIME_DIR: runtime,
    KUBECONFIG: join(directory, "user-kubeconfig"),
    // What tests do to processes they can do here alone; those of containers say so.
    SEATRIAL_EXECUTOR: "host",
    ...more,
  };
  const instance = async () => (await readFile(join(data, "instance"), "utf8").catch(() => "")).trim() || undefined;
  const find = async () => {
    const id = await instance();
    const objects = id && !("reason" in docker) ? await leakedObjects(docker.client, [id]) : [];
    return [...leakedProcesses(directory), ...objects];
  };
  const home: Home = {
    directory,
    data,
    cwd,
    userKubeconfig: join(directory, "user-kubeconfig"),
    variables,
    instance,
    leaks: async () => [...(await find()).map(({ what }) => what), ...(await leakedFiles(data, runtime))],
    close: async () => {
      const id = await instance();
      if (id) appendFileSync(join(testRoot, "instances"), `${id}\n`);
      // What a command ended by SIGKILL needs a moment to be gone.
      await waitFor("nothing to be left", async () => ((await home.leaks()).length === 0 ? true : undefined), {
        timeoutMs: 2_000,
        pollMs: 100,
      }).catch(() => {});
      const files = await leakedFiles(data, runtime);
      const left = [...(await removeLeaks(await find())), ...files];
      await rm(directory, { recursive: true, force: true });
      if (left.length > 0) throw new Error(`the test left behind:\n${left.map((each) => `  ${each}`).join("\n")}`);
    },
  };
  context?.onTestFinished(async () => await home.close(), 60_000);
  return home;
}

export interface RunOptions {
  /** Added to the home's variables. */
  env?: Variables;
  cwd?: string;
  /** The command is killed then, and the test fails. Default: five minutes. */
  timeoutMs?: number;
  /** Another script of bin/ than `seatrial`. */
  script?: string;
  input?: string;
}

/** How a command ended. */
export interface Ran {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  ms: number;
}

/** A command that runs. */
export interface Running {
  child: ChildProcess;
  pid: number;
  /** stdout and stderr so far. */
  output(): { stdout: string; stderr: string };
  /** Waits until stdout or stderr has it; fails when the command ends before. */
  says(what: RegExp | string, timeoutMs?: number): Promise<void>;
  ended: Promise<Ran>;
}

/** Runs `bin/seatrial` to its end. An exit code other than 0 is a result, not an error. */
export async function seatrial(home: Home, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return await startSeatrial(home, args, options).ended;
}

/** Starts `bin/seatrial` and lets the test go on. */
export function startSeatrial(home: Home, args: readonly string[], options: RunOptions = {}): Running {
  const startedAt = performance.now();
  const child = spawn(join(projectRoot, "bin", options.script ?? "seatrial"), args, {
    cwd: options.cwd ?? home.cwd,
    env: definedOnly({ ...home.variables, ...options.env }),
    stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  if (options.input !== undefined) child.stdin!.end(options.input);
  let stdout = "";
  let stderr = "";
  child.stdout!.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr!.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const shown = () => `${pasteable(options.script ?? "seatrial", args)}\n--- stdout\n${stdout}\n--- stderr\n${stderr}`;
  const timeoutMs = options.timeoutMs ?? 300_000;
  const ended = new Promise<Ran>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`still running after ${timeoutMs / 1000} s: ${shown()}`));
    }, timeoutMs);
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    const onEnd = (code: number | null, signal: NodeJS.Signals | null) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr, ms: performance.now() - startedAt });
    };
    // After SIGKILL others may still hold its output: then `close` would come too late.
    child.once("exit", (code, signal) => signal && setTimeout(() => onEnd(code, signal), 100));
    child.once("close", onEnd);
  });
  ended.catch(() => {}); // Whoever waits for it sees the error.
  return {
    child,
    pid: child.pid!,
    output: () => ({ stdout, stderr }),
    ended,
    says: async (what, saysTimeoutMs = 120_000) => {
      const has = (text: string) => (typeof what === "string" ? text.includes(what) : what.test(text));
      await waitFor(
        `the command to say ${String(what)}`,
        () => {
          if (has(stdout) || has(stderr)) return true;
          if (child.exitCode !== null || child.signalCode !== null)
            throw new Error(`it ended (${child.exitCode ?? child.signalCode}) without saying ${String(what)}: ${shown()}`);
          return undefined;
        },
        { timeoutMs: saysTimeoutMs, pollMs: 20 },
        shown,
      );
    },
  };
}

/** A Docker daemon for tests. */
export interface TestDocker {
  variables: { DOCKER_HOST: string };
  client: DockerClient;
  host: DockerHost;
}

let found: Promise<TestDocker | { reason: string }> | undefined;

/** Looked for once in each test file: what test/run.ts chose, else the user's own daemon, else the lab's when it runs. */
export async function findDocker(): Promise<TestDocker | { reason: string }> {
  found ??= lookForDocker();
  return await found;
}

/** Docker, or the end of the test: skipped, with the reason. */
export async function needDocker(context: Pick<TestContext, "skip">): Promise<TestDocker> {
  const docker = await findDocker();
  if ("reason" in docker) context.skip(`no Docker: ${docker.reason}`);
  return docker as TestDocker;
}

/** An image that only the lab has, or the end of the test. */
export async function needImage(context: Pick<TestContext, "skip">, reference: string): Promise<void> {
  const docker = await needDocker(context);
  if (!(await docker.client.image(reference))) context.skip(`image ${reference} is not on the Docker host: make lab builds it`);
}

async function lookForDocker(): Promise<TestDocker | { reason: string }> {
  const given = process.env[testVariables.noDocker];
  if (given) return { reason: given };
  const wasChosen = process.env[testVariables.root] !== undefined;
  const reason = wasChosen ? undefined : await whyNotDocker(process.env, () => {});
  const variables = reason === undefined ? {} : await runningLab();
  if (!variables) return { reason: reason! };
  const environment = scriptEnvironment({ ...process.env, ...variables });
  const endpoint = await resolveDockerEndpoint(environment);
  const host = await openDockerHost(endpoint, { environment, signal: new AbortController().signal, onProgress: () => {} });
  const address = formatEndpoint(endpoint);
  return { variables: { DOCKER_HOST: address }, client: new DockerClient(host.connection, address), host };
}

let kubectl: Promise<string> | undefined;

/** Path of a kubectl that goes with the clusters. */
export async function kubectlPath(): Promise<string> {
  kubectl ??= new Programs({ environment: scriptEnvironment() }).find({ name: "kubectl" }).then(({ path }) => path);
  return await kubectl;
}

/** The long forms of tests: `make soak`. */
export const isSoak = process.env["SOAK"] === "1";

function definedOnly(variables: Variables): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined));
}

/** Runs until the command has written the file, as a sign that it has begun. */
export async function untilFile(running: Running, path: string): Promise<void> {
  await waitFor(
    `the file ${path}`,
    () =>
      existsSync(path)
        ? true
        : running.child.exitCode === null
          ? undefined
          : Promise.reject(new Error(`it ended before: ${running.output().stderr}`)),
    { timeoutMs: 240_000, pollMs: 20 },
    () => running.output().stderr,
  );
}

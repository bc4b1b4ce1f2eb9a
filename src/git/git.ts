/**
 * Running the `git` program in repositories whose content others wrote: no configuration of the user or the machine, no
 * hooks, no questions, and no transport but HTTP and folders of this machine. What runs in a user's own working tree is
 * worktree.ts.
 *
 * Credentials go by the environment of the one command that needs them, bound to their origin: never by argv, a URL, or a
 * file.
 */
import { devNull } from "node:os";
import type { Environment } from "../base/environment.ts";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { processesMarked } from "../process/marked.ts";
import { CommandFailedError, run, type RunResult } from "../process/run.ts";

/** For HTTP basic authentication; a forge's token is the password. */
export interface GitCredentials {
  username: string;
  password: string;
}

/** Where a repository is fetched from. */
export interface GitSource {
  /** `http://`, `https://` without credentials in it, or the absolute path of a folder of this machine. */
  url: string;
  credentials?: GitCredentials | undefined;
}

/** One setting, as `git -c` takes it. */
export type GitSetting = readonly [name: string, value: string];

export interface GitOptions {
  /** The repository: a bare one, or a `.git` folder. */
  folder?: string;
  input?: string;
  okCodes?: readonly number[];
  settings?: readonly GitSetting[];
  env?: Readonly<Record<string, string>>;
  /** Default: {@link limits.gitCommandMs}. */
  timeoutMs?: number;
  /** Default: {@link limits.gitMemoryBytes}. */
  memoryBytes?: number;
  /** As run.ts has them. */
  outputBytes?: number;
  stdout?: number;
  signal?: AbortSignal | undefined;
}

/** Of the process's own environment: how git is found, and how it reaches a forge. */
const inherited = /^(PATH|TMPDIR|(HTTPS?|NO|ALL)_PROXY|(https?|no|all)_proxy|SSL_CERT_(FILE|DIR)|GIT_SSL_CA(INFO|PATH))$/;

const settings: readonly GitSetting[] = [
  ["core.hooksPath", devNull],
  ["core.fsmonitor", "false"],
  ["core.attributesFile", devNull],
  ["credential.helper", ""],
  // Credentials are bound to an origin: git must not carry them on to another.
  ["http.followRedirects", "false"],
  // A forge that says nothing for so long is given up.
  ["http.lowSpeedLimit", "1"],
  ["http.lowSpeedTime", String(limits.gitStallMs / 1000)],
  ["transfer.fsckObjects", "true"],
  // Old commits of honest repositories have these; no program of today is misled by them.
  ["fetch.fsck.zeroPaddedFilemode", "ignore"],
  ["fetch.fsck.badTimezone", "ignore"],
  ["fetch.fsck.missingSpaceBeforeDate", "ignore"],
  // A fetch comes as one pack, which is there whole or not at all: a commit that is there has all that it needs.
  ["fetch.unpackLimit", "1"],
  ["gc.auto", "0"],
  ["maintenance.auto", "false"],
  ["submodule.recurse", "false"],
];

/** The whole environment of a git command. */
export function gitEnvironment(environment: Environment, more: readonly GitSetting[] = []): Record<string, string> {
  const kept = Object.entries(environment.variables).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && inherited.test(entry[0]),
  );
  return {
    ...Object.fromEntries(kept),
    LC_ALL: "C",
    HOME: devNull,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_SYSTEM: devNull,
    GIT_CONFIG_GLOBAL: devNull,
    GIT_ATTR_NOSYSTEM: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "",
    SSH_ASKPASS: "",
    GIT_ALLOW_PROTOCOL: "http:https:file",
    GIT_NO_REPLACE_OBJECTS: "1",
    GIT_LITERAL_PATHSPECS: "1",
    ...settingsInEnvironment([...settings, ...more]),
  };
}

/** Settings as the environment carries them, where no other process sees them. */
export function settingsInEnvironment(all: readonly GitSetting[]): Record<string, string> {
  return Object.fromEntries([
    ["GIT_CONFIG_COUNT", String(all.length)],
    ...all.flatMap(([name, value], index) => [
      [`GIT_CONFIG_KEY_${index}`, name],
      [`GIT_CONFIG_VALUE_${index}`, value],
    ]),
  ]) as Record<string, string>;
}

/**
 * Runs git, with a bound of memory: a few kilobytes of a repository can be a tree of a million gigabytes.
 * @throws what {@link run} throws; SeatrialError `invalid` when the bound was too little.
 */
export async function git(environment: Environment, args: readonly string[], options: GitOptions = {}): Promise<RunResult> {
  const { memoryBytes = limits.gitMemoryBytes } = options;
  try {
    return await run("git", [...(options.folder === undefined ? [] : [`--git-dir=${options.folder}`]), ...args], {
      cwd: "/",
      env: { ...gitEnvironment(environment, options.settings), ...options.env },
      timeoutMs: options.timeoutMs ?? limits.gitCommandMs,
      signal: options.signal,
      input: options.input,
      memoryBytes,
      outputBytes: options.outputBytes,
      stdout: options.stdout,
      ...(options.okCodes ? { okCodes: options.okCodes } : {}),
      hint: "seatrial needs git 2.38 or newer in PATH",
    });
  } catch (error) {
    if (!(error instanceof CommandFailedError) || !/out of memory/i.test(error.stderr)) throw error;
    const bound = `${memoryBytes / 1024 ** 2} MiB`;
    throw new SeatrialError("invalid", `git ${args[0]} needs more than ${bound} of memory, and may not have it`, { cause: error });
  }
}

/** The variable in the environment of one command of git and of all that it starts. */
const commandMark = "SEATRIAL_GIT";
let commands = 0;

/**
 * Runs a git command that has helpers, as one that speaks to another repository. They would outlive it and hold its output: when it is
 * stopped, they are ended with it.
 * @throws what {@link run} throws; SeatrialError `timeout`.
 */
export async function gitRemote(
  environment: Environment,
  args: readonly string[],
  options: GitOptions & { timeoutMs: number },
): Promise<RunResult> {
  const mark = `${process.pid}-${++commands}`;
  const { timeoutMs } = options;
  const abort = new AbortController();
  const timer = setTimeout(() => {
    abort.abort(new SeatrialError("timeout", `git ${args[0]} was stopped after ${timeoutMs / 1000} s`, { retryable: true }));
  }, timeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, abort.signal]) : abort.signal;
  const end = () => {
    // One that is being started now is seen by the next look.
    for (
      let found = processesMarked(commandMark, mark), looks = 0;
      found.length > 0 && looks < 10;
      found = processesMarked(commandMark, mark), looks++
    ) {
      for (const { identity } of found) kill(identity.pid);
    }
  };
  signal.addEventListener("abort", end, { once: true });
  try {
    const { memoryBytes = limits.gitHelperMemoryBytes } = options;
    return await git(environment, args, { ...options, memoryBytes, signal, env: { ...options.env, [commandMark]: mark } });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  }
}

/** Whether a command failed as the other repository is elsewhere now: credentials are not carried there, and so nothing is. */
export function isRedirect(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof CommandFailedError) return /returned error: 30[12378]/.test(at.stderr);
  }
  return false;
}

/** Where a repository is now that is read without credentials; undefined when that cannot be had. */
export async function redirectOf(environment: Environment, url: string, signal?: AbortSignal): Promise<string | undefined> {
  const options = { settings: [["http.followRedirects", "initial"]] as const, timeoutMs: limits.gitStallMs, signal };
  const { stderr } = await gitRemote(environment, ["ls-remote", "--", url, "refs/heads/none"], options).catch((error: unknown) =>
    error instanceof CommandFailedError ? error : { stderr: "" },
  );
  const [, found = ""] = /^warning: redirecting to (\S+)$/m.exec(stderr) ?? [];
  if (!URL.canParse(found)) return undefined;
  const { origin, pathname } = new URL(found);
  return `${origin}${pathname}`;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended meanwhile.
  }
}

/**
 * Checks a source and gives the settings that carry its credentials.
 * @throws SeatrialError `invalid` for another transport, or a URL with credentials in it.
 */
export function settingsOf(source: GitSource): GitSetting[] {
  if (source.url.startsWith("/")) return [];
  const url = URL.canParse(source.url) ? new URL(source.url) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new SeatrialError("invalid", "a repository is fetched by http, https, or from the absolute path of a folder, not from elsewhere");
  }
  if (url.username || url.password) {
    throw new SeatrialError("invalid", `the URL of a repository at ${url.host} has credentials in it: they are given apart`);
  }
  if (!source.credentials) return [];
  const { username, password } = source.credentials;
  const basic = Buffer.from(`${username}:${password}`).toString("base64");
  return [[`http.${url.origin}/.extraHeader`, `Authorization: Basic ${basic}`]];
}

/** @throws SeatrialError `invalid` unless it is a whole commit id: anything else could be read as an option or a ref. */
export function checkCommit(id: string): string {
  if (!/^[0-9a-f]{40}([0-9a-f]{24})?$/.test(id))
    throw new SeatrialError("invalid", `${JSON.stringify(id.slice(0, 100))} is not a whole commit id`);
  return id;
}

/** @throws SeatrialError `invalid` unless it is a path inside the repository, without `.` and `..`. */
export function checkPath(path: string): string {
  const isSound =
    path !== "" && path.length <= 4096 && !path.includes("\0") && path.split("/").every((part) => !["", ".", ".."].includes(part));
  if (!isSound) throw new SeatrialError("invalid", `${JSON.stringify(path.slice(0, 100))} is not a path inside a repository`);
  return path;
}

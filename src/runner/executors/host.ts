/**
 * Executor `host`: the runner as a process of this machine, in a session of its own, that outlives the server.
 *
 * Each attempt has a folder, which is there before the process and longer: it is the list of attempts. Whether one runs is
 * read from the processes themselves, by their mark; the identity in the folder only spares the look at all of them.
 */
import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SeatrialError, systemCodeOf } from "../../base/errors.ts";
import { makeFolder } from "../../base/folder.ts";
import { limits } from "../../base/limits.ts";
import { waitFor } from "../../base/wait.ts";
import { formatIdentity, identityOf, lifeOf, parseIdentity, type ProcessIdentity } from "../../process/identity.ts";
import { processesMarked } from "../../process/marked.ts";
import { run } from "../../process/run.ts";
import { endDescendants } from "../descendants.ts";
import { type AttemptLife, attemptMark, type Executor, type ExecutorRequest } from "./executor.ts";
import type { RunnerInput } from "../protocol.ts";

export interface HostExecutorOptions {
  /** Holds a folder for each attempt. */
  directory: string;
  /** Program of Node, and path of the runner's bundle. */
  node: string;
  bundle: string;
  /** Origin of the server, as this machine reaches it. */
  server: string;
  /** The environment that the server was given; runners get the little of it that {@link passedOn} names. */
  variables: Readonly<Record<string, string | undefined>>;
}

/**
 * What programs of this user cannot do without, where its tools are, and which Docker they mean: a job builds images where its clusters
 * are. Nothing else of the server's environment reaches a job.
 */
const passedOn =
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|(https?|no|all)_proxy|DOCKER_(HOST|CONTEXT|CONFIG|TLS_VERIFY|CERT_PATH)|SEATRIAL_TOOLS|AGENT_TOOLSDIRECTORY)$/i;

/** The part of an environment that jobs get. */
function hostVariables(variables: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(variables).filter((entry): entry is [string, string] => entry[1] !== undefined && passedOn.test(entry[0])),
  );
}

export class HostExecutor implements Executor {
  readonly name = "host";
  readonly #options: HostExecutorOptions;

  constructor(options: HostExecutorOptions) {
    this.#options = options;
  }

  async start(request: ExecutorRequest): Promise<void> {
    const { attempt, token, env = {}, signal } = request;
    const folder = this.#folder(attempt);
    signal?.throwIfAborted();
    makeFolder(this.#options.directory, 0o700);
    const isNew = await mkdir(folder, { mode: 0o700 }).then(
      () => true,
      (error: unknown) => {
        if (systemCodeOf(error) === "EEXIST") return false;
        throw new SeatrialError("command-failed", `the folder of attempt ${attempt} cannot be made: ${systemCodeOf(error)}`, {
          cause: error,
        });
      },
    );
    // A runner makes the folder of its steps before all else, and refuses to begin where it is: no step runs twice.
    if (!isNew && (existsSync(join(folder, "steps")) || (await this.#isRunning(attempt)))) return;
    const input: RunnerInput = { attempt, token, server: this.#options.server, directory: folder };
    const log = openSync(join(folder, "runner.log"), "a", 0o600);
    try {
      const child = spawn(this.#options.node, [this.#options.bundle], {
        cwd: folder,
        env: { ...hostVariables(this.#options.variables), ...env, [attemptMark]: attempt },
        detached: true,
        stdio: ["pipe", log, log],
      });
      await new Promise<void>((resolve, reject) => {
        child.once("spawn", resolve);
        child.once("error", (error) => {
          reject(
            new SeatrialError("command-failed", `the runner of attempt ${attempt} cannot be started: ${error.message}`, { cause: error }),
          );
        });
      });
      child.stdin!.on("error", () => {}); // It ended before it read: observe tells of it.
      child.stdin!.end(`${JSON.stringify(input)}\n`);
      child.unref();
      const identity = identityOf(child.pid!);
      if (identity) await this.#note(attempt, identity);
    } finally {
      closeSync(log);
    }
  }

  async observe(attempt: string): Promise<AttemptLife> {
    const folder = this.#folder(attempt);
    if (!existsSync(folder)) return { state: "absent" };
    const identity = await this.#identity(attempt);
    if (await this.#isRunning(attempt, identity)) return { state: "running" };
    if (!identity && !existsSync(join(folder, "steps"))) return { state: "absent" };
    const words = (await readFile(join(folder, "runner.log"), "utf8").catch(() => "")).trim().split("\n").slice(-limits.errorTailLines);
    return { state: "ended", message: words.join("\n") || "its process has ended", isOutOfMemory: false };
  }

  async stop(attempt: string, signal?: AbortSignal): Promise<void> {
    const identity = await this.#identity(attempt);
    let graceMs: number = limits.stepGraceMs;
    if (identity && lifeOf(identity) === "alive") {
      // The runner ends its steps, and delivers what they said.
      process.kill(identity.pid, "SIGTERM");
      const isGone = () => (lifeOf(identity) === "alive" ? undefined : true);
      const options = { timeoutMs: limits.runnerStopMs, pollMs: 20, signal };
      const hasEnded = await waitFor(`the runner of attempt ${attempt} to end`, isGone, options).catch(() => false);
      signal?.throwIfAborted();
      if (!hasEnded) graceMs = 0;
    }
    if (!(await endDescendants({ mark: [attemptMark, attempt] }, graceMs, signal))) {
      throw new SeatrialError("timeout", `processes of attempt ${attempt} do not end, not even by SIGKILL`, { retryable: true });
    }
  }

  async remove(attempt: string, signal?: AbortSignal): Promise<void> {
    const folder = this.#folder(attempt);
    if (!existsSync(folder)) return;
    await this.stop(attempt, signal);
    try {
      await rm(folder, { recursive: true, force: true });
    } catch {
      // Go's module cache, for one, is read-only.
      await run("chmod", ["-R", "u+rwX", folder], { env: hostVariables(this.#options.variables), okCodes: [0, 1] });
      await rm(folder, { recursive: true, force: true });
    }
  }

  async list(): Promise<string[]> {
    try {
      return (await readdir(this.#options.directory, { withFileTypes: true }))
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name);
    } catch (error) {
      if (systemCodeOf(error) === "ENOENT") return [];
      throw error;
    }
  }

  #folder(attempt: string): string {
    if (!/^[\w.-]+$/.test(attempt) || attempt.startsWith("."))
      throw new SeatrialError("internal", `${JSON.stringify(attempt)} is no uid of an attempt`);
    return join(this.#options.directory, attempt);
  }

  async #isRunning(attempt: string, identity?: ProcessIdentity): Promise<boolean> {
    if (identity && lifeOf(identity) === "alive") return true;
    return processesMarked(attemptMark, attempt).length > 0;
  }

  async #note(attempt: string, identity: ProcessIdentity): Promise<void> {
    const path = join(this.#folder(attempt), "runner.pid");
    await writeFile(`${path}.new`, formatIdentity(identity));
    await rename(`${path}.new`, path);
  }

  async #identity(attempt: string): Promise<ProcessIdentity | undefined> {
    return parseIdentity(await readFile(join(this.#folder(attempt), "runner.pid"), "utf8").catch(() => ""));
  }
}

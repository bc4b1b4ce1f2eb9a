/**
 * Docker actions: `uses: docker://IMAGE`, and actions whose `runs.using` is `docker`. Each runs in a container of its own with GitHub's
 * places (the workspace at /github/workspace, HOME at /github/home), the network of the job, and the files by which steps set
 * outputs, variables and paths. What it prints comes through a pipe in the volume that it shares with the runner.
 */
import { execFile } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { limits } from "../../base/limits.ts";
import { pause } from "../../base/wait.ts";
import { type ActionContext, ActionError, type DockerAction, type DockerActions } from "../actions/action.ts";
import type { ContainerAnswer, ContainerRequest } from "./container-protocol.ts";
import { ContainerError, makeContainer } from "./containers.ts";
import { quoted } from "../steps/step-script.ts";

/** One for a job: it gives each container a name of its own. */
export class DockerActionRunner implements DockerActions {
  readonly #inherited: Readonly<Record<string, string | undefined>>;
  #count = 0;

  /** @param inherited what scripts of the job inherit, which is of another image, and no variable of the step. */
  constructor(inherited: Readonly<Record<string, string | undefined>>) {
    this.#inherited = inherited;
  }

  /** @throws ActionError when its image, or its container, cannot be had. */
  async run(action: DockerAction, context: ActionContext): Promise<number> {
    const { folders, link, signal, say } = context;
    const name = `action-${this.#count++}`;
    const attempt = dirname(folders.steps);
    const pipe = join(folders.steps, `${name}.output`);
    mkdirSync(join(attempt, "home"), { recursive: true });
    await promisify(execFile)("mkfifo", [pipe]);
    // Its user may be another: what it writes to is for all, and nobody else has this volume.
    const files = Object.values(action.env).filter((path) => path.startsWith(`${folders.steps}/`) && existsSync(path));
    for (const path of [pipe, ...files]) chmodSync(path, 0o666);
    for (const path of [attempt, folders.steps]) chmodSync(path, statSync(path).mode | 0o011);
    const { image, build } = action;
    const what = image === undefined ? relative(attempt, build?.dockerfile ?? attempt) : `docker://${image}`;
    say(image === undefined ? `Builds ${what}` : `Runs ${what}`);
    try {
      return await this.#follow(this.#requestOf(action, context, name), what, pipe, context);
    } catch (error) {
      if (error instanceof ContainerError) throw new ActionError(error.verdictCause, error.message);
      throw error;
    } finally {
      await link.ask("POST", `containers/${name}/end`, {}).catch(() => {}); // It goes with the attempt.
      if (!signal.aborted) rmSync(pipe, { force: true });
    }
  }

  /** What it prints is what the step prints: a script of the step reads it to its end, from before it begins. */
  async #follow(request: ContainerRequest, what: string, pipe: string, { link, signal, run }: ActionContext): Promise<number> {
    const wake = async () => await promisify(execFile)("sh", ["-c", `: >${quoted(pipe)}`], { timeout: limits.stepGraceMs }).catch(() => {});
    const printing = run(`exec cat ${quoted(pipe)}`);
    const printed = printing.then(
      () => true as const,
      () => true as const, // Told below.
    );
    const look = async () => (await link.ask<ContainerAnswer>("POST", "containers", request)).body;
    try {
      await makeContainer(link, request, what, signal);
      // One that was killed before it had opened the pipe leaves a reader that would wait for ever.
      while (!(await isWithin(printed, limits.containerAnswerMs))) if ((await look()).state === "ended") await wake();
    } catch (error) {
      await wake();
      await printed;
      throw error;
    }
    await printing;
    for (;;) {
      const seen = await look();
      if (seen.state === "ended" && seen.isOutOfMemory)
        throw new ActionError("container", `${what} was out of memory, exit code ${seen.exitCode}`);
      if (seen.state === "ended") {
        if (seen.log !== "") {
          // Its image has no shell that would have opened the pipe.
          writeFileSync(`${pipe}.late`, seen.log, { mode: 0o600 });
          await run(`cat ${quoted(`${pipe}.late`)}; rm ${quoted(`${pipe}.late`)}`);
        }
        return seen.exitCode;
      }
      if (seen.state === "failed") throw new ActionError("container", `${what}: ${seen.message}`);
      await pause(limits.containerEndMs, signal); // It has closed its output, and ends now.
    }
  }

  #requestOf({ image, build, entrypoint, args, env }: DockerAction, context: ActionContext, name: string): ContainerRequest {
    const ofStep = Object.entries(context.env).filter(([key, value]) => this.#inherited[key] !== value && key !== "PATH");
    return {
      role: "action",
      name,
      ...(image === undefined ? {} : { image }),
      ...(build === undefined ? {} : { build: { folder: build.folder, file: relative(build.folder, build.dockerfile) } }),
      env: { ...Object.fromEntries(ofStep), ...env, HOME: "/github/home", GITHUB_WORKSPACE: "/github/workspace" },
      ...(entrypoint === undefined || entrypoint === "" ? {} : { entrypoint: [entrypoint] }),
      ...(args.length === 0 ? {} : { command: [...args] }),
    };
  }
}

async function isWithin(work: Promise<true>, ms: number): Promise<boolean> {
  const over = new AbortController();
  const late = pause(ms, over.signal).then(
    () => false,
    () => false,
  );
  return await Promise.race([work, late]).finally(() => over.abort());
}

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { waitFor } from "../../base/wait.ts";
import { processesMarked } from "../../process/marked.ts";
import { endDescendants } from "../descendants.ts";
import { stepsMark } from "./loop-script.ts";
import { markStart } from "./marked-output.ts";
import { StepLoop } from "./step-loop.ts";

const searched = process.env["PATH"]!.split(delimiter);
const programOf = (name: string) => searched.map((folder) => join(folder, name)).find((path) => existsSync(path));

/** A loop that runs in a shell of that name. */
async function open(shell: string, attempt = `attempt-${Math.random()}`) {
  const folder = await mkdtemp(join(tmpdir(), "loop-"));
  const bin = join(folder, "bin");
  const directory = join(folder, "steps");
  for (const made of [bin, directory]) await mkdir(made);
  await symlink(programOf(shell)!, join(bin, "sh"));
  let output = "";
  let mayRead = true;
  const loop = await StepLoop.start({
    attempt,
    directory,
    env: { PATH: `${bin}${delimiter}${process.env["PATH"]}` },
    mark: `${markStart}test-mark`,
    onOutput: (bytes) => {
      output += bytes.toString("latin1");
      return mayRead;
    },
  });
  onTestFinished(async () => {
    mayRead = true;
    loop.resume();
    await endDescendants({ mark: [stepsMark, attempt] }, 0);
    await loop.end();
    await rm(folder, { recursive: true });
  });
  let count = 0;
  return {
    loop,
    directory,
    attempt,
    output: () => output,
    pause: () => (mayRead = false),
    resume: () => {
      mayRead = true;
      loop.resume();
    },
    run: async (script: string) => {
      const name = String(count++);
      await writeFile(
        join(directory, `${name}.sh`),
        `export ${stepsMark}=${attempt}\nexec $seatrial_setsid sh -c '${script.replaceAll("'", `'\\''`)}'\n`,
      );
      return await loop.run(name);
    },
  };
}

describe.for(["dash", "bash", "busybox"].map((shell) => ({ shell })))("$shell", ({ shell }) => {
  test.beforeEach((context) => {
    if (!programOf(shell)) context.skip(`no ${shell} is in PATH`);
  });

  test("steps one after the other, with their codes, and all that they printed by then", async () => {
    const { run, output } = await open(shell);
    expect(await run("echo one; echo two >&2; echo three >/dev/stderr; printf four")).toBe(0);
    expect(output()).toBe("one\ntwo\nthree\nfour");
    expect(await run("i=0; while [ $i -lt 2000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done; exit 3")).toBe(3);
    expect(output().length).toBe(18 + 2000 * 41);
    expect(await run("kill -9 $$")).toBe(137);
    expect(await run("cat; echo no input")).toBe(0);
    expect(output()).toMatch(/no input\n$/);
  });

  test("a child that goes on holds up neither the next step nor the end", async () => {
    const { run, loop, output } = await open(shell);
    expect(await run("(sleep 60; echo late) & echo early")).toBe(0);
    expect(await run("echo next")).toBe(0);
    const startedAt = performance.now();
    await loop.end();
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(output()).toBe("early\nnext\n");
  });

  test("a step that ends the loop is known to be lost", async () => {
    const { run, loop } = await open(shell);
    expect(await run("kill -9 $PPID; sleep 60")).toBeUndefined();
    expect(loop.isGone).toBe(true);
    expect(await run("echo not")).toBeUndefined();
  });

  test("a step that ends its whole process group ends itself alone", async () => {
    const { run, loop } = await open(shell);
    expect(await run("kill -TERM 0; sleep 60")).toBe(143);
    expect(loop.isGone).toBe(false);
    expect(await run("true")).toBe(0);
  });

  test("whoever prints waits while nothing is read", async () => {
    const { run, pause, resume, output, directory, loop } = await open(shell);
    pause();
    const running = run("i=0; while [ $i -lt 20000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done; touch done");
    await waitFor("the first output", () => (loop.isPaused ? true : undefined), { timeoutMs: 10_000, pollMs: 10 });
    expect(existsSync(join(directory, "done"))).toBe(false);
    expect(output().length).toBeLessThan(300_000);
    resume();
    expect(await running).toBe(0);
    expect(output().length).toBe(20_000 * 41);
  });

  test("a step without an exit file has no code", async () => {
    const { run, directory } = await open(shell);
    await mkdir(join(directory, "0.exit"));
    expect(await run("true")).toBeUndefined();
  });

  test("the watch says nothing and ends with the loop", async () => {
    const { run, loop, directory } = await open(shell);
    expect(await run("true")).toBe(0);
    expect(await readFile(join(directory, "0.exit"), "utf8")).toBe("0\n");
    await loop.end();
    expect(loop.isGone).toBe(true);
  });
});

test("no shell at all", async () => {
  const directory = await mkdtemp(join(tmpdir(), "loop-"));
  onTestFinished(async () => await rm(directory, { recursive: true }));
  const starting = StepLoop.start({ attempt: "a", directory, env: { PATH: directory }, mark: `${markStart}m`, onOutput: () => true });
  await expect(starting).rejects.toMatchObject({ code: "command-failed", message: expect.stringContaining("could not be started") });
  expect(processesMarked(stepsMark, "a")).toEqual([]);
});

describe("in a container, which is a process here", () => {
  /** @param program what the container runs,. */
  async function openInside(program = "exec sh loop.sh a 1 container.output <container.in >container.said 3<container.life") {
    const folder = await mkdtemp(join(tmpdir(), "loop-"));
    const directory = join(folder, "steps");
    await mkdir(directory);
    let output = "";
    let child: ChildProcess | undefined;
    let ended: Promise<unknown> | undefined;
    const opening = StepLoop.inContainer({
      attempt: "a",
      directory,
      env: {},
      folders: [],
      mark: `${markStart}inside`,
      onOutput: (bytes) => {
        output += bytes.toString("latin1");
        return true;
      },
      begin: async () => {
        child = spawn("sh", ["-c", program], { cwd: directory, stdio: "ignore", detached: true });
        ended = new Promise((resolve) => child!.once("exit", resolve));
        await Promise.resolve();
      },
      whyNone: async () => await Promise.resolve(child?.exitCode === null ? undefined : `exit code ${child?.exitCode}`),
    });
    onTestFinished(async () => {
      await opening.then(
        async (loop) => await loop.end(),
        () => {},
      );
      await ended;
      await rm(folder, { recursive: true });
    });
    const run = async (name: string, script: string) => {
      await writeFile(join(directory, `${name}.sh`), script);
      return await (await opening).run(name);
    };
    return { opening, run, output: () => output, kill: () => process.kill(-child!.pid!, "SIGKILL"), ended: async () => await ended };
  }

  test("steps, their codes and all that they printed; its end ends the process", async () => {
    const { opening, run, output, ended } = await openInside();
    expect(await run("0", "echo one; echo two >&2")).toBe(0);
    expect(await run("1", "printf three; exit 3")).toBe(3);
    expect(output()).toBe("one\ntwo\nthree");
    const loop = await opening;
    await loop.end();
    await ended();
    expect(loop.isGone).toBe(true);
  });

  test("one that is killed is gone at once, and so is its step", async () => {
    const { opening, run, kill, output } = await openInside();
    expect(await run("0", "echo begun")).toBe(0);
    const running = run("1", "echo long; exec sleep 60");
    await waitFor("the step", () => (output().includes("long") ? true : undefined), { timeoutMs: 5_000, pollMs: 10 });
    kill();
    expect(await running).toBeUndefined();
    expect((await opening).isGone).toBe(true);
  });

  test("one that ends before it is ready says why", async () => {
    const { opening } = await openInside("exit 7");
    await expect(opening).rejects.toMatchObject({
      code: "command-failed",
      message: "the container of the job ended before its first step: exit code 7",
    });
  });
});

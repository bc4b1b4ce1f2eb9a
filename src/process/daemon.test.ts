import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { waitFor } from "../base/wait.ts";
import { startDaemon, stopDaemon } from "./daemon.ts";
import { lifeOf } from "./identity.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "daemon-"));
  const made = folder;
  onTestFinished(async () => await rm(made, { recursive: true, force: true }));
});

async function start(script: string) {
  const logFile = join(folder, "d.log");
  const identity = await startDaemon("sh", ["-c", script], { cwd: folder, env: { PATH: process.env["PATH"], GIVEN: "yes" }, logFile });
  onTestFinished(async () => await stopDaemon(identity, "SIGKILL"));
  const says = async (text: string) =>
    await waitFor(`the log to say ${text}`, async () => ((await readFile(logFile, "utf8")).includes(text) ? true : undefined), {
      timeoutMs: 5_000,
      pollMs: 20,
    });
  return { identity, logFile, says };
}

test("it has the environment that it was given and no other, its folder, its log", async () => {
  const { identity, logFile, says } = await start('echo "$GIVEN $HOME $PWD" ; echo trouble >&2; exec sleep 60');
  await says("trouble");
  expect(await readFile(logFile, "utf8")).toContain(`yes  ${folder}`);
  expect((await stat(logFile)).mode & 0o777).toBe(0o600);
  expect(lifeOf(identity)).toBe("alive");
  await stopDaemon(identity);
  expect(lifeOf(identity)).toBe("dead");
  await stopDaemon(identity);
});

test("the log of a second start is added to the first", async () => {
  for (const word of ["one", "two"]) await (await start(`echo ${word}; exec sleep 60`)).says(word);
  expect(await readFile(join(folder, "d.log"), "utf8")).toBe("one\ntwo\n");
});

test("it may clean up when it is told to end", async () => {
  const { identity, says } = await start("trap 'echo cleaned; exit' TERM; echo up; while :; do sleep 0.05; done");
  await says("up");
  await stopDaemon(identity);
  await says("cleaned");
});

test("one that was given the pid later is not touched", async () => {
  const { identity } = await start("exec sleep 60");
  await stopDaemon({ ...identity, startTime: "1" }, "SIGKILL");
  expect(lifeOf(identity)).toBe("alive");
});

test("a program that is not there", async () => {
  await expect(startDaemon(join(folder, "none"), [], { cwd: folder, env: {}, logFile: join(folder, "d.log") })).rejects.toMatchObject({
    code: "missing-program",
  });
});

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { waitFor } from "../base/wait.ts";
import { processesMarked } from "../process/marked.ts";
import { endDescendants } from "./descendants.ts";

/** A process that says when it is ready, in a process group of its own. */
async function start(script: string, env: Record<string, string>): Promise<ChildProcess> {
  const child = spawn("sh", ["-c", script], {
    env: { PATH: process.env["PATH"], ...env },
    detached: true,
    stdio: ["ignore", "pipe", "ignore"],
  });
  onTestFinished(() => {
    try {
      process.kill(-child.pid!, "SIGKILL");
    } catch {
      // It has ended.
    }
  });
  await new Promise((ready) => child.stdout!.once("data", ready));
  return child;
}

const ended = async (child: ChildProcess) =>
  await waitFor(
    "it to end",
    () => (child.exitCode !== null || child.signalCode !== null ? (child.signalCode ?? child.exitCode) : undefined),
    {
      timeoutMs: 5_000,
      pollMs: 10,
    },
  );

test("they may clean up; those that do not listen are killed; others are not touched", async () => {
  const uid = randomUUID();
  const polite = await start("trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done", { MARK: uid });
  const deaf = await start("trap '' TERM; setsid sleep 60 & echo up; while :; do sleep 0.1; done", { MARK: uid });
  const other = await start("echo up; sleep 60", { MARK: `${uid}x` });
  expect(await endDescendants({ mark: ["MARK", uid] }, 400)).toBe(true);
  expect(await ended(polite)).toBe(7);
  expect(await ended(deaf)).toBe("SIGKILL");
  expect(processesMarked("MARK", uid)).toEqual([]);
  expect(other.exitCode).toBeNull();
});

test("one without its environment is found by its process group", async () => {
  const folder = await mkdtemp(join(tmpdir(), "group-"));
  onTestFinished(async () => await rm(folder, { recursive: true }));
  const bare = await start("echo up; exec env -i /bin/sleep 60", { MARK: "none" });
  await writeFile(join(folder, "pid"), `${bare.pid}\n`);
  expect(await endDescendants({ mark: ["MARK", randomUUID()], groupFile: join(folder, "pid") }, 1_000)).toBe(true);
  expect(await ended(bare)).toBe("SIGTERM");
});

test("nothing there is done at once, with a group file or without", async () => {
  expect(await endDescendants({ mark: ["MARK", randomUUID()], groupFile: "/no/such/file" }, 60_000)).toBe(true);
});

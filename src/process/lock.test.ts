import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { anyLock, lock, tryLock } from "./lock.ts";

let path: string;
beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), "lock-"));
  path = join(folder, "deep", "a.lock");
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
});

test("one holder at a time; released once, however often it is told", () => {
  const held = tryLock(path)!;
  expect(tryLock(path)).toBeUndefined();
  held.release();
  held.release();
  using _next = tryLock(path)!;
  expect(_next).toBeDefined();
});

test("the file stays, empty", async () => {
  tryLock(path)!.release();
  expect((await stat(path)).size).toBe(0);
});

test.each([
  ["its folder cannot be made", () => join(path, "file", "a.lock"), "cannot make the folder"],
  ["its name is too long", () => `${path}${"x".repeat(300)}`, "cannot lock"],
])("where no lock can be (%s) the error says so, with a hint", async (_, place, message) => {
  tryLock(path)!.release(); // A file, below which no folder can be.
  expect(() => tryLock(place())).toThrow(
    expect.objectContaining({ code: "command-failed", message: expect.stringContaining(message), hint: expect.any(String) }),
  );
});

test("waiting ends when the holder lets go", async () => {
  const held = tryLock(path)!;
  const waiting = lock(path, "the thing");
  held.release();
  (await waiting).release();
});

test("waiting ends with the signal", async () => {
  using _held = tryLock(path);
  await expect(lock(path, "the thing", AbortSignal.timeout(50))).rejects.toThrow("aborted due to timeout");
});

test("a semaphore has as many places as files", async () => {
  const paths = [`${path}-1`, `${path}-2`];
  const first = await anyLock(paths, "a place");
  using _second = await anyLock(paths, "a place");
  await expect(anyLock(paths, "a place", AbortSignal.timeout(50))).rejects.toThrow("aborted due to timeout");
  first.release();
  (await anyLock(paths, "a place")).release();
});

test("a holder that is killed holds nothing", async () => {
  const script = `const { tryLock } = await import(${JSON.stringify(join(import.meta.dirname, "lock.ts"))}); globalThis.held = tryLock(${JSON.stringify(path)}); console.log("held"); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  expect(tryLock(path)).toBeUndefined();
  child.kill("SIGKILL");
  await once(child, "exit");
  (await lock(path, "the thing", AbortSignal.timeout(10_000))).release();
});

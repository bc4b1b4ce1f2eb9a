import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { systemCodeOf } from "./errors.ts";
import { makeFolder } from "./folder.ts";

async function scratch(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "folder-"));
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  return folder;
}

test("all that are missing are made, with the mode; what is there stays as it is", async () => {
  const top = await scratch();
  await chmod(top, 0o755);
  makeFolder(join(top, "a", "b"), 0o700);
  makeFolder(join(top, "a", "b"), 0o755);
  expect((await stat(join(top, "a", "b"))).mode & 0o777).toBe(0o700);
  expect((await stat(top)).mode & 0o777).toBe(0o755);
});

test("a file in the way is named", async () => {
  const file = join(await scratch(), "file");
  await writeFile(file, "");
  expect(() => makeFolder(join(file, "deep"))).toThrow(`cannot make the folder ${file}: a file is in its place`);
});

test.runIf(existsSync("/proc/self"))("a place where nothing can be made is an error, where Node's own recursion never ends", () => {
  let thrown: unknown;
  try {
    makeFolder("/proc/seatrial/data");
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({
    code: "command-failed",
    message: expect.stringContaining("cannot make the folder /proc/seatrial: ENOENT") as string,
    hint: expect.stringContaining("SEATRIAL_HOME") as string,
  });
  expect(systemCodeOf(thrown)).toBe("ENOENT");
});

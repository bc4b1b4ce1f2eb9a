import { spawnSync } from "node:child_process";
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { currentProcess } from "./identity.ts";
import { writeFileWhole } from "./whole-file.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "whole-file-"));
});
afterEach(async () => await rm(folder, { recursive: true, force: true }));

describe("a file is written whole or not at all", () => {
  test("a link to nothing stays, and its target is made", async () => {
    await mkdir(join(folder, "real"));
    await symlink(join("real", "second"), join(folder, "first"));
    await symlink("config", join(folder, "real", "second"));
    await writeFileWhole(join(folder, "first"), "new");
    expect(await readFile(join(folder, "real", "config"), "utf8")).toBe("new");
    expect(await readlink(join(folder, "first"))).toBe(join("real", "second"));
    expect(await readlink(join(folder, "real", "second"))).toBe("config");
  });

  test("what is no regular file stays, also at the end of a link", async () => {
    // A socket stands for a device: a test that fails must not have replaced one of this machine's.
    const server = createServer().listen(join(folder, "socket"));
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once("listening", resolve));
    await symlink("socket", join(folder, "link"));
    for (const name of ["socket", "link"])
      await expect(writeFileWhole(join(folder, name), "x")).rejects.toThrow(/it is not a regular file; the file is as it was/);
    expect((await lstat(join(folder, "socket"))).isSocket()).toBe(true);
    expect((await readdir(folder)).toSorted()).toEqual(["link", "socket"]);
  });

  test("a link is followed", async () => {
    await mkdir(join(folder, "real"));
    const target = join(folder, "real", "config");
    await writeFile(target, "old");
    await symlink(target, join(folder, "link"));
    await writeFileWhole(join(folder, "link"), "new");
    expect(await readFile(target, "utf8")).toBe("new");
    expect(await readdir(join(folder, "real"))).toEqual(["config"]);
  });

  test("what a killed writer left goes; what another is writing stays", async () => {
    const ended = spawnSync("sh", ["-c", "echo $$"], { encoding: "utf8" }).stdout.trim();
    const { hostId, bootId, pid, startTime } = currentProcess();
    const file = (of: string) => `first.${of}.0123abcd.tmp`;
    const [dead, alive, elsewhere] = [
      file([hostId, bootId, ended, startTime].join(",")),
      file([hostId, bootId, pid, startTime].join(",")),
      file(["another-host", bootId, ended, startTime].join(",")),
    ];
    for (const name of [dead, alive, elsewhere, "second.tmp"]) await writeFile(join(folder, name), "");
    await writeFileWhole(join(folder, "first"), "new");
    expect((await readdir(folder)).toSorted()).toEqual(["first", alive, elsewhere, "second.tmp"].toSorted());
  });

  test("what cannot be written is told, and nothing is left", async () => {
    await mkdir(join(folder, "taken", "by", "a-folder"), { recursive: true });
    await expect(writeFileWhole(join(folder, "taken"), "x")).rejects.toMatchObject({
      code: "command-failed",
      message: expect.stringContaining("the file is as it was"),
    });
    expect(await readdir(folder)).toEqual(["taken"]);
  });
});

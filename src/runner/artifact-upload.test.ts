import { execFileSync } from "node:child_process";
import { readSync } from "node:fs";
import { chmod, link, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { limits } from "../base/limits.ts";
import { createMask } from "../logs/masking.ts";
import { uploadArtifacts } from "./artifact-upload.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "artifacts-"));
  const made = folder;
  onTestFinished(async () => await rm(made, { recursive: true }));
});

async function upload(): Promise<{ files: Record<string, string>; said: string[] }> {
  const files: Record<string, string> = {};
  const said: string[] = [];
  const artifact = async (path: string, fd: number, length: number) => {
    const bytes = Buffer.alloc(length);
    readSync(fd, bytes, 0, length, 0);
    files[path] = bytes.toString();
  };
  await uploadArtifacts(folder, { artifact }, (line) => said.push(line));
  return { files, said: said.toSorted() };
}

test("files by their paths, empty ones too", async () => {
  await mkdir(join(folder, "a", "b"), { recursive: true });
  await writeFile(join(folder, "junit.xml"), "<x/>");
  await writeFile(join(folder, "a", "b", "ünï code.txt"), "deep");
  await writeFile(join(folder, "a", "empty"), "");
  expect(await upload()).toEqual({ files: { "junit.xml": "<x/>", "a/b/ünï code.txt": "deep", "a/empty": "" }, said: [] });
});

test("secrets are masked in text and in names, and in nothing else", async () => {
  await writeFile(join(folder, "junit.xml"), "<failure>postgres://ci:hunter22secret@db</failure>");
  await writeFile(join(folder, "data.bin"), Buffer.concat([Buffer.from([0]), Buffer.from("hunter22secret")]));
  await mkdir(join(folder, "of-hunter22secret"));
  await writeFile(join(folder, "of-hunter22secret", "hunter22secret.txt"), "");
  const files: Record<string, string> = {};
  const artifact = async (path: string, fd: number, length: number) => {
    const bytes = Buffer.alloc(length);
    readSync(fd, bytes, 0, length, 0);
    files[path] = bytes.toString();
  };
  const scratch = await mkdtemp(join(tmpdir(), "scratch-"));
  onTestFinished(async () => await rm(scratch, { recursive: true }));
  await uploadArtifacts(folder, { artifact }, () => {}, { mask: createMask(["hunter22secret"]), scratch });
  expect(files["junit.xml"]).not.toContain("hunter22");
  expect(files["junit.xml"]).toMatch(/^<failure>postgres:\/\/ci:\*+@db<\/failure>$/);
  expect(files["data.bin"]).toContain("hunter22secret");
  expect(Object.keys(files).toSorted()).toEqual(["data.bin", "junit.xml", "of-***/***.txt"]);
  expect(await readdir(scratch)).toEqual([]);
});

test("nothing is followed, nothing that is no file is opened", async () => {
  await symlink("/etc/passwd", join(folder, "link"));
  await symlink("/etc", join(folder, "folder"));
  await symlink(folder, join(folder, "loop"));
  execFileSync("sh", ["-c", "mkfifo pipe"], { cwd: folder });
  await writeFile(join(folder, "bad\nname"), "x");
  await writeFile(join(folder, "back\\slash"), "x");
  await writeFile(join(folder, "good"), "x");
  await link(join(folder, "good"), join(folder, "hard"));
  const { files, said } = await upload();
  expect(files).toEqual({ good: "x", hard: "x" });
  expect(said).toEqual([
    String.raw`artifact "back\\slash" is left out: its name has characters that no other system takes`,
    String.raw`artifact "bad\nname" is left out: its name has characters that no other system takes`,
    "artifact folder is left out: it is a link",
    "artifact link is left out: it is a link",
    "artifact loop is left out: it is a link",
    "artifact pipe is left out: it is no regular file",
  ]);
});

test("one that cannot be read is told", async (context) => {
  if (process.getuid?.() === 0) context.skip("root reads everything");
  await writeFile(join(folder, "secret"), "x");
  await chmod(join(folder, "secret"), 0o000);
  expect(await upload()).toEqual({ files: {}, said: ["artifact secret is left out: it cannot be read: EACCES"] });
});

test("the folder is gone", async () => {
  const removed = join(folder, "removed");
  const said: string[] = [];
  await uploadArtifacts(removed, { artifact: async () => {} }, (line) => said.push(line));
  expect(said).toEqual(["artifact folder is left out: it cannot be read: ENOENT"]);
});

test("folders that are too deep, and more messages than anybody reads", async () => {
  const deep = join(folder, ...Array.from({ length: limits.artifactDepth + 1 }, () => "d"));
  await mkdir(deep, { recursive: true });
  await writeFile(join(deep, "x"), "x");
  for (let i = 0; i < 30; i++) await symlink("/", join(folder, `link${i}`));
  const { files, said } = await upload();
  expect(files).toEqual({});
  expect(said).toHaveLength(21);
  expect(said[0]).toBe("11 more artifacts are left out");
});

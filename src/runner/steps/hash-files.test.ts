import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { hashFiles } from "./hash-files.ts";

const sha = (of: string | Buffer) => createHash("sha256").update(of).digest();

test("files that match, in the order of their paths; folders and what is taken away are none", async () => {
  const workspace = await mkdtemp(join(tmpdir(), "hash-"));
  onTestFinished(async () => await rm(workspace, { recursive: true }));
  await mkdir(join(workspace, "a", "deep.txt"), { recursive: true });
  for (const [path, text] of [
    ["b.txt", "b"],
    ["a/a.txt", "a"],
    ["a/skip.txt", "s"],
    ["other", "o"],
  ] as const)
    await writeFile(join(workspace, path), text);
  const whole = (...texts: string[]) => sha(Buffer.concat(texts.map((text) => sha(text)))).toString("hex");
  expect(hashFiles(workspace, ["**/*.txt", "!**/skip.txt"])).toBe(whole("a", "b"));
  expect(hashFiles(workspace, ["b.txt"])).toBe(whole("b"));
  expect(hashFiles(workspace, ["*.none"])).toBe("");
  const large = Buffer.alloc(3_000_000, "abc");
  await writeFile(join(workspace, "other"), large);
  expect(hashFiles(workspace, ["other"])).toBe(sha(sha(large)).toString("hex"));
});

test("what a link to a folder leads to, where it is asked for", async () => {
  const workspace = await mkdtemp(join(tmpdir(), "hash-"));
  onTestFinished(async () => await rm(workspace, { recursive: true }));
  await mkdir(join(workspace, "a"));
  await mkdir(join(workspace, "b"));
  await writeFile(join(workspace, "a", "one.txt"), "one");
  await symlink("../a", join(workspace, "b", "folder"));
  await symlink("../a/one.txt", join(workspace, "b", "file.txt"));
  const whole = (...texts: string[]) => sha(Buffer.concat(texts.map((text) => sha(text)))).toString("hex");
  expect(hashFiles(workspace, ["b/**"])).toBe(whole("one"));
  expect(hashFiles(workspace, ["--follow-symbolic-links", "b/**"])).toBe(whole("one", "one"));
  expect(() => hashFiles(workspace, ["--follow", "b/**"])).toThrow('hashFiles() has no option "--follow"; it has --follow-symbolic-links');
});

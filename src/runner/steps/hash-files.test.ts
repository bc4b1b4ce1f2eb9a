import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
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

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { FolderStore } from "../../artifacts/folder.ts";
import { limits } from "../../base/limits.ts";
import { summariesOf } from "./summaries.ts";

test("summaries of steps, in their order, no more than are shown; what is none, or is gone, is left out", async () => {
  const folder = await mkdtemp(join(tmpdir(), "summaries-"));
  onTestFinished(async () => await rm(folder, { recursive: true }));
  const objects = new FolderStore(folder);
  const artifact = (path: string) => ({ path, key: path, size: 1, digest: "", contentType: "" });
  await objects.put("step-summaries/0012.md", Buffer.from("# twelfth"));
  await objects.put("step-summaries/0003.md", Buffer.from("third"));
  await objects.put("step-summaries/notes.md", Buffer.from("not ours"));
  const paths = ["step-summaries/0012.md", "step-summaries/0003.md", "step-summaries/0004.md", "step-summaries/notes.md", "other/0001.md"];
  const found = await summariesOf(objects, paths.map(artifact));
  expect(found.map(({ step, content }) => [step, content.text])).toEqual([
    [2, "<p>third</p>"],
    [11, "<h3>twelfth</h3>"],
  ]);
  const many = Array.from({ length: limits.summariesShown + 5 }, () => artifact("step-summaries/0003.md"));
  expect(await summariesOf(objects, many)).toHaveLength(limits.summariesShown);
});

import fc from "fast-check";
import { execFileSync } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { limits } from "../base/limits.ts";
import { changedPaths } from "./changed-paths.ts";
import { testEnvironment, type TestRepository, testRepository } from "./testdata/repository.ts";
import { treeBomb } from "./testdata/tree-bomb.ts";

async function repository(): Promise<TestRepository & { changed(from: string, to: string): ReturnType<typeof changedPaths> }> {
  const made = await testRepository();
  onTestFinished(async () => await made[Symbol.asyncDispose]());
  const folder = join(made.folder, ".git");
  return { ...made, changed: async (from, to) => await changedPaths(testEnvironment, folder, [from, to]) };
}

test("what git says, for trees of all kinds", async () => {
  const { folder, git, commit, changed } = await repository();
  const names = ["a", "b", "a/x", "a/y", "b/a/x", "b/a/y", "é", "a b", ":"];
  const tree = fc.dictionary(fc.constantFrom(...names), fc.constantFrom("1", "2"));
  const written = async (files: Record<string, string>) => {
    await git("rm", "-r", "-q", "-f", "--ignore-unmatch", ".");
    for (const [path, text] of Object.entries(files)) {
      // A folder is in its place, or a file in that of its folder: then there is no such file.
      await mkdir(dirname(join(folder, path)), { recursive: true }).catch(() => {});
      await writeFile(join(folder, path), text).catch(() => {});
    }
    return await commit({});
  };
  await fc.assert(
    fc.asyncProperty(tree, tree, async (before, after) => {
      const [from, to] = [await written(before), await written(after)];
      const said = execFileSync("git", ["diff-tree", "-r", "-z", "--name-only", "--no-renames", from, to], {
        cwd: folder,
        encoding: "utf8",
      });
      // What was a file and is a folder is told as both.
      expect(await changed(from, to)).toEqual({ paths: [...new Set(said.split("\0").filter(Boolean))].toSorted(), isComplete: true });
    }),
    { numRuns: 25 },
  );
  await rm(folder, { recursive: true });
});

test("no more than the bound, and that there are more", async () => {
  const { commit, changed } = await repository();
  const from = await commit({ a: "" });
  const files = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`d${index % 7}/${index}`, ""]));
  const most = await commit(files(limits.gitChangedPaths));
  expect(await changed(from, most)).toMatchObject({ isComplete: true });
  const more = await commit(files(limits.gitChangedPaths + 1));
  const { paths, isComplete } = await changed(from, more);
  expect([paths.length, isComplete]).toEqual([limits.gitChangedPaths, false]);
});

test.each([
  ["files", false],
  ["nothing", true],
])("a tree that names itself, with %s at its end, is no work", async (_, isHollow) => {
  const { folder, commit, changed } = await repository();
  const from = await commit({ a: "a" });
  const startedMs = performance.now();
  expect(await changed(from, treeBomb(folder, { parent: from, isHollow }))).toMatchObject({ isComplete: false });
  expect(performance.now() - startedMs).toBeLessThan(10_000);
});

test("a commit that is not there is named", async () => {
  const { commit, changed } = await repository();
  const missing = "1".repeat(40);
  await expect(changed(await commit({ a: "a" }), missing)).rejects.toMatchObject({
    code: "not-found",
    message: expect.stringContaining(missing),
  });
});

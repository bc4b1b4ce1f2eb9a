import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { environmentFrom } from "../base/environment.ts";
import { run } from "../process/run.ts";
import { treesOf } from "./trees.ts";

test("commits with the same content have the same tree; one that is not there has none", async () => {
  const folder = await mkdtemp(join(tmpdir(), "trees-"));
  try {
    const { PATH } = process.env;
    const environment = environmentFrom({ variables: { PATH }, homeDir: folder, tempDir: folder, uid: 0, cwd: folder });
    const author = Object.fromEntries(
      ["AUTHOR", "COMMITTER"].flatMap((who) => ["NAME", "EMAIL"].map((what) => [`GIT_${who}_${what}`, "t"])),
    );
    const git = async (...args: string[]) => (await run("git", args, { cwd: folder, env: { PATH, HOME: folder, ...author } })).stdout;
    await git("init", "--quiet");
    const commit = async (message: string) => {
      await git("commit", "--quiet", "--allow-empty", "--message", message);
      return await git("rev-parse", "HEAD");
    };
    const [one, other] = [await commit("one"), await commit("other")];
    const emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    expect(await treesOf(environment, folder, [one, "0".repeat(40), other])).toEqual([emptyTree, undefined, emptyTree]);
    expect(await treesOf(environment, join(folder, ".git"), [other])).toEqual([emptyTree]);
    expect(await treesOf(environment, folder, [])).toEqual([]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

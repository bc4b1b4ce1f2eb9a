import { appendFileSync } from "node:fs";
import { chmod, mkdir, readdir, readFile, rm, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { scratchFolder, type TestRepository, testEnvironment, testRepository } from "./testdata/repository.ts";
import { type Snapshot, snapshotWorktree } from "./worktree.ts";

interface Bench {
  repository: TestRepository;
  head: string;
  scratch: string;
  snapshot(folder?: string): Promise<Snapshot>;
}

async function bench(): Promise<Bench> {
  const scratch = await scratchFolder();
  const repository = await testRepository();
  onTestFinished(async () => {
    await repository[Symbol.asyncDispose]();
    await scratch[Symbol.asyncDispose]();
  });
  const head = await repository.commit({ "a.txt": "one\n", "b/c.txt": "two\n", ".gitignore": "*.log\n/out/\n" });
  return {
    repository,
    head,
    scratch: scratch.path,
    snapshot: async (folder = repository.folder) => await snapshotWorktree(testEnvironment, folder, { tempDir: scratch.path }),
  };
}

/** What git itself would say of the user's state: index, refs, stash. */
async function stateOf({ repository }: Bench): Promise<string> {
  const index = join(repository.folder, ".git", "index");
  return [
    (await readFile(index)).toString("base64"),
    String((await stat(index)).mtimeMs),
    await repository.git("for-each-ref"),
    await readFile(join(repository.folder, ".git", "HEAD"), "utf8"),
    String((await readdir(join(repository.folder, ".git"))).filter((name) => /lock$|^index\./.test(name))),
  ].join("\n");
}

test("a tree in which nothing differs is what is checked out", async () => {
  const given = await bench();
  expect(await given.snapshot()).toEqual({ folder: given.repository.folder, head: given.head, commit: given.head });
  expect(await given.snapshot(join(given.repository.folder, "b"))).toMatchObject({ folder: given.repository.folder, commit: given.head });
});

describe("what is not committed", () => {
  test("is in it: changed, staged, new, removed, links and modes; not what is ignored", async () => {
    const given = await bench();
    const { repository } = given;
    await repository.write({
      "a.txt": "changed\n",
      "new/d.txt": "new\n",
      "x.log": "ignored\n",
      "out/y": "ignored\n",
      "staged.txt": "staged\n",
    });
    await repository.git("add", "staged.txt");
    await repository.write({ "staged.txt": "and changed again\n", "run.sh": "#!/bin/sh\n" });
    await chmod(join(repository.folder, "run.sh"), 0o755);
    await symlink("a.txt", join(repository.folder, "link"));
    await rm(join(repository.folder, "b/c.txt"));
    const before = await stateOf(given);
    const status = await repository.git("-c", "core.fsmonitor=false", "--no-optional-locks", "status", "--porcelain");
    const { commit, head } = await given.snapshot();
    expect(head).toBe(given.head);
    expect(await repository.git("show", "-s", "--format=%P %an %at", commit)).toBe(`${given.head} Seatrial 1700000060`);
    expect((await repository.git("ls-tree", "-r", commit)).split("\n").map((line) => line.replace(/ \w+ \w{40}\t/, " "))).toEqual([
      "100644 .gitignore",
      "100644 a.txt",
      "120000 link",
      "100644 new/d.txt",
      "100755 run.sh",
      "100644 staged.txt",
    ]);
    expect(await repository.git("show", `${commit}:staged.txt`)).toBe("and changed again");
    expect(await stateOf(given)).toBe(before);
    expect(await repository.git("--no-optional-locks", "status", "--porcelain")).toBe(status);
    expect(await readdir(given.scratch)).toEqual([]);
  });

  test("gives the same commit as long as it is the same", async () => {
    const given = await bench();
    await given.repository.write({ "a.txt": "changed\n" });
    const first = await given.snapshot();
    await given.repository.git("add", "a.txt");
    expect(await given.snapshot()).toEqual(first);
    await given.repository.write({ "a.txt": "changed again\n" });
    expect((await given.snapshot()).commit).not.toBe(first.commit);
  });

  test("is seen however soon it comes after git looked, and with the same size", async () => {
    const given = await bench();
    const file = join(given.repository.folder, "a.txt");
    const seen = new Set<string>();
    for (const text of ["aaa\n", "bbb\n", "ccc\n"]) {
      await given.repository.write({ "a.txt": text });
      await given.repository.git("add", "a.txt");
      await given.repository.write({ "a.txt": text.toUpperCase() });
      const { commit } = await given.snapshot();
      expect(await given.repository.git("show", `${commit}:a.txt`)).toBe(text.toUpperCase().trim());
      seen.add(commit);
    }
    expect(seen.size).toBe(3);
    expect(await readFile(file, "utf8")).toBe("CCC\n");
  });

  test("is taken as it lies there in the middle of a merge", async () => {
    const given = await bench();
    const { repository, head } = given;
    await repository.git("checkout", "-q", "-b", "other");
    await repository.commit({ "a.txt": "other\n" });
    await repository.git("checkout", "-q", "-b", "mine", head);
    await repository.commit({ "a.txt": "mine\n" });
    await repository.git("merge", "other").catch(() => {}); // It conflicts.
    const before = await stateOf(given);
    const { commit } = await given.snapshot();
    expect(await repository.git("show", `${commit}:a.txt`)).toContain("<<<<<<<");
    expect(await stateOf(given)).toBe(before);
  });
});

test("before the first commit there is no head", async () => {
  const given = await bench();
  const empty = join(given.scratch, "empty");
  await mkdir(empty);
  const repository = await testRepository(empty);
  await repository.write({ "a.txt": "one\n" });
  const { head, commit } = await given.snapshot(empty);
  expect(head).toBeUndefined();
  expect(await repository.git("show", "-s", "--format=%P%at", commit)).toBe("0");
});

test("a submodule is the commit that it is at", async () => {
  const given = await bench();
  const inner = join(given.repository.folder, "inner");
  await mkdir(inner);
  const submodule = await testRepository(inner);
  const at = await submodule.commit({ "s.txt": "s\n" });
  const { commit } = await given.snapshot();
  expect(await given.repository.git("ls-tree", commit, "inner")).toBe(`160000 commit ${at}\tinner`);
});

test("the user's filters count, so that files of LFS stay pointers; hooks do not run", async () => {
  const given = await bench();
  const { repository } = given;
  await repository.git("config", "filter.lfs.clean", "sed s/^/pointer:/");
  await repository.write({ ".gitattributes": "*.bin filter=lfs\n", "big.bin": "data\n" });
  const hook = join(repository.folder, ".git", "hooks", "post-index-change");
  await mkdir(join(repository.folder, ".git", "hooks"), { recursive: true });
  appendFileSync(hook, `#!/bin/sh\ntouch ${join(given.scratch, "hook-ran")}\n`, { mode: 0o755 });
  const { commit } = await given.snapshot();
  expect(await repository.git("show", `${commit}:big.bin`)).toBe("pointer:data");
  expect(await readdir(given.scratch)).toEqual([]);
});

test("a folder that is in no working tree is said to be none", async () => {
  const given = await bench();
  await expect(given.snapshot(given.scratch)).rejects.toMatchObject({
    code: "not-found",
    message: expect.stringContaining("not a git repository"),
  });
  await expect(given.snapshot(join(given.repository.folder, ".git"))).rejects.toMatchObject({ code: "not-found" });
});

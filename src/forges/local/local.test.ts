import { existsSync } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { waitFor } from "../../base/wait.ts";
import { Mirrors } from "../../git/mirrors.ts";
import { scratchFolder, type TestRepository, testEnvironment, testRepository } from "../../git/testdata/repository.ts";
import { describeForge, type ForgeUnderTest } from "../conformance.ts";
import type { Delivery } from "../forge.ts";
import { LocalForge } from "./local.ts";
import { changesBetween, readRefs, type SeenRefs } from "./refs.ts";

const user = { id: "0", login: "me" };

interface Bench {
  folder: string;
  /** A clone that pushes. */
  work: TestRepository;
  bare: string;
  open(...paths: string[]): Promise<LocalForge>;
  close(): Promise<void>;
}

/** A bare repository with one commit on main, and a clone of it. */
async function bench(): Promise<Bench> {
  const scratch = await scratchFolder();
  const work = await testRepository();
  const bare = join(scratch.path, "project.git");
  await work.commit({ "a.txt": "one\n" });
  await work.git("clone", "-q", "--bare", work.folder, bare);
  const open = async (...paths: string[]) =>
    await LocalForge.open({
      name: "local",
      environment: testEnvironment,
      repositories: paths.length > 0 ? paths : [bare],
      folder: join(scratch.path, "forge"),
      user,
      now: () => new Date(),
    });
  return {
    folder: scratch.path,
    work,
    bare,
    open,
    close: async () => {
      await work[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
    },
  };
}

describeForge({
  name: "local",
  skip: [
    { reason: "whoever can write to a folder of this machine is trusted", tests: ["strangers", "other people's comments"] },
    { reason: "files are written again; that costs nothing", tests: ["writes"] },
    { reason: "a folder of this machine is always there", tests: ["down"] },
  ],
  create: async () => {
    const { folder, work, bare, open, close } = await bench();
    const forge = await open();
    const another = await open();
    const [repository] = forge.repositories();
    const mirrors = new Mirrors({ environment: testEnvironment, folder: join(folder, "mirrors"), now: () => new Date() });
    let seen: SeenRefs | undefined;
    const told: Delivery[] = [];
    const look = async () => {
      const next = await forge.changesSince(repository!.id, seen);
      seen = next.seen;
      told.push(...next.deliveries);
    };
    await look();
    const push = async (branch: string, ref = `refs/heads/${branch}`) => {
      await look(); // What came before this push is a change of its own.
      const exists = (await work.git("branch", "--list", branch)) !== "";
      await work.git("checkout", "-q", ...(exists ? [branch] : ["-b", branch, "main"]));
      const sha = await work.commit({ [`${branch}.txt`]: `${Math.random()}\n` });
      await work.git("push", "-q", bare, `${branch}:${ref}`);
      return sha;
    };
    const branches = new Map<number, string>();
    return {
      forge,
      another: () => another,
      repository: { id: repository!.id, name: repository!.name },
      mirror: mirrors.of("local", repository!.id),
      push,
      deleteBranch: async (branch) => {
        await look();
        await work.git("push", "-q", bare, `:refs/heads/${branch}`);
      },
      pushMany: async (names) => void (await work.git("push", "-q", bare, ...names.map((name) => `main:refs/heads/${name}`))),
      openPullRequest: async (branch) => {
        const number = branches.size + 1;
        branches.set(number, branch);
        await push(branch, `refs/pull/${number}/head`);
        return number;
      },
      pushToPullRequest: async (number) => await push(branches.get(number)!, `refs/pull/${number}/head`),
      closePullRequest: async (number) => {
        await look();
        await work.git("push", "-q", bare, `:refs/pull/${number}/head`);
      },
      deliveries: async () => {
        await look();
        return told;
      },
      comments: async (number) => (await forge.comments(repository!.id, number)).map(({ markdown }) => markdown),
      writeComment: async () => {},
      writes: () => Promise.resolve(0),
      down: async () => {},
      up: async () => {},
      close: async () => {
        await mirrors.close();
        await close();
      },
    } satisfies ForgeUnderTest;
  },
});

describe("what changed since it was last looked at", () => {
  test("is told the same way until the new state is stored", async () => {
    const given = await opened();
    const { forge, work, bare, id } = given;
    const first = await forge.changesSince(id, undefined);
    expect(first.deliveries).toEqual([]);
    const sha = await work.commit({ "a.txt": "two\n" });
    await work.git("push", "-q", bare, "HEAD:main", "HEAD:refs/heads/other");
    await work.git("tag", "-a", "v1", "-m", "a tag");
    await work.git("push", "-q", bare, "v1");
    const next = await forge.changesSince(id, first.seen);
    expect(next.deliveries.map((each) => [each.id, forge.parse(each)])).toMatchObject([
      [`${id}-1`, { event: "push", ref: "refs/heads/main", after: sha, sender: user }],
      [`${id}-2`, { event: "push", ref: "refs/heads/other", after: sha }],
      [`${id}-3`, { event: "push", ref: "refs/tags/v1", after: sha }],
    ]);
    expect(await (await given.open()).changesSince(id, first.seen)).toEqual(next);
    expect(await forge.changesSince(id, next.seen)).toEqual({ seen: next.seen, deliveries: [] });
  });

  test("a branch that goes back and forth is told of each time anew", async () => {
    const { forge, work, bare, id } = await opened();
    const one = await work.git("rev-parse", "main");
    const two = await work.commit({ "a.txt": "two\n" });
    let { seen } = await forge.changesSince(id, undefined);
    const ids: string[] = [];
    for (const sha of [two, one, two]) {
      await work.git("push", "-q", "-f", bare, `${sha}:refs/heads/main`);
      const next = await forge.changesSince(id, seen);
      ids.push(...next.deliveries.map((each) => each.id));
      seen = next.seen;
    }
    expect(ids).toEqual([`${id}-1`, `${id}-2`, `${id}-3`]);
  });

  test("pull requests are against the default branch; without one nobody is told", async () => {
    const { forge, work, bare, id } = await opened();
    const main = await work.git("rev-parse", "main");
    let { seen } = await forge.changesSince(id, undefined);
    const sha = await work.commit({ "b.txt": "b\n" });
    await work.git("push", "-q", bare, "HEAD:refs/pull/7/head", "HEAD:refs/pull/x/head");
    const next = await forge.changesSince(id, seen);
    expect(next.deliveries.map((each) => forge.parse(each))).toMatchObject([
      { event: "pull_request", action: "opened", number: 7, base: { ref: "main", sha: main }, head: { sha, repositoryId: id } },
    ]);
    seen = next.seen;
    await work.git("--git-dir", bare, "symbolic-ref", "HEAD", "refs/heads/none");
    await work.git("push", "-q", "-f", bare, "main~0:refs/pull/8/head");
    expect((await forge.changesSince(id, seen)).deliveries).toEqual([]);
  });
});

test("whoever watches is woken by a push, and by nothing once it is over", async () => {
  const { forge, work, bare, id } = await opened();
  let woken = 0;
  const watch = forge.watch(id, () => void woken++);
  await work.git("push", "-q", bare, "HEAD:refs/heads/feature/deep");
  await waitFor("the watch to wake", () => (woken > 0 ? true : undefined), { timeoutMs: 10_000, pollMs: 5 });
  watch[Symbol.dispose]();
  const before = woken;
  await work.git("push", "-q", bare, "HEAD:refs/heads/other");
  expect((await forge.changesSince(id, undefined)).seen.refs).toHaveProperty(["refs/heads/other"]);
  expect(woken).toBe(before);
});

describe("opening", () => {
  test("a working tree is a repository, known by its folder; the same one twice is one", async () => {
    const { open, work, bare } = await opened();
    await work.git("checkout", "-q", "-b", "topic");
    const forge = await open(work.folder, join(work.folder, ".git"), bare);
    expect(forge.repositories().map(({ defaultBranch }) => defaultBranch)).toEqual(["main", "main"]);
    expect(forge.repositories()[1]!.name).toBe("project");
    const heads = [];
    for await (const head of forge.heads(forge.repositories()[0]!.id)) heads.push(head.event === "push" ? head.ref : head.number);
    expect(heads).toEqual(["refs/heads/main", "refs/heads/topic"]);
  });

  test("nothing is written into the repository", async () => {
    const { forge, bare, id, work } = await opened();
    const before = await readdir(bare, { recursive: true });
    await forge.report({
      repositoryId: id,
      sha: await work.git("rev-parse", "main"),
      context: "c",
      state: "success",
      description: "",
      targetUrl: "",
      sequence: 1,
    });
    await forge.changesSince(id, undefined);
    expect(await readdir(bare, { recursive: true })).toEqual(before);
  });

  test.each([
    ["is not there", "nowhere"],
    ["is inside a repository", "project.git/refs"],
    ["is no repository", "empty"],
  ])("a path that %s is refused", async (_, path) => {
    const { open, folder } = await opened();
    await mkdir(join(folder, "empty"));
    await expect(open(join(folder, path))).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining("is not a repository"),
    });
  });

  test("two of one name are refused", async () => {
    const { open, folder, bare, work } = await opened();
    const other = join(folder, "elsewhere", "project.git");
    await work.git("clone", "-q", "--bare", work.folder, other);
    await expect(open(bare, other)).rejects.toMatchObject({ code: "conflict" });
    expect(existsSync(other)).toBe(true);
  });
});

test("what it never tells is said of the triggers that ask for it", async () => {
  const { forge } = await opened();
  expect(forge.untold({ push: {}, pull_request: { types: ["opened", "synchronize", "reopened", "closed"] }, create: {} })).toEqual([]);
  expect(forge.untold({ pull_request: { types: ["opened", "labeled", "edited"] }, release: { types: ["published"] } })).toEqual([
    "on.pull_request.types: of a repository on this disk nobody tells labeled, edited",
    "on.release: a repository on this disk has no releases",
  ]);
});

test("refs that are neither branch, tag nor pull request are not seen", async () => {
  const { work, bare } = await opened();
  const names = ["refs/heads/a", "refs/tags/b", "refs/pull/3/head", "refs/pull/3/merge", "refs/notes/x", "refs/pull/03/head"];
  await work.git("push", "-q", bare, ...names.map((name) => `main:${name}`));
  expect(Object.keys(await readRefs(testEnvironment, bare))).toEqual([
    "refs/heads/a",
    "refs/heads/main",
    "refs/pull/3/head",
    "refs/tags/b",
  ]);
});

test.each([
  ["nothing", {}, {}, []],
  ["a new ref", {}, { a: "1" }, [{ ref: "a", before: undefined, after: "1" }]],
  ["one that is gone", { a: "1" }, {}, [{ ref: "a", before: "1", after: undefined }]],
  ["one that moved, beside one that did not", { a: "1", b: "1" }, { a: "2", b: "1" }, [{ ref: "a", before: "1", after: "2" }]],
])("between two looks: %s", (_, before, after, changes) => {
  expect(changesBetween(before, after)).toEqual(changes);
});

async function opened(): Promise<Bench & { forge: LocalForge; id: string }> {
  const given = await bench();
  onTestFinished(given.close);
  const forge = await given.open();
  return { ...given, forge, id: forge.repositories()[0]!.id };
}

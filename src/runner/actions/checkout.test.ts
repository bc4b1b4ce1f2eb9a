import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { treeBomb } from "../../git/testdata/tree-bomb.ts";
import type { ActionContext } from "./action.ts";
import { checkoutAction, checkoutScript } from "./checkout.ts";

let folder: string;
let repository: string;
let sha: string;

const identity = { GIT_AUTHOR_NAME: "a", GIT_AUTHOR_EMAIL: "a@example.org", GIT_COMMITTER_NAME: "a", GIT_COMMITTER_EMAIL: "a@example.org" };
const env = () => ({ PATH: process.env["PATH"], HOME: folder, ...identity });
const git = (directory: string, ...args: string[]) =>
  execFileSync("git", args, { cwd: directory, env: env(), encoding: "utf8", stdio: "pipe" }).trim();

/** A repository of three commits on main, a tag, and a fourth commit that no branch has, as a merge for a pull request is. */
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "checkout-"));
  const made = folder;
  onTestFinished(async () => await rm(made, { recursive: true }));
  repository = join(folder, "origin it's");
  await mkdir(repository);
  git(repository, "init", "--quiet", "-b", "main");
  for (const word of ["one", "two", "three", "merged"]) {
    if (word === "merged") {
      git(repository, "tag", "v1");
      git(repository, "checkout", "--quiet", "--detach");
    }
    await writeFile(join(repository, "file"), word);
    git(repository, "add", ".");
    git(repository, "commit", "--quiet", "-m", word);
  }
  sha = git(repository, "rev-parse", "HEAD");
  git(repository, "checkout", "--quiet", "main");
});

/** Runs the checkout as a step does. */
async function checkOut(inputs: Record<string, string> = {}, ref: string | undefined = "refs/pull/7/merge", from = repository) {
  const workspace = join(folder, "workspace");
  await mkdir(workspace, { recursive: true });
  const { script, variables, outputs } = checkoutScript({
    checkout: { sha, from, ...(ref ? { ref } : {}) },
    inputs,
    known: { main: git(repository, "rev-parse", "main") },
    repository: "owner/project",
    workspace,
    authorization: "Bearer t",
  });
  const ran = execFileSync("sh", ["-c", script], {
    cwd: workspace,
    env: { ...env(), ...variables },
    encoding: "utf8",
    stdio: "pipe",
  });
  return { workspace, ran, outputs, variables };
}

describe("from a folder", () => {
  test("the commit without its history, nothing copied", async () => {
    const { workspace, ran, outputs } = await checkOut();
    expect(await readFile(join(workspace, "file"), "utf8")).toBe("merged");
    expect(git(workspace, "rev-parse", "HEAD")).toBe(sha);
    expect(git(workspace, "rev-list", "--count", "HEAD")).toBe("1");
    expect(git(workspace, "status", "--porcelain")).toBe("");
    expect(git(workspace, "count-objects", "-v")).toMatch(/^count: 0$[^]*^in-pack: 0$/m);
    expect(git(workspace, "rev-parse", "--abbrev-ref", "HEAD")).toBe("HEAD");
    expect(ran).toBe(`${sha} merged\n`);
    expect(outputs).toEqual({ commit: sha, ref: "refs/pull/7/merge" });
  });

  test("a branch is checked out as that branch", async () => {
    const { workspace } = await checkOut({}, "refs/heads/main");
    expect(git(workspace, "symbolic-ref", "HEAD")).toBe("refs/heads/main");
    expect(git(workspace, "rev-parse", "origin/main")).toBe(sha);
  });

  test.each([
    ["many files", {}],
    ["much in few files", { levels: 5, fileBytes: 1024 ** 2 }],
  ])("a tree without end, %s, is refused before anything of it is written", async (_, bomb) => {
    sha = treeBomb(repository, { ...bomb, parent: sha });
    const error = await checkOut().catch((thrown: unknown) => thrown as { stderr: string });
    expect(error).toMatchObject({ stderr: expect.stringMatching(/^\w+ has more than 1000000 files and folders, or 64 GiB/m) });
    expect(await readdir(join(folder, "workspace"))).toEqual([".git"]);
  });

  test("fetch-depth", async () => {
    expect(git((await checkOut({ "fetch-depth": "2" })).workspace, "rev-list", "--count", "HEAD")).toBe("2");
    await rm(join(folder, "workspace"), { recursive: true });
    const { workspace } = await checkOut({ "fetch-depth": "0", path: "deep/er" });
    const directory = join(workspace, "deep", "er");
    expect(git(directory, "rev-list", "--count", "HEAD")).toBe("4");
    expect(git(directory, "tag")).toBe("v1");
    expect(git(directory, "rev-list", "--count", "origin/main")).toBe("3");
    expect(await readdir(workspace)).toEqual(["deep"]);
  });

  test("a bare mirror, and one that cannot be written", async () => {
    const bare = join(folder, "mirror.git");
    git(folder, "clone", "--quiet", "--mirror", repository, bare);
    git(bare, "fetch", "--quiet", repository, sha);
    await chmod(bare, 0o555);
    const { workspace } = await checkOut({}, undefined, bare);
    expect(await readFile(join(workspace, "file"), "utf8")).toBe("merged");
    await chmod(bare, 0o755);
  });

  test("twice into the same folder: clean, or not", async () => {
    await checkOut();
    const built = join(folder, "workspace", "built");
    for (const file of [built, join(folder, "workspace", "file")]) await writeFile(file, "changed");
    const { workspace } = await checkOut({ clean: "false" });
    expect(await readFile(join(workspace, "file"), "utf8")).toBe("merged");
    expect(await readFile(built, "utf8")).toBe("changed");
    await checkOut();
    await expect(readFile(built)).rejects.toThrow("ENOENT");
  });

  test.each([
    ["the base, by its branch", "main", "three"],
    ["as a ref", "refs/heads/main", "three"],
    ["an older commit", "", "two"],
  ])("another commit: %s", async (_, name, word) => {
    const ref = name || git(repository, "rev-parse", "main~1");
    const { workspace, outputs } = await checkOut({ ref });
    expect(await readFile(join(workspace, "file"), "utf8")).toBe(word);
    expect(git(workspace, "rev-list", "--count", "HEAD")).toBe("1");
    expect(outputs).toEqual({ commit: git(repository, "rev-parse", name === "" ? ref : "main"), ref });
    await expect(checkOut({ ref: "f".repeat(40) })).rejects.toThrow(/the history of \w+ has no commit f+/);
  });

  test("some folders alone, and by patterns", async () => {
    for (const path of ["a/x", "b/y", "b/z"]) {
      await mkdir(join(repository, path[0]!), { recursive: true });
      await writeFile(join(repository, path), path);
    }
    git(repository, "add", ".");
    git(repository, "commit", "--quiet", "-m", "more");
    sha = git(repository, "rev-parse", "HEAD");
    const { workspace } = await checkOut({ "sparse-checkout": "a\n" });
    expect((await readdir(workspace)).toSorted()).toEqual([".git", "a", "file"]);
    await checkOut({ "sparse-checkout": "/b/*\n!/b/z", "sparse-checkout-cone-mode": "false" });
    expect((await readdir(workspace)).toSorted()).toEqual([".git", "b"]);
    expect(await readdir(join(workspace, "b"))).toEqual(["y"]);
  });
});

test("from a server: the token is in the environment alone", () => {
  const from = "http://127.0.0.1:1/runner/v1/attempts/u/git";
  const made = checkoutScript({ checkout: { sha: "a".repeat(40), from }, inputs: {}, workspace: "/w", authorization: "Bearer secret" });
  expect(made.script).not.toContain("secret");
  expect(made.script).toContain("--depth=1");
  expect(made.variables).toEqual({
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_COUNT: "1",
    GIT_CONFIG_KEY_0: `http.${from}.extraHeader`,
    GIT_CONFIG_VALUE_0: "Authorization: Bearer secret",
  });
});

describe("inputs", () => {
  const make = (inputs: Record<string, string>) =>
    checkoutScript({
      checkout: { sha, ref: "refs/heads/main", from: repository },
      inputs,
      repository: "owner/project",
      workspace: "/w",
      authorization: "",
    });

  test.each([
    ["the own ref, in each of its forms", { ref: "main" }],
    ["the own commit's ref", { ref: "refs/heads/main" }],
    ["the own repository", { repository: "Owner/Project" }],
  ])("%s", (_, inputs) => {
    expect(make(inputs).script).toContain(sha);
  });

  test.each([
    ["another ref", { ref: "other" }, "ref other is not known here: there are main, and commits by their whole id"],
    ["another repository", { repository: "a/b" }, "repository a/b is not the run's own (owner/project)"],
    ["a path that leads out", { path: "../x" }, "path ../x leads out of the workspace"],
    ["a depth that is none", { "fetch-depth": "-1" }, "fetch-depth must be a number from 0 on"],
  ])("%s is refused", (_, inputs, message) => {
    expect(() => make(inputs)).toThrow(message);
  });

  test("a run without a commit", () => {
    expect(() => checkoutScript({ checkout: {}, inputs: {}, workspace: "/w", authorization: "" })).toThrow(
      "no commit that could be checked out",
    );
  });
});

test("what git runs may be of a step's making: it gets the token of the steps, where there is one", async () => {
  const seen: (string | undefined)[] = [];
  const run: ActionContext["run"] = async (_script, options) => {
    seen.push(options?.env?.["GIT_CONFIG_VALUE_0"]);
    return await Promise.resolve(0);
  };
  const context = {
    assignment: { checkout: { sha: "a".repeat(40), from: "https://server/git" } },
    inputs: {},
    folders: { workspace: "/w" },
    link: { authorization: "Bearer runner" },
    run,
    setOutput: () => {},
  };
  for (const github of [{ token: "steps" }, {}]) await checkoutAction.main({ ...context, github } as unknown as ActionContext);
  expect(seen).toEqual(["Authorization: Bearer steps", "Authorization: Bearer runner"]);
});

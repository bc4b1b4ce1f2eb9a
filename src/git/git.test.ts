import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { checkCommit, checkPath, git, gitEnvironment, settingsOf } from "./git.ts";
import { testEnvironment, testRepository } from "./testdata/repository.ts";
import { treeBomb } from "./testdata/tree-bomb.ts";

const id = "0123456789abcdef0123456789abcdef01234567";

describe("what comes from outside is checked", () => {
  test.each([
    ["a commit", () => checkCommit(id), true],
    ["a commit of SHA-256", () => checkCommit(id.padEnd(64, "0")), true],
    ["a short commit", () => checkCommit(id.slice(0, 7)), false],
    ["an option for a commit", () => checkCommit("--upload-pack=touch /tmp/x"), false],
    ["a commit with a line after it", () => checkCommit(`${id}\n`), false],
    ["a path", () => checkPath(".seatrial/test one.yml"), true],
    ["a path upwards", () => checkPath("a/../../b"), false],
    ["an absolute path", () => checkPath("/etc/passwd"), false],
    ["a path with a zero", () => checkPath("a\0b"), false],
  ])("%s", (_, check, isSound) => {
    if (isSound) expect(check()).toBeDefined();
    else expect(check).toThrow(expect.objectContaining({ code: "invalid" }));
  });

  test.each([
    ["a program", "ext::sh -c touch% /tmp/x"],
    ["an option", "--upload-pack=x"],
    ["ssh", "ssh://host/x"],
    ["ssh in short", "host:x"],
    ["a relative folder", "../x"],
    ["a file URL", "file:///x"],
  ])("a source that is %s is refused", (_, url) => {
    expect(() => settingsOf({ url })).toThrow(expect.objectContaining({ code: "invalid" }));
  });

  test("credentials in a URL are refused, and not repeated", () => {
    expect(() => settingsOf({ url: "https://user:canary@host/x.git" })).toThrow(/^(?!.*canary).*credentials/);
  });
});

test("credentials are bound to their origin", () => {
  const found = settingsOf({ url: "https://forge.example:3000/a/b.git", credentials: { username: "bot", password: "secret" } });
  expect(found).toEqual([["http.https://forge.example:3000/.extraHeader", "Authorization: Basic Ym90OnNlY3JldA=="]]);
});

test("the environment has nothing of the user's but the way to git and to the forge", () => {
  const variables = { PATH: "/bin", https_proxy: "http://p", GIT_DIR: "/x", GIT_SSH_COMMAND: "x", HOME: "/home/me", LD_PRELOAD: "x" };
  const env = gitEnvironment({ ...testEnvironment, variables }, [["a.b", "c"]]);
  expect(env).toMatchObject({
    PATH: "/bin",
    https_proxy: "http://p",
    HOME: "/dev/null",
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_GLOBAL: "/dev/null",
  });
  expect(env).not.toHaveProperty("GIT_DIR");
  expect(env).not.toHaveProperty("GIT_SSH_COMMAND");
  expect(env).not.toHaveProperty("LD_PRELOAD");
  const last = Number(env["GIT_CONFIG_COUNT"]) - 1;
  expect([env[`GIT_CONFIG_KEY_${last}`], env[`GIT_CONFIG_VALUE_${last}`]]).toEqual(["a.b", "c"]);
});

test("a command that would take all memory there is ends with an error", async () => {
  await using repository = await testRepository();
  const first = await repository.commit({ a: "a\n" });
  // A file that is gone may be anywhere in what is new: git looks into all of it.
  const head = treeBomb(repository.folder, { parent: first });
  const base = await repository.commit({ a: "b\n" });
  const merge = git(testEnvironment, ["merge-tree", "--write-tree", base, head], {
    folder: join(repository.folder, ".git"),
    memoryBytes: 64 * 1024 ** 2,
  });
  const message = "git merge-tree needs more than 64 MiB of memory, and may not have it";
  await expect(merge).rejects.toMatchObject({ code: "invalid", message });
});

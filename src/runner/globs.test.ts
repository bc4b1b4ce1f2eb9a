import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { commonFolder, findFiles, matchesName } from "./globs.ts";

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "globs-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const path of [
    "a.txt",
    "b.md",
    "dir/c.txt",
    "dir/deep/d.txt",
    "dir/deep/e.md",
    ".hidden/f.txt",
    "dir/.g.txt",
    "odd [1]/h.txt",
    "home/i.txt",
  ]) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), path);
  }
});

const found = (patterns: string, more: object = {}) =>
  findFiles(patterns, { cwd: root, home: join(root, "home"), ...more }).paths.map((path) => relative(root, path));

test.each<[name: string, patterns: string, paths: string[]]>([
  ["a file", "a.txt", ["a.txt"]],
  ["with ./ before it", "./a.txt", ["a.txt"]],
  ["what is not there", "none.txt", []],
  ["within a name", "*.txt", ["a.txt"]],
  ["one character", "?.md", ["b.md"]],
  ["a set", "[ab].*", ["a.txt", "b.md"]],
  ["a set that is taken away", "[!a].*", ["b.md"]],
  ["across folders, also none", "**/*.md", ["b.md", "dir/deep/e.md"]],
  ["in the middle", "dir/**/d.txt", ["dir/deep/d.txt"]],
  ["a folder is all that is in it", "dir/deep", ["dir/deep/d.txt", "dir/deep/e.md"]],
  ["with / at its end", "dir/deep/", ["dir/deep/d.txt", "dir/deep/e.md"]],
  ["a folder that a pattern finds", "d*/deep", ["dir/deep/d.txt", "dir/deep/e.md"]],
  ["taken away", "dir\n!dir/deep", ["dir/.g.txt", "dir/c.txt"]],
  ["taken away and given back: the last decides", "dir/deep\n!**/*.md\ndir/deep/e.md", ["dir/deep/d.txt", "dir/deep/e.md"]],
  ["each once", "a.txt\n*.txt\na.txt", ["a.txt"]],
  ["comments and empty lines", "# all\n\n  a.txt  ", ["a.txt"]],
  ["the home folder", "~/i.txt", ["home/i.txt"]],
  ["signs that are escaped", String.raw`odd \[1\]/*`, ["odd [1]/h.txt"]],
  ["nothing but what is taken away", "!a.txt", []],
])("%s", (_, patterns, paths) => {
  expect(found(patterns)).toEqual(paths);
});

test("hidden files and folders, where they are not wanted", () => {
  expect(found("**/*.txt", { hasHidden: false })).toEqual(["a.txt", "dir/c.txt", "dir/deep/d.txt", "home/i.txt", "odd [1]/h.txt"]);
  expect(found(".hidden", { hasHidden: false })).toEqual([]);
});

test("folders as a whole", () => {
  expect(found("dir/deep\n*.txt", { isWhole: true })).toEqual(["a.txt", "dir/deep"]);
});

test("links are followed, and one into itself ends", () => {
  symlinkSync(join(root, "dir"), join(root, "dir", "deep", "loop"));
  symlinkSync("nowhere", join(root, "dir", "broken"));
  symlinkSync(join(root, "a.txt"), join(root, "dir", "link"));
  expect(found("dir")).toEqual(["dir/.g.txt", "dir/c.txt", "dir/deep/d.txt", "dir/deep/e.md", "dir/link"]);
});

test("where was looked, and what folders have in common", () => {
  const { roots } = findFiles("dir/deep/*.txt\ndir\na.txt\n!b.md", { cwd: root });
  expect(roots).toEqual([join(root, "dir"), join(root, "a.txt")]);
  expect(commonFolder(["/w/a/b", "/w/a/c/d"])).toBe("/w/a");
  expect(commonFolder(["/w/ab", "/w/a"])).toBe("/w");
  expect(commonFolder(["/x", "/y"])).toBe("/");
});

test.each([
  ["build-*", "build-linux", true],
  ["build-*", "rebuild-x", false],
  ["{a,b}-out", "b-out", true],
  ["{a,b}-out", "c-out", false],
  ["*", "any.thing", true],
  ["a.c", "abc", false],
])("name %s, %s: %s", (pattern, name, isMatch) => {
  expect(matchesName(pattern, name)).toBe(isMatch);
});

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import fc from "fast-check";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { commonFolder, findFiles, readNamePattern } from "./globs.ts";

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
  ["a range", "[a-c].txt", ["a.txt"]],
  ["a range that has nothing", "[c-a].txt", []],
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

test("signs in the names of the folders that patterns are relative to mean nothing", () => {
  for (const name of ["[x]*", "a?\\b"]) {
    const cwd = join(root, name);
    mkdirSync(cwd);
    writeFileSync(join(cwd, "j.txt"), "");
    const options = { cwd, home: cwd };
    expect(findFiles("*.txt\n~/j.txt", options), name).toEqual({ paths: [join(cwd, "j.txt")], roots: [cwd] });
  }
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
  expect(readNamePattern(pattern)(name)).toBe(isMatch);
});

test.each([
  ["a".repeat(5000), "has more than 4096 characters"],
  ["{a,b}".repeat(20), "stands for more than 256 others"],
])("a pattern that is too much is refused: %s", (pattern, why) => {
  expect(() => readNamePattern(pattern)).toThrow(why);
});

/** The plainest that can be: each item is tried with all that it could stand for. */
function matchesSlowly(pattern: readonly string[], name: string): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return name === "";
  if (first === "*") return Array.from({ length: name.length + 1 }, (_, i) => i).some((i) => matchesSlowly(rest, name.slice(i)));
  const isFirst =
    name !== "" &&
    (first === "?" || (first === "[ab]" && /[ab]/.test(name[0]!)) || (first === "[!a]" && name[0] !== "a") || first.at(-1) === name[0]);
  return isFirst && !(first.startsWith("[") && name[0] === "]") && matchesSlowly(rest, name.slice(1));
}

const listOf = (values: readonly string[], maxLength: number) => fc.array(fc.constantFrom(...values), { maxLength });

test("any pattern for a name matches what it would match if each way were tried", () => {
  fc.assert(
    fc.property(
      listOf(["a", "b", "*", "?", "[ab]", "[!a]", String.raw`\*`, "."], 7),
      listOf(["a", "b", "c", "*", "."], 7),
      (pattern, name) => {
        expect(readNamePattern(pattern.join(""))(name.join(""))).toBe(matchesSlowly(pattern, name.join("")));
      },
    ),
    { numRuns: 3000 },
  );
});

test("any pattern for paths finds what it would find if each way were tried", () => {
  mkdirSync(join(root, "p/a/b/a/b"), { recursive: true });
  for (const path of ["a/x", "a/b/x", "a/b/y", "a/b/a/x", "a/b/a/b/x", "x"]) writeFileSync(join(root, "p", path), "");
  const all = found("p").map((path) => path.split("/").slice(1));
  const matchesPath = (pattern: readonly string[], path: readonly string[]): boolean => {
    const [first, ...rest] = pattern;
    if (first === undefined) return true; // What is below it, too.
    if (first === "**") return path.some((_, i) => matchesPath(rest, path.slice(i))) || matchesPath(rest, []);
    return path.length > 0 && (first === "*" || first === path[0]) && matchesPath(rest, path.slice(1));
  };
  fc.assert(
    fc.property(listOf(["a", "b", "x", "*", "**"], 6), (pattern) => {
      const expected = all.filter((path) => matchesPath(pattern, path)).map((path) => ["p", ...path].join("/"));
      expect(found(["p", ...pattern].join("/"))).toEqual(expected);
    }),
    { numRuns: 500 },
  );
});

test("patterns made to be slow are not", () => {
  const deep = `${"a/".repeat(60)}${"a".repeat(100)}`;
  mkdirSync(dirname(join(root, "deep", deep)), { recursive: true });
  writeFileSync(join(root, "deep", deep), "");
  const before = process.cpuUsage();
  expect(found(`deep/${"**/*a*/".repeat(100)}b`)).toEqual([]);
  expect(found(`deep/**/${"*a".repeat(50)}*b`)).toEqual([]);
  expect(readNamePattern(`${"*a".repeat(120)}*b`)("a".repeat(255))).toBe(false);
  expect(readNamePattern(`${"{a,*}".repeat(8)}b`)("a".repeat(255))).toBe(false);
  expect(() => readNamePattern("[".repeat(4096))).not.toThrow();
  expect(process.cpuUsage(before).user / 1e6).toBeLessThan(2);
});

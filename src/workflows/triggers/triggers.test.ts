import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { matchesAny, patternMistake } from "./pattern.ts";
import { type Cron, parseCron } from "./cron.ts";
import { isTriggered, type PathFilter, type Triggers, type TriggerEvent } from "./triggers.ts";

test.each<[pattern: string, matching: string[], others: string[]]>([
  ["main", ["main"], ["Main", "mains", "x/main"]],
  ["feature/*", ["feature/my-branch", "feature/"], ["feature/beta-a/my-branch", "feature"]],
  ["feature/**", ["feature/beta-a/my-branch", "feature/your"], ["features"]],
  ["releases/mona-the-octocat", ["releases/mona-the-octocat"], []],
  ["*", ["main", "releases"], ["all/the/branches"]],
  ["**", ["all/the/branches", "every/tag", ""], []],
  ["*feature", ["mona-feature", "feature", "ver-10-feature"], ["x/feature"]],
  ["v2*", ["v2", "v2.0", "v2.9"], ["v1"]],
  ["v[12].[0-9]+.[0-9]+", ["v1.10.1", "v2.0.0"], ["v3.1.1", "v1..1"]],
  ["Octoc?t", ["Octoct", "Octot"], ["Octocat"]],
  ["[CB]at", ["Cat", "Bat"], ["Rat"]],
  ["[1-2]00", ["100", "200"], ["300"]],
  ["a\\*b", ["a*b"], ["axb"]],
  ["c\\+\\+", ["c++"], ["cc"]],
  ["a+", ["a", "aaa"], ["", "b"]],
  ["feature*test", ["featureXtest"], ["feature/test"]],
  ["**.x", ["a/b.x"], ["a/b.y"]],
  ["**/README.md", ["README.md", "js/README.md", "a/b/README.md"], ["xREADME.md", "js/xREADME.md"]],
  ["**/docs/**", ["docs/hello.md", "dir/docs/my-file.txt"], ["docs", "xdocs/a"]],
  ["**/*-post.md", ["my-post.md", "path/their-post.md"], ["my-post.txt"]],
  ["docs/**/*.md", ["docs/README.md", "docs/mike/hello.md", "docs/a/markdown/file.md"], ["docsREADME.md", "README.md"]],
  ["**/**/a", ["a", "b/a", "b/c/a"], ["ba"]],
  ["x**/a", ["x/a", "xy/z/a"], ["xa", "a"]],
])("pattern %s", (pattern, matching, others) => {
  expect(matching.filter((name) => !matchesAny([pattern], name))).toEqual([]);
  expect(others.filter((name) => matchesAny([pattern], name))).toEqual([]);
});

test.each<[string, string[], string, boolean]>([
  ["an exception after it", ["releases/**", "!releases/**-alpha"], "releases/10-alpha", false],
  ["no exception", ["releases/**", "!releases/**-alpha"], "releases/10", true],
  ["an exception of the exception", ["releases/**", "!releases/**-alpha", "releases/x-alpha"], "releases/x-alpha", true],
  ["exceptions alone", ["!x"], "main", false],
])("patterns in their order: %s", (_, patterns, name, expected) => {
  expect(matchesAny(patterns, name)).toBe(expected);
});

test.each([
  ["", "is empty"],
  ["!", "is empty"],
  ["a[b", "has a [ without its ]; write \\[ for itself"],
  ["+a", "begins with +, which says how often what stands before it comes; write \\+ for itself"],
  ["a\\", "ends with \\"],
  ["a".repeat(2000), "is longer than 1024 characters"],
  ["ok/**", undefined],
])("mistake in pattern %s", (pattern, expected) => {
  expect(patternMistake(pattern)).toBe(expected);
});

test("a pattern made to be slow is not", () => {
  const before = process.cpuUsage();
  expect(matchesAny([`${"**a+".repeat(200)}b`], "a".repeat(1000))).toBe(false);
  const { user } = process.cpuUsage(before);
  expect(user / 1e6).toBeLessThan(2);
});

test("a filter of paths that would take hours is given up, and its workflow started; others of the change have what is left", () => {
  const paths = Array.from({ length: 3000 }, () => "a".repeat(500));
  const slow = Array.from({ length: 500 }, () => `${"**a+".repeat(250)}b`);
  const event = { event: "push", ref: "refs/heads/x", paths } as const;
  const work = { left: 1_000_000 };
  const isWanted = (filter: PathFilter) => isTriggered({ on: { push: filter } }, event, work);
  const before = process.cpuUsage();
  expect([isWanted({ paths: ["b/**"] }), work.left > 0]).toEqual([false, true]);
  expect([isWanted({ paths: slow }), work.left > 0]).toEqual([true, false]);
  expect([isWanted({ paths: ["b/**"] }), isWanted({ pathsIgnore: ["**"] })]).toEqual([true, true]);
  expect(process.cpuUsage(before).user / 1e6).toBeLessThan(2);
});

test("any pattern of letters, slashes and stars matches what the regular expression matches", () => {
  const text = (...characters: string[]) =>
    fc.array(fc.constantFrom(...characters), { minLength: 1, maxLength: 8 }).map((all) => all.join(""));
  fc.assert(
    fc.property(text("a", "b", "/", "*", "**", "[ab]"), text("a", "b", "/"), (pattern, name) => {
      const source = pattern.replaceAll(/(?<=^|\/)\*\*\/|\*\*|\*/g, (stars) => ({ "*": "[^/]*", "**": ".*" })[stars] ?? "(?:.*/)?");
      expect(matchesAny([pattern], name)).toBe(new RegExp(`^${source}$`).test(name));
    }),
    { numRuns: 1000 },
  );
});

describe("what starts a workflow", () => {
  const push = (ref: string): TriggerEvent => ({ event: "push", ref });
  const pull = (baseRef: string, action?: string): TriggerEvent => ({
    event: "pull_request",
    ref: "refs/pull/7/merge",
    baseRef,
    actions: action === undefined ? undefined : [action],
  });
  const types = ["opened", "synchronize", "reopened"] as const;
  const ref = "refs/heads/main";
  const schedule = [{ cron: parseCron("0 3 * * *") as Cron, timeZone: "UTC" }];
  test.each<[string, Triggers, TriggerEvent, boolean]>([
    ["push, branch", { push: {} }, push("refs/heads/main"), true],
    ["push, tag", { push: {} }, push("refs/tags/v1"), true],
    ["push, no such event", { pull_request: { types } }, push("refs/heads/main"), false],
    ["branches, matching", { push: { branches: ["main"] } }, push("refs/heads/main"), true],
    ["branches, other", { push: { branches: ["main"] } }, push("refs/heads/x"), false],
    ["branches leave out tags", { push: { branches: ["**"] } }, push("refs/tags/v1"), false],
    ["tags leave out branches", { push: { tags: ["**"] } }, push("refs/heads/main"), false],
    ["branches and tags, branch", { push: { branches: ["main"], tags: ["v*"] } }, push("refs/heads/main"), true],
    ["branches and tags, tag", { push: { branches: ["main"], tags: ["v*"] } }, push("refs/tags/v2"), true],
    ["branches and tags, other tag", { push: { branches: ["main"], tags: ["v*"] } }, push("refs/tags/x"), false],
    ["branches-ignore, matching", { push: { branchesIgnore: ["wip/**"] } }, push("refs/heads/wip/a/b"), false],
    ["branches-ignore, other", { push: { branchesIgnore: ["wip/**"] } }, push("refs/heads/main"), true],
    ["branches-ignore leaves out tags", { push: { branchesIgnore: ["wip/**"] } }, push("refs/tags/v1"), false],
    ["tags-ignore", { push: { tagsIgnore: ["v*"] } }, push("refs/tags/x"), true],
    ["pull request", { pull_request: { types } }, pull("main", "synchronize"), true],
    ["pull request found without an action", { pull_request: { types: ["opened"] } }, pull("main"), true],
    ["pull request, other type", { pull_request: { types } }, pull("main", "labeled"), false],
    ["pull request, a type that was left out", { pull_request: { types: ["opened"] } }, pull("main", "synchronize"), false],
    ["pull request to a branch", { pull_request: { types, branches: ["releases/**"] } }, pull("releases/1/2"), true],
    ["pull request to another branch", { pull_request: { types, branches: ["releases/**"] } }, pull("main"), false],
    ["pull request, ignored branch", { pull_request: { types, branchesIgnore: ["main"] } }, pull("main"), false],
    ["merge group", { merge_group: {} }, { event: "merge_group", ref: "refs/heads/q", baseRef: "main" }, true],
    [
      "merge group to another branch",
      { merge_group: { branches: ["x"] } },
      { event: "merge_group", ref: "refs/heads/q", baseRef: "main" },
      false,
    ],
    ["dispatch", { workflow_dispatch: { inputs: {} } }, { event: "workflow_dispatch", ref }, true],
    ["dispatch of one that has none", { push: {} }, { event: "workflow_dispatch", ref }, false],
    ["repository dispatch", { repository_dispatch: {} }, { event: "repository_dispatch", ref, actions: ["x"] }, true],
    [
      "repository dispatch, type",
      { repository_dispatch: { types: ["x", "y"] } },
      { event: "repository_dispatch", ref, actions: ["y"] },
      true,
    ],
    [
      "repository dispatch, other type",
      { repository_dispatch: { types: ["x"] } },
      { event: "repository_dispatch", ref, actions: ["y"] },
      false,
    ],
    [
      "release, one of several words",
      { release: { types: ["released"] } },
      { event: "release", ref, actions: ["published", "released"] },
      true,
    ],
    ["release, none of them", { release: { types: ["deleted"] } }, { event: "release", ref, actions: ["published"] }, false],
    ["schedule", { schedule }, { event: "schedule", ref, schedule: { cron: "0 3 * * *", timeZone: "UTC" } }, true],
    ["schedule, whatever", { schedule }, { event: "schedule", ref }, true],
    ["schedule, other time", { schedule }, { event: "schedule", ref, schedule: { cron: "0 4 * * *", timeZone: "UTC" } }, false],
    ["schedule, other zone", { schedule }, { event: "schedule", ref, schedule: { cron: "0 3 * * *", timeZone: "Europe/Berlin" } }, false],
    ["create", { create: {} }, { event: "create", ref }, true],
    ["delete is not create", { create: {} }, { event: "delete", ref }, false],
  ])("%s", (_, on, event, expected) => {
    expect(isTriggered({ on }, event)).toBe(expected);
  });

  test.each<[string, PathFilter, string[] | undefined, boolean]>([
    ["paths, one of several", { paths: ["src/**"] }, ["README.md", "src/a/b.ts"], true],
    ["paths, none", { paths: ["src/**"] }, ["README.md"], false],
    ["paths, taken out again", { paths: ["src/**", "!src/docs/**"] }, ["src/docs/a.md"], false],
    ["paths, one taken out and one not", { paths: ["src/**", "!src/docs/**"] }, ["src/docs/a.md", "src/a.ts"], true],
    ["paths, put in after they were taken out", { paths: ["**", "!docs/**", "docs/a.md"] }, ["docs/a.md"], true],
    ["paths, a star stays in its folder", { paths: ["*.js"] }, ["a/b.js"], false],
    ["paths-ignore, all of them", { pathsIgnore: ["docs/**", "*.md"] }, ["docs/a", "b.md"], false],
    ["paths-ignore, all but one", { pathsIgnore: ["docs/**"] }, ["docs/a", "b.md"], true],
    ["paths of a change of nothing", { paths: ["**"] }, [], false],
    ["paths that nobody knows", { paths: ["src/**"] }, undefined, true],
  ])("%s", (_, filter, paths, expected) => {
    expect(isTriggered({ on: { push: filter } }, { ...push("refs/heads/main"), paths })).toBe(expected);
    expect(isTriggered({ on: { push: { ...filter, branches: ["x"] } } }, { ...push("refs/heads/main"), paths }), "and branches").toBe(
      false,
    );
    expect(isTriggered({ on: { push: filter } }, { ...push("refs/tags/v1"), paths }), "paths say nothing of tags").toBe(true);
    expect(isTriggered({ on: { pull_request: { types, ...filter } } }, { ...pull("main", "opened"), paths })).toBe(expected);
  });
});

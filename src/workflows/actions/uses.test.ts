import fc from "fast-check";
import { expect, test } from "vitest";
import { parseUses, pinOf, type RepositoryUses, usesMistake } from "./uses.ts";

test.each([
  ["./", { kind: "local", path: "" }],
  ["./.github/actions/build/", { kind: "local", path: ".github/actions/build" }],
  ["docker://ghcr.io/o/i:1@sha256:abc", { kind: "image", image: "ghcr.io/o/i:1@sha256:abc" }],
  ["actions/setup-go@v5", { kind: "repository", repository: "actions/setup-go", path: "", ref: "v5" }],
  ["github/codeql-action/init@release/v3", { kind: "repository", repository: "github/codeql-action", path: "init", ref: "release/v3" }],
  // A tag of digits alone is a date, not the beginning of a commit.
  ["o/r@20260101", { kind: "repository", repository: "o/r", path: "", ref: "20260101" }],
])("%s", (text, uses) => {
  expect(parseUses(text)).toEqual(uses);
});

test("what is locked is the repository, whatever the folder", () => {
  expect(pinOf(parseUses("o/r/a/b@v1") as RepositoryUses)).toBe("o/r@v1");
});

test.each([
  ["o/r", "lacks its version, as in o/r@v1"],
  ["o/r@", "lacks its version, as in o/r@v1"],
  ["o@v1", "is no action: an action has an owner and a repository"],
  ["o/../r@v1", "is no action: an action has an owner and a repository"],
  ["../r", "must be inside the workspace, and begin with ./"],
  ["/etc", "must be inside the workspace, and begin with ./"],
  ["./a/../../b", "must stay inside the workspace: .. is not possible in it"],
  ["o/r@1a2b3c4", "1a2b3c4 is the beginning of a commit id, which can become another's"],
  ["o/r@-x", '"-x" cannot be the name of a branch or a tag'],
  ["o/r@a..b", '"a..b" cannot be the name of a branch or a tag'],
  ["o/r@v1 --upload-pack=x", '"v1 --upload-pack=x" cannot be the name of a branch or a tag'],
  ["docker://$(id)", "docker:// must be followed by an image"],
])("%s is refused", (text, message) => {
  expect(usesMistake(text)).toContain(message);
});

test("whatever is taken names no path outside, and no option of git", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("a", ".", "/", "@", "-", ":", "~", "1", " ", "\0") }), (text) => {
      if (usesMistake(text) !== undefined) return;
      const uses = parseUses(text);
      if (uses.kind === "image") return;
      expect(uses.path.split("/")).not.toContain("..");
      expect(uses.path.startsWith("/")).toBe(false);
      if (uses.kind === "repository") expect(uses.ref).not.toMatch(/^-|\s|\.\.|[~^:]/);
    }),
  );
});

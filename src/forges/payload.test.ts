import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readEvent, repositoryIdIn } from "./payload.ts";

const sha = (digit: string) => digit.repeat(40);
const repository = { id: 7, full_name: "owner/project", more: "things" };
const sender = { id: 3, login: "somebody" };
const pull = {
  number: 5,
  user: { id: 4, login: "author" },
  base: { ref: "main", sha: sha("1") },
  head: { label: "topic", ref: "topic", sha: sha("2"), repo_id: 9, repo: { owner: { id: 4 } } },
};
const names = { repository: { id: "7", name: "owner/project" }, sender: { id: "3", login: "somebody" } };

describe("a webhook says", () => {
  test.each([
    [
      "a push",
      "push",
      { ref: "refs/heads/main", before: sha("1"), after: sha("2") },
      { event: "push", ref: "refs/heads/main", before: sha("1"), after: sha("2"), ...names },
    ],
    [
      "a new branch",
      "push",
      { ref: "refs/heads/a/b", before: sha("0"), after: sha("2") },
      { event: "push", ref: "refs/heads/a/b", after: sha("2"), ...names },
    ],
    [
      "the end of a branch",
      "push",
      { ref: "refs/heads/a", before: sha("1"), after: sha("0") },
      { event: "push", ref: "refs/heads/a", before: sha("1"), ...names },
    ],
    ["the end of a branch, in Gitea's way", "delete", { ref: "a", ref_type: "branch" }, { event: "push", ref: "refs/heads/a", ...names }],
    ["the end of a tag", "delete", { ref: "v1", ref_type: "tag" }, { event: "push", ref: "refs/tags/v1", ...names }],
    [
      "a push to something else",
      "push",
      { ref: "refs/notes/x", before: sha("1"), after: sha("2") },
      { event: "ignored", reason: expect.stringContaining("refs/notes/x") },
    ],
    ["a star", "star", {}, { event: "ignored", reason: expect.stringContaining("star") }],
    [
      "a pull request that nothing depends on",
      "pull_request",
      { action: "locked", pull_request: pull },
      { event: "ignored", reason: expect.stringContaining("locked") },
    ],
    ["labels, in Gitea's way", "pull_request", { action: "label_updated", pull_request: pull }, { action: "labeled" }],
    ["no more labels", "pull_request", { action: "label_cleared", pull_request: pull }, { action: "unlabeled" }],
    ["who is to review", "pull_request", { action: "review_requested", pull_request: pull }, { action: "review_requested" }],
    [
      "a draft that is one no more",
      "pull_request",
      { action: "edited", changes: { title: { from: "WIP: a change" } }, pull_request: { ...pull, draft: false } },
      { action: "ready_for_review" },
    ],
    [
      "a pull request that becomes a draft",
      "pull_request",
      { action: "edited", changes: { title: { from: "a change" } }, pull_request: { ...pull, draft: true } },
      { action: "converted_to_draft" },
    ],
    [
      "another title",
      "pull_request",
      { action: "edited", changes: { title: { from: "a chnge" } }, pull_request: { ...pull, draft: false } },
      { action: "edited" },
    ],
    [
      "a release",
      "release",
      { action: "published", release: { tag_name: "v1", prerelease: false } },
      { event: "release", ref: "refs/tags/v1", actions: ["published", "created", "released"], ...names },
    ],
    [
      "a release before the release",
      "release",
      { action: "published", release: { tag_name: "v1", prerelease: true } },
      { actions: ["published", "created", "prereleased"] },
    ],
    ["a release in other words", "release", { action: "updated", release: { tag_name: "v1" } }, { actions: ["edited"] }],
    ["a draft of a release", "release", { action: "published", release: { tag_name: "v1", draft: true } }, { event: "ignored" }],
    [
      "a pull request",
      "pull_request",
      { action: "synchronized", pull_request: pull },
      {
        event: "pull_request",
        action: "synchronize",
        number: 5,
        base: pull.base,
        head: { ref: "topic", sha: sha("2"), repositoryId: "9", ownerId: "4" },
        author: { id: "4", login: "author" },
        ...names,
      },
    ],
  ])("%s", (_, event, payload, meaning) => {
    const read = readEvent(event, { repository, sender, ...payload });
    if ("event" in meaning && "repository" in meaning) expect(read).toEqual(meaning);
    else expect(read).toMatchObject(meaning);
  });

  test.each([
    ["whose fork is gone", { repo_id: -1, repo: null }],
    ["that was pushed for review alone", { label: "", repo_id: 7, repo: { owner: { id: 4 } } }],
    ["whose branch is gone", { ref: "refs/pull/5/head", repo_id: 7 }],
    ["that does not say", { repo_id: undefined, repo: undefined }],
  ])("a head %s, and then it is of no repository", (_, head) => {
    const payload = { action: "opened", repository, sender, pull_request: { ...pull, head: { ...pull.head, ...head } } };
    expect(readEvent("pull_request", payload)).toMatchObject({ head: { repositoryId: "", ownerId: "" } });
  });
});

test("whatever comes is an event or invalid, and nothing else", () => {
  const part = fc.oneof(fc.jsonValue(), fc.constantFrom(sha("1"), sha("0"), "refs/heads/main", 7, -1, repository, sender, pull, pull.head));
  const payload = fc.oneof(
    fc.jsonValue(),
    fc.dictionary(
      fc.constantFrom(
        "ref",
        "before",
        "after",
        "ref_type",
        "action",
        "repository",
        "sender",
        "pull_request",
        "release",
        "number",
        "__proto__",
      ),
      part,
    ),
  );
  fc.assert(
    fc.property(fc.constantFrom("push", "pull_request", "delete", "release", "constructor", ""), payload, (event, sent) => {
      repositoryIdIn(sent);
      try {
        expect(readEvent(event, sent).event).toMatch(/^(push|pull_request|release|ignored)$/);
      } catch (error) {
        expect(error).toMatchObject({ name: "SeatrialError", code: "invalid" });
      }
    }),
    { numRuns: 1_000 },
  );
});

test.each([["__proto__"], ["constructor"], ["toString"]])("an action or kind called %s is none", (name) => {
  expect(readEvent("pull_request", { action: name, pull_request: pull, repository, sender })).toMatchObject({ event: "ignored" });
  expect(readEvent("release", { action: name, release: { tag_name: "v1" }, repository, sender })).toMatchObject({ event: "ignored" });
  expect(readEvent("delete", { ref: "a", ref_type: name, repository, sender })).toMatchObject({ event: "ignored" });
});

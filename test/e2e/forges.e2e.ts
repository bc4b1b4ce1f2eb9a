/**
 * Forges as they are: a real Gitea, with people, forks, pull requests and webhooks. The conformance suite of src/forges/conformance.ts,
 * and what only Gitea has. The local forge runs the suite among the unit tests.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test, type TestContext } from "vitest";
import { scriptEnvironment } from "../../scripts/docker-choice.ts";
import { waitFor } from "../../src/base/wait.ts";
import { describeForge, type ForgeUnderTest } from "../../src/forges/conformance.ts";
import type { Change, Delivery, PullRequestChange } from "../../src/forges/forge.ts";
import { Gitea } from "../../src/forges/gitea/gitea.ts";
import { Mirrors } from "../../src/git/mirrors.ts";
import { type HookListener, shareGitea, type TestForge, type TestForgeRepository, type TestUser, withGitea } from "../support/forge.ts";

const secret = "the webhook's secret";

const needGitea = shareGitea();

function connect(to: TestForge, more: { secrets?: string[]; token?: string } = {}): Gitea {
  return new Gitea({ name: "lab", url: to.url, token: more.token ?? to.token, secrets: more.secrets ?? [secret], now: () => new Date() });
}

describeForge({
  name: "gitea",
  skip: [],
  create: async (context) => {
    const server = needGitea(context);
    const owner = await server.createUser("owner");
    const people = { writer: await server.createUser("writer"), stranger: await server.createUser("stranger") };
    const repository = await server.createRepository(owner);
    await server.addCollaborator(repository, people.writer, "write");
    const forks = { writer: await server.fork(people.writer, repository), stranger: await server.fork(people.stranger, repository) };
    const listener = await server.listen(repository, secret);
    const folder = await mkdtemp(join(process.env["SEATRIAL_TEST_ROOT"] ?? tmpdir(), "mirrors-"));
    const mirrors = new Mirrors({ environment: scriptEnvironment(), folder, now: () => new Date() });
    const forge = connect(server);
    const heads = new Map<number, { by: TestUser; of: TestForgeRepository; branch: string }>();
    const commentsAt = (number: number) => `/repos/${repository.name}/issues/${number}/comments`;
    return {
      forge,
      another: () => connect(server),
      repository,
      mirror: mirrors.of("lab", repository.id),
      push: async (branch) => await server.push(people.writer, repository, { [`${branch}.txt`]: `${Math.random()}\n` }, { branch }),
      deleteBranch: async (branch) => await server.api("DELETE", `/repos/${repository.name}/branches/${branch}`),
      pushMany: async (names) =>
        void (await server.push(people.writer, repository, {}, { refs: names.map((name) => `refs/heads/${name}`) })),
      openPullRequest: async (branch, by, options) => {
        const of = options?.inRepository ? repository : forks[by];
        await server.push(people[by], of, { [`${branch}.txt`]: "pull request\n" }, { branch });
        const fork = of === repository ? {} : { fork: of };
        const { number } = await server.openPullRequest(people[by], repository, { branch, ...fork });
        heads.set(number, { by: people[by], of, branch });
        return number;
      },
      pushToPullRequest: async (number) => {
        const { by, of, branch } = heads.get(number)!;
        return await server.push(by, of, { [`${branch}.txt`]: `${Math.random()}\n` }, { branch });
      },
      closePullRequest: async (number) => await server.api("PATCH", `/repos/${repository.name}/pulls/${number}`, { state: "closed" }),
      deliveries: () => Promise.resolve(deliveriesOf(forge, listener)),
      comments: async (number) => (await server.api<{ body: string }[]>("GET", commentsAt(number))).map(({ body }) => body),
      writeComment: async (number, body) => await server.api("POST", commentsAt(number), { body }, { as: people.writer }),
      writes: async (sha) => (await server.api<unknown[]>("GET", `/repos/${repository.name}/statuses/${sha}`)).length,
      down: async () => await server.stop(),
      up: async () => await server.restart(),
      close: async () => {
        await mirrors.close();
        await forge.close();
        await rm(folder, { recursive: true, force: true });
      },
    } satisfies ForgeUnderTest;
  },
});

function deliveriesOf(forge: Gitea, listener: HookListener): Delivery[] {
  return listener.received.map(({ headers, body }) => forge.verify(headers, body));
}

/** A repository of its own, with people and a listener. */
async function project(context: TestContext) {
  const server = needGitea(context);
  const owner = await server.createUser("owner");
  const stranger = await server.createUser("stranger");
  const repository = await server.createRepository(owner);
  const listener = await server.listen(repository, secret);
  const forge = connect(server);
  context.onTestFinished(async () => await forge.close());
  const pullRequest = async (number: number): Promise<PullRequestChange> => {
    const hook = await listener.wait(`pull request ${number}`, ({ payload }) => payload["number"] === number && "pull_request" in payload);
    return forge.parse(forge.verify(hook.headers, hook.body)) as PullRequestChange;
  };
  return { server, owner, stranger, repository, listener, forge, pullRequest };
}

async function pullRequestAmongHeads(forge: Gitea, { id }: TestForgeRepository): Promise<Change | undefined> {
  for await (const head of forge.heads(id)) if (head.event === "pull_request") return head;
  return undefined;
}

describe("a delivery of Gitea", () => {
  test("is verified by either of two secrets, and by no other; a changed body is refused", async (context) => {
    const { server, owner, repository, listener } = await project(context);
    await server.push(owner, repository, { "a.txt": "a\n" });
    const { headers, body } = await listener.wait("the push", ({ event }) => event === "push");
    for (const secrets of [[secret], ["the next one", secret]]) {
      await using forge = connect(server, { secrets });
      expect(forge.verify(headers, body)).toMatchObject({
        event: "push",
        repositoryId: repository.id,
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      });
    }
    const changed = Buffer.from(body);
    changed[changed.length - 3] = 0x20;
    for (const [secrets, sent] of [
      [[], body],
      [[""], body],
      [["another"], body],
      [[secret], changed],
    ] as [string[], Buffer][]) {
      await using forge = connect(server, { secrets });
      expect(() => forge.verify(headers, sent)).toThrow(expect.objectContaining({ code: "refused" }));
    }
    const unsigned = new Headers(headers);
    unsigned.delete("x-gitea-signature");
    await using forge = connect(server);
    expect(() => forge.verify(unsigned, body)).toThrow(expect.objectContaining({ code: "refused" }));
  });

  test("about a pull request and beside its head says what happened, in GitHub's words", async (context) => {
    const { server, owner, stranger, repository, listener, forge } = await project(context);
    await server.push(owner, repository, { "a.txt": "a\n" }, { branch: "topic" });
    const { number } = await server.openPullRequest(owner, repository, { branch: "topic" });
    await server.addCollaborator(repository, stranger, "write");
    const of = `/repos/${repository.name}`;
    const label = await server.api<{ id: number }>("POST", `${of}/labels`, { name: "ready", color: "#00ff00" });
    const milestone = await server.api<{ id: number }>("POST", `${of}/milestones`, { title: "v1" });
    const does: [action: string, method: string, path: string, body?: object][] = [
      ["labeled", "POST", `issues/${number}/labels`, { labels: [label.id] }],
      ["unlabeled", "DELETE", `issues/${number}/labels`],
      ["assigned", "PATCH", `pulls/${number}`, { assignee: owner.login }],
      ["unassigned", "PATCH", `pulls/${number}`, { assignees: [] }],
      ["milestoned", "PATCH", `pulls/${number}`, { milestone: milestone.id }],
      ["demilestoned", "PATCH", `issues/${number}`, { milestone: 0 }],
      ["review_requested", "POST", `pulls/${number}/requested_reviewers`, { reviewers: [stranger.login] }],
      ["review_request_removed", "DELETE", `pulls/${number}/requested_reviewers`, { reviewers: [stranger.login] }],
      ["converted_to_draft", "PATCH", `pulls/${number}`, { title: "WIP: a change" }],
      ["ready_for_review", "PATCH", `pulls/${number}`, { title: "a change" }],
      ["edited", "PATCH", `pulls/${number}`, { title: "another" }],
      ["closed", "PATCH", `pulls/${number}`, { state: "closed" }],
      ["reopened", "PATCH", `pulls/${number}`, { state: "open" }],
    ];
    for (const [action, method, path, body] of does) {
      await server.api(method, `${of}/${path}`, body, { as: owner });
      const says = ({ event, payload }: { event: string; payload: unknown }) => {
        const seen = forge.parse({ event, payload });
        return seen.event === "pull_request" && seen.action === action;
      };
      await listener.wait(`that it is ${action}`, says);
    }
  });

  test("about a release says which tag it is, and its commit can be asked for", async (context) => {
    const { server, owner, repository, listener, forge } = await project(context);
    const sha = await server.push(owner, repository, { "a.txt": "a\n" });
    await server.api("POST", `/repos/${repository.name}/releases`, { tag_name: "v1/rc", prerelease: true, target_commitish: "main" });
    const hook = await listener.wait("the release", ({ event }) => event === "release");
    expect(forge.parse(forge.verify(hook.headers, hook.body))).toMatchObject({
      event: "release",
      ref: "refs/tags/v1/rc",
      actions: ["published", "created", "prereleased"],
      sender: { login: expect.stringMatching(/./) },
    });
    expect(await forge.commitOf(repository.id, "refs/tags/v1/rc")).toBe(sha);
  });

  test("about anything else is ignored, with a reason", async (context) => {
    const { server, owner, repository, listener, forge } = await project(context);
    await server.push(owner, repository, { "a.txt": "a\n" }, { branch: "topic" });
    const { number } = await server.openPullRequest(owner, repository, { branch: "topic" });
    await server.api("POST", `/repos/${repository.name}/issues/${number}/comments`, { body: "hello" });
    const hook = await listener.wait("the comment", ({ event }) => event === "issue_comment" || event === "pull_request_comment");
    expect(forge.parse(forge.verify(hook.headers, hook.body))).toMatchObject({
      event: "ignored",
      reason: expect.stringContaining("comment"),
    });
  });
});

describe("the lane of a pull request", () => {
  test("that was pushed for review alone, by whoever may read, is untrusted although its head is said to be of the repository", async (context) => {
    const { server, owner, stranger, repository, forge, pullRequest } = await project(context);
    await server.push(stranger, repository, { "evil.txt": "evil\n" }, { refs: ["refs/for/main/topic"] });
    const opened = await pullRequest(1);
    // A branch that is called as its head would be must not make it one.
    await server.push(owner, repository, { "b.txt": "b\n" }, { branch: `${stranger.login}/topic` });
    const seen = await pullRequestAmongHeads(forge, repository);
    for (const each of [opened, seen!]) expect(await forge.laneOf(each)).toMatchObject({ lane: "untrusted" });
  });

  test("from a fork that is not its author's is untrusted: others push there", async (context) => {
    const { server, owner, stranger, repository, forge, pullRequest } = await project(context);
    const fork = await server.fork(stranger, repository);
    await server.push(stranger, fork, { "a.txt": "a\n" }, { branch: "topic" });
    const { number } = await server.openPullRequest(owner, repository, { branch: "topic", fork });
    expect(await forge.laneOf(await pullRequest(number))).toMatchObject({
      lane: "untrusted",
      reason: expect.stringContaining("somebody else"),
    });
  });

  test("goes by the id of its author: a name that moved on to somebody who may write is worth nothing", async (context) => {
    const { server, owner, stranger, repository, pullRequest, forge } = await project(context);
    const fork = await server.fork(stranger, repository);
    await server.push(stranger, fork, { "a.txt": "a\n" }, { branch: "topic" });
    const { number } = await server.openPullRequest(stranger, repository, { branch: "topic", fork });
    const opened = await pullRequest(number);
    const lanes = [
      opened,
      { ...opened, author: { ...opened.author, login: owner.login } },
      { ...opened, author: { ...opened.author, login: "nobody" } },
    ];
    for (const each of lanes) expect(await forge.laneOf(each)).toMatchObject({ lane: "untrusted" });
  });

  test("whose fork is gone is no head any more: Gitea closes it", async (context) => {
    const { server, stranger, repository, forge, listener } = await project(context);
    const fork = await server.fork(stranger, repository);
    await server.push(stranger, fork, { "a.txt": "a\n" }, { branch: "topic" });
    await server.openPullRequest(stranger, repository, { branch: "topic", fork });
    expect(await pullRequestAmongHeads(forge, repository)).toMatchObject({ head: { repositoryId: fork.id, ownerId: stranger.id } });
    await server.api("DELETE", `/repos/${fork.name}`);
    const hook = await listener.wait("the end", ({ payload }) => payload["action"] === "closed");
    expect(forge.parse(forge.verify(hook.headers, hook.body))).toMatchObject({ event: "pull_request", action: "closed" });
    expect(await pullRequestAmongHeads(forge, repository)).toBeUndefined();
  });

  test("is untrusted where our token cannot tell who may write", async (context) => {
    const { server, stranger, repository, pullRequest } = await project(context);
    await server.addCollaborator(repository, stranger, "write");
    const reader = await server.createUser("reader");
    const fork = await server.fork(stranger, repository);
    await server.push(stranger, fork, { "a.txt": "a\n" }, { branch: "topic" });
    const { number } = await server.openPullRequest(stranger, repository, { branch: "topic", fork });
    const opened = await pullRequest(number);
    await using weak = connect(server, { token: reader.token });
    expect(await weak.laneOf(opened)).toMatchObject({ lane: "untrusted", reason: expect.stringContaining("not known") });
    await using strong = connect(server);
    expect(await strong.laneOf(opened)).toMatchObject({ lane: "trusted" });
  });
});

test("a private repository is fetched with the token, which nothing repeats", async (context) => {
  const { server, owner, repository, forge } = await project(context);
  await server.api("PATCH", `/repos/${repository.name}`, { private: true });
  const sha = await server.push(owner, repository, { "a.txt": "private\n" });
  const folder = await mkdtemp(join(process.env["SEATRIAL_TEST_ROOT"] ?? tmpdir(), "mirrors-"));
  context.onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  await using mirrors = new Mirrors({ environment: scriptEnvironment(), folder, now: () => new Date() });
  const mirror = mirrors.of("lab", repository.id);
  const source = await forge.source(repository.id);
  await mirror.fetch(source, { commits: [sha] });
  expect(await mirror.readFile(sha, "a.txt")).toBe("private\n");
  const wrong = { url: source.url, credentials: { username: "seatrial", password: `${server.token}x` } };
  const error = await mirror.fetch(wrong, { commits: ["0".repeat(39) + "1"] }).catch((thrown: unknown) => thrown as Error);
  expect(error).toMatchObject({ code: expect.stringMatching(/refused|not-found/) });
  expect((error as Error).message).not.toContain(server.token);
});

test("a token that is not good is said to be, and is not in the message", async (context) => {
  const { server, repository } = await project(context);
  await using forge = connect(server, { token: "0123456789abcdef" });
  const error = await forge.repository(repository.id).catch((thrown: unknown) => thrown as Error);
  expect(error).toMatchObject({ code: "refused", retryable: false, hint: expect.stringContaining("token") });
  expect((error as Error).message).not.toContain("0123456789abcdef");
});

test("a repository that is renamed keeps its id, its checks and its pull requests", async (context) => {
  const { server, owner, repository, forge } = await project(context);
  const sha = await server.push(owner, repository, { "a.txt": "a\n" });
  await server.api("PATCH", `/repos/${repository.name}`, { name: "another-name" });
  const check = {
    repositoryId: repository.id,
    sha,
    context: "test",
    state: "success",
    description: "",
    targetUrl: "",
    sequence: 1,
  } as const;
  await forge.report(check);
  expect(await forge.repository(repository.id)).toMatchObject({ id: repository.id, name: `${owner.login}/another-name` });
  expect(forge.link({ repository: await forge.repository(repository.id), sha, path: "a b/c.go", line: 12 })).toBe(
    `${server.url}/${owner.login}/another-name/src/commit/${sha}/a%20b/c.go#L12`,
  );
});

test("links lead to pages that are there", async (context) => {
  const { server, owner, repository, forge } = await project(context);
  const sha = await server.push(owner, repository, { "dir/a b.txt": "a\n" }, { branch: "topic" });
  const { number } = await server.openPullRequest(owner, repository, { branch: "topic" });
  for (const to of [{ repository }, { repository, sha }, { repository, sha, path: "dir/a b.txt", line: 1 }, { repository, number }]) {
    expect((await fetch(forge.link(to), { redirect: "manual" })).status, forge.link(to)).toBe(200);
  }
});

test("a Gitea of its own is there in seconds, and nothing of it stays", async (context) => {
  const from = performance.now();
  const server = await withGitea(context);
  expect(performance.now() - from).toBeLessThan(5_000);
  await waitFor("it to answer", async () => ((await server.api("GET", "/version")) ? true : undefined), { timeoutMs: 1_000, pollMs: 50 });
});

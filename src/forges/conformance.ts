/**
 * What forge.ts promises, held against every backend: the same tests for each, against a real forge.
 *
 * One repository serves all tests of a backend; each works on branches of its own. A backend that cannot do something says so in
 * `skip`, with the reason; nothing is left out in silence.
 */
import { afterAll, describe, expect, test, type TestContext } from "vitest";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import type { Mirror } from "../git/mirror.ts";
import type { Change, Check, Delivery, Forge, PullRequestChange } from "./forge.ts";

/** What a test of a forge is given, once for all tests of a file. */
export interface ForgeUnderTest {
  forge: Forge;
  /** The same forge, as another process of ours sees it: with nothing in memory. */
  another(): Forge;
  /** A repository with a commit on main. */
  repository: { id: string; name: string };
  /** A mirror of it, with nothing in it. */
  mirror: Mirror;
  /** Commits upon a branch, by somebody who may write; gives the commit. A new branch grows from main. */
  push(branch: string): Promise<string>;
  deleteBranch(branch: string): Promise<void>;
  /** Makes many branches at the commit of main at once. */
  pushMany(branches: readonly string[]): Promise<void>;
  /** `stranger` may read alone. Heads are branches of the author's own fork, but with `inRepository`. */
  openPullRequest(branch: string, by: "writer" | "stranger", options?: { inRepository?: boolean }): Promise<number>;
  /** Moves the head of a pull request that was opened here; gives the commit. */
  pushToPullRequest(number: number): Promise<string>;
  closePullRequest(number: number): Promise<void>;
  /** All that the forge has told of so far, in the order in which it came. */
  deliveries(): Promise<Delivery[]>;
  /** Texts of all comments at a pull request, whoever wrote them, oldest first. */
  comments(number: number): Promise<string[]>;
  /** Another person's comment. */
  writeComment(number: number, text: string): Promise<void>;
  /** How often the checks of a commit were written, for what must cost nothing. */
  writes(sha: string): Promise<number>;
  /** The forge cannot be reached any more, until `up`. */
  down(): Promise<void>;
  up(): Promise<void>;
  close(): Promise<void>;
}

export type ForgeTest = "pull requests" | "strangers" | "other people's comments" | "writes" | "down";

export interface ForgeSuite {
  name: string;
  /** Called by the first test; may skip it, and with it all others. */
  create(context: Pick<TestContext, "skip">): Promise<ForgeUnderTest>;
  skip: { reason: string; tests: ForgeTest[] }[];
}

export function describeForge(suite: ForgeSuite): void {
  describe(`forge ${suite.name}`, () => {
    let made: Promise<ForgeUnderTest> | undefined;
    let count = 0;
    const open = async (context: TestContext, ...needs: ForgeTest[]): Promise<ForgeUnderTest & { branch: string }> => {
      const reason = suite.skip.find(({ tests }) => tests.some((each) => needs.includes(each)))?.reason;
      if (reason !== undefined) context.skip(reason);
      made ??= suite.create(context);
      return { ...(await made), branch: `b${++count}` };
    };
    afterAll(async () => {
      const all = await made?.catch(() => undefined);
      await all?.close();
    });

    test("a repository is found by its id and by its name", async (context) => {
      const { forge, repository } = await open(context);
      const found = { ...repository, defaultBranch: "main" };
      expect(await forge.repository(repository.id)).toEqual(found);
      expect(await forge.repositoryNamed(repository.name)).toEqual(found);
      await expect(forge.repositoryNamed(`${repository.name}-none`)).rejects.toMatchObject({ code: "not-found", retryable: false });
    });

    test("a push is told of, with what was and what is, and can be fetched", async (context) => {
      const under = await open(context);
      const first = await under.push(under.branch);
      const ref = `refs/heads/${under.branch}`;
      const made = await change(under, `the new branch ${under.branch}`, (each) => each.event === "push" && each.after === first);
      expect(made).toMatchObject({ event: "push", repository: under.repository, ref, after: first });
      expect(made).not.toHaveProperty("before");
      const second = await under.push(under.branch);
      const moved = await change(under, `the push to ${under.branch}`, (each) => each.event === "push" && each.after === second);
      expect(moved).toMatchObject({
        ref,
        before: first,
        after: second,
        sender: { id: expect.stringMatching(/./), login: expect.stringMatching(/./) },
      });
      expect(await under.forge.laneOf(moved)).toMatchObject({ lane: "trusted" });
      await under.mirror.fetch(await under.forge.source(under.repository.id), { commits: [second] });
      expect(await under.mirror.isAncestor(first, second)).toBe(true);
      const commitOf = async (each: string) => await under.forge.commitOf(under.repository.id, each);
      expect(await commitOf(ref)).toBe(second);
      for (const none of [`refs/tags/${under.branch}`, `${ref}-none`, "refs/pull/1/head"]) expect(await commitOf(none)).toBeUndefined();
      await under.deleteBranch(under.branch);
      expect(await commitOf(ref)).toBeUndefined();
      const gone = await change(
        under,
        `the end of ${under.branch}`,
        (each) => each.event === "push" && each.ref === ref && each.after === undefined,
      );
      expect(gone).toMatchObject({ repository: under.repository });
    });

    test("every delivery has an id of its own", async (context) => {
      const under = await open(context);
      for (let i = 0; i < 2; i++) {
        const pushed = await under.push(under.branch);
        await change(under, `push ${i}`, (each) => each.event === "push" && each.after === pushed);
      }
      const all = await under.deliveries();
      expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
      expect(all.every(({ repositoryId }) => repositoryId === under.repository.id)).toBe(true);
    });

    test("a pull request is told of when it is opened, moved and closed; its head is fetched from the repository itself", async (context) => {
      const under = await open(context, "pull requests");
      const number = await under.openPullRequest(under.branch, "writer");
      const opened = await pullRequest(under, number, "opened");
      expect(opened).toMatchObject({ repository: under.repository, base: { ref: "main" }, author: { login: expect.stringMatching(/./) } });
      const sha = await under.pushToPullRequest(number);
      const moved = await pullRequest(under, number, "synchronize");
      expect(moved).toMatchObject({ head: { sha }, base: opened.base, author: opened.author });
      await under.mirror.fetch(await under.forge.source(under.repository.id), { commits: [moved.base.sha, sha] });
      expect(await under.mirror.isAncestor(moved.base.sha, sha)).toBe(true);
      expect(await headOf(under, number)).toMatchObject({ head: moved.head, base: moved.base, author: moved.author });
      expect(await under.forge.pullRequest(under.repository.id, number)).toEqual(await headOf(under, number));
      await under.closePullRequest(number);
      await pullRequest(under, number, "closed");
      expect(await headOf(under, number)).toBeUndefined();
      for (const none of [number, 999_999]) expect(await under.forge.pullRequest(under.repository.id, none)).toBeUndefined();
    });

    test("heads are all branches, however many, and none that is gone", async (context) => {
      const under = await open(context);
      const sha = await under.push(under.branch);
      const many = Array.from({ length: 60 }, (_, index) => `${under.branch}-${index}`);
      await under.pushMany(many);
      const seen = new Map<string, string | undefined>();
      for await (const head of under.forge.heads(under.repository.id)) if (head.event === "push") seen.set(head.ref, head.after);
      expect(seen.get(`refs/heads/${under.branch}`)).toBe(sha);
      expect(many.filter((name) => !seen.has(`refs/heads/${name}`))).toEqual([]);
      await under.deleteBranch(under.branch);
      const after = [];
      for await (const head of under.forge.heads(under.repository.id)) if (head.event === "push") after.push(head.ref);
      expect(after).not.toContain(`refs/heads/${under.branch}`);
      expect(new Set(after).size).toBe(after.length);
    });

    test.for<["writer" | "stranger", boolean, "trusted" | "untrusted"]>([
      ["writer", true, "trusted"],
      ["writer", false, "trusted"],
      ["stranger", false, "untrusted"],
    ])("a pull request by a %s, in the repository: %s, is %s", async ([by, inRepository, lane], context) => {
      const under = await open(context, "pull requests", ...(by === "stranger" ? (["strangers"] as const) : []));
      const number = await under.openPullRequest(under.branch, by, { inRepository });
      for (const seen of [await pullRequest(under, number, "opened"), (await headOf(under, number))!]) {
        const decided = await under.forge.laneOf(seen);
        expect(decided, decided.reason).toMatchObject({ lane });
        // Asked again it is the same, by whoever asks.
        await using other = under.another();
        expect(await other.laneOf(seen)).toEqual(decided);
      }
    });

    test("a check is made and changed in place, and what is shown already is not written again", async (context) => {
      const under = await open(context);
      const sha = await under.push(under.branch);
      const check = checkOf(under, sha);
      expect(await under.forge.checks(under.repository.id, sha)).toEqual([]);
      await under.forge.report({ ...check, state: "pending", description: "waits", sequence: 1 });
      await under.forge.report({ ...check, context: "other", state: "failure", sequence: 1 });
      await under.forge.report({ ...check, state: "success", description: "passed", sequence: 2 });
      expect(await shown(under.forge, check)).toEqual(["other failure said", "test success passed"]);
      await using other = under.another();
      for (const forge of [under.forge, other]) await forge.report({ ...check, state: "success", description: "passed", sequence: 2 });
      expect(await shown(other, check)).toEqual(["other failure said", "test success passed"]);
    });

    test("a report of what is shown costs nothing, also after a restart", async (context) => {
      const under = await open(context, "writes");
      const check = checkOf(under, await under.push(under.branch));
      await using other = under.another();
      for (const forge of [under.forge, under.forge, other]) await forge.report(check);
      expect(await under.writes(check.sha)).toBe(1);
    });

    test("of many reports at once the newest stays, and an older one that comes later changes nothing", async (context) => {
      const under = await open(context);
      const check = checkOf(under, await under.push(under.branch));
      const order = [3, 1, 5, 2, 4];
      await Promise.all(order.map(async (sequence) => await under.forge.report({ ...check, description: `state ${sequence}`, sequence })));
      expect(await shown(under.forge, check)).toEqual(["test success state 5"]);
      await under.forge.report({ ...check, state: "pending", description: "late", sequence: 4 });
      expect(await shown(under.forge, check)).toEqual(["test success state 5"]);
    });

    test("all states, and a text that is too long", async (context) => {
      const under = await open(context);
      const check = checkOf(under, await under.push(under.branch));
      for (const state of ["pending", "success", "failure", "error"] as const)
        await under.forge.report({ ...check, context: state, state });
      await under.forge.report({ ...check, context: "long", description: `ü${"🚢x".repeat(2_000)}` });
      const all = await under.forge.checks(under.repository.id, check.sha);
      expect(Object.fromEntries(all.map(({ context: name, state }) => [name, state]))).toEqual({
        pending: "pending",
        success: "success",
        failure: "failure",
        error: "error",
        long: "success",
      });
      expect(all.find(({ context: name }) => name === "long")?.description.length).toBeLessThanOrEqual(limits.checkDescriptionCharacters);
      expect(all.every(({ targetUrl }) => targetUrl === check.targetUrl)).toBe(true);
    });

    test("a comment is one, changed in place, and goes when there is nothing to say", async (context) => {
      const under = await open(context, "pull requests");
      const number = await under.openPullRequest(under.branch, "writer");
      const comment = { repositoryId: under.repository.id, number, marker: "results" };
      await under.forge.comment({ ...comment, markdown: "**one**" });
      await under.forge.comment({ ...comment, marker: "other", markdown: "beside" });
      await using other = under.another();
      await other.comment({ ...comment, markdown: "**two**" });
      await Promise.all(["three", "four", "five"].map(async (markdown) => await under.forge.comment({ ...comment, markdown })));
      const texts = await under.comments(number);
      expect(new Set(texts.map((text) => text.split("\n").at(-1)))).toEqual(new Set(["beside", "five"]));
      expect(texts).toHaveLength(2);
      await under.forge.comment({ ...comment, markdown: "" });
      expect((await under.comments(number)).map((text) => text.split("\n").at(-1))).toEqual(["beside"]);
    });

    test("another person's comment with our marker is left alone", async (context) => {
      const under = await open(context, "pull requests", "other people's comments");
      const number = await under.openPullRequest(under.branch, "writer");
      await under.forge.comment({ repositoryId: under.repository.id, number, marker: "results", markdown: "ours" });
      const [ours] = await under.comments(number);
      await under.writeComment(number, ours!.replace("ours", "theirs"));
      await using other = under.another();
      await other.comment({ repositoryId: under.repository.id, number, marker: "results", markdown: "ours, later" });
      expect((await under.comments(number)).map((text) => text.split("\n").at(-1))).toEqual(["ours, later", "theirs"]);
    });

    test("what is not there is said not to be, and is not worth asking for again", async (context) => {
      const under = await open(context);
      const id = under.forge.kind === "local" ? "0123456789abcdef" : "999999999";
      for (const ask of [
        async () => await under.forge.repository(id),
        async () => await under.forge.source(id),
        async () => await under.forge.checks(id, "0".repeat(40)),
      ]) {
        await expect(ask()).rejects.toMatchObject({ code: "not-found", retryable: false });
      }
    });

    test("a signal ends the waiting with its reason", async (context) => {
      const under = await open(context, "down");
      const reason = new Error("enough");
      await using other = under.another();
      await expect(other.repository(under.repository.id, AbortSignal.abort(reason))).rejects.toBe(reason);
    });

    test("while the forge is down each error says that it is worth asking again, and a fork is untrusted", async (context) => {
      const under = await open(context, "down");
      const number = await under.openPullRequest(under.branch, "writer");
      const opened = await pullRequest(under, number, "opened");
      const check = checkOf(under, opened.head.sha);
      await using other = under.another();
      await under.down();
      try {
        const asks = [
          async () => await other.repository(under.repository.id),
          async () => await other.source(under.repository.id),
          async () => await other.report(check),
          async () => await other.comment({ repositoryId: under.repository.id, number, marker: "m", markdown: "x" }),
          async () => {
            for await (const _ of other.heads(under.repository.id)) break;
          },
        ];
        for (const ask of asks) await expect(ask()).rejects.toMatchObject({ name: "ForgeError", retryable: true });
        expect(await other.laneOf(opened)).toMatchObject({ lane: "untrusted", reason: expect.stringContaining("not known") });
      } finally {
        await under.up();
      }
      await other.report(check);
      expect(await shown(other, check)).toEqual(["test success said"]);
      expect(await other.laneOf(opened)).toMatchObject({ lane: "trusted" });
    });

    test("what is no delivery is refused, and what means nothing is ignored", async (context) => {
      const { forge } = await open(context);
      expect(() => forge.verify(new Headers(), Buffer.from("{}"))).toThrow(expect.objectContaining({ code: "refused" }));
      expect(forge.parse({ event: "star", payload: {} })).toMatchObject({ event: "ignored", reason: expect.stringContaining("star") });
      expect(() => forge.parse({ event: "push", payload: { ref: 1 } })).toThrow(SeatrialError);
    });
  });
}

function checkOf({ repository }: ForgeUnderTest, sha: string): Check {
  return {
    repositoryId: repository.id,
    sha,
    context: "test",
    state: "success",
    description: "said",
    targetUrl: "http://127.0.0.1:1/runs/1",
    sequence: 1,
  };
}

async function shown(forge: Forge, { repositoryId, sha }: Check): Promise<string[]> {
  return (await forge.checks(repositoryId, sha)).map(({ context, state, description }) => `${context} ${state} ${description}`).toSorted();
}

async function change(under: ForgeUnderTest, what: string, fits: (change: Change) => boolean): Promise<Change> {
  let told: string[] = [];
  return await waitFor(
    `the forge to tell of ${what}`,
    async () => {
      const all = (await under.deliveries()).map((delivery) => under.forge.parse(delivery));
      told = all.map((each) => JSON.stringify(each));
      return all.filter((each) => each.event === "push" || each.event === "pull_request").find(fits);
    },
    { timeoutMs: 15_000, pollMs: 30 },
    () => told.join("\n"),
  );
}

async function pullRequest(under: ForgeUnderTest, number: number, action: string): Promise<PullRequestChange> {
  const fits = (each: Change) => each.event === "pull_request" && each.number === number && each.action === action;
  return (await change(under, `pull request ${number}, ${action}`, fits)) as PullRequestChange;
}

async function headOf(under: ForgeUnderTest, number: number): Promise<PullRequestChange | undefined> {
  for await (const head of under.forge.heads(under.repository.id)) {
    if (head.event === "pull_request" && head.number === number) return head;
  }
  return undefined;
}

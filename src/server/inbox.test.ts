import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { SeatrialError } from "../base/errors.ts";
import { waitFor } from "../base/wait.ts";
import type { Change, Forge } from "../forges/forge.ts";
import type { LocalForge } from "../forges/local/local.ts";
import { openHistory } from "../history/history.ts";
import { Inbox } from "./inbox.ts";

const soon = { timeoutMs: 10_000, pollMs: 5 };
const unreachable = () => new SeatrialError("unreachable", "it is down", { retryable: true });

function change(ref: string): Change {
  return { event: "push", repository: { id: "1", name: "owner/project" }, ref, after: "a".repeat(40) };
}

/** An inbox that works, of forges whose deliveries are a name of a ref; `handle` stands for the trigger. */
async function working(options: {
  forges: readonly string[];
  handle: (forge: string, ref: string, delivery: string | undefined) => Promise<void>;
  heads?: (forge: string) => string[];
  /** The refs of repositories on disk, by name. */
  local?: Record<string, () => string[]>;
}) {
  const directory = await mkdtemp(join(tmpdir(), "inbox-"));
  onTestFinished(async () => await rm(directory, { recursive: true, force: true }));
  const history = await openHistory({ sqlite: { directory } });
  const forges = options.forges.map(
    (name) =>
      ({
        name,
        kind: "gitea",
        verify: (headers: Headers, body: Uint8Array) => {
          if (headers.get("signature") !== "good") throw new SeatrialError("refused", "it is not signed");
          return { id: headers.get("id")!, event: "push", repositoryId: "1", payload: JSON.parse(Buffer.from(body).toString()) as unknown };
        },
        parse: ({ payload }: { payload: unknown }) => change(payload as string),
        repositoryNamed: async () => await Promise.resolve({ id: "1", name: "owner/project", defaultBranch: "main" }),
        heads: async function* () {
          for (const ref of options.heads?.(name) ?? []) yield await Promise.resolve(change(ref));
        },
      }) as unknown as Forge,
  );
  const local = localForge(options.local ?? {});
  const inbox = new Inbox({ history, forges: new Map([local, ...forges].map((forge) => [forge.name, forge])), now: () => new Date() });
  const abort = new AbortController();
  const told: string[] = [];
  const trigger = {
    trigger: async (forge: Forge, seen: Change, cause: { delivery?: string | undefined }) => {
      await options.handle(forge.name, seen.event === "push" ? seen.ref : "", cause.delivery);
      return [];
    },
    looked: async () => await Promise.resolve(),
  };
  const configured = forges.map((forge) => ({ forge, repositories: ["owner/project"] }));
  const done = inbox.work({ local, configured, trigger }, abort.signal, (line) => told.push(line));
  onTestFinished(async () => {
    abort.abort();
    await done;
    await history.close();
  });
  const app = inbox.app();
  return {
    history,
    told,
    post: async (forge: string, id: string, ref: string, signature = "good") =>
      (await app.request(`/webhooks/${forge}`, { method: "POST", headers: { id, signature }, body: JSON.stringify(ref) })).status,
    states: async () => (await history.deliveries.list()).items.map(({ delivery, state }) => `${delivery} ${state}`).toSorted(),
  };
}

function localForge(repositories: Record<string, () => string[]>): LocalForge {
  return {
    name: "local",
    kind: "local",
    repositories: () => Object.keys(repositories).map((name) => ({ id: name, name, defaultBranch: "main" })),
    parse: ({ payload }: { payload: unknown }) => change(payload as string),
    heads: async function* (name: string) {
      for (const ref of repositories[name]!()) yield await Promise.resolve(change(ref));
    },
    changesSince: async (name: string, seen: { refs: string[] } | undefined) => {
      const refs = await Promise.resolve(repositories[name]!());
      const added = seen ? refs.filter((ref) => !seen.refs.includes(ref)) : [];
      return { seen: { refs }, deliveries: added.map((ref) => ({ id: `${name} ${ref}`, event: "push", payload: ref })) };
    },
  } as unknown as LocalForge;
}

test("what is not signed, not known or too large is refused, and nothing is stored", async () => {
  const { post, states } = await working({ forges: ["a"], handle: async () => {} });
  expect(await post("a", "1", "x", "bad")).toBe(401);
  expect(await post("b", "1", "x")).toBe(404);
  expect(await post("a", "1", "x".repeat(26 * 1024 ** 2))).toBe(413);
  expect(await states()).toEqual([]);
});

test("a forge that does not answer holds up nobody else's deliveries, nor its own that follow", async () => {
  const answer = Promise.withResolvers<void>();
  const { post, states } = await working({
    forges: ["a", "b"],
    handle: async (_forge, ref) => {
      if (ref === "slow") await answer.promise;
    },
  });
  expect(await post("a", "1", "slow")).toBe(202);
  for (const [forge, id] of [
    ["b", "2"],
    ["a", "3"],
  ] as const)
    expect(await post(forge, id, "quick")).toBe(202);
  await waitFor(
    "the others to be done",
    async () => ((await states()).filter((each) => each.endsWith("done")).length === 2 ? true : undefined),
    soon,
  );
  expect(await states()).toEqual(["1 waiting", "2 done", "3 done"]);
  answer.resolve();
  await waitFor("all to be done", async () => ((await states())[0] === "1 done" ? true : undefined), soon);
});

test("many at once are all handled, each once", async () => {
  const handled: string[] = [];
  const { post, states } = await working({
    forges: ["a"],
    handle: async (_forge, _ref, delivery) => {
      handled.push(delivery!);
      await Promise.resolve();
    },
  });
  const ids = Array.from({ length: 50 }, (_, i) => `d${i}`);
  // Each is sent twice, as forges do that got no answer in time.
  await Promise.all([...ids, ...ids].map(async (id) => await post("a", id, "ref")));
  await waitFor("all to be done", async () => ((await states()).every((each) => each.endsWith("done")) ? true : undefined), soon);
  expect(handled.toSorted()).toEqual(ids.toSorted());
});

test("a delivery is tried again when that may help, and given up when it does not", async () => {
  let tries = 0;
  const { post, states, history } = await working({
    forges: ["a"],
    handle: async (_forge, ref) => {
      await Promise.resolve();
      if (ref === "conflict") throw new SeatrialError("conflict", "it cannot be merged");
      if (++tries < 3) throw unreachable();
    },
  });
  await post("a", "1", "later");
  await post("a", "2", "conflict");
  await waitFor("both to end", async () => ((await states()).every((each) => !each.endsWith("waiting")) ? true : undefined), soon);
  expect(await states()).toEqual(["1 done", "2 failed"]);
  const [failed] = (await history.deliveries.list({ state: "failed" })).items;
  expect(failed).toMatchObject({ attempts: 1, error: "it cannot be merged" });
});

test("heads are looked at from the start; a repository that could not be is looked at again soon, and one head that fails hides no other", async () => {
  let tries = 0;
  const looked: string[] = [];
  const { told } = await working({
    forges: ["down", "up"],
    heads: (forge) => {
      if (forge === "down" && ++tries < 3) throw unreachable();
      return ["one", "two"];
    },
    handle: async (forge, ref) => {
      await Promise.resolve();
      if (forge === "up" && ref === "one") throw new SeatrialError("conflict", "it cannot be merged");
      looked.push(`${forge} ${ref}`);
    },
  });
  await waitFor("all heads to be seen", () => (looked.length >= 3 ? true : undefined), soon);
  expect(looked).toEqual(["up two", "down one", "down two"]);
  expect(told.filter((line) => line.startsWith("heads of"))).toHaveLength(2);
  expect(told).toContain("one of owner/project: it cannot be merged");
});

test("of a repository on disk nothing is missed that is pushed while it is looked at for the first time, and one that cannot be read hides no other", async () => {
  const refs = ["before"];
  let looks = 0;
  const handled: string[] = [];
  const { told } = await working({
    forges: [],
    local: {
      broken: () => {
        throw new SeatrialError("not-found", "it is gone");
      },
      whole: () => {
        if (looks++ === 1) refs.push("between");
        return [...refs];
      },
    },
    handle: async (_forge, ref, delivery) => {
      handled.push(`${ref} ${delivery ?? "head"}`);
      await Promise.resolve();
    },
  });
  await waitFor("both to be handled", () => (handled.length >= 2 ? true : undefined), soon);
  expect(handled).toEqual(["before head", "between head"]);
  expect(told).toContain("changes of broken of forge local: it is gone");
});

test("a delivery whose failure cannot be written down either is handled again as soon as there is room", async () => {
  let isFull = true;
  const { post, states, history } = await working({
    forges: ["a"],
    handle: async () => {
      await Promise.resolve();
      if (isFull) throw fullDisk();
    },
  });
  const { failed } = history.deliveries;
  let refused = 0;
  history.deliveries.failed = async (...given) => {
    if (!isFull) return await failed.apply(history.deliveries, given);
    refused++;
    throw fullDisk();
  };
  await post("a", "1", "ref");
  await waitFor("it to be refused twice", () => (refused >= 2 ? true : undefined), soon);
  isFull = false;
  await waitFor("it to be done", async () => ((await states())[0] === "1 done" ? true : undefined), soon);
});

function fullDisk(): Error {
  return Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
}

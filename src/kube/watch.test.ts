import { expect, test } from "vitest";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import { type Repository, repositoryKind } from "../resources/repository.ts";
import { ApiError } from "./api-error.ts";
import { MemoryStore } from "./memory.ts";
import type { Store } from "./store.ts";
import { type Change, Informer, type InformerOptions } from "./watch.ts";

const spec = { forge: "local", id: "1" };
const reachable = { timeoutMs: 5_000, pollMs: 1 };

function memory(historyEvents = 100): MemoryStore {
  let uids = 0;
  return new MemoryStore({ now: () => new Date(0), newUid: () => `uid-${++uids}`, historyEvents });
}

const make = async (store: Store, name: string, labels: Record<string, string> = {}) =>
  await store.create(repositoryKind, { metadata: { name, labels }, spec });

/** An informer that runs until the end of the block, and what it told. */
async function following(store: Store, options: Partial<InformerOptions<Repository>> = {}) {
  const told: string[] = [];
  const abort = new AbortController();
  const informer = new Informer({ store, kind: repositoryKind, pause: async () => await Promise.resolve(), ...options });
  informer.onChange(({ now, before }: Change<Repository>) =>
    told.push(`${(now ?? before)!.metadata.name} ${before ? (now ? "changed" : "gone") : "new"}`),
  );
  const running = informer.run(abort.signal);
  await informer.synced;
  return {
    informer,
    told,
    until: async (what: string) =>
      await waitFor(
        what,
        () => (told.includes(what) ? true : undefined),
        reachable,
        () => told.join(", "),
      ),
    async [Symbol.asyncDispose]() {
      abort.abort();
      await running;
    },
  };
}

/** A store of which each watch waits for `before`, and the first ones then end with these errors. */
function breaking(store: Store, errors: readonly Error[], before: () => Promise<void>): Store {
  const left = [...errors];
  return new Proxy(store, {
    get(target, name) {
      if (name !== "watch") return (Reflect.get(target, name) as () => void).bind(target);
      return async function* (...args: Parameters<Store["watch"]>) {
        await before();
        const error = left.shift();
        if (error) throw error;
        yield* target.watch(...args);
      };
    },
  });
}

test("synced means that all there was is in the cache and was told; then it follows", async () => {
  const store = memory();
  await make(store, "a");
  await using on = await following(store);
  expect(on.told).toEqual(["a new"]);
  const made = await make(store, "b");
  await store.writeStatus(repositoryKind, made, { heads: 1 });
  await store.delete(repositoryKind, "a");
  await on.until("a gone");
  expect(on.told).toEqual(["a new", "b new", "b changed", "a gone"]);
  expect([...on.informer.all()]).toEqual([await store.get(repositoryKind, "b")]);
  expect(on.informer.get("b")!.status).toEqual({ heads: 1 });
  expect(on.informer.get("a")).toBeUndefined();
});

test("what fills several pages is all there, and what was deleted meanwhile is not", async () => {
  const store = memory(1_000);
  const names = Array.from({ length: 2 * limits.informerPageItems + 1 }, (_, i) => `r-${i}`);
  for (const name of names) await make(store, name);
  const [watched, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const meanwhile = async () => {
    watched.resolve();
    await end.promise;
  };
  await using on = await following(breaking(store, [new ApiError("expired", "too old")], meanwhile));
  expect(on.informer.size).toBe(names.length);
  await watched.promise;
  await store.delete(repositoryKind, "r-150");
  end.resolve();
  await on.until("r-150 gone");
  expect([...on.informer.all()].map(({ metadata }) => metadata.name).toSorted()).toEqual(
    names.filter((name) => name !== "r-150").toSorted(),
  );
});

test("finds by label, also after the label has changed", async () => {
  const store = memory();
  await Promise.all(["a", "b"].map(async (name) => await make(store, name, { run: "1" })));
  await using on = await following(store, { indexes: ["run"] });
  const names = (value: string) => on.informer.labelled("run", value).map(({ metadata }) => metadata.name);
  expect(names("1")).toEqual(["a", "b"]);
  await store.patch(repositoryKind, "a", { metadata: { labels: { run: "2" } } });
  await on.until("a changed");
  expect([names("1"), names("2"), names("3")]).toEqual([["b"], ["a"], []]);
  await store.patch(repositoryKind, "b", { metadata: { labels: { run: null } } });
  await store.delete(repositoryKind, "a");
  await on.until("a gone");
  expect([names("1"), names("2")]).toEqual([[], []]);
});

test("what was learned from a write is there at once, is told once, and is not undone by older news", async () => {
  const store = memory();
  const made = await make(store, "a");
  const gate = Promise.withResolvers<void>();
  await using on = await following(breaking(store, [], async () => await gate.promise));
  const first = await store.writeStatus(repositoryKind, made, { heads: 1 });
  const second = await store.writeStatus(repositoryKind, first, { heads: 2 });
  on.informer.learn(second);
  expect(on.informer.get("a")).toBe(second);
  on.informer.learn(first);
  gate.resolve();
  await make(store, "b"); // Told after all that came before.
  await on.until("b new");
  expect(on.informer.get("a")).toBe(second);
  expect(on.told).toEqual(["a new", "a changed", "b new"]);
});

test("what was deleted does not come back by what its writer learned", async () => {
  const store = memory();
  const made = await make(store, "a");
  await using on = await following(store);
  const written = await store.writeStatus(repositoryKind, made, { heads: 1 });
  await store.delete(repositoryKind, "a");
  await on.until("a gone");
  on.informer.learn(written);
  expect(on.informer.get("a")).toBeUndefined();
});

test.for([
  { name: "expired", errors: [new ApiError("expired", "too old")], troubles: [] },
  { name: "expired twice", errors: [new ApiError("expired", "one"), new ApiError("expired", "two")], troubles: ["two"] },
  { name: "failed", errors: [new ApiError("failed", "no permission")], troubles: ["no permission"] },
])("after a watch that $name it lists anew, and tells what it missed", async ({ errors, troubles }) => {
  const store = memory();
  await Promise.all(["same", "changed", "gone"].map(async (name) => await make(store, name)));
  const seen: string[] = [];
  const meanwhile = async () => {
    if (await store.get(repositoryKind, "new")) return;
    await make(store, "new");
    await store.delete(repositoryKind, "gone");
    await store.patch(repositoryKind, "changed", { spec: { maxJobs: 1 } });
  };
  await using on = await following(breaking(store, errors, meanwhile), { onTrouble: (error) => seen.push((error as Error).message) });
  await make(store, "last");
  await on.until("last new");
  expect(on.told.slice(3).toSorted()).toEqual(["changed changed", "gone gone", "last new", "new new"]);
  expect(seen).toEqual(troubles);
});

test("a store that is not there is asked again, later each time", async () => {
  const store = memory();
  await make(store, "a");
  const pauses: number[] = [];
  let failures = 9;
  const flaky = new Proxy(store, {
    get(target, name) {
      if (name === "list" && failures-- > 0) return async () => await Promise.reject(new ApiError("unreachable", "nobody answers"));
      return (Reflect.get(target, name) as () => void).bind(target);
    },
  });
  await using on = await following(flaky, { pause: async (ms) => void (await Promise.resolve(pauses.push(ms))) });
  expect(on.told).toEqual(["a new"]);
  expect(pauses).toEqual([50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
});

test("a store that was restored from a backup is believed", async () => {
  const [newer, older] = [memory(), memory()];
  for (const store of [newer, older]) await make(store, "a");
  await newer.writeStatus(repositoryKind, (await newer.get(repositoryKind, "a"))!, { heads: 7 });
  let current: Store = newer;
  const end = Promise.withResolvers<void>();
  const restored = new Proxy(newer, {
    get(_target, name) {
      if (name === "watch" && current === newer) {
        return async function* () {
          await end.promise;
          current = older;
          yield* [];
          throw new ApiError("expired", "it is another one");
        };
      }
      return (Reflect.get(current, name) as () => void).bind(current);
    },
  });
  await using on = await following(restored);
  expect(on.informer.get("a")!.status).toEqual({ heads: 7 });
  end.resolve();
  await on.until("a changed");
  expect(on.informer.get("a")!.status).toBeUndefined();
});

import { expect, test } from "vitest";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { ApiError } from "../../kube/api-error.ts";
import { MemoryStore } from "../../kube/memory.ts";
import { Informer } from "../../kube/watch.ts";
import { type Repository, repositoryKind } from "../../resources/repository.ts";
import { Controller, type Failure, type Reconcile, watching } from "./controller.ts";
import { runControllers } from "./manager.ts";
import { ManualClock, settled } from "./manual-clock.ts";

const spec = { forge: "local", id: "1" };

/** A controller of Repositories on a store in memory, run by a manager, with a clock that is turned by hand. */
function setUp(reconcile: Reconcile, workers = 2) {
  let uids = 0;
  const clock = new ManualClock();
  const store = new MemoryStore({ now: () => clock.now(), newUid: () => `uid-${++uids}` });
  const informer = new Informer<Repository>({ store, kind: repositoryKind });
  const failures: Failure[] = [];
  const onError = (failure: Failure) => failures.push(failure);
  const controller = new Controller({ name: "test", reconcile, workers, sources: [watching(informer)], clock, onError });
  const [stop, abandon] = [new AbortController(), new AbortController()];
  const running = () => runControllers({ controllers: [controller], clock }, stop.signal, abandon.signal);
  return {
    clock,
    store,
    controller,
    failures,
    stop,
    abandon,
    make: async (...names: string[]) => {
      for (const name of names) await store.create(repositoryKind, { metadata: { name }, spec });
      await settled();
    },
    /** Runs until the test stops it; `isOver` tells whether it has ended. */
    start: async () => {
      const ended = { isOver: false, running: Promise.resolve() };
      ended.running = running().then(() => void (ended.isOver = true));
      await clock.advance(0);
      return ended;
    },
  };
}

test("what is there at the start is reconciled, then what changes", async () => {
  const keys: string[] = [];
  const on = setUp(async (key) => void (await Promise.resolve(keys.push(key))));
  await on.make("a", "b");
  expect(keys).toEqual([]);
  const { running } = await on.start();
  expect(keys).toEqual(["a", "b"]);
  await on.make("c");
  await on.store.delete(repositoryKind, "a");
  await settled();
  expect(keys).toEqual(["a", "b", "c", "a"]);
  on.stop.abort();
  await running;
  expect(on.controller.metrics.reconciles).toEqual({ done: 4, requeued: 0, conflict: 0, failed: 0 });
  expect(on.controller.metrics.reconcileMs).toMatchObject({ count: 4, sum: 0 });
  expect(on.clock.nextMs).toBeUndefined();
});

test("as many keys at once as there are workers, never one twice", async () => {
  const gates = new Map<string, PromiseWithResolvers<void>>();
  const on = setUp(async (key) => {
    expect(gates.has(key)).toBe(false);
    gates.set(key, Promise.withResolvers());
    await gates.get(key)!.promise;
    gates.delete(key);
  });
  await on.make("a", "b", "c");
  const { running } = await on.start();
  on.controller.resync(); // While they run.
  expect([...gates.keys()]).toEqual(["a", "b"]);
  gates.get("a")!.resolve();
  await settled();
  expect([...gates.keys()]).toEqual(["b", "c"]);
  expect([on.controller.queue.running, on.controller.queue.waiting]).toEqual([2, 2]);
  on.stop.abort();
  for (const gate of gates.values()) gate.resolve();
  await running;
  expect(on.controller.metrics.reconciles.done).toBe(3);
});

test("a reconcile is called again when it asks for it, and each key now and then", async () => {
  const at: number[] = [];
  const on = setUp(async () => {
    at.push(on.clock.monotonicMs());
    return await Promise.resolve(at.length === 1 ? { requeueAfterMs: 5_000 } : {});
  });
  await on.make("a");
  const { running } = await on.start();
  await on.clock.advance(2 * limits.resyncMs);
  expect(at).toEqual([0, 5_000, limits.resyncMs, 2 * limits.resyncMs]);
  on.stop.abort();
  await running;
  expect(on.controller.metrics.reconciles).toMatchObject({ requeued: 1, done: 3 });
});

test("an error brings the key back later each time; it is kept and told until the key succeeds", async () => {
  const errors: (Error | undefined)[] = [
    new SeatrialError("unreachable", "one"),
    new TypeError("two"),
    new ApiError("conflict", "changed meanwhile"),
    new ApiError("too-many-requests", "three", { retryAfterMs: 7_000 }),
    undefined,
  ];
  const at: number[] = [];
  const on = setUp(async () => {
    const error = errors[at.length];
    at.push(on.clock.monotonicMs());
    if (error) throw await Promise.resolve(error);
  });
  await on.make("a");
  const { running } = await on.start();
  await on.clock.advance(200);
  expect(at).toEqual([0, 20, 60, 140]);
  expect([...on.controller.failing.values()]).toEqual([{ controller: "test", key: "a", error: errors[3], failures: 3, retryInMs: 7_000 }]);
  await on.clock.advance(7_000);
  expect(at).toEqual([0, 20, 60, 140, 7_140]);
  expect(on.controller.failing.size).toBe(0);
  expect(on.failures.map(({ error, failures, retryInMs }) => [(error as Error).message, failures, retryInMs])).toEqual([
    ["one", 1, 20],
    ["two", 2, 40],
    ["three", 3, 7_000],
  ]);
  on.stop.abort();
  await running;
  expect(on.controller.metrics.reconciles).toEqual({ done: 1, requeued: 0, conflict: 1, failed: 3 });
});

test("one key that fails for ever does not keep the others", async () => {
  const done: string[] = [];
  const on = setUp(async (key) => {
    if (key === "bad") throw new Error("always");
    await Promise.resolve(done.push(key));
  }, 1);
  await on.make("bad", ...Array.from({ length: 20 }, (_, i) => `good-${i}`));
  const { running } = await on.start();
  expect(done).toHaveLength(20);
  on.stop.abort();
  await running;
});

test("told to stop, it starts nothing more and waits for what runs; after a while that is told to end", async () => {
  const seen: string[] = [];
  const on = setUp(async (key, signal) => {
    seen.push(key);
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    seen.push(`${key}: ${(signal.reason as Error).message}`);
  }, 1);
  await on.make("a", "b");
  const ended = await on.start();
  on.stop.abort();
  await on.clock.advance(limits.drainMs - 1);
  expect([seen, ended.isOver]).toEqual([["a"], false]);
  await on.clock.advance(1);
  await ended.running;
  expect(seen).toEqual(["a", "a: the server stops"]);
  expect(on.clock.nextMs).toBeUndefined();
});

test("when leadership is lost, what runs is told to end at once", async () => {
  const on = setUp(async (_key, signal) => {
    await new Promise<void>((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true }));
  });
  await on.make("a");
  const ended = await on.start();
  on.abandon.abort(new SeatrialError("aborted", "another server took over"));
  await ended.running;
  expect(on.failures).toEqual([]);
  expect(on.clock.nextMs).toBeUndefined();
});

test("nothing is reconciled before every cache is filled, and a stop before that ends it", async () => {
  const on = setUp(async () => await Promise.reject(new Error("too early")));
  await on.make("a");
  on.store.list = async () => await new Promise(() => {}); // A store that does not answer.
  const ended = await on.start();
  expect([on.controller.metrics.reconciles.failed, ended.isOver]).toEqual([0, false]);
});

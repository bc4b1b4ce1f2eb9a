import { expect, test } from "vitest";
import { MemoryStore } from "../../kube/memory.ts";
import { repositoryKind } from "../../resources/repository.ts";
import { type Leadership, soleLeadership, withEpoch } from "./epochs.ts";

const spec = { forge: "local", id: "1" };

function setUp() {
  let uids = 0;
  const store = new MemoryStore({ now: () => new Date(0), newUid: () => `uid-${++uids}` });
  const leader = (epoch: number) => {
    const leadership = { epoch, isHeld: () => true, lost: new AbortController().signal } satisfies Leadership;
    return { leadership: leadership as { isHeld: () => boolean }, store: withEpoch(store, leadership) };
  };
  return { store, leader };
}

test("a status carries the epoch of its writer, and a later leader takes it over", async () => {
  const { leader } = setUp();
  const [first, second] = [leader(7), leader(8)];
  const made = await first.store.create(repositoryKind, { metadata: { name: "a" }, spec });
  const written = await first.store.writeStatus(repositoryKind, made, { heads: 1 });
  expect(written.status).toEqual({ heads: 1, epoch: 7 });
  expect((await second.store.writeStatus(repositoryKind, written, { heads: 2 })).status).toEqual({ heads: 2, epoch: 8 });
});

test("an earlier leader does not overwrite a later one, whether it has read it or not", async () => {
  const { store, leader } = setUp();
  const [first, second] = [leader(7), leader(8)];
  const made = await store.create(repositoryKind, { metadata: { name: "a" }, spec });
  const written = await second.store.writeStatus(repositoryKind, made, { heads: 2 });
  await expect(first.store.writeStatus(repositoryKind, made, { heads: 1 })).rejects.toMatchObject({ reason: "conflict" });
  await expect(first.store.writeStatus(repositoryKind, written, { heads: 1 })).rejects.toMatchObject({
    code: "refused",
    message: "did not write the status of Repository a: a later leader wrote it (epoch 8, and ours is 7)",
  });
  expect((await store.get(repositoryKind, "a"))!.status).toEqual({ heads: 2, epoch: 8 });
});

test("a leader that lost it reads, and writes nothing", async () => {
  const { store, leader } = setUp();
  const { store: mine, leadership } = leader(7);
  const made = await mine.create(repositoryKind, { metadata: { name: "a" }, spec });
  leadership.isHeld = () => false;
  const writes = {
    "create Repository b": async () => await mine.create(repositoryKind, { metadata: { name: "b" }, spec }),
    "change Repository a": async () => await mine.replace(repositoryKind, { ...made, spec: { ...spec, maxJobs: 1 } }),
    "change Repository a (patch)": async () => await mine.patch(repositoryKind, "a", { spec: { maxJobs: 1 } }),
    "write the status of Repository a": async () => await mine.writeStatus(repositoryKind, made, { heads: 1 }),
    "delete Repository a": async () => await mine.delete(repositoryKind, "a"),
  };
  for (const [what, write] of Object.entries(writes)) {
    const message = `did not ${what.replace(" (patch)", "")}: this server is not the leader any more (epoch 7)`;
    await expect(write(), what).rejects.toMatchObject({ code: "aborted", message });
  }
  expect(await mine.get(repositoryKind, "a")).toEqual(made);
  expect((await mine.list(repositoryKind)).items).toEqual([made]);
  expect(await store.get(repositoryKind, "b")).toBeUndefined();
});

test("a process that has the store for itself leads in epoch 1", () => {
  expect(soleLeadership()).toMatchObject({ epoch: 1, isHeld: expect.any(Function) });
  expect(soleLeadership().isHeld()).toBe(true);
});

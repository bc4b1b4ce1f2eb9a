import { expect, test } from "vitest";
import { limits } from "../../base/limits.ts";
import type { Forge } from "../../forges/forge.ts";
import { MemoryStore } from "../../kube/memory.ts";
import { repositoryKind } from "../../resources/repository.ts";
import { Repositories } from "./repositories.ts";

function bench() {
  let time = new Date("2026-11-21T12:00:00Z");
  let uids = 0;
  let isDown = false;
  const now = () => time;
  const store = new MemoryStore({ now, newUid: () => `uid-${++uids}` });
  const answer = async <T>(value: T): Promise<T> => {
    if (isDown) throw new Error("the forge is down");
    return await Promise.resolve(value);
  };
  const forge = {
    name: "gitea",
    repository: async () => await answer({ id: "17", name: "owner/project", defaultBranch: "main" }),
    source: async () => await answer({ url: "https://gitea.example/owner/project.git" }),
  } as unknown as Forge;
  const repositories = new Repositories({ store, now });
  return {
    store,
    repositories,
    pass: (ms: number) => (time = new Date(time.getTime() + ms)),
    setDown: (is: boolean) => (isDown = is),
    seen: async (seen: { isDelivery?: boolean; heads?: number }, name = "owner/project") =>
      await repositories.seen(forge, { id: "17", name }, seen),
    read: async () => (await store.get(repositoryKind, "gitea-17"))!,
  };
}

test("one that is not there is made, with what is known of it", async () => {
  const { seen, read } = bench();
  expect(await seen({ isDelivery: true })).toMatchObject({ metadata: { name: "gitea-17" }, spec: { forge: "gitea", id: "17" } });
  expect((await read()).status).toEqual({
    name: "owner/project",
    defaultBranch: "main",
    cloneUrl: "https://gitea.example/owner/project.git",
    lastDeliveryAt: "2026-11-21T12:00:00.000Z",
  });
});

test("what somebody wrote into it stays, and what is known is written down in between", async () => {
  const { store, seen, read } = bench();
  await store.create(repositoryKind, { metadata: { name: "gitea-17" }, spec: { forge: "gitea", id: "17", maxJobs: 2 } });
  expect((await seen({ heads: 3 })).spec.maxJobs).toBe(2);
  expect(await read()).toMatchObject({
    spec: { maxJobs: 2 },
    status: { heads: 3, lastSyncedAt: "2026-11-21T12:00:00.000Z", name: "owner/project" },
  });
});

test("deliveries of one minute are one write; a new name is written at once", async () => {
  const { seen, read, pass } = bench();
  await seen({ isDelivery: true });
  const first = (await read()).metadata.resourceVersion;
  pass(limits.repositoryStatusMs - 1);
  await seen({ isDelivery: true });
  await seen({});
  expect((await read()).metadata.resourceVersion).toBe(first);
  await seen({}, "owner/renamed");
  expect((await read()).status).toMatchObject({ name: "owner/renamed", lastDeliveryAt: "2026-11-21T12:00:00.000Z" });
  pass(1);
  await seen({ isDelivery: true }, "owner/renamed");
  expect((await read()).status).toMatchObject({ lastDeliveryAt: "2026-11-21T12:01:00.000Z" });
});

test("a forge that is down keeps nobody from the Repository; it is told later", async () => {
  const { seen, read, setDown } = bench();
  setDown(true);
  expect((await seen({ isDelivery: true })).metadata.name).toBe("gitea-17");
  expect((await read()).status).toBeUndefined();
  setDown(false);
  await seen({});
  expect((await read()).status?.defaultBranch).toBe("main");
});

test("one that is called otherwise says that it has no effect, until it is gone", async () => {
  const { store, repositories, seen, read } = bench();
  const wrong = await store.create(repositoryKind, { metadata: { name: "project" }, spec: { forge: "gitea", id: "17", maxJobs: 1 } });
  await repositories.check(wrong);
  expect((await store.get(repositoryKind, "project"))!.status).toEqual({
    message: "it has no effect: the Repository of forge gitea with id 17 has the name gitea-17",
  });
  await seen({});
  const before = (await read()).metadata.resourceVersion;
  await repositories.check(await read());
  expect((await read()).metadata.resourceVersion, "one that is right is left alone").toBe(before);
});

test("one that was given its name by mistake says nothing of it", async () => {
  const { store, seen, read } = bench();
  await store.create(repositoryKind, { metadata: { name: "gitea-17" }, spec: { forge: "gitea", id: "71", suspended: true } });
  expect((await seen({ isDelivery: true })).spec).toEqual({ forge: "gitea", id: "17" });
  expect((await read()).status).toBeUndefined();
});

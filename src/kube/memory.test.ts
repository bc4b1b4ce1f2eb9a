import { expect, test } from "vitest";
import { type RepositorySpec, repositoryKind } from "../resources/repository.ts";
import { describeStore } from "./conformance.ts";
import { MemoryStore } from "./memory.ts";

const spec: RepositorySpec = { forge: "local", id: "1" };

function memory(historyEvents?: number): MemoryStore {
  let uids = 0;
  return new MemoryStore({
    now: () => new Date("2026-08-01T12:00:00.123Z"),
    newUid: () => `uid-${++uids}`,
    ...(historyEvents === undefined ? {} : { historyEvents }),
  });
}

describeStore("memory", async () => {
  const store = memory(300);
  return await Promise.resolve({
    store,
    expired: async () => {
      const from = (await store.list(repositoryKind)).resourceVersion;
      for (let i = 0; i < 301; i++) {
        await store.create(repositoryKind, { metadata: { name: "history" }, spec });
        await store.delete(repositoryKind, "history");
      }
      return from;
    },
    close: async () => await Promise.resolve(),
  });
});

test("the history is bounded, also under a watch that does not keep up", async () => {
  const store = memory(3);
  const made = await store.create(repositoryKind, { metadata: { name: "a" }, spec });
  const watch = store.watch(repositoryKind, { resourceVersion: "0", signal: new AbortController().signal })[Symbol.asyncIterator]();
  expect((await watch.next()).value).toMatchObject({ type: "added" });
  let now = made;
  for (let heads = 0; heads < 10; heads++) now = await store.writeStatus(repositoryKind, now, { heads });
  await expect(watch.next()).rejects.toMatchObject({
    reason: "expired",
    message: "resourceVersion 1 of repositories is too old: what came after it is forgotten",
  });
});

test("what it gave cannot be changed, and what it was given can", async () => {
  const store = memory();
  const given = { ...spec, providers: ["kind" as const] };
  const made = await store.create(repositoryKind, { metadata: { name: "a", labels: { a: "b" } }, spec: given });
  given.providers.pop();
  expect(made.spec.providers).toEqual(["kind"]);
  expect(() => (made.spec.providers as string[]).push("bare")).toThrow(TypeError);
  expect(() => (made.metadata.labels!["a"] = "c")).toThrow(TypeError);
});

test("problems are told all at once, each with its field", async () => {
  const bad = { metadata: { name: "A", labels: { a: "b c" } }, spec: { forge: "", maxJob: 1 } as unknown as RepositorySpec };
  await expect(memory().create(repositoryKind, bad)).rejects.toThrow(
    [
      'Repository A is not valid: metadata.name: must be made of at most 253 lower-case letters, digits, "-" and "."',
      'metadata.labels.a: must be made of at most 63 letters, digits, "-", "_" and "."',
      'spec.forge: must be at least 1, and is ""',
      "spec.id: is required",
      "spec.maxJob: is not a known field, did you mean maxJobs?",
    ].join("; "),
  );
});

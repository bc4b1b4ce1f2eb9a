/** Every store of resources, held to the contract of store.ts by the same tests. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Stored } from "../resources/object.ts";
import { type Repository, repositoryKind, type RepositorySpec } from "../resources/repository.ts";
import { type RunSpec, runKind } from "../resources/run.ts";
import { type ApiErrorReason } from "./api-error.ts";
import { isLater, type Store, type WatchEvent } from "./store.ts";

export interface StoreUnderTest {
  store: Store;
  /** A resourceVersion of Repositories that is too old to watch from. */
  expired(): Promise<string>;
  close(): Promise<void>;
}

/** Longer than any of these takes on a busy machine. */
const patienceMs = 30_000;

const spec: RepositorySpec = { forge: "local", id: "1" };
const digest = `sha256:${"0".repeat(64)}`;
const runSpec: RunSpec = {
  source: {
    forge: "local",
    repository: { id: "1", name: "owner/project" },
    event: "push",
    ref: "refs/heads/main",
    base: { ref: "main", sha: "0".repeat(40) },
    commit: "0".repeat(40),
    lane: "trusted",
  },
  workflow: { path: ".seatrial/test.yml", name: "test", digest },
};

export function describeStore(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`store: ${name}`, () => {
    let opened: StoreUnderTest;
    let store: Store;
    beforeAll(async () => {
      opened = await open();
      store = opened.store;
    }, 120_000);
    afterAll(async () => await opened?.close());

    const make = async (repository: string, more: Partial<Repository["metadata"]> = {}) =>
      await store.create(repositoryKind, { metadata: { name: repository, ...more }, spec });
    const get = async (repository: string) => await store.get(repositoryKind, repository);
    const fails = (reason: ApiErrorReason, message?: RegExp) => ({
      reason,
      message: message ? expect.stringMatching(message) : expect.any(String),
    });

    describe("create and get", () => {
      test("what was made is there, with what the store fills in", async () => {
        const made = await make("made", { labels: { a: "b" }, annotations: { c: "d" } });
        expect(made).toEqual({
          apiVersion: "seatrial.dev/v1alpha1",
          kind: "Repository",
          metadata: {
            name: "made",
            namespace: store.namespace,
            uid: expect.stringMatching(/./),
            resourceVersion: expect.stringMatching(/^\d+$/),
            generation: 1,
            creationTimestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
            labels: { a: "b" },
            annotations: { c: "d" },
          },
          spec,
        });
        expect(await get("made")).toEqual(made);
      });

      test("what is not there is undefined", async () => {
        expect(await get("nobody-made-it")).toBeUndefined();
      });

      test("a name is taken once; after a deletion it is another resource", async () => {
        const first = await make("taken");
        await expect(make("taken")).rejects.toMatchObject(fails("already-exists"));
        await store.delete(repositoryKind, "taken");
        const second = await make("taken");
        expect(second.metadata.uid).not.toBe(first.metadata.uid);
        expect(isLater(second.metadata.resourceVersion, first.metadata.resourceVersion)).toBe(true);
      });

      test.for<{ name: string; metadata?: object; spec?: object; message: RegExp }>([
        { name: "an unknown field", spec: { ...spec, nonsense: 1 }, message: /nonsense/ },
        { name: "a field that is missing", spec: { forge: "local" }, message: /id/ },
        { name: "a field of another type", spec: { ...spec, suspended: "yes" }, message: /suspended/ },
        { name: "a number out of its bounds", spec: { ...spec, retentionDays: 0 }, message: /retentionDays/ },
        { name: "a choice that is none", spec: { ...spec, providers: ["kin"] }, message: /providers/ },
        { name: "a name in upper case", metadata: { name: "Upper" }, message: /name/ },
        { name: "a label with a space", metadata: { name: "label", labels: { a: "b c" } }, message: /label/ },
        { name: "an annotation with two slashes", metadata: { name: "annotation", annotations: { "a/b/c": "" } }, message: /annotation/ },
      ])("refuses $name", async (row) => {
        const resource = { metadata: { name: "refused", ...row.metadata }, spec: (row.spec ?? spec) as RepositorySpec };
        await expect(store.create(repositoryKind, resource)).rejects.toMatchObject(fails("invalid", row.message));
        expect(await get(resource.metadata.name.toLowerCase())).toBeUndefined();
      });
    });

    describe("replace", () => {
      test("writes spec, labels, annotations and finalizers, and leaves the status", async () => {
        const made = await make("replaced", { labels: { old: "1" } });
        const read = await store.writeStatus(repositoryKind, made, { heads: 1 });
        const metadata = { ...read.metadata, labels: { new: "2" }, annotations: { c: "d" }, finalizers: ["seatrial.dev/test"] };
        const replaced = await store.replace(repositoryKind, { ...read, metadata, spec: { ...spec, maxJobs: 3 }, status: { heads: 99 } });
        expect(replaced).toMatchObject({ spec: { ...spec, maxJobs: 3 }, status: { heads: 1 } });
        expect(replaced.metadata).toEqual({
          ...metadata,
          generation: made.metadata.generation! + 1,
          resourceVersion: replaced.metadata.resourceVersion,
        });
        expect(await get("replaced")).toEqual(replaced);
        await store.patch(repositoryKind, "replaced", { metadata: { finalizers: null } });
      });

      test("the generation rises with the spec alone, and what changes nothing is no change", async () => {
        const made = await make("generation");
        const labelled = await store.replace(repositoryKind, { ...made, metadata: { ...made.metadata, labels: { a: "b" } } });
        expect(labelled.metadata.generation).toBe(1);
        expect(isLater(labelled.metadata.resourceVersion, made.metadata.resourceVersion)).toBe(true);
        expect(await store.replace(repositoryKind, labelled)).toEqual(labelled);
      });

      test("refuses an old version, another resource of the name, and one that is gone", async () => {
        const made = await make("stale");
        const now = await store.replace(repositoryKind, { ...made, spec: { ...spec, maxJobs: 1 } });
        await expect(store.replace(repositoryKind, { ...made, spec: { ...spec, maxJobs: 2 } })).rejects.toMatchObject(fails("conflict"));
        const another = { ...now, metadata: { ...now.metadata, uid: "another" } };
        await expect(store.replace(repositoryKind, another)).rejects.toMatchObject(fails("conflict"));
        expect(await get("stale")).toEqual(now);
        await store.delete(repositoryKind, "stale");
        await expect(store.replace(repositoryKind, now)).rejects.toMatchObject(fails("not-found"));
      });
    });

    describe("patch", () => {
      test("merges: null removes, a list replaces, the rest stays", async () => {
        await make("patched", { labels: { keep: "1", drop: "2" } });
        await store.patch(repositoryKind, "patched", { spec: { providers: ["kind", "bare"], maxJobs: 2 } });
        const patched = await store.patch(repositoryKind, "patched", {
          metadata: { labels: { drop: null, add: "3" }, finalizers: ["seatrial.dev/test"] },
          spec: { providers: ["bare"], maxJobs: null },
        });
        expect(patched.spec).toEqual({ ...spec, providers: ["bare"] });
        expect(patched.metadata).toMatchObject({ labels: { keep: "1", add: "3" }, finalizers: ["seatrial.dev/test"], generation: 3 });
        expect(patched.metadata.labels).not.toHaveProperty("drop");
        await store.patch(repositoryKind, "patched", { metadata: { finalizers: null } });
      });

      test("with a version it is refused when that is old; without, never", async () => {
        const { metadata } = await make("patched-version");
        await store.patch(repositoryKind, metadata.name, { spec: { maxJobs: 2 } });
        const stale = store.patch(repositoryKind, metadata.name, {
          metadata: { resourceVersion: metadata.resourceVersion },
          spec: { maxJobs: 3 },
        });
        await expect(stale).rejects.toMatchObject(fails("conflict"));
        await expect(store.patch(repositoryKind, "nobody-made-it", { spec: {} })).rejects.toMatchObject(fails("not-found"));
        await expect(store.patch(repositoryKind, metadata.name, { spec: { maxJobs: 0 } })).rejects.toMatchObject(fails("invalid"));
        expect((await get(metadata.name))!.spec.maxJobs).toBe(2);
      });
    });

    describe("status", () => {
      test("is replaced as a whole, and nothing else with it", async () => {
        const made = await make("status");
        const first = await store.writeStatus(repositoryKind, { ...made, spec: { ...spec, id: "ignored" } }, { heads: 1, message: "one" });
        expect(first).toMatchObject({ spec, status: { heads: 1, message: "one" }, metadata: { generation: 1 } });
        const second = await store.writeStatus(repositoryKind, first, { heads: 2 });
        expect(second.status).toEqual({ heads: 2 });
        expect(await get("status")).toEqual(second);
      });

      test("refuses an old version, another resource of the name, one that is gone, and what is not valid", async () => {
        const made = await make("status-stale");
        const now = await store.writeStatus(repositoryKind, made, { heads: 1 });
        await expect(store.writeStatus(repositoryKind, made, { heads: 2 })).rejects.toMatchObject(fails("conflict"));
        const another = { ...now, metadata: { ...now.metadata, uid: "another" } };
        await expect(store.writeStatus(repositoryKind, another, { heads: 2 })).rejects.toMatchObject(fails("conflict"));
        await expect(store.writeStatus(repositoryKind, now, { heads: -1 })).rejects.toMatchObject(fails("invalid", /heads/));
        await store.delete(repositoryKind, "status-stale");
        await expect(store.writeStatus(repositoryKind, now, { heads: 2 })).rejects.toMatchObject(fails("not-found"));
      });

      test("of many writers that read the same version one wins", async () => {
        const made = await make("contended");
        const writes = await Promise.allSettled(
          Array.from({ length: 20 }, async (_, heads) => await store.writeStatus(repositoryKind, made, { heads })),
        );
        const won = writes.filter(({ status }) => status === "fulfilled");
        const lost = writes.filter((each) => each.status === "rejected").map(({ reason }) => (reason as { reason: string }).reason);
        expect(won).toHaveLength(1);
        expect(new Set(lost)).toEqual(new Set(["conflict"]));
      });
    });

    test("the rules of a kind hold, also those about changes", async () => {
      const made = await store.create(runKind, { metadata: { name: "rules" }, spec: runSpec });
      const elsewhere = { ...runSpec, source: { ...runSpec.source, ref: "refs/heads/other" } };
      await expect(store.replace(runKind, { ...made, spec: elsewhere })).rejects.toMatchObject(fails("invalid", /source does not change/));
      const half = store.writeStatus(runKind, made, { verdict: "passed" });
      await expect(half).rejects.toMatchObject(fails("invalid", /a verdict and the phase Finished come together/));
      const ended = await store.writeStatus(runKind, made, { phase: "Finished", verdict: "passed" });
      const changed = store.writeStatus(runKind, ended, { phase: "Finished", verdict: "failed" });
      await expect(changed).rejects.toMatchObject(fails("invalid", /a verdict does not change/));
      expect((await store.writeStatus(runKind, ended, { phase: "Finished", verdict: "passed", total: 1 })).status).toMatchObject({
        total: 1,
      });
      await store.delete(runKind, "rules");
    });

    describe("delete", () => {
      test("what is deleted is gone, and deleting what is not there is no error", async () => {
        await make("deleted");
        for (let i = 0; i < 2; i++) await store.delete(repositoryKind, "deleted");
        expect(await get("deleted")).toBeUndefined();
      });

      test("refuses another uid and another version", async () => {
        const { metadata } = await make("precondition");
        await expect(store.delete(repositoryKind, "precondition", { uid: "another" })).rejects.toMatchObject(fails("conflict"));
        await expect(store.delete(repositoryKind, "precondition", { resourceVersion: "1" })).rejects.toMatchObject(fails("conflict"));
        await store.delete(repositoryKind, "precondition", { uid: metadata.uid, resourceVersion: metadata.resourceVersion });
        expect(await get("precondition")).toBeUndefined();
      });

      test("waits for the finalizers, takes no new ones, and goes with the last", async () => {
        const made = await make("finalized", { finalizers: ["seatrial.dev/one", "seatrial.dev/two"] });
        for (let i = 0; i < 2; i++) await store.delete(repositoryKind, "finalized");
        const marked = (await get("finalized"))!;
        expect(marked.metadata).toMatchObject({ uid: made.metadata.uid, generation: 2, deletionTimestamp: expect.stringMatching(/Z$/) });
        const more = { ...marked, metadata: { ...marked.metadata, finalizers: [...marked.metadata.finalizers!, "seatrial.dev/three"] } };
        await expect(store.replace(repositoryKind, more)).rejects.toMatchObject(fails("invalid", /finalizer/));
        await store.writeStatus(repositoryKind, marked, { heads: 0 });
        await store.patch(repositoryKind, "finalized", { metadata: { finalizers: ["seatrial.dev/two"] } });
        expect((await get("finalized"))!.metadata.finalizers).toEqual(["seatrial.dev/two"]);
        await store.patch(repositoryKind, "finalized", { metadata: { finalizers: null } });
        expect(await get("finalized")).toBeUndefined();
      });
    });

    describe("list", () => {
      test("has what the selector selects, by name", async () => {
        await Promise.all(["c", "a", "b"].map(async (each) => await make(`list-${each}`, { labels: { list: "yes", each } })));
        const names = async (selector: Record<string, string>) =>
          (await store.list(repositoryKind, { selector })).items.map(({ metadata }) => metadata.name);
        expect(await names({ list: "yes" })).toEqual(["list-a", "list-b", "list-c"]);
        expect(await names({ list: "yes", each: "b" })).toEqual(["list-b"]);
        expect(await names({ list: "no" })).toEqual([]);
        const [first] = (await store.list(repositoryKind, { selector: { each: "a" } })).items;
        expect(first).toEqual(await get("list-a"));
      });

      test("page by page, each once, at one version, whatever is made meanwhile", async () => {
        const labels = { paged: "yes" };
        const all = Array.from({ length: 7 }, (_, i) => `paged-${i}`);
        await Promise.all(all.map(async (each) => await make(each, { labels })));
        const names: string[] = [];
        const versions = new Set<string>();
        let token: string | undefined;
        do {
          const page = await store.list(repositoryKind, { selector: labels, limit: 3, continue: token });
          expect(page.items.length).toBeLessThanOrEqual(3);
          names.push(...page.items.map(({ metadata }) => metadata.name));
          versions.add(page.resourceVersion);
          token = page.continue;
          await make(`paged-between-${names.length}`, { labels: { paged: "no" } });
        } while (token !== undefined);
        expect(names).toEqual(all);
        expect(versions.size).toBe(1);
      });
    });

    describe("watch", () => {
      /** Reads events until there are so many, bookmarks aside. */
      const read = async (count: number, resourceVersion: string, selector?: Record<string, string>) => {
        const events: Exclude<WatchEvent<Repository>, { type: "bookmark" }>[] = [];
        const signal = AbortSignal.timeout(patienceMs);
        for await (const event of store.watch(repositoryKind, { resourceVersion, selector, signal })) {
          if (event.type !== "bookmark") events.push(event);
          if (events.length === count) return events;
        }
        throw new Error(`only ${events.length} events of ${count}: ${events.map(told).join(", ")}`);
      };
      const told = (event: { type: string; resource: Stored<Repository> }) => `${event.type} ${event.resource.metadata.name}`;
      const version = async () => (await store.list(repositoryKind, { limit: 1 })).resourceVersion;

      test("tells all that happened after a version, in order, with the resource as it was then", async () => {
        const from = await version();
        const labels = { watch: "order" };
        const made = await make("watched", { labels, finalizers: ["seatrial.dev/test"] });
        const status = await store.writeStatus(repositoryKind, made, { heads: 1 });
        await store.delete(repositoryKind, "watched");
        await store.patch(repositoryKind, "watched", { metadata: { finalizers: null } });
        const events = await read(4, from, labels);
        expect(events.map(told)).toEqual(["added watched", "modified watched", "modified watched", "deleted watched"]);
        expect(events.slice(0, 2).map(({ resource }) => resource)).toEqual([made, status]);
        expect(events[2]!.resource.metadata.deletionTimestamp).toBeDefined();
        const versions = events.map(({ resource }) => resource.metadata.resourceVersion);
        for (const [i, later] of versions.entries()) if (i > 0) expect(isLater(later, versions[i - 1]!)).toBe(true);
        expect((await read(2, versions[1]!, labels)).map(told)).toEqual(["modified watched", "deleted watched"]);
      });

      test("tells what happens while it goes on", async () => {
        const from = await version();
        const labels = { watch: "live" };
        const reading = read(2, from, labels);
        await make("watched-live", { labels });
        await store.delete(repositoryKind, "watched-live");
        expect((await reading).map(told)).toEqual(["added watched-live", "deleted watched-live"]);
      });

      test("with a selector, what comes to match is added, and what no longer does is deleted", async () => {
        const from = await version();
        await make("watched-label");
        for (const watch of ["selected", null]) await store.patch(repositoryKind, "watched-label", { metadata: { labels: { watch } } });
        const events = await read(2, from, { watch: "selected" });
        expect(events.map(told)).toEqual(["added watched-label", "deleted watched-label"]);
      });

      test("misses nothing of what many do at once", async () => {
        const from = await version();
        const labels = { watch: "many" };
        const reading = read(100, from, labels);
        const names = Array.from({ length: 50 }, (_, i) => `many-${i}`);
        await Promise.all(
          names.map(async (each) => {
            await make(each, { labels });
            await store.delete(repositoryKind, each);
          }),
        );
        const events = await reading;
        expect(events.map(told).toSorted()).toEqual(names.flatMap((each) => [`added ${each}`, `deleted ${each}`]).toSorted());
      });

      test("ends when it is told to, whether it waits or not", async () => {
        const labels = { watch: "abort" };
        const abort = new AbortController();
        const from = await version();
        await make("watched-abort", { labels });
        const events: string[] = [];
        for await (const event of store.watch(repositoryKind, { resourceVersion: from, selector: labels, signal: abort.signal })) {
          events.push(event.type);
          queueMicrotask(() => abort.abort());
        }
        expect(events).toEqual(["added"]);
        const never = store.watch(repositoryKind, { resourceVersion: from, signal: AbortSignal.abort() });
        for await (const event of never) expect.unreachable(`an event after the end: ${event.type}`);
      });

      test("from a version that is too old it is expired", async () => {
        await expect(read(1, await opened.expired())).rejects.toMatchObject(fails("expired"));
      });
    });
  });
}

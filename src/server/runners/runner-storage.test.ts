/** Artifacts with a name and caches, from a step to the server's stores and back: the actions themselves over the real routes. */
import { serve } from "@hono/node-server";
import { existsSync, readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { limits } from "../../base/limits.ts";
import type { UploadPack } from "../../git/upload-pack.ts";
import { createMask } from "../../logs/masking.ts";
import type { Lane, Run } from "../../resources/run.ts";
import { downloadArtifact, uploadArtifact } from "../../runner/built-in/artifacts.ts";
import { cache, cacheRestore, cacheSave } from "../../runner/built-in/cache.ts";
import { TestContext } from "../../runner/built-in/testdata/context.ts";
import type { AssignmentMessage } from "../../runner/protocol.ts";
import { ServerLink } from "../../runner/server-link.ts";
import { AttemptMasks } from "./attempt-masks.ts";
import { runnerApi, RunnerTokens } from "./runner-api.ts";
import type { CachePlace } from "../../history/caches.ts";
import { bringCache, broughtCaches } from "./brought-uploads.ts";
import { cachePlaceOf, type StoragePlace } from "./runner-storage.ts";
import type { SettleStores } from "./settle.ts";
import { openTestStores } from "../testdata/stores.ts";

const tokens = new RunnerTokens(Buffer.from("a key"));
let stores: SettleStores;
let now: Date;
let server: string;
/** In place of the server's answer. */
let answer: ((request: Request, next: (request: Request) => Promise<Response>) => Promise<Response>) | undefined;
const places = new Map<string, StoragePlace>();

beforeEach(async () => {
  ({ stores } = await openTestStores());
  places.clear();
  now = new Date("2026-11-21T12:00:00Z");
  const app = runnerApi({
    ...stores,
    uploadPack: {} as UploadPack,
    tokens,
    masks: new AttemptMasks(stores.objects, (uid) => tokens.keyOfMasks(uid)),
    assign: async () => await Promise.resolve({} as AssignmentMessage),
    sourceOf: async () => await Promise.resolve(undefined),
    placeOf: async ({ uid }) => await Promise.resolve(places.get(uid)!),
    now: () => now,
  } as Parameters<typeof runnerApi>[0]);
  answer = undefined;
  const next = async (request: Request) => await app.fetch(request);
  const listening = serve({
    fetch: async (request) => await (answer ? answer(request, next) : next(request)),
    port: 0,
    hostname: "127.0.0.1",
  });
  onTestFinished(async () => {
    await new Promise((done) => listening.close(done));
  });
  await new Promise<void>((done) => listening.once("listening", () => done()));
  server = `http://127.0.0.1:${(listening.address() as AddressInfo).port}`;
});

interface Job {
  run?: string;
  runAttempt?: number;
  jobRun?: string;
  lane?: Lane;
  refs?: string[];
  reproduces?: string;
  place?: CachePlace;
}

let attempts = 0;

/** A job that runs now, and what its steps get. */
async function job({
  run = "run-1",
  runAttempt = 1,
  jobRun = "job",
  lane = "trusted",
  refs = ["refs/heads/main"],
  reproduces,
  place = { repository: "forge/1", lane, refs },
}: Job = {}): Promise<TestContext> {
  const uid = `attempt-${++attempts}`;
  await stores.history.attempts.open(
    { uid, jobRun: { name: jobRun, uid: jobRun }, number: 1, tokenHash: "", executor: "host", host: "" },
    now,
  );
  places.set(uid, {
    owner: { run, runAttempt, jobRun },
    caches: place,
    reproduces,
    page: `http://pages/jobs/${jobRun}`,
  });
  const link = new ServerLink({ server, attempt: uid, token: tokens.of(uid), random: () => 0, awayMs: 0 });
  onTestFinished(async () => await link.close());
  return new TestContext(link);
}

const textOf = (context: TestContext, path: string) => readFileSync(join(context.root, path), "utf8");

describe("artifacts", () => {
  test("files of a folder, to another job of the run; outputs", async () => {
    const one = await job({ jobRun: "build" });
    one.write({ "workspace/out/a.txt": "a", "workspace/out/deep/ü b.txt": "b", "workspace/out/.hidden": "h", "workspace/other": "o" });
    await one.main(uploadArtifact, { name: "bin", path: "out/", "if-no-files-found": "error" });
    expect(one.outputs).toMatchObject({ "artifact-id": "1", "artifact-url": "http://pages/jobs/build" });
    expect(one.outputs["artifact-digest"]).toMatch(/^[0-9a-f]{64}$/);

    const two = await job({ jobRun: "test" });
    await two.main(downloadArtifact, { name: "bin", path: "here" });
    expect(textOf(two, "workspace/here/a.txt")).toBe("a");
    expect(textOf(two, "workspace/here/deep/ü b.txt")).toBe("b");
    expect(existsSync(join(two.root, "workspace/here/.hidden"))).toBe(false);
    expect(two.outputs).toEqual({ "download-path": join(two.folders.workspace, "here") });

    const shown = (await stores.history.queries.artifacts(`attempt-${attempts - 1}`)).items.map(({ path }) => path);
    expect(shown, "they are the attempt's own, too").toEqual(["uploads/bin/a.txt", "uploads/bin/deep/ü b.txt"]);
  });

  test.each<[name: string, path: string, files: string[]]>([
    ["one file lies at the top", "out/deep/b.txt", ["b.txt"]],
    ["several paths keep what they do not have in common", "out/a.txt\nout/deep/b.txt", ["a.txt", "deep/b.txt"]],
    ["a pattern begins at its first sign", "out/**/*.txt", ["a.txt", "deep/b.txt"]],
    ["what is taken away", "out\n!out/deep", ["a.txt"]],
  ])("%s", async (_, path, files) => {
    const one = await job();
    one.write({ "workspace/out/a.txt": "a", "workspace/out/deep/b.txt": "b" });
    await one.main(uploadArtifact, { name: "n", path });
    expect((await stores.history.uploads.get("run-1", Number(one.outputs["artifact-id"])))!.files.map((file) => file.path)).toEqual(files);
  });

  test("all of them, by pattern, and merged", async () => {
    for (const name of ["bin-linux", "bin-mac", "logs"]) {
      const each = await job({ jobRun: name });
      each.write({ [`workspace/${name}.txt`]: name });
      await each.main(uploadArtifact, { name, path: "*.txt" });
    }
    const two = await job();
    await two.main(downloadArtifact, { path: "all" });
    await two.main(downloadArtifact, { path: "some", pattern: "bin-*" });
    await two.main(downloadArtifact, { path: "merged", pattern: "{bin-*,logs}", "merge-multiple": "true" });
    for (const path of [
      "all/logs/logs.txt",
      "all/bin-mac/bin-mac.txt",
      "some/bin-linux/bin-linux.txt",
      "merged/logs.txt",
      "merged/bin-mac.txt",
    ])
      expect(existsSync(join(two.folders.workspace, path)), path).toBe(true);
    expect(existsSync(join(two.folders.workspace, "some/logs"))).toBe(false);
  });

  test("a name is given once; overwrite replaces it, and its files are gone", async () => {
    const one = await job({ jobRun: "one" });
    one.write({ "workspace/a": "1", "workspace/b": "1" });
    await one.main(uploadArtifact, { name: "n", path: "a\nb" });
    const two = await job({ jobRun: "two" });
    two.write({ "workspace/a": "2" });
    await expect(two.main(uploadArtifact, { name: "n", path: "a" })).rejects.toThrow("there is an artifact n already, of one");
    await expect(one.main(uploadArtifact, { name: "n", path: "a" })).rejects.toThrow("there is an artifact n already, of one");
    await two.main(uploadArtifact, { name: "n", path: "a", overwrite: "true" });
    await two.main(downloadArtifact, { name: "n", path: "back" });
    expect(textOf(two, "workspace/back/a")).toBe("2");
    expect(existsSync(join(two.folders.workspace, "back/b"))).toBe(false);
    const { objects } = await stores.objects.list({ prefix: "attempts/", limit: 100 });
    expect(objects).toHaveLength(1);
  });

  test("a rerun gives it again, and the newest counts; another run sees nothing", async () => {
    for (const runAttempt of [1, 2]) {
      const each = await job({ runAttempt });
      each.write({ "workspace/a": `attempt ${runAttempt}` });
      await each.main(uploadArtifact, { name: "n", path: "a" });
    }
    const two = await job({ runAttempt: 2, jobRun: "two" });
    await two.main(downloadArtifact, { name: "n" });
    expect(textOf(two, "workspace/a")).toBe("attempt 2");
    const other = await job({ run: "run-2" });
    await expect(other.main(downloadArtifact, { name: "n" })).rejects.toThrow("there is no artifact n: there are none in this run");
    await expect(other.link.ask("GET", "uploads/1")).rejects.toThrow("404");
  });

  test("what another attempt of the same job left half done is taken over", async () => {
    const one = await job();
    await one.link.ask("POST", "uploads", { name: "n" });
    const other = await job({ jobRun: "other" });
    other.write({ "workspace/a": "a" });
    await expect(other.main(uploadArtifact, { name: "n", path: "a" })).rejects.toThrow("of job");
    await expect(other.main(downloadArtifact, { name: "n" })).rejects.toThrow("there is no artifact n");
    const again = await job();
    again.write({ "workspace/a": "a" });
    await again.main(uploadArtifact, { name: "n", path: "a" });
    await other.main(downloadArtifact, { name: "n" });
  });

  test.each([
    ["warn", ["warning: no file was found for none, /nor/this: there is no artifact"], []],
    ["ignore", [], ["no file was found for none, /nor/this: there is no artifact"]],
  ])("no file: %s", async (how, annotations, said) => {
    const one = await job();
    await one.main(uploadArtifact, { path: "none\n/nor/this", "if-no-files-found": how });
    expect([one.annotations, one.said]).toEqual([annotations, said]);
  });

  test("no file: error; a bad name; a bad time", async () => {
    const one = await job();
    await expect(one.main(uploadArtifact, { path: "none", "if-no-files-found": "error" })).rejects.toThrow("no file was found for none");
    one.write({ "workspace/a": "a", "workspace/a:b": "a" });
    await expect(one.main(uploadArtifact, { name: "x/y", path: "a" })).rejects.toThrow(
      '"x/y" cannot be the name of an artifact: it holds "/"',
    );
    await expect(one.main(uploadArtifact, { name: "n", path: "a:b" })).rejects.toThrow('"a:b" holds ":"');
    await expect(one.main(uploadArtifact, { name: "n", path: "a", "retention-days": "many" })).rejects.toThrow("from 1 to");
  });

  test("a job that leaves more names than are ever shown is refused", async () => {
    const one = await job();
    one.write({ "workspace/a": "a" });
    const begin = vi.spyOn(stores.history.uploads, "begin").mockResolvedValueOnce({ state: "full" });
    onTestFinished(() => begin.mockRestore());
    await expect(one.main(uploadArtifact, { path: "a" })).rejects.toThrow(`a job may leave ${limits.uploadsShown} artifacts with a name`);
    expect(begin.mock.calls[0]![2]).toMatchObject({ most: limits.uploadsShown });
  });

  test("overwriting, the answer to its beginning is lost, and the request comes once more when all is done: nothing of it is gone", async () => {
    const one = await job();
    one.write({ "workspace/a": "1", "workspace/b": "1" });
    await one.main(uploadArtifact, { name: "n", path: "a\nb" });
    one.write({ "workspace/a": "2" });
    const begun: Request[] = [];
    let removed = 0;
    const { objects } = stores;
    const remove = objects.delete.bind(objects);
    // The removal of what was there before is slow: the client asks again meanwhile, and sends its files.
    const { promise: stored, resolve: goOn } = Promise.withResolvers<void>();
    const removal = vi.spyOn(objects, "delete").mockImplementation(async (key) => {
      await stored;
      removed++;
      await remove(key);
    });
    onTestFinished(() => removal.mockRestore());
    answer = async (request, next) => {
      if (request.method !== "POST" || !request.url.endsWith("/uploads")) return await next(request);
      begun.push(request.clone());
      if (begun.length > 1) return await next(request);
      slow = next(request);
      await vi.waitFor(() => expect(removal).toHaveBeenCalled());
      return new Response("lost", { status: 502 });
    };
    let slow: Promise<Response> | undefined;
    one.link.isPatient = true;
    await one.main(uploadArtifact, { name: "n", path: "a", overwrite: "true" });
    goOn();
    await slow;
    expect([begun.length, removed]).toEqual([2, 2]);
    // A proxy had kept it.
    expect(await (await fetch(begun[0]!)).json()).toEqual({ id: Number(one.outputs["artifact-id"]) });
    await one.main(downloadArtifact, { name: "n", path: "back" });
    expect([textOf(one, "workspace/back/a"), existsSync(join(one.root, "workspace/back/b"))]).toEqual(["2", false]);
  });

  test("its time is over: it is gone, with its files", async () => {
    const one = await job();
    one.write({ "workspace/a": "a" });
    await one.main(uploadArtifact, { name: "n", path: "a", "retention-days": "1" });
    expect(await stores.history.uploads.removeExpired(now, 10)).toEqual([]);
    now = new Date(now.getTime() + 86_400_000);
    expect(await stores.history.uploads.removeExpired(now, 10)).toHaveLength(1);
    expect(await stores.history.uploads.list("run-1")).toEqual([]);
  });

  test("secrets in text are masked, and it says so", async () => {
    const one = await job();
    one.masking = { mask: createMask(["hunter22"]), scratch: one.folders.temp };
    one.write({ "workspace/a": "the word is hunter22\n", "workspace/b": "nothing\n" });
    await one.main(uploadArtifact, { name: "n", path: "a\nb" });
    expect(one.annotations).toEqual(["warning: secrets were masked in a: artifacts can be read by others"]);
    await one.main(downloadArtifact, { name: "n", path: "back" });
    expect(textOf(one, "workspace/back/a")).toBe("the word is ***\n");
  });
});

describe("caches", () => {
  const saved = async (of: Job, key: string, content: string) => {
    const one = await job(of);
    one.write({ "workspace/dir/file": content });
    await one.main(cacheSave, { path: "dir", key });
  };
  const restored = async (of: Job, inputs: Record<string, string>) => {
    const one = await job(of);
    await one.main(cacheRestore, { path: "dir", ...inputs });
    const path = join(one.folders.workspace, "dir/file");
    return { content: existsSync(path) ? readFileSync(path, "utf8") : undefined, ...one.outputs };
  };

  test("what a job made is there in the next, with its kind and its mode; the key itself is a hit", async () => {
    const one = await job();
    one.write({ "workspace/dir/file": "kept", "home/.cache/tool/x": "of the home folder" });
    const inputs = { path: "dir\n~/.cache/tool", key: "k-1" };
    await one.main(cache, inputs);
    expect(one.outputs).toEqual({ "cache-hit": "" });
    await cache.post!(one.with(inputs));
    expect(one.said.at(-1)).toMatch(/^cache k-1 saved: \d+ bytes$/);

    const two = await job();
    two.env = one.env; // The same machine.
    await two.main(cache, inputs);
    expect(two.outputs).toEqual({ "cache-hit": "true" });
    expect(textOf(two, "workspace/dir/file")).toBe("kept");
    await cache.post!(two.with(inputs));
    expect(two.said.at(-1)).toBe("cache k-1 was found, and is not saved again");
  });

  test("a home folder elsewhere is another cache", async () => {
    const one = await job();
    one.write({ "home/.cache/x": "x" });
    await one.main(cacheSave, { path: "~/.cache", key: "k" });
    const two = await job();
    await two.main(cacheRestore, { path: "~/.cache", key: "k" });
    expect(two.outputs["cache-matched-key"]).toBe("");
  });

  test("restore keys in their order, of each the newest", async () => {
    for (const key of ["go-linux-1", "go-linux-2", "go-mac-1"]) {
      now = new Date(now.getTime() + 1000);
      await saved({}, key, key);
    }
    const key = "go-linux-3";
    expect(await restored({}, { key, "restore-keys": "go-linux-\ngo-" })).toMatchObject({ content: "go-linux-2", "cache-hit": "false" });
    expect(await restored({}, { key, "restore-keys": "rust-\ngo-" })).toMatchObject({
      content: "go-mac-1",
      "cache-matched-key": "go-mac-1",
    });
    expect(await restored({}, { key: "go-linux" })).toMatchObject({
      content: "go-linux-2",
      "cache-primary-key": "go-linux",
      "cache-hit": "false",
    });
    expect(await restored({}, { key })).toEqual({ content: undefined, "cache-hit": "", "cache-primary-key": key, "cache-matched-key": "" });
    await expect(restored({}, { key, "fail-on-cache-miss": "true" })).rejects.toThrow("there is no cache of key go-linux-3");
    expect(await restored({}, { key: "go-mac-1", "lookup-only": "true" })).toMatchObject({ content: undefined, "cache-hit": "true" });
  });

  test("a branch sees its own first, and the default branch's; others it does not", async () => {
    const [main, a, b] = [["refs/heads/main"], ["refs/heads/a", "refs/heads/main"], ["refs/heads/b", "refs/heads/main"]];
    await saved({ refs: main }, "k", "main");
    await saved({ refs: a }, "k-a", "a");
    expect(await restored({ refs: a! }, { key: "k" }), "its own, though only its beginning is the same").toMatchObject({ content: "a" });
    expect(await restored({ refs: b! }, { key: "k" })).toMatchObject({ content: "main" });
    expect(await restored({ refs: main! }, { key: "k-a" })).toMatchObject({ content: undefined });
  });

  test("the untrusted lane reads what trusted jobs made; nobody trusted reads its own", async () => {
    const refs = ["refs/pull/7/merge", "refs/heads/main"];
    await saved({ refs: ["refs/heads/main"] }, "k", "trusted");
    expect(await restored({ lane: "untrusted", refs }, { key: "k" })).toMatchObject({ content: "trusted" });
    await saved({ lane: "untrusted", refs }, "mine", "untrusted");
    expect(await restored({ lane: "untrusted", refs }, { key: "mine" })).toMatchObject({ content: "untrusted" });
    expect(await restored({ lane: "trusted", refs }, { key: "mine" })).toMatchObject({ content: undefined });
    await saved({ lane: "untrusted", refs: ["refs/heads/main"] }, "k", "poison");
    expect(await restored({ refs: ["refs/heads/main"] }, { key: "k" })).toMatchObject({ content: "trusted" });
    const [found] = (await stores.objects.list({ prefix: "caches/", limit: 10 })).objects;
    const id = found!.key.split("/").at(-1)!;
    const stranger = await job({ refs: ["refs/heads/other"] });
    await expect(stranger.link.ask("GET", `caches/${id}`), "nor by its id").rejects.toThrow("404");
  });

  test("what is restored is noted in the lock document; what is looked up for saving is not", async () => {
    await saved({}, "k-1", "one");
    const uid = `attempt-${attempts + 1}`;
    await stores.history.locks.put(uid, "{}");
    const two = await job();
    two.write({ "workspace/dir/file": "two" });
    await two.main(cacheSave, { path: "dir", key: "k-1" });
    expect(JSON.parse((await stores.history.locks.get(uid))!)).toEqual({});
    await two.main(cacheRestore, { path: "dir", key: "k-2", "restore-keys": "k-" });
    const { caches } = JSON.parse((await stores.history.locks.get(uid))!) as { caches: { key: string; version: string; digest: string }[] };
    expect(caches).toEqual([{ key: "k-1", version: expect.any(String), digest: expect.stringMatching(/^sha256:/) }]);
    const [found] = await stores.history.caches.withDigests(
      "forge/1",
      caches.map(({ digest }) => digest),
    );
    expect(found).toMatchObject(caches[0]!);
    expect(await stores.history.caches.withDigests("forge/2", [found!.digest])).toEqual([]);
  });

  test("a job that is reproduced finds what was brought for it, the newest as it was there, and leaves nothing", async () => {
    for (const [i, key] of ["k-1", "k-2"].entries()) {
      now = new Date(now.getTime() + 1000 * i);
      await saved({}, key, key);
    }
    const lock = `sha256:${"a".repeat(64)}`;
    const reproducing = { reproduces: lock, place: broughtCaches(lock) };
    expect(await restored(reproducing, { key: "k-1" }), "not what is here").toMatchObject({ content: undefined });
    const objects = (await stores.objects.list({ prefix: "caches/", limit: 10 })).objects.map(({ key }) => key);
    const rows = await Promise.all(
      objects.map(async (object) => {
        const found = await stores.history.caches.get(
          { repository: "forge/1", lane: "trusted", refs: ["refs/heads/main"] },
          object.slice(10),
        );
        return (await stores.history.caches.withDigests("forge/1", [found!.digest]))[0]!;
      }),
    );
    const bring = async (wrong = "") => {
      for (const [i, { key, version, size, digest, object }] of rows.toSorted((a, b) => a.key.localeCompare(b.key)).entries()) {
        const content = async () => await stores.objects.get(object);
        await bringCache(stores, lock, { key, version, size, digest: digest + wrong, content }, new Date(now.getTime() + i));
      }
    };
    await expect(bring("0")).rejects.toThrow("cache k-1 came with digest");
    await bring();
    await bring();
    expect(await restored(reproducing, { key: "k-9", "restore-keys": "k-" })).toMatchObject({ content: "k-2" });
    expect(await restored(reproducing, { key: "k-1" })).toMatchObject({ content: "k-1", "cache-hit": "true" });
    const one = await job(reproducing);
    one.write({ "workspace/dir/file": "new" });
    await one.main(cacheSave, { path: "dir", key: "k-3" });
    expect(one.said.at(-1)).toBe("cache k-3 was not saved: a job that is reproduced leaves no cache");
    expect((await stores.objects.list({ prefix: "caches/", limit: 10 })).objects).toHaveLength(4);
  });

  test("a key is saved once", async () => {
    await saved({}, "k", "first");
    await saved({}, "k", "second");
    expect(await restored({}, { key: "k" })).toMatchObject({ content: "first" });
    expect((await stores.objects.list({ prefix: "caches/", limit: 10 })).objects).toHaveLength(1);
  });

  test("patterns; paths that are not there; nothing at all is told, and fails nothing", async () => {
    const one = await job();
    one.write({ "workspace/a/node_modules/x": "x", "workspace/a/src": "s", "workspace/node_modules/y": "y" });
    await one.main(cacheSave, { path: "**/node_modules\nnone", key: "k" });
    const two = await job();
    await two.main(cacheRestore, { path: "**/node_modules\nnone", key: "k" });
    expect(existsSync(join(two.root, "workspace/a/src"))).toBe(false);
    expect(textOf(two, "workspace/a/node_modules/x") + textOf(two, "workspace/node_modules/y")).toBe("xy");
    await one.main(cacheSave, { path: "none", key: "other" });
    expect(one.annotations).toEqual(["warning: cache other was not saved: none of its paths is there"]);
  });

  test("an archive that holds more than what was asked for is refused", async () => {
    // Of the same version, as a job with another tar could make it.
    const one = await job();
    one.write({ "workspace/dir/file": "x", "workspace/secret": "s" });
    const { run } = one.with({});
    const bad = {
      ...one.with({ path: "dir", key: "k" }),
      run: async (script: string) => await run(script.replace(/tar -cPf (\S+) -T \S+/, "tar -cPf $1 secret")),
    };
    await cacheSave.main(bad);
    const two = await job();
    await two.main(cacheRestore, { path: "dir", key: "k" });
    expect(two.annotations).toEqual([
      "warning: the cache could not be restored: the archive holds secret, which is in none of the paths that were asked for",
    ]);
    expect(two.outputs["cache-matched-key"]).toBe("");
    expect(existsSync(join(two.root, "workspace/secret"))).toBe(false);
  });

  test("what nobody used for a week goes, and the least used when there is too much", async () => {
    const { caches } = stores.history;
    const place = { repository: "forge/1", lane: "trusted", refs: ["r"] } as const;
    const add = async (id: string, size: number, at: number) =>
      await caches.add(place, "v", { id, key: id, size, digest: "", object: `caches/${id}` }, new Date(at));
    const most = limits.cacheRepositoryBytes;
    await add("old", 1, 0);
    await add("a", most / 2, 1000);
    await add("b", most / 2, 2000);
    expect(await caches.evict(new Date(3000))).toEqual(["caches/old"]);
    await caches.find(place, { version: "v", key: "a", restoreKeys: [] }, new Date(4000));
    await add("c", 1, 5000);
    expect(await caches.evict(new Date(5000))).toEqual(["caches/b"]);
    expect(await caches.evict(new Date(4001 + limits.cacheUnusedMs))).toEqual(["caches/a"]);
  });

  test.each([
    ["a comma", { key: "a,b" }, "has a comma"],
    ["too long", { key: "k".repeat(513) }, "more than 512"],
    ["too many", { key: "k", "restore-keys": "x\n".repeat(11) }, "can have 10"],
    ["no path", { key: "k", path: "" }, "input path is required"],
  ])("a key or path that cannot be: %s", async (_, inputs, message) => {
    await expect(restored({}, inputs)).rejects.toThrow(message);
  });
});

test("where a run's caches are: its own ref, its base, the default branch", () => {
  const run = (source: object) =>
    ({ spec: { source: { forge: "f", repository: { id: "1" }, lane: "trusted", base: { ref: "release" }, ...source } } }) as unknown as Run;
  const event = { repository: { default_branch: "main" } };
  expect(cachePlaceOf(run({ ref: "refs/pull/7/merge" }), event)).toEqual({
    repository: "f/1",
    lane: "trusted",
    refs: ["refs/pull/7/merge", "refs/heads/release", "refs/heads/main"],
  });
  expect(cachePlaceOf(run({ ref: "refs/heads/release" }), {}).refs).toEqual(["refs/heads/release"]);
});

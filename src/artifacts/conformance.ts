/** What object-store.ts promises, held against each store. */
import { createHash } from "node:crypto";
import { describe, expect, test, type TestContext } from "vitest";
import { deleteBelow, type ObjectStore } from "./object-store.ts";

export interface ObjectStoreSuite {
  name: string;
  /** An empty store for one test; may skip it. */
  create(context: TestContext): Promise<ObjectStore>;
}

export function describeObjectStore(suite: ObjectStoreSuite): void {
  describe(`object store ${suite.name}`, () => {
    test("what was put is there, whole and in parts", async (context) => {
      const store = await suite.create(context);
      const bytes = Buffer.from(Array.from({ length: 600_000 }, (_, index) => (index * 7) % 251));
      const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
      expect(await store.put("a/b.bin", pieces(bytes, 70_001), { size: bytes.length, digest })).toEqual({
        key: "a/b.bin",
        size: bytes.length,
        digest,
      });
      expect(await store.head("a/b.bin")).toEqual({ key: "a/b.bin", size: bytes.length });
      const ranges: [number | undefined, number | undefined][] = [
        [undefined, undefined], [0, 1], [1, 2], [65_535, 65_537], [599_999, 700_000], [600_000, undefined], [5, 5], [700_000, 800_000],
      ]; // prettier-ignore
      for (const [start, end] of ranges) {
        const range = { ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }) };
        expect((await all(await store.get("a/b.bin", range))).equals(bytes.subarray(start, end)), `${start} to ${end}`).toBe(true);
      }
    });

    test("put again replaces; an empty object is one", async (context) => {
      const store = await suite.create(context);
      await store.put("a", Buffer.from("first"));
      await store.put("a", Buffer.from(""));
      expect(await store.head("a")).toEqual({ key: "a", size: 0 });
      expect(await all(await store.get("a"))).toEqual(Buffer.alloc(0));
    });

    test("who reads while it is replaced reads the old one to its end", async (context) => {
      const store = await suite.create(context);
      const old = Buffer.alloc(300_000, "o");
      await store.put("a", old);
      const reading = (await store.get("a"))[Symbol.asyncIterator]();
      const first = (await reading.next()).value!;
      await store.put("a", Buffer.alloc(300_000, "n"));
      const read = [first];
      for (let next = await reading.next(); next.done !== true; next = await reading.next()) read.push(next.value);
      expect(Buffer.concat(read).equals(old)).toBe(true);
    });

    test("what is not as announced is not stored, and what was there stays", async (context) => {
      const store = await suite.create(context);
      await store.put("a", Buffer.from("before"));
      const refused: [string, Parameters<ObjectStore["put"]>[2], RegExp][] = [
        ["too few bytes", { size: 6 }, /5 of 6 bytes came/],
        ["too many bytes", { size: 4 }, /more than 4 bytes/],
        ["over the bound", { most: 4 }, /more than 4 bytes/],
        ["another digest", { digest: `sha256:${"0".repeat(64)}` }, /its digest is sha256:/],
      ];
      for (const [name, options, message] of refused) {
        const error = await store.put("a", Buffer.from("after"), options).catch((thrown: unknown) => thrown);
        expect(error, name).toMatchObject({ code: "invalid", message: expect.stringMatching(message) });
      }
      const broken = async function* () {
        yield await Promise.resolve(Buffer.from("half"));
        throw new Error("the connection was lost");
      };
      await expect(store.put("a", broken())).rejects.toThrow("the connection was lost");
      await expect(store.put("new", broken())).rejects.toThrow("the connection was lost");
      expect((await all(await store.get("a"))).toString()).toBe("before");
      expect((await store.list({ prefix: "", limit: 10 })).objects).toEqual([{ key: "a", size: 6 }]);
    });

    test("nothing there", async (context) => {
      const store = await suite.create(context);
      expect(await store.head("a/b")).toBeUndefined();
      await expect(store.get("a/b")).rejects.toMatchObject({ code: "not-found", message: "there is no object a/b" });
      await store.delete("a/b");
      await store.put("a/b/c", Buffer.from("x"));
      await expect(store.get("a/b")).rejects.toMatchObject({ code: "not-found" });
      await store.delete("a/b");
      await store.delete("a/b/c/d");
      expect(await store.head("a/b/c")).toEqual({ key: "a/b/c", size: 1 });
    });

    test.each([
      ["empty", ""],
      ["absolute", "/etc/passwd"],
      ["out of it", "a/../../etc"],
      ["a dot", "./a"],
      ["an empty part", "a//b"],
      ["a folder", "a/"],
      ["NUL", "a\0b"],
      ["a line feed", "a\nb"],
      ["a backslash", "..\\etc"],
      ["half a character", "a\ud800"],
      ["a long part", "x".repeat(256)],
      ["a long key", Array(600).fill("x").join("/")],
    ])("a key that is refused: %s", async (_name, key) => {
      const context = { skip: () => {} } as unknown as TestContext;
      const store = await suite.create(context);
      const refusal = { code: "invalid", message: expect.stringContaining("cannot be the key") as string };
      await expect(store.put(key, Buffer.from(""))).rejects.toMatchObject(refusal);
      await expect(store.get(key)).rejects.toMatchObject(refusal);
      await expect(store.head(key)).rejects.toMatchObject(refusal);
      await expect(store.delete(key)).rejects.toMatchObject(refusal);
    });

    test("listed by prefix, in pages, each once", async (context) => {
      const store = await suite.create(context);
      const keys = ["a", "b/1", "b/2", "b/sub/1", "b-1", "b0", "bü", "c/deep/er/1"];
      for (const key of keys) await store.put(key, Buffer.from(key));
      const list = async (prefix: string, limit: number) => {
        const found: string[] = [];
        for (let after: string | undefined; ;) {
          const page = await store.list({ prefix, after, limit });
          found.push(...page.objects.map(({ key }) => key));
          expect(page.objects.length).toBeLessThanOrEqual(limit);
          if ((after = page.next) === undefined) return found;
        }
      };
      const inOrder = await list("", 100);
      expect(inOrder.toSorted()).toEqual(keys.toSorted());
      for (const limit of [1, 2, 3, 8]) expect(await list("", limit), `by ${limit}`).toEqual(inOrder);
      expect((await list("b/", 2)).toSorted()).toEqual(["b/1", "b/2", "b/sub/1"]);
      expect((await list("b/s", 2)).toSorted()).toEqual(["b/sub/1"]);
      expect(await list("none", 2)).toEqual([]);
      expect(await deleteBelow(store, "b/")).toBe(3);
      expect((await list("", 100)).toSorted()).toEqual(["a", "b-1", "b0", "bü", "c/deep/er/1"]);
    });

    test("many at once, into folders that come and go", async (context) => {
      const store = await suite.create(context);
      await Promise.all(
        Array.from({ length: 30 }, async (_, index) => {
          const key = `x/${index % 3}/${index}`;
          await store.put(key, Buffer.from(key));
          if (index % 2 === 0) await store.delete(key);
        }),
      );
      expect((await store.list({ prefix: "x/", limit: 100 })).objects).toHaveLength(15);
    });
  });
}

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let from = 0; from < bytes.length; from += size) yield await Promise.resolve(bytes.subarray(from, from + size));
}

async function all(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const read: Buffer[] = [];
  for await (const chunk of body) read.push(chunk);
  return Buffer.concat(read);
}

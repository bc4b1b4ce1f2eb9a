/**
 * What log-store.ts promises, held against each database: single cases, and a simple model, a string of bytes, against any
 * order of appends, repeats, overlaps, gaps, seals that fail before or after their object is stored, and restarts.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, onTestFinished, test, type TestContext } from "vitest";
import { FolderStore } from "../artifacts/folder.ts";
import type { ObjectStore } from "../artifacts/object-store.ts";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { type DatabaseSettings, openDatabase } from "../history/database.ts";
import { LogGapError, type LogStore, openLogStore } from "./log-store.ts";
import { logMigrations, type LogTables } from "./schema.ts";

export interface LogSuite {
  name: string;
  /** An empty database for one test; may skip it. */
  create(context: TestContext): Promise<DatabaseSettings>;
  /** Of the property test. */
  runs: number;
}

const start = Date.parse("2026-11-01T12:00:00Z");
const timeAt = (seconds: number) => new Date(start + seconds * 1000);

/** An object store whose next put can be made to fail: before it stores, or after, as if the process had died then. */
class BreakableStore implements ObjectStore {
  readonly #store: ObjectStore;
  next: "works" | "fails-before" | "fails-after" = "works";

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  async put(...args: Parameters<ObjectStore["put"]>): ReturnType<ObjectStore["put"]> {
    const { next } = this;
    this.next = "works";
    if (next === "fails-before") throw new SeatrialError("internal", "the store broke before");
    const stored = await this.#store.put(...args);
    if (next === "fails-after") throw new SeatrialError("internal", "the store broke after");
    return stored;
  }

  get = async (...args: Parameters<ObjectStore["get"]>) => await this.#store.get(...args);
  head = async (...args: Parameters<ObjectStore["head"]>) => await this.#store.head(...args);
  delete = async (...args: Parameters<ObjectStore["delete"]>) => await this.#store.delete(...args);
  list = async (...args: Parameters<ObjectStore["list"]>) => await this.#store.list(...args);
  removeAbandoned = async (now: Date) => await this.#store.removeAbandoned(now);
}

export function describeLogStore(suite: LogSuite): void {
  const openAll = async (context: TestContext, chunkBytes?: number) => {
    const folder = await mkdtemp(join(tmpdir(), "logs-"));
    const opened: LogStore[] = [];
    onTestFinished(async () => {
      for (const store of opened) await store.shutdown();
      await rm(folder, { recursive: true, force: true });
    });
    const settings = await suite.create(context);
    /** Rows of the tail: what is sealed has left it. */
    const tailRows = async () => {
      const database = await openDatabase<LogTables>({ settings, part: "logs", migrations: logMigrations });
      const rows = await database.read.selectFrom("log_tail").select("start").orderBy("start").execute();
      await database.close();
      return rows.map((row) => row.start);
    };
    const objects = new BreakableStore(new FolderStore(folder));
    const open = async () => {
      const store = await openLogStore({ settings, objects, ...(chunkBytes === undefined ? {} : { chunkBytes }) });
      opened.push(store);
      return store;
    };
    return { open, objects, tailRows, store: await open() };
  };

  describe(`logs on ${suite.name}`, () => {
    test("any bytes come back as they were, sealed or not", async (context) => {
      const { store, tailRows } = await openAll(context, 1_000);
      const bytes = Buffer.from(Array.from({ length: 2_500 }, (_, index) => (index * 31) % 256));
      expect(await store.append("a", 0, bytes, timeAt(0))).toBe(2_500);
      await store.settled();
      expect(await tailRows()).toEqual([2_000]);
      expect((await whole(store, "a")).equals(bytes)).toBe(true);
      await store.close("a", timeAt(1));
      await store.settled();
      expect(await tailRows()).toEqual([]);
      for (const from of [0, 1, 999, 1_000, 1_001, 2_499, 2_500, 9_999]) {
        expect((await whole(store, "a", from)).equals(bytes.subarray(from)), `from ${from}`).toBe(true);
      }
    });

    test("what is there is skipped, a gap is refused with what is expected", async (context) => {
      const { store } = await openAll(context);
      await store.append("a", 0, Buffer.from("hello "), timeAt(0));
      expect(await store.append("a", 0, Buffer.from("hello wor"), timeAt(1))).toBe(9);
      expect(await store.append("a", 3, Buffer.from("lo"), timeAt(1))).toBe(9);
      const gap = await store.append("a", 10, Buffer.from("d"), timeAt(2)).catch((error: unknown) => error);
      expect(gap).toBeInstanceOf(LogGapError);
      expect(gap).toMatchObject({ expected: 9, hint: "go on from byte 9" });
      await store.append("a", 9, Buffer.from("ld"), timeAt(2));
      expect((await whole(store, "a")).toString()).toBe("hello world");
    });

    test("appends of one log at the same time: the one that fits is stored, in two stores too", async (context) => {
      const { open, store } = await openAll(context);
      const other = await open();
      const pieces = ["zero\n", "one\n", "two\n", "three\n"];
      let at = 0;
      for (const piece of pieces) {
        const bytes = Buffer.from(piece);
        const sizes = await Promise.all([store, other, store].map(async (each) => await each.append("a", at, bytes, timeAt(0))));
        expect(new Set(sizes)).toEqual(new Set([(at += bytes.length)]));
      }
      expect((await whole(other, "a")).toString()).toBe(pieces.join(""));
    });

    test("closed: repeats are still success, new bytes are refused", async (context) => {
      const { store } = await openAll(context);
      await store.append("a", 0, Buffer.from("done"), timeAt(0));
      await store.close("a", timeAt(1));
      await store.close("a", timeAt(2));
      expect(await store.append("a", 0, Buffer.from("done"), timeAt(3))).toBe(4);
      await expect(store.append("a", 4, Buffer.from("!"), timeAt(3))).rejects.toMatchObject({
        code: "conflict",
        message: expect.stringContaining("it is closed"),
      });
      expect(await store.info("a")).toEqual({ size: 4, lines: 1, isClosed: true });
      await store.close("silent", timeAt(1));
      expect(await store.info("silent")).toEqual({ size: 0, lines: 0, isClosed: true });
      expect(await store.lines("silent", 1, 10)).toMatchObject({ lines: [] });
    });

    test("no log", async (context) => {
      const { store } = await openAll(context);
      expect(await store.info("none")).toBeUndefined();
      await expect(store.read("none")).rejects.toMatchObject({ code: "not-found" });
      await expect(store.lines("none", 1, 2)).rejects.toMatchObject({ code: "not-found" });
      await store.remove("none");
      await expect(store.append("../etc", 0, Buffer.from("x"), timeAt(0))).rejects.toMatchObject({ code: "invalid" });
    });

    test("lines: by line feeds alone, with the times of their first bytes", async (context) => {
      const { store } = await openAll(context);
      const said: [number, string][] = [
        [0, "one\ntwo, "],
        [5, "ended later\n\n 10%\r 50%\r100%\n"],
        [5.5, "a\0b \x1b[31mred\x1b[0m \n"],
        [3, "the clock was set back"],
      ];
      let at = 0;
      for (const [seconds, text] of said) at = await store.append("a", at, Buffer.from(text), timeAt(seconds));
      const { lines, info, next } = await store.lines("a", 1, 100);
      expect(info).toEqual({ size: at, lines: 6, isClosed: false });
      expect(next).toBeUndefined();
      expect(lines.map(({ number, text, time }) => [number, text, (time.getTime() - start) / 1000])).toEqual([
        [1, "one", 0],
        [2, "two, ended later", 0],
        [3, "", 5],
        [4, " 10%\r 50%\r100%", 5],
        [5, "a\0b \x1b[31mred\x1b[0m ", 5],
        [6, "the clock was set back", 5],
      ]);
      expect((await store.lines("a", 2, 3)).lines.map(({ number }) => number)).toEqual([2, 3]);
      expect((await store.lines("a", 7, 9)).lines).toEqual([]);
      expect((await store.lines("a", 5, 4)).lines).toEqual([]);
      expect((await store.lines("a", -3, 1)).lines.map(({ number }) => number)).toEqual([1]);
    });

    test("a line of 10 MB is cut where it is shown, and whole where it is read", async (context) => {
      const { store } = await openAll(context);
      // Its last shown character would be cut in half.
      const long = Buffer.from(`x${"ü".repeat(5_000_000)}`);
      const log = Buffer.concat([Buffer.from("before\n"), long, Buffer.from("\nafter\n")]);
      let at = 0;
      while (at < log.length) at = await store.append("a", at, log.subarray(at, at + 1_000_000), timeAt(0));
      for (const state of ["partly sealed", "sealed"]) {
        await store.settled();
        const { lines } = await store.lines("a", 1, 3);
        expect(
          lines.map(({ number, bytes, isCut }) => [number, bytes, isCut]),
          state,
        ).toEqual([
          [1, 6, false],
          [2, long.length, true],
          [3, 5, false],
        ]);
        expect(lines[1]!.text).toBe(`x${"ü".repeat(limits.logLineShownBytes / 2 - 1)}`);
        expect((await store.lines("a", 3, 3)).lines[0]?.text).toBe("after");
        await store.close("a", timeAt(1));
      }
      expect((await whole(store, "a")).equals(log)).toBe(true);
    });

    test("an answer has its bounds, and says where to go on", async (context) => {
      const { store } = await openAll(context);
      const count = limits.logLinesShown + 10;
      const log = Buffer.from(Array.from({ length: count }, (_, index) => `${index + 1}\n`).join(""));
      await store.append("a", 0, log, timeAt(0));
      const first = await store.lines("a", 1, Infinity);
      expect(first.lines).toHaveLength(limits.logLinesShown);
      const rest = await store.lines("a", first.next!, Infinity);
      expect(rest.next).toBeUndefined();
      expect([...first.lines, ...rest.lines].map(({ text }) => text)).toEqual(
        Array.from({ length: count }, (_, index) => String(index + 1)),
      );
    });

    test("followed: from any byte, across seals, until it is closed; by another process too", async (context) => {
      const { open, store } = await openAll(context, 64);
      const other = await open();
      const log = Buffer.from(Array.from({ length: 40 }, (_, index) => `line ${index}\n`).join(""));
      const follow = async (from: LogStore, offset: number) => {
        const pieces: Buffer[] = [];
        for await (const { bytes, offset: at } of from.follow("a", offset)) {
          expect(at).toBe(offset + Buffer.concat(pieces).length);
          pieces.push(bytes);
        }
        return Buffer.concat(pieces).toString();
      };
      const followed = Promise.all([follow(store, 0), follow(store, 100), follow(other, 0)]);
      for (let at = 0; at < log.length;) at = await store.append("a", at, log.subarray(at, at + 29), timeAt(0));
      await store.close("a", timeAt(1));
      expect(await followed).toEqual([log.toString(), log.subarray(100).toString(), log.toString()]);
    });

    test("following ends by the signal, and when the log is removed", async (context) => {
      const { store } = await openAll(context);
      const abort = new AbortController();
      const seen: string[] = [];
      const read = async (attempt: string, signal?: AbortSignal) => {
        for await (const { bytes } of store.follow(attempt, 0, signal)) {
          seen.push(bytes.toString());
          if (signal) abort.abort();
          else await store.remove(attempt);
        }
      };
      await store.append("a", 0, Buffer.from("a"), timeAt(0));
      await store.append("b", 0, Buffer.from("b"), timeAt(0));
      await Promise.all([read("a", abort.signal), read("b"), read("never", abort.signal)]);
      expect(seen.toSorted()).toEqual(["a", "b"]);
    });

    test("removed: its objects and its rows; it can begin anew", async (context) => {
      const { store, objects } = await openAll(context, 10);
      await store.append("a", 0, Buffer.from("0123456789".repeat(5)), timeAt(0));
      await store.append("ab", 0, Buffer.from("0123456789"), timeAt(0));
      await store.settled();
      expect((await objects.list({ prefix: "", limit: 100 })).objects).toHaveLength(6);
      await store.remove("a");
      expect((await objects.list({ prefix: "", limit: 100 })).objects).toHaveLength(1);
      await expect(store.append("a", 50, Buffer.from("late"), timeAt(1))).rejects.toMatchObject({ expected: 0 });
      expect((await whole(store, "ab")).toString()).toBe("0123456789");
    });

    test("while nothing can be sealed, a log does not grow without bound, and nothing of it is lost", async (context) => {
      const { store, objects } = await openAll(context, 10);
      let at = 0;
      let failure: unknown;
      for (let index = 0; index < 50 && failure === undefined; index++) {
        objects.next = "fails-before";
        at = await store.append("a", at, Buffer.from("0123456789"), timeAt(0)).catch((error: unknown) => ((failure = error), at));
        await store.settled().catch(() => {});
      }
      expect(failure).toMatchObject({ message: "the store broke before" });
      expect(at).toBe(10 * limits.logUnsealedChunks);
      objects.next = "works";
      at = await store.append("a", at, Buffer.from("0123456789"), timeAt(0));
      expect((await whole(store, "a")).toString()).toBe("0123456789".repeat(at / 10));
    });

    test("two that seal the same log do it once", async (context) => {
      const { open, store } = await openAll(context, 100);
      const other = await open();
      const log = Buffer.from("a line of this log\n".repeat(200));
      for (let at = 0; at < log.length;) {
        at = await store.append("a", at, log.subarray(at, at + 130), timeAt(0));
        await Promise.all([store.sealDue(), other.sealDue()]);
      }
      await store.close("a", timeAt(1));
      await Promise.all([store.settled(), other.sealDue()]);
      expect((await whole(other, "a")).equals(log)).toBe(true);
      expect((await other.lines("a", 1, 500)).lines.map(({ text }) => text)).toEqual(Array<string>(200).fill("a line of this log"));
    });

    test("as a string of bytes would behave, whatever is done to it", { timeout: 300_000 }, async (context) => {
      const text = fc
        .string({ unit: fc.constantFrom("a", "ü", "\n", "\n", "\r", "\0", "🚢"), maxLength: 60 })
        .map((each) => Buffer.from(each));
      const action = fc.oneof(
        {
          weight: 8,
          arbitrary: fc.record({
            do: fc.constant("append" as const),
            bytes: fc.oneof(text, fc.uint8Array({ maxLength: 60 })),
            back: fc.nat(20),
            step: fc.nat(2),
          }),
        },
        {
          weight: 2,
          arbitrary: fc.record({
            do: fc.constant("break" as const),
            how: fc.constantFrom("fails-before" as const, "fails-after" as const),
          }),
        },
        { weight: 1, arbitrary: fc.record({ do: fc.constant("gap" as const), by: fc.integer({ min: 1, max: 9 }) }) },
        { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
        { weight: 1, arbitrary: fc.record({ do: fc.constant("look" as const) }) },
        { weight: 1, arbitrary: fc.record({ do: fc.constant("close" as const) }) },
      );
      const { open, objects, tailRows, store: first } = await openAll(context, 50);
      let store = first;
      let logs = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(action, { maxLength: 25 }), async (actions) => {
          const log = `log-${logs++}`;
          const model = new LogModel();
          await store.append(log, 0, Buffer.alloc(0), timeAt(0));
          for (const each of actions) {
            switch (each.do) {
              case "append": {
                const offset = Math.max(0, model.bytes.length - each.back);
                const repeated = model.bytes.subarray(offset, offset + each.bytes.length);
                const bytes = Buffer.concat([repeated, each.bytes.subarray(repeated.length)]);
                if (model.isClosed && offset + bytes.length > model.bytes.length) break;
                model.append(offset, bytes, each.step);
                const size = await retried(async () => await store.append(log, offset, bytes, timeAt(model.seconds)));
                expect(size).toBe(model.bytes.length);
                break;
              }
              case "gap":
                await expect(store.append(log, model.bytes.length + each.by, Buffer.from("x"), timeAt(0))).rejects.toMatchObject({
                  expected: model.bytes.length,
                });
                break;
              case "break":
                objects.next = each.how;
                break;
              case "restart":
                await store.shutdown();
                store = await open();
                await store.sealDue().catch(() => {});
                break;
              case "close":
                await store.close(log, timeAt(model.seconds));
                model.isClosed = true;
                break;
              case "look":
                await expectSame(store, log, model);
                break;
            }
          }
          await expectSame(store, log, model);
          await store.settled().catch(() => {});
          objects.next = "works";
          await store.close(log, timeAt(model.seconds));
          model.isClosed = true;
          await store.sealDue();
          expect(await tailRows()).toEqual([]);
          await expectSame(store, log, model);
        }),
        { numRuns: suite.runs, endOnFailure: false },
      );
    });
  });
}

/** What a log is: bytes, and when each came. */
class LogModel {
  bytes: Buffer = Buffer.alloc(0);
  times: number[] = [];
  seconds = 0;
  isClosed = false;

  append(offset: number, bytes: Buffer, step: number): void {
    this.seconds += step;
    const fresh = bytes.subarray(this.bytes.length - offset);
    this.bytes = Buffer.concat([this.bytes, fresh]);
    for (let index = 0; index < fresh.length; index++) this.times.push(this.seconds);
  }

  lines(): { text: string; seconds: number }[] {
    const lines = [];
    for (let at = 0; at < this.bytes.length;) {
      const feed = this.bytes.indexOf(10, at);
      const end = feed === -1 ? this.bytes.length : feed;
      lines.push({ text: this.bytes.subarray(at, end).toString(), seconds: this.times[at]! });
      at = end + 1;
    }
    return lines;
  }
}

async function expectSame(store: LogStore, log: string, model: LogModel): Promise<void> {
  expect((await whole(store, log)).equals(model.bytes)).toBe(true);
  const middle = model.bytes.length >> 1;
  expect((await whole(store, log, middle)).equals(model.bytes.subarray(middle))).toBe(true);
  const expected = model.lines();
  expect(await store.info(log)).toEqual({ size: model.bytes.length, lines: expected.length, isClosed: model.isClosed });
  const seen = async (from: number, to: number) =>
    (await store.lines(log, from, to)).lines.map(({ text, time }) => ({ text, seconds: (time.getTime() - start) / 1000 }));
  expect(await seen(1, expected.length + 5)).toEqual(expected);
  const from = (expected.length >> 1) + 1;
  expect(await seen(from, from + 1)).toEqual(expected.slice(from - 1, from + 1));
}

/** An append that had to wait for a seal, which failed, is repeated by the runner. */
async function retried<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === 5 || !(error instanceof SeatrialError) || !error.message.startsWith("the store broke")) throw error;
    }
  }
}

async function whole(store: LogStore, log: string, from = 0): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of await store.read(log, from)) pieces.push(piece);
  return Buffer.concat(pieces);
}

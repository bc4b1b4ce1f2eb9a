/** What database.ts promises of each database; part of the suite of the history (conformance.ts). */
import { describe, expect, onTestFinished, test, type TestContext } from "vitest";
import { type DatabaseSettings, openDatabase } from "./database.ts";

export interface DatabaseSuite {
  name: string;
  /** An empty database for one test; may skip it. What it leaves is the suite's to remove. */
  create(context: TestContext): Promise<DatabaseSettings>;
}

export function describeDatabase(suite: DatabaseSuite): void {
  describe(`database on ${suite.name}`, () => {
    interface Tables {
      words: { word: string };
    }
    const migrations = [() => ["create table words (word text primary key)"]];
    const openWords = async (settings: DatabaseSettings, steps = migrations) => {
      const database = await openDatabase<Tables>({ settings, part: "words", migrations: steps });
      onTestFinished(async () => await database.close());
      return database;
    };

    test("opened by several at once, its schema is made once; later steps keep what is there", async (context) => {
      const settings = await suite.create(context);
      const opened = await Promise.all([openWords(settings), openWords(settings), openWords(settings)]);
      for (const [index, { commit }] of opened.entries()) {
        await commit(
          async (transaction) =>
            await transaction
              .insertInto("words")
              .values({ word: String(index) })
              .execute(),
        );
      }
      const later = await openWords(settings, [...migrations, () => ["alter table words add column meaning text"]]);
      expect(await later.read.selectFrom("words").selectAll().orderBy("word").execute()).toMatchObject([
        { word: "0", meaning: null },
        {},
        {},
      ]);
    });

    test("a schema that is newer than the program is refused, and not touched", async (context) => {
      const settings = await suite.create(context);
      await (await openWords(settings, [...migrations, () => ["create table more (word text)"]])).close();
      await expect(openWords(settings)).rejects.toMatchObject({
        code: "refused",
        message: expect.stringContaining("has schema 2, and this Seatrial knows up to 1"),
      });
    });

    test("a step of the schema that fails leaves nothing behind", async (context) => {
      const settings = await suite.create(context);
      await expect(openWords(settings, [...migrations, () => ["create rubbish"]])).rejects.toMatchObject({ code: "internal" });
      const database = await openWords(settings);
      expect(await database.read.selectFrom("words").selectAll().execute()).toEqual([]);
    });

    test("one write that fails takes none of those with it that were asked for at the same time", async (context) => {
      const { commit, read } = await openWords(await suite.create(context));
      const insert = async (word: string) =>
        await commit(async (transaction) => await transaction.insertInto("words").values({ word }).execute());
      const settled = await Promise.allSettled(["a", "b", "a", "c"].map(insert));
      expect(settled.filter(({ status }) => status === "rejected")).toHaveLength(1);
      expect(await read.selectFrom("words").select("word").orderBy("word").execute()).toEqual([
        { word: "a" },
        { word: "b" },
        { word: "c" },
      ]);
    });

    test("closing waits for the writes that were asked for, and refuses others", async (context) => {
      const settings = await suite.create(context);
      const { commit, close } = await openWords(settings);
      const insert = async (word: string) =>
        await commit(async (transaction) => await transaction.insertInto("words").values({ word }).execute());
      const writes = ["a", "b", "c"].map(insert);
      await close();
      await Promise.all(writes);
      await expect(insert("d")).rejects.toMatchObject({ code: "internal" });
      const again = await openWords(settings);
      expect(await again.read.selectFrom("words").selectAll().execute()).toHaveLength(3);
    });
  });
}

/** Small values that a part of the server must find again: how far a repository was looked at, when something was done last. */
import type { Kysely } from "kysely";
import type { Database } from "./database.ts";
import type { HistoryTables } from "./schema.ts";

export class State {
  readonly #database: Database<HistoryTables>;

  constructor(database: Database<HistoryTables>) {
    this.#database = database;
  }

  async get(key: string): Promise<string | undefined> {
    return await this.#get(key, this.#database.read);
  }

  /** The same for those who ask every few seconds, whether anything happens or not: it needs no thread that does nothing else. */
  async poll(key: string): Promise<string | undefined> {
    return await this.#get(key, this.#database.lookup);
  }

  async set(key: string, value: string, now: Date): Promise<void> {
    const row = { key, value, updated_ms: now.getTime() };
    await this.#database.commit(
      async (transaction) =>
        await transaction
          .insertInto("state")
          .values(row)
          .onConflict((conflict) => conflict.column("key").doUpdateSet({ value, updated_ms: row.updated_ms }))
          .execute(),
    );
  }

  /** Counts: 1 at the first call for a key, then one more at each; no number is given twice. */
  async next(key: string, now: Date): Promise<number> {
    const { sql } = this.#database;
    const updated_ms = now.getTime();
    const row = await this.#database.commit(
      async (transaction) =>
        await transaction
          .insertInto("state")
          .values({ key, value: "1", updated_ms })
          .onConflict((conflict) =>
            conflict.column("key").doUpdateSet({ value: sql<string>`cast(cast(state.value as bigint) + 1 as text)`, updated_ms }),
          )
          .returning("value")
          .executeTakeFirstOrThrow(),
    );
    return Number(row.value);
  }

  /** No error when there is none. */
  async delete(key: string): Promise<void> {
    await this.#database.commit(async (transaction) => await transaction.deleteFrom("state").where("key", "=", key).execute());
  }

  async #get(key: string, by: Kysely<HistoryTables>): Promise<string | undefined> {
    return (await by.selectFrom("state").select("value").where("key", "=", key).executeTakeFirst())?.value;
  }
}

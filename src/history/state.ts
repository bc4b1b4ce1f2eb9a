/** Small values that a part of the server must find again: how far a repository was looked at, when something was done last. */
import type { Database } from "./database.ts";
import type { HistoryTables } from "./schema.ts";

export class State {
  readonly #database: Database<HistoryTables>;

  constructor(database: Database<HistoryTables>) {
    this.#database = database;
  }

  async get(key: string): Promise<string | undefined> {
    return (await this.#database.read.selectFrom("state").select("value").where("key", "=", key).executeTakeFirst())?.value;
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

  /** No error when there is none. */
  async delete(key: string): Promise<void> {
    await this.#database.commit(async (transaction) => await transaction.deleteFrom("state").where("key", "=", key).execute());
  }
}

/** Lock documents of attempts, as JSON: written when an attempt is given its work, completed while it runs, gone with its run. */
import type { Database } from "./database.ts";
import type { HistoryTables } from "./schema.ts";

export class Locks {
  readonly #database: Database<HistoryTables>;

  constructor(database: Database<HistoryTables>) {
    this.#database = database;
  }

  /** The last one counts: an attempt that asks for its work again is told of what there is now. */
  async put(attempt: string, document: string): Promise<void> {
    await this.#database.commit(
      async (transaction) =>
        await transaction
          .insertInto("locks")
          .values({ attempt, document })
          .onConflict((conflict) => conflict.column("attempt").doUpdateSet({ document }))
          .execute(),
    );
  }

  /** Changes what is there, whoever else does so at the same time. Nothing happens when there is none. */
  async change(attempt: string, change: (document: string) => string): Promise<void> {
    await this.#database.commit(async (transaction) => {
      await this.#database.alone(transaction, `lock ${attempt}`);
      const row = await transaction.selectFrom("locks").select("document").where("attempt", "=", attempt).executeTakeFirst();
      if (row)
        await transaction
          .updateTable("locks")
          .set({ document: change(row.document) })
          .where("attempt", "=", attempt)
          .execute();
    });
  }

  async get(attempt: string): Promise<string | undefined> {
    const row = await this.#database.read.selectFrom("locks").select("document").where("attempt", "=", attempt).executeTakeFirst();
    return row?.document;
  }
}

/** Texts that resources name by their digest: workflow files, payloads of events. Kept once, whoever puts them. */
import { createHash } from "node:crypto";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Database } from "./database.ts";
import type { HistoryTables } from "./schema.ts";

export class Documents {
  readonly #database: Database<HistoryTables>;

  constructor(database: Database<HistoryTables>) {
    this.#database = database;
  }

  /**
   * Keeps a text, and gives `sha256:` and its digest. One that is there already counts as new for retention.
   * @throws SeatrialError `invalid` above {@link limits.deliveryBytes}.
   */
  async put(text: string, now: Date): Promise<string> {
    if (Buffer.byteLength(text) > limits.deliveryBytes) {
      throw new SeatrialError("invalid", `a document of ${Buffer.byteLength(text)} bytes is over the bound of ${limits.deliveryBytes}`);
    }
    const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
    const row = { digest, text, created_ms: now.getTime() };
    await this.#database.commit(
      async (transaction) =>
        await transaction
          .insertInto("documents")
          .values(row)
          .onConflict((conflict) => conflict.column("digest").doUpdateSet({ created_ms: row.created_ms }))
          .execute(),
    );
    return digest;
  }

  async get(digest: string): Promise<string | undefined> {
    const row = await this.#database.read.selectFrom("documents").select("text").where("digest", "=", digest).executeTakeFirst();
    return row?.text;
  }
}

/**
 * The inbox: deliveries of forges, stored before they are answered.
 *
 * The webhook handler puts and answers; the trigger claims one after the other, in the order in which they came, and says
 * how it went. A claim is a lease: what a process had when it died is given out again when the lease is over, so whoever
 * handles a delivery must bear to do so twice.
 */
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Database } from "./database.ts";
import { dateOf, limitOf, type Page, pageOf, type PageRequest, positionOf } from "./page.ts";
import type { DeliveryRow, HistoryTables } from "./schema.ts";

export interface NewDelivery {
  forge: string;
  /** The forge's id of it: the same when the forge sends it again. */
  delivery: string;
  event: string;
  /** Those that are needed to handle it; no secrets. */
  headers: Readonly<Record<string, string>>;
  body: Uint8Array;
}

export interface DeliverySummary {
  /** Ours: counts up in the order of arrival. */
  id: number;
  forge: string;
  delivery: string;
  event: string;
  receivedAt: Date;
  state: "waiting" | "done" | "failed";
  /** How often it was claimed. */
  attempts: number;
  /** What went wrong in the last attempt. */
  error?: string;
  endedAt?: Date;
}

export interface Delivery extends DeliverySummary {
  headers: Record<string, string>;
  body: Buffer;
}

const summaryColumns = ["id", "forge", "delivery", "event", "received_ms", "state", "attempts", "error", "ended_ms"] as const;

export class Deliveries {
  readonly #database: Database<HistoryTables>;

  constructor(database: Database<HistoryTables>) {
    this.#database = database;
  }

  /**
   * Stores a delivery; it is on the disk when this resolves.
   * @returns its id, and whether it is new: one that the forge sends again is kept once.
   * @throws SeatrialError `invalid` when it is over {@link limits.deliveryBytes}.
   */
  async put(delivery: NewDelivery, now: Date): Promise<{ id: number; isNew: boolean }> {
    if (delivery.body.byteLength > limits.deliveryBytes) {
      throw new SeatrialError("invalid", `delivery ${delivery.delivery} of ${delivery.forge} has more than ${limits.deliveryBytes} bytes`);
    }
    const row = {
      ...delivery,
      headers: JSON.stringify(delivery.headers),
      received_ms: now.getTime(),
      state: "waiting" as const,
      attempts: 0,
      not_before_ms: 0,
    };
    return await this.#database.commit(async (transaction) => {
      const made = await transaction
        .insertInto("deliveries")
        .values(row)
        .onConflict((conflict) => conflict.columns(["forge", "delivery"]).doNothing())
        .returning("id")
        .executeTakeFirst();
      if (made) return { id: made.id, isNew: true };
      const known = await transaction
        .selectFrom("deliveries")
        .select("id")
        .where("forge", "=", delivery.forge)
        .where("delivery", "=", delivery.delivery)
        .executeTakeFirstOrThrow();
      return { id: known.id, isNew: false };
    });
  }

  /**
   * Takes the oldest that is waiting, for so long; undefined when there is none.
   * It is given out once: of two replicas that ask at the same time, one may get none and asks again.
   */
  async claim(leaseMs: number, now: Date): Promise<Delivery | undefined> {
    const row = await this.#database.commit(async (transaction) => {
      const due = transaction
        .selectFrom("deliveries")
        .select("id")
        .where("state", "=", "waiting")
        .where("not_before_ms", "<=", now.getTime())
        .orderBy("id")
        .limit(1);
      return await transaction
        .updateTable("deliveries")
        .set((value) => ({ not_before_ms: now.getTime() + leaseMs, attempts: value("attempts", "+", 1) }))
        .where("id", "=", due)
        // Judged again by Postgres when another replica was faster.
        .where("state", "=", "waiting")
        .where("not_before_ms", "<=", now.getTime())
        .returningAll()
        .executeTakeFirst();
    });
    return row && deliveryOf(row);
  }

  /** What was taken and has not ended is given out again, without waiting for its lease: whoever took it has ended. */
  async release(): Promise<void> {
    await this.#database.commit(
      async (transaction) =>
        await transaction
          .updateTable("deliveries")
          .set({ not_before_ms: 0 })
          .where("state", "=", "waiting")
          .where("not_before_ms", ">", 0)
          .execute(),
    );
  }

  async done(id: number, now: Date): Promise<void> {
    await this.#set(id, { state: "done", error: null, ended_ms: now.getTime() });
  }

  /** It could not be handled. @param retryAt when it is given out again; without it, it waits for {@link replay}. */
  async failed(id: number, error: string, now: Date, retryAt?: Date): Promise<void> {
    await this.#set(id, retryAt ? { error, not_before_ms: retryAt.getTime() } : { state: "failed", error, ended_ms: now.getTime() });
  }

  /** Gives it out once more, whatever came of it. @returns false when there is none of that id. */
  async replay(id: number): Promise<boolean> {
    return await this.#set(id, { state: "waiting", not_before_ms: 0, ended_ms: null });
  }

  async get(id: number): Promise<Delivery | undefined> {
    const row = await this.#database.read.selectFrom("deliveries").selectAll().where("id", "=", id).executeTakeFirst();
    return row && deliveryOf(row);
  }

  /** The newest first. */
  async list(
    request: PageRequest & { forge?: string | undefined; state?: DeliverySummary["state"] | undefined } = {},
  ): Promise<Page<DeliverySummary>> {
    const from = positionOf<[number]>(request, ["number"]);
    let query = this.#database.read
      .selectFrom("deliveries")
      .select(summaryColumns)
      .orderBy("id", "desc")
      .limit(limitOf(request) + 1);
    if (from) query = query.where("id", "<", from[0]);
    if (request.forge !== undefined) query = query.where("forge", "=", request.forge);
    if (request.state !== undefined) query = query.where("state", "=", request.state);
    return pageOf(await query.execute(), request, summaryOf, ({ id }) => [id]);
  }

  async #set(id: number, columns: Partial<DeliveryRow>): Promise<boolean> {
    const result = await this.#database.commit(
      async (transaction) =>
        await transaction
          .updateTable("deliveries")
          .set(columns as never)
          .where("id", "=", id)
          .executeTakeFirst(),
    );
    return result.numUpdatedRows > 0n;
  }
}

type SummaryRow = Omit<DeliveryRow, "id" | "headers" | "body" | "not_before_ms"> & { id: number };

function summaryOf(row: SummaryRow): DeliverySummary {
  const endedAt = dateOf(row.ended_ms);
  return {
    id: row.id,
    forge: row.forge,
    delivery: row.delivery,
    event: row.event,
    receivedAt: new Date(row.received_ms),
    state: row.state,
    attempts: row.attempts,
    ...(row.error === null ? {} : { error: row.error }),
    ...(endedAt ? { endedAt } : {}),
  };
}

function deliveryOf(row: SummaryRow & Pick<DeliveryRow, "headers" | "body">): Delivery {
  const { buffer, byteOffset, byteLength } = row.body;
  return {
    ...summaryOf(row),
    headers: JSON.parse(row.headers) as Record<string, string>,
    body: Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength),
  };
}

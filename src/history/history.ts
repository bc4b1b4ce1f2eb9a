/**
 * The history: what happened, in SQL. The API server knows what is going on; what has ended is here, and pages read nothing else.
 *
 * Whoever writes here is answered when it is on the disk. All of it may be called concurrently, in several processes, and
 * again: deliveries are known by the forge's id, resources by uid and resourceVersion, steps by their place, documents by
 * their digest. conformance.ts holds SQLite and Postgres to it.
 */
import { Attempts } from "./attempts.ts";
import { Caches } from "./caches.ts";
import { type DatabaseSettings, openDatabase } from "./database.ts";
import { Deliveries } from "./deliveries.ts";
import { Documents } from "./documents.ts";
import { Locks } from "./locks.ts";
import { Projection } from "./projection.ts";
import { Queries } from "./queries.ts";
import { Retention } from "./retention.ts";
import { historyMigrations, type HistoryTables } from "./schema.ts";
import { State } from "./state.ts";
import { Uploads } from "./uploads.ts";

export interface History {
  readonly documents: Documents;
  readonly locks: Locks;
  readonly projection: Projection;
  readonly attempts: Attempts;
  readonly queries: Queries;
  readonly deliveries: Deliveries;
  readonly state: State;
  readonly uploads: Uploads;
  readonly caches: Caches;
  readonly retention: Retention;
  /** Finishes the writes that were asked for, and closes. */
  close(): Promise<void>;
}

/**
 * Opens the history: `history.db` in the folder, or the Postgres database; made when there is none.
 * @throws SeatrialError as {@link openDatabase} does.
 */
export async function openHistory(settings: DatabaseSettings): Promise<History> {
  const database = await openDatabase<HistoryTables>({ settings, part: "history", migrations: historyMigrations });
  return {
    documents: new Documents(database),
    locks: new Locks(database),
    projection: new Projection(database),
    attempts: new Attempts(database),
    queries: new Queries(database),
    deliveries: new Deliveries(database),
    state: new State(database),
    uploads: new Uploads(database),
    caches: new Caches(database),
    retention: new Retention(database),
    close: async () => await database.close(),
  };
}

/** Postgres for kysely: a pool of connections by `pg`, with the errors that a person can act on told as ours. */
import type { Dialect, PostgresPool, PostgresPoolClient } from "kysely";
import { messageOf, SeatrialError, systemCodeOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { withoutNul } from "./sqlite.ts";

/** int8: counts, sizes and times of ours are far below 2^53, where a number is exact. */
const int8 = 20;

/**
 * The dialect of one database.
 * @param url as in `postgres://user@host/database`; it may hold a password, so no message shows it.
 */
export async function postgresDialect(url: string): Promise<Dialect> {
  const [{ PostgresDialect }, { default: pg }] = await Promise.all([import("kysely"), import("pg")]);
  const pool = new pg.Pool({
    connectionString: url,
    max: limits.databaseConnections,
    connectionTimeoutMillis: limits.databaseBusyMs,
    query_timeout: limits.databaseQueryMs,
    allowExitOnIdle: true,
    types: {
      getTypeParser: (oid, format) => (oid === int8 ? Number : pg.types.getTypeParser(oid, format as "text")),
    },
  });
  // An idle connection that breaks is replaced by the pool; unheard, the event would end the process.
  pool.on("error", () => {});
  const told: PostgresPool = {
    options: pool.options,
    connect: async () => telling((await pool.connect().catch(fail)) as unknown as PostgresPoolClient),
    end: async () => await pool.end(),
  };
  return new PostgresDialect({ pool: told });
}

const tellingClients = new WeakMap<object, PostgresPoolClient>();

/** The same client for the same connection, as kysely expects it. */
function telling(client: PostgresPoolClient): PostgresPoolClient {
  let found = tellingClients.get(client);
  if (!found) {
    const query = async (sql: string, parameters: readonly unknown[]) =>
      await client
        .query(
          sql,
          parameters.map((value) => (typeof value === "string" ? withoutNul(value) : value)),
        )
        .catch(fail);
    found = { query: query as PostgresPoolClient["query"], release: (destroy) => client.release(destroy) };
    tellingClients.set(client, found);
  }
  return found;
}

/** Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html */
function fail(error: unknown): never {
  const code = (error as { code?: string }).code ?? "";
  if (systemCodeOf(error) || code.startsWith("08") || code.startsWith("57P") || /timeout|terminated/i.test(messageOf(error))) {
    throw new SeatrialError("unreachable", `Postgres does not answer: ${messageOf(error)}`, { retryable: true, cause: error });
  }
  if (code === "40001" || code === "40P01") {
    throw new SeatrialError("conflict", `Postgres: ${messageOf(error)}`, { retryable: true, cause: error });
  }
  throw new SeatrialError("internal", `Postgres: ${messageOf(error)}`, { cause: error });
}

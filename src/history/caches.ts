/**
 * Caches of jobs (`actions/cache`): which keys there are of a repository, and on which branches. Their bytes are objects.
 *
 * A cache belongs to the ref of the run that saved it. A run sees those of its own ref, then of the branch that it goes to, then of the
 * default branch. What the untrusted lane saved is seen by that lane alone: nothing that trusted jobs read was written by others.
 */
import type { Lane } from "../resources/run.ts";
import { limits } from "../base/limits.ts";
import type { Database } from "./database.ts";
import type { CacheRow, HistoryTables } from "./schema.ts";

/** From where caches are seen, and where they are saved. */
export interface CachePlace {
  /** The forge and its id of the repository. */
  repository: string;
  lane: Lane;
  /** The first is the run's own, where it saves; of the others the first that has one counts. */
  refs: readonly string[];
}

export interface CacheQuery {
  /** Of what is in it, and how: others cannot be unpacked in its place. */
  version: string;
  key: string;
  /** Beginnings of keys, the most wanted first. */
  restoreKeys: readonly string[];
}

export interface Cache {
  id: string;
  key: string;
  size: number;
  digest: string;
  /** In the object store. */
  object: string;
}

export class Caches {
  readonly #database: Database<HistoryTables>;

  constructor(database: Database<HistoryTables>) {
    this.#database = database;
  }

  /** By GitHub's rule: in each ref the key itself, what begins with it, then what begins with a restore key; of several the newest. */
  async find(place: CachePlace, { version, key, restoreKeys }: CacheQuery, now: Date): Promise<Cache | undefined> {
    const rows = await this.#visible(place, version);
    for (const ref of place.refs) {
      const here = rows.filter((row) => row.ref === ref);
      const found =
        here.find((row) => row.key === key) ??
        [key, ...restoreKeys].map((prefix) => here.find((row) => row.key.startsWith(prefix))).find((row) => row !== undefined);
      if (!found) continue;
      await this.#database.commit(
        async (transaction) => await transaction.updateTable("caches").set({ used_ms: now.getTime() }).where("id", "=", found.id).execute(),
      );
      return cacheOf(found);
    }
    return undefined;
  }

  /** One that the place sees. */
  async get(place: CachePlace, id: string): Promise<Cache | undefined> {
    const row = await this.#database.read.selectFrom("caches").selectAll().where("id", "=", id).executeTakeFirst();
    const isSeen = row && row.repository === place.repository && place.refs.includes(row.ref) && lanesSeen(place.lane).includes(row.lane);
    return isSeen ? cacheOf(row) : undefined;
  }

  /** Those of a repository with one of these digests, the oldest first. */
  async withDigests(repository: string, digests: readonly string[]): Promise<(Cache & { version: string })[]> {
    if (digests.length === 0) return [];
    const rows = await this.#database.read
      .selectFrom("caches")
      .selectAll()
      .where("repository", "=", repository)
      .where("digest", "in", [...digests])
      .orderBy("created_ms")
      .orderBy("id")
      .execute();
    return rows.map((row) => ({ ...cacheOf(row), version: row.version }));
  }

  /** Whether the place's own ref has that key: then it is not saved again. */
  async has(place: CachePlace, version: string, key: string): Promise<boolean> {
    const rows = await this.#visible({ ...place, refs: place.refs.slice(0, 1) }, version);
    return rows.some((row) => row.key === key && row.lane === place.lane);
  }

  /** Notes one whose object is stored. @returns false when the ref has one of that key: it stays. */
  async add(place: CachePlace, version: string, cache: Cache, now: Date): Promise<boolean> {
    const { repository, lane, refs } = place;
    return await this.#database.commit(async (transaction) => {
      const { numInsertedOrUpdatedRows: added } = await transaction
        .insertInto("caches")
        .values({ ...cache, repository, lane, ref: refs[0]!, version, created_ms: now.getTime(), used_ms: now.getTime() })
        .onConflict((conflict) => conflict.columns(["repository", "lane", "ref", "version", "key"]).doNothing())
        .executeTakeFirstOrThrow();
      return (added ?? 0n) > 0n;
    });
  }

  /**
   * Forgets what nobody has used for long, and of each repository and lane the least used beyond its bound.
   * @returns the keys of their objects.
   */
  async evict(now: Date): Promise<string[]> {
    const rows = await this.#database.read
      .selectFrom("caches")
      .select(["id", "repository", "lane", "size", "used_ms", "object"])
      .orderBy("used_ms", "desc")
      .execute();
    const kept = new Map<string, { bytes: number; count: number }>();
    const gone = rows.filter(({ repository, lane, size, used_ms }) => {
      const sum = kept.get(`${lane} ${repository}`) ?? { bytes: 0, count: 0 };
      const most = lane === "trusted" ? limits.cacheRepositoryBytes : limits.cacheUntrustedBytes;
      const isOver = sum.bytes + Number(size) > most || sum.count >= limits.cachesPerRepository;
      if (isOver || Number(used_ms) < now.getTime() - limits.cacheUnusedMs) return true;
      kept.set(`${lane} ${repository}`, { bytes: sum.bytes + Number(size), count: sum.count + 1 });
      return false;
    });
    for (const { id } of gone)
      await this.#database.commit(async (transaction) => await transaction.deleteFrom("caches").where("id", "=", id).execute());
    return gone.map(({ object }) => object);
  }

  /** The newest first. */
  async #visible({ repository, lane, refs }: CachePlace, version: string): Promise<CacheRow[]> {
    return await this.#database.read
      .selectFrom("caches")
      .selectAll()
      .where("repository", "=", repository)
      .where("version", "=", version)
      .where("ref", "in", [...refs])
      .where("lane", "in", lanesSeen(lane))
      .orderBy("created_ms", "desc")
      .orderBy("id", "desc")
      .limit(2 * limits.cachesPerRepository)
      .execute();
  }
}

function lanesSeen(lane: Lane): Lane[] {
  return lane === "trusted" ? ["trusted"] : ["untrusted", "trusted"];
}

function cacheOf({ id, key, size, digest, object }: CacheRow): Cache {
  return { id, key, size: Number(size), digest, object };
}

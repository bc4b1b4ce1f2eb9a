/**
 * Repositories: each that the server was told of has its resource, so that what is allowed for it can be edited, and its status says what
 * is known of it. All of its status is written here. What is known is for people: that it could not be written down keeps nobody from
 * the runs.
 */
import { isDeepStrictEqual } from "node:util";
import { limits } from "../../base/limits.ts";
import type { Forge, RepositoryName } from "../../forges/forge.ts";
import { reasonOf } from "../../kube/api-error.ts";
import type { Store } from "../../kube/store.ts";
import type { Stored } from "../../resources/object.ts";
import type { Source } from "../../resources/run.ts";
import { hasItsName, type Repository, repositoryKind, repositoryName, type RepositoryStatus } from "../../resources/repository.ts";

/** What was seen of one. */
export interface Seen {
  /** A delivery was about it. */
  isDelivery?: boolean;
  /** Open heads, when they were counted. */
  heads?: number;
}

export interface RepositoriesOptions {
  store: Store;
  now(): Date;
}

export class Repositories {
  readonly #options: RepositoriesOptions;

  constructor(options: RepositoriesOptions) {
    this.#options = options;
  }

  /**
   * The Repository, made when it is not there. What was seen of it is written down. One that has its name by mistake is taken for
   * one without a policy. @throws what the store throws while it reads.
   */
  async seen(forge: Forge, repository: RepositoryName, seen: Seen, signal?: AbortSignal): Promise<Stored<Repository>> {
    const spec = { forge: forge.name, id: repository.id };
    const found = await this.#found(spec, signal);
    if (!hasItsName(found)) return { ...found, spec };
    try {
      await this.#note(found, forge, repository, seen, signal);
    } catch {
      signal?.throwIfAborted(); // The next change tells it again.
    }
    return found;
  }

  async #found(spec: Repository["spec"], signal: AbortSignal | undefined): Promise<Stored<Repository>> {
    const { store } = this.#options;
    const name = repositoryName(spec);
    const found = await store.get(repositoryKind, name, signal);
    if (found) return found;
    try {
      return await store.create(repositoryKind, { metadata: { name }, spec }, signal);
    } catch (error) {
      const made = reasonOf(error) === "already-exists" ? await store.get(repositoryKind, name, signal) : undefined;
      if (!made) throw error;
      return made;
    }
  }

  async #note(found: Stored<Repository>, forge: Forge, { id, name }: RepositoryName, seen: Seen, signal?: AbortSignal): Promise<void> {
    const { status = {} } = found;
    const { isDelivery = false, heads } = seen;
    const now = this.#options.now();
    const isOld = (at: string | undefined) => now.getTime() - Date.parse(at ?? "1970-01-01") >= limits.repositoryStatusMs;
    const isDue =
      status.name !== name || status.cloneUrl === undefined || (isDelivery && isOld(status.lastDeliveryAt)) || heads !== undefined;
    if (!isDue) return;
    const [{ defaultBranch }, { url: cloneUrl }] = await Promise.all([forge.repository(id, signal), forge.source(id, signal)]);
    await this.#write(found, {
      name,
      defaultBranch,
      cloneUrl,
      ...(isDelivery ? { lastDeliveryAt: now.toISOString() } : {}),
      ...(heads === undefined ? {} : { heads, lastSyncedAt: now.toISOString() }),
    });
  }

  /** One whose name is not that of its forge and id is nobody's: it says so. */
  async check(found: Stored<Repository>): Promise<void> {
    const { forge, id } = found.spec;
    const name = repositoryName(found.spec);
    await this.#write(found, {
      message: hasItsName(found) ? undefined : `it has no effect: the Repository of forge ${forge} with id ${id} has the name ${name}`,
    });
  }

  async #write(found: Stored<Repository>, change: RepositoryStatus): Promise<void> {
    const { epoch: _epoch, ...before } = found.status ?? ({} as RepositoryStatus);
    const status = Object.fromEntries(Object.entries({ ...before, ...change }).filter(([, value]) => value !== undefined));
    if (!isDeepStrictEqual(status, before)) await this.#options.store.writeStatus(repositoryKind, found, status);
  }
}

/** What is allowed for a repository, where somebody said so. */
export async function repositoryFor(
  store: Store,
  { forge, repository: { id } }: Pick<Source, "forge" | "repository">,
): Promise<Stored<Repository> | undefined> {
  const found = await store.get(repositoryKind, repositoryName({ forge, id }));
  return found && hasItsName(found) ? found : undefined;
}

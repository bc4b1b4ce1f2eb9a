/**
 * The key store of secrets: what `seatrial secret set|list|rm` writes, and what a job of the trusted lane is handed. Values are
 * encrypted before the backend sees them, and no method but {@link SecretStore.forJob} gives one out again.
 */
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Lane } from "../resources/run.ts";
import type { KeySource, StoreKey } from "./key.ts";
import { canonicalName, nameProblem } from "./name.ts";
import { formatScope, isSameScope, type RepositoryScope, seal, type SecretRecord, type SecretScope, unseal } from "./record.ts";
import { SecretValues } from "./values.ts";

/** Where records are kept. It sees no value. Calls may come from several processes at once. */
export interface SecretBackend {
  read(): Promise<readonly SecretRecord[]>;
  /**
   * Replaces all records by what `change` makes of them, as one: nobody else reads or writes in between, and after a kill the
   * old ones are there or the new. `change` is pure; when it throws, or returns what it was given, nothing is written.
   */
  update(change: (records: readonly SecretRecord[]) => readonly SecretRecord[], signal?: AbortSignal): Promise<void>;
}

export interface SecretStoreOptions {
  backend: SecretBackend;
  /** The key that new records are encrypted with. */
  key: KeySource;
  /** Keys that older records may have, for reading and for {@link SecretStore.rotate}. Default: none. */
  oldKeys?: readonly KeySource[];
  now: () => Date;
}

/** What is shown of a secret. Times in ISO 8601. */
export interface SecretEntry {
  name: string;
  createdAt: string;
  updatedAt: string;
}

export class SecretStore {
  readonly #options: SecretStoreOptions;

  constructor(options: SecretStoreOptions) {
    this.#options = options;
  }

  /**
   * Sets a secret, whether it was there or not.
   * @throws SeatrialError `invalid` for a bad name or value, `refused` when the scope is full.
   */
  async set(scope: SecretScope, name: string, value: string, signal?: AbortSignal): Promise<void> {
    const bad = nameProblem(name);
    if (bad) throw new SeatrialError("invalid", `the name of secret ${JSON.stringify(name)} ${bad}`);
    const bytes = Buffer.byteLength(value);
    if (bytes === 0 || bytes > limits.secretValueBytes) {
      const how = bytes === 0 ? "is empty" : `has ${bytes} bytes; ${limits.secretValueBytes} are allowed`;
      throw new SeatrialError("invalid", `the value of secret ${name} ${how}`);
    }
    const identity = { scope, name: canonicalName(name) };
    const key = await this.#options.key(signal);
    const now = this.#options.now().toISOString();
    await this.#options.backend.update((records) => {
      const old = records.find((record) => isOf(record, scope, identity.name));
      const others = records.filter((record) => record !== old);
      if (!old && others.filter((record) => isSameScope(record.scope, scope)).length >= limits.secretsPerScope) {
        throw new SeatrialError("refused", `${formatScope(scope)} has ${limits.secretsPerScope} secrets already, and may have no more`, {
          hint: "seatrial secret rm removes one",
        });
      }
      return [...others, { ...identity, ...seal(identity, value, key), createdAt: old?.createdAt ?? now, updatedAt: now }];
    }, signal);
  }

  /** Names and times, by name; never values. Needs no key. */
  async list(scope: SecretScope): Promise<SecretEntry[]> {
    const records = (await this.#options.backend.read()).filter((record) => isSameScope(record.scope, scope));
    return records.map(({ name, createdAt, updatedAt }) => ({ name, createdAt, updatedAt })).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Removes a secret. @returns whether it was there. */
  async remove(scope: SecretScope, name: string, signal?: AbortSignal): Promise<boolean> {
    let wasThere = false;
    await this.#options.backend.update((records) => {
      const kept = records.filter((record) => !isOf(record, scope, canonicalName(name)));
      wasThere = kept.length < records.length;
      return wasThere ? kept : records;
    }, signal);
    return wasThere;
  }

  /**
   * The secrets of a job: the server's, and over them the repository's. The untrusted lane has none: for it nothing is even read.
   * @throws SeatrialError when one of them cannot be decrypted: a job must not run with half of its secrets.
   */
  async forJob(repository: RepositoryScope, lane: Lane, signal?: AbortSignal): Promise<SecretValues> {
    if (lane !== "trusted") return new SecretValues();
    const records = await this.#options.backend.read();
    const visible = (["server", repository] as const).flatMap((scope) => records.filter((record) => isSameScope(record.scope, scope)));
    if (visible.length === 0) return new SecretValues();
    const keys = await this.#keys(signal);
    return new SecretValues(visible.map((record) => [record.name, unseal(record, keys)]));
  }

  /**
   * Encrypts all that is under an old key with the current one, all or nothing; the old keys can then be thrown away.
   * @returns how many records that were.
   */
  async rotate(signal?: AbortSignal): Promise<number> {
    const keys = await this.#keys(signal);
    const current = keys[0]!;
    let count = 0;
    await this.#options.backend.update((records) => {
      const changed = records.map((record) =>
        record.keyId === current.id ? record : { ...record, ...seal(record, unseal(record, keys), current) },
      );
      count = records.filter(({ keyId }) => keyId !== current.id).length;
      return count > 0 ? changed : records;
    }, signal);
    return count;
  }

  /** The current key first. */
  async #keys(signal: AbortSignal | undefined): Promise<StoreKey[]> {
    return await Promise.all([this.#options.key, ...(this.#options.oldKeys ?? [])].map(async (load) => await load(signal)));
  }
}

function isOf(record: SecretRecord, scope: SecretScope, name: string): boolean {
  return record.name === name && isSameScope(record.scope, scope);
}

/**
 * Values that the steps of an attempt have asked to mask (`::add-mask::`). The runner masks with them what it sends; the server keeps
 * them for what it collects of the job by itself, evidence of clusters and reports of tests, and forgets them with the attempt's rest.
 * They are secrets: they lie encrypted in the object store, with a key that each attempt has for itself, and nowhere else.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { attemptPrefix, type ObjectStore } from "../../artifacts/object-store.ts";

const nonceBytes = 12;
const tagBytes = 16;

export class AttemptMasks {
  readonly #objects: ObjectStore;
  readonly #keyOf: (attempt: string) => Uint8Array;

  /** @param keyOf 32 bytes: always the same for the same attempt, and known to the server alone. */
  constructor(objects: ObjectStore, keyOf: (attempt: string) => Uint8Array) {
    this.#objects = objects;
    this.#keyOf = keyOf;
  }

  /**
   * Keeps more of an attempt's values; durable when it resolves. One call for an attempt at a time, as its runner reports. May be repeated.
   * @throws SeatrialError `invalid` when they are more than could ever be masked.
   */
  async add(attempt: string, values: readonly string[]): Promise<void> {
    const all = [...new Set([...(await this.of(attempt)), ...values])];
    const text = Buffer.from(JSON.stringify(all));
    if (all.reduce((sum, value) => sum + Buffer.byteLength(value), 0) > limits.maskFormsBytes)
      throw new SeatrialError("invalid", `an attempt may have ${limits.maskFormsBytes} bytes to mask`);
    // Random, not injected: the same nonce twice under one key would give the values away.
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv("aes-256-gcm", this.#keyOf(attempt), nonce);
    const sealed = Buffer.concat([cipher.update(text), cipher.final()]);
    await this.#objects.put(masksObject(attempt), Buffer.concat([nonce, cipher.getAuthTag(), sealed]));
  }

  /** @throws SeatrialError `invalid` when what is there cannot be read: nothing of the attempt may be shown then. */
  async of(attempt: string): Promise<string[]> {
    const key = masksObject(attempt);
    if (!(await this.#objects.head(key))) return [];
    const chunks: Buffer[] = [];
    for await (const chunk of await this.#objects.get(key)) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    try {
      const nonce = bytes.subarray(0, nonceBytes);
      const decipher = createDecipheriv("aes-256-gcm", this.#keyOf(attempt), nonce, { authTagLength: tagBytes });
      decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
      const text = Buffer.concat([decipher.update(bytes.subarray(nonceBytes + tagBytes)), decipher.final()]);
      return JSON.parse(text.toString()) as string[];
    } catch (cause) {
      throw new SeatrialError(
        "invalid",
        `what must be masked of attempt ${attempt} cannot be read: it was altered, or the server's key was`,
        {
          cause,
        },
      );
    }
  }

  /** When nothing of the attempt is collected any more. No error when there are none. */
  async forget(attempt: string): Promise<void> {
    await this.#objects.delete(masksObject(attempt));
  }
}

/** Key of the object that has them. */
export function masksObject(attempt: string): string {
  return `${attemptPrefix(attempt)}/masks`;
}

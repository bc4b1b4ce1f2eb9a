/**
 * Writes to one place, one at a time, the newest last: two checks of one context at one commit, or two versions of one comment,
 * may be reported at once and in any order.
 */
import { Recent } from "./recent.ts";

export class InOrder {
  readonly #turns = new Map<string, Promise<void>>();
  /** The newest that was asked for, by place. */
  readonly #newest: Recent<number>;

  constructor(options: { size: number; ttlMs: number; now: () => Date }) {
    this.#newest = new Recent(options);
  }

  /** Writes when it is its turn, unless something newer has been asked for by then. @throws what `write` throws. */
  async write(place: string, sequence: number, write: () => Promise<void>): Promise<void> {
    if (sequence < (this.#newest.get(place) ?? -Infinity)) return;
    this.#newest.set(place, sequence);
    const turn = (this.#turns.get(place) ?? Promise.resolve()).then(async () => {
      if (sequence >= (this.#newest.get(place) ?? sequence)) await write();
    });
    const settled = turn
      .catch(() => {})
      .finally(() => {
        if (this.#turns.get(place) === settled) this.#turns.delete(place);
      });
    this.#turns.set(place, settled);
    await turn;
  }
}

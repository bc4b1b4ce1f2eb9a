/** A map that forgets: what is older than a time, and what was used longest ago when there is no more room. */
export class Recent<V> {
  readonly #entries = new Map<string, { value: V; until: number }>();
  readonly #options: { size: number; ttlMs: number; now: () => Date };

  constructor(options: { size: number; ttlMs: number; now: () => Date }) {
    this.#options = options;
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    if (entry.until <= this.#options.now().getTime()) return undefined;
    this.#entries.set(key, entry); // Used last.
    return entry.value;
  }

  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, { value, until: this.#options.now().getTime() + this.#options.ttlMs });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#options.size) break;
      this.#entries.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}

/**
 * Bytes that attempts are sending at this moment: what many calls at once store is bounded as if they came one after the other. Without
 * it each of them would have all of the room that is left, and a job could fill the disk before the first is counted.
 */
export class BytesInFlight {
  readonly #bytes = new Map<string, number>();

  /** Counts them until it is disposed. @returns also all that the attempt is sending, with these. */
  begin(attempt: string, bytes: number): Disposable & { all: number } {
    const change = (by: number) => {
      const all = (this.#bytes.get(attempt) ?? 0) + by;
      if (all > 0) this.#bytes.set(attempt, all);
      else this.#bytes.delete(attempt);
      return all;
    };
    return { all: change(bytes), [Symbol.dispose]: () => void change(-bytes) };
  }
}

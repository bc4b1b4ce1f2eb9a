/** Choices at random that can be made again. */

/** Numbers from 0 up to 1, the same for the same seed (mulberry32). */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `least` up to but not including `most`. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least));
  }

  pick<T>(of: readonly T[]): T {
    return of[this.between(0, of.length)]!;
  }
}

/**
 * The same choices in each run of the tests; others each time in the long forms; SEED=N repeats those of a failure, whose message
 * says the seed.
 */
export async function withSeed(isSoak: boolean, body: (random: Random) => Promise<void>): Promise<void> {
  const seed = Number(process.env["SEED"] ?? (isSoak ? Date.now() % 2 ** 31 : 20_261_121));
  try {
    await body(new Random(seed));
  } catch (error) {
    if (error instanceof Error) error.message = `SEED=${seed}: ${error.message}`;
    throw error;
  }
}

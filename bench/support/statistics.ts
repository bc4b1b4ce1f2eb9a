/** From measured pairs to a ratio that can be trusted: its median, and the interval in which it lies nine times out of ten. */

export interface Ratio {
  median: number;
  /** 90 % interval of the median, by bootstrap over the pairs. */
  low: number;
  high: number;
}

const resamples = 10_000;

/** Each pair was measured in turn, so what slows the machine down for a while slows both halves of it. */
export function ratioOf(pairs: readonly (readonly [ours: number, other: number])[]): Ratio {
  const ratios = pairs.map(([ours, other]) => ours / other);
  const random = seededRandom(ratios.length);
  const medians = Array.from({ length: resamples }, () => median(ratios.map(() => ratios[Math.floor(random() * ratios.length)]!)));
  return { median: median(ratios), low: quantile(medians, 0.05), high: quantile(medians, 0.95) };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** By the nearest rank: with few values the 99th percentile is the greatest of them. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)]!;
}

/** The same numbers give the same interval (mulberry32). */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/**
 * The index of a sealed chunk: how many line feeds come before each of its blocks, and when its bytes came. A line is found by
 * reading one block, however long the log is.
 */
import { limits } from "../base/limits.ts";

const lineFeed = 10;

export interface ChunkIndex {
  /** Line feeds of the chunk before block N, which begins at N × {@link limits.logBlockBytes}. */
  blocks: Uint32Array;
  /** Pairs of a place in the chunk and the time of the bytes from there on, in milliseconds since 1970. */
  times: Float64Array;
}

/** Makes the index while the chunk's bytes go by. */
export class ChunkIndexer {
  readonly #blocks: number[] = [0];
  readonly #times: number[] = [];
  #at = 0;
  feeds = 0;

  add(bytes: Uint8Array, timeMs: number): void {
    if (this.#times.at(-1) !== timeMs) this.#times.push(this.#at, timeMs);
    for (let from = 0; from < bytes.length;) {
      const left = limits.logBlockBytes - (this.#at % limits.logBlockBytes);
      const part = bytes.subarray(from, from + left);
      this.feeds += countFeeds(part);
      from += part.length;
      this.#at += part.length;
      if (this.#at % limits.logBlockBytes === 0) this.#blocks.push(this.feeds);
    }
  }

  finish(): ChunkIndex {
    return { blocks: Uint32Array.from(this.#blocks), times: Float64Array.from(this.#times) };
  }
}

export function encodeIndex({ blocks, times }: ChunkIndex): { blocks: Uint8Array; times: Uint8Array } {
  return { blocks: bytesOf(blocks), times: bytesOf(times) };
}

export function decodeBlocks(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(new Uint8Array(bytes).buffer);
}

export function decodeTimes(bytes: Uint8Array): Float64Array {
  return new Float64Array(new Uint8Array(bytes).buffer);
}

/** The block that holds the chunk's line feed of that number (from 1), and how many come before that block. */
export function blockOfFeed(blocks: Uint32Array, feed: number): { block: number; feedsBefore: number } {
  const block = lastWhere(blocks.length, (index) => blocks[index]! < feed);
  return { block, feedsBefore: blocks[block]! };
}

/** When the byte at that place of the chunk came. */
export function timeAt(times: Float64Array, place: number): number {
  return times[lastWhere(times.length / 2, (index) => times[index * 2]! <= place) * 2 + 1]!;
}

export function countFeeds(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(lineFeed); at !== -1; at = bytes.indexOf(lineFeed, at + 1)) count++;
  return count;
}

/** Where the line feed of that number (from 1) is; -1 when there are not so many. */
export function placeOfFeed(bytes: Uint8Array, feed: number): number {
  let at = -1;
  for (let seen = 0; seen < feed; seen++) {
    at = bytes.indexOf(lineFeed, at + 1);
    if (at === -1) return -1;
  }
  return at;
}

/** The last index for which it holds, where it holds for the first and, once it does not, for none that follows. */
function lastWhere(length: number, holds: (index: number) => boolean): number {
  let low = 0;
  for (let high = length; high - low > 1;) {
    const middle = (low + high) >> 1;
    if (holds(middle)) low = middle;
    else high = middle;
  }
  return low;
}

function bytesOf({ buffer, byteOffset, byteLength }: Uint32Array | Float64Array): Uint8Array {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

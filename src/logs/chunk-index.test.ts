import fc from "fast-check";
import { expect, test } from "vitest";
import { limits } from "../base/limits.ts";
import { blockOfFeed, ChunkIndexer, decodeBlocks, decodeTimes, encodeIndex, placeOfFeed, timeAt } from "./chunk-index.ts";

test("each line feed is found in its block, each byte's time by its place", () => {
  const lines = Array.from({ length: 20_000 }, (_, index) => `line ${index} ${"x".repeat(index % 40)}\n`);
  const bytes = Buffer.from(lines.join(""));
  const indexer = new ChunkIndexer();
  // Pieces that meet blocks at odd places; the time changes with every second one.
  const pieceBytes = 7_777;
  for (let at = 0, piece = 0; at < bytes.length; at += pieceBytes, piece++)
    indexer.add(bytes.subarray(at, at + pieceBytes), 1_000 + (piece >> 1));
  const encoded = encodeIndex(indexer.finish());
  const blocks = decodeBlocks(encoded.blocks);
  const times = decodeTimes(encoded.times);
  expect(indexer.feeds).toBe(lines.length);
  const found = lines.map((_, index) => {
    const { block, feedsBefore } = blockOfFeed(blocks, index + 1);
    const start = block * limits.logBlockBytes;
    return start + placeOfFeed(bytes.subarray(start, start + limits.logBlockBytes), index + 1 - feedsBefore);
  });
  let end = -1;
  expect(found).toEqual(lines.map((line) => (end += line.length)));
  for (const place of [0, pieceBytes, 2 * pieceBytes - 1, 2 * pieceBytes, bytes.length - 1]) {
    expect(timeAt(times, place), `byte ${place}`).toBe(1_000 + (Math.floor(place / pieceBytes) >> 1));
  }
});

test("a chunk without a line feed, and one that ends with a block", () => {
  const indexer = new ChunkIndexer();
  indexer.add(Buffer.alloc(limits.logBlockBytes * 2, "x"), 5);
  const { blocks, times } = indexer.finish();
  expect([...blocks]).toEqual([0, 0, 0]);
  expect(timeAt(times, limits.logBlockBytes)).toBe(5);
  expect(placeOfFeed(Buffer.from("a\nb"), 2)).toBe(-1);
});

test("is what counting gives, for pieces of any length with line feeds anywhere", () => {
  const piece = fc.record({
    // Blocks end in them, at their ends, and between them.
    length: fc.oneof(fc.nat(100), fc.integer({ min: limits.logBlockBytes - 2, max: limits.logBlockBytes + 2 }), fc.nat(200_000)),
    /** A line feed first and then every so many bytes; none. */
    every: fc.option(fc.integer({ min: 1, max: 20_000 })),
    later: fc.nat(1),
  });
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 6 }), (pieces) => {
      const indexer = new ChunkIndexer();
      const feeds: number[] = [];
      const times: [place: number, ms: number][] = [];
      let size = 0;
      let ms = 1_000;
      for (const { length, every, later } of pieces) {
        const bytes = Buffer.alloc(length, "x");
        for (let at = 0; every !== null && at < length; at += every) {
          bytes[at] = 10;
          feeds.push(size + at);
        }
        indexer.add(bytes, (ms += later));
        if (length > 0) times.push([size, ms], [size + length - 1, ms]);
        size += length;
      }
      const index = indexer.finish();
      expect(indexer.feeds).toBe(feeds.length);
      const looked = Math.max(1, Math.floor(feeds.length / 50));
      for (const [before, place] of feeds.entries()) {
        if (before % looked !== 0) continue; // Each costs a look at all.
        const { block, feedsBefore } = blockOfFeed(index.blocks, before + 1);
        const start = block * limits.logBlockBytes;
        if (place < start || place >= start + limits.logBlockBytes) expect.fail(`line feed ${place} is said to be in block ${block}`);
        if (feedsBefore !== feeds.filter((each) => each < start).length)
          expect.fail(`block ${block} has ${feedsBefore} line feeds before it`);
      }
      for (const [place, at] of times) expect(timeAt(index.times, place)).toBe(at);
    }),
    { numRuns: 100 },
  );
});

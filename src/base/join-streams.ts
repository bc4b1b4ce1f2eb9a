/** Two connections joined to one: what doors, tunnels and forwarded ports are made of. */
import type { Duplex } from "node:stream";

/**
 * Bytes and ends pass both ways; a side that breaks takes the other with it, one that ended in order does not. The caller listens for
 * the errors of both.
 */
export function joinStreams(a: Duplex, b: Duplex): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.pipe(to);
    from.once("close", () => {
      // After an orderly end, `to` may still be flushing what it was given.
      if (!from.readableEnded || from.errored) to.destroy();
    });
  }
}

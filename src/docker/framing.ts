/** The stream in which Docker sends what a command without a terminal prints: stdout and stderr in turns, framed. */
import type { Duplex } from "node:stream";

/** Docker's framing of stdout (1) and stderr (2): one byte of stream, three zeros, four of length. */
export function demultiplex(raw: Buffer): { stdout: Buffer; stderr: Buffer; all: Buffer } {
  const parts: { stream: number; payload: Buffer }[] = [];
  for (let at = 0; at + 8 <= raw.length;) {
    const length = raw.readUInt32BE(at + 4);
    parts.push({ stream: raw[at]!, payload: raw.subarray(at + 8, at + 8 + length) });
    at += 8 + length;
  }
  const of = (stream: number) => Buffer.concat(parts.filter((part) => part.stream === stream).map((part) => part.payload));
  return { stdout: of(1), stderr: of(2), all: Buffer.concat(parts.map((part) => part.payload)) };
}

/** The stdout of a framed stream as it comes. */
export async function* demultiplexing(socket: Duplex): AsyncIterable<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of socket) {
    rest = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
    while (rest.length >= 8 && rest.length >= 8 + rest.readUInt32BE(4)) {
      const end = 8 + rest.readUInt32BE(4);
      if (rest[0] === 1) yield rest.subarray(8, end);
      rest = rest.subarray(end);
    }
  }
}

/** Cutting bytes into lines to be shown: ended by a line feed, decoded as UTF-8, the long ones cut, all of it bounded. */
import { limits } from "../base/limits.ts";

export interface LogLine {
  /** From 1. */
  number: number;
  /** Without its line feed; bytes that are no UTF-8 are shown as U+FFFD. A carriage return is in it, as it was printed. */
  text: string;
  /** Of the whole line, without its line feed. */
  bytes: number;
  /** The text is only the beginning: the raw log has the rest. */
  isCut: boolean;
  /** When its first byte was received, to the second. */
  time: Date;
}

/** Is given a log's bytes from the start of a line on, and makes lines of them until it has enough. */
export class LineCollector {
  readonly #last: number;
  readonly #lines: LogLine[] = [];
  #shown = 0;
  /** The line that is not yet ended. */
  #parts: Uint8Array[] = [];
  #kept = 0;
  #start: number | undefined;
  #timeMs = 0;
  #at = 0;
  number: number;

  constructor(first: number, last: number) {
    this.number = first;
    this.#last = last;
  }

  get isFull(): boolean {
    return this.number > this.#last || this.#shown >= limits.logShownBytes;
  }

  /** The line that is not yet ended has all that is shown of it: its end can be looked up instead of read. */
  get isLineCut(): boolean {
    return this.#start !== undefined && this.#at - this.#start > limits.logLineShownBytes;
  }

  add(offset: number, bytes: Buffer, timeAt: (offset: number) => number): void {
    for (let from = 0; from < bytes.length && !this.isFull;) {
      const feed = bytes.indexOf(10, from);
      const end = feed === -1 ? bytes.length : feed;
      if (this.#start === undefined) {
        this.#start = offset + from;
        this.#timeMs = timeAt(this.#start);
      }
      const part = bytes.subarray(from, Math.min(end, from + limits.logLineShownBytes - this.#kept));
      if (part.length > 0) this.#parts.push(part);
      this.#kept += part.length;
      this.#at = offset + end;
      if (feed !== -1) this.#end(offset + feed);
      from = end + 1;
    }
  }

  /** The line that is not yet ended ends before `next`, where the next one begins. */
  skipTo(next: number): void {
    this.#end(next - 1);
  }

  /** The lines; one that no line feed has ended, ends where the log does. */
  finish(size: number): LogLine[] {
    if (this.#start !== undefined && !this.isFull) this.#end(size);
    return this.#lines;
  }

  #end(end: number): void {
    const bytes = end - this.#start!;
    const isCut = bytes > this.#kept;
    const text = Buffer.concat(this.#parts).toString();
    // A character that the cut went through is left out.
    this.#lines.push({ number: this.number, text: isCut ? text.replace(/\uFFFD$/, "") : text, bytes, isCut, time: new Date(this.#timeMs) });
    this.#shown += this.#kept;
    this.number++;
    this.#parts = [];
    this.#kept = 0;
    this.#start = undefined;
  }
}

/**
 * Finds lines that begin with `::`, as workflow commands do, in output that comes in pieces. Such a line is kept back until
 * it is whole: `::add-mask::` must be obeyed before its own line is stored. All else passes at once.
 */
import { limits } from "../../base/limits.ts";

const [newline, tab, space, colon] = [10, 9, 32, 58];
const isBlank = (byte: number | undefined) => byte === space || byte === tab || byte === 13;

export class CommandLines {
  readonly #onText: (bytes: Buffer) => void;
  readonly #onCommand: (line: Buffer) => void;
  /** Whether nothing but blanks came since the last line break. */
  #isAtStart = true;
  /** The beginning of a line from its colon on. */
  #held: Buffer = Buffer.alloc(0);

  /** @param onCommand given the line from its `::` on, with its line break. Bytes are good for the call alone. */
  constructor(onText: (bytes: Buffer) => void, onCommand: (line: Buffer) => void) {
    this.#onText = onText;
    this.#onCommand = onCommand;
  }

  push(chunk: Buffer): void {
    const data = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = Buffer.alloc(0);
    let from = 0;
    for (let at = data.indexOf("::"); at !== -1; at = data.indexOf("::", at)) {
      const end = this.#isLineStart(data, from, at) ? data.indexOf(newline, at) : undefined;
      if (end === undefined || (end === -1 && data.length - at > limits.commandLineBytes)) {
        at += 2;
        continue;
      }
      this.#text(data.subarray(from, at));
      if (end === -1) {
        this.#held = Buffer.from(data.subarray(at));
        return;
      }
      this.#onCommand(data.subarray(at, end + 1));
      at = from = end + 1;
      this.#isAtStart = true;
    }
    const last = data.length - 1;
    const mayBegin = last >= from && data[last] === colon && this.#isLineStart(data, from, last);
    this.#text(data.subarray(from, mayBegin ? last : data.length));
    if (mayBegin) this.#held = Buffer.from(data.subarray(last));
  }

  /** The output has ended, or paused for good: the last line may lack its break. */
  flush(): void {
    const held = this.#held;
    this.#held = Buffer.alloc(0);
    if (held.length > 1) this.#onCommand(held);
    else this.#text(held);
    this.#isAtStart = true;
  }

  #text(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#isAtStart = this.#isLineStart(bytes, 0, bytes.length);
    this.#onText(bytes);
  }

  /** Whether only blanks stand between the beginning of a line and `at`, in bytes of which those before `from` are dealt with. */
  #isLineStart(bytes: Buffer, from: number, at: number): boolean {
    let before = at - 1;
    while (before >= from && isBlank(bytes[before])) before--;
    return before < from ? this.#isAtStart : bytes[before] === newline;
  }
}

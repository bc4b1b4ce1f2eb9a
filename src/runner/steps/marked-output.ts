/**
 * What comes through the one pipe of all steps, taken apart: output, and the lines by which the loop says that all output of
 * a step has been read. The mark begins with a byte that output hardly ever has and goes on with what nobody can guess.
 */

/** First byte of every mark: the separator of records. */
export const markStart = "\x1e";
/** No name of a step is longer; what follows a mark without a line's end for longer is output. */
const nameBytes = 64;
const newline = 10;

export class MarkedOutput {
  readonly #mark: Buffer;
  readonly #onOutput: (bytes: Buffer) => void;
  readonly #onMark: (name: string) => void;
  #held: Buffer = Buffer.alloc(0);

  /**
   * @param mark begins with {@link markStart} and has it nowhere else.
   * @param onOutput called at once with all that cannot be part of a mark; the bytes are the reader's and good for the call alone.
   * @param onMark called between what was printed before and after.
   */
  constructor(mark: string, onOutput: (bytes: Buffer) => void, onMark: (name: string) => void) {
    this.#mark = Buffer.from(mark, "latin1");
    this.#onOutput = onOutput;
    this.#onMark = onMark;
  }

  push(chunk: Buffer): void {
    const data = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = Buffer.alloc(0);
    let from = 0;
    for (let at = data.indexOf(this.#mark); at !== -1; at = data.indexOf(this.#mark, at)) {
      const nameFrom = at + this.#mark.length + 1;
      const end = data.subarray(nameFrom, nameFrom + nameBytes).indexOf(newline);
      if (end === -1 && data.length < nameFrom + nameBytes) {
        this.#pass(data.subarray(from, at));
        this.#held = Buffer.from(data.subarray(at));
        return;
      }
      if (end === -1) {
        at++;
        continue;
      }
      this.#pass(data.subarray(from, at));
      this.#onMark(data.toString("latin1", nameFrom, nameFrom + end));
      at = from = nameFrom + end + 1;
    }
    const begun = this.#begun(data, from);
    this.#pass(data.subarray(from, begun));
    this.#held = Buffer.from(data.subarray(begun));
  }

  /** Gives out what was held back: nothing more will come. */
  flush(): void {
    this.#pass(this.#held);
    this.#held = Buffer.alloc(0);
  }

  #pass(bytes: Buffer): void {
    if (bytes.length > 0) this.#onOutput(bytes);
  }

  /** Where the last bytes may be the beginning of a mark. */
  #begun(data: Buffer, from: number): number {
    const at = data.lastIndexOf(markStart);
    const isBegun =
      at >= from && data.length - at < this.#mark.length && this.#mark.subarray(0, data.length - at).equals(data.subarray(at));
    return isBegun ? at : data.length;
  }
}

/**
 * The log of an attempt: what its steps print, and our own lines between, in one order. Every byte goes through the mask before
 * it reaches the disk. Lines are counted as they are stored, from 1.
 */
import { limits } from "../base/limits.ts";
import type { Mask, MaskStream } from "../logs/masking.ts";
import { CommandLines } from "./steps/command-lines.ts";

/** Where the bytes go: the spool. */
export interface LogStore {
  readonly end: number;
  append(bytes: Uint8Array): void;
}

export interface JobLogOptions {
  mask: Mask;
  store: LogStore;
  /** A line of a step that begins with `::`, before it is stored; `logLine` is the number that it will have. */
  onCommand(line: string, logLine: number): void;
  /** Output of steps that is none of these lines, before it is stored; `undefined` when it is whole. Bytes are good for the call alone. */
  onText?(bytes: Buffer | undefined, logLine: number): void;
  /** The disk refuses; told once. Nothing is kept from then on. */
  onBroken(error: unknown): void;
}

/** Stands before our own lines. */
const prefix = "» ";
const newline = 10;

export class JobLog {
  readonly #options: JobLogOptions;
  readonly #mask: MaskStream;
  readonly #lines: CommandLines;
  #lineBreaks = 0;
  #isInLine = false;
  #isKept = true;
  #isBroken = false;

  constructor(options: JobLogOptions) {
    this.#options = options;
    this.#mask = options.mask.stream();
    const pass = (bytes: Buffer) => this.#store(this.#mask.push(bytes));
    const passText = (bytes: Buffer) => {
      options.onText?.(bytes, this.nextLine);
      pass(bytes);
    };
    this.#lines = new CommandLines(passText, (line) => {
      options.onCommand(line.toString("utf8").trimEnd(), this.nextLine);
      pass(line);
    });
  }

  /** Number of the line that is written next, or being written. */
  get nextLine(): number {
    return this.#lineBreaks + 1;
  }

  /** Output of a step; the bytes are good for the call alone. */
  write(bytes: Buffer): void {
    if (this.#isKept) this.#lines.push(bytes);
  }

  /** Our own words, on lines of their own. */
  say(text: string): void {
    this.endOutput();
    for (const line of text.split("\n")) this.#mark(`${prefix}${line}\n`);
  }

  /** A step within a step: its name, and what it runs in a group below it, in the form that GitHub's pages fold. */
  group(title: string, lines: readonly string[]): void {
    this.endOutput();
    for (const line of [`::group::${title.replaceAll("\n", " ")}`, ...lines, "::endgroup::"]) this.#mark(`${line}\n`);
  }

  /** The step's output is whole: what was held back is written, and its last line ended. */
  endOutput(): void {
    this.#lines.flush();
    this.#options.onText?.(undefined, this.nextLine);
    this.#flush();
    if (this.#isInLine) this.#mark("\n");
  }

  /** Steps may go on printing, and nothing of it is kept. */
  discard(): void {
    this.#isKept = false;
  }

  /** One of our own lines: kept also when the log is at its bound. */
  #mark(text: string): void {
    this.#append(this.#mask.push(Buffer.from(text)));
    this.#flush();
  }

  #flush(): void {
    this.#append(this.#mask.flush());
  }

  #store(bytes: Uint8Array): void {
    if (!this.#isKept) return;
    this.#append(bytes);
    if (!this.#isKept || this.#options.store.end < limits.runnerLogBytes) return;
    this.#isKept = false;
    this.#mark(`\n${prefix}the log has reached ${limits.runnerLogBytes / 1024 ** 3} GiB: what steps print from here on is not kept\n`);
  }

  #append(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.#isBroken) return;
    try {
      this.#options.store.append(bytes);
    } catch (error) {
      this.#isBroken = true;
      this.#isKept = false;
      this.#options.onBroken(error);
      return;
    }
    for (let i = 0; i < bytes.length; i++) if (bytes[i] === newline) this.#lineBreaks++;
    this.#isInLine = bytes.at(-1) !== newline;
  }
}

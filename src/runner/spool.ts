/**
 * The log on the runner's disk, from the byte that the server has not acknowledged on. It holds
 * {@link limits.runnerSpoolBytes} at most: when it is full, nothing is to be added until all of it is acknowledged.
 *
 * Offsets count the bytes of the whole log. What is in it is masked.
 */
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

/** The file is emptied when all of it is acknowledged and it is worth a call. */
const emptiedFrom = 1024 * 1024;

export class Spool {
  readonly #file: number;
  readonly #most: number;
  /** Offset of the file's first byte. */
  #base = 0;
  #acknowledged = 0;
  #end = 0;
  #isFull = false;
  #onAdded: () => void = () => {};
  #onDrained: () => void = () => {};

  constructor(path: string, most: number = limits.runnerSpoolBytes) {
    this.#file = openSync(path, "w+", 0o600);
    this.#most = most;
  }

  /** Length of the log. */
  get end(): number {
    return this.#end;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Whether whoever writes is to wait for {@link onDrained}. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** @param listener called when bytes were added. */
  onAdded(listener: () => void): void {
    this.#onAdded = listener;
  }

  /** @param listener called when a spool that was full has room again. */
  onDrained(listener: () => void): void {
    this.#onDrained = listener;
  }

  /** Adds bytes, also when it is full: it then holds somewhat more. @throws what the disk says. */
  append(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const written = writeSync(this.#file, bytes, done, bytes.length - done, this.#end - this.#base);
      done += written;
      this.#end += written;
    }
    if (this.#end - this.#base >= this.#most) this.#isFull = true;
    this.#onAdded();
  }

  /** Up to `most` bytes from an offset that is not acknowledged yet. */
  read(offset: number, most: number): Buffer {
    const bytes = Buffer.allocUnsafe(Math.min(most, this.#end - offset));
    return bytes.subarray(0, readSync(this.#file, bytes, 0, bytes.length, offset - this.#base));
  }

  /**
   * The server has all before `offset`. It may say less than before: then it lost what was not stored, and gets it again.
   * @throws SeatrialError `conflict` when that is no longer here, or was never here.
   */
  acknowledge(offset: number): void {
    if (offset < this.#base || offset > this.#end) {
      throw new SeatrialError(
        "conflict",
        `the server asks for the log from byte ${offset} on, and the runner has the bytes from ${this.#base} to ${this.#end}`,
      );
    }
    this.#acknowledged = offset;
    if (offset < this.#end || (this.#end - this.#base < emptiedFrom && !this.#isFull)) return;
    ftruncateSync(this.#file, 0);
    this.#base = this.#end;
    if (!this.#isFull) return;
    this.#isFull = false;
    this.#onDrained();
  }

  close(): void {
    closeSync(this.#file);
  }
}

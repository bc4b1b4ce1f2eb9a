/** Where the program speaks: results go to `out`, progress and trouble to `err`. Tests give their own. */
export interface Output {
  /** A line of the result, which scripts read. */
  out(text: string): void;
  /** A part of the result, verbatim: no line break is added. */
  write(part: string | Uint8Array): void;
  /** A line for the person who watches. */
  err(text: string): void;
}

/** Seconds with one decimal, as in "9.4 s": the form of every duration that we print. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

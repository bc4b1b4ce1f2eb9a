/**
 * Tells the server what happened: at once when something did, every few seconds otherwise, and hears whether the attempt shall
 * end. One call at a time; what happens meanwhile is in the next.
 */
import { setTimeout as delay } from "node:timers/promises";
import { limits } from "../base/limits.ts";
import type { Annotation, ReportAnswer, ReportMessage, StepReport } from "./protocol.ts";

export interface ReportServer {
  /** Repeats itself until it is answered. @throws what cannot be mended. */
  report(message: ReportMessage): Promise<ReportAnswer>;
}

export interface ReporterOptions {
  server: ReportServer;
  /** The server wants the attempt to end; called with each answer that says so. */
  onAbort(reason: string): void;
  /** No more can be told; called once. */
  onBroken(error: unknown): void;
}

export class Reporter {
  readonly #options: ReporterOptions;
  readonly #ended: Promise<void>;
  #steps = new Map<number, StepReport>();
  readonly #annotations: Annotation[] = [];
  readonly #masks: string[] = [];
  #annotationCount = 0;
  #result: ReportMessage["result"];
  #hasNews = false;
  #isClosed = false;
  #wake = new AbortController();

  /** Begins at once; that the assignment was fetched is its first sign of life. */
  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#ended = this.#run();
    this.#ended.catch(options.onBroken);
  }

  step(report: StepReport): void {
    this.#steps.set(report.index, report);
    this.#tell();
  }

  /** @returns false when there are {@link limits.attemptAnnotations} already: it is left out. */
  annotate(annotation: Annotation): boolean {
    if (++this.#annotationCount > limits.attemptAnnotations) return false;
    this.#annotations.push(annotation);
    this.#tell();
    return true;
  }

  /** A value that a step asked to mask. */
  mask(value: string): void {
    this.#masks.push(value);
    this.#tell();
  }

  /** The last report. @throws what kept it from the server. */
  async finish(result: NonNullable<ReportMessage["result"]>): Promise<void> {
    this.#result = result;
    this.#tell();
    await this.#ended;
  }

  /** Says nothing more. */
  close(): void {
    this.#isClosed = true;
    this.#wake.abort();
  }

  #tell(): void {
    this.#hasNews = true;
    this.#wake.abort();
  }

  async #run(): Promise<void> {
    for (;;) {
      this.#wake = new AbortController();
      if (!this.#hasNews) await delay(limits.runnerHeartbeatMs, undefined, { signal: this.#wake.signal }).catch(() => {});
      if (this.#isClosed) return;
      this.#hasNews = false;
      const masks = this.#next(this.#masks, limits.reportMasksLength, (value) => value.length);
      const annotations = this.#next(this.#annotations, limits.reportAnnotationsLength, (each) => JSON.stringify(each).length);
      const steps = [...this.#steps.values()];
      // What must be masked is known before the attempt has ended: then the server collects what it masks.
      const result = this.#hasNews ? undefined : this.#result;
      this.#steps = new Map();
      // A call that fails for good ends the reporter: nothing is kept to be told again.
      const answer = await this.#options.server.report({
        steps,
        annotations,
        ...(masks.length > 0 ? { masks } : {}),
        ...(result ? { result } : {}),
      });
      if (result) return;
      if (answer.abort !== undefined) this.#options.onAbort(answer.abort);
    }
  }

  /** As many as one report takes, and one at least; the others are in the next. */
  #next<T>(all: T[], most: number, lengthOf: (item: T) => number): T[] {
    let length = 0;
    const over = all.findIndex((item, index) => (length += lengthOf(item)) > most && index > 0);
    const next = all.splice(0, over === -1 ? all.length : over);
    if (all.length > 0) this.#hasNews = true;
    return next;
  }
}

/**
 * Who has a place on which host: the scheduler's state, and when it decides. It is held in memory by the one leader, and made
 * anew from the statuses of JobRuns when one starts. A decision looks at all that wait at once, however many asked.
 */
import { type Contender, type Decision, type HostView, type Placed, schedule } from "./schedule.ts";

export interface PlacesOptions {
  hosts(): readonly HostView[];
  /** Why no job at all may start now; undefined when they may. */
  whyNone?(): string | undefined;
  /** A place was given, or the job waits for another reason than before: its key shall be reconciled. */
  onDecided(name: string): void;
}

/** Why a job waits that was not decided on yet: not worth being written down. */
export const notDecided = "it is about to be placed";

export class Places {
  readonly #options: PlacesOptions;
  readonly #placed = new Map<string, Placed>();
  readonly #waiting = new Map<string, Contender>();
  #reasons: Decision["waiting"] = new Map();
  #isDue = false;

  constructor(options: PlacesOptions) {
    this.#options = options;
  }

  /** One that had its place before this process began. */
  readmit(job: Placed): void {
    this.#waiting.delete(job.name);
    this.#placed.set(job.name, job);
  }

  /** The host of a job that has its place; else it waits from now on, and the answer is why. */
  ask(job: Contender): { host: string } | { why: string } {
    const placed = this.#placed.get(job.name);
    if (placed) return { host: placed.host };
    if (!this.#waiting.has(job.name)) {
      this.#waiting.set(job.name, job);
      this.#decideSoon();
    }
    return { why: this.#reasons.get(job.name) ?? notDecided };
  }

  /** It needs no place any more, or never got one. */
  release(name: string): void {
    const had = this.#placed.delete(name);
    const waited = this.#waiting.delete(name);
    this.#reasons.delete(name);
    if (had || waited) this.#decideSoon();
  }

  /** Hosts have changed, or why none may start. */
  decideAgain(): void {
    this.#decideSoon();
  }

  /** Many that ask, or end, in one turn of the event loop are decided on together. */
  #decideSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      const { hosts, whyNone, onDecided } = this.#options;
      const decision = schedule([...this.#waiting.values()], [...this.#placed.values()], hosts(), whyNone?.());
      const before = this.#reasons;
      this.#reasons = decision.waiting;
      for (const [name, why] of decision.waiting) if (before.get(name) !== why) onDecided(name);
      for (const [name, host] of decision.granted) {
        this.#placed.set(name, { ...this.#waiting.get(name)!, host });
        this.#waiting.delete(name);
        onDecided(name);
      }
    });
  }
}

/**
 * Who has a place on which host: the scheduler's state, and when it decides. It is held in memory by the one leader, and made
 * anew from the statuses of JobRuns when one starts. A decision looks at all that wait at once, however many asked.
 */
import {
  type Contender,
  type Decision,
  type HostView,
  isAt,
  type Place,
  type Placed,
  type RepositoryPolicy,
  schedule,
} from "./schedule.ts";

export interface PlacesOptions {
  hosts(): readonly HostView[];
  /** Why no job at all may start now; undefined when they may. */
  whyNone?(): string | undefined;
  /** What Repositories say, by their names. Default: nothing. */
  policies?(): ReadonlyMap<string, RepositoryPolicy>;
  /** A place was given, or the job waits for another reason than before: its key shall be reconciled. */
  onDecided(name: string): void;
}

export interface NoPlace {
  why: string;
  /** Whether no host that is declared can ever hold it. */
  fitsNowhere: boolean;
}

/** Why a job waits that was not decided on yet: not worth being written down. */
export const notDecided = "it is about to be placed";

export class Places {
  readonly #options: PlacesOptions;
  readonly #placed = new Map<string, Placed>();
  readonly #waiting = new Map<string, Contender>();
  #decision: Pick<Decision, "waiting" | "fitsNowhere"> = { waiting: new Map(), fitsNowhere: new Set() };
  #isDue = false;

  constructor(options: PlacesOptions) {
    this.#options = options;
  }

  /** One that had its place before this process began, or that needs less of it now. */
  readmit(job: Placed): void {
    const before = this.#placed.get(job.name);
    this.#waiting.delete(job.name);
    this.#placed.set(job.name, job);
    if (before && before.hasEnded !== job.hasEnded) this.#decideSoon();
  }

  /**
   * The place of a job that has one; else it waits from now on, and the answer is why.
   * @param isBegun whether something of it is there: it does not move then, whatever becomes of its host.
   */
  ask(job: Contender, isBegun = false): Place | NoPlace {
    const placed = this.#placed.get(job.name);
    // What is left of one that has ended is no place for its rerun: the host may not answer any more.
    if (placed && !placed.hasEnded) {
      const { host, endpoint } = placed;
      if (isBegun || this.#options.hosts().some((each) => isAt(each, placed) && each.isReachable)) return { host, endpoint };
      this.release(job.name);
    }
    if (!this.#waiting.has(job.name)) {
      this.#waiting.set(job.name, job);
      this.#decideSoon();
    }
    const { waiting, fitsNowhere } = this.#decision;
    return { why: waiting.get(job.name) ?? notDecided, fitsNowhere: fitsNowhere.has(job.name) };
  }

  /** Where there are jobs, or what is left of them; each place as often as there are jobs. */
  inUse(): Iterable<Place> {
    return this.#placed.values();
  }

  /** It needs no place any more, or never got one. */
  release(name: string): void {
    const had = this.#placed.delete(name);
    const waited = this.#waiting.delete(name);
    this.#decision.waiting.delete(name);
    this.#decision.fitsNowhere.delete(name);
    if (had || waited) this.#decideSoon();
  }

  /** Hosts have changed, or policies, or why none may start. */
  decideAgain(): void {
    this.#decideSoon();
  }

  /** Many that ask, or end, in one turn of the event loop are decided on together. */
  #decideSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      const { hosts, whyNone, policies, onDecided } = this.#options;
      const views = hosts();
      const decision = schedule([...this.#waiting.values()], [...this.#placed.values()], views, whyNone?.(), policies?.());
      const before = this.#decision.waiting;
      this.#decision = decision;
      for (const [name, why] of decision.waiting) if (before.get(name) !== why) onDecided(name);
      for (const [name, host] of decision.granted) {
        const endpoint = views.find((view) => view.name === host)?.endpoint;
        this.#placed.set(name, { ...this.#waiting.get(name)!, host, endpoint });
        this.#waiting.delete(name);
        onDecided(name);
      }
    });
  }
}

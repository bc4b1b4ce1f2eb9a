/**
 * Upkeep of the mirrors. What reads their objects later: the jobs of runs that are in the API (checkouts, actions' lock files, lock
 * documents), reruns of runs that are only in the history, and `reproduce`. So a commit is held for as long as a run that was made of
 * it can be in the history; what is fetched again when it is missing, as bases of comparisons are, needs no more.
 */
import { limits } from "../base/limits.ts";
import { type Mirrors, placeOf } from "../git/mirrors.ts";
import type { History } from "../history/history.ts";
import type { Store } from "../kube/store.ts";
import { runKind } from "../resources/run.ts";

/** Mirrors of `seatrial reproduce` are among the others, and nobody's later. */
export const reproducedMirrors = "reproduced";

export interface MirrorUpkeepOptions {
  mirrors: Mirrors;
  store: Store;
  history: History;
  /** How long a run that ended is in the history. */
  runsDays: number;
  now(): Date;
  tell(line: string): void;
}

export class MirrorUpkeep {
  readonly #options: MirrorUpkeepOptions;

  constructor(options: MirrorUpkeepOptions) {
    this.#options = options;
  }

  /** Holds the commits of all runs in the API: those that wait for days, and new ones of old commits. */
  async keep(signal: AbortSignal): Promise<void> {
    const { mirrors, store } = this.#options;
    const runs = (await store.list(runKind, { signal })).items.map(({ spec }) => spec.source);
    for (const sources of Map.groupBy(runs, ({ forge, repository }) => `${forge} ${repository.id}`).values()) {
      const { forge, repository } = sources[0]!;
      if (await mirrors.has(forge, repository.id))
        await mirrors.of(forge, repository.id).keep([...new Set(sources.map(({ commit }) => commit))]);
    }
  }

  /** Packs, and lets go of what is old. Takes as long as it takes: nothing else waits for it. */
  async maintain(signal: AbortSignal): Promise<void> {
    const { mirrors, runsDays, tell } = this.#options;
    // The day on which a run was made may have begun before the day on which its commit was held.
    const keptDays = (forge: string) => (forge === reproducedMirrors ? limits.reproducedDays : runsDays + 1);
    await mirrors.maintain({ keptDays, held: async () => await this.#held(), signal, tell });
  }

  /** Commits of runs that are kept for longer than others. */
  async #held(): Promise<Map<string, Set<string>>> {
    const { history, runsDays, now } = this.#options;
    const before = new Date(now().getTime() - runsDays * 86_400_000);
    const found = new Map<string, Set<string>>();
    for await (const { forge, repository, commit } of history.queries.sourcesBefore(before)) {
      const place = placeOf(forge, repository.id);
      found.set(place, (found.get(place) ?? new Set()).add(commit));
    }
    return found;
  }
}

/**
 * Schedules: each workflow of a default branch that has `schedule` gets a Run at its times. Only whoever leads looks at them; a
 * Run's name follows from its time, so that two who look at once make one.
 *
 * Up to when an entry was looked at is kept in the history. What came since, while no server ran or the clock jumped, gives one Run: that
 * of the last time. An entry that was not there before begins now; so does one of a repository that was suspended.
 */
import { isDeepStrictEqual } from "node:util";
import { isRetryable, messageOf } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { pause } from "../../base/wait.ts";
import type { Forge, ForgeRepository } from "../../forges/forge.ts";
import type { History } from "../../history/history.ts";
import type { Store } from "../../kube/store.ts";
import { hasItsName, repositoryKind } from "../../resources/repository.ts";
import { lastTick } from "../../workflows/triggers/cron.ts";
import type { ScheduleTrigger } from "../../workflows/triggers/triggers.ts";
import { payloadOf } from "../trigger/dispatch.ts";
import type { Trigger } from "../trigger/trigger.ts";

export interface SchedulesOptions {
  store: Store;
  history: History;
  forges: ReadonlyMap<string, Forge>;
  trigger: Trigger;
  now(): Date;
  /** What went wrong, for people. */
  tell(line: string): void;
}

interface Entry extends ScheduleTrigger {
  /** Of the workflow. */
  path: string;
}

/** Until when each entry was looked at, by {@link keyOf}. */
type Looked = Record<string, string>;

export class Schedules {
  readonly #options: SchedulesOptions;
  /** Entries of the default branches, by repository: they change with the commit alone. */
  readonly #known = new Map<string, { commit: string; entries: Entry[] }>();

  constructor(options: SchedulesOptions) {
    this.#options = options;
  }

  /** Looks again and again, until the signal is aborted. */
  async work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.look(signal);
      } catch (error) {
        if (!signal.aborted) this.#options.tell(`schedules: ${messageOf(error)}`);
      }
      await pause(limits.schedulesEveryMs, signal).catch(() => {});
    }
  }

  /** Looks at all repositories once. One that fails keeps nobody from the others. */
  async look(signal?: AbortSignal): Promise<void> {
    const { store, forges, tell } = this.#options;
    for (const repository of (await store.list(repositoryKind, { signal })).items) {
      const { spec, status } = repository;
      const forge = forges.get(spec.forge);
      const { name, defaultBranch } = status ?? {};
      if (!forge || name === undefined || defaultBranch === undefined || !hasItsName(repository)) continue;
      const of: ForgeRepository = { id: spec.id, name, defaultBranch };
      try {
        await this.#lookAt(forge, of, spec.suspended ? [] : await this.#entriesOf(forge, of, signal), signal);
      } catch (error) {
        signal?.throwIfAborted();
        tell(`schedules of ${name} of forge ${spec.forge}: ${messageOf(error)}`);
      }
    }
  }

  async #lookAt(forge: Forge, repository: ForgeRepository, entries: readonly Entry[], signal: AbortSignal | undefined): Promise<void> {
    const { history, now } = this.#options;
    const key = stateKey(forge, repository);
    const stored = await history.state.poll(key);
    if (entries.length === 0) {
      if (stored !== undefined) await history.state.delete(key);
      return;
    }
    const before = JSON.parse(stored ?? "{}") as Looked;
    const at = now();
    const after: Looked = {};
    for (const entry of entries) {
      const of = keyOf(entry);
      after[of] = (await this.#lookedUntil(forge, repository, entry, before[of], at, signal)).toISOString();
    }
    if (!isDeepStrictEqual(after, before)) await history.state.set(key, JSON.stringify(after), at);
  }

  /** Runs an entry when it is due. @param before until when it was looked at; undefined for a new one. @returns the same for now. */
  async #lookedUntil(
    forge: Forge,
    repository: ForgeRepository,
    entry: Entry,
    before: string | undefined,
    at: Date,
    signal: AbortSignal | undefined,
  ): Promise<Date> {
    const looked = new Date(before ?? at);
    // The clock was put back: what was noted by the one before would silence it for so long.
    if (looked.getTime() - at.getTime() > limits.clockBackMs) return at;
    const tick = lastTick(entry.cron, entry.timeZone, at);
    if (tick <= looked) return looked;
    return (await this.#run(forge, repository, entry, tick, signal)) ? tick : looked;
  }

  /** Those of the default branch's head, as it was told of last. */
  async #entriesOf(forge: Forge, repository: ForgeRepository, signal: AbortSignal | undefined): Promise<Entry[]> {
    const { trigger } = this.#options;
    const commit = await trigger.branchHead(forge, repository, repository.defaultBranch, "poll");
    if (commit === undefined) return [];
    const key = stateKey(forge, repository);
    const known = this.#known.get(key);
    if (known?.commit === commit) return known.entries;
    const files = await trigger.workflowsOf(forge, repository, commit, signal);
    const entries = files.flatMap(({ path, workflow }) => (workflow?.on.schedule ?? []).map((entry): Entry => ({ ...entry, path })));
    this.#known.set(key, { commit, entries });
    return entries;
  }

  /** @returns false when it is worth another attempt. */
  async #run(
    forge: Forge,
    repository: ForgeRepository,
    { path, cron, timeZone }: Entry,
    tick: Date,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const { trigger, tell } = this.#options;
    const schedule = { cron: cron.text, timeZone };
    try {
      await trigger.trigger(
        forge,
        { event: "schedule", repository: { id: repository.id, name: repository.name }, workflow: path, schedule },
        {
          delivery: `schedule-${tick.toISOString()}-${cron.text}-${timeZone}`.slice(0, 256),
          payload: { schedule: cron.text, workflow: path, repository: payloadOf(repository) },
        },
        signal,
      );
      return true;
    } catch (error) {
      signal?.throwIfAborted();
      tell(`${path} of ${repository.name} at ${tick.toISOString()}: ${messageOf(error)}`);
      return !isRetryable(error);
    }
  }
}

function stateKey(forge: Forge, { id }: ForgeRepository): string {
  return `schedule/${forge.name}/${id}`;
}

function keyOf({ path, cron, timeZone }: Entry): string {
  return `${path} ${cron.text} ${timeZone}`;
}

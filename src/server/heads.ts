/**
 * Open heads: each has its runs, also when the delivery about it was lost. All are looked at from time to time; where a forge did
 * not answer soon again, and later each time.
 */
import { isRetryable, messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Trigger } from "../controllers/trigger/trigger.ts";
import type { Forge } from "../forges/forge.ts";
import type { LocalForge } from "../forges/local/local.ts";
import { backoffMs } from "../kube/backoff.ts";
import type { ConfiguredForge } from "./config.ts";

export interface HeadsOptions {
  local: Pick<LocalForge, "repositories"> & Forge;
  configured: readonly ConfiguredForge[];
  trigger: Pick<Trigger, "trigger" | "looked">;
  tell(line: string): void;
}

interface Repository {
  forge: Forge;
  /** Id of a local one, name of another. */
  name: string;
  nextMs: number;
  failures: number;
}

export class OpenHeads {
  readonly #options: HeadsOptions;
  readonly #repositories: readonly Repository[];

  constructor(options: HeadsOptions) {
    const { local, configured } = options;
    const due = { nextMs: 0, failures: 0 };
    this.#options = options;
    this.#repositories = [
      // Not before {@link noted}: what was pushed between our look and that would be neither an open head nor a change.
      ...local.repositories().map(({ id }) => ({ ...due, forge: local, name: id, nextMs: Infinity })),
      ...configured.flatMap(({ forge, repositories }) => repositories.map((name) => ({ ...due, forge, name }))),
    ];
  }

  /** From now on changes of a local repository are told as deliveries: what is there already is an open head. @returns whether it is its turn now. */
  noted(forge: Forge, name: string): boolean {
    const repository = this.#repositories.find((each) => each.forge === forge && each.name === name && each.nextMs === Infinity);
    if (repository) repository.nextMs = 0;
    return repository !== undefined;
  }

  /** Looks at the repositories whose turn it is. One that fails keeps nobody from the others. */
  async look(signal: AbortSignal): Promise<void> {
    for (const repository of this.#repositories) {
      if (signal.aborted || performance.now() < repository.nextMs) continue;
      const isWhole = await this.#lookAt(repository, signal);
      repository.failures = isWhole ? 0 : repository.failures + 1;
      const afterMs = isWhole ? limits.headsEveryMs : backoffMs(repository.failures, limits.deliveryRetryFirstMs, limits.headsEveryMs);
      repository.nextMs = performance.now() + afterMs;
    }
  }

  /** @returns false when asking again may help. */
  async #lookAt({ forge, name }: Repository, signal: AbortSignal): Promise<boolean> {
    const { local, trigger, tell } = this.#options;
    let isWhole = true;
    const attempt = async (what: string, work: () => Promise<unknown>) => {
      try {
        await work();
      } catch (error) {
        signal.throwIfAborted();
        if (isRetryable(error)) isWhole = false;
        tell(`${what}: ${messageOf(error)}`);
      }
    };
    await attempt(`heads of ${name} of forge ${forge.name}`, async () => {
      const known = forge === local ? local.repositories().find(({ id }) => id === name) : undefined;
      const repository = known ?? (await forge.repositoryNamed(name, signal));
      let heads = 0;
      for await (const change of forge.heads(repository.id, signal)) {
        heads++;
        const head = change.event === "push" ? change.ref : `pull request ${change.number}`;
        await attempt(
          `${head} of ${change.repository.name}`,
          async () => await trigger.trigger(forge, change, { payload: undefined }, signal),
        );
      }
      await trigger.looked(forge, repository, heads, signal);
    });
    return isWhole;
  }
}

/**
 * Open heads: each has its runs, also when the delivery about it was lost. All are looked at from time to time; where a forge did
 * not answer soon again, and later each time.
 */
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Trigger } from "../controllers/trigger/trigger.ts";
import type { Forge } from "../forges/forge.ts";
import type { LocalForge } from "../forges/local/local.ts";
import { backoffMs } from "../kube/backoff.ts";
import type { ConfiguredForge } from "./config.ts";

export interface HeadsOptions {
  local: Pick<LocalForge, "repositories"> & Forge;
  configured: readonly ConfiguredForge[];
  trigger: Pick<Trigger, "trigger">;
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
      ...local.repositories().map(({ id }) => ({ ...due, forge: local, name: id })),
      ...configured.flatMap(({ forge, repositories }) => repositories.map((name) => ({ ...due, forge, name }))),
    ];
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
    const { trigger, tell } = this.#options;
    let isWhole = true;
    const attempt = async (what: string, work: () => Promise<unknown>) => {
      try {
        await work();
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof SeatrialError && error.retryable) isWhole = false;
        tell(`${what}: ${messageOf(error)}`);
      }
    };
    await attempt(`heads of ${name} of forge ${forge.name}`, async () => {
      const { id } = forge.kind === "local" ? { id: name } : await forge.repositoryNamed(name, signal);
      for await (const change of forge.heads(id, signal)) {
        const head = change.event === "push" ? change.ref : `pull request ${change.number}`;
        await attempt(
          `${head} of ${change.repository.name}`,
          async () => await trigger.trigger(forge, change, { payload: undefined }, signal),
        );
      }
    });
    return isWhole;
  }
}

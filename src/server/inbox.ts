/**
 * What forges tell: the door for their webhooks, which stores and answers, and the work on what is stored. Local repositories tell
 * nothing: what changed in them is found by looking, and stored the same way.
 */
import { Hono } from "hono";
import { messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Trigger } from "../controllers/trigger/trigger.ts";
import type { Forge } from "../forges/forge.ts";
import type { LocalForge } from "../forges/local/local.ts";
import type { Delivery } from "../history/deliveries.ts";
import type { History } from "../history/history.ts";
import type { ConfiguredForge } from "./config.ts";

export interface InboxOptions {
  history: History;
  forges: ReadonlyMap<string, Forge>;
  now(): Date;
}

export class Inbox {
  readonly #options: InboxOptions;
  #woken = Promise.withResolvers<void>();

  constructor(options: InboxOptions) {
    this.#options = options;
  }

  /** `POST /webhooks/FORGE`: durable before it is answered. */
  app(): Hono {
    const app = new Hono();
    app.post("/webhooks/:forge", async (context) => {
      const { history, forges, now } = this.#options;
      const forge = forges.get(context.req.param("forge"));
      if (!forge) return context.json({ error: "there is no forge of that name" }, 404);
      if (Number(context.req.header("content-length") ?? 0) > limits.webhookBytes)
        return context.json({ error: "the body is too large" }, 413);
      const body = new Uint8Array(await context.req.arrayBuffer());
      if (body.length > limits.webhookBytes) return context.json({ error: "the body is too large" }, 413);
      try {
        const { id, event } = forge.verify(context.req.raw.headers, body);
        await history.deliveries.put({ forge: forge.name, delivery: id, event, headers: {}, body }, now());
      } catch (error) {
        if (!(error instanceof SeatrialError)) throw error;
        return context.json({ error: error.message }, error.code === "refused" ? 401 : error.code === "invalid" ? 400 : 503);
      }
      this.wake();
      return context.json({}, 202);
    });
    return app;
  }

  /** There may be something to do. */
  wake(): void {
    this.#woken.resolve();
  }

  /** Works on deliveries, and looks at all open heads from time to time, until the signal is aborted. */
  async work({ local, configured, trigger }: InboxWork, signal: AbortSignal, tell: (line: string) => void): Promise<void> {
    let nextLook = 0;
    while (!signal.aborted) {
      this.#woken = Promise.withResolvers<void>();
      try {
        await this.#lookAtLocal(local, signal);
        await this.#handleAll(trigger, signal, tell);
        if (performance.now() >= nextLook) {
          nextLook = performance.now() + limits.headsEveryMs;
          for (const { id } of local.repositories()) await this.#lookAtHeads(local, id, trigger, signal, tell);
          for (const { forge, repositories } of configured) {
            for (const name of repositories) await this.#lookAtHeads(forge, name, trigger, signal, tell);
          }
        }
      } catch (error) {
        if (!signal.aborted) tell(`inbox: ${messageOf(error)}`);
      }
      await this.#untilWoken(signal);
    }
  }

  async #untilWoken(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, limits.inboxPollMs);
    signal.addEventListener("abort", () => resolve(), { once: true });
    if (!signal.aborted) await Promise.race([this.#woken.promise, promise]);
    clearTimeout(timer);
  }

  async #lookAtLocal(local: LocalForge, signal: AbortSignal): Promise<void> {
    const { history, now } = this.#options;
    for (const { id } of local.repositories()) {
      const key = `local/${id}/seen`;
      const before = await history.state.get(key);
      const { seen, deliveries } = await local.changesSince(id, before === undefined ? undefined : (JSON.parse(before) as never), signal);
      // A crash in between gives the same deliveries again, under the same ids.
      for (const { id: delivery, event, payload } of deliveries) {
        const body = Buffer.from(JSON.stringify(payload));
        await history.deliveries.put({ forge: local.name, delivery, event, headers: {}, body }, now());
      }
      await history.state.set(key, JSON.stringify(seen), now());
    }
  }

  async #handleAll(trigger: Trigger, signal: AbortSignal, tell: (line: string) => void): Promise<void> {
    const { history, now } = this.#options;
    while (!signal.aborted) {
      const delivery = await history.deliveries.claim(limits.deliveryLeaseMs, now());
      if (!delivery) return;
      try {
        await this.#handle(delivery, trigger, signal);
        await history.deliveries.done(delivery.id, now());
      } catch (error) {
        if (signal.aborted) return;
        const isWorthIt = error instanceof SeatrialError && error.retryable && delivery.attempts < limits.deliveryAttempts;
        const retryAt = isWorthIt ? new Date(now().getTime() + limits.deliveryRetryMs * delivery.attempts) : undefined;
        await history.deliveries.failed(delivery.id, messageOf(error), now(), retryAt);
        tell(`delivery ${delivery.id} of ${delivery.forge}: ${messageOf(error)}`);
      }
    }
  }

  async #handle({ forge: name, event, body, delivery }: Delivery, trigger: Trigger, signal: AbortSignal): Promise<void> {
    const forge = this.#options.forges.get(name);
    if (!forge) throw new SeatrialError("not-found", `forge ${name} is not configured any more`);
    const payload: unknown = JSON.parse(body.toString("utf8"));
    const change = forge.parse({ event, payload });
    if (change.event !== "ignored") await trigger.trigger(forge, change, { delivery, payload }, signal);
  }

  /**
   * Each open head of a repository has its runs: also those of which a delivery was lost. One that fails keeps nobody from the
   * others: it is looked at again the next time.
   * @param repository id of a local one, name of another.
   */
  async #lookAtHeads(forge: Forge, repository: string, trigger: Trigger, signal: AbortSignal, tell: (line: string) => void): Promise<void> {
    const attempt = async (what: string, work: () => Promise<unknown>) => {
      try {
        await work();
      } catch (error) {
        signal.throwIfAborted();
        tell(`${what}: ${messageOf(error)}`);
      }
    };
    await attempt(`heads of ${repository} of forge ${forge.name}`, async () => {
      const { id } = forge.kind === "local" ? { id: repository } : await forge.repositoryNamed(repository, signal);
      for await (const change of forge.heads(id, signal)) {
        const head = change.event === "push" ? change.ref : `pull request ${change.number}`;
        await attempt(
          `${head} of ${change.repository.name}`,
          async () => await trigger.trigger(forge, change, { payload: undefined }, signal),
        );
      }
    });
  }
}

export interface InboxWork {
  local: LocalForge;
  configured: readonly ConfiguredForge[];
  trigger: Trigger;
}

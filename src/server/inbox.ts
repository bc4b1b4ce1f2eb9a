/**
 * What forges tell: the door for their webhooks, which stores and answers, and the work on what is stored. Local repositories tell
 * nothing: what changed in them is found by looking, and stored the same way.
 */
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { isRetryable, messageOf, SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { pause } from "../base/wait.ts";
import type { Trigger } from "../controllers/trigger/trigger.ts";
import type { Forge } from "../forges/forge.ts";
import type { LocalForge } from "../forges/local/local.ts";
import type { Delivery } from "../history/deliveries.ts";
import type { History } from "../history/history.ts";
import { backoffMs } from "../kube/backoff.ts";
import type { ConfiguredForge } from "./config.ts";
import { OpenHeads } from "./heads.ts";

export interface InboxOptions {
  history: History;
  forges: ReadonlyMap<string, Forge>;
  now(): Date;
}

export class Inbox {
  readonly #options: InboxOptions;
  /** There may be deliveries to handle. */
  readonly #deliveries = new Bell();
  /** Refs of a local repository may have changed. */
  readonly #refs = new Bell(limits.localForgePollMs);
  /** There are heads to look at. */
  readonly #heads = new Bell();

  constructor(options: InboxOptions) {
    this.#options = options;
  }

  /** `POST /webhooks/FORGE`: durable before it is answered. */
  app(): Hono {
    const app = new Hono();
    const isTooLarge = bodyLimit({
      maxSize: limits.webhookBytes,
      onError: (context) => context.json({ error: "the body is too large" }, 413),
    });
    app.post("/webhooks/:forge", isTooLarge, async (context) => {
      const { history, forges, now } = this.#options;
      const forge = forges.get(context.req.param("forge"));
      if (!forge) return context.json({ error: "there is no forge of that name" }, 404);
      const body = new Uint8Array(await context.req.arrayBuffer());
      try {
        const { id, event } = forge.verify(context.req.raw.headers, body);
        await history.deliveries.put({ forge: forge.name, delivery: id, event, headers: {}, body }, now());
      } catch (error) {
        if (!(error instanceof SeatrialError)) throw error;
        return context.json({ error: error.message }, error.code === "refused" ? 401 : error.code === "invalid" ? 400 : 503);
      }
      this.#deliveries.ring();
      return context.json({}, 202);
    });
    return app;
  }

  /** A local repository may have changed. */
  wake(): void {
    this.#refs.ring();
  }

  /** A delivery waits to be handled again. */
  replay(): void {
    this.#deliveries.ring();
  }

  /**
   * Works on deliveries, and looks into local repositories and at all open heads, until the signal is aborted. Each goes on while
   * another waits for a forge that does not answer.
   */
  async work({ local, configured, trigger }: InboxWork, signal: AbortSignal, tell: (line: string) => void): Promise<void> {
    const repeat = async (bell: Bell, step: () => Promise<void>) => {
      while (!signal.aborted) {
        try {
          await step();
        } catch (error) {
          if (!signal.aborted) tell(`inbox: ${messageOf(error)}`);
        }
        await bell.heard(signal);
      }
    };
    const running = new Set<Promise<void>>();
    // Who worked on them before this leader works on nothing any more, and it does no harm if it does.
    await this.#options.history.deliveries.release().catch((error: unknown) => tell(`inbox: ${messageOf(error)}`));
    const heads = new OpenHeads({ local, configured, trigger, tell });
    await Promise.all([
      repeat(this.#refs, async () => await this.#lookAtLocal(local, heads, signal, tell)),
      repeat(this.#deliveries, async () => await this.#handleDue(running, trigger, signal, tell)),
      repeat(this.#heads, async () => await heads.look(signal)),
    ]);
    await Promise.all(running);
  }

  /** One repository that cannot be read hides no other. */
  async #lookAtLocal(local: LocalForge, heads: OpenHeads, signal: AbortSignal, tell: (line: string) => void): Promise<void> {
    for (const { id, name } of local.repositories()) {
      try {
        await this.#lookAtRepository(local, id, signal);
        if (heads.noted(local, id)) this.#heads.ring();
      } catch (error) {
        signal.throwIfAborted();
        tell(`changes of ${name} of forge ${local.name}: ${messageOf(error)}`);
      }
    }
  }

  async #lookAtRepository(local: LocalForge, id: string, signal: AbortSignal): Promise<void> {
    const { history, now } = this.#options;
    const key = `local/${id}/seen`;
    const before = await history.state.poll(key);
    const { seen, deliveries } = await local.changesSince(id, before === undefined ? undefined : (JSON.parse(before) as never), signal);
    // A crash in between gives the same deliveries again, under the same ids.
    for (const { id: delivery, event, payload } of deliveries) {
      const body = Buffer.from(JSON.stringify(payload));
      await history.deliveries.put({ forge: local.name, delivery, event, headers: {}, body }, now());
    }
    const after = JSON.stringify(seen);
    if (after !== before) await history.state.set(key, after, now());
    if (deliveries.length > 0) this.#deliveries.ring();
  }

  /** Begins with as many deliveries as may be handled at once; one that ends makes room for the next. */
  async #handleDue(
    running: Set<Promise<void>>,
    trigger: InboxWork["trigger"],
    signal: AbortSignal,
    tell: (line: string) => void,
  ): Promise<void> {
    const { history, now } = this.#options;
    while (running.size < limits.deliveriesAtOnce && !signal.aborted) {
      const delivery = await history.deliveries.claim(limits.deliveryLeaseMs, now());
      if (!delivery) return;
      const handled = this.#attempt(delivery, trigger, signal, tell)
        .catch((error: unknown) => tell(`delivery ${delivery.id} of ${delivery.forge}: ${messageOf(error)}`))
        .finally(() => {
          running.delete(handled);
          this.#deliveries.ring();
        });
      running.add(handled);
    }
  }

  async #attempt(delivery: Delivery, trigger: InboxWork["trigger"], signal: AbortSignal, tell: (line: string) => void): Promise<void> {
    const { history, now } = this.#options;
    try {
      if (delivery.attempts > limits.deliveryAttempts)
        throw new SeatrialError("internal", `it was handed out ${delivery.attempts} times, and nobody came to an end with it`);
      await this.#handle(delivery, trigger, signal);
      await history.deliveries.done(delivery.id, now());
    } catch (error) {
      if (signal.aborted) return; // Its lease ends, and it is handled again.
      tell(`delivery ${delivery.id} of ${delivery.forge}: ${messageOf(error)}`);
      const isWorthIt = isRetryable(error) && delivery.attempts < limits.deliveryAttempts;
      const afterMs = backoffMs(delivery.attempts, limits.deliveryRetryFirstMs, limits.deliveryRetryMostMs);
      await untilWritten(signal, async () => {
        const retryAt = isWorthIt ? new Date(now().getTime() + afterMs) : undefined;
        await history.deliveries.failed(delivery.id, messageOf(error), now(), retryAt);
      });
    }
  }

  async #handle({ forge: name, event, body, delivery }: Delivery, trigger: InboxWork["trigger"], signal: AbortSignal): Promise<void> {
    const forge = this.#options.forges.get(name);
    if (!forge) throw new SeatrialError("not-found", `forge ${name} is not configured any more`);
    const payload: unknown = JSON.parse(body.toString("utf8"));
    const change = forge.parse({ event, payload });
    if (change.event !== "ignored") await trigger.trigger(forge, change, { delivery, payload }, signal);
  }
}

export interface InboxWork {
  local: LocalForge;
  configured: readonly ConfiguredForge[];
  trigger: Pick<Trigger, "trigger" | "looked">;
}

/**
 * Until the history takes it: a delivery of which nobody could write down that it failed (the disk is full) would not be handled again
 * before its lease ends, long after there is room.
 */
async function untilWritten(signal: AbortSignal, write: () => Promise<void>): Promise<void> {
  for (let failures = 0; !signal.aborted;) {
    try {
      return await write();
    } catch (error) {
      if (!isRetryable(error)) throw error;
      await pause(backoffMs(++failures, limits.deliveryRetryFirstMs, limits.inboxPollMs), signal).catch(() => {});
    }
  }
}

/** One waits for it; rung twice before it is heard, it has rung once. */
class Bell {
  readonly #everyMs: number;
  #isRung = false;
  #wake = () => {};

  constructor(everyMs: number = limits.inboxPollMs) {
    this.#everyMs = everyMs;
  }

  ring(): void {
    this.#isRung = true;
    this.#wake();
  }

  /** Resolves when it was rung since it was heard last, or after a while: what nobody rings for is found by looking. */
  async heard(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, this.#everyMs);
    signal.addEventListener("abort", this.#wake);
    if (!this.#isRung && !signal.aborted) await promise;
    signal.removeEventListener("abort", this.#wake);
    clearTimeout(timer);
    this.#isRung = false;
  }
}

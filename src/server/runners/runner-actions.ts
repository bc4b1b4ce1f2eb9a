/** What runners ask about actions; see runner/protocol.ts. */
import type { Context, Hono, MiddlewareHandler } from "hono";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { AttemptRecord } from "../../history/attempts.ts";
import { actionMetadataSchema } from "../../runner/protocol.ts";
import { readAction } from "../../workflows/actions/metadata.ts";
import { parseUses, type RepositoryUses } from "../../workflows/actions/uses.ts";
import type { ActionStore, FoundCommit } from "./action-store.ts";

export interface RunnerActionsOptions {
  actions: ActionStore;
  /** Finds an action that an attempt uses, as {@link ActionStore.find} does. */
  actionOf(attempt: AttemptRecord, uses: RepositoryUses): Promise<FoundCommit>;
}

/** Adds the routes. @param bounded refuses a body that is too long. */
export function actionRoutes(
  app: Hono<{ Variables: { attempt: AttemptRecord } }>,
  { actions, actionOf }: RunnerActionsOptions,
  bounded: MiddlewareHandler,
): void {
  /** By attempt. */
  const looking = new Map<string, number>();
  const look = async (attempt: AttemptRecord, uses: RepositoryUses) => {
    const { uid } = attempt;
    const others = looking.get(uid) ?? 0;
    if (others >= limits.actionsAtOnce) throw new SeatrialError("conflict", `${others} other actions are being looked for`);
    looking.set(uid, others + 1);
    try {
      return await actionOf(attempt, uses);
    } finally {
      const left = looking.get(uid)! - 1;
      if (left > 0) looking.set(uid, left);
      else looking.delete(uid);
    }
  };

  app.get("/runner/v1/attempts/:attempt/actions", async (context) => {
    return await answered(context, async () => {
      const uses = parseUses(context.req.query("uses") ?? "");
      if (uses.kind !== "repository") throw new SeatrialError("invalid", "only actions of repositories are fetched");
      const found = await look(context.get("attempt"), uses);
      const { body, bytes } = await actions.archive(found);
      return new Response(body, {
        headers: {
          "content-type": "application/x-tar",
          "content-length": String(bytes),
          "seatrial-action-commit": found.commit,
          ...(found.notice === undefined ? {} : { "seatrial-action-notice": encodeURIComponent(found.notice) }),
        },
      });
    });
  });

  app.post("/runner/v1/attempts/:attempt/actions", bounded, async (context) => {
    const parsed = actionMetadataSchema.safeParse(await context.req.json());
    if (!parsed.success) return context.json({ error: parsed.error.message }, 400);
    return await answered(context, async () => await Promise.resolve(context.json(readAction(parsed.data.text, parsed.data.file))));
  });
}

/** What is for good gets a status of its own; all else is tried again. */
async function answered(context: Context, work: () => Promise<Response>): Promise<Response> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof SeatrialError)) throw error;
    const { message, hint, code } = error;
    const body = { error: message, ...(hint === undefined ? {} : { hint }) };
    if (code === "not-found") return context.json(body, 404);
    if (code === "invalid") return context.json(body, 422);
    if (code === "unreachable" || code === "timeout" || code === "refused") return context.json(body, 424);
    throw error;
  }
}

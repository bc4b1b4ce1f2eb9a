/** Deliveries of forges: what came in, what became of it, and once more. Payloads may be private: only with the token. */
import { z } from "zod";
import { SeatrialError } from "../../base/errors.ts";
import type { DeliverySummary } from "../../history/deliveries.ts";
import { cursor, type Route } from "./route.ts";
import type { ApiOptions } from "./routes.ts";
import { type DeliveryBody, deliverySchema, pageOf } from "./schemas.ts";

export function deliveryRoutes({ history: { deliveries }, onReplay }: ApiOptions): Route[] {
  const idOf = (text: string): number => {
    if (/^\d{1,15}$/.test(text)) return Number(text);
    throw new SeatrialError("invalid", `${JSON.stringify(text)} is no number of a delivery`, {
      hint: "seatrial deliveries list shows them",
    });
  };
  const absent = (id: number) =>
    new SeatrialError("not-found", `there is no delivery ${id}`, { hint: "seatrial deliveries list shows those that there are" });

  return [
    {
      method: "get",
      path: "/api/v1/deliveries",
      operation: "listDeliveries",
      summary: "Deliveries of forges, the newest first.",
      isProtected: true,
      query: z.object({ ...cursor, forge: z.string().optional(), state: z.enum(["waiting", "done", "failed"]).optional() }),
      answer: pageOf(deliverySchema),
      handle: async ({ query, context }) => {
        const page = await deliveries.list(query);
        return context.json({ ...page, items: page.items.map(bodyOf) });
      },
    },
    {
      method: "get",
      path: "/api/v1/deliveries/{delivery}",
      operation: "getDelivery",
      summary: "A delivery with its payload.",
      isProtected: true,
      answer: deliverySchema.extend({ payload: z.string().describe("As the forge sent it.") }),
      handle: async ({ params, context }) => {
        const id = idOf(params["delivery"]!);
        const found = await deliveries.get(id);
        if (!found) throw absent(id);
        return context.json({ ...bodyOf(found), payload: found.body.toString("utf8") });
      },
    },
    {
      method: "post",
      path: "/api/v1/deliveries/{delivery}/replay",
      operation: "replayDelivery",
      summary: "Handles a delivery once more. Runs that it has made already stay as they are.",
      isProtected: true,
      answer: z.object({}),
      handle: async ({ params, context }) => {
        const id = idOf(params["delivery"]!);
        if (!(await deliveries.replay(id))) throw absent(id);
        onReplay?.();
        return context.json({});
      },
    },
  ];
}

function bodyOf(delivery: DeliverySummary): DeliveryBody {
  const { id, forge, event, state, attempts, error, receivedAt, endedAt } = delivery;
  return {
    id,
    forge,
    delivery: delivery.delivery,
    event,
    state,
    attempts,
    ...(error === undefined ? {} : { error }),
    receivedAt: receivedAt.toISOString(),
    ...(endedAt ? { endedAt: endedAt.toISOString() } : {}),
  };
}

/** Mounts the routes: checks each call against its route, the token where one is needed, and turns errors into answers. */
import { timingSafeEqual } from "node:crypto";
import { type Context, Hono } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { InvalidError, messageOf, SeatrialError, systemCodeOf } from "../../base/errors.ts";
import { openApi, type Route } from "./route.ts";

export interface ApiAppOptions {
  routes: readonly Route[];
  /** What protected routes ask for; undefined where the caller is this process. */
  token: string | undefined;
  version: string;
}

export function apiApp({ routes, token, version }: ApiAppOptions): Hono {
  const app = new Hono();
  let description: object | undefined; // Made when somebody asks.
  app.get("/api/v1/openapi.json", (context) => context.json((description ??= openApi(routes, version))));
  for (const route of routes) {
    app.on(route.method.toUpperCase(), route.path.replaceAll(/\{(\w+)\}/g, ":$1"), async (context) => {
      if (route.isProtected && token !== undefined && !holdsToken(context, token)) {
        return errorAnswer(
          new SeatrialError("refused", "this needs the server's token", {
            hint: "--token-file or SEATRIAL_TOKEN gives it to a command; others send Authorization: Bearer …",
          }),
          401,
        );
      }
      const query = checked(route.query, context.req.query(), "the query");
      const body = checked(route.body, route.body ? await jsonOf(context) : undefined, "the body");
      return await route.handle({
        params: context.req.param() as Record<string, string>,
        query: query as Record<string, unknown>,
        body,
        context,
      });
    });
  }
  app.onError((error) => errorAnswer(error));
  app.notFound((context) => errorAnswer(new SeatrialError("not-found", `there is no ${context.req.method} ${context.req.path}`), 404));
  return app;
}

function holdsToken(context: Context, token: string): boolean {
  const [, bearer, basic] = /^(?:Bearer (\S+)|Basic (\S+))$/i.exec(context.req.header("authorization") ?? "") ?? [];
  // git knows names and passwords alone: the token is the password, whatever the name.
  const given = Buffer.from(
    bearer ??
      Buffer.from(basic ?? "", "base64")
        .toString()
        .replace(/^[^:]*:/, ""),
  );
  const right = Buffer.from(token);
  return given.length === right.length && timingSafeEqual(given, right);
}

async function jsonOf(context: Context): Promise<unknown> {
  try {
    return await context.req.json();
  } catch {
    throw new SeatrialError("invalid", "the body is not JSON");
  }
}

function checked(schema: Route["body"] | Route["query"], value: unknown, what: string): unknown {
  if (!schema) return {};
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new InvalidError(parsed.error.issues.map(({ path, message }) => ({ path: [what, ...path].join("."), message })));
}

const statuses: Record<string, number> = {
  invalid: 400,
  usage: 400,
  refused: 403,
  "not-found": 404,
  conflict: 409,
  "already-exists": 409,
  unreachable: 503,
  timeout: 504,
};

function errorAnswer(error: unknown, status?: number): Response {
  const isKnown = error instanceof SeatrialError;
  const body = {
    code: isKnown ? error.code : "internal",
    message: messageOf(error),
    ...(isKnown && error.hint !== undefined ? { hint: error.hint } : {}),
  };
  return Response.json({ error: body }, { status: (status ?? statusOf(error)) as ContentfulStatusCode });
}

/** A full disk is no defect: the same call succeeds when there is room. */
function statusOf(error: unknown): number {
  if (systemCodeOf(error) === "ENOSPC") return 507;
  if (!(error instanceof SeatrialError)) return 500;
  return statuses[error.code] ?? (error.retryable ? 503 : 500);
}

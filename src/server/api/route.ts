/** One route of the public API: what it takes and gives, from which its checks and its description (OpenAPI 3.1) are made. */
import { z } from "zod";
import { limits } from "../../base/limits.ts";
import type { Context } from "hono";

/** Parameters of every list that is paged. */
export const cursor = {
  cursor: z.string().optional().describe("As the page before gave it."),
  limit: z.coerce.number().int().min(1).max(limits.pageItemsMost).optional().describe("Items of a page."),
};

export interface Route {
  method: "get" | "post" | "put" | "delete";
  /** As OpenAPI has it: `/api/v1/runs/{run}`. */
  path: string;
  /** `listRuns`: unique. */
  operation: string;
  summary: string;
  /** Only with the server's token: all that changes something, or shows what is not for everybody. */
  isProtected: boolean;
  query?: z.ZodObject;
  body?: z.ZodType;
  /** The JSON answer; or the content type of another. */
  answer: z.ZodType | { contentType: string };
  handle(call: Call): Promise<Response>;
}

/** A call that was checked against its route. */
export interface Call {
  params: Readonly<Record<string, string>>;
  query: Readonly<Record<string, unknown>>;
  body: unknown;
  context: Context;
}

/** The form of every answer that is no success. */
const errorSchema = z.object({
  error: z.object({
    code: z.string().describe("One word for programs."),
    message: z.string().describe("What was wrong, for people."),
    hint: z.string().optional().describe("What to do."),
    problems: z
      .array(z.object({ message: z.string() }))
      .optional()
      .describe("All that is wrong with a document."),
  }),
});

/** Describes routes as OpenAPI 3.1. */
export function openApi(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const parameters = [
      ...[...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({ name, in: "path", required: true, schema: { type: "string" } })),
      ...Object.entries(route.query?.shape ?? {}).map(([name, schema]) => ({
        name,
        in: "query",
        required: !(schema as z.ZodType).safeParse(undefined).success,
        schema: jsonSchema(schema as z.ZodType, "input"),
      })),
    ];
    const answer =
      route.answer instanceof z.ZodType
        ? { "application/json": { schema: jsonSchema(route.answer, "output") } }
        : { [route.answer.contentType]: { schema: { type: "string" } } };
    (paths[route.path] ??= {})[route.method] = {
      operationId: route.operation,
      summary: route.summary,
      ...(parameters.length > 0 ? { parameters } : {}),
      ...(route.body
        ? { requestBody: { required: true, content: { "application/json": { schema: jsonSchema(route.body, "input") } } } }
        : {}),
      ...(route.isProtected ? { security: [{ token: [] }] } : {}),
      responses: {
        "200": { description: "As asked.", content: answer },
        default: { description: "What was wrong.", content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } } },
      },
    };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Seatrial", version, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    paths,
    components: {
      schemas: { Error: jsonSchema(errorSchema, "output") },
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "The server's token, in the file `api-token` of its data folder." },
      },
    },
  };
}

/** @param io whether it is what a caller may leave out, or what an answer has. */
function jsonSchema(schema: z.ZodType, io: "input" | "output"): object {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, {
    target: "draft-2020-12",
    io,
    unrepresentable: "any",
  }) as Record<string, unknown>;
  return rest;
}

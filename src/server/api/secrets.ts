/** The key store of secrets: names go out, values only in. */
import { z } from "zod";
import { SeatrialError } from "../../base/errors.ts";
import type { SecretScope } from "../../secrets/record.ts";
import type { SecretStore } from "../../secrets/store.ts";
import type { Route } from "./route.ts";
import type { ApiOptions } from "./routes.ts";
import { secretSchema } from "./schemas.ts";

const scope = {
  forge: z.string().default("local").describe("Name of the repository's forge."),
  repository: z.string().min(1).optional().describe("Name of a repository at its forge. Default: secrets of all repositories."),
};
type Scope = { forge: string; repository?: string };

export function secretRoutes({ history, secrets, repositoryId }: ApiOptions): Route[] {
  const storeOf = (): SecretStore => {
    if (secrets) return secrets;
    throw new SeatrialError("conflict", "there is no store of secrets here");
  };
  const scopeOf = async ({ forge, repository }: Scope): Promise<SecretScope> => {
    if (repository === undefined) return "server";
    const id = (await repositoryId?.(forge, repository)) ?? (await history.queries.repositoryId(forge, repository));
    if (id !== undefined) return { forge, repositoryId: id };
    throw new SeatrialError("not-found", `no repository ${repository} of forge ${forge} is known`, {
      hint: "its name is the one in the list of runs; that of its forge, the one in the server's configuration",
    });
  };

  return [
    {
      method: "get",
      path: "/api/v1/secrets",
      operation: "listSecrets",
      summary: "Names of secrets; their values never leave the server but for a job.",
      isProtected: true,
      query: z.object(scope),
      answer: z.object({ items: z.array(secretSchema) }),
      handle: async ({ query, context }) => context.json({ items: await storeOf().list(await scopeOf(query as Scope)) }),
    },
    {
      method: "put",
      path: "/api/v1/secrets/{name}",
      operation: "setSecret",
      summary: "Sets a secret, whether it was there or not.",
      isProtected: true,
      body: z.object({ ...scope, value: z.string() }),
      answer: z.object({}),
      handle: async ({ params, body, context }) => {
        const { value, ...of } = body as Scope & { value: string };
        await storeOf().set(await scopeOf(of), params["name"]!, value);
        return context.json({});
      },
    },
    {
      method: "delete",
      path: "/api/v1/secrets/{name}",
      operation: "removeSecret",
      summary: "Removes a secret.",
      isProtected: true,
      query: z.object(scope),
      answer: z.object({}),
      handle: async ({ params, query, context }) => {
        const name = params["name"]!;
        if (await storeOf().remove(await scopeOf(query as Scope), name)) return context.json({});
        throw new SeatrialError("not-found", `there is no secret ${name}`, { hint: "seatrial secret list shows those that there are" });
      },
    },
  ];
}

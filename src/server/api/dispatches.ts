/** Dispatches: runs that somebody asks for, by the name of a workflow, or by an event of one's own. */
import { z } from "zod";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { runKind } from "../../resources/run.ts";
import type { Json } from "../../workflows/expressions/expressions.ts";
import type { Route } from "./route.ts";
import type { ApiOptions } from "./routes.ts";

const where = {
  forge: z.string().max(63).default("local").describe("Name of the repository's forge."),
  repository: z.string().min(1).max(256).describe("Name of the repository at its forge."),
  actor: z.string().min(1).max(256).optional().describe("Who asks: `github.actor`. Default: `seatrial`."),
};
const dispatchSchema = z.strictObject({
  ...where,
  workflow: z.string().min(1).max(1024).describe("Path or file name of the workflow, or its `name`."),
  ref: z.string().min(1).max(1024).optional().describe("Branch or tag to run. Default: the default branch."),
  inputs: z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
    .optional()
    .describe("Values of its inputs, by name. Default: their defaults."),
});
const repositoryDispatchSchema = z.strictObject({
  ...where,
  type: z.string().describe(`What happened, for \`types\`. Up to ${limits.dispatchTypeCharacters} characters.`),
  payload: z.record(z.string(), z.unknown()).optional().describe("`github.event.client_payload`: up to 10 keys and 64 KiB. Default: none."),
});
export type DispatchBody = z.input<typeof dispatchSchema>;
export type RepositoryDispatchBody = z.input<typeof repositoryDispatchSchema>;

export function dispatchRoutes({ dispatches, history, store }: ApiOptions): Route[] {
  /** Whoever asked may look at once. */
  const project = async (runs: readonly string[]) => {
    const made = await Promise.all(runs.map(async (run) => await store?.get(runKind, run)));
    await history.projection.projectRuns(made.filter((run) => run !== undefined));
  };
  const whereOf = async (forgeName: string, name: string) => {
    if (!dispatches)
      throw new SeatrialError("conflict", "no server runs here, and only a server can do that", { hint: "seatrial up starts one" });
    const forge = dispatches.forges.get(forgeName);
    if (!forge) {
      throw new SeatrialError("not-found", `there is no forge ${forgeName}`, {
        hint: `there are ${[...dispatches.forges.keys()].join(", ")}`,
      });
    }
    const { id } = await forge.repositoryNamed(name).catch(async (error: unknown) => {
      // One that got another name is known by the old one, too.
      const known = await history.queries.repositoryId(forgeName, name);
      if (known === undefined) throw error;
      return { id: known };
    });
    return { forge, repositoryId: id, dispatcher: dispatches.dispatcher };
  };

  return [
    {
      method: "post",
      path: "/api/v1/dispatches",
      operation: "dispatchWorkflow",
      summary: "Runs a workflow that has `workflow_dispatch`.",
      isProtected: true,
      body: dispatchSchema,
      answer: z.object({ run: z.string().describe("Name of the Run.") }),
      handle: async ({ body, context }) => {
        const { forge: forgeName, repository, ...dispatch } = body as z.output<typeof dispatchSchema>;
        const { forge, repositoryId, dispatcher } = await whereOf(forgeName, repository);
        const run = await dispatcher.dispatch(forge, { ...dispatch, repositoryId }, context.req.raw.signal);
        await project([run]);
        return context.json({ run });
      },
    },
    {
      method: "post",
      path: "/api/v1/repository-dispatches",
      operation: "dispatchRepository",
      summary: "Runs the workflows of a repository's default branch that have `repository_dispatch` with this type.",
      isProtected: true,
      body: repositoryDispatchSchema,
      answer: z.object({ runs: z.array(z.string()).describe("Names of the Runs; none where no workflow has it.") }),
      handle: async ({ body, context }) => {
        const { forge: forgeName, repository, type, payload, actor } = body as z.output<typeof repositoryDispatchSchema>;
        const { forge, repositoryId, dispatcher } = await whereOf(forgeName, repository);
        const told = { repositoryId, type, payload: payload as Record<string, Json> | undefined, actor };
        const runs = await dispatcher.tell(forge, told, context.req.raw.signal);
        await project(runs);
        return context.json({ runs });
      },
    },
  ];
}

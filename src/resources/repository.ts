/**
 * Repository: what is known of one repository of a forge, and what is allowed for it. The trigger makes one with the first change that
 * it is told of, so that it can be edited; whoever wants a policy before that makes it by its name ({@link repositoryName}).
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { hostChoiceSchema } from "./host.ts";
import { timestamp } from "./metadata.ts";
import type { Resource, ResourceKind } from "./object.ts";

export const repositorySpecSchema = z.strictObject({
  forge: z.string().min(1).max(63).describe("Name of the forge, as the server's configuration has it. Example: `gitea`."),
  id: z.string().min(1).max(128).describe("The forge's own id of it: a name can move to another repository. Example: `17`."),
  suspended: z.boolean().optional().describe("No run of it is started. Default: false."),
  forks: z
    .enum(["untrusted", "none"])
    .optional()
    .describe(
      "Pull requests from forks of people who may not write: `untrusted` runs them in that lane, `none` does not run them. Default: `untrusted`.",
    ),
  providers: z
    .array(z.enum(["kind", "bare"]))
    .max(8)
    .optional()
    .describe("Providers of clusters that its jobs may ask for. Default: all."),
  hosts: hostChoiceSchema.optional().describe("Hosts that its jobs may run on. Default: all."),
  maxJobs: z.int().min(1).max(10_000).optional().describe("Jobs of it that run at once. Default: as many as there is room for."),
  vars: z
    .record(z.string().min(1).max(256), z.string().max(4096))
    .optional()
    .describe(
      "Values of the `vars` context for its runs, but for those of forks. They are no secrets: whoever reads this resource, or a log, sees them. Example: `{REGISTRY: registry.example.org}`. Default: none.",
    ),
  retentionDays: z
    .int()
    .min(2)
    .max(3650)
    .optional()
    .describe("Its runs, logs and artifacts are kept no longer than this. Unit: days. Default: the server's bounds, which hold anyway."),
});

export const repositoryStatusSchema = z.strictObject({
  name: z.string().max(256).optional().describe("Its name at the forge. Example: `owner/project`."),
  defaultBranch: z.string().max(1024).optional().describe("Its default branch."),
  cloneUrl: z.string().max(2048).optional().describe("Where it is fetched from."),
  lastDeliveryAt: timestamp.optional().describe("When a delivery about it was handled last, to the minute."),
  lastSyncedAt: timestamp.optional().describe("When its heads were compared with their runs."),
  heads: z.int().min(0).optional().describe("Open heads then: branches and pull requests."),
  message: z.string().max(4096).optional().describe("What is wrong with it; for people."),
  epoch: z.int().min(0).optional().describe("Epoch of the leader that wrote this: a lower one may not write any more."),
});

export type RepositorySpec = z.infer<typeof repositorySpecSchema>;
export type RepositoryStatus = z.infer<typeof repositoryStatusSchema>;
export type Repository = Resource<RepositorySpec, RepositoryStatus> & { kind: "Repository" };

export const repositoryKind: ResourceKind<Repository> = {
  kind: "Repository",
  plural: "repositories",
  singular: "repository",
  shortNames: ["repo"],
  description: "What is known of one repository of a forge, and what is allowed for it.",
  spec: repositorySpecSchema,
  status: repositoryStatusSchema,
  columns: [
    { name: "Forge", jsonPath: ".spec.forge", type: "string", description: "Its forge." },
    { name: "Repository", jsonPath: ".status.name", type: "string", description: "Its name there." },
    { name: "Heads", jsonPath: ".status.heads", type: "integer", description: "Open branches and pull requests." },
    { name: "Age", jsonPath: ".metadata.creationTimestamp", type: "date", description: "Time since it was made." },
    { name: "Message", jsonPath: ".status.message", type: "string", priority: 1, description: "What is wrong with it." },
  ],
  rules: [],
};

/** The name of the Repository of that forge with that id, which is also the value of a label: `gitea-17`. */
export function repositoryName({ forge, id }: Pick<RepositorySpec, "forge" | "id">): string {
  const isPlain = /^[a-z0-9]([a-z0-9-]{0,36}[a-z0-9])?$/.test(forge) && /^[a-z0-9]{1,24}$/.test(id);
  if (isPlain) return `${forge}-${id}`;
  return `repository-${createHash("sha256").update(`${forge}\n${id}`).digest("hex").slice(0, 24)}`;
}

/** Whether it has an effect: a name that is not that of its forge and id is nobody's. */
export function hasItsName({ metadata, spec }: Pick<Repository, "metadata" | "spec">): boolean {
  return metadata.name === repositoryName(spec);
}

/** Repository: what is known of one repository of a forge, and what is allowed for it. */
import { z } from "zod";
import { timestamp } from "./metadata.ts";
import type { Resource, ResourceKind } from "./object.ts";

export const repositorySpecSchema = z.strictObject({
  forge: z.string().min(1).max(63).describe("Name of the forge."),
  id: z.string().min(1).max(128).describe("The forge's own id of it: a name can move to another repository."),
  name: z.string().min(1).max(256).describe("Name for people. Example: `owner/project`."),
  suspended: z.boolean().optional().describe("Nothing of it is started. Default: false."),
  providers: z
    .array(z.enum(["kind", "bare"]))
    .max(8)
    .optional()
    .describe("Providers of clusters that its jobs may ask for. Default: all."),
  maxJobs: z.int().min(1).max(10_000).optional().describe("Jobs of it that run at once. Default: as many as there is room for."),
  retentionDays: z.int().min(1).max(3650).optional().describe("How long logs and artifacts are kept. Unit: days. Default: the server's."),
});

export const repositoryStatusSchema = z.strictObject({
  lastSyncedAt: timestamp.optional().describe("When its heads were compared with their runs."),
  heads: z.int().min(0).optional().describe("Open heads: branches and pull requests."),
  message: z.string().max(4096).optional().describe("What is wrong with it; for people."),
  epoch: z.int().min(0).optional(),
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
    { name: "Repository", jsonPath: ".spec.name", type: "string", description: "Its name there." },
    { name: "Heads", jsonPath: ".status.heads", type: "integer", description: "Open branches and pull requests." },
    { name: "Age", jsonPath: ".metadata.creationTimestamp", type: "date", description: "Time since it was made." },
  ],
  rules: [],
};

/** Host: a Docker host that jobs and clusters may be placed on, and how much of it. */
import { z } from "zod";
import { timestamp } from "./metadata.ts";
import type { Resource, ResourceKind } from "./object.ts";
import { lanes } from "./run.ts";

export const hostSpecSchema = z.strictObject({
  endpoint: z
    .string()
    .max(1024)
    .optional()
    .describe(
      "As DOCKER_HOST has it: `unix://…`, `ssh://user@host`, `tcp://host:port` with TLS. Default: what the server's environment names.",
    ),
  lanes: z
    .array(z.enum(lanes))
    .min(1)
    .max(2)
    .optional()
    .describe(
      "Whose jobs it takes. A job of the untrusted lane gets a cluster with kubelets only where `untrusted` stands alone. Default: `[trusted]`.",
    ),
  tenancy: z
    .enum(["shared", "single-lane", "single-run"])
    .optional()
    .describe("What may be on it at once: anything, one lane, one run. Default: `shared`."),
  capacity: z
    .strictObject({
      clusters: z.int().min(0).max(1000).optional().describe("Clusters at once. Default: by its memory."),
      jobs: z.int().min(0).max(10_000).optional().describe("Jobs at once. Default: by its CPUs."),
    })
    .optional()
    .describe("How much it takes."),
});

export const hostStatusSchema = z.strictObject({
  reachable: z.boolean().optional().describe("Whether it answered when it was asked last."),
  dockerVersion: z.string().max(256).optional(),
  platform: z.string().max(256).optional().describe("Example: `linux/amd64`."),
  cpus: z.int().min(0).optional(),
  memoryBytes: z.int().min(0).optional(),
  message: z.string().max(4096).optional().describe("What is wrong with it; for people."),
  lastSeenAt: timestamp.optional(),
  epoch: z.int().min(0).optional(),
});

export type HostSpec = z.infer<typeof hostSpecSchema>;
export type HostStatus = z.infer<typeof hostStatusSchema>;
export type Host = Resource<HostSpec, HostStatus> & { kind: "Host" };

export const hostKind: ResourceKind<Host> = {
  kind: "Host",
  plural: "hosts",
  singular: "host",
  shortNames: [],
  description: "A Docker host that jobs and clusters may be placed on.",
  spec: hostSpecSchema,
  status: hostStatusSchema,
  columns: [
    { name: "Endpoint", jsonPath: ".spec.endpoint", type: "string", description: "Where it is." },
    { name: "Lanes", jsonPath: ".spec.lanes", type: "string", description: "Whose jobs it takes." },
    { name: "Reachable", jsonPath: ".status.reachable", type: "boolean", description: "Whether it answered." },
    { name: "Age", jsonPath: ".metadata.creationTimestamp", type: "date", description: "Time since it was made." },
  ],
  rules: [],
};

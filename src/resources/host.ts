/** Host: a Docker host that jobs and clusters may be placed on, and how much of it. */
import { z } from "zod";
import { timestamp } from "./metadata.ts";
import type { Resource, ResourceKind } from "./object.ts";
import { lanes } from "./run.ts";

/** Which of the hosts: those that have all that is said. */
export const hostChoiceSchema = z.strictObject({
  names: z.array(z.string().min(1).max(63)).min(1).max(100).optional().describe("One of these. Default: any. Example: `[local]`."),
  labels: z
    .record(z.string().max(317), z.string().max(63))
    .optional()
    .describe("Labels that the Host has, all of them. Default: any. Example: `{pool: large}`."),
});

export type HostChoice = z.infer<typeof hostChoiceSchema>;

/** Whether a host is one of a choice; each is of none. */
export function isChosen(
  host: { name: string; labels?: Readonly<Record<string, string>> | undefined },
  choice: HostChoice | undefined,
): boolean {
  if (choice?.names && !choice.names.includes(host.name)) return false;
  return Object.entries(choice?.labels ?? {}).every(([label, value]) => host.labels?.[label] === value);
}

/** For people: `a or b with pool=large`. */
export function formatHostChoice({ names, labels }: HostChoice): string {
  const having = Object.entries(labels ?? {}).map(([label, value]) => `${label}=${value}`);
  return [names?.join(" or ") ?? "any", ...(having.length > 0 ? [`with ${having.join(", ")}`] : [])].join(" ");
}

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
  container: z
    .strictObject({
      memoryPercent: z
        .int()
        .min(1)
        .max(100)
        .optional()
        .describe(
          "Of the host's memory. Where the change is not trusted, and a fair share of all jobs at once is less, that. Unit: percent. Default: 75.",
        ),
      processes: z.int().min(64).max(4_194_304).optional().describe("Processes and threads at once. Default: 4096."),
    })
    .optional()
    .describe(
      "The most that one container of a job takes: its runner's, and each that the job asks for. `options` of a workflow may say less.",
    ),
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

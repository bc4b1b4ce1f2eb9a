/** Registry: one image registry in a container on the Docker host, with ctlptl's fields. */
import { z } from "zod";
import type { Finding } from "./finding.ts";
import { apiVersion, ipAddress, metadataSchema, stringMap, timestamp } from "./metadata.ts";

const port = z.int().min(0).max(65535, "must be a port: 0 to 65535");

export const registrySpecSchema = z.strictObject({
  listenAddress: ipAddress
    .optional()
    .describe("Address of the Docker host that it listens on. Default: `127.0.0.1`. Example: `0.0.0.0`, for everybody."),
  port: port.optional().describe("Port on the Docker host. 0: the one it has, else one that is free. Default: 0. Limit: 65535."),
  image: z
    .string()
    .min(1, "must not be empty")
    .optional()
    .describe("Image of the registry. Default: the newest that we know. Example: `docker.io/library/registry:3`."),
  labels: stringMap
    .optional()
    .describe("Labels that the container must have. Default: none beside our own. A change makes it anew and keeps its contents."),
  env: z
    .array(z.string().regex(/^[^=]+=/, "must be NAME=VALUE"))
    .optional()
    .describe(
      "Environment of the container, added to the image's. Example: `[REGISTRY_PROXY_REMOTEURL=https://registry-1.docker.io]`. Default: none.",
    ),
});

export type RegistrySpec = z.infer<typeof registrySpecSchema>;

/** What an absent field means when the registry is made for the first time; later it means "as it is". */
export const registryDefaults = { name: "ctlptl-registry", listenAddress: "127.0.0.1", port: 0 } as const;

export const registryStatusSchema = z.strictObject({
  creationTimestamp: timestamp.optional().describe("When its container was made."),
  ipAddress: z.string().optional().describe("Its address on Docker's default network."),
  listenAddress: z.string().optional().describe("Address of the Docker host that it listens on."),
  hostPort: z.int().optional().describe("Port on the Docker host."),
  containerPort: z.int().optional().describe("Port in its container. Example: `5000`."),
  networks: z.array(z.string()).optional().describe("Docker networks that it is on."),
  containerId: z.string().optional().describe("Docker's id of its container."),
  state: z.string().optional().describe("State of its container, in Docker's words. Example: `running`."),
  labels: stringMap.optional().describe("Labels of its container."),
  env: z.array(z.string()).optional().describe("Environment of its container, with what the image brings."),
  image: z.string().optional().describe("Image of its container."),
  warnings: z.array(z.string()).optional().describe("What did not keep us from reading the status, and should be known."),
  owner: z.string().optional().describe("Who holds it: `declared`, or the process that made it."),
  notAfter: timestamp.optional().describe("When anybody may delete it. Absent: never."),
});

export type RegistryStatus = z.infer<typeof registryStatusSchema>;

export const registrySchema = z.strictObject({
  apiVersion: z.enum([apiVersion]).describe("Version of this API."),
  kind: z.enum(["Registry"]).describe("Kind of this resource."),
  metadata: metadataSchema.describe(
    "Who it is. The name is also its container's and the host that nodes pull from: a host name of at most 63 characters.",
  ),
  // Absent and empty mean the same: every field has a default.
  spec: registrySpecSchema.prefault({}).describe("What it shall be. Default: a registry with all defaults."),
  status: registryStatusSchema.optional().describe("What was seen last; written by Seatrial alone."),
});

export type Registry = z.infer<typeof registrySchema>;

/** The rules that a schema of single fields does not hold. */
export function checkRegistry({ metadata }: Registry, nameProblem = registryNameProblem): Finding[] {
  const message = nameProblem(metadata.name);
  return message === undefined ? [] : [{ path: ["metadata", "name"], message }];
}

/**
 * What is wrong with the name of a registry, or undefined. It is its container's name, and the host in references to its images, whose
 * grammar is the narrower one: https://pkg.go.dev/github.com/distribution/reference has `domain-name`, which knows no `_`.
 */
export function registryNameProblem(name: string): string | undefined {
  if (!/^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*$/.test(name)) {
    return `${JSON.stringify(name)} must be a host name, as nodes pull from it: parts of letters, digits and "-" with "." between them, each of which begins and ends with a letter or digit`;
  }
  return tooLong(name);
}

/**
 * The same of one that ctlptl's documents name, or that is there already: Docker's rule for containers. ctlptl makes one with a `_`, and
 * its images are pulled as `localhost:PORT/…`; by its own name they cannot be.
 */
export function registryContainerNameProblem(name: string): string | undefined {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) {
    return `${JSON.stringify(name)} must be made of letters, digits, "_", "." and "-", and begin with a letter or digit`;
  }
  return tooLong(name);
}

function tooLong(name: string): string | undefined {
  return name.length > 63 ? `has ${name.length} characters, and can have at most 63: it is a host name` : undefined;
}

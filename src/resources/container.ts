/** Containers that a job has beside its runner: its own, and those of its services. */
import { z } from "zod";

const expression = "may hold `${{ }}`, which the runner expands";

export const containerSpecSchema = z.strictObject({
  image: z
    .string()
    .min(1)
    .max(1024)
    .describe("Reference of the image. One digest of it is good for all jobs of a run. Example: `postgres:18`."),
  credentials: z
    .strictObject({ username: z.string().max(4096), password: z.string().max(65_536) })
    .optional()
    .describe(`For the image's registry; a value ${expression}. Default: none.`),
  env: z.record(z.string().max(256), z.string().max(65_536)).optional().describe(`Its environment; a value ${expression}.`),
  ports: z.array(z.string().max(64)).max(64).optional().describe('Ports of it on the job\'s localhost. Example: `["5432:5432", "80"]`.'),
  volumes: z
    .array(z.string().max(1024))
    .max(32)
    .optional()
    .describe("Volumes, which last as long as the attempt. Example: `[cache:/var/cache]`."),
  options: z.string().max(16_384).optional().describe("Options of `docker create`, of which an allow-list is taken."),
  entrypoint: z.string().max(4096).optional().describe("Program in place of the image's."),
  command: z.string().max(65_536).optional().describe("Arguments in place of the image's, as a shell splits words."),
});
export type ContainerSpec = z.infer<typeof containerSpecSchema>;

export const serviceSpecSchema = z.strictObject({
  name: z.string().max(63).describe("Key in the workflow's `services`, and its name in the job's network."),
  ...containerSpecSchema.shape,
});
export type ServiceSpec = z.infer<typeof serviceSpecSchema>;

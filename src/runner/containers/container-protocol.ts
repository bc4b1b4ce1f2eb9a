/**
 * What a runner asks of the server for containers beside its own, and the answer:
 *
 * ```
 * POST /runner/v1/attempts/UID/containers             make and start it, or tell how it is (ContainerRequest → ContainerAnswer)
 * POST /runner/v1/attempts/UID/containers/NAME/end    end and remove it
 * ```
 * A container is made once, whoever asks how often: to ask again is to look. The answer is `busy` while its image is pulled or
 * built, and comes within {@link limits.containerAnswerMs}. What asks is a job: nothing in a request is believed. A runner imports types
 * alone from here.
 */
import { z } from "zod";

const text = z.string().max(65_536);

const containerRoles = ["job", "service", "action"] as const;

export const containerRequestSchema = z.strictObject({
  /** `job`: runs the loop of the steps. `service`: on a network of the attempt. `action`: a Docker action. */
  role: z.enum(containerRoles),
  /** Of a service its id; else what tells it from others of the attempt. */
  name: z.string().regex(/^[A-Za-z0-9_][\w-]{0,62}$/),
  image: z.string().min(1).max(1024).optional(),
  /** In place of an image: a folder on the runner's side with a Dockerfile, whose path in it is `file`. */
  build: z.strictObject({ folder: z.string().max(4096), file: z.string().max(1024) }).optional(),
  credentials: z.strictObject({ username: text, password: text }).optional(),
  env: z.record(z.string().max(256), z.string().max(1_048_576)),
  volumes: z.array(z.string().max(1024)).max(32).optional(),
  /** As a workflow has them. */
  options: z.string().max(16_384).optional(),
  /** In place of the image's. */
  entrypoint: z.array(text).max(100).optional(),
  command: z.array(text).max(1000).optional(),
});
export type ContainerRequest = z.infer<typeof containerRequestSchema>;

export type ContainerAnswer =
  /** Its image is pulled or built, or it is started: ask again. */
  | { state: "busy" }
  | {
      state: "running";
      id: string;
      /** By its digest, or its id. */
      image: string;
      /** Environment that the image and the request give it. */
      env: readonly string[];
      /** Of a service. */
      address?: string | undefined;
      network?: string | undefined;
      /** Absent: it has no health check. */
      health?: "starting" | "healthy" | "unhealthy" | undefined;
      /** Last lines of its log, where it is not healthy. */
      log?: string | undefined;
    }
  /** `log`: of an action all that it did not print to its pipe, which is all where its image has no `sh`; of others the last lines. */
  | { state: "ended"; exitCode: number; isOutOfMemory: boolean; log: string }
  /** For good. `image`: the image is what cannot be had. */
  | { state: "failed"; cause: "image" | "container"; message: string };

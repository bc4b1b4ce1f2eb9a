/** What the public API says about runs, jobs, logs; times are ISO 8601 in UTC. */
import { z } from "zod";
import { jobRunSpecSchema } from "../../resources/job-run.ts";
import { runSpecSchema, sourceSchema } from "../../resources/run.ts";
import { causeSchema, verdictSchema } from "../../resources/verdict.ts";

const time = z.string().describe("A time in ISO 8601.");
const state = {
  name: z.string(),
  phase: z.string().describe("Where it is: see Run and JobRun."),
  verdict: verdictSchema.optional(),
  cause: causeSchema.optional(),
  message: z.string().optional().describe("Why it waits or ended so; for people."),
  createdAt: time,
  startedAt: time.optional(),
  finishedAt: time.optional(),
};

export const runSchema = z.object({
  ...state,
  title: z.string().optional().describe("The workflow's `run-name`; not in lists."),
  repository: z.string(),
  workflow: z.object({ path: z.string(), name: z.string() }),
  event: z.string(),
  ref: z.string(),
  sha: z.string(),
  lane: z.string(),
  link: z.string().describe("The page of it, below the server's origin."),
});

const stepSchema = z.object({
  name: z.string(),
  state: z.enum(["running", "finished"]),
  verdict: verdictSchema.optional(),
  conclusion: verdictSchema.optional(),
  exitCode: z.int().optional(),
  message: z.string().optional(),
  startedAt: time,
  finishedAt: time.optional(),
  firstLine: z.int().describe("Its first line in the log, from 1."),
});

const attemptSchema = z.object({
  uid: z.string(),
  number: z.int(),
  executor: z.string(),
  host: z.string(),
  startedAt: time,
  finishedAt: time.optional(),
  verdict: verdictSchema.optional(),
  message: z.string().optional(),
  steps: z.array(stepSchema),
  tests: z.partialRecord(z.string(), z.int()).describe("How many tests ended how."),
});

export const jobSchema = z.object({
  ...state,
  run: z.string(),
  job: z.string().describe("Id in the workflow."),
  jobName: z.string().describe("With the matrix cell."),
  needs: z.array(z.string()),
  clusters: z.array(
    z.object({
      name: z.string().describe("Key in the workflow."),
      cluster: z.string().describe("Name of the Cluster."),
      kubeconfig: z.string().optional().describe("Path of the file, on the server's machine; while the cluster is there."),
    }),
  ),
  environment: jobRunSpecSchema.shape.environment,
  heldUntil: time.optional(),
  attempts: z.array(attemptSchema),
  link: z.string(),
});

export const runViewSchema = z.object({ run: runSchema, jobs: z.array(jobSchema) });
export type RunView = z.infer<typeof runViewSchema>;
export type JobView = z.infer<typeof jobSchema>;
export type RunBody = z.infer<typeof runSchema>;

export const newRunSchema = z.object({
  source: sourceSchema,
  workflow: z.object({
    path: z.string(),
    text: z
      .string()
      .max(1024 * 1024)
      .describe("The file."),
    calls: z.record(z.string(), z.string()).optional().describe("Workflow files that it calls, and that those call, by their paths."),
  }),
  event: z.record(z.string(), z.unknown()).describe("The event's payload."),
  inputs: runSpecSchema.shape.inputs,
  jobs: runSpecSchema.shape.jobs,
  matrix: runSpecSchema.shape.matrix,
  hold: jobRunSpecSchema.shape.hold,
  priority: runSpecSchema.shape.priority,
});
export type NewRun = z.infer<typeof newRunSchema>;

const job = z.string().optional().describe("Name of a job, or of a JobRun. Default: all.");

export const rerunSchema = z
  .object({ failed: z.boolean().optional().describe("Only what did not pass. Default: false."), job })
  .refine((body) => !(body.failed && body.job !== undefined), "either the jobs that failed or one by its name");
export type RerunBody = z.infer<typeof rerunSchema>;

export const holdSchema = z.object({
  forSeconds: z.int().min(0).max(86_400).describe("How long; 0 lets them go. Unit: seconds."),
  job,
});

export const lineSchema = z.object({
  number: z.int().describe("From 1."),
  text: z.string(),
  isCut: z.boolean().describe("The raw log has the rest."),
  time,
});
export type LineBody = z.infer<typeof lineSchema>;
export const linesSchema = z.object({
  lines: z.array(lineSchema),
  next: z.int().optional().describe("Line to ask for next."),
  total: z.int().describe("Lines of the log so far."),
  isClosed: z.boolean(),
});

export const testSchema = z.object({
  suite: z.string(),
  className: z.string(),
  name: z.string(),
  verdict: verdictSchema,
  file: z.string().optional(),
  durationMs: z.number().optional(),
  message: z.string().optional(),
  details: z.string().optional(),
  logLine: z.int().optional().describe("Line of the log that shows the failure."),
  link: z.string().optional(),
});

export const artifactSchema = z.object({ path: z.string(), size: z.int(), digest: z.string() });
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), next: z.string().optional().describe("Cursor of the next page.") });

export const secretSchema = z.object({ name: z.string(), createdAt: time, updatedAt: time });
export type SecretBody = z.infer<typeof secretSchema>;

export const deliverySchema = z.object({
  id: z.int().describe("Ours: counts up in the order of arrival."),
  forge: z.string(),
  delivery: z.string().describe("The forge's id of it."),
  event: z.string(),
  state: z.enum(["waiting", "done", "failed"]),
  attempts: z.int().describe("How often it was handled."),
  error: z.string().optional().describe("What went wrong in the last attempt."),
  receivedAt: time,
  endedAt: time.optional(),
});
export type DeliveryBody = z.infer<typeof deliverySchema>;

export const checkSchema = z.object({
  context: z.string().describe("Its name at the commit."),
  state: z.enum(["pending", "success", "failure", "error"]),
  description: z.string(),
  targetUrl: z.string(),
});
export type CheckBody = z.infer<typeof checkSchema>;

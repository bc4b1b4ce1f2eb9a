/**
 * JobRun: one job of a Run, or one cell of its matrix; the unit that has its own clusters and its own check.
 *
 * All that depends on other jobs is resolved when it is made; what depends on the job's own steps, and every secret, stays
 * an expression that the runner expands. A rerun of the job is another attempt of the same JobRun.
 *
 * ```
 * Waiting ──▶ Booting (its clusters) ──▶ Running (its runner was started) ──▶ Finished
 *    └──────────────┴──── aborted, error, timed-out ──────────────────────────▲
 * ```
 */
import { z } from "zod";
import { clusterSpecSchema } from "./cluster.ts";
import { containerSpecSchema, serviceSpecSchema } from "./container.ts";
import { hostChoiceSchema } from "./host.ts";
import { timestamp } from "./metadata.ts";
import type { Resource, ResourceKind } from "./object.ts";
import { laneSchema, prioritySchema } from "./run.ts";
import { causeSchema, verdictSchema } from "./verdict.ts";

const expression = "may hold `${{ }}`, which the runner expands";
const env = z.record(z.string().max(256), z.string().max(65_536)).describe(`Environment variables; a value ${expression}.`);

export const stepSchema = z.strictObject({
  id: z.string().max(256).optional().describe("By which later steps refer to it. Default: none."),
  name: z.string().max(1024).optional().describe(`Name for people; ${expression}. Default: made from what it runs.`),
  if: z.string().max(16_384).optional().describe("Expression, without `${{ }}`: whether it runs. Default: `success()`."),
  run: z.string().max(262_144).optional().describe(`Script; ${expression}. Either this or \`uses\`.`),
  shell: z.string().max(256).optional().describe("`bash`, `sh`, or a command with `{0}` for the script's file. Default: bash, else sh."),
  workingDirectory: z.string().max(4096).optional().describe(`Folder below the workspace; ${expression}. Default: the workspace.`),
  uses: z.string().max(1024).optional().describe("Action: `owner/repo@ref`, `owner/repo/path@ref`, `./path` or `docker://image`."),
  with: z.record(z.string().max(256), z.string().max(65_536)).optional().describe(`Inputs of the action; a value ${expression}.`),
  env: env.optional(),
  continueOnError: z
    .string()
    .max(4096)
    .optional()
    .describe("`true`, `false` or an expression: whether its failure fails the job. Default: `false`."),
  timeoutMinutes: z.string().max(4096).optional().describe("Number or expression. Unit: minutes. Default: the job's."),
});

export type StepSpec = z.infer<typeof stepSchema>;

export const executors = ["host", "docker"] as const;
export type ExecutorName = (typeof executors)[number];

const runsOnSchema = z.strictObject({
  labels: z.array(z.string().max(256)).max(20).describe("As the workflow has them. Example: `[ubuntu-latest]`."),
  executor: z.enum(executors).describe("`host`: a process of the server's machine; `docker`: a container on a Docker host."),
  hosts: hostChoiceSchema.optional().describe("Hosts that it may run on, by its labels. Default: all."),
  architecture: z.enum(["amd64", "arm64"]).optional().describe("Of the machine that it may run on, by its labels. Default: any."),
  image: z.string().max(1024).optional().describe("Image for executor docker, by its digest. Default: the runner's image."),
});

export const jobRunSpecSchema = z.strictObject({
  run: z.string().min(1).max(253).describe("Name of the Run."),
  repository: z.string().max(256).describe("The repository, for people and for fair shares."),
  lane: laneSchema,
  priority: prioritySchema.optional().describe(`${prioritySchema.description} Default: \`branch\`.`),
  job: z
    .string()
    .min(1)
    .max(1200)
    .describe(
      "Id of the job in the workflow; of one that is called the caller's before it: `deploy/build`, `deploy.1/build` of its second cell.",
    ),
  name: z
    .string()
    .min(1)
    .max(1200)
    .describe("Name for people, with the cell: `integration (v1.36, deep)`, `caller / callee`; its check has it."),
  workflowPath: z
    .string()
    .max(1024)
    .optional()
    .describe(
      "File of the called workflow that it is a job of: `.github/workflows/deploy.yml`, of another repository `OWNER/REPO/PATH@REF`. Default: the run's.",
    ),
  cell: z.string().max(65_536).optional().describe("The matrix cell, as a JSON object. Default: none."),
  needs: z.array(z.string().max(1200)).max(256).optional().describe("Ids of the jobs that it needed; they have ended. Default: none."),
  needsContext: z.string().max(1_048_576).optional().describe("What `needs` is in expressions, as a JSON object: results and outputs."),
  inputsContext: z
    .string()
    .max(262_144)
    .optional()
    .describe("What `inputs` is in expressions of a called job, as a JSON object. Default: what it is for the run."),
  secrets: z
    .array(
      z.strictObject({
        values: z
          .record(z.string().max(256), z.string().max(65_536))
          .describe("By the names of the called workflow; a value may hold `${{ }}`, over the secrets of the level before."),
        contexts: z.string().max(262_144).describe("What else those see, as a JSON object."),
      }),
    )
    .max(10)
    .optional()
    .describe(
      "Which secrets a called job has, level by level, the outermost first. No value of a secret is here. Default: all of the run.",
    ),
  concurrency: z
    .strictObject({
      group: z.string().min(1).max(400).describe("Name of the group; it has no case."),
      cancelInProgress: z.boolean().describe("Whether it ends the one that has the group."),
      queue: z.enum(["single", "max"]).describe("`single`: the newest that waits takes the place of older ones; `max`: all wait."),
    })
    .optional()
    .describe("One at a time of all in the repository that name the same group. Default: none."),
  environment: z
    .strictObject({ name: z.string().max(255), url: z.string().max(2048).optional() })
    .optional()
    .describe("The environment that it is for, for people. Default: none."),
  notices: z.array(z.string().max(1024)).max(20).optional().describe("What of the workflow does less here than it says; its log has it."),
  strategyContext: z.string().max(4096).optional().describe("What `strategy` is in expressions, as a JSON object."),
  skip: z.string().max(1024).optional().describe("Why it does not run at all; it then ends as `skipped`."),
  invalid: z
    .string()
    .max(4096)
    .optional()
    .describe("Why it cannot run at all (an expression of the job that fails); it then ends as `error`."),
  env: env.optional(),
  steps: z.array(stepSchema).max(1000).describe("What it does, in order."),
  outputs: z.record(z.string().max(256), z.string().max(65_536)).optional().describe(`Outputs of the job; a value ${expression}.`),
  timeoutMinutes: z.number().min(0.001).max(4320).optional().describe("Unit: minutes. Default: 360."),
  continueOnError: z.boolean().optional().describe("Whether the run passes although it fails. Default: false."),
  failFast: z
    .boolean()
    .optional()
    .describe("Whether its failure aborts the other cells of its matrix. Default: true where there is a matrix."),
  maxParallel: z
    .int()
    .min(1)
    .max(256)
    .optional()
    .describe("How many cells of its matrix run at once. Default: as many as there is room for."),
  clusters: z
    .array(
      z.strictObject({
        name: z.string().max(63).describe("Key in the workflow's `clusters`; `cluster` for the one of `cluster`."),
        spec: clusterSpecSchema.describe("What it shall be."),
      }),
    )
    .max(8)
    .optional()
    .describe("Clusters that are Ready before the first step. Default: none."),
  container: containerSpecSchema.optional().describe("Container that its steps run in. Default: that of the runner."),
  services: z.array(serviceSpecSchema).max(16).optional().describe("Containers beside it, healthy before the first step. Default: none."),
  runsOn: runsOnSchema.describe("Where it may run."),
  attempt: z.int().min(1).optional().describe("Which attempt is wanted: raised by each rerun. Default: 1."),
  hold: z
    .strictObject({ forSeconds: z.int().min(1).max(86_400).describe("How long. Unit: seconds.") })
    .optional()
    .describe("Keep its clusters when it fails. Default: no."),
  abort: z.string().max(1024).optional().describe("Set to end it: who, or what, wants that, for people."),
});

export const attemptSchema = z.strictObject({
  number: z.int().min(1).describe("1 for the first."),
  uid: z.string().max(64).describe("Names its log, its artifacts, its clusters and its processes."),
  executor: z.enum(executors),
  host: z.string().max(63).describe("Name of the Host."),
  endpoint: z
    .string()
    .max(1024)
    .optional()
    .describe("How its Docker host was reached, as DOCKER_HOST has it: there it is looked for, whatever becomes of the Host."),
  startedAt: timestamp.optional().describe("When its runner was started."),
  finishedAt: timestamp.optional(),
  verdict: verdictSchema.optional(),
  cause: causeSchema.optional(),
  message: z.string().max(4096).optional().describe("Why it ended so; for people."),
  images: z
    .array(
      z.strictObject({
        reference: z.string().max(1024).describe("As the workflow, or an action, has it."),
        digest: z.string().max(1024).describe("By its digest; by its id where it is in no registry."),
      }),
    )
    .max(100)
    .optional()
    .describe("Images of the containers that it had beside its runner."),
});

export const jobRunStatusSchema = z.strictObject({
  phase: z
    .enum(["Waiting", "Booting", "Running", "Finished"])
    .optional()
    .describe(
      "Where it is: `Waiting` for a place, `Booting` its clusters, `Running` since its runner was started, `Finished`. Absent: nobody has looked at it yet.",
    ),
  verdict: verdictSchema.optional(),
  cause: causeSchema.optional(),
  message: z
    .string()
    .max(4096)
    .optional()
    .describe("Why it waits, or why it ended so; for people. Example: `2 of 2 clusters of host local are in use`."),
  attempt: z.int().min(1).optional().describe("Number of the attempt that phase and verdict are of."),
  attempts: z.array(attemptSchema).max(100).optional().describe("Each time that it was run; the last is the one that counts."),
  clusters: z
    .array(z.strictObject({ name: z.string().max(63), cluster: z.string().max(63).describe("Name of the Cluster.") }))
    .max(8)
    .optional()
    .describe("Its clusters."),
  groupSince: timestamp.optional().describe("Since when it has its concurrency group; absent while it waits for that, or is in none."),
  fitsNowhereSince: timestamp.optional().describe("Since when no Host that is declared can ever hold it; absent when one can."),
  heldUntil: timestamp.optional().describe("Until when its clusters are kept."),
  outputs: z
    .record(z.string().max(256), z.string().max(1_048_576))
    .optional()
    .describe("What it gave, for jobs that need it; 1 MiB altogether."),
  startedAt: timestamp.optional().describe("When its first step began."),
  finishedAt: timestamp.optional(),
  epoch: z.int().min(0).optional().describe("Epoch of the leader that wrote this: a lower one may not write any more."),
});

export type JobRunSpec = z.infer<typeof jobRunSpecSchema>;
export type JobRunStatus = z.infer<typeof jobRunStatusSchema>;
export type AttemptStatus = z.infer<typeof attemptSchema>;
export type JobRun = Resource<JobRunSpec, JobRunStatus> & { kind: "JobRun" };

export const jobRunKind: ResourceKind<JobRun> = {
  kind: "JobRun",
  plural: "jobruns",
  singular: "jobrun",
  shortNames: ["jr"],
  description: "One job of a Run, or one cell of its matrix: the unit with its own clusters and its own check.",
  spec: jobRunSpecSchema,
  status: jobRunStatusSchema,
  columns: [
    { name: "Run", jsonPath: ".spec.run", type: "string", description: "Name of its Run." },
    { name: "Job", jsonPath: ".spec.name", type: "string", description: "Name of the job." },
    { name: "Phase", jsonPath: ".status.phase", type: "string", description: "Where it is." },
    { name: "Verdict", jsonPath: ".status.verdict", type: "string", description: "How it ended." },
    { name: "Age", jsonPath: ".metadata.creationTimestamp", type: "date", description: "Time since it was made." },
    { name: "Message", jsonPath: ".status.message", type: "string", priority: 1, description: "Why it waits or ended so." },
  ],
  rules: [
    {
      at: ["spec"],
      rule: "self.steps == oldSelf.steps || (has(self.attempt) && (!has(oldSelf.attempt) || self.attempt > oldSelf.attempt))",
      message: "steps do not change, but for another attempt",
    },
    {
      at: ["status"],
      rule: "has(self.verdict) == (has(self.phase) && self.phase == 'Finished')",
      message: "a verdict and the phase Finished come together",
    },
  ],
};

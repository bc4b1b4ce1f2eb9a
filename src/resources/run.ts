/**
 * Run: one workflow for one change. Made by a trigger or a command; the run reconciler makes its JobRuns and says how it
 * ended. The workflow's text and the event are kept in the history by their digest: lists of resources stay small.
 */
import { z } from "zod";
import { timestamp } from "./metadata.ts";
import type { Resource, ResourceKind } from "./object.ts";
import { causeSchema, verdictSchema } from "./verdict.ts";

const sha = z.string().regex(/^[0-9a-f]{40}([0-9a-f]{24})?$/, "must be a whole commit id");
const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/, "must be sha256: and 64 hexadecimal digits");

export const events = [
  "push",
  "pull_request",
  "merge_group",
  "schedule",
  "workflow_dispatch",
  "repository_dispatch",
  "release",
  "create",
  "delete",
] as const;
export type EventName = (typeof events)[number];
/** Whose jobs get the next place that is free, the first first: who waits for them, and how many wait with them. */
export const priorities = ["merge-queue", "pull-request", "branch", "periodic"] as const;
export type Priority = (typeof priorities)[number];

const priorityOfEvent: Record<EventName, Priority> = {
  merge_group: "merge-queue",
  pull_request: "pull-request",
  push: "branch",
  workflow_dispatch: "branch",
  repository_dispatch: "branch",
  release: "branch",
  create: "branch",
  delete: "branch",
  schedule: "periodic",
};

export const prioritySchema = z
  .enum(priorities)
  .describe("Whose jobs get the next place that is free: `merge-queue`, `pull-request`, `branch`, `periodic`, in this order.");

export const lanes = ["trusted", "untrusted"] as const;
export type Lane = (typeof lanes)[number];

export const laneSchema = z
  .enum(lanes)
  .describe("`untrusted`: heads of forks by authors without write access. Computed once, by the forge's numeric ids.");

const actorSchema = z.strictObject({
  id: z.string().max(64).describe("The forge's own id of the account; names prove nothing."),
  login: z.string().max(256).describe("Name of the account, for people."),
});

/** The forge of runs that the command `run` makes of what is in a working tree. */
export const workingTree = "working-tree";

export const sourceSchema = z.strictObject({
  forge: z.string().min(1).max(63).describe("Name of the forge that it came from, as the server's configuration has it. Example: `local`."),
  repository: z
    .strictObject({
      id: z.string().min(1).max(128).describe("The forge's own id of the repository."),
      name: z.string().min(1).max(256).describe("Name for people. Example: `owner/project`."),
    })
    .describe("The repository that the workflow is of."),
  event: z.enum(events).describe("What happened. Example: `push`."),
  ref: z.string().min(1).max(1024).describe("The ref in the sense of GITHUB_REF. Example: `refs/heads/main`, `refs/pull/7/merge`."),
  base: z
    .strictObject({
      ref: z.string().min(1).max(1024).describe("Branch without refs/heads/. Example: `main`."),
      sha: sha.describe("Its commit: what was pushed, or what the heads are merged into."),
    })
    .describe("The branch, and the commit that counts."),
  heads: z
    .array(
      z.strictObject({
        number: z.int().min(1).optional().describe("Number of the pull request."),
        sha: sha.describe("Commit of the head."),
        ref: z.string().min(1).max(1024).describe("Branch of the head."),
        repositoryId: z.string().max(128).describe("The forge's id of the repository that the head is of: another one for a fork."),
        author: actorSchema.describe("Who opened it."),
      }),
    )
    .max(20)
    .optional()
    .describe("What is merged into the base, in this order, before the jobs see it. Default: nothing."),
  commit: sha.describe("What jobs check out: the merge of the heads into the base; the base itself without heads."),
  sender: actorSchema.optional().describe("Who caused the event."),
  lane: laneSchema,
  delivery: z.string().max(256).optional().describe("Id of the delivery that caused it; absent when a head was found without one."),
  eventDigest: digestSchema.optional().describe("The event's payload, in the history: what `github.event` is."),
});

export type Source = z.infer<typeof sourceSchema>;

export const runSpecSchema = z.strictObject({
  source: sourceSchema.describe("The change, and what happened to it. Does not change."),
  workflow: z
    .strictObject({
      path: z.string().min(1).max(1024).describe("File in the repository. Example: `.seatrial/test.yml`."),
      name: z.string().max(512).describe("Its `name`, else the path."),
      digest: digestSchema.describe("Its text, in the history."),
      calls: digestSchema
        .optional()
        .describe(
          "Files that its jobs call, and those call, of the same commit: a JSON object of texts by path, in the history. Default: none.",
        ),
    })
    .describe("The workflow. Does not change."),
  jobs: z
    .array(z.string().max(256))
    .max(1000)
    .optional()
    .describe("Only these jobs, as `JOB` or `JOB (cell)`, and what they need. Default: all."),
  matrix: z
    .record(z.string().max(256), z.array(z.string().max(1024)).max(256))
    .optional()
    .describe("Of jobs with such a key in their matrix only the cells with one of the values. Default: all. Example: `{k8s: [v1.36]}`."),
  notices: z
    .array(z.string().max(1024))
    .max(20)
    .optional()
    .describe("What of its triggers its forge never tells; the logs of its jobs have it. Default: nothing."),
  inputs: z.string().max(262_144).optional().describe("What `inputs` is in expressions, as a JSON object. Default: `{}`."),
  number: z.int().min(1).optional().describe("Counts the runs of this workflow in this repository: `github.run_number`. Default: 1."),
  attempt: z.int().min(1).optional().describe("Raised by each rerun. Default: 1."),
  rerun: z
    .strictObject({
      failed: z.boolean().optional().describe("Those that did not pass. Default: false."),
      jobs: z.array(z.string().max(253)).max(1000).optional().describe("These JobRuns."),
    })
    .optional()
    .describe("What an attempt after the first runs again, each with all jobs that need it. Default: all."),
  hold: z
    .strictObject({ forSeconds: z.int().min(1).max(86_400).describe("How long. Unit: seconds.") })
    .optional()
    .describe("Keep the cluster of a job that fails. Default: no."),
  priority: prioritySchema.optional().describe(`${prioritySchema.description} Default: by the event.`),
  abort: z.string().max(1024).optional().describe("Set to end it: who, or what, wants that, for people."),
  reproduces: digestSchema
    .optional()
    .describe("Lock document, in the history, of the one job that is run again, without those that it needed. Default: none."),
});

export const runStatusSchema = z.strictObject({
  phase: z.enum(["Pending", "Running", "Finished"]).optional().describe("Where it is. Absent: nobody has looked at it yet."),
  verdict: verdictSchema.optional(),
  cause: causeSchema.optional(),
  message: z.string().max(4096).optional().describe("Why it waits, or why it ended so; for people."),
  title: z.string().max(1024).optional().describe("The workflow's `run-name`, expanded."),
  groups: z
    .array(
      z.strictObject({
        of: z.string().max(1200).describe("`deploy`, a job that calls a workflow, or `deploy/`, that workflow; empty for the run itself."),
        group: z.string().max(400),
        state: z.enum(["waiting", "held"]),
        cancelInProgress: z.boolean().optional(),
        queue: z.enum(["single", "max"]).optional(),
        since: timestamp.describe("When it was asked for."),
      }),
    )
    .max(1000)
    .optional()
    .describe("Concurrency groups that it has, or waits for, but for those of single jobs."),
  counts: z
    .strictObject({
      waiting: z.int().min(0),
      running: z.int().min(0),
      passed: z.int().min(0),
      failed: z.int().min(0),
      error: z.int().min(0),
      "timed-out": z.int().min(0),
      aborted: z.int().min(0),
      skipped: z.int().min(0),
    })
    .partial()
    .optional()
    .describe("How many of its jobs are where; what is absent is 0."),
  total: z.int().min(0).optional().describe("Jobs known so far."),
  attempt: z.int().min(1).optional().describe("The attempt that this is of. Default: 1."),
  startedAt: timestamp.optional().describe("When its first job could run."),
  finishedAt: timestamp.optional().describe("When its last job had ended."),
  epoch: z.int().min(0).optional().describe("Epoch of the leader that wrote this: a lower one may not write any more."),
});

export type RunSpec = z.infer<typeof runSpecSchema>;
export type RunStatus = z.infer<typeof runStatusSchema>;
export type Run = Resource<RunSpec, RunStatus> & { kind: "Run" };

export const runKind: ResourceKind<Run> = {
  kind: "Run",
  plural: "runs",
  singular: "run",
  shortNames: [],
  description: "One workflow for one change.",
  spec: runSpecSchema,
  status: runStatusSchema,
  columns: [
    { name: "Workflow", jsonPath: ".spec.workflow.name", type: "string", description: "Name of the workflow." },
    { name: "Event", jsonPath: ".spec.source.event", type: "string", description: "What happened." },
    { name: "Ref", jsonPath: ".spec.source.ref", type: "string", description: "Where." },
    { name: "Phase", jsonPath: ".status.phase", type: "string", description: "Where it is." },
    { name: "Verdict", jsonPath: ".status.verdict", type: "string", description: "How it ended." },
    { name: "Age", jsonPath: ".metadata.creationTimestamp", type: "date", description: "Time since it was made." },
    { name: "Lane", jsonPath: ".spec.source.lane", type: "string", priority: 1, description: "Whether the change is trusted." },
    { name: "Message", jsonPath: ".status.message", type: "string", priority: 1, description: "Why it waits or ended so." },
  ],
  rules: [
    { at: ["spec", "source"], rule: "self == oldSelf", message: "source does not change: make another Run" },
    { at: ["spec", "workflow"], rule: "self == oldSelf", message: "workflow does not change: make another Run" },
    {
      at: ["status"],
      rule: "has(self.verdict) == (has(self.phase) && self.phase == 'Finished')",
      message: "a verdict and the phase Finished come together",
    },
    {
      at: ["status"],
      rule:
        "!has(oldSelf.verdict) || (has(self.verdict) && self.verdict == oldSelf.verdict) || " +
        "(has(self.attempt) && self.attempt > 1 && (!has(oldSelf.attempt) || self.attempt > oldSelf.attempt))",
      message: "a verdict does not change, but by another attempt",
    },
  ],
};

/** What a Run says of its priority, else what its event says. */
export function priorityOf({ priority, source }: RunSpec): Priority {
  return priority ?? priorityOfEvent[source.event];
}

/** Labels that Runs and JobRuns carry, to be listed by. */
export const runLabels = {
  run: "seatrial.dev/run",
  /** Of a Run: the same for all of one pull request. */
  pullRequest: "seatrial.dev/pull-request",
  jobRun: "seatrial.dev/job-run",
  /** Of Runs and JobRuns: name of their Repository, which need not be there. */
  repository: "seatrial.dev/repository",
  /** Of a Cluster: uid of the attempt that it is for. */
  attempt: "seatrial.dev/attempt",
  /** Of a Cluster: name of the host of that attempt. */
  host: "seatrial.dev/host",
  /** Of a Cluster: the Docker network that it shares with the other clusters of its job, where it does. */
  network: "seatrial.dev/network",
} as const;

/** Under which the runs of a workflow are counted. */
export function runNumberKey({ forge, repository }: Pick<Source, "forge" | "repository">, workflowPath: string): string {
  return `run-number/${forge}/${repository.id}/${workflowPath}`;
}

/** Whether the attempt that is wanted of a Run or a JobRun has ended: after a rerun its status is of the one before, for a moment. */
export function hasEnded({
  spec,
  status,
}: {
  spec: { attempt?: number | undefined };
  status?: { phase?: string | undefined; attempt?: number | undefined } | undefined;
}): boolean {
  return status?.phase === "Finished" && (status.attempt ?? 1) >= (spec.attempt ?? 1);
}

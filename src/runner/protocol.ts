/**
 * What the runner of an attempt and the server say to each other. One attempt, one runner, one token that is good for this
 * attempt alone. All calls go from the runner to the server, over HTTP, and can be repeated: the runner spools to its disk
 * and goes on where the server says that it is, so that a restart of the server loses and repeats nothing.
 *
 * ```
 * GET  /runner/v1/attempts/UID/assignment            what to do (AssignmentMessage)
 * POST /runner/v1/attempts/UID/report                heartbeat, and what happened since (ReportMessage → ReportAnswer)
 * POST /runner/v1/attempts/UID/log?offset=N          the log's bytes from offset N, masked (→ LogAnswer)
 * PUT  /runner/v1/attempts/UID/artifacts/PATH        one file
 * …    /runner/v1/attempts/UID/uploads, …/caches     named artifacts of the run, caches of the repository: server/runners/runner-storage.ts
 * GET  /runner/v1/attempts/UID/git/…                 the repository, in git's smart HTTP protocol, read only
 * GET  /runner/v1/attempts/UID/actions?uses=…        the repository of an action at a ref, as an archive; 404: nowhere, 424: not to be reached
 * POST /runner/v1/attempts/UID/actions               what the metadata of an action says (ActionMetadata → ActionDefinition); 422: what is wrong
 * GET  /runner/v1/attempts/UID/clusters/NAME         with `Upgrade: tcp`: one connection to the API of a cluster of the job
 * ```
 * 401: the token is not this attempt's, or the attempt has ended for the server: the runner ends its steps and itself.
 * 408, 425, 429, 5xx, no answer: the runner tries again, for as long as steps run without end. 409 to a report: again, too.
 * Any other refusal is for good. A runner imports types alone from here: zod is not in its bundle.
 */
import { z } from "zod";
import { limits } from "../base/limits.ts";
import { containerSpecSchema, serviceSpecSchema } from "../resources/container.ts";
import { stepSchema } from "../resources/job-run.ts";
import { causeSchema, verdictSchema } from "../resources/verdict.ts";

/** What the starter of the runner writes to its standard input, as one line of JSON: it appears in no argv or environment. */
export const runnerInputSchema = z.strictObject({
  attempt: z.string(),
  /** Origin of the server, without a path; or the socket that leads to it. */
  server: z.string().optional(),
  door: z.string().optional(),
  token: z.string(),
  /** Folder of the attempt on the runner's side: spool, step files, workspace. Made when it is not there. */
  directory: z.string(),
});
export type RunnerInput = z.infer<typeof runnerInputSchema>;

export const assignmentSchema = z.strictObject({
  attempt: z.string(),
  /** Steps of the JobRun; strings hold their expressions. */
  steps: z.array(stepSchema),
  /** The workflow's and the job's, in one; values hold their expressions, and cannot see each other. */
  env: z.record(z.string(), z.string()),
  outputs: z.record(z.string(), z.string()),
  timeoutMinutes: z.number(),
  /** What of the workflow does less here than it says: the log begins with it. */
  notices: z.array(z.string()).optional(),
  /** Values of `env` and `credentials` hold their expressions. */
  container: containerSpecSchema.optional(),
  services: z.array(serviceSpecSchema).optional(),
  /**
   * Values of the contexts that the server knows: github (with `event`), needs, matrix, strategy, vars, inputs, runner (what the
   * runner cannot know itself: name). `secrets` is apart.
   */
  contexts: z.record(z.string(), z.json()),
  /** Values to expand and to mask. */
  secrets: z.record(z.string(), z.string()),
  /** More values to mask that no expression names: tokens, keys of kubeconfigs. */
  masks: z.array(z.string()),
  checkout: z.strictObject({
    /** The commit to check out: the merge of base and heads. Absent: nothing to check out. */
    sha: z.string().optional(),
    ref: z.string().optional(),
    /**
     * Where git finds it: a folder of this machine, or a URL (the token goes in a header); `server:/PATH` is a path of the server, by
     * whatever way the runner reaches it.
     */
    from: z.string().optional(),
  }),
  /** Kubeconfigs by cluster name, as JSON (which is YAML, and needs no parser); the first is KUBECONFIG's current context. */
  clusters: z.array(
    z.strictObject({
      name: z.string(),
      kubeconfig: z.string(),
      registry: z.string().optional(),
      registryInCluster: z.string().optional(),
      /** Set where the runner cannot reach the API: it makes a port that leads there through the server. */
      isBehindServer: z.boolean().optional(),
    }),
  ),
});
export type AssignmentMessage = z.infer<typeof assignmentSchema>;

export const annotationSchema = z.strictObject({
  level: z.enum(["error", "warning", "notice"]),
  message: z.string(),
  title: z.string().optional(),
  file: z.string().optional(),
  line: z.int().optional(),
  endLine: z.int().optional(),
  column: z.int().optional(),
  endColumn: z.int().optional(),
  step: z.int(),
  /** Line of the log, from 1, that it was said in. */
  logLine: z.int(),
});
export type Annotation = z.infer<typeof annotationSchema>;

export const stepReportSchema = z.strictObject({
  /** From 0, in the order in which they run: pre phases of actions, the steps of the assignment, post phases. */
  index: z.int(),
  name: z.string(),
  state: z.enum(["running", "finished"]),
  /** How it ended: `failed` although `continue-on-error` let the job go on. */
  verdict: verdictSchema.optional(),
  /** What it counts as, after `continue-on-error`. */
  conclusion: verdictSchema.optional(),
  exitCode: z.int().optional(),
  message: z.string().optional(),
  startedAt: z.string(),
  finishedAt: z.string().optional(),
  /** First line of the log that is its, from 1; lines up to the next step's first are its. */
  firstLine: z.int(),
});
export type StepReport = z.infer<typeof stepReportSchema>;

/** What the resource can hold. */
function fits(outputs: Record<string, string>): boolean {
  return Object.entries(outputs).reduce((sum, [name, value]) => sum + Buffer.byteLength(name + value), 0) <= limits.jobOutputBytes;
}

export const reportSchema = z.strictObject({
  /** Steps whose state changed since the last report that was acknowledged. */
  steps: z.array(stepReportSchema),
  annotations: z.array(annotationSchema),
  /** Values that steps asked to mask since then: the server masks with them what it collects of the job by itself. */
  masks: z.array(z.string()).optional(),
  /** Set once, in the last report: the log and the artifacts are stored by then. */
  result: z
    .strictObject({
      verdict: verdictSchema,
      cause: causeSchema.optional(),
      message: z.string().max(65_536).optional(),
      outputs: z.record(z.string(), z.string()).refine(fits, "the outputs have too many bytes"),
      /** Whole length of the log in bytes: the server refuses a result before it has all of it. */
      logBytes: z.int(),
    })
    .optional(),
});
export type ReportMessage = z.infer<typeof reportSchema>;

export const reportAnswerSchema = z.strictObject({
  /** Set when the attempt shall end: the reason, for the log. The runner then ends its steps and reports `aborted`. */
  abort: z.string().optional(),
});
export type ReportAnswer = z.infer<typeof reportAnswerSchema>;

/** `action.yml` of an action: the server reads it, as the parser is too large for each runner. */
export const actionMetadataSchema = z.strictObject({
  /** As it is named in problems. */
  file: z.string().max(8192),
  text: z.string().max(limits.actionMetadataBytes),
});
export type ActionMetadata = z.infer<typeof actionMetadataSchema>;

/**
 * A conformance case: a folder `NNN-name` with a workflow, what happens to its repository, and what must come of that.
 * README.md shows the format, which is this schema; a key that it does not have is an error with its place.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { isMap, type Document, LineCounter, parseDocument, type ParsedNode } from "yaml";
import { z } from "zod";
import { annotationSchema } from "../../src/runner/protocol.ts";
import { formatProblem } from "../../src/base/errors.ts";
import { formatPath, type Path } from "../../src/resources/finding.ts";
import { verdicts } from "../../src/resources/verdict.ts";

const text = z.string().min(1);
const texts = z.record(z.string(), z.string());
const message = text.optional().describe("Of its commit. Default: one that asks for nothing.");
const payload = z.record(z.string(), z.unknown()).optional().describe("Merged over the payload that the harness makes: `github.event`.");
const changed = z
  .array(text)
  .min(1)
  .optional()
  .describe("Paths that the commit of the event changes against the one before. Default: a file of no interest.");

/** What happens to the repository. Each word alone is the event with its defaults. */
const eventSchemas = {
  push: z.strictObject({
    name: z.literal("push"),
    ref: z.string().startsWith("refs/").default("refs/heads/main"),
    changed,
    message,
    payload,
  }),
  pull_request: z.strictObject({
    name: z.literal("pull_request"),
    action: z.string().default("opened"),
    base: text.default("main").describe("Branch that it goes to."),
    head: text.default("topic").describe("Branch that it is of."),
    fork: z.boolean().default(false).describe("Of somebody who may not write: the lane is untrusted, which needs Docker."),
    changed,
    message,
    payload,
  }),
  schedule: z.strictObject({ name: z.literal("schedule"), cron: text, timezone: text.default("UTC") }),
  workflow_dispatch: z.strictObject({
    name: z.literal("workflow_dispatch"),
    ref: z.string().startsWith("refs/").default("refs/heads/main"),
    inputs: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
  }),
  repository_dispatch: z.strictObject({
    name: z.literal("repository_dispatch"),
    type: text.describe("`event_type` of the request."),
    client_payload: z.record(z.string(), z.unknown()).default({}),
  }),
  merge_group: z.strictObject({
    name: z.literal("merge_group"),
    base: text.default("main"),
    changed,
    payload,
  }),
  release: z.strictObject({
    name: z.literal("release"),
    action: z.string().default("published").describe("As Gitea says it: `published`, `updated`, `deleted`."),
    tag: text.default("v1"),
    prerelease: z.boolean().default(false),
  }),
  delete: z.strictObject({
    name: z.literal("delete"),
    ref: z.string().startsWith("refs/").default("refs/heads/topic"),
  }),
};
const eventSchema = z.preprocess(
  (value) => (typeof value === "string" ? { name: value } : value),
  z.discriminatedUnion("name", [
    eventSchemas.push,
    eventSchemas.pull_request,
    eventSchemas.schedule,
    eventSchemas.workflow_dispatch,
    eventSchemas.repository_dispatch,
    eventSchemas.merge_group,
    eventSchemas.release,
    eventSchemas.delete,
  ]),
);
export type CaseEvent = z.infer<typeof eventSchema>;

const verdict = z.enum(verdicts);
const line = text.describe("A whole line; between two `/`, a regular expression that must match in one.");

/** Whether a line is the wanted one, or matches it where that is between two `/`. */
export function isLine(wanted: string, line: string): boolean {
  const [, pattern] = /^\/(.*)\/$/s.exec(wanted) ?? [];
  return pattern === undefined ? wanted === line : new RegExp(pattern).test(line);
}

const stepSchema = z.preprocess(
  (value) => (typeof value === "string" ? { conclusion: value } : value),
  z.strictObject({
    name: text.optional().describe("As it is shown. Default: whatever it is."),
    conclusion: verdict.describe("How it counts."),
    outcome: verdict.optional().describe("How it ended, before continue-on-error. Default: the conclusion."),
    message: text.optional().describe("Part of what is said of it."),
  }),
);
const saidSchema = annotationSchema.omit({ step: true, logLine: true });
const jobSchema = z.preprocess(
  (value) => (typeof value === "string" ? { verdict: value } : value),
  z.strictObject({
    verdict,
    message: text.optional().describe("Part of why it ended so."),
    steps: z.array(stepSchema).optional().describe("All of them, in order."),
    outputs: texts.optional().describe("All of them."),
    log: z
      .array(z.union([line, z.literal("")]))
      .optional()
      .describe("Lines that are there, in this order; others may stand between."),
    absent: z.array(text).optional().describe("What no line holds."),
    annotations: z.array(saidSchema).optional().describe("All of them, in order."),
    artifacts: z.array(text).optional().describe("Paths of all files that it left."),
  }),
);
export type JobExpectation = z.infer<typeof jobSchema>;
export type StepExpectation = z.infer<typeof stepSchema>;

const expectationSchema = z.preprocess(
  (value) => (value === "no run" ? { startsNothing: true } : value),
  z
    .strictObject({
      startsNothing: z.literal(true).optional().describe("Written `no run`: the event starts nothing."),
      problems: z.array(text).min(1).optional().describe("The files are refused, with just these: `file:line:column: path: message`."),
      notices: z.array(text).optional().describe("All that `check` says of the files although they are taken, in the form of problems."),
      verdict: verdict.optional().describe("Of the run."),
      message: text.optional().describe("Part of why it ended so."),
      started: z.array(text).optional().describe("Names of the workflows that were started, where there are several."),
      jobs: z.record(text, jobSchema).optional().describe("All of them, by the name that is shown, with the cell."),
    })
    .refine(
      ({ startsNothing, problems, verdict: ends }) => [startsNothing, problems, ends].filter((each) => each !== undefined).length === 1,
      {
        message: "must be `no run`, or have either problems or a verdict",
      },
    )
    .refine(({ verdict: ends, jobs }) => ends === undefined || jobs !== undefined, { message: "must have jobs beside the verdict" }),
);
export type Expectation = z.infer<typeof expectationSchema>;

const said = z.strictObject({ job: text, says: line });
const abort = said.optional().describe("The run is aborted when this job of it has said that. Default: never.");

const turnSchema = z.strictObject({
  event: eventSchema,
  after: said.optional().describe("Waits until this job of the run before has said that. Default: waits until it has ended."),
  abort,
  expect: expectationSchema,
});

const caseSchema = z
  .strictObject({
    title: text.describe("What holds, as a sentence."),
    docs: text.describe("Where GitHub says so: page and section. For what is ours: `ours`, and where that is said."),
    proves: z
      .array(text)
      .optional()
      .describe("Keys of src/workflows/read/keys.ts, and properties of contexts.ts, that this case would fail without. Default: none."),
    needs: z.enum(["docker"]).optional().describe("What the machine must have; the jobs then run in containers."),
    secrets: texts.default({}),
    vars: texts.default({}),
    event: eventSchema.default({ name: "push", ref: "refs/heads/main" }),
    abort,
    expect: expectationSchema,
    // oxlint-disable-next-line unicorn/no-thenable -- a list, which nobody takes for a promise
    then: z.array(turnSchema).default([]).describe("What happens to the same repository after that."),
  })
  .refine(({ needs, event, then }) => needs === "docker" || ![event, ...then.map((turn) => turn.event)].some(isOfFork), {
    path: ["needs"],
    message: "must be docker: what is of a fork runs in containers alone",
  });

function isOfFork(event: CaseEvent): boolean {
  return event.name === "pull_request" && event.fork;
}

export interface Case extends z.infer<typeof caseSchema> {
  /** `NNN-name`. */
  name: string;
  /** The tree, by path. */
  files: Readonly<Record<string, string>>;
}

const folder = import.meta.dirname;

/** Names of all cases, in order. */
export function caseNames(): string[] {
  return readdirSync(folder)
    .filter((name) => /^\d{3}-/.test(name))
    .toSorted();
}

/** @throws Error with all that is wrong with its case.yml, each with its place. */
export function readCase(name: string): Case {
  const path = join(folder, name, "case.yml");
  const parsed = parseCase(readFileSync(path, "utf8"), relative(process.cwd(), path));
  return { name, files: filesOf(join(folder, name)), ...parsed };
}

/** @param file as it is shown in messages. */
export function parseCase(source: string, file: string): z.infer<typeof caseSchema> {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false });
  const problem = (offset: number, at: Path, message: string) => {
    const { line: row, col } = lines.linePos(offset);
    return formatProblem({ place: { file, line: row, column: col }, path: formatPath(at), message });
  };
  const problems = document.errors.map(({ pos, message }) => problem(pos[0], [], message));
  if (problems.length > 0) throw new Error(problems.join("\n"));
  const parsed = caseSchema.safeParse(document.toJS());
  if (parsed.success) return parsed.data;
  for (const { code, message, ...issue } of parsed.error.issues) {
    const at = issue.path as Path;
    if (code === "unrecognized_keys" && "keys" in issue) {
      for (const key of issue.keys) problems.push(problem(offsetOf(document, [...at, key]), [...at, key], "is not a known key"));
    } else {
      problems.push(problem(offsetOf(document, at), at, message));
    }
  }
  throw new Error(problems.join("\n"));
}

/** Of the key, or of the nearest thing around it that is there. */
function offsetOf(document: Document.Parsed, path: Path): number {
  const parent = path.length === 0 ? undefined : (document.getIn(path.slice(0, -1), true) as ParsedNode | undefined);
  const pair = isMap(parent) ? parent.items.find(({ key }) => String(key) === path.at(-1)) : undefined;
  const node = (pair?.key ?? document.getIn(path, true)) as ParsedNode | undefined;
  return node?.range?.[0] ?? (path.length === 0 ? 0 : offsetOf(document, path.slice(0, -1)));
}

function filesOf(directory: string): Record<string, string> {
  const workflow = join(directory, "workflow.yml");
  const tree = join(directory, "files");
  if (existsSync(workflow) === existsSync(tree)) throw new Error(`${directory} needs either workflow.yml or files/`);
  if (existsSync(workflow)) return { ".github/workflows/workflow.yml": readFileSync(workflow, "utf8") };
  const paths = readdirSync(tree, { recursive: true, encoding: "utf8" }).filter((path) => statSync(join(tree, path)).isFile());
  return Object.fromEntries(paths.toSorted().map((path) => [path, readFileSync(join(tree, path), "utf8")]));
}

/**
 * The lock document of an attempt: everything that determines what a job does, as far as it can be known. It is written when the
 * attempt starts (server/runners/lock-writer.ts), kept in the history with it, and read by `seatrial fingerprint` and `seatrial reproduce`.
 *
 * Its fingerprint is a hash of the document without `origin`, which says where the job ran and where its objects are, and
 * without `unpinned`, which names what the document could not hold fast. So equal fingerprints are jobs that got the same; where
 * something is unpinned nothing can be said beyond the fields that differ.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { formatPath, type Path } from "./finding.ts";
import { type JobRunSpec, jobRunSpecSchema } from "./job-run.ts";
import { runSpecSchema, sourceSchema } from "./run.ts";

const tree = z.string().regex(/^[0-9a-f]{40}([0-9a-f]{24})?$/, "must be a whole id of git");
const texts = z.record(z.string(), z.string());

/** What of a JobRun says where and when it runs, or is told apart elsewhere in the document. */
const notOfJob = {
  run: true,
  repository: true,
  lane: true,
  priority: true,
  runsOn: true,
  clusters: true,
  skip: true,
  invalid: true,
  failFast: true,
  maxParallel: true,
  concurrency: true,
  notices: true,
  attempt: true,
  hold: true,
  abort: true,
} as const;

/** The job as it was planned. `cell` and its kin stay JSON text: the order of keys shows in `toJSON`. */
const jobSchema = jobRunSpecSchema.omit(notOfJob).extend({ labels: jobRunSpecSchema.shape.runsOn.shape.labels });

/** `spec` names the exact version that ran. */
const clusterSchema = z.strictObject({
  ...jobRunSpecSchema.shape.clusters.unwrap().element.shape,
  programs: texts.describe("Versions of what it runs, or was made with, by name."),
  images: texts.describe("Digests of its nodes' layers, by name: those of an image that differs in labels alone are the same."),
});

export const lockDocumentSchema = z.strictObject({
  version: z.literal(1),
  origin: z
    .strictObject({
      run: z.string(),
      jobRun: z.string(),
      attempt: z.int(),
      source: sourceSchema.describe("The change, with the commits by which the objects can be had."),
    })
    .describe("Where it ran. No part of the fingerprint."),
  source: z.strictObject({
    event: z.string(),
    ref: z.string(),
    tree: tree.optional().describe("Tree of what is checked out; absent where the repository was not there."),
    base: tree.optional().describe("Tree of the base."),
    heads: z.array(tree).describe("Trees of the heads, in the order of their merge."),
    commit: z.string().optional().describe("Only of a job that asks for it by name: else the tree counts."),
    payload: z.string().optional().describe("Digest of the event's payload; only of a job that asks for it by name."),
  }),
  workflow: runSpecSchema.shape.workflow,
  job: jobSchema,
  place: z.strictObject({
    executor: jobRunSpecSchema.shape.runsOn.shape.executor,
    platform: z.string().describe("Example: `linux/amd64`."),
    isIsolated: z.boolean().optional().describe("True in the untrusted lane: no network, no secrets."),
    image: z.string().optional().describe("Image of the container, by digest; ours by a name that is a hash of what is in it."),
    env: texts.describe(
      "Of the machine, what steps inherit of it and programs' output depends on: TZ, LANG and its kin. Of executor host alone.",
    ),
    tools: texts.describe("Versions of programs in PATH, of executor host; in a container the image says it. `seatrial` always."),
  }),
  clusters: z.array(clusterSchema),
  actions: texts.describe("Commits of actions, by what `uses` says."),
  images: texts.describe("Digests of images of containers and services, by what the workflow says."),
  artifacts: texts.describe("Digests of the named artifacts of other jobs of its run that were there, of a job that downloads some."),
  caches: z
    .array(
      z.strictObject({
        key: z.string().describe("The key that was found."),
        version: z.string().describe("Of what it holds, and how; another cannot be unpacked in its place."),
        digest: z.string(),
      }),
    )
    .optional()
    .describe("Caches that it restored, in the order in which it asked for them. Default: none."),
  vars: texts.describe("Values of the variables that the job names."),
  secrets: z.array(z.string()).describe("Names of the secrets that the job names; their values are nowhere."),
  unpinned: z.array(z.string()).describe("What could differ although the fingerprints are equal; for people."),
});

export type LockDocument = z.infer<typeof lockDocumentSchema>;

/** What a lock document has of a JobRun. @param inputs of its run: what they are where the job has none of its own. */
export function lockedJob(spec: JobRunSpec, inputs: string | undefined): LockDocument["job"] {
  const kept = Object.fromEntries(Object.entries(spec).filter(([name]) => !Object.hasOwn(notOfJob, name)));
  return { ...(inputs === undefined ? {} : { inputsContext: inputs }), ...kept, labels: spec.runsOn.labels } as LockDocument["job"];
}

/** JSON with sorted keys and without blanks: equal for equal content. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) =>
    each !== null && typeof each === "object" && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );
}

/** `sha256:` and the digest of what determines the job. */
export function fingerprintOf(lock: LockDocument): string {
  return `sha256:${createHash("sha256")
    .update(canonicalJson(determinantsOf(lock)))
    .digest("hex")}`;
}

/** A tag that is now another image counts, and a digest in its place does not: images that the job names are told by their digests there. */
function determinantsOf({ origin: _origin, unpinned: _unpinned, ...rest }: LockDocument) {
  const named = new Set(imagesIn(rest.job));
  const others = Object.entries(rest.images).filter(([reference, digest]) => !named.has(reference) || !digest.includes("@"));
  return { ...rest, job: pinnedJob(rest), images: Object.fromEntries(others) };
}

/** The job with its images by digest, as far as they can be had by it. */
export function pinnedJob({ job, images }: Pick<LockDocument, "job" | "images">): LockDocument["job"] {
  const pinned = (reference: string) => (images[reference]?.includes("@") ? images[reference] : reference);
  const { container, services, steps } = job;
  return {
    ...job,
    ...(container ? { container: { ...container, image: pinned(container.image) } } : {}),
    ...(services ? { services: services.map((each) => ({ ...each, image: pinned(each.image) })) } : {}),
    steps: steps.map((step) => (step.uses?.startsWith(docker) ? { ...step, uses: docker + pinned(step.uses.slice(docker.length)) } : step)),
  };
}

const docker = "docker://";

function imagesIn({ container, services = [], steps }: LockDocument["job"]): string[] {
  const used = steps.flatMap(({ uses }) => (uses?.startsWith(docker) ? uses.slice(docker.length) : []));
  return [...(container ? [container.image] : []), ...services.map(({ image }) => image), ...used];
}

/** One field that two documents do not have in common. */
export interface LockDifference {
  /** As in `clusters[0].spec.kubernetesVersion`. */
  path: string;
  /** Undefined where it is absent. */
  one: unknown;
  other: unknown;
}

export interface LockComparison {
  /** `not-comparable`: no field differs, and something is not held fast. */
  result: "equal" | "different" | "not-comparable";
  differences: LockDifference[];
  /** Of both, each once. */
  unpinned: string[];
}

export function compareLocks(one: LockDocument, other: LockDocument): LockComparison {
  const differences: LockDifference[] = [];
  collect(determinantsOf(one), determinantsOf(other), [], differences);
  const unpinned = [...new Set([...one.unpinned, ...other.unpinned])];
  const result = differences.length > 0 ? "different" : unpinned.length > 0 ? "not-comparable" : "equal";
  return { result, differences, unpinned };
}

function collect(one: unknown, other: unknown, path: Path, found: LockDifference[]): void {
  if (canonicalJson(one) === canonicalJson(other)) return;
  const [a, b] = [opened(one, path), opened(other, path)];
  if (!isTree(a) || !isTree(b) || Array.isArray(a) !== Array.isArray(b)) {
    found.push({ path: formatPath(path), one, other });
    return;
  }
  const before = found.length;
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    collect(a[key], b[key], [...path, Array.isArray(a) ? Number(key) : key], found);
  }
  // JSON text that differs in its writing alone.
  if (found.length === before) found.push({ path: formatPath(path), one, other });
}

/** Fields of the job that hold JSON as text. */
const jsonFields = ["cell", "needsContext", "strategyContext", "inputsContext"];

function opened(value: unknown, path: Path): unknown {
  return typeof value === "string" && path[0] === "job" && path.length === 2 && jsonFields.includes(String(path[1]))
    ? JSON.parse(value)
    : value;
}

function isTree(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object";
}

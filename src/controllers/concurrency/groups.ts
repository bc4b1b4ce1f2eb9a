/**
 * Concurrency groups: one at a time of all that name the same group, in one repository, by GitHub's rules. One has the group; the
 * newest that waits takes the place of older ones, or with `queue: max` all wait in their order; `cancel-in-progress` ends the one that
 * has it.
 *
 * Who has and who waits is written in the statuses of Runs and JobRuns: this is a view of them, held by the one leader, and made anew
 * when one starts. Nothing is decided before the caches are filled.
 */
import { limits } from "../../base/limits.ts";
import { reasonOf } from "../../kube/api-error.ts";
import type { Store } from "../../kube/store.ts";
import { type JobRun, jobRunKind } from "../../resources/job-run.ts";
import type { Stored } from "../../resources/object.ts";
import { hasEnded, type Run, runKind, runLabels } from "../../resources/run.ts";
import { isCalledBy } from "../../workflows/plan/job-run-views.ts";

/** One that has a group, or wants it: a run, a called workflow in a run, or a job. */
export interface Claim {
  /** Of the Run or JobRun whose claim it is. */
  kind: "run" | "job-run";
  name: string;
  /** In a Run: full id of the job that calls a workflow, `deploy`, or what is called, `deploy/`; "" for the run itself, and for a JobRun. */
  of: string;
  run: string;
  /** Ids, in its run, of those that it is a part of: they go on until it has ended. */
  within: readonly string[];
  repository: string;
  group: string;
  cancelInProgress: boolean;
  queue: "single" | "max";
  isHeld: boolean;
  /** Whether it is told to end. */
  isAborted: boolean;
  /** When it was made, and when it asked: milliseconds. */
  createdAt: number;
  since: number;
  /** For people. */
  title: string;
}

export type GroupAnswer =
  | { state: "held" }
  /** @param ends who has the group, and is to be ended. */
  | { state: "waiting"; why: string; ends?: Claim }
  /** It is to be ended. */
  | { state: "replaced"; why: string };

/** What becomes of one, among all claims of its group. Pure. */
export function answerIn(claim: Claim, claims: readonly Claim[]): GroupAnswer {
  if (claim.isHeld) return { state: "held" };
  const others = claims.filter((other) => !isSame(other, claim));
  const holder = others.find(({ isHeld }) => isHeld);
  if (holder && holder.kind === "run" && holder.run === claim.run && claim.within.includes(holder.of)) {
    return { state: "replaced", why: `group ${claim.group} is that of ${holder.title}, which it is a part of: it would wait for itself` };
  }
  const asking = [...others.filter(({ isHeld, isAborted }) => !isHeld && !isAborted), claim].toSorted(byAge);
  // Where nobody has it, the oldest is about to.
  const first = holder ?? asking[0]!;
  if (first === claim) return { state: "held" };
  const waiting = asking.filter((each) => each !== first);
  const at = waiting.indexOf(claim);
  const newer = waiting.slice(at + 1).find(({ queue }) => queue === "single");
  if (newer) return { state: "replaced", why: `group ${claim.group}: ${newer.title} came after it, and takes its place` };
  // Those before it that are replaced have yet to see that.
  const replacedUpTo = waiting.findLastIndex(({ queue }) => queue === "single");
  const before = at - Math.max(replacedUpTo, 0);
  if (before >= limits.concurrencyQueue) return { state: "replaced", why: `group ${claim.group}: ${before} wait already, and no more can` };
  const why = `waits for group ${claim.group}: ${first.title}`;
  return holder && claim.cancelInProgress && !holder.isAborted ? { state: "waiting", why, ends: holder } : { state: "waiting", why };
}

function byAge(a: Claim, b: Claim): number {
  return a.createdAt - b.createdAt || a.since - b.since || (a.name < b.name ? -1 : 1);
}

function isSame(a: Claim, b: Claim): boolean {
  return a.kind === b.kind && a.name === b.name && a.of === b.of;
}

export class Groups {
  readonly #wake: (kind: Claim["kind"], name: string) => void;
  /** By `kind/name`. */
  readonly #claims = new Map<string, Claim[]>();
  /** The keys of the owners of claims, by group. */
  readonly #groups = new Map<string, Set<string>>();

  /** @param wake is told of each that waits when something has changed in its group. */
  constructor(wake: (kind: Claim["kind"], name: string) => void) {
    this.#wake = wake;
  }

  /** Asks for a group, and has it when the answer says so. What was asked before by the same is asked anew. */
  ask(claim: Claim): GroupAnswer {
    const owner = ownerOf(claim);
    const others = (this.#claims.get(owner) ?? []).filter((each) => !isSame(each, claim));
    const before = this.#claims.get(owner)?.find((each) => isSame(each, claim));
    const asked = { ...claim, isHeld: claim.isHeld || before?.isHeld === true, since: before?.since ?? claim.since };
    const isSameGroup = before !== undefined && keyOf(before) === keyOf(claim);
    const now = isSameGroup ? asked : { ...asked, isHeld: claim.isHeld };
    const answer = answerIn(now, [...this.#inGroup(keyOf(claim)).filter((each) => !isSame(each, claim)), now]);
    this.#put(owner, [...others, { ...now, isHeld: answer.state === "held" }]);
    if (!before && answer.state !== "held") this.#wakeOthers(now);
    if (before && !isSameGroup) this.#wakeOthers(before);
    return answer;
  }

  /** What a Run has asked for, and does no more. @param keep its claims that still are. */
  keep(run: string, keep: readonly string[]): void {
    const owner = `run/${run}`;
    const claims = this.#claims.get(owner) ?? [];
    const gone = claims.filter(({ of }) => !keep.includes(of));
    if (gone.length === 0) return;
    this.#put(
      owner,
      claims.filter(({ of }) => keep.includes(of)),
    );
    for (const claim of gone) this.#wakeOthers(claim);
  }

  /** A Run as it is in the store; undefined when it is gone. */
  noticeRun(name: string, run: Stored<Run> | undefined): void {
    if (!run || hasEnded(run)) this.#release(`run/${name}`);
    else for (const claim of claimsOfRun(run)) this.#learn(claim);
  }

  noticeJobRun(name: string, jobRun: Stored<JobRun> | undefined): void {
    if (!jobRun || hasEnded(jobRun)) this.#release(`job-run/${name}`);
    else {
      const claim = claimOfJobRun(jobRun);
      if (claim) this.#learn(claim);
    }
  }

  /** What is written down; what was granted a moment ago is not taken back by it. */
  #learn(claim: Claim): void {
    const owner = ownerOf(claim);
    const all = this.#claims.get(owner) ?? [];
    const before = all.find((each) => isSame(each, claim));
    if (before && before.isAborted === claim.isAborted && (before.isHeld || !claim.isHeld)) return;
    const since = before?.since ?? claim.since;
    this.#put(owner, [...all.filter((each) => each !== before), { ...claim, since, isHeld: claim.isHeld || before?.isHeld === true }]);
    if (before && before.isAborted !== claim.isAborted) this.#wakeOthers(claim);
  }

  #release(owner: string): void {
    const claims = this.#claims.get(owner);
    if (!claims) return;
    this.#put(owner, []);
    for (const claim of claims) this.#wakeOthers(claim);
  }

  #put(owner: string, claims: Claim[]): void {
    for (const claim of this.#claims.get(owner) ?? []) {
      const owners = this.#groups.get(keyOf(claim));
      owners?.delete(owner);
      if (owners?.size === 0) this.#groups.delete(keyOf(claim));
    }
    if (claims.length === 0) this.#claims.delete(owner);
    else this.#claims.set(owner, claims);
    for (const claim of claims) {
      const owners = this.#groups.get(keyOf(claim)) ?? new Set();
      this.#groups.set(keyOf(claim), owners.add(owner));
    }
  }

  #inGroup(key: string): Claim[] {
    return [...(this.#groups.get(key) ?? [])].flatMap((owner) => this.#claims.get(owner)!.filter((claim) => keyOf(claim) === key));
  }

  #wakeOthers(claim: Claim): void {
    for (const other of this.#inGroup(keyOf(claim))) if (!other.isHeld && !isSame(other, claim)) this.#wake(other.kind, other.name);
  }
}

/** Tells who has a group to end: `by` cancels what is in progress. */
export async function endHolder(store: Store, holder: Claim, by: Claim): Promise<void> {
  const reason = `group ${by.group}: ${by.title} came after it, and cancels what is in progress`.slice(0, 1024);
  const end = async (kind: typeof runKind | typeof jobRunKind, name: string) => {
    await store.patch(kind as typeof runKind, name, { spec: { abort: reason } }).catch((error: unknown) => {
      if (reasonOf(error) !== "not-found") throw error;
    });
  };
  if (holder.kind === "job-run") return await end(jobRunKind, holder.name);
  if (holder.of === "") return await end(runKind, holder.name);
  const { items } = await store.list(jobRunKind, { selector: { [runLabels.run]: holder.run } });
  const call = holder.of.replace(/\/$/, "");
  for (const jobRun of items) {
    const { spec, metadata } = jobRun;
    if (isCalledBy(spec.job, call) && spec.abort === undefined && !hasEnded(jobRun)) await end(jobRunKind, metadata.name);
  }
}

function ownerOf({ kind, name }: Claim): string {
  return `${kind}/${name}`;
}

function keyOf({ repository, group }: Claim): string {
  return `${repository}\n${group.toLowerCase()}`;
}

function claimsOfRun({ metadata, spec, status }: Stored<Run>): Claim[] {
  return (status?.groups ?? []).map(({ of, group, state, since, cancelInProgress = false, queue = "single" }) =>
    claimOfRun({ metadata, spec }, { of, group, cancelInProgress, queue, isHeld: state === "held", since: Date.parse(since) }),
  );
}

/** @param wanted what it asks for, and since when. */
export function claimOfRun(
  { metadata, spec }: Pick<Stored<Run>, "metadata" | "spec">,
  wanted: Pick<Claim, "of" | "group" | "cancelInProgress" | "queue" | "isHeld" | "since">,
): Claim {
  const { name } = metadata;
  return {
    kind: "run",
    name,
    run: name,
    within: withinOf(wanted.of),
    repository: metadata.labels?.[runLabels.repository] ?? spec.source.repository.name,
    isAborted: spec.abort !== undefined,
    // A rerun is as new as any other.
    createdAt: (spec.attempt ?? 1) > 1 ? wanted.since : Date.parse(metadata.creationTimestamp),
    title: wanted.of === "" ? `${spec.workflow.name} (${name})` : `${wanted.of} of ${spec.workflow.name} (${name})`,
    ...wanted,
  };
}

/** Undefined where it is in no group. */
export function claimOfJobRun({ metadata, spec, status }: Stored<JobRun>): Claim | undefined {
  if (!spec.concurrency || spec.skip !== undefined || spec.invalid !== undefined) return undefined;
  const createdAt = Date.parse(metadata.creationTimestamp);
  return {
    kind: "job-run",
    name: metadata.name,
    of: "",
    run: spec.run,
    within: ["", ...withinOf(spec.job)],
    repository: metadata.labels?.[runLabels.repository] ?? spec.repository,
    ...spec.concurrency,
    isHeld: status?.groupSince !== undefined && status.phase !== "Finished",
    isAborted: spec.abort !== undefined,
    createdAt,
    since: createdAt,
    title: `${spec.name} of ${spec.run}`,
  };
}

/** Of `a/b.1/c`: "", `a`, `a/`, `a/b.1`, `a/b.1/`: the run, each call, and the workflow that is called. */
function withinOf(id: string): string[] {
  const slashes = [...id.matchAll(/\//g)].map(({ index }) => index);
  return id === "" ? [] : ["", ...slashes.flatMap((at) => [id.slice(0, at), id.slice(0, at + 1)])].filter((each) => each !== id);
}

/**
 * What webhooks carry, in the shape that GitHub gave it: Gitea sends it, and our local forge makes it, so that `github.event` in a
 * workflow is the same everywhere. Only what decides something is read; all of it comes from outside.
 */
import { z } from "zod";
import { SeatrialError } from "../base/errors.ts";
import { pullRequestTypes, type ReleaseType } from "../workflows/triggers/triggers.ts";
import type { Account, ForgeEvent, PullRequestAction, RepositoryName } from "./forge.ts";

const id = z.union([z.int().min(1), z.string().regex(/^[A-Za-z0-9_-]{1,128}$/)]).transform(String);
const sha = z.string().regex(/^[0-9a-f]{40}([0-9a-f]{24})?$/);
const ref = z.string().min(1).max(1024);
const account = z.object({ id, login: z.string().max(256) });
const repository = z.object({ id, full_name: z.string().min(1).max(256) });

const push = z.object({ ref, before: sha, after: sha, repository, sender: account });

/** Gitea tells of the end of a branch or tag by this alone. */
const deleted = z.object({ ref, ref_type: z.string(), repository, sender: account });

export const pullRequestSchema = z.object({
  number: z.int().min(1),
  user: account,
  base: z.object({ ref, sha }),
  head: z.object({
    /** Name of the branch; empty when it is none. */
    label: z.string().nullish(),
    ref,
    sha,
    /** -1 when there is none any more. */
    repo_id: z.union([z.int(), z.string()]).nullish(),
    repo: z.object({ owner: z.object({ id }) }).nullish(),
  }),
});

const pullRequest = z.object({
  action: z.string().max(64),
  pull_request: pullRequestSchema.extend({ draft: z.boolean().nullish() }),
  changes: z.object({ title: z.object({ from: z.string() }).nullish() }).nullish(),
  repository,
  sender: account,
});

const release = z.object({
  action: z.string().max(64),
  release: z.object({ tag_name: ref, prerelease: z.boolean().nullish(), draft: z.boolean().nullish() }),
  repository,
  sender: account,
});

/** The repository of any delivery; undefined when it is of none. */
export function repositoryIdIn(payload: unknown): string | undefined {
  return z.object({ repository: z.object({ id }) }).safeParse(payload).data?.repository.id;
}

/** @throws SeatrialError `invalid` with what is wrong in it. */
export function readEvent(event: string, payload: unknown): ForgeEvent {
  if (event === "push") {
    const read = check(push, event, payload);
    if (!/^refs\/(heads|tags)\//.test(read.ref)) return { event: "ignored", reason: `${read.ref} is neither a branch nor a tag` };
    return {
      event,
      repository: nameOf(read.repository),
      ref: read.ref,
      ...(isZero(read.before) ? {} : { before: read.before }),
      ...(isZero(read.after) ? {} : { after: read.after }),
      sender: read.sender,
    };
  }
  if (event === "delete") {
    const read = check(deleted, event, payload);
    const folder = refFolders.get(read.ref_type);
    if (!folder) return { event: "ignored", reason: `nothing depends on a ${read.ref_type.slice(0, 64)}` };
    return { event: "push", repository: nameOf(read.repository), ref: `${folder}${read.ref}`, sender: read.sender };
  }
  if (event === "release") {
    const read = check(release, event, payload);
    const { tag_name: tag, prerelease, draft } = read.release;
    if (draft) return { event: "ignored", reason: "nothing depends on drafts of releases" };
    const happened = releaseActions.get(read.action)?.(prerelease ?? false);
    if (!happened) return { event: "ignored", reason: `nothing depends on releases that are ${read.action}` };
    return { event, repository: nameOf(read.repository), ref: `refs/tags/${tag}`, actions: happened, sender: read.sender };
  }
  if (event !== "pull_request") return { event: "ignored", reason: `nothing depends on the event ${event.slice(0, 64)}` };
  const read = check(pullRequest, event, payload);
  const action = draftAction(read) ?? actions.get(read.action);
  if (!action) return { event: "ignored", reason: `nothing depends on pull requests that are ${read.action}` };
  return { event, action, repository: nameOf(read.repository), ...readPullRequest(read.pull_request), sender: read.sender };
}

/** A pull request as a webhook or a list has it. */
export function readPullRequest(read: z.infer<typeof pullRequestSchema>): {
  number: number;
  base: { ref: string; sha: string };
  head: { ref: string; sha: string; repositoryId: string; ownerId: string };
  author: Account;
} {
  const { head } = read;
  // A head that was pushed for review alone (Gitea's refs/for/…), by whoever may read, is said to be of the base repository.
  const isBranch = head.label !== "" && !head.ref.startsWith("refs/");
  const repositoryId = isBranch && head.repo_id !== -1 ? String(head.repo_id ?? "") : "";
  return {
    number: read.number,
    base: { ref: read.base.ref, sha: read.base.sha },
    head: { ref: head.ref, sha: head.sha, repositoryId, ownerId: repositoryId === "" ? "" : (head.repo?.owner.id ?? "") },
    author: read.user,
  };
}

/** Words that Gitea has for some. Of labels it says that they changed, or that all are gone. */
const actions = new Map<string, PullRequestAction>([
  ...pullRequestTypes.map((type) => [type, type] as const),
  ["synchronized", "synchronize"],
  ["label_updated", "labeled"],
  ["label_cleared", "unlabeled"],
]);

/** All that Gitea's words mean in GitHub's: a release is made, and published, at once. */
const releaseActions = new Map<string, (isPrerelease: boolean) => ReleaseType[]>([
  ["published", (isPrerelease) => ["published", "created", isPrerelease ? "prereleased" : "released"]],
  ["updated", () => ["edited"]],
  ["deleted", () => ["deleted"]],
]);

/** Gitea makes a draft by a title, and tells of it as of any other title. */
function draftAction({ action, changes, pull_request: { draft } }: z.infer<typeof pullRequest>): PullRequestAction | undefined {
  const before = changes?.title?.from;
  if (action !== "edited" || before === undefined || typeof draft !== "boolean") return undefined;
  const wasDraft = /^(\[wip\]|wip:)/i.test(before);
  return wasDraft === draft ? undefined : draft ? "converted_to_draft" : "ready_for_review";
}

const refFolders = new Map([
  ["branch", "refs/heads/"],
  ["tag", "refs/tags/"],
]);

function nameOf(read: z.infer<typeof repository>): RepositoryName {
  return { id: read.id, name: read.full_name };
}

function isZero(commit: string): boolean {
  return /^0+$/.test(commit);
}

function check<T>(schema: z.ZodType<T>, event: string, payload: unknown): T {
  const read = schema.safeParse(payload);
  if (read.success) return read.data;
  const wrong = read.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw new SeatrialError("invalid", `this is no ${event} as a forge sends it: ${wrong.slice(0, 5).join("; ")}`);
}

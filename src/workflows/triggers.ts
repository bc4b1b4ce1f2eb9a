/** Whether something that happened to a repository starts a workflow: its `on`. */
import type { EventName } from "../resources/run.ts";
import { matchesAny } from "./pattern.ts";

/** Patterns of names; only one of the two of a kind. */
export interface BranchFilter {
  branches?: readonly string[];
  branchesIgnore?: readonly string[];
}
export interface PushTrigger extends BranchFilter {
  tags?: readonly string[];
  tagsIgnore?: readonly string[];
}
export interface PullRequestTrigger extends BranchFilter {
  types: readonly PullRequestType[];
}
export interface Triggers {
  push?: PushTrigger;
  pull_request?: PullRequestTrigger;
}

/** What happens to a pull request that makes another commit the one to test. */
export const pullRequestTypes = ["opened", "synchronize", "reopened"] as const;
export type PullRequestType = (typeof pullRequestTypes)[number];

export interface TriggerEvent {
  event: EventName;
  /** What was pushed, as in `refs/heads/main` or `refs/tags/v1`; for a pull request its merge ref. */
  ref: string;
  /** Branch that a pull request goes to, without `refs/heads/`. */
  baseRef?: string | undefined;
  /** For a pull request: what happened to it. Absent: whatever it was, there is a head to test. */
  action?: string | undefined;
}

export function isTriggered({ on }: { on: Triggers }, event: TriggerEvent): boolean {
  if (event.event === "push") return on.push !== undefined && isPushWanted(on.push, event.ref);
  const wanted = on.pull_request;
  if (!wanted || (event.action !== undefined && !wanted.types.some((type) => type === event.action))) return false;
  return isNameWanted(wanted.branches, wanted.branchesIgnore, event.baseRef ?? "") ?? true;
}

/** Filters for branches alone leave out all tags, and those for tags all branches. */
function isPushWanted(push: PushTrigger, ref: string): boolean {
  const isTag = ref.startsWith("refs/tags/");
  const name = ref.replace(/^refs\/(heads|tags)\//, "");
  const branch = isNameWanted(push.branches, push.branchesIgnore, name);
  const tag = isNameWanted(push.tags, push.tagsIgnore, name);
  if (branch === undefined && tag === undefined) return true;
  return (isTag ? tag : branch) ?? false;
}

/** Undefined where nothing is said. */
function isNameWanted(only: readonly string[] | undefined, ignored: readonly string[] | undefined, name: string): boolean | undefined {
  if (only) return matchesAny(only, name);
  return ignored ? !matchesAny(ignored, name) : undefined;
}

/** Whether something that happened to a repository starts a workflow: its `on`. */
import type { EventName } from "../../resources/run.ts";
import type { Cron } from "./cron.ts";
import type { Inputs } from "../inputs.ts";
import { limits } from "../../base/limits.ts";
import { matchesAny, readPatterns, type Work } from "./pattern.ts";

/** Patterns of names; only one of the two of a kind. */
export interface BranchFilter {
  branches?: readonly string[];
  branchesIgnore?: readonly string[];
}
/** Patterns of changed files; only one of the two. */
export interface PathFilter {
  paths?: readonly string[];
  pathsIgnore?: readonly string[];
}
export interface PushTrigger extends BranchFilter, PathFilter {
  tags?: readonly string[];
  tagsIgnore?: readonly string[];
}
export interface PullRequestTrigger extends BranchFilter, PathFilter {
  types: readonly PullRequestType[];
}
export interface ScheduleTrigger {
  cron: Cron;
  /** Of IANA's list. */
  timeZone: string;
}
export interface Triggers {
  push?: PushTrigger;
  pull_request?: PullRequestTrigger;
  merge_group?: BranchFilter;
  schedule?: readonly ScheduleTrigger[];
  workflow_dispatch?: { inputs: Inputs };
  /** Without types: all. */
  repository_dispatch?: { types?: readonly string[] };
  release?: { types: readonly ReleaseType[] };
  create?: object;
  delete?: object;
}

/** What happens to a pull request that makes another commit the one to test: the default of `types`. */
export const headTypes = ["opened", "synchronize", "reopened"] as const;

/** GitHub's activity types of pull requests that a forge can tell. */
export const pullRequestTypes = [
  ...headTypes,
  "closed",
  "edited",
  "labeled",
  "unlabeled",
  "assigned",
  "unassigned",
  "milestoned",
  "demilestoned",
  "ready_for_review",
  "converted_to_draft",
  "review_requested",
  "review_request_removed",
] as const;
export type PullRequestType = (typeof pullRequestTypes)[number];

/** The others, and why they are refused. */
export const untoldPullRequestTypes: Readonly<Record<string, string>> = Object.fromEntries(
  ["locked", "unlocked", "enqueued", "dequeued", "auto_merge_enabled", "auto_merge_disabled", "stacked"].map((type) => [
    type,
    "no forge that Seatrial knows tells of it",
  ]),
);

export const releaseTypes = ["published", "created", "released", "prereleased", "edited", "deleted"] as const;
export type ReleaseType = (typeof releaseTypes)[number];

export interface TriggerEvent {
  event: EventName;
  /** What was pushed, as in `refs/heads/main` or `refs/tags/v1`; for a pull request its merge ref. */
  ref: string;
  /** Branch that a pull request or a merge group goes to, without `refs/heads/`. */
  baseRef?: string | undefined;
  /** What happened, in the words of `types`: any of them will do. Absent: whatever it was, it counts. */
  actions?: readonly string[] | undefined;
  /** Files that changed. Absent: they are not known, and no filter of paths leaves anything out. */
  paths?: readonly string[] | undefined;
  /** Of a schedule: which. Absent: any. */
  schedule?: { cron: string; timeZone: string } | undefined;
}

/** @param work of the filters of paths; what is asked when it is used up is started, as if the paths were not known. */
export function isTriggered({ on }: { on: Triggers }, event: TriggerEvent, work: Work = { left: limits.patternSteps }): boolean {
  const { actions, baseRef = "" } = event;
  const isOf = (types: readonly string[] | undefined) => !types || !actions || actions.some((action) => types.includes(action));
  switch (event.event) {
    case "push":
      return on.push !== undefined && isPushWanted(on.push, event, work);
    case "pull_request":
      return (
        on.pull_request !== undefined &&
        isOf(on.pull_request.types) &&
        isBaseWanted(on.pull_request, baseRef) &&
        isPathWanted(on.pull_request, event, work)
      );
    case "merge_group":
      return on.merge_group !== undefined && isBaseWanted(on.merge_group, baseRef);
    case "schedule": {
      const { schedule } = event;
      return (on.schedule ?? []).some((each) => !schedule || (each.cron.text === schedule.cron && each.timeZone === schedule.timeZone));
    }
    case "release":
      return on.release !== undefined && isOf(on.release.types);
    case "repository_dispatch":
      return on.repository_dispatch !== undefined && isOf(on.repository_dispatch.types);
    case "workflow_dispatch":
    case "create":
    case "delete":
      return on[event.event] !== undefined;
  }
}

/** Whether a workflow asks for what an event changed. */
export function asksForPaths({ on }: { on: Triggers }, event: EventName): boolean {
  const filter = event === "push" || event === "pull_request" ? on[event] : undefined;
  return filter?.paths !== undefined || filter?.pathsIgnore !== undefined;
}

function isBaseWanted({ branches, branchesIgnore }: BranchFilter, baseRef: string): boolean {
  return isNameWanted(branches, branchesIgnore, baseRef) ?? true;
}

/** Filters for branches alone leave out all tags, and those for tags all branches. Those for paths say nothing of tags. */
function isPushWanted(push: PushTrigger, event: TriggerEvent, work: Work): boolean {
  const isTag = event.ref.startsWith("refs/tags/");
  const name = event.ref.replace(/^refs\/(heads|tags)\//, "");
  const branch = isNameWanted(push.branches, push.branchesIgnore, name);
  const tag = isNameWanted(push.tags, push.tagsIgnore, name);
  const isWanted = branch === undefined && tag === undefined ? true : ((isTag ? tag : branch) ?? false);
  return isWanted && (isTag || isPathWanted(push, event, work));
}

/** One of the files that changed is enough. */
function isPathWanted({ paths, pathsIgnore }: PathFilter, { paths: changed }: TriggerEvent, work: Work): boolean {
  const patterns = paths ?? pathsIgnore;
  if (!changed || !patterns) return true;
  const isMatch = readPatterns(patterns);
  return changed.some((path) => isMatch(path, work) === (paths !== undefined) || work.left < 0);
}

/** Undefined where nothing is said. */
function isNameWanted(only: readonly string[] | undefined, ignored: readonly string[] | undefined, name: string): boolean | undefined {
  if (only) return matchesAny(only, name);
  return ignored ? !matchesAny(ignored, name) : undefined;
}

/**
 * What a working tree would be to a forge: the push of its branch, or the pull request that its branch would make. `seatrial run`
 * runs workflows for that change.
 */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import type { Environment } from "../base/environment.ts";
import { SeatrialError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { type EventName, type Source, workingTree } from "../resources/run.ts";
import { git } from "./git.ts";
import type { Snapshot } from "./worktree.ts";

/** A change of a working tree, and what a forge would tell of it beside. */
export interface WorkingChange {
  source: Source;
  /** Name, and its commit; "" where it has none. */
  defaultBranch: { name: string; sha: string };
  /** Of the last commit; "" where there is none. */
  message: string;
}

/**
 * The change, for an event; without one, a pull request when HEAD is ahead of the default branch, else a push.
 * @throws SeatrialError `usage` when a pull request is asked for and there is no branch that it could go to.
 */
export async function workingChange(
  environment: Environment,
  { folder, head, commit }: Snapshot,
  wanted: EventName | undefined,
  signal: AbortSignal,
): Promise<WorkingChange> {
  const ask = async (...args: string[]) => {
    // GIT_DIR and its kin of a hook that calls us point elsewhere: git() leaves them out.
    const { stdout, exitCode } = await git(environment, ["-C", folder, ...args], { okCodes: [0, 1, 2, 128], signal });
    return exitCode === 0 ? stdout.trim() : "";
  };
  const [branch, remoteHead, origin, name, email, message] = await Promise.all([
    ask("symbolic-ref", "--quiet", "--short", "HEAD"),
    ask("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"),
    ask("config", "--get", "remote.origin.url"),
    ask("config", "--get", "user.name"),
    ask("config", "--get", "user.email"),
    ask("log", "-1", "--format=%B"),
  ]);
  const defaultRef = await firstThere(ask, remoteHead, "main", "master");
  const defaultBranch = defaultRef.ref.replace(/^origin\//, "");
  const base = defaultRef.sha;
  const ahead =
    head !== undefined && base !== "" && branch !== defaultBranch ? Number(await ask("rev-list", "--count", `${base}..${head}`)) : 0;
  const event = wanted ?? (ahead > 0 ? "pull_request" : "push");
  const sender = { id: email || "local", login: name || "local" };
  const repository = { id: createHash("sha256").update(folder).digest("hex").slice(0, 16), name: repositoryName(origin, folder) };
  const common = { forge: workingTree, repository, lane: "trusted" as const, commit, sender };
  const beside = { defaultBranch: { name: defaultBranch || "main", sha: base }, message };
  if (event !== "pull_request") {
    const ref = event === "merge_group" ? beside.defaultBranch.name : branch || "HEAD";
    const source = { ...common, event, ref: `refs/heads/${branch || beside.defaultBranch.name}`, base: { ref, sha: commit } };
    return { source, ...beside };
  }
  if (base === "") {
    throw new SeatrialError("usage", `there is no branch in ${folder} that a pull request could go to`, {
      hint: "git fetch, or git remote set-head origin --auto; or run with --event push",
    });
  }
  const heads = [{ sha: commit, ref: branch || "HEAD", repositoryId: repository.id, author: sender }];
  const source = { ...common, event, ref: "refs/pull/0/merge", base: { ref: defaultBranch, sha: base }, heads };
  return { source, ...beside };
}

/**
 * Files that differ in it: for a pull request since it left the base; for a push from what was pushed before, or since it left the default
 * branch. Undefined when there is nothing to compare with, or more differ than we list.
 */
export async function workingPaths(
  environment: Environment,
  { folder, commit }: Snapshot,
  { event, base }: Source,
  signal: AbortSignal,
): Promise<string[] | undefined> {
  const ask = async (...args: string[]) => {
    const { stdout, exitCode } = await git(environment, ["-C", folder, ...args], { okCodes: [0, 1, 128], signal });
    return exitCode === 0 ? stdout : "";
  };
  const commitOf = async (ref: string) => await ask("rev-parse", "--verify", "--quiet", "--end-of-options", `${ref}^{commit}`);
  const leftAt = async (ref: string) => await ask("merge-base", ref, commit);
  let from = "";
  if (event === "pull_request") from = await leftAt(base.sha);
  else
    for (const ref of ["@{upstream}", "refs/remotes/origin/HEAD", "main", "master"]) from ||= (await commitOf(ref)) && (await leftAt(ref));
  if (from === "") return undefined;
  const paths = (await ask("diff-tree", "-r", "-z", "--name-only", "--no-renames", from.trim(), commit)).split("\0").filter(Boolean);
  return paths.length > limits.gitChangedPaths ? undefined : paths;
}

/** The first of the refs that is there, with its commit. */
async function firstThere(ask: (...args: string[]) => Promise<string>, ...refs: string[]): Promise<{ ref: string; sha: string }> {
  for (const ref of refs.filter(Boolean)) {
    const sha = await ask("rev-parse", "--verify", "--quiet", "--end-of-options", `${ref}^{commit}`);
    if (sha !== "") return { ref, sha };
  }
  return { ref: "", sha: "" };
}

/** `owner/name` of the remote's URL, else the folder's name. */
export function repositoryName(origin: string, folder: string): string {
  const path = origin
    .replace(/^[a-z+]+:\/\/[^/]+\//i, "")
    .replace(/^[^/]*:/, "")
    .replace(/\.git\/?$/, "");
  const parts = path.split("/").filter(Boolean);
  return parts.length >= 2 ? parts.slice(-2).join("/") : `local/${basename(folder)}`;
}

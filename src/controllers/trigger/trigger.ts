/**
 * From what happened at a forge to Runs: fetches the commits, merges base and heads, reads the workflow files of the merge, and makes
 * a Run for each that the change starts. Runs of older heads of the same pull request are aborted then.
 *
 * The same change gives the same names, whether it came by a webhook, twice, or was found as an open head: what is there, or was,
 * is left alone. So the trigger can be called for anything, at any time, and for several changes at once.
 */
import { createHash } from "node:crypto";
import { InvalidError, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { Change, Forge, PullRequestChange, RepositoryName } from "../../forges/forge.ts";
import { type Mirror, MergeConflictError } from "../../git/mirror.ts";
import type { History } from "../../history/history.ts";
import { reasonOf } from "../../kube/api-error.ts";
import type { Store } from "../../kube/store.ts";
import { repositoryName } from "../../resources/repository.ts";
import { type Run, runKind, runLabels, type Source } from "../../resources/run.ts";
import { workflowFiles } from "../../workflows/find.ts";
import { readWorkflow } from "../../workflows/read.ts";
import type { RunsOnRule } from "../../workflows/runs-on.ts";
import { isTriggered } from "../../workflows/triggers.ts";
import type { Workflow } from "../../workflows/workflow.ts";
import type { Repositories } from "../repository/repositories.ts";

export interface TriggerOptions {
  store: Store;
  history: History;
  mirrorOf(forge: string, repositoryId: string): Mirror;
  repositories: Repositories;
  /** What labels of one's own mean. Default: nothing. */
  rules?: readonly RunsOnRule[] | undefined;
  now(): Date;
}

/** What is known of a change beside itself. */
export interface Cause {
  /** Id of the delivery; undefined when a head was found without one: what was found before is then not looked at again. */
  delivery?: string | undefined;
  /** The event's payload. */
  payload: unknown;
}

export class Trigger {
  readonly #options: TriggerOptions;

  constructor(options: TriggerOptions) {
    this.#options = options;
  }

  /**
   * Makes the Runs of a change. @returns the names of all of them, also of those that were there.
   * @throws SeatrialError, retryable when the forge or its repository cannot be reached now.
   */
  async trigger(forge: Forge, change: Change, cause: Cause, signal?: AbortSignal): Promise<string[]> {
    const { history, now } = this.#options;
    // Of each ref the head of which all runs were made: looking at thousands of branches again then costs one question each.
    const key = `head/${forge.name}/${change.repository.id}/${change.event === "push" ? change.ref : `pull/${change.number}`}`;
    const head = change.event === "push" ? change.after : change.action === "closed" ? undefined : change.head.sha;
    if (head === undefined) await history.state.delete(key);
    if (head === undefined || (change.event === "pull_request" && change.action === "edited")) return [];
    const before = await history.state.get(key);
    if (cause.delivery === undefined && before === head) return [];
    try {
      const names = await this.#make(forge, change, cause, signal);
      if (typeof names === "string") {
        // It is looked at again with each look: what is allowed may change.
        await history.state.set(key, `${names} ${head}`, now());
        return [];
      }
      if (change.event === "pull_request" && before === `${conflict} ${head}`) await this.#showMerge(forge, change, undefined, signal);
      if (change.event === "pull_request" && before === `${noForks} ${head}`) await this.#showForks(forge, change, undefined, signal);
      await history.state.set(key, head, now());
      return names;
    } catch (error) {
      if (change.event === "pull_request" && error instanceof MergeConflictError) {
        await this.#showMerge(forge, change, error, signal);
        // It is tried again with each look: its base may move.
        await history.state.set(key, `${conflict} ${head}`, now());
      }
      throw error;
    } finally {
      // Also when the new head cannot be merged: the older one is of no use to anybody.
      if (change.event === "pull_request") await this.#abortOlder(forge, change, before, signal);
    }
  }

  /** A pull request that cannot be merged has no runs, and so no checks but this one. */
  async #showMerge(
    forge: Forge,
    { repository, number, base, head }: PullRequestChange,
    error: MergeConflictError | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const why = error && error.files.length > 0 ? `conflicts in ${error.files.join(", ")}` : "the histories have nothing in common";
    await forge.report(
      {
        repositoryId: repository.id,
        sha: head.sha,
        context: "merge (pull_request)",
        state: error ? "error" : "success",
        description: error ? `cannot be merged into ${base.ref}: ${why}` : `can be merged into ${base.ref}`,
        targetUrl: forge.link({ repository, number }) ?? "",
        sequence: this.#options.now().getTime(),
      },
      signal,
    );
  }

  /** Why a pull request from a fork has no runs. @param whose the Repository that forbids it; undefined when it does no more. */
  async #showForks(
    forge: Forge,
    { repository, number, head }: PullRequestChange,
    whose: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    await forge.report(
      {
        repositoryId: repository.id,
        sha: head.sha,
        context: "forks (pull_request)",
        state: whose === undefined ? "success" : "pending",
        description: whose === undefined ? "it is run" : `not run: Repository ${whose} runs no pull requests from forks`,
        targetUrl: forge.link({ repository, number }) ?? "",
        sequence: this.#options.now().getTime(),
      },
      signal,
    );
  }

  /** The open heads of a repository were looked at. */
  async looked(forge: Forge, repository: RepositoryName, heads: number, signal?: AbortSignal): Promise<void> {
    await this.#options.repositories.seen(forge, repository, { heads }, signal);
  }

  /** @returns the names of its Runs, or what of its Repository forbids them. */
  async #make(
    forge: Forge,
    change: Change,
    cause: Cause,
    signal: AbortSignal | undefined,
  ): Promise<string[] | typeof suspended | typeof noForks> {
    const isDelivery = cause.delivery !== undefined;
    const { metadata, spec } = await this.#options.repositories.seen(forge, change.repository, { isDelivery }, signal);
    if (spec.suspended) return suspended;
    const decided = await forge.laneOf(change, signal);
    if (spec.forks === "none" && change.event === "pull_request" && decided.lane === "untrusted") {
      await this.#showForks(forge, change, metadata.name, signal);
      return noForks;
    }
    const mirror = this.#options.mirrorOf(forge.name, change.repository.id);
    const commits = change.event === "push" ? [change.after!] : [change.base.sha, change.head.sha];
    await mirror.fetch(await forge.source(change.repository.id, signal), { commits }, signal);
    const source = await this.#sourceOf(forge, change, mirror, decided.lane, cause);
    const files = await this.#workflowsAt(mirror, source.commit);
    const names: string[] = [];
    for (const file of files) {
      if (!isStartedBy(file.workflow, source, change)) continue;
      // Two workflows of one name would have the same checks.
      const name = nameOf(file);
      const isShared = files.some((other) => other !== file && nameOf(other) === name);
      names.push(await this.#create(source, file, isShared ? `${name} (${file.path})` : name, cause));
    }
    return names;
  }

  /**
   * Ends the runs of heads that the pull request has no more. Which head it has is asked of the forge: deliveries may be handled
   * late, and in any order. A closed pull request keeps its runs.
   * @param before the head that was known before, if any.
   */
  async #abortOlder(forge: Forge, change: PullRequestChange, before: string | undefined, signal: AbortSignal | undefined): Promise<void> {
    const { store } = this.#options;
    const selector = { [runLabels.pullRequest]: pullRequestKey(forge.name, change.repository.id, change.number) };
    const open = (await store.list(runKind, { selector, signal })).items.filter(
      ({ spec, status }) => status?.phase !== "Finished" && spec.abort === undefined,
    );
    if (open.length === 0 || new Set([change.head.sha, before ?? change.head.sha, ...open.map(headOf)]).size < 2) return;
    const current = await forge.pullRequest(change.repository.id, change.number, signal);
    if (!current) return;
    const reason = `pull request ${change.number} has a newer commit, ${current.head.sha.slice(0, 10)}`;
    for (const run of open) {
      if (headOf(run) !== current.head.sha) await store.patch(runKind, run.metadata.name, { spec: { abort: reason } });
    }
  }

  async #sourceOf(forge: Forge, change: Change, mirror: Mirror, lane: Source["lane"], cause: Cause): Promise<Source> {
    const common = {
      forge: forge.name,
      repository: change.repository,
      ...(change.sender ? { sender: change.sender } : {}),
      lane,
      ...(cause.delivery === undefined ? {} : { delivery: cause.delivery }),
    };
    if (change.event === "push") {
      const branch = change.ref.replace(/^refs\/(heads|tags)\//, "");
      return { ...common, event: "push", ref: change.ref, base: { ref: branch, sha: change.after! }, commit: change.after! };
    }
    const { number, base, head, author } = change;
    return {
      ...common,
      event: "pull_request",
      ref: `refs/pull/${number}/merge`,
      base,
      heads: [{ number, sha: head.sha, ref: head.ref, repositoryId: head.repositoryId, author }],
      commit: await mirror.mergeOf(base.sha, [head.sha]),
    };
  }

  async #workflowsAt(mirror: Mirror, commit: string): Promise<WorkflowFile[]> {
    const folders = [".seatrial", ".github/workflows"];
    const files = (await Promise.all(folders.map(async (folder) => await mirror.listFiles(commit, folder)))).flat();
    const paths = workflowFiles(files.map(({ path }) => path));
    if (paths.length > limits.workflowFiles) {
      const most = limits.workflowFiles;
      throw new SeatrialError("invalid", `commit ${commit} has ${paths.length} workflow files, and ${most} are possible`);
    }
    const read: WorkflowFile[] = [];
    for (const path of paths) {
      const text = (await mirror.readFile(commit, path)) ?? "";
      read.push({ path, text, workflow: validWorkflow(text, path, this.#options.rules) });
    }
    return read;
  }

  async #create(source: Source, { path, text }: WorkflowFile, workflowName: string, cause: Cause): Promise<string> {
    const { history, store } = this.#options;
    const name = runName(source, path);
    if (await history.queries.run(name)) return name;
    const now = this.#options.now();
    const [digest, eventDigest] = await Promise.all([
      history.documents.put(text, now),
      history.documents.put(JSON.stringify(cause.payload ?? {}), now),
    ]);
    const number = source.heads?.[0]?.number;
    const labels = {
      [runLabels.repository]: repositoryName({ forge: source.forge, id: source.repository.id }),
      ...(number === undefined ? {} : { [runLabels.pullRequest]: pullRequestKey(source.forge, source.repository.id, number) }),
    };
    const spec: Run["spec"] = { source: { ...source, eventDigest }, workflow: { path, name: workflowName, digest } };
    try {
      await store.create(runKind, { metadata: { name, labels }, spec });
    } catch (error) {
      if (reasonOf(error) !== "already-exists") throw error;
    }
    return name;
  }
}

/** Before the head of a pull request that could not be merged. */
const conflict = "conflict";
/** Before a head that its Repository forbids to run. */
const suspended = "suspended";
const noForks = "no-forks";

interface WorkflowFile {
  path: string;
  text: string;
  /** Undefined when something is wrong with it. */
  workflow: Workflow | undefined;
}

function validWorkflow(text: string, path: string, rules: readonly RunsOnRule[] | undefined): Workflow | undefined {
  try {
    return readWorkflow(text, path, rules);
  } catch (error) {
    if (error instanceof InvalidError) return undefined;
    throw error;
  }
}

function nameOf({ workflow, path }: WorkflowFile): string {
  return workflow?.name ?? path;
}

/** One that is not valid is started by everything: its Run says what is wrong with it, and nobody would look for that in our log. */
function isStartedBy(workflow: Workflow | undefined, { event, ref, base }: Source, change: Change): boolean {
  const action = change.event === "pull_request" ? { action: change.action } : {};
  return workflow === undefined || isTriggered(workflow, { event, ref, baseRef: base.ref, ...action });
}

function headOf({ spec: { source } }: Pick<Run, "spec">): string {
  return source.heads?.[0]?.sha ?? source.base.sha;
}

/** Equal for the same pull request; can be the value of a label. */
function pullRequestKey(forge: string, repositoryId: string, number: number): string {
  return createHash("sha256").update([forge, repositoryId, number].join("\n")).digest("hex").slice(0, 32);
}

/** Equal for the same workflow of the same head, however often it is told of. */
function runName({ forge, repository, event, ref, base, heads }: Source, workflowPath: string): string {
  const head = heads?.[0]?.sha ?? base.sha;
  const key = [forge, repository.id, event, ref, head, workflowPath].join("\n");
  return `run-${createHash("sha256").update(key).digest("hex").slice(0, 16)}`;
}

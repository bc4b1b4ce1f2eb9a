/**
 * From what happened at a forge to Runs: fetches the commits, merges base and heads, reads the workflow files of the merge, and makes
 * a Run for each that the change starts.
 *
 * The same change gives the same names, whether it came by a webhook, twice, or was found as an open head: what is there, or was,
 * is left alone. So the trigger can be called for anything, at any time.
 */
import { createHash } from "node:crypto";
import { InvalidError, SeatrialError } from "../../base/errors.ts";
import type { Change, Forge, PullRequestChange } from "../../forges/forge.ts";
import type { GitSource } from "../../git/git.ts";
import { type Mirror, MergeConflictError } from "../../git/mirror.ts";
import type { History } from "../../history/history.ts";
import { reasonOf } from "../../kube/api-error.ts";
import type { Store } from "../../kube/store.ts";
import { type Run, runKind, type Source } from "../../resources/run.ts";
import { workflowFiles } from "../../workflows/find.ts";
import { readWorkflow } from "../../workflows/read.ts";
import { isTriggered } from "../../workflows/triggers.ts";

export interface TriggerOptions {
  store: Store;
  history: History;
  mirrorOf(forge: string, repositoryId: string): Mirror;
  now(): Date;
}

/** What is known of a change beside itself. */
export interface Cause {
  /** Id of the delivery; undefined when a head was found without one. */
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
    if (change.event === "push" ? change.after === undefined : change.action === "closed" || change.action === "edited") return [];
    const mirror = this.#options.mirrorOf(forge.name, change.repository.id);
    const commits = change.event === "push" ? [change.after!] : [change.base.sha, change.head.sha];
    const source = await forge.source(change.repository.id, signal);
    await fetchCommits(mirror, source, commits, signal);
    const decided = await forge.laneOf(change, signal);
    const made = await this.#sourceOf(forge, change, mirror, decided.lane, cause);
    const names: string[] = [];
    for (const file of await this.#workflowsAt(mirror, made.commit)) {
      const name = await this.#create(made, file, change, cause);
      if (name !== undefined) names.push(name);
    }
    return names;
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
      commit: await mergeOf(mirror, change),
    };
  }

  async #workflowsAt(mirror: Mirror, commit: string): Promise<{ path: string; text: string }[]> {
    const files = (
      await Promise.all([".seatrial", ".github/workflows"].map(async (folder) => await mirror.listFiles(commit, folder)))
    ).flat();
    const texts = await Promise.all(
      workflowFiles(files.map(({ path }) => path)).map(async (path) => ({ path, text: (await mirror.readFile(commit, path)) ?? "" })),
    );
    return texts;
  }

  /** @returns undefined when the change does not start it. */
  async #create(source: Source, { path, text }: { path: string; text: string }, change: Change, cause: Cause): Promise<string | undefined> {
    const { history, store } = this.#options;
    let workflowName = path;
    try {
      const workflow = readWorkflow(text, path);
      const event = {
        event: source.event,
        ref: source.ref,
        baseRef: source.base.ref,
        ...(change.event === "pull_request" ? { action: change.action } : {}),
      };
      if (!isTriggered(workflow, event)) return undefined;
      workflowName = workflow.name;
    } catch (error) {
      // The Run says what is wrong with it: nobody would look for it in our log.
      if (!(error instanceof InvalidError)) throw error;
    }
    const name = runName(source, path);
    if (await history.queries.run(name)) return name;
    const now = this.#options.now();
    const [digest, eventDigest] = await Promise.all([
      history.documents.put(text, now),
      history.documents.put(JSON.stringify(cause.payload ?? {}), now),
    ]);
    const spec: Run["spec"] = { source: { ...source, eventDigest }, workflow: { path, name: workflowName, digest } };
    try {
      await store.create(runKind, { metadata: { name }, spec });
    } catch (error) {
      if (reasonOf(error) !== "already-exists") throw error;
    }
    return name;
  }
}

/** Equal for the same workflow of the same head, however often it is told of. */
export function runName({ forge, repository, event, ref, base, heads }: Source, workflowPath: string): string {
  const head = heads?.[0]?.sha ?? base.sha;
  const key = [forge, repository.id, event, ref, head, workflowPath].join("\n");
  return `run-${createHash("sha256").update(key).digest("hex").slice(0, 16)}`;
}

async function fetchCommits(mirror: Mirror, source: GitSource, commits: readonly string[], signal: AbortSignal | undefined): Promise<void> {
  await mirror.fetch(source, { commits }, signal);
}

async function mergeOf(mirror: Mirror, { base, head, number }: PullRequestChange): Promise<string> {
  try {
    return await mirror.mergeOf(base.sha, [head.sha]);
  } catch (error) {
    if (!(error instanceof MergeConflictError)) throw error;
    throw new SeatrialError("conflict", `pull request ${number} cannot be merged: ${error.message}`, { hint: error.hint, cause: error });
  }
}

/**
 * From what happened at a forge to Runs: fetches the commits, merges base and heads, reads the workflow files of the merge, and makes
 * a Run for each that the change starts. Runs of older heads of the same pull request are aborted then.
 *
 * The same change gives the same names, whether it came by a webhook, twice, or was found as an open head: what is there, or was,
 * is left alone. So the trigger can be called for anything, at any time, and for several changes at once.
 *
 * What makes no head (a label, a tick of a schedule, a dispatch) runs once for each delivery of it.
 */
import { createHash } from "node:crypto";
import { InvalidError, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { Change, Forge, Occurrence, PullRequestChange, PushChange, RepositoryName } from "../../forges/forge.ts";
import { type Mirror, MergeConflictError } from "../../git/mirror.ts";
import type { History } from "../../history/history.ts";
import { reasonOf } from "../../kube/api-error.ts";
import type { Store } from "../../kube/store.ts";
import { repositoryName } from "../../resources/repository.ts";
import { type Run, runKind, runLabels, runNumberKey, type Source } from "../../resources/run.ts";
import { workflowFiles } from "../../workflows/read/find.ts";
import { formatCalls, treePath } from "../../workflows/read/read-calls.ts";
import { readFollowing } from "../../workflows/read/read.ts";
import { asksForNoRuns } from "../../workflows/triggers/skip.ts";
import type { RunsOnRule } from "../../workflows/runs-on.ts";
import { asksForPaths, headTypes, isTriggered, type TriggerEvent } from "../../workflows/triggers/triggers.ts";
import type { Workflow } from "../../workflows/workflow.ts";
import type { Repositories } from "../repository/repositories.ts";

export interface TriggerOptions {
  store: Store;
  history: History;
  mirrorOf(forge: string, repositoryId: string): Mirror;
  repositories: Repositories;
  /** What labels of one's own mean. Default: nothing. */
  rules?: readonly RunsOnRule[] | undefined;
  /** The text of a workflow of another repository, which one of a commit calls. Default: there are none. */
  called?:
    | ((uses: string, by: { forge: Forge; repository: RepositoryName; folder: string; commit: string }) => Promise<string>)
    | undefined;
  now(): Date;
}

/** What is known of a change beside itself. */
export interface Cause {
  /**
   * Id of the delivery, or of whatever else is told once; undefined when a head was found without one: what was found before is then
   * not looked at again.
   */
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
  async trigger(forge: Forge, change: Change | Occurrence, cause: Cause, signal?: AbortSignal): Promise<string[]> {
    const { history, now } = this.#options;
    if (change.event !== "push" && change.event !== "pull_request") return await this.#occur(forge, change, cause, signal);
    // Of each ref the head of which all runs were made: looking at thousands of branches again then costs one question each.
    const key = headKey(forge.name, change.repository.id, change.event === "push" ? change.ref : `pull/${change.number}`);
    const head = change.event === "push" ? change.after : change.action === "closed" ? undefined : change.head.sha;
    if (head === undefined) await history.state.delete(key);
    if (change.event === "push" && head === undefined) return await this.#deleted(forge, change, cause, signal);
    if (change.event === "pull_request") cause = { ...cause, payload: inOurWords(cause.payload, change) };
    if (head === undefined || (change.event === "pull_request" && !isHeadAction(change)))
      return await this.#beside(forge, change, cause, signal);
    const before = await history.state.get(key);
    if (cause.delivery === undefined && before === head) return [];
    try {
      const names = await this.#make(forge, change, before, cause, signal);
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
        // It is tried again with each look, as its base may move; but what takes a minute to fail is not.
        await history.state.set(key, error.mayPass ? `${conflict} ${head}` : head, now());
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
    await forge.report(
      {
        repositoryId: repository.id,
        sha: head.sha,
        context: "merge (pull_request)",
        state: error ? "error" : "success",
        description: error ? `cannot be merged into ${base.ref}: ${error.why}` : `can be merged into ${base.ref}`,
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

  /** The workflow files of a commit, in order; they are fetched when they are not here. */
  async workflowsOf(forge: Forge, repository: RepositoryName, commit: string, signal?: AbortSignal): Promise<WorkflowFile[]> {
    const mirror = this.#options.mirrorOf(forge.name, repository.id);
    await mirror.fetch(await forge.source(repository.id, signal), { commits: [commit] }, signal);
    return await this.#workflowsAt(mirror, commit, forge, repository);
  }

  async isSuspended(forge: Forge, repository: RepositoryName, signal?: AbortSignal): Promise<boolean> {
    return (await this.#options.repositories.seen(forge, repository, {}, signal)).spec.suspended === true;
  }

  /** The open heads of a repository were looked at. */
  async looked(forge: Forge, repository: RepositoryName, heads: number, signal?: AbortSignal): Promise<void> {
    await this.#options.repositories.seen(forge, repository, { heads }, signal);
  }

  /** What happens to a pull request beside its head: when that cannot be merged, or is gone, there is nothing to run, and its check says so. */
  async #beside(forge: Forge, change: Change, cause: Cause, signal: AbortSignal | undefined): Promise<string[]> {
    try {
      const names = await this.#make(forge, change, undefined, cause, signal);
      return typeof names === "string" ? [] : names;
    } catch (error) {
      if (error instanceof MergeConflictError || (error instanceof SeatrialError && error.code === "not-found")) return [];
      throw error;
    }
  }

  /**
   * What was deleted has no commit: it starts what the default branch has for that, as it was told of last. Whoever cleans up deletes
   * hundreds at once: neither forge nor control plane is asked.
   */
  async #deleted(forge: Forge, { repository, ref, sender }: PushChange, cause: Cause, signal: AbortSignal | undefined): Promise<string[]> {
    if (cause.delivery === undefined) return [];
    const defaultBranch = defaultBranchIn(cause.payload);
    const sha = defaultBranch === undefined ? undefined : await this.branchHead(forge, repository, defaultBranch, "get");
    if (sha === undefined) return [];
    const payload = refPayload(cause.payload, ref, undefined);
    const occurrence: Occurrence = { event: "delete", repository, ref: `refs/heads/${defaultBranch}`, sha, ...(sender ? { sender } : {}) };
    return await this.#occur(forge, occurrence, { ...cause, payload }, signal);
  }

  /** The head of a branch as it was told of last; undefined when it was not. @param ask as those of the history's state. */
  async branchHead(forge: Forge, repository: RepositoryName, branch: string, ask: "get" | "poll"): Promise<string | undefined> {
    const head = await this.#options.history.state[ask](headKey(forge.name, repository.id, `refs/heads/${branch}`));
    return head?.split(" ").at(-1);
  }

  /** Makes the Runs of what happened at a commit that is there; none when it is gone. */
  async #occur(forge: Forge, occurrence: Occurrence, cause: Cause, signal: AbortSignal | undefined): Promise<string[]> {
    const { repository, schedule, workflow, actions, baseRef, inputs } = occurrence;
    if (await this.isSuspended(forge, repository, signal)) return [];
    const ref = occurrence.ref ?? `refs/heads/${(await forge.repository(repository.id, signal)).defaultBranch}`;
    const sha = occurrence.sha ?? (await forge.commitOf(repository.id, ref, signal));
    if (sha === undefined) return [];
    const files = await this.workflowsOf(forge, repository, sha, signal);
    const source: Source = {
      ...commonSource(forge, occurrence, cause),
      event: occurrence.event,
      lane: "trusted",
      ref,
      base: { ref: baseRef ?? branchOf(ref), sha },
      commit: sha,
    };
    const event: TriggerEvent = { event: occurrence.event, ref, baseRef, actions, schedule };
    const started = files.filter(({ path, workflow: read }) => read && (workflow ?? path) === path && isTriggered(read, event));
    return await this.#start(forge, source, files, started, cause, true, inputs);
  }

  /** @returns the names of its Runs, or what of its Repository forbids them. @param before the head that was known before, if any. */
  async #make(
    forge: Forge,
    change: Change,
    before: string | undefined,
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
    const files = await this.#workflowsAt(mirror, source.commit, forge, change.repository);
    const isHead = change.event === "push" || isHeadAction(change);
    const mustKnowPaths = files.some(({ workflow }) => workflow && asksForPaths(workflow, change.event));
    const event: TriggerEvent = {
      event: change.event,
      ref: source.ref,
      baseRef: source.base.ref,
      actions: change.event === "pull_request" ? [change.action] : undefined,
      paths: mustKnowPaths ? await this.#changedPaths(forge, change, before, mirror, signal) : undefined,
    };
    const isSkipped = asksForNoRuns(await mirror.messageOf(commits.at(-1)!));
    // One that is not valid is started by every head: its Run says what is wrong with it, and nobody would look for that in our log.
    const work = { left: limits.patternSteps };
    const started = files.filter(({ workflow }) => !isSkipped && (workflow ? isTriggered(workflow, event, work) : isHead));
    const names = await this.#start(forge, source, files, started, cause, !isHead);
    if (change.event !== "push" || change.before !== undefined || !isDelivery) return names;
    const creating = files.filter(({ workflow }) => workflow && isTriggered(workflow, { event: "create", ref: source.ref }));
    if (creating.length === 0) return names;
    const { defaultBranch } = await forge.repository(change.repository.id, signal);
    const payload = refPayload(cause.payload, change.ref, defaultBranch);
    return [...names, ...(await this.#start(forge, { ...source, event: "create" }, files, creating, { ...cause, payload }, true))];
  }

  /** @param isOnce whether each delivery has Runs of its own; else each head has one. */
  async #start(
    forge: Forge,
    source: Source,
    files: readonly WorkflowFile[],
    started: readonly WorkflowFile[],
    cause: Cause,
    isOnce: boolean,
    inputs?: Occurrence["inputs"],
  ): Promise<string[]> {
    const names: string[] = [];
    for (const file of started) {
      // Two workflows of one name would have the same checks.
      const name = nameOf(file);
      const isShared = files.some((other) => other !== file && nameOf(other) === name);
      names.push(await this.#create(forge, source, file, isShared ? `${name} (${file.path})` : name, cause, isOnce, inputs));
    }
    return names;
  }

  /**
   * Files that a change is about, by GitHub's rules but for its bounds: of a push what differs between before and after, of a new
   * branch since it left the default branch; of a pull request what its head changed since it left the base. Undefined when that is not known,
   * or more than we list.
   */
  async #changedPaths(
    forge: Forge,
    change: Change,
    knownBefore: string | undefined,
    mirror: Mirror,
    signal: AbortSignal | undefined,
  ): Promise<string[] | undefined> {
    const { id } = change.repository;
    const fromOf = async (): Promise<string | undefined> => {
      if (change.event === "pull_request") return await mirror.mergeBase(change.base.sha, change.head.sha);
      const source = await forge.source(id, signal);
      const isHere = async (commit: string) =>
        await mirror.fetch(source, { commits: [commit] }, signal).then(
          () => true,
          (error: unknown) => {
            // What a forced push left behind may be gone.
            if (error instanceof SeatrialError && error.code === "not-found") return false;
            throw error;
          },
        );
      const before = change.before ?? (/^[0-9a-f]{40,64}$/.test(knownBefore ?? "") ? knownBefore : undefined);
      if (before !== undefined && (await isHere(before))) return before;
      const { defaultBranch } = await forge.repository(id, signal);
      const base =
        change.ref === `refs/heads/${defaultBranch}` ? undefined : await forge.commitOf(id, `refs/heads/${defaultBranch}`, signal);
      return base !== undefined && (await isHere(base)) ? await mirror.mergeBase(base, change.after!) : undefined;
    };
    const from = await fromOf();
    if (from === undefined) return undefined;
    const { paths, isComplete } = await mirror.changedPaths(from, change.event === "push" ? change.after! : change.head.sha);
    return isComplete ? paths : undefined;
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
    const common = { ...commonSource(forge, change, cause), lane };
    if (change.event === "push") {
      const base = { ref: branchOf(change.ref), sha: change.after! };
      return { ...common, event: "push", ref: change.ref, base, commit: change.after! };
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

  async #workflowsAt(mirror: Mirror, commit: string, forge: Forge, repository: RepositoryName): Promise<WorkflowFile[]> {
    const { rules = [], called } = this.#options;
    const fetch = async (uses: string) => {
      const path = treePath(uses);
      const text =
        path === undefined
          ? await called?.(uses, { forge, repository, folder: mirror.folder, commit })
          : await mirror.readFile(commit, path);
      if (text === undefined)
        throw new SeatrialError("not-found", path === undefined ? "there is nothing to fetch it with" : `there is no file ${path}`);
      return text;
    };
    const folders = [".seatrial", ".github/workflows"];
    const files = (await Promise.all(folders.map(async (folder) => await mirror.listFiles(commit, folder)))).flat();
    const paths = workflowFiles(files.map(({ path }) => path));
    if (paths.length > limits.workflowFiles) {
      const most = limits.workflowFiles;
      throw new SeatrialError("invalid", `commit ${commit} has ${paths.length} workflow files, and ${most} are possible`);
    }
    const texts = new Map<string, string>();
    for (const path of paths) texts.set(path, (await mirror.readFile(commit, path)) ?? "");
    const read: WorkflowFile[] = [];
    for (const [path, text] of texts) {
      const { workflow, problems, calls, files: all } = await readFollowing(text, path, rules, texts, fetch);
      read.push({ path, text, calls: formatCalls(calls, all), ...(workflow ? { workflow } : { problems: new InvalidError(problems) }) });
    }
    return read;
  }

  async #create(
    forge: Forge,
    source: Source,
    { path, text, calls, workflow }: WorkflowFile,
    workflowName: string,
    cause: Cause,
    isOnce: boolean,
    inputs: Occurrence["inputs"],
  ): Promise<string> {
    const { history, store } = this.#options;
    const name = runName(source, path, isOnce ? cause.delivery : undefined);
    if (await history.queries.run(name)) return name;
    const now = this.#options.now();
    const [digest, eventDigest, callsDigest] = await Promise.all([
      history.documents.put(text, now),
      history.documents.put(JSON.stringify(cause.payload ?? {}), now),
      calls === undefined ? undefined : history.documents.put(calls, now),
    ]);
    const notices = workflow ? forge.untold(workflow.on) : [];
    const pullRequest = source.heads?.[0]?.number;
    const labels = {
      [runLabels.repository]: repositoryName({ forge: source.forge, id: source.repository.id }),
      ...(pullRequest === undefined ? {} : { [runLabels.pullRequest]: pullRequestKey(source.forge, source.repository.id, pullRequest) }),
    };
    const spec: Run["spec"] = {
      source: { ...source, eventDigest },
      number: await history.state.next(runNumberKey(source, path), now),
      workflow: { path, name: workflowName, digest, ...(callsDigest === undefined ? {} : { calls: callsDigest }) },
      ...(inputs ? { inputs: JSON.stringify(inputs) } : {}),
      ...(notices.length > 0 ? { notices } : {}),
    };
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

export interface WorkflowFile {
  path: string;
  text: string;
  /** Undefined when something is wrong with it. */
  workflow?: Workflow | undefined;
  /** What that is. */
  problems?: InvalidError | undefined;
  /** The files that it calls, as the history keeps them. */
  calls?: string | undefined;
}

function nameOf({ workflow, path }: WorkflowFile): string {
  return workflow?.name ?? path;
}

function isHeadAction({ action }: PullRequestChange): boolean {
  return headTypes.some((type) => type === action);
}

/** Of the history's state: the head of a ref, or of `pull/N`, of which all runs were made. */
function headKey(forge: string, repositoryId: string, ref: string): string {
  return `head/${forge}/${repositoryId}/${ref}`;
}

function commonSource(
  forge: Forge,
  { repository, sender }: Change | Occurrence,
  { delivery }: Cause,
): Pick<Source, "forge" | "repository"> {
  return { forge: forge.name, repository, ...(sender ? { sender } : {}), ...(delivery === undefined ? {} : { delivery }) };
}

function branchOf(ref: string): string {
  return ref.replace(/^refs\/(heads|tags)\//, "");
}

/** Gitea has words of its own for some of what happens to a pull request. */
function inOurWords(payload: unknown, { action }: PullRequestChange): unknown {
  return typeof payload === "object" && payload !== null && "action" in payload ? { ...payload, action } : payload;
}

function defaultBranchIn(payload: unknown): string | undefined {
  const { repository } = (payload ?? {}) as { repository?: { default_branch?: unknown } };
  return typeof repository?.default_branch === "string" ? repository.default_branch : undefined;
}

/** What `create` and `delete` carry, of a push that tells the same. */
function refPayload(push: unknown, ref: string, defaultBranch: string | undefined): object {
  const { before: _before, after: _after, commits: _commits, head_commit: _head, ...rest } = push as Record<string, unknown>;
  const more = defaultBranch === undefined ? {} : { master_branch: defaultBranch };
  return { ...rest, ref: branchOf(ref), ref_type: ref.startsWith("refs/tags/") ? "tag" : "branch", ...more };
}

function headOf({ spec: { source } }: Pick<Run, "spec">): string {
  return source.heads?.[0]?.sha ?? source.base.sha;
}

/** Equal for the same pull request; can be the value of a label. */
function pullRequestKey(forge: string, repositoryId: string, number: number): string {
  return createHash("sha256").update([forge, repositoryId, number].join("\n")).digest("hex").slice(0, 32);
}

/** Equal for the same workflow of the same head, however often it is told of; or of the same delivery. */
function runName({ forge, repository, event, ref, base, heads }: Source, workflowPath: string, once: string | undefined): string {
  const head = heads?.[0]?.sha ?? base.sha;
  const key = [forge, repository.id, event, ...(once === undefined ? [ref, head] : ["once", once]), workflowPath].join("\n");
  return `run-${createHash("sha256").update(key).digest("hex").slice(0, 16)}`;
}

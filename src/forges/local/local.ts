/**
 * Repositories on this machine's disk as a forge: `up --repository PATH`. A push to any branch or tag is a push; a ref
 * `refs/pull/N/head` is pull request N against the default branch. Whoever can write to the folder is trusted: they are on this machine.
 *
 * There are no webhooks: the server watches ({@link LocalForge.watch}), asks what changed since the state that it stored
 * ({@link LocalForge.changesSince}), and stores the deliveries and the new state together.
 */
import { createHash } from "node:crypto";
import { realpath } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { pathToFileURL } from "node:url";
import type { Environment } from "../../base/environment.ts";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { checkCommit, git, type GitSource } from "../../git/git.ts";
import { CommandFailedError } from "../../process/run.ts";
import type {
  Account,
  Change,
  Check,
  Delivery,
  Forge,
  ForgeEvent,
  ForgeRepository,
  LaneDecision,
  LinkTarget,
  PullRequestChange,
  PullRequestComment,
  ShownCheck,
} from "../forge.ts";
import { headTypes, type Triggers } from "../../workflows/triggers/triggers.ts";
import { InOrder } from "../in-order.ts";
import { readEvent } from "../payload.ts";
import { changesBetween, type RefChange, type Refs, readRefs, type SeenRefs, watchRefs } from "./refs.ts";
import { descriptionOf } from "../text.ts";
import { ShownFiles } from "./shown.ts";

export interface LocalForgeOptions {
  name: string;
  environment: Environment;
  /** Paths that the user gave: bare repositories, or working trees. */
  repositories: readonly string[];
  /** For checks and comments; made when it is needed. */
  folder: string;
  /** Whose every change is: the user of this machine. */
  user: Account;
  now: () => Date;
}

interface LocalRepository extends ForgeRepository {
  /** The bare repository, or the `.git` folder. */
  folder: string;
  /** The path as people know it. */
  path: string;
}

export class LocalForge implements Forge {
  readonly name: string;
  readonly kind = "local";
  readonly urls = undefined;
  readonly #environment: Environment;
  readonly #user: Account;
  readonly #repositories: ReadonlyMap<string, LocalRepository>;
  readonly #shown: ShownFiles;
  readonly #order: InOrder;
  #commentSequence = 0;

  private constructor(options: LocalForgeOptions, repositories: readonly LocalRepository[]) {
    this.name = options.name;
    this.#environment = options.environment;
    this.#user = options.user;
    this.#repositories = new Map(repositories.map((each) => [each.id, each]));
    this.#shown = new ShownFiles(options.folder);
    this.#order = new InOrder({ size: limits.forgeShown, ttlMs: limits.forgeShownMs, now: options.now });
  }

  /** @throws SeatrialError `not-found` when a path is no repository; `conflict` when two are called the same. */
  static async open(options: LocalForgeOptions): Promise<LocalForge> {
    const found: LocalRepository[] = [];
    for (const path of options.repositories) {
      const repository = await openRepository(options.environment, path);
      if (found.some(({ id }) => id === repository.id)) continue;
      const other = found.find(({ name }) => name === repository.name);
      if (other) throw new SeatrialError("conflict", `${other.path} and ${repository.path} are both called ${other.name}`);
      found.push(repository);
    }
    return new LocalForge(options, found);
  }

  /** All repositories that it was given. */
  repositories(): ForgeRepository[] {
    return [...this.#repositories.values()].map(({ id, name, defaultBranch }) => ({ id, name, defaultBranch }));
  }

  /**
   * What happened since `seen`, oldest name first: each a delivery with an id that is the same when the same is asked again.
   * Without `seen` nothing has happened: what is there is found as {@link heads}.
   */
  async changesSince(
    repositoryId: string,
    seen: SeenRefs | undefined,
    signal?: AbortSignal,
  ): Promise<{ seen: SeenRefs; deliveries: Delivery[] }> {
    const repository = this.#of(repositoryId);
    const refs = await readRefs(this.#environment, repository.folder, signal);
    const changes = seen ? changesBetween(seen.refs, refs) : [];
    const counter = seen?.counter ?? 0;
    const defaultBranch = changes.length > 0 ? await defaultBranchOf(this.#environment, repository.folder) : "";
    const deliveries = changes.flatMap((change, index) => {
      const told = payloadOf({ ...repository, defaultBranch }, this.#user, refs, change);
      return told ? [{ id: `${repositoryId}-${counter + index + 1}`, repositoryId, ...told }] : [];
    });
    return { seen: { counter: counter + changes.length, refs }, deliveries };
  }

  /** Calls `wake` when {@link changesSince} may have something to tell, until it is disposed of. */
  watch(repositoryId: string, wake: () => void): Disposable {
    return watchRefs(this.#of(repositoryId).folder, wake);
  }

  verify(): Delivery {
    throw new SeatrialError("refused", `forge ${this.name} is on disk: nobody sends webhooks for it`);
  }

  parse({ event, payload }: Pick<Delivery, "event" | "payload">): ForgeEvent {
    return readEvent(event, payload);
  }

  untold({ pull_request: pullRequest, release }: Triggers): string[] {
    const told: readonly string[] = [...headTypes, "closed"];
    const types = (pullRequest?.types ?? []).filter((type) => !told.includes(type));
    return [
      ...(types.length > 0 ? [`on.pull_request.types: of a repository on this disk nobody tells ${types.join(", ")}`] : []),
      ...(release ? ["on.release: a repository on this disk has no releases"] : []),
    ];
  }

  async repository(id: string): Promise<ForgeRepository> {
    const { name, folder } = this.#of(id);
    return { id, name, defaultBranch: await defaultBranchOf(this.#environment, folder) };
  }

  async repositoryNamed(name: string): Promise<ForgeRepository> {
    const found = [...this.#repositories.values()].find((each) => each.name === name);
    if (!found) throw new SeatrialError("not-found", `forge ${this.name} has no repository ${name}`);
    return await this.repository(found.id);
  }

  async commitOf(repositoryId: string, ref: string, signal?: AbortSignal): Promise<string | undefined> {
    const { folder } = this.#of(repositoryId);
    if (!/^refs\/(heads|tags)\//.test(ref)) return undefined;
    const args = ["rev-parse", "--verify", "--quiet", "--end-of-options", `${ref}^{commit}`];
    const { stdout, exitCode } = await git(this.#environment, args, { folder, okCodes: [0, 1, 128], signal });
    return exitCode === 0 ? stdout : undefined;
  }

  async *heads(repositoryId: string, signal?: AbortSignal): AsyncIterable<Change> {
    const repository = this.#of(repositoryId);
    const refs = await readRefs(this.#environment, repository.folder, signal);
    const defaultBranch = await defaultBranchOf(this.#environment, repository.folder);
    for (const [ref, after] of Object.entries(refs)) {
      if (ref.startsWith("refs/tags/")) continue; // A tag is an event, not something that is worked on.
      const told = payloadOf({ ...repository, defaultBranch }, this.#user, refs, { ref, before: after, after });
      const change = told && this.parse(told);
      if (change?.event === "pull_request") yield change;
      if (change?.event === "push") yield { event: "push", repository: change.repository, ref, after };
    }
  }

  async pullRequest(repositoryId: string, number: number, signal?: AbortSignal): Promise<PullRequestChange | undefined> {
    for await (const head of this.heads(repositoryId, signal)) {
      if (head.event === "pull_request" && head.number === number) return head;
    }
    return undefined;
  }

  laneOf(change: Change): Promise<LaneDecision> {
    return Promise.resolve({ lane: "trusted", reason: `${change.repository.name} is a folder of this machine` });
  }

  async report(check: Check): Promise<void> {
    this.#of(check.repositoryId);
    checkCommit(check.sha);
    await this.#order.write(JSON.stringify([check.repositoryId, check.sha, check.context]), check.sequence, async () => {
      const shown = await this.#shown.check(check.repositoryId, check.sha, check.context);
      // Also of another process's day: the file remembers.
      if (!shown || shown.sequence <= check.sequence) {
        await this.#shown.writeCheck({ ...check, description: descriptionOf(check.description) });
      }
    });
  }

  async checks(repositoryId: string, sha: string): Promise<ShownCheck[]> {
    this.#of(repositoryId);
    const all = await this.#shown.checks(repositoryId, checkCommit(sha));
    return all.map(({ context, state, description, targetUrl }) => ({ context, state, description, targetUrl }));
  }

  async comment(comment: PullRequestComment): Promise<void> {
    this.#of(comment.repositoryId);
    if (!/^[\w-]{1,64}$/.test(comment.marker))
      throw new SeatrialError("internal", `${JSON.stringify(comment.marker)} cannot mark a comment`);
    const place = JSON.stringify(["comment", comment.repositoryId, comment.number, comment.marker]);
    await this.#order.write(place, ++this.#commentSequence, async () => await this.#shown.writeComment(comment));
  }

  /** The comments at a pull request, for the page and the command line. */
  async comments(repositoryId: string, number: number): Promise<{ marker: string; markdown: string }[]> {
    return await this.#shown.comments(this.#of(repositoryId).id, number);
  }

  source(repositoryId: string): Promise<GitSource> {
    return Promise.resolve({ url: this.#of(repositoryId).folder });
  }

  link(_to: LinkTarget): undefined {
    return undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  #of(id: string): LocalRepository {
    const repository = this.#repositories.get(id);
    if (!repository) throw new SeatrialError("not-found", `forge ${this.name} has no repository with id ${id.slice(0, 100)}`);
    return repository;
  }
}

async function openRepository(environment: Environment, given: string): Promise<LocalRepository> {
  try {
    const path = await realpath(given);
    // A folder inside a repository is not one: it must be the root.
    const env = { GIT_CEILING_DIRECTORIES: dirname(path) };
    const asked = await git(environment, ["-C", path, "rev-parse", "--path-format=absolute", "--git-common-dir"], { env });
    const folder = await realpath(asked.stdout);
    const id = createHash("sha256").update(folder).digest("hex").slice(0, 16);
    const name = basename(basename(folder) === ".git" ? dirname(folder) : folder).replace(/\.git$/, "");
    return { id, name, path, folder, defaultBranch: await defaultBranchOf(environment, folder) };
  } catch (error) {
    const why = error instanceof CommandFailedError ? error.stderr.split("\n")[0] : "there is no such folder";
    throw new SeatrialError("not-found", `${given} is not a repository: ${why}`, { cause: error });
  }
}

/** What a clone would check out; of a working tree, in which HEAD is just what somebody works on, the main branch. */
async function defaultBranchOf(environment: Environment, folder: string): Promise<string> {
  const nameOf = async (ref: string) => {
    const asked = await git(environment, ["symbolic-ref", "--quiet", ref], { folder, okCodes: [0, 1, 128] });
    return asked.exitCode === 0 ? asked.stdout.replace(/^refs\/(heads|remotes\/origin)\//, "") : undefined;
  };
  const head = await nameOf("HEAD");
  if (basename(folder) !== ".git") return head ?? "main";
  const upstream = await nameOf("refs/remotes/origin/HEAD");
  if (upstream !== undefined) return upstream;
  const { stdout } = await git(environment, ["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/main", "refs/heads/master"], {
    folder,
  });
  return stdout.split("\n")[0] || (head ?? "main");
}

/** A change in the words of a webhook; undefined when nobody would be told: a pull request without a branch to go into. */
function payloadOf(
  repository: LocalRepository,
  user: Account,
  refs: Refs,
  { ref, before, after }: RefChange,
): Pick<Delivery, "event" | "payload"> | undefined {
  const number = Number(/^refs\/pull\/(\d+)\/head$/.exec(ref)?.[1]);
  const common = {
    repository: {
      id: repository.id,
      name: repository.name,
      full_name: repository.name,
      default_branch: repository.defaultBranch,
      clone_url: pathToFileURL(repository.path).href,
    },
    sender: user,
  };
  const zero = "0".repeat((after ?? before ?? "").length);
  if (Number.isNaN(number)) return { event: "push", payload: { ref, before: before ?? zero, after: after ?? zero, ...common } };
  const sha = refs[`refs/heads/${repository.defaultBranch}`];
  if (sha === undefined) return undefined;
  const pullRequest = {
    number,
    user,
    base: { ref: repository.defaultBranch, sha, repo_id: repository.id },
    head: { ref: `pull/${number}`, label: `pull/${number}`, sha: after ?? before, repo_id: repository.id, repo: { owner: user } },
  };
  const action = after === undefined ? "closed" : before === undefined ? "opened" : "synchronized";
  return { event: "pull_request", payload: { action, number, pull_request: pullRequest, ...common } };
}

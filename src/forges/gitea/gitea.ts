/**
 * Gitea as a forge: its API v1 and its webhooks, as of 1.26 (and Forgejo, as far as it kept them).
 *
 * The token's account needs to read the repository, to write commit statuses and comments, and, to tell who may write, to be an
 * administrator of the repository; without that every fork is untrusted.
 */
import { z } from "zod";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { GitSource } from "../../git/git.ts";
import { ForgeApi } from "../api.ts";
import {
  type Change,
  type Check,
  type Delivery,
  type Forge,
  ForgeError,
  type ForgeEvent,
  type ForgeRepository,
  type ForgeUrls,
  type LaneDecision,
  type LinkTarget,
  type PullRequestChange,
  type PullRequestComment,
  type ShownCheck,
} from "../forge.ts";
import { InOrder } from "../in-order.ts";
import { pullRequestSchema, readEvent, readPullRequest, repositoryIdIn } from "../payload.ts";
import { Recent } from "../recent.ts";
import type { Triggers } from "../../workflows/triggers/triggers.ts";
import { isSigned } from "../signature.ts";
import { cut, descriptionOf } from "../text.ts";

export interface GiteaOptions {
  name: string;
  /** Where it is, without a path of ours: `https://gitea.example`. */
  url: string;
  token: string;
  /** Secrets of its webhooks; two while one replaces the other. Without one every delivery is refused. */
  secrets: readonly string[];
  now: () => Date;
}

const repositorySchema = z.object({ id: z.int().transform(String), full_name: z.string(), default_branch: z.string() });
const branchesSchema = z.array(z.object({ name: z.string(), commit: z.object({ id: z.string() }) }));
/** A branch has the id of its commit, a tag the sha. */
const refSchema = z.object({ commit: z.object({ id: z.string().optional(), sha: z.string().optional() }) });
const permissionSchema = z.object({ permission: z.string(), user: z.object({ id: z.int().transform(String) }) });
const userSchema = z.object({ id: z.int() });
const statusesSchema = z.array(z.object({ context: z.string(), status: z.string(), description: z.string(), target_url: z.string() }));
const commentSchema = z.object({ id: z.int(), body: z.string(), user: z.object({ id: z.int() }).nullish() });

/** Gitea gives no more at once, unless it was set up to. */
const pageSize = 50;

export class Gitea implements Forge {
  readonly name: string;
  readonly kind = "gitea";
  readonly urls: ForgeUrls;
  readonly #api: ForgeApi;
  readonly #url: string;
  readonly #token: string;
  readonly #secrets: readonly string[];
  readonly #repositories: Recent<ForgeRepository>;
  /** Whether an account may write to a repository, by both ids. */
  readonly #writers: Recent<boolean>;
  readonly #order: InOrder;
  /** What the forge shows of a check, as far as we know. */
  readonly #shown: Recent<string>;
  readonly #comments: Recent<{ id: number; body: string }>;
  #commentSequence = 0;
  #ownId: Promise<number> | undefined;

  constructor(options: GiteaOptions) {
    const { name, token, secrets, now } = options;
    this.name = name;
    this.#url = options.url.replace(/\/+$/, "");
    this.#token = token;
    this.#secrets = secrets;
    this.urls = { server: this.#url, api: `${this.#url}/api/v1` };
    this.#api = new ForgeApi({ name, url: this.urls.api, token, now });
    this.#repositories = new Recent({ size: limits.forgeBelieved, ttlMs: limits.forgeBelieveMs, now });
    this.#writers = new Recent({ size: limits.forgeBelieved, ttlMs: limits.forgeBelieveMs, now });
    const shown = { size: limits.forgeShown, ttlMs: limits.forgeShownMs, now };
    this.#order = new InOrder(shown);
    this.#shown = new Recent(shown);
    this.#comments = new Recent(shown);
  }

  verify(headers: Headers, body: Uint8Array): Delivery {
    if (!isSigned(body, headers.get("x-gitea-signature"), this.#secrets)) {
      throw new SeatrialError("refused", `the delivery is not signed by a secret of forge ${this.name}`, {
        hint: "set the same secret at the webhook and here; GET and form deliveries are not taken",
      });
    }
    const id = headers.get("x-gitea-delivery") ?? "";
    const event = headers.get("x-gitea-event") ?? "";
    if (!/^[\w-]{1,128}$/.test(id) || !/^\w{1,64}$/.test(event)) throw new SeatrialError("invalid", "the delivery has no id, or no event");
    let payload: unknown;
    try {
      payload = JSON.parse(Buffer.from(body).toString("utf8"));
    } catch (error) {
      throw new SeatrialError("invalid", `delivery ${id} is not JSON: ${messageOf(error).slice(0, 100)}`, {
        hint: "set the webhook's content type to application/json",
      });
    }
    return { id, event, repositoryId: repositoryIdIn(payload), payload };
  }

  parse({ event, payload }: Pick<Delivery, "event" | "payload">): ForgeEvent {
    return readEvent(event, payload);
  }

  untold({ pull_request: pullRequest }: Triggers): string[] {
    const isNoted = pullRequest?.types.includes("labeled") || pullRequest?.types.includes("unlabeled");
    return isNoted
      ? ["on.pull_request.types: Gitea tells of any change of labels as labeled, and as unlabeled when all of them are taken away at once"]
      : [];
  }

  async repository(id: string, signal?: AbortSignal): Promise<ForgeRepository> {
    const known = this.#repositories.get(id);
    if (known) return known;
    if (!/^\d{1,18}$/.test(id)) throw new SeatrialError("invalid", `${JSON.stringify(id.slice(0, 40))} is no id of a repository of Gitea`);
    return await this.#readRepository(`/repositories/${id}`, signal);
  }

  async repositoryNamed(name: string, signal?: AbortSignal): Promise<ForgeRepository> {
    return await this.#readRepository(pathOf(name), signal);
  }

  async *heads(repositoryId: string, signal?: AbortSignal): AsyncIterable<Change> {
    const { id, name } = await this.repository(repositoryId, signal);
    const repository = { id, name };
    for await (const page of this.#pages(`${pathOf(name)}/branches?`, signal)) {
      for (const branch of this.#read(branchesSchema, page)) {
        yield { event: "push", repository, ref: `refs/heads/${branch.name}`, after: branch.commit.id };
      }
    }
    for await (const page of this.#pages(`${pathOf(name)}/pulls?state=open&sort=oldest&`, signal)) {
      for (const each of this.#read(z.array(z.unknown()), page)) {
        // One whose head cannot be found any more must not hide the others.
        const read = pullRequestSchema.safeParse(each);
        if (read.success) yield { event: "pull_request", action: "synchronize", repository, ...readPullRequest(read.data) };
      }
    }
  }

  async commitOf(repositoryId: string, ref: string, signal?: AbortSignal): Promise<string | undefined> {
    const { name } = await this.repository(repositoryId, signal);
    const [, kind, short] = /^refs\/(heads|tags)\/(.+)$/s.exec(ref) ?? [];
    if (short === undefined) return undefined;
    const path = `${pathOf(name)}/${kind === "heads" ? "branches" : "tags"}/${encodePath(short)}`;
    let answer: unknown;
    try {
      answer = await this.#api.call("GET", path, undefined, signal);
    } catch (error) {
      if (error instanceof ForgeError && error.status === 404) return undefined;
      throw error;
    }
    const { commit } = this.#read(refSchema, answer);
    return commit.id ?? commit.sha;
  }

  async pullRequest(repositoryId: string, number: number, signal?: AbortSignal): Promise<PullRequestChange | undefined> {
    const { id, name } = await this.repository(repositoryId, signal);
    let answer: unknown;
    try {
      answer = await this.#api.call("GET", `${pathOf(name)}/pulls/${number}`, undefined, signal);
    } catch (error) {
      if (error instanceof ForgeError && error.status === 404) return undefined;
      throw error;
    }
    // One whose head cannot be found any more is as good as closed.
    const read = pullRequestSchema.extend({ state: z.literal("open") }).safeParse(answer);
    if (!read.success) return undefined;
    return { event: "pull_request", action: "synchronize", repository: { id, name }, ...readPullRequest(read.data) };
  }

  async laneOf(change: Change, signal?: AbortSignal): Promise<LaneDecision> {
    if (change.event === "push") return { lane: "trusted", reason: "it was pushed to the repository itself" };
    const { repository, head, author } = change;
    if (head.repositoryId === repository.id) return { lane: "trusted", reason: "its head is a branch of the repository itself" };
    if (head.repositoryId === "") return { lane: "untrusted", reason: "its head is not a branch of a repository that is there" };
    if (head.ownerId !== author.id) return { lane: "untrusted", reason: "its head is in a fork of somebody else than its author" };
    try {
      const mayWrite = await this.#mayWrite(change, signal);
      return mayWrite
        ? { lane: "trusted", reason: `${author.login} may write to the repository` }
        : { lane: "untrusted", reason: `its head is in a fork, and ${author.login} may not write to the repository` };
    } catch (error) {
      signal?.throwIfAborted();
      return {
        lane: "untrusted",
        reason: `its head is in a fork, and whether ${author.login} may write is not known: ${messageOf(error)}`,
      };
    }
  }

  async report(check: Check, signal?: AbortSignal): Promise<void> {
    const { repositoryId, sha, context, state, targetUrl } = check;
    const place = JSON.stringify([repositoryId, sha, context]);
    const description = descriptionOf(check.description);
    const wanted = JSON.stringify([state, description, targetUrl]);
    await this.#order.write(place, check.sequence, async () => {
      if ((this.#shown.get(place) ?? (await this.#shownAt(check, signal))) === wanted) return;
      this.#shown.delete(place); // Not known until it has been answered.
      const { name } = await this.repository(repositoryId, signal);
      const body = { context, state, description, target_url: targetUrl };
      await this.#api.call("POST", `${pathOf(name)}/statuses/${encodeURIComponent(sha)}`, body, signal);
      this.#shown.set(place, wanted);
    });
  }

  async checks(repositoryId: string, sha: string, signal?: AbortSignal): Promise<ShownCheck[]> {
    const { name } = await this.repository(repositoryId, signal);
    const all: ShownCheck[] = [];
    for await (const page of this.#pages(`${pathOf(name)}/commits/${encodeURIComponent(sha)}/status?`, signal, "statuses")) {
      for (const { context, status, description, target_url: targetUrl } of this.#read(statusesSchema, page)) {
        const state = status === "pending" || status === "success" || status === "failure" ? status : "error";
        all.push({ context, state, description, targetUrl });
      }
    }
    return all;
  }

  async comment(comment: PullRequestComment, signal?: AbortSignal): Promise<void> {
    const { repositoryId, number, marker, markdown } = comment;
    if (!/^[\w-]{1,64}$/.test(marker)) throw new SeatrialError("internal", `${JSON.stringify(marker)} cannot mark a comment`);
    const place = JSON.stringify([repositoryId, number, marker]);
    const head = `<!-- seatrial:${marker} -->\n`;
    const body = markdown === "" ? "" : cut(`${head}${markdown}`, limits.commentCharacters);
    await this.#order.write(place, ++this.#commentSequence, async () => {
      const { name } = await this.repository(repositoryId, signal);
      const issues = `${pathOf(name)}/issues`;
      const known = this.#comments.get(place) ?? (await this.#findComment(`${issues}/${number}/comments`, head, signal));
      if ((known?.body ?? "") === body) return;
      this.#comments.delete(place);
      if (!known) {
        const made = await this.#api.call("POST", `${issues}/${number}/comments`, { body }, signal);
        this.#comments.set(place, { id: this.#read(commentSchema, made).id, body });
        return;
      }
      try {
        await this.#api.call(
          body === "" ? "DELETE" : "PATCH",
          `${issues}/comments/${known.id}`,
          body === "" ? undefined : { body },
          signal,
        );
      } catch (error) {
        // Somebody deleted it since we saw it: the next call finds none and makes one.
        if (error instanceof ForgeError && error.status === 404) {
          throw new ForgeError("conflict", `${error.message}; the comment was deleted meanwhile`, {
            status: 404,
            retryable: true,
            cause: error,
          });
        }
        throw error;
      }
      if (body !== "") this.#comments.set(place, { id: known.id, body });
    });
  }

  async source(repositoryId: string, signal?: AbortSignal): Promise<GitSource> {
    const { name } = await this.repository(repositoryId, signal);
    // Gitea looks at the token alone.
    return { url: `${this.#url}/${name}.git`, credentials: { username: "seatrial", password: this.#token } };
  }

  link(to: LinkTarget): string {
    const repository = `${this.#url}/${encodePath(to.repository.name)}`;
    if ("number" in to) return `${repository}/pulls/${to.number}`;
    if ("path" in to) return `${repository}/src/commit/${to.sha}/${encodePath(to.path)}${to.line === undefined ? "" : `#L${to.line}`}`;
    return "sha" in to ? `${repository}/commit/${to.sha}` : repository;
  }

  async close(): Promise<void> {
    await this.#api.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #readRepository(path: string, signal: AbortSignal | undefined): Promise<ForgeRepository> {
    const read = this.#read(repositorySchema, await this.#api.call("GET", path, undefined, signal));
    const repository = { id: read.id, name: read.full_name, defaultBranch: read.default_branch };
    this.#repositories.set(repository.id, repository);
    return repository;
  }

  /** The account is asked for by its name, and counts only if the answer is about the same id. */
  async #mayWrite({ repository, author }: PullRequestChange, signal: AbortSignal | undefined): Promise<boolean> {
    const key = JSON.stringify([repository.id, author.id]);
    const known = this.#writers.get(key);
    if (known !== undefined) return known;
    const { name } = await this.repository(repository.id, signal);
    const path = `${pathOf(name)}/collaborators/${encodeURIComponent(author.login)}/permission`;
    const { permission, user } = this.#read(permissionSchema, await this.#api.call("GET", path, undefined, signal));
    const mayWrite = user.id === author.id && ["write", "admin", "owner"].includes(permission);
    this.#writers.set(key, mayWrite);
    return mayWrite;
  }

  async #shownAt({ repositoryId, sha, context }: Check, signal: AbortSignal | undefined): Promise<string | undefined> {
    const found = (await this.checks(repositoryId, sha, signal)).find((each) => each.context === context);
    return found && JSON.stringify([found.state, found.description, found.targetUrl]);
  }

  /** Our comment with this head. Should there be two, after a call whose answer was lost, the later ones are removed. */
  async #findComment(path: string, head: string, signal: AbortSignal | undefined): Promise<{ id: number; body: string } | undefined> {
    this.#ownId ??= this.#readOwnId();
    const ownId = await this.#ownId;
    const all = this.#read(z.array(commentSchema), await this.#api.call("GET", path, undefined, signal));
    const [first, ...others] = all.filter(({ user, body }) => user?.id === ownId && body.startsWith(head)).toSorted((a, b) => a.id - b.id);
    for (const { id } of others)
      await this.#api.call("DELETE", `${path.replace(/\/\d+\/comments$/, "/comments")}/${id}`, undefined, signal);
    return first;
  }

  async #readOwnId(): Promise<number> {
    try {
      return this.#read(userSchema, await this.#api.call("GET", "/user")).id;
    } catch (error) {
      this.#ownId = undefined; // The next call asks again.
      throw error;
    }
  }

  /** All pages of a list; `path` ends where another parameter can follow. */
  async *#pages(path: string, signal: AbortSignal | undefined, field?: string): AsyncIterable<unknown[]> {
    let firstSize = 0;
    for (let page = 1, seen = 0; seen < limits.forgeHeads; page++) {
      const answer = await this.#api.call("GET", `${path}page=${page}&limit=${pageSize}`, undefined, signal);
      const list = field === undefined ? answer : (answer as Record<string, unknown> | undefined)?.[field];
      if (!Array.isArray(list) || list.length === 0) return;
      yield list;
      seen += list.length;
      firstSize ||= list.length;
      if (list.length < firstSize) return;
    }
    throw new ForgeError("refused", `${path.split("?")[0]} at forge ${this.name}: there are more than ${limits.forgeHeads}`, {
      retryable: false,
    });
  }

  #read<T>(schema: z.ZodType<T>, answer: unknown): T {
    const read = schema.safeParse(answer);
    if (read.success) return read.data;
    const wrong = read.error.issues[0];
    const what = `forge ${this.name} answered something else than Gitea does: ${wrong?.path.join(".")}: ${wrong?.message}`;
    throw new ForgeError("unreachable", what, { retryable: false, hint: `is ${this.#url} a Gitea?` });
  }
}

function pathOf(name: string): string {
  // A part of dots would lead elsewhere in the API.
  if (!/^(?!\.+\/)[\w.-]+\/(?!\.+$)[\w.-]+$/.test(name)) {
    throw new SeatrialError("invalid", `${JSON.stringify(name.slice(0, 100))} is no name of a repository: owner/name is`);
  }
  return `/repos/${name}`;
}

function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

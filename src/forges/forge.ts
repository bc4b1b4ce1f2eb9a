/**
 * The contract between Seatrial and a forge: where repositories, their pull requests and their people are.
 *
 * The webhook route calls `verify` and stores what it gives; the trigger calls `parse`, `laneOf`, `commitOf`, `untold`, `source` and `pullRequest`; the head reconciler
 * `heads`; the report reconciler `report` and `comment`. Repositories and people are named by the forge's own ids throughout:
 * a name can move to another. All calls may be made at once and again: each is idempotent. None retries by itself: an error
 * says whether the caller may ({@link ForgeError}). conformance.ts holds every backend to what is written here.
 */
import { SeatrialError, type ErrorCode } from "../base/errors.ts";
import type { GitSource } from "../git/git.ts";
import type { EventName, Lane } from "../resources/run.ts";
import type { InputValue } from "../workflows/inputs.ts";
import type { PullRequestType, Triggers } from "../workflows/triggers/triggers.ts";

export interface Forge extends AsyncDisposable {
  /** Its name in the server's configuration. */
  readonly name: string;
  readonly kind: ForgeKind;
  /** Undefined where it has none. */
  readonly urls: ForgeUrls | undefined;

  /**
   * Whether a webhook's request came from the forge, and what it carries. Pure; asks nobody. The route reads no more than
   * {@link limits.webhookBytes} of a body.
   * @param body as it came, byte for byte.
   * @throws SeatrialError `refused` when it is not signed by one of the secrets; `invalid` when it is no delivery.
   */
  verify(headers: Headers, body: Uint8Array): Delivery;

  /** What a delivery means. Pure. @throws SeatrialError `invalid` when it is not what this forge sends. */
  parse(delivery: Pick<Delivery, "event" | "payload">): ForgeEvent;

  /** What of a workflow's triggers this forge never tells of, or not as it was meant: sentences that begin with the key. Pure. */
  untold(on: Triggers): string[];

  repository(id: string, signal?: AbortSignal): Promise<ForgeRepository>;

  /** By its name, as a configuration has it. */
  repositoryNamed(name: string, signal?: AbortSignal): Promise<ForgeRepository>;

  /**
   * Every open head as it is now, in the form of the event that it would have come by: branches as a push, open pull requests as
   * `synchronize`. What moves while this is read may be seen before or after; nothing that stays is left out.
   */
  heads(repositoryId: string, signal?: AbortSignal): AsyncIterable<Change>;

  /** The commit of a branch or tag (`refs/heads/…`, `refs/tags/…`) as it is now; undefined when there is none. */
  commitOf(repositoryId: string, ref: string, signal?: AbortSignal): Promise<string | undefined>;

  /** An open pull request as it is now, in the form of {@link heads}; undefined when there is none, or it is closed. */
  pullRequest(repositoryId: string, number: number, signal?: AbortSignal): Promise<PullRequestChange | undefined>;

  /**
   * The lane of a change. Trusted: what is in the repository itself, and pull requests from their author's own fork when the author
   * may write to the repository. Whatever cannot be found out is untrusted. Never throws but for the signal.
   */
  laneOf(change: Change, signal?: AbortSignal): Promise<LaneDecision>;

  /**
   * Shows a check at a commit: made, or changed in place. A lower sequence never replaces a higher one of this process, whatever
   * order the calls come in; what is shown already costs nothing.
   */
  report(check: Check, signal?: AbortSignal): Promise<void>;

  /** The checks at a commit, by context, each as it was reported last. */
  checks(repositoryId: string, sha: string, signal?: AbortSignal): Promise<ShownCheck[]>;

  /** Shows one comment at a pull request: found again by its author, which is us, and its marker, and changed in place. */
  comment(comment: PullRequestComment, signal?: AbortSignal): Promise<void>;

  /** Where git fetches the repository from. */
  source(repositoryId: string, signal?: AbortSignal): Promise<GitSource>;

  /** Pages of the forge for people; undefined where it has none. Pure. */
  link(to: LinkTarget): string | undefined;
}

export type ForgeKind = "gitea" | "local";

/** Where a forge is, as `github.server_url` and `github.api_url` name it: without a slash at the end. */
export interface ForgeUrls {
  /** Of its pages: `https://gitea.example`. */
  server: string;
  /** Of its API: `https://gitea.example/api/v1`. */
  api: string;
}

/** The forge's own id, and the name, for people. */
export interface Account {
  id: string;
  login: string;
}

export interface RepositoryName {
  id: string;
  /** `owner/project`. */
  name: string;
}

export interface ForgeRepository extends RepositoryName {
  defaultBranch: string;
}

/** One webhook, as the inbox stores it. */
export interface Delivery {
  /** The forge's id of it: the same when it is sent again. */
  id: string;
  event: string;
  repositoryId: string | undefined;
  /** The body, parsed: what `github.event` is. */
  payload: unknown;
}

export type ForgeEvent = Change | Occurrence | { event: "ignored"; reason: string };
export type Change = PushChange | PullRequestChange;

/**
 * What happens in a repository and makes no head: it runs a commit that is there. Forges tell of `release`; the others come from the
 * clock, from commands, and from pushes. Whoever causes one may write to the repository.
 */
export interface Occurrence {
  event: Exclude<EventName, Change["event"]>;
  repository: RepositoryName;
  /** `refs/heads/…` or `refs/tags/…`. Absent: the default branch. */
  ref?: string;
  /** Absent: the commit of the ref, as it is at the forge. */
  sha?: string;
  /** Of a merge group: the branch that it goes to, without refs/heads/. */
  baseRef?: string;
  /** What happened, in the words of `types`: any of them counts. */
  actions?: readonly string[];
  /** Which entry of `schedule`. */
  schedule?: { cron: string; timeZone: string };
  /** Path of the one workflow that is meant. Absent: all. */
  workflow?: string;
  /** Of a dispatch: values of that workflow's inputs. */
  inputs?: Readonly<Record<string, InputValue>>;
  sender?: Account;
}

export interface PushChange {
  event: "push";
  repository: RepositoryName;
  /** `refs/heads/…` or `refs/tags/…`. */
  ref: string;
  /** Absent when the ref is new, or was found without an event, or deleted and the forge did not say what it was. */
  before?: string;
  /** Absent when the ref was deleted. */
  after?: string;
  sender?: Account;
}

/** GitHub's words. Other actions are ignored. */
export type PullRequestAction = PullRequestType;

export interface PullRequestChange {
  event: "pull_request";
  action: PullRequestAction;
  repository: RepositoryName;
  number: number;
  /** The branch, without refs/heads/, and its commit at that moment. */
  base: { ref: string; sha: string };
  head: {
    ref: string;
    sha: string;
    /** Repository whose branch it is; empty when it is no repository's branch: the fork is gone, or it was pushed for review alone. */
    repositoryId: string;
    /** Owner of that repository; empty when it is not known. */
    ownerId: string;
  };
  author: Account;
  sender?: Account;
}

export interface LaneDecision {
  lane: Lane;
  /** Why, as a sentence for people. */
  reason: string;
}

export type CheckState = "pending" | "success" | "failure" | "error";

export interface ShownCheck {
  /** Its name at the commit. */
  context: string;
  state: CheckState;
  /** One line; what the forge has no room for is cut off. */
  description: string;
  targetUrl: string;
}

export interface Check extends ShownCheck {
  repositoryId: string;
  sha: string;
  /** Grows with each state of the same check: which of two is newer. */
  sequence: number;
}

export interface PullRequestComment {
  repositoryId: string;
  number: number;
  /** Which of our comments it is: letters, digits and dashes. */
  marker: string;
  /** Empty: there shall be none, or it says nothing any more. */
  markdown: string;
}

export type LinkTarget =
  | { repository: RepositoryName }
  | { repository: RepositoryName; sha: string }
  | { repository: RepositoryName; sha: string; path: string; line?: number }
  | { repository: RepositoryName; number: number };

/** What a forge answered, or that it did not. Holds no token, whatever the forge said. */
export class ForgeError extends SeatrialError {
  /** Of HTTP; undefined when there was no answer. */
  readonly status: number | undefined;
  /** The forge asked not to be asked before; undefined when it did not say. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { status?: number; retryAfterMs?: number | undefined; retryable: boolean; hint?: string | undefined; cause?: unknown },
  ) {
    super(code, message, options);
    this.name = "ForgeError";
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
  }
}

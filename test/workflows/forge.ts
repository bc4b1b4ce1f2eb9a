/** The forge of the conformance cases: a git repository on this disk for each, and what a forge would say of its events. */
import type { Change, Forge, Occurrence, PullRequestChange } from "../../src/forges/forge.ts";
import { readEvent } from "../../src/forges/payload.ts";
import { commit } from "../support/repository.ts";
import type { Case, CaseEvent } from "./case.ts";

const owner = { id: "1", login: "octo" };
const stranger = { id: "2", login: "stranger" };

/** Those that make a commit; the others are asked for. */
export type TreeEvent = Exclude<CaseEvent, { name: "workflow_dispatch" | "repository_dispatch" }>;

/** The repository of a case: a working tree whose commits are what happens. */
export class CaseRepository {
  readonly id: string;
  readonly folder: string;
  readonly #files: Readonly<Record<string, string>>;
  /** The commit of the last event; undefined before the first. */
  #last: string | undefined;
  #events = 0;

  constructor(folder: string, { name, files }: Pick<Case, "name" | "files">) {
    this.id = name;
    this.folder = folder;
    this.#files = files;
  }

  get name(): { id: string; name: string } {
    return { id: this.id, name: `octo/${this.id}` };
  }

  /** Makes the commits that the event is about. @returns what the forge would tell of it. */
  async commitFor(event: TreeEvent): Promise<{ change: Change | Occurrence; payload: Record<string, unknown> }> {
    const number = ++this.#events;
    switch (event.name) {
      case "push": {
        const before = event.changed || this.#last ? await this.#before(event.changed) : undefined;
        const after = await this.#after(number, event.changed, event.message);
        const change = {
          event: "push",
          repository: this.name,
          ref: event.ref,
          after,
          sender: owner,
          ...(before ? { before } : {}),
        } as const;
        const commitOf = {
          id: after,
          message: event.message ?? `change ${number}`,
          author: { name: owner.login, email: "octo@example.com" },
        };
        const payload = {
          ...this.#common(),
          ref: event.ref,
          before: before ?? "0".repeat(40),
          after,
          head_commit: commitOf,
          commits: [commitOf],
        };
        return { change, payload: { ...payload, ...event.payload } };
      }
      case "pull_request": {
        const base = { ref: event.base, sha: await this.#before(event.changed ?? ["topic.txt"]) };
        const who = event.fork ? stranger : owner;
        const head = {
          ref: event.head,
          sha: await this.#after(number, event.changed, event.message),
          repositoryId: event.fork ? "fork" : this.id,
          ownerId: who.id,
        };
        const change = {
          event: "pull_request",
          action: event.action as PullRequestChange["action"],
          repository: this.name,
          number: 1,
          base,
          head,
          author: who,
          sender: who,
        } as const;
        const pullRequest = { number: 1, title: "A change", state: "open", base, head: { ref: head.ref, sha: head.sha }, user: who };
        return { change, payload: { ...this.#common(), action: event.action, number: 1, pull_request: pullRequest, ...event.payload } };
      }
      case "schedule": {
        await this.#after(number, undefined);
        const schedule = { cron: event.cron, timeZone: event.timezone };
        const change = { event: "schedule", repository: this.name, schedule } as const;
        return { change, payload: { ...this.#common(), schedule: event.cron } };
      }
      case "merge_group": {
        const base = await this.#before(event.changed ?? ["topic.txt"]);
        const sha = await this.#after(number, event.changed);
        const ref = `refs/heads/queue/${event.base}/1`;
        const actions = ["checks_requested"];
        const change = { event: "merge_group", repository: this.name, ref, sha, baseRef: event.base, actions, sender: owner } as const;
        const group = { head_sha: sha, head_ref: ref, base_sha: base, base_ref: `refs/heads/${event.base}` };
        return { change, payload: { ...this.#common(), action: actions[0], merge_group: group, ...event.payload } };
      }
      case "release": {
        const release = { tag_name: event.tag, name: event.tag, prerelease: event.prerelease };
        const payload = { ...this.#common(), action: event.action, release };
        return { change: readEvent("release", payload) as Occurrence, payload };
      }
      case "delete": {
        const [, kind, ref] = /^refs\/(head|tag)s\/(.*)$/.exec(event.ref)!;
        const payload = { ...this.#common(), ref, ref_type: kind === "tag" ? "tag" : "branch" };
        return { change: readEvent("delete", payload) as Change, payload };
      }
    }
  }

  /** The commit of the last event, which every branch of it is at; makes the first. */
  async last(): Promise<string> {
    return this.#last ?? (await this.#after(++this.#events, undefined));
  }

  /** The commit before: the whole tree but what the event changes. */
  async #before(changed: readonly string[] = []): Promise<string> {
    const kept = Object.entries(this.#files).filter(([path]) => !changed.includes(path));
    this.#last ??= (await commit(this.folder, { "README.txt": "A case.\n", ...Object.fromEntries(kept) }, "before")).trim();
    return this.#last;
  }

  async #after(number: number, changed: readonly string[] | undefined, message = `change ${number}`): Promise<string> {
    const made = Object.fromEntries((changed ?? ["topic.txt"]).map((path) => [path, this.#files[path] ?? `change ${number}\n`]));
    const all = this.#last === undefined ? { ...this.#files, ...made } : made;
    this.#last = (await commit(this.folder, all, message)).trim();
    return this.#last;
  }

  #common(): Record<string, unknown> {
    const { name } = this.name;
    return {
      repository: { id: this.id, name: this.id, full_name: name, owner, default_branch: "main", private: false },
      sender: owner,
    };
  }
}

export class CaseForge implements Forge {
  readonly name = "cases";
  readonly kind = "local";
  readonly urls = undefined;
  readonly #repositories = new Map<string, CaseRepository>();

  add(repository: CaseRepository): void {
    this.#repositories.set(repository.id, repository);
  }

  async repository(id: string) {
    return await this.#ofName(this.#repositories.get(id)!.name);
  }

  async repositoryNamed(name: string) {
    return await this.repository(name.replace(/^octo\//, ""));
  }

  async #ofName(name: { id: string; name: string }) {
    return await Promise.resolve({ ...name, defaultBranch: "main" });
  }

  async laneOf(change: Change) {
    const isForeign = change.event === "pull_request" && change.author.id === stranger.id;
    return await Promise.resolve({ lane: isForeign ? "untrusted" : "trusted", reason: "the case says so" } as const);
  }

  async source(repositoryId: string) {
    return await Promise.resolve({ url: `${this.#repositories.get(repositoryId)!.folder}/.git` });
  }

  async commitOf(repositoryId: string) {
    return await this.#repositories.get(repositoryId)!.last();
  }

  untold() {
    return [];
  }

  // Nothing is shown, and nobody asks.
  async report(): Promise<void> {}
  async comment(): Promise<void> {}
  async checks() {
    return await Promise.resolve([]);
  }
  async pullRequest() {
    return await Promise.resolve(undefined);
  }
  async *heads(): AsyncIterable<Change> {}
  verify(): never {
    throw new Error("no delivery comes here");
  }
  parse(): never {
    throw new Error("no delivery comes here");
  }
  link(): undefined {}
  async [Symbol.asyncDispose](): Promise<void> {}
}

/**
 * The actions that steps use: found by the repository's lock file and the configuration's list of mirrors, else at the forge of the
 * run; fetched once for each commit into a mirror of ours, and given to runners as an archive. Runners fetch nothing themselves.
 *
 * Everything here is read without credentials, but for the run's own repository: what a change names is anybody's choice, and
 * is never fetched with a right that whoever made it does not have.
 */
import { createHash, randomUUID } from "node:crypto";
import { open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { z } from "zod";
import type { Environment } from "../../base/environment.ts";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { makeFolder } from "../../base/folder.ts";
import { limits } from "../../base/limits.ts";
import type { Forge } from "../../forges/forge.ts";
import { checkCommit, git, gitRemote, type GitSource, isRedirect, redirectOf, settingsOf } from "../../git/git.ts";
import { Mirrors } from "../../git/mirrors.ts";
import { incoming } from "../../git/mirror-folder.ts";
import { CommandFailedError } from "../../process/run.ts";
import { type ActionsLock, lockPath, readLock } from "../../workflows/actions/actions-lock.ts";
import { isCommitId, parseUses, pinOf, type RepositoryUses } from "../../workflows/actions/uses.ts";

/** Where actions whose `owner/repo` begins with the prefix are. */
export interface ActionMirror {
  prefix: string;
  /** The repository's name without the prefix is added to it: `https://git.example/mirrors/`, or an absolute path. */
  url: string;
}

export const actionsSchema = z.strictObject({
  mirrors: z
    .array(
      z.strictObject({
        prefix: z
          .string()
          .max(256)
          .regex(/^[\w./-]*$/, "must be the beginning of owner/repo")
          .describe("Actions whose `owner/repo` begins with it. Example: `actions/`. Empty: all."),
        url: z
          .string()
          .max(1024)
          .regex(
            /^(https?:\/\/[^\s@?#]+\/|\/\S*\/)$/,
            "must be an http or https URL without credentials, or an absolute path, with a slash at the end",
          )
          .describe("What follows the prefix is added to it. Example: `https://git.example/mirrors/actions/`."),
      }),
    )
    .max(100)
    .describe("Where the repositories of actions are, tried in this order; then the run's own forge. An empty list: there alone."),
});

/** Without a configuration they come from where their names are from. */
export const defaultMirrors: readonly ActionMirror[] = [{ prefix: "", url: "https://github.com/" }];

/** A repository that may have an action. */
export interface ActionPlace {
  /** For people. */
  name: string;
  /** Undefined: there is no such repository. */
  source: GitSource | undefined;
  /** It is the run's own repository: no mirror is asked for that. */
  isOwn?: boolean;
}

export interface ActionOptions {
  environment: Environment;
  mirrors: readonly ActionMirror[];
  now: () => Date;
}

/** An action at a commit that is here. */
export interface FoundCommit {
  commit: string;
  /** The repository of ours that holds it. */
  folder: string;
  /** What people should know: a tag that moved. */
  notice: string | undefined;
}

export class ActionStore implements AsyncDisposable {
  readonly #options: ActionOptions;
  readonly #mirrors: Mirrors;
  /** Which commit a ref was, by URL and ref. */
  readonly #refs = new Map<string, { commit: string | undefined; at: number }>();
  readonly #abort = new AbortController();
  /** Archives that are being made, and who waits to make one. */
  #archiving = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(options: ActionOptions) {
    this.#options = options;
    const folder = join(options.environment.dataDir, "action-mirrors");
    this.#mirrors = new Mirrors({ environment: options.environment, folder, now: options.now });
  }

  /** Lets go of what nobody has used for long. One call at a time. */
  async maintain(signal: AbortSignal, tell: (line: string) => void): Promise<void> {
    await this.#mirrors.maintain({ keptDays: () => limits.actionKeptDays, maxBytes: limits.actionMirrorsBytes, signal, tell });
  }

  /** Ends every git command that still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new SeatrialError("aborted", "the actions were closed"));
    await this.#mirrors.close();
  }

  /**
   * Finds the commit of an action and has it here.
   * @param lock of the repository that uses it. @param more where it is looked for behind the mirrors, or instead of them.
   * @throws SeatrialError `not-found` with all places where it was looked for; `unreachable`, `timeout` or `refused` when one of them could not be asked.
   */
  async find(uses: RepositoryUses, lock: ActionsLock, more: () => Promise<readonly ActionPlace[]>): Promise<FoundCommit> {
    const pin = pinOf(uses);
    const others = await more();
    const places = others.some(({ isOwn }) => isOwn) ? others : [...this.#placesOf(uses.repository), ...others];
    if (places.length === 0) {
      throw new SeatrialError("not-found", `action ${pin} is nowhere: no mirror is configured for ${uses.repository}`, {
        hint: "add one to `actions.mirrors` of the configuration",
      });
    }
    const locked = lock.get(pin);
    const looked: string[] = [];
    let movedHint: string | undefined;
    for (const place of places) {
      try {
        const found = locked === undefined ? await this.#atRef(uses, place) : await this.#atCommit(uses, locked, place);
        if (found) return found;
        looked.push(place.name);
      } catch (error) {
        // As GitHub has it: who has the old name tomorrow is anybody's guess.
        if (!isRedirect(error)) throw error;
        const now = (await this.#placeNow(place)) ?? "another address";
        looked.push(`${place.name} (it moved to ${now})`);
        movedHint ??= this.#movedHint(uses, now);
      }
    }
    const where = looked.join(", ");
    if (locked === undefined) {
      const what = isCommitId(uses.ref) ? "no commit" : "no tag and no branch";
      throw new SeatrialError("not-found", `action ${pin} was not found: ${what} ${uses.ref} in ${where}`, { hint: movedHint });
    }
    const now = await this.#commitOf(uses, places[0]!).catch(() => undefined);
    const today = now === undefined ? `and ${uses.ref} is not there either` : `and ${uses.ref} is commit ${now} there`;
    throw new SeatrialError("not-found", `action ${pin}: ${lockPath} has commit ${locked}, which is not in ${where} any more, ${today}`, {
      hint: movedHint ?? "when the new one is right: seatrial actions lock --update",
    });
  }

  /** The text of a workflow, `owner/repo/.github/workflows/x.yml@ref`. @throws as {@link find}, and when there is no such file. */
  async readWorkflow(text: string, lock: ActionsLock, more: (repository: string) => Promise<readonly ActionPlace[]>): Promise<string> {
    const uses = parseUses(text);
    if (uses.kind !== "repository") throw new SeatrialError("invalid", "names no repository");
    const found = await this.find(uses, lock, async () => await more(uses.repository));
    const file = await this.readFile(found, uses.path);
    if (file === undefined) throw new SeatrialError("not-found", `commit ${found.commit} has no file ${uses.path}`);
    return file;
  }

  /** A text file of an action that was found. */
  async readFile({ commit, folder }: FoundCommit, path: string): Promise<string | undefined> {
    const { stdout, exitCode } = await git(this.#options.environment, ["cat-file", "blob", `${commit}:${path}`], {
      folder,
      okCodes: [0, 128],
    });
    return exitCode === 0 ? stdout : undefined;
  }

  /**
   * The archive of its tree.
   * @throws SeatrialError `invalid` when it is larger than {@link limits.actionBytes}.
   */
  async archive(found: FoundCommit): Promise<{ body: ReadableStream; bytes: number }> {
    // Each runner that waits is a request: there are no more of them than jobs that run.
    if (this.#archiving >= limits.gitServes) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#archiving++;
    try {
      return await this.#archive(found);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#archiving--;
    }
  }

  async #archive({ commit, folder }: FoundCommit): Promise<{ body: ReadableStream; bytes: number }> {
    const { environment } = this.#options;
    await this.#checkSize(folder, commit);
    // It has a name for an instant alone: whatever becomes of us, nothing of it is left.
    makeFolder(join(folder, incoming), 0o700);
    const path = join(folder, incoming, `archive-${randomUUID()}`);
    const file = await open(path, "wx+", 0o600);
    try {
      await unlink(path);
      // Of the commit itself git would put whatever its own attributes ask for into its files.
      const args = ["archive", "--format=tar", `${commit}^{tree}`];
      await git(environment, args, { folder, signal: this.#abort.signal, stdout: file.fd });
      const { size } = await file.stat();
      if (size > limits.actionBytes) throw new SeatrialError("invalid", `the action has ${size} bytes, and can have ${limits.actionBytes}`);
      return { body: Readable.toWeb(file.createReadStream({ start: 0 })) as ReadableStream, bytes: size };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Before anything of it is written: a few kilobytes of a repository can be a tree of a million gigabytes. @throws SeatrialError `invalid` */
  async #checkSize(folder: string, commit: string): Promise<void> {
    const args = ["ls-tree", "-r", "-t", "-z", "--full-tree", "--format=%(objectsize)", commit];
    const { stdout } = await git(this.#options.environment, args, { folder, signal: this.#abort.signal }).catch((error: unknown) => {
      // Its output was more than is ever taken.
      if (error instanceof CommandFailedError && error.exitCode === undefined) return { stdout: "\0".repeat(limits.actionFiles + 1) };
      throw error;
    });
    const sizes = stdout.split("\0").slice(0, -1);
    if (sizes.length > limits.actionFiles)
      throw new SeatrialError("invalid", `the action has more than ${limits.actionFiles} files and folders`);
    // That of a folder is `-`, and of a submodule: nothing of it is there.
    const bytes = sizes.reduce((sum, size) => sum + (Number(size) || 0), 0);
    if (bytes > limits.actionBytes) throw new SeatrialError("invalid", `the action has ${bytes} bytes, and can have ${limits.actionBytes}`);
  }

  /** The lock file in a commit of a repository, bare or with a working tree; empty when there is none. @throws InvalidError with all that is wrong in it. */
  async lockOf(folder: string | undefined, commit: string): Promise<ActionsLock> {
    if (folder === undefined) return new Map();
    const { environment } = this.#options;
    const at = ["-C", folder];
    const { stdout: entry } = await git(environment, [...at, "ls-tree", "-z", "--full-tree", checkCommit(commit), "--", lockPath]);
    const [, id] = /^100(?:644|755) blob ([0-9a-f]+)\t/.exec(entry) ?? [];
    if (id === undefined) return new Map();
    return readLock((await git(environment, [...at, "cat-file", "blob", id])).stdout);
  }

  async #placeNow({ source }: ActionPlace): Promise<string | undefined> {
    if (!source || source.credentials) return undefined;
    return await redirectOf(this.#options.environment, source.url, this.#abort.signal);
  }

  /** What to write for a repository that has another address: another name, or another mirror. */
  #movedHint({ path, ref }: RepositoryUses, moved: string): string {
    for (const { prefix, url } of this.#options.mirrors) {
      const name = moved.startsWith(url)
        ? prefix +
          moved
            .slice(url.length)
            .replace(/\/$/, "")
            .replace(/\.git$/, "")
        : "";
      if (/^[\w.-]+\/[\w.-]+$/.test(name))
        return `repositories that moved are not followed: write uses: ${[name, path].filter(Boolean).join("/")}@${ref}`;
    }
    return "repositories that moved are not followed: write its new address to `actions.mirrors` of the configuration";
  }

  #placesOf(repository: string): ActionPlace[] {
    return this.#options.mirrors.flatMap(({ prefix, url }) => {
      if (!repository.startsWith(prefix)) return [];
      const whole = url + repository.slice(prefix.length);
      return [{ name: whole, source: { url: whole } }];
    });
  }

  async #atRef(uses: RepositoryUses, place: ActionPlace): Promise<FoundCommit | undefined> {
    const commit = isCommitId(uses.ref) ? uses.ref : await this.#commitOf(uses, place);
    return commit === undefined ? undefined : await this.#fetched(commit, place);
  }

  async #atCommit(uses: RepositoryUses, locked: string, place: ActionPlace): Promise<FoundCommit | undefined> {
    const found = await this.#fetched(locked, place);
    if (!found || isCommitId(uses.ref)) return found;
    // That a tag moved keeps nothing from running: the lock is there for that. Where it cannot be asked, nothing is said.
    const now = await this.#commitOf(uses, place).catch(() => locked);
    if (now === locked) return found;
    const today = now === undefined ? "is not there any more" : `is now commit ${now}`;
    return { ...found, notice: `action ${pinOf(uses)}: ${uses.ref} ${today} in ${place.name}; commit ${locked} of ${lockPath} is used` };
  }

  async #fetched(commit: string, { source }: ActionPlace): Promise<FoundCommit | undefined> {
    if (!source) return undefined;
    const mirror = this.#mirrors.of("actions", createHash("sha256").update(keyOf(source)).digest("hex").slice(0, 40));
    try {
      await mirror.fetch(source, { commits: [commit], isShallow: true, maxBytes: limits.actionFetchBytes });
      return { commit, folder: mirror.folder, notice: undefined };
    } catch (error) {
      if (error instanceof SeatrialError && error.code === "not-found") return undefined;
      throw error;
    }
  }

  /** The commit of a tag, else of a branch, or of either by its whole name; undefined when there is neither, or no such repository. */
  async #commitOf({ ref }: RepositoryUses, { source }: ActionPlace): Promise<string | undefined> {
    if (!source) return undefined;
    const key = `${keyOf(source)} ${ref}`;
    const now = this.#options.now().getTime();
    const known = this.#refs.get(key);
    if (known && now - known.at < limits.actionRefMs) return known.commit;
    // A tag that has an object of its own is asked for the commit behind it.
    const refs = /^refs\/(heads|tags)\//.test(ref) ? [ref] : [`refs/tags/${ref}`, `refs/heads/${ref}`];
    const names = refs.flatMap((name) => [`${name}^{}`, name]);
    const found = new Map<string, string>();
    try {
      const options = { settings: settingsOf(source), timeoutMs: limits.gitFetchMs, signal: this.#abort.signal };
      const { stdout } = await gitRemote(this.#options.environment, ["ls-remote", "--", source.url, ...names], options);
      for (const [, id, name] of stdout.matchAll(/^([0-9a-f]{40,64})\t(.+)$/gm)) found.set(name!, id!);
    } catch (error) {
      if (!isMissing(error)) {
        const said =
          error instanceof CommandFailedError
            ? error.stderr.trim().split("\n").slice(0, limits.errorTailLines).join("; ")
            : messageOf(error);
        throw new SeatrialError("unreachable", `cannot ask ${source.url} for ${ref}: ${said}`, { cause: error });
      }
    }
    const commit = names.map((name) => found.get(name)).find((id) => id !== undefined);
    if (this.#refs.size >= limits.actionRefs) this.#refs.clear();
    this.#refs.set(key, { commit, at: now });
    return commit;
  }
}

/**
 * The repository of an action at the run's own forge. Only the run's own is read with our credentials: who made the change may not be
 * allowed to read what else the server may.
 */
export async function placesAt(
  forge: Pick<Forge, "name" | "kind" | "source" | "repositoryNamed"> | undefined,
  own: { id: string; name: string },
  repository: string,
): Promise<ActionPlace[]> {
  if (!forge) return [];
  const name = `${repository} of forge ${forge.name}`;
  // Repositories of this machine have no owner: the forge is.
  const called = forge.kind === "local" && repository.startsWith(`${forge.name}/`) ? repository.slice(forge.name.length + 1) : repository;
  try {
    if (called === own.name) return [{ name, source: await forge.source(own.id), isOwn: true }];
    const { url } = await forge.source((await forge.repositoryNamed(called)).id);
    return [{ name, source: { url } }];
  } catch (error) {
    if (error instanceof SeatrialError && error.code === "not-found") return [{ name, source: undefined }];
    throw error;
  }
}

/** What was read with credentials is kept apart: those who have none are not to find it here. */
function keyOf({ url, credentials }: GitSource): string {
  return credentials === undefined ? url : `${url} with credentials`;
}

/** That there is no such repository; GitHub asks for a password instead, as it does not say which are private. */
function isMissing(error: unknown): boolean {
  return (
    error instanceof CommandFailedError &&
    /does not appear to be a git|repository '.*' not found|Repository not found|could not read Username/i.test(error.stderr)
  );
}

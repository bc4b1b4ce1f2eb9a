/**
 * What the local forge shows of checks and comments: a file each, in a folder of ours, read by pages and the command line. The folder
 * belongs to one server, like all of the data folder.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { systemCodeOf } from "../../base/errors.ts";
import { makeFolder } from "../../base/folder.ts";
import type { Check, PullRequestComment, ShownCheck } from "../forge.ts";

type StoredCheck = ShownCheck & { sequence: number };
type StoredComment = Pick<PullRequestComment, "marker" | "markdown">;

export class ShownFiles {
  readonly #folder: string;
  #count = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async check(repositoryId: string, sha: string, context: string): Promise<StoredCheck | undefined> {
    return await readJson<StoredCheck>(this.#checkFile(repositoryId, sha, context));
  }

  /** By context. */
  async checks(repositoryId: string, sha: string): Promise<StoredCheck[]> {
    const all = await readAll<StoredCheck>(join(this.#folder, repositoryId, "checks", sha));
    return all.toSorted((a, b) => (a.context < b.context ? -1 : 1));
  }

  async writeCheck({ repositoryId, sha, context, state, description, targetUrl, sequence }: Check): Promise<void> {
    await this.#write(this.#checkFile(repositoryId, sha, context), {
      context,
      state,
      description,
      targetUrl,
      sequence,
    } satisfies StoredCheck);
  }

  async comments(repositoryId: string, number: number): Promise<StoredComment[]> {
    return await readAll<StoredComment>(join(this.#folder, repositoryId, "comments", String(number)));
  }

  async writeComment({ repositoryId, number, marker, markdown }: PullRequestComment): Promise<void> {
    const file = join(this.#folder, repositoryId, "comments", String(number), `${marker}.json`);
    if (markdown === "") await rm(file, { force: true });
    else await this.#write(file, { marker, markdown } satisfies StoredComment);
  }

  #checkFile(repositoryId: string, sha: string, context: string): string {
    return join(this.#folder, repositoryId, "checks", sha, `${createHash("sha256").update(context).digest("hex").slice(0, 32)}.json`);
  }

  /** A file is there at once and whole. */
  async #write(file: string, content: object): Promise<void> {
    makeFolder(dirname(file), 0o700);
    const temporary = `${file}.${++this.#count}.new`;
    await writeFile(temporary, `${JSON.stringify(content)}\n`);
    await rename(temporary, file);
  }
}

async function readAll<T>(folder: string): Promise<T[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return [];
    throw error;
  }
  const all = await Promise.all(names.filter((name) => name.endsWith(".json")).map(async (name) => await readJson<T>(join(folder, name))));
  return all.filter((each) => each !== undefined);
}

async function readJson<T>(file: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as T;
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

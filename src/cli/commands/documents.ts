/** Reading what `-f` names: files, `-` for stdin, http(s) URLs; all their documents, with all their problems at once. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { addAbortSignal } from "node:stream";
import { text as readAll } from "node:stream/consumers";
import { isDeepStrictEqual } from "node:util";
import { InvalidError, messageOf, type Problem, SeatrialError, systemCodeOf } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { type Document, loadDocuments } from "../../resources/documents.ts";
import type { CommandContext } from "../cli.ts";

/** What several files declare alike is there once; what they declare differently is a problem, as it is within one file. */
export async function readDocuments(names: readonly string[], context: CommandContext): Promise<Document[]> {
  if (names.length === 0)
    throw new SeatrialError("usage", "nothing to read: -f FILE is missing", { hint: "-f FILE, -f - for standard input, or -f URL" });
  const declared = new Map<string, Document>();
  const problems: Problem[] = [];
  for (const name of names) {
    try {
      for (const document of loadDocuments(await readText(name, context), sourceName(name))) {
        const what = `${document.kind} ${document.resource.metadata.name}`;
        const before = declared.get(what) ?? document;
        declared.set(what, before);
        if (isDeepStrictEqual(before.resource, document.resource)) continue;
        const { file, line } = before.place;
        problems.push({ place: document.place, path: "", message: `${what} is declared in ${file}:${line} already, and differently` });
      }
    } catch (error) {
      if (!(error instanceof InvalidError)) throw error;
      problems.push(...error.problems);
    }
  }
  if (problems.length > 0) throw new InvalidError(problems);
  if (declared.size === 0) throw new SeatrialError("usage", `${names.map(sourceName).join(", ")}: no document in it`);
  return [...declared.values()];
}

/**
 * The one document that a command line asks for, checked as if it came from a file.
 * @param words the flag or argument that each field came from, by the field's path.
 * @throws InvalidError in which each problem names that.
 */
export function documentFrom(document: object, words: Readonly<Record<string, string>>): Document {
  try {
    return loadDocuments(JSON.stringify(document), "command line")[0]!;
  } catch (error) {
    if (!(error instanceof InvalidError)) throw error;
    throw new InvalidError(
      error.problems.map(({ path, message }) => ({ path: words[path] ?? path, message })),
      { cause: error },
    );
  }
}

/** @throws InvalidError when it cannot be read. */
async function readText(name: string, context: CommandContext): Promise<string> {
  const { signal } = context.signals;
  try {
    if (name === "-") return await readAll(addAbortSignal(signal, process.stdin));
    if (!isUrl(name)) return await readFile(resolve(context.environment.cwd, name), "utf8");
    if (hasCredentials(name)) throw new Error("it holds a password, which a URL is no place for: curl … | seatrial apply -f -");
    const answer = await fetch(name, { signal: AbortSignal.any([signal, AbortSignal.timeout(limits.dockerRequestMs)]) });
    if (!answer.ok) throw new Error(`the server answered ${answer.status} ${answer.statusText}`);
    return await answer.text();
  } catch (error) {
    signal.throwIfAborted();
    throw new InvalidError([{ path: "", message: `cannot read ${sourceName(name)}: ${whyUnread(error)}` }], { cause: error });
  }
}

/** `fetch failed` says nothing: what it says is in its cause, which may be several in one, of which all have a code alone. */
function whyUnread(error: unknown): string {
  if (systemCodeOf(error) === "ENOENT") return "there is no such file";
  const { cause } = error as Error;
  if (!(cause instanceof Error)) return messageOf(error);
  return cause.message || (systemCodeOf(cause) ?? messageOf(error));
}

/** A file as it is shown: of a URL neither user and password nor the query, which may hold a token. */
export function sourceName(name: string): string {
  if (name === "-") return "stdin";
  const url = isUrl(name) ? URL.parse(name) : null;
  return url ? `${url.origin}${url.pathname}` : name;
}

function isUrl(name: string): boolean {
  return /^https?:\/\//.test(name);
}

function hasCredentials(name: string): boolean {
  const url = URL.parse(name);
  return url !== null && url.username + url.password !== "";
}

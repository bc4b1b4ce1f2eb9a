/** Reading what `-f` names: files, `-` for stdin, http(s) URLs; all their documents, with all their problems at once. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { addAbortSignal } from "node:stream";
import { text as readAll } from "node:stream/consumers";
import { InvalidError, messageOf, type Problem, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { type Document, loadDocuments } from "../../resources/documents.ts";
import type { CommandContext } from "../cli.ts";

export async function readDocuments(names: readonly string[], context: CommandContext): Promise<Document[]> {
  if (names.length === 0)
    throw new SeatrialError("usage", "nothing to read: -f FILE is missing", { hint: "-f FILE, -f - for standard input, or -f URL" });
  const documents: Document[] = [];
  const problems: Problem[] = [];
  for (const name of names) {
    const text = await readText(name, context);
    try {
      documents.push(...loadDocuments(text, name === "-" ? "stdin" : name));
    } catch (error) {
      if (!(error instanceof InvalidError)) throw error;
      problems.push(...error.problems);
    }
  }
  if (problems.length > 0) throw new InvalidError(problems);
  if (documents.length === 0) throw new SeatrialError("usage", `${names.join(", ")}: no document in it`);
  return documents;
}

async function readText(name: string, context: CommandContext): Promise<string> {
  try {
    if (name === "-") return await readAll(addAbortSignal(context.signals.signal, process.stdin));
    if (/^https?:\/\//.test(name)) {
      const answer = await fetch(name, { signal: AbortSignal.any([context.signals.signal, AbortSignal.timeout(limits.dockerRequestMs)]) });
      if (!answer.ok) throw new Error(`the server answered ${answer.status} ${answer.statusText}`);
      return await answer.text();
    }
    return await readFile(resolve(context.environment.cwd, name), "utf8");
  } catch (error) {
    context.signals.signal.throwIfAborted();
    const why = (error as NodeJS.ErrnoException).code === "ENOENT" ? "there is no such file" : messageOf(error);
    throw new SeatrialError("usage", `cannot read ${name}: ${why}`, { cause: error });
  }
}

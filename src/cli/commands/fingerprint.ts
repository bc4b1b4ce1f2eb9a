/** `seatrial fingerprint A [B]`: what determines a job, as one hash; and of two jobs exactly what they do not have in common. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import { SeatrialError, systemCodeOf } from "../../base/errors.ts";
import { compareLocks, fingerprintOf, type LockComparison, type LockDocument, lockDocumentSchema } from "../../resources/lock-document.ts";
import { addApiOptions, type ApiFlags, openApi } from "../api.ts";
import type { CommandContext } from "../cli.ts";
import { jobNamed, pageLinkOf } from "./job-references.ts";

export function registerFingerprint(program: Command, context: CommandContext): void {
  const { output } = context;
  addApiOptions(program.command("fingerprint"))
    .description("print the fingerprint of a job, a hash of all that determines it; of two jobs, the fields in which they differ")
    .argument("<job>", "a link, the name of a job run or a run, or a file with a lock document")
    .argument("[other]", "another one to compare it with")
    .addHelpText("after", "\nExit code: 0 equal, 1 different or not comparable.")
    .action(async (first: string, second: string | undefined, flags: ApiFlags) => {
      const one = await lockNamed(first, flags, context);
      if (second === undefined) {
        const { unpinned } = one;
        if (flags.output === "json") return output.out(JSON.stringify({ fingerprint: fingerprintOf(one), unpinned, lock: one }, null, 2));
        output.out(fingerprintOf(one));
        for (const part of unpinned) output.err(`not pinned: ${part}`);
        return;
      }
      const other = await lockNamed(second, flags, context);
      const compared = compareLocks(one, other);
      context.exitCode = compared.result === "equal" ? 0 : 1;
      const fingerprints = [fingerprintOf(one), fingerprintOf(other)];
      if (flags.output === "json") return output.out(JSON.stringify({ ...compared, fingerprints }, null, 2));
      for (const line of comparisonLines(compared, fingerprints[0]!)) output.out(line);
    });
}

/** How two jobs compare, for people. */
export function comparisonLines({ result, differences, unpinned }: LockComparison, fingerprint: string): string[] {
  if (result === "equal") return [`equal fingerprint ${fingerprint}`];
  const fields = differences.map(({ path, one, other }) => `  ${path}: ${shown(one)} → ${shown(other)}`);
  const loose = unpinned.map((part) => `  not pinned: ${part}`);
  const count = differences.length;
  if (count > 0) return [`the fingerprints differ in ${count} field${count === 1 ? "" : "s"}:`, ...fields, ...loose];
  return ["no field differs, and the jobs are not comparable:", ...loose];
}

function shown(value: unknown): string {
  return value === undefined ? "absent" : typeof value === "string" ? value : JSON.stringify(value);
}

async function lockNamed(text: string, flags: ApiFlags, context: CommandContext): Promise<LockDocument> {
  const link = pageLinkOf(text);
  const fromFile = link ? undefined : await lockInFile(resolve(context.environment.cwd, text));
  if (fromFile) return fromFile;
  await using api = await openApi(context, link ? { ...flags, server: link.origin } : flags);
  const job = await jobNamed(api.client, link?.name ?? text, undefined);
  return await api.client.lock(job.name, link?.attempt);
}

/** Undefined when there is no such file. @throws SeatrialError `invalid` when it is no lock document. */
async function lockInFile(path: string): Promise<LockDocument | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT" || systemCodeOf(error) === "EISDIR") return undefined;
    throw error;
  }
  try {
    return lockDocumentSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new SeatrialError("invalid", `${path} is no lock document`, {
      cause: error,
      hint: "seatrial fingerprint JOB -o json has one, as lock",
    });
  }
}

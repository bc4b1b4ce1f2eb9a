/** `seatrial actions`: the lock file of the actions that the workflows of this repository use. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { readUserMirrors, readUserRules } from "../../server/runs-on.ts";
import { actionFiles, readAction } from "../../workflows/actions/metadata.ts";
import { type ActionsLock, lockPath, writeLock } from "../../workflows/actions/actions-lock.ts";
import { builtInOf } from "../../workflows/actions/built-in.ts";
import { isRemote } from "../../workflows/read/read-calls.ts";
import { isCommitId, parseUses, pinOf, type RepositoryUses } from "../../workflows/actions/uses.ts";
import type { CommandContext } from "../cli.ts";
import { lockIn } from "./called-workflows.ts";
import { jsonOption } from "./options.ts";
import { readLocalActions } from "./local-actions.ts";
import { readWorkflows, repositoryAround } from "./workflow-files.ts";

export function registerActions(program: Command, context: CommandContext): void {
  const { environment, output } = context;
  const actions = program.command("actions").description("the lock file of the actions that the workflows of this repository use");

  actions
    .command("lock")
    .description(`write to ${lockPath} which commit the tag, or branch, of each action is; what is in it stays as it is`)
    .option("--update", "look all of them up again: what tags and branches are now is written")
    .addOption(jsonOption())
    .addHelpText("after", lockHelp)
    .action(async (flags: { update?: boolean; output?: "json" }) => {
      const folder = await repositoryAround(environment.cwd);
      const before = await lockIn(folder);
      const lock = await resolveAll(context, folder, flags.update ? new Map() : before);
      const path = join(folder, lockPath);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, writeLock(lock));
      const found = differences(before, lock);
      if (flags.output === "json") output.out(JSON.stringify(found, null, 2));
      else for (const each of found) output.out(changeLine(each));
      output.err(`seatrial: ${lockPath} has ${lock.size} action${lock.size === 1 ? "" : "s"}`);
    });

  actions
    .command("check")
    .description(`say which actions are not in ${lockPath}, and of which the tag, or branch, has moved since; nothing is changed`)
    .addOption(jsonOption())
    .addHelpText("after", "\nExit code: 0 the file is as `lock --update` would write it, 1 it is not; each difference is a line.")
    .action(async (flags: { output?: "json" }) => {
      const folder = await repositoryAround(environment.cwd);
      const before = await lockIn(folder);
      const found = differences(before, await resolveAll(context, folder, new Map()));
      if (flags.output === "json") output.out(JSON.stringify(found, null, 2));
      else for (const each of found) output.out(checkLine(each));
      if (found.length === 0) return output.err(`seatrial: ${lockPath} is up to date`);
      const hint = found.some(({ was, is }) => was !== undefined && is !== undefined)
        ? "seatrial actions lock --update takes what tags and branches are now; what they were is run until then"
        : "seatrial actions lock";
      throw new SeatrialError("conflict", `${lockPath} is not up to date`, { hint });
    });
}

const lockHelp = `
Jobs run the commits of ${lockPath}, whatever tags and branches become: commit it to the repository. An action that
is not in it is run as its tag is at that moment.`;

/** The commits of all actions of other repositories, those that composite actions use among them. @param locked taken as they are. */
async function resolveAll({ environment }: CommandContext, folder: string, locked: ActionsLock): Promise<ActionsLock> {
  const { ActionStore } = await import("../../server/runners/action-store.ts");
  await using store = new ActionStore({ environment, mirrors: await readUserMirrors(environment), now: () => new Date() });
  const nowhere = async () => await Promise.resolve([]);
  // By the same lock as the actions: with --update, none.
  const fetch = async (uses: string) => await store.readWorkflow(uses, locked, nowhere);
  const files = await readWorkflows(folder, await readUserRules(environment), fetch);
  const { remote } = await readLocalActions(
    folder,
    files.flatMap(({ workflow }) => workflow.actions),
  );
  const lock = new Map<string, string>();
  const seen = new Set<string>();
  // Workflows of other repositories that are called are locked as actions are.
  const pending = [...remote, ...files.flatMap(({ workflow }) => workflow.calls.filter(isRemote))];
  for (let text = pending.pop(); text !== undefined; text = pending.pop()) {
    const uses = parseUses(text);
    if (uses.kind !== "repository" || seen.has(text)) continue;
    seen.add(text);
    if (seen.size > limits.lockedActions) throw new SeatrialError("invalid", `more than ${limits.lockedActions} actions are used`);
    const found = await store.find(uses, locked, nowhere);
    // One that is a commit already needs no lock.
    if (!isCommitId(uses.ref)) lock.set(pinOf(uses), found.commit);
    if (!isRemote(text)) pending.push(...(await usedBy(uses, async (path) => await store.readFile(found, path))));
  }
  return lock;
}

/** What a composite action uses of other repositories. */
async function usedBy(uses: RepositoryUses, read: (path: string) => Promise<string | undefined>): Promise<string[]> {
  for (const name of actionFiles) {
    const path = join(uses.path, name);
    const text = await read(path);
    if (text === undefined) continue;
    const { runs } = readAction(text, `${pinOf(uses)}/${path}`);
    if (runs.using !== "composite") return [];
    return runs.steps.flatMap(({ uses: used }) => (used === undefined || used.startsWith(".") || builtInOf(used) ? [] : [used]));
  }
  return [];
}

/** What a lock file has of an action, and what it would have. */
interface Difference {
  action: string;
  /** Commit in the file; absent where it has none. */
  was?: string;
  /** Commit that it is now; absent where it is not used. */
  is?: string;
}

function differences(before: ActionsLock, after: ActionsLock): Difference[] {
  const names = [...new Set([...before.keys(), ...after.keys()])].toSorted();
  return names.flatMap((action): Difference[] => {
    const [was, is] = [before.get(action), after.get(action)];
    return was === is ? [] : [{ action, ...(was !== undefined && { was }), ...(is !== undefined && { is }) }];
  });
}

function changeLine({ action, was, is }: Difference): string {
  if (is === undefined) return `${action} is not used, and is taken out`;
  return was === undefined ? `${action} is locked at ${is}` : `${action} was locked at ${was}, and is now at ${is}`;
}

function checkLine({ action, was, is }: Difference): string {
  if (is === undefined) return `${action} is locked, and not used`;
  return was === undefined ? `${action} is not locked; it is ${is} now` : `${action} is locked at ${was}, and is ${is} now`;
}

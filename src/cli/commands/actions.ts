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
import { readLocalActions } from "./local-actions.ts";
import { readWorkflows } from "./workflow-files.ts";

export function registerActions(program: Command, context: CommandContext): void {
  const { environment, output } = context;
  const actions = program.command("actions").description("the actions that the workflows of this repository use, and their lock file");

  actions
    .command("lock")
    .description(`write which commit each action is to ${lockPath}; what is locked stays as it is`)
    .option("--update", "look all of them up again, and lock what their tags and branches are now")
    .action(async (flags: { update?: boolean }) => {
      const before = await lockIn(environment.cwd);
      const lock = await resolveAll(context, flags.update ? new Map() : before);
      const path = join(environment.cwd, lockPath);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, writeLock(lock));
      for (const line of differences(before, lock)) output.out(line);
      output.err(`seatrial: ${lockPath} has ${lock.size} action${lock.size === 1 ? "" : "s"}`);
    });

  actions
    .command("check")
    .description(`compare ${lockPath} with what the workflows use, and with what tags and branches are now; nothing is changed`)
    .action(async () => {
      const before = await lockIn(environment.cwd);
      const lines = differences(before, await resolveAll(context, new Map()));
      for (const line of lines) output.out(line);
      if (lines.length > 0)
        throw new SeatrialError("conflict", `${lockPath} is not what the actions are now`, { hint: "seatrial actions lock --update" });
      output.err(`seatrial: ${lockPath} has all actions, at the commits that they are now`);
    });
}

/** The commits of all actions of other repositories, those that composite actions use among them. @param locked taken as they are. */
async function resolveAll({ environment }: CommandContext, locked: ActionsLock): Promise<ActionsLock> {
  const { ActionStore } = await import("../../server/runners/action-store.ts");
  await using store = new ActionStore({ environment, mirrors: await readUserMirrors(environment), now: () => new Date() });
  const nowhere = async () => await Promise.resolve([]);
  // By the same lock as the actions: with --update, none.
  const fetch = async (uses: string) => await store.readWorkflow(uses, locked, nowhere);
  const files = await readWorkflows(environment.cwd, await readUserRules(environment), fetch);
  const { remote } = await readLocalActions(
    environment.cwd,
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

function differences(before: ActionsLock, after: ActionsLock): string[] {
  const names = [...new Set([...before.keys(), ...after.keys()])].toSorted();
  return names.flatMap((name) => {
    const [was, is] = [before.get(name), after.get(name)];
    if (was === is) return [];
    if (was === undefined) return [`${name} is ${is}`];
    return is === undefined ? [`${name} is not used any more`] : [`${name} was ${was}, and is ${is}`];
  });
}

/** The actions that a working tree has itself, `./path`: read as `check` and the lock file need them. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { InvalidError, type Problem, systemCodeOf } from "../../base/errors.ts";
import { actionFiles, readAction } from "../../workflows/actions/metadata.ts";
import { builtInOf } from "../../workflows/actions/built-in.ts";
import { parseUses } from "../../workflows/actions/uses.ts";
import type { ActionMention } from "../../workflows/workflow.ts";

export interface LocalActions {
  /** What is wrong in any of them. */
  problems: Problem[];
  /** Those that are not in the tree: something may put them there before their step runs. */
  notices: Problem[];
  /** What they, and the workflows, use of other repositories. */
  remote: Set<string>;
}

/** Follows what workflows use into the actions of the tree, each once, however they use one another. */
export async function readLocalActions(folder: string, mentions: readonly ActionMention[]): Promise<LocalActions> {
  const found: LocalActions = { problems: [], notices: [], remote: new Set() };
  const seen = new Set<string>();
  // One after the other into its depth, so that one that uses itself is met below itself.
  const pending: (ActionMention & { below: readonly string[] })[] = mentions.map((mention) => ({ ...mention, below: [] }));
  for (let mention = pending.pop(); mention; mention = pending.pop()) {
    const uses = parseUses(mention.uses);
    if (uses.kind === "repository") found.remote.add(mention.uses);
    if (uses.kind !== "local") continue;
    const { below, place, path: at } = mention;
    if (below.includes(uses.path)) {
      const cycle = [...below.slice(below.indexOf(uses.path)), uses.path].map((path) => `./${path}`);
      found.problems.push({ place, path: at, message: `makes a cycle: ${cycle.join(" uses ")}` });
    }
    if (seen.has(uses.path)) continue;
    seen.add(uses.path);
    const file = await fileIn(folder, uses.path);
    if (!file) {
      const message = `there is no action.yml in ${uses.path || "the root"}: it must be there by the time that the step runs`;
      found.notices.push({ place, path: at, message });
      continue;
    }
    try {
      const { runs } = readAction(file.text, file.path);
      for (const [i, step] of (runs.using === "composite" ? runs.steps : []).entries()) {
        if (step.uses === undefined || builtInOf(step.uses)) continue;
        const where = { place: { file: file.path, line: 1, column: 1 }, path: `runs.steps[${i}].uses` };
        pending.push({ uses: step.uses, ...where, below: [...below, uses.path] });
      }
    } catch (error) {
      if (!(error instanceof InvalidError)) throw error;
      found.problems.push(...error.problems);
    }
  }
  return found;
}

async function fileIn(folder: string, path: string): Promise<{ path: string; text: string } | undefined> {
  for (const name of actionFiles) {
    const file = join(path, name);
    try {
      return { path: file, text: await readFile(join(folder, file), "utf8") };
    } catch (error) {
      if (systemCodeOf(error) !== "ENOENT" && systemCodeOf(error) !== "ENOTDIR") throw error;
    }
  }
  return undefined;
}

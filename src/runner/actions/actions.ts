/**
 * Finds what `uses` names: an action of ours, one of a repository, fetched through the server before the first step, or one of the
 * workspace, read when its step runs. Each repository is fetched and unpacked once in a job.
 */
import { mkdirSync, readFileSync, realpathSync, rmSync, statSync } from "node:fs";
import { join, sep } from "node:path";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { ActionDefinition } from "../../workflows/actions/action-definition.ts";
import { parseUses, pinOf, type RepositoryUses } from "../../workflows/actions/uses.ts";
import type { BuiltInAction } from "./action.ts";
import { itemsOf, type StepItem } from "../steps/frame.ts";
import type { ServerLink } from "../server-link.ts";
import { unpack } from "./tar.ts";

export type FoundAction = { kind: "built-in"; builtIn: BuiltInAction } | { kind: "image"; image: string } | FolderAction;

/** One that is a folder with an `action.yml`. */
export interface FolderAction {
  kind: "folder";
  definition: ActionDefinition;
  /** Where its metadata is. */
  folder: string;
  /** It reads nothing outside of this: its repository, or the workspace. */
  root: string;
  /** Undefined: it is one of the workspace. */
  from: RepositoryUses | undefined;
}

export interface ActionsOptions {
  link: Pick<ServerLink, "action" | "actionMetadata">;
  /** Where repositories of actions are unpacked; it is there. */
  folder: string;
  workspace: string;
  builtIns: readonly BuiltInAction[];
  /** A line of the log. */
  say(line: string): void;
}

export type PhaseName = "pre" | "main" | "post";

export class Actions {
  readonly #options: ActionsOptions;
  /** By `owner/repo@ref`: where it was unpacked. */
  readonly #repositories = new Map<string, Promise<string>>();

  constructor(options: ActionsOptions) {
    this.#options = options;
  }

  /**
   * Fetches all that steps name, and what composite actions among them name, but for actions of the workspace.
   * @throws SeatrialError for the first that cannot be had, or is wrong.
   */
  async prepare(items: readonly StepItem[], trail: readonly string[] = []): Promise<void> {
    // One after the other: what they say in the log has an order.
    for (const item of items) {
      const { uses } = item.spec;
      if (uses !== undefined && !uses.startsWith(".")) await this.resolve(item, trail);
    }
  }

  /**
   * Finds what the step uses, once.
   * @param trail what uses it, outermost first.
   * @throws SeatrialError `not-found`, `unreachable`, or `invalid` with all that is wrong with its metadata.
   */
  async resolve(item: StepItem, trail: readonly string[]): Promise<FoundAction> {
    if (item.found) return item.found;
    const uses = item.spec.uses!;
    const found = await this.#find(uses);
    if (found.kind === "folder" && found.definition.runs.using === "composite") {
      checkTrail([...trail, uses]);
      item.children = itemsOf(found.definition.runs.steps);
      await this.prepare(item.children, [...trail, uses]);
    }
    item.found = found;
    return found;
  }

  async #find(text: string): Promise<FoundAction> {
    const { builtIns, workspace } = this.#options;
    const builtIn = builtIns.find(({ name }) => name === text.split("@")[0]!.toLowerCase());
    if (builtIn) return { kind: "built-in", builtIn };
    let uses;
    try {
      uses = parseUses(text);
    } catch (error) {
      if (!(error instanceof SeatrialError)) throw error;
      throw new SeatrialError(error.code, `uses: ${text} ${error.message}`, { hint: error.hint });
    }
    if (uses.kind === "image") return { kind: "image", image: uses.image };
    const [root, from] = uses.kind === "local" ? [workspace, undefined] : [await this.#fetch(uses), uses];
    return { kind: "folder", root, from, ...(await this.#read(root, uses.path, text)) };
  }

  /** @returns the folder of its repository. */
  async #fetch(uses: RepositoryUses): Promise<string> {
    const pin = pinOf(uses);
    let fetched = this.#repositories.get(pin);
    if (!fetched) {
      if (this.#repositories.size >= limits.jobActions) {
        throw new SeatrialError("invalid", `the job uses more than ${limits.jobActions} repositories of actions`);
      }
      fetched = this.#unpack(pin, join(this.#options.folder, String(this.#repositories.size)));
      this.#repositories.set(pin, fetched);
    }
    return await fetched;
  }

  async #unpack(pin: string, folder: string): Promise<string> {
    const { link, say } = this.#options;
    const archive = `${folder}.tar`;
    const { commit, notice } = await link.action(pin, archive);
    mkdirSync(folder);
    try {
      unpack(archive, folder);
    } catch (error) {
      throw new SeatrialError("invalid", `action ${pin}: ${messageOf(error)}`, { cause: error });
    } finally {
      rmSync(archive, { force: true });
    }
    if (!pin.endsWith(`@${commit}`)) say(`action ${pin} is commit ${commit}`);
    if (notice !== undefined) say(notice);
    return folder;
  }

  async #read(root: string, path: string, uses: string): Promise<{ definition: ActionDefinition; folder: string }> {
    const folder = join(root, path);
    for (const name of ["action.yml", "action.yaml"]) {
      const file = join(folder, name);
      if (!statSync(file, { throwIfNoEntry: false })?.isFile()) continue;
      const real = insideOf(root, file, `${name} of action ${uses}`);
      const { size } = statSync(real);
      if (size > limits.actionMetadataBytes) {
        throw new SeatrialError("invalid", `${name} of action ${uses} has ${size} bytes, and can have ${limits.actionMetadataBytes}`);
      }
      const shown = uses.startsWith(".") ? join(path, name) : `${uses}/${name}`;
      return { folder, definition: await this.#options.link.actionMetadata({ file: shown, text: readFileSync(real, "utf8") }) };
    }
    // A Dockerfile alone is an action, too, on GitHub.
    if (statSync(join(folder, "Dockerfile"), { throwIfNoEntry: false })?.isFile()) {
      return {
        folder,
        definition: { name: uses, inputs: {}, outputs: {}, runs: { using: "docker", image: "Dockerfile", args: [], env: {} } },
      };
    }
    const hint = uses.startsWith(".")
      ? "is it a folder of the repository, and was the repository checked out by a step before?"
      : undefined;
    throw new SeatrialError("not-found", `action ${uses}: neither action.yml nor action.yaml is in ${path === "" ? "its root" : path}`, {
      hint,
    });
  }
}

/** Whether there is something to run of it in a phase. */
export function hasPhase(item: StepItem, phase: PhaseName): boolean {
  const { found } = item;
  if (phase === "main") return true;
  if (!found || found.kind === "image") return false;
  if (found.kind === "built-in") return phase === "post" && found.builtIn.post !== undefined;
  const { runs } = found.definition;
  switch (runs.using) {
    case "composite":
      return item.children.some((child) => hasPhase(child, phase));
    case "docker":
      return (phase === "pre" ? runs.preEntrypoint : runs.postEntrypoint) !== undefined;
    case "node20":
    case "node24":
      return runs[phase] !== undefined;
  }
}

/** When a phase runs, but for main. */
export function conditionOf({ found }: StepItem, phase: PhaseName): string {
  const always = "always()";
  if (found?.kind === "built-in") return found.builtIn.postCondition ?? always;
  if (found?.kind !== "folder" || found.definition.runs.using === "composite") return always;
  const { preIf, postIf } = found.definition.runs;
  return (phase === "pre" ? preIf : postIf) ?? always;
}

/**
 * The real path of a file that is inside of a folder, whatever links lead there.
 * @param what it is, for the message. @throws SeatrialError `invalid`.
 */
export function insideOf(root: string, path: string, what: string): string {
  let real: string;
  try {
    real = realpathSync.native(path);
  } catch {
    throw new SeatrialError("invalid", `${what} is not there`);
  }
  if (!real.startsWith(realpathSync.native(root) + sep)) throw new SeatrialError("invalid", `${what} is outside of its repository`);
  return real;
}

function checkTrail(trail: readonly string[]): void {
  const shown = trail.join(" uses ");
  const last = trail.at(-1)!;
  if (trail.indexOf(last) < trail.length - 1) throw new SeatrialError("invalid", `an action uses itself: ${shown}`);
  if (trail.length > limits.compositeDepth) {
    throw new SeatrialError("invalid", `actions use one another more than ${limits.compositeDepth} deep: ${shown}`);
  }
}

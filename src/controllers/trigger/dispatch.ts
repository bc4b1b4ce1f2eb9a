/**
 * Dispatches: somebody with the server's token starts one workflow (`workflow_dispatch`), or tells the workflows of a repository of
 * something that happened elsewhere (`repository_dispatch`). What is wrong with one is told to who asks, before anything is made.
 */
import { randomUUID } from "node:crypto";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { Account, Forge, ForgeRepository, Occurrence } from "../../forges/forge.ts";
import { didYouMean } from "../../resources/suggest.ts";
import type { Json } from "../../workflows/expressions/expressions.ts";
import { inputTexts, inputValues } from "../../workflows/inputs.ts";
import { nobody } from "../run/github-context.ts";
import type { Trigger, WorkflowFile } from "./trigger.ts";

export interface WorkflowDispatch {
  /** The forge's id. */
  repositoryId: string;
  /** Path, file name, or `name` of the workflow. */
  workflow: string;
  /** Branch or tag, with or without `refs/heads/`. Default: the default branch. */
  ref?: string | undefined;
  inputs?: Readonly<Record<string, Json>> | undefined;
  /** Who asks: `github.actor`. Default: {@link nobody}. */
  actor?: string | undefined;
}
export interface RepositoryDispatch {
  repositoryId: string;
  type: string;
  /** As {@link WorkflowDispatch.actor}. */
  actor?: string | undefined;
  payload?: Readonly<Record<string, Json>> | undefined;
}

export class Dispatcher {
  readonly #trigger: Trigger;

  constructor(trigger: Trigger) {
    this.#trigger = trigger;
  }

  /**
   * @returns the name of its Run.
   * @throws SeatrialError `not-found` without such a workflow, branch or tag; `invalid` when the file, or an input, is wrong; `conflict` when
   * the workflow has no `workflow_dispatch`, or its repository is suspended.
   */
  async dispatch(forge: Forge, { repositoryId, workflow, ref, inputs, actor }: WorkflowDispatch, signal?: AbortSignal): Promise<string> {
    const repository = await forge.repository(repositoryId, signal);
    await this.#refuseSuspended(forge, repository, signal);
    const at = await refOf(forge, repository, ref, signal);
    const files = await this.#trigger.workflowsOf(forge, repository, at.sha, signal);
    const { path, workflow: read, problems } = fileNamed(files, workflow, at.ref);
    if (problems) throw problems;
    const declared = read?.on.workflow_dispatch;
    if (!declared) {
      throw new SeatrialError("conflict", `${path} has no workflow_dispatch in its \`on\``, {
        hint: "only a workflow that has it can be dispatched; seatrial rerun RUN runs one again",
      });
    }
    const values = inputValues(declared.inputs, inputs ?? {}, path);
    const sender = accountOf(actor);
    const occurrence: Occurrence = {
      ...at,
      event: "workflow_dispatch",
      repository: nameOf(repository),
      workflow: path,
      inputs: values,
      sender,
    };
    const payload = { inputs: inputTexts(values), ref: at.ref, repository: payloadOf(repository), workflow: path, sender };
    const [name] = await this.#occur(forge, occurrence, payload, signal);
    if (name === undefined) throw new SeatrialError("conflict", `${path} has gone from ${at.ref} meanwhile`);
    return name;
  }

  /** @returns the names of all Runs that it starts. @throws SeatrialError `invalid` when the payload is larger than GitHub takes it. */
  async tell(forge: Forge, { repositoryId, type, payload = {}, actor }: RepositoryDispatch, signal?: AbortSignal): Promise<string[]> {
    if (type === "" || type.length > limits.dispatchTypeCharacters)
      throw new SeatrialError("invalid", `the type must have from 1 to ${limits.dispatchTypeCharacters} characters`);
    const keys = Object.keys(payload).length;
    if (keys > limits.dispatchPayloadKeys)
      throw new SeatrialError("invalid", `the payload has ${keys} keys, and can have at most ${limits.dispatchPayloadKeys}`, {
        hint: "put several into one object",
      });
    const bytes = Buffer.byteLength(JSON.stringify(payload));
    if (bytes > limits.dispatchPayloadBytes)
      throw new SeatrialError("invalid", `the payload has ${bytes} bytes, and can have at most ${limits.dispatchPayloadBytes}`);
    const repository = await forge.repository(repositoryId, signal);
    await this.#refuseSuspended(forge, repository, signal);
    const sender = accountOf(actor);
    const occurrence: Occurrence = { event: "repository_dispatch", repository: nameOf(repository), actions: [type], sender };
    const branch = repository.defaultBranch;
    return await this.#occur(
      forge,
      occurrence,
      { action: type, branch, client_payload: payload, repository: payloadOf(repository), sender },
      signal,
    );
  }

  async #occur(forge: Forge, occurrence: Occurrence, payload: object, signal: AbortSignal | undefined): Promise<string[]> {
    return await this.#trigger.trigger(forge, occurrence, { delivery: `dispatch-${randomUUID()}`, payload }, signal);
  }

  async #refuseSuspended(forge: Forge, repository: ForgeRepository, signal: AbortSignal | undefined): Promise<void> {
    if (!(await this.#trigger.isSuspended(forge, nameOf(repository), signal))) return;
    throw new SeatrialError("conflict", `repository ${repository.name} is suspended`, { hint: "take `suspended` out of its Repository" });
  }
}

/** The server's token says nothing of who has it: a name is what they say, and has no id. */
function accountOf(actor = nobody): Account {
  return { id: "", login: actor };
}

async function refOf(
  forge: Forge,
  { id, name, defaultBranch }: ForgeRepository,
  wanted: string | undefined,
  signal: AbortSignal | undefined,
): Promise<{ ref: string; sha: string }> {
  const given = wanted ?? defaultBranch;
  for (const ref of given.startsWith("refs/") ? [given] : [`refs/heads/${given}`, `refs/tags/${given}`]) {
    const sha = await forge.commitOf(id, ref, signal);
    if (sha !== undefined) return { ref, sha };
  }
  throw new SeatrialError("not-found", `repository ${name} has no branch and no tag ${given}`);
}

function fileNamed(files: readonly WorkflowFile[], wanted: string, ref: string): WorkflowFile {
  const names = ({ path, workflow }: WorkflowFile) => [path, path.slice(path.lastIndexOf("/") + 1), workflow?.name ?? path];
  const found = files.find((file) => names(file).includes(wanted));
  if (found) return found;
  const known = files.map(({ path }) => path);
  throw new SeatrialError("not-found", `there is no workflow ${wanted} at ${ref}${didYouMean(wanted, files.flatMap(names))}`, {
    hint: known.length === 0 ? "it has no workflow files" : `there are ${known.join(", ")}`,
  });
}

function nameOf({ id, name }: ForgeRepository): { id: string; name: string } {
  return { id, name };
}

/** A repository as webhooks have it. */
export function payloadOf({ id, name, defaultBranch }: ForgeRepository): object {
  const [owner = "", ...rest] = name.split("/");
  return { id, name: rest.at(-1) ?? name, full_name: name, default_branch: defaultBranch, owner: { login: owner } };
}

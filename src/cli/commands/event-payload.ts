/**
 * The event that the commands `run` and `plan` make up: its options, and what a forge would have sent for it, as far as expressions
 * usually look. What else they look for is given with `--payload`.
 */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import type { Environment } from "../../base/environment.ts";
import { messageOf, SeatrialError } from "../../base/errors.ts";
import type { WorkingChange } from "../../git/working-change.ts";
import { events, type EventName, type Source } from "../../resources/run.ts";
import type { Json } from "../../workflows/expressions/expressions.ts";
import { inputTexts, type InputValue, inputValues } from "../../workflows/inputs.ts";
import type { Workflow } from "../../workflows/workflow.ts";
import { collect } from "./options.ts";

export interface EventFlags {
  event?: EventName;
  type?: string;
  payload?: string;
  input?: string[];
}

/** `--event` and what says more of it. */
export function addEventOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--event <event>", "what happened. Default: pull_request when HEAD is ahead of the default branch, else push").choices(
        events,
      ),
    )
    .option("--type <type>", "which of the event's `types`: of repository_dispatch its type, of release prereleased")
    .option(
      "--payload <file>",
      "file with a JSON object: of repository_dispatch `github.event.client_payload`; of others what `github.event` has beside",
    )
    .option("--input <name=value>", "value of an input, for --event workflow_dispatch (again for more)", collect);
}

/** What happens, as workflows see it. */
export interface MadeUpEvent {
  source: Source;
  /** In the words of `types`; undefined: whatever they ask for. */
  actions: readonly string[] | undefined;
  /** `github.event` of a workflow. @param inputs of a workflow_dispatch. */
  payloadFor(workflow: Workflow, inputs: Readonly<Record<string, InputValue>>): Record<string, Json>;
}

/** @throws SeatrialError `usage` when an option does not fit the event, or the payload cannot be read. */
export async function madeUpEvent(
  change: WorkingChange,
  { type, payload: file }: EventFlags,
  environment: Environment,
): Promise<MadeUpEvent> {
  const { event } = change.source;
  if (type !== undefined && !(event in actionOf)) {
    throw new SeatrialError("usage", `--type is for an event with \`types\`, and ${event} has none`, {
      hint: `--event ${Object.keys(actionOf).join(", ")}`,
    });
  }
  const given = file === undefined ? {} : await payloadIn(file, environment);
  const isDispatch = event === "repository_dispatch";
  const over: Record<string, Json> = isDispatch ? { client_payload: given } : given;
  const source = event === "release" ? atTag(change.source, given) : change.source;
  return {
    source,
    actions: type === undefined ? undefined : [type],
    payloadFor: (workflow, inputs) => {
      const action = type ?? (isDispatch ? workflow.on.repository_dispatch?.types?.[0] : actionOf[event]);
      return laidOver({ ...madeUp({ ...change, source }, workflow, inputs), ...(action !== undefined && { action }) }, over);
    },
  };
}

/** What is given wins; within objects that both have, key by key. */
function laidOver(made: Readonly<Record<string, Json>>, given: Readonly<Record<string, Json>>): Record<string, Json> {
  const isObject = (value: Json | undefined) => typeof value === "object" && value !== null && !Array.isArray(value);
  const both = Object.entries(given).map(([key, value]): [string, Json] => {
    const under = made[key];
    return [key, isObject(under) && isObject(value) ? laidOver(under as Record<string, Json>, value as Record<string, Json>) : value];
  });
  return { ...made, ...Object.fromEntries(both) };
}

/** Events that have `types`, with the usual one. */
const actionOf: Partial<Record<EventName, string>> = {
  pull_request: "synchronize",
  merge_group: "checks_requested",
  release: "published",
  repository_dispatch: "",
};

/** A release is of a tag: the one that its payload names. */
function atTag(source: Source, { release }: Record<string, Json>): Source {
  const tag = (release as { tag_name?: unknown } | undefined)?.tag_name;
  return typeof tag === "string" && tag !== "" ? { ...source, ref: `refs/tags/${tag}`, base: { ...source.base, ref: tag } } : source;
}

function madeUp(
  { source, defaultBranch, message }: WorkingChange,
  workflow: Workflow,
  inputs: Readonly<Record<string, InputValue>>,
): Record<string, Json> {
  const { event, ref, base, heads, commit, repository: at, sender } = source;
  const [owner = "", ...rest] = at.name.split("/");
  const repository = {
    name: rest.at(-1) ?? at.name,
    full_name: at.name,
    owner: { login: owner },
    default_branch: defaultBranch.name,
  };
  const user = { login: sender?.login ?? "" };
  const common = { repository, sender: user };
  const branch = ref.replace(/^refs\/(heads|tags)\//, "");
  const headCommit = { id: commit, message, author: { name: user.login, email: sender?.id ?? "" } };
  switch (event) {
    case "push":
      return { ...common, ref, before: defaultBranch.sha, after: commit, head_commit: headCommit, commits: [headCommit] };
    case "pull_request": {
      const [title = ""] = message.split("\n");
      const repo = { repo: repository };
      const head = { ref: heads?.[0]?.ref ?? "", sha: heads?.[0]?.sha ?? "", ...repo };
      const state = { state: "open", draft: false, merged: false, labels: [] };
      const pullRequest = { number: 0, title, body: "", user, ...state, base: { ...base, ...repo }, head };
      return { ...common, number: 0, pull_request: pullRequest };
    }
    case "merge_group": {
      const target = { base_sha: defaultBranch.sha, base_ref: `refs/heads/${base.ref}` };
      return { ...common, merge_group: { head_sha: commit, head_ref: ref, ...target, head_commit: headCommit } };
    }
    case "schedule":
      return { ...common, schedule: workflow.on.schedule?.[0]?.cron.text ?? "", workflow: workflow.path };
    case "workflow_dispatch":
      return { ...common, ref, workflow: workflow.path, inputs: inputTexts(inputs) };
    case "repository_dispatch":
      return { ...common, branch, client_payload: {} };
    case "release":
      return { ...common, release: { tag_name: branch, name: branch, body: "", draft: false, prerelease: false } };
    case "create":
    case "delete":
      return { ...common, ref: branch, ref_type: "branch", master_branch: defaultBranch.name };
  }
}

/**
 * Values of the inputs of each workflow, by its path, from `--input NAME=VALUE`. An input goes to all workflows that have it.
 * @throws SeatrialError `usage` when none has it, or the event takes none; `invalid` when a value is wrong, or one is lacking.
 */
export function inputsFor(
  workflows: readonly Workflow[],
  event: EventName,
  given: readonly string[] | undefined,
): Map<string, Record<string, InputValue>> {
  const values = inputsGiven(given);
  if (event !== "workflow_dispatch") {
    if (values.size > 0) throw new SeatrialError("usage", "--input is for --event workflow_dispatch");
    return new Map();
  }
  const of = ({ on }: Workflow) => on.workflow_dispatch?.inputs ?? {};
  const isOf = (workflow: Workflow, name: string) => Object.keys(of(workflow)).some((each) => each.toLowerCase() === name.toLowerCase());
  // One that none has is told by the first, with what that has.
  const isKnown = (name: string) => workflows.some((each) => isOf(each, name));
  return new Map(
    workflows.map((workflow) => {
      const own = [...values].filter(([name]) => isOf(workflow, name) || !isKnown(name));
      return [workflow.path, inputValues(of(workflow), Object.fromEntries(own), workflow.path)];
    }),
  );
}

/** @throws SeatrialError `usage` when one is not NAME=VALUE. */
export function inputsGiven(given: readonly string[] | undefined): Map<string, string> {
  const values = new Map<string, string>();
  for (const each of given ?? []) {
    const [, name = "", value = ""] = /^([^=]+)=(.*)$/s.exec(each) ?? [];
    if (name === "") throw new SeatrialError("usage", `--input ${each} is not NAME=VALUE`, { hint: "--input level=debug" });
    values.set(name, value);
  }
  return values;
}

/** @throws SeatrialError `usage` when the file cannot be read, or is no JSON object. */
export async function payloadIn(file: string, { cwd }: Environment): Promise<Record<string, Json>> {
  try {
    const value: unknown = JSON.parse(await readFile(resolve(cwd, file), "utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, Json>;
  } catch (error) {
    throw new SeatrialError("usage", `cannot read the payload ${file}: ${messageOf(error)}`, { cause: error });
  }
  throw new SeatrialError("usage", `the payload ${file} is no JSON object`);
}

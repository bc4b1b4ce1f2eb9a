/** What a forge would have sent for an event that the commands `run` and `plan` make up, as far as expressions usually look. */
import { SeatrialError } from "../../base/errors.ts";
import type { EventName, Source } from "../../resources/run.ts";
import { inputTexts, type InputValue, inputValues } from "../../workflows/inputs.ts";
import type { Workflow } from "../../workflows/workflow.ts";

/** @param inputs of a workflow_dispatch. */
export function eventPayload(source: Source, workflow: Workflow, inputs: Readonly<Record<string, InputValue>>): Record<string, unknown> {
  const { event, ref, base, heads, repository, sender } = source;
  const owner = repository.name.split("/")[0];
  const common = { repository: { full_name: repository.name, owner: { login: owner ?? "" } }, sender: { login: sender?.login ?? "" } };
  const branch = ref.replace(/^refs\/(heads|tags)\//, "");
  const head = heads?.[0];
  switch (event) {
    case "push":
      return { ...common, ref, after: base.sha, head_commit: { id: base.sha } };
    case "pull_request": {
      const pullRequest = { number: 0, base, head: { ref: head?.ref ?? "", sha: head?.sha ?? "" } };
      return { ...common, action: "synchronize", number: 0, pull_request: pullRequest };
    }
    case "merge_group":
      return {
        ...common,
        action: "checks_requested",
        merge_group: { head_sha: base.sha, head_ref: ref, base_ref: `refs/heads/${base.ref}` },
      };
    case "schedule":
      return { ...common, schedule: workflow.on.schedule?.[0]?.cron.text ?? "", workflow: workflow.path };
    case "workflow_dispatch":
      return { ...common, ref, workflow: workflow.path, inputs: inputTexts(inputs) };
    case "repository_dispatch":
      return { ...common, action: workflow.on.repository_dispatch?.types?.[0] ?? "", branch, client_payload: {} };
    case "release":
      return { ...common, action: "published", release: { tag_name: branch } };
    case "create":
    case "delete":
      return { ...common, ref: branch, ref_type: "branch" };
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

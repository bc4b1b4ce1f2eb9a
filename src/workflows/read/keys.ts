/**
 * Every key of a workflow file: GitHub's, and ours. What works, what is refused and with which words, which contexts and
 * functions an expression in it may use. The reader asks this table for each key, and the page docs/workflow-syntax.md shows it.
 *
 * Contexts are those of GitHub's table "Context availability".
 */
import { contextNames, type Names, statusFunctions } from "../expressions/expressions.ts";

/**
 * `works`; `later`: it is part of the design; `open`: nobody has planned it; `never`: it will not be, and the note says why.
 */
export type KeyState = "works" | "later" | "open" | "never";

export interface Key extends Names {
  /** As in GitHub's reference: `jobs.<job_id>.steps[*].run`. */
  key: string;
  state: KeyState;
  /** For people: what works of it, or what to do instead. May be empty. */
  note: string;
}

const ofRun = ["github", "inputs", "vars"];
const ofNeeds = [...ofRun, "needs"];
const ofCell = [...ofNeeds, "strategy", "matrix"];
const inStep: Names = { contexts: contextNames, functions: ["hashFiles"] };

function works(key: string, note: string, names: Names = { contexts: [] }): Key {
  return { key, state: "works", note, contexts: names.contexts, functions: names.functions ?? [] };
}
function refused(state: Exclude<KeyState, "works">, key: string, note = ""): Key {
  return { key, state, note, contexts: [] };
}
const cell: Names = { contexts: ofCell };

const containerNames: Names = { contexts: ofCell };
const inContainer: Names = { contexts: [...ofCell, "env", "secrets"] };
/** Keys that containers of jobs and of services have. */
function containerKeys(prefix: string, note: string): Key[] {
  return [
    works(prefix, note, containerNames),
    works(`${prefix}.image`, "An empty one is none. Each run has one digest of it throughout.", containerNames),
    works(`${prefix}.credentials`, "`username` and `password`; not for changes that are not trusted.", inContainer),
    works(`${prefix}.env`, "", { contexts: [...inContainer.contexts, "job", "runner"] }),
    works(`${prefix}.ports`, "`CONTAINER` or `JOB:CONTAINER`, TCP: on localhost of the job.", containerNames),
    works(
      `${prefix}.volumes`,
      "`NAME:/PATH` or `/PATH`: they last as long as the attempt. Folders of the host are refused.",
      containerNames,
    ),
    works(
      `${prefix}.options`,
      "An allow-list of `docker create`: health, environment, bounds, user, folder, names. Others are refused by name.",
      containerNames,
    ),
  ];
}

const inDefaults: Names = { contexts: [...ofCell, "env"] };
const tokenNote = "`github.token` reads the repository's commits here, whatever is asked; a notice says so for all other scopes.";
function concurrencyKeys(prefix: string, contexts: readonly string[]): Key[] {
  return [
    works(
      prefix,
      "A group, or a map. Groups are of one repository, and have no case. The newest that waits takes the place of older ones.",
      {
        contexts,
      },
    ),
    works(`${prefix}.group`, "Up to 400 characters.", { contexts }),
    works(`${prefix}.cancel-in-progress`, "Default: false.", { contexts }),
    works(`${prefix}.queue`, "`single`, the default, or `max`: up to 100 wait, in their order."),
  ];
}

export const keys: readonly Key[] = [
  works("name", "Default: the file's path."),
  works("description", "For people who read the file."),
  works("run-name", "Text of the run, beside the workflow's name. Default: none.", { contexts: ofRun }),
  works("on", "A name, a list of names, or a map."),
  works("on.push", "Branches and tags; a deleted one starts nothing."),
  works("on.push.branches", "Patterns with `*`, `**`, `?`, `+`, `[]`, `!`."),
  works("on.push.branches-ignore", ""),
  works("on.push.tags", ""),
  works("on.push.tags-ignore", ""),
  works(
    "on.push.paths",
    "Files that differ between the commits before and after; of a new branch since it left the default branch. All of them count: GitHub looks at 300. Not asked of tags.",
  ),
  works("on.push.paths-ignore", ""),
  works("on.pull_request", ""),
  works(
    "on.pull_request.types",
    "Default: `opened`, `synchronize`, `reopened`. Also `closed`, `edited`, `labeled`, `unlabeled`, `assigned`, `unassigned`, `milestoned`, `demilestoned`, `ready_for_review`, `converted_to_draft`, `review_requested`, `review_request_removed`, where the forge tells of it. Refused: `locked`, `unlocked`, `enqueued`, `dequeued`, `auto_merge_enabled`, `auto_merge_disabled`, `stacked`.",
  ),
  works("on.pull_request.branches", "Patterns for the branch that it goes to."),
  works("on.pull_request.branches-ignore", ""),
  works("on.pull_request.paths", "Files that the head changes since it left the base, all of them."),
  works("on.pull_request.paths-ignore", ""),
  refused("never", "on.pull_request_target", "it runs the code of forks beside secrets; pull_request runs forks, safely"),
  works("on.schedule", "Runs the default branch, in the trusted lane. What was missed, or a jump of the clock, is made up for once."),
  works(
    "on.schedule[*].cron",
    "Five fields, with names, ranges, steps, lists; down to each minute. `@daily` and its kin are refused, as on GitHub.",
  ),
  works(
    "on.schedule[*].timezone",
    "Default: UTC. In an hour that the clocks leave out it comes when that is over, in one that comes twice the first time.",
  ),
  works("on.workflow_dispatch", "By `seatrial dispatch`, `seatrial run --event workflow_dispatch`, or the API."),
  works("on.workflow_dispatch.inputs", "Up to 25; all values together up to 65,535 characters."),
  works("on.workflow_dispatch.inputs.<input_id>.description", ""),
  works("on.workflow_dispatch.inputs.<input_id>.required", "Default: false."),
  works("on.workflow_dispatch.inputs.<input_id>.default", "Default: an empty text, `false`, 0."),
  works("on.workflow_dispatch.inputs.<input_id>.type", "`string`, the default, `boolean`, `number`, `choice`, `environment`."),
  works("on.workflow_dispatch.inputs.<input_id>.options", "Of a choice."),
  works("on.workflow_call", "The workflow can be called by a job of another; it starts nothing by itself."),
  works("on.workflow_call.inputs", "In the called jobs they are `inputs`, with their types."),
  works("on.workflow_call.inputs.<input_id>.description", ""),
  works("on.workflow_call.inputs.<input_id>.required", "Default: false."),
  works("on.workflow_call.inputs.<input_id>.default", "Default: an empty text, `false`, 0.", { contexts: ofRun }),
  works("on.workflow_call.inputs.<input_id>.type", "Required: `string`, `boolean` or `number`."),
  works("on.workflow_call.secrets", "The called jobs have these, or with `secrets: inherit` all that the caller has."),
  works("on.workflow_call.secrets.<secret_id>.description", ""),
  works("on.workflow_call.secrets.<secret_id>.required", "Default: false."),
  works("on.workflow_call.outputs", "What `needs` has of a job that calls it. Of a matrix of calls the last that is not empty."),
  works("on.workflow_call.outputs.<output_id>.description", ""),
  works("on.workflow_call.outputs.<output_id>.value", "", { contexts: ["github", "inputs", "vars", "jobs"] }),
  refused("never", "on.workflow_run", "it runs with secrets upon what an untrusted run left; let jobs need each other, or call a workflow"),
  works("on.merge_group", "No forge that Seatrial knows has a merge queue yet: `seatrial run --event merge_group` starts it."),
  works("on.merge_group.types", "`checks_requested`, which is the only one."),
  works("on.merge_group.branches", "Patterns for the branch that it goes to."),
  works("on.merge_group.branches-ignore", ""),
  works("on.release", "Gitea tells of it; a repository on this disk has none."),
  works(
    "on.release.types",
    "`published`, `created`, `released`, `prereleased`, `edited`, `deleted`. Default: all. Refused: `unpublished`.",
  ),
  works("on.repository_dispatch", "By `seatrial dispatch --type`, or the API: a payload of 10 keys and 64 KiB. Runs the default branch."),
  works("on.repository_dispatch.types", "Default: all."),
  works("on.create", "A new branch or tag, which is run."),
  works("on.delete", "A branch or tag is gone; runs the default branch."),
  ...[
    "issue_comment",
    "pull_request_comment",
    "pull_request_review",
    "pull_request_review_comment",
    "discussion",
    "discussion_comment",
  ].map((event) =>
    refused("never", `on.${event}`, "whoever may comment would start jobs beside secrets; workflow_dispatch starts them on request"),
  ),
  ...[
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "deployment",
    "deployment_status",
    "fork",
    "gollum",
    "image_version",
    "issues",
    "label",
    "milestone",
    "page_build",
    "project",
    "project_card",
    "project_column",
    "public",
    "registry_package",
    "status",
    "watch",
  ].map((event) => refused("open", `on.${event}`)),
  works("permissions", `\`read-all\`, \`write-all\` or a map of GitHub's scopes. ${tokenNote}`),
  works("env", "Of all jobs. Values are expanded by the runner.", { contexts: [...ofRun, "secrets"] }),
  works("defaults", ""),
  works("defaults.run", "Of all steps with `run`."),
  works("defaults.run.shell", ""),
  works("defaults.run.working-directory", ""),
  ...concurrencyKeys("concurrency", ofRun),
  refused("later", "images", "images that are built once in a run, a key of ours"),
  works("jobs", "Up to 1,000."),

  works("jobs.<job_id>.name", "With a matrix, its cell is added when the name holds no expression: `test (a, b)`.", cell),
  works("jobs.<job_id>.needs", "A job or a list of jobs."),
  works("jobs.<job_id>.if", "Without a status function it is `success() && (…)`.", { contexts: ofNeeds, functions: statusFunctions }),
  works(
    "jobs.<job_id>.runs-on",
    "Optional. `ubuntu-*`, `linux`, `self-hosted`, beside them `x64` or `arm64`, which ask for such a machine as `ubuntu-*-arm` does, and labels that the configuration gives a meaning; no others.",
    cell,
  ),
  works("jobs.<job_id>.runs-on.group", "A label that the configuration gives a meaning.", cell),
  works("jobs.<job_id>.runs-on.labels", "A label or a list.", cell),
  works("jobs.<job_id>.env", "Wins over the workflow's. Values are expanded by the runner.", { contexts: [...ofCell, "secrets"] }),
  works("jobs.<job_id>.outputs", "1 MiB altogether.", { contexts: contextNames }),
  works("jobs.<job_id>.timeout-minutes", "More than 0 and up to 4,320. Default: 360.", cell),
  works("jobs.<job_id>.continue-on-error", "", cell),
  works("jobs.<job_id>.strategy", ""),
  works("jobs.<job_id>.strategy.matrix", "Lists, or an expression of an object of lists. Up to 256 cells.", { contexts: ofNeeds }),
  works("jobs.<job_id>.strategy.matrix.include", "By GitHub's rules, objects and expressions too.", { contexts: ofNeeds }),
  works("jobs.<job_id>.strategy.matrix.exclude", "A part of a combination, or of an object in it, is enough.", { contexts: ofNeeds }),
  works("jobs.<job_id>.strategy.fail-fast", "Default: true.", { contexts: ofNeeds }),
  works("jobs.<job_id>.strategy.max-parallel", "Default: as many as there is room for.", { contexts: ofNeeds }),
  works("jobs.<job_id>.cluster", "Ours: the spec of a Cluster, Ready before the first step.", cell),
  refused("later", "jobs.<job_id>.cluster.images", "load them in a step"),
  works(
    "jobs.<job_id>.clusters",
    "Ours: a map of several. Up to 8. Those on kind reach each other: one network, and no address of pods or services twice.",
    cell,
  ),
  works("jobs.<job_id>.clusters.<name>", "The same as `cluster`.", cell),
  refused("later", "jobs.<job_id>.clusters.<name>.images", "load them in a step"),
  works("jobs.<job_id>.permissions", "In place of the workflow's. A called workflow can ask for no more than the job that calls it."),
  works("jobs.<job_id>.environment", "A name, or a map. It is shown, and a notice says that it is no more than that.", cell),
  works("jobs.<job_id>.environment.name", "", cell),
  works("jobs.<job_id>.environment.url", "Shown when it depends on no step.", {
    contexts: [...ofCell, "job", "runner", "env", "steps"],
  }),
  works("jobs.<job_id>.environment.deployment", "Changes nothing: there are no deployments here."),
  ...concurrencyKeys("jobs.<job_id>.concurrency", ofCell),
  works("jobs.<job_id>.defaults", ""),
  works("jobs.<job_id>.defaults.run", "Wins over the workflow's, key by key."),
  works("jobs.<job_id>.defaults.run.shell", "", inDefaults),
  works("jobs.<job_id>.defaults.run.working-directory", "", inDefaults),
  ...containerKeys("jobs.<job_id>.container", "A map, or the image alone. Steps run in it, by its `sh`."),
  works("jobs.<job_id>.services", "Up to 16. Each is healthy, or runs where its image has no health check, before the first step."),
  ...containerKeys("jobs.<job_id>.services.<service_id>", "A map."),
  works("jobs.<job_id>.services.<service_id>.entrypoint", "The program in place of the image's.", containerNames),
  works("jobs.<job_id>.services.<service_id>.command", "Arguments in place of the image's, as a shell splits words.", containerNames),
  works(
    "jobs.<job_id>.uses",
    "`./.github/workflows/FILE` or `./.seatrial/FILE` of the same commit, or `OWNER/REPO/PATH@REF`, found and locked as actions are. Up to 10 levels and 50 files. Its jobs are `caller / callee`.",
  ),
  works("jobs.<job_id>.with", "Inputs of the called workflow."),
  works("jobs.<job_id>.with.<with_id>", "", cell),
  works("jobs.<job_id>.secrets", "A map, or `inherit`."),
  works("jobs.<job_id>.secrets.<secret_id>", "", { contexts: [...ofCell, "secrets"] }),
  refused("open", "jobs.<job_id>.cancel-timeout-minutes"),
  refused("never", "jobs.<job_id>.snapshot", "it makes images of GitHub's own runners"),

  works("jobs.<job_id>.steps", "At least one, up to 1,000."),
  works("jobs.<job_id>.steps[*].id", ""),
  works("jobs.<job_id>.steps[*].name", "", inStep),
  works("jobs.<job_id>.steps[*].if", "", {
    contexts: contextNames.filter((name) => name !== "secrets"),
    functions: [...statusFunctions, "hashFiles"],
  }),
  works("jobs.<job_id>.steps[*].run", "", inStep),
  works(
    "jobs.<job_id>.steps[*].shell",
    "`bash`, `sh`, `python`, `pwsh` where it is installed, or a command with `{0}` where the script's file goes. `cmd` and `powershell` are refused.",
  ),
  works("jobs.<job_id>.steps[*].working-directory", "Relative to the workspace.", inStep),
  works("jobs.<job_id>.steps[*].env", "", inStep),
  works("jobs.<job_id>.steps[*].continue-on-error", "", inStep),
  works("jobs.<job_id>.steps[*].timeout-minutes", "", inStep),
  works(
    "jobs.<job_id>.steps[*].uses",
    "`owner/repo@ref`, `owner/repo/path@ref`, `./path`, `docker://image`: composite, JavaScript (node20, node24) and Docker actions. Those that are [part of Seatrial](reference/actions.md) are not fetched.",
  ),
  works(
    "jobs.<job_id>.steps[*].with",
    "An input that the action does not have is said in the log, as on GitHub; of actions that are part of Seatrial it is refused.",
    inStep,
  ),
  works(
    "jobs.<job_id>.steps[*].with.args",
    "Of `docker://` and Docker actions: arguments in place of the image's, as a shell splits words.",
    inStep,
  ),
  works("jobs.<job_id>.steps[*].with.entrypoint", "Of the same: the program in place of the image's.", inStep),
  refused("open", "jobs.<job_id>.steps[*].background"),
  refused("open", "jobs.<job_id>.steps[*].wait"),
  refused("open", "jobs.<job_id>.steps[*].wait-all"),
  refused("open", "jobs.<job_id>.steps[*].cancel"),
  refused("open", "jobs.<job_id>.steps[*].parallel"),
];

const byKey = new Map(keys.map((key) => [key.key, key]));

export function keyOf(key: string): Key | undefined {
  return byKey.get(key);
}

/** Names of the keys directly below a key (`""`: of the file), to suggest from. */
export function namesBelow(parent: string): string[] {
  const prefix = parent === "" ? "" : `${parent}.`;
  return keys
    .filter(({ key }) => key.startsWith(prefix) && /^[\w-]+$/.test(key.slice(prefix.length)))
    .map(({ key }) => key.slice(prefix.length));
}

/** Why a key is refused, as the end of a message that begins with its path. */
export function refusalOf({ state, note }: Key): string {
  const first = { works: "", later: "comes later", open: "is not supported", never: "will not be supported" }[state];
  return note === "" ? first : `${first}: ${note}`;
}

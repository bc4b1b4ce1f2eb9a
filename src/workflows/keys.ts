/**
 * Every key of a workflow file: GitHub's, and ours. What works, what is refused and with which words, which contexts and
 * functions an expression in it may use. The reader asks this table for each key, and the page docs/workflow-syntax.md shows it.
 *
 * Contexts are those of GitHub's table "Context availability".
 */
import { contextNames, type Names, statusFunctions } from "./expressions.ts";

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

export const keys: readonly Key[] = [
  works("name", "Default: the file's path."),
  refused("open", "run-name"),
  works("on", "A name, a list of names, or a map."),
  works("on.push", ""),
  works("on.push.branches", "Patterns with `*`, `**`, `?`, `+`, `[]`, `!`."),
  works("on.push.branches-ignore", ""),
  works("on.push.tags", ""),
  works("on.push.tags-ignore", ""),
  refused("later", "on.push.paths"),
  refused("later", "on.push.paths-ignore"),
  works("on.pull_request", ""),
  works("on.pull_request.types", "`opened`, `synchronize`, `reopened`, which are the default; no others."),
  works("on.pull_request.branches", "Patterns for the branch that it goes to."),
  works("on.pull_request.branches-ignore", ""),
  refused("later", "on.pull_request.paths"),
  refused("later", "on.pull_request.paths-ignore"),
  refused("never", "on.pull_request_target", "it runs the code of forks beside secrets; pull_request runs forks, safely"),
  refused("later", "on.schedule"),
  refused("later", "on.workflow_dispatch"),
  refused("later", "on.workflow_call"),
  refused("later", "on.workflow_run"),
  refused("later", "on.merge_group"),
  refused("later", "on.release"),
  refused("later", "on.repository_dispatch"),
  ...[
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "create",
    "delete",
    "deployment",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "fork",
    "gollum",
    "image_version",
    "issue_comment",
    "issues",
    "label",
    "milestone",
    "page_build",
    "project",
    "project_card",
    "project_column",
    "public",
    "pull_request_comment",
    "pull_request_review",
    "pull_request_review_comment",
    "registry_package",
    "status",
    "watch",
  ].map((event) => refused("open", `on.${event}`)),
  refused("later", "permissions", "jobs get no token of the forge yet"),
  works("env", "Of all jobs. Values are expanded by the runner.", { contexts: [...ofRun, "secrets"] }),
  refused("later", "defaults", "`shell` and `working-directory` can be said in each step"),
  refused("later", "concurrency"),
  refused("later", "images", "images that are built once in a run, a key of ours"),
  works("jobs", "Up to 1,000."),

  works("jobs.<job_id>.name", "With a matrix, its cell is added when the name holds no expression: `test (a, b)`.", cell),
  works("jobs.<job_id>.needs", "A job or a list of jobs."),
  works("jobs.<job_id>.if", "Without a status function it is `success() && (…)`.", { contexts: ofNeeds, functions: statusFunctions }),
  works(
    "jobs.<job_id>.runs-on",
    "Optional. `ubuntu-*`, `linux`, `self-hosted`, beside them `x64` or `arm64`, and labels that the configuration gives a meaning; no others.",
    cell,
  ),
  refused("later", "jobs.<job_id>.runs-on.group"),
  refused("later", "jobs.<job_id>.runs-on.labels", "write the labels as a list"),
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
  works("jobs.<job_id>.clusters", "Ours: a map of several. Up to 8.", cell),
  works("jobs.<job_id>.clusters.<name>", "The same as `cluster`.", cell),
  refused("later", "jobs.<job_id>.clusters.<name>.images", "load them in a step"),
  refused("later", "jobs.<job_id>.permissions", "jobs get no token of the forge yet"),
  refused("later", "jobs.<job_id>.environment"),
  refused("later", "jobs.<job_id>.concurrency"),
  refused("later", "jobs.<job_id>.defaults", "`shell` and `working-directory` can be said in each step"),
  refused("later", "jobs.<job_id>.container"),
  refused("later", "jobs.<job_id>.services"),
  refused("later", "jobs.<job_id>.uses", "reusable workflows"),
  refused("later", "jobs.<job_id>.with", "it belongs to `uses`"),
  refused("later", "jobs.<job_id>.secrets", "it belongs to `uses`; steps have the context secrets without it"),
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
  works("jobs.<job_id>.steps[*].shell", "`bash`, `sh`, or a command with `{0}` where the script's file goes."),
  works("jobs.<job_id>.steps[*].working-directory", "Relative to the workspace.", inStep),
  works("jobs.<job_id>.steps[*].env", "", inStep),
  works("jobs.<job_id>.steps[*].continue-on-error", "", inStep),
  works("jobs.<job_id>.steps[*].timeout-minutes", "", inStep),
  works("jobs.<job_id>.steps[*].uses", "`actions/checkout@…` alone, whatever version: the commit under test."),
  works(
    "jobs.<job_id>.steps[*].with",
    "Of `actions/checkout`: `path`, `fetch-depth`, and what changes nothing here; other inputs are refused.",
    inStep,
  ),
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

/**
 * Inputs of actions/checkout. Without values: taken, whatever they say. With values: not done yet, so that only those are taken
 * by which they ask for nothing. Of `ref` the runner sees to it that it is the commit under test.
 */
export const checkoutInputs: Readonly<Record<string, readonly string[] | undefined>> = {
  ref: undefined,
  path: undefined,
  "fetch-depth": undefined,
  "fetch-tags": undefined,
  token: undefined,
  "persist-credentials": undefined,
  clean: undefined,
  "show-progress": undefined,
  "set-safe-directory": undefined,
  repository: [],
  submodules: ["false"],
  lfs: ["false"],
  filter: [],
  "sparse-checkout": [],
  "sparse-checkout-cone-mode": ["true"],
  "ssh-key": [],
  "ssh-known-hosts": [],
  "ssh-strict": ["true"],
  "ssh-user": ["git"],
  "github-server-url": [],
};

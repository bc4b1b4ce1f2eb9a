/**
 * The environment of a job's steps, in GitHub's order: what the runner was given, the workflow's and the job's `env`, what
 * earlier steps wrote to GITHUB_ENV and GITHUB_PATH, the step's own `env`; GITHUB_* and RUNNER_* are nobody's to change.
 */
import { delimiter } from "node:path";
import type { Json } from "../../workflows/expressions/expressions.ts";

export type Variables = Readonly<Record<string, string>>;

/**
 * Properties of the `github` context that are variables, too: GITHUB_ and the name in capitals. From GitHub's "Variables
 * reference"; those that name files of a step are not here.
 */
const githubProperties = [
  "action",
  "actor",
  "actor_id",
  "api_url",
  "base_ref",
  "event_name",
  "event_path",
  "graphql_url",
  "head_ref",
  "job",
  "ref",
  "ref_name",
  "ref_protected",
  "ref_type",
  "repository",
  "repository_id",
  "repository_owner",
  "repository_owner_id",
  "retention_days",
  "run_attempt",
  "run_id",
  "run_number",
  "server_url",
  "sha",
  "triggering_actor",
  "workflow",
  "workflow_ref",
  "workflow_sha",
  "workspace",
];
const runnerProperties = ["arch", "debug", "environment", "name", "os", "temp", "tool_cache", "workspace"];

/** The default variables that follow from two contexts. */
export function defaultVariables(github: Json | undefined, runner: Json | undefined): Record<string, string> {
  return {
    GITHUB_ACTIONS: "true",
    ...named("GITHUB", github, githubProperties),
    ...named("RUNNER", runner, runnerProperties),
  };
}

function named(prefix: string, context: Json | undefined, properties: readonly string[]): Record<string, string> {
  const values = typeof context === "object" && context !== null && !Array.isArray(context) ? (context as Record<string, Json>) : {};
  return Object.fromEntries(
    properties.flatMap((name) => {
      const value = values[name];
      const isPlain = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
      return isPlain ? [[`${prefix}_${name.toUpperCase()}`, String(value)]] : [];
    }),
  );
}

export interface StepEnvironmentOptions {
  /** What the shell of the steps has anyway. */
  inherited: Readonly<Record<string, string | undefined>>;
  /** What a job may override: CI, ARTIFACTS, KUBECONFIG … */
  given: Variables;
  /** The workflow's and the job's. */
  job: Variables;
  /** GITHUB_* and RUNNER_*. */
  defaults: Variables;
}

export class StepEnvironment {
  readonly #options: StepEnvironmentOptions;
  readonly #added = new Map<string, string>();
  #paths: string[] = [];

  constructor(options: StepEnvironmentOptions) {
    this.#options = options;
  }

  /** What a step wrote to GITHUB_ENV. @returns the names that it may not set, which are left out. */
  add(variables: ReadonlyMap<string, string>): string[] {
    const refused: string[] = [];
    for (const [name, value] of variables) {
      if (isReserved(name)) refused.push(name);
      else this.#added.set(name, value);
    }
    return refused;
  }

  /** What a step wrote to GITHUB_PATH; the first comes first. */
  addPaths(paths: readonly string[]): void {
    this.#paths = [...new Set([...paths, ...this.#paths])];
  }

  /** The `env` context of a step. */
  context(step: Variables = {}): Record<string, string> {
    return { ...this.#options.job, ...Object.fromEntries(this.#added), ...step };
  }

  /**
   * What is set for a step beside what it inherits.
   * @param own default variables of this step: GITHUB_OUTPUT and its kin.
   */
  variables(step: Variables, own: Variables): Record<string, string> {
    const { inherited, given, defaults } = this.#options;
    const set: Record<string, string> = { ...given, ...this.context(step), ...defaults, ...own };
    if (this.#paths.length === 0) return set;
    const path = set["PATH"] ?? inherited["PATH"] ?? "";
    return { ...set, PATH: [...this.#paths, ...(path === "" ? [] : [path])].join(delimiter) };
  }
}

/** NODE_OPTIONS, because it would make every later Node run other code: GitHub refuses it for that. */
function isReserved(name: string): boolean {
  return /^(GITHUB|RUNNER)_|^NODE_OPTIONS$/i.test(name);
}

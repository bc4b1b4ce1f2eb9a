/**
 * Every property of GitHub's contexts, and the environment variable that has the same value: what each is here. The page
 * docs/workflow-syntax.md shows it. From GitHub's "Contexts reference" and "Variables reference".
 */
export interface ContextProperty {
  /** `github.actor`. */
  property: string;
  /** Default environment variable of the same value. */
  variable?: string;
  /** Where it is not what it is on GitHub, or not plain: what it is here. May be empty. */
  note: string;
}

/** @param note where it is other than on GitHub. */
function github(name: string, note = ""): ContextProperty {
  return { property: `github.${name}`, variable: `GITHUB_${name.toUpperCase()}`, note };
}
function runner(name: string, note = ""): ContextProperty {
  return { property: `runner.${name}`, variable: `RUNNER_${name.toUpperCase()}`, note };
}
function plain(property: string, note = ""): ContextProperty {
  return { property, note };
}

export const contextProperties: readonly ContextProperty[] = [
  github("action"),
  github("action_path", "In the steps of a composite action."),
  github("action_ref", "In `with` of a step that uses an action, in the defaults of its inputs, and in the steps of a composite action."),
  github("action_repository", "As `github.action_ref`."),
  plain("github.action_status", "In the steps of a composite action: `success`, `failure` or `cancelled`."),
  github(
    "actor",
    "Of a dispatch whoever asks, by git's `user.name`; `seatrial` of a schedule, and where nobody is named. Of `seatrial run` git's `user.name`.",
  ),
  github("actor_id", "Empty where no forge has named the actor; of `seatrial run` git's `user.email`."),
  github("api_url", "Empty for a repository on this disk."),
  github("base_ref"),
  github("env", "Also `github.output`, `github.path`, `github.state` and `github.step_summary`, each the step's own file."),
  github("output"),
  github("path"),
  github("state"),
  github("step_summary"),
  plain(
    "github.event",
    "As the forge sent it; of a dispatch, a schedule and `seatrial run` what GitHub's has that workflows usually ask for.",
  ),
  github("event_name"),
  github("event_path"),
  github("graphql_url", "Empty: no forge that Seatrial knows has GraphQL."),
  github("head_ref"),
  github("job", "In steps alone, as on GitHub."),
  github("ref"),
  github("ref_name"),
  github("ref_protected", "Always `false`: no forge is asked."),
  github("ref_type"),
  github("repository"),
  github("repository_id", "The forge's own id."),
  github("repository_owner"),
  github("repository_owner_id", "Where the forge's payload has it; else empty."),
  plain("github.repositoryUrl", "Empty for a repository on this disk."),
  github("retention_days", "Days that logs are kept, by the configuration. The shorter time of a Repository is not looked at."),
  github("run_attempt"),
  github("run_id", "Name of the Run; no number."),
  github("run_number"),
  plain("github.secret_source", "`Actions`, or `None` in the untrusted lane."),
  github("server_url", "Empty for a repository on this disk."),
  github("sha"),
  plain("github.token", "In steps alone. It reads the repository's commits, and nothing else."),
  github("triggering_actor", "As `github.actor`, of a rerun too."),
  github("workflow"),
  github("workflow_ref"),
  github("workflow_sha"),
  github("workspace"),
  plain("env.<name>"),
  plain("vars.<name>", "Of the Repository (`spec.vars`), not for runs of forks; of `seatrial run --vars-file`."),
  plain("job.check_run_id", "Absent: not each forge has check runs."),
  plain("job.container.id"),
  plain("job.container.network", "Where the job has services."),
  plain("job.services.<service_id>.id"),
  plain("job.services.<service_id>.network"),
  plain("job.services.<service_id>.ports"),
  plain("job.status"),
  plain("job.workflow_file_path", "Of a called workflow its own, as the three others."),
  plain("job.workflow_ref"),
  plain("job.workflow_repository"),
  plain("job.workflow_sha", "Empty for a workflow of another repository that is called by a tag or a branch."),
  plain("jobs.<job_id>.result", "In outputs of a called workflow."),
  plain("jobs.<job_id>.outputs"),
  plain("steps.<step_id>.outputs"),
  plain("steps.<step_id>.outcome"),
  plain("steps.<step_id>.conclusion"),
  runner("arch"),
  runner("debug", "`1` where a secret or a variable `ACTIONS_STEP_DEBUG` is `true`; else absent."),
  runner("environment", "Always `self-hosted`."),
  runner("name", "Always `seatrial`."),
  runner("os"),
  runner("temp"),
  runner("tool_cache"),
  runner("workspace", "The folder that the workspace is in, as old workflows ask for it."),
  plain("secrets.GITHUB_TOKEN", "As `github.token`."),
  plain("secrets.<name>", "None in the untrusted lane."),
  plain("strategy.fail-fast"),
  plain("strategy.job-index"),
  plain("strategy.job-total"),
  plain("strategy.max-parallel"),
  plain("matrix.<name>"),
  plain("needs.<job_id>.result"),
  plain("needs.<job_id>.outputs"),
  plain("inputs.<name>"),
];

/**
 * The `github` context of a run, as GitHub documents it, made from the Run and the event that caused it, and what `job` has of its
 * workflow. What only a job or its runner knows (`job`, `workspace`, `action`) is added there.
 */
import type { ForgeUrls } from "../../forges/forge.ts";
import type { Json } from "../../workflows/expressions/expressions.ts";
import type { Run } from "../../resources/run.ts";
import { isCommitId } from "../../workflows/actions/uses.ts";

/** Who does what nobody in particular does: a schedule's runs. GitHub names whoever last changed the schedule, which no forge tells. */
export const nobody = "seatrial";

/** What of it the server knows. */
export interface Surroundings {
  /** Of the forge; undefined where it has none. */
  urls: ForgeUrls | undefined;
  /** How long logs are kept. */
  retentionDays: number;
}

/** What of a Run `github` is made of. */
interface ContextOfRun {
  metadata: { name: string };
  spec: Pick<Run["spec"], "source" | "number" | "attempt"> & { workflow: Pick<Run["spec"]["workflow"], "name" | "path"> };
}

/** @param event the payload, as the forge sent it. */
export function githubContext(run: ContextOfRun, event: Json, { urls, retentionDays }: Surroundings): Record<string, Json> {
  const { source, workflow, number, attempt } = run.spec;
  const [head] = source.heads ?? [];
  const isTag = source.ref.startsWith("refs/tags/");
  const actor = source.sender ?? { id: "", login: nobody };
  const refName = source.ref.replace(/^refs\/(heads|tags|pull)\//, "");
  return {
    event_name: source.event,
    event,
    ref: source.ref,
    ref_name: refName,
    ref_type: isTag ? "tag" : "branch",
    ref_protected: false,
    sha: source.commit,
    head_ref: head?.ref ?? "",
    base_ref: head ? source.base.ref : "",
    repository: source.repository.name,
    repository_id: source.repository.id,
    repositoryUrl: urls ? `${urls.server.replace(/^https?:/, "git:")}/${source.repository.name}.git` : "",
    repository_owner: source.repository.name.split("/")[0] ?? "",
    repository_owner_id: ownerIdIn(event),
    actor: actor.login,
    actor_id: actor.id,
    triggering_actor: actor.login,
    workflow: workflow.name,
    workflow_ref: `${source.repository.name}/${workflow.path}@${source.ref}`,
    workflow_sha: source.commit,
    run_id: run.metadata.name,
    run_number: String(number ?? 1),
    run_attempt: String(attempt ?? 1),
    // In GitHub's words, also where the secrets are ours.
    secret_source: source.lane === "trusted" ? "Actions" : "None",
    server_url: urls?.server ?? "",
    api_url: urls?.api ?? "",
    // Set, and empty: no forge that Seatrial knows has one, and clients would ask GitHub's if it were not there.
    graphql_url: "",
    retention_days: String(retentionDays),
  };
}

/**
 * What the `job` context has of the workflow file that a job is in.
 * @param called path of a called workflow, with the repository before it and `@REF` behind where that is another's; undefined: the run's own.
 */
export function workflowOfJob({ spec: { source, workflow } }: ContextOfRun, called?: string): Record<string, Json> {
  const [, repository, path, ref] = /^([^/]+\/[^/]+)\/(.+)@([^@]+)$/.exec(called ?? "") ?? [];
  const here = `${source.repository.name}/${called ?? workflow.path}@${source.ref}`;
  const shaOfRef = ref !== undefined && isCommitId(ref) ? ref : "";
  return {
    workflow_ref: ref === undefined ? here : called!,
    workflow_sha: ref === undefined ? source.commit : shaOfRef,
    workflow_repository: repository ?? source.repository.name,
    workflow_file_path: path ?? called ?? workflow.path,
  };
}

/** As the forge's payload has it; empty where it does not. */
function ownerIdIn(event: Json): string {
  const id = (event as { repository?: { owner?: { id?: unknown } } } | null)?.repository?.owner?.id;
  return typeof id === "string" || typeof id === "number" ? String(id) : "";
}

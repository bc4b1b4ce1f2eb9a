/**
 * The `github` context of a run, as GitHub documents it, made from the Run and the event that caused it. What only a job or its
 * runner knows (`job`, `workspace`, `action`) is added there.
 */
import type { ForgeUrls } from "../../forges/forge.ts";
import type { Json } from "../../workflows/expressions/expressions.ts";
import type { Run } from "../../resources/run.ts";
import type { Stored } from "../../resources/object.ts";

/** @param event the payload, as the forge sent it. @param urls of the forge; undefined where it has none. */
export function githubContext(run: Stored<Run>, event: Json, urls: ForgeUrls | undefined): Record<string, Json> {
  const { source, workflow, number, attempt } = run.spec;
  const [head] = source.heads ?? [];
  const isTag = source.ref.startsWith("refs/tags/");
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
    actor: source.sender?.login ?? "",
    actor_id: source.sender?.id ?? "",
    triggering_actor: source.sender?.login ?? "",
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
  };
}

/** As the forge's payload has it; empty where it does not. */
function ownerIdIn(event: Json): string {
  const id = (event as { repository?: { owner?: { id?: unknown } } } | null)?.repository?.owner?.id;
  return typeof id === "string" || typeof id === "number" ? String(id) : "";
}

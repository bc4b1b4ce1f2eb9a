/** Puts our CustomResourceDefinitions into an API server, or brings them up to date. */
import { messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import { crdOf } from "../resources/crd.ts";
import { apiVersion } from "../resources/metadata.ts";
import type { ResourceKind } from "../resources/object.ts";
import type { KubeClient } from "./client.ts";
import { defaultNamespace } from "./store.ts";

/** What is asked of a CustomResourceDefinition's status. */
interface Conditions {
  status?: { conditions?: { type: string; status: string; message?: string }[] };
}

/**
 * Applies the definitions and the namespace, and waits until every kind is served. What is there already and the same is left
 * alone, so that any number of servers may do it at once.
 * @throws SeatrialError `timeout` that says what is missing; ApiError `invalid` when the API server does not take a definition.
 */
export async function installCrds(
  client: KubeClient,
  kinds: readonly ResourceKind[],
  options: { namespace?: string; signal?: AbortSignal } = {},
): Promise<void> {
  const { namespace = defaultNamespace, signal } = options;
  const crds = kinds.map((kind) => ({ kind, crd: crdOf(kind) }));
  await Promise.all([
    client.apply(`/api/v1/namespaces/${namespace}`, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } }, signal),
    ...crds.map(async ({ crd }) => await client.apply(pathOf(crd.metadata.name), crd, signal)),
  ]);
  await Promise.all(crds.map(async ({ kind, crd }) => await untilServed(client, kind, crd.metadata.name, namespace, signal)));
}

async function untilServed(
  client: KubeClient,
  kind: ResourceKind,
  name: string,
  namespace: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  let missing = "nothing yet";
  const look = async () => {
    const conditions = (await client.get<Conditions>(pathOf(name), signal))?.status?.conditions ?? [];
    const established = conditions.find(({ type }) => type === "Established");
    missing = `not Established: ${conditions.find(({ status }) => status === "False")?.message ?? "no condition yet"}`;
    if (established?.status !== "True") return undefined;
    // Established is said a moment before it is true.
    return await client.text(`/apis/${apiVersion}/namespaces/${namespace}/${kind.plural}?limit=1`, signal).then(
      () => true,
      (error: unknown) => {
        signal?.throwIfAborted();
        missing = messageOf(error);
        return undefined;
      },
    );
  };
  await waitFor(
    `the API server to serve ${kind.plural}`,
    look,
    { timeoutMs: limits.crdServedMs, pollMs: limits.readyPollMs, signal },
    () => missing,
  );
}

function pathOf(name: string): string {
  return `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`;
}

/**
 * Whose the resources of a control plane are.
 *
 * The history of an installation is on its own disk. A second one over the same resources would know nothing of what the first
 * runs, and run it again: so the first writes its id beside them, and others are refused.
 */
import { SeatrialError } from "../base/errors.ts";
import { reasonOf } from "../kube/api-error.ts";
import type { KubeClient } from "../kube/client.ts";

const name = "seatrial-installation";

interface InstallationMark {
  data?: { instance?: string };
}

/** Takes the namespace for this installation, unless it has it. @throws SeatrialError `conflict` when another has it. */
export async function claimNamespace(client: KubeClient, namespace: string, instance: string, signal: AbortSignal): Promise<void> {
  const all = `/api/v1/namespaces/${namespace}/configmaps`;
  const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { instance } };
  await client.send("POST", all, { body, signal }).catch((error: unknown) => {
    if (reasonOf(error) !== "already-exists") throw error;
  });
  const holder = (await client.get<InstallationMark>(`${all}/${name}`, signal))?.data?.instance;
  if (holder === instance) return;
  throw new SeatrialError(
    "conflict",
    `the resources in namespace ${namespace} of ${client.config.server} are those of installation ${holder}, whose history is elsewhere`,
    { hint: `if that installation is gone: kubectl delete configmap ${name} --namespace ${namespace}` },
  );
}

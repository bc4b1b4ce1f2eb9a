/**
 * Nodes and pods that kwok plays: what its stages are, and the nodes that it is given to play.
 *
 * kwok does nothing without stages. Ours are the least that tests of schedulers, controllers and quotas need: a node is
 * Ready and keeps its lease, a pod that is bound runs, a pod of a Job completes, a deleted pod goes.
 */
import { readFile } from "node:fs/promises";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import { KubeClient, parseKubeconfig } from "../kube/client.ts";

const now = "{{ Now }}";

const stage = (name: string, kind: string, expressions: object[], next: object) => ({
  apiVersion: "kwok.x-k8s.io/v1alpha1",
  kind: "Stage",
  metadata: { name },
  spec: { resourceRef: { apiGroup: "v1", kind }, selector: { matchExpressions: expressions }, next },
});

const nodeStatus = `
conditions:
- {type: Ready, status: "True", reason: KubeletReady, message: played by kwok, lastHeartbeatTime: ${now}, lastTransitionTime: ${now}}
addresses:
- {type: InternalIP, address: {{ NodeIP }}}
- {type: Hostname, address: {{ .metadata.name }}}
allocatable: {cpu: "32", memory: 256Gi, pods: "110"}
capacity: {cpu: "32", memory: 256Gi, pods: "110"}
phase: Running
`;

const podStatus = (phase: string, ready: boolean, state: string) => `
phase: ${phase}
hostIP: {{ NodeIPWith .spec.nodeName }}
podIP: {{ PodIPWith .spec.nodeName ( or .spec.hostNetwork false ) ( or .metadata.uid "" ) ( or .metadata.name "" ) ( or .metadata.namespace "" ) }}
startTime: ${now}
conditions:
- {type: Initialized, status: "True", lastTransitionTime: ${now}}
- {type: Ready, status: "${ready ? "True" : "False"}", lastTransitionTime: ${now}}
- {type: ContainersReady, status: "${ready ? "True" : "False"}", lastTransitionTime: ${now}}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name }}
  image: {{ .image }}
  imageID: ""
  ready: ${ready}
  restartCount: 0
  started: ${ready}
  state: ${state}
{{ end }}
`;

const isBound = { key: ".spec.nodeName", operator: "Exists" };
const lives = { key: ".metadata.deletionTimestamp", operator: "DoesNotExist" };
const ofJob = (operator: "In" | "NotIn") => ({ key: ".metadata.ownerReferences.[].kind", operator, values: ["Job"] });

const stages = [
  stage(
    "node-ready",
    "Node",
    [{ key: '.status.conditions.[] | select( .type == "Ready" ) | .status', operator: "NotIn", values: ["True"] }],
    { statusTemplate: nodeStatus },
  ),
  stage("pod-run", "Pod", [lives, isBound, { key: ".status.podIP", operator: "DoesNotExist" }], {
    statusTemplate: podStatus("Running", true, `{running: {startedAt: ${now}}}`),
  }),
  stage("pod-complete", "Pod", [lives, { key: ".status.phase", operator: "In", values: ["Running"] }, ofJob("In")], {
    statusTemplate: podStatus("Succeeded", false, `{terminated: {exitCode: 0, reason: Completed, startedAt: ${now}, finishedAt: ${now}}}`),
  }),
  stage("pod-delete", "Pod", [{ key: ".metadata.deletionTimestamp", operator: "Exists" }, isBound], {
    finalizers: { empty: true },
    delete: true,
  }),
];

/** kwok's configuration, as its `--config` reads it: one document for each stage. JSON is YAML. */
export function kwokConfig(): string {
  return stages.map((each) => JSON.stringify(each)).join("\n---\n");
}

/** Declares the nodes that kwok plays. Those that are there stay. */
export async function addKwokNodes(kubeconfig: string, count: number, signal?: AbortSignal): Promise<void> {
  await using client = new KubeClient(parseKubeconfig(await readFile(kubeconfig, "utf8"), kubeconfig));
  await waitFor(
    "the API to take nodes",
    async () =>
      await client.text("/readyz", signal).then(
        () => true,
        () => undefined,
      ),
    {
      timeoutMs: limits.clusterReadyMs,
      pollMs: limits.readyPollMs,
      signal,
    },
  );
  for (let i = 0; i < count; i++) {
    const name = `kwok-${i}`;
    await client.apply(
      `/api/v1/nodes/${name}`,
      {
        apiVersion: "v1",
        kind: "Node",
        metadata: {
          name,
          annotations: { "node.alpha.kubernetes.io/ttl": "0", "kwok.x-k8s.io/node": "fake" },
          labels: { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", type: "kwok" },
        },
      },
      signal,
    );
  }
}

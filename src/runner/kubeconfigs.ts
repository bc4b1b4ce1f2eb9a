/**
 * The kubeconfigs of a job's clusters, as files: one for each, and one with a context for each, of which the first is current.
 * They come as JSON, which is YAML: so the runner needs no YAML to merge them.
 */
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SeatrialError } from "../base/errors.ts";
import { makeFolder } from "../base/folder.ts";
import type { AssignmentMessage } from "./protocol.ts";

type JobCluster = AssignmentMessage["clusters"][number];

/** The parts of a kubeconfig that are read; https://kubernetes.io/docs/reference/config-api/kubeconfig.v1 */
interface Kubeconfig {
  "current-context": string;
  contexts: { name: string; context: { cluster: string; user: string } }[];
  clusters: { name: string; cluster: object }[];
  users: { name: string; user: object }[];
}

/**
 * Writes them into a folder that only this user can read.
 * @returns the variables of the job: KUBECONFIG, KUBECONFIG_NAME, and of the first cluster REGISTRY and REGISTRY_IN_CLUSTER; of each of
 *   several REGISTRY_NAME and REGISTRY_IN_CLUSTER_NAME.
 */
export function writeKubeconfigs(clusters: readonly JobCluster[], directory: string): Record<string, string> {
  const [first] = clusters;
  if (!first) return {};
  makeFolder(directory);
  chmodSync(directory, 0o700);
  const write = (name: string, text: string) => {
    const path = join(directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const each = clusters.map(({ name, kubeconfig }) => [`KUBECONFIG_${variablePart(name)}`, write(`${name}.kubeconfig`, kubeconfig)]);
  const registries = clusters.flatMap(({ name, registry, registryInCluster }) => [
    ...(registry === undefined ? [] : [[`REGISTRY_${variablePart(name)}`, registry]]),
    ...(registryInCluster === undefined ? [] : [[`REGISTRY_IN_CLUSTER_${variablePart(name)}`, registryInCluster]]),
  ]);
  return {
    ...Object.fromEntries([...each, ...(clusters.length > 1 ? registries : [])]),
    KUBECONFIG: write("kubeconfig", JSON.stringify(mergeKubeconfigs(clusters))),
    ...(first.registry === undefined ? {} : { REGISTRY: first.registry }),
    ...(first.registryInCluster === undefined ? {} : { REGISTRY_IN_CLUSTER: first.registryInCluster }),
  };
}

/** One kubeconfig with a context for each cluster, by the name of the cluster. @throws SeatrialError `invalid` for one that has no current context. */
export function mergeKubeconfigs(clusters: readonly JobCluster[]): Kubeconfig & { apiVersion: string; kind: string } {
  const parts = clusters.map(({ name, kubeconfig }) => {
    const read = JSON.parse(kubeconfig) as Kubeconfig;
    const context = read.contexts.find((each) => each.name === read["current-context"])?.context;
    const cluster = read.clusters.find((each) => each.name === context?.cluster)?.cluster;
    const user = read.users.find((each) => each.name === context?.user)?.user;
    if (!context || !cluster || !user) throw new SeatrialError("invalid", `the kubeconfig of cluster ${name} has no current context`);
    return { context: { name, context: { ...context, cluster: name, user: name } }, cluster: { name, cluster }, user: { name, user } };
  });
  return {
    apiVersion: "v1",
    kind: "Config",
    "current-context": clusters[0]?.name ?? "",
    contexts: parts.map(({ context }) => context),
    clusters: parts.map(({ cluster }) => cluster),
    users: parts.map(({ user }) => user),
  };
}

function variablePart(name: string): string {
  return name.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_");
}

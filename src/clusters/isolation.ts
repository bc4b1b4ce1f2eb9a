/**
 * What a change that is not trusted may ask of a cluster. The rest names files, images, programs or passwords of this machine, or
 * reaches into it: a list of what is allowed, since what providers can do grows.
 */
import { defaultKubernetesVersion } from "../programs/versions.ts";
import type { Cluster } from "../resources/cluster.ts";

const allowed = new Set(["provider", "kubernetesVersion", "nodes", "clusterDomain", "podSubnet", "bare"]);
/** On bare they would be addresses of the server's own network. */
const allowedOfKind = new Set(["serviceSubnet"]);
const allowedOfBare = new Set(["components"]);
const mostNodes = 5;

/** Why it may not have such a cluster, as a sentence; undefined when it may. */
export function whyNotIsolated(spec: Cluster["spec"]): string | undefined {
  const set = (value: object) => Object.entries(value).flatMap(([key, each]) => (each === undefined ? [] : [key]));
  const refused = [
    ...set(spec).filter((key) => !allowed.has(key) && !(spec.provider === "kind" && allowedOfKind.has(key))),
    ...set(spec.bare ?? {}).flatMap((key) => (allowedOfBare.has(key) ? [] : [`bare.${key}`])),
  ];
  if (refused.length > 0) return `a change that is not trusted may not set ${refused.join(", ")}`;
  if ((spec.nodes ?? 1) > mostNodes) return `a change that is not trusted may have ${mostNodes} nodes, and asks for ${spec.nodes}`;
  // A program of another version would be fetched or built here, and an old API server has holes that are known.
  const version = spec.kubernetesVersion;
  if (spec.provider === "bare" && version !== undefined && version !== defaultKubernetesVersion && !isMinorOf(version))
    return `a change that is not trusted gets Kubernetes ${defaultKubernetesVersion} on bare, and asks for ${version}`;
  return undefined;
}

function isMinorOf(version: string): boolean {
  return defaultKubernetesVersion.startsWith(`${version}.`);
}

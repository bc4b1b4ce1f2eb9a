/** `cluster` and `clusters` of a job: the spec of a Cluster resource, checked by the same rules. */
import type { Problem } from "../base/errors.ts";
import { checkCluster, type ClusterSpec, clusterSpecSchema } from "../resources/cluster.ts";
import { type Finding, formatPath, type Path } from "../resources/finding.ts";
import { apiVersion } from "../resources/metadata.ts";
import { findingsOf } from "../resources/schema.ts";
import { holdsExpression, type Json } from "./expressions.ts";
import { type Node, placeAt } from "./tree.ts";

/**
 * @param node where it is in the file; @param value what it is, with as many of its expressions evaluated as can be: what
 *   still is one is not judged.
 * @returns the spec, when nothing is wrong and nothing is left to evaluate; and all problems.
 */
export function readClusterSpec(node: Node, value: Json, path: Path): { spec?: ClusterSpec; problems: Problem[] } {
  const parsed = clusterSpecSchema.safeParse(value);
  const found = parsed.success ? rulesBroken(parsed.data) : findingsOf(parsed.error, clusterSpecSchema, value);
  const isOpen = holdsExpressionAt(value, []);
  const judged = found.filter((finding) => !isOpen || !holdsExpressionAt(value, finding.path));
  const problems = judged.map(({ path: below, message, at }): Problem => ({
    place: placeAt(node, below, at),
    path: formatPath([...path, ...below]),
    message,
  }));
  return parsed.success && problems.length === 0 && !isOpen ? { spec: parsed.data, problems } : { problems };
}

/** The rules between fields; the cluster's name is made by us, so nothing can be wrong with it. */
function rulesBroken(spec: ClusterSpec): Finding[] {
  const cluster = { apiVersion, kind: "Cluster", metadata: { name: "job" }, spec } as const;
  return checkCluster(cluster).map((finding) => ({ ...finding, path: finding.path.slice(1) }));
}

/** Whether what a path names, or something in it, is an expression that is not evaluated yet. */
function holdsExpressionAt(value: Json | undefined, path: Path): boolean {
  const at = path.reduce<Json | undefined>((one, key) => {
    return one !== null && typeof one === "object" ? (one as Readonly<Record<string, Json>>)[key] : one;
  }, value);
  if (typeof at === "string") return holdsExpression(at);
  return at !== null && typeof at === "object" && Object.values(at).some((one: Json) => holdsExpressionAt(one, []));
}

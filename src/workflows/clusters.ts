/** `cluster` and `clusters` of a job: the spec of a Cluster resource, checked by the same rules. */
import type { Problem } from "../base/errors.ts";
import { checkCluster, type ClusterSpec, clusterSpecSchema } from "../resources/cluster.ts";
import { type Finding, formatPath, type Path } from "../resources/finding.ts";
import { apiVersion } from "../resources/metadata.ts";
import { findingsOf } from "../resources/schema.ts";
import { holdsExpression, type Json } from "./expressions/expressions.ts";
import { type Node, placeAt } from "./read/tree.ts";

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

/**
 * The version that an input of an action asks for, in the words of `kubernetesVersion`: kindest/node:v1.36.3@sha256:… says v1.36.3, and so
 * does 1.36.3. @returns undefined when it asks for none, as `stable` does.
 */
export function askedVersion(input: string): string | undefined {
  const [, version = input.trim()] = /^(?:(?:docker\.io\/)?kindest\/node:)?([^@]+)(?:@sha256:[0-9a-f]{64})?$/.exec(input.trim()) ?? [];
  if (["", "stable", "latest"].includes(version)) return undefined;
  return /^\d/.test(version) ? `v${version}` : version;
}

/** A cluster that a step asked for, with its expressions evaluated: only then what they say of its version can be known. */
export function withAskedVersion(value: Json): Json {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  const { kubernetesVersion, ...others } = value as Readonly<Record<string, Json>>;
  const isPlain = typeof kubernetesVersion === "string" || typeof kubernetesVersion === "number";
  if (!isPlain) return value;
  const version = askedVersion(String(kubernetesVersion));
  return version === undefined ? others : { ...others, kubernetesVersion: version };
}

/** The /16 of pods and services of one cluster: those of kind's own first, then the next that nobody has. */
const ranges = [
  { field: "podSubnet", second: 244, last: 255 },
  { field: "serviceSubnet", second: 96, last: 127 },
] as const;

/**
 * Several clusters on kind in one job share a network: each gets addresses for pods and services that no other of them has, unless
 * it says which. Pure, and the same at each call, as the order of the file is.
 */
export function withOwnSubnets<C extends { name: string; spec: ClusterSpec }>(clusters: readonly C[]): C[] {
  if (clusters.filter(({ spec }) => spec.provider === "kind").length < 2) return [...clusters];
  return ranges.reduce<C[]>(
    (all, { field, second, last }) => {
      const saidOf = ({ spec }: C) => spec[field] ?? spec.kind?.config?.networking?.[field];
      const isOpen = (each: C) => each.spec.provider === "kind" && saidOf(each) === undefined && hasIpv4Alone(each.spec);
      const taken = all.flatMap((each) => saidOf(each)?.split(",") ?? []);
      let next = second;
      return all.map((each) => {
        if (!isOpen(each)) return each;
        while (next < last && taken.some((subnet) => overlaps(subnet, next))) next++;
        return { ...each, spec: { ...each.spec, [field]: `10.${Math.min(next++, last)}.0.0/16` } };
      });
    },
    [...clusters],
  );
}

function hasIpv4Alone({ kind }: ClusterSpec): boolean {
  return (kind?.config?.networking?.ipFamily ?? "ipv4") === "ipv4";
}

/** Whether a CIDR and `10.second.0.0/16` have an address in common. */
function overlaps(cidr: string, second: number): boolean {
  const found = /^(\d+)\.(\d+)\.\d+\.\d+\/(\d+)$/.exec(cidr)?.slice(1).map(Number);
  if (!found) return false; // IPv6.
  const [first = 0, own = 0, prefix = 0] = found;
  const shift = 16 - Math.min(prefix, 16);
  return (first * 256 + own) >> shift === (10 * 256 + second) >> shift;
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

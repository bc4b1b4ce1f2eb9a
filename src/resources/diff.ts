/**
 * What of a cluster differs from what a document asks for, and whether a new cluster is needed for it. Pure; asked
 * before anything is touched, and printed before anything is destroyed.
 *
 * What counts, field by field:
 * - `provider`, `nodes`, `clusterDomain`, `podSubnet`, `serviceSubnet`, `featureGates`, `bare`: an absent field means its
 *   default, so that taking one out of the document is a difference; all need a new cluster.
 * - `kubernetesVersion`, `kind.config`, `registry`: as ctlptl has it, an absent one asks for nothing. A version is
 *   compared with the one that runs; when that is not known, nothing is concluded: not knowing is no reason to destroy.
 * - `registryAuths`: an absent one asks for nothing, others are put into the running nodes, which read them at each pull.
 * - `kind.extraCreateArguments`, `minCPUs`: no difference. They count at creation alone, and nothing remembers them.
 */
import { type Cluster, type ClusterSpec, isVersionMet } from "./cluster.ts";
import { formatPath, type Path } from "./finding.ts";
import { type KindConfig, kindDefaults } from "./kind-config.ts";

export interface Difference {
  path: string;
  /** What is; undefined: nothing. */
  from: unknown;
  /** What is asked for; undefined: nothing. */
  to: unknown;
  change: "in-place" | "recreate";
}

export function diffCluster(current: Cluster, desired: Cluster): Difference[] {
  const differences: Difference[] = [];
  const report = (change: Difference["change"], path: Path, from: unknown, to: unknown) =>
    differences.push({ path: formatPath(path), from, to, change });
  const compare = (path: Path, from: unknown, to: unknown) => {
    for (const leaf of leavesThatDiffer(from, to)) report("recreate", [...path, ...leaf.path], leaf.from, leaf.to);
  };
  const [was, asked] = [current.spec, desired.spec];

  if (was.provider !== asked.provider) {
    // Nothing else can be compared across providers, and one line says it all.
    report("recreate", ["spec", "provider"], was.provider, asked.provider);
    return differences;
  }
  const running = current.status?.kubernetesVersion ?? was.kubernetesVersion;
  if (asked.kubernetesVersion && running && running !== asked.kubernetesVersion && !isVersionMet(asked.kubernetesVersion, running)) {
    report("recreate", ["spec", "kubernetesVersion"], running, asked.kubernetesVersion);
  }
  for (const [field, portable] of Object.entries(portableFields)) {
    const key = field as keyof typeof portableFields;
    // Said in kind's own block alone: compared with that block, below.
    if (was[key] === undefined && asked[key] === undefined) continue;
    compare(["spec", field], portable(was), portable(asked));
  }
  if (asked.kind?.config) {
    compare(["spec", "kind", "config"], comparable(was.kind?.config), comparable(asked.kind.config));
  }
  const componentsOf = (spec: ClusterSpec) => spec.bare?.components?.toSorted() ?? [];
  const flagsOf = (spec: ClusterSpec) => spec.bare?.apiServerFlags ?? [];
  if (!isEqual(componentsOf(was), componentsOf(asked))) {
    report("recreate", ["spec", "bare", "components"], componentsOf(was), componentsOf(asked));
  }
  if (!isEqual(flagsOf(was), flagsOf(asked))) {
    report("recreate", ["spec", "bare", "apiServerFlags"], flagsOf(was), flagsOf(asked));
  }
  if (asked.registry && asked.registry !== was.registry) {
    report("recreate", ["spec", "registry"], was.registry, asked.registry);
  }
  if (asked.registryAuths && !isEqual(byHost(was), byHost(asked))) {
    report("in-place", ["spec", "registryAuths"], withoutSecrets(was), withoutSecrets(asked));
  }
  return differences;
}

/** What a field comes to, whether it is said portably, in kind's own block, or not at all. */
const portableFields = {
  nodes: (spec: ClusterSpec) => spec.nodes ?? (spec.kind?.config?.nodes?.length || 1),
  clusterDomain: (spec: ClusterSpec) => spec.clusterDomain ?? "cluster.local",
  podSubnet: (spec: ClusterSpec) => subnetOf(spec, "podSubnet"),
  serviceSubnet: (spec: ClusterSpec) => subnetOf(spec, "serviceSubnet"),
  featureGates: (spec: ClusterSpec) => ({ ...spec.kind?.config?.featureGates, ...spec.featureGates }),
};

function subnetOf(spec: ClusterSpec, field: keyof typeof kindDefaults): string | undefined {
  return spec[field] ?? spec.kind?.config?.networking?.[field] ?? (spec.provider === "kind" ? kindDefaults[field] : undefined);
}

/** kind's block without what does not shape the cluster: its name, and fields that are there but empty. */
function comparable(config: KindConfig | undefined): unknown {
  const { name: _name, apiVersion: _apiVersion, kind: _kind, ...rest } = config ?? {};
  return withoutEmpty(rest) ?? {};
}

/** Go, in which kind and ctlptl are written, cannot tell an empty field from an absent one, so neither do we. */
function withoutEmpty(value: unknown): unknown {
  // The items of a list keep their places.
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map((item) => withoutEmpty(item) ?? {});
  if (typeof value !== "object" || value === null) return value === "" || value === 0 || value === false ? undefined : value;
  const entries = Object.entries(value).map(([key, item]) => [key, withoutEmpty(item)] as const);
  const filled = entries.filter(([, item]) => item !== undefined);
  return filled.length === 0 ? undefined : Object.fromEntries(filled);
}

/** The smallest parts in which two values differ. */
function leavesThatDiffer(from: unknown, to: unknown, path: Path = []): { path: Path; from: unknown; to: unknown }[] {
  if (from === to) return [];
  if (!isContainer(from) || !isContainer(to) || Array.isArray(from) !== Array.isArray(to)) return [{ path, from, to }];
  const keys = new Set([...Object.keys(from), ...Object.keys(to)]);
  return [...keys].flatMap((key) => leavesThatDiffer(from[key], to[key], [...path, Array.isArray(from) ? Number(key) : key]));
}

function isEqual(from: unknown, to: unknown): boolean {
  return leavesThatDiffer(from, to).length === 0;
}

function isContainer(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function byHost({ registryAuths = [] }: ClusterSpec) {
  return registryAuths.toSorted((a, b) => (a.host < b.host ? -1 : 1));
}

function withoutSecrets({ registryAuths }: ClusterSpec) {
  return registryAuths?.map(({ host, endpoint }) => ({ host, endpoint: endpoint.replace(/\/\/[^/@]*@/, "//") }));
}

/** Lines for a person: `- spec.nodes: 1` is, `+ spec.nodes: 2` is asked for; no secret is among them. */
export function formatDiff(differences: Difference[]): string[] {
  return differences.flatMap(({ path, from, to }) => [
    ...(from === undefined ? [] : [`- ${path}: ${shown(from)}`]),
    ...(to === undefined ? [] : [`+ ${path}: ${shown(to)}`]),
    // Only what is not shown differs: a user or a password.
    ...(isEqual(from, to) ? ["  (its credentials differ)"] : []),
  ]);
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

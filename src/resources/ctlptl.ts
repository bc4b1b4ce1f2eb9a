/**
 * ctlptl's documents (`ctlptl.dev/v1alpha1`): an input format, converted to our resources at load, and an output format
 * for those who came with it.
 *
 * Two things differ in meaning. The name: ctlptl's is the kubeconfig context, `kind-foo`; ours is kind's own, `foo`. The
 * version: of ctlptl's `v1.34.2` only major and minor count; ours becomes `v1.34`, and an annotation keeps the rest.
 */
import { z } from "zod";
import {
  type Cluster,
  type ClusterStatus,
  clusterSpecSchema,
  clusterStatusSchema,
  contextNameOf,
  localRegistryHostingSchema,
} from "./cluster.ts";
import type { Finding, Path } from "./finding.ts";
import { kindConfigSchema } from "./kind-config.ts";
import { annotations, apiVersion, type Metadata, stringMap } from "./metadata.ts";
import { type Registry, type RegistryStatus, registryDefaults, registrySpecSchema, registryStatusSchema } from "./registry.ts";

export const ctlptlApiVersion = "ctlptl.dev/v1alpha1";

export const ctlptlProducts = ["docker-desktop", "kind", "k3d", "minikube"] as const;

const minikube = z.strictObject({
  containerRuntime: z.string().optional(),
  extraConfigs: z.array(z.string()).optional(),
  startFlags: z.array(z.string()).optional(),
});

// k3d's own documents. They are not looked into as long as we refuse the product that they belong to.
const k3d = z.strictObject({
  v1alpha5Simple: z.record(z.string(), z.unknown()).optional(),
  v1alpha4Simple: z.record(z.string(), z.unknown()).optional(),
});

export const ctlptlClusterSchema = z.strictObject({
  apiVersion: z.enum([ctlptlApiVersion]),
  kind: z.enum(["Cluster"]),
  name: z.string().optional(),
  product: z.enum(ctlptlProducts),
  registry: z.string().optional(),
  registryAuths: clusterSpecSchema.shape.registryAuths,
  kubernetesVersion: z
    .string()
    .regex(/^(v?\d+\.\d+(\.\d+\S*)?)?$/, "must be vX.Y.Z")
    .optional(),
  minCPUs: z.int().min(0).optional(),
  kindV1Alpha4Cluster: kindConfigSchema.optional(),
  kindExtraCreateArguments: z.array(z.string()).optional(),
  minikube: minikube.optional(),
  k3d: k3d.optional(),
  status: z
    .strictObject({
      creationTimestamp: clusterStatusSchema.shape.creationTimestamp,
      localRegistryHosting: localRegistryHostingSchema.optional(),
      cpus: z.int().optional(),
      current: z.boolean().optional(),
      kubernetesVersion: z.string().optional(),
      error: z.string().optional(),
    })
    .optional(),
});

export type CtlptlCluster = z.infer<typeof ctlptlClusterSchema>;

const { owner: _owner, notAfter: _notAfter, ...ctlptlRegistryStatus } = registryStatusSchema.shape;

export const ctlptlRegistrySchema = z.strictObject({
  apiVersion: z.enum([ctlptlApiVersion]),
  kind: z.enum(["Registry"]),
  name: z.string().optional(),
  ...registrySpecSchema.shape,
  // ctlptl prints the state as "State", for want of a tag in its source.
  status: z.strictObject({ ...ctlptlRegistryStatus, labels: stringMap.optional(), State: z.string().optional() }).optional(),
});

export type CtlptlRegistry = z.infer<typeof ctlptlRegistrySchema>;

/** What stands in the way of converting a document. Ours is not looked at before this is empty. */
export function checkCtlptlCluster(document: CtlptlCluster): Finding[] {
  if (document.product !== "kind") {
    return [{ path: ["product"], message: `${document.product} is not supported yet: kind is what works` }];
  }
  const found: Finding[] = [];
  const { name } = document;
  if (name && !name.startsWith("kind-")) {
    found.push({ path: ["name"], message: `must begin with kind-, as it is the name of the kubeconfig context: kind-${name}` });
  }
  for (const block of ["minikube", "k3d"] as const) {
    if (document[block]) found.push({ path: [block], message: `is for product ${block} alone, and the product is kind` });
  }
  return found;
}

/** Converts a document with which {@link checkCtlptlCluster} found nothing. */
export function clusterFromCtlptl(document: CtlptlCluster): Cluster {
  const { kindV1Alpha4Cluster: config, kindExtraCreateArguments: extraCreateArguments, kubernetesVersion: asked, status } = document;
  const metadata: Metadata = {
    // As ctlptl: its own field first, then the name inside kind's block, then kind's default.
    name: document.name ? clusterNameFromContext(document.name) : config?.name || "kind",
    annotations: {
      [annotations.source]: ctlptlApiVersion,
      ...(asked ? { [annotations.ctlptlKubernetesVersion]: asked } : {}),
    },
  };
  return {
    apiVersion,
    kind: "Cluster",
    metadata,
    spec: present({
      provider: "kind" as const,
      kubernetesVersion: asked ? majorMinor(asked) : undefined,
      registry: document.registry || undefined,
      registryAuths: document.registryAuths,
      minCPUs: document.minCPUs,
      kind: config || extraCreateArguments ? present({ config: config && withoutName(config), extraCreateArguments }) : undefined,
    }),
    ...(status ? { status: present(status) } : {}),
  };
}

export function registryFromCtlptl(document: CtlptlRegistry): Registry {
  const { apiVersion: _apiVersion, kind: _kind, name, status, ...spec } = document;
  return {
    apiVersion,
    kind: "Registry",
    metadata: { name: name || registryDefaults.name, annotations: { [annotations.source]: ctlptlApiVersion } },
    spec: present(spec),
    ...(status ? { status: registryStatusFrom(status) } : {}),
  };
}

function registryStatusFrom({ State, ...status }: NonNullable<CtlptlRegistry["status"]>): RegistryStatus {
  return present({ ...status, state: status.state ?? State });
}

/** Where a field of the converted resource was in ctlptl's document. */
export function ctlptlPath(path: Path): Path {
  const [top, field, ...rest] = path;
  if (top === "metadata") return field === "name" ? ["name"] : [];
  if (top !== "spec" || field === undefined) return path;
  if (field === "provider") return ["product"];
  if (field !== "kind") return [field, ...rest];
  const [inKind, ...deeper] = rest;
  if (inKind === "config") return ["kindV1Alpha4Cluster", ...deeper];
  return inKind === "extraCreateArguments" ? ["kindExtraCreateArguments", ...deeper] : [];
}

/** A resource as `ctlptl get -o yaml` would show it: flat fields in ctlptl's order, then the status, empty or not. */
export function toCtlptl(resource: Cluster | Registry): Record<string, unknown> {
  return resource.kind === "Cluster" ? clusterToCtlptl(resource) : registryToCtlptl(resource);
}

function clusterToCtlptl(cluster: Cluster): Record<string, unknown> {
  const { metadata, spec } = cluster;
  const status: ClusterStatus = cluster.status ?? {};
  const config = spec.kind?.config;
  return present({
    kind: "Cluster",
    apiVersion: ctlptlApiVersion,
    name: contextNameOf(cluster),
    product: spec.provider,
    minCPUs: spec.minCPUs || undefined,
    registry: spec.registry,
    registryAuths: filled(spec.registryAuths),
    kubernetesVersion: ctlptlVersion(spec.kubernetesVersion, metadata.annotations?.[annotations.ctlptlKubernetesVersion]),
    kindV1Alpha4Cluster: config && { ...config, name: metadata.name, networking: config.networking ?? {} },
    kindExtraCreateArguments: filled(spec.kind?.extraCreateArguments),
    status: present({
      creationTimestamp: status.creationTimestamp ?? null,
      localRegistryHosting: status.localRegistryHosting,
      cpus: status.cpus || undefined,
      current: status.current || undefined,
      kubernetesVersion: status.kubernetesVersion || undefined,
      error: status.error || undefined,
    }),
  });
}

function registryToCtlptl({ metadata, spec, status = {} }: Registry): Record<string, unknown> {
  return present({
    kind: "Registry",
    apiVersion: ctlptlApiVersion,
    name: metadata.name,
    listenAddress: spec.listenAddress,
    port: spec.port || undefined,
    labels: spec.labels,
    env: filled(spec.env),
    image: spec.image,
    status: present({
      creationTimestamp: status.creationTimestamp ?? null,
      ipAddress: status.ipAddress || undefined,
      listenAddress: status.listenAddress || undefined,
      hostPort: status.hostPort || undefined,
      containerPort: status.containerPort || undefined,
      networks: filled(status.networks),
      containerId: status.containerId || undefined,
      State: status.state ?? "",
      labels: status.labels,
      env: filled(status.env),
      image: status.image || undefined,
      warnings: filled(status.warnings),
    }),
  });
}

/** Whether a resource was read from a document of ctlptl's: it is shown as one. */
export function isFromCtlptl(resource: { metadata: Metadata }): boolean {
  return resource.metadata.annotations?.[annotations.source] === ctlptlApiVersion;
}

/**
 * Our name of a kind cluster, from what a person calls it: the context `kind-foo`, or the name `foo` itself.
 * `kind` is the default cluster, as in `ctlptl delete cluster kind`, whose context is `kind-kind`.
 *
 * A cluster of ours may be named `kind-foo`, so the command `seatrial` looks for the exact name first; `ctlptl` does not.
 */
export function clusterNameFromContext(name: string): string {
  return name.startsWith("kind-") && name !== "kind-" ? name.slice("kind-".length) : name;
}

function majorMinor(version: string): string {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version)!;
  return `v${major}.${minor}`;
}

/** The text that the document held, as long as the resource still asks for the same; ctlptl wants all three numbers. */
function ctlptlVersion(version: string | undefined, asked: string | undefined): string | undefined {
  if (version === undefined) return undefined;
  if (asked !== undefined && majorMinor(asked) === version) return asked;
  return /^v\d+\.\d+$/.test(version) ? `${version}.0` : version;
}

/** The name of kind's block follows ours; an empty `networking` is what ctlptl prints for none. */
function withoutName(config: NonNullable<CtlptlCluster["kindV1Alpha4Cluster"]>) {
  const { name: _name, networking, ...rest } = config;
  return networking && Object.keys(networking).length > 0 ? { ...rest, networking } : rest;
}

function filled<T>(list: T[] | undefined): T[] | undefined {
  return list && list.length > 0 ? list : undefined;
}

/** The object without the fields that are undefined. */
function present<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
}

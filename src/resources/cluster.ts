/**
 * Cluster: one Kubernetes cluster, declared. `spec` is what was asked for and is the same after any number of applies;
 * `status` is what was seen last. The reference in the docs is generated from the descriptions.
 *
 * An absent field means "the provider's default", not a value that we fill in: what a cluster was asked to be must be
 * told from what it turned out to be. There are no unions: a schema that is one object per alternative becomes a CRD.
 */
import { z } from "zod";
import type { Problem } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { type Finding, toProblem } from "./finding.ts";
import { kindConfigSchema } from "./kind-config.ts";
import { apiVersion, metadataSchema, subnet, timestamp } from "./metadata.ts";
import { registryContainerNameProblem } from "./registry.ts";

const registryAuth = z.strictObject({
  // It becomes the name of a folder in the nodes.
  host: z
    .string()
    .regex(
      /^(_default|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d{1,5})?)$/,
      "must be a host as in docker.io or localhost:5000, or _default",
    )
    .describe("Registry as images name it, or `_default` for all others. Example: `docker.io`."),
  endpoint: z
    .url({ protocol: /^https?$/, error: "must be a URL that begins with http:// or https://", abort: true })
    .regex(
      /^https?:\/\/[^/@"\\\s]*(\/[^"\\\s]*)?$/,
      "must not hold a user, a password, quotes or spaces: username and password are fields of their own",
    )
    .describe("Where it is really pulled from. Example: `https://registry-1.docker.io`."),
  username: z
    .string()
    .optional()
    .describe(
      "User. `$NAME` and `${NAME}` are read from the environment when the cluster is made, and stay as written here. Default: none.",
    ),
  password: z.string().optional().describe("Password or token, read like `username` and never printed. Example: `$TOKEN`. Default: none."),
});

const kindBlock = z.strictObject({
  config: kindConfigSchema
    .optional()
    .describe("kind's own configuration. What a portable field says as well must agree with it. Default: none."),
  extraCreateArguments: z
    .array(z.string())
    .optional()
    .describe(
      "Arguments added to `kind create cluster`. Example: `[--retain]`. Not `--name`, `--config`, `--kubeconfig`: those are ours. They count when the cluster is made, and a later change of them is no difference. Default: none.",
    ),
});

const bareBlock = z.strictObject({
  components: z
    .array(z.enum(["controller-manager", "scheduler", "kwok"]))
    .optional()
    .describe("What runs besides etcd and kube-apiserver; kwok plays nodes and pods. Example: `[controller-manager]`. Default: none."),
  apiServerFlags: z
    .array(z.string().startsWith("--", "must be a flag as in --name=value"))
    .optional()
    .describe("Flags added to kube-apiserver, after ours. Example: `[--max-requests-inflight=800]`. Default: none."),
});

export const providers = ["kind", "bare"] as const;
export type Provider = (typeof providers)[number];

export const clusterSpecSchema = z.strictObject({
  provider: z
    .enum(providers)
    .describe(
      "What makes the cluster. `kind`: nodes as Docker containers; `bare`: etcd and kube-apiserver as processes, without nodes. Required.",
    ),
  kubernetesVersion: z
    .string()
    .regex(/^v\d+\.\d+(\.\d+(-[0-9A-Za-z.-]+)?)?$/, "must be vX.Y (the newest patch to be had) or vX.Y.Z (that one)")
    .optional()
    .describe("Kubernetes version. `v1.36`: the newest patch that can be had; `v1.36.3`: exactly that. Default: the provider's newest."),
  nodes: z
    .int()
    .min(1, "must be at least 1, the control plane")
    .max(1000)
    .optional()
    .describe("Number of nodes: 1 is the control plane alone, n is that and n-1 workers; on bare, the nodes that kwok plays. Default: 1."),
  clusterDomain: z
    .string()
    .max(253)
    .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/, "must be a DNS domain in lower case, as in cluster.local")
    .optional()
    .describe("DNS domain of the cluster's services. Default: `cluster.local`."),
  podSubnet: subnet.optional().describe("Addresses of pods, as a CIDR. Default on kind: `10.244.0.0/16`."),
  serviceSubnet: subnet.optional().describe("Addresses of services, as a CIDR. Default on kind: `10.96.0.0/16`."),
  featureGates: z
    .record(z.string(), z.boolean())
    .optional()
    .describe("Kubernetes feature gates of every component. Example: `{MutatingAdmissionPolicy: true}`. Default: none."),
  registry: z
    .string()
    .min(1, "must not be empty")
    .optional()
    .describe(
      "Name of the Registry that the cluster pulls from; it is made with defaults when there is none. Only where there are nodes. Default: none.",
    ),
  registryAuths: z
    .array(registryAuth)
    .optional()
    .describe("Registries that are pulled through another endpoint or with a password. Only where there are nodes. Default: none."),
  minCPUs: z.int().min(0).optional().describe("CPUs that the host must have, or the cluster is not made. Unit: CPUs. Default: 0, any."),
  kind: kindBlock.optional().describe("For provider kind alone."),
  bare: bareBlock.optional().describe("For provider bare alone."),
});

export type ClusterSpec = z.infer<typeof clusterSpecSchema>;
export type RegistryAuth = z.infer<typeof registryAuth>;

export const localRegistryHostingSchema = z.strictObject({
  host: z.string().optional().describe("The registry as this machine names it. Example: `localhost:5002`."),
  hostFromContainerRuntime: z.string().optional().describe("The same registry as the nodes' container runtime names it."),
  hostFromClusterNetwork: z.string().optional().describe("The same registry as pods name it."),
  help: z.string().optional().describe("Link to what it is."),
});

export const clusterStatusSchema = z.strictObject({
  phase: z
    .enum(["Pending", "Booting", "Ready", "Running", "Unreachable", "Paused", "Stopped", "Deleting", "Failed"])
    .optional()
    .describe(
      "Where it is: `Pending` waits for its turn; `Booting`; `Ready`; `Running`: its containers run, and it is not this installation's to ask; `Unreachable`: it should answer and does not; `Paused`: its containers are paused; `Stopped`: its containers or processes do not run; `Deleting`; `Failed`: see `error`.",
    ),
  creationTimestamp: timestamp.optional().describe("When it was made."),
  kubernetesVersion: z.string().optional().describe("What its API says. Example: `v1.36.3`."),
  endpoint: z.string().optional().describe("URL of its API, as seen from here."),
  kubeconfig: z.string().optional().describe("Path of its own kubeconfig file."),
  context: z.string().optional().describe("Name of its context in a kubeconfig. Example: `kind-demo`."),
  current: z.boolean().optional().describe("Whether that context is the user's current one."),
  cpus: z.int().optional().describe("CPUs of its host. Unit: CPUs."),
  network: z.string().optional().describe("Docker network of its nodes."),
  owner: z.string().optional().describe("Who holds it: `declared`, or the process that made it."),
  notAfter: timestamp.optional().describe("When anybody may delete it. Absent: never."),
  adopted: z.boolean().optional().describe("Whether another tool made it and `apply --adopt` took it over."),
  localRegistryHosting: localRegistryHostingSchema.optional().describe("Its registry, as KEP-1755 publishes it."),
  error: z.string().optional().describe("What is wrong with it."),
});

export type ClusterStatus = z.infer<typeof clusterStatusSchema>;
export type ClusterPhase = NonNullable<ClusterStatus["phase"]>;

export const clusterSchema = z.strictObject({
  apiVersion: z.enum([apiVersion]).describe("Version of this API."),
  kind: z.enum(["Cluster"]).describe("Kind of this resource."),
  metadata: metadataSchema.describe(
    `Who it is. The name is the provider's own name of the cluster (for kind, the context is \`kind-NAME\`): a DNS label, at most ${limits.clusterNameLength} characters.`,
  ),
  spec: clusterSpecSchema.describe("What it shall be."),
  status: clusterStatusSchema.optional().describe("What was seen last; written by Seatrial alone."),
});

export type Cluster = z.infer<typeof clusterSchema>;

/** Name of the context in a kubeconfig; kind's own rule for kind, and the same form for the others. */
export function contextNameOf(cluster: Pick<Cluster, "metadata" | "spec">): string {
  return `${cluster.spec.provider}-${cluster.metadata.name}`;
}

/** The rules that hold between fields. All that are broken, not the first. */
export function validateCluster(cluster: Cluster): Problem[] {
  return checkCluster(cluster).map(toProblem);
}

/** The same as {@link validateCluster}, for a caller that knows where in a file each path is. */
export function checkCluster(cluster: Cluster): Finding[] {
  const { metadata, spec } = cluster;
  const found: Finding[] = [];
  const report = (message: string, ...path: (string | number)[]) => found.push({ path, message });

  const nameProblem = clusterNameProblem(metadata.name);
  if (nameProblem) report(nameProblem, "metadata", "name");
  const registryProblem = spec.registry === undefined ? undefined : registryContainerNameProblem(spec.registry);
  if (registryProblem) report(registryProblem, "spec", "registry");

  for (const provider of providers) {
    if (spec[provider] && provider !== spec.provider) {
      report(`is for provider ${provider} alone, and the provider is ${spec.provider}`, "spec", provider);
    }
  }

  if (spec.provider === "bare") {
    const noNodes = "provider bare runs the control plane alone, without nodes";
    const playsNodes = spec.bare?.components?.includes("kwok") ?? false;
    if ((spec.nodes ?? 1) > 1 && !playsNodes) report(`must be 1: ${noNodes} (bare.components: [kwok] plays them)`, "spec", "nodes");
    if (spec.registry) report(`cannot be used: ${noNodes}, so nothing would pull images`, "spec", "registry");
    if (spec.registryAuths?.length) report(`cannot be used: ${noNodes}, so nothing would pull images`, "spec", "registryAuths");
  }

  const ours = ["--name", "-n", "--config", "--kubeconfig"];
  for (const [i, argument] of (spec.kind?.extraCreateArguments ?? []).entries()) {
    const flag = /^-n./.test(argument) ? "-n" : argument.split("=")[0]!;
    if (ours.includes(flag)) report(`${flag} is set by Seatrial`, "spec", "kind", "extraCreateArguments", i);
  }

  const config = spec.provider === "kind" ? spec.kind?.config : undefined;
  if (config) {
    const inConfig = (message: string, ...path: (string | number)[]) => report(message, "spec", "kind", "config", ...path);
    if (config.name !== undefined && config.name !== metadata.name) {
      inConfig(`${config.name} is not metadata.name, which is ${metadata.name}; leave it out`, "name");
    }
    if (config.nodes && config.nodes.length > 0 && !config.nodes.some(({ role }) => role !== "worker")) {
      inConfig("must hold at least one control-plane node", "nodes");
    }
    if (spec.nodes !== undefined && config.nodes && config.nodes.length !== spec.nodes) {
      inConfig(`lists ${config.nodes.length} nodes, and spec.nodes is ${spec.nodes}; leave out one of them`, "nodes");
    }
    for (const field of ["podSubnet", "serviceSubnet"] as const) {
      const native = config.networking?.[field];
      if (spec[field] !== undefined && native !== undefined && spec[field] !== native) {
        inConfig(`is ${native}, and spec.${field} is ${spec[field]}; leave out one of them`, "networking", field);
      }
    }
    for (const [gate, value] of Object.entries(config.featureGates ?? {})) {
      const portable = spec.featureGates?.[gate];
      if (portable !== undefined && portable !== value) {
        inConfig(`is ${value}, and in spec.featureGates it is ${portable}; leave out one of them`, "featureGates", gate);
      }
    }
  }
  return found;
}

/** What is wrong with the name of a cluster, or undefined. Containers, hosts and files get their names from it. */
export function clusterNameProblem(name: string): string | undefined {
  if (!/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(name)) {
    return `${JSON.stringify(name)} must be made of lower-case letters, digits and "-", and begin and end with a letter or digit`;
  }
  if (name.length > limits.clusterNameLength) {
    return `has ${name.length} characters, and can have at most ${limits.clusterNameLength}: host names are made from it`;
  }
  return undefined;
}

/**
 * Whether a running version satisfies the one that was asked for: `v1.36` is met by `v1.36.3`, `v1.36.3` by itself
 * alone; what a vendor adds after `+` does not count.
 */
export function isVersionMet(asked: string, running: string): boolean {
  const version = running.split("+")[0]!;
  return /^v\d+\.\d+$/.test(asked) ? version.startsWith(`${asked}.`) || version === asked : version === asked;
}

/**
 * kind's own configuration, `kind: Cluster` of `kind.x-k8s.io/v1alpha4`, as kind 0.33 reads it: the native block of a
 * Cluster with provider kind. Strict, so that a typo is found here with its line and not by kind in the middle of a boot.
 */
import { z } from "zod";
import { ipAddress, stringMap, subnet } from "./metadata.ts";

const port = (what: string) => z.int().min(-1).max(65535).describe(what);

const jsonPatch = z.strictObject({
  group: z.string().optional().describe("API group of the kubeadm object to patch. Example: `kubeadm.k8s.io`."),
  version: z.string().optional().describe("API version of the kubeadm object. Example: `v1beta4`."),
  kind: z.string().optional().describe("Kind of the kubeadm object. Example: `ClusterConfiguration`."),
  patch: z.string().describe("JSON 6902 patch, as YAML or JSON text."),
});

const mount = z.strictObject({
  hostPath: z.string().optional().describe("Path on the Docker host; a relative one is relative to the working folder."),
  containerPath: z.string().optional().describe("Path in the node's container. Example: `/data`."),
  readOnly: z.boolean().optional().describe("Whether the node can only read it. Default: false."),
  selinuxRelabel: z.boolean().optional().describe("Whether SELinux labels are set for the container. Default: false."),
  propagation: z
    .enum(["None", "HostToContainer", "Bidirectional"])
    .optional()
    .describe("Whether later mounts below it are seen by the other side. Default: `None`."),
});

const portMapping = z.strictObject({
  containerPort: port("Port in the node's container. Example: `80`.").optional(),
  hostPort: port("Port on the Docker host; 0: kind chooses one, -1: Docker chooses one. Default: 0.").optional(),
  listenAddress: ipAddress.optional().describe("Address on the Docker host. Default: `0.0.0.0`."),
  // kind turns the protocol to upper case before it looks at it.
  protocol: z.enum(["TCP", "UDP", "SCTP", "tcp", "udp", "sctp"]).optional().describe("Default: `TCP`."),
});

const kubeadmPatches = {
  kubeadmConfigPatches: z
    .array(z.string())
    .optional()
    .describe("Merge patches (YAML text) for kubeadm's configuration objects, matched by their kind. Default: none."),
  kubeadmConfigPatchesJSON6902: z
    .array(jsonPatch)
    .optional()
    .describe("JSON 6902 patches for kubeadm's configuration objects. Default: none."),
};

const node = z.strictObject({
  role: z.enum(["control-plane", "worker"]).optional().describe("Default: `control-plane`."),
  image: z.string().optional().describe("Node image. Default: the one that `kubernetesVersion` leads to."),
  labels: stringMap.optional().describe("Labels of the Kubernetes node. Default: none."),
  extraMounts: z.array(mount).optional().describe("Folders of the Docker host that the node sees. Default: none."),
  extraPortMappings: z.array(portMapping).optional().describe("Ports of the node that the Docker host shows. Default: none."),
  ...kubeadmPatches,
});

const networking = z.strictObject({
  ipFamily: z.enum(["ipv4", "ipv6", "dual"]).optional().describe("Default: `ipv4`."),
  apiServerPort: port("Port of the API on the Docker host; 0: chosen. Default: 0.").optional(),
  apiServerAddress: ipAddress.optional().describe("Address of the API on the Docker host. Default: `127.0.0.1`."),
  podSubnet: subnet.optional().describe("Default: `10.244.0.0/16`."),
  serviceSubnet: subnet.optional().describe("Default: `10.96.0.0/16`."),
  disableDefaultCNI: z
    .boolean()
    .optional()
    .describe("Whether kind leaves pod networking to you. Nodes are not Ready until it is there. Default: false."),
  kubeProxyMode: z.enum(["iptables", "ipvs", "nftables", "none"]).optional().describe("Default: `iptables`."),
  dnsSearch: z.array(z.string()).optional().describe("DNS search domains of the nodes. Default: those of the Docker host."),
});

export const kindConfigSchema = z.strictObject({
  apiVersion: z.enum(["kind.x-k8s.io/v1alpha4"]).optional().describe("Needless here; accepted, so that a kind file can be pasted."),
  kind: z.enum(["Cluster"]).optional().describe("Needless here; accepted, so that a kind file can be pasted."),
  name: z.string().optional().describe("Must be the cluster's own name when it is given. Default: that name."),
  nodes: z.array(node).optional().describe("Nodes, one by one, where `spec.nodes` is not enough. Default: one control plane."),
  networking: networking.optional().describe("Addresses and subnets."),
  featureGates: z.record(z.string(), z.boolean()).optional().describe("Feature gates of every component. Default: none."),
  runtimeConfig: stringMap.optional().describe('`--runtime-config` of the API server. Example: `{"api/alpha": "true"}`.'),
  ...kubeadmPatches,
  containerdConfigPatches: z.array(z.string()).optional().describe("TOML texts, merged into containerd's configuration. Default: none."),
  containerdConfigPatchesJSON6902: z
    .array(z.string())
    .optional()
    .describe("JSON 6902 patches for containerd's configuration. Default: none."),
});

export type KindConfig = z.infer<typeof kindConfigSchema>;

/** What kind takes when its configuration says nothing. */
export const kindDefaults = { podSubnet: "10.244.0.0/16", serviceSubnet: "10.96.0.0/16" } as const;

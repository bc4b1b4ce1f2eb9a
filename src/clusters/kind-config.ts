/** kind's own configuration for a cluster: the portable fields laid over what the user wrote in kind's words. Pure. */
import type { Cluster } from "../resources/cluster.ts";
import type { KindConfig } from "../resources/kind-config.ts";

/** Tells containerd to read the names of registries from files, which can be written while it runs. */
const certsD = `[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n`;

type KindNode = NonNullable<KindConfig["nodes"]>[number];

export const certsDirectory = "/etc/containerd/certs.d";

export interface KindConfigOptions {
  /** The image with our labels for each image that a node names, and under "" for nodes that name none. */
  images: ReadonlyMap<string, string>;
  /** A port on the Docker host that was chosen before; without one, the daemon chooses at each start. */
  apiServerPort?: number | undefined;
  /** Kubelets from 1.35 on do not start on cgroup v1 unless they are told to. */
  isCgroupV1: boolean;
}

export function kindConfigOf(cluster: Cluster, { images, apiServerPort, isCgroupV1 }: KindConfigOptions): KindConfig {
  const { spec, metadata } = cluster;
  const native = spec.kind?.config ?? {};
  const count = spec.nodes ?? 1;
  const nodes: KindNode[] = native.nodes?.length
    ? native.nodes
    : Array.from({ length: count }, (_, i) => ({ role: i === 0 ? "control-plane" : "worker" }));
  const networking = {
    ...native.networking,
    ...(spec.podSubnet ? { podSubnet: spec.podSubnet } : {}),
    ...(spec.serviceSubnet ? { serviceSubnet: spec.serviceSubnet } : {}),
    apiServerPort: native.networking?.apiServerPort || (apiServerPort ?? -1),
  };
  const domain = spec.clusterDomain;
  const featureGates = { ...native.featureGates, ...spec.featureGates };
  const patches = [
    ...(native.kubeadmConfigPatches ?? []),
    ...(domain ? domainPatches(domain) : []),
    ...(isCgroupV1 && minorOf(spec.kubernetesVersion) >= 35 ? [cgroupV1Patch] : []),
  ];
  return {
    ...native,
    kind: "Cluster",
    apiVersion: "kind.x-k8s.io/v1alpha4",
    name: metadata.name,
    nodes: nodes.map((node) => ({ ...node, image: images.get(node.image ?? "") ?? node.image })),
    networking,
    ...(Object.keys(featureGates).length > 0 ? { featureGates } : {}),
    ...(patches.length > 0 ? { kubeadmConfigPatches: patches } : {}),
    ...(spec.registry && needsCertsPatch(spec.kubernetesVersion)
      ? { containerdConfigPatches: [...(native.containerdConfigPatches ?? []), certsD] }
      : {}),
  };
}

/** Node images from kind 0.27 on (Kubernetes 1.32) read the folder by themselves; a patch costs a restart of containerd. */
function needsCertsPatch(version: string | undefined): boolean {
  return minorOf(version) < 32;
}

/** No version asked for means the newest. */
function minorOf(version: string | undefined): number {
  return Number(/^v1\.(\d+)/.exec(version ?? "")?.[1] ?? Infinity);
}

const cgroupV1Patch = "kind: KubeletConfiguration\nfailCgroupV1: false\n";

function domainPatches(domain: string): string[] {
  return [
    `kind: ClusterConfiguration\nnetworking:\n  dnsDomain: ${JSON.stringify(domain)}\n`,
    `kind: KubeletConfiguration\nclusterDomain: ${JSON.stringify(domain)}\n`,
  ];
}

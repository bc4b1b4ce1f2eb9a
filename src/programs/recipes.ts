/**
 * How each program is built from Go modules: which module, which packages, what goes into it.
 *
 * Kubernetes' own module cannot be installed as it is, because its go.mod replaces the staging modules by folders; those
 * that were published with the same release are put in their place (see go-build.ts).
 */
import { versions } from "./versions.ts";

export interface GoRecipe {
  module: string;
  /** Folder of the main package. */
  package: string;
  tags?: readonly string[];
  ldflags?: (version: string) => readonly string[];
  /** True where go.mod replaces modules by folders of its own repository, published as v0.MINOR.PATCH. */
  hasStagingModules?: boolean;
}

const kubernetes = (command: string): GoRecipe => ({
  module: "k8s.io/kubernetes",
  package: `k8s.io/kubernetes/cmd/${command}`,
  hasStagingModules: true,
  // kubeadm, `kubectl version` and the server's /version read these. The date is fixed, so that a build can be repeated.
  ldflags: (version) => {
    const [major, minor] = version.slice(1).split(".");
    const values = {
      gitVersion: version,
      gitMajor: major,
      gitMinor: minor,
      gitTreeState: "clean",
      gitCommit: "0",
      buildDate: "2026-01-01T00:00:00Z",
    };
    return Object.entries(values).flatMap(([name, value]) => ["-X", `k8s.io/component-base/version.${name}=${value}`]);
  },
});

const containerd = (command: string): GoRecipe => ({
  module: "github.com/containerd/containerd/v2",
  package: `github.com/containerd/containerd/v2/cmd/${command}`,
  tags: ["no_btrfs", "no_zfs", "no_aufs", "no_devmapper"],
  ldflags: (version) => ["-X", `github.com/containerd/containerd/v2/version.Version=${version}`],
});

/** What the product finds, and below what only the lab builds for its images. */
export const recipes = {
  kind: { module: "sigs.k8s.io/kind", package: "sigs.k8s.io/kind" },
  etcd: { module: "go.etcd.io/etcd/server/v3", package: "go.etcd.io/etcd/server/v3" },
  kwok: {
    module: "sigs.k8s.io/kwok",
    package: "sigs.k8s.io/kwok/cmd/kwok",
    ldflags: (version) => ["-X", `sigs.k8s.io/kwok/pkg/consts.Version=${version}`],
  },
  kubectl: kubernetes("kubectl"),
  "kube-apiserver": kubernetes("kube-apiserver"),
  "kube-controller-manager": kubernetes("kube-controller-manager"),
  "kube-scheduler": kubernetes("kube-scheduler"),

  kubelet: kubernetes("kubelet"),
  kubeadm: kubernetes("kubeadm"),
  "kube-proxy": kubernetes("kube-proxy"),
  containerd: containerd("containerd"),
  "containerd-shim-runc-v2": containerd("containerd-shim-runc-v2"),
  ctr: containerd("ctr"),
  helm: {
    module: "helm.sh/helm/v3",
    package: "helm.sh/helm/v3/cmd/helm",
    ldflags: (version) => ["-X", `helm.sh/helm/v3/internal/version.version=${version}`],
  },
  coredns: { module: "github.com/coredns/coredns", package: "github.com/coredns/coredns" },
  registry: {
    module: "github.com/distribution/distribution/v3",
    package: "github.com/distribution/distribution/v3/cmd/registry",
    ldflags: (version) => ["-X", `github.com/distribution/distribution/v3/version.version=${version}`],
  },
} as const satisfies Record<string, GoRecipe>;

export type BuildableName = keyof typeof recipes;

/** The version of a program that is built when none is asked for; undefined for those of Kubernetes. */
export function pinnedVersionOf(name: BuildableName): string | undefined {
  switch (name) {
    case "kind":
    case "etcd":
    case "kwok":
    case "coredns":
    case "helm":
      return versions[name];
    case "containerd":
    case "containerd-shim-runc-v2":
    case "ctr":
      return versions.containerd;
    case "registry":
      return versions.distribution;
    default:
      return undefined;
  }
}

/** The versions that we take when none is asked for: the only place that names them. */

export const versions = {
  kind: "v0.33.0",
  etcd: "v3.6.8",
  kwok: "v0.8.0",
  containerd: "v2.2.0",
  coredns: "v1.14.2",
  distribution: "v3.1.2",
  helm: "v3.22.0",
  /** The sandbox image that kubeadm of the default Kubernetes asks for. */
  pause: "3.10.2",
} as const;

/** The patch of each minor that is known to be had where nothing else can be asked; the first is the default. */
export const kubernetesVersions = ["v1.36.3", "v1.35.4"] as const;

export const defaultKubernetesVersion: string = kubernetesVersions[0];

export interface Version {
  major: number;
  minor: number;
  patch: number;
  /** True for `v1.36.0-rc.1` and `v1.32.4-dispatcher`: anything after the patch. */
  hasSuffix: boolean;
}

/** Reads the first `X.Y.Z` of a text, with or without `v`; undefined when there is none. */
export function parseVersion(text: string): Version | undefined {
  const found = /(?<![\d.])v?(\d+)\.(\d+)\.(\d+)(-[\w.]+)?/.exec(text);
  if (!found) return undefined;
  return { major: Number(found[1]), minor: Number(found[2]), patch: Number(found[3]), hasSuffix: found[4] !== undefined };
}

/** The first version in a text as it stands there, suffix and all, with a `v`: what a program says of itself. */
export function versionIn(text: string): string | undefined {
  const found = /(?<![\d.])v?(\d+\.\d+\.\d+(?:-[\w.]+)?)/.exec(text)?.[1];
  return found && `v${found}`;
}

export function formatVersion(version: Version): string {
  return `v${version.major}.${version.minor}.${version.patch}`;
}

/** Orders `vX.Y.Z` texts; those that are no versions come first. */
export function compareVersions(a: string, b: string): number {
  const left = parseVersion(a);
  const right = parseVersion(b);
  if (!left || !right) return Number(left !== undefined) - Number(right !== undefined);
  return left.major - right.major || left.minor - right.minor || left.patch - right.patch;
}

/** `{major, minor}` of a request for "the newest patch of", as in `v1.36`; undefined for anything else. */
export function parseMinor(text: string): { major: number; minor: number } | undefined {
  const found = /^v?(\d+)\.(\d+)$/.exec(text);
  return found ? { major: Number(found[1]), minor: Number(found[2]) } : undefined;
}

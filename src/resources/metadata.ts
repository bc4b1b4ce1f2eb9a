/** What every resource of ours has in common: the version of the API, the metadata, the annotations that we set. */
import { z } from "zod";

export const apiVersion = "seatrial.dev/v1alpha1";

/** Annotations that Seatrial sets; users read them, and need not write them. */
export const annotations = {
  /** The apiVersion of the document that a resource was converted from. */
  source: "seatrial.dev/source",
  /** `kubernetesVersion` as a ctlptl document asked for it: only its major and minor count, so the patch is kept here. */
  ctlptlKubernetesVersion: "seatrial.dev/ctlptl-kubernetes-version",
} as const;

/** An optional map of strings to strings, as labels and annotations are. */
export const stringMap = z.record(z.string(), z.string());

export const metadataSchema = z.strictObject({
  name: z.string().min(1, "must not be empty").describe("Name of the resource, unique among its kind on one Docker host. Example: `demo`."),
  labels: stringMap.optional().describe("Labels, for people and tools. Default: none. Example: `{team: storage}`."),
  annotations: stringMap.optional().describe("Notes for people and tools; Seatrial ignores those it does not know. Default: none."),
});

export type Metadata = z.infer<typeof metadataSchema>;

/** An instant as the Kubernetes API writes it, in UTC. */
export const timestamp = z.iso.datetime({ offset: true, error: "must be a time as in 2026-08-01T12:00:00Z" });

const ipv4 = String.raw`(([1-9]?\d|1\d\d|2[0-4]\d|25[0-5])\.){3}([1-9]?\d|1\d\d|2[0-4]\d|25[0-5])`;
const ipv6 = "[0-9a-fA-F:.]*:[0-9a-fA-F:.]*";
const cidr = String.raw`(${ipv4}/([12]?\d|3[0-2])|${ipv6}/([1-9]?\d|1[01]\d|12[0-8]))`;

/** An address, without a prefix length. The pattern is for the API server, which knows no functions. */
export const ipAddress = z
  .string()
  .refine(isIpAddress, "must be an IP address")
  .meta({ pattern: `^(${ipv4}|${ipv6})$` });

/** An address and its prefix length; two of them, separated by a comma, for a dual-stack cluster. */
export const subnet = z
  .string()
  .refine(isSubnet, "must be a CIDR as in 10.244.0.0/16, or an IPv4 and an IPv6 one separated by a comma")
  .meta({ pattern: `^${cidr}(,${cidr})?$` });

function isSubnet(text: string): boolean {
  const families = text.split(",").map((part) => {
    if (z.cidrv4().safeParse(part).success) return "ipv4";
    if (z.cidrv6().safeParse(part).success) return "ipv6";
    return "none";
  });
  return !families.includes("none") && families.length <= 2 && new Set(families).size === families.length;
}

function isIpAddress(text: string): boolean {
  return z.ipv4().safeParse(text).success || z.ipv6().safeParse(text).success;
}

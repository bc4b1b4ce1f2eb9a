/** All kinds that an API keeps. Cluster and Registry are also read from files, with rules beyond these (cluster.ts, registry.ts). */
import { z } from "zod";
import { limits } from "../base/limits.ts";
import { type ClusterSpec, clusterSpecSchema, type ClusterStatus, clusterStatusSchema } from "./cluster.ts";
import { hostKind } from "./host.ts";
import { jobRunKind } from "./job-run.ts";
import type { Resource, ResourceKind } from "./object.ts";
import { type RegistrySpec, registrySpecSchema, type RegistryStatus, registryStatusSchema } from "./registry.ts";
import { repositoryKind } from "./repository.ts";
import { runKind } from "./run.ts";

const epoch = z.int().min(0).optional().describe("Epoch of the leader that wrote this: a lower one may not write any more.");

export type ClusterResource = Resource<ClusterSpec, ClusterStatus & { epoch?: number | undefined }> & { kind: "Cluster" };
export type RegistryResource = Resource<RegistrySpec, RegistryStatus & { epoch?: number | undefined }> & { kind: "Registry" };

export const clusterKind: ResourceKind<ClusterResource> = {
  kind: "Cluster",
  plural: "clusters",
  singular: "cluster",
  shortNames: [],
  description: "One Kubernetes cluster, declared.",
  spec: clusterSpecSchema,
  status: clusterStatusSchema.extend({ epoch }),
  columns: [
    { name: "Provider", jsonPath: ".spec.provider", type: "string", description: "What makes it." },
    { name: "Version", jsonPath: ".status.kubernetesVersion", type: "string", description: "What its API says." },
    { name: "Phase", jsonPath: ".status.phase", type: "string", description: "Where it is." },
    { name: "Owner", jsonPath: ".status.owner", type: "string", description: "Who holds it." },
    { name: "Age", jsonPath: ".metadata.creationTimestamp", type: "date", description: "Time since it was declared." },
    { name: "Error", jsonPath: ".status.error", type: "string", priority: 1, description: "What is wrong with it." },
  ],
  rules: [
    {
      at: [],
      rule: `size(self.metadata.name) <= ${limits.clusterNameLength} && self.metadata.name.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')`,
      message: `the name must be a DNS label of at most ${limits.clusterNameLength} characters: host names are made from it`,
    },
    { at: ["spec"], rule: "!has(self.kind) || self.provider == 'kind'", message: "kind is for provider kind alone" },
    { at: ["spec"], rule: "!has(self.bare) || self.provider == 'bare'", message: "bare is for provider bare alone" },
    {
      at: ["spec"],
      rule: "self.provider != 'bare' || (!has(self.registry) && (!has(self.registryAuths) || size(self.registryAuths) == 0))",
      message: "provider bare has no nodes, so nothing would pull images from a registry",
    },
    {
      at: ["spec"],
      rule: "self.provider != 'bare' || !has(self.nodes) || self.nodes == 1 || (has(self.bare) && has(self.bare.components) && 'kwok' in self.bare.components)",
      message: "nodes must be 1 for provider bare, unless bare.components has kwok to play them",
    },
  ],
};

export const registryKind: ResourceKind<RegistryResource> = {
  kind: "Registry",
  plural: "registries",
  singular: "registry",
  shortNames: [],
  description: "One image registry in a container on a Docker host.",
  spec: registrySpecSchema.prefault({}),
  status: registryStatusSchema.extend({ epoch }),
  columns: [
    { name: "Port", jsonPath: ".status.hostPort", type: "integer", description: "Port on the Docker host." },
    { name: "State", jsonPath: ".status.state", type: "string", description: "State of its container." },
    { name: "Owner", jsonPath: ".status.owner", type: "string", description: "Who holds it." },
    { name: "Age", jsonPath: ".metadata.creationTimestamp", type: "date", description: "Time since it was declared." },
  ],
  rules: [{ at: [], rule: "size(self.metadata.name) <= 63", message: "the name must have at most 63 characters: it is a host name" }],
};

export const allKinds = [runKind, jobRunKind, clusterKind, registryKind, hostKind, repositoryKind] as unknown as readonly ResourceKind[];

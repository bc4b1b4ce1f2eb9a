import { expect, test } from "vitest";
import type { DockerClient } from "../docker/client.ts";
import type { ContainerSummary } from "../docker/objects.ts";
import { KindProvider, type KindOptions } from "./kind.ts";

const container = (id: string, created: number, labels: Record<string, string>): ContainerSummary => ({
  Id: id,
  Names: [`/${id}`],
  Image: "image",
  ImageID: "sha256:0",
  State: "running",
  Created: created,
  Labels: labels,
  Ports: [],
});

/** A daemon that is a list of containers. */
function kindOn(containers: ContainerSummary[]): KindProvider {
  const docker = { containers: async () => containers } as unknown as DockerClient;
  return new KindProvider({ docker } as KindOptions);
}

test("containers with kind's cluster label and no role are no cluster, and hide none", async () => {
  const cluster = "io.x-k8s.kind.cluster";
  const role = "io.x-k8s.kind.role";
  const seen = await kindOn([
    container("stray", 1, { [cluster]: "stray" }),
    container("node", 1_700_000_000, { [cluster]: "demo", [role]: "control-plane" }),
    container("beside-it", 1, { [cluster]: "demo" }),
  ]).list();
  expect(seen).toMatchObject([{ name: "demo", parts: ["node"], createdAt: new Date("2023-11-14T22:13:20Z") }]);
});

import { expect, test } from "vitest";
import { isPublicName } from "./images.ts";

const hex = "0123456789abcdef".repeat(4);

test.each<[string, string, boolean]>([
  ["of Docker Hub", "postgres", true],
  ["with a tag", "postgres:18-alpine", true],
  ["of somebody there", "grafana/grafana:12.1", true],
  ["of a registry", "ghcr.io/owner/deep/name_x:v1.2", true],
  ["by its digest", `quay.io/a/b@sha256:${hex}`, true],
  ["by tag and digest", `postgres:18@sha256:${hex}`, true],
  ["with HTTPS's own port", "ghcr.io:443/a/b:1", true],
  ["a name that could be the beginning of an id: the registry is asked", "deadbeef", true],
  ["an id", hex, false],
  ["an id with its algorithm", `sha256:${hex}`, false],
  ["a registry of a run", "localhost:32768/controller:dev", false],
  ["a registry of the host, without a port", "localhost/controller", false],
  ["the same by its address", "127.0.0.1/controller", false],
  ["the same, written shorter", "127.1/controller", false],
  ["the same, with IPv6", "[::1]/controller", false],
  ["another name of the same", "registry.localhost/controller", false],
  ["in capitals, which Docker takes for a registry", "Localhost/controller", false],
  ["a name that may lead anywhere, with a port", "stranger.example:32768/controller:dev", false],
  ["a registry of the network, by its short name", "registry:5000/a", false],
  ["an address of the network", "10.0.0.7/a", false],
  ["what Docker would refuse", "a//b", false],
])("whether everybody may have an image: %s", (_, reference, isPublic) => {
  expect(isPublicName(reference)).toBe(isPublic);
});

import { expect, test } from "vitest";
import { type DockerClient, DockerError } from "../../docker/client.ts";
import { imageDigest } from "./runner-image.ts";

/** A Docker host, and what the registry of its images says. */
function docker(here: { Id: string; RepoDigests: string[] | null } | undefined, registry: string | undefined) {
  return {
    image: async () => await Promise.resolve(here),
    registryDigest: async () => {
      if (registry === undefined) throw new DockerError(404, "tell the digest of ci:1", "there is no such manifest");
      return await Promise.resolve(registry);
    },
  } as unknown as DockerClient;
}

const pulled = { Id: "sha256:id", RepoDigests: ["other/ci@sha256:0", "r.example/ci@sha256:old"] };

test.each<[string, string, Parameters<typeof docker>[0], string | undefined, string]>([
  ["one by its digest already", "r.example/ci@sha256:1", undefined, undefined, "r.example/ci@sha256:1"],
  ["one that is nowhere here", "r.example/ci:1", undefined, "sha256:new", "r.example/ci@sha256:new"],
  ["one whose tag has moved since it was pulled", "r.example/ci:1", pulled, "sha256:new", "r.example/ci@sha256:new"],
  ["one whose registry is away", "r.example/ci:1", pulled, undefined, "r.example/ci@sha256:old"],
  ["one that was built here", "r.example/ci:1", { Id: "sha256:id", RepoDigests: [] }, "sha256:new", "sha256:id"],
  ["one that has another's digest alone", "ci:1", { Id: "sha256:id", RepoDigests: ["other/ci@sha256:0"] }, undefined, "sha256:id"],
])("%s", async (_, reference, here, registry, expected) => {
  expect(await imageDigest(docker(here, registry), reference)).toBe(expected);
});

test("a registry that does not answer may do so later", async () => {
  const away = docker(undefined, undefined);
  away.registryDigest = async () => await Promise.reject(new DockerError(500, "tell the digest of ci:1", "no route to host"));
  await expect(imageDigest(away, "ci:1")).rejects.toMatchObject({ retryable: true, message: expect.stringContaining("no route to host") });
});

test("one that neither has is not found, with what the registry says", async () => {
  await expect(imageDigest(docker(undefined, undefined), "ci:1")).rejects.toMatchObject({
    code: "not-found",
    message: expect.stringContaining("image ci:1 is not on the Docker host, and its registry says: Docker could not tell"),
  });
});

/**
 * Images that the user built, put where a cluster finds them: pushed to the run's registry, which the nodes ask first for
 * every name that those images have. So a manifest may name them as they were built, or by the registry's names.
 */
import { fullReference } from "../../clusters/load-images.ts";
import { SeatrialError } from "../../base/errors.ts";
import type { DockerClient } from "../../docker/client.ts";
import { splitReference } from "../../docker/reference.ts";

/** The registries in the names of images: `docker.io` where a name has none. */
export function registriesOf(references: readonly string[]): string[] {
  return [...new Set(references.map((reference) => fullReference(reference).split("/")[0]!))];
}

/**
 * A whole reference, by Docker's grammar, whose registry has a name of its own and no port: so it is no registry of a run, nor another
 * that only the Docker host reaches, whatever the name leads to.
 */
const publicName =
  /^(?!(?:[^/]+\.)?localhost[/:])(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]*(?::443)?(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$/;

/** Whether a name may be of an image that everybody can have. Whether it is, its registry knows alone. */
export function isPublicName(reference: string): boolean {
  return publicName.test(fullReference(reference)) && !/^(?:sha256:.*|[0-9a-f]{64})$/.test(reference);
}

/** Refuses early what is not there. */
export async function expectImages(docker: DockerClient | undefined, references: readonly string[], signal?: AbortSignal): Promise<void> {
  for (const reference of references) {
    if (!(await docker?.image(reference, signal))) {
      throw new SeatrialError("not-found", `image ${reference} is not on the Docker host`, {
        hint: `docker build -t ${reference} …, then try again`,
      });
    }
  }
}

/** Pushes each image by the daemon, to the registry on a port of the daemon's own host. */
export async function putImages(
  docker: DockerClient,
  references: readonly string[],
  hostPort: number,
  signal?: AbortSignal,
): Promise<void> {
  for (const reference of references) {
    for (const path of pathsOf(reference)) {
      const target = `localhost:${hostPort}/${path}`;
      await docker.tagImage(reference, target, signal);
      try {
        await docker.pushImage(target, signal);
      } finally {
        await forget(docker, reference, target);
      }
    }
  }
}

/** Takes the registry's name off the image again: the tag, and the digest that Docker noted at the push. */
async function forget(docker: DockerClient, reference: string, target: string): Promise<void> {
  const { repository } = splitReference(target);
  const digests = (await docker.image(reference))?.RepoDigests ?? [];
  for (const name of [target, ...digests.filter((digest) => digest.startsWith(`${repository}@`))]) await docker.removeImage(name);
}

/** `controller:dev` is asked for as `library/controller:dev` by its own name, and as `controller:dev` by the registry's. */
function pathsOf(reference: string): string[] {
  const full = fullReference(reference).split("/").slice(1).join("/");
  return full.startsWith("library/") && !reference.includes("library/") ? [full, full.slice("library/".length)] : [full];
}

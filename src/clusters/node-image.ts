/**
 * From a Kubernetes version to a node image on the Docker host, and from that to one that carries our labels.
 *
 * kind has no flag for container labels: a container inherits those of its image, so each cluster gets an image of its own,
 * made from the node image by labels alone. It shares all layers and costs 0.2 s.
 */
import { createHash } from "node:crypto";
import { pack } from "tar-stream";
import { SeatrialError } from "../base/errors.ts";
import { DockerError, type DockerClient } from "../docker/client.ts";
import type { ImageDetails, Labels } from "../docker/objects.ts";

/** Where node images come from: kind's own, and those that `make lab` builds where there is no container registry. */
const repositories = ["kindest/node", "offline/node"] as const;

/**
 * The name of a node image that is on the Docker host: for `v1.36` the newest patch there, for `v1.36.3` that one. Pulled
 * from kind's repository when it is not there.
 */
export async function findNodeImage(
  docker: DockerClient,
  version: string,
  onProgress: (line: string) => void,
  signal?: AbortSignal,
): Promise<string> {
  const present = await docker.images({ reference: [...repositories] }, signal);
  const tags = present.flatMap(({ RepoTags }) => RepoTags ?? []);
  const newest = newestOf(tags, version);
  if (newest) return newest;
  const isExact = /^v\d+\.\d+\.\d+/.test(version);
  const wanted = isExact ? `kindest/node:${version}` : await newestPublished(version, signal);
  onProgress(`pulling ${wanted}: no node image of ${version} is on the Docker host`);
  return await pullNodeImage(docker, wanted, tags, signal);
}

/** Makes sure that an image that the user named is there. */
export async function ensureNodeImage(
  docker: DockerClient,
  reference: string,
  onProgress: (line: string) => void,
  signal?: AbortSignal,
): Promise<string> {
  if (await docker.image(reference, signal)) return reference;
  onProgress(`pulling ${reference}`);
  return await pullNodeImage(docker, reference, [], signal);
}

async function pullNodeImage(docker: DockerClient, reference: string, present: string[], signal: AbortSignal | undefined): Promise<string> {
  try {
    await docker.pullImage(reference, signal);
    return reference;
  } catch (error) {
    if (!(error instanceof DockerError)) throw error;
    const known = present.filter((tag) => repositories.some((repository) => tag.startsWith(`${repository}:`))).sort();
    throw new SeatrialError("not-found", `node image ${reference} is not on the Docker host and could not be pulled: ${error.message}`, {
      hint:
        known.length > 0
          ? `node images that are there: ${known.join(", ")}`
          : "docker pull shows why; where no registry can be reached, make lab builds node images from source",
      cause: error,
    });
  }
}

/** The tag with the highest patch that fits `vX.Y` or `vX.Y.Z`; kind's own repository first among equals. */
export function newestOf(tags: readonly string[], version: string): string | undefined {
  const fits = tags.flatMap((tag) => {
    const match = /^(.*):v(\d+)\.(\d+)\.(\d+)$/.exec(tag);
    const repository = repositories.findIndex((name) => name === match?.[1]);
    if (!match || repository < 0) return [];
    const full = `v${match[2]}.${match[3]}.${match[4]}`;
    return full === version || full.startsWith(`${version}.`) ? [{ tag, patch: Number(match[4]), repository }] : [];
  });
  fits.sort((a, b) => b.patch - a.patch || a.repository - b.repository);
  return fits[0]?.tag;
}

/** The newest patch of a minor version that kind's repository lists. */
async function newestPublished(version: string, signal: AbortSignal | undefined): Promise<string> {
  const url = `https://hub.docker.com/v2/repositories/kindest/node/tags?page_size=100&name=${version}.`;
  const timeout = AbortSignal.timeout(10_000);
  try {
    const answer = await fetch(url, { signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
    const { results } = (await answer.json()) as { results: { name: string }[] };
    const newest = newestOf(
      results.map(({ name }) => `kindest/node:${name}`),
      version,
    );
    if (newest) return newest;
  } catch (error) {
    signal?.throwIfAborted();
    throw new SeatrialError(
      "not-found",
      `no node image of Kubernetes ${version} is on the Docker host, and the list of kind's images could not be read`,
      {
        hint: "where no registry can be reached, make lab builds a node image from source",
        cause: error,
      },
    );
  }
  throw new SeatrialError("not-found", `kind has published no node image of Kubernetes ${version}`, {
    hint: "https://hub.docker.com/r/kindest/node/tags lists those that there are",
  });
}

/** What is in an image, whatever its labels and its name: the images of two clusters from one node image have the same. */
export function layersDigest({ Id, RootFS }: Pick<ImageDetails, "Id" | "RootFS">): string {
  const layers = RootFS?.Layers ?? [];
  return layers.length === 0 ? Id : `sha256:${createHash("sha256").update(layers.join("\n")).digest("hex")}`;
}

/** Makes the image of one cluster: the node image with labels. */
export async function labelImage(docker: DockerClient, from: string, tag: string, labels: Labels, signal?: AbortSignal): Promise<void> {
  // One instruction, one image: what a build that was cut short leaves carries all labels or none.
  const pairs = Object.entries(labels).map(([name, value]) => `${JSON.stringify(name)}=${quoted(value)}`);
  const archive = pack();
  archive.entry({ name: "Dockerfile" }, `FROM ${from}\nLABEL ${pairs.join(" ")}\n`);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  await docker.buildImage(tag, Buffer.concat(chunks), signal);
}

/** A Dockerfile expands `$` in values and takes no line breaks. */
function quoted(value: string): string {
  return `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("$", "\\$").replaceAll("\n", "\\n")}"`;
}

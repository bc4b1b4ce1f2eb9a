/**
 * The image that jobs of executor `docker` run in where the workflow names none: Node and git from a base image, and the programs
 * that a job of ours needs (kubectl). The runner itself is no part of it: the executor puts that into each container.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { SeatrialError } from "../../base/errors.ts";
import { type DockerClient, DockerError } from "../../docker/client.ts";
import { splitReference } from "../../docker/reference.ts";
import { archiveOf } from "../containers/archive.ts";

/** The public image `node:24.14.0-bookworm` (Debian 12, with git), for amd64 and arm64. */
const publicBaseImage = "docker.io/library/node@sha256:3a09aa6354567619221ef6c45a5051b671f953f0a1924d1f819ffb236e520e6b";
/** The same where there is no registry to pull from: `make lab` builds it. */
export const labBaseImage = "offline/runner:1";

const repository = "seatrial/runner";
/** On our images; its value is the tag. */
const keyLabel = "seatrial.dev/runner-image";

export interface RunnerImageOptions {
  /** Image with `sh`, Node 24 and git. Default: {@link labBaseImage} where the Docker host has it, else {@link publicBaseImage}. */
  base?: string | undefined;
  /** Programs that go into PATH, for the platform of the Docker host. Default: none. */
  programs?: readonly { name: string; path: string }[];
  onProgress(line: string): void;
  signal?: AbortSignal | undefined;
}

/**
 * The name of the image, made when the Docker host does not have it. The tag is a hash of all that is in it.
 * @throws SeatrialError `not-found` when the base is not to be had.
 */
export async function ensureRunnerImage(docker: DockerClient, options: RunnerImageOptions): Promise<string> {
  const { programs = [], onProgress, signal } = options;
  const base = await ensureBase(docker, options);
  const hash = createHash("sha256").update(base.id);
  for (const { name, path } of programs) {
    hash.update(`\0${name}\0${(await stat(path)).size}\0`);
    // In pieces: a server that starts asks for it each time, and would hold 60 MB of kubectl for long.
    for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  }
  const key = hash.digest("hex").slice(0, 24);
  const tag = `${repository}:${key}`;
  if (await docker.image(tag, signal)) return tag;
  onProgress(`making ${tag} from ${base.reference}`);
  const files = await Promise.all(programs.map(async ({ name, path }) => ({ name, content: await readFile(path) })));
  const copy = files.length > 0 ? "COPY bin/ /usr/local/bin/\n" : "";
  const archive = await archiveOf([
    { name: "Dockerfile", content: `FROM ${base.reference}\n${copy}LABEL ${keyLabel}=${key}\n` },
    ...files.map(({ name, content }) => ({ name: `bin/${name}`, content, mode: 0o755 })),
  ]);
  await docker.buildImage(tag, archive, signal);
  return tag;
}

/**
 * A reference that names the same image for as long as it is there: by the digest that its registry has now, else by the one that it was
 * pulled with; one that was built on the host, and pushed nowhere, by its id, which is good on that host alone.
 * @throws SeatrialError `not-found` when neither registry nor host has it; another, retryable, when the registry does not answer.
 */
export async function imageDigest(docker: DockerClient, reference: string, signal?: AbortSignal, auth?: object): Promise<string> {
  if (reference.includes("@")) return reference;
  const { repository } = splitReference(reference);
  const here = await docker.image(reference, signal);
  const pulled = here?.RepoDigests?.find((digest) => digest.startsWith(`${repository}@`));
  if (here && pulled === undefined) return here.Id;
  try {
    return `${repository}@${await docker.registryDigest(reference, signal, auth)}`;
  } catch (error) {
    if (pulled !== undefined) return pulled;
    if (!(error instanceof DockerError) || error.retryable) throw error;
    throw new SeatrialError("not-found", `image ${reference} is not on the Docker host, and its registry says: ${error.message}`, {
      cause: error,
    });
  }
}

async function ensureBase(docker: DockerClient, options: RunnerImageOptions): Promise<{ reference: string; id: string }> {
  const { onProgress, signal } = options;
  for (const reference of options.base === undefined ? [labBaseImage, publicBaseImage] : [options.base]) {
    const image = await docker.image(reference, signal);
    if (image) return { reference, id: image.Id };
  }
  const reference = options.base ?? publicBaseImage;
  onProgress(`pulling ${reference}`);
  try {
    await docker.pullImage(reference, signal);
  } catch (error) {
    if (!(error instanceof DockerError)) throw error;
    throw new SeatrialError("not-found", `the image for runners, ${reference}, could not be pulled: ${error.message}`, {
      hint: "docker pull shows why; where no registry can be reached, make lab builds one",
      cause: error,
    });
  }
  const image = await docker.image(reference, signal);
  if (!image) throw new SeatrialError("internal", `${reference} was pulled and is not on the Docker host`);
  return { reference, id: image.Id };
}

/**
 * Putting an image of the Docker host into nodes, when there is no registry: one platform only, and not where it is already.
 */
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import { SeatrialError } from "../base/errors.ts";
import type { DockerClient } from "../docker/client.ts";
import type { LoadedImage } from "./provider.ts";

interface Node {
  id: string;
  name: string;
}

export async function loadImages(
  docker: DockerClient,
  nodes: readonly Node[],
  references: readonly string[],
  signal?: AbortSignal,
): Promise<LoadedImage[]> {
  const loaded: LoadedImage[] = [];
  for (const reference of references) {
    const image = await docker.image(reference, signal);
    if (!image) {
      throw new SeatrialError("not-found", `image ${reference} is not on the Docker host`, {
        hint: `docker build -t ${reference} … or docker pull ${reference}, then try again`,
      });
    }
    const missing: Node[] = [];
    await Promise.all(
      nodes.map(async (node) => {
        if (await hasImage(docker, node, fullReference(reference), image.Id, signal))
          loaded.push({ reference, node: node.name, wasCopied: false });
        else missing.push(node);
      }),
    );
    await copy(docker, missing, reference, `${image.Os}/${image.Architecture}`, signal);
    loaded.push(...missing.map((node) => ({ reference, node: node.name, wasCopied: true })));
  }
  return loaded;
}

/** containerd's record of an image names its config's digest, which is Docker's image id. */
async function hasImage(
  docker: DockerClient,
  node: Node,
  reference: string,
  id: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const { exitCode, stdout } = await docker.exec(node.id, ["ctr", "-n", "k8s.io", "images", "inspect", reference], { signal });
  return exitCode === 0 && stdout.includes(id);
}

/** Reads the image once and writes it to all nodes at the same time, never to a disk. */
async function copy(
  docker: DockerClient,
  nodes: readonly Node[],
  reference: string,
  platform: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (nodes.length === 0) return;
  const argv = ["ctr", "-n", "k8s.io", "images", "import", "--platform", platform, "--digests", "-"];
  const streams = nodes.map(() => new PassThrough());
  const source = await docker.saveImage(reference, signal);
  const imports = nodes.map(async (node, i) => {
    const { exitCode, stderr } = await docker.exec(node.id, argv, { stdin: streams[i]!, signal });
    if (exitCode !== 0)
      throw new SeatrialError("command-failed", `could not put image ${reference} into node ${node.name}: ${stderr.toString().trim()}`);
  });
  const feeding = pipeline(source, async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) {
      const full = streams.filter((stream) => !stream.write(chunk));
      await Promise.all(full.map(async (stream) => await once(stream, "drain")));
    }
    for (const stream of streams) stream.end();
  });
  await Promise.all([feeding, ...imports]);
}

/** `nginx` as containerd names it: `docker.io/library/nginx:latest`. */
export function fullReference(reference: string): string {
  const [first = "", ...rest] = reference.split("/");
  const hasHost = rest.length > 0 && (first.includes(".") || first.includes(":") || first === "localhost");
  const path = hasHost ? reference : rest.length > 0 ? `docker.io/${reference}` : `docker.io/library/${reference}`;
  const last = path.slice(path.lastIndexOf("/"));
  return last.includes(":") || last.includes("@") ? path : `${path}:latest`;
}

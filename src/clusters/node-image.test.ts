import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { extract } from "tar-stream";
import { describe, expect, test } from "vitest";
import { type DockerClient, DockerError } from "../docker/client.ts";
import { findNodeImage, labelImage, newestOf } from "./node-image.ts";

describe("the newest node image that fits", () => {
  const tags = [
    "kindest/node:v1.36.3",
    "offline/node:v1.36.3",
    "offline/node:v1.36.10",
    "kindest/node:v1.35.4",
    "other/node:v1.36.99",
    "kindest/node:latest",
    "kindest/node:v1.36.11-rc.1",
    "localhost:5000/kindest/node:v1.36.98",
  ];
  test.each([
    ["a minor: numbers are compared as numbers", "v1.36", "offline/node:v1.36.10"],
    ["a patch: kind's own first", "v1.36.3", "kindest/node:v1.36.3"],
    ["a patch is no prefix", "v1.36.1", undefined],
    ["a minor is no prefix", "v1.3", undefined],
    ["another minor", "v1.35", "kindest/node:v1.35.4"],
    ["none", "v1.34", undefined],
  ])("%s", (_, version, expected) => {
    expect(newestOf(tags, version)).toBe(expected);
    expect(newestOf(tags.toReversed(), version)).toBe(expected);
  });
});

describe("a version that is not on the Docker host", () => {
  const daemon = (pull: () => Promise<void>) =>
    ({
      images: async () => await Promise.resolve([{ RepoTags: ["offline/node:v1.35.4"] }, { RepoTags: null }]),
      pullImage: pull,
    }) as unknown as DockerClient;

  test("an exact one is pulled, and that is told", async () => {
    const lines: string[] = [];
    expect(
      await findNodeImage(
        daemon(async () => await Promise.resolve()),
        "v1.36.3",
        (line) => lines.push(line),
      ),
    ).toBe("kindest/node:v1.36.3");
    expect(lines).toEqual([expect.stringContaining("pulling kindest/node:v1.36.3")]);
  });

  test("one that cannot be pulled: the hint names those that are there", async () => {
    const pull = async () => await Promise.reject(new DockerError(404, "pull it", "manifest unknown"));
    await expect(findNodeImage(daemon(pull), "v1.36.3", () => {})).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining("kindest/node:v1.36.3 is not on the Docker host"),
      hint: expect.stringContaining("offline/node:v1.35.4"),
    });
  });
});

test("labels of any text survive the Dockerfile", async () => {
  let context: Buffer | undefined;
  const docker = {
    buildImage: async (_tag: string, tar: Buffer) => await Promise.resolve(void (context = tar)),
  } as unknown as DockerClient;
  await labelImage(docker, "base:1", "tag:1", { plain: "x", json: '{"a":"$HOME \\ `b`"}', lines: "one\ntwo" });
  const archive = extract();
  Readable.from([context!]).pipe(archive);
  for await (const entry of archive) {
    expect(entry.header.name).toBe("Dockerfile");
    const labels = [`"plain"="x"`, String.raw`"json"="{\"a\":\"\$HOME \\ ${"`b`"}\"}"`, String.raw`"lines"="one\ntwo"`];
    expect(await text(entry)).toBe(`FROM base:1\nLABEL ${labels.join(" ")}\n`);
  }
});

/** What the executor asks of Docker, and does about an image that is gone; all else is tried on a daemon (test/e2e/runner.e2e.ts). */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type DockerClient, DockerError } from "../../docker/client.ts";
import { ownershipLabels } from "../../docker/ownership.ts";
import { currentProcess } from "../../process/identity.ts";
import { DockerExecutor, type DockerExecutorOptions } from "./docker.ts";

/** A daemon with images, which makes containers of them. */
async function openExecutor(more: Partial<DockerExecutorOptions> = {}) {
  const folder = await mkdtemp(join(tmpdir(), "executor-"));
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "runner.cjs"), "");
  const images = new Set<string>();
  const containers = new Map<string, string>();
  const pulled: string[] = [];
  const docker = {
    container: async () => await Promise.resolve(undefined),
    createContainer: async (name: string, { Image }: { Image: string }) => {
      await Promise.resolve();
      if (!images.has(Image)) throw new DockerError(404, `create container ${name}`, `No such image: ${Image}`);
      containers.set(name, Image);
      return name;
    },
    pullImage: async (image: string) => {
      await Promise.resolve();
      pulled.push(image);
      if (image.startsWith("seatrial/")) throw new DockerError(404, `pull ${image}`, "no registry has it");
      images.add(image);
    },
    writeArchive: async () => {},
    startContainer: async () => {},
  } as unknown as DockerClient;
  const executor = new DockerExecutor({
    docker,
    instance: "i",
    bundle: join(folder, "runner.cjs"),
    image: "seatrial/runner:1",
    door: "/door",
    ownershipOf: (attempt) => ({ instance: "i", owner: { attempt }, notAfter: new Date() }),
    ...more,
  });
  const start = async (attempt: string, image?: string) => await executor.start({ attempt, token: "t", image });
  return { images, containers, pulled, start };
}

test("the runner's image is made again when somebody removed it, once for all that miss it, and by its new name", async () => {
  let made = 0;
  const remakeImage = async () => {
    await Promise.resolve();
    const name = `seatrial/runner:${++made + 1}`;
    images.add(name);
    return name;
  };
  const { images, containers, pulled, start } = await openExecutor({ remakeImage });
  images.add("seatrial/runner:1");
  await start("a");
  images.clear();
  await Promise.all([start("b"), start("c")]);
  await start("d");
  images.clear();
  await start("e");
  expect(Object.fromEntries([...containers].map(([name, image]) => [name.at(-1), image]))).toEqual({
    a: "seatrial/runner:1",
    b: "seatrial/runner:2",
    c: "seatrial/runner:2",
    d: "seatrial/runner:2",
    e: "seatrial/runner:3",
  });
  expect(pulled).toEqual([]);
});

test("an image that a job names is pulled, and what cannot be had is told by its name", async () => {
  const { pulled, start } = await openExecutor();
  await start("a", "golang:1");
  await expect(start("b")).rejects.toThrow("pull seatrial/runner:1");
  expect(pulled).toEqual(["golang:1", "seatrial/runner:1"]);
});

test("another thing that is not there, a network, is told as it is", async () => {
  const { pulled, images, start } = await openExecutor({
    docker: {
      container: async () => await Promise.resolve(undefined),
      createContainer: async () => await Promise.reject(new DockerError(404, "create container", "network st-1 not found")),
    } as unknown as DockerClient,
  });
  images.add("seatrial/runner:1");
  await expect(start("a")).rejects.toThrow("network st-1 not found");
  expect(pulled).toEqual([]);
});

const notAfter = new Date("2026-12-01T00:00:00Z");
const serverOwns = (attempt: string) => ({ instance: "i", owner: { attempt }, notAfter });

function executorOn(docker: Partial<Record<keyof DockerClient, unknown>>, more: Partial<DockerExecutorOptions> = {}): DockerExecutor {
  const all = { docker: docker as unknown as DockerClient, instance: "i", bundle: import.meta.filename, image: "runner", door: "/door" };
  return new DockerExecutor({ ...all, ownershipOf: serverOwns, ...more });
}

test("a server lists its own attempts, a command beside it those of its process", async () => {
  const ofCommand = { instance: "i", owner: currentProcess(), notAfter };
  const container = (attempt: string, ownership: Parameters<typeof ownershipLabels>[0]) => ({
    Labels: { ...ownershipLabels(ownership), "seatrial.dev/runner": attempt },
  });
  const there = [container("of-server", serverOwns("of-server")), container("of-command", ofCommand)];
  const docker = { containers: async () => await Promise.resolve(there), networks: async () => await Promise.resolve([]) };
  expect(await executorOn(docker).list()).toEqual(["of-server"]);
  expect(await executorOn(docker, { ownershipOf: () => ofCommand }).list()).toEqual(["of-command"]);
});

test.each<[string, boolean, DockerExecutorOptions["bounds"], number | undefined, number]>([
  ["are of its processes alone where the host says nothing", false, undefined, undefined, 4096],
  ["are the host's", false, () => ({ memoryBytes: 5_000, pids: 7 }), 5_000, 7],
  ["are its own where the change is not trusted", true, (isIsolated) => ({ memoryBytes: isIsolated ? 1_000 : 5_000, pids: 7 }), 1_000, 7],
])("the bounds of a container %s, and its token is nowhere in it", async (_name, isIsolated, bounds, memory, pids) => {
  const made: { HostConfig: Record<string, unknown> }[] = [];
  const docker = {
    container: async () => await Promise.resolve(undefined),
    createContainer: async (_container: string, body: (typeof made)[number]) => await Promise.resolve((made.push(body), "id")),
    writeArchive: async () => {},
    startContainer: async () => {},
  };
  await executorOn(docker, { bounds }).start({ attempt: "a", token: "secret-token", isIsolated });
  expect(made).toHaveLength(1);
  const { Memory, MemorySwap, PidsLimit } = made[0]!.HostConfig;
  expect([Memory, MemorySwap, PidsLimit]).toEqual([memory, memory, pids]);
  expect(made[0]!.HostConfig["NetworkMode"]).toBe(isIsolated ? "none" : "bridge");
  expect(JSON.stringify(made)).not.toContain("secret-token");
});

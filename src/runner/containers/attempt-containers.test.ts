/** What is asked of Docker for a job that asks for much; what comes of it is tried on a daemon (test/e2e/containers.e2e.ts). */
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { type BuildOptions, type DockerClient, DockerError } from "../../docker/client.ts";
import { AttemptContainers } from "./attempt-containers.ts";
import type { ContainerRequest } from "./container-protocol.ts";

const owned = { "seatrial.dev/instance": "i", "seatrial.dev/owner": "job/a-1" };

interface Body {
  Env: string[];
  Entrypoint?: string[];
  Cmd?: string[];
  Labels: Record<string, string>;
  HostConfig: Record<string, unknown> & { Mounts: Record<string, unknown>[]; CapDrop: string[] };
}

/** A daemon with the runner of attempt `a-1`, which has the networks. */
function openDaemon(networks: string[] = ["bridge"]) {
  const containers = new Map<string, object>();
  const made: Body[] = [];
  const asked: string[] = [];
  const networkBodies: Record<string, unknown>[] = [];
  const runner = {
    Id: "runner-id",
    State: { Status: "running", Running: true },
    Config: { Labels: owned },
    Mounts: [{ Type: "volume", Name: "volume-of-runner", Destination: "/seatrial" }],
    NetworkSettings: { Networks: Object.fromEntries(networks.map((name) => [name, {}])) },
  };
  const docker = {
    container: async (name: string) => await Promise.resolve(name === "seatrial-attempt-a-1" ? runner : containers.get(name)),
    containers: async () => await Promise.resolve([...containers.keys()]),
    image: async (image: string) =>
      await Promise.resolve({ Id: `id of ${image}`, Config: { Entrypoint: ["/entry"], Cmd: ["by", "default"] } }),
    createContainer: async (name: string, body: Body) => {
      made.push(body);
      const container = {
        Id: name,
        Image: "id",
        State: { Status: "created" },
        Config: { Labels: body.Labels, Env: body.Env },
        NetworkSettings: { Networks: {} },
      };
      containers.set(name, container);
      return await Promise.resolve(name);
    },
    startContainer: async (id: string) => {
      asked.push(`start ${id}`);
      (containers.get(id) as { State: object }).State = { Status: "running", Running: true, ExitCode: 0 };
      await Promise.resolve();
    },
    writeArchive: async () => {},
    network: async (name: string) =>
      await Promise.resolve(
        networkBodies.some((body) => body["Name"] === name) ? { Id: `id-${name}`, Name: name, Labels: owned } : undefined,
      ),
    createNetwork: async (body: Record<string, unknown>) => await Promise.resolve(networkBodies.push(body)),
    connect: async (network: string, id: string) => await Promise.resolve(asked.push(`connect ${id} to ${network}`)),
    disconnect: async (network: string, id: string) => await Promise.resolve(asked.push(`disconnect ${id} from ${network}`)),
  } as unknown as DockerClient;
  const attemptContainers = new AttemptContainers({
    docker,
    instance: "i",
    labelsOf: () => owned,
    runnerOf: (attempt) => `seatrial-attempt-${attempt}`,
    directory: "/seatrial/attempt",
    volume: "/seatrial",
    bounds: (isIsolated) => ({ pids: 100, ...(isIsolated ? { memoryBytes: 1_000_000 } : {}) }),
    droppedCapabilities: ["NET_RAW", "SETPCAP"],
  });
  const start = async (request: Partial<ContainerRequest> & Pick<ContainerRequest, "role">, isIsolated = false) => {
    await attemptContainers.start("a-1", { name: "x", image: "img", env: {}, ...request }, "img@sha256:1", isIsolated);
    return made.at(-1)!;
  };
  return { start, made, asked, networkBodies, attemptContainers, docker };
}

test("the job's container has the runner's processes, network and volume, and nothing of the host", async () => {
  const { start } = openDaemon();
  const { HostConfig, Entrypoint, Cmd, Labels, Env } = await start({
    role: "job",
    name: "job",
    env: { A: "b" },
    volumes: ["cache:/var/cache"],
    options: "--memory 2m --cap-drop CHOWN -e C=d",
  });
  expect(HostConfig).toEqual({
    NetworkMode: "container:runner-id",
    PidMode: "container:runner-id",
    Mounts: [
      { Type: "volume", Source: "volume-of-runner", Target: "/seatrial", VolumeOptions: { NoCopy: true } },
      { Type: "volume", Source: "seatrial-attempt-a-1-cache", Target: "/var/cache", ReadOnly: false, VolumeOptions: { Labels } },
    ],
    ReadonlyRootfs: false,
    CapDrop: ["NET_RAW", "SETPCAP", "CHOWN"],
    SecurityOpt: ["no-new-privileges"],
    PidsLimit: 100,
    LogConfig: { Type: "json-file", Config: { "max-size": "10m", "max-file": "1" } },
    Memory: 2 * 1024 ** 2,
    MemorySwap: 2 * 1024 ** 2,
  });
  // The image's own program is not run.
  expect([Entrypoint!.slice(0, 2), Cmd]).toEqual([["sh", "-c"], []]);
  expect(Env).toEqual(["HOME=/github/home", "A=b", "C=d"]);
  expect(Labels).toEqual({ ...owned, "seatrial.dev/attempt": "a-1", "seatrial.dev/image": "img@sha256:1" });
});

test.each<[string, Partial<ContainerRequest>, string]>([
  ["privileges", { options: "--privileged" }, "--privileged is refused"],
  ["a capability", { options: "--cap-add SYS_ADMIN" }, "--cap-add is refused"],
  ["a folder of the host", { volumes: ["/etc:/host"] }, "it is a folder of the host"],
  ["the runner's volume", { volumes: ["own:/seatrial"] }, "is not to be covered"],
  ["the runner's volume, by another way", { volumes: ["own:/x/../seatrial"] }, "without . and .."],
  ["the runner's volume, once more", { volumes: ["//seatrial/"] }, "without . and .."],
])("a request is not believed: %s", async (_name, request, message) => {
  const { start, made } = openDaemon();
  await expect(start({ role: "job", ...request })).rejects.toThrow(message);
  expect(made).toEqual([]);
});

test("whatever it asks for, it gets no more than the runner of a change that is not trusted", async () => {
  const { start } = openDaemon();
  expect((await start({ role: "service", options: "--memory 1g" }, true)).HostConfig).toMatchObject({
    Memory: 1_000_000,
    CapDrop: ["NET_RAW", "SETPCAP"],
  });
});

test("a folder that is not of the attempt is not built from", async () => {
  const { attemptContainers } = openDaemon();
  for (const folder of ["/etc", "/seatrial/attempt/../..", "/seatrial"])
    await expect(attemptContainers.build("a-1", "x", { folder, file: "Dockerfile" }, false)).rejects.toThrow("is no folder of the attempt");
  await expect(attemptContainers.build("a-1", "x", { folder: "/seatrial/attempt/actions", file: "../../x" }, false)).rejects.toThrow(
    "is no folder of the attempt",
  );
});

/** A daemon that builds until it is told, or ended. */
function openBuilds(context: () => Iterable<Buffer> = () => []) {
  let isRunning = true;
  const { promise: begun, resolve: begin } = Promise.withResolvers<BuildOptions>();
  const { promise: built, resolve: finish, reject } = Promise.withResolvers<void>();
  const removed: string[] = [];
  const nothing = async () => await Promise.resolve([]);
  const attemptContainers = new AttemptContainers({
    docker: {
      container: async () =>
        await Promise.resolve(isRunning ? { Id: "runner-id", State: { Running: true }, Config: { Labels: owned } } : undefined),
      readArchive: async () => await Promise.resolve(Readable.from(context())),
      buildImage: async (_tag: string, context: Readable, _signal: undefined, more: BuildOptions) => {
        for await (const _ of context);
        begin(more);
        more.until!.addEventListener("abort", () => reject(more.until!.reason as Error));
        await built;
      },
      image: async () => await Promise.resolve({ Id: "image-id" }),
      removeImage: async (tag: string) => await Promise.resolve(removed.push(tag)),
      containers: nothing,
      networks: nothing,
      volumes: nothing,
      images: nothing,
    } as unknown as DockerClient,
    instance: "i",
    labelsOf: () => owned,
    runnerOf: (attempt) => `seatrial-attempt-${attempt}`,
    directory: "/seatrial/attempt",
    volume: "/seatrial",
    bounds: () => ({ pids: 100, memoryBytes: 1_000_000, cpus: 2 }),
    droppedCapabilities: [],
  });
  const build = attemptContainers.build("a-1", "x", { folder: "/seatrial/attempt/actions", file: "Dockerfile" }, true);
  return { attemptContainers, build, begun, finish, removed, endRunner: () => (isRunning = false) };
}

test("a build has the bounds of the job's containers, and ends with its attempt", async () => {
  const { attemptContainers, build, begun } = openBuilds();
  expect(await begun).toMatchObject({ memoryBytes: 1_000_000, cpus: 2, network: "none" });
  await attemptContainers.removeAll("a-2");
  await attemptContainers.removeAll("a-1");
  await expect(build).rejects.toThrow("the attempt has ended");
});

test("a folder that is too large is not built from", async () => {
  const { build } = openBuilds(function* () {
    for (let i = 0; i <= limits.imageContextBytes; i += 2 ** 24) yield Buffer.alloc(2 ** 24);
  });
  await expect(build).rejects.toThrow(`has more than ${limits.imageContextBytes} bytes`);
});

test("what was built for an attempt that has ended meanwhile is not left behind", async () => {
  const { build, begun, finish, removed, endRunner } = openBuilds();
  await begun;
  endRunner();
  finish();
  await expect(build).rejects.toThrow("the runner of attempt a-1 is gone");
  expect(removed).toEqual(["seatrial/action:a-1-x"]);
});

test("a Docker action's program and arguments, in place of the image's", async () => {
  const { start } = openDaemon();
  const ofImage = await start({ role: "action", name: "a" });
  expect([ofImage.Entrypoint!.slice(0, 2), ofImage.Cmd]).toEqual([
    ["sh", "-c"],
    ["/entry", "by", "default"],
  ]);
  expect((await start({ role: "action", name: "b", command: ["x"] })).Cmd).toEqual(["/entry", "x"]);
  expect((await start({ role: "action", name: "c", entrypoint: ["/own"] })).Cmd).toEqual(["/own"]);
  // A shell would lose what it could not set itself.
  expect((await start({ role: "action", name: "d", env: { "INPUT_A-B": "1" } })).Cmd).toEqual([
    "env",
    "INPUT_A-B=1",
    "/entry",
    "by",
    "default",
  ]);
});

test("services of one attempt share a network, which its runner joins once; one that had none leaves that", async () => {
  const { start, asked, networkBodies, made } = openDaemon(["none"]);
  await Promise.all([
    start({ role: "service", name: "web" }, true),
    start({ role: "service", name: "db", options: "--network-alias d" }, true),
  ]);
  expect(networkBodies).toEqual([
    expect.objectContaining({ Internal: true, Options: { "com.docker.network.bridge.inhibit_ipv4": "true" } }),
  ]);
  expect(asked.slice(0, 2)).toEqual(["disconnect runner-id from none", "connect runner-id to id-seatrial-attempt-a-1"]);
  expect(made.map((body) => (body as unknown as { NetworkingConfig: object }).NetworkingConfig)).toEqual([
    { EndpointsConfig: { "seatrial-attempt-a-1": { Aliases: ["web"] } } },
    { EndpointsConfig: { "seatrial-attempt-a-1": { Aliases: ["db", "d"] } } },
  ]);
});

test("a service may be called as the job's container is, and there is an end to what a job has", async () => {
  const { start, made } = openDaemon();
  await start({ role: "job", name: "job" });
  await start({ role: "service", name: "job" });
  expect(made).toHaveLength(2);
  for (let i = 2; i < limits.attemptContainers; i++) await start({ role: "action", name: `action-${i}` });
  await expect(start({ role: "action", name: "more" })).rejects.toMatchObject({ code: "refused" });
});

test("what was made by a server that died before it was started is started, and not made twice", async () => {
  const { start, made, asked, attemptContainers } = openDaemon();
  await start({ role: "job" });
  await start({ role: "job" });
  expect([made.length, asked]).toEqual([1, ["start seatrial-attempt-a-1-x"]]);
  expect(await attemptContainers.observe("a-1", "x")).toMatchObject({ state: "running", image: "img@sha256:1" });
  expect(await attemptContainers.observe("a-1", "y")).toBeUndefined();
});

test("what everybody can have of an image is what its registry says, not what the host has", async () => {
  const { attemptContainers, docker } = openDaemon();
  const asked: string[] = [];
  const registry = new Map([["ghcr.io/a/b:1", "sha256:1"]]);
  docker.registryDigest = async (reference) => {
    asked.push(reference);
    const digest = registry.get(reference) ?? (reference.includes("@") ? reference.slice(reference.indexOf("@") + 1) : undefined);
    if (digest === undefined) throw new DockerError(403, `tell the digest of ${reference}`, "denied");
    return await Promise.resolve(digest);
  };
  const byDigest = `ghcr.io/a/b@sha256:${"1".repeat(64)}`;
  expect(await attemptContainers.publicDigestOf("ghcr.io/a/b:1")).toBe("ghcr.io/a/b@sha256:1");
  expect(await attemptContainers.publicDigestOf(byDigest.replace("@", ":1@"))).toBe(byDigest);
  await expect(attemptContainers.publicDigestOf("ghcr.io/a/private:1")).rejects.toMatchObject({
    code: "refused",
    message: expect.stringContaining("without credentials, Docker could not tell the digest of ghcr.io/a/private:1: denied"),
  });
  await expect(attemptContainers.publicDigestOf("localhost:5000/a")).rejects.toMatchObject({ code: "refused" });
  expect(asked).toEqual(["ghcr.io/a/b:1", byDigest, "ghcr.io/a/private:1"]);
  const away = new SeatrialError("unreachable", "Docker does not answer", { retryable: true });
  docker.registryDigest = async () => await Promise.reject(away);
  await expect(attemptContainers.publicDigestOf("ghcr.io/a/b:1"), "it is asked again").rejects.toBe(away);
});

import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { environmentFrom } from "../base/environment.ts";
import { SeatrialError } from "../base/errors.ts";
import type { ClusterRecord } from "../clusters/records.ts";
import { labels } from "../docker/ownership.ts";
import type { DockerClient } from "../docker/client.ts";
import { currentProcess, formatIdentity } from "../process/identity.ts";
import type { FoundProgram } from "../programs/programs.ts";
import { reportOf } from "./check.ts";
import { judge } from "./doctor.ts";
import { look, reachesSite, type Sources } from "./look.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "doctor-"));
});

afterEach(async () => {
  // `go version` in a new home starts a telemetry process of its own, which may still write there.
  await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
});

const never = () => new Promise<never>(() => {});
const dead = { ...currentProcess(), startTime: "0" };
const deadLabels = { [labels.instance]: "inst", [labels.owner]: formatIdentity(dead), [labels.uid]: "u2" };

function client(more: Record<string, unknown> = {}): DockerClient {
  return {
    version: async () => ({ Version: "29.0.1", ApiVersion: "1.52", KernelVersion: release() }),
    info: async () => ({
      OperatingSystem: "Debian",
      CgroupVersion: "2",
      MemTotal: 8 * 1024 ** 3,
      DockerRootDir: folder,
      SecurityOptions: ["name=rootless"],
    }),
    images: async ({ reference }: { reference?: string[] }) =>
      reference ? [{ Id: "i", RepoTags: ["kindest/node:v1.36.3"], Labels: null }] : [],
    containers: async () => [],
    networks: async (label: string | undefined) =>
      label === undefined ? [{ Name: "bridge", IPAM: { Config: [{ Subnet: "172.17.0.0/16" }] } }] : [{ Name: "left", Labels: deadLabels }],
    ...more,
  } as unknown as DockerClient;
}

function sources(more: Partial<Sources> = {}, variables: Record<string, string> = {}): Sources {
  return {
    environment: environmentFrom({
      variables: { PATH: join(folder, "bin"), SEATRIAL_HOME: join(folder, "home"), SEATRIAL_CACHE: join(folder, "cache"), ...variables },
      homeDir: folder,
      tempDir: folder,
      uid: 1,
      cwd: folder,
    }),
    platform: "linux",
    programs: {
      look: async ({ name }) => ({ name, path: `/bin/${name}`, version: "v1.0.0", source: "path", steps: [] }) satisfies FoundProgram,
    },
    records: { all: async () => [], unreadable: async () => [] },
    docker: async () => ({ host: { isLocal: true }, client: client() }),
    reaches: async () => false,
    ...more,
  };
}

const inTime = () => AbortSignal.timeout(10_000);
const named = (checks: ReturnType<typeof judge>, name: string) => checks.find((check) => check.name === name);

test("a machine that has it all", async () => {
  const seen = await look(sources(), inTime());
  expect(seen.docker).toMatchObject({
    value: { place: "here", isRootless: true, nodeImages: ["kindest/node:v1.36.3"] },
  });
  expect(seen.networks).toEqual({ value: [{ name: "bridge", subnets: ["172.17.0.0/16"] }] });
  expect(seen.leftovers).toEqual({
    left: [{ what: "network left", reason: `its owner, process ${process.pid}, has ended`, instance: "inst" }],
    unseen: [],
    instance: undefined,
  });
  expect(seen.sites).toEqual({});
  expect(seen.dataFolder).toEqual({ path: join(folder, "home"), trouble: undefined });
  const checks = judge(seen);
  expect(checks.map(({ name }) => name).slice(0, 13)).toEqual([
    "kind",
    "kubectl",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
    "docker-cli",
    "git",
    "ssh",
    "go",
    "docker",
    "node-image",
  ]);
  expect(named(checks, "docker-cli")?.state).toBe("missing");
  expect(reportOf(checks, undefined).ok).toBe(true);
});

test("what never answers costs its time and no more, and takes nothing else with it", async () => {
  const hanging = sources({
    docker: never,
    programs: { look: never },
    records: { all: async () => [{ ...record(), uid: "u1" }], unreadable: async () => ["broken"] },
  });
  const started = performance.now();
  const seen = await look(hanging, AbortSignal.timeout(200));
  expect(performance.now() - started).toBeLessThan(5_000);
  expect(seen.docker).toEqual({ trouble: "no answer within 5 s" });
  expect(seen.programs.etcd).toEqual({ trouble: "no answer within 5 s" });
  expect(seen.leftovers).toMatchObject({
    left: [{ what: "cluster x" }],
    unseen: ["Docker does not answer", "the record of cluster broken cannot be read"],
  });
  expect("value" in seen.dataDisk).toBe(true);
  expect(reportOf(judge(seen), "kind").providers.kind).toEqual({ ok: false, missing: ["docker-cli", "docker"] });
});

test("a daemon that hangs after its first answer", async () => {
  const seen = await look(
    sources({ docker: async () => ({ host: { isLocal: true }, client: client({ networks: never, containers: never }) }) }),
    AbortSignal.timeout(300),
  );
  expect(seen.docker).toHaveProperty("value");
  expect(seen.networks).toEqual({ trouble: "no answer within 5 s" });
  expect(seen.leftovers.unseen).toEqual(["no answer within 5 s"]);
});

test("Docker's error is told with its code and hint", async () => {
  const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
  const docker = async () => {
    throw new SeatrialError("unreachable", "Docker did not answer", { hint: "start it", cause: refused });
  };
  const seen = await look(sources({ docker }), inTime());
  expect(seen.docker).toEqual({ trouble: "Docker did not answer", code: "ECONNREFUSED", hint: "start it" });
  expect(judge(seen).find(({ name }) => name === "subnets")).toMatchObject({ state: "unknown", found: "Docker does not answer" });
});

test.each([
  ["a remote host", { isLocal: false }, "linux", "remote", "cannot be seen from here: Docker is on another host"],
  ["Docker Desktop", { isLocal: true }, "darwin", "vm", "cannot be seen from here: Docker runs in a virtual machine"],
] as const)("%s: its kernel and its disk cannot be seen", async (_, host, platform, place, inotify) => {
  const seen = await look(sources({ platform, docker: async () => ({ host, client: client() }) }), inTime());
  expect(seen.docker).toMatchObject({ value: { place } });
  expect(seen.inotify).toEqual({ trouble: inotify });
  expect(seen.dockerDisk).toHaveProperty("trouble");
  expect(seen.ways).toBeUndefined();
});

test("sites are asked for absent programs alone, each once", async () => {
  const asked: string[] = [];
  const reaches = async (url: string) => {
    asked.push(url);
    return url.includes("github");
  };
  const look2: Sources["programs"]["look"] = async () => undefined;
  const seen = await look(sources({ programs: { look: look2 }, reaches }), inTime());
  expect(asked.toSorted()).toEqual(["https://dl.k8s.io", "https://github.com"]);
  expect(seen.sites).toEqual({ kind: "github.com", kwok: "github.com", etcd: "github.com" });
});

test("a tool's version, whichever stream it takes", async () => {
  const tools = {
    git: "echo git version 2.39.5",
    ssh: "echo OpenSSH_9.2p1 Debian-2, OpenSSL 3 >&2",
    docker: "echo Docker version 29.0.1, build x",
    go: "exit 3",
  };
  await mkdir(join(folder, "bin"));
  for (const [name, script] of Object.entries(tools)) {
    await writeFile(join(folder, "bin", name), `#!/bin/sh\n${script}\n`);
    await chmod(join(folder, "bin", name), 0o755);
  }
  const seen = await look(sources(), inTime());
  const path = (name: string) => join(folder, "bin", name);
  expect(seen.tools).toEqual({
    git: { value: { path: path("git"), version: "2.39.5" } },
    ssh: { value: { path: path("ssh"), version: "9.2p1" } },
    "docker-cli": { value: { path: path("docker"), version: "29.0.1" } },
    go: { value: { path: path("go"), version: undefined } },
  });
});

test("a data folder that cannot be made", async () => {
  await writeFile(join(folder, "file"), "");
  const seen = await look(sources({}, { SEATRIAL_HOME: join(folder, "file", "home") }), inTime());
  expect(seen.dataFolder.trouble).toBe("a part of the path is no folder");
  expect(named(judge(seen), "data-folder")).toMatchObject({ state: "missing", needed: ["kind", "bare"] });
});

test("objects that have a record are counted by it", async () => {
  const records = { all: async () => [record()], unreadable: async () => [] };
  const seen = await look(sources({ records }), inTime());
  expect(seen.leftovers.left).toEqual([{ what: "cluster x", reason: `its owner, process ${process.pid}, has ended`, instance: "inst" }]);
});

test("an image without a tag is told by its id", async () => {
  const untagged = [{ Id: "sha256:1", RepoTags: ["<none>:<none>"], Labels: deadLabels }];
  const images = async ({ reference }: { reference?: string[] }) => (reference ? [] : untagged);
  const seen = await look(
    sources({ docker: async () => ({ host: { isLocal: true }, client: client({ images, networks: async () => [] as never[] }) }) }),
    inTime(),
  );
  expect(seen.leftovers.left.map(({ what }) => what)).toEqual(["image sha256:1"]);
});

test("looking makes nothing", async () => {
  await look(sources(), inTime());
  const seen = await look(sources(), inTime());
  expect(seen.leftovers.instance).toBeUndefined();
  await mkdir(join(folder, "home"));
  await writeFile(join(folder, "home", "instance"), "inst\n");
  expect((await look(sources(), inTime())).leftovers.instance).toBe("inst");
});

test.each([
  ["answers", 200, true],
  ["leads on", 302, true],
  ["lets nobody through", 403, false],
  ["is broken", 502, false],
])("a site that %s", async (_, status, reached) => {
  const server = createServer((_request, answer) => answer.writeHead(status).end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    expect(await reachesSite(`http://127.0.0.1:${port}`, sources().environment, inTime())).toBe(reached);
  } finally {
    server.close();
  }
});

function record(): ClusterRecord {
  return {
    name: "x",
    provider: "bare",
    uid: "u2",
    instance: "inst",
    owner: formatIdentity(dead),
    phase: "Ready",
    createdAt: "2026-08-02T12:00:00Z",
    resource: { apiVersion: "seatrial.dev/v1alpha1", kind: "Cluster", metadata: { name: "x" }, spec: { provider: "bare" } },
  };
}

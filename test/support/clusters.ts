/**
 * What end-to-end tests of clusters and registries share: documents, kubectl, the docker command, taken ports, and killing
 * a command at the moment that a test wants.
 */
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { expect } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import type { ContainerSummary } from "../../src/docker/objects.ts";
import { labels } from "../../src/docker/ownership.ts";
import { freePort } from "../../src/docker/ports.ts";
import { run, type RunOptions, type RunResult } from "../../src/process/run.ts";
import { defaultKubernetesVersion } from "../../src/programs/versions.ts";
import { type Home, kubectlPath, type Ran, type Running, type TestDocker } from "./e2e.ts";

/** The minor version that every node image of the tests has: `v1.36`. */
export const minor = defaultKubernetesVersion.split(".").slice(0, 2).join(".");

export const testImage = "offline/test:1";

/** A name that nobody else on the daemon has. */
export function newName(prefix: string): string {
  return `${prefix}-${randomBytes(3).toString("hex")}`;
}

export interface DeclaredNames {
  cluster: string;
  registry: string;
  registryPort: number;
}

export async function newNames(prefix: string): Promise<DeclaredNames> {
  const cluster = newName(prefix);
  return { cluster, registry: `${cluster}-registry`, registryPort: await freePort() };
}

/** Writes documents into the home's working folder and gives the file's name, as a command is given it. */
export async function writeDocuments(home: Home, file: string, ...documents: object[]): Promise<string> {
  // JSON is YAML: what a test declares is written as the object that it is.
  await writeFile(join(home.cwd, file), documents.map((document) => `${JSON.stringify(document, null, 2)}\n`).join("---\n"));
  return file;
}

/** Expects that a command succeeded, and gives what it printed. */
export function ok(ran: Ran): Ran {
  expect(ran, `exit code ${ran.code}\n--- stdout\n${ran.stdout}\n--- stderr\n${ran.stderr}`).toMatchObject({ code: 0 });
  return ran;
}

/** Expects that a command failed with an exit code and a message, and not by a defect of ours. */
export function refused(ran: Ran, code: number, ...messages: (string | RegExp)[]): Ran {
  const said = `exit code ${ran.code}\n--- stdout\n${ran.stdout}\n--- stderr\n${ran.stderr}`;
  expect(ran.code, said).toBe(code);
  expect(ran.stderr, said).not.toMatch(/this is a defect of Seatrial/);
  for (const message of messages) {
    if (typeof message === "string") expect(ran.stderr, said).toContain(message);
    else expect(ran.stderr, said).toMatch(message);
  }
  return ran;
}

export async function docker(on: TestDocker, ...args: string[]): Promise<string> {
  return (await run("docker", args, { env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...on.variables }, timeoutMs: 120_000 }))
    .stdout;
}

export async function kubectl(kubeconfig: string, args: readonly string[], options: Partial<RunOptions> = {}): Promise<RunResult> {
  return await run(await kubectlPath(), args, {
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], KUBECONFIG: kubeconfig },
    timeoutMs: 240_000,
    ...options,
  });
}

export function kubeconfigOf(home: Home, cluster: string): string {
  return join(home.data, "clusters", cluster, "kubeconfig");
}

/** The containers of a kind cluster, whoever made it. */
export async function nodesOf(on: TestDocker, cluster: string): Promise<ContainerSummary[]> {
  return await on.client.containers([`io.x-k8s.kind.cluster=${cluster}`]);
}

/** Names of everything on the daemon that an installation owns. */
export async function ownedBy(on: TestDocker, instance: string): Promise<string[]> {
  const label = `${labels.instance}=${instance}`;
  const [containers, networks, volumes, images] = await Promise.all([
    on.client.containers([label]),
    on.client.networks(label),
    on.client.volumes(label),
    on.client.images({ label: [label] }),
  ]);
  return [
    ...containers.map(({ Names }) => `container ${Names[0]?.slice(1)}`),
    ...networks.map(({ Name }) => `network ${Name}`),
    ...volumes.map(({ Name }) => `volume ${Name}`),
    ...images.map(({ RepoTags, Id }) => `image ${RepoTags?.[0] ?? Id}`),
  ].toSorted();
}

/** Volumes that containers use, by name: anonymous ones carry no label of ours. */
export async function volumesOf(on: TestDocker, containers: readonly { Id: string }[]): Promise<string[]> {
  const details = await Promise.all(containers.map(async ({ Id }) => await on.client.container(Id)));
  return details.flatMap((each) => each?.Mounts.flatMap(({ Type, Name }) => (Type === "volume" && Name ? [Name] : [])) ?? []);
}

export async function volumesThatExist(on: TestDocker, names: readonly string[]): Promise<string[]> {
  const all = new Set((await docker(on, "volume", "ls", "-q")).split("\n"));
  return names.filter((name) => all.has(name));
}

/** Kills a command, as `kill -9` does, as soon as `look` sees what the test waits for. */
export async function killWhen(running: Running, what: string, look: () => Promise<boolean> | boolean): Promise<void> {
  await waitFor(
    what,
    async () => {
      if (running.child.exitCode !== null)
        throw new Error(`the command ended before ${what} was seen:\n${JSON.stringify(running.output(), null, 2)}`);
      return (await look()) ? true : undefined;
    },
    { timeoutMs: 120_000, pollMs: 5 },
    () => JSON.stringify(running.output()),
  );
  running.child.kill("SIGKILL");
  await running.ended;
}

/** A port of 127.0.0.1 that another program holds until it is disposed of. */
export async function takePort(port = 0): Promise<{ port: number } & AsyncDisposable> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => await new Promise<void>((resolve) => void server.close(() => resolve())),
  };
}

/** Pushes an image of no layers by plain HTTP, as a client on this machine does. */
export async function pushByHttp(port: number, repository: string, tag: string): Promise<void> {
  const base = `http://127.0.0.1:${port}/v2/${repository}`;
  const config = Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } }));
  const digest = `sha256:${(await crypto.subtle.digest("SHA-256", config).then((hash) => Buffer.from(hash))).toString("hex")}`;
  const started = await fetch(`${base}/blobs/uploads/`, { method: "POST" });
  expect(started.status).toBe(202);
  const location = new URL(started.headers.get("location")!, base);
  location.searchParams.set("digest", digest);
  expect((await fetch(location, { method: "PUT", body: config, headers: { "content-type": "application/octet-stream" } })).status).toBe(
    201,
  );
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: config.length },
    layers: [],
  };
  const put = await fetch(`${base}/manifests/${tag}`, {
    method: "PUT",
    body: JSON.stringify(manifest),
    headers: { "content-type": mediaType },
  });
  expect(put.status).toBe(201);
}

export async function catalogOf(port: number): Promise<string[]> {
  const answer = await fetch(`http://127.0.0.1:${port}/v2/_catalog`);
  return ((await answer.json()) as { repositories: string[] }).repositories;
}

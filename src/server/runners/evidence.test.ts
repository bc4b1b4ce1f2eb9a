/** What is kept of a job's clusters. A stand-in for their API, and for their provider: what they say is what counts here. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { limits } from "../../base/limits.ts";
import type { KeepFile } from "../../clusters/keep.ts";
import { type ClusterApiContent, serveClusterApi } from "../../clusters/testdata/cluster-api.ts";
import type { Workspace } from "../../controllers/workspace.ts";
import { keepEvidence, keepFailedBoots } from "./evidence.ts";
import type { SettleStores } from "./settle.ts";
import { openTestStores } from "../testdata/stores.ts";

let directory: string;
let stores: SettleStores;

beforeEach(async () => {
  ({ directory, stores } = await openTestStores());
  const jobRun = { name: "job", uid: "uid-job" };
  await stores.history.attempts.open({ uid: "attempt", jobRun, number: 1, tokenHash: "", executor: "host", host: "" }, new Date());
});

const key = `-----BEGIN EC PRIVATE KEY-----\n${"MHcCAQEEIJ0pT8oAbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEfGhIjKl"}\nAwEHoUQDQgAE==\n-----END EC PRIVATE KEY-----\n`;

/** @param nodes what the provider keeps. @returns what could not be kept, and the artifacts. */
async function evidence(
  content: ClusterApiContent,
  options: { secrets?: () => Promise<string[]>; nodes?: (keep: KeepFile) => Promise<void>; stores?: SettleStores; mostBytes?: number } = {},
) {
  const { secrets = async () => await Promise.resolve([]), nodes = async () => {} } = options;
  const api = await serveClusterApi(content, key);
  onTestFinished(async () => await api[Symbol.asyncDispose]());
  const folder = await mkdtemp(join(tmpdir(), "kubeconfig-"));
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  const kubeconfig = join(folder, "kubeconfig");
  await writeFile(kubeconfig, api.kubeconfig);
  const provider = { collectLogs: async (_target: object, keep: KeepFile) => await nodes(keep) };
  const record = { name: "st-1", uid: "1", provider: "bare" };
  const workspace = {
    records: { read: async () => await Promise.resolve(record), targetOf: () => ({}) },
    onHost: async () => await Promise.resolve({ provider: async () => await Promise.resolve(provider) }),
  } as unknown as Workspace;
  const told = await keepEvidence(workspace, options.stores ?? stores, {
    attempt: "attempt",
    clusters: [{ name: "cluster", cluster: "st-1", kubeconfig }],
    isWhole: true,
    mostBytes: options.mostBytes,
    secrets,
  });
  return { told, paths: (await stores.history.queries.artifacts("attempt", { limit: 100 })).items.map(({ path }) => path) };
}

async function textOf(path: string): Promise<string> {
  const { items } = await stores.history.queries.artifacts("attempt", { limit: 100 });
  const found = items.find((artifact) => artifact.path === path);
  const chunks: Buffer[] = [];
  for await (const chunk of await stores.objects.get(found!.key)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

/** All bytes of the data folder: the database with what it writes ahead, the objects, and what is half written. */
async function allBytes(): Promise<string> {
  const files = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  return (await Promise.all(files.map(async ({ parentPath, name }) => (await readFile(join(parentPath, name))).toString("latin1")))).join(
    "\0",
  );
}

const canary = "canary-in-the-coal-mine";
const token = "token-of-the-cluster-0123456789";

test("a canary of the job and the keys of its cluster, in an event, a pod's log, its name and a node's log, are masked before they are stored", async () => {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const said = (text: string) => `before ${text} ${base64(text)} ${encodeURIComponent(text)} after\n`;
  const pod = { metadata: { namespace: "default", name: `pod-${canary}` }, spec: { containers: [{ name: "main" }] } };
  const halves = [`half of it: ${canary.slice(0, 9)}`, `${canary.slice(9)} in two chunks\n`];
  const { told, paths } = await evidence(
    {
      token,
      events: [
        {
          metadata: { name: "e", uid: "e" },
          reason: canary,
          message: `${"x".repeat(limits.eventMessageLength - 8)}${canary}`,
          involvedObject: { kind: "Pod", name: pod.metadata.name },
        },
      ],
      pods: [pod],
      logs: { main: said(canary) + said(token) + said(key) },
    },
    {
      secrets: async () => await Promise.resolve([canary]),
      nodes: async (keep) => {
        await keep(
          "a/journal.log",
          (async function* () {
            for (const half of halves) yield await Promise.resolve(Buffer.from(half));
          })(),
        );
        await keep("a/kubeconfig.log", `client-key-data: ${base64(key)}\n`);
      },
    },
  );
  expect(told).toEqual([]);
  expect(paths).toHaveLength(5);
  expect(await textOf("clusters/cluster/nodes/a/journal.log")).toBe("half of it: *** in two chunks\n");
  expect(await textOf("clusters/cluster/nodes/a/kubeconfig.log")).toMatch(/^client-key-data: \*\*\*.{0,4}\n$/);
  expect(await textOf("clusters/cluster/pods/default_pod-***_main.log")).toMatch(/^before \*\*\* .{0,4}\*\*\*.{0,4} \*\*\* after\n/);
  const [event] = (await stores.history.queries.clusterEvents("attempt", { limit: 9 })).items;
  expect(event).toMatchObject({ reason: "***", object: "Pod/pod-***", message: expect.stringMatching(/^x+\*+$/) });
  const all = await allBytes();
  expect(all).toContain("half of it: ");
  for (const secret of [canary, token, key.trim(), key.split("\n")[1]!]) {
    for (const form of [secret, base64(secret).slice(0, -4), encodeURIComponent(secret)]) expect(all).not.toContain(form);
  }
  for (const beginning of [canary.slice(0, 6), "MHcCAQ"]) expect(all).not.toContain(beginning);
});

test("where the secrets cannot be had nothing is stored", async () => {
  const secrets = async () => await Promise.reject(new Error("the key is not there"));
  const events = [{ metadata: { name: "e", uid: "e" }, message: canary }];
  await expect(evidence({ events }, { secrets })).rejects.toThrow("the key is not there");
  expect(await allBytes()).not.toContain(canary);
});

test("what is no text is left out: it may be packed, and then nothing of it can be masked", async () => {
  const { paths } = await evidence({}, { nodes: async (keep) => await keep("a/rotated.gz", Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0])) });
  expect(paths).toEqual(["clusters/cluster/events.txt"]);
});

test("of more than the bound the first bytes are kept, and the job's message says so", async () => {
  const mostBytes = 100_000;
  const piece = Buffer.alloc(7_000, "x");
  let read = 0;
  async function* much() {
    for (; read < mostBytes + 5 * piece.length; read += piece.length) yield await Promise.resolve(piece);
  }
  const { told, paths } = await evidence(
    {},
    {
      mostBytes,
      nodes: async (keep) => {
        await keep("a/much.log", much());
        await keep("a/after.log", "y");
      },
    },
  );
  expect(told).toEqual([`of cluster cluster not all could be kept: it has more than ${mostBytes} bytes`]);
  expect(paths).not.toContain("clusters/cluster/nodes/a/after.log");
  const { objects } = await stores.objects.list({ prefix: "", limit: 100 });
  expect(objects.reduce((sum, { size }) => sum + size, 0)).toBe(mostBytes);
  expect(read).toBeGreaterThan(mostBytes); // An archive goes on after a file that is cut.
});

test("a file that finds no room among the artifacts is not left in the object store, and the message says so", async () => {
  const full = { recordArtifact: async () => await Promise.resolve(false), recordClusterEvents: async () => await Promise.resolve(0) };
  const { told } = await evidence(
    {},
    { stores: { ...stores, history: { ...stores.history, attempts: full } as unknown as SettleStores["history"] } },
  );
  expect(told).toEqual([expect.stringContaining(`an attempt may have ${limits.attemptArtifacts} artifacts`)]);
  expect((await stores.objects.list({ prefix: "", limit: 9 })).objects).toEqual([]);
});

test("a file whose name is no key is left out, and the message says so", async () => {
  const { told, paths } = await evidence({}, { nodes: async (keep) => await keep("a/b\u0007ll.log", "x") });
  expect(told).toEqual([expect.stringContaining("a file has a name that cannot be kept")]);
  expect(paths).toEqual(["clusters/cluster/events.txt"]);
});

test("logs of boots that failed go from their folder to the artifacts, masked; a second look finds nothing to do", async () => {
  const folder = await mkdtemp(join(tmpdir(), "failures-"));
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  const boot = join(folder, "st-a-0-01", "nodes");
  await mkdir(boot, { recursive: true });
  await writeFile(join(boot, "kube-apiserver.log"), `it hangs with ${canary}\n`);
  const keep = async (secrets: () => Promise<string[]>) => await keepFailedBoots(stores, "attempt", folder, secrets);
  await expect(keep(async () => await Promise.reject(new Error("the key is not there")))).rejects.toThrow("the key is not there");
  for (const _look of [1, 2]) expect(await keep(async () => await Promise.resolve([canary]))).toEqual([]);
  expect(await textOf("clusters/st-a-0-01/nodes/kube-apiserver.log")).toBe("it hangs with ***\n");
  expect(existsSync(folder)).toBe(false);
});

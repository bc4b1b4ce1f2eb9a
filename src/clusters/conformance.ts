/**
 * What provider.ts promises, held against every provider: the same tests for each, on real clusters.
 *
 * One cluster serves all tests of a provider, in order. A provider that cannot do something says so in `skip`, with the
 * reason; nothing is left out in silence.
 */
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test, type TestContext } from "vitest";
import type { Ownership } from "../docker/ownership.ts";
import { KubeClient, parseKubeconfig } from "../kube/client.ts";
import type { Cluster } from "../resources/cluster.ts";
import { newUid } from "./boot.ts";
import { keepIn } from "./keep.ts";
import type { ClusterProvider, Target } from "./provider.ts";
import { waitUntilReady } from "./ready.ts";
import { type ClusterRecord, type ClusterRecords, recordOf } from "./records.ts";

/** What a test of a provider is given, once for all tests of a file. */
export interface ProviderUnderTest {
  provider: ClusterProvider;
  records: ClusterRecords;
  /** Id of the installation that owns what is made. */
  instance: string;
  /** What the cluster shall be; its name is nobody else's. */
  cluster: Cluster;
  /** Stops all parts as a shutdown of the machine does: what they keep is kept. */
  stop(target: Target): Promise<void>;
  /** Kills one part, without which the cluster is none. */
  kill(target: Target): Promise<void>;
  /** Everything of a creation that can be found outside, by name; empty when nothing is left. */
  leftOf(target: Target): Promise<string[]>;
  /** An image of the host that can be loaded. Only with nodes. */
  image?: string | undefined;
  close(): Promise<void>;
}

export type ProviderTest = "kubeconfig" | "list" | "logs" | "images" | "stop and start" | "trouble" | "delete" | "half-made";

export interface ProviderSuite {
  name: string;
  /** Called by the first test; may skip it, and with it all others. */
  create(context: Pick<TestContext, "skip">): Promise<ProviderUnderTest>;
  skip: { reason: string; tests: ProviderTest[] }[];
}

export function describeProvider(suite: ProviderSuite): void {
  describe(`provider ${suite.name}`, () => {
    let booted: Promise<Booted> | undefined;
    const boot = async (context: TestContext, name?: ProviderTest): Promise<Booted> => {
      const reason = suite.skip.find(({ tests }) => name !== undefined && tests.includes(name))?.reason;
      if (reason !== undefined) context.skip(reason);
      booted ??= bootDeclared(await suite.create(context));
      return await booted;
    };
    afterAll(async () => {
      const all = await booted?.catch(() => undefined);
      if (!all) return;
      await all.provider.delete(all.target);
      await all.records.remove(all.target.name);
      await all.close();
    });

    test("nothing there: delete is success, and nothing of it is listed", async (context) => {
      const under = await suite.create(context);
      try {
        const target = under.records.targetOf(
          recordOf(under.cluster, { instance: under.instance, owner: "declared" }, newUid(), new Date()),
        );
        await under.provider.delete(target);
        expect(await under.provider.trouble(target)).toBeDefined();
        expect((await under.provider.list()).some(({ name }) => name === target.name)).toBe(false);
      } finally {
        await under.close();
      }
    });

    test("create, then Ready with what is expected of it", async (context) => {
      const all = await boot(context);
      const expected = all.provider.expectations(all.cluster);
      expect(expected.nodes > 0).toBe(all.provider.capabilities.hasNodes || (all.cluster.spec.bare?.components?.includes("kwok") ?? false));
      await all.api(async (client) => {
        await waitUntilReady(all.provider, all.target, expected, client);
        expect(await client.list("/api/v1/nodes")).toHaveLength(expected.nodes);
      });
      expect(await all.provider.trouble(all.target)).toBeUndefined();
    });

    test("the kubeconfig is its user's alone, has the cluster's context, and can be written anew", async (context) => {
      const all = await boot(context, "kubeconfig");
      expect((await stat(all.kubeconfig)).mode & 0o077).toBe(0);
      const before = parseKubeconfig(await readFile(all.kubeconfig, "utf8"), all.kubeconfig);
      expect(before.context).toBe(`${all.cluster.spec.provider}-${all.target.name}`);
      await rm(all.kubeconfig);
      await all.provider.writeKubeconfig(all.target, all.kubeconfig);
      const after = parseKubeconfig(await readFile(all.kubeconfig, "utf8"), all.kubeconfig);
      expect(after).toMatchObject({ context: before.context, server: before.server, ca: before.ca });
      await all.api(async (client) => expect(await client.text("/readyz")).toBe("ok"));
    });

    test("list shows it with whose it is and what was asked for", async (context) => {
      const all = await boot(context, "list");
      const observed = (await all.provider.list()).filter(({ name }) => name === all.target.name);
      expect(observed).toHaveLength(1);
      expect(observed[0]).toMatchObject({
        provider: all.provider.name,
        uid: all.target.uid,
        ownership: all.ownership,
        resource: all.cluster,
        state: "running",
      });
      expect(observed[0]!.parts.length).toBeGreaterThan(0);
      expect(Math.abs(Date.now() - observed[0]!.createdAt.getTime())).toBeLessThan(3_600_000);
    });

    test("its logs are collected, also into a folder that is there", async (context) => {
      const all = await boot(context, "logs");
      const folder = await mkdtemp(join(tmpdir(), "logs-"));
      try {
        for (let i = 0; i < 2; i++) await all.provider.collectLogs(all.target, keepIn(folder));
        const files = await readdir(folder, { recursive: true });
        expect(
          files.some((file) => /kube-apiserver.*\.log$/.test(file)),
          files.join("\n"),
        ).toBe(true);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });

    test("images are put into each node once", async (context) => {
      const all = await boot(context, "images");
      if (!all.image) context.skip("there is no image to load");
      const [first, second] = [
        await all.provider.loadImages!(all.target, [all.image!]),
        await all.provider.loadImages!(all.target, [all.image!]),
      ];
      expect(first).toHaveLength(all.provider.expectations(all.cluster).nodes);
      expect(first.every(({ wasCopied }) => wasCopied)).toBe(true);
      expect(second).toEqual(first.map((each) => ({ ...each, wasCopied: false })));
      await expect(all.provider.loadImages!(all.target, ["no/such-image:1"])).rejects.toMatchObject({ code: "not-found" });
    });

    test("stopped and started it is the same cluster at the same address", async (context) => {
      const all = await boot(context, "stop and start");
      const server = await all.api(async (client) => {
        await client.apply("/api/v1/namespaces/default/configmaps/kept", {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name: "kept", namespace: "default" },
        });
        return client.config.server;
      });
      await all.stop(all.target);
      expect((await all.provider.list()).find(({ name }) => name === all.target.name)?.state).toBe("stopped");
      expect(await all.provider.trouble(all.target)).toBeDefined();
      await all.provider.start(all.target);
      await all.provider.writeKubeconfig(all.target, all.kubeconfig);
      await all.api(async (client) => {
        await waitUntilReady(all.provider, all.target, all.provider.expectations(all.cluster), client);
        expect(client.config.server).toBe(server);
        expect(await client.get("/api/v1/namespaces/default/configmaps/kept")).toBeDefined();
      });
      await all.provider.start(all.target); // What runs is left alone.
      await all.api(async (client) => expect(await client.text("/readyz")).toBe("ok"));
    });

    test("a part that was killed is trouble, and the wait for Ready ends at once", async (context) => {
      const all = await boot(context, "trouble");
      await all.kill(all.target);
      await expect.poll(async () => await all.provider.trouble(all.target), { timeout: 10_000 }).toBeDefined();
      const from = performance.now();
      await all.api(async (client) => {
        const waiting = waitUntilReady(all.provider, all.target, { ...all.provider.expectations(all.cluster), nodes: 99 }, client);
        await expect(waiting).rejects.toMatchObject({ code: "command-failed", message: expect.stringContaining("will not become Ready") });
      });
      expect(performance.now() - from).toBeLessThan(30_000);
    });

    test("delete removes every part, and can be done again", async (context) => {
      const all = await boot(context, "delete");
      expect(await all.leftOf(all.target)).not.toEqual([]);
      await all.provider.delete(all.target);
      expect(await all.leftOf(all.target)).toEqual([]);
      await all.provider.delete(all.target);
      await all.records.remove(all.target.name);
      expect((await all.provider.list()).some(({ name }) => name === all.target.name)).toBe(false);
    });

    test("a create that is cut short throws the signal's reason, and delete removes what there is of it", async (context) => {
      const all = await boot(context, "half-made");
      const record = recordOf(all.cluster, all.ownership, newUid(), new Date());
      const target = all.records.targetOf(record);
      await all.records.write(record);
      const abort = new AbortController();
      const reason = new Error("the user has had enough");
      const creating = createFrom(all, record, abort.signal);
      creating.catch(() => {}); // Awaited below.
      await expect.poll(async () => (await all.leftOf(target)).length, { timeout: 60_000, interval: 10 }).toBeGreaterThan(0);
      abort.abort(reason);
      await expect(creating).rejects.toBe(reason);
      await all.provider.delete(target);
      expect(await all.leftOf(target)).toEqual([]);
      await all.records.remove(target.name);
      expect(existsSync(target.directory)).toBe(false);
    });
  });
}

interface Booted extends ProviderUnderTest {
  record: ClusterRecord;
  target: Target;
  ownership: Ownership;
  kubeconfig: string;
  /** Asks the API as the kubeconfig says. */
  api<T>(work: (client: KubeClient) => Promise<T>): Promise<T>;
}

async function bootDeclared(under: ProviderUnderTest): Promise<Booted> {
  const { provider, records, cluster, instance } = under;
  expect(provider.validate(cluster)).toEqual([]);
  const ownership: Ownership = { instance, owner: "declared" };
  const apiServerPort = await provider.choosePort?.(cluster);
  const record = { ...recordOf(cluster, ownership, newUid(), new Date()), ...(apiServerPort ? { apiServerPort } : {}) };
  const kubeconfig = records.kubeconfigOf(cluster.metadata.name);
  await records.write(record);
  await createFrom(under, record);
  const api = async <T>(work: (client: KubeClient) => Promise<T>): Promise<T> => {
    await using client = new KubeClient(parseKubeconfig(await readFile(kubeconfig, "utf8"), kubeconfig));
    return await work(client);
  };
  return { ...under, record, target: records.targetOf(record), ownership, kubeconfig, api };
}

async function createFrom(
  { provider, records, cluster, instance }: ProviderUnderTest,
  record: ClusterRecord,
  signal?: AbortSignal,
): Promise<void> {
  await provider.create({
    cluster,
    uid: record.uid,
    ownership: { instance, owner: "declared" },
    directory: records.directoryOf(record.name),
    kubeconfig: records.kubeconfigOf(record.name),
    apiServerPort: record.apiServerPort,
    onProgress: () => {},
    signal,
  });
}

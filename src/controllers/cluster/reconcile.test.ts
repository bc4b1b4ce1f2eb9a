import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { environmentFrom } from "../../base/environment.ts";
import { SeatrialError } from "../../base/errors.ts";
import type { ClusterProvider, ObservedCluster } from "../../clusters/provider.ts";
import { ClusterRecords } from "../../clusters/records.ts";
import type { Cluster } from "../../resources/cluster.ts";
import type { OpenDocker, Workspace } from "../workspace.ts";
import { listClusters } from "./observe.ts";
import { demoRecord } from "./testdata/record.ts";
import { applyCluster, type ApplyClusterOptions, deleteCluster, kubeconfigOf } from "./reconcile.ts";

const desired: Cluster = {
  apiVersion: "seatrial.dev/v1alpha1",
  kind: "Cluster",
  metadata: { name: "demo" },
  spec: { provider: "kind" },
};
const observed: ObservedCluster = {
  provider: "kind",
  name: "demo",
  uid: "u1",
  ownership: { instance: "me", owner: "declared" },
  resource: desired,
  state: "running",
  createdAt: new Date(0),
  parts: ["c1"],
};
const [hostA, hostB] = ["unix:///a.sock", "unix:///b.sock"];
const record = demoRecord({}, { dockerHost: hostA, resource: desired });
const own = `apiVersion: v1
kind: Config
clusters:
- {name: kind-demo, cluster: {server: "https://127.0.0.1:1", certificate-authority-data: Q0E=}}
users:
- {name: kind-demo, user: {token: t}}
contexts:
- {name: kind-demo, context: {cluster: kind-demo, user: kind-demo}}
current-context: kind-demo
`;
const options: ApplyClusterOptions = { mayRecreate: false, mayAdopt: false, mustCreate: false, mergesKubeconfig: false };

let folder: string;
let records: ClusterRecords;
/** What is on each Docker host; a host that is not in it does not answer. */
let hosts: Map<string, ObservedCluster[]>;
let said: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "reconcile-"));
  const made = folder;
  onTestFinished(async () => await rm(made, { recursive: true, force: true }));
  records = new ClusterRecords(folder);
  hosts = new Map([
    [hostA, [observed]],
    [hostB, []],
  ]);
  said = [];
  await records.write(record);
});

/** A stand-in for kind: its clusters are entries of a list. None is ever made, see `throttle` below. */
function providerOn(address: string): ClusterProvider {
  const clusters = () => {
    const found = hosts.get(address);
    if (!found) throw new SeatrialError("unreachable", `Docker at ${address} does not answer`);
    return found;
  };
  return {
    name: "kind",
    capabilities: { hasNodes: true, needsDocker: true },
    list: async () => clusters(),
    delete: async ({ uid }) =>
      void hosts.set(
        address,
        clusters().filter((cluster) => cluster.uid !== uid),
      ),
    writeKubeconfig: async (_target, path) => {
      if (clusters().length === 0) throw new SeatrialError("not-found", "cluster demo has no control-plane container");
      await writeFile(path, own);
    },
  } satisfies Partial<ClusterProvider> as unknown as ClusterProvider;
}

/** A command whose environment names that Docker host. */
function commandOn(address: string, KUBECONFIG = join(folder, "user")): Workspace {
  const environment = environmentFrom({
    variables: { KUBECONFIG, DOCKER_HOST: address },
    homeDir: folder,
    tempDir: folder,
    uid: 1,
    cwd: folder,
  });
  const bare = { name: "bare", capabilities: { hasNodes: false, needsDocker: false }, list: async () => [] };
  const workspace: Workspace = {
    environment,
    output: { out: () => {}, write: () => {}, err: (line) => said.push(line) },
    records,
    failuresDir: join(folder, "failures"),
    instance: async () => "me",
    docker: async () => ({ address }) as OpenDocker,
    provider: async (name) => (name === "kind" ? providerOn(address) : (bare as unknown as ClusterProvider)),
    throttle: async () => {
      throw new Error(`would be made on ${address}`);
    },
    onHost: async (other) => (other === undefined || other === address ? workspace : commandOn(other, KUBECONFIG)),
  };
  return workspace;
}

describe("apply with another DOCKER_HOST than the cluster's", () => {
  const conflict = {
    code: "conflict",
    message: `cluster demo is on ${hostA}, and this command speaks to ${hostB}; nothing was touched`,
  };

  test.each<[string, Partial<ApplyClusterOptions>, ObservedCluster[] | undefined]>([
    ["is refused", {}, [observed]],
    ["is refused with --recreate and --adopt", { mayRecreate: true, mayAdopt: true }, [observed]],
    ["is refused while the cluster has stopped", {}, [{ ...observed, state: "stopped" }]],
    ["is refused while the cluster's own host does not answer", {}, undefined],
  ])("%s", async (_, more, there) => {
    if (there) hosts.set(hostA, there);
    else hosts.delete(hostA);
    await expect(applyCluster(commandOn(hostB), desired, { ...options, ...more })).rejects.toMatchObject(conflict);
    expect(hosts.get(hostA)).toEqual(there);
    expect(await records.read("demo")).toEqual(record);
  });

  test("is refused where this host has another cluster of this installation under that name", async () => {
    hosts.set(hostB, [{ ...observed, uid: "u2", parts: ["c2"] }]);
    const larger = { ...desired, spec: { ...desired.spec, nodes: 2 } };
    await expect(applyCluster(commandOn(hostB), larger, { ...options, mayRecreate: true })).rejects.toMatchObject(conflict);
    expect([...hosts.values()].map((clusters) => clusters.length)).toEqual([1, 1]);
  });

  test("goes on where that is another name of the same daemon", async () => {
    const paused = [{ ...observed, state: "paused" as const }];
    hosts = new Map([
      [hostA, paused],
      [hostB, paused],
    ]);
    await expect(applyCluster(commandOn(hostB), desired, options)).rejects.toThrow("cluster demo is paused");
  });

  test("makes it here when its own host says that it is gone", async () => {
    hosts.set(hostA, []);
    await expect(applyCluster(commandOn(hostB), desired, options)).rejects.toThrow(`would be made on ${hostB}`);
    expect(said).toEqual(["cluster demo: made anew, for nothing of it is there any more"]);
  });

  test("delete goes to the cluster's own host", async () => {
    expect(await deleteCluster(commandOn(hostB), "demo")).toBe(true);
    expect(hosts.get(hostA)).toEqual([]);
    expect(await records.read("demo")).toBeUndefined();
  });
});

describe("the user's kubeconfig is looked at before anything is made", () => {
  const merging = { ...options, mergesKubeconfig: true };

  test("a file that is none", async () => {
    await writeFile(join(folder, "user"), "- a list\n");
    hosts.clear(); // Asked, they would not answer.
    await expect(applyCluster(commandOn(hostA), desired, merging)).rejects.toMatchObject({ code: "invalid" });
  });

  test("the null device: said in one line, and the apply goes on", async () => {
    hosts.set(hostA, [{ ...observed, state: "paused" }]);
    await expect(applyCluster(commandOn(hostA, "/dev/null"), desired, merging)).rejects.toThrow("cluster demo is paused");
    expect(said).toEqual(["cluster demo: merged into no kubeconfig, for KUBECONFIG is /dev/null"]);
  });
});

describe("delete, whatever the user's kubeconfig is", () => {
  beforeEach(async () => await writeFile(records.kubeconfigOf("demo"), own));

  test("damaged, with the cluster's name in it: told, and deleted", async () => {
    await writeFile(join(folder, "user"), `${own}\nclusters: [`);
    expect(await deleteCluster(commandOn(hostA), "demo")).toBe(true);
    expect(hosts.get(hostA)).toEqual([]);
    expect(said).toEqual([
      expect.stringMatching(/^cluster demo: its entries in .*user, if there are any, stay there: .* is not a kubeconfig/),
    ]);
  });

  test("a folder: nothing to say", async () => {
    await mkdir(join(folder, "user"));
    expect(await deleteCluster(commandOn(hostA), "demo")).toBe(true);
    expect(hosts.get(hostA)).toEqual([]);
    expect(said).toEqual([]);
  });
});

describe("the cluster's own kubeconfig", () => {
  const path = () => records.kubeconfigOf("demo");

  test.each([
    ["deleted", undefined],
    ["damaged", "clusters: ["],
  ])("%s, it is written anew by the cluster's own host", async (_, text) => {
    if (text) await writeFile(path(), text);
    expect(await kubeconfigOf(commandOn(hostB), record)).toBe(path());
    expect(await readFile(path(), "utf8")).toBe(own);
  });

  test("usable, nobody is asked for it", async () => {
    await writeFile(path(), own);
    hosts.clear();
    expect(await kubeconfigOf(commandOn(hostA), record)).toBe(path());
  });

  test.each<[string, () => unknown, object]>([
    ["its host does not answer", () => hosts.clear(), { code: "unreachable", hint: expect.stringContaining("seatrial apply") as string }],
    [
      "its containers are gone",
      () => hosts.set(hostA, []),
      { code: "not-found", hint: expect.stringContaining("seatrial apply") as string },
    ],
    [
      "it is only half made",
      async () => await records.write({ ...record, phase: "Booting" }),
      { code: "conflict", message: "cluster demo is Booting: it has no kubeconfig" },
    ],
  ])("gone, and %s: an error", async (_, happens, error) => {
    await happens();
    await expect(kubeconfigOf(commandOn(hostA), record)).rejects.toMatchObject(error);
  });

  test("gone, the cluster is not said to be Ready: nobody has asked it", async () => {
    expect((await listClusters(commandOn(hostA)))[0]?.status).toMatchObject({
      phase: "Unreachable",
      error: `${path()} is gone; seatrial kubeconfig demo writes it anew`,
    });
  });
});

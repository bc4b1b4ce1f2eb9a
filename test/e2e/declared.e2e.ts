/** Clusters and registries, declared like ctlptl: applied, used, applied again, changed, taken over, deleted. */
import { readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { afterAll, describe, expect, type TestContext, test } from "vitest";
import { networkName } from "../../src/clusters/kind.ts";
import type { ClusterRecord } from "../../src/clusters/records.ts";
import { run } from "../../src/process/run.ts";
import { Programs } from "../../src/programs/programs.ts";
import { findNodeImage } from "../../src/clusters/node-image.ts";
import { scriptEnvironment } from "../../scripts/docker-choice.ts";
import {
  catalogOf,
  type DeclaredNames,
  docker,
  kubeconfigOf,
  kubectl,
  minor,
  newName,
  newNames,
  nodesOf,
  ok,
  ownedBy,
  pushByHttp,
  refused,
  testImage,
  volumesOf,
  volumesThatExist,
  writeDocuments,
} from "../support/clusters.ts";
import { type Home, needDocker, needImage, openHome, seatrial, type TestDocker } from "../support/e2e.ts";

const theirs = "ctlptl.dev/v1alpha1";
const ours = "seatrial.dev/v1alpha1";

const cleanUps: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const cleanUp of cleanUps) await cleanUp();
});

describe("kind, with ctlptl's documents", () => {
  interface Shared {
    on: TestDocker;
    home: Home;
    names: DeclaredNames;
    /** What two applies of the same file at once printed. */
    printed: string[];
  }
  let made: Promise<Shared> | undefined;

  const registryDocument = ({ registry, registryPort }: DeclaredNames, more: object = {}) => ({
    apiVersion: theirs,
    kind: "Registry",
    name: registry,
    port: registryPort,
    env: ["REGISTRY_LOG_LEVEL=warn"],
    ...more,
  });
  const clusterDocument = ({ cluster, registry }: DeclaredNames, more: object = {}) => ({
    apiVersion: theirs,
    kind: "Cluster",
    name: `kind-${cluster}`,
    product: "kind",
    registry,
    kubernetesVersion: `${minor}.0`,
    ...more,
  });

  /** One cluster for all of this part, made when the first test asks for it. */
  const shared = async (context: TestContext): Promise<Shared> => {
    const on = await needDocker(context);
    made ??= (async () => {
      const home = await openHome();
      const names = await newNames("decl");
      cleanUps.push(async () => {
        await seatrial(home, ["delete", "-f", "all.yaml", "--ignore-not-found"]);
        await home.close();
      });
      await writeDocuments(home, "all.yaml", registryDocument(names), clusterDocument(names));
      await writeDocuments(home, "cluster.yaml", clusterDocument(names));
      const ran = await Promise.all([seatrial(home, ["apply", "-f", "all.yaml"]), seatrial(home, ["apply", "-f", "all.yaml"])]);
      return { on, home, names, printed: ran.map((each) => ok(each).stdout) };
    })();
    return await made;
  };
  /** All that must be the same after a command that changes nothing. */
  const stateOf = async ({ on, home, names }: Shared) => {
    const containers = [...(await nodesOf(on, names.cluster)).map(({ Id }) => Id), names.registry];
    const details = await Promise.all(containers.map(async (id) => await on.client.container(id)));
    return {
      containers: details.map((each) => ({
        id: each?.Id,
        env: each?.Config.Env,
        ports: each?.NetworkSettings.Ports,
        networks: Object.keys(each?.NetworkSettings.Networks ?? {}).toSorted(),
      })),
      kubeconfig: await readFile(kubeconfigOf(home, names.cluster), "utf8"),
      record: await readFile(join(home.data, "clusters", names.cluster, "cluster.json"), "utf8"),
      catalog: await catalogOf(names.registryPort),
    };
  };
  const jsonpath = async ({ home, names }: Shared, path: string) =>
    ok(await seatrial(home, ["get", "cluster", names.cluster, "-o", `jsonpath=${path}`])).stdout;
  const inCluster = async ({ home, names }: Shared, ...args: string[]) => (await kubectl(kubeconfigOf(home, names.cluster), args)).stdout;

  const podIn =
    ({ home, names }: Shared) =>
    async (name: string, image: string, ...args: string[]) => {
      const spec = { restartPolicy: "Never", containers: [{ name: "main", image, imagePullPolicy: "Always", args }] };
      await kubectl(kubeconfigOf(home, names.cluster), ["apply", "-f", "-"], {
        input: JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name }, spec }),
      });
    };

  test("two applies of the same file at once make one cluster and one registry", async (context) => {
    const { on, home, names, printed } = await shared(context);
    const lines = printed.flatMap((each) => each.trim().split("\n")).toSorted();
    expect(lines).toEqual(
      [
        `cluster.ctlptl.dev/kind-${names.cluster} created`,
        `cluster.ctlptl.dev/kind-${names.cluster} unchanged`,
        `registry.ctlptl.dev/${names.registry} created`,
        `registry.ctlptl.dev/${names.registry} unchanged`,
      ].toSorted(),
    );
    const { uid } = JSON.parse(await readFile(join(home.data, "clusters", names.cluster, "cluster.json"), "utf8")) as ClusterRecord;
    expect((await ownedBy(on, (await home.instance())!)).filter((each) => !each.startsWith("image"))).toEqual(
      [
        `container ${names.cluster}-control-plane`,
        `container ${names.registry}`,
        `network ${networkName(names.cluster, uid)}`,
        `volume seatrial-registry-${names.registry}`,
      ].toSorted(),
    );
  });

  test("the client pushes, a pod pushes, the kubelet pulls by both names", async (context) => {
    await needImage(context, testImage);
    const all = await shared(context);
    const { on, names } = all;
    await pushByHttp(names.registryPort, "from-client", "1");
    const host = await jsonpath(all, "{.status.localRegistryHosting.host}");
    const fromCluster = await jsonpath(all, "{.status.localRegistryHosting.hostFromClusterNetwork}");
    expect([host, fromCluster]).toEqual([`localhost:${names.registryPort}`, `${names.registry}:5000`]);
    await docker(on, "tag", testImage, `${host}/tests:1`);
    await docker(on, "push", "-q", `${host}/tests:1`);
    await docker(on, "rmi", `${host}/tests:1`);

    const pod = podIn(all);
    await pod("pusher", `${host}/tests:1`, "push", `${fromCluster}/from-pod:1`);
    await inCluster(all, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/pusher", "--timeout=180s");
    await pod("by-host", `${host}/from-pod:1`, "sleep");
    await pod("by-network", `${fromCluster}/from-pod:1`, "sleep");
    await inCluster(all, "wait", "--for=condition=Ready", "pod/by-host", "pod/by-network", "--timeout=60s");
    await inCluster(all, "delete", "pod", "--all", "--grace-period=0", "--force");
    expect(await catalogOf(names.registryPort)).toEqual(["from-client", "from-pod", "tests"]);
    expect(await inCluster(all, "get", "configmap", "-n", "kube-public", "local-registry-hosting", "-o", "yaml")).toContain(
      `host: localhost:${names.registryPort}`,
    );
  });

  test("of the version that was asked for major and minor count", async (context) => {
    const all = await shared(context);
    const version = await jsonpath(all, "{.status.kubernetesVersion}");
    expect(version.startsWith(`${minor}.`), version).toBe(true);
    expect(await jsonpath(all, "{.kubernetesVersion}")).toBe(`${minor}.0`);
  });

  test.for<[string, string]>([
    ["the whole file", "all.yaml"],
    ["the cluster alone", "cluster.yaml"],
  ])("applied again, %s changes nothing", async ([, file], context) => {
    const all = await shared(context);
    const before = await stateOf(all);
    const ran = ok(await seatrial(all.home, ["apply", "-f", file]));
    expect(
      ran.stdout
        .trim()
        .split("\n")
        .every((line) => line.endsWith(" unchanged")),
      ran.stdout,
    ).toBe(true);
    expect(await stateOf(all)).toEqual(before);
    expect(before.containers.at(-1)!.env).toContain("REGISTRY_LOG_LEVEL=warn");
  });

  test.for<[string, object, string[]]>([
    ["more nodes", { kindV1Alpha4Cluster: { nodes: [{ role: "control-plane" }, { role: "worker" }] } }, ["kind.config.nodes"]],
    ["another minor version", { kubernetesVersion: "v1.20.0" }, ["- spec.kubernetesVersion: v1.", "+ spec.kubernetesVersion: v1.20"]],
    ["another registry", { registry: "another-registry-of-nobody" }, ["+ spec.registry: another-registry-of-nobody"]],
  ])("a change that needs a new cluster is shown and refused: %s", async ([, change, diff], context) => {
    const all = await shared(context);
    const before = await stateOf(all);
    await writeDocuments(all.home, "changed.yaml", clusterDocument(all.names, change));
    refused(await seatrial(all.home, ["apply", "-f", "changed.yaml"]), 1, "it was not touched", "apply --recreate", ...diff);
    expect(await stateOf(all)).toEqual(before);
    if ("registry" in change) await seatrial(all.home, ["delete", "registry", "another-registry-of-nobody"]);
  });

  test("create does not change what is there", async (context) => {
    const all = await shared(context);
    const { home, names } = all;
    const before = await stateOf(all);
    refused(await seatrial(home, ["create", "cluster", "kind", "--name", names.cluster]), 1, `cluster ${names.cluster} is there already`);
    refused(await seatrial(home, ["create", "registry", names.registry]), 1, `registry ${names.registry} is there already`);
    expect(await stateOf(all)).toEqual(before);
  });

  test("the user's kubeconfig is changed when asked, and its other entries and comments stay", async (context) => {
    const { home, names } = await shared(context);
    const before =
      "# mine\napiVersion: v1\nkind: Config\ncurrent-context: other # the one I use\ncontexts:\n  - name: other\n    context: {cluster: other, user: other}\nclusters:\n  - name: other # far away\n    cluster: {server: https://10.0.0.1:6443}\nusers:\n  - name: other\n    user: {token: abc}\n";
    await writeFile(home.userKubeconfig, before);
    ok(await seatrial(home, ["apply", "-f", "all.yaml"]));
    expect(await readFile(home.userKubeconfig, "utf8")).toBe(before);
    expect(ok(await seatrial(home, ["apply", "-f", "cluster.yaml", "--merge-kubeconfig"])).stdout).toContain("unchanged");
    const merged = await readFile(home.userKubeconfig, "utf8");
    for (const kept of ["# mine", "# far away", "https://10.0.0.1:6443", "token: abc"]) expect(merged).toContain(kept);
    expect((await kubectl(home.userKubeconfig, ["config", "current-context"])).stdout).toBe(`kind-${names.cluster}`);
    await kubectl(home.userKubeconfig, ["get", "nodes"]);
    expect(ok(await seatrial(home, ["get", "cluster", names.cluster, "-o", "jsonpath={.status.current}"])).stdout).toBe("true");
  });

  test("bin/ctlptl answers as ctlptl does", async (context) => {
    const { home, names } = await shared(context);
    const ctlptl = async (...args: string[]) => ok(await seatrial(home, args, { script: "ctlptl" })).stdout;
    const [header, ...rows] = (await ctlptl("get")).trimEnd().split("\n");
    expect(header).toMatch(/^CURRENT +NAME +PRODUCT +AGE +REGISTRY$/);
    const row = rows.find((line) => line.includes(` kind-${names.cluster} `));
    expect(row).toMatch(new RegExp(`^\\* +kind-${names.cluster} +kind +\\d+[smh] +localhost:${names.registryPort}$`));
    const registries = await ctlptl("get", "registries");
    expect(registries).toMatch(/^NAME +HOST ADDRESS +CONTAINER ADDRESS +AGE\n/);
    expect(registries).toMatch(new RegExp(`^${names.registry} +127\\.0\\.0\\.1:${names.registryPort} +[\\d.]+:5000 +\\d+[smh]$`, "m"));
    expect(await ctlptl("get", "cluster", `kind-${names.cluster}`, "-o", "name")).toBe(`cluster.ctlptl.dev/kind-${names.cluster}\n`);
    expect(await ctlptl("apply", "-f", "all.yaml", "-o", "name")).toBe(
      `registry.ctlptl.dev/${names.registry}\ncluster.ctlptl.dev/kind-${names.cluster}\n`,
    );
    const absent = await seatrial(home, ["delete", "cluster", "kind-no-such-cluster"], { script: "ctlptl" });
    refused(absent, 1, "ctlptl: there is no cluster kind-no-such-cluster");
    expect(await ctlptl("delete", "cluster", "kind-no-such-cluster", "--ignore-not-found")).toBe("");
  });

  test("-o name, json, yaml, and what is not supported", async (context) => {
    const { home, names } = await shared(context);
    const get = async (...args: string[]) => ok(await seatrial(home, ["get", ...args])).stdout;
    expect(await get("cluster", names.cluster, "-o", "name")).toBe(`cluster.ctlptl.dev/kind-${names.cluster}\n`);
    expect(await get("registry", names.registry, "-o", "name")).toBe(`registry.ctlptl.dev/${names.registry}\n`);
    const json = JSON.parse(await get("cluster", `kind-${names.cluster}`, "-o", "json")) as Record<string, unknown>;
    expect(json).toMatchObject({
      apiVersion: theirs,
      kind: "Cluster",
      name: `kind-${names.cluster}`,
      product: "kind",
      registry: names.registry,
      status: { cpus: expect.any(Number) as number },
    });
    const yaml = await get("registry", names.registry, "-o", "yaml");
    expect(yaml).toContain(`hostPort: ${names.registryPort}\n`);
    expect(yaml).toContain("- REGISTRY_LOG_LEVEL=warn\n");
    refused(
      await seatrial(home, ["get", "cluster", "-o", "go-template={{.status}}"]),
      2,
      "not supported, use jsonpath",
      "hint: -o jsonpath=",
    );
    refused(await seatrial(home, ["get", "cluster", "no-such-cluster"]), 1, "there is no cluster no-such-cluster");
  });

  test("load skips what is there", async (context) => {
    await needImage(context, testImage);
    const { on, home, names } = await shared(context);
    const image = `${newName("seatrial-test")}:1`;
    await docker(on, "tag", testImage, image);
    try {
      const load = async () => ok(await seatrial(home, ["load", image, "--cluster", names.cluster])).stdout;
      expect(await load()).toBe(`${image}: loaded into ${names.cluster}-control-plane\n`);
      expect(await load()).toBe(`${image}: is already in ${names.cluster}-control-plane\n`);
      refused(
        await seatrial(home, ["load", "no/such-image:1", "--cluster", names.cluster]),
        1,
        "image no/such-image:1 is not on the Docker host",
        "hint: ",
      );
    } finally {
      await docker(on, "rmi", image);
    }
  });

  test("a kubeconfig that the user deleted is rebuilt from the cluster", async (context) => {
    const all = await shared(context);
    const before = await stateOf(all);
    await rm(kubeconfigOf(all.home, all.names.cluster));
    expect(ok(await seatrial(all.home, ["apply", "-f", "cluster.yaml"])).stdout).toContain("unchanged");
    expect(await inCluster(all, "auth", "can-i", "*", "*")).toBe("yes");
    expect(await inCluster(all, "config", "current-context")).toBe(`kind-${all.names.cluster}`);
    const after = await stateOf(all);
    expect({ ...after, kubeconfig: "" }).toEqual({ ...before, kubeconfig: "" });
  });

  test("the file deleted, the cluster is not said to be Ready, and `kubeconfig` writes it", async (context) => {
    const all = await shared(context);
    const { home, names } = all;
    await rm(kubeconfigOf(home, names.cluster));
    expect(await jsonpath(all, "{.status.error}")).toContain("is gone");
    expect(ok(await seatrial(home, ["kubeconfig", names.cluster])).stdout).toBe(`${kubeconfigOf(home, names.cluster)}\n`);
    expect(await inCluster(all, "auth", "can-i", "*", "*")).toBe("yes");
  });

  test("another Docker host than the cluster's: refused and untouched; another name of the same one: unchanged", async (context) => {
    const all = await shared(context);
    const { on, home, names } = all;
    const before = await stateOf(all);
    // A stand-in for a daemon on which there is nothing: a second real one is for the tests of remote hosts.
    const socket = join(home.directory, "other.sock");
    const empty = createServer(({ url = "" }, response) =>
      response.end(url.endsWith("/version") ? JSON.stringify({ Version: "29.0.0", ApiVersion: "1.52" }) : "[]"),
    );
    empty.listen(socket);
    try {
      await writeDocuments(home, "alone.yaml", clusterDocument(names, { registry: undefined }));
      for (const more of [[], ["--recreate"]]) {
        const ran = await seatrial(home, ["apply", "-f", "alone.yaml", ...more], { env: { DOCKER_HOST: `unix://${socket}` } });
        refused(ran, 1, `cluster ${names.cluster} is on `, `and this command speaks to unix://${socket}; nothing was touched`);
      }
      expect(await stateOf(all)).toEqual(before);
    } finally {
      await new Promise((resolve) => empty.close(resolve));
    }
    const own = on.variables["DOCKER_HOST"] ?? "unix:///var/run/docker.sock";
    if (!own.startsWith("unix://")) return;
    const link = join(home.directory, "same.sock");
    await symlink(own.slice("unix://".length), link);
    const there = { env: { DOCKER_HOST: `unix://${link}` } };
    expect(ok(await seatrial(home, ["apply", "-f", "cluster.yaml"], there)).stdout).toContain("unchanged");
    expect((await stateOf(all)).record).toContain(link); // So that it is found when the other name leads nowhere any more.
    expect(ok(await seatrial(home, ["apply", "-f", "cluster.yaml"])).stdout).toContain("unchanged");
    expect(await stateOf(all)).toEqual(before);
  });

  test("an API that does not answer is an error, never a reason to delete", async (context) => {
    const all = await shared(context);
    const { on, home, names } = all;
    const before = await stateOf(all);
    const node = `${names.cluster}-control-plane`;
    await docker(on, "pause", node);
    try {
      refused(await seatrial(home, ["apply", "-f", "all.yaml"]), 1, `cluster ${names.cluster} is paused`, "hint: docker unpause");
      expect(ok(await seatrial(home, ["get", "cluster", names.cluster, "-o", "jsonpath={.kind}"])).stdout).toBe("Cluster");
    } finally {
      await docker(on, "unpause", node);
    }
    expect(await stateOf(all)).toEqual(before);
    // The same with a node that runs and an API that is stopped.
    await docker(on, "exec", node, "pkill", "-STOP", "kube-apiserver");
    try {
      refused(await seatrial(home, ["apply", "-f", "all.yaml"]), 3, "does not answer; it was not touched");
      refused(await seatrial(home, ["apply", "-f", "all.yaml", "--recreate"]), 3, "does not answer; it was not touched");
      const shown = ok(await seatrial(home, ["get", "cluster", names.cluster, "-o", "json"])).stdout;
      expect((JSON.parse(shown) as { status: { error: string } }).status.error).toContain("did not answer");
    } finally {
      await docker(on, "exec", node, "pkill", "-CONT", "kube-apiserver");
    }
    expect(await stateOf(all)).toEqual(before);
  });

  test("ports are pinned: they survive a stop, and apply starts what stopped", async (context) => {
    const all = await shared(context);
    const { on, home, names } = all;
    await inCluster(all, "create", "configmap", "kept");
    const before = await stateOf(all);
    await docker(on, "stop", "-t", "1", names.registry, `${names.cluster}-control-plane`);
    const ran = ok(await seatrial(home, ["apply", "-f", "all.yaml"]));
    expect(ran.stdout).toBe(`registry.ctlptl.dev/${names.registry} started\ncluster.ctlptl.dev/kind-${names.cluster} started\n`);
    const after = await stateOf(all);
    expect(after.containers).toEqual(before.containers);
    expect(after.catalog).toEqual(before.catalog);
    expect(await inCluster(all, "get", "configmap", "kept", "-o", "name")).toBe("configmap/kept");
    expect(ok(await seatrial(home, ["apply", "-f", "all.yaml"])).stdout).toMatch(/unchanged\n.*unchanged\n$/);
  });

  test("a registry that was made anew is made known to the cluster again", async (context) => {
    const all = await shared(context);
    const { on, home, names } = all;
    const moved = { ...names, registryPort: (await newNames("x")).registryPort };
    const before = await stateOf(all);
    await writeDocuments(home, "moved.yaml", registryDocument(moved), clusterDocument(moved));
    const ran = ok(await seatrial(home, ["apply", "-f", "moved.yaml"]));
    expect(ran.stdout).toBe(`registry.ctlptl.dev/${names.registry} recreated\ncluster.ctlptl.dev/kind-${names.cluster} configured\n`);
    expect(await catalogOf(moved.registryPort)).toEqual(before.catalog);
    expect(await jsonpath(all, "{.status.localRegistryHosting.host}")).toBe(`localhost:${moved.registryPort}`);
    expect((await on.client.container(names.registry))?.Config.Env).toContain("REGISTRY_LOG_LEVEL=warn");
    if (before.catalog.includes("tests")) {
      await podIn(all)("by-new-port", `localhost:${moved.registryPort}/tests:1`, "sleep");
      await podIn(all)("by-same-name", `${names.registry}:5000/tests:1`, "sleep");
      await inCluster(all, "wait", "--for=condition=Ready", "pod/by-new-port", "pod/by-same-name", "--timeout=60s");
      await inCluster(all, "delete", "pod", "--all", "--grace-period=0", "--force");
    }
    expect(ok(await seatrial(home, ["apply", "-f", "moved.yaml"])).stdout).toMatch(/unchanged\n.*unchanged\n$/);
    ok(await seatrial(home, ["apply", "-f", "all.yaml"]));
  });

  test("--recreate makes the cluster anew, with the registry's contents and the API's port", async (context) => {
    const all = await shared(context);
    const { on, home, names } = all;
    const before = await stateOf(all);
    const volumes = await volumesOf(on, await nodesOf(on, names.cluster));
    await writeDocuments(
      home,
      "changed.yaml",
      clusterDocument(names, { kindV1Alpha4Cluster: { nodes: [{ role: "control-plane", labels: { "example.org/tier": "front" } }] } }),
    );
    const ran = ok(await seatrial(home, ["apply", "-f", "changed.yaml", "--recreate"]));
    expect(ran.stdout).toBe(`cluster.ctlptl.dev/kind-${names.cluster} recreated\n`);
    expect(ran.stderr).toContain("spec.kind.config.nodes");
    const after = await stateOf(all);
    expect(after.catalog).toEqual(before.catalog);
    expect(after.containers[0]!.id).not.toBe(before.containers[0]!.id);
    expect(after.containers[0]!.ports).toEqual(before.containers[0]!.ports);
    expect(after.containers[1]!.id).toBe(before.containers[1]!.id);
    expect(await inCluster(all, "get", "nodes", "-l", "example.org/tier=front", "-o", "name")).toBe(`node/${names.cluster}-control-plane`);
    expect(await volumesThatExist(on, volumes)).toEqual([]);
    // Another block of kind's than the one that it has; without a block nothing is asked for.
    expect(ok(await seatrial(home, ["apply", "-f", "cluster.yaml"])).stdout).toContain("unchanged");
  });

  test("delete --cascade takes the registry too, and our entries out of the user's kubeconfig", async (context) => {
    const all = await shared(context);
    const { on, home, names } = all;
    ok(await seatrial(home, ["apply", "-f", "cluster.yaml", "--merge-kubeconfig"]));
    const volumes = await volumesOf(on, await nodesOf(on, names.cluster));
    const ran = ok(await seatrial(home, ["delete", "cluster", `kind-${names.cluster}`, "--cascade", "true"], { script: "ctlptl" }));
    expect(ran.stdout).toBe(`registry.ctlptl.dev/${names.registry} deleted\ncluster.ctlptl.dev/kind-${names.cluster} deleted\n`);
    expect(await home.leaks()).toEqual([]);
    expect(await volumesThatExist(on, volumes)).toEqual([]);
    const left = await readFile(home.userKubeconfig, "utf8");
    expect(left).not.toContain(names.cluster);
    for (const kept of ["# mine", "# far away", "https://10.0.0.1:6443", "token: abc"]) expect(left).toContain(kept);
    refused(
      await seatrial(home, ["delete", "-f", "all.yaml"]),
      1,
      `there is no registry ${names.registry}`,
      `there is no cluster kind-${names.cluster}`,
    );
    expect(ok(await seatrial(home, ["delete", "-f", "all.yaml", "--ignore-not-found"])).stdout).toBe("");
  });
});

test("someone else's cluster of the same name is refused and untouched; --adopt takes it over", async (context) => {
  const on = await needDocker(context);
  const home = await openHome(context);
  const { cluster, registry } = await newNames("theirs");
  const programs = new Programs({ environment: scriptEnvironment() });
  const kind = (await programs.find({ name: "kind" })).path;
  await programs.close();
  const network = newName("their-net");
  const kubeconfig = join(home.directory, "their-kubeconfig");
  const env = { PATH: process.env["PATH"], HOME: home.directory, KIND_EXPERIMENTAL_DOCKER_NETWORK: network, ...on.variables };
  const image = await findNodeImage(on.client, minor, () => {});
  try {
    await run(kind, ["create", "cluster", "--name", cluster, "--image", image, "--kubeconfig", kubeconfig], { env, timeoutMs: 300_000 });
    const ids = async () => (await nodesOf(on, cluster)).map(({ Id, State }) => `${State} ${Id}`);
    const before = await ids();
    const document = { apiVersion: ours, kind: "Cluster", metadata: { name: cluster }, spec: { provider: "kind", registry } };
    await writeDocuments(home, "c.yaml", document);
    for (const args of [
      ["apply", "-f", "c.yaml"],
      ["apply", "-f", "c.yaml", "--recreate"],
      ["delete", "cluster", cluster],
    ]) {
      refused(await seatrial(home, args), 1, "was made by kind or another tool; it was not touched", "hint: ");
      expect(await ids()).toEqual(before);
    }
    refused(await seatrial(home, ["create", "cluster", "kind", "--name", cluster]), 1, "is there already");
    expect(ok(await seatrial(home, ["get", "cluster", cluster, "-o", "jsonpath={.status.owner}"])).stdout).toBe("not Seatrial");
    await kubectl(kubeconfig, ["get", "nodes"]);

    expect(ok(await seatrial(home, ["apply", "-f", "c.yaml", "--adopt"])).stdout).toBe(`cluster.seatrial.dev/${cluster} adopted\n`);
    expect(await ids()).toEqual(before);
    expect(
      (await kubectl(kubeconfigOf(home, cluster), ["get", "configmap", "-n", "kube-public", "local-registry-hosting", "-o", "yaml"]))
        .stdout,
    ).toContain(`${registry}:5000`);
    expect(ok(await seatrial(home, ["apply", "-f", "c.yaml"])).stdout).toBe(`cluster.seatrial.dev/${cluster} unchanged\n`);
    expect(ok(await seatrial(home, ["get", "cluster", cluster, "-o", "jsonpath={.status.phase} {.status.adopted}"])).stdout).toBe(
      "Ready true",
    );
    await writeDocuments(home, "more.yaml", { ...document, spec: { ...document.spec, nodes: 2 } });
    refused(await seatrial(home, ["apply", "-f", "more.yaml"]), 1, "+ spec.nodes: 2", "it was not touched");
    const volumes = await volumesOf(on, await nodesOf(on, cluster));
    ok(await seatrial(home, ["delete", "-f", "c.yaml", "--cascade", "true"]));
    expect(await nodesOf(on, cluster)).toEqual([]);
    expect(await volumesThatExist(on, volumes)).toEqual([]);
  } finally {
    await run(kind, ["delete", "cluster", "--name", cluster, "--kubeconfig", kubeconfig], { env });
    await docker(on, "network", "rm", network);
  }
});

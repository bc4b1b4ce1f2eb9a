/** When it goes wrong: a clear error with a hint, nothing lost, nothing left behind, and the same command again heals. */
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, type TestContext, test } from "vitest";
import type { ClusterRecord } from "../../src/clusters/records.ts";
import { networkName } from "../../src/clusters/kind.ts";
import { run } from "../../src/process/run.ts";
import {
  catalogOf,
  type DeclaredNames,
  kubeconfigOf,
  kubectl,
  killWhen,
  minor,
  newName,
  newNames,
  nodesOf,
  ok,
  ownedBy,
  pushByHttp,
  refused,
  takePort,
  volumesOf,
  volumesThatExist,
  writeDocuments,
} from "../support/clusters.ts";
import { type Home, needDocker, openHome, seatrial, startSeatrial } from "../support/e2e.ts";
import { parseKubeconfig } from "../../src/kube/client.ts";

const own = "seatrial.dev/v1alpha1";
const kindCluster = (name: string, spec: object = {}) => ({
  apiVersion: own,
  kind: "Cluster",
  metadata: { name },
  spec: { provider: "kind", ...spec },
});
const bareCluster = (name: string, spec: object = {}) => ({
  apiVersion: own,
  kind: "Cluster",
  metadata: { name },
  spec: { provider: "bare", ...spec },
});
const registryOf = (name: string, spec: object = {}) => ({ apiVersion: own, kind: "Registry", metadata: { name }, spec });

async function recordOf(home: Home, cluster: string): Promise<ClusterRecord | undefined> {
  const text = await readFile(join(home.data, "clusters", cluster, "cluster.json"), "utf8").catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as ClusterRecord);
}

/** What a boot that failed may leave: its logs, which the error names. */
async function expectOnlyLogs(home: Home, cluster: string, stderr: string): Promise<string> {
  const logs = /its logs are in (\S+)/.exec(stderr)?.[1];
  expect(logs, stderr).toBeDefined();
  expect(existsSync(logs!)).toBe(true);
  await expectNothing(home, cluster);
  return logs!;
}

async function expectNothing(home: Home, cluster: string): Promise<void> {
  expect(await home.leaks()).toEqual([]);
  expect(existsSync(join(home.data, "clusters", cluster))).toBe(false);
}

describe("documents", () => {
  test("all typos of all files are told at once, each with file, line and column", async (context) => {
    const home = await openHome(context);
    await writeFile(
      join(home.cwd, "ours.yaml"),
      `apiVersion: ${own}
kind: Cluster
metadata:
  name: Demo
spec:
  provider: kind
  nods: 2
  kubernetesVersion: "1.36"
---
apiVersion: ${own}
kind: Registry
metadata:
  name: reg
spec:
  port: 99999
`,
    );
    await writeFile(join(home.cwd, "theirs.yaml"), "apiVersion: ctlptl.dev/v1alpha1\nkind: Cluster\nproduct: kind\nregistri: x\n");
    const ran = await seatrial(home, ["apply", "-f", "ours.yaml", "-f", "theirs.yaml"]);
    refused(
      ran,
      2,
      /ours\.yaml:4:9: .*Demo/,
      /ours\.yaml:7:3: .*nods.*nodes/,
      /ours\.yaml:8:22: .*vX\.Y/,
      /ours\.yaml:15:9: .*65535/,
      /theirs\.yaml:4:1: .*registri.*registry/,
    );
    expect(ran.stdout).toBe("");
    expect(existsSync(join(home.data, "clusters"))).toBe(false);
  });

  test.for<[string, string, RegExp]>([
    ["too long", `n${"o".repeat(60)}`, /61 characters.*at most 48/],
    ["upper case", "Demo", /lower-case letters/],
    ["an underscore", "de_mo", /lower-case letters/],
    ["a path", "../demo", /lower-case letters/],
    ["a dash at the end", "demo-", /lower-case letters/],
  ])("a name with bad characters or too many is refused before anything is made: %s", async ([, name, message], context) => {
    const home = await openHome(context);
    refused(await seatrial(home, ["create", "cluster", "bare", "--name", name]), 2, message);
    await writeDocuments(home, "c.yaml", bareCluster(name));
    refused(await seatrial(home, ["apply", "-f", "c.yaml"]), 2, /c\.yaml:5:13: metadata\.name: /, message);
    expect(existsSync(join(home.data, "clusters"))).toBe(false);
  });

  test("a registry's name with bad characters is refused", async (context) => {
    const home = await openHome(context);
    refused(await seatrial(home, ["create", "registry", "-reg"]), 2);
    refused(await seatrial(home, ["create", "registry", "a/b"]), 2, /letters, digits/);
  });
});

describe("what is asked for cannot be had", () => {
  test.for<[string, string, RegExp]>([
    ["a minor version", "v1.99", /no node image of Kubernetes v1\.99/],
    ["a patch", `${minor}.99`, new RegExp(`node image .*:${minor.replace(".", "\\.")}\\.99 is not on the Docker host`)],
  ])("%s without a node image", async ([, kubernetesVersion, message], context) => {
    const on = await needDocker(context);
    const home = await openHome(context);
    const name = newName("img");
    await writeDocuments(home, "c.yaml", kindCluster(name, { kubernetesVersion }));
    refused(await seatrial(home, ["apply", "-f", "c.yaml"]), 1, message, "hint: ");
    await expectNothing(home, name);
    expect(await nodesOf(on, name)).toEqual([]);
  });

  test("an image of a node that does not exist", async (context) => {
    await needDocker(context);
    const home = await openHome(context);
    const name = newName("img");
    const image = "localhost:1/no/such-node:v1";
    await writeDocuments(home, "c.yaml", kindCluster(name, { kind: { config: { nodes: [{ role: "control-plane", image }] } } }));
    refused(await seatrial(home, ["apply", "-f", "c.yaml"]), 1, `node image ${image} is not on the Docker host`, "hint: ");
    await expectNothing(home, name);
  });

  test("a registry's port is taken", async (context) => {
    await needDocker(context);
    const home = await openHome(context);
    await using taken = await takePort();
    const name = newName("reg");
    await writeDocuments(home, "r.yaml", registryOf(name, { port: taken.port }));
    refused(
      await seatrial(home, ["apply", "-f", "r.yaml"]),
      1,
      `registry ${name} was not started`,
      String(taken.port),
      "taken by another program",
      "hint: ",
    );
    expect(await home.leaks()).toEqual([]);
  });

  test("a registry that exists is not lost when the port that it shall get is taken", async (context) => {
    await needDocker(context);
    const home = await openHome(context);
    const name = newName("reg");
    await writeDocuments(home, "r.yaml", registryOf(name, { env: ["REGISTRY_LOG_LEVEL=warn"] }));
    const port = async () => Number(ok(await seatrial(home, ["get", "registry", name, "-o", "jsonpath={.status.hostPort}"])).stdout);
    ok(await seatrial(home, ["apply", "-f", "r.yaml"]));
    const before = await port();
    await pushByHttp(before, "kept", "1");
    await using taken = await takePort();
    await writeDocuments(home, "taken.yaml", registryOf(name, { port: taken.port }));
    refused(await seatrial(home, ["apply", "-f", "taken.yaml"]), 1, "taken by another program");
    expect(await port()).toBe(before);
    expect(await catalogOf(before)).toEqual(["kept"]);
    expect(ok(await seatrial(home, ["apply", "-f", "r.yaml"])).stdout).toContain("unchanged");
    ok(await seatrial(home, ["delete", "registry", name]));
  });

  test("the port of an API is taken", async (context) => {
    await needDocker(context);
    const home = await openHome(context);
    await using taken = await takePort();
    const name = newName("port");
    await writeDocuments(home, "c.yaml", kindCluster(name, { kind: { config: { networking: { apiServerPort: taken.port } } } }));
    const ran = refused(
      await seatrial(home, ["apply", "-f", "c.yaml"]),
      1,
      `cluster ${name} was not made`,
      String(taken.port),
      "taken by another program",
      "hint: ",
    );
    await expectOnlyLogs(home, name, ran.stderr);
  });

  test("a node that cannot boot: its logs are kept, and nothing else", async (context) => {
    const on = await needDocker(context);
    const home = await openHome(context);
    const { cluster, registry } = await newNames("fail");
    const kubeadmConfigPatches = ["kind: ClusterConfiguration\nkubernetesVersion: v1.20.0\n"];
    await writeDocuments(
      home,
      "c.yaml",
      registryOf(registry),
      kindCluster(cluster, { registry, kind: { config: { kubeadmConfigPatches } } }),
    );
    const ran = refused(
      await seatrial(home, ["apply", "-f", "c.yaml"]),
      4,
      `cluster ${cluster} was not made`,
      "error: this version of kubeadm only supports deploying clusters with",
    );
    // The registry was declared too, and stays; the cluster's network is no more, so the registry is off it.
    const logs = /its logs are in (\S+)/.exec(ran.stderr)?.[1];
    expect(existsSync(join(logs!, "nodes", `${cluster}-control-plane`, "journal.log")), ran.stderr).toBe(true);
    expect(await ownedBy(on, (await home.instance())!)).toEqual([`container ${registry}`, `volume seatrial-registry-${registry}`]);
    expect(await nodesOf(on, cluster)).toEqual([]);
    ok(await seatrial(home, ["delete", "registry", registry]));
    expect(await home.leaks()).toEqual([]);
  });
});

describe("kill -9, and the same command again", () => {
  let shared: { home: Home; names: DeclaredNames; hasTmpfs: boolean } | undefined;
  let booted = false;

  /** One cluster for this part; its records are on a small file system of their own where that can be mounted. */
  const prepare = async (context: TestContext) => {
    const on = await needDocker(context);
    if (!shared) {
      const home = await openHome();
      const clusters = join(home.data, "clusters");
      await mkdir(clusters, { recursive: true, mode: 0o700 });
      const mounted = await run("mount", ["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", clusters], {
        env: process.env,
        okCodes: [0, 1, 32],
      }).catch(() => ({ exitCode: 1 }));
      shared = { home, names: await newNames("kill"), hasTmpfs: mounted.exitCode === 0 };
      const { cluster, registry } = shared.names;
      await writeDocuments(home, "all.yaml", registryOf(registry), kindCluster(cluster, { registry }));
    }
    return { on, ...shared };
  };
  const whole = ({ cluster, registry }: DeclaredNames, uid: string) => [
    `container ${cluster}-control-plane`,
    `container ${registry}`,
    `image seatrial/node-${cluster}:${uid.slice(0, 8)}-0`,
    `network ${networkName(cluster, uid)}`,
    `volume seatrial-registry-${registry}`,
  ];
  afterAll(async () => {
    if (!shared) return;
    const { home, hasTmpfs } = shared;
    if (hasTmpfs) await run("umount", ["-l", join(home.data, "clusters")], { env: process.env });
    await home.close();
  });

  test("in the middle of a registry's start", async (context) => {
    const { on, home } = await prepare(context);
    const name = newName("reg");
    await writeDocuments(home, "reg.yaml", registryOf(name));
    // Early and late: before the daemon has chosen the port, and after.
    for (const isSeen of [
      async () => (await on.client.container(name)) !== undefined,
      async () => (await on.client.container(name))?.State.Running === true,
    ]) {
      await killWhen(startSeatrial(home, ["apply", "-f", "reg.yaml"]), "the registry's container", isSeen);
      ok(await seatrial(home, ["apply", "-f", "reg.yaml"]));
      expect(ok(await seatrial(home, ["apply", "-f", "reg.yaml"])).stdout).toBe(`registry.seatrial.dev/${name} unchanged\n`);
      const made = (await on.client.container(name))!;
      const published = made.NetworkSettings.Ports["5000/tcp"]?.[0]?.HostPort;
      expect(made.HostConfig.PortBindings?.["5000/tcp"]?.[0]?.HostPort).toBe(published);
      await pushByHttp(Number(published), "image", "1");
      expect(await ownedBy(on, (await home.instance())!)).toEqual([`container ${name}`, `volume seatrial-registry-${name}`]);
      ok(await seatrial(home, ["delete", "-f", "reg.yaml"]));
      expect(await ownedBy(on, (await home.instance())!)).toEqual([]);
    }
  });

  test("in the middle of a registry's deletion", async (context) => {
    const { on, home } = await prepare(context);
    const name = newName("reg");
    ok(await seatrial(home, ["create", "registry", name]));
    await killWhen(
      startSeatrial(home, ["delete", "registry", name]),
      "the container to be gone",
      async () => (await on.client.container(name))?.State.Running !== true,
    );
    await seatrial(home, ["delete", "registry", name, "--ignore-not-found"]);
    expect(await ownedBy(on, (await home.instance())!)).toEqual([]);
  });

  test("of create, early, in the middle and late", async (context) => {
    const { on, home, names } = await prepare(context);
    const { cluster } = names;
    const moments: [string, () => Promise<boolean>][] = [
      ["the record", async () => (await recordOf(home, cluster)) !== undefined],
      ["the node's container", async () => (await nodesOf(on, cluster)).length > 0],
      ["the kubeconfig", async () => existsSync(kubeconfigOf(home, cluster))],
    ];
    const volumes: string[] = [];
    for (const [what, look] of moments) {
      await killWhen(startSeatrial(home, ["apply", "-f", "all.yaml"]), what, look);
      volumes.push(...(await volumesOf(on, await nodesOf(on, cluster))));
    }
    const ran = ok(await seatrial(home, ["apply", "-f", "all.yaml"]));
    booted = true;
    expect(ran.stdout).toContain(`cluster.seatrial.dev/${cluster} created`);
    expect(ran.stderr).toContain("it was only half made");
    const record = (await recordOf(home, cluster))!;
    expect(record.phase).toBe("Ready");
    expect(await ownedBy(on, (await home.instance())!)).toEqual(whole(names, record.uid));
    expect(volumes.length).toBeGreaterThan(0);
    expect(await volumesThatExist(on, volumes)).toEqual([]);
    await kubectl(kubeconfigOf(home, cluster), ["get", "serviceaccount", "default"]);
    expect(ok(await seatrial(home, ["apply", "-f", "all.yaml"])).stdout).toMatch(/unchanged\n.*unchanged\n$/);
  });

  test("a full disk keeps a kubeconfig from being written: the cluster is not touched", async (context) => {
    const { on, home, names, hasTmpfs } = await prepare(context);
    if (!hasTmpfs) context.skip("no file system can be mounted here (that needs root)");
    expect(booted, "the cluster of the test before").toBe(true);
    const { cluster } = names;
    const ids = (await nodesOf(on, cluster)).map(({ Id }) => Id);
    const clusters = join(home.data, "clusters");
    const kubeconfig = await readFile(kubeconfigOf(home, cluster), "utf8");
    const fill = async () =>
      await run("dd", ["if=/dev/zero", `of=${join(clusters, "filler")}`, "bs=1k"], { env: process.env, okCodes: [0, 1] });

    await rm(kubeconfigOf(home, cluster));
    await fill();
    refused(
      await seatrial(home, ["apply", "-f", "all.yaml"]),
      4,
      `could not write ${kubeconfigOf(home, cluster)}: the disk is full`,
      "hint: free some space",
    );
    expect((await nodesOf(on, cluster)).map(({ Id }) => Id)).toEqual(ids);
    expect(existsSync(kubeconfigOf(home, cluster))).toBe(false);

    // Nothing new is begun either.
    const other = newName("full");
    await writeDocuments(home, "other.yaml", kindCluster(other));
    refused(await seatrial(home, ["apply", "-f", "other.yaml"]), 4, "the disk is full", "hint: free some space");
    expect(await nodesOf(on, other)).toEqual([]);
    expect(existsSync(join(clusters, other))).toBe(false);
    expect(await ownedBy(on, (await home.instance())!)).toEqual(whole(names, (await recordOf(home, cluster))!.uid));

    await rm(join(clusters, "filler"));
    expect(ok(await seatrial(home, ["apply", "-f", "all.yaml"])).stdout).toContain(`cluster.seatrial.dev/${cluster} unchanged`);
    expect(parsed(await readFile(kubeconfigOf(home, cluster), "utf8"))).toEqual(parsed(kubeconfig));
    await kubectl(kubeconfigOf(home, cluster), ["get", "nodes"]);
  });

  test("in the middle of delete, on a disk that is full", async (context) => {
    const { on, home, names } = await prepare(context);
    expect(booted, "the cluster of the tests before").toBe(true);
    const { cluster } = names;
    const volumes = await volumesOf(on, await nodesOf(on, cluster));
    await killWhen(
      startSeatrial(home, ["delete", "-f", "all.yaml"]),
      "the deletion to begin",
      async () => (await recordOf(home, cluster))?.phase === "Deleting",
    );
    await run("dd", ["if=/dev/zero", `of=${join(home.data, "clusters", "filler")}`, "bs=1k", "count=2048"], {
      env: process.env,
      okCodes: [0, 1],
    });
    // The registry went before the cluster and is told of; the cluster goes all the same.
    refused(await seatrial(home, ["delete", "-f", "all.yaml"]), 1, "there is no registry");
    await rm(join(home.data, "clusters", "filler"));
    expect(await home.leaks()).toEqual([]);
    expect(await volumesThatExist(on, volumes)).toEqual([]);
    ok(await seatrial(home, ["delete", "-f", "all.yaml", "--ignore-not-found"]));
  });

  test("of a bare cluster's create and delete", async (context) => {
    const home = await openHome(context);
    const name = newName("bare");
    await writeDocuments(home, "c.yaml", bareCluster(name));
    const directory = join(home.data, "clusters", name, "control-plane");
    for (const file of ["pki/admin.key", "etcd", "kube-apiserver.log"]) {
      await killWhen(startSeatrial(home, ["apply", "-f", "c.yaml"]), file, () => existsSync(join(directory, file)));
      await rm(join(directory, file), { recursive: true, force: true }); // So that the next one is seen to make it.
    }
    expect(ok(await seatrial(home, ["apply", "-f", "c.yaml"])).stdout).toBe(`cluster.seatrial.dev/${name} created\n`);
    await kubectl(kubeconfigOf(home, name), ["get", "namespaces"]);
    expect((await home.leaks()).filter((leak) => leak.startsWith("process"))).toHaveLength(2);
    await killWhen(
      startSeatrial(home, ["delete", "-f", "c.yaml"]),
      "the deletion to begin",
      async () => (await recordOf(home, name))?.phase !== "Ready",
    );
    ok(await seatrial(home, ["delete", "-f", "c.yaml", "--ignore-not-found"]));
    expect(await home.leaks()).toEqual([]);
  });
});

test("two installations on one daemon, each killed and restarted, lose nothing of each other", async (context) => {
  const on = await needDocker(context);
  const homes = [await openHome(context), await openHome(context)] as const;
  const [a, b] = homes;
  const registries = [newName("a"), newName("b")] as const;
  for (const [i, home] of homes.entries()) ok(await seatrial(home, ["create", "registry", registries[i]!]));
  const running = homes.map((home) => startSeatrial(home, ["with", "kind", "--", "sh", "-c", "echo the-command-runs; exec sleep 600"]));
  await Promise.all(running.map(async (each) => await each.says("the-command-runs", 300_000)));
  const owned = async (home: Home) => await ownedBy(on, (await home.instance())!);
  const [allOfA, allOfB] = [await owned(a), await owned(b)];
  const declaredOf = (i: 0 | 1) => [`container ${registries[i]}`, `volume seatrial-registry-${registries[i]}`];

  running[0]!.child.kill("SIGKILL");
  await running[0]!.ended;
  // B sees what A left, and leaves it to A.
  expect(ok(await seatrial(b, ["reap"])).stdout).toBe("");
  expect(await owned(a)).toEqual(allOfA);
  expect(ok(await seatrial(a, ["reap"])).stdout).toMatch(/^cluster st-\w+: deleted: its owner, process \d+, has ended\n$/);
  expect(await owned(a)).toEqual(declaredOf(0));
  expect(await owned(b)).toEqual(allOfB);
  expect(running[1]!.child.exitCode).toBeNull();

  running[1]!.child.kill("SIGKILL");
  await running[1]!.ended;
  expect(ok(await seatrial(a, ["reap"])).stdout).toBe("");
  expect(await owned(b)).toEqual(allOfB);
  // Any next command of B that boots reaps too; here `apply`, which then finds its registry unchanged.
  await writeDocuments(b, "r.yaml", registryOf(registries[1]));
  const ran = ok(await seatrial(b, ["apply", "-f", "r.yaml"]));
  expect(ran.stderr).toMatch(/deleted cluster st-\w+: its owner, process \d+, has ended/);
  expect(ran.stdout).toContain("unchanged");
  expect(await owned(b)).toEqual(declaredOf(1));

  for (const [i, home] of homes.entries()) {
    ok(await seatrial(home, ["delete", "registry", registries[i]!]));
    await rm(join(home.cwd, "_artifacts"), { recursive: true, force: true });
    expect(await home.leaks()).toEqual([]);
  }
});

function parsed(kubeconfig: string): unknown {
  const { server, ca, context } = parseKubeconfig(kubeconfig, "the kubeconfig");
  return { server, ca, context };
}

/** What Seatrial keeps in Kubernetes, on a real etcd and kube-apiserver: the definitions, the store, the informer, the Lease. */
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import { newUid } from "../../src/clusters/boot.ts";
import { realClock } from "../../src/controllers/runtime/clock.ts";
import { apiLease, runAsLeader } from "../../src/controllers/runtime/lease.ts";
import { controlPlaneProcesses, killControlPlane, startControlPlane } from "../../src/controlplane/control-plane.ts";
import { ApiServerStore } from "../../src/kube/api-server.ts";
import { type KubeConfig, KubeClient, parseKubeconfig } from "../../src/kube/client.ts";
import { describeStore } from "../../src/kube/conformance.ts";
import { installCrds } from "../../src/kube/install-crds.ts";
import { Informer } from "../../src/kube/watch.ts";
import { run } from "../../src/process/run.ts";
import { Programs } from "../../src/programs/programs.ts";
import { admit } from "../../src/resources/admission.ts";
import { allKinds, clusterKind, registryKind } from "../../src/resources/kinds.ts";
import { hostKind } from "../../src/resources/host.ts";
import { jobRunKind, type JobRunSpec } from "../../src/resources/job-run.ts";
import type { ResourceKind } from "../../src/resources/object.ts";
import { repositoryKind } from "../../src/resources/repository.ts";
import { runKind, type RunSpec } from "../../src/resources/run.ts";
import { scriptEnvironment } from "../../scripts/docker-choice.ts";
import { type Home, kubectlPath, openHome } from "../support/e2e.ts";

const patience = { timeoutMs: 60_000, pollMs: 50 };

let home: Home;
let uid = "";
let port: number | undefined;
let config: KubeConfig;
let client: KubeClient;
let store: ApiServerStore;

/** Starts what of the control plane does not run. */
async function startAll(): Promise<void> {
  const programs = new Programs({ environment: scriptEnvironment() });
  const [{ path: etcd }, { path: apiServer }] = [await programs.find({ name: "etcd" }), await programs.find({ name: "kube-apiserver" })];
  await programs.close();
  ({ port } = await startControlPlane({
    directory: join(home.directory, "cp"),
    uid,
    context: "test",
    programs: { etcd, "kube-apiserver": apiServer },
    components: [],
    env: home.variables,
    serviceSubnet: "10.96.0.0/16",
    podSubnet: "10.244.0.0/16",
    clusterDomain: "cluster.local",
    featureGates: {},
    apiServerFlags: [],
    isDurable: false,
    port,
    isPortFixed: port !== undefined,
  }));
}

beforeAll(async () => {
  home = await openHome();
  uid = newUid();
  await startAll();
  const kubeconfig = join(home.directory, "cp", "admin.kubeconfig");
  config = parseKubeconfig(await readFile(kubeconfig, "utf8"), kubeconfig);
  client = new KubeClient(config);
  store = new ApiServerStore(client);
  const isReady = async () =>
    await client.text("/readyz").then(
      () => true,
      () => undefined,
    );
  await waitFor("the API server", isReady, patience);
  // Two servers may start at once, and each starts again.
  await Promise.all([installCrds(client, allKinds), installCrds(client, allKinds)]);
}, 120_000);

afterAll(async () => {
  await client?.close();
  await killControlPlane(uid);
  await home?.close();
}, 60_000);

async function kubectl(...args: string[]): Promise<string> {
  const kubeconfig = join(home.directory, "cp", "admin.kubeconfig");
  const { stdout } = await run(await kubectlPath(), ["--kubeconfig", kubeconfig, ...args], {
    env: { ...home.variables, HOME: home.directory },
    timeoutMs: 60_000,
  });
  return stdout;
}

const sha = "0".repeat(40);
const digest = `sha256:${"0".repeat(64)}`;
const actor = { id: "7", login: "somebody" };
const source: RunSpec["source"] = {
  forge: "local",
  repository: { id: "1", name: "owner/project" },
  event: "push",
  ref: "refs/heads/main",
  base: { ref: "main", sha },
  commit: sha,
  lane: "trusted",
};
const head = { number: 1, sha, ref: "topic", repositoryId: "2", author: actor };
const runSpec: RunSpec = { source, workflow: { path: ".seatrial/test.yml", name: "test", digest } };
const jobRunSpec: JobRunSpec = {
  run: "run-1",
  repository: "owner/project",
  lane: "trusted",
  job: "unit",
  name: "unit (v1.36)",
  steps: [{ run: "go test ./..." }],
  runsOn: { labels: ["ubuntu-latest"], executor: "host" },
};

describe("definitions", () => {
  test("are installed once: again they change nothing", async () => {
    const generations = async () => await kubectl("get", "crd", "-o", "jsonpath={.items[*].metadata.generation}");
    await installCrds(client, allKinds);
    expect(await generations()).toBe("1 1 1 1 1 1");
    const conditions = await kubectl(
      "get",
      "crd",
      "-o",
      `jsonpath={range .items[*]}{.status.conditions[?(@.type=="Established")].status} {end}`,
    );
    expect(conditions.trim()).toBe("True True True True True True");
  });

  test("kubectl get jobruns shows what counts, and seatrial is all kinds", async () => {
    const made = await store.create(jobRunKind, { metadata: { name: "shown" }, spec: jobRunSpec });
    await store.writeStatus(jobRunKind, made, { phase: "Finished", verdict: "passed", message: "all is well" });
    const [titles, row] = (await kubectl("get", "jobruns", "-n", store.namespace)).split("\n").map((line) => line.split(/ {2,}/));
    expect(titles!.map((each) => each.trim())).toEqual(["NAME", "RUN", "JOB", "PHASE", "VERDICT", "AGE"]);
    expect(row!.slice(0, 5)).toEqual(["shown", "run-1", "unit (v1.36)", "Finished", "passed"]);
    expect(await kubectl("get", "jr", "shown", "-n", store.namespace, "-o", "wide")).toContain("all is well");
    expect(await kubectl("get", "seatrial", "-n", store.namespace, "-o", "name")).toContain("jobrun.seatrial.dev/shown");
    await store.delete(jobRunKind, "shown");
  });

  test("kubectl explain reads as the schema does", async () => {
    const explained = async (field: string) => (await kubectl("explain", field)).replaceAll(/\s+/g, " ");
    const spec = await explained("jobrun.spec");
    expect(spec).toContain("steps <[]Object> -required- What it does, in order.");
    expect(spec).toContain(
      "lane <string> -required- enum: trusted, untrusted `untrusted`: heads of forks by authors without write access.",
    );
    expect(spec).toContain("timeoutMinutes <number> Unit: minutes. Default: 360.");
    expect(await explained("jobrun.spec.clusters.spec.bare.components")).toContain("Default: none.");
    expect(await explained("jobrun")).toContain("One job of a Run, or one cell of its matrix");
  });
});

/** A document of a kind, and whether it is valid: the API server and our own schemas and rules must both say so. */
interface Row {
  name: string;
  kind: ResourceKind;
  spec: object;
  status?: object;
  metadata?: { name: string };
  isValid: boolean;
}

/** Rows of one kind, on top of a valid spec. */
function rowsOf(kind: unknown, valid: object, rows: Record<"valid" | "invalid", Record<string, Partial<Row>>>): Row[] {
  return Object.entries(rows).flatMap(([verdict, named]) =>
    Object.entries(named).map(([name, row]) => ({
      ...row,
      name: `${(kind as ResourceKind).kind}: ${name}`,
      kind: kind as ResourceKind,
      spec: { ...valid, ...row.spec },
      isValid: verdict === "valid",
    })),
  );
}

const bare = { provider: "bare" };
const attempt = { number: 1, uid: "a", executor: "host", host: "local", startedAt: "2026-08-01T12:00:00Z" };

const documents: Row[] = [
  ...rowsOf(runKind, runSpec, {
    valid: {
      "no more than it must have": {},
      "a pull request": { spec: { source: { ...source, event: "pull_request", heads: [head], sender: actor, lane: "untrusted" } } },
      "a status that goes on": { status: { phase: "Running", counts: { running: 1 }, startedAt: "2026-08-01T12:00:00Z", epoch: 3 } },
      "a status that has ended": {
        status: { phase: "Finished", verdict: "error", cause: "host", finishedAt: "2026-08-01T12:00:00.5+02:00" },
      },
    },
    invalid: {
      "an event that is none": { spec: { source: { ...source, event: "pushed" } } },
      "a commit that is not whole": { spec: { source: { ...source, commit: "abc" } } },
      "a field that is not known": { spec: { source: { ...source, branch: "main" } } },
      "a ref without end": { spec: { source: { ...source, ref: "x".repeat(1025) } } },
      "too many heads": { spec: { source: { ...source, heads: Array.from({ length: 21 }, () => head) } } },
      "a head without its author": { spec: { source: { ...source, heads: [{ ...head, author: undefined }] } } },
      "a hold that is too long": { spec: { hold: { forSeconds: 86_401 } } },
      "an attempt that is no whole number": { spec: { attempt: 1.5 } },
      "a verdict before the end": { status: { phase: "Running", verdict: "passed" } },
      "an end without a verdict": { status: { phase: "Finished" } },
      "a time that is none": { status: { startedAt: "yesterday" } },
      "a count below zero": { status: { counts: { running: -1 } } },
    },
  }),
  ...rowsOf(jobRunKind, jobRunSpec, {
    valid: {
      "no more than it must have": {},
      "hosts and an image by its labels": {
        spec: { runsOn: { labels: ["gpu"], executor: "docker", hosts: { labels: { gpu: "yes" } }, image: "ci@sha256:0" } },
      },
      "clusters and outputs": {
        spec: { clusters: [{ name: "cluster", spec: bare }], outputs: { a: "${{ steps.x.outputs.y }}" }, timeoutMinutes: 0.5 },
      },
      "a status": { status: { phase: "Running", attempts: [attempt], epoch: 1 } },
    },
    invalid: {
      "no steps": { spec: { steps: undefined } },
      "a step with a field of GitHub's": { spec: { steps: [{ "working-directory": "x" }] } },
      "no minutes": { spec: { timeoutMinutes: 0 } },
      "a cluster of no provider": { spec: { clusters: [{ name: "cluster", spec: { provider: "kin" } }] } },
      "nine clusters": { spec: { clusters: Array.from({ length: 9 }, (_, i) => ({ name: `c${i}`, spec: bare })) } },
      "a verdict before the end": { status: { phase: "Running", verdict: "failed", attempts: [attempt] } },
      "an attempt without a host": { status: { attempts: [{ ...attempt, host: undefined }] } },
    },
  }),
  ...rowsOf(clusterKind, bare, {
    valid: {
      bare: {},
      "kind with all kinds of fields": {
        spec: {
          provider: "kind",
          kubernetesVersion: "v1.36.3",
          nodes: 3,
          podSubnet: "10.0.0.0/16,fd00::/64",
          featureGates: { A: true },
          registry: "demo",
          registryAuths: [{ host: "docker.io", endpoint: "https://mirror.example/v2", username: "$USER" }],
          kind: { config: { nodes: [{ role: "control-plane", extraPortMappings: [{ containerPort: 80, listenAddress: "::1" }] }] } },
        },
      },
      "nodes that kwok plays": { spec: { nodes: 3, bare: { components: ["kwok"] } } },
      "a status": { status: { phase: "Ready", creationTimestamp: "2026-08-01T12:00:00Z", notAfter: "2026-08-01T12:00:00Z", epoch: 1 } },
    },
    invalid: {
      "no provider": { spec: { provider: undefined } },
      "a version that is none": { spec: { kubernetesVersion: "1.36" } },
      "a domain in upper case": { spec: { clusterDomain: "Cluster.local" } },
      "a subnet without a length": { spec: { podSubnet: "10.0.0.0" } },
      "a subnet of 300": { spec: { serviceSubnet: "10.300.0.0/16" } },
      "kind's block on bare": { spec: { kind: {} } },
      "bare's block on kind": { spec: { provider: "kind", bare: {} } },
      "nodes that nobody plays": { spec: { nodes: 2 } },
      "a registry that nobody pulls from": { spec: { registry: "demo" } },
      "a component that is none": { spec: { bare: { components: ["kubelet"] } } },
      "a flag that is none": { spec: { bare: { apiServerFlags: ["v=2"] } } },
      "a feature gate in words": { spec: { featureGates: { A: "true" } } },
      "a password in a URL": { spec: { provider: "kind", registryAuths: [{ host: "a", endpoint: "https://a:b@c" }] } },
      "kind's configuration with a typo": { spec: { provider: "kind", kind: { config: { node: [] } } } },
      "a name that is too long": { metadata: { name: "n".repeat(49) } },
      "a name with a dot": { metadata: { name: "a.b" } },
    },
  }),
  ...rowsOf(
    registryKind,
    {},
    {
      valid: {
        "nothing but a name": {},
        "all its fields": { spec: { listenAddress: "0.0.0.0", port: 5000, image: "registry:3", labels: { a: "b" }, env: ["A=b"] } },
        "a status": { status: { hostPort: 5000, networks: ["bridge"], epoch: 1 } },
      },
      invalid: {
        "a port that is none": { spec: { port: 65_536 } },
        "an address that is a name": { spec: { listenAddress: "localhost" } },
        "a variable without a value": { spec: { env: ["A"] } },
        "a name that is too long": { metadata: { name: "n".repeat(64) } },
      },
    },
  ),
  ...rowsOf(
    hostKind,
    {},
    {
      valid: {
        "nothing but a name": {},
        "all its fields": {
          spec: {
            endpoint: "ssh://a@b",
            lanes: ["untrusted"],
            tenancy: "single-lane",
            capacity: { jobs: 0 },
            container: { memoryPercent: 50, processes: 64 },
          },
        },
      },
      invalid: {
        "no lane": { spec: { lanes: [] } },
        "a lane that is none": { spec: { lanes: ["fast"] } },
        "less than nothing": { spec: { capacity: { jobs: -1 } } },
        "more than all": { spec: { container: { memoryPercent: 101 } } },
      },
    },
  ),
  ...rowsOf(
    repositoryKind,
    { forge: "local", id: "1" },
    {
      valid: {
        "no more than it must have": {},
        "a policy": {
          spec: {
            suspended: true,
            forks: "none",
            providers: ["bare"],
            hosts: { names: ["local"], labels: { "example.com/pool": "large" } },
            maxJobs: 1,
            retentionDays: 3650,
            vars: { REGISTRY: "registry.example.org", EMPTY: "" },
          },
        },
        "a status": {
          status: { name: "a/b", defaultBranch: "main", cloneUrl: "/a/b", lastDeliveryAt: "2026-08-01T12:00:00Z", heads: 1, epoch: 1 },
        },
      },
      invalid: {
        "no id": { spec: { id: "" } },
        "a choice of no hosts": { spec: { hosts: { names: [] } } },
        "a word for forks that is none": { spec: { forks: "trusted" } },
        "a provider that is none": { spec: { providers: ["k3d"] } },
        "kept for ever": { spec: { retentionDays: 3651 } },
      },
    },
  ),
];

describe("the API server and our schemas say the same", () => {
  test.for(documents.map((row, i) => ({ ...row, i })))("$name", async ({ kind, spec, status, metadata = { name: "" }, isValid, i }) => {
    // As JSON carries it: without what is undefined.
    const given = JSON.parse(JSON.stringify({ metadata: { name: metadata.name || `document-${i}` }, spec, status })) as Row & {
      metadata: { name: string };
    };
    const { name } = given.metadata;
    const { problems } = admit(kind, { ...given, apiVersion: "seatrial.dev/v1alpha1", kind: kind.kind });
    const ask = async () => {
      const made = await store.create(kind, given);
      if (given.status) await store.writeStatus(kind, made, given.status);
    };
    const answer = await ask().then(
      () => "valid",
      (error: { reason?: string; message: string }) => `${error.reason}: ${error.message}`,
    );
    await store.delete(kind, name);
    if (isValid) expect([answer, problems]).toEqual(["valid", []]);
    else {
      expect(answer).toMatch(/^invalid: /);
      expect(problems).not.toEqual([]);
    }
  });
});

describeStore("API server", async () => {
  const own = new KubeClient(config);
  await client.apply("/api/v1/namespaces/conformance", { apiVersion: "v1", kind: "Namespace", metadata: { name: "conformance" } });
  return {
    store: new ApiServerStore(own, "conformance"),
    // Long before the definitions were made: no cache of the API server goes back so far.
    expired: async () => await Promise.resolve("1"),
    close: async () => await own.close(),
  };
});

/** A way to the API server that can be cut. */
async function openDetour() {
  const sockets = new Set<Socket>();
  const server = createServer((from) => {
    const to = connect(port!, "127.0.0.1");
    for (const socket of [from, to]) {
      sockets.add(socket);
      socket
        .on("error", () => {})
        .on("close", () => {
          sockets.delete(socket);
          from.destroy();
          to.destroy();
        });
    }
    from.pipe(to).pipe(from);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => sockets.forEach((socket) => socket.destroy());
  return {
    server: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    async [Symbol.asyncDispose]() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const repository = (id: number) => ({ forge: "local", id: String(id) });

test("a watch whose connection is cut tells every change once, in order", async () => {
  await using detour = await openDetour();
  await using own = new KubeClient({ ...config, server: detour.server });
  const watched = new ApiServerStore(own);
  const { resourceVersion } = await store.list(repositoryKind, { limit: 1 });
  const abort = new AbortController();
  const seen: number[] = [];
  const watching = (async () => {
    for await (const event of watched.watch(repositoryKind, { resourceVersion, signal: abort.signal })) {
      if (event.type === "added" || event.type === "modified") seen.push(event.resource.status?.heads ?? 0);
    }
  })();
  let now = await store.create(repositoryKind, { metadata: { name: "cut" }, spec: repository(1) });
  for (let heads = 1; heads <= 60; heads++) {
    now = await store.writeStatus(repositoryKind, now, { heads });
    if (heads % 20 === 10) detour.cut();
  }
  await waitFor(
    "the last change",
    () => (seen.at(-1) === 60 ? true : undefined),
    patience,
    () => seen.join(),
  );
  expect(seen).toEqual(Array.from({ length: 61 }, (_, i) => i));
  abort.abort();
  await watching;
  await store.delete(repositoryKind, "cut");
});

test("an informer outlives the API server, and misses nothing of what changed meanwhile", async () => {
  const abort = new AbortController();
  const troubles: unknown[] = [];
  const informer = new Informer({ store, kind: repositoryKind, indexes: ["restart"], onTrouble: (error) => troubles.push(error) });
  const running = informer.run(abort.signal);
  await informer.synced;
  for (const name of ["stays", "goes"])
    await store.create(repositoryKind, { metadata: { name, labels: { restart: "yes" } }, spec: repository(1) });
  const names = () =>
    informer
      .labelled("restart", "yes")
      .map(({ metadata }) => metadata.name)
      .toSorted()
      .join();
  await waitFor("the informer to see both", () => (names() === "goes,stays" ? true : undefined), patience, names);

  const apiServer = controlPlaneProcesses(uid).find(({ program }) => basename(program) === "kube-apiserver")!;
  process.kill(apiServer.identity.pid, "SIGKILL");
  await waitFor(
    "it to be gone",
    async () =>
      await client.text("/readyz").then(
        () => undefined,
        () => true,
      ),
    patience,
  );
  await startAll();
  await waitFor(
    "it to be back",
    async () =>
      await client.text("/readyz").then(
        () => true,
        () => undefined,
      ),
    patience,
  );
  await store.delete(repositoryKind, "goes");
  await store.create(repositoryKind, { metadata: { name: "comes", labels: { restart: "yes" } }, spec: repository(2) });
  await waitFor("the informer to catch up", () => (names() === "comes,stays" ? true : undefined), patience, names);
  abort.abort();
  await running;
});

test("of two candidates one leads, and the next leads with a higher epoch when it lets go", async () => {
  const lease = apiLease(client, store.namespace);
  const terms: { who: string; epoch: number }[] = [];
  const stops = { a: new AbortController(), b: new AbortController() };
  const start = async (who: "a" | "b") =>
    await runAsLeader(
      { lease, identity: who, clock: realClock },
      async ({ epoch, lost }) => {
        terms.push({ who, epoch });
        const ends = AbortSignal.any([stops[who].signal, lost]);
        await new Promise((resolve) => ends.addEventListener("abort", resolve, { once: true }));
      },
      stops[who].signal,
    );
  const running = { a: start("a"), b: start("b") };
  await waitFor("a leader", () => (terms.length === 1 ? true : undefined), patience);
  const first = terms[0]!.who as "a" | "b";
  const other = first === "a" ? "b" : "a";
  expect(await kubectl("get", "lease", "seatrial-leader", "-n", store.namespace, "-o", "jsonpath={.spec.holderIdentity}")).toBe(first);
  stops[first].abort();
  await running[first];
  await waitFor("the next leader", () => (terms.length === 2 ? true : undefined), patience);
  expect(terms[1]).toEqual({ who: other, epoch: terms[0]!.epoch + 1 });
  stops[other].abort();
  await running[other];
  expect(await lease.read()).toMatchObject({ holder: "", epoch: terms[1]!.epoch });
});

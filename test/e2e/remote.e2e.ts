/**
 * Clusters and registries on a remote Docker host: the lab's second daemon, behind a real sshd in a network namespace of its
 * own. The connection is cut and restored, and Docker over there stops and starts, while commands are at work.
 */
import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, type TestContext } from "vitest";
import { testImage } from "../../lab/images.ts";
import {
  cutRemote,
  dropRemoteSessions,
  remoteDown,
  type RemoteHost,
  remoteUp,
  restoreRemote,
  startRemoteDocker,
  stopRemoteDocker,
} from "../../lab/remote.ts";
import { hasLabImages } from "../../scripts/docker-choice.ts";
import { pause, waitFor } from "../../src/base/wait.ts";
import { extractTar } from "../../src/clusters/archive.ts";
import { keepIn } from "../../src/clusters/keep.ts";
import { DockerClient } from "../../src/docker/client.ts";
import { labels } from "../../src/docker/ownership.ts";
import { run } from "../../src/process/run.ts";
import {
  type Home,
  kubectlPath,
  needImage,
  needDocker,
  openHome,
  type Ran,
  type Running,
  seatrial,
  startSeatrial,
  untilFile,
} from "../support/e2e.ts";
import { leakedLink, leakedObjects, leakedProcesses, removeLeaks } from "../support/leaks.ts";

/** An ssh process that has lost its owner is gone by then. */
const orphanMs = 3_000;

let remote: RemoteHost | undefined;
let docker: DockerClient;
let reason: string | undefined;
let isOurs = false;
let folder = "";
let kubectl = "";

beforeAll(async () => {
  if (process.platform !== "linux" || process.getuid?.() !== 0) reason = "the lab's remote host needs root on Linux";
  else if (!(await hasLabImages())) reason = "the lab's images are not there: make lab builds them";
  if (reason) return;
  isOurs = leakedLink() === undefined;
  remote = await remoteUp();
  docker = new DockerClient({ socketPath: remote.daemonSocket }, "the remote daemon");
  if (isOurs) await removeRemains();
  folder = await mkdtemp(join(tmpdir(), "st-remote-"));
  kubectl = await kubectlPath();
});

afterAll(async () => {
  await docker?.close();
  if (isOurs) await remoteDown();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** Its data outlives a run that was ended in the middle; nobody else uses it. */
async function removeRemains(): Promise<void> {
  for (const { Id } of await docker.containers([labels.instance])) await docker.removeContainer(Id);
  for (const { Id } of await docker.networks(labels.instance)) await docker.removeNetwork(Id);
  for (const { Name } of await docker.volumes(labels.instance)) await docker.removeVolume(Name);
  for (const image of await docker.images({ label: [labels.instance] })) await docker.removeListed(image);
}

/** A home whose Docker host is the remote one. What it leaves over there is a failure of the test. */
async function remoteHome(context: TestContext, more: Record<string, string | undefined> = {}): Promise<Home> {
  if (!remote) context.skip(reason ?? "the lab's remote host did not come up");
  const home = await openHome(context, {
    DOCKER_HOST: remote!.dockerHost,
    SEATRIAL_SSH_CONFIG: await sshConfig(remote!.knownHosts),
    KUBECTL: kubectl,
    ...more,
  });
  context.onTestFinished(async () => {
    await restoreRemote();
    const left = await removeLeaks(await leftOver(home));
    if (left.length > 0) throw new Error(`the test left on the remote host:\n${left.join("\n")}`);
  }, 60_000);
  return home;
}

async function leftOver(home: Home) {
  const id = await home.instance();
  return id ? await leakedObjects(docker, [id]) : [];
}

async function expectNothingLeft(home: Home): Promise<void> {
  expect((await leftOver(home)).map(({ what }) => what)).toEqual([]);
  expect(await home.leaks()).toEqual([]);
}

async function sshConfig(knownHosts: string): Promise<string> {
  const path = join(folder, `ssh-config-${createHash("sha256").update(knownHosts).digest("hex").slice(0, 8)}`);
  await writeFile(
    path,
    [
      "Host *",
      `  IdentityFile ${remote!.identityFile}`,
      "  IdentitiesOnly yes",
      `  UserKnownHostsFile ${knownHosts}`,
      "  GlobalKnownHostsFile /dev/null",
      "",
    ].join("\n"),
  );
  return path;
}

/** kubectl as a person runs it: any output counts only with exit code 0. */
async function ask(home: Home, kubeconfig: string, ...args: string[]): Promise<string> {
  return (await run(kubectl, ["--kubeconfig", kubeconfig, "--request-timeout=60s", ...args], { env: home.variables, timeoutMs: 90_000 }))
    .stdout;
}

/** Waits until the node's container runs: kind is in the middle of its work then. */
async function untilNode(running: Running, home: Home): Promise<void> {
  await waitFor(
    "the node's container",
    async () => {
      if (running.child.exitCode !== null) throw new Error(`it ended before: ${running.output().stderr}`);
      const id = await home.instance();
      const containers = id ? await docker.containers([`${labels.instance}=${id}`]) : [];
      return containers.some(({ Names, State }) => Names[0]?.endsWith("-control-plane") && State === "running") || undefined;
    },
    { timeoutMs: 120_000, pollMs: 50 },
    () => running.output().stderr,
  );
}

function sshProcesses(home: Home): string[] {
  return leakedProcesses(home.directory)
    .map(({ what }) => what)
    .filter((what) => /: (\/bin\/sh -c .*)?ssh /.test(what));
}

async function untilNoSsh(home: Home): Promise<void> {
  const gone = () => (sshProcesses(home).length === 0 ? true : undefined);
  await waitFor("ssh to end with its owner", gone, { timeoutMs: orphanMs, pollMs: 20 }, () => sshProcesses(home).join("\n"));
}

/** The program of the test image, as a program of this machine: it pushes itself to a registry. */
async function pusher(context: TestContext): Promise<string> {
  await needImage(context, testImage);
  const { client } = await needDocker(context);
  const id = await client.createContainer(`st-pusher-${process.pid}`, { Image: testImage });
  try {
    await extractTar((await client.readArchive(id, "/lab-test"))!, keepIn(folder));
  } finally {
    await client.removeContainer(id);
  }
  const path = join(folder, "lab-test");
  await chmod(path, 0o755);
  return path;
}

function pod(name: string, image: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: {
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 0,
      containers: [{ name: "main", image, imagePullPolicy: "Always", args: ["sleep", "0"] }],
    },
  });
}

function expectCode(ran: Ran, code: number): void {
  expect(ran, `${ran.stderr}\n${ran.stdout}`).toMatchObject({ code, signal: null });
}

describe("a Docker host behind ssh", () => {
  test("with kind: a push from here, pulled by both names; kubectl works again after the connection was lost, twice", async (context) => {
    const home = await remoteHome(context);
    const program = await pusher(context);
    const steps = [
      '"$PUSHER" push "$REGISTRY/pushed/from-here:v1"',
      `echo '${pod("from-here", "NAME/pushed/from-here:v1")}' | sed "s|NAME|$REGISTRY|" | "$KUBECTL" apply -f -`,
      `echo '${pod("in-cluster", "NAME/pushed/from-here:v1")}' | sed "s|NAME|$REGISTRY_IN_CLUSTER|" | "$KUBECTL" apply -f -`,
      'for name in from-here in-cluster; do "$KUBECTL" wait --for=jsonpath={.status.phase}=Succeeded "pod/$name" --timeout=120s || { "$KUBECTL" describe "pod/$name"; exit 20; }; done',
      "touch pulled; until [ -e dropped ]; do sleep 0.1; done",
      '"$KUBECTL" get pods -o name',
      "touch asked; until [ -e restored ]; do sleep 0.1; done",
      '"$KUBECTL" get nodes -o name; "$PUSHER" push "$REGISTRY/pushed/again:v1"',
    ];
    const running = startSeatrial(home, ["with", "kind", "--", "sh", "-ec", steps.join("\n")], { env: { PUSHER: program } });
    await untilFile(running, join(home.cwd, "pulled"));
    await dropRemoteSessions();
    await writeFile(join(home.cwd, "dropped"), "");
    await untilFile(running, join(home.cwd, "asked"));
    await cutRemote();
    await running.says(
      /the connection to ssh:\/\/root@10\.99\.0\.2 was lost \(.*\); connecting again\n[^]*was lost \(.*\); connecting again\n/,
      60_000,
    );
    await restoreRemote();
    await writeFile(join(home.cwd, "restored"), "");
    const ran = await running.ended;
    expectCode(ran, 0);
    expect(ran.stdout).toMatch(/^pod\/in-cluster\n[^]*^node\/st-[0-9a-f]{8}-control-plane$/m);
    expect(ran.stderr).toContain("the connection to ssh://root@10.99.0.2 is back after");
    await expectNothingLeft(home);
  });

  test("apply, get, tunnel and delete; ports stay the same when Docker over there was restarted", async (context) => {
    const home = await remoteHome(context);
    const file = join(home.cwd, "all.yaml");
    await writeFile(
      file,
      [
        { kind: "Registry", metadata: { name: "far-registry" } },
        { kind: "Cluster", metadata: { name: "far" }, spec: { provider: "kind", registry: "far-registry" } },
      ]
        .map((document) => JSON.stringify({ apiVersion: "seatrial.dev/v1alpha1", ...document }))
        .join("\n---\n"),
    );
    const applied = await seatrial(home, ["apply", "-f", file]);
    expectCode(applied, 0);
    expect(applied.stdout).toBe("registry.seatrial.dev/far-registry created\ncluster.seatrial.dev/far created\n");
    expectCode(await seatrial(home, ["apply", "-f", file]), 0);
    await untilNoSsh(home);

    const described = async () =>
      JSON.parse((await seatrial(home, ["get", "cluster", "far", "-o", "json"])).stdout) as {
        status: { phase: string; kubeconfig: string; endpoint: string };
      };
    const { status } = await described();
    expect(status).toMatchObject({ phase: "Ready", endpoint: expect.stringMatching(/^https:\/\/127\.0\.0\.1:\d+$/) });
    await expect(
      ask(home, status.kubeconfig, "--request-timeout=1s", "get", "nodes"),
      "nothing leads there without a tunnel",
    ).rejects.toThrow(/refused/);

    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const tunnel = startSeatrial(home, ["tunnel"]);
      await tunnel.says("ready; Ctrl-C ends it");
      expect(await ask(home, status.kubeconfig, "get", "nodes", "-o", "name")).toBe("node/far-control-plane");
      const registry = /^registry far-registry: (localhost:\d+)$/m.exec(tunnel.output().stdout)?.[1];
      expect((await fetch(`http://${registry}/v2/`)).status, tunnel.output().stdout).toBe(200);
      const unchanged = await seatrial(home, ["apply", "-f", file]);
      expectCode(unchanged, 0);
      expect(unchanged.stdout, "beside a tunnel").toBe(
        "registry.seatrial.dev/far-registry unchanged\ncluster.seatrial.dev/far unchanged\n",
      );
      expect(await ask(home, status.kubeconfig, "get", "nodes", "-o", "name"), "the tunnel outlives the command").toBe(
        "node/far-control-plane",
      );
      tunnel.child.kill(signal);
      const ended = await tunnel.ended;
      if (signal === "SIGTERM") expectCode(ended, 143);
      await untilNoSsh(home);
    }

    const ports = async () => {
      const container = async (name: string) => (await docker.container(name))!.NetworkSettings.Ports;
      return {
        api: (await container("far-control-plane"))["6443/tcp"]?.[0]?.HostPort,
        registry: (await container("far-registry"))["5000/tcp"]?.[0]?.HostPort,
      };
    };
    const before = await ports();
    expect(Number(before.api) > 0 && Number(before.registry) > 0, JSON.stringify(before)).toBe(true);
    const tunnel = startSeatrial(home, ["tunnel"]);
    await tunnel.says("ready; Ctrl-C ends it");
    await ask(home, status.kubeconfig, "create", "configmap", "mine");
    await stopRemoteDocker();
    const stopped = await seatrial(home, ["apply", "-f", file]);
    expectCode(stopped, 3);
    expect(stopped.stderr).toMatch(/Docker .*ssh:\/\/root@10\.99\.0\.2.* hint: /s);
    await startRemoteDocker();
    const again = await seatrial(home, ["apply", "-f", file]);
    expectCode(again, 0);
    expect(again.stdout).toContain("cluster.seatrial.dev/far started\n");
    expect(await ports()).toEqual(before);
    expect((await described()).status).toMatchObject({ phase: "Ready", endpoint: status.endpoint });
    expect(await ask(home, status.kubeconfig, "get", "configmap", "mine", "-o", "name"), "by the tunnel that was there before").toBe(
      "configmap/mine",
    );
    tunnel.child.kill("SIGINT");
    expectCode(await tunnel.ended, 0);

    const deleted = await seatrial(home, ["delete", "-f", file]);
    expectCode(deleted, 0);
    expect(deleted.stdout).toBe("registry.seatrial.dev/far-registry deleted\ncluster.seatrial.dev/far deleted\n");
    await expectNothingLeft(home);
  });

  test.for([
    { how: "every session ends", cut: dropRemoteSessions },
    {
      how: "the link is down for five seconds",
      cut: async () => {
        await cutRemote();
        await pause(5_000);
        await restoreRemote();
      },
    },
  ])("the connection is cut while a cluster boots, $how: it boots, or the error says why; nothing is left", async ({ cut }, context) => {
    const home = await remoteHome(context);
    const running = startSeatrial(home, ["with", "kind", "--", kubectl, "get", "nodes", "-o", "name"]);
    await untilNode(running, home);
    await cut();
    const ran = await running.ended;
    expect([0, 125], ran.stderr).toContain(ran.code);
    if (ran.code === 0) expect(ran.stdout).toMatch(/^node\/st-/);
    else
      expect(ran.stderr).toMatch(
        /^the connection to ssh:\/\/root@10\.99\.0\.2 was lost[^]*^seatrial: cluster st-[0-9a-f]{8} was not made: /m,
      );
    await expectNothingLeft(home);
  });

  test("Docker over there stops while a cluster boots: an error that names it; when it is back, the next command deletes what was left", async (context) => {
    const home = await remoteHome(context);
    const running = startSeatrial(home, ["with", "kind", "--", "true"]);
    await untilNode(running, home);
    let ran: Ran;
    try {
      await stopRemoteDocker();
      ran = await running.ended;
    } finally {
      await startRemoteDocker();
    }
    expectCode(ran, 125);
    expect(ran.stderr).toMatch(/^seatrial: cluster st-[0-9a-f]{8} was not made: /m);
    expect(ran.stderr).toContain("Docker at ssh://root@10.99.0.2 did not answer");
    expect(ran.stderr).toMatch(/^ {2}hint: /m);
    const next = await seatrial(home, ["with", "bare", "--", "true"]);
    expectCode(next, 0);
    expect(next.stderr).toMatch(
      new RegExp(`^seatrial: deleted cluster st-[0-9a-f]{8}: its owner, process ${running.pid}, has ended$`, "m"),
    );
    await expectNothingLeft(home);
  });

  test("an unknown host key: exit 3, and how to check it", async (context) => {
    const home = await remoteHome(context);
    const empty = join(home.directory, "known_hosts");
    await writeFile(empty, "");
    const env = { SEATRIAL_SSH_CONFIG: await sshConfig(empty) };
    const ran = await seatrial(home, ["create", "registry", "never"], { env });
    expectCode(ran, 3);
    expect(ran.stderr).toMatch(/^seatrial: cannot connect to ssh:\/\/root@10\.99\.0\.2: .*host key/);
    expect(ran.stderr).toMatch(/^ {2}hint: .*ssh-keyscan 10\.99\.0\.2/m);
    expectCode(await seatrial(home, ["with", "kind", "--", "true"], { env }), 125);
    expect(await readFile(empty, "utf8"), "nothing is trusted on its own").toBe("");
    await expectNothingLeft(home);
  });

  test("nobody at that address: exit 3", async (context) => {
    const home = await remoteHome(context, { DOCKER_HOST: "ssh://root@10.99.0.2:2222" });
    const ran = await seatrial(home, ["create", "registry", "never"]);
    expectCode(ran, 3);
    expect(ran.stderr).toContain("seatrial: cannot connect to ssh://root@10.99.0.2:2222: ");
    await expectNothingLeft(home);
  });

  test("a Docker context that names it", async (context) => {
    const config = join(folder, "docker-config");
    const meta = join(config, "contexts", "meta", createHash("sha256").update("far-away").digest("hex"));
    await mkdir(meta, { recursive: true });
    const home = await remoteHome(context, { DOCKER_HOST: undefined, DOCKER_CONTEXT: undefined, DOCKER_CONFIG: config });
    await writeFile(join(config, "config.json"), JSON.stringify({ currentContext: "far-away" }));
    await writeFile(
      join(meta, "meta.json"),
      JSON.stringify({ Name: "far-away", Metadata: {}, Endpoints: { docker: { Host: remote!.dockerHost, SkipTLSVerify: false } } }),
    );
    const ran = await seatrial(home, ["create", "registry", "by-context"]);
    expectCode(ran, 0);
    expect((await docker.container("by-context"))?.Config.Labels).toMatchObject({ [labels.instance]: await home.instance() });
    expectCode(await seatrial(home, ["delete", "registry", "by-context"]), 0);
    await expectNothingLeft(home);
  });
});

describe("a Docker host by tcp:// with TLS", () => {
  const tcp = (more: Record<string, string | undefined> = {}) => ({
    DOCKER_HOST: remote?.tcpHost,
    DOCKER_TLS_VERIFY: "1",
    DOCKER_CERT_PATH: remote?.certificates,
    SEATRIAL_SSH_CONFIG: undefined,
    ...more,
  });

  test("with kind: the API and the registry are reached through the node", async (context) => {
    const home = await remoteHome(context, tcp());
    const program = await pusher(context);
    const steps = [
      '"$KUBECTL" get nodes -o name',
      '"$PUSHER" push "$REGISTRY/pushed/from-here:v1"',
      `echo '${pod("from-here", "NAME/pushed/from-here:v1")}' | sed "s|NAME|$REGISTRY|" | "$KUBECTL" apply -f -`,
      '"$KUBECTL" wait --for=jsonpath={.status.phase}=Succeeded pod/from-here --timeout=120s || { "$KUBECTL" describe pod/from-here; exit 20; }',
    ];
    const ran = await seatrial(home, ["with", "kind", "--", "sh", "-ec", steps.join("\n")], { env: { PUSHER: program } });
    expectCode(ran, 0);
    expect(ran.stdout).toMatch(/^node\/st-[0-9a-f]{8}-control-plane$/m);
    await expectNothingLeft(home);
  });

  test("apply, tunnel and delete", async (context) => {
    const home = await remoteHome(context, tcp());
    const file = join(home.cwd, "all.yaml");
    await writeFile(
      file,
      JSON.stringify({
        apiVersion: "seatrial.dev/v1alpha1",
        kind: "Cluster",
        metadata: { name: "by-tcp" },
        spec: { provider: "kind", registry: "by-tcp-registry" },
      }),
    );
    expectCode(await seatrial(home, ["apply", "-f", file]), 0);
    const unchanged = await seatrial(home, ["apply", "-f", file]);
    expectCode(unchanged, 0);
    expect(unchanged.stdout).toContain("cluster.seatrial.dev/by-tcp unchanged\n");
    // Nothing of it can be seen on another daemon: no reason to delete it.
    const near = await needDocker(context);
    await writeFile(
      join(home.cwd, "alone.yaml"),
      JSON.stringify({ apiVersion: "seatrial.dev/v1alpha1", kind: "Cluster", metadata: { name: "by-tcp" }, spec: { provider: "kind" } }),
    );
    const elsewhere = await seatrial(home, ["apply", "-f", "alone.yaml", "--recreate"], { env: near.variables });
    expectCode(elsewhere, 1);
    expect(elsewhere.stderr).toMatch(/cluster by-tcp is on tcp:\/\/\S+, and this command speaks to unix:\/\/\S+; nothing was touched/);
    await rm(join(home.data, "clusters", "by-tcp", "kubeconfig")); // The tunnel writes it anew.
    const tunnel = startSeatrial(home, ["tunnel"]);
    await tunnel.says("ready; Ctrl-C ends it");
    const kubeconfig = /^cluster by-tcp: export KUBECONFIG=(\S+)$/m.exec(tunnel.output().stdout)![1]!;
    expect(await ask(home, kubeconfig, "get", "nodes", "-o", "name")).toBe("node/by-tcp-control-plane");
    const registry = /^registry by-tcp-registry: (localhost:\d+)$/m.exec(tunnel.output().stdout)?.[1];
    expect((await fetch(`http://${registry}/v2/`)).status, tunnel.output().stdout).toBe(200);
    tunnel.child.kill("SIGINT");
    expectCode(await tunnel.ended, 0);
    const node = (await docker.container("by-tcp-control-plane"))!.Id;
    const dialled = async () =>
      (await docker.exec(node, ["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'exec 3<>/dev/tc[p]' || true"])).stdout
        .toString()
        .trim();
    await waitFor(
      "the node to have none of our connections left",
      async () => ((await dialled()) === "0" ? true : undefined),
      { timeoutMs: 10_000, pollMs: 100 },
      () => "some are left",
    );
    expectCode(await seatrial(home, ["delete", "-f", file, "--cascade=true"]), 0);
    await expectNothingLeft(home);
  });

  test("without a certificate of ours: which files are missing, and where", async (context) => {
    const home = await remoteHome(context, tcp());
    const certificates = join(home.directory, "certificates");
    await mkdir(certificates);
    await copyFile(join(remote!.certificates, "ca.pem"), join(certificates, "ca.pem"));
    const ran = await seatrial(home, ["create", "registry", "never"], { env: { DOCKER_CERT_PATH: certificates } });
    expectCode(ran, 1);
    expect(ran.stderr).toContain("cert.pem and key.pem are not in");
    await expectNothingLeft(home);
  });
});

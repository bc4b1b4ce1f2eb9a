/** `seatrial with kind`: what a cluster with nodes and a registry adds, and that nothing of it is left whatever happens. */
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, describe, expect, test } from "vitest";
import { testImage } from "../../lab/images.ts";
import { waitFor } from "../../src/base/wait.ts";
import { labels } from "../../src/docker/ownership.ts";
import { run } from "../../src/process/run.ts";
import {
  type Home,
  kubectlPath,
  needDocker,
  needImage,
  openHome,
  type Running,
  seatrial,
  startSeatrial,
  type TestDocker,
  untilFile,
} from "../support/e2e.ts";
import { buildExample } from "../support/example.ts";

const kubectl = await kubectlPath();

async function withDocker(context: TestContext): Promise<{ home: Home; docker: TestDocker }> {
  const docker = await needDocker(context);
  return { docker, home: await openHome(context, { KUBECTL: kubectl }) };
}

/** Waits until the node's container is there: kind is in the middle of its work then. */
async function untilNode(running: Running, home: Home, docker: TestDocker): Promise<void> {
  await waitFor(
    "the node's container",
    async () => {
      if (running.child.exitCode !== null) throw new Error(`it ended before: ${running.output().stderr}`);
      const id = await home.instance();
      const containers = id ? await docker.client.containers([`${labels.instance}=${id}`]) : [];
      return containers.some(({ Names, State }) => Names[0]?.endsWith("-control-plane") && State === "running") || undefined;
    },
    { timeoutMs: 120_000, pollMs: 50 },
    () => running.output().stderr,
  );
}

/** A pod that runs the test image, as YAML that a shell can expand. */
function pod(name: string, image: string, args: readonly string[]): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: {
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 0,
      containers: [{ name: "main", image, imagePullPolicy: "Always", args }],
    },
  });
}

/** A script for a `with` command: stops at the first failure, and waits for pods by their phase. */
function script(...lines: string[]): string[] {
  const succeeded =
    'succeeded() { "$KUBECTL" wait --for=jsonpath={.status.phase}=Succeeded "pod/$1" --timeout=120s >/dev/null || { "$KUBECTL" describe "pod/$1"; "$KUBECTL" logs "$1"; exit 20; }; }';
  return ["sh", "-ec", [succeeded, ...lines].join("\n")];
}

describe.concurrent("kind clusters", () => {
  test("images by all their names, a push from here and from a pod, and the command's environment", async (context) => {
    await needImage(context, testImage);
    const { home } = await withDocker(context);
    const ran = await seatrial(home, [
      "with",
      "kind",
      "--image",
      testImage,
      "--junit",
      "junit.xml",
      "--",
      ...script(
        // The kubelet pulls by the image's own name, by the registry's name from here, and by its name in the cluster.
        `echo '${pod("own-name", testImage, ["sleep", "0"])}' | "$KUBECTL" apply -f -`,
        `echo '${pod("from-here", `REGISTRY/${testImage}`, ["sleep", "0"])}' | sed "s|REGISTRY|$REGISTRY|" | "$KUBECTL" apply -f -`,
        `echo '${pod("in-cluster", `REGISTRY/${testImage}`, ["sleep", "0"])}' | sed "s|REGISTRY|$REGISTRY_IN_CLUSTER|" | "$KUBECTL" apply -f -`,
        // A pod pushes, and what it pushed is run by both of the registry's names.
        `echo '${pod("push", testImage, ["push", "REGISTRY/pushed/image:v2"])}' | sed "s|REGISTRY|$REGISTRY_IN_CLUSTER|" | "$KUBECTL" apply -f -`,
        "for name in own-name from-here in-cluster push; do succeeded $name; done",
        `echo '${pod("pushed-here", "REGISTRY/pushed/image:v2", ["sleep", "0"])}' | sed "s|REGISTRY|$REGISTRY|" | "$KUBECTL" apply -f -`,
        `echo '${pod("pushed-in-cluster", "REGISTRY/pushed/image:v2", ["sleep", "0"])}' | sed "s|REGISTRY|$REGISTRY_IN_CLUSTER|" | "$KUBECTL" apply -f -`,
        "for name in pushed-here pushed-in-cluster; do succeeded $name; done",
        // A push from here, by the client.
        `docker tag ${testImage} "$REGISTRY/client/image:v3"; docker push -q "$REGISTRY/client/image:v3" >/dev/null; docker rmi "$REGISTRY/client/image:v3" >/dev/null`,
        `echo '${pod("client", "REGISTRY/client/image:v3", ["sleep", "0"])}' | sed "s|REGISTRY|$REGISTRY_IN_CLUSTER|" | "$KUBECTL" apply -f - && succeeded client`,
        '"$KUBECTL" -n kube-public get configmap local-registry-hosting -o jsonpath={.data.localRegistryHosting\\\\.v1}; echo',
        'echo "REGISTRY=$REGISTRY" "IN_CLUSTER=$REGISTRY_IN_CLUSTER"; ls -d "$ARTIFACTS" "$KUBECONFIG"',
      ),
    ]);
    expect(ran, ran.stderr + ran.stdout).toMatchObject({ code: 0 });
    const registry = /^REGISTRY=(localhost:\d+) IN_CLUSTER=(\S+)$/m.exec(ran.stdout);
    expect(registry, ran.stdout).toBeTruthy();
    expect(ran.stdout).toContain(`host: ${registry![1]}\n`);
    expect(ran.stdout).toMatch(new RegExp(`^${home.cwd}/_artifacts/st-[0-9a-f]{8}$`, "m"));
    expect(await readFile(join(home.cwd, "junit.xml"), "utf8")).toContain('failures="0" tests="3"');
    expect(existsSync(home.userKubeconfig), "the user's kubeconfig is not touched").toBe(false);
    expect(await home.leaks()).toEqual([]);
  });

  test("a command that fails: its code, and events, pod logs and node logs under ARTIFACTS", async (context) => {
    await needImage(context, testImage);
    const { home } = await withDocker(context);
    const ran = await seatrial(home, [
      "with",
      "kind",
      "--image",
      testImage,
      "--",
      ...script(
        `echo '${pod("talks", testImage, ["resolve", "kubernetes.default.svc"])}' | "$KUBECTL" apply -f - && succeeded talks`,
        "sleep 1000 & setsid sleep 1001 & exit 3",
      ),
    ]);
    expect(ran, ran.stderr).toMatchObject({ code: 3 });
    const folder = /events, pod logs and node logs are in (\S+)/.exec(ran.stderr)?.[1];
    expect(folder, ran.stderr).toBeTruthy();
    expect(await readFile(join(folder!, "pods", "default_talks_main.log"), "utf8")).toMatch(/ 10\.96\.0\.1\n/);
    expect(await readFile(join(folder!, "events.txt"), "utf8")).toContain("Pod/default/talks");
    expect(await readFile(join(folder!, "pods.txt"), "utf8")).toContain("default/talks Succeeded");
    const nodes = await readdir(join(folder!, "nodes"), { recursive: true });
    expect(
      nodes.some((name) => name.includes("control-plane")),
      nodes.join("\n"),
    ).toBe(true);
    expect(
      nodes.some((name) => name.endsWith("kubelet.log")),
      nodes.join("\n"),
    ).toBe(true);
    expect(await home.leaks()).toEqual([]);
  });

  test("--keep-on-failure leaves cluster and registry; delete removes both", async (context) => {
    const { home } = await withDocker(context);
    const ran = await seatrial(home, ["with", "kind", "--keep-on-failure", "--", "sh", "-c", '"$KUBECTL" create namespace mine; exit 1']);
    expect(ran, ran.stderr).toMatchObject({ code: 1 });
    const kubeconfig = /^ {2}export KUBECONFIG=(\S+)$/m.exec(ran.stderr)?.[1];
    const deletion = /^ {2}seatrial (delete cluster st-[0-9a-f]{8}) /m.exec(ran.stderr)?.[1];
    expect(kubeconfig && deletion, ran.stderr).toBeTruthy();
    const reaped = await seatrial(home, ["reap"]);
    expect(reaped, reaped.stderr).toMatchObject({ code: 0, stdout: "" });
    const there = await run(kubectl, ["--kubeconfig", kubeconfig!, "get", "namespace", "mine", "-o", "name"], { env: home.variables });
    expect(there.stdout).toBe("namespace/mine");
    const deleted = await seatrial(home, deletion!.split(" "));
    expect(deleted, deleted.stderr).toMatchObject({ code: 0 });
    expect(await home.leaks()).toEqual([]);
  });

  test.for([
    { signal: "SIGTERM", code: 143 },
    { signal: "SIGINT", code: 130 },
  ] as const)("$signal while kind works: $code, and nothing left", async ({ signal, code }, context) => {
    const { home, docker } = await withDocker(context);
    const running = startSeatrial(home, ["with", "kind", "--", "touch", "ran"]);
    await untilNode(running, home, docker);
    running.child.kill(signal);
    const ran = await running.ended;
    expect(ran, ran.stderr).toMatchObject({ code, signal: null });
    expect(existsSync(join(home.cwd, "ran"))).toBe(false);
    expect(await home.leaks()).toEqual([]);
  });

  test("SIGTERM while the command runs is passed on: 143, and nothing left", async (context) => {
    const { home } = await withDocker(context);
    const running = startSeatrial(home, [
      "with",
      "kind",
      "--",
      "sh",
      "-c",
      "trap 'echo got it >told; exit 7' TERM; touch began; while :; do sleep 0.1; done",
    ]);
    await untilFile(running, join(home.cwd, "began"));
    running.child.kill("SIGTERM");
    const ran = await running.ended;
    expect(ran, ran.stderr).toMatchObject({ code: 143, signal: null });
    expect(await readFile(join(home.cwd, "told"), "utf8")).toBe("got it\n");
    expect(await home.leaks()).toEqual([]);
  });

  test.for([
    { when: "at the start", until: async (running: Running) => await running.says("booting kind cluster") },
    { when: "while kind works", until: untilNode },
    { when: "while the command runs", until: async (running: Running, home: Home) => await untilFile(running, join(home.cwd, "began")) },
  ])("kill -9 $when: the next command deletes it all", async ({ until }, context) => {
    const { home, docker } = await withDocker(context);
    const running = startSeatrial(home, ["with", "kind", "--", "sh", "-c", "touch began; sleep 1000"]);
    await until(running, home, docker);
    const clusters = join(home.data, "clusters");
    const isRecorded = async () =>
      (await readdir(clusters, { recursive: true }).catch(() => [])).some((path) => path.endsWith("cluster.json"));
    await waitFor("the record", async () => (await isRecorded()) || undefined, {
      timeoutMs: 10_000,
      pollMs: 20,
    });
    running.child.kill("SIGKILL");
    expect(await running.ended).toMatchObject({ signal: "SIGKILL" });
    const next = await seatrial(home, ["with", "bare", "--", "true"]);
    expect(next, next.stderr).toMatchObject({ code: 0 });
    expect(next.stderr).toMatch(
      new RegExp(`^seatrial: deleted cluster st-[0-9a-f]{8}: its owner, process ${running.pid}, has ended$`, "m"),
    );
    expect(await home.leaks()).toEqual([]);
  });

  test("a node image that does not exist: 125, which ones there are, and nothing left", async (context) => {
    const { home } = await withDocker(context);
    const ran = await seatrial(home, ["with", "kind", "--kubernetes-version", "v1.2.3", "--", "true"]);
    expect(ran, ran.stderr).toMatchObject({ code: 125, stdout: "" });
    expect(ran.stderr).toMatch(
      /^seatrial: cluster st-[0-9a-f]{8} was not made: node image kindest\/node:v1\.2\.3 is not on the Docker host and could not be pulled/m,
    );
    expect(ran.stderr).toMatch(/hint: node images that are there: .*node:v1\.36\.\d+/);
    expect(await home.leaks()).toEqual([]);
  });

  test("an image that does not exist: 125, how to make it, and nothing left", async (context) => {
    const { home } = await withDocker(context);
    const ran = await seatrial(home, ["with", "kind", "--image", "no-such/image:v1", "--", "true"]);
    expect(ran, ran.stderr).toMatchObject({ code: 125, stdout: "" });
    expect(ran.stderr).toContain("seatrial: image no-such/image:v1 is not on the Docker host");
    expect(ran.stderr).toContain("hint: docker build -t no-such/image:v1 …, then try again");
    expect(await home.leaks()).toEqual([]);
  });

  test("no Docker at all: 125, and what to do", async (context) => {
    const home = await openHome(context, { DOCKER_HOST: "unix:///nowhere/docker.sock" });
    const ran = await seatrial(home, ["with", "kind", "--", "true"]);
    expect(ran, ran.stderr).toMatchObject({ code: 125, stdout: "" });
    expect(ran.stderr).toContain("/nowhere/docker.sock");
    expect(ran.stderr).toMatch(/^ {2}hint: /m);
  });

  test("two at once, of two installations, do not meet", async (context) => {
    const { home } = await withDocker(context);
    const other = await openHome(context, { KUBECTL: kubectl });
    const meeting = home.cwd;
    const own = (me: string, him: string) =>
      `"$KUBECTL" create namespace ${me} >/dev/null && touch ${meeting}/${me} && for i in $(seq 1200); do [ -e ${meeting}/${him} ] && break; sleep 0.1; done; [ -e ${meeting}/${him} ] && "$KUBECTL" get namespaces -o name | grep -E '/(one|two)$'; echo $REGISTRY`;
    const [one, two] = await Promise.all([
      seatrial(home, ["with", "kind", "--", "sh", "-c", own("one", "two")]),
      seatrial(other, ["with", "kind", "--", "sh", "-c", own("two", "one")]),
    ]);
    expect(one, one.stderr).toMatchObject({ code: 0, stdout: expect.stringMatching(/^namespace\/one\nlocalhost:\d+\n$/) });
    expect(two, two.stderr).toMatchObject({ code: 0, stdout: expect.stringMatching(/^namespace\/two\nlocalhost:\d+\n$/) });
    expect(one.stdout.split("\n")[1]).not.toBe(two.stdout.split("\n")[1]);
    expect([...(await home.leaks()), ...(await other.leaks())]).toEqual([]);
  });

  test("-f FILE: the cluster and the registry that it declares", async (context) => {
    const { home } = await withDocker(context);
    const file = join(home.cwd, "cluster.yaml");
    await writeFile(
      file,
      [
        "apiVersion: seatrial.dev/v1alpha1",
        "kind: Cluster",
        "metadata: { name: declared }",
        "spec: { provider: kind, nodes: 2, clusterDomain: example.test }",
        "---",
        "apiVersion: seatrial.dev/v1alpha1",
        "kind: Registry",
        "metadata: { name: declared-registry }",
        "spec: { env: [REGISTRY_LOG_LEVEL=debug] }",
      ].join("\n"),
    );
    const ran = await seatrial(home, [
      "with",
      "-f",
      "cluster.yaml",
      "--",
      "sh",
      "-c",
      '"$KUBECTL" get nodes -o name; "$KUBECTL" -n kube-system get configmap,deployment coredns -o yaml; docker ps --format "{{.Names}}"',
    ]);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    expect(ran.stdout.match(/^node\//gm)).toHaveLength(2);
    expect(ran.stdout).toContain("kubernetes example.test");
    expect(ran.stdout).toMatch(/readinessProbe:[\s\S]*periodSeconds: 1\n/); // DNS is ready sooner so.
    expect(ran.stdout).not.toContain("declared"); // Throwaways have names of their own.
    expect(await home.leaks()).toEqual([]);
  });
});

test("the example controller runs as a pod from its image, and its tests pass", async (context) => {
  const { home, docker } = await withDocker(context);
  // A name that is nobody else's, also when the demo runs at the same time; the manifest names the registry's.
  const image = "controller:demo";
  const wasThere = (await docker.client.image(image)) !== undefined;
  const folder = await buildExample(context, home, { image });
  try {
    const env = { ARTIFACTS: join(home.cwd, "artifacts") };
    const ran = await seatrial(home, ["with", "kind", "--image", image, "--", "./run-tests.sh"], { cwd: folder, env });
    expect(ran, ran.stderr + ran.stdout).toMatchObject({ code: 0 });
    expect(ran.stdout).toMatch(/^PASS$/m);
    expect(ran.stderr).toContain("run-tests: the controller runs as a pod from seatrial-registry:5000/controller:demo");
  } finally {
    if (!wasThere) await docker.client.removeImage(image);
  }
});

/** Where jobs run: in containers, on which host, and what a change that is not trusted cannot reach. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, type TestContext } from "vitest";
import { registryImage } from "../../lab/images.ts";
import { remoteDown, type RemoteHost, remoteUp } from "../../lab/remote.ts";
import { hasLabImages } from "../../scripts/docker-choice.ts";
import { waitFor } from "../../src/base/wait.ts";
import { DockerClient } from "../../src/docker/client.ts";
import { labBaseImage } from "../../src/runner/executors/runner-image.ts";
import { ApiClient } from "../../src/server/api/client.ts";
import type { JobView, RunView } from "../../src/server/api/schemas.ts";
import { needDocker, openHome, seatrial } from "../support/e2e.ts";
import { leakedLink, leakedObjects, removeLeaks } from "../support/leaks.ts";
import { commit } from "../support/repository.ts";
import { TestServer } from "../support/server.ts";

test("in a container: checkout, a cluster of this machine through the server, one beside it by its own network", async (context) => {
  await needDocker(context);
  const home = await openHome(context, { SEATRIAL_EXECUTOR: "docker" });
  await commit(
    home.cwd,
    {
      "hello.txt": "hello\n",
      ".seatrial/ci.yml": `
on: push
jobs:
  bare:
    cluster: {provider: bare}
    steps:
      - uses: actions/checkout@v4
      - run: grep hello hello.txt && kubectl get namespace default -o name
      - run: mkdir -p "$ARTIFACTS" && echo kept > "$ARTIFACTS/kept.txt"
  kind:
    cluster: {provider: kind}
    steps:
      - run: kubectl get nodes -o name && curl -fsS "http://$REGISTRY/v2/"
`,
    },
    "first",
  );
  const ran = await seatrial(home, ["run", "-o", "json"], { timeoutMs: 180_000 });
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  const [view] = JSON.parse(ran.stdout) as [RunView];
  expect(Object.fromEntries(view.jobs.map(({ jobName, attempts }) => [jobName, attempts[0]!.executor]))).toEqual({
    bare: "docker",
    kind: "docker",
  });
});

const zeros = "0".repeat(40);
const workflow = `
on: pull_request
jobs:
  reach:
    steps:
      - name: nothing of the host is there
        run: |
          test ! -e /var/run/docker.sock
          test ! -e "$SERVER_DATA"
          test ! -e /proc/1/root/root/.ssh
          test "$(ls /sys/class/net)" = lo
          # A shell goes on after \`! command\`, whatever that did.
          never() { ! "$@" || { echo "it can: $*"; exit 1; }; }
          never curl -sS -m 3 http://169.254.169.254/latest/meta-data/
          never curl -sS -m 3 "$SERVER_URL"
          never mount -t tmpfs none /mnt
          never mknod /tmp/disk b 8 0
          never sh -c "env | grep -i -E 'token|canary'"
          test "\${{ secrets.CANARY }}" = ""
          test "\${{ vars.CANARY }}" = ""
          never sh -c "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | grep -a 'c[a]nary-of-the-trusted-lane'"
          never grep -ras 'c[a]nary-of-the-trusted-lane' /seatrial /seatrial-door /tmp /root /home /var /etc /opt /usr/local
          echo "nothing [\${{ secrets.CANARY }}] nothing" > "$ARTIFACTS/secrets.txt"
  egress:
    cluster: {provider: bare}
    steps:
      - name: the API server calls nobody
        run: |
          kubectl apply -f - <<'END'
          apiVersion: admissionregistration.k8s.io/v1
          kind: ValidatingWebhookConfiguration
          metadata: {name: caller}
          webhooks:
            - name: caller.example.com
              clientConfig: {url: "https://127.0.0.1:1/"}
              rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
              sideEffects: None
              admissionReviewVersions: [v1]
          END
          for try in 1 2 3 4 5 6 7 8 9 10; do
            kubectl create configmap probe-$try 2>answer || break
            sleep 0.5
          done
          grep no-egress.sock answer
  image:
    container: "$IMAGE_ID"
    steps: [{run: echo never}]
  flags:
    cluster: {provider: bare, bare: {apiServerFlags: ["--audit-log-path=/tmp/written"]}}
    steps: [{run: 'true'}]
  cluster:
    cluster: {provider: kind}
    steps:
      - run: kubectl get nodes -o name
  containers:
    needs: cluster
    container: ${labBaseImage}
    services: {web: {image: "${registryImage}"}}
    steps:
      - run: |
          for try in 1 2 3 4 5 6 7 8 9 10; do curl -fsS -m 3 http://web:5000/v2/ && break; sleep 0.5; done
          curl -fsS -m 3 http://web:5000/v2/
`;

test("a change that is not trusted waits for a host that is for such ones alone, and reaches nothing from there", async (context) => {
  await needDocker(context);
  const remote = await needRemote(context);
  const folder = await mkdtemp(join(tmpdir(), "st-lanes-"));
  context.onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  const sshConfig = join(folder, "ssh-config");
  await writeFile(
    sshConfig,
    `Host *\n  IdentityFile ${remote.identityFile}\n  IdentitiesOnly yes\n  UserKnownHostsFile ${remote.knownHosts}\n`,
  );
  const server = await TestServer.prepare(
    context,
    { "README.md": "nothing\n" },
    { SEATRIAL_EXECUTOR: "auto", SEATRIAL_SSH_CONFIG: sshConfig },
  );
  const docker = new DockerClient({ socketPath: remote.daemonSocket }, "the remote daemon");
  context.onTestFinished(async () => {
    const id = await server.home.instance();
    const left = id ? await removeLeaks(await leakedObjects(docker, [id])) : [];
    await docker.close();
    expect(left).toEqual([]);
  }, 60_000);
  await server.up();
  // There is one, for the trusted lane: so what is not found could have been.
  const set = await seatrial(server.home, ["secret", "set", "CANARY"], { input: "canary-of-the-trusted-lane" });
  expect(set, set.stderr).toMatchObject({ code: 0 });
  const variables = { forge: "local", id: "1", vars: { CANARY: "canary-of-the-trusted-lane" } };
  const policy = { apiVersion: "seatrial.dev/v1alpha1", kind: "Repository", metadata: { name: "local-1" }, spec: variables };
  await writeFile(join(folder, "repository.json"), JSON.stringify(policy));
  await server.kubectl("apply", "-f", join(folder, "repository.json"));
  const token = (await readFile(join(server.home.data, "api-token"), "utf8")).trim();
  const { Id: imageId } = (await docker.image(labBaseImage))!;
  const text = workflow.replace("$IMAGE_ID", imageId).replace('"$SERVER_DATA"', server.home.data).replace('"$SERVER_URL"', server.url);
  const author = { id: "9", login: "stranger" };
  const run = await ApiClient.over(server.url, token).createRun({
    source: {
      forge: "local",
      repository: { id: "1", name: "project" },
      event: "pull_request",
      ref: "refs/pull/7/merge",
      base: { ref: "main", sha: zeros },
      heads: [{ number: 7, sha: zeros, ref: "patch", repositoryId: "2", author }],
      commit: zeros,
      lane: "untrusted",
    },
    workflow: { path: ".seatrial/ci.yml", text },
    event: {},
  });
  const job = async (name: string) => (await server.get<RunView>(`/api/v1/runs/${run}`)).jobs.find(({ jobName }) => jobName === name);
  const waits = async (name: string, why: string) =>
    await waitFor(`${name} to wait because ${why}`, async () => ((await job(name))?.message?.includes(why) ? true : undefined), {
      timeoutMs: 30_000,
      pollMs: 100,
    });
  await waits("reach", "host local takes no untrusted jobs");
  await waits("cluster", "host local takes no untrusted jobs");

  const declare = async (lanes: string) => {
    const path = join(folder, "host.yaml");
    await writeFile(
      path,
      `apiVersion: seatrial.dev/v1alpha1\nkind: Host\nmetadata: {name: far}\nspec: {endpoint: "${remote.dockerHost}", lanes: ${lanes}}\n`,
    );
    await server.kubectl("apply", "-f", path);
  };
  await declare("[trusted, untrusted]");
  const ended = async (name: string): Promise<JobView> =>
    await waitFor(
      `job ${name} to end`,
      async () => {
        const view = await job(name);
        return view?.phase === "Finished" ? view : undefined;
      },
      { timeoutMs: 150_000, pollMs: 100 },
    );
  const reach = await ended("reach");
  const log = await server.page(`/api/v1/jobs/${reach.name}/log`);
  expect(reach, log).toMatchObject({ verdict: "passed", attempts: [{ host: "far", executor: "docker" }] });
  const left = await server.page(`/api/v1/jobs/${reach.name}/artifact?path=secrets.txt`);
  expect(left).toBe("nothing [] nothing\n");
  expect(log).not.toContain("canary-of-the-trusted-lane");
  expect(await ended("egress")).toMatchObject({ verdict: "passed" });
  expect(await ended("flags")).toMatchObject({ verdict: "error", message: expect.stringContaining("may not set bare.apiServerFlags") });
  // It is there, for trusted jobs.
  expect(await ended("image")).toMatchObject({
    verdict: "error",
    cause: "image",
    message: expect.stringContaining(`image ${imageId} is not one that everybody can have`),
  });
  await waits("cluster", "a cluster with kubelets is root on its host");

  await declare("[untrusted]");
  expect(await ended("cluster")).toMatchObject({ verdict: "passed", attempts: [{ host: "far" }] });
  expect(await ended("containers")).toMatchObject({ verdict: "passed", attempts: [{ host: "far" }] });
  const clusters = async () => (await server.kubectl("get", "clusters", "-o", "name")).trim();
  await waitFor("its cluster to be gone", async () => ((await clusters()) === "" ? true : undefined), { timeoutMs: 60_000, pollMs: 200 });
  expect(await server.kubectl("get", "hosts")).toMatch(/far +ssh:.*untrusted.*true/);
}, 240_000);

async function needRemote(context: TestContext): Promise<RemoteHost> {
  if (process.platform !== "linux" || process.getuid?.() !== 0) context.skip("the lab's remote host needs root on Linux");
  if (!(await hasLabImages())) context.skip("the lab's images are not there: make lab builds them");
  const isOurs = leakedLink() === undefined;
  const remote = await remoteUp();
  context.onTestFinished(async () => {
    if (isOurs) await remoteDown();
  }, 60_000);
  return remote;
}

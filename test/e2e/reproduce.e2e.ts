/** `seatrial reproduce` and `fingerprint`: from one server's data folder into a second, empty one. */
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LockDocument } from "../../src/resources/lock-document.ts";
import type { JobView } from "../../src/server/api/schemas.ts";
import { type Home, kubectlPath, needDocker, openHome, type Owner, type Ran, seatrial, SharedOwner } from "../support/e2e.ts";
import { commit } from "../support/repository.ts";
import { TestServer } from "../support/server.ts";

const kubectl = await kubectlPath();

const workflow = `name: ci
on: push
jobs:
  build:
    outputs: {word: "\${{ steps.say.outputs.word }}"}
    steps:
      - {id: say, run: 'echo word=anchor >> "$GITHUB_OUTPUT"; echo keel > part'}
      - {uses: actions/upload-artifact@v4, with: {name: parts, path: part}}
  e2e:
    needs: build
    strategy: {fail-fast: false, matrix: {suite: [deep, wide]}}
    cluster: {provider: bare}
    steps:
      - uses: actions/checkout@v5
      - {uses: actions/download-artifact@v4, with: {name: parts}}
      - {uses: actions/cache@v4, with: {path: hull, key: hull-2, restore-keys: hull-}}
      - run: sh test.sh \${{ matrix.suite }} \${{ needs.build.outputs.word }}
        env: {KUBECTL: ${kubectl}}
  deploy:
    steps:
      - run: test "\${{ secrets.KEY }}" = open
`;
const script = `"$KUBECTL" get namespace default -o name
echo "suite $1, word $2, part $(cat part), hull $(cat hull)"
test "$1" != deep
`;

/** A server with a run of which a job has failed. */
async function failedJob(owner: Owner) {
  const server = await TestServer.open(owner, { ".seatrial/ci.yml": "name: ci\non: push\njobs: {idle: {steps: [{run: 'true'}]}}\n" });
  // It leaves a cache, which the run of the next commit restores.
  const saves = "{run: 'echo oak > hull'}, {uses: actions/cache/save@v4, with: {path: hull, key: hull-1}}";
  const before = await server.push({ ".seatrial/ci.yml": `name: ci\non: push\njobs: {saves: {steps: [${saves}]}}\n` });
  await server.ended((await server.runOf(before)).name);
  const sha = await server.push({ ".seatrial/ci.yml": workflow, "test.sh": script });
  const { run, jobs } = await server.ended((await server.runOf(sha)).name);
  const job = jobs.find(({ jobName }) => jobName === "e2e (deep)")!;
  return { server, run, job, link: `${server.url}/jobs/${job.name}?line=1#L1`, token: join(server.home.data, "api-token") };
}

/** A home's PATH begins with a folder of these programs, each of which says that it is of that version. */
async function withTools(home: Home, tools: Record<string, string>): Promise<Record<string, string>> {
  const folder = join(home.directory, "tools");
  await mkdir(folder);
  for (const [name, says] of Object.entries(tools)) {
    await writeFile(join(folder, name), `#!/bin/sh\necho '${says}'\n`);
    await chmod(join(folder, name), 0o755);
  }
  return { PATH: `${folder}:${home.variables["PATH"]}` };
}

async function newestRun(home: Home): Promise<string> {
  const [run] = JSON.parse((await seatrial(home, ["history", "-o", "json"])).stdout) as { name: string }[];
  return run!.name;
}

function lastLines(ran: Ran, count: number): string[] {
  return ran.stdout.trimEnd().split("\n").slice(-count);
}

describe("a job of another server", () => {
  let there: Awaited<ReturnType<typeof failedJob>>;
  const owner = new SharedOwner();
  beforeAll(async () => {
    there = await failedJob(owner);
  });
  afterAll(async () => await owner.close());

  /** An installation that knows nothing of that job. */
  async function openLaptop(owner: Owner) {
    const laptop = await openHome(owner);
    const reproduce = async (...args: string[]) => await seatrial(laptop, ["reproduce", ...args, "--token-file", there.token]);
    return { laptop, reproduce };
  }

  test("runs here as it ran there: same trees, cell, cluster, outputs of what it needed; alone; and says that it was the same", async (context) => {
    const { server, run, job, link, token } = there;
    const { laptop, reproduce } = await openLaptop(context);
    expect(await server.page(`/jobs/${job.name}`)).toContain(`seatrial reproduce ${server.url}/jobs/${job.name}</code>`);

    const ran = await reproduce(link);
    expect(ran, ran.stderr).toMatchObject({ code: 1 });
    expect(lastLines(ran, 1)[0]).toMatch(/^equal fingerprint sha256:[0-9a-f]{64}$/);
    expect(ran.stderr).toContain("| namespace/default\n");
    expect(ran.stderr).toContain("| suite deep, word anchor, part keel, hull oak\n");
    const here = await newestRun(laptop);
    const status = JSON.parse((await seatrial(laptop, ["status", here, "-o", "json"])).stdout) as { jobs: JobView[] };
    expect(status.jobs.map(({ jobName, verdict }) => ({ jobName, verdict }))).toEqual([{ jobName: "e2e (deep)", verdict: "failed" }]);

    // By the names of run and job, from the other server's API, three times.
    const again = await reproduce(run.name, "e2e (wide)", "--times", "3", "--server", server.url);
    expect(again, again.stderr).toMatchObject({ code: 0 });
    expect(lastLines(again, 2)).toEqual(["3 of 3 passed", expect.stringMatching(/^equal fingerprint /)]);

    // What ran here has a document, too, by which it compares with what ran there.
    const reproduced = await seatrial(laptop, ["fingerprint", here, "-o", "json"]);
    await writeFile(join(laptop.cwd, "here.json"), JSON.stringify((JSON.parse(reproduced.stdout) as { lock: LockDocument }).lock));
    const compared = await seatrial(laptop, ["fingerprint", link, "here.json", "--token-file", token, "--server", server.url]);
    expect(compared, compared.stderr).toMatchObject({ code: 0, stdout: expect.stringMatching(/^equal fingerprint /) as string });

    // An image, and the version of a cluster, that are others.
    const changed = JSON.parse(await readFile(join(laptop.cwd, "here.json"), "utf8")) as LockDocument;
    const { kubernetesVersion } = changed.clusters[0]!.spec;
    expect(kubernetesVersion).toMatch(/^v1\.\d+\.\d+$/);
    changed.place.image = `example/ci@sha256:${"0".repeat(64)}`;
    changed.clusters[0]!.spec.kubernetesVersion = "v1.35.4";
    await writeFile(join(laptop.cwd, "changed.json"), JSON.stringify(changed));
    const different = await seatrial(laptop, ["fingerprint", "here.json", "changed.json"]);
    expect(different).toMatchObject({ code: 1 });
    expect(different.stdout.trimEnd().split("\n").toSorted()).toEqual([
      `  clusters[0].spec.kubernetesVersion: ${kubernetesVersion} → v1.35.4`,
      `  place.image: absent → ${changed.place.image}`,
      "the fingerprints differ in 2 fields:",
    ]);
    await server.clean();
  });

  test("what differs is named, and nothing else: a tool, a secret that it lacks; and who may not, or could mean several, is told", async (context) => {
    const { server, run, job, link } = there;
    const { laptop, reproduce } = await openLaptop(context);
    Object.assign(laptop.variables, await withTools(laptop, { make: "GNU Make 99.1" }));
    const other = await reproduce(link);
    expect(other, other.stderr).toMatchObject({ code: 1 });
    const make = expect.stringMatching(/^ {2}place\.tools\.make: (absent|\d[\w.]+) → 99\.1$/) as string;
    expect(lastLines(other, 2)).toEqual(["the fingerprints differ in 1 field:", make]);

    const without = await reproduce(run.name, "deploy", "--server", server.url);
    expect(without, without.stderr).toMatchObject({ code: 1, stderr: expect.stringContaining("it lacks KEY: --secrets-file") as string });
    await writeFile(join(laptop.cwd, "secrets"), "KEY=open\n", { mode: 0o600 });
    const given = await reproduce(run.name, "deploy", "--server", server.url, "--secrets-file", "secrets");
    expect(given, given.stderr).toMatchObject({ code: 0 });
    expect(given.stderr).not.toContain("it lacks");
    expect(lastLines(given, 2)).toEqual([make, "  not pinned: secrets.KEY: its value is in no document"]);

    const several = await reproduce(run.name, "--server", server.url);
    expect(several).toMatchObject({ code: 2, stderr: expect.stringContaining("it can be any of 2 jobs") as string });
    const stranger = await seatrial(laptop, ["reproduce", link]);
    expect(stranger).toMatchObject({ code: 1, stderr: expect.stringContaining("needs the server's token") as string });
    const git = await fetch(`${server.url}/api/v1/jobs/${job.name}/git/info/refs?service=git-upload-pack`);
    expect(git.status).toBe(401);
    await server.clean();
  });
});

test("a run of a working tree is reproduced in its repository, and --keep leaves the cluster", async (context) => {
  const home = await openHome(context);
  await commit(home.cwd, { ".seatrial/ci.yml": workflow, "test.sh": script }, "first");
  const ran = await seatrial(home, ["run", "--job", "e2e (deep)"]);
  expect(ran, ran.stderr).toMatchObject({ code: 1 });
  const kept = await seatrial(home, ["reproduce", await newestRun(home), "e2e (deep)", "--keep", "--times", "5"]);
  expect(kept, kept.stderr).toMatchObject({ code: 1 });
  expect(lastLines(kept, 1)[0]).toMatch(/^equal fingerprint /);
  const [, kubeconfig] = /export KUBECONFIG=(\S+)/.exec(kept.stderr)!;
  const [, cluster] = /seatrial delete cluster (\S+)/.exec(kept.stderr)!;
  expect(await readFile(kubeconfig!, "utf8")).toContain("server: https://");
  expect(await seatrial(home, ["delete", "cluster", cluster!])).toMatchObject({ code: 0 });
});

test("a job that fails now and then is counted", async (context) => {
  const home = await openHome(context);
  const counter = join(home.directory, "count");
  const script = `n=$(($(cat ${counter} 2>/dev/null || echo 0) + 1)); echo $n > ${counter}; test $((n % 3)) != 0`;
  await commit(home.cwd, { ".seatrial/ci.yml": `on: push\njobs: {flaky: {steps: [{run: '${script}'}]}}\n` }, "first");
  const first = await seatrial(home, ["run"]);
  expect(first, first.stderr).toMatchObject({ code: 0 });
  const ran = await seatrial(home, ["reproduce", await newestRun(home), "--times", "5"]);
  expect(ran, ran.stderr).toMatchObject({ code: 1 });
  expect(lastLines(ran, 2)).toEqual(["3 of 5 passed, 2 of 5 failed", expect.stringMatching(/^equal fingerprint /)]);
});

test("in a container with a kind cluster, of a file of kind's configuration: image, node image and versions are in the document, and are the same again", async (context) => {
  await needDocker(context);
  const home = await openHome(context, { SEATRIAL_EXECUTOR: "docker" });
  const steps =
    "[{uses: helm/kind-action@v1, with: {config: ci/kind.yaml}}, {run: 'test -n \"$(kubectl get nodes -l deck=upper -o name)\"'}]";
  const config = "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes: [{role: control-plane, labels: {deck: upper}}]\n";
  await commit(home.cwd, { ".seatrial/ci.yml": `on: push\njobs: {e2e: {steps: ${steps}}}\n`, "ci/kind.yaml": config }, "first");
  const ran = await seatrial(home, ["run"]);
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  const told = await seatrial(home, ["fingerprint", await newestRun(home), "-o", "json"]);
  const { lock } = JSON.parse(told.stdout) as { lock: LockDocument };
  expect(lock.place).toMatchObject({ executor: "docker", image: expect.stringMatching(/^seatrial\/runner:[0-9a-f]{24}$/) as string });
  expect(lock.clusters).toMatchObject([
    {
      spec: { provider: "kind", kubernetesVersion: expect.stringMatching(/^v1\.\d+\.\d+$/) as string },
      programs: { kind: expect.stringMatching(/^0\.\d+\.\d+/) as string },
      images: { "control-plane": expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string },
    },
  ]);
  const again = await seatrial(home, ["reproduce", await newestRun(home)]);
  expect(again, again.stderr).toMatchObject({ code: 0, stdout: expect.stringMatching(/^equal fingerprint /) as string });
}, 300_000);

/** The examples of examples/, as each README says that they are run: `seatrial run` in a repository of their own. */
import { delimiter, dirname } from "node:path";
import { describe, expect, test, type TestContext } from "vitest";
import { nodeImage } from "../../lab/images.ts";
import { scriptEnvironment } from "../../scripts/docker-choice.ts";
import { buildIntoCache } from "../../src/programs/cache.ts";
import { lookInPath } from "../../src/programs/lookup.ts";
import { kubernetesVersions, versions } from "../../src/programs/versions.ts";
import { type Home, kubectlPath, needDocker, openHome, seatrial } from "../support/e2e.ts";
import { exampleRepository } from "../support/example.ts";

const [, olderKubernetes] = kubernetesVersions;

/** A home with the example in its working folder, and the programs that its steps call in PATH. */
async function openExample(context: TestContext, name: string, programs: readonly string[] = []): Promise<Home> {
  const home = await openHome(context);
  const go = await exampleRepository(context, home, name);
  const folders = [await kubectlPath(), go, ...programs].map((path) => dirname(path));
  home.variables["PATH"] = [...folders, home.variables["PATH"]].join(delimiter);
  return home;
}

/** Runs it, and expects that these jobs pass, no others are there, and nothing is left. */
async function expectPassed(home: Home, jobs: readonly string[], ...args: string[]): Promise<void> {
  const ran = await seatrial(home, ["run", ...args]);
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  const ended = [...ran.stderr.matchAll(/^. \w+ \/ (.+): (passed|failed|error|timed-out|aborted|skipped)\b/gm)];
  expect(Object.fromEntries(ended.map(([, job, verdict]) => [job, verdict]))).toEqual(
    Object.fromEntries(jobs.map((job) => [job, "passed"])),
  );
  expect(await home.leaks()).toEqual([]);
}

/** The user's own, else the one that is built from Go modules: a minute and a half, once. */
async function helmPath(): Promise<string> {
  const environment = scriptEnvironment();
  const [found] = await lookInPath("helm", environment);
  return found ?? (await buildIntoCache([{ name: "helm", version: versions.helm }], { environment }))[0]!;
}

describe("examples", () => {
  test("controller: an operator with CRDs on a bare control plane", async (context) => {
    const home = await openExample(context, "controller");
    await expectPassed(home, ["e2e (bare)"], "--job", "e2e", "--matrix", "provider=bare");
  });

  test("app: an image and its chart; pods on two nodes reach each other, and both answer for their service", async (context) => {
    await needDocker(context);
    const home = await openExample(context, "app", [await helmPath()]);
    await expectPassed(home, ["e2e"]);
  });

  test("multicluster: pods of two clusters of one job reach nodes and pods of the other", async (context) => {
    await needDocker(context);
    await expectPassed(await openExample(context, "multicluster"), ["e2e"]);
  });

  test("versions: two versions of Kubernetes with two DNS domains", async (context) => {
    const docker = await needDocker(context);
    const image = nodeImage(olderKubernetes);
    // What one machine's `make test` has time for is one version; `make soak` builds this one.
    if (!(await docker.client.image(image))) context.skip(`image ${image} is not there: node lab/main.ts build --k8s ${olderKubernetes}`);
    await expectPassed(await openExample(context, "versions"), ["e2e (v1.36, fleet.internal)", "e2e (v1.35, cluster.local)"]);
  });
});

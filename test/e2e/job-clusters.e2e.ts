/** Several clusters on kind for one job: reached from a runner in a container, and held with the network that they share. */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { run } from "../../src/process/run.ts";
import { kubeconfigOf, kubectl, ok, ownedBy } from "../support/clusters.ts";
import { needDocker, openHome, seatrial } from "../support/e2e.ts";

const workflow = `
name: two
on: push
jobs:
  both:
    clusters: {east: {provider: kind}, west: {provider: kind}}
    steps:
      # bash opens connections by itself: there need be no kubectl in the image.
      - shell: bash
        run: |
          for file in $KUBECONFIG_EAST $KUBECONFIG_WEST; do
            [[ $(< $file) =~ https://([^:\\"]+):([0-9]+) ]]
            exec 3<>"/dev/tcp/\${BASH_REMATCH[1]}/\${BASH_REMATCH[2]}"
          done
      - run: exit 7
`;

test("a runner in a container reaches both; held, they keep their network until the last of them is deleted", async (context) => {
  const docker = await needDocker(context);
  const home = await openHome(context, { SEATRIAL_EXECUTOR: "docker" });
  await mkdir(join(home.cwd, ".seatrial"));
  await writeFile(join(home.cwd, ".seatrial", "two.yml"), workflow);
  const git = async (...args: string[]) =>
    await run("git", ["-c", "user.name=test", "-c", "user.email=test@example.com", ...args], { cwd: home.cwd, env: process.env });
  await git("init", "--quiet", "--initial-branch=main");
  await git("commit", "--quiet", "--allow-empty", "--message=first");
  const networks = async () => (await ownedBy(docker, (await home.instance())!)).filter((each) => each.startsWith("network "));

  const ran = await seatrial(home, ["run", "--hold"]);
  // The first step passed, then.
  expect(ran.stderr).toContain("✗ two / both: failed");
  expect(ran.stderr).toContain("Run exit 7: exit code 7");

  const clusters = (await readdir(join(home.data, "clusters"), { withFileTypes: true })).filter((each) => each.isDirectory());
  const [east = "", west = ""] = clusters.map(({ name }) => name).toSorted();
  // Whoever made the network has ended; what is on it has not.
  ok(await seatrial(home, ["reap"]));
  expect(await networks()).toHaveLength(1);
  for (const cluster of [east, west]) await kubectl(kubeconfigOf(home, cluster), ["get", "nodes"]);

  ok(await seatrial(home, ["delete", "cluster", east]));
  expect(await networks()).toHaveLength(1);
  ok(await seatrial(home, ["delete", "cluster", west]));
  expect(await networks()).toEqual([]);
  expect(await home.leaks()).toEqual([]);
});

/** Several clusters on kind for one job: the network that they share, from a runner in a container, and after a kill. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import { run } from "../../src/process/run.ts";
import { docker, ownedBy } from "../support/clusters.ts";
import { needDocker, openHome, seatrial, startSeatrial } from "../support/e2e.ts";

const workflows = {
  "two.yml": `
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
      - run: sleep 600
`,
  "none.yml": "name: none\non: push\njobs: {none: {if: false, steps: [{run: 'true'}]}}\n",
};

test("a runner in a container reaches both; after kill -9 the next command leaves neither them nor their network", async (context) => {
  const on = await needDocker(context);
  const home = await openHome(context, { SEATRIAL_EXECUTOR: "docker" });
  await mkdir(join(home.cwd, ".seatrial"));
  for (const [name, text] of Object.entries(workflows)) await writeFile(join(home.cwd, ".seatrial", name), text);
  const git = async (...args: string[]) =>
    await run("git", ["-c", "user.name=test", "-c", "user.email=test@example.com", ...args], { cwd: home.cwd, env: process.env });
  await git("init", "--quiet", "--initial-branch=main");
  await git("commit", "--quiet", "--allow-empty", "--message=first");
  const owned = async (what: string) => {
    const instance = await home.instance();
    return instance === undefined ? [] : (await ownedBy(on, instance)).flatMap((each) => each.split(`${what} `)[1] ?? []);
  };

  const running = startSeatrial(home, ["run", "two"]);
  await waitFor(
    "the step after the one that must pass",
    async () => {
      if (running.child.exitCode !== null) throw new Error(`it ended: ${running.output().stderr}`);
      const runner = (await owned("container")).find((name) => name.startsWith("seatrial-attempt-"));
      return runner !== undefined && (await docker(on, "top", runner)).includes("sleep 600") ? true : undefined;
    },
    { timeoutMs: 240_000, pollMs: 250 },
    () => running.output().stderr,
  );
  expect(await owned("network")).toHaveLength(1);
  running.child.kill("SIGKILL");
  await running.ended;

  const next = await seatrial(home, ["run", "none"]);
  expect(next, next.stderr).toMatchObject({ code: 0 });
  expect(await home.leaks()).toEqual([]);
});

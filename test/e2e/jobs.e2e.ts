/** Reusable workflows and concurrency groups on a server with a real control plane, which is killed and comes back. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import type { RunBody, RunView } from "../../src/server/api/schemas.ts";
import { openHome, seatrial } from "../support/e2e.ts";
import { commit, git } from "../support/repository.ts";
import { TestServer } from "../support/server.ts";

const ci = `name: CI
run-name: Deploy of \${{ github.ref_name }}
on: push
concurrency: deploy
jobs:
  deploy:
    uses: ./.seatrial/called.yml
    with: {who: ops}
  last:
    needs: deploy
    steps: [{run: "echo got \${{ needs.deploy.outputs.said }}"}]
`;
/** Its first job goes on until the file is there. */
const called = (file: string) => `on:
  workflow_call:
    inputs: {who: {type: string}}
    outputs: {said: {value: "\${{ jobs.hold.outputs.said }}"}}
jobs:
  hold:
    environment: production
    outputs: {said: "\${{ steps.say.outputs.said }}"}
    steps:
      - run: |
          echo begun
          until [ -e ${file} ]; do sleep 0.1; done
      - id: say
        run: echo "said=for \${{ inputs.who }}" >> "$GITHUB_OUTPUT"
`;

test("a group over a crash of the server; jobs of a called workflow have their names everywhere", async (context) => {
  let release = "";
  const server = await TestServer.prepare(context, ({ cwd }) => {
    release = join(cwd, "release");
    return { ".seatrial/ci.yml": ci, ".seatrial/called.yml": called(release) };
  });
  await server.up();
  const viewOf = async (run: string) => await server.get<RunView>(`/api/v1/runs/${run}`);
  const first = await waitFor("the first run", async () => (await server.get<{ items: RunBody[] }>("/api/v1/runs")).items[0], {
    timeoutMs: 30_000,
    pollMs: 50,
  });
  await server.logSays(first.name, "deploy / hold", "begun");
  expect((await viewOf(first.name)).run.title).toBe("Deploy of main");
  expect(await server.job(first.name, "deploy / hold")).toMatchObject({ job: "deploy/hold", environment: { name: "production" } });

  const waits = async (run: string) =>
    await waitFor(
      `${run} to wait`,
      async () => ((await viewOf(run)).run.message === `waits for group deploy: CI (${first.name})` ? true : undefined),
      {
        timeoutMs: 30_000,
        pollMs: 100,
      },
    );
  const second = await server.runOf(await server.push({ "a.txt": "2" }));
  await waits(second.name);
  await server.kill();
  await server.up();
  const third = await server.runOf(await server.push({ "a.txt": "3" }));
  await waits(third.name);
  expect(await server.ended(second.name)).toMatchObject({
    run: { verdict: "aborted", message: `group deploy: CI (${third.name}) came after it, and takes its place` },
    jobs: [],
  });

  await writeFile(release, "");
  expect(await server.ended(first.name)).toMatchObject({ run: { verdict: "passed" } });
  const ended = await server.ended(third.name);
  expect(ended, JSON.stringify(ended)).toMatchObject({ run: { verdict: "passed" } });
  expect(Object.fromEntries(ended.jobs.map(({ jobName, needs }) => [jobName, needs]))).toEqual({ "deploy / hold": [], last: ["deploy"] });
  expect(await server.page(`/api/v1/jobs/${(await server.job(third.name, "last"))!.name}/log`)).toContain("got for ops");

  const again = await seatrial(server.home, ["rerun", third.name, "deploy / hold"]);
  expect(again, again.stderr).toMatchObject({ code: 0 });
  const rerun = await waitFor(
    "the second attempts",
    async () => {
      const view = await viewOf(third.name);
      return view.run.phase === "Finished" && view.jobs.every(({ attempts }) => attempts.length === 2) ? view : undefined;
    },
    { timeoutMs: 60_000, pollMs: 100 },
  );
  expect(rerun).toMatchObject({ run: { verdict: "passed" } });
  await server.clean();
});

test("a workflow of another repository, with what it calls beside it, from a mirror: run, locked, and told of when it is gone", async (context) => {
  const home = await openHome(context);
  const mirror = join(home.directory, "mirror");
  const shared = join(mirror, "o/shared");
  await commit(shared, {
    ".github/workflows/x.yml":
      "on: {workflow_call: {inputs: {who: {type: string}}}}\njobs:\n  a: {steps: [{run: 'echo hello ${{ inputs.who }}'}]}\n  b: {uses: ./.github/workflows/y.yml}\n",
    ".github/workflows/y.yml": "on: workflow_call\njobs: {deep: {steps: [{run: 'true'}]}}\n",
  });
  await git(shared, "tag", "v1");
  const config = join(home.directory, "config");
  await mkdir(join(config, "seatrial"), { recursive: true });
  await writeFile(join(config, "seatrial/config.yaml"), JSON.stringify({ actions: { mirrors: [{ prefix: "", url: `${mirror}/` }] } }));
  const run = async (...args: string[]) => await seatrial(home, args, { env: { XDG_CONFIG_HOME: config } });
  const caller = (file: string) => ({
    ".github/workflows/ci.yml": `on: push\njobs: {call: {uses: o/shared/.github/workflows/${file}@v1, with: {who: you}}}\n`,
  });
  await commit(home.cwd, caller("x.yml"));

  const ran = await run("run", "--executor", "host", "--event", "push", "-o", "json");
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  const [{ jobs }] = JSON.parse(ran.stdout) as [RunView];
  expect(jobs.map(({ jobName }) => jobName).toSorted()).toEqual(["call / a", "call / b / deep"]);
  expect((await run("logs", jobs.find(({ jobName }) => jobName === "call / a")!.name)).stdout).toContain("hello you");
  expect((await run("actions", "lock")).stdout).toMatch(/^o\/shared@v1 is locked at [0-9a-f]{40}$/m);

  await commit(home.cwd, caller("gone.yml"));
  expect(await run("check")).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/ci\.yml:2:21: jobs\.call\.uses: o\/shared\S+@v1 cannot be had: commit [0-9a-f]{40} has no file/),
  });
});

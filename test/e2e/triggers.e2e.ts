/** What starts runs beside a push: dispatches, by the command and by the API, and the clock. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import type { RunBody } from "../../src/server/api/schemas.ts";
import { openHome, seatrial } from "../support/e2e.ts";
import { commit, git } from "../support/repository.ts";
import { TestServer } from "../support/server.ts";

const deploy = `name: Deploy
on:
  workflow_dispatch:
    inputs:
      level: {type: choice, options: [low, high], default: low}
      dry: {type: boolean}
jobs:
  a:
    steps:
      - if: inputs.dry
        run: echo 'dry, \${{ inputs.level }}, text \${{ toJSON(github.event.inputs.dry) }}, on \${{ github.ref }}'
`;

test("a dispatch by the command and by the API, an event of one's own, and a schedule", async (context) => {
  const server = await TestServer.open(context, {
    ".seatrial/deploy.yml": deploy,
    ".seatrial/told.yml":
      "on: {repository_dispatch: {types: [built]}}\njobs: {a: {steps: [{run: 'echo \"tag ${{ github.event.client_payload.tag }}\"'}]}}\n",
    ".seatrial/minute.yml":
      'on: {schedule: [{cron: "* * * * *"}]}\njobs: {a: {steps: [{run: \'echo "at ${{ github.event.schedule }}"\'}]}}\n',
  });
  const sha = (await git(server.clone, "rev-parse", "HEAD")).trim();
  const said = async (run: string) => {
    const { run: seen, jobs } = await server.ended(run);
    expect(seen, JSON.stringify(jobs)).toMatchObject({ verdict: "passed", sha, lane: "trusted" });
    return (await server.page(`/api/v1/jobs/${jobs[0]!.name}/log`)).split("\n");
  };
  const from = { ...server.home, cwd: server.clone };

  const dispatched = await seatrial(from, ["dispatch", "Deploy", "--input", "dry=true", "--input", "level=high"]);
  expect(dispatched, dispatched.stderr).toMatchObject({ code: 0 });
  expect(await said(dispatched.stdout.trim())).toContain('dry, high, text "true", on refs/heads/main');

  const wrong = await seatrial(from, ["dispatch", "deploy.yml", "--input", "level=hihg"]);
  expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('must be low or high, and is "hihg", did you mean high?') });

  const payload = join(server.home.cwd, "payload.json");
  await writeFile(payload, JSON.stringify({ tag: "v7" }));
  const told = await seatrial(from, ["dispatch", "--type", "built", "--payload", payload, "--repository", "project"]);
  expect(told, told.stderr).toMatchObject({ code: 0 });
  expect(await said(told.stdout.trim())).toContain("tag v7");

  const post = async (token: string) =>
    await fetch(`${server.url}/api/v1/dispatches`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify({ repository: "project", workflow: "deploy.yml", inputs: { dry: true } }),
    });
  expect((await post("wrong")).status).toBe(401);
  const answer = await post((await readFile(join(server.home.data, "api-token"), "utf8")).trim());
  expect(await said(((await answer.json()) as { run: string }).run)).toContain('dry, low, text "true", on refs/heads/main');

  const scheduled = await waitFor(
    "the run of the minute",
    async () => (await server.get<{ items: RunBody[] }>("/api/v1/runs?event=schedule")).items[0],
    { timeoutMs: 120_000, pollMs: 500 },
  );
  expect(await said(scheduled.name)).toContain("at * * * * *");
  await server.clean();
});

test("seatrial run: inputs, and paths of what is in the working tree", async (context) => {
  const home = await openHome(context);
  await commit(home.cwd, { ".seatrial/deploy.yml": deploy, "docs/a.md": "a\n" }, "first");
  const ran = await seatrial(home, ["run", "--executor", "host", "--event", "workflow_dispatch", "--input", "dry=true"]);
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  const [{ jobs }] = JSON.parse(
    (await seatrial(home, ["run", "--executor", "host", "--event", "workflow_dispatch", "--input", "dry=true", "-o", "json"])).stdout,
  ) as [{ jobs: { name: string }[] }];
  expect((await seatrial(home, ["logs", jobs[0]!.name])).stdout).toContain('dry, low, text "true"');
  expect(await seatrial(home, ["run", "--executor", "host", "--event", "workflow_dispatch", "--input", "dyr=true"])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("has no input dyr, did you mean dry?"),
  });
  await git(home.cwd, "checkout", "-q", "-b", "topic");
  await commit(home.cwd, { ".seatrial/docs.yml": 'on: {push: {paths: ["docs/**"]}}\njobs: {docs: {steps: [{run: "true"}]}}\n' }, "second");
  expect(await seatrial(home, ["plan", "--event", "push"]), "no file of docs differs").toMatchObject({ code: 2 });
  await writeFile(join(home.cwd, "docs/a.md"), "b\n");
  const planned = await seatrial(home, ["plan", "--event", "push"]);
  expect(planned, planned.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining("docs") });
});

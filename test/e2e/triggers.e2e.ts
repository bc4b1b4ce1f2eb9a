/** What starts runs beside a push: dispatches, by the command and by the API, and the clock. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
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
    ".seatrial/yearly.yml":
      'on: {schedule: [{cron: "0 0 1 1 *"}]}\njobs: {a: {steps: [{run: \'echo "at ${{ github.event.schedule }}"\'}]}}\n',
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

  // Nobody waits for a year: as if the server had last looked two years ago.
  await waitFor("the schedule to be known", () => schedulesOf(server)[0], { timeoutMs: 60_000, pollMs: 100 });
  const scheduled = async () => (await server.get<{ items: RunBody[] }>("/api/v1/runs?event=schedule")).items;
  expect(await scheduled()).toEqual([]);
  await server.kill();
  schedulesOf(server, new Date(Date.now() - 2 * 366 * 86_400_000));
  await server.up();
  const run = await waitFor("the run that was missed", async () => (await scheduled())[0], { timeoutMs: 60_000, pollMs: 100 });
  expect(await said(run.name)).toContain("at 0 0 1 1 *");
  expect(await scheduled(), "of all that were missed the last one is run").toHaveLength(1);
  await server.clean();
});

/** Up to when the server has looked at its schedules, by repository. @param instead of that; no server may run then. */
function schedulesOf(server: TestServer, instead?: Date): string[] {
  using history = new DatabaseSync(join(server.home.data, "history.db"), { readOnly: !instead, timeout: 5_000 });
  const rows = history.prepare("SELECT key, value FROM state WHERE key LIKE 'schedule/%'").all() as { key: string; value: string }[];
  const set = history.prepare("UPDATE state SET value = ? WHERE key = ?");
  if (instead) for (const { key, value } of rows) set.run(value.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, instead.toISOString()), key);
  return rows.map(({ value }) => value);
}

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

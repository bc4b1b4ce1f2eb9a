/** Whether `seatrial run` asks Docker: only where a job may run in a container. A stand-in counts who asks it. */
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { expect, test, type TestContext } from "vitest";
import { openHome, seatrial } from "../support/e2e.ts";
import { commit } from "../support/repository.ts";

/** A Docker that answers nothing but that it cannot. @returns its address, and what it was asked. */
async function silentDocker(context: TestContext, folder: string): Promise<{ address: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url!);
    response.writeHead(500).end('{"message": "out of order"}');
  });
  const path = join(folder, "docker.sock");
  await new Promise<void>((done) => server.listen(path, done));
  context.onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return { address: `unix://${path}`, asked };
}

const cases: [string, { executor: string; config: string; isAsked: boolean }][] = [
  ["of processes alone asks no Docker", { executor: "host", config: "", isAsked: false }],
  ["that may have containers looks for Docker, and makes do without", { executor: "auto", config: "", isAsked: true }],
  [
    "whose labels may mean containers looks for Docker, too",
    { executor: "host", config: "runsOn: [{labels: [tools], executor: docker}]\n", isAsked: true },
  ],
];

for (const [name, { executor, config, isAsked }] of cases)
  test(`a run ${name}`, async (context) => {
    const home = await openHome(context);
    const { address, asked } = await silentDocker(context, home.directory);
    Object.assign(home.variables, { DOCKER_HOST: address, SEATRIAL_EXECUTOR: executor, XDG_CONFIG_HOME: join(home.directory, "config") });
    await mkdir(join(home.directory, "config", "seatrial"), { recursive: true });
    await writeFile(join(home.directory, "config", "seatrial", "config.yaml"), config);
    await commit(home.cwd, { ".seatrial/ci.yml": "on: push\njobs: {unit: {steps: [{run: 'true'}]}}\n" });
    const ran = await seatrial(home, ["run"]);
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    expect(asked.length > 0, asked.join(" ")).toBe(isAsked);
  });

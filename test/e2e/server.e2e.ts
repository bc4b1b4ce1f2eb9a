/** `seatrial up`: from a push to the line that failed, and back after a kill. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { waitFor } from "../../src/base/wait.ts";
import type { JobView, RunView } from "../../src/server/api/schemas.ts";
import { kubectlPath, seatrial } from "../support/e2e.ts";
import { git } from "../support/repository.ts";
import { TestServer } from "../support/server.ts";

const kubectl = await kubectlPath();

const passing = "name: ci\non: push\njobs: {unit: {steps: [{run: 'true'}]}}\n";
const failing = `name: ci
on: push
jobs:
  e2e:
    cluster: {provider: bare}
    steps:
      - uses: actions/checkout@v4
      - run: sh test.sh
        env: {KUBECTL: ${kubectl}}
`;
const script = `#!/bin/sh
"$KUBECTL" get namespace default -o name
echo '<testsuite name="s"><testcase classname="s" name="TestWidget"><failure message="want 3 widgets, got 2"/></testcase></testsuite>' > "$ARTIFACTS/junit.xml"
echo '--- FAIL: TestWidget (0.01s)'
echo '    widget_test.go:12: want 3 widgets, got <2> & more'
exit 7
`;

describe("from a push to the line that failed", () => {
  test("the head that is there, a push, the check, its link, the page, kubectl; down leaves nothing", async (context) => {
    const server = await TestServer.open(context, { ".seatrial/ci.yml": passing });
    const first = (await git(server.clone, "rev-parse", "HEAD")).trim();
    expect((await server.ended((await server.runOf(first)).name)).run.verdict).toBe("passed");
    expect(await server.up(), "a second start finds the first").toBe(server.url);

    const sha = await server.push({ ".seatrial/ci.yml": failing, "test.sh": script });
    const view = await server.ended((await server.runOf(sha)).name);
    expect(view.run.verdict).toBe("failed");
    const [job] = view.jobs as [JobView];
    expect(job).toMatchObject({ jobName: "e2e", verdict: "failed" });

    // The check: red, and its link opens the line.
    const check = await waitFor("the check", async () => await shownCheck(server, view.run.name, "ci / e2e (push)"), {
      timeoutMs: 10_000,
      pollMs: 50,
    });
    expect(check.state).toBe("failure");
    const line = Number(/[?]attempt=1&line=(\d+)#L\1$/.exec(check.targetUrl)?.[1]);
    expect(check.targetUrl.startsWith(`${server.url}/jobs/`)).toBe(true);
    const page = await server.page(new URL(check.targetUrl).pathname + new URL(check.targetUrl).search);
    expect(page).toContain(`<div id="L${line}" class="marked">`);
    expect(new RegExp(`<div id="L${line}"[^\\n]*?</div>`).exec(page)![0]).toContain("want 3 widgets, got &lt;2&gt; &amp; more");
    expect(page, "the failing test leads to its line").toContain(`?attempt=1&amp;line=${line}#L${line}">`);
    expect(page).not.toContain("<script");

    expect(await server.kubectl("get", "jobruns")).toMatch(/e2e +Finished +failed/);
    expect(await server.kubectl("explain", "jobrun.spec")).toContain("What it does, in order.");
    const openapi = await server.get<{ openapi: string; paths: Record<string, object> }>("/api/v1/openapi.json");
    expect(openapi.openapi).toBe("3.1.0");
    expect(Object.keys(openapi.paths)).toContain("/api/v1/runs/{run}");

    await server.clean();
    const down = await seatrial(server.home, ["down"]);
    expect(down, down.stderr).toMatchObject({ code: 0 });
    expect(existsSync(join(server.home.data, "server.json"))).toBe(false);
    expect(await server.home.leaks()).toEqual([]);
  });

  test("kill -9 of the server in the middle of a step: the log has every line once, in order, and the verdict comes", async (context) => {
    const server = await TestServer.open(context, { ".seatrial/ci.yml": passing });
    const lines = 60;
    const sha = await server.push({
      ".seatrial/ci.yml": `name: ci\non: push\njobs: {count: {steps: [{run: 'for i in $(seq 1 ${lines}); do echo "count $i"; sleep 0.1; done'}]}}\n`,
    });
    const { name } = await server.runOf(sha);
    const job = await waitFor("the job to speak", async () => await speaking(server, name), { timeoutMs: 30_000, pollMs: 50 });
    await server.kill();
    await server.up();
    expect((await server.ended(name)).run.verdict).toBe("passed");
    const log = await server.page(`/api/v1/jobs/${job}/log`);
    expect(log.split("\n").filter((line) => line.startsWith("count "))).toEqual(Array.from({ length: lines }, (_, i) => `count ${i + 1}`));
    expect((await server.get<JobView>(`/api/v1/jobs/${job}`)).attempts).toHaveLength(1);
    await server.clean();
  });

  test("who has no token changes nothing", async (context) => {
    const server = await TestServer.open(context, { ".seatrial/ci.yml": passing });
    const { name } = await server.runOf((await git(server.clone, "rev-parse", "HEAD")).trim());
    const post = async (token: string | undefined) =>
      await fetch(`${server.url}/api/v1/runs/${name}/abort`, {
        method: "POST",
        headers: { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) },
        body: JSON.stringify({ reason: "test" }),
      });
    expect((await post(undefined)).status).toBe(401);
    expect((await post("wrong")).status).toBe(401);
    const token = (await readFile(join(server.home.data, "api-token"), "utf8")).trim();
    expect((await post(token)).status).toBe(200);
    await server.clean();

    // A name of somebody else's that leads here makes their pages "of the same origin".
    expect(await statusUnder(server, "rebound.example")).toBe(421);
    expect(await statusUnder(server, "localhost")).toBe(200);
  });

  test("outputs as large as they may be reach the job that needs them, which may have as many", async (context) => {
    const large = 1_000_000;
    const server = await TestServer.open(context, {
      ".seatrial/ci.yml": `name: ci
on: push
jobs:
  first:
    outputs: {x: "\${{ steps.x.outputs.x }}"}
    steps: [{id: x, run: 'printf "x=%s\\n" "$(head -c ${large} /dev/zero | tr "\\0" x)" >> "$GITHUB_OUTPUT"'}]
  second:
    needs: first
    outputs: {x: "\${{ needs.first.outputs.x }}"}
    steps:
      - run: |
          cat > x <<'END'
          \${{ needs.first.outputs.x }}
          END
          test "$(wc -c < x)" = ${large + 1}
`,
    });
    const view = await server.ended((await server.runOf((await git(server.clone, "rev-parse", "HEAD")).trim())).name);
    expect(
      view.jobs.map(({ job, verdict, message }) => ({ job, verdict, message })).toSorted((a, b) => a.job.localeCompare(b.job)),
    ).toEqual([
      { job: "first", verdict: "passed" },
      { job: "second", verdict: "passed" },
    ]);
    await server.clean();
  });
});

async function statusUnder(server: TestServer, host: string): Promise<number | undefined> {
  const answer = Promise.withResolvers<number | undefined>();
  request(server.url, { headers: { host } }, (response) => answer.resolve(response.resume().statusCode))
    .on("error", answer.reject)
    .end();
  return await answer.promise;
}

/** Name of the run's only job, once a line of its step is in the log. */
async function speaking(server: TestServer, run: string): Promise<string | undefined> {
  const job = (await server.get<RunView>(`/api/v1/runs/${run}`)).jobs[0]?.name;
  if (job === undefined) return undefined;
  const log = await fetch(`${server.url}/api/v1/jobs/${job}/log`);
  return log.ok && (await log.text()).includes("count 3\n") ? job : undefined;
}

/** As the forge shows it, once the job has ended. */
async function shownCheck(server: TestServer, run: string, context: string): Promise<{ state: string; targetUrl: string } | undefined> {
  const { items } = await server.get<{ items: { context: string; state: string; targetUrl: string }[] }>(`/api/v1/runs/${run}/checks`);
  return items.find((each) => each.context === context && each.state !== "pending");
}

/** Steps and jobs that do what they should not, all at once on one server: each has the end that it deserves, and none is felt by another. */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, type TestContext } from "vitest";
import { isSoak, seatrial } from "../support/e2e.ts";
import { expectInvariants, VerdictWatch, viewsOf, witness, type World } from "../support/invariants.ts";
import { Pulse } from "../support/pulse.ts";
import { git } from "../support/repository.ts";
import { TestServer } from "../support/server.ts";

/** What a job may look like, as far as it is used here. */
type Job = { steps: (string | { id?: string; run: string })[]; [key: string]: unknown };

/** The workflow as text: JSON is YAML. */
function workflow(name: string, jobs: Record<string, Job>): string {
  const steps = (of: Job["steps"]) => of.map((step) => (typeof step === "string" ? { run: step } : step));
  const all = Object.entries(jobs).map(([id, job]) => [id, { "runs-on": "self-hosted", ...job, steps: steps(job.steps) }]);
  return JSON.stringify({ name, on: "push", jobs: Object.fromEntries(all) });
}

async function openWorld(context: TestContext, files: (stamps: string) => Record<string, string>): Promise<World> {
  const server = await TestServer.prepare(context, (home) => files(join(home.cwd, "stamps")), {
    DOCKER_HOST: "unix:///nowhere/docker.sock",
  });
  const stamps = join(server.home.cwd, "stamps");
  await mkdir(stamps);
  await server.up();
  const folder = await git(server.clone, "ls-tree", "--name-only", "HEAD", ".seatrial/");
  return { server, stamps, workflows: folder.split("\n").filter(Boolean) };
}

/** Every byte there is, as `printf` takes it. */
const everyByte = Array.from({ length: 256 }, (_, byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
const allBytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

const entities = ["a", "b", "c", "d", "e", "f", "g"].map((name, index, names) => {
  const value = index === 0 ? "0123456789" : `&${names[index - 1]};`.repeat(10);
  return `<!ENTITY ${name} "${value}">`;
});

/** Jobs by id; `expected` is what the API says of each in the end. */
const jobs = (stamps: string): Record<string, Job & { expected: object }> => ({
  "children that do not listen": {
    steps: [
      `${witness(stamps, 3)}; setsid sh -c 'trap "" TERM HUP INT; while :; do sleep 0.2; done' & setsid setsid sleep 1000 & sleep 0.2`,
    ],
    expected: { verdict: "passed" },
  },
  deaf: {
    "timeout-minutes": 0.05,
    steps: [`trap '' TERM; while :; do sleep 0.2; done`],
    expected: { verdict: "timed-out" },
  },
  flood: {
    // 200 MB.
    steps: [witness(stamps, isSoak ? 140_000_000 : 14_000_000)],
    expected: { verdict: "passed" },
  },
  binary: {
    steps: [`${witness(stamps, 3)}; for i in $(seq 1000); do printf '${everyByte}'; done`],
    expected: { verdict: "passed" },
  },
  "one line": {
    steps: [`${witness(stamps, 3)}; head -c 10000000 /dev/zero | tr '\\0' x; echo; echo after`],
    expected: { verdict: "passed" },
  },
  outputs: {
    steps: [{ id: "a", run: `printf 'x=%s\\n' "$(head -c 600000 /dev/zero | tr '\\0' x)" >> "$GITHUB_OUTPUT"` }],
    outputs: { one: "${{ steps.a.outputs.x }}", two: "${{ steps.a.outputs.x }}" },
    expected: { verdict: "error", cause: "outputs", message: expect.stringContaining("no more than 1048576 are kept") },
  },
  reports: {
    steps: [
      witness(stamps, 3),
      `yes '<testsuite name="deep">' | head -n 200000 > "$ARTIFACTS/deep-junit.xml"`,
      `echo '<!DOCTYPE x [${entities.join("")}]><testsuite name="s"><testcase name="&g;"/></testsuite>' > "$ARTIFACTS/entities-junit.xml"`,
      `(echo '<testsuite name="s">'; yes '<testcase name="test" classname="class"/>' | head -n 2000000; echo '</testsuite>') > "$ARTIFACTS/huge-junit.xml"`,
    ],
    expected: { verdict: "passed", message: expect.stringMatching(/deep-junit\.xml[^]*entities-junit\.xml[^]*huge-junit\.xml/) },
  },
  artifacts: {
    steps: [
      witness(stamps, 3),
      `cd "$ARTIFACTS"; ln -s /etc/passwd link; ln -s / root; mkfifo pipe; echo a > ..a; mkdir -p a/..b/...; echo b > a/..b/.../c
      echo x > "$(printf 'new\\nline')"; echo x > 'back\\slash'; echo x > 'ü ?#%2e%2e'`,
    ],
    expected: { verdict: "passed" },
  },
  "cluster that cannot boot": {
    cluster: { provider: "bare", featureGates: { NoSuchGate: true } },
    steps: [`touch ${stamps}/never`],
    expected: { verdict: "error", cause: "cluster-boot", message: expect.stringMatching(/cluster .*NoSuchGate/s) },
  },
  list: {
    steps: [`${witness(stamps, 3)}`, { id: "list", run: `echo "n=[$(seq -s , 300)]" >> "$GITHUB_OUTPUT"` }],
    outputs: { n: "${{ steps.list.outputs.n }}" },
    expected: { verdict: "passed" },
  },
  "too many cells": {
    needs: "list",
    strategy: { matrix: { n: "${{ fromJSON(needs.list.outputs.n) }}" } },
    steps: ["true"],
    expected: { verdict: "error", cause: "invalid-workflow", message: expect.stringContaining("256") },
  },
});

describe("steps that misbehave", () => {
  test(
    "each ends as it deserves, the server answers all the while, and nothing is left",
    { timeout: isSoak ? 900_000 : 240_000 },
    async (context) => {
      const hundred = Array.from({ length: 100 }, (_, index) => index);
      const expected = new Map<string, object>();
      const world = await openWorld(context, (stamps) => {
        const ids: Record<string, Job> = {};
        for (const [name, { expected: end, ...job }] of Object.entries(jobs(stamps))) {
          expected.set(name.replaceAll(" ", "-"), end);
          ids[name.replaceAll(" ", "-")] = job;
        }
        return {
          ".seatrial/ci.yml": workflow("ci", ids),
          ".seatrial/wide.yml": workflow("wide", { wide: { strategy: { matrix: { a: hundred, b: hundred } }, steps: ["true"] } }),
        };
      });
      const { server } = world;
      await using verdicts = new VerdictWatch(server);
      await using pulse = new Pulse(server);
      await expectInvariants(world, verdicts, isSoak ? 600_000 : 120_000);

      const all = (await viewsOf(server)).flatMap((view) => view.jobs);
      const byId = new Map(all.map((job) => [job.job, job]));
      for (const [id, end] of expected) expect(byId.get(id), id).toMatchObject(end);
      const jobOf = (id: string) => byId.get(id)!.name;

      const binary = Buffer.from(await (await fetch(`${server.url}/api/v1/jobs/${jobOf("binary")}/log`)).arrayBuffer());
      expect(binary.includes(Buffer.concat(Array.from({ length: 1000 }, () => allBytes)))).toBe(true);

      const { lines } = await server.get<{ lines: { text: string; isCut: boolean }[] }>(`/api/v1/jobs/${jobOf("one-line")}/lines`);
      const long = lines.findIndex(({ text }) => text.startsWith("xxx"));
      expect(lines[long]).toMatchObject({ isCut: true });
      expect(lines[long + 1]).toMatchObject({ text: "after" });
      expect((await server.page(`/api/v1/jobs/${jobOf("one-line")}/log`)).includes(`\n${"x".repeat(10_000_000)}\nafter\n`)).toBe(true);
      expect(await server.page(`/jobs/${jobOf("one-line")}`)).toContain("after");

      const artifacts = await server.get<{ items: { path: string }[] }>(`/api/v1/jobs/${jobOf("artifacts")}/artifacts`);
      expect(artifacts.items.map(({ path }) => path).toSorted()).toEqual(["..a", "a/..b/.../c", "ü ?#%2e%2e"]);
      const said = await server.page(`/api/v1/jobs/${jobOf("artifacts")}/log`);
      for (const path of ["link", "root", "pipe", '"new\\nline"', '"back\\\\slash"'])
        expect(said).toContain(`artifact ${path} is left out`);
      for (const path of ["../artifacts/..a", "link", "/etc/passwd"])
        expect((await fetch(`${server.url}/api/v1/jobs/${jobOf("artifacts")}/artifact?path=${encodeURIComponent(path)}`)).status).toBe(404);

      const head = (await git(server.clone, "rev-parse", "HEAD")).trim();
      const wide = await server.runOf(head, ".seatrial/wide.yml");
      expect(wide).toMatchObject({ verdict: "error", cause: "invalid-workflow", message: expect.stringMatching(/10,?000.*256/s) });
      const { items } = await server.get<{ items: { context: string; state: string }[] }>(`/api/v1/runs/${wide.name}/checks`);
      expect(items).toContainEqual(expect.objectContaining({ context: ".seatrial/wide.yml", state: "error" }));

      const boot = jobOf("cluster-that-cannot-boot");
      const kept = await server.get<{ items: { path: string }[] }>(`/api/v1/jobs/${boot}/artifacts`);
      const log = kept.items.find(({ path }) => path.endsWith("kube-apiserver.log"))?.path ?? "";
      expect(await server.page(`/api/v1/jobs/${boot}/artifact?path=${encodeURIComponent(log)}`)).toContain("NoSuchGate");
      expect(await server.page(`/jobs/${boot}`)).toContain(log);
      expect(await readdir(join(server.home.data, "failures")), "they are nowhere else").toEqual([]);

      // Heartbeats come each five seconds; after thirty a runner counts as lost.
      const { silenceMs, answerMs } = await pulse.end();
      expect(silenceMs).toBeLessThan(15_000);
      // Some ten milliseconds where the machine does nothing else; here other tests have their share of it.
      expect(answerMs).toBeLessThan(5_000);
      const ran = await seatrial(server.home, ["down"]);
      expect(ran, ran.stderr).toMatchObject({ code: 0 });
      expect(await server.home.leaks()).toEqual([]);
    },
  );
});

/** Actions from a mirror on disk, and from the run's own repository: fetched, locked, and run. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { RunView } from "../../src/server/api/schemas.ts";
import { type Home, needDocker, openHome, seatrial } from "../support/e2e.ts";
import { commit, git } from "../support/repository.ts";
import { TestServer } from "../support/server.ts";

const composite = (words: string) => `
name: greets
inputs: {who: {default: nobody}}
outputs: {said: {value: "\${{ steps.say.outputs.said }}"}}
runs:
  using: composite
  steps:
    - uses: o/inner@v1
    - id: say
      run: echo "said=${words} \${{ inputs.who }}" >>"$GITHUB_OUTPUT"
      shell: bash
`;

/** A home whose configuration has a mirror with two actions, one of which uses the other, and a repository that uses both. */
async function open(home: Home) {
  const mirror = join(home.directory, "mirror");
  const outer = await commit(join(mirror, "o/outer"), { "action.yml": composite("hello") }, "one");
  await git(join(mirror, "o/outer"), "tag", "v1");
  const inner = await commit(join(mirror, "o/inner"), {
    "action.yml": "runs: {using: node20, main: m.js, post: m.js}",
    "m.js": 'console.log(process.env.STATE_x ? "cleaned" : "inner"); require("fs").appendFileSync(process.env.GITHUB_STATE, "x=1\\n");',
  });
  await git(join(mirror, "o/inner"), "tag", "--annotate", "--message=v1", "v1");
  const config = join(home.directory, "config");
  await mkdir(join(config, "seatrial"), { recursive: true });
  await writeFile(join(config, "seatrial/config.yaml"), JSON.stringify({ actions: { mirrors: [{ prefix: "", url: `${mirror}/` }] } }));
  await commit(home.cwd, {
    ".github/workflows/ci.yml": `
on: push
jobs:
  a:
    steps:
      - uses: actions/checkout@v4
      - {id: o, uses: o/outer@v1, with: {who: ann}}
      - uses: ./local
      - run: test "\${{ steps.o.outputs.said }}" = "hello ann"
`,
    "local/action.yml": "runs: {using: composite, steps: [{uses: o/inner@v1}]}",
  });
  const run = async (...args: string[]) => await seatrial(home, args, { env: { XDG_CONFIG_HOME: config } });
  return { mirror, outer, inner, run };
}

test("locked, run, moved, gone", async (context) => {
  const home = await openHome(context);
  const { mirror, outer, inner, run } = await open(home);
  expect(await run("check")).toMatchObject({ code: 0 });
  const checked = await run("actions", "check");
  expect(checked).toMatchObject({
    code: 1,
    stdout: `o/inner@v1 is not locked; it is ${inner} now\no/outer@v1 is not locked; it is ${outer} now\n`,
  });
  expect(checked.stderr).toContain("is not up to date\n  hint: seatrial actions lock\n");
  expect(await run("actions", "lock")).toMatchObject({
    code: 0,
    stdout: `o/inner@v1 is locked at ${inner}\no/outer@v1 is locked at ${outer}\n`,
  });
  const lock = join(home.cwd, ".seatrial/actions.lock");
  expect((await readFile(lock, "utf8")).split("\n").slice(1)).toEqual([`o/inner@v1 ${inner}`, `o/outer@v1 ${outer}`, ""]);
  expect(await run("actions", "check")).toMatchObject({ code: 0 });
  expect(await run("run")).toMatchObject({ code: 0 });

  // The tag moves: what is locked still runs.
  const moved = await commit(join(mirror, "o/outer"), { "action.yml": composite("goodbye") }, "two");
  await git(join(mirror, "o/outer"), "tag", "--force", "v1");
  expect(await run("run")).toMatchObject({ code: 0 });
  const now = await run("actions", "check");
  expect(now).toMatchObject({ code: 1, stdout: `o/outer@v1 is locked at ${outer}, and is ${moved} now\n` });
  expect(now.stderr).toContain("hint: seatrial actions lock --update takes what tags and branches are now");
  const asJson = await run("actions", "check", "-o", "json");
  expect([asJson.code, JSON.parse(asJson.stdout)]).toEqual([1, [{ action: "o/outer@v1", was: outer, is: moved }]]);
  expect(await run("actions", "lock")).toMatchObject({ code: 0, stdout: "" });
  expect(await run("actions", "lock", "--update")).toMatchObject({
    code: 0,
    stdout: `o/outer@v1 was locked at ${outer}, and is now at ${moved}\n`,
  });
  expect(await run("run")).toMatchObject({ code: 1 });

  await writeFile(lock, `o/outer@v1 ${"1".repeat(40)}\n`);
  const gone = await run("run");
  expect(gone.code).toBe(4);
  expect(gone.stderr + gone.stdout).toContain(
    `action o/outer@v1: .seatrial/actions.lock has commit ${"1".repeat(40)}, which is not in ${mirror}/o/outer any more, and v1 is commit ${moved} there`,
  );
});

test("a workflow of another repository that a job calls is locked, too", async (context) => {
  const home = await openHome(context);
  const { mirror, inner, run } = await open(home);
  const called = await commit(join(mirror, "o/called"), {
    ".github/workflows/c.yml": "on: workflow_call\njobs: {b: {steps: [{uses: o/inner@v1}]}}\n",
  });
  await commit(home.cwd, { ".github/workflows/ci.yml": "on: push\njobs: {a: {uses: o/called/.github/workflows/c.yml@main}}\n" });
  const locked = await run("actions", "lock");
  expect(locked, locked.stderr).toMatchObject({
    code: 0,
    stdout: `o/called@main is locked at ${called}\no/inner@v1 is locked at ${inner}\n`,
  });
});

test("in a container: fetched by the server all the same, run by the container's Node", async (context) => {
  await needDocker(context);
  const home = await openHome(context);
  const { run } = await open(home);
  const ran = await run("run", "--executor", "docker");
  expect(ran, ran.stderr + ran.stdout).toMatchObject({ code: 0 });
});

test("a mirror that does not answer is ours to mend: the job is an error of the host, and no step has run", async (context) => {
  const home = await openHome(context);
  const { run } = await open(home);
  const config = join(home.directory, "config/seatrial/config.yaml");
  await writeFile(config, JSON.stringify({ actions: { mirrors: [{ prefix: "", url: "http://127.0.0.1:1/" }] } }));
  const ran = await run("run", "-o", "json");
  expect(ran.code).toBe(4);
  const [view] = JSON.parse(ran.stdout) as RunView[];
  expect(view!.jobs).toMatchObject([
    { verdict: "error", cause: "host", message: expect.stringContaining("cannot ask http://127.0.0.1:1/o/outer for v1: ") },
  ]);
  expect(view!.jobs[0]!.attempts[0]!.steps).toEqual([]);
});

test("on a server: an action of the run's own repository, at a branch", async (context) => {
  const server = await TestServer.open(context, {
    ".github/workflows/ci.yml": `
on: push
jobs: {a: {steps: [{id: own, uses: local/project/tools/say@main}, {run: 'test "\${{ steps.own.outputs.it }}" = said'}]}}
`,
    "tools/say/action.yml": "runs: {using: node24, main: ../say.js}",
    "tools/say.js": 'require("fs").appendFileSync(process.env.GITHUB_OUTPUT, "it=said\\n");',
  });
  const sha = await server.push({ more: "" });
  const view = await server.ended((await server.runOf(sha)).name);
  expect(view.jobs.map(({ verdict, message }) => ({ verdict, message }))).toEqual([{ verdict: "passed", message: undefined }]);
});

test("check tells what is wrong in the actions of the tree, and of those that are not there", async (context) => {
  const home = await openHome(context);
  await commit(home.cwd, {
    ".github/workflows/ci.yml": "on: push\njobs: {a: {steps: [{uses: ./wrong}, {uses: ./none}]}}\n",
    "wrong/action.yaml": "runs: {using: composite, steps: [{run: x}]}\n",
  });
  const wrong = await seatrial(home, ["check"]);
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain("wrong/action.yaml:1:34: runs.steps[0].shell: is required beside `run` in an action: bash, sh …");
  await writeFile(join(home.cwd, "wrong/action.yaml"), "runs: {using: composite, steps: [{run: x, shell: sh}]}\n");
  const right = await seatrial(home, ["check"]);
  expect(right).toMatchObject({ code: 0 });
  expect(right.stderr).toContain(
    ".github/workflows/ci.yml:2:44: jobs.a.steps[1].uses: there is no action.yml in none: it must be there by the time that the step runs",
  );
});

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { environmentFrom } from "../../base/environment.ts";
import { run } from "../../process/run.ts";
import { runCli } from "../cli.ts";

interface Answer {
  code: number;
  out: string;
  err: string;
}

/** Runs a command in a repository with these files, on a machine without Docker. */
async function called(files: Record<string, string>, ...argv: string[]): Promise<Answer> {
  return await calledIn(".", files, ...argv);
}

/** In a folder of the repository. */
async function calledIn(folder: string, files: Record<string, string>, ...argv: string[]): Promise<Answer> {
  const home = await mkdtemp(join(tmpdir(), "plan-"));
  onTestFinished(async () => await rm(home, { recursive: true, force: true }));
  const cwd = join(home, "project");
  for (const [path, text] of Object.entries(files)) {
    const at = join(path.startsWith("~/") ? home : cwd, path.replace(/^~\//, ""));
    await mkdir(dirname(at), { recursive: true });
    await writeFile(at, text);
  }
  const { PATH } = process.env;
  const env = { PATH, HOME: home };
  await run("git", ["init", "--quiet", "--initial-branch=main"], { cwd, env });
  await run("git", ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "--message=first"], { cwd, env });
  const variables = {
    PATH,
    DOCKER_HOST: `unix://${home}/none.sock`,
    SEATRIAL_HOME: join(home, "data"),
    SEATRIAL_CACHE: join(home, "cache"),
  };
  const environment = environmentFrom({ variables, homeDir: home, tempDir: home, uid: 0, cwd: join(cwd, folder) });
  const [out, err]: [string[], string[]] = [[], []];
  const output = {
    out: (text: string) => void out.push(text),
    err: (text: string) => void err.push(text),
    write: (text: string | Uint8Array) => void out.push(String(text)),
  };
  const code = await runCli({ argv, calledAs: "seatrial", environment, output });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

const workflow = `name: ci
on: push
jobs:
  unit: {steps: [{run: "true"}]}
  image: {runs-on: [ubuntu-latest], outputs: {tag: "x"}, steps: [{run: "true"}]}
  gpu: {runs-on: [gpu], steps: [{run: "true"}]}
  e2e:
    needs: [unit, image]
    strategy: {matrix: {k8s: [v1.36, v1.35], suite: [deep], exclude: [{k8s: v1.35, suite: wide}]}}
    cluster: {provider: bare, kubernetesVersion: "\${{ matrix.k8s }}"}
    steps: [{run: "true"}]
  late: {needs: e2e, if: github.ref == 'refs/heads/other', steps: [{run: "true"}]}
`;
const config = "runsOn: [{labels: [gpu], executor: docker, image: example/gpu:1}]\n";
const files = { ".seatrial/ci.yml": workflow, "~/.config/seatrial/config.yaml": config };

describe("plan", () => {
  test("shows the graph in stages, each cell, where it would run, and why there", async () => {
    const { code, out, err } = await called(files, "plan", "--event", "push");
    expect(code, err).toBe(0);
    const rows = out.split("\n").map((line) => line.trim().split(/ {2,}/));
    expect(rows.slice(0, 8)).toEqual([
      ["ci (push of refs/heads/main)"],
      ["STAGE", "JOB", "NEEDS", "CLUSTERS", "WHERE"],
      ["1", "unit", "on local, executor host"],
      ["1", "image", "on local, executor host"],
      ["1", "gpu", "on local, executor docker"],
      ["2", "e2e (v1.36, deep)", "after unit, image", "in bare v1.36", "on local, executor host"],
      ["2", "e2e (v1.35, deep)", "after unit, image", "in bare v1.35", "on local, executor host"],
      ["3", "late", "after e2e", "(its `if` is false: github.ref == 'refs/heads/other')"],
    ]);
    expect(out).toMatch(/unit, e2e \(v1\.36, deep\), e2e \(v1\.35, deep\): no runs-on; executor host: no Docker here: .*none\.sock/);
    expect(out).toMatch(/image: runs-on ubuntu-latest means Linux, as everywhere here; executor host: no Docker here/);
    expect(out).toMatch(/gpu: runs-on gpu: the rule for gpu in .*config\.yaml says executor docker/);
    expect(out).toMatch(/gpu: it needs Docker, and cannot run now/);
    expect(out).toContain("cluster is bare: etcd and kube-apiserver, as processes of this machine");
  });

  test("says the same as JSON, for programs", async () => {
    const { out } = await called(files, "plan", "--event", "push", "--executor", "host", "-o", "json");
    const [plan] = JSON.parse(out) as {
      jobs: { name: string; stage: number; cell?: object; needs: string[]; place?: object; note?: string }[];
    }[];
    expect(plan!.jobs.find(({ name }) => name === "e2e (v1.35, deep)")).toMatchObject({
      job: "e2e",
      stage: 2,
      cell: { k8s: "v1.35", suite: "deep" },
      needs: ["unit", "image"],
      clusters: ["bare v1.35"],
      place: {
        host: "local",
        executor: "host",
        why: ["no runs-on; executor host: --executor says so", expect.stringContaining("is bare")],
      },
    });
    expect(plan!.jobs.find(({ name }) => name === "gpu")).toMatchObject({ place: { executor: "docker", image: "example/gpu:1" } });
    expect(plan!.jobs.find(({ name }) => name === "late")).not.toHaveProperty("place");
  });
});

test("plan says of a job with containers that it cannot run as a process", async () => {
  const text = `on: push
jobs:
  action: {steps: [{uses: "docker://alpine:3"}]}
  service: {services: {db: {image: "postgres:16"}}, steps: [{run: x}]}
  plain: {steps: [{run: x}]}
`;
  const { out } = await called({ ".seatrial/ci.yml": text }, "plan", "--event", "push", "--executor", "host");
  const needed = "it has a container, services or Docker actions, which need executor docker";
  expect(out.split("\n").filter((line) => line.includes("cannot run"))).toEqual([
    `  action, service: it cannot run so: ${needed}`,
    expect.stringContaining("  action, service: it needs Docker, and cannot run now"),
  ]);
});

const open = `name: open
on: push
jobs:
  list: {outputs: {cells: "x", go: "x"}, steps: [{run: "true"}]}
  unit: {needs: list, if: needs.list.outputs.go == 'true', strategy: {matrix: {k8s: [v1.36]}}, steps: [{run: "true"}]}
  cells: {needs: list, strategy: {matrix: {k8s: "\${{ fromJSON(needs.list.outputs.cells) }}"}}, steps: [{run: "true"}]}
  never: {if: github.ref == 'refs/heads/other', steps: [{run: "true"}]}
  called: {needs: list, uses: ./.seatrial/called.yml, with: {cells: "\${{ needs.list.outputs.cells }}"}}
  last: {needs: [unit, called], steps: [{run: "true"}]}
  after: {needs: never, steps: [{run: "true"}]}
`;
const calledText = `on: {workflow_call: {inputs: {cells: {type: string}}}}
jobs:
  one: {steps: [{run: "true"}]}
  two: {needs: one, strategy: {matrix: {k8s: "\${{ fromJSON(inputs.cells) }}"}}, steps: [{run: "true"}]}
`;
const openFiles = { ".seatrial/open.yml": open, ".seatrial/called.yml": calledText };

test("plan says of what other jobs decide that they do, and puts a job after all that a call has in its place", async () => {
  const { out } = await called(openFiles, "plan", "--executor", "host");
  expect(out.split("\n").flatMap((line) => (/^ {2}\d/.test(line) ? [line.trim().split(/ {2,}/)] : []))).toEqual([
    ["1", "list", "on local, executor host"],
    ["1", "never", "(its `if` is false: github.ref == 'refs/heads/other')"],
    ["2", "unit", "after list", "(depends on other jobs: needs.list.outputs.go == 'true')"],
    ["2", "cells", "after list", "(depends on outputs of other jobs)"],
    ["2", "called / one", "after list", "on local, executor host"],
    ["2", "after", "after never", "(it needs never, and never was skipped)"],
    ["3", "called / two", "after called / one", "(depends on outputs of other jobs)"],
    ["4", "last", "after unit, called", "on local, executor host"],
  ]);
});

test("--matrix takes what only the outputs of a job can tell", async () => {
  const only = `on: push
jobs:
  list: {outputs: {go: "\${{ steps.a.outputs.go }}"}, steps: [{id: a, run: 'echo go=true >> "$GITHUB_OUTPUT"'}]}
  unit: {needs: list, if: needs.list.outputs.go == 'true', strategy: {matrix: {k8s: [v1.36, v1.35]}}, steps: [{run: "true"}]}
`;
  const { code, out, err } = await called({ ".seatrial/ci.yml": only }, "run", "--executor", "host", "--matrix", "k8s=v1.36");
  expect(code, err).toBe(0);
  expect(out + err).toContain("unit (v1.36): passed");
  expect(out + err).not.toContain("v1.35");
});

test("workflows that the event's filters leave out are named, with the reason", async () => {
  const filtered = {
    ...files,
    ".seatrial/docs.yml": "name: docs\non: {push: {branches: [other]}}\njobs: {a: {steps: [{run: 'true'}]}}\n",
  };
  const { code, err } = await called(filtered, "plan");
  expect(code, err).toBe(0);
  expect(err).toContain("docs (.seatrial/docs.yml) is left out by its on.push: it is not for main");
  const none = await called({ ".seatrial/docs.yml": filtered[".seatrial/docs.yml"] }, "run");
  expect(none.code).toBe(2);
  expect(none.err).toMatch(/no workflow is started by push of refs\/heads\/main\ndocs .* is left out by its on\.push/);
});

describe("check", () => {
  test("tells all of twenty mistakes in two files at once, each with its place", async () => {
    const one = `name: one
on: {push: {branch: main}, pusch: {}}
jobs:
  a:
    neds: b
    runs-on: windows-latest
    timeout-minutes: soon
    if: github.evnt == 'push' &&
    strategy: {fail-fast: maybe, matrix: {k8s: x}}
    cluster: {provider: kimd, nods: 2}
    steps:
      - name: nothing
      - run: echo \${{ matrx.k8s }}
        timeout: 3
      - uses: actions/checkout
  a.b:
    needs: [c]
    steps: []
`;
    const other = `on: push
jobs:
  x: {needs: y, steps: [{run: a, id: s}, {run: b, id: s}]}
  y: {needs: x, steps: [{run: "\${{ secrets. }}", continue-on-error: [1]}]}
  z: {steps: {run: c}}
  w: {env: [A], outputs: 7, steps: [{run: [d]}]}
`;
    const { code, err } = await called({ ".seatrial/one.yml": one, ".seatrial/other.yml": other }, "check");
    expect(code).toBe(2);
    const places = err.split("\n").flatMap((line) => /\.seatrial\/(\w+)\.yml:(\d+):(\d+)/.exec(line)?.slice(1, 3).join(":") ?? []);
    expect(places.length, err).toBeGreaterThanOrEqual(20);
    for (const place of [
      "one:2",
      "one:5",
      "one:6",
      "one:7",
      "one:8",
      "one:9",
      "one:10",
      "one:12",
      "one:13",
      "one:14",
      "one:15",
      "one:16",
      "one:17",
    ])
      expect(places, err).toContain(place);
    for (const place of ["other:3", "other:4", "other:5", "other:6"]) expect(places, err).toContain(place);
  });
});

test.each([["check"], ["plan"], ["actions", "check"]])("%s in a folder of the repository is of the whole", async (...argv) => {
  const { code, err } = await calledIn("deep/er", { ".seatrial/a.yml": "on: push\njobs: {}\n", "deep/er/b": "" }, ...argv);
  expect([code, err]).toEqual([2, "seatrial: .seatrial/a.yml:2:1: jobs: must have at least one job"]);
});

test("check tells of actions of the tree that use themselves, with the way round, beside all else", async () => {
  const using = (...uses: string[]) =>
    `name: a\nruns: {using: composite, steps: [${uses.map((each) => `{uses: "${each}"}`).join(", ")}]}\n`;
  const { code, err } = await called(
    {
      ".github/workflows/ci.yml": "on: push\njobs: {a: {steps: [{uses: ./one}, {uses: ./three}]}}\n",
      "one/action.yml": using("./two", "./three"),
      "two/action.yml": using("./three", "./one"),
      "three/action.yml": using("actions/checkout@v4"),
      "four/action.yml": "name: never used, and wrong\n",
    },
    "check",
  );
  expect([code, err]).toEqual([2, "seatrial: two/action.yml:1:1: runs.steps[1].uses: makes a cycle: ./one uses ./two uses ./one"]);
});

test("schema prints the JSON Schema of workflows", async () => {
  const { code, out } = await called({ a: "" }, "schema", "workflow");
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ $schema: "http://json-schema.org/draft-07/schema#", required: ["on", "jobs"] });
});

describe("-o json of what is wrong", () => {
  const wrong = "on: push\non: push\njobs:\n  a: {neds: b, steps: [{run: x}]}\n";
  const problems = [
    { severity: "error", file: ".seatrial/ci.yml", line: 2, column: 1, path: "", message: "the key is there twice" },
    {
      severity: "error",
      file: ".seatrial/ci.yml",
      line: 4,
      column: 7,
      path: "jobs.a.neds",
      message: "is not a known key, did you mean needs?",
    },
  ];

  test.each([["check"], ["plan"], ["run"]])("%s prints it on stdout, and exits as without", async (command) => {
    const { code, out, err } = await called({ ".seatrial/ci.yml": wrong }, command, "-o", "json");
    expect([code, err]).toEqual([2, ""]);
    expect(JSON.parse(out)).toEqual({ problems });
    expect(await called({ ".seatrial/ci.yml": wrong }, command)).toMatchObject({ code: 2, out: "" });
  });

  test("check has notices as problems that do no harm, each once", async () => {
    const noticed = {
      ".seatrial/ci.yml": "on: push\njobs: {a: {uses: ./.seatrial/called.yml}}\n",
      ".seatrial/called.yml": "on: workflow_call\njobs: {b: {environment: prod, steps: [{run: x}]}}\n",
    };
    const { code, out } = await called(noticed, "check", "-o", "json");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      workflows: [
        { path: ".seatrial/called.yml", jobs: ["b"] },
        { path: ".seatrial/ci.yml", name: ".seatrial/ci.yml", jobs: ["a"] },
      ],
      problems: [{ severity: "notice", file: ".seatrial/called.yml", line: 2, path: "jobs.b.environment" }],
    });
    const { err } = await called(noticed, "check");
    expect(err.split("\n")).toEqual([expect.stringMatching(/^notice: \.seatrial\/called\.yml:2:\d+: jobs\.b\.environment: /)]);
  });
});

/** The names of the jobs that a plan has, with why each does not run. */
async function planned(given: Record<string, string>, ...argv: string[]): Promise<Record<string, string | undefined>> {
  const { code, out, err } = await called(given, "plan", "--executor", "host", "-o", "json", ...argv);
  expect(code, err).toBe(0);
  const plans = JSON.parse(out) as { jobs: { name: string; note?: string }[] }[];
  return Object.fromEntries(plans.flatMap(({ jobs }) => jobs.map(({ name, note }) => [name, note])));
}

describe("the event that plan and run make up", () => {
  test("vars and inputs decide conditions and matrices, as in a run", async () => {
    const given = {
      ".seatrial/ci.yml": `on: {workflow_dispatch: {inputs: {deep: {type: boolean}, cells: {default: '["x"]'}}}}
jobs:
  a: {strategy: {matrix: {k8s: "\${{ fromJSON(vars.VERSIONS) }}", cell: "\${{ fromJSON(inputs.cells) }}"}}, steps: [{run: x}]}
  b: {if: inputs.deep, steps: [{run: x}]}
  c: {if: github.event.inputs.deep == 'true' && github.actor != '', steps: [{run: x}]}
`,
      "vars.env": 'VERSIONS=["v1.36", "v1.35"]\n',
    };
    const event = ["--event", "workflow_dispatch", "--vars-file", "vars.env"];
    const plan = await planned(given, ...event, "--input", "deep=true", "--input", 'cells=["y"]');
    expect(plan).toEqual({ "a (v1.36, y)": undefined, "a (v1.35, y)": undefined, b: undefined, c: undefined });
    const otherwise = await planned(given, ...event);
    expect(Object.keys(otherwise)).toEqual(["a (v1.36, x)", "a (v1.35, x)", "b", "c"]);
    expect(otherwise["b"]).toMatch(/^its `if` is false: inputs\.deep/);
  });

  const told = {
    ".seatrial/built.yml": `on: {repository_dispatch: {types: [built]}}
jobs: {a: {if: github.event.action == 'built' && github.event.client_payload.ok, steps: [{run: 'echo "got \${{ github.event.client_payload.tag }}"'}]}}
`,
    ".seatrial/other.yml": "on: {repository_dispatch: {types: [other]}}\njobs: {b: {steps: [{run: 'true'}]}}\n",
    "built.json": '{"ok": true, "tag": "v7"}',
  };
  const dispatch = ["--event", "repository_dispatch", "--type", "built", "--payload", "built.json"];

  test("a repository_dispatch has a type, which chooses workflows, and a payload", async () => {
    expect(await planned(told, ...dispatch)).toEqual({ a: undefined });
    const { err } = await called(told, "plan", ...dispatch);
    expect(err).toContain(".seatrial/other.yml is left out by its on.repository_dispatch: built is none of its types");
  });

  test("run gives its jobs the payload", async () => {
    const { code, out, err } = await called(told, "run", "--executor", "host", ...dispatch, "-o", "json");
    expect(code, err).toBe(0);
    expect(JSON.parse(out)).toMatchObject([{ run: { verdict: "passed", event: "repository_dispatch" }, jobs: [{ jobName: "a" }] }]);
  });

  test.each<[event: string, condition: string, more: string[]]>([
    ["push", "github.event.head_commit.message == 'first' && github.event.repository.default_branch == 'main'", []],
    ["pull_request", "github.event.pull_request.head.repo.full_name == github.repository && !github.event.pull_request.draft", []],
    [
      "pull_request",
      "github.event.action == 'closed' && github.event.pull_request.merged && github.event.pull_request.state == 'open'",
      ["--type", "closed", "--payload", "p.json"],
    ],
    [
      "merge_group",
      "github.event.merge_group.base_sha != '' && github.event.merge_group.head_sha == github.sha && github.event.merge_group.base_ref == 'refs/heads/main'",
      [],
    ],
    ["release", "github.event.release.tag_name == 'v2' && github.ref == 'refs/tags/v2'", ["--payload", "release.json"]],
    ["release", "github.event.action == 'prereleased'", ["--type", "prereleased"]],
  ])("%s has what workflows ask of it: %s", async (event, condition, more) => {
    const on = event === "pull_request" ? "{pull_request: {types: [synchronize, closed]}}" : event;
    const given = {
      ".seatrial/ci.yml": `on: ${on}\njobs: {a: {if: "${condition}", steps: [{run: x}]}}\n`,
      "p.json": '{"pull_request": {"merged": true}}',
      "release.json": '{"release": {"tag_name": "v2"}}',
    };
    expect(await planned(given, "--event", event, ...more)).toEqual({ a: undefined });
  });

  test.each([
    ["--type with an event that has no types", ["--event", "push", "--type", "built"], /--type is for an event with `types`/],
    ["--input with another event", ["--event", "push", "--input", "a=b"], /--input is for --event workflow_dispatch/],
    ["a payload that is no object", ["--payload", "list.json"], /the payload list\.json is no JSON object/],
    ["a payload that is not there", ["--payload", "none.json"], /cannot read the payload none\.json/],
  ])("%s is refused", async (_, argv, message) => {
    const { code, err } = await called({ ...files, "list.json": "[]" }, "plan", ...argv);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });
});

import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Command } from "commander";
import { expect, onTestFinished, test } from "vitest";
import { environmentFrom } from "../base/environment.ts";
import { run } from "../process/run.ts";
import { type CommandContext, commandModules, runCli } from "./cli.ts";

// Registering asks nothing of its context but to be there.
const context = { environment: {}, output: {}, signals: {} } as CommandContext;

test.each(commandModules)("the module of %j has just these commands: each is found by its name alone", async (names, load) => {
  const program = new Command();
  for (const register of await load()) register(program, context);
  expect(program.commands.map((command) => command.name()).toSorted()).toEqual(names.toSorted());
});

test("no command is in two modules", () => {
  const names = commandModules.flatMap(([each]) => each);
  expect(names.length).toBe(new Set(names).size);
});

/** A Docker that has nothing at all. */
async function emptyDocker(): Promise<string> {
  const folder = await scratch();
  const server = createServer((request, response) => {
    const path = new URL(request.url!, "http://docker").pathname.replace(/^\/v[\d.]+/, "");
    const answers: Record<string, unknown> = {
      "/version": { ApiVersion: "1.44" },
      "/containers/json": [],
      "/images/json": [],
      "/networks": [],
      "/volumes": { Volumes: [] },
    };
    response.setHeader("content-type", "application/json");
    response.statusCode = path in answers || !path.endsWith("/json") ? 200 : 404;
    response.end(JSON.stringify(answers[path] ?? { message: "no such thing" }));
  });
  const socket = join(folder, "docker.sock");
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  onTestFinished(() => void server.close());
  return `unix://${socket}`;
}

async function scratch(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "cli-"));
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  return folder;
}

interface Answer {
  code: number;
  out: string;
  err: string;
  /** Where the command ran, and the folder of its data. */
  cwd: string;
}

/** Runs a command in this process, in a home of its own, without Docker unless the variables name one. */
async function answer(
  argv: readonly string[],
  given: { calledAs?: string; variables?: Record<string, string>; files?: Record<string, string> } = {},
): Promise<Answer> {
  const cwd = await scratch();
  for (const [name, text] of Object.entries(given.files ?? {})) {
    await mkdir(dirname(join(cwd, name)), { recursive: true });
    await writeFile(join(cwd, name), text);
  }
  let out = "";
  let err = "";
  const variables = {
    PATH: process.env["PATH"],
    SEATRIAL_HOME: join(cwd, "home", "data"),
    SEATRIAL_CACHE: join(cwd, "cache"),
    XDG_RUNTIME_DIR: join(cwd, "run"),
    DOCKER_HOST: `unix://${join(cwd, "no-docker.sock")}`,
    ...given.variables,
  };
  const code = await runCli({
    argv,
    calledAs: given.calledAs ?? "seatrial",
    environment: environmentFrom({ variables, homeDir: cwd, tempDir: tmpdir(), uid: 0, cwd }),
    output: { out: (text) => (out += `${text}\n`), write: (text) => (out += text), err: (text) => (err += `${text}\n`) },
  });
  return { code, out, err, cwd };
}

const registryFile = (name: string, spec = "{}") =>
  `apiVersion: seatrial.dev/v1alpha1\nkind: Registry\nmetadata: { name: ${name} }\nspec: ${spec}\n`;
const clusterFile = "apiVersion: seatrial.dev/v1alpha1\nkind: Cluster\nmetadata: { name: a }\nspec: { provider: bare }\n";

interface Refusal {
  name: string;
  argv: string[];
  err: string;
  code?: number;
  calledAs?: string;
  files?: Record<string, string>;
  variables?: Record<string, string>;
}

test.each<Refusal>([
  {
    name: "a number that is none: --port",
    argv: ["create", "registry", "r", "--port", "abc"],
    err: "option '--port <number>' argument 'abc' is invalid. It must be a whole number.",
  },
  {
    name: "a number that is none: --nodes",
    argv: ["create", "cluster", "bare", "--nodes", "three"],
    err: "option '--nodes <number>' argument 'three' is invalid. It must be a whole number.",
  },
  {
    name: "a number that is none: --min-cpus",
    argv: ["create", "cluster", "kind", "--min-cpus", "two"],
    calledAs: "ctlptl",
    err: "option '--min-cpus <number>' argument 'two' is invalid. It must be a whole number.",
  },
  {
    name: "a port that is too large",
    argv: ["create", "registry", "r", "--port", "70000"],
    err: "seatrial: --port: must be a port: 0 to 65535",
  },
  {
    name: "a product that will come",
    argv: ["create", "cluster", "minikube"],
    calledAs: "ctlptl",
    err: "ctlptl: minikube is not supported yet: kind and bare are",
  },
  { name: "no product at all", argv: ["create", "cluster", "kiind"], err: "seatrial: kiind is not a kind of cluster: kind and bare are" },
  {
    name: "create names its flags: --kubernetes-version",
    argv: ["create", "cluster", "kind", "--kubernetes-version", "newest"],
    err: "seatrial: --kubernetes-version: ",
  },
  { name: "create names its flags: --nodes", argv: ["create", "cluster", "bare", "--nodes", "2"], err: "seatrial: --nodes: must be 1" },
  {
    name: "create names its flags: --name",
    argv: ["create", "cluster", "kind", "--name", "../x"],
    err: 'seatrial: --name: "../x" must be',
  },
  {
    name: "create names its arguments",
    argv: ["create", "registry", "my_registry"],
    err: 'seatrial: NAME: "my_registry" must be a host name',
  },
  {
    name: "with names its flags",
    argv: ["with", "bare", "--kubernetes-version", "newest", "--", "true"],
    code: 125,
    err: "seatrial: --kubernetes-version: ",
  },
  {
    name: "a cluster whose registry cannot be",
    argv: ["create", "cluster", "kind", "--registry", "../../x"],
    err: 'seatrial: --registry: "../../x" must be made of letters',
  },
  {
    name: "two files that declare one thing differently",
    argv: ["apply", "-f", "r1.yaml", "-f", "r2.yaml"],
    files: { "r1.yaml": registryFile("r"), "r2.yaml": `# two\n${registryFile("r", "{ port: 5001 }")}` },
    err: "seatrial: r2.yaml:2:1: Registry r is declared in r1.yaml:1 already, and differently",
  },
  {
    name: "all files that are missing",
    argv: ["apply", "-f", "no1", "-f", "no2"],
    err: "seatrial: cannot read no1: there is no such file\ncannot read no2: there is no such file",
  },
  {
    name: "a URL that nobody answers",
    argv: ["apply", "-f", "http://127.0.0.1:1/x?token=hunter2"],
    err: "seatrial: cannot read http://127.0.0.1:1/x: ",
  },
  {
    name: "a URL with a password",
    argv: ["apply", "-f", "http://me:hunter2@127.0.0.1:1/x"],
    err: "seatrial: cannot read http://127.0.0.1:1/x: it holds a password",
  },
  {
    name: "a template's file that is not there",
    argv: ["get", "-o", "jsonpath-file=/nope"],
    err: "seatrial: -o jsonpath-file: cannot read /nope: ENOENT",
  },
  {
    name: "the same of doctor",
    argv: ["doctor", "-o", "jsonpath-file=/nope"],
    err: "seatrial: -o jsonpath-file: cannot read /nope: ENOENT",
  },
  { name: "a template without a format", argv: ["get", "--template", "{.a}"], err: "seatrial: --template is for an -o that takes one" },
  {
    name: "delete by file and by name",
    argv: ["delete", "-f", "a.yaml", "cluster", "other"],
    files: { "a.yaml": clusterFile },
    err: "seatrial: either -f or cluster other: not both",
  },
  { name: "KIND/NAME mixed with another form", argv: ["delete", "cluster/a", "b"], err: 'seatrial: "b" is not KIND/NAME' },
  { name: "more than one to get", argv: ["get", "cluster/a", "cluster/b"], err: "seatrial: get shows one by its name, or all" },
  {
    name: "a provider and a file",
    argv: ["with", "bare", "-f", "a.yaml", "--", "true"],
    files: { "a.yaml": clusterFile },
    err: "seatrial: either bare or -f a.yaml",
  },
  {
    name: "a provider and a file, without --",
    argv: ["with", "-f", "a.yaml", "kind", "true"],
    files: { "a.yaml": clusterFile },
    err: "seatrial: either kind or -f a.yaml",
  },
  {
    name: "a word before the command",
    argv: ["with", "bare", "word", "--", "true"],
    err: 'seatrial: "word" is neither before nor in the command',
  },
  {
    name: "a program that PATH does not have",
    argv: ["with", "bare", "--", "no-such-program"],
    code: 125,
    err: "seatrial: cannot run no-such-program: there is no such program",
  },
  {
    name: "a report that is a folder",
    argv: ["with", "bare", "--junit", "/tmp", "--", "true"],
    code: 125,
    err: "seatrial: --junit /tmp cannot be written: EISDIR",
  },
  {
    name: "a data folder that cannot be made",
    argv: ["create", "registry", "z"],
    variables: { SEATRIAL_HOME: "/proc/x" },
    code: 4,
    err: "seatrial: cannot make the folder /proc",
  },
  {
    name: "a data folder that cannot be made, for a run",
    argv: ["run"],
    variables: { SEATRIAL_HOME: "/proc/x" },
    code: 4,
    err: "seatrial: cannot make the folder /proc",
  },
  {
    name: "a runtime folder that cannot be made",
    argv: ["with", "bare", "--", "true"],
    variables: { XDG_RUNTIME_DIR: "/dev/null" },
    code: 125,
    err: "was not made: cannot make the folder /dev/null: a file is in its place",
  },
])("refused: $name", async ({ argv, err, code = 2, ...given }) => {
  const ended = await answer(argv, given);
  expect(ended.err).toContain(err);
  expect(ended).toMatchObject({ code, out: "" });
  expect(ended.err).not.toMatch(/defect|hunter2|ready after|^ {4}at /m);
});

test.each([
  ["a name that leads elsewhere", "../../x"],
  ["a name in a folder", "a/b"],
  ["no name", ""],
  ["a name without end", "x".repeat(300)],
  ["a name that nothing has", "mistyped"],
])("%s is not found, and leaves no file", async (_, name) => {
  const variables = { DOCKER_HOST: await emptyDocker() };
  // What could be taken for the record of a cluster, by who makes paths of such names.
  const record = JSON.stringify({ name: "x", provider: "bare", resource: { metadata: { name: "x" }, spec: { provider: "bare" } } });
  const files = { "home/x/cluster.json": record, "home/data/clusters/a/b/cluster.json": record, "home/data/clusters/cluster.json": record };
  for (const argv of [
    ["delete", "cluster", name],
    ["delete", "cluster", name, "--cascade", "true"],
    ["delete", "registry", name],
    ["get", "cluster", name],
    ["get", "registry", name],
    ["kubeconfig", name],
    ["load", "image", "--cluster", name],
  ]) {
    const { code, err, cwd } = await answer(argv, { variables, files });
    expect({ argv, code, err }).toMatchObject({ code: 1, err: expect.stringMatching(/^seatrial: there is no (cluster|registry) /) });
    const left = (await readdir(cwd, { recursive: true })).filter((path) => path.endsWith(".lock") && !path.endsWith("instance.lock"));
    expect({ argv, left }).toEqual({ argv, left: [] });
  }
  const ignored = await answer(["delete", "cluster", name, "--ignore-not-found=true"], { variables });
  expect(ignored).toMatchObject({ code: 0, err: "" });
});

test("what is named twice is looked for once", async () => {
  const { err } = await answer(["delete", "registry", "a", "a"], { variables: { DOCKER_HOST: await emptyDocker() } });
  expect(err.match(/there is no registry a/g)).toHaveLength(1);
});

test.each([
  [["get", "cluster/x"]],
  [["get", "clusters/x"]],
  [["get", "cluster.seatrial.dev/x"]],
  [["get", "cluster.ctlptl.dev", "x"]],
  [["delete", "cluster/x"]],
  [["delete", "cluster.seatrial.dev/x"]],
])("%j names a cluster", async (argv) => {
  const { code, err } = await answer(argv, { variables: { DOCKER_HOST: await emptyDocker() } });
  expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining("there is no cluster x") });
});

test("with reads standard input, as apply does", async () => {
  const cwd = await scratch();
  const main = join(import.meta.dirname, "main.ts");
  const argv = ["--disable-warning=ExperimentalWarning", main, "with", "-f", "-", "--", "true"];
  const env = { PATH: process.env["PATH"], HOME: cwd, SEATRIAL_HOME: cwd, XDG_RUNTIME_DIR: cwd };
  const { stderr } = await run(process.execPath, argv, { cwd, env, input: registryFile("r"), okCodes: [125] });
  expect(stderr).toContain("seatrial: stdin declares 0 clusters and 1 registries");
});

test("what two files declare alike is there once", async () => {
  const files = { "a.yaml": registryFile("r"), "b.yaml": registryFile("r") };
  const { err } = await answer(["delete", "-f", "a.yaml", "-f", "b.yaml"], { files, variables: { DOCKER_HOST: await emptyDocker() } });
  expect(err.match(/there is no registry r/g)).toHaveLength(1);
});

test.each([
  ["=true", ["get", "registry", "--show-managed-fields=true", "-o", "json"], 0],
  [
    "=false: a field that is not there is an error",
    ["get", "--allow-missing-template-keys=false", "registry", "-o", "jsonpath={.nope}"],
    2,
  ],
  ["without a value, before the noun", ["get", "--allow-missing-template-keys", "registry", "-o", "jsonpath={.nope}"], 0],
])("a flag as Go's programs take it: %s", async (_, argv, code) => {
  const ended = await answer(argv, { calledAs: "ctlptl", variables: { DOCKER_HOST: await emptyDocker() } });
  expect(ended, ended.err).toMatchObject({ code });
});

test("a stack trace is for -v of Seatrial, not of the user's command", async () => {
  expect((await answer(["with", "nosuch", "--", "go", "test", "-v"])).err).not.toContain("\n    at ");
  expect((await answer(["with", "nosuch", "-v", "--", "go", "test"])).err).toContain("\n    at ");
});

test("the help of with names all exit codes of its own", async () => {
  const { out } = await answer(["with", "--help"]);
  expect(out).toMatch(/2 when\s+this command line is wrong; 125 when Seatrial failed/);
});

test("no help shows a default as the program holds it", async () => {
  const { out } = await answer(["up", "--help"]);
  expect(out).toMatch(/\(default:\s+127\.0\.0\.1:7357\)/);
  expect(out).not.toContain("{");
});

test("the overview says what with is given", async () => {
  expect((await answer(["--help"])).out).toContain("with [options] [what] [command...]");
});

test.each([
  ["get cluster --o", "--output"],
  ["with kind --ju", "--junit"],
  ["create cluster kind --na", "--name"],
  ["get ", "cluster clusters registry registries"],
  ["with b", "bare"],
  ["create cluster k", "kind"],
  ["create cl", "cluster"],
  ["get cluster --no-", ""],
])("completion of %j", async (line, expected) => {
  const script = (await answer(["completion", "bash"])).out;
  const words = `seatrial ${line}`.split(" ");
  const call = `COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}; _seatrial_completion; echo "\${COMPREPLY[*]}"`;
  const { stdout } = await run("bash", ["-c", `${script}\n${call}`], { env: { PATH: process.env["PATH"] } });
  expect(stdout.trim().startsWith(expected)).toBe(true);
  if (expected === "") expect(stdout.trim()).toBe("");
});

/** Our action as GitHub's runner runs it: its main and its post phase, with the files of a step, on this machine. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { builtInOf } from "../../src/workflows/actions/built-in.ts";
import { run } from "../../src/process/run.ts";
import { type Home, kubectlPath, openHome, projectRoot } from "../support/e2e.ts";

interface Metadata {
  inputs: Record<string, { default?: string }>;
  outputs: Record<string, object>;
  runs: { using: string; main: string; post: string };
}

const metadata = parse(await readFile(join(projectRoot, "action.yml"), "utf8")) as Metadata;
const kubectl = await kubectlPath();

/** Runs a phase. @returns what it said, and what it wrote to the files of its step. */
async function phase(home: Home, file: string, more: Record<string, string>) {
  const temp = join(home.directory, "temp");
  await mkdir(temp, { recursive: true });
  const files = Object.fromEntries(["ENV", "OUTPUT", "STATE"].map((kind) => [`GITHUB_${kind}`, join(home.directory, kind)]));
  for (const path of Object.values(files)) await writeFile(path, "");
  const child = spawn(process.execPath, [join(projectRoot, file)], {
    cwd: home.cwd,
    env: { ...home.variables, ...files, RUNNER_TEMP: temp, RUNNER_TRACKING_ID: "github_1", ...more } as NodeJS.ProcessEnv,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (bytes: Buffer) => (said += bytes.toString()));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  const wrote: Record<string, Record<string, string>> = {};
  for (const [kind, path] of Object.entries(files)) {
    const lines = (await readFile(path, "utf8")).split("\n").filter((line) => line !== "");
    wrote[kind] = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
  }
  return { code, said, env: wrote["GITHUB_ENV"]!, outputs: wrote["GITHUB_OUTPUT"]!, state: wrote["GITHUB_STATE"]!, temp };
}

const inputs = (given: Record<string, string>) =>
  Object.fromEntries(Object.entries(given).map(([name, value]) => [`INPUT_${name.toUpperCase()}`, value]));

test("a cluster for the job: up after main, gone after post", async (context) => {
  const home = await openHome(context);
  const main = await phase(home, metadata.runs.main, inputs({ provider: "bare", name: "first" }));
  expect(main, main.said).toMatchObject({ code: 0, outputs: { kubeconfig: main.env["KUBECONFIG"], registry: "" } });
  const asked = await run(kubectl, ["--kubeconfig", main.env["KUBECONFIG"]!, "--context", "first", "get", "namespaces", "-o", "name"], {
    env: process.env,
  });
  expect(asked.stdout).toContain("namespace/default");
  const post = await phase(home, metadata.runs.post, { STATE_folder: main.state["folder"]! });
  expect(post, post.said).toMatchObject({ code: 0 });
  expect(existsSync(main.state["folder"]!)).toBe(false);
  expect(await readdir(main.temp)).toEqual([]);
  expect(await home.leaks()).toEqual([]);
});

test("what cannot be booted fails the step with its reason, and post has nothing to do", async (context) => {
  const home = await openHome(context);
  const main = await phase(home, metadata.runs.main, inputs({ provider: "bare", nodes: "3" }));
  expect(main.code).toBe(1);
  expect(main.said).toMatch(
    /must be 1: provider bare runs the control plane alone[^]*::error title=Seatrial::the cluster could not be booted/,
  );
  const post = await phase(home, metadata.runs.post, { STATE_folder: main.state["folder"]! });
  expect(post.code).toBe(1);
  expect(await readdir(main.temp)).toEqual([]);
});

test("the file and the table of actions that are built in say the same", () => {
  const builtIn = builtInOf("seatrial/seatrial@v1")!;
  const defaults = (of: Record<string, { default?: string }>) =>
    Object.fromEntries(Object.entries(of).map(([name, input]) => [name, input.default]));
  expect(defaults(metadata.inputs)).toEqual(defaults(builtIn.inputs));
  expect(Object.keys(metadata.outputs)).toEqual(builtIn.outputs);
  expect(metadata.runs.using).toBe("node24");
  expect(existsSync(join(projectRoot, metadata.runs.main)) && existsSync(join(projectRoot, metadata.runs.post))).toBe(true);
});

/** The example controller of examples/controller, built in a folder of the test's own. */
import { cp } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "vitest";
import { scriptEnvironment } from "../../scripts/docker-choice.ts";
import { run } from "../../src/process/run.ts";
import { findGo } from "../../src/programs/go-build.ts";
import { findDocker, type Home, projectRoot } from "./e2e.ts";

/** The first build compiles client-go: a minute on two cores, more when they are busy. */
const buildMs = 900_000;

/** Copies the example into the home, changes it, and builds it. Skips the test where there is neither Go nor Docker. */
export async function buildExample(
  context: Pick<TestContext, "skip">,
  home: Home,
  options: { image?: string; change?: (folder: string) => Promise<void> } = {},
): Promise<string> {
  if (!(await findGo(scriptEnvironment())) && "reason" in (await findDocker()))
    context.skip("neither Go nor Docker is here to build the example");
  const folder = join(home.directory, "example");
  await cp(join(projectRoot, "examples", "controller"), folder, { recursive: true, filter: (path) => !/\/(bin|artifacts)$/.test(path) });
  await options.change?.(folder);
  await run("./build.sh", options.image ? ["--image", options.image] : [], { cwd: folder, env: home.variables, timeoutMs: buildMs });
  return folder;
}

/**
 * A copy of a folder of examples/ as a repository of its own, in the home's working folder. Skips the test where there is no Go, which
 * the jobs of the examples build with. @returns Go's path.
 */
export async function exampleRepository(context: Pick<TestContext, "skip">, home: Home, name: string): Promise<string> {
  const go = await findGo(scriptEnvironment());
  if (!go) return context.skip("there is no Go here for the jobs of the examples");
  await cp(join(projectRoot, "examples", name), home.cwd, { recursive: true, filter: (path) => !/\/(bin|artifacts)$/.test(path) });
  const git = async (...args: string[]) =>
    await run("git", ["-c", "user.name=test", "-c", "user.email=test@example.com", ...args], { cwd: home.cwd, env: process.env });
  await git("init", "--quiet", "--initial-branch=main");
  await git("add", "--all");
  await git("commit", "--quiet", "--message=first");
  // Jobs get little of this environment, and so maybe no proxy for modules: they find them in Go's cache.
  await run(go, ["mod", "download"], { cwd: home.cwd, env: process.env, timeoutMs: buildMs });
  return go;
}

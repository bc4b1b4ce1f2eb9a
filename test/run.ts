/**
 * `make test`: all set-up, then every test.
 *
 * Order of events: the Docker daemon is chosen (the user's own, else the lab's, made first where that is allowed, else
 * none); programs are found, fetched or built; unit and conformance tests run in parallel, while the lab's Gitea is built behind
 * them; the files of end-to-end tests, and the one of the conformance cases of workflows, run three at a time, each followed by a look for
 * what it left, and all of them by a look at the lab's daemon; that is stopped when it was started here; failures are told again; the
 * last line counts.
 *
 *   node test/run.ts [--unit | --e2e] [PART OF A FILE'S NAME…]
 *
 * SOAK=1 runs the long forms; LAB=1 lets somebody who is not root in CI make the lab (it needs root all the same).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { glob, mkdtemp, readFile, realpath, rm } from "node:fs/promises";
import { setPriority, tmpdir } from "node:os";
import { join } from "node:path";
import { labDown, labStatus } from "../lab/daemon.ts";
import { builtForge } from "../lab/forge.ts";
import { buildLab } from "../lab/images.ts";
import { remoteDown } from "../lab/remote.ts";
import { buildRunnerBase } from "../lab/runner-image.ts";
import { messageOf } from "../src/base/errors.ts";
import { seconds } from "../src/base/output.ts";
import { Programs } from "../src/programs/programs.ts";
import { kubernetesVersions } from "../src/programs/versions.ts";
import { scriptEnvironment, whyNotDocker } from "../scripts/docker-choice.ts";
import { noForgeVariable } from "./support/forge.ts";
import { everythingOn, type Leak, leakedLink, leakedProcesses, removeLeaks } from "./support/leaks.ts";
import { resultsVariable, type TestResult } from "./support/results.ts";

const root = join(import.meta.dirname, "..");
const isSoak = process.env["SOAK"] === "1";
/** A part of the run that hangs is ended: the whole must end within CI's 90 minutes, whatever happens. */
const unitMs = 15 * 60_000;
const fileMs = (isSoak ? 240 : 30) * 60_000;
/** Five minutes on two cores that have nothing else to do; here it has to share them. */
const forgeMs = 15 * 60_000;

interface Setup {
  /** Added to the environment of the tests. */
  variables: Record<string, string>;
  /** True when the daemon was started here: then all on it is the tests'. */
  isOurs: boolean;
}

const startedAt = performance.now();
const results: TestResult[] = [];
const abort = new AbortController();
const running = new Set<ChildProcess>();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (!abort.signal.aborted) say(`${signal}: stopping`);
    abort.abort(new Error(`stopped by ${signal}`));
    for (const child of running) child.kill("SIGTERM");
  });
}

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const filters = args.filter((arg) => !arg.startsWith("--"));
  const hasUnit = !args.includes("--e2e");
  const hasE2e = !args.includes("--unit");
  // One for each that works through the files, side by side: paths of sockets below them must stay short.
  const folders = [await newFolder(), await newFolder(), await newFolder()] as const;
  const hadLink = leakedLink() !== undefined;
  let setup: Setup | undefined;
  try {
    const files = hasE2e ? await e2eFiles(filters) : [];
    setup = await setUp(hasE2e);
    const forge = buildForgeFor(files);
    if (hasUnit) await runVitest("unit", filters, setup, folders[0], unitMs);
    const reason = await forge;
    if (reason !== undefined) setup.variables[noForgeVariable] = reason;
    await runE2e(files, setup, folders);
  } catch (error) {
    if (!abort.signal.aborted)
      fail("(set-up)", "the set-up of the tests", error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    // A test that a signal ended could not take it down itself.
    if (!hadLink && leakedLink())
      await remoteDown().catch((error: unknown) => fail("(end)", "the remote host is stopped", messageOf(error)));
    if (setup?.isOurs) await labDown().catch((error: unknown) => fail("(end)", "the lab's daemon is stopped", messageOf(error)));
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
  }
  return summary();
}

async function newFolder(): Promise<string> {
  return await realpath(await mkdtemp(join(tmpdir(), "st-")));
}

/** Chooses Docker and has the programs ready, so that no test waits for a build. */
async function setUp(hasE2e: boolean): Promise<Setup> {
  say(`Node ${process.version}, ${process.platform} ${process.arch}${isSoak ? ", the long forms" : ""}`);
  const variables: Record<string, string> = { SEATRIAL_CACHE: scriptEnvironment().cacheDir };
  if (!hasE2e) return { variables: { ...variables, SEATRIAL_TEST_NO_DOCKER: "these are the unit tests" }, isOurs: false };
  const docker = await chooseDocker();
  if ("reason" in docker) {
    say(`no Docker, so the tests that need it are skipped: ${docker.reason}`);
    variables["SEATRIAL_TEST_NO_DOCKER"] = docker.reason;
  }
  const programs = new Programs({ environment: scriptEnvironment(), onProgress: say });
  try {
    for (const name of ["etcd", "kube-apiserver", "kubectl", ...("reason" in docker ? [] : (["kind"] as const))] as const) {
      const { path, version, source } = await programs.find({ name }, abort.signal);
      say(`${name} ${version ?? ""}: ${path} (${source})`);
    }
  } finally {
    await programs.close();
  }
  return "reason" in docker ? { variables, isOurs: false } : { variables: { ...variables, ...docker.variables }, isOurs: docker.isOurs };
}

async function chooseDocker(): Promise<{ variables: Record<string, string>; isOurs: boolean } | { reason: string }> {
  const why = await whyNotDocker(process.env, say);
  if (why === undefined) {
    say("Docker: the daemon of this machine's own settings");
    return { variables: {}, isOurs: false };
  }
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && process.env["LAB"] !== "1")
    return { reason: `${why}; the lab (a daemon of our own) is made only for root, or with LAB=1` };
  say(`${why}; the lab's daemon is used`);
  const wasRunning = (await labStatus()).running;
  const { dockerHost } = await buildLab(undefined, isSoak ? { kubernetes: kubernetesVersions } : {});
  await buildRunnerBase();
  abort.signal.throwIfAborted();
  return { variables: { DOCKER_HOST: dockerHost }, isOurs: !wasRunning };
}

/**
 * Builds the lab's Gitea where a file needs it and it may be made: behind the unit tests, and giving way to them.
 * @returns why there is none; undefined when there is one, or nobody asks.
 */
async function buildForgeFor(files: readonly string[]): Promise<string | undefined> {
  const texts = await Promise.all(files.map(async (file) => await readFile(join(root, file), "utf8")));
  if (!texts.some((text) => text.includes("/support/forge.ts")) || builtForge()) return undefined;
  if (process.getuid?.() !== 0 && process.env["LAB"] !== "1")
    return "the lab's Gitea is not built, and is made only for root, or with LAB=1: node lab/main.ts forge-build does it, too";
  say("the lab's Gitea is built, in the background");
  // A group of its own: with it goes the compiler.
  const child = spawn(process.execPath, [join(root, "lab", "main.ts"), "forge-build"], {
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-4_000)));
  const end = () => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
  };
  const timer = setTimeout(end, forgeMs);
  abort.signal.addEventListener("abort", end);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject).once("close", resolve);
      if (child.pid !== undefined) setPriority(child.pid, 19);
    });
    say(code === 0 ? "the lab's Gitea is built" : "the lab's Gitea could not be built");
    return code === 0 ? undefined : `the lab's Gitea could not be built: ${said.trim().split("\n").slice(-3).join(" ")}`;
  } catch (error) {
    return `the lab's Gitea could not be built: ${messageOf(error)}`;
  } finally {
    clearTimeout(timer);
    abort.signal.removeEventListener("abort", end);
  }
}

async function e2eFiles(filters: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for await (const file of glob("test/{e2e,workflows}/**/*.e2e.ts", { cwd: root })) files.push(file);
  const wanted = files.filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)));
  return wanted.toSorted().toReversed(); // The cases of workflows first: what takes long shall not be begun last.
}

/**
 * As many files at a time as there are folders: one more than the smallest machine has processors, as tests wait half of the time. Of those that
 * bring the lab's remote host up, of which there is one, one.
 */
async function runE2e(files: readonly string[], setup: Setup, folders: readonly [string, ...string[]]): Promise<void> {
  const variables = { ...process.env, ...setup.variables };
  const before = setup.isOurs ? new Set((await everythingOn(variables)).map(({ what }) => what)) : undefined;
  const { remote = [], others = [] } = Object.groupBy(files, (file) => {
    return readFileSync(join(root, file), "utf8").includes("/lab/remote.ts") ? "remote" : "others";
  });
  const work = async (queues: readonly string[][], folder: string, hasRemote: boolean) => {
    for (;;) {
      const file = queues.find((queue) => queue.length > 0)?.shift();
      if (file === undefined || abort.signal.aborted) return;
      const hadLink = !hasRemote || leakedLink() !== undefined;
      await runVitest(file.startsWith("test/workflows/") ? "workflows" : "e2e", [file], setup, folder, fileMs);
      await reportLeaks(file, leakedProcesses(folder), hadLink ? undefined : leakedLink());
    }
  };
  const [first, ...rest] = folders;
  await Promise.all([work([remote, others], first, true), ...rest.map(async (folder) => await work([others], folder, false))]);
  if (before)
    await reportLeaks(
      "(end)",
      (await everythingOn(variables)).filter(({ what }) => !before.has(what)),
      undefined,
    );
}

async function reportLeaks(file: string, leaks: readonly Leak[], link: string | undefined): Promise<void> {
  const left = [...(await removeLeaks(leaks)), ...(link ? [link] : [])];
  if (left.length > 0) fail(file, "nothing is left behind", left.join("\n"));
}

async function runVitest(
  project: "unit" | "e2e" | "workflows",
  filters: readonly string[],
  setup: Setup,
  folder: string,
  timeoutMs: number,
): Promise<void> {
  if (abort.signal.aborted) return;
  const title = project === "unit" ? "unit and conformance tests" : filters[0]!;
  say(title);
  const from = performance.now();
  const file = join(folder, "results");
  await rm(file, { force: true });
  const args = ["run", "--project", project, "--reporter", "./test/support/reporter.ts", "--passWithNoTests", ...filters];
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", join(root, "node_modules", "vitest", "vitest.mjs"), ...args],
    {
      cwd: root,
      // What a test starts has the folder in its environment or works below it: so it is found if it stays.
      env: {
        ...process.env,
        ...setup.variables,
        SEATRIAL_TEST_ROOT: folder,
        [resultsVariable]: file,
        TMPDIR: folder,
        NODE_OPTIONS: undefined,
        NO_COLOR: "1",
      },
      stdio: ["ignore", "inherit", "inherit"],
    },
  );
  running.add(child);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill("SIGTERM");
    setTimeout(() => child.kill("SIGKILL"), 10_000).unref();
  }, timeoutMs);
  const code = await new Promise<number | null>((resolve, reject) => child.once("error", reject).once("exit", resolve));
  clearTimeout(timer);
  running.delete(child);
  const told = existsSync(file)
    ? (await readFile(file, "utf8"))
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line) as TestResult)
    : [];
  results.push(...told);
  if (isLate) fail(filters[0] ?? project, title, `was stopped: it ran for more than ${timeoutMs / 60_000} minutes`);
  else if (code !== 0 && !abort.signal.aborted && !told.some(({ state }) => state === "failed"))
    fail(filters[0] ?? project, title, `vitest ended with exit code ${code} and told of no failure`);
  if (project === "unit") await reportLeaks("unit tests", leakedProcesses(folder), undefined);
  say(`${title}: ${count(told)} in ${seconds(performance.now() - from)}`);
}

function fail(file: string, name: string, reason: string): void {
  results.push({ file, name, state: "failed", ms: 0, reason });
  say(`✗ ${file} > ${name}\n${reason}`);
}

function summary(): number {
  const of = (state: TestResult["state"]) => results.filter((result) => result.state === state);
  const skipped = Map.groupBy(of("skipped"), ({ reason }) => reason ?? "no reason was given");
  for (const [reason, tests] of skipped)
    console.log(`○ skipped: ${reason}: ${tests.map(({ file, name }) => `${file} > ${name}`).join("; ")}`);
  for (const { file, name, reason } of of("failed")) {
    const short = (reason ?? "").split("\n").slice(0, 12);
    console.log(`✗ ${file} > ${name}\n${short.map((line) => `    ${line}`).join("\n")}`);
  }
  const passed = of("passed").length;
  const failed = of("failed").length;
  if (passed === 0 && failed === 0) console.log("no test was run");
  if (abort.signal.aborted) console.log(messageOf(abort.signal.reason));
  console.log(`${seconds(performance.now() - startedAt)} in all`);
  console.log(count(results));
  return failed > 0 || passed === 0 || abort.signal.aborted ? 1 : 0;
}

function count(of: readonly TestResult[]): string {
  const number = (state: TestResult["state"]) => of.filter((result) => result.state === state).length;
  return `${number("passed")} passed, ${number("failed")} failed, ${number("skipped")} skipped`;
}

function say(line: string): void {
  console.log(`[${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s] ${line}`);
}

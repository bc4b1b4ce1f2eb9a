/**
 * `make demo`: the main job for real. The tests of examples/controller run in two throwaway clusters at once: on kind the
 * controller is a pod from its image, on bare a process beside the tests. The tests are the same.
 *
 * It takes what is there: Docker that answers, else the lab's daemon, else two bare clusters. It installs no system package,
 * and leaves nothing behind but caches: programs, and the example's build.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { labDown, labUp } from "../lab/daemon.ts";
import { messageOf, SeatrialError } from "../src/base/errors.ts";
import { seconds } from "../src/base/output.ts";
import { pasteable } from "../src/process/run.ts";
import { type FoundProgram, type ProgramName, Programs } from "../src/programs/programs.ts";
import { CommandWorkspace } from "../src/server/start.ts";
import { hasLabImages, runningLab, scriptEnvironment, whyNotDocker } from "./docker-choice.ts";

const root = join(import.meta.dirname, "..");
const example = join(root, "examples", "controller");
/** The name that the example's run-tests.sh asks the registry for. */
const image = "controller:demo";

type Variables = Record<string, string | undefined>;

interface Outcome {
  name: string;
  code: number;
  /** As the run told of them; undefined when it did not get so far. */
  boot: string | undefined;
  tests: string | undefined;
  ms: number;
}

const startedAt = performance.now();
const abort = new AbortController();
const children = new Set<ChildProcess>();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    abort.abort(new SeatrialError("aborted", `stopped by ${signal}`));
    for (const child of children) child.kill(signal);
  });
}

try {
  process.exitCode = await demo();
} catch (error) {
  console.error(`demo: ${messageOf(error)}`);
  if (error instanceof SeatrialError && error.hint) console.error(`  hint: ${error.hint}`);
  process.exitCode = 1;
}

async function demo(): Promise<number> {
  say("the tests of examples/controller, in two throwaway clusters at once");
  const docker = await chooseDocker();
  const hasDocker = docker.variables !== undefined;
  const variables: Variables = { ...process.env, ...docker.variables };
  const artifacts = await mkdtemp(join(tmpdir(), "seatrial-demo-"));
  let isPassed = false;
  try {
    const { kubectl } = await phase("programs", async () => await findPrograms(hasDocker));
    await using _image = hasDocker ? await keepImage(variables) : undefined;
    await phase("the example is built", async () => await build(hasDocker, variables));
    const env = (name: string): Variables => ({ ...variables, KUBECTL: kubectl.path, ARTIFACTS: join(artifacts, name) });
    const outcomes = await phase("both clusters", async () =>
      hasDocker
        ? await Promise.all([runTests("kind", ["kind", "--image", image], env("kind")), runTests("bare", ["bare"], env("bare"))])
        : await Promise.all([runTests("bare-1", ["bare"], env("bare-1")), runTests("bare-2", ["bare"], env("bare-2"))]),
    );
    abort.signal.throwIfAborted();
    isPassed = outcomes.every(({ code }) => code === 0);
    printTable(outcomes);
    if (!isPassed) say(`logs and reports are in ${artifacts}`);
    else
      say(
        `next: bin/seatrial with bare -- ${kubectl.source === "path" ? "kubectl" : kubectl.path} get namespaces    (or your own tests; kind instead of bare for nodes)`,
      );
    return isPassed ? 0 : 1;
  } finally {
    if (docker.isOurs) await labDown();
    if (isPassed || abort.signal.aborted) await rm(artifacts, { recursive: true, force: true });
    say(`${seconds(performance.now() - startedAt)} in all`);
  }
}

/** The daemon for kind; without `variables` there is none. */
async function chooseDocker(): Promise<{ variables?: Variables; isOurs: boolean }> {
  const why = await whyNotDocker(process.env, say);
  if (why === undefined) return { variables: {}, isOurs: false };
  const running = await runningLab();
  if (running && (await whyNotDocker({ ...process.env, ...running }, say)) === undefined) {
    say(`Docker: the lab's daemon, ${running.DOCKER_HOST}`);
    return { variables: running, isOurs: false };
  }
  if (!running && process.getuid?.() === 0 && (await hasLabImages())) {
    const { dockerHost } = await labUp();
    if ((await whyNotDocker({ ...process.env, DOCKER_HOST: dockerHost }, say)) === undefined) {
      say(`Docker: the lab's daemon, ${dockerHost}, started for the demo`);
      return { variables: { DOCKER_HOST: dockerHost }, isOurs: true };
    }
    await labDown();
  }
  say(`two bare clusters, without kind: ${why}`);
  return { isOurs: false };
}

/** Finds, fetches or builds what the clusters are made of. */
async function findPrograms(hasDocker: boolean): Promise<{ kubectl: FoundProgram }> {
  const programs = new Programs({ environment: scriptEnvironment(), onProgress: (line) => say(line) });
  try {
    const names: ProgramName[] = ["etcd", "kube-apiserver", "kubectl", ...(hasDocker ? (["kind"] as const) : [])];
    for (const name of names) {
      if (!(await programs.look({ name }, abort.signal)))
        say(`${name} is not here yet: it is fetched, or built in some minutes; the next demo finds it`);
      await programs.find({ name }, abort.signal);
    }
    return { kubectl: await programs.find({ name: "kubectl" }, abort.signal) };
  } finally {
    await programs.close();
  }
}

async function build(hasDocker: boolean, variables: Variables): Promise<void> {
  const code = await runPrefixed("build", "./build.sh", hasDocker ? ["--image", image] : [], variables);
  abort.signal.throwIfAborted();
  if (code !== 0) throw new SeatrialError("command-failed", `examples/controller/build.sh ended with exit code ${code}`);
}

/** Afterwards the image's name stands for what it stood for before: nothing, or somebody's own image. */
async function keepImage(variables: Variables): Promise<AsyncDisposable> {
  const withDocker = async <T>(work: (client: Awaited<ReturnType<CommandWorkspace["docker"]>>["client"]) => Promise<T>): Promise<T> => {
    await using workspace = new CommandWorkspace(
      scriptEnvironment(variables),
      { out: say, write: say, err: say },
      new AbortController().signal,
    );
    return await work((await workspace.docker()).client);
  };
  const before = await withDocker(async (client) => await client.image(image));
  return {
    [Symbol.asyncDispose]: async () =>
      await withDocker(async (client) => {
        const now = await client.image(image);
        if (!now || now.Id === before?.Id) return;
        await client.removeImage(image);
        if (before) await client.tagImage(before.Id, image);
      }),
  };
}

/** The tests in a cluster of their own, by the command that a user types. */
async function runTests(name: string, what: string[], variables: Variables): Promise<Outcome> {
  const from = performance.now();
  const args = ["with", ...what, "--", "./run-tests.sh"];
  say(`[${name}] ${pasteable("seatrial", args)}`);
  let times: RegExpExecArray | null = null;
  const code = await runPrefixed(name, join(root, "bin", "seatrial"), args, variables, (line) => {
    times = /^seatrial: up ([\d.]+ s)(?:, test ([\d.]+ s))?/.exec(line) ?? times;
  });
  return {
    name,
    code,
    boot: (times as RegExpExecArray | null)?.[1],
    tests: (times as RegExpExecArray | null)?.[2],
    ms: performance.now() - from,
  };
}

async function runPrefixed(
  name: string,
  command: string,
  args: readonly string[],
  variables: Variables,
  onLine: (line: string) => void = () => {},
): Promise<number> {
  const child = spawn(command, args, { cwd: example, env: variables as NodeJS.ProcessEnv, stdio: ["ignore", "pipe", "pipe"] });
  children.add(child);
  const show = async (stream: Readable) => {
    for await (const line of createInterface({ input: stream })) {
      onLine(line);
      console.log(`[${name}] ${line}`);
    }
  };
  try {
    const [code] = await Promise.all([
      new Promise<number>((resolve, reject) => child.once("error", reject).once("close", (exitCode) => resolve(exitCode ?? 1))),
      show(child.stdout),
      show(child.stderr),
    ]);
    return code;
  } finally {
    children.delete(child);
  }
}

async function phase<T>(name: string, work: () => Promise<T>): Promise<T> {
  abort.signal.throwIfAborted();
  const from = performance.now();
  const result = await work();
  say(`${name}: ${seconds(performance.now() - from)}`);
  return result;
}

function printTable(outcomes: readonly Outcome[]): void {
  const rows = outcomes.map(({ name, code, boot, tests, ms }) => [
    name,
    code === 0 ? "passed" : `failed (exit code ${code})`,
    boot ?? "-",
    tests ?? "-",
    seconds(ms),
  ]);
  const all = [["CLUSTER", "RESULT", "BOOT", "TESTS", "TOTAL"], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  console.log("");
  for (const row of all)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join("   ")
        .trimEnd(),
    );
  console.log("");
}

function say(line: string): void {
  console.log(`demo: ${line}`);
}

/**
 * `make demo`: the whole path, for real. A repository on this machine's disk, a server that watches it, and a push of a commit with
 * a mistake in it: the tests of examples/controller run in two throwaway clusters at once, on kind and on bare, one of them fails,
 * and the red check leads to its line.
 *
 * It takes what is there: Docker that answers, else the lab's daemon, else two bare clusters. It installs no system package,
 * and leaves nothing behind but caches: programs, and Go's. DEMO=keep leaves the server up, to look around.
 */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { labDown, labUp } from "../lab/daemon.ts";
import { messageOf, SeatrialError } from "../src/base/errors.ts";
import { seconds } from "../src/base/output.ts";
import { pause } from "../src/base/wait.ts";
import { freePort } from "../src/docker/ports.ts";
import { run } from "../src/process/run.ts";
import { type ProgramName, Programs } from "../src/programs/programs.ts";
import type { CheckBody, RunBody, RunView } from "../src/server/api/schemas.ts";
import { hasLabImages, runningLab, scriptEnvironment, whyNotDocker } from "./docker-choice.ts";

const root = join(import.meta.dirname, "..");
const example = join(root, "examples", "controller");
/** A mistake that the tests find: the German greeting. */
const mistake = { file: "greeting.go", right: '"Hallo, %s!"', wrong: '"Hullo, %s!"' };
/** Longer than that no demo takes, once the programs are there. */
const demoMs = 10 * 60_000;

type Variables = Record<string, string | undefined>;

const startedAt = performance.now();
const abort = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => abort.abort(new SeatrialError("aborted", `stopped by ${signal}`)));
}

try {
  process.exitCode = await demo();
} catch (error) {
  console.error(`demo: ${messageOf(error)}`);
  if (error instanceof SeatrialError && error.hint) console.error(`  hint: ${error.hint}`);
  process.exitCode = 1;
}

async function demo(): Promise<number> {
  const isKept = process.env["DEMO"] === "keep";
  const docker = await chooseDocker();
  const hasDocker = docker.variables !== undefined;
  const folder = await mkdtemp(join(tmpdir(), "st-demo-"));
  const home = join(folder, "home");
  let isDone = false;
  const kubectl = await phase("programs", async () => await findPrograms(hasDocker));
  const variables: Variables = {
    ...process.env,
    ...docker.variables,
    SEATRIAL_HOME: home,
    PATH: [dirname(kubectl), process.env["PATH"]].join(delimiter),
    // The example is built by the Go toolchain of this machine.
    SEATRIAL_EXECUTOR: "host",
  };
  const seatrial = async (...args: string[]) =>
    (
      await run(join(root, "bin", "seatrial"), args, { env: variables, cwd: folder, timeoutMs: demoMs, signal: abort.signal })
    ).stdout.trim();
  try {
    const repository = join(folder, "controller.git");
    const clone = join(folder, "controller");
    const push = await phase("a repository", async () => await makeRepository(repository, clone, hasDocker));
    const url = await phase("the server is up", async () => {
      const listen = `127.0.0.1:${await freePort()}`;
      return await seatrial("up", "--detach", "--listen", listen, "--repository", repository);
    });
    say(`its pages: ${url}`);
    const sha = await phase("a push, with a mistake in it", push);
    const view = await phase("two clusters, the tests, the check", async () => await untilEnded(url, sha));
    isDone = await tellResult(url, view);
    if (isKept) {
      say(`the server stays up. KUBECONFIG=${join(home, "control-plane", "admin.kubeconfig")} kubectl get runs,jobruns`);
      say(`push more from ${clone}; the end: SEATRIAL_HOME=${home} ${join(root, "bin", "seatrial")} down && rm -r ${folder}`);
    } else say("DEMO=keep make demo leaves the server up, to open the link and look around");
    return isDone ? 0 : 1;
  } finally {
    if (!isKept || !isDone) {
      abort.abort(new SeatrialError("aborted", "the demo ends"));
      await run(join(root, "bin", "seatrial"), ["down"], { env: variables, cwd: folder, timeoutMs: 60_000 }).catch((error: unknown) =>
        say(`seatrial down: ${messageOf(error)}`),
      );
      await run(join(root, "bin", "seatrial"), ["reap"], { env: variables, cwd: folder, timeoutMs: 60_000 }).catch(() => {});
      if (docker.isOurs) await labDown();
      if (isDone) await rm(folder, { recursive: true, force: true });
      else say(`what there is of it is in ${folder}`);
    }
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

/** Finds, fetches or builds what the clusters are made of. @returns the path of kubectl. */
async function findPrograms(hasDocker: boolean): Promise<string> {
  const programs = new Programs({ environment: scriptEnvironment(), onProgress: (line) => say(line) });
  try {
    const names: ProgramName[] = ["etcd", "kube-apiserver", "kubectl", ...(hasDocker ? (["kind"] as const) : [])];
    for (const name of names) {
      if (!(await programs.look({ name }, abort.signal)))
        say(`${name} is not here yet: it is fetched, or built in some minutes; the next demo finds it`);
      await programs.find({ name }, abort.signal);
    }
    return (await programs.find({ name: "kubectl" }, abort.signal)).path;
  } finally {
    await programs.close();
  }
}

/** An empty repository, and a clone with the example in it. @returns pushes it, broken. */
async function makeRepository(repository: string, clone: string, hasDocker: boolean): Promise<() => Promise<string>> {
  const identity = {
    GIT_AUTHOR_NAME: "Demo",
    GIT_AUTHOR_EMAIL: "demo@example.com",
    GIT_COMMITTER_NAME: "Demo",
    GIT_COMMITTER_EMAIL: "demo@example.com",
  };
  const git = async (...args: string[]) =>
    (await run("git", args, { cwd: clone, env: { ...process.env, ...identity }, timeoutMs: 60_000, signal: abort.signal })).stdout.trim();
  await cp(example, clone, { recursive: true, filter: (path) => path !== join(example, "bin") });
  const change = async (file: string, from: string, to: string) => {
    const text = await readFile(join(clone, file), "utf8");
    if (!text.includes(from)) throw new SeatrialError("internal", `${file} of the example has no ${from} any more`);
    await writeFile(join(clone, file), text.replace(from, to));
  };
  if (!hasDocker) await change(".seatrial/ci.yml", "matrix: {provider: [kind, bare]}", "matrix: {provider: [bare], copy: [1, 2]}");
  await mkdir(repository);
  await run("git", ["init", "--quiet", "--bare", "--initial-branch=main"], { cwd: repository, env: process.env });
  await git("init", "--quiet", "--initial-branch=main");
  await git("remote", "add", "origin", repository);
  await git("add", "--all");
  await git("commit", "--quiet", "--message=A controller and its tests");
  return async () => {
    await change(mistake.file, mistake.right, mistake.wrong);
    await git("commit", "--quiet", "--all", "--message=A friendlier greeting");
    await git("push", "--quiet", "origin", "main");
    return await git("rev-parse", "HEAD");
  };
}

/** Follows the run of a commit; a line for each change of a job. */
async function untilEnded(url: string, sha: string): Promise<RunView> {
  const told = new Map<string, string>();
  let name: string | undefined;
  for (const until = performance.now() + demoMs; performance.now() < until; await pause(200, abort.signal)) {
    name ??= (await get<{ items: RunBody[] }>(`${url}/api/v1/runs`)).items.find((each) => each.sha === sha)?.name;
    if (name === undefined) continue;
    const view = await get<RunView>(`${url}/api/v1/runs/${name}`);
    for (const job of view.jobs) {
      const state = [job.verdict ?? job.phase.toLowerCase(), job.message?.split("\n")[0]].filter(Boolean).join(": ");
      if (told.get(job.name) !== state) say(`  ${job.jobName}: ${state}`);
      told.set(job.name, state);
    }
    if (view.run.phase === "Finished") return view;
  }
  throw new SeatrialError("timeout", `the run of ${sha} did not end in ${demoMs / 60_000} minutes`);
}

/** The checks, and for each red one what its link opens. @returns whether all is as it should be: one test failed, in both clusters. */
async function tellResult(url: string, { run: { name }, jobs }: RunView): Promise<boolean> {
  const { items } = await get<{ items: CheckBody[] }>(`${url}/api/v1/runs/${name}/checks`);
  console.log("");
  for (const { context, state, description, targetUrl } of items) {
    console.log(`${state === "failure" ? "✗" : "·"} ${context}: ${description}`);
    console.log(`    ${targetUrl}`);
    const line = Number(/[?&]line=(\d+)/.exec(targetUrl)?.[1]);
    const job = jobs.find((each) => targetUrl.includes(each.link));
    if (!line || !job) continue;
    const { lines } = await get<{ lines: { number: number; text: string }[] }>(
      `${url}/api/v1/jobs/${job.name}/lines?from=${line}&to=${line + 2}`,
    );
    for (const each of lines) console.log(`    ${each.number} | ${each.text.slice(0, 120)}`);
  }
  console.log("");
  return jobs.length === 2 && jobs.every(({ verdict }) => verdict === "failed") && items.every(({ targetUrl }) => targetUrl.includes("#L"));
}

async function get<T>(url: string): Promise<T> {
  const answer = await fetch(url, { signal: abort.signal });
  if (!answer.ok) throw new SeatrialError("unreachable", `${url} answered ${answer.status}`);
  return (await answer.json()) as T;
}

async function phase<T>(name: string, work: () => Promise<T>): Promise<T> {
  abort.signal.throwIfAborted();
  const from = performance.now();
  const result = await work();
  say(`${name}: ${seconds(performance.now() - from)}`);
  return result;
}

function say(line: string): void {
  console.log(`demo: ${line}`);
}

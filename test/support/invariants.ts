/**
 * What holds whatever happened to a server, read from outside: from its API, its control plane, its data folder, the
 * processes of this machine, Docker, and from witnesses: steps that say when they ran and print numbered lines.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../src/base/errors.ts";
import { pause, waitFor } from "../../src/base/wait.ts";
import type { DockerClient } from "../../src/docker/client.ts";
import { processesMarked } from "../../src/process/marked.ts";
import { attemptMark } from "../../src/runner/executors/executor.ts";
import type { JobView, RunBody, RunView } from "../../src/server/api/schemas.ts";
import { leakedObjects, leakedProcesses } from "./leaks.ts";
import { git } from "./repository.ts";
import type { TestServer } from "./server.ts";

/** The script of a witness: prints `line 1` to `line N`, and writes its beginning and its end into a file of its attempt. */
export function witness(stamps: string, lines: number, pauseSeconds = 0): string {
  const stamp = (word: string) => `echo "${word} $(date +%s%N) ${lines}" >> "${stamps}/$${attemptMark}"`;
  const printing =
    pauseSeconds > 0 ? `for i in $(seq ${lines}); do echo "line $i"; sleep ${pauseSeconds}; done` : `seq -f "line %.0f" ${lines}`;
  return `${stamp("begin")}; ${printing}; ${stamp("end")}`;
}

/** The same for one in a container, who reaches no folder of ours: its log has its beginning and its end. */
export function witnessInContainer(lines: number, pauseSeconds = 0): string {
  return witness("", lines, pauseSeconds).replaceAll(/ >> "[^"]*"/g, "");
}

export interface World {
  server: TestServer;
  /** Folder that the witnesses write to. Default: all of them run in containers. */
  stamps?: string;
  /** Paths of the workflows that every head has. */
  workflows: readonly string[];
  /** Docker hosts of its jobs. */
  docker?: readonly DockerClient[];
}

/** Waits until nothing is wrong. @throws with all that is. */
export async function expectInvariants(world: World, verdicts: VerdictWatch, timeoutMs = 60_000): Promise<void> {
  let wrong: string[] = [];
  const look = async () => {
    wrong = await violations(world).catch((error: unknown) => [`it cannot be looked at: ${messageOf(error)}`]);
    return wrong.length === 0 ? true : undefined;
  };
  const shown = () => wrong.slice(0, 20).join("\n  ");
  await waitFor("nothing to be wrong", look, { timeoutMs, pollMs: 300 }, shown);
  await verdicts.look();
  if (verdicts.changes.length > 0) throw new Error(`verdicts have changed:\n  ${verdicts.changes.join("\n  ")}`);
}

/** Looks at the jobs again and again while a test does its worst: a verdict that was given once never changes. */
export class VerdictWatch implements AsyncDisposable {
  readonly changes: string[] = [];
  readonly #server: TestServer;
  readonly #seen = new Map<string, string>();
  readonly #reruns = new Map<string, number>();
  readonly #stop = new AbortController();
  readonly #looking: Promise<void>;

  constructor(server: TestServer) {
    this.#server = server;
    this.#looking = this.#run();
  }

  /** The job is about to be rerun. */
  awaitAttempt(job: string, number: number): void {
    this.#reruns.set(job, number);
  }

  async look(): Promise<void> {
    for (const { name, verdict, attempts } of (await viewsOf(this.#server)).flatMap(({ jobs }) => jobs)) {
      // A rerun has one of its own, and none before it begins.
      const number = attempts.at(-1)?.number ?? 1;
      if (number >= (this.#reruns.get(name) ?? 1)) this.#note(`job ${name}, attempt ${number}`, verdict);
      for (const attempt of attempts) this.#note(`attempt ${attempt.uid}`, attempt.verdict);
    }
  }

  #note(what: string, verdict: string | undefined): void {
    const before = this.#seen.get(what);
    if (before !== undefined && before !== verdict) this.changes.push(`${what}: ${before}, then ${verdict}`);
    if (verdict !== undefined) this.#seen.set(what, verdict);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.look().catch(() => {}); // The server may be dead just now.
      await pause(500, signal).catch(() => {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#looking;
  }
}

/** Every run with its jobs. */
export async function viewsOf(server: TestServer): Promise<RunView[]> {
  const views: RunView[] = [];
  for (let cursor: string | undefined = ""; cursor !== undefined;) {
    const query: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const page: { items: RunBody[]; next?: string } = await server.get(`/api/v1/runs?limit=100${query}`);
    for (const { name } of page.items) views.push(await server.get<RunView>(`/api/v1/runs/${name}`));
    cursor = page.next;
  }
  return views;
}

/** Everything that is wrong now, as sentences. */
export async function violations(world: World): Promise<string[]> {
  const { server } = world;
  const views = await viewsOf(server);
  const jobs = views.flatMap((view) => view.jobs);
  const attempts = jobs.flatMap((job) => job.attempts.map(({ uid, number }) => ({ job: job.name, uid, number })));
  const known = new Set(attempts.map(({ uid }) => uid));
  const logs = new Map<string, Log>();
  for (const { job, uid, number } of attempts) logs.set(uid, await logOf(server, job, number));
  const inLogs = [...logs].flatMap(([uid, { stamps: said }]) => (said.length > 0 ? [[uid, said] as const] : []));
  const stamps = new Map([...(world.stamps === undefined ? [] : await stampsIn(world.stamps)), ...inLogs]);
  return [
    ...views.flatMap(({ run }) => (run.phase === "Finished" && run.verdict ? [] : [`run ${run.name} is ${run.phase}, ${run.verdict}`])),
    ...jobs.flatMap((job) => wrongVerdict(job)),
    ...jobs.flatMap((job) => overlaps(job, stamps)),
    ...[...stamps.keys()].filter((uid) => !known.has(uid)).map((uid) => `attempt ${uid} ran, and the history knows nothing of it`),
    ...jobs.flatMap((job) => wrongLogs(job, logs, stamps)),
    ...(await wrongResources(server, jobs)),
    ...(await wrongHeads(world, views)),
    ...(await leftOver(server, known)),
    ...(await leftOnDocker(world)),
  ];
}

function wrongVerdict({ name, phase, verdict, attempts }: JobView): string[] {
  const wrong: string[] = [];
  if (phase !== "Finished" || !verdict) wrong.push(`job ${name} is ${phase}, ${verdict}`);
  for (const attempt of attempts) if (!attempt.verdict) wrong.push(`attempt ${attempt.uid} of ${name} has no verdict`);
  const last = attempts.at(-1)?.verdict;
  if (last && last !== verdict) wrong.push(`job ${name} is ${verdict}, and its last attempt ${last}`);
  return wrong;
}

interface Stamp {
  word: string;
  ns: bigint;
  lines: number;
}

async function stampsIn(folder: string): Promise<Map<string, Stamp[]>> {
  const read = async (uid: string): Promise<[string, Stamp[]]> => {
    const lines = (await readFile(join(folder, uid), "utf8")).split("\n").filter(Boolean);
    return [uid, lines.map(stampOf)];
  };
  return new Map(await Promise.all((await readdir(folder)).map(read)));
}

function stampOf(line: string): Stamp {
  const [word = "", ns = "0", count] = line.split(" ");
  return { word, ns: BigInt(ns), lines: Number(count) };
}

/** What a witness has said in a log. */
interface Log {
  stamps: Stamp[];
  /** Up to which line its lines are there, once and in order. */
  last: number;
  /** The first that is not the next one. */
  wrong?: string;
}

async function logOf(server: TestServer, job: string, attempt: number): Promise<Log> {
  const log: Log = { stamps: [], last: 0 };
  const take = (line: string) => {
    if (!line.startsWith("line ")) {
      if (/^(begin|end) \d+ \d+$/.test(line)) log.stamps.push(stampOf(line));
    } else if (log.wrong === undefined && line === `line ${log.last + 1}`) log.last++;
    else log.wrong ??= line;
  };
  // What comes after the last line feed is a part of a line that was cut, or nothing.
  let before: string | undefined;
  for await (const line of server.lines(`/api/v1/jobs/${job}/log?attempt=${attempt}`)) {
    if (before !== undefined) take(before);
    before = line;
  }
  return log;
}

/** A witness runs once in an attempt, and attempts of one job run one after the other: so say the steps, and so the history. */
function overlaps({ name, attempts }: JobView, stamps: ReadonlyMap<string, readonly Stamp[]>): string[] {
  const wrong: string[] = [];
  let steps = 0n;
  let history = 0;
  for (const { uid, verdict, startedAt, finishedAt } of attempts) {
    const said = stamps.get(uid) ?? [];
    const words = said.map(({ word }) => word).join(" ");
    if (!(words === "begin end" || (verdict !== "passed" && ["", "begin"].includes(words))))
      wrong.push(`attempt ${uid} of ${name} is ${verdict}, and its witness says: ${words}`);
    if (said[0] && said[0].ns < steps) wrong.push(`attempt ${uid} of ${name} began its steps before the last had ended them`);
    steps = said.at(-1)?.ns ?? steps;
    if (Date.parse(startedAt) < history) wrong.push(`attempt ${uid} of ${name} was opened before the last had ended`);
    history = Date.parse(finishedAt ?? "");
  }
  return wrong;
}

/** A witness's lines are in the log once and in order; all of them, when it came to its end. */
function wrongLogs({ name, attempts }: JobView, logs: ReadonlyMap<string, Log>, stamps: ReadonlyMap<string, readonly Stamp[]>): string[] {
  return attempts.flatMap(({ uid }) => {
    const said = stamps.get(uid);
    const { last, wrong } = logs.get(uid)!;
    if (!said) return [];
    if (wrong !== undefined) return [`the log of attempt ${uid} of ${name} has ${wrong.slice(0, 100)} where line ${last + 1} should be`];
    const end = said.find(({ word }) => word === "end");
    return end && last !== end.lines ? [`the log of attempt ${uid} of ${name} has ${last} of ${end.lines} lines`] : [];
  });
}

/** The control plane and the history say the same of each job, and no cluster of a job is left. */
async function wrongResources(server: TestServer, jobs: readonly JobView[]): Promise<string[]> {
  const { items } = JSON.parse(await server.kubectl("get", "jobruns,clusters", "-o", "json")) as {
    items: { kind: string; metadata: { name: string }; status?: { verdict?: string } }[];
  };
  const verdicts = new Map(jobs.map(({ name, verdict }) => [name, verdict]));
  return items.flatMap(({ kind, metadata: { name }, status }) => {
    if (kind === "Cluster") return [`Cluster ${name} is left`];
    if (!verdicts.has(name)) return [`JobRun ${name} is not in the history`];
    return verdicts.get(name) === status?.verdict ? [] : [`JobRun ${name} is ${status?.verdict}, and ${verdicts.get(name)} in the history`];
  });
}

/** Each head of the forge has one run for each of its workflows. */
async function wrongHeads({ server, workflows }: World, views: readonly RunView[]): Promise<string[]> {
  const heads = (await git(server.bare, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads")).split("\n").filter(Boolean);
  return heads.flatMap((head) =>
    workflows.flatMap((path) => {
      const count = views.filter(({ run }) => `${run.sha} ${run.ref}` === head && run.workflow.path === path).length;
      return count === 1 ? [] : [`head ${head} has ${count} runs of ${path}`];
    }),
  );
}

/** Nothing is left of jobs but what is to be read: no process, no folder, no record of a cluster, no container. */
async function leftOver({ home }: TestServer, attempts: ReadonlySet<string>): Promise<string[]> {
  const instance = await home.instance();
  const ours = new Set(processesMarked("SEATRIAL_CONTROL_PLANE", `server-${instance}`).map(({ identity }) => identity.pid));
  // With its connections to hosts.
  const isServer = (what: string) =>
    /main\.ts (up|server) |^process \d+: (\/bin\/sh -c .*)?ssh /.test(what) || ours.has(Number(/^process (\d+)/.exec(what)?.[1]));
  const entries = async (folder: string) => await readdir(join(home.data, folder)).catch(() => []);
  return [
    ...(await entries("attempts")).map((uid) => `the folder of attempt ${uid} is left`),
    ...(await entries("clusters")).map((name) => `the record of cluster ${name} is left`),
    ...[...attempts].flatMap((uid) =>
      processesMarked(attemptMark, uid).map(({ identity, program }) => `process ${identity.pid} (${program}) of attempt ${uid} is left`),
    ),
    ...leakedProcesses(home.directory)
      .map(({ what }) => what)
      .filter((what) => !isServer(what))
      .map((what) => `${what} is left`),
  ];
}

async function leftOnDocker({ server, docker = [] }: World): Promise<string[]> {
  const instance = (await server.home.instance())!;
  const left = await Promise.all(docker.map(async (client) => await leakedObjects(client, [instance])));
  return left.flat().map(({ what }) => `${what} is left`);
}

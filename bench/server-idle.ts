/**
 * What does a server take from the machine when nothing happens, and when it has a past? CPU and memory of `seatrial up` with one
 * repository; memory of a server with 10,000 finished runs in its history and 200 jobs that run, after people have looked at both.
 */
import { readFileSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { pause, waitFor } from "../src/base/wait.ts";
import { openHistory } from "../src/history/history.ts";
import { at, jobRunNamed, runNamed } from "../src/history/testdata/resources.ts";
import { parseIdentity } from "../src/process/identity.ts";
import type { ServerFile } from "../src/server/server-file.ts";
import { type Bench, ours } from "./support/bench.ts";
import type { BenchContext } from "./support/context.ts";
import { BenchServer, controlPlaneOf, cpuMsOf } from "./support/server.ts";

const pastRuns = 10_000;
const liveRuns = 10;
const cells = 20;
/** What a start leaves to do is done by then. */
const settleMs = 20_000;
/** Two rounds of upkeep are in it. */
const windowMs = 60_000;

const workflow = `name: live
on: push
jobs: {unit: {strategy: {matrix: {cell: [${Array.from({ length: cells }, (_, i) => i).join(", ")}]}}, steps: [{run: "true"}]}}
`;

export const serverIdle: Bench = {
  name: "server-idle",
  pairs: 2,
  questions: [
    { what: "`up` with nothing to do: CPU of server, API server and etcd, of one core", time: "cpu", unit: "%", target: { most: 3 } },
    { what: "… of the server alone", time: "serverCpu", unit: "%" },
    { what: "`up` with nothing to do: resident memory of the server", time: "memory", unit: "MB", target: { most: 200 } },
    { what: "… of server, API server and etcd", time: "wholeMemory", unit: "MB" },
    {
      what: `resident memory of the server with ${pastRuns.toLocaleString("en")} finished runs and ${liveRuns * cells} live JobRuns`,
      time: "full",
      unit: "MB",
      target: { most: 350 },
    },
  ],
  prepare: async (context) => {
    if (process.platform !== "linux") return await Promise.resolve({ reason: "what processes take is read from /proc" });
    return { sides: [{ name: ours, run: async () => ({ ...(await idle(context)), full: await full(context) }) }] };
  },
};

/** As a person starts it. */
async function idle(context: BenchContext) {
  const home = join(context.directory, context.newName("idle"));
  const bare = join(context.directory, context.newName("project.git"));
  await mkdir(home, { mode: 0o700 });
  await context.run("git", ["init", "--quiet", "--bare", bare]);
  const variables = { SEATRIAL_HOME: home };
  try {
    const up = ["up", "--detach", "--listen", "127.0.0.1:0", "--repository", bare];
    // The first start of a checkout that was changed makes JavaScript and the runner's bundle of it, and keeps the compilers' 100 MB.
    await context.seatrial(up, variables);
    await context.seatrial(["down"], variables);
    await context.seatrial(up, variables);
    const { owner } = JSON.parse(await readFile(join(home, "server.json"), "utf8")) as ServerFile;
    const server = parseIdentity(owner)!.pid;
    const all = [server, ...controlPlaneOf(home)];
    await pause(settleMs, context.signal);
    const used = () => all.map((pid) => cpuMsOf(pid, true)); // The server's git is its own.
    const [before, from] = [used(), performance.now()];
    await pause(windowMs, context.signal);
    const passedMs = performance.now() - from;
    const shares = used().map((ms, index) => ((ms - before[index]!) / passedMs) * 100);
    return {
      cpu: sum(shares),
      serverCpu: shares[0]!,
      memory: residentMb(server),
      wholeMemory: sum(all.map(residentMb)),
    };
  } finally {
    await context.seatrial(["down"], variables, new AbortController().signal);
    await rm(home, { recursive: true, force: true });
  }
}

async function full(context: BenchContext): Promise<number> {
  let held = 0;
  await using server = await BenchServer.start(context, { executor: "held", jobsAtOnce: liveRuns * cells }, () => held++);
  await fillHistory(server.home);
  await Promise.all(Array.from({ length: liveRuns }, async () => await server.createRun(workflow)));
  const isRunning = () => (held === liveRuns * cells ? true : undefined);
  await waitFor("the jobs to run", isRunning, { timeoutMs: 60_000, pollMs: 50, signal: context.signal }, () => `${held} of them`);
  for (let look = 0; look < 20; look++) for (const path of ["/", "/api/v1/runs?limit=500"]) await server.text(path);
  await pause(settleMs, context.signal);
  return (await server.use()).residentBytes / 1e6;
}

async function fillHistory(home: string): Promise<void> {
  const history = await openHistory({ sqlite: { directory: home } });
  try {
    const names = Array.from({ length: pastRuns }, (_, index) => `past-${index}`);
    const status = (seconds: number) =>
      ({ phase: "Finished", verdict: "passed", startedAt: at(seconds), finishedAt: at(seconds + 5) }) as const;
    await history.projection.projectJobRuns(
      names.map((run, index) => jobRunNamed(`job-${index}`, { run, seconds: index, status: status(index) })),
    );
    await history.projection.projectRuns(names.map((run, index) => runNamed(run, { seconds: index, status: status(index) })));
  } finally {
    await history.close();
  }
}

function residentMb(pid: number): number {
  return (Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024) / 1e6;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

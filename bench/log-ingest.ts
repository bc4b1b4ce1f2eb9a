/**
 * How fast can a job talk? 1 GiB of log with 20 secrets in it, through mask, spool, HTTP and the log store, with executor host;
 * whether a heartbeat is late meanwhile; and how soon one line of it is found.
 */
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { limits } from "../src/base/limits.ts";
import { waitFor } from "../src/base/wait.ts";
import { parseIdentity } from "../src/process/identity.ts";
import { ours, type Bench } from "./support/bench.ts";
import { timed } from "./support/context.ts";
import { BenchServer, cpuMsOf } from "./support/server.ts";
import { quantile } from "./support/statistics.ts";

const fileBytes = 64 * 1024 ** 2;
const times = 16;
const megabytes = (fileBytes * times) / 1e6;
const looks = 40;
const secrets = Array.from({ length: 20 }, (_, i) => `token-${i}-${"0123456789abcdefghijklmnop".slice(i % 7, 20)}`);

const talking = "a job that prints 1 GiB, 20 secrets masked";

export const logIngest: Bench = {
  name: "log-ingest",
  pairs: 3,
  questions: [
    { what: `${talking}: for each CPU second of runner and server`, time: "perCore", unit: "MB/s", target: { least: 50 } },
    { what: `${talking}: by the clock`, time: "rate", unit: "MB/s" },
    { what: `${talking}: longest time between two heartbeats`, time: "silence", target: { most: limits.runnerHeartbeatMs + 1_000 } },
    { what: `one line of that log by the API, p99 of ${looks}`, time: "line", target: { most: 100 } },
    { what: `that line on the job's page, with ${limits.pageLogLines} around it, p99 of ${looks}`, time: "page" },
  ],
  prepare: async (context) => {
    if (process.platform !== "linux") return { reason: "it reads /proc" };
    const file = join(context.directory, context.newName("log"));
    await writeLog(file);
    const server = await BenchServer.start(context, { executor: "host" });
    let ended = 0;
    return {
      close: async () => await server.close(),
      sides: [
        {
          name: ours,
          run: async () => {
            const name = await server.createRun(workflow(file));
            const look = async () => (await server.run(name)).jobs[0];
            const options = { timeoutMs: 30_000, pollMs: 20, signal: context.signal };
            const job = await waitFor(
              "the job to begin",
              async () => ((await look())?.attempts.length ? await look() : undefined),
              options,
            );
            const attempt = job!.attempts[0]!.uid;
            const identity = await waitFor(
              "the runner's process",
              async () => parseIdentity(await readFile(join(server.home, "attempts", attempt, "runner.pid"), "utf8").catch(() => "")),
              options,
            );
            const [before, from] = [await server.use(), performance.now()];
            let [runnerMs, silence, heard] = [0, 0, Date.now()];
            const end = server.ended(++ended);
            for (let isOver = false; !isOver;) {
              isOver = await Promise.race([end.then(() => true), new Promise<false>((next) => setTimeout(() => next(false), 100))]);
              runnerMs = Math.max(runnerMs, cpuMsOf(identity.pid));
              heard = Math.max(heard, await server.heardMs(attempt));
              if (!isOver) silence = Math.max(silence, Date.now() - heard);
            }
            const seconds = (performance.now() - from) / 1000;
            const cpuMs = runnerMs + (await server.use()).cpuMs - before.cpuMs;
            const { total } = await server.get<{ total: number }>(`/api/v1/jobs/${job!.name}/lines?from=1&to=1`);
            const lineTimes: number[] = [];
            const pageTimes: number[] = [];
            for (let i = 0; i < looks; i++) {
              const line = 1 + Math.floor((total * (i * 0.618 + 0.3)) % total);
              lineTimes.push(await timed(async () => await server.text(`/api/v1/jobs/${job!.name}/lines?from=${line}&to=${line}`)));
              pageTimes.push(await timed(async () => await server.text(`/jobs/${job!.name}?line=${line}`)));
            }
            return {
              perCore: megabytes / (cpuMs / 1000),
              rate: megabytes / seconds,
              silence,
              line: quantile(lineTimes, 0.99),
              page: quantile(pageTimes, 0.99),
            };
          },
        },
      ],
    };
  },
};

function workflow(file: string): string {
  return `name: talk
on: push
jobs:
  talk:
    steps:
      - run: |
${secrets.map((secret) => `          echo "::add-mask::${secret}"`).join("\n")}
      - run: for i in $(seq ${times}); do cat ${file}; done
`;
}

/** Lines as test suites print them; one in fifty has a secret. */
async function writeLog(path: string): Promise<void> {
  const lines: string[] = [];
  for (let i = 0, size = 0; size < fileBytes; i++) {
    const secret = i % 50 === 0 ? ` with ${secrets[(i / 50) % secrets.length]}` : "";
    const line = `2026-11-21T14:00:00.${String(i % 1000).padStart(3, "0")}Z I controller.go:${i % 997} reconciled widget/${i}${secret} in ${i % 83} ms: nothing to do\n`;
    lines.push(line);
    size += line.length;
  }
  await using file = await open(path, "w");
  await file.write(Buffer.from(lines.join("")).subarray(0, fileBytes));
}

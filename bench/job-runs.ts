/**
 * How many jobs does the engine itself bear? 2,000 JobRuns of 100 runs, created → done, over an API server with fsync, with an
 * executor that ends an attempt without a process. The budget is four writes each: created, running, finished, deleted (later).
 */
import { type Bench, ours } from "./support/bench.ts";
import { BenchServer } from "./support/server.ts";

const runs = 100;
const cells = 20;
const jobRuns = runs * cells;

const workflow = `name: bench
on: push
jobs:
  unit:
    strategy: {matrix: {cell: [${Array.from({ length: cells }, (_, i) => i).join(", ")}]}}
    steps: [{run: "true"}]
`;

const what = `${jobRuns} JobRuns at once, created to done, without runners`;

export const jobRunsBench: Bench = {
  name: "job-runs",
  pairs: 3,
  questions: [
    { what, time: "rate", unit: "per second", target: { least: 100 } },
    { what: `${what}: writes for each, its deletion among them`, time: "writes", unit: "each", target: { most: 4 } },
    { what: `${what}: writes for each that the API server refused, or did not answer in time`, time: "refused", unit: "each" },
    { what: `${what}: for each CPU second of the server`, time: "server", unit: "each" },
    { what: `${what}: for each CPU second of server, API server and etcd`, time: "whole", unit: "each" },
  ],
  prepare: async (context) =>
    await Promise.resolve({
      sides: [
        {
          name: ours,
          run: async () => {
            await using server = await BenchServer.start(context, { executor: "ending", jobsAtOnce: jobRuns });
            await using kube = await server.kube();
            const counted = async () => writesIn(await kube.text("/metrics"));
            const countedBefore = await counted();
            const [before, controlPlaneBefore] = [await server.use(), server.controlPlaneCpuMs()];
            const from = performance.now();
            await Promise.all(Array.from({ length: runs }, async () => await server.createRun(workflow)));
            const ended = await server.ended(runs);
            const seconds = (performance.now() - from) / 1000;
            const bad = ended.filter(({ verdict }) => verdict !== "passed");
            if (bad.length > 0) throw new Error(`${bad.length} runs did not pass: ${bad[0]!.message ?? bad[0]!.verdict}`);
            const serverSeconds = ((await server.use()).cpuMs - before.cpuMs) / 1000;
            const wholeSeconds = serverSeconds + (server.controlPlaneCpuMs() - controlPlaneBefore) / 1000;
            const { taken, refused } = await counted();
            return {
              rate: jobRuns / seconds,
              writes: (taken - countedBefore.taken) / jobRuns + 1,
              refused: (refused - countedBefore.refused) / jobRuns,
              server: jobRuns / serverSeconds,
              whole: jobRuns / wholeSeconds,
            };
          },
        },
      ],
    }),
};

/** Writes of JobRuns, in the metrics that the API server gives. */
function writesIn(metrics: string): { taken: number; refused: number } {
  const lines = metrics
    .split("\n")
    .filter((line) => /^apiserver_request_total\{.*resource="jobruns"/.test(line) && /verb="(POST|PUT|PATCH|DELETE)"/.test(line));
  const sum = (code: RegExp) =>
    lines.filter((line) => code.test(line)).reduce((all, line) => all + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
  return { taken: sum(/code="2/), refused: sum(/code="[^2]/) };
}

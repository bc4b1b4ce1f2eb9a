/** What does a real job cost that does nothing? Jobs of one `true` step with executor host; and what one runner needs. */
import { type Bench, ours } from "./support/bench.ts";
import { BenchServer } from "./support/server.ts";
import { median } from "./support/statistics.ts";

const jobs = 80;
const probes = 7;

const many = `name: many
on: push
jobs:
  nothing:
    strategy: {matrix: {cell: [${Array.from({ length: jobs }, (_, i) => i).join(", ")}]}}
    steps: [{run: "true"}]
`;

/** The first step looks at its runner: the highest memory so far, and CPU time in hundredths of a second. */
const probe = `name: probe
on: push
jobs:
  probe:
    steps:
      - run: |
          pid=$(cut -d/ -f3 ../runner.pid)
          sed -n 's/^VmHWM:/memory/p' /proc/$pid/status
          sed 's/^.*) /cpu /' /proc/$pid/stat
`;

export const trueJobs: Bench = {
  name: "true-jobs",
  pairs: 3,
  questions: [
    { what: `${jobs} real jobs of one \`true\` step, executor host`, time: "rate", unit: "per second", target: { least: 8 } },
    { what: "memory of a runner at its first step, at most so far", time: "memory", unit: "MB", target: { most: 60 } },
    { what: "CPU time of a runner to its first step", time: "cpu", target: { most: 150 } },
  ],
  prepare: async (context) => {
    if (process.platform !== "linux") return { reason: "it reads /proc" };
    const server = await BenchServer.start(context, { executor: "host" });
    let ended = 0;
    return {
      close: async () => await server.close(),
      sides: [
        {
          name: ours,
          run: async () => {
            const from = performance.now();
            const name = await server.createRun(many);
            await server.ended(++ended);
            const rate = (jobs / (performance.now() - from)) * 1000;
            const { run } = await server.run(name);
            if (run.verdict !== "passed") throw new Error(`run ${name}: ${run.verdict}: ${run.message}`);
            const seen: { memory: number; cpu: number }[] = [];
            for (let i = 0; i < probes; i++) {
              const probed = await server.createRun(probe);
              await server.ended(++ended);
              const log = await server.text(`/api/v1/jobs/${(await server.run(probed)).jobs[0]!.name}/log`);
              const memory = /^memory\s+(\d+) kB$/m.exec(log);
              const cpu = /^cpu (.*)$/m.exec(log)?.[1]?.split(" ");
              if (!memory || !cpu) throw new Error(`a probe said: ${log}`);
              seen.push({ memory: Number(memory[1]) / 1024, cpu: (Number(cpu[11]) + Number(cpu[12])) * 10 });
            }
            return { rate, memory: median(seen.map(({ memory }) => memory)), cpu: median(seen.map(({ cpu }) => cpu)) };
          },
        },
      ],
    };
  },
};

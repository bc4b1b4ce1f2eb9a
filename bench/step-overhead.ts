/** How long does a step take that does nothing: as a process of this machine, and in a container? The time that each further step adds to its job. */
import { join } from "node:path";
import { ours, type Bench, type Side } from "./support/bench.ts";
import { timed } from "./support/context.ts";
import { makeRepository } from "./support/repository.ts";

const more = 200;
const workflow = (name: string, count: number) =>
  `name: ${name}\non: push\njobs: {nothing: {steps: [${Array.from({ length: count }, () => '{run: "true"}').join(", ")}]}}\n`;

export const stepOverhead: Bench = {
  name: "step-overhead",
  pairs: 7,
  questions: [
    { what: "one more `true` step in a job, executor host", time: "step", target: { most: 30 } },
    { what: "one more `true` step in a job, in a container", time: "step", of: "docker", target: { most: 60 } },
  ],
  prepare: async (context) => {
    const folder = join(context.directory, context.newName("repository"));
    await makeRepository(context, folder, { ".seatrial/few.yml": workflow("few", 1), ".seatrial/many.yml": workflow("many", 1 + more) });
    const env = { SEATRIAL_HOME: join(context.directory, context.newName("home")) };
    const sideOf = async (name: string, executor: string): Promise<Side> => {
      const run = async (which: string) =>
        await context.seatrial(["run", "--executor", executor, which], env, undefined, undefined, folder);
      await run("few"); // Makes the folder, the database and the runner's bundle.
      return {
        name,
        run: async () => ({ step: ((await timed(async () => await run("many"))) - (await timed(async () => await run("few")))) / more }),
      };
    };
    const docker = await sideOf("docker", "docker").catch(() => undefined);
    return { sides: [await sideOf(ours, "host"), ...(docker ? [docker] : [])] };
  },
};

/** How long does `seatrial run` take for a job that does nothing, with nothing running before? */
import { join } from "node:path";
import { ours, type Bench } from "./support/bench.ts";
import { timed } from "./support/context.ts";
import { makeRepository } from "./support/repository.ts";

const workflow = `name: one
on: push
jobs: {nothing: {steps: [{run: "true"}]}}
`;

export const oneStep: Bench = {
  name: "one-step",
  pairs: 11,
  questions: [{ what: "`seatrial run` of one `true` step, nothing running before", time: "run", target: { most: 1_000 } }],
  prepare: async (context) => {
    const folder = join(context.directory, context.newName("repository"));
    await makeRepository(context, folder, { ".seatrial/one.yml": workflow });
    const env = { SEATRIAL_HOME: join(context.directory, context.newName("home")) };
    const run = async () => await context.seatrial(["run", "--executor", "host", "one"], env, undefined, undefined, folder);
    await run(); // Makes the folder, the database and the runner's bundle.
    return { sides: [{ name: ours, run: async () => ({ run: await timed(run) }) }] };
  },
};

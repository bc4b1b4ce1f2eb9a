/** Every case of this folder against one server in this process: README.md says what a case is. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findDocker, type Home, needDocker, openHome } from "../support/e2e.ts";
import { type Case, caseNames, readCase } from "./case.ts";
import { type Look, lookAt } from "./look.ts";
import { World } from "./world.ts";

const read = caseNames().map((name) => {
  try {
    return { name, one: readCase(name) };
  } catch (error) {
    return { name, error };
  }
});

const [inContainers, inProcesses] = [read.filter(({ one }) => one?.needs === "docker"), read.filter(({ one }) => one?.needs !== "docker")];

describe.concurrent("in processes of this machine", () => {
  withWorld("host", inProcesses);
});
describe.runIf(inContainers.length > 0).concurrent("in containers", () => {
  withWorld("docker", inContainers);
});

function withWorld(executor: "host" | "docker", cases: typeof read): void {
  let home: Home | undefined;
  let world: World | undefined;

  beforeAll(async () => {
    if (executor === "docker" && "reason" in (await findDocker())) return;
    home = await openHome();
    world = await World.open(home, executor);
  });
  // Whatever a case left is a failure: a process, a folder of an attempt, an object on the Docker host.
  afterAll(async () => {
    try {
      await world?.[Symbol.asyncDispose]();
    } finally {
      await home?.close();
    }
  });

  test.for(cases)("$name", async ({ one, error }, context) => {
    if (executor === "docker" && !(await (await needDocker(context)).client.image("offline/base:bookworm")))
      context.skip("the lab's images are not there: make lab builds them");
    if (!one) throw error;
    await runCase(world!, one);
  });
}

async function runCase(world: World, one: Case): Promise<void> {
  const repository = world.repository(one);
  let before: string[] = [];
  const looks: { title: string; look: Promise<Look> }[] = [];
  for (const [index, turn] of [{ ...one, after: undefined }, ...one.then].entries()) {
    if (index > 0) {
      if (turn.after) await world.says(before, turn.after.job, turn.after.says);
      else await Promise.all(before.map(async (run) => await world.ended(run)));
    }
    const runs = await world.happen(repository, turn.event);
    looks.push({ title: `${one.title}${index > 0 ? ` (event ${index + 1})` : ""}`, look: lookAt(world, repository, runs, turn.expect) });
    looks.at(-1)!.look.catch(() => {}); // Awaited below.
    if (turn.abort) {
      await world.says(runs, turn.abort.job, turn.abort.says);
      await world.engine.api.abort(runs[0]!, "somebody wants it to end");
    }
    before = runs;
  }
  for (const { title, look } of looks) {
    const { seen, expected, log } = await look;
    expect(seen, `${title}\n${log}`).toEqual(expected);
  }
}

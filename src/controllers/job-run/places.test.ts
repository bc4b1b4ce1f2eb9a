import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { notDecided, Places } from "./places.ts";
import type { Contender, HostView } from "./schedule.ts";

const host: HostView = {
  name: "local",
  lanes: ["trusted"],
  maxJobs: 1,
  maxClusters: undefined,
  isReachable: true,
  executors: ["host"],
};
const job = (name: string): Contender => ({
  name,
  repository: "a/a",
  run: "run",
  job: "test",
  executor: "host",
  lane: "trusted",
  priority: "branch",
  createdAt: 0,
  clusters: [],
  maxParallel: undefined,
});

test("who waits is told why once, and again when the reason is another", async () => {
  const decided: string[] = [];
  let whyNone: string | undefined;
  const places = new Places({ hosts: () => [host], whyNone: () => whyNone, onDecided: (name) => decided.push(name) });
  const told = async () => {
    await turn();
    return decided.splice(0);
  };
  expect([places.ask(job("a")), places.ask(job("b"))]).toMatchObject([{ why: notDecided }, { why: notDecided }]);
  expect((await told()).toSorted()).toEqual(["a", "b"]);
  expect([places.ask(job("a")), places.ask(job("b"))]).toMatchObject([{ host: "local" }, { why: "1 of 1 jobs of host local run" }]);
  places.decideAgain();
  expect(await told(), "nothing has changed").toEqual([]);

  whyNone = "the disk is nearly full";
  places.decideAgain();
  expect(await told()).toEqual(["b"]);
  expect([places.ask(job("a")), places.ask(job("b"))]).toMatchObject([{ host: "local" }, { why: "the disk is nearly full" }]);
  places.release("a");
  expect(await told(), "there is room, and none may start").toEqual([]);
  whyNone = undefined;
  places.decideAgain();
  expect(await told()).toEqual(["b"]);
  expect(places.ask(job("b"))).toEqual({ host: "local" });
});

test("a rerun is placed anew, also while something of the attempt before is left where it was", async () => {
  let isReachable = true;
  const places = new Places({ hosts: () => [{ ...host, isReachable }], onDecided: () => {} });
  places.readmit({ ...job("a"), host: "local" });
  expect(places.ask(job("a")), "it is there").toMatchObject({ host: "local" });
  places.readmit({ ...job("a"), host: "local", hasEnded: true });
  isReachable = false;
  places.ask(job("a"));
  await turn();
  expect(places.ask(job("a"))).toMatchObject({ why: "host local does not answer" });
  isReachable = true;
  places.decideAgain();
  await turn();
  expect(places.ask(job("a"))).toMatchObject({ host: "local" });
});

test("a place whose host goes before anything has begun there is given up; what has begun stays", async () => {
  let hosts = [{ ...host, name: "far", endpoint: "ssh://far", maxJobs: 2 }];
  const places = new Places({ hosts: () => hosts, onDecided: () => {} });
  const far = { host: "far", endpoint: "ssh://far" };
  const jobs = [
    { ...job("a"), executor: "docker" as const },
    { ...job("b"), executor: "docker" as const },
  ] as const;
  hosts[0]!.executors = ["docker"];
  for (const each of jobs) places.ask(each);
  await turn();
  expect(jobs.map((each) => places.ask(each))).toMatchObject([far, far]);

  hosts = [{ ...hosts[0]!, endpoint: "ssh://other" }];
  expect(places.ask(jobs[0], true)).toMatchObject(far);
  expect(places.ask(jobs[1])).toMatchObject({ why: notDecided });
  await turn();
  expect(places.ask(jobs[1])).toMatchObject({ host: "far", endpoint: "ssh://other" });
  expect([...places.inUse()].map(({ endpoint }) => endpoint ?? "").toSorted()).toEqual(["ssh://far", "ssh://other"]);
});

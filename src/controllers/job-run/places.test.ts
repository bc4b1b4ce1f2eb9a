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
  priority: 1,
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
  expect([places.ask(job("a")), places.ask(job("b"))]).toEqual([{ why: notDecided }, { why: notDecided }]);
  expect((await told()).toSorted()).toEqual(["a", "b"]);
  expect([places.ask(job("a")), places.ask(job("b"))]).toEqual([{ host: "local" }, { why: "1 of 1 jobs of host local run" }]);
  places.decideAgain();
  expect(await told(), "nothing has changed").toEqual([]);

  whyNone = "the disk is nearly full";
  places.decideAgain();
  expect(await told()).toEqual(["b"]);
  expect([places.ask(job("a")), places.ask(job("b"))]).toEqual([{ host: "local" }, { why: "the disk is nearly full" }]);
  places.release("a");
  expect(await told(), "there is room, and none may start").toEqual([]);
  whyNone = undefined;
  places.decideAgain();
  expect(await told()).toEqual(["b"]);
  expect(places.ask(job("b"))).toEqual({ host: "local" });
});

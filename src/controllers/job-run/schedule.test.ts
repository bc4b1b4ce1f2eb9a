import { describe, expect, test } from "vitest";
import { type Contender, type HostView, type Placed, schedule } from "./schedule.ts";

const host = (more: Partial<HostView> = {}): HostView => ({
  name: "local",
  lanes: ["trusted"],
  maxJobs: 2,
  maxClusters: 2,
  isReachable: true,
  executors: ["host", "docker"],
  ...more,
});
let age = 0;
const job = (name: string, more: Partial<Contender> = {}): Contender => ({
  name,
  repository: "a/a",
  run: "run-1",
  job: "test",
  executor: "host",
  lane: "trusted",
  priority: 1,
  createdAt: age++,
  clusters: [],
  maxParallel: undefined,
  ...more,
});
const placed = (name: string, more: Partial<Placed> = {}): Placed => ({ ...job(name), host: "local", ...more });

describe("why a job waits", () => {
  test.each<[string, Contender, Placed[], HostView[], string]>([
    ["no host at all", job("j"), [], [], "there is no host"],
    ["all places are taken", job("j"), [placed("a"), placed("b")], [host()], "2 of 2 jobs of host local run"],
    [
      "all clusters are in use",
      job("j", { clusters: ["kind"] }),
      [placed("a", { clusters: ["kind", "kind"] })],
      [host()],
      "2 of 2 clusters of host local are in use",
    ],
    [
      "an untrusted job on the server's machine",
      job("j", { lane: "untrusted" }),
      [],
      [host({ lanes: ["untrusted"] })],
      "executor host is the server's own machine, and the change is not trusted",
    ],
    ["another lane", job("j", { lane: "untrusted", executor: "docker" }), [], [host()], "host local takes no untrusted jobs"],
    [
      "untrusted, kubelets, a host for both lanes",
      job("j", { lane: "untrusted", executor: "docker", clusters: ["kind"] }),
      [],
      [host({ lanes: ["trusted", "untrusted"] })],
      "host local is not for the untrusted lane alone, and a cluster with kubelets is root on its host",
    ],
    ["host away", job("j"), [], [host({ isReachable: false, message: "ssh: timeout" })], "host local does not answer: ssh: timeout"],
    ["no such executor", job("j", { executor: "docker" }), [], [host({ executors: ["host"] })], "host local has no executor docker"],
    [
      "an executor that is being made",
      job("j", { executor: "docker" }),
      [],
      [host({ executors: ["host"], message: "its image is being made" })],
      "host local has no executor docker: its image is being made",
    ],
    [
      "each host has its reason, also where all are full",
      job("j", { clusters: ["kind"] }),
      [placed("a"), placed("b"), placed("c", { host: "far" })],
      [host(), host({ name: "far", maxJobs: 1 })],
      "2 of 2 jobs of host local run; 1 of 1 jobs of host far run",
    ],
    [
      "max-parallel",
      job("j", { maxParallel: 1 }),
      [placed("a", { run: "run-1", job: "test" })],
      [host()],
      "max-parallel: 1 of 1 cells of test run",
    ],
  ])("%s", (_, one, running, hosts, why) => {
    const { granted, waiting } = schedule([one], running, hosts);
    expect(Object.fromEntries(waiting)).toEqual({ j: why });
    expect(granted.size).toBe(0);
  });
});

test("when none may start, all are told why, whoever there is room for", () => {
  const { granted, waiting } = schedule([job("a"), job("b")], [], [host()], "the disk is nearly full");
  expect(Object.fromEntries(waiting)).toEqual({ a: "the disk is nearly full", b: "the disk is nearly full" });
  expect(granted.size).toBe(0);
});

describe("who goes first", () => {
  test.each<[string, Contender[], Placed[], HostView[], Record<string, string>]>([
    ["the older", [job("a", { createdAt: 2 }), job("b", { createdAt: 1 })], [], [host({ maxJobs: 1 })], { b: "local" }],
    [
      "priority before age",
      [job("old", { createdAt: 1, priority: 2 }), job("pull", { createdAt: 2, priority: 1 })],
      [],
      [host({ maxJobs: 1 })],
      { pull: "local" },
    ],
    [
      "the repository with less",
      [job("busy", { createdAt: 1 }), job("idle", { createdAt: 2, repository: "b/b" })],
      [placed("x")],
      [host()],
      { idle: "local" },
    ],
    [
      "shares count what was granted in the same pass",
      [job("a1", { createdAt: 1 }), job("a2", { createdAt: 2 }), job("b1", { createdAt: 3, repository: "b/b" })],
      [],
      [host()],
      { a1: "local", b1: "local" },
    ],
    [
      "a smaller one passes one that finds no room",
      [job("big", { createdAt: 1, clusters: ["kind", "kind", "kind"] }), job("small", { createdAt: 2 })],
      [],
      [host()],
      { small: "local" },
    ],
    [
      "untrusted jobs get kubelets where their lane is alone",
      [job("fork", { lane: "untrusted", executor: "docker", clusters: ["kind"] })],
      [],
      [host(), host({ name: "remote", lanes: ["untrusted"] })],
      { fork: "remote" },
    ],
    [
      "untrusted jobs get bare where both lanes are",
      [job("fork", { lane: "untrusted", executor: "docker", clusters: ["bare"] })],
      [],
      [host({ lanes: ["trusted", "untrusted"] })],
      { fork: "local" },
    ],
  ])("%s", (_, waiting, running, hosts, expected) => {
    expect(Object.fromEntries(schedule(waiting, running, hosts).granted)).toEqual(expected);
  });
});

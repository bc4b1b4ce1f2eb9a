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
  priority: "branch",
  createdAt: age++,
  clusters: [],
  maxParallel: undefined,
  ...more,
});
const placed = (name: string, more: Partial<Placed> = {}): Placed => ({
  ...job(name, more.host === undefined ? {} : { executor: "docker" }),
  host: "local",
  ...more,
});

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
    [
      "untrusted, kubelets, a host that another name has for trusted jobs",
      job("j", { lane: "untrusted", executor: "docker", clusters: ["kind"] }),
      [],
      [host({ lanes: ["untrusted"], endpoint: "ssh://a" }), host({ name: "far", endpoint: "ssh://a" })],
      "host local is not for the untrusted lane alone, and a cluster with kubelets is root on its host; host far takes no untrusted jobs",
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
      "priority before shares and age",
      [job("old", { createdAt: 1, repository: "b/b" }), job("pull", { createdAt: 2, priority: "pull-request" })],
      [placed("x")],
      [host()],
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
      "untrusted jobs come to where their lane is alone, if there is room",
      [
        job("fork", { lane: "untrusted", executor: "docker", createdAt: 1 }),
        job("other", { lane: "untrusted", executor: "docker", createdAt: 2 }),
      ],
      [],
      [host({ lanes: ["trusted", "untrusted"] }), host({ name: "remote", lanes: ["untrusted"], maxJobs: 1 })],
      { fork: "remote", other: "local" },
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

test("the order: priority, then the repository with less, then age", () => {
  const all = [
    job("nightly", { createdAt: 1, priority: "periodic" }),
    job("main", { createdAt: 2, priority: "branch" }),
    job("pull, later", { createdAt: 5, priority: "pull-request", repository: "b/b" }),
    job("pull", { createdAt: 3, priority: "pull-request", repository: "b/b" }),
    job("pull of who has more", { createdAt: 1, priority: "pull-request" }),
    job("merge", { createdAt: 9, priority: "merge-queue" }),
  ];
  const order: string[] = [];
  // One after the other, as places become free; those that run count for their repository.
  for (const running: Placed[] = [placed("x")]; order.length < all.length;) {
    const waiting = all.filter(({ name }) => !order.includes(name));
    const [[name]] = [...schedule(waiting, running, [host({ maxJobs: running.length + 1 })]).granted] as [[string, string]];
    order.push(name);
    running.push({ ...all.find((each) => each.name === name)!, host: "local" });
  }
  expect(order).toEqual(["merge", "pull", "pull, later", "pull of who has more", "main", "nightly"]);
});

describe("clusters without nodes take a place on local, wherever their job is", () => {
  const far = host({ name: "far", maxClusters: 5 });
  const onFar = { executor: "docker", clusters: ["bare"] } as const;
  test.each<[string, Contender, Placed[], string | undefined]>([
    ["room on both", job("j", onFar), [placed("a", { host: "far", clusters: ["bare"] })], undefined],
    [
      "local has none left: two jobs of far have them",
      job("j", onFar),
      [placed("a", { host: "far", clusters: ["bare"] }), placed("b", { host: "far", clusters: ["bare"] })],
      "0 of 0 jobs of host local run; 2 of 2 clusters of host local are in use, where bare clusters run",
    ],
    [
      "of a job with both, those with nodes count where it is",
      job("j", { executor: "docker", clusters: ["kind", "bare"] }),
      [placed("a", { host: "far", clusters: ["kind", "kind", "kind", "kind", "kind"] })],
      "0 of 0 jobs of host local run; 5 of 5 clusters of host far are in use",
    ],
  ])("%s", (_, one, running, why) => {
    const { granted, waiting } = schedule([one], running, [host({ maxJobs: 0 }), { ...far, maxJobs: 9 }]);
    expect([granted.get("j"), waiting.get("j")]).toEqual(why === undefined ? ["far", undefined] : [undefined, why]);
  });
});

describe("who is on a host that is not declared any more, or has ended", () => {
  const two = { executor: "docker", clusters: ["kind", "kind"] } as const;
  test.each<[string, Placed, string | undefined]>([
    ["runs there", placed("a", { ...two, endpoint: "ssh://old" }), "1 of 1 jobs of host local run"],
    [
      "ran there: its clusters are held",
      placed("a", { ...two, endpoint: "ssh://old", hasEnded: true }),
      "2 of 2 clusters of host local are in use",
    ],
    ["runs where the host was before", placed("a", { ...two, endpoint: "ssh://before" }), undefined],
    ["is a process of this machine, whatever Docker it had", placed("a", { endpoint: "ssh://before" }), "1 of 1 jobs of host local run"],
    ["began before its endpoint was known", placed("a", two), "1 of 1 jobs of host local run"],
  ])("%s", (_, running, why) => {
    const hosts = [host({ endpoint: "ssh://old", maxJobs: 1 })];
    expect(schedule([job("j", { clusters: ["kind"] })], [running], hosts).waiting.get("j")).toBe(why);
  });
});

test("a job runs where its architecture is, or is not known", () => {
  const hosts = [
    host({ architectures: { docker: "amd64" } }),
    host({ name: "far", architectures: { docker: "arm64" }, maxJobs: 1 }),
    host({ name: "new", maxJobs: 1 }),
  ];
  const arm = { executor: "docker", architecture: "arm64" } as const;
  const { granted, waiting } = schedule([job("a", arm), job("b", arm), job("c", arm), job("d", { executor: "docker" })], [], hosts);
  expect([...granted]).toEqual([
    ["a", "far"],
    ["b", "new"],
    ["d", "local"],
  ]);
  expect(waiting.get("c")).toContain("host local is amd64, and the labels of the job ask for arm64; 1 of 1 jobs of host far run");
});

describe("a job that no host can ever hold", () => {
  const far = (more: Partial<HostView> = {}) => host({ name: "far", maxClusters: 1, ...more });
  const three = { executor: "docker", clusters: ["kind", "kind", "kind"] } as const;
  test.each<[string, Contender, HostView[], string]>([
    ["more clusters than the largest", job("j", three), [far(), host()], "no host can hold 3 clusters; the largest, local, holds 2"],
    [
      "also while they do not answer",
      job("j", three),
      [host({ isReachable: false })],
      "no host can hold 3 clusters; the largest, local, holds 2",
    ],
    [
      "one where there are none",
      job("j", { clusters: ["kind"] }),
      [host({ maxClusters: 0 })],
      "no host can hold 1 cluster; the largest, local, holds 0",
    ],
    [
      "more bare clusters than local, however large the others",
      job("j", { executor: "docker", clusters: ["bare", "bare", "bare"] }),
      [host(), far({ maxClusters: 9 })],
      "host local, where bare clusters run, holds 2, and the job needs 3 clusters",
    ],
    [
      "only hosts of its lane count",
      job("j", { ...three, lane: "untrusted" }),
      [host({ maxClusters: 9 }), far({ lanes: ["untrusted"] })],
      "no host can hold 3 clusters; the largest, far, holds 1",
    ],
    [
      "executor host where local is for others",
      job("j"),
      [host({ lanes: ["untrusted"] }), far()],
      "executor host is on host local alone, which is not for this job",
    ],
    [
      "executor host for a change that is not trusted",
      job("j", { lane: "untrusted" }),
      [host({ lanes: ["untrusted"] })],
      "executor host is the server's own machine, and the change is not trusted",
    ],
    [
      "a choice that no host fits",
      job("j", { hosts: { labels: { size: "large" } } }),
      [host()],
      "there is no host for it: its labels ask for any with size=large",
    ],
    [
      "an architecture that no host has",
      job("j", { executor: "docker", architecture: "arm64" }),
      [host({ architectures: { host: "arm64", docker: "amd64" } }), far({ architectures: { docker: "amd64" } })],
      "host local is amd64, and the labels of the job ask for arm64; host far is amd64, and the labels of the job ask for arm64",
    ],
    [
      "a choice of hosts that are for another lane",
      job("j", { executor: "docker", hosts: { names: ["far"] } }),
      [host(), far({ lanes: ["untrusted"] })],
      "host far takes no trusted jobs",
    ],
  ])("%s", (_, one, hosts, why) => {
    const { granted, waiting, fitsNowhere } = schedule([one, job("other", { executor: "docker" })], [], hosts);
    expect([waiting.get("j"), fitsNowhere.has("j"), granted.has("j")]).toEqual([why, true, false]);
    expect(fitsNowhere.has("other"), "and is in nobody's way").toBe(false);
  });

  test.each<[string, Contender, HostView[]]>([
    ["it fits when others end", job("j", { clusters: ["kind", "kind"] }), [host()]],
    ["nobody knows how many its host holds", job("j", three), [far(), host({ maxClusters: undefined, isReachable: false })]],
    ["there is no host of its lane at all", job("j", { ...three, lane: "untrusted" }), [host()]],
    [
      "a cluster with kubelets waits for a host that is for its lane alone",
      job("j", { ...three, lane: "untrusted" }),
      [host({ lanes: ["untrusted", "trusted"] })],
    ],
    ["a host that is drained comes back", job("j"), [host({ maxJobs: 0 })]],
  ])("but waits where %s", (_, one, hosts) => {
    const running = [placed("a", { clusters: ["kind"] })];
    const { waiting, fitsNowhere } = schedule([one], running, hosts);
    expect([waiting.has("j") || hosts[0]!.maxClusters === 1, [...fitsNowhere]]).toEqual([true, []]);
  });
});

describe("what a Repository says", () => {
  const policies = new Map([
    ["a/a", { name: "owner/project", maxJobs: 2 }],
    ["b/b", { name: "owner/other", hosts: { names: ["far"] } }],
  ]);
  const large = host({ name: "large", maxJobs: 9, labels: { pool: "large" } });
  const far = host({ name: "far", maxJobs: 1 });

  test.each<[string, Contender[], Placed[], HostView[], Record<string, string>, Record<string, string>]>([
    [
      "a cap: the older ones run",
      [job("c", { createdAt: 3 }), job("b", { createdAt: 2 }), job("of-another", { createdAt: 9, repository: "c/c" })],
      [placed("a")],
      [host({ maxJobs: 9 })],
      { b: "local", "of-another": "local" },
      { c: "2 of 2 jobs of repository owner/project run" },
    ],
    [
      "a cap that is reached, where all hosts are full",
      [job("c")],
      [placed("a"), placed("b")],
      [host()],
      {},
      { c: "2 of 2 jobs of repository owner/project run" },
    ],
    [
      "what has ended, and is only cleaned up, counts no more",
      [job("c")],
      [placed("a", { hasEnded: true }), placed("b")],
      [host({ maxJobs: 9 })],
      { c: "local" },
      {},
    ],
    ["hosts that it may have", [job("b", { repository: "b/b", executor: "docker" })], [], [host(), far], { b: "far" }, {}],
    [
      "hosts that it may have, and that are full",
      [job("b", { repository: "b/b", executor: "docker" })],
      [placed("x", { host: "far", repository: "c/c" })],
      [host(), far],
      {},
      { b: "1 of 1 jobs of host far run" },
    ],
    [
      "hosts that are not there",
      [job("b", { repository: "b/b", executor: "docker" })],
      [],
      [host()],
      {},
      { b: "there is no host for it: repository owner/other may have far" },
    ],
    [
      "its labels choose by labels of hosts",
      [job("gpu", { executor: "docker", hosts: { labels: { pool: "large" } } })],
      [],
      [host(), far, large],
      { gpu: "large" },
      {},
    ],
    [
      "labels and repository leave none",
      [job("gpu", { repository: "b/b", executor: "docker", hosts: { labels: { pool: "large" } } })],
      [],
      [host(), far, large],
      {},
      { gpu: "there is no host for it: its labels ask for any with pool=large, repository owner/other may have far" },
    ],
    [
      "one that holds too few clusters for it is told of, not one that it may not have",
      [job("b", { repository: "b/b", executor: "docker", clusters: ["kind", "kind"] })],
      [],
      [host(), host({ name: "far", maxClusters: 1 })],
      {},
      { b: "no host can hold 2 clusters; the largest, far, holds 1" },
    ],
  ])("%s", (_, waiting, running, hosts, granted, reasons) => {
    const decision = schedule(waiting, running, hosts, undefined, policies);
    expect(Object.fromEntries(decision.granted)).toEqual(granted);
    expect(Object.fromEntries(decision.waiting)).toEqual(reasons);
  });
});

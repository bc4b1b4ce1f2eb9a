/** What of a JobRun outlives a stop of the server, and a change of its hosts. Executors are stand-ins; what is decided is plan.test.ts. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { SeatrialError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { type History, openHistory } from "../../history/history.ts";
import { MemoryStore } from "../../kube/memory.ts";
import { type JobRun, jobRunKind, type JobRunSpec } from "../../resources/job-run.ts";
import type { Stored } from "../../resources/object.ts";
import type { Executor } from "../../runner/executors/executor.ts";
import { Groups } from "../concurrency/groups.ts";
import { Places } from "./places.ts";
import { attemptUid, type JobRunReconcilerOptions, JobRunReconciler, placedOf } from "./reconcile.ts";
import type { HostView, Place } from "./schedule.ts";

const start = new Date("2026-11-21T12:00:00Z");
const never = new AbortController().signal;

/** A store, a history, hosts, and any number of servers one after the other. */
class World {
  time = start;
  hosts: HostView[] = [
    { name: "local", endpoint: "ssh://old", lanes: ["trusted"], maxJobs: 1, maxClusters: 1, isReachable: true, executors: ["docker"] },
  ];
  /** What was asked of executors, and where. */
  readonly asked: [string, Place][] = [];
  start: Executor["start"] = async () => {};
  observe: Executor["observe"] = async () => await Promise.resolve({ state: "running" });
  stop: Executor["stop"] = async () => {};
  remove = async () => {};
  keepEvidence: JobRunReconcilerOptions["keepEvidence"] = async () => await Promise.resolve([]);
  readonly history: History;
  /** Attempts of which nothing is collected any more. */
  readonly forgotten: string[] = [];
  readonly store = new MemoryStore({ now: () => this.time, newUid: () => `uid${this.#uids++}` });
  #uids = 1;

  static async open(): Promise<World> {
    const directory = await mkdtemp(join(tmpdir(), "job-run-"));
    const history = await openHistory({ sqlite: { directory } });
    onTestFinished(async () => {
      await history.close();
      await rm(directory, { recursive: true, force: true });
    });
    return new World(history);
  }

  private constructor(history: History) {
    this.history = history;
  }

  async make(name: string, spec: Partial<JobRunSpec> = {}): Promise<Stored<JobRun>> {
    const base: JobRunSpec = {
      run: "run",
      repository: "a/a",
      lane: "trusted",
      job: "test",
      name: "test",
      steps: [],
      runsOn: { labels: [], executor: "docker" },
    };
    return await this.store.create(jobRunKind, { metadata: { name }, spec: { ...base, ...spec } });
  }

  async get(name = "job"): Promise<Stored<JobRun>> {
    return (await this.store.get(jobRunKind, name))!;
  }

  pass(ms: number): void {
    this.time = new Date(this.time.getTime() + ms);
  }

  /** A server that has just begun: it knows nothing but what is written down. */
  serve() {
    const cached = new Map<string, Stored<JobRun>>();
    const places = new Places({ hosts: () => this.hosts, onDecided: () => {} });
    const groups = new Groups(() => {});
    const executor = (_name: string, place: Place) =>
      ({
        name: "docker",
        start: async (request) => {
          this.asked.push(["start", place]);
          await this.start(request);
        },
        observe: async (attempt) => {
          this.asked.push(["observe", place]);
          return await this.observe(attempt);
        },
        stop: async (attempt) => {
          this.asked.push(["stop", place]);
          await this.stop(attempt);
        },
        remove: async () => {
          this.asked.push(["remove", place]);
          await this.remove();
        },
        list: async () => await Promise.resolve([]),
      }) satisfies Executor;
    const reconciler = new JobRunReconciler({
      store: this.store,
      jobRuns: { get: (name) => cached.get(name), labelled: () => [], all: () => cached.values() },
      clusters: { get: () => undefined, labelled: () => [], all: () => [] },
      history: this.history,
      places,
      groups,
      executor,
      fitsNowhereMs: limits.fitsNowhereMs,
      networksOf: async () => await Promise.resolve([]),
      tokenOf: () => "token",
      settle: async () => await Promise.resolve([]),
      forget: async (attempt) => void (await Promise.resolve(this.forgotten.push(attempt))),
      keepEvidence: async (...given) => await this.keepEvidence(...given),
      hostAwayMs: limits.runnerServerAwayMs,
      now: () => this.time,
    });
    return {
      places,
      /** Until it has been decided about its place. */
      reconcile: async (name = "job", signal = never) => {
        for (let pass = 0; pass < 2; pass++) {
          for (const jobRun of (await this.store.list(jobRunKind)).items) {
            cached.set(jobRun.metadata.name, jobRun);
            groups.noticeJobRun(jobRun.metadata.name, jobRun);
          }
          const again = await reconciler.reconcile(name, signal);
          await turn();
          if (again.requeueAfterMs !== undefined) return;
        }
      },
    };
  }
}

/** What takes until the server is told to stop. */
async function untilStopped(signal: AbortSignal | undefined): Promise<never> {
  return await new Promise((_resolve, reject) => signal!.addEventListener("abort", () => reject(signal!.reason as Error)));
}

test("a stop while its image is pulled decides nothing: the next server starts it", async () => {
  const world = await World.open();
  const jobRun = await world.make("job");
  const stop = new AbortController();
  world.start = async ({ signal }) => {
    setImmediate(() => stop.abort(new SeatrialError("aborted", "the server stops")));
    await untilStopped(signal);
  };
  await expect(world.serve().reconcile("job", stop.signal)).rejects.toThrow("the server stops");
  expect(await world.history.attempts.get(attemptUid(jobRun))).not.toHaveProperty("result");

  world.start = async () => {};
  await world.serve().reconcile();
  expect((await world.get()).status).toMatchObject({ phase: "Running", attempts: [{ number: 1, host: "local" }] });
});

test("a stop while evidence is kept gives no verdict: the next server keeps all of it, and gives it", async () => {
  const world = await World.open();
  const jobRun = await world.make("job");
  await world.serve().reconcile();
  await world.history.attempts.end(attemptUid(jobRun), { verdict: "failed", message: "exit code 1" }, world.time);
  const stop = new AbortController();
  world.keepEvidence = async (_attempt, _clusters, _verdict, signal) => {
    setImmediate(() => stop.abort(new SeatrialError("aborted", "the server stops")));
    return await untilStopped(signal);
  };
  await expect(world.serve().reconcile("job", stop.signal)).rejects.toThrow("the server stops");
  expect((await world.get()).status).toMatchObject({ phase: "Running" });
  expect(world.forgotten, "the next server needs what it masks with").toEqual([]);

  world.keepEvidence = async () => await Promise.resolve(["all is kept"]);
  await world.serve().reconcile();
  expect((await world.get()).status).toMatchObject({ phase: "Finished", verdict: "failed", message: "exit code 1\nall is kept" });
});

test("what runs is looked for, ended and removed where it was begun, whatever its Host says now", async () => {
  const world = await World.open();
  const jobRun = await world.make("job");
  await world.serve().reconcile();
  world.hosts = [{ ...world.hosts[0]!, endpoint: "ssh://new" }];
  world.pass(limits.runnerSilenceMs + 1);
  const next = world.serve();
  await next.reconcile();
  await world.history.attempts.end(attemptUid(jobRun), { verdict: "passed" }, world.time);
  await next.reconcile();
  expect((await world.get()).status).toMatchObject({ phase: "Finished", verdict: "passed" });
  expect(world.forgotten).toEqual([attemptUid(jobRun)]);
  const old = { host: "local", endpoint: "ssh://old" };
  expect(world.asked.map(([what, { host, endpoint }]) => [what, { host, endpoint }])).toEqual(
    ["start", "observe", "stop", "remove"].map((what) => [what, old]),
  );
  expect([...next.places.inUse()], "nothing of it is left").toEqual([]);
});

test.each([
  ["another host", "other", "starts all the same"],
  ["the same host", "local", "waits until it answers"],
])("a rerun on %s ends what may run of the attempt before; while that cannot be told it %s", async (_name, name, _then) => {
  const world = await World.open();
  const jobRun = await world.make("job");
  const server = world.serve();
  await server.reconcile();
  await world.history.attempts.end(attemptUid(jobRun), { verdict: "error", cause: "lost-runner" }, world.time);
  for (let pass = 0; pass < 2; pass++) await server.reconcile();
  const [before, after] = ["ssh://old", `ssh://of-${name}`];
  world.hosts = [{ ...world.hosts[0]!, name, endpoint: after }];
  await world.store.patch(jobRunKind, "job", { spec: { attempt: 2 } });

  world.asked.length = 0;
  world.remove = async () => await Promise.reject(new SeatrialError("unreachable", "no answer", { retryable: true }));
  world.start = async () => await Promise.reject(new SeatrialError("unreachable", "not yet", { retryable: true }));
  await expect(world.serve().reconcile()).rejects.toThrow(name === "other" ? "not yet" : "no answer");
  world.remove = world.start = async () => {};
  await world.serve().reconcile();
  const there = name === "other" ? before : after;
  expect(world.asked.map(([what, { endpoint }]) => `${what} ${endpoint}`)).toEqual([
    `remove ${there}`,
    ...(name === "other" ? [`start ${after}`] : []),
    `remove ${there}`,
    `start ${after}`,
  ]);
});

test("one that was opened, and not yet written down, is started where it was opened", async () => {
  const world = await World.open();
  await world.make("job");
  world.start = async () => await Promise.reject(new SeatrialError("unreachable", "no answer", { retryable: true }));
  await expect(world.serve().reconcile()).rejects.toThrow("no answer");
  world.hosts = [{ ...world.hosts[0]!, endpoint: "ssh://new" }];
  world.start = async () => {};
  await world.serve().reconcile();
  expect(world.asked.map(([what, { endpoint }]) => [what, endpoint])).toEqual([
    ["start", "ssh://old"],
    ["start", "ssh://old"],
  ]);
});

test("clusters that are held count for the next server, and a job's place does not", async () => {
  const world = await World.open();
  const spec = { clusters: [{ name: "cluster", spec: { provider: "kind" } }], hold: { forSeconds: 600 } } as const;
  const made = await world.make("held", { ...spec, clusters: [...spec.clusters] });
  const attempts = [{ number: 1, uid: attemptUid(made), executor: "docker", host: "local", endpoint: "ssh://old" }] as const;
  const heldUntil = new Date(start.getTime() + 600_000).toISOString();
  const ended = { phase: "Finished", attempt: 1, verdict: "failed", finishedAt: start.toISOString(), heldUntil } as const;
  const held = await world.store.writeStatus(jobRunKind, made, { ...ended, attempts: [...attempts] });
  expect(placedOf(held, start)).toMatchObject({ host: "local", endpoint: "ssh://old", hasEnded: true, clusters: ["kind"] });
  expect(placedOf(held, new Date(heldUntil)), "its time is over").toBeUndefined();
  expect(placedOf(made, start), "it has no place yet").toBeUndefined();

  const server = world.serve();
  await server.reconcile("held");
  await world.make("other", { clusters: [...spec.clusters] });
  await server.reconcile("other");
  expect((await world.get("other")).status).toMatchObject({ phase: "Waiting", message: "1 of 1 clusters of host local are in use" });
  await world.make("small");
  await server.reconcile("small");
  expect((await world.get("small")).status).toMatchObject({ phase: "Running" });
});

test("one that fits nowhere says so at once, waits for a host for some time, over restarts, and ends as an error", async () => {
  const world = await World.open();
  const cluster = { name: "cluster", spec: { provider: "kind" } } as const;
  await world.make("job", { clusters: [cluster, { ...cluster, name: "other" }] });
  await world.serve().reconcile();
  const why = "no host can hold 2 clusters; the largest, local, holds 1";
  expect((await world.get()).status).toMatchObject({ phase: "Waiting", message: why, fitsNowhereSince: start.toISOString() });

  world.pass(limits.fitsNowhereMs - 1);
  const [host] = world.hosts as [HostView];
  world.hosts = [{ ...host, maxClusters: 2, maxJobs: 0 }];
  await world.serve().reconcile();
  expect((await world.get()).status, "there is one now").toEqual({ phase: "Waiting", message: "0 of 0 jobs of host local run" });

  world.hosts = [host];
  await world.serve().reconcile();
  world.pass(limits.fitsNowhereMs);
  await world.serve().reconcile();
  const { status } = await world.get();
  expect(status).toMatchObject({ phase: "Finished", verdict: "error", cause: "host", message: expect.stringContaining(why) });
  expect(status).not.toHaveProperty("fitsNowhereSince");
});

test.each<[string, boolean, number, string | undefined]>([
  ["may help when it is made again is made again", true, limits.runnerStartMs - 1, undefined],
  ["has not helped for long enough is given up", true, limits.runnerStartMs, "runner-start"],
  ["cannot help is given up at once", false, 0, "runner-start"],
])("a start that %s", async (_name, retryable, passMs, cause) => {
  const world = await World.open();
  const jobRun = await world.make("job");
  world.start = async () => await Promise.reject(new SeatrialError("unreachable", "Docker is away", { retryable }));
  const server = world.serve();
  await server.reconcile().catch(() => {});
  world.pass(passMs);
  await server.reconcile().catch(() => {});
  expect((await world.history.attempts.get(attemptUid(jobRun)))?.result?.cause).toBe(cause);
  world.start = async () => {};
  await server.reconcile();
  expect((await world.get()).status).toMatchObject(
    cause === undefined ? { phase: "Running" } : { phase: "Finished", verdict: "error", cause },
  );
});

test("a result that the runner delivers while it is looked for counts before ours", async () => {
  const world = await World.open();
  const attempt = attemptUid(await world.make("job"));
  const server = world.serve();
  await server.reconcile();
  world.pass(limits.runnerSilenceMs + 1);
  world.observe = async () => {
    await world.history.attempts.recordReport(
      attempt,
      { steps: [], annotations: [], result: { verdict: "passed", outputs: {} } },
      world.time,
    );
    return { state: "ended", message: "exit code 0", isOutOfMemory: false };
  };
  await server.reconcile();
  await server.reconcile();
  expect((await world.get()).status).toMatchObject({ phase: "Finished", verdict: "passed" });
});

test("a host that is away for a moment is waited for, one that is away for long keeps nobody from a verdict, which says so", async () => {
  const world = await World.open();
  const attempt = attemptUid(await world.make("job"));
  const server = world.serve();
  await server.reconcile();
  await world.history.attempts.end(attempt, { verdict: "failed", message: "exit code 1" }, world.time);
  world.stop = async () => await Promise.reject(new SeatrialError("unreachable", "host local does not answer", { retryable: true }));
  await expect(server.reconcile()).rejects.toThrow("host local does not answer");
  expect((await world.get()).status).toMatchObject({ phase: "Running" });
  world.pass(limits.runnerServerAwayMs);
  await server.reconcile();
  const message = "exit code 1\nwhat is left of it goes when its host answers: host local does not answer";
  expect((await world.get()).status).toMatchObject({ phase: "Finished", verdict: "failed", message });
});

test("of many attempts the last ones stay in the status", async () => {
  const world = await World.open();
  const last = 150;
  const number = (_: unknown, i: number) => last - limits.attemptsShown - 1 + i;
  const before = Array.from({ length: limits.attemptsShown + 1 }, number);
  const jobRun = await world.make("job", { attempt: last });
  const attempts = before.map((each) => ({ number: each, uid: `u${each}`, executor: "docker" as const, host: "local" }));
  await world.store.writeStatus(jobRunKind, jobRun, { phase: "Finished", attempt: last - 1, verdict: "failed", attempts });
  await world.serve().reconcile();
  expect((await world.get()).status?.attempts?.map((each) => each.number)).toEqual([...before.slice(1), last]);
});

test("jobs of one group run one after the other, whoever serves; one that is replaced ends without having run", async () => {
  const world = await World.open();
  world.hosts = [{ ...world.hosts[0]!, maxJobs: 9 }];
  const concurrency = { group: "deploy", cancelInProgress: false, queue: "single" } as const;
  const first = await world.make("job-1", { concurrency });
  await world.make("job-2", { concurrency: { ...concurrency, group: "DEPLOY" } });
  await world.make("other", {});
  const before = world.serve();
  for (const name of ["job-1", "job-1", "job-2", "other"]) await before.reconcile(name);
  expect((await world.get("job-1")).status).toMatchObject({ phase: "Running", groupSince: start.toISOString() });
  expect((await world.get("job-2")).status).toMatchObject({ phase: "Waiting", message: "waits for group DEPLOY: test of run" });
  expect((await world.get("other")).status).toMatchObject({ phase: "Running" });

  world.pass(2_000);
  await world.make("job-3", { concurrency });
  const next = world.serve();
  for (const name of ["job-3", "job-2"]) await next.reconcile(name);
  expect((await world.get("job-3")).status).toMatchObject({ phase: "Waiting" });
  expect((await world.get("job-2")).status).toMatchObject({ phase: "Finished", verdict: "aborted" });
  await world.history.attempts.end(attemptUid(first), { verdict: "passed" }, world.time);
  for (const name of ["job-1", "job-3", "job-3"]) await next.reconcile(name);
  expect((await world.get("job-3")).status).toMatchObject({ phase: "Running" });
});

test("a job that cancels what is in progress", async () => {
  const world = await World.open();
  const concurrency = { group: "g", cancelInProgress: true, queue: "single" } as const;
  await world.make("job-1", { concurrency });
  const server = world.serve();
  for (const _pass of [1, 2]) await server.reconcile("job-1");
  await world.make("job-2", { concurrency, name: "newer" });
  await server.reconcile("job-2");
  expect((await world.get("job-1")).spec.abort).toBe("group g: newer of run came after it, and cancels what is in progress");
});

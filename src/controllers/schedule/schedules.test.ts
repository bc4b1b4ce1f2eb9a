import { expect, test } from "vitest";
import { SeatrialError } from "../../base/errors.ts";
import { repositoryKind } from "../../resources/repository.ts";
import { bench } from "../trigger/testdata/bench.ts";
import { Schedules } from "./schedules.ts";

const scheduled = (entries: string) => `on: {schedule: [${entries}]}\njobs: {a: {steps: [{run: x}]}}\n`;
const hourly = scheduled('{cron: "0 * * * *"}');

/** Schedules of a repository whose default branch the server has seen, by a clock that stands. */
async function scheduleBench(files: Record<string, string>) {
  const all = await bench(files);
  const { forge, trigger, store, history, repository, main, id } = all;
  const told: string[] = [];
  let now = new Date("2026-03-10T10:30:00Z");
  const another = () =>
    new Schedules({ store, history, forges: new Map([["local", forge]]), trigger, now: () => now, tell: (line) => told.push(line) });
  let schedules = another();
  const head = async (after: string) =>
    void (await trigger.trigger(forge, { event: "push", repository, ref: "refs/heads/main", after }, { payload: undefined }));
  await head(main);
  return {
    ...all,
    told,
    head,
    /** Looks at a time. @returns the times of all runs so far, as `HH:MM path`. */
    at: async (time: string): Promise<string[]> => {
      now = new Date(`2026-03-${time}Z`);
      await schedules.look();
      const runs = await all.runs();
      return runs
        .filter(({ spec }) => spec.source.event === "schedule")
        .map(({ spec }) => /T(\d\d:\d\d)/.exec(spec.source.delivery!)![1]!)
        .toSorted();
    },
    /** As another process, that has nothing in memory. */
    restart: () => (schedules = another()),
    another,
    suspend: async (suspended: boolean | null) => await store.patch(repositoryKind, `local-${id}`, { spec: { suspended } }),
  };
}

test("a schedule runs at its times, once each, at the head of the default branch, in the trusted lane", async () => {
  const { at, runs, pushTo, history } = await scheduleBench({ ".seatrial/hourly.yml": hourly });
  expect(await at("10T10:30"), "what was before it was seen is not made up for").toEqual([]);
  expect(await at("10T10:59")).toEqual([]);
  const head = await pushTo("main", { "a.txt": "1\n" });
  expect(await at("10T11:00")).toEqual(["11:00"]);
  expect(await at("10T11:00:10")).toEqual(["11:00"]);
  expect(await at("10T12:01")).toEqual(["11:00", "12:00"]);
  const [run] = await runs();
  expect(run!.spec).toMatchObject({
    source: { event: "schedule", ref: "refs/heads/main", commit: head, lane: "trusted" },
    workflow: { path: ".seatrial/hourly.yml" },
  });
  expect(JSON.parse((await history.documents.get(run!.spec.source.eventDigest!))!)).toMatchObject({
    schedule: "0 * * * *",
    repository: { full_name: "project" },
  });
});

test("each entry has its own times and zone", async () => {
  const entries = '{cron: "0 8 * * *", timezone: America/New_York}, {cron: "0 12 * * *"}, {cron: "30 12 * * *"}';
  const { at } = await scheduleBench({ ".seatrial/three.yml": scheduled(entries) });
  await at("10T10:30");
  // Eight o'clock in New York is twelve o'clock here: two entries, two runs.
  expect(await at("10T12:00")).toEqual(["12:00", "12:00"]);
  expect(await at("10T12:31")).toEqual(["12:00", "12:00", "12:30"]);
});

test("what was missed while no server ran is made up for once, as the last of it", async () => {
  const { at, restart } = await scheduleBench({ ".seatrial/hourly.yml": hourly });
  await at("10T10:30");
  restart();
  expect(await at("12T15:20")).toEqual(["15:00"]);
  expect(await at("12T15:21")).toEqual(["15:00"]);
});

test("a clock that jumps makes no storm, and one that is put back no second run and no silence", async () => {
  const { at } = await scheduleBench({ ".seatrial/hourly.yml": hourly });
  await at("10T10:30");
  expect(await at("31T23:10")).toEqual(["23:00"]);
  expect(await at("10T10:31"), "put back").toEqual(["23:00"]);
  expect(await at("10T11:00")).toEqual(["11:00", "23:00"]);
  expect(await at("10T10:59:30"), "put back by little").toEqual(["11:00", "23:00"]);
  expect(await at("10T11:00:30")).toEqual(["11:00", "23:00"]);
});

test("two that look at once make one run", async () => {
  const { at, another, runs } = await scheduleBench({ ".seatrial/hourly.yml": hourly });
  await at("10T10:59");
  const both = [another(), another()];
  await at("10T10:59:59");
  const looks = both.map(async (each) => await each.look());
  await Promise.all([at("10T11:00"), ...looks]);
  expect((await runs()).filter(({ spec }) => spec.source.event === "schedule")).toHaveLength(1);
});

test("a suspended repository runs nothing, and what it missed is not made up for", async () => {
  const { at, suspend } = await scheduleBench({ ".seatrial/hourly.yml": hourly });
  await at("10T10:30");
  await suspend(true);
  expect(await at("10T11:00")).toEqual([]);
  await suspend(null);
  expect(await at("10T12:10")).toEqual([]);
  expect(await at("10T13:00")).toEqual(["13:00"]);
});

test("a workflow that is gone, or has another schedule, runs no more; one that is new begins now", async () => {
  const { at, head, pushTo } = await scheduleBench({ ".seatrial/a.yml": hourly, ".seatrial/b.yml": hourly });
  await at("10T10:30");
  // Gone from the branch, and nobody has told us yet: at the head there is nothing to run.
  const gone = await pushTo("main", {
    ".seatrial/a.yml": scheduled('{cron: "30 * * * *"}'),
    ".seatrial/b.yml": "on: push\njobs: {a: {steps: [{run: x}]}}\n",
  });
  expect(await at("10T11:00")).toEqual([]);
  await head(gone);
  expect(await at("10T11:40"), "new").toEqual([]);
  expect(await at("10T12:31")).toEqual(["12:30"]);
});

test("a forge that does not answer is asked again; what can never be is not", async () => {
  const { at, forge, told } = await scheduleBench({ ".seatrial/hourly.yml": hourly });
  await at("10T10:30");
  const { commitOf } = forge;
  forge.commitOf = async () => await Promise.reject(new SeatrialError("unreachable", "the forge is away", { retryable: true }));
  expect(await at("10T11:00")).toEqual([]);
  expect(told).toEqual([".seatrial/hourly.yml of project at 2026-03-10T11:00:00.000Z: the forge is away"]);
  forge.commitOf = commitOf;
  expect(await at("10T11:00:10")).toEqual(["11:00"]);
  forge.commitOf = async () => await Promise.reject(new SeatrialError("refused", "the token is no more"));
  await at("10T12:00");
  forge.commitOf = commitOf;
  expect(await at("10T12:00:10")).toEqual(["11:00"]);
  expect(told).toHaveLength(2);
});

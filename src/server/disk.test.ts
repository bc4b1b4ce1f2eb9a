import { expect, test } from "vitest";
import { DiskBudget, nextState } from "./disk.ts";

const bounds = { jobsBytes: 1000, uploadsBytes: 100 };

test.each<[string, Parameters<typeof nextState>[0], number, ReturnType<typeof nextState>]>([
  ["room enough", "open", 1000, "open"],
  ["below the first bound", "open", 999, "no-jobs"],
  ["a little above the first bound: not yet", "no-jobs", 1249, "no-jobs"],
  ["a quarter above the first bound", "no-jobs", 1250, "open"],
  ["below the second bound at once", "open", 99, "no-uploads"],
  ["a little above the second bound: not yet", "no-uploads", 124, "no-uploads"],
  ["a quarter above the second bound, still below the first", "no-uploads", 125, "no-jobs"],
  ["above both at once", "no-uploads", 5000, "open"],
])("%s", (_, before, free, after) => expect(nextState(before, free, bounds)).toBe(after));

test("each state is told once, with numbers, and its sentence stays", async () => {
  const mib = 1024 ** 2;
  const told: string[] = [];
  let free: number | Error = 10 * mib;
  let changes = 0;
  const disk = new DiskBudget({
    path: "/data",
    jobsBytes: 8 * mib,
    uploadsBytes: 2 * mib,
    tell: (line) => told.push(line),
    freeBytesOf: async () => await (typeof free === "number" ? Promise.resolve(free) : Promise.reject(free)),
  });
  disk.onChanged(() => changes++);
  let ofAnother = 0;
  const forget = disk.onChanged(() => ofAnother++);
  const lookAt = async (bytes: number | Error) => {
    free = bytes;
    await disk.look();
    return [disk.whyNoJobs, disk.whyNoUploads];
  };
  expect(await lookAt(9 * mib)).toEqual([undefined, undefined]);
  const low = "the disk of /data has 5 MiB free: no job is started below 8 MiB";
  expect(await lookAt(5 * mib)).toEqual([low, undefined]);
  expect(await lookAt(4 * mib)).toEqual([low, undefined]);
  expect(ofAnother).toBe(1);
  forget();
  const full = "the disk of /data has 1.5 MiB free: no job is started, and no log or artifact is taken, below 2 MiB";
  expect(await lookAt(1.5 * mib)).toEqual([full, full]);
  expect(await lookAt(2000 * mib)).toEqual([undefined, undefined]);
  expect(told).toEqual([low, full, "the disk of /data has 2 GiB free: jobs are started again"]);
  expect(changes).toBe(3);
  expect(ofAnother, "who has gone is told nothing").toBe(1);
  expect(await lookAt(new Error("gone"))).toEqual([undefined, undefined]);
  expect(told.at(-1)).toBe("cannot see how much of the disk of /data is free: gone");
});

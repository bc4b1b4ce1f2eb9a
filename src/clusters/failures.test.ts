import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { removeOldFailures } from "./failures.ts";

const now = new Date("2026-06-01T12:00:00Z");

/** A folder with folders that were last changed so many days ago, each with so many bytes some folders deep. */
async function failures(...folders: [name: string, daysAgo: number, bytes: number][]): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "failures-"));
  onTestFinished(async () => await rm(directory, { recursive: true, force: true }));
  for (const [name, daysAgo, bytes] of folders) {
    await mkdir(join(directory, name, "nodes", "a"), { recursive: true });
    await writeFile(join(directory, name, "nodes", "a", "journal.log"), Buffer.alloc(bytes));
    const at = new Date(now.getTime() - daysAgo * 86_400_000);
    await utimes(join(directory, name), at, at);
  }
  return directory;
}

test.each<[string, { days?: number; mostBytes?: number }, string[]]>([
  ["what is old goes", { days: 3 }, ["c", "d"]],
  ["by default what artifacts have", {}, ["b", "c", "d"]],
  ["of what is too large altogether the oldest", { mostBytes: 250 }, ["c", "d"]],
  ["also the newest, where it alone is too large", { mostBytes: 99 }, []],
])("%s", async (_name, kept, stay) => {
  const directory = await failures(["d", 1, 100], ["a", 40, 100], ["c", 2, 100], ["b", 5, 100]);
  await removeOldFailures(directory, now, kept);
  expect((await readdir(directory)).toSorted()).toEqual(stay);
});

test("who asks often has it looked at now and then", async () => {
  const directory = await failures(["a", 1, 100]);
  const kept = { mostBytes: 150, everyMs: 1_000 };
  const look = async (afterMs: number) => {
    await removeOldFailures(directory, new Date(now.getTime() + afterMs), kept);
    return (await readdir(directory)).filter((name) => !name.startsWith(".")).toSorted();
  };
  expect(await look(0)).toEqual(["a"]);
  await mkdir(join(directory, "b"));
  await writeFile(join(directory, "b", "log"), Buffer.alloc(100));
  expect(await look(999)).toEqual(["a", "b"]);
  expect(await look(1_000)).toEqual(["b"]);
  await removeOldFailures(directory, now, { mostBytes: 99 });
  expect(await look(5_000), "the server's own look is not held back by one of before").toEqual([]);
});

test("where no boot has failed there is nothing to do", async () => {
  await removeOldFailures(join(await failures(), "none"), now);
  const empty = await failures();
  await removeOldFailures(empty, now, { everyMs: 1_000 });
  expect(await readdir(empty)).toEqual([]);
});

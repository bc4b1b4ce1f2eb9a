import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { limits } from "../base/limits.ts";
import { waitFor } from "../base/wait.ts";
import { Mirrors } from "./mirrors.ts";
import { bench, isWhole, missing, packsOf, refsOf } from "./testdata/mirror-bench.ts";
import { testEnvironment } from "./testdata/repository.ts";

describe("upkeep", () => {
  const dayMs = 86_400_000;

  /** A mirror with a merge, and a clock: at each day its packs are as old as they would be then. */
  async function merged() {
    const given = await bench();
    const { upstream, mirror, first, setNow } = given;
    const start = Date.now();
    const at = (days: number) => setNow(new Date(start + days * dayMs).toISOString());
    at(0);
    const base = await upstream.commit({ "a.txt": "base\n" });
    await upstream.git("checkout", "-q", "-b", "one", first);
    const head = await upstream.commit({ "one.txt": "1\n" });
    await mirror.fetch({ url: upstream.folder }, { commits: [base, head] });
    const merge = await mirror.mergeOf(base, [head]);
    // The first commit is there for as long as the mirror is.
    const maintain = async (days: number, more: { held?: string[]; signal?: AbortSignal } = {}) => {
      at(days);
      const isGone = await mirror.maintain(30, async () => await Promise.resolve(new Set([first, ...(more.held ?? [])])), more.signal);
      const time = new Date(start + days * dayMs);
      const packs = join(mirror.folder, "objects", "pack");
      for (const name of isGone ? [] : await readdir(packs)) await utimes(join(packs, name), time, time);
      return isGone;
    };
    const heldIn = async () => (await refsOf(mirror)).map((ref) => ref.split(" ")[1]).filter((id) => id !== first);
    return { ...given, base, head, merge, at, maintain, heldIn };
  }

  test("a merge stays for as long as it is told after the last day that it was used, and for a while after", async () => {
    const { mirror, merge, at, maintain, heldIn } = await merged();
    await maintain(20);
    at(21);
    expect(await mirror.keep([merge])).toEqual([]);
    await maintain(50);
    expect(await heldIn()).toEqual([merge]);
    await maintain(58);
    expect(await heldIn()).toEqual([]);
    await maintain(66);
    expect(await mirror.hasCommit(merge)).toBe(true);
    await maintain(80);
    expect(await mirror.hasCommit(merge)).toBe(false);
  });

  test("one that is found again before it is removed stays, with all that it needs", async () => {
    const { upstream, mirror, base, head, merge, maintain, at, heldIn } = await merged();
    await maintain(31);
    expect(await heldIn()).toEqual([]);
    at(40);
    await rename(upstream.folder, `${upstream.folder}-away`); // What is there is not fetched.
    await mirror.fetch({ url: upstream.folder }, { commits: [base, head] });
    await rename(`${upstream.folder}-away`, upstream.folder);
    expect(await mirror.mergeOf(base, [head])).toBe(merge);
    for (const day of [48, 56, 64]) await maintain(day);
    expect(await mirror.hasCommit(merge)).toBe(true);
    await isWhole(mirror);
  });

  test("what a merge needs is held by it alone, and by a ref of its own when that is to last longer", async () => {
    const { mirror, base, head, merge, maintain, heldIn, at } = await merged();
    await maintain(7);
    expect(await heldIn()).toEqual([merge]);
    at(8);
    await mirror.keep([head]);
    await maintain(15);
    expect(new Set(await heldIn())).toEqual(new Set([head, merge]));
    expect(await mirror.keep([base])).toEqual([]);
    await isWhole(mirror);
  });

  test("one that is found again while it is being removed is either here afterwards, or said not to be", async () => {
    const { mirror, merge, maintain, heldIn } = await merged();
    await maintain(31);
    expect(await heldIn()).toEqual([]);
    const packs = join(mirror.folder, "objects", "pack");
    const before = (await readdir(packs)).length;
    const collecting = maintain(60);
    // New packs are being written: what is held was looked at before.
    await waitFor("a new pack", async () => (await readdir(packs)).length > before || undefined, { timeoutMs: 10_000, pollMs: 1 });
    const missing = await mirror.keep([merge]);
    await collecting;
    expect(missing).toEqual((await mirror.hasCommit(merge)) ? [] : [merge]);
    await isWhole(mirror);
  });

  test("one of a run that is kept stays, however old", async () => {
    const { mirror, base, merge, maintain } = await merged();
    for (const day of [31, 62, 93, 124]) await maintain(day, { held: [merge] });
    expect([await mirror.hasCommit(merge), await mirror.hasCommit(base)]).toEqual([true, true]);
    await isWhole(mirror);
  });

  test("a ref of an object that a disk lost keeps nothing from being packed", async () => {
    const { mirror, merge, maintain, at } = await merged();
    await rm(join(mirror.folder, "objects", merge.slice(0, 2), merge.slice(2)));
    at(8);
    await maintain(8);
    expect((await refsOf(mirror)).some((ref) => ref.includes(merge))).toBe(false);
    await isWhole(mirror);
  });

  test("many packs become one, and what is loose goes into it", async () => {
    const { upstream, mirror, maintain } = await merged();
    await maintain(0);
    const commits: string[] = [];
    for (let count = 0; count <= limits.gitPacks; count++) {
      commits.push(await upstream.commit({ "a.txt": `${count}\n` }));
      await mirror.fetch({ url: upstream.folder }, { commits: commits.slice(-1) });
    }
    expect((await packsOf(mirror)).length).toBeGreaterThan(limits.gitPacks);
    await maintain(1);
    expect((await packsOf(mirror)).length).toBeLessThan(5);
    for (const commit of commits) expect(await mirror.hasCommit(commit)).toBe(true);
  });

  test("beside fetches, merges and reads loses nothing", async () => {
    const { upstream, mirror, base, maintain, at } = await merged();
    const commits: { head: string; merge: string }[] = [];
    let isOver = false;
    const work = async () => {
      for (let count = 0; count < 8; count++) {
        const head = await upstream.commit({ [`${count}.txt`]: `${count}\n` });
        await mirror.fetch({ url: upstream.folder }, { commits: [head] });
        commits.push({ head, merge: await mirror.mergeOf(base, [head]) });
        expect(await mirror.readFile(head, `${count}.txt`)).toBe(`${count}\n`);
      }
      isOver = true;
    };
    const upkeep = async () => {
      for (let day = 0; !isOver; day += 7) {
        at(0); // All is of one day, and each collection is due.
        await rm(join(mirror.folder, "seatrial.collected"), { force: true });
        await maintain(0);
      }
    };
    await Promise.all([work(), upkeep()]);
    for (const { head, merge } of commits) expect([await mirror.hasCommit(head), await mirror.hasCommit(merge)]).toEqual([true, true]);
    await isWhole(mirror);
  });

  test("one that is stopped leaves all as it was, and the next is done", async () => {
    const { mirror, merge, maintain, heldIn } = await merged();
    await expect(maintain(31, { signal: AbortSignal.abort(new Error("stopped")) })).rejects.toThrow("stopped");
    expect(await mirror.hasCommit(merge)).toBe(true);
    expect(await heldIn()).toHaveLength(3);
    await maintain(31);
    expect(await heldIn()).toEqual([]);
  });

  test("what a kill left is removed once nothing that works can be so old", async () => {
    const { mirror, maintain, at } = await merged();
    const left = [
      "incoming/fetch-1/pack/tmp_pack_1",
      "objects/pack/tmp_pack_2",
      "objects/pack/.tmp-7-pack-3.pack",
      "packed-refs.lock",
      "refs/seatrial/kept/2026-01-01/x.lock",
    ];
    for (const [suffix, days] of [
      ["", 0],
      ["-young", 30],
    ] as const) {
      for (const path of left.slice(0, suffix === "" ? 5 : 3)) {
        const whole = join(mirror.folder, path + suffix);
        await mkdir(dirname(whole), { recursive: true });
        await writeFile(whole, "half");
        const time = new Date(Date.now() + days * dayMs);
        await utimes(whole, time, time);
      }
    }
    const aged = new Date();
    await utimes(join(mirror.folder, "incoming", "fetch-1"), aged, aged);
    at(30);
    // A new process opens it.
    const other = new Mirrors({
      environment: testEnvironment,
      folder: dirname(dirname(mirror.folder)),
      now: () => new Date(Date.now() + 30 * dayMs),
    });
    onTestFinished(async () => await other.close());
    await other.of("lab", "1").hasCommit(missing);
    const there = left.flatMap((path) => [path, `${path}-young`]).filter((path) => existsSync(join(mirror.folder, path)));
    expect(there).toEqual(["objects/pack/tmp_pack_2-young", "objects/pack/.tmp-7-pack-3.pack-young"]);
    await maintain(30);
  });

  test("a lock that a kill left keeps no commit from being held", async () => {
    const { mirror, merge, at, heldIn } = await merged();
    at(1);
    const today = join(mirror.folder, "refs", "seatrial", "kept", new Date(Date.now() + dayMs).toISOString().slice(0, 10));
    await mkdir(today);
    await writeFile(join(today, `${merge}.lock`), "");
    expect(await mirror.keep([merge])).toEqual([]);
    expect((await heldIn()).filter((id) => id === merge)).toHaveLength(2);
  });

  test("a mirror in which nothing is held is removed, and made anew when it is needed", async () => {
    const { upstream, mirror, mirrors, folder, base, at } = await merged();
    const signal = new AbortController().signal;
    const told: string[] = [];
    const maintain = async () => await mirrors.maintain({ keptDays: () => 30, signal, tell: (line) => told.push(line) });
    at(10);
    await maintain();
    expect(await readdir(join(folder, "lab"))).toEqual(["1.git"]);
    at(31);
    await maintain();
    expect(await readdir(join(folder, "lab"))).toEqual([]);
    expect(await mirrors.has("lab", "1")).toBe(false);
    await mirror.fetch({ url: upstream.folder }, { commits: [base] });
    expect(await mirror.hasCommit(base)).toBe(true);
    expect(told).toEqual([]);
  });

  test("what a kill left of a removal is removed; one mirror that is broken keeps nothing of the others", async () => {
    const { mirrors, folder, at } = await merged();
    await mkdir(join(folder, "lab", ".gone-2.git", "objects"), { recursive: true });
    await mkdir(join(folder, "lab", "0.git"), { recursive: true });
    await writeFile(join(folder, "lab", "0.git", "config"), "no configuration");
    await writeFile(join(folder, "stray"), "");
    const told: string[] = [];
    at(31);
    await mirrors.maintain({ keptDays: () => 30, signal: new AbortController().signal, tell: (line) => told.push(line) });
    expect(await readdir(join(folder, "lab"))).toEqual(["0.git"]);
    expect(told).toEqual([expect.stringContaining(join(folder, "lab", "0.git"))]);
  });

  test("of mirrors that are too large together those go that were not used for the longest time", async () => {
    const { upstream, mirrors, folder, at, first } = await merged();
    for (const [day, name] of ["c", "a", "b"].entries()) {
      at(day + 1);
      await mirrors.of("lab", name).fetch({ url: upstream.folder }, { commits: [first] });
    }
    const one = await mirrors.of("lab", "a").bytes();
    const maintain = async (maxBytes: number) =>
      await mirrors.maintain({ keptDays: () => 30, maxBytes, signal: new AbortController().signal, tell: () => {} });
    at(4);
    await maintain(2 * one);
    expect(await readdir(join(folder, "lab"))).toEqual(["a.git", "b.git"]);
  });
});

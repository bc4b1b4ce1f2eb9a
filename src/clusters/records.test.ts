import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { Ownership } from "../docker/ownership.ts";
import { currentProcess } from "../process/identity.ts";
import type { Cluster } from "../resources/cluster.ts";
import { ClusterRecords, instanceId, ownershipOf, recordOf } from "./records.ts";

const cluster: Cluster = { apiVersion: "seatrial.dev/v1alpha1", kind: "Cluster", metadata: { name: "demo" }, spec: { provider: "bare" } };
const declared: Ownership = { instance: "me", owner: "declared" };
const now = new Date("2026-01-02T03:04:05Z");

let data: string;
let records: ClusterRecords;
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), "records-"));
  records = new ClusterRecords(data);
  const made = data;
  onTestFinished(async () => await rm(made, { recursive: true, force: true }));
});

describe("ownership in a record", () => {
  test.each<[string, Ownership]>([
    ["declared", declared],
    ["held by a process, with an end", { instance: "me", owner: currentProcess(), notAfter: new Date("2026-02-03T04:05:06Z") }],
  ])("%s is read back", (_, ownership) => {
    const record = recordOf(cluster, ownership, "u1", now);
    expect(record).toMatchObject({
      name: "demo",
      provider: "bare",
      uid: "u1",
      instance: "me",
      phase: "Booting",
      createdAt: "2026-01-02T03:04:05.000Z",
      resource: cluster,
    });
    expect(ownershipOf(JSON.parse(JSON.stringify(record)) as typeof record)).toEqual(ownership);
  });

  test("an owner that cannot be read is none: what is not known is not reaped", () => {
    expect(ownershipOf({ ...recordOf(cluster, declared, "u1", now), owner: "somebody" })).toBeUndefined();
  });
});

describe("records", () => {
  const record = recordOf(cluster, declared, "u1", now);

  test("a folder without a record goes, unless somebody works on that name", async () => {
    await records.write(record);
    for (const name of ["killed", "at-work"]) await mkdir(records.directoryOf(name));
    await writeFile(join(records.directoryOf("killed"), "cluster.json.tmp"), "{");
    using _held = await records.lock("at-work");
    await records.removeEmpty();
    expect(
      (await readdir(join(data, "clusters"), { withFileTypes: true }))
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(["at-work", "demo"]);
  });

  test("written, read, listed, removed with all that is in the folder", async () => {
    expect(await records.read("demo")).toBeUndefined();
    expect(await records.all()).toEqual([]);
    await records.write(record);
    await writeFile(records.kubeconfigOf("demo"), "x");
    expect(await records.read("demo")).toEqual(record);
    expect(await records.all()).toEqual([record]);
    expect(records.targetOf(record)).toEqual({ name: "demo", uid: "u1", directory: records.directoryOf("demo") });
    await records.remove("demo");
    expect(existsSync(records.directoryOf("demo"))).toBe(false);
    await records.remove("demo");
  });

  test("folders without a record and locks are no clusters", async () => {
    using _lock = await records.lock("demo");
    await mkdir(records.directoryOf("empty"), { recursive: true });
    expect(await records.all()).toEqual([]);
  });

  test("one that is damaged is told of by its folder, not passed over", async () => {
    await mkdir(records.directoryOf("demo"), { recursive: true });
    await writeFile(join(records.directoryOf("demo"), "cluster.json"), "{");
    await expect(records.read("demo")).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining(records.directoryOf("demo")),
    });
  });

  test("the lock of a name is held by one at a time, and goes when it is told to", async () => {
    const held = await records.lock("demo");
    await expect(records.lock("demo", AbortSignal.timeout(60))).rejects.toThrow(/timeout/);
    using _other = await records.lock("other");
    held.release();
    using _again = await records.lock("demo");
    await records.removeLock("demo");
    expect(await readdir(join(data, "clusters"))).toEqual(["other.lock"]);
  });
});

test("an installation's id is made once, also by many at once", async () => {
  const folder = join(data, "new", "home");
  const ids = await Promise.all(Array.from({ length: 8 }, async () => await instanceId(folder)));
  expect(new Set(ids).size).toBe(1);
  expect(ids[0]).toMatch(/^[0-9a-f-]{36}$/);
  expect(await instanceId(folder)).toBe(ids[0]);
  expect(await instanceId(join(data, "another"))).not.toBe(ids[0]);
});

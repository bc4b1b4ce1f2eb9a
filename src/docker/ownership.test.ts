import { describe, expect, test } from "vitest";
import { currentProcess } from "../process/identity.ts";
import { labels, type Ownership, ownershipIn, ownershipLabels, reasonToReap } from "./ownership.ts";

const me = currentProcess();
const now = new Date("2026-05-01T00:00:00Z");
const [past, future] = [new Date("2026-04-30T23:59:59Z"), new Date("2026-05-01T00:00:01Z")];
const dead = { ...me, startTime: "1" };
const elsewhere = { ...me, hostId: "another" };

describe("labels", () => {
  test.each<[string, Ownership]>([
    ["declared", { instance: "i", owner: "declared" }],
    ["held", { instance: "i", owner: "held", notAfter: future }],
    ["a process", { instance: "i", owner: me }],
    ["a process, for a time", { instance: "i", owner: me, notAfter: future }],
  ])("%s: what was written is read", (_, ownership) => {
    expect(ownershipIn(ownershipLabels(ownership))).toEqual(ownership);
  });

  test.each<[string, Record<string, string> | null | undefined]>([
    ["none", {}],
    ["null, as Docker has it", null],
    ["absent", undefined],
    ["no instance", { [labels.owner]: "declared" }],
    ["no owner", { [labels.instance]: "i" }],
    ["an owner that cannot be read", { [labels.instance]: "i", [labels.owner]: "pid 7" }],
    ["an empty instance", { [labels.instance]: "", [labels.owner]: "declared" }],
  ])("%s: not ours to touch", (_, found) => {
    expect(ownershipIn(found)).toBeUndefined();
  });

  test("a time that cannot be read is none: then the owner alone decides", () => {
    expect(ownershipIn({ ...ownershipLabels({ instance: "i", owner: me }), [labels.notAfter]: "soon" })).toEqual({
      instance: "i",
      owner: me,
    });
  });
});

describe("what may be reaped now", () => {
  test.each<[string, Omit<Ownership, "instance">, string | undefined]>([
    ["declared", { owner: "declared" }, undefined],
    ["declared, whatever its time says", { owner: "declared", notAfter: past }, undefined],
    ["its owner lives", { owner: me, notAfter: future }, undefined],
    ["its owner lives, without a time", { owner: me }, undefined],
    ["its owner lives, whatever its time says", { owner: me, notAfter: past }, undefined],
    ["its owner has ended", { owner: dead, notAfter: future }, `its owner, process ${me.pid}, has ended`],
    ["its owner ended before the boot", { owner: { ...me, bootId: "old" } }, `its owner, process ${me.pid}, has ended`],
    ["its owner is elsewhere", { owner: elsewhere, notAfter: future }, undefined],
    ["its owner is elsewhere, without a time", { owner: elsewhere }, undefined],
    ["its owner is elsewhere, its time is up", { owner: elsewhere, notAfter: past }, "its time was up at 2026-04-30T23:59:59.000Z"],
    ["a job's, whose server judges it", { owner: { attempt: "a1" }, notAfter: future }, undefined],
    ["a job's, its time is up", { owner: { attempt: "a1" }, notAfter: past }, "its time was up at 2026-04-30T23:59:59.000Z"],
    ["held by a person", { owner: "held", notAfter: future }, undefined],
    ["held by a person, whose time is up", { owner: "held", notAfter: past }, "its time was up at 2026-04-30T23:59:59.000Z"],
    ["its time is up just now", { owner: elsewhere, notAfter: now }, undefined],
  ])("%s", (_, ownership, expected) => {
    expect(reasonToReap({ instance: "i", ...ownership }, now)).toBe(expected);
  });
});

import { describe, expect, test } from "vitest";
import { answerIn, type Claim, Groups } from "./groups.ts";

const claim = (name: string, more: Partial<Claim> = {}): Claim => ({
  kind: "run",
  name,
  of: "",
  run: name,
  within: [],
  repository: "o/p",
  group: "g",
  cancelInProgress: false,
  queue: "single",
  isHeld: false,
  isAborted: false,
  createdAt: Number(/\d+/.exec(name)?.[0] ?? 0),
  since: 0,
  title: name,
  ...more,
});
const held = { isHeld: true };

describe("what becomes of `r5`", () => {
  const max = { queue: "max" } as const;
  const replaced = (by: string) => ({ state: "replaced", why: `group g: ${by} came after it, and takes its place` });
  test.each<[string, Claim[], Partial<Claim>, object]>([
    ["nobody has it", [], {}, { state: "held" }],
    ["it has it", [claim("r6")], held, { state: "held" }],
    ["another has it", [claim("r1", held)], {}, { state: "waiting", why: "waits for group g: r1" }],
    [
      "one that waits is older: it takes its place",
      [claim("r1", held), claim("r3")],
      {},
      { state: "waiting", why: "waits for group g: r1" },
    ],
    ["one that waits is newer", [claim("r1", held), claim("r7")], {}, replaced("r7")],
    [
      "a newer one that is told to end takes no place",
      [claim("r1", held), claim("r7", { isAborted: true })],
      {},
      { state: "waiting", why: "waits for group g: r1" },
    ],
    ["nobody has it, and a newer one asks", [claim("r7")], {}, { state: "held" }],
    ["nobody has it, and an older one asks", [claim("r3")], {}, { state: "waiting", why: "waits for group g: r3" }],
    ["nobody has it, and there are both", [claim("r3"), claim("r7")], {}, replaced("r7")],
    [
      "cancel-in-progress",
      [claim("r1", held)],
      { cancelInProgress: true },
      { state: "waiting", why: "waits for group g: r1", ends: expect.objectContaining({ name: "r1" }) },
    ],
    [
      "that is told to end already",
      [claim("r1", { ...held, isAborted: true })],
      { cancelInProgress: true },
      { state: "waiting", why: "waits for group g: r1" },
    ],
    [
      "queue: max: newer ones take no place",
      [claim("r1", held), claim("r7", max)],
      max,
      { state: "waiting", why: "waits for group g: r1" },
    ],
    ["queue: max: older ones come before", [claim("r3", max), claim("r4", max)], max, { state: "waiting", why: "waits for group g: r3" }],
    [
      "queue: max is full",
      [claim("r0", held), ...Array.from({ length: 100 }, (_unused, i) => claim(`r${i / 100}`, max))],
      max,
      { state: "replaced", why: "group g: 100 wait already, and no more can" },
    ],
    [
      "what it is a part of has it",
      [claim("r1", { ...held, run: "r1", title: "CI (r1)" })],
      { kind: "job-run", run: "r1", within: ["", "call"] },
      { state: "replaced", why: "group g is that of CI (r1), which it is a part of: it would wait for itself" },
    ],
    [
      "another call of its run has it",
      [claim("r1", { ...held, run: "r1", of: "other", title: "other" })],
      { kind: "job-run", run: "r1", within: ["", "call"] },
      { state: "waiting", why: "waits for group g: other" },
    ],
  ])("%s", (_, others, more, expected) => {
    const own = claim("r5", more);
    expect(answerIn(own, [...others, own])).toEqual(expected);
  });
});

describe("a group over time", () => {
  const world = () => {
    const woken: string[] = [];
    const groups = new Groups((_kind, name) => woken.push(name));
    return { groups, woken: () => woken.splice(0), ask: (name: string, more: Partial<Claim> = {}) => groups.ask(claim(name, more)).state };
  };

  test("one after the other; who waits is woken when it ends, and who is replaced when another comes", () => {
    const { ask, groups, woken } = world();
    expect(ask("r1")).toBe("held");
    expect(ask("r2")).toBe("waiting");
    expect(ask("r3")).toBe("waiting");
    expect(woken()).toEqual(["r2"]);
    expect(ask("r2")).toBe("replaced");
    groups.noticeRun("r2", undefined);
    woken();
    groups.noticeRun("r1", undefined);
    expect(woken()).toEqual(["r3"]);
    expect([ask("r3"), ask("r1")]).toEqual(["held", "waiting"]);
  });

  test("groups have no case, and are of one repository", () => {
    const { ask } = world();
    expect(ask("r1", { group: "Deploy" })).toBe("held");
    expect(ask("r2", { group: "deploy" })).toBe("waiting");
    expect(ask("r3", { group: "deploy", repository: "o/q" })).toBe("held");
  });

  test("a call that has ended gives its group back, while its run goes on", () => {
    const { ask, groups, woken } = world();
    expect(ask("r1", { of: "call" })).toBe("held");
    expect(ask("r2")).toBe("waiting");
    groups.keep("r1", ["call"]);
    expect(ask("r2")).toBe("waiting");
    groups.keep("r1", []);
    expect(woken()).toEqual(["r2"]);
    expect(ask("r2")).toBe("held");
  });

  test("one that asks for another group than before gives that back", () => {
    const { ask } = world();
    expect(ask("r1")).toBe("held");
    expect(ask("r1", { group: "h" })).toBe("held");
    expect(ask("r2")).toBe("held");
    expect(ask("r3", { group: "h" })).toBe("waiting");
  });
});

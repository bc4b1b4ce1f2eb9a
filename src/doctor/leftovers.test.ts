import { expect, test } from "vitest";
import type { Check } from "./check.ts";
import { judgeLeftovers, type Leftover } from "./leftovers.ts";

const left = (name: string, instance = "a"): Leftover => ({ what: `cluster ${name}`, reason: "its owner, process 7, has ended", instance });
const why = "(its owner, process 7, has ended)";

test.each<[string, Leftover[], string[], string | undefined, Partial<Check>]>([
  ["none", [], [], "a", { state: "ok", found: "none" }],
  [
    "none that can be seen",
    [],
    ["Docker does not answer"],
    "a",
    { state: "unknown", found: "none; not all could be looked at: Docker does not answer" },
  ],
  ["ours", [left("x")], [], "a", { state: "warning", found: `cluster x ${why}`, fix: "seatrial reap" }],
  [
    "many",
    ["p", "q", "r", "s", "t"].map((name) => left(name)),
    [],
    "a",
    { found: `cluster p ${why}, cluster q ${why}, cluster r ${why}, 2 more` },
  ],
  [
    "another installation's",
    [left("x", "b")],
    [],
    "a",
    { found: `of installation b: cluster x ${why}`, fix: "seatrial reap --instance b" },
  ],
  ["before the first cluster of ours", [left("x", "b")], [], undefined, { fix: "seatrial reap --instance b" }],
  [
    "both",
    [left("x", "b"), left("y")],
    [],
    "a",
    { found: `cluster y ${why}; of installation b: cluster x ${why}`, fix: "seatrial reap\nseatrial reap --instance b" },
  ],
  [
    "some, and a part unseen",
    [left("x")],
    ["bad record\nmore"],
    "a",
    { state: "warning", found: `cluster x ${why}; not all could be looked at: bad record` },
  ],
])("%s", (_, all, unseen, instance, expected) => {
  expect(judgeLeftovers({ left: all, unseen, instance })).toMatchObject({ name: "leftovers", ...expected });
});

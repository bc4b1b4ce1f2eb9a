import { expect, test } from "vitest";
import { workflowFiles } from "./find.ts";

test.each<[string, string[], string[]]>([
  ["ours", [".seatrial/b.yml", ".seatrial/a.yaml", "x.yml"], [".seatrial/a.yaml", ".seatrial/b.yml"]],
  ["ours alone, when there are both", [".github/workflows/ci.yml", ".seatrial/a.yml"], [".seatrial/a.yml"]],
  ["GitHub's", [".github/workflows/ci.yml", ".github/dependabot.yml"], [".github/workflows/ci.yml"]],
  ["no folders below, no other names", [".seatrial/x/a.yml", ".seatrial/a.json", ".github/workflows/x/y.yml", "a/.seatrial/b.yml"], []],
  ["none", [], []],
])("%s", (_, paths, expected) => {
  expect(workflowFiles(paths)).toEqual(expected);
});

import { expect, test } from "vitest";
import { findLabelMistakes, platformOf } from "./runs-on.ts";

test.each([
  [["ubuntu-latest"], {}],
  [["ubuntu-24.04"], {}],
  [["Ubuntu-24.04-ARM"], { architecture: "arm64" }],
  [["linux"], {}],
  [["self-hosted"], {}],
  [["self-hosted", "Linux", "X64"], { architecture: "amd64" }],
  [["self-hosted", "arm64"], { architecture: "arm64" }],
])("%j can be had", (labels, expected) => {
  expect(findLabelMistakes(labels)).toEqual([]);
  expect(platformOf(labels)).toEqual({ os: "linux", ...expected });
});

test.each([
  [["windows-latest"], [[0, '"windows-latest" cannot be had: jobs run on Linux']]],
  [["self-hosted", "macOS"], [[1, '"macOS" cannot be had: jobs run on Linux']]],
  [["arm64"], [[0, '"arm64" says nothing alone: write it beside linux or self-hosted']]],
  [
    ["ubunty-latest"],
    [[0, '"ubunty-latest" is not a label that is known here: linux, ubuntu-*, self-hosted, x64, arm64, did you mean ubuntu-latest?']],
  ],
  [
    ["gpu", "windows-2022"],
    [
      [0, '"gpu" is not a label that is known here: linux, ubuntu-*, self-hosted, x64, arm64'],
      [1, '"windows-2022" cannot be had: jobs run on Linux'],
    ],
  ],
])("%j cannot", (labels, expected) => {
  expect(findLabelMistakes(labels).map(({ index, message }) => [index, message])).toEqual(expected);
});

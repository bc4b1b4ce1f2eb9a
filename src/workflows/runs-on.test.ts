import { expect, test } from "vitest";
import { findLabelMistakes, platformOf, ruleFor } from "./runs-on.ts";

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
      [
        0,
        '"gpu" is not a label that is known here: linux, ubuntu-*, self-hosted, x64, arm64; runsOn of the configuration can give it a meaning',
      ],
      [1, '"windows-2022" cannot be had: jobs run on Linux'],
    ],
  ],
])("%j cannot", (labels, expected) => {
  expect(findLabelMistakes(labels).map(({ index, message }) => [index, message])).toEqual(expected);
});

const rules = [
  { labels: ["gpu"], executor: "docker" },
  { labels: ["self-hosted", "Big"], executor: "host" },
  { labels: ["gpu", "big"], image: "gpu:1" },
  { labels: ["gpu"], image: "never:1" },
] as const;

test.each<[string[], number | undefined, string[]]>([
  [["gpu"], 0, []],
  [["GPU", "x64"], 0, []],
  [["gpu", "big"], 2, []],
  [["big", "self-hosted", "linux"], 1, []],
  [["ubuntu-latest"], undefined, []],
  [["big"], undefined, ['"big" cannot be had alone: labels that are known with it are [self-hosted, big], [gpu, big]']],
  [["gpu", "ubunty"], 0, ['"ubunty" is not a label that is known here: linux, ubuntu-*, self-hosted, x64, arm64, gpu, big']],
  [["gpus"], undefined, ["did you mean gpu?"]],
  [["gpu", "big", "self-hosted"], 1, ['"gpu" cannot be had beside self-hosted, big: labels that are known with it are [gpu], [gpu, big]']],
  [["windows-latest"], undefined, ['"windows-latest" cannot be had: jobs run on Linux']],
])("with labels of one's own, %j", (labels, index, mistakes) => {
  expect(ruleFor(labels, rules)).toEqual(index === undefined ? undefined : rules[index]);
  const found = findLabelMistakes(labels, rules).map(({ message }) => message);
  expect(found).toEqual(mistakes.map((each) => expect.stringContaining(each)));
});
